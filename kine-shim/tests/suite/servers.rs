//! Real database servers for the tests: one PostgreSQL and one MariaDB for the whole run, started when the first test needs
//! them, each in a temporary directory.
//!
//! Between the tests and a server stands a small shell. It takes orders from a pipe, and when the pipe closes, which it does
//! however this process ends, it kills the server and removes the directory.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    os::unix::{
        fs::{MetadataExt, PermissionsExt, chown},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use chassis::tls::{Authority, Profile};

use crate::support::{PATIENCE, free_port};

/// The user the store logs in as, and its password.
pub(crate) const USER: &str = "kine";
pub(crate) const PASSWORD: &str = "open sesame";
/// A user that shows a client certificate instead of a password.
pub(crate) const CERTIFIED_USER: &str = "certified";

/// The product.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Product {
    Postgres,
    MariaDb,
}

/// What starts a server: shell commands, and the signal that ends it as a crash would, leaving nothing in memory behind.
struct Recipe {
    prepare: String,
    start: String,
    crash: &'static str,
}

impl Product {
    const fn package(self) -> &'static str {
        match self {
            Self::Postgres => "postgresql",
            Self::MariaDb => "mariadb-server-core and mariadb-client-core",
        }
    }

    /// The programs a server needs: those that prepare and run it, and a client.
    const fn programs(self) -> [&'static str; 3] {
        match self {
            Self::Postgres => ["initdb", "postgres", "psql"],
            Self::MariaDb => ["mariadb-install-db", "mariadbd", "mariadb"],
        }
    }

    fn recipe(self, programs: &[PathBuf; 3], directory: &Path, port: u16, root: bool) -> Recipe {
        let file = |name: &str| directory.join(name).display().to_string();
        let port = port.to_string();
        let [prepare, serve, _] = programs.each_ref().map(|program| program.display().to_string());
        match self {
            Self::Postgres => {
                // PostgreSQL refuses to run as root.
                let drop = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"];
                let user = if root { &drop[..] } else { &[] };
                let data = file("data");
                let prepare = [prepare.as_str(), "-D", &data, "-U", "postgres", "-A", "scram-sha-256"];
                let password = format!("--pwfile={}", file("password"));
                let quick = [&password, "--no-locale", "--encoding=UTF8", "--no-sync"];
                let settings = [
                    format!("port={port}"),
                    "listen_addresses=127.0.0.1".into(),
                    format!("unix_socket_directories={}", directory.display()),
                    format!("hba_file={}", file("access")),
                    "max_connections=200".into(),
                    "ssl=on".into(),
                    format!("ssl_ca_file={}", file("ca.crt")),
                    format!("ssl_cert_file={}", file("server.crt")),
                    format!("ssl_key_file={}", file("server.key")),
                ];
                let settings: Vec<_> = settings.iter().flat_map(|setting| ["-c", setting]).collect();
                Recipe {
                    prepare: words(&[user, &prepare, &quick].concat()),
                    start: words(&[user, &[serve.as_str(), "-D", &data], &settings].concat()),
                    crash: "QUIT",
                }
            }
            Self::MariaDb => {
                let user = if root { &["--user=root"][..] } else { &[] };
                let data = format!("--datadir={}", file("data"));
                let temporary = format!("--tmpdir={}", directory.display());
                let own = ["--auth-root-authentication-method=normal", "--skip-test-db", &temporary];
                let settings = [
                    format!("--port={port}"),
                    format!("--socket={}", file("socket")),
                    format!("--pid-file={}", file("pid")),
                    temporary.clone(),
                    format!("--ssl-ca={}", file("ca.crt")),
                    format!("--ssl-cert={}", file("server.crt")),
                    format!("--ssl-key={}", file("server.key")),
                ];
                let settings: Vec<_> = settings.iter().map(String::as_str).collect();
                let fixed = [
                    "--bind-address=127.0.0.1",
                    "--skip-name-resolve",
                    "--max-connections=200",
                    "--innodb-buffer-pool-size=32M",
                    "--innodb-log-file-size=32M",
                    "--innodb-flush-log-at-trx-commit=1",
                ];
                Recipe {
                    prepare: words(&[&[prepare.as_str(), "--no-defaults", &data][..], &own, user].concat()),
                    start: words(&[&[serve.as_str(), "--no-defaults", &data][..], user, &settings, &fixed].concat()),
                    crash: "KILL",
                }
            }
        }
    }

    /// Makes the users, as an administrator says it.
    fn users(self) -> String {
        match self {
            Self::Postgres => format!(
                "CREATE ROLE {USER} LOGIN CREATEDB PASSWORD '{PASSWORD}'; CREATE ROLE {CERTIFIED_USER} LOGIN IN ROLE {USER}"
            ),
            Self::MariaDb => format!(
                "CREATE USER '{USER}' IDENTIFIED BY '{PASSWORD}'; GRANT ALL ON *.* TO '{USER}';
                 CREATE USER '{CERTIFIED_USER}' REQUIRE SUBJECT '/CN={CERTIFIED_USER}';
                 GRANT ALL ON *.* TO '{CERTIFIED_USER}'"
            ),
        }
    }
}

