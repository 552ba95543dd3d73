//! The command line: kine's flags with their names, environment variables and defaults, some of etcd's, and our own.

mod duration;
mod inherited;

use std::{path::PathBuf, time::Duration};

use chassis::{
    BindAddress, CommonOptions,
    tls::{File, ServerFiles},
};
use clap::builder::BoolishValueParser;

use self::duration::{parse, parse_or_off, parse_progress_interval};
pub use self::inherited::Inherited;
use crate::backend::endpoint::{DatastoreOptions, Endpoint, Synchronous};

/// Speaks the etcd v3 API over an SQL database
// As with Go's flags, of one that is given twice the last counts.
#[derive(Debug, Clone, clap::Parser)]
#[command(args_override_self = true)]
#[command(
    after_help = "Tools: kine-shim check, kine-shim snapshot, kine-shim restore; each explains itself with --help"
)]
#[command(mut_arg("admin_bind_address", |arg| arg.visible_alias("metrics-bind-address").env("KINE_METRICS_BIND_ADDRESS")))]
#[command(mut_arg("log_format", |arg| arg.env("KINE_LOG_FORMAT")))]
#[command(mut_arg("log_level", |arg| arg.default_value_ifs(["true", "TRUE", "True", "t", "T", "1"].map(|on| ("debug", on, "debug")))))]
pub struct Options {
    /// The database: sqlite:///path/state.db, postgres://user@host:5432/database or mysql://user@tcp(host:3306)/database
    #[arg(
        long,
        value_name = "URL",
        env = "KINE_ENDPOINT",
        hide_env_values = true,
        default_value = "sqlite://db/state.db"
    )]
    pub endpoint: Endpoint,

    /// Where etcd clients connect, separated by commas: unix:///path/kine.sock, tcp://127.0.0.1:2379; port 0 takes a free
    /// one
    #[arg(
        long,
        value_name = "ADDRESSES",
        value_delimiter = ',',
        env = "KINE_LISTEN_ADDRESS",
        default_value = "tcp://127.0.0.1:2379"
    )]
    pub listen_address: Vec<BindAddress>,

    #[command(flatten)]
    #[allow(missing_docs, reason = "a doc comment here would become the help of the group")]
    pub server_tls: ServerTls,

    #[command(flatten)]
    #[allow(missing_docs, reason = "a doc comment here would become the help of the group")]
    pub datastore: DatastoreOptions,

    #[command(flatten)]
    #[allow(missing_docs, reason = "a doc comment here would become the help of the group")]
    pub compaction: Compaction,

    #[command(flatten)]
    #[allow(missing_docs, reason = "a doc comment here would become the help of the group")]
    pub limits: Limits,

    /// The etcd version that status reports; API servers derive from it what they can ask for
    #[arg(
        long,
        value_name = "VERSION",
        env = "KINE_EMULATED_ETCD_VERSION",
        default_value = "3.6.11"
    )]
    pub emulated_etcd_version: String,

    /// How often watches that want to hear of progress do, while nothing happens
    #[arg(
        long,
        value_name = "DURATION",
        env = "KINE_WATCH_PROGRESS_NOTIFY_INTERVAL",
        default_value = "5s",
        value_parser = parse_progress_interval
    )]
    pub watch_progress_notify_interval: Duration,

    /// Statements of the database that take longer are logged; 0 for none
    #[arg(long, value_name = "DURATION", env = "KINE_SLOW_SQL_THRESHOLD", default_value = "1s", value_parser = parse_or_off)]
    pub slow_sql_threshold: Duration,

    /// Statements of the database that take longer are logged as warnings
    #[arg(
        long,
        value_name = "DURATION",
        env = "KINE_SLOW_SQL_WARNING_THRESHOLD",
        default_value = "5s",
        value_parser = parse_or_off
    )]
    pub slow_sql_warning_threshold: Duration,

    /// Log at level debug, as --log-level=debug does
    #[arg(
        long,
        env = "KINE_DEBUG",
        num_args = 0..=1,
        require_equals = true,
        default_value = "false",
        default_missing_value = "true",
        value_parser = BoolishValueParser::new(),
        action = clap::ArgAction::Set
    )]
    pub debug: bool,

    #[command(flatten)]
    #[allow(missing_docs, reason = "a doc comment here would become the help of the group")]
    pub inherited: Inherited,

    #[command(flatten)]
    #[allow(missing_docs, reason = "a doc comment here would become the help of the group")]
    pub common: CommonOptions,
}

/// TLS of the listeners on TCP.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "TLS for etcd clients")]
pub struct ServerTls {
    /// Certificate of the listeners on TCP, read again when it changes
    #[arg(
        long,
        value_name = "FILE",
        env = "KINE_SERVER_CERT_FILE",
        requires = "server_key_file"
    )]
    pub server_cert_file: Option<PathBuf>,

    /// Its private key
    #[arg(
        long,
        value_name = "FILE",
        env = "KINE_SERVER_KEY_FILE",
        requires = "server_cert_file"
    )]
    pub server_key_file: Option<PathBuf>,

    /// Authorities of the certificates that clients on TCP must present
    #[arg(
        long,
        value_name = "FILE",
        env = "KINE_TRUSTED_CA_FILE",
        requires = "server_cert_file"
    )]
    pub trusted_ca_file: Option<PathBuf>,

    /// Listen beyond loopback without client certificates: everyone who reaches the port may read and write everything
    #[arg(long, conflicts_with = "trusted_ca_file")]
    pub allow_unauthenticated_clients: bool,

    /// Serve metrics in plain text even if the listeners have a certificate
    #[arg(
        long,
        env = "KINE_METRICS_IGNORE_TLS_CONFIG",
        num_args = 0..=1,
        require_equals = true,
        default_value = "false",
        default_missing_value = "true",
        value_parser = BoolishValueParser::new(),
        action = clap::ArgAction::Set
    )]
    pub metrics_ignore_tls_config: bool,
}

