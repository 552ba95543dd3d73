//! The databases a store can be on, and a fresh one for every test.

use std::{path::PathBuf, sync::Arc};

use tempfile::TempDir;

use crate::memory::Memory;
use crate::servers::{PASSWORD, Product, Server, USER};

/// A kind of database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Tables in memory: what the store asks of a database, and nothing more.
    Memory,
    Sqlite,
    Server(Product),
}

/// Runs a test on every kind of database: for `test`, an asynchronous function of a [`Database`], there are the tests
/// `test::sqlite`, `test::postgres` and `test::mariadb`.
macro_rules! on_every_database {
    ($($test:ident),* $(,)?) => {
        $crate::databases::on! { [$($test)*] {
            sqlite => Kind::Sqlite,
            postgres => Kind::Server(Product::Postgres),
            mariadb => Kind::Server(Product::MariaDb),
        } }
    };
}
pub(crate) use on_every_database;

/// Runs a test on every kind of database, and on one that is in memory only.
macro_rules! on_everything {
    ($($test:ident),* $(,)?) => {
        $crate::databases::on! { [$($test)*] {
            memory => Kind::Memory,
            sqlite => Kind::Sqlite,
            postgres => Kind::Server(Product::Postgres),
            mariadb => Kind::Server(Product::MariaDb),
        } }
    };
}
pub(crate) use on_everything;

/// Runs a test on every kind of database that several stores can share.
macro_rules! on_every_server {
    ($($test:ident),* $(,)?) => {
        $crate::databases::on! { [$($test)*] {
            postgres => Kind::Server(Product::Postgres),
            mariadb => Kind::Server(Product::MariaDb),
        } }
    };
}
pub(crate) use on_every_server;

macro_rules! on {
    ([] $kinds:tt) => {};
    ([$test:ident $($rest:ident)*] { $($name:ident => $kind:expr,)* }) => {
        mod $test {
            use crate::databases::{Kind, on_fresh};
use crate::servers::Product;

            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $name() {
                    on_fresh($kind, super::$test).await;
                }
            )*
        }
        $crate::databases::on! { [$($rest)*] { $($name => $kind,)* } }
    };
}
pub(crate) use on;

/// Runs a test on a fresh database, unless its server is not installed.
pub(crate) async fn on_fresh(kind: Kind, test: impl AsyncFnOnce(&Database)) {
    if let Some(database) = Database::new(kind) {
        test(&database).await;
    }
}

/// A database of one test, gone when the test is over.
pub(crate) struct Database {
    pub(crate) kind: Kind,
    /// Its files, if it is one, and the socket of the service on it.
    pub(crate) directory: TempDir,
    on: Option<(Arc<Server>, String)>,
    /// Nobody else removes it.
    ours: bool,
    /// What `--endpoint` says instead of the usual.
    named: Option<String>,
    /// The tables, when it is in memory.
    pub(crate) memory: Option<Memory>,
}

impl Database {
    /// An empty one, `None` when the server is not installed.
    pub(crate) fn new(kind: Kind) -> Option<Self> {
        match kind {
            Kind::Memory | Kind::Sqlite => Some(Self::make(kind, None, true)),
            Kind::Server(product) => Some(Self::at(Server::shared(product)?)),
        }
    }

    /// An empty one on a server.
    pub(crate) fn at(server: Arc<Server>) -> Self {
        let name = server.create_database();
        Self::make(Kind::Server(server.product), Some((server, name)), true)
    }

    /// The same database for another store, with a directory of its own.
    pub(crate) fn shared(&self) -> Self {
        Self::make(self.kind, self.on.clone(), false)
    }

    /// The same database under another endpoint.
    pub(crate) fn named(&self, endpoint: String) -> Self {
        let mut other = self.shared();
        other.named = Some(endpoint);
        other
    }

    /// The server it is on, and what it is called there.
    pub(crate) fn place(&self) -> (&Server, &str) {
        let (server, name) = self.on.as_ref().expect("a database on a server");
        (server, name)
    }

    fn make(kind: Kind, on: Option<(Arc<Server>, String)>, ours: bool) -> Self {
        let directory = tempfile::tempdir().expect("directory");
        Self {
            kind,
            directory,
            on,
            ours,
            named: None,
            memory: (kind == Kind::Memory).then(Memory::new),
        }
    }

    /// A file.
    pub(crate) fn file() -> Self {
        Self::new(Kind::Sqlite).expect("files are always there")
    }

    /// The path of the file.
    pub(crate) fn path(&self) -> PathBuf {
        self.directory.path().join("state.db")
    }

    /// What `--endpoint` says.
    pub(crate) fn endpoint(&self) -> String {
        match (&self.named, &self.on) {
            (Some(endpoint), _) => endpoint.clone(),
            (None, None) => format!("sqlite://{}", self.path().display()),
            (None, Some((server, name))) => endpoint(server, name),
        }
    }

    /// Asks past the store; returns the rows as text.
    pub(crate) fn query(&self, sql: &str) -> Vec<Vec<String>> {
        match &self.on {
            None => rows(&self.connection(), sql).expect(sql),
            Some((server, name)) => server.query(name, sql),
        }
    }

    /// Runs statements past the store.
    pub(crate) fn execute(&self, sql: &str) {
        match &self.on {
            None => self.connection().execute_batch(sql).expect(sql),
            Some((server, name)) => drop(server.query(name, sql)),
        }
    }

    fn connection(&self) -> rusqlite::Connection {
        rusqlite::Connection::open(self.path()).expect("open")
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        // Of a test that failed, everything is left until the server ends.
        if let Some((server, name)) = self.on.as_ref().filter(|_| self.ours && !std::thread::panicking()) {
            server.drop_database(name);
        }
    }
}

/// The endpoint of a database on a server, over TCP with user and password.
pub(crate) fn endpoint(server: &Server, name: &str) -> String {
    endpoint_as(server, &format!("{USER}:{PASSWORD}"), name)
}

/// The endpoint of a database on a server, over TCP as somebody else.
pub(crate) fn endpoint_as(server: &Server, who: &str, name: &str) -> String {
    let port = server.port;
    match server.product {
        Product::Postgres => format!("postgres://{}@127.0.0.1:{port}/{name}", who.replace(' ', "%20")),
        Product::MariaDb => format!("mysql://{who}@tcp(127.0.0.1:{port})/{name}"),
    }
}

fn rows(connection: &rusqlite::Connection, sql: &str) -> rusqlite::Result<Vec<Vec<String>>> {
    use rusqlite::types::Value;
    let text = |value: Value| match value {
        Value::Null => "NULL".to_owned(),
        Value::Integer(number) => number.to_string(),
        Value::Real(number) => number.to_string(),
        Value::Text(text) => text,
        Value::Blob(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
    };
    let mut statement = connection.prepare(sql)?;
    let columns = statement.column_count();
    let rows = statement.query_map([], |row| (0..columns).map(|column| row.get(column).map(text)).collect())?;
    rows.collect()
}