/// Takes orders, and cleans up when nobody can give any.
const WATCHDOG: &str = r#"
    crash=$1 directory=$2 prepare=$3 start=$4
    log=$directory/log
    while read -r order; do
        case $order in
            prepare) eval "$prepare" </dev/null >>"$log" 2>&1 ;;
            start) eval "exec $start" </dev/null >>"$log" 2>&1 & ;;
            crash) kill -s "$crash" $!; wait $! ;;
        esac
        echo $?
    done
    [ -z "$!" ] || kill -s "$crash" $!
    wait
    rm -rf "$directory"
"#;

struct Watchdog {
    shell: Child,
    orders: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Watchdog {
    fn new(recipe: &Recipe, directory: &Path) -> Self {
        let mut shell = Command::new("sh")
            .args(["-c", WATCHDOG, "watchdog", recipe.crash])
            .arg(directory)
            .args([&recipe.prepare, &recipe.start])
            .current_dir(directory)
            // What a terminal sends to this process must not end the one that cleans up after it.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("sh");
        let answers = BufReader::new(shell.stdout.take().expect("stdout"));
        Self {
            orders: shell.stdin.take(),
            answers,
            shell,
        }
    }

    /// Gives an order; returns the exit code when it is carried out.
    fn order(&mut self, order: &str) -> String {
        let orders = self.orders.as_mut().expect("open");
        writeln!(orders, "{order}").expect("order");
        let mut answer = String::new();
        self.answers.read_line(&mut answer).expect("answer");
        answer.trim().to_owned()
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.orders = None;
        // It ends by itself; that it did not would be seen in what is left behind.
        let _ = self.shell.wait();
    }
}

/// A running server. It ends with its owner, or with the process.
pub(crate) struct Server {
    pub(crate) product: Product,
    pub(crate) directory: PathBuf,
    pub(crate) port: u16,
    client: PathBuf,
    databases: AtomicUsize,
    watchdog: Mutex<Watchdog>,
}

impl Server {
    /// The server all tests share, or `None` with a word about it when it is not installed, which is a failure where
    /// everything must be there.
    pub(crate) fn shared(product: Product) -> Option<Arc<Self>> {
        static POSTGRES: OnceLock<Option<Arc<Server>>> = OnceLock::new();
        static MARIADB: OnceLock<Option<Arc<Server>>> = OnceLock::new();
        let server = match product {
            Product::Postgres => &POSTGRES,
            Product::MariaDb => &MARIADB,
        };
        server.get_or_init(|| Self::start(product).map(Arc::new)).clone()
    }

