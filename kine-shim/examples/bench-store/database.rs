//! Database servers of the benchmark's own, as they are by default: every commit durable.

use std::{
    fs,
    os::unix::{fs::chown, process::CommandExt},
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};

use crate::{
    peer::in_path,
    process::{Process, free_port},
};

/// What a store keeps its data in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Database {
    /// A file of the store's own.
    File,
    Postgres,
    MariaDb,
}

/// A running database server; it ends when dropped.
#[derive(Debug)]
pub(crate) struct Server {
    kind: Database,
    port: u16,
    process: Process,
}

impl Database {
    /// Why the server cannot be started on this machine.
    pub(crate) fn missing(self) -> Option<&'static str> {
        match self {
            Self::Postgres if postgres("initdb").is_none() => Some("PostgreSQL is not installed"),
            Self::MariaDb if mariadb("mariadbd").is_none() => Some("MariaDB is not installed"),
            _ => None,
        }
    }

    /// Starts an empty server with its data in `directory`; none is needed for a file.
    pub(crate) fn start(self, directory: &Path) -> Result<Option<Server>> {
        let (port, log) = (free_port()?, directory.join("log"));
        let mut command = match self {
            Self::File => return Ok(None),
            Self::Postgres => prepare_postgres(directory, port)?,
            Self::MariaDb => prepare_mariadb(directory, port)?,
        };
        let mut process = Process::start(&mut command, &log)?;
        process.wait_for(port, &log)?;
        if self == Self::Postgres {
            wait_until_started(port)?;
        }
        let server = Server {
            kind: self,
            port,
            process,
        };
        Ok(Some(server))
    }
}

impl Server {
    /// The endpoint to give to a store; kine writes MySQL's in a form of its own.
    pub(crate) fn endpoint(&self, for_kine: bool) -> String {
        let port = self.port;
        match self.kind {
            Database::MariaDb if for_kine => format!("mysql://root@tcp(127.0.0.1:{port})/kine"),
            Database::MariaDb => format!("mysql://root@127.0.0.1:{port}/kine"),
            Database::Postgres | Database::File => format!("postgres://postgres@127.0.0.1:{port}/kine?sslmode=disable"),
        }
    }

    /// Processor time so far, in seconds.
    pub(crate) fn cpu(&self) -> f64 {
        self.process.cpu()
    }
}

fn prepare_postgres(directory: &Path, port: u16) -> Result<Command> {
    let data = directory.join("data");
    fs::create_dir_all(directory)?;
    let owner = Owner::new("postgres")?;
    owner.give(directory)?;
    let mut init = Command::new(postgres("initdb").context("initdb is gone")?);
    init.args(["--username=postgres", "--auth=trust", "--encoding=UTF8", "-D"])
        .arg(&data);
    run(owner.runs(&mut init))?;
    let mut command = Command::new(postgres("postgres").context("postgres is gone")?);
    command.arg("-D").arg(&data).arg("-k").arg(directory);
    // kine opens a connection per request unless it is told not to.
    command.args([
        "-p",
        &port.to_string(),
        "-c",
        "listen_addresses=127.0.0.1",
        "-c",
        "max_connections=1200",
    ]);
    owner.runs(&mut command);
    Ok(command)
}

/// PostgreSQL listens before it lets anybody in.
fn wait_until_started(port: u16) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(60);
    let probe = postgres("pg_isready").context("pg_isready is not installed")?;
    let mut ready = Command::new(probe);
    ready.args(["--quiet", "--host=127.0.0.1", &format!("--port={port}")]);
    while !ready.status()?.success() {
        ensure!(Instant::now() < deadline, "PostgreSQL does not start");
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

fn prepare_mariadb(directory: &Path, port: u16) -> Result<Command> {
    let data = directory.join("data");
    fs::create_dir_all(directory)?;
    let owner = Owner::new("mysql")?;
    owner.give(directory)?;
    let mut init = Command::new(mariadb("mariadb-install-db").context("mariadb-install-db is gone")?);
    init.args([
        "--no-defaults",
        "--auth-root-authentication-method=normal",
        "--skip-test-db",
    ]);
    init.arg(format!("--datadir={}", data.display()));
    run(owner.runs(&mut init))?;
    let mut command = Command::new(mariadb("mariadbd").context("mariadbd is gone")?);
    command.args(["--no-defaults", "--bind-address=127.0.0.1", "--max-connections=1200"]);
    command.arg(format!("--port={port}"));
    command.arg(format!("--datadir={}", data.display()));
    command.arg(format!("--socket={}", directory.join("socket").display()));
    owner.runs(&mut command);
    Ok(command)
}

/// The user a server runs as: these refuse to run as root.
struct Owner(Option<(u32, u32)>);

impl Owner {
    fn new(user: &str) -> Result<Self> {
        let number = |arguments: &[&str]| -> Result<u32> {
            let output = Command::new("id").args(arguments).output().context("cannot run id")?;
            ensure!(output.status.success(), "there is no user {user}");
            Ok(String::from_utf8_lossy(&output.stdout).trim().parse()?)
        };
        if number(&["-u"])? != 0 {
            return Ok(Self(None));
        }
        Ok(Self(Some((number(&["-u", user])?, number(&["-g", user])?))))
    }

    fn give(&self, directory: &Path) -> Result<()> {
        match self.0 {
            Some((user, group)) => Ok(chown(directory, Some(user), Some(group))?),
            None => Ok(()),
        }
    }

    fn runs<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        match self.0 {
            Some((user, group)) => command.uid(user).gid(group),
            None => command,
        }
    }
}

fn run(command: &mut Command) -> Result<()> {
    let output = command.current_dir("/").output()?;
    let text = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "a database cannot be set up: {text}");
    Ok(())
}

/// Debian keeps the programs of each version of PostgreSQL in a directory of its own.
fn postgres(program: &str) -> Option<PathBuf> {
    let mut versions: Vec<PathBuf> = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path().join("bin").join(program)))
        .filter(|file| file.is_file())
        .collect();
    versions.sort();
    versions.pop().or_else(|| in_path(program))
}

fn mariadb(program: &str) -> Option<PathBuf> {
    in_path(program).or_else(|| Some(Path::new("/usr/sbin").join(program)).filter(|file| file.is_file()))
}
