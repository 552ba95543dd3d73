//! How to connect.

use std::time::Duration;

use chassis::tls::{TlsError, load_certificates, load_identity};

use mysql_async::{ClientIdentity, Conn, Error, Opts, OptsBuilder, SslOpts, prelude::Queryable};

use super::{
    fault::{fault, is_unknown_database, is_without_tls, refusal},
    sql,
};
use crate::backend::{
    Fault,
    endpoint::{Address, DatastoreOptions, Server, TlsMode},
    tls,
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
        let mode = tls::mode(&self.server, &self.options);
        let encrypted = self.options(database, mode)?;
        match connect(encrypted).await {
            Err(Refused::Server(error)) if mode == TlsMode::Prefer && is_without_tls(&error) => {
                connect(self.options(database, TlsMode::Disable)?).await
            }
            done => done,
        }
    }

    /// Files are read again every time, so that certificates and passwords can change.
    fn options(&self, database: Option<&str>, mode: TlsMode) -> Result<Opts, Fault> {
        let options = OptsBuilder::default()
            .user(Some(self.server.user.as_str()))
            .pass(self.options.password(&self.server).map_err(Fault::Other)?)
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

    fn tls(&self, mode: TlsMode) -> Result<Option<SslOpts>, Fault> {
        if mode == TlsMode::Disable {
            return Ok(None);
        }
        let mut tls = SslOpts::default();
        match mode {
            TlsMode::VerifyCa | TlsMode::VerifyFull => {
                let authorities = match tls::ca_file(&self.server, &self.options) {
                    Some((flag, file)) => load_certificates(flag, file).map_err(other)?,
                    None => tls::system_certificates(),
                };
                let authorities = authorities.iter().map(|authority| authority.to_vec().into());
                // Whoever names an authority trusts no other.
                tls = tls
                    .with_root_certs(authorities.collect())
                    .with_disable_built_in_roots(true)
                    .with_danger_skip_domain_validation(mode == TlsMode::VerifyCa);
            }
            TlsMode::Disable | TlsMode::Prefer | TlsMode::Require => tls = tls.with_danger_accept_invalid_certs(true),
        }
        let files = tls::identity_files(&self.server, &self.options).map_err(Fault::Other)?;
        if let Some((certificate, key)) = files {
            // Read here for the sake of the message about what is wrong with it.
            load_identity(certificate, key).map_err(other)?;
            let identity = ClientIdentity::new(certificate.1.to_owned().into(), key.1.to_owned().into());
            tls = tls.with_client_identity(Some(identity));
        }
        Ok(Some(tls))
    }
}

fn other(error: TlsError) -> Fault {
    Fault::Other(error.to_string())
}

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