impl ServerTls {
    /// The files of the listeners on TCP, `None` for plain ones.
    pub fn files(&self) -> Option<ServerFiles> {
        let (certificate, key) = self.server_cert_file.as_ref().zip(self.server_key_file.as_ref())?;
        Some(ServerFiles {
            certificate: File::new("--server-cert-file", certificate),
            key: File::new("--server-key-file", key),
            client_authorities: self
                .trusted_ca_file
                .as_ref()
                .map(|file| File::new("--trusted-ca-file", file)),
        })
    }
}

/// Compaction nobody asks for.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Compaction")]
pub struct Compaction {
    /// How often history is compacted without being asked, keeping that much of it; 0 leaves it to the API servers
    #[arg(long, value_name = "DURATION", env = "KINE_COMPACT_INTERVAL", default_value = "5m", value_parser = parse)]
    pub compact_interval: Duration,

    /// Percentage by which the interval varies either way
    #[arg(
        long,
        value_name = "PERCENT",
        env = "KINE_COMPACT_INTERVAL_JITTER",
        default_value_t = 0,
        value_parser = clap::value_parser!(u32).range(0..100)
    )]
    pub compact_interval_jitter: u32,

    /// Revisions that compaction without being asked always keeps
    #[arg(
        long,
        value_name = "COUNT",
        env = "KINE_COMPACT_MIN_RETAIN",
        default_value_t = 1000,
        value_parser = clap::value_parser!(i64).range(0..)
    )]
    pub compact_min_retain: i64,
}

/// What one client may take.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Limits")]
pub struct Limits {
    /// Largest request, in bytes
    #[arg(long, value_name = "BYTES", default_value_t = 1536 << 10, value_parser = clap::value_parser!(u32).range(1024..=1 << 30))]
    pub max_request_bytes: u32,

    /// Most operations in a transaction
    #[arg(long, value_name = "COUNT", default_value_t = 128, value_parser = clap::value_parser!(u32).range(1..=1 << 20))]
    pub max_txn_ops: u32,

    /// Most calls at the same time on one connection; further ones wait
    #[arg(long, value_name = "COUNT", default_value_t = 4096, value_parser = clap::value_parser!(u32).range(1..))]
    pub max_concurrent_streams: u32,

    /// Most watches on one stream
    #[arg(long, value_name = "COUNT", default_value_t = 65_536, value_parser = clap::value_parser!(u32).range(1..))]
    pub max_watches_per_stream: u32,

    /// How long a client may leave watch events unread before its stream is cancelled; 0 waits for ever
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = parse)]
    pub slow_watcher_timeout: Duration,

    /// Size of the database, in bytes, from which on it takes no more data and raises the alarm NOSPACE; 0 for none
    #[arg(long, value_name = "BYTES", default_value_t = 0, value_parser = clap::value_parser!(i64).range(0..))]
    pub quota_backend_bytes: i64,
}

impl chassis::Options for Options {
    fn common(&self) -> &CommonOptions {
        &self.common
    }

    fn admin_tls(&self) -> Option<ServerFiles> {
        let files = self
            .server_tls
            .files()
            .filter(|_| !self.server_tls.metrics_ignore_tls_config)?;
        // As with kine, whoever scrapes needs no certificate.
        Some(ServerFiles {
            client_authorities: None,
            ..files
        })
    }
}

impl Options {
    /// Refuses to listen where anybody could connect.
    pub fn check_listeners(&self) -> Result<(), String> {
        let tls = &self.server_tls;
        let open = |address: &&BindAddress| address.tcp().is_some_and(|address| !address.ip().is_loopback());
        match self.listen_address.iter().find(open) {
            Some(address) if tls.trusted_ca_file.is_none() && !tls.allow_unauthenticated_clients => Err(format!(
                "--listen-address: {address} can be reached from elsewhere; give --server-cert-file, --server-key-file and \
                 --trusted-ca-file so that clients have to present a certificate, or say --allow-unauthenticated-clients"
            )),
            _ => Ok(()),
        }
    }

    /// Says which of kine's flags do nothing here.
    pub fn log_what_has_no_effect(&self) {
        for (flag, reason) in &self.inherited.0 {
            tracing::warn!("--{flag} has no effect: {reason}");
        }
        let synchronous = self.datastore.sqlite_synchronous;
        let for_servers = DatastoreOptions {
            sqlite_synchronous: Synchronous::default(),
            ..self.datastore.clone()
        };
        match self.endpoint {
            Endpoint::Sqlite(_) if for_servers != DatastoreOptions::default() => tracing::warn!(
                "--ca-file, --cert-file, --key-file, --skip-verify and --endpoint-password-file have no effect: SQLite is a \
                 file, not a server"
            ),
            Endpoint::Postgres(_) | Endpoint::Mysql(_) if synchronous != Synchronous::default() => {
                tracing::warn!(
                    "--sqlite-synchronous has no effect: the database server decides how durable a commit is"
                );
            }
            _ => {}
        }
        if matches!(self.endpoint, Endpoint::Sqlite(_)) && synchronous == Synchronous::Normal {
            tracing::warn!(
                "--sqlite-synchronous=normal: a power failure may take the last commits, although they were acknowledged"
            );
        }
    }
}

#[cfg(test)]
mod tests;