    /// A server of one's own, to do things to that others would not like.
    pub(crate) fn start(product: Product) -> Option<Self> {
        let Some(programs) = find_all(product.programs()) else {
            let package = product.package();
            assert!(
                std::env::var_os("CI").is_none(),
                "{product:?} is not installed (Debian: {package})"
            );
            eprintln!("skipped: {product:?} is not installed (Debian: {package})");
            return None;
        };
        // Somebody else may take the port before the server does.
        let server = (0..3).find_map(|_| Self::launch(product, &programs));
        Some(server.expect("a free port"))
    }

    fn launch(product: Product, programs: &[PathBuf; 3]) -> Option<Self> {
        let directory = tempfile::tempdir().expect("directory").keep();
        let root = fs::metadata(&directory).expect("metadata").uid() == 0;
        let port = free_port();
        let recipe = product.recipe(programs, &directory, port, root);
        let mut watchdog = Watchdog::new(&recipe, &directory);
        write_files(&directory, root && product == Product::Postgres);
        let log = || fs::read_to_string(directory.join("log")).unwrap_or_default();
        assert_eq!(watchdog.order("prepare"), "0", "{}", log());
        watchdog.order("start");
        let server = Self {
            product,
            port,
            client: programs[2].clone(),
            databases: AtomicUsize::new(0),
            watchdog: Mutex::new(watchdog),
            directory: directory.clone(),
        };
        let deadline = Instant::now() + PATIENCE;
        while !server.answers() {
            if log().contains("Address already in use") {
                return None;
            }
            assert!(Instant::now() < deadline, "{product:?} does not start: {}", log());
            std::thread::sleep(Duration::from_millis(20));
        }
        server.administer(&product.users());
        Some(server)
    }

    fn order(&self, order: &str) {
        self.watchdog.lock().expect("watchdog").order(order);
    }

    /// Ends the server as a power failure would, as far as clients can tell.
    pub(crate) fn crash(&self) {
        self.order("crash");
    }

