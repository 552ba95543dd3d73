//! Who is measured. A further store, or a further database below one, is one line in [`PEERS`].

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};

use crate::{
    Options,
    database::{Database, Server},
    process::{Process, free_port},
};

/// A program that speaks etcd's API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Program {
    /// Ours.
    Shim,
    /// An older build of ours, to compare with.
    Before,
    Etcd,
    /// As it is by default: on SQLite its commits are not durable at once.
    Kine,
    /// On SQLite with durable commits, as ours are.
    DurableKine,
}

/// A program with its database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Peer {
    pub(crate) name: &'static str,
    pub(crate) program: Program,
    pub(crate) database: Database,
}

/// Every peer. The first one of each database is what the others on it are compared with.
pub(crate) const PEERS: &[Peer] = &[
    peer("kine-shim", Program::Shim, Database::File),
    peer("before", Program::Before, Database::File),
    peer("etcd", Program::Etcd, Database::File),
    peer("kine", Program::Kine, Database::File),
    peer("kine-shim postgres", Program::Shim, Database::Postgres),
    peer("kine durable", Program::DurableKine, Database::File),
    peer("kine postgres", Program::Kine, Database::Postgres),
    peer("kine-shim mariadb", Program::Shim, Database::MariaDb),
    peer("kine mariadb", Program::Kine, Database::MariaDb),
];

/// kine's own options for SQLite, but for synchronous=NORMAL.
const DURABLE: &str =
    "_journal_mode=WAL&_busy_timeout=30000&_synchronous=FULL&_txlock=immediate&_stmt_cache_size=20&cache=shared";

const fn peer(name: &'static str, program: Program, database: Database) -> Peer {
    Peer {
        name,
        program,
        database,
    }
}

/// A peer that runs.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) peer: Peer,
    /// Host and port.
    pub(crate) address: String,
    process: Process,
    /// Ends after the process that uses it.
    database: Option<Server>,
}

impl Peer {
    /// The binary, `None` when it is not there.
    pub(crate) fn binary(&self, options: &Options) -> Option<PathBuf> {
        let binary = match self.program {
            Program::Shim => options.kine_shim.clone().or_else(beside),
            Program::Before => options.before.clone(),
            Program::Etcd => options.etcd.clone().or_else(|| in_path("etcd")),
            Program::Kine | Program::DurableKine => options.kine.clone().or_else(|| in_path("kine")),
        };
        binary.filter(|binary| binary.is_file())
    }

    /// Starts the peer on an empty database in `directory`.
    pub(crate) fn start(&self, options: &Options, directory: &Path) -> Result<Running> {
        fs::create_dir_all(directory)?;
        let binary = self.binary(options).context("the binary is gone")?;
        let database = self.database.start(&directory.join("database"))?;
        let port = free_port()?;
        let log = directory.join("log");
        let endpoint = match &database {
            Some(server) => server.endpoint(self.program == Program::Kine),
            // kine's own choice of a file and of the driver's options: write-ahead log, synchronous=NORMAL.
            None if self.program == Program::Kine => String::new(),
            None if self.program == Program::DurableKine => format!("sqlite://state.db?{DURABLE}"),
            None => format!("sqlite://{}", directory.join("state.db").display()),
        };
        let mut command = Command::new(binary);
        match self.program {
            Program::Shim | Program::Before => {
                command.args(["--endpoint", &endpoint, "--log-level", "warn"]);
                command.args(["--listen-address", &format!("tcp://127.0.0.1:{port}")]);
            }
            Program::Kine | Program::DurableKine => {
                command.args(["--endpoint", &endpoint, "--metrics-bind-address", "0"]);
                command.args(["--listen-address", &format!("tcp://127.0.0.1:{port}")]);
            }
            Program::Etcd => {
                let (client, peer) = (url(port), url(free_port()?));
                command.arg("--data-dir").arg(directory.join("etcd"));
                command.args(["--listen-client-urls", &client, "--advertise-client-urls", &client]);
                command.args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer]);
                command.args(["--initial-cluster", &format!("default={peer}")]);
                command.args(["--quota-backend-bytes", "16000000000", "--log-level", "error"]);
            }
        }
        let mut process = Process::start(command.current_dir(directory), &log)?;
        process.wait_for(port, &log)?;
        Ok(Running {
            peer: *self,
            address: format!("127.0.0.1:{port}"),
            process,
            database,
        })
    }
}

impl Running {
    /// Processor time of the peer and its database so far, in seconds.
    pub(crate) fn cpu(&self) -> f64 {
        self.process.cpu() + self.database.as_ref().map_or(0.0, Server::cpu)
    }

    /// Resident memory of the peer, without that of a database server, in bytes.
    pub(crate) fn memory(&self) -> u64 {
        self.process.memory()
    }
}

fn url(port: u16) -> String {
    format!("http://127.0.0.1:{port}")
}

/// The binary cargo built together with this one: examples are in a directory of their own below it.
fn beside() -> Option<PathBuf> {
    Some(env::current_exe().ok()?.parent()?.parent()?.join("kine-shim"))
}

pub(crate) fn in_path(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path)
        .map(|directory| directory.join(name))
        .find(|file| file.is_file())
}
