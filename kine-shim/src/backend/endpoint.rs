//! The flags that say where the data is and how to get there.

use std::{fmt, path::PathBuf, str::FromStr};

use super::dsn;

/// Where the data is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoint {
    /// An SQLite file.
    Sqlite(PathBuf),
    /// A database on a PostgreSQL server.
    Postgres(Server),
    /// A database on a MySQL or MariaDB server.
    Mysql(Server),
}

/// A database on a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// The scheme of the URL, for messages.
    pub scheme: &'static str,
    /// Where the server is.
    pub address: Address,
    /// The user.
    pub user: String,
    /// The password, if the URL has one.
    pub password: Option<Password>,
    /// The database.
    pub database: String,
    /// How the connection is protected, `None` to decide by the other flags.
    pub tls: Option<TlsMode>,
    /// The certificate authorities to trust, if the URL names a file.
    pub ca_file: Option<PathBuf>,
    /// The client certificate, if the URL names a file.
    pub cert_file: Option<PathBuf>,
    /// Its key, if the URL names a file.
    pub key_file: Option<PathBuf>,
}

/// Where a server is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// Host name or address, and port.
    Tcp(String, u16),
    /// A unix socket; for PostgreSQL the directory it is in and the port in its name.
    Unix(PathBuf, u16),
}

/// How a connection is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsMode {
    /// Not at all.
    Disable,
    /// If the server offers it, without looking at its certificate.
    Prefer,
    /// Always, without looking at the certificate.
    Require,
    /// Always, with a certificate of a known authority.
    VerifyCa,
    /// Always, with a certificate of a known authority for the name of the server.
    VerifyFull,
}

/// A password, which is shown nowhere.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(pub String);

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

/// How to get to a database server. The flags are kine's, and `--endpoint-password-file`.
#[derive(Debug, Clone, Default, PartialEq, Eq, clap::Args)]
#[command(next_help_heading = "Database servers")]
pub struct DatastoreOptions {
    /// File with the password of the database's user, read at every connection
    #[arg(long, value_name = "FILE")]
    pub endpoint_password_file: Option<PathBuf>,

    /// Certificate authorities of the database server, in PEM; without it those of the system are trusted
    #[arg(long, value_name = "FILE", env = "KINE_CA_FILE")]
    pub ca_file: Option<PathBuf>,

    /// Client certificate for the database server, in PEM
    #[arg(long, value_name = "FILE", env = "KINE_CERT_FILE", requires = "key_file")]
    pub cert_file: Option<PathBuf>,

    /// Key of the client certificate, in PEM
    #[arg(long, value_name = "FILE", env = "KINE_KEY_FILE", requires = "cert_file")]
    pub key_file: Option<PathBuf>,

    /// Do not check the certificate of the database server
    #[arg(
        long,
        env = "KINE_SKIP_VERIFY",
        num_args = 0..=1,
        require_equals = true,
        default_value = "false",
        default_missing_value = "true",
        value_parser = clap::builder::BoolishValueParser::new(),
        action = clap::ArgAction::Set
    )]
    pub skip_verify: bool,

    /// How durable a commit to an SQLite file is: full survives a power failure, normal may lose the last commits then
    #[arg(long, value_name = "MODE", value_enum, default_value_t = Synchronous::Full)]
    pub sqlite_synchronous: Synchronous,
}

/// How durable a commit to an SQLite file is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Synchronous {
    /// A commit that was answered is on disk.
    #[default]
    Full,
    /// A commit is on disk when the log is next moved into the file; until then a power failure takes it. The file stays
    /// intact either way, and a crash of the process takes nothing.
    Normal,
}

impl Synchronous {
    /// The word of SQLite's pragma.
    pub const fn pragma(self) -> &'static str {
        match self {
            Self::Full => "FULL",
            Self::Normal => "NORMAL",
        }
    }
}

impl DatastoreOptions {
    /// The password for `server` as it is now: that of the file, else that of the URL.
    pub fn password(&self, server: &Server) -> Result<Option<String>, String> {
        let Some(file) = &self.endpoint_password_file else {
            return Ok(server.password.as_ref().map(|password| password.0.clone()));
        };
        let text = std::fs::read_to_string(file)
            .map_err(|error| format!("--endpoint-password-file: cannot read {}: {error}", file.display()))?;
        Ok(Some(text.trim_end_matches(['\r', '\n']).to_owned()))
    }
}