    /// Starts the server again and waits until it answers.
    pub(crate) fn resume(&self) {
        self.order("start");
        let deadline = Instant::now() + PATIENCE;
        while !self.answers() {
            assert!(Instant::now() < deadline, "{:?} does not start again", self.product);
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn answers(&self) -> bool {
        self.client("", "SELECT 1").output().expect("client").status.success()
    }

    /// Makes an empty database and returns its name.
    pub(crate) fn create_database(&self) -> String {
        let name = format!("test_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        let owner = match self.product {
            Product::Postgres => format!(" OWNER {USER}"),
            Product::MariaDb => String::new(),
        };
        self.administer(&format!("CREATE DATABASE {name}{owner}"));
        name
    }

    /// Removes a database, whoever still uses it.
    pub(crate) fn drop_database(&self, name: &str) {
        let force = match self.product {
            Product::Postgres => " WITH (FORCE)",
            Product::MariaDb => "",
        };
        self.administer(&format!("DROP DATABASE IF EXISTS {name}{force}"));
    }

    fn administer(&self, sql: &str) {
        self.query("", sql);
    }

    /// Runs statements in a database as an administrator; returns the rows.
    pub(crate) fn query(&self, database: &str, sql: &str) -> Vec<Vec<String>> {
        let output = self.client(database, sql).output().expect("client");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{sql}: {said}");
        let rows = String::from_utf8_lossy(&output.stdout);
        rows.lines()
            .map(|line| line.split('\t').map(str::to_owned).collect())
            .collect()
    }

    /// The product's own client, over the server's socket, saying rows as lines of fields between tabs.
    fn client(&self, database: &str, sql: &str) -> Command {
        let mut command = Command::new(&self.client);
        command.stdin(Stdio::null());
        match self.product {
            Product::Postgres => {
                let database = if database.is_empty() { "postgres" } else { database };
                command
                    .arg("--host")
                    .arg(&self.directory)
                    .args(["--port", &self.port.to_string(), "--username=postgres", "--no-password"])
                    .args(["-XAtq", "--field-separator=\t", "--set=ON_ERROR_STOP=1"])
                    .args(["--dbname", database, "--command", sql])
                    .env("PGOPTIONS", "--client-min-messages=warning -c bytea_output=escape");
            }
            Product::MariaDb => {
                command
                    .arg("--no-defaults")
                    .arg(format!("--socket={}", self.directory.join("socket").display()))
                    .args(["--user=root", "-NB", &format!("--execute={sql}"), database]);
            }
        }
        command
    }

    /// A file the server was set up with: `ca.crt`, and `client.crt` and `client.key` of the user without password.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }
}

/// Certificates, and who may log in to PostgreSQL.
fn write_files(directory: &Path, for_nobody: bool) {
    let authority = Authority::generate("databases").expect("authority");
    let server = Profile::server("localhost", ["localhost", "127.0.0.1"]);
    let server = authority.issue(&server).expect("server certificate");
    let client = Profile::client(CERTIFIED_USER, [] as [&str; 0]);
    let client = authority.issue(&client).expect("client certificate");
    let access = format!(
        "local all postgres trust\nlocal all all scram-sha-256\n\
         hostssl all {CERTIFIED_USER} 127.0.0.1/32 cert\nhost all all 127.0.0.1/32 scram-sha-256\n"
    );
    let files = [
        ("ca.crt", authority.certificate()),
        ("server.crt", &server.certificate),
        ("server.key", server.key.as_str()),
        ("client.crt", &client.certificate),
        ("client.key", client.key.as_str()),
        ("access", &access),
        ("password", PASSWORD),
    ];
    for (name, content) in files {
        let path = directory.join(name);
        fs::write(&path, content).expect("write");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("permissions");
        if for_nobody {
            chown(&path, Some(NOBODY), Some(NOBODY)).expect("owner");
        }
    }
    if for_nobody {
        chown(directory, Some(NOBODY), Some(NOBODY)).expect("owner");
    }
}

/// The user that owns nothing, and its group.
const NOBODY: u32 = 65534;

fn find_all(programs: [&str; 3]) -> Option<[PathBuf; 3]> {
    let [first, second, third] = programs.map(find);
    Some([first?, second?, third?])
}

/// Finds a program where a shell does, and where Debian puts servers.
fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut directories: Vec<PathBuf> = std::env::split_paths(&path).collect();
    directories.push("/usr/sbin".into());
    let mut versions: Vec<_> = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .filter_map(Result::ok)
        .map(|entry| entry.path().join("bin"))
        .collect();
    versions.sort();
    directories.extend(versions.into_iter().rev());
    directories
        .into_iter()
        .map(|directory| directory.join(program))
        .find(|file| file.exists())
}

/// Words of a shell command.
fn words(words: &[&str]) -> String {
    let quoted: Vec<_> = words
        .iter()
        .map(|word| format!("'{}'", word.replace('\'', r"'\''")))
        .collect();
    quoted.join(" ")
}

fn comes_back_after_a_crash(product: Product) {
    let Some(server) = Server::start(product) else { return };
    let database = server.create_database();
    server.query(&database, "CREATE TABLE t (a INTEGER, b VARCHAR(9))");
    server.query(&database, "INSERT INTO t VALUES (1, 'x'), (2, 'y')");
    server.crash();
    assert!(!server.answers());
    server.resume();
    let rows = server.query(&database, "SELECT a, b FROM t ORDER BY a");
    assert_eq!(rows, [["1", "x"], ["2", "y"]]);
    let directory = server.directory.clone();
    drop(server);
    assert!(!directory.exists(), "nothing is left behind");
}

#[test]
fn postgres_comes_back_after_a_crash() {
    comes_back_after_a_crash(Product::Postgres);
}

#[test]
fn mariadb_comes_back_after_a_crash() {
    comes_back_after_a_crash(Product::MariaDb);
}
