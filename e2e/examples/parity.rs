//! `make parity`: replays recorded exchanges with a kube-apiserver against our own server on an empty store; the replayer
//! prints how many of each suite are answered alike, and the sum.
//!
//! The recording is a directory with `replay.py`; nothing else here depends on it.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, ensure};
use clap::Parser;
use e2e::standalone::{ServerKind, Site, StoreKind, compact};
use e2e::suite::binary;

/// The API server beside a recording of a real one
#[derive(Debug, Parser)]
struct Options {
    /// The directory of the recording, with its replay.py
    #[arg(long, value_name = "DIRECTORY", required_unless_present = "compact")]
    dir: Option<PathBuf>,

    /// Only compact the store at this URL: what the replayer calls where history has to be gone
    #[arg(long, value_name = "URL")]
    compact: Option<String>,

    /// For the replayer, such as --suite NAME, --show SUITE/ID, --json FILE, --quiet
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    replayer: Vec<String>,
}

fn main() -> ExitCode {
    chassis::tls::install_provider();
    let options = Options::parse();
    let run = || -> Result<bool> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            match (&options.compact, &options.dir) {
                (Some(address), _) => compact(address).await.map(|()| true),
                (None, Some(dir)) => replay(dir, &options.replayer).await,
                (None, None) => Ok(false),
            }
        })
    };
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("parity: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// Whether everything was answered alike.
async fn replay(dir: &Path, arguments: &[String]) -> Result<bool> {
    let script = dir.join("replay.py");
    ensure!(
        script.is_file(),
        "there is no recording in {}: let PARITY_DIR name the directory that has replay.py",
        dir.display()
    );
    let mut site = Site::new()?;
    sign_with_rsa(&site.path("pki"))?;
    let store = site.store("store", &StoreKind::KineShim(binary("kine-shim")?)).await?;
    let ours = ServerKind::Ours(binary("apiserver")?);
    let server = site.server("apiserver", &ours, &store, &[]).await?;
    let (certificate, key) = site.administrator();
    let own = std::env::current_exe().context("cannot find this program's own file")?;
    let mut replayer = Command::new("python3");
    replayer.arg(&script).arg("--insecure").args(["--server", &server.url]);
    replayer.arg("--cert").arg(certificate).arg("--key").arg(key);
    let compact = format!("{} --compact {}", own.display(), store.address);
    replayer.args(["--compact-cmd", &compact]).args(arguments);
    let status = replayer.status().context("python3 cannot be started")?;
    server.program.stop().await?;
    store.program.stop().await?;
    Ok(status.success())
}

/// The tokens of the recording are signed with RSA: makes such keys instead of those in the directory.
fn sign_with_rsa(pki: &Path) -> Result<()> {
    let make = [
        "genpkey",
        "-algorithm",
        "RSA",
        "-pkeyopt",
        "rsa_keygen_bits:2048",
        "-out",
        "sa.key",
    ];
    let publish = ["pkey", "-in", "sa.key", "-pubout", "-out", "sa.pub"];
    for arguments in [&make[..], &publish] {
        let output = Command::new("openssl").args(arguments).current_dir(pki).output();
        let output = output.context("openssl cannot be started")?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "openssl makes no key: {said}");
    }
    Ok(())
}