impl FromStr for Endpoint {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once("://") {
            Some(("sqlite", path)) => sqlite(path).map(Self::Sqlite),
            Some(("postgres" | "postgresql", rest)) => dsn::postgres(rest).map(Self::Postgres),
            Some(("mysql", rest)) => dsn::mysql(rest).map(Self::Mysql),
            // What is written there may have a password in it.
            Some((scheme, _)) => Err(format!(
                "`{scheme}://` is not a kind of database this build can use; write sqlite:///path/state.db, \
                 postgres://user@host/database or mysql://user@host/database"
            )),
            None => Err(
                "the endpoint has no kind of database in front; write sqlite:///path/state.db, \
                 postgres://user@host/database or mysql://user@host/database"
                    .into(),
            ),
        }
    }
}

/// The file kine takes when the endpoint names none.
const KINE_FILE: &str = "db/state.db";
/// Options that kine hands to its SQLite drivers, which say how to lock, cache, vacuum and sync the file. They are passed
/// over: what is done here instead is at least as careful.
const KINE_OPTIONS: [&str; 13] = [
    "_auto_vacuum",
    "_busy_timeout",
    "_cache_size",
    "_journal",
    "_journal_mode",
    "_pragma",
    "_stmt_cache_size",
    "_sync",
    "_synchronous",
    "_timeout",
    "_txlock",
    "_vacuum",
    "cache",
];

fn sqlite(path: &str) -> Result<PathBuf, String> {
    let (path, options) = path.split_once('?').unwrap_or((path, ""));
    let name = |option: &str| option.split('=').next().unwrap_or_default().to_owned();
    let names = options.split('&').filter(|option| !option.is_empty()).map(name);
    if let Some(unknown) = names.into_iter().find(|name| !KINE_OPTIONS.contains(&name.as_str())) {
        return Err(format!(
            "the endpoint has the option `{unknown}`, which is not supported; leave it out"
        ));
    }
    Ok(PathBuf::from(if path.is_empty() { KINE_FILE } else { path }))
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "sqlite://{}", path.display()),
            Self::Postgres(server) | Self::Mysql(server) => server.fmt(f),
        }
    }
}

/// The URL without the password.
impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}@", self.scheme, self.user)?;
        match &self.address {
            Address::Tcp(host, port) if host.contains(':') => write!(f, "[{host}]:{port}")?,
            Address::Tcp(host, port) => write!(f, "{host}:{port}")?,
            Address::Unix(path, _) => write!(f, "unix({})", path.display())?,
        }
        write!(f, "/{}", self.database)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_sqlite_paths() {
        for (text, path) in [
            ("sqlite:///data/state.db", "/data/state.db"),
            ("sqlite://state.db", "state.db"),
            ("sqlite://", "db/state.db"),
            (
                "sqlite:///data/state.db?_journal_mode=WAL&_busy_timeout=30000&_synchronous=NORMAL&_txlock=immediate&cache=shared",
                "/data/state.db",
            ),
        ] {
            assert_eq!(text.parse(), Ok(Endpoint::Sqlite(PathBuf::from(path))));
        }
    }

    #[test]
    fn refuses_the_rest_with_a_reason() {
        for (text, part) in [
            ("mongodb://user:secret@host", "write sqlite://"),
            ("user:secret@host", "write sqlite://"),
            ("sqlite:///a?cache=shared&mode=memory", "`mode`"),
        ] {
            let error = text.parse::<Endpoint>().expect_err(text);
            assert!(error.contains(part), "{error}");
            assert!(!error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn passwords_are_shown_nowhere() {
        for text in ["postgres://user:secret@host/db", "mysql://user:secret@tcp(host:1)/db"] {
            let endpoint: Endpoint = text.parse().expect(text);
            assert!(!format!("{endpoint} {endpoint:?}").contains("secret"));
        }
    }
}
