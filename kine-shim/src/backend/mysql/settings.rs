//! How to connect.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use mysql_async::{ClientIdentity, Conn, Error, Opts, OptsBuilder, SslOpts, prelude::Queryable};

use super::{
    fault::{fault, is_unknown_database, is_without_tls, refusal},
    sql,
};
use crate::backend::{
    Fault,
    endpoint::{Address, DatastoreOptions, Server, TlsMode},
};

/// How long making a connection may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a connection may be silent before the system asks whether the other end is still there.
const KEEPALIVE: Duration = Duration::from_secs(15);

/// The database, how to get to it, and whose it is.
#[derive(Debug)]
pub(super) struct Settings {
    server: Server,
    options: DatastoreOptions,
}

impl Settings {
    pub(super) fn new(server: &Server, options: &DatastoreOptions) -> Self {
        Self {
            server: server.clone(),
            options: options.clone(),
        }
    }

    /// Connects and sets the connection up.
    pub(super) async fn connect(&self) -> Result<Conn, Fault> {
        let mut connection = self.connect_to(Some(&self.server.database)).await?;
        let version: Option<String> = connection
            .query_first(sql::VERSION)
            .await
            .map_err(|error| fault(&error))?;
        let own = match version {
            Some(version) if version.contains("MariaDB") => sql::MARIADB_SESSION,
            _ => sql::MYSQL_SESSION,
        };
        let session = format!("{}; {own}", sql::SESSION);
        connection.query_drop(session).await.map_err(|error| fault(&error))?;
        Ok(connection)
    }

    /// Makes the database if it is not there, as kine does.
    pub(super) async fn create_database(&self) -> Result<(), Fault> {
        let missing = match self.open(Some(&self.server.database)).await {
            Err(Refused::Server(error)) if is_unknown_database(&error) => error,
            _ => return Ok(()),
        };
        let name = self.server.database.replace('`', "``");
        let mut connection = self.connect_to(None).await?;
        let created = connection
            .query_drop(format!("CREATE DATABASE IF NOT EXISTS `{name}`"))
            .await;
        // The first error says more: the user may have rights on this database only.
        created.map_err(|_| refusal(&missing))?;
        connection.disconnect().await.map_err(|error| fault(&error))
    }

    async fn connect_to(&self, database: Option<&str>) -> Result<Conn, Fault> {
        self.open(database).await.map_err(|refused| match refused {
            Refused::Server(error) => refusal(&error),
            Refused::Here(fault) => fault,
        })
    }

    async fn open(&self, database: Option<&str>) -> Result<Conn, Refused> {
        let mode = self.tls_mode();
        let encrypted = self.options(database, mode).await?;
        match connect(encrypted).await {
            Err(Refused::Server(error)) if mode == TlsMode::Prefer && is_without_tls(&error) => {
                connect(self.options(database, TlsMode::Disable).await?).await
            }
            done => done,
        }
    }

    async fn options(&self, database: Option<&str>, mode: TlsMode) -> Result<Opts, Refused> {
        let options = OptsBuilder::default()
            .user(Some(self.server.user.as_str()))
            .pass(self.password().await?)
            .db_name(database)
            .prefer_socket(false)
            .tcp_nodelay(true)
            .tcp_keepalive(Some(KEEPALIVE))
            .stmt_cache_size(0);
        Ok(match &self.server.address {
            Address::Tcp(host, port) => options
                .ip_or_hostname(host.as_str())
                .tcp_port(*port)
                .ssl_opts(self.tls(mode)?),
            Address::Unix(path, _) => options.socket(Some(path.to_string_lossy())),
        }
        .into())
    }

    async fn password(&self) -> Result<Option<String>, Refused> {
        let Some(file) = &self.options.endpoint_password_file else {
            return Ok(self.server.password.as_ref().map(|password| password.0.clone()));
        };
        let text = read("--endpoint-password-file", file)?;
        let text = String::from_utf8(text)
            .map_err(|_| Fault::Other(format!("--endpoint-password-file: {} is not text", file.display())))?;
        Ok(Some(text.trim_end_matches(['\r', '\n']).to_owned()))
    }

    /// Without a word about it, TLS is used when there is a certificate to check or to show, as kine does.
    fn tls_mode(&self) -> TlsMode {
        let Some(mode) = self.server.tls else {
            return match (self.options.skip_verify, &self.options.ca_file, &self.options.cert_file) {
                (true, ..) => TlsMode::Require,
                (false, None, None) => TlsMode::Disable,
                (false, ..) => TlsMode::VerifyFull,
            };
        };
        mode
    }

    fn tls(&self, mode: TlsMode) -> Result<Option<SslOpts>, Refused> {
        if mode == TlsMode::Disable {
            return Ok(None);
        }
        let file = |flag: &Option<PathBuf>, url: &Option<PathBuf>| url.clone().or_else(|| flag.clone());
        let unchecked = matches!(mode, TlsMode::Prefer | TlsMode::Require);
        let mut tls = SslOpts::default()
            .with_danger_accept_invalid_certs(unchecked)
            .with_danger_skip_domain_validation(unchecked || mode == TlsMode::VerifyCa);
        if let Some(path) = file(&self.options.ca_file, &self.server.ca_file) {
            // Whoever names an authority trusts no other.
            tls = tls
                .with_root_certs(vec![read("--ca-file", &path)?.into()])
                .with_disable_built_in_roots(true);
        } else if let Some(roots) = SYSTEM_ROOTS.iter().map(Path::new).find(|path| path.exists()) {
            tls = tls
                .with_root_certs(vec![read("--ca-file", roots)?.into()])
                .with_disable_built_in_roots(true);
        }
        let certificate = file(&self.options.cert_file, &self.server.cert_file);
        let key = file(&self.options.key_file, &self.server.key_file);
        if let (Some(certificate), Some(key)) = (certificate, key) {
            let identity = ClientIdentity::new(
                read("--cert-file", &certificate)?.into(),
                read("--key-file", &key)?.into(),
            );
            tls = tls.with_client_identity(Some(identity));
        }
        Ok(Some(tls))
    }
}

/// Where Linux distributions keep the certificate authorities they trust.
const SYSTEM_ROOTS: [&str; 3] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
];

/// Why there is no connection.
enum Refused {
    /// The server, or the way there.
    Server(Error),
    /// Something that was to be found here.
    Here(Fault),
}

impl From<Fault> for Refused {
    fn from(fault: Fault) -> Self {
        Self::Here(fault)
    }
}

async fn connect(options: Opts) -> Result<Conn, Refused> {
    match tokio::time::timeout(PATIENCE, Conn::new(options)).await {
        Ok(done) => done.map_err(Refused::Server),
        Err(_) => Err(Fault::Lost(format!("the server did not answer within {PATIENCE:?}")).into()),
    }
}

fn read(flag: &str, path: &Path) -> Result<Vec<u8>, Fault> {
    std::fs::read(path).map_err(|error| Fault::Other(format!("{flag}: cannot read {}: {error}", path.display())))
}
