//! The program that releases charts. It learns of secrets through files that only this process may read, never through its
//! arguments, and what it says is handed on without them.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use tracing::debug;

/// What of our environment is the program's, too: how to get to the outside.
const ENVIRONMENT: [&str; 9] = [
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "NO_PROXY",
    "PATH",
    "SSL_CERT_DIR",
    "SSL_CERT_FILE",
    "http_proxy",
    "https_proxy",
    "no_proxy",
];
/// How long it may take to look something up.
const LOOK: Duration = Duration::from_secs(60);
/// How much longer than it was told it may take, before it is killed.
const GRACE: Duration = Duration::from_secs(5);
/// How much of what it says is kept, in bytes: the end says what went wrong.
const LONGEST: usize = 2048;

/// Helm with a cluster, and a directory of its own.
#[derive(Debug)]
pub(super) struct Helm {
    program: PathBuf,
    kubeconfig: PathBuf,
    home: TempDir,
}

/// What Helm knows of a release.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Release {
    /// How its last revision went, such as `deployed` or `pending-install`.
    pub(super) state: String,
    /// The number of that revision.
    pub(super) revision: u64,
}

impl Helm {
    /// The program, for a cluster.
    ///
    /// # Errors
    /// There is no place for its files; the sentence says which.
    pub(super) fn new(program: &Path, kubeconfig: &Path) -> Result<Self, String> {
        let place = std::env::temp_dir();
        // Readable by nobody else.
        let home = tempfile::Builder::new()
            .prefix("vcluster-charts-")
            .tempdir_in(&place)
            .map_err(|error| format!("cannot make a directory for charts in {}: {error}", place.display()))?;
        let absolute =
            |path: &Path| std::path::absolute(path).map_err(|error| format!("cannot find {}: {error}", path.display()));
        Ok(Self {
            program: absolute(program)?,
            kubeconfig: absolute(kubeconfig)?,
            home,
        })
    }

    /// The directory of its own, which goes with it.
    pub(super) fn home(&self) -> &Path {
        self.home.path()
    }

    /// A release; `None` when there is none of that name.
    pub(super) async fn status(&self, name: &str, namespace: &str) -> Result<Option<Release>, String> {
        let call = Call::of(&["status", name, "--output=json"]).on(self, namespace);
        let said = match self.run(call, LOOK).await {
            Err(problem) if problem.contains("release: not found") => return Ok(None),
            said => said?,
        };
        let known: Value = serde_json::from_str(&said).map_err(|error| format!("helm status says no JSON: {error}"))?;
        Ok(Some(Release {
            state: known["info"]["status"].as_str().unwrap_or_default().to_owned(),
            revision: known["version"].as_u64().unwrap_or_default(),
        }))
    }

    /// Runs a command that may take so long; returns what it prints.
    pub(super) async fn act(&self, call: Call, timeout: Duration) -> Result<String, String> {
        let told = format!("--timeout={}ms", timeout.as_millis().max(1));
        self.run(call.and(&[&told]), timeout.saturating_add(GRACE)).await
    }

    /// Runs a command that cannot be told how long it may take.
    pub(super) async fn run(&self, call: Call, limit: Duration) -> Result<String, String> {
        let Call {
            arguments,
            input,
            secrets,
        } = call;
        let verb = arguments
            .first()
            .map_or_else(String::new, |verb| verb.to_string_lossy().into_owned());
        debug!(?arguments, "helm");
        let mut command = Command::new(&self.program);
        command
            .args(&arguments)
            .current_dir(self.home.path())
            .env_clear()
            .envs(
                ENVIRONMENT
                    .iter()
                    .filter_map(|name| Some((name, std::env::var_os(name)?))),
            )
            .env("HOME", self.home.path())
            .env("HELM_CACHE_HOME", self.home.path().join("cache"))
            .env("HELM_CONFIG_HOME", self.home.path().join("config"))
            .env("HELM_DATA_HOME", self.home.path().join("data"))
            .env("HELM_NO_PLUGINS", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let mut child = command
            .spawn()
            .map_err(|error| format!("cannot start {}: {error}", self.program.display()))?;
        let pipe = child.stdin.take();
        let talk = async {
            if let Some(mut pipe) = pipe {
                // Whoever does not read ends with an error of its own.
                let _ = pipe.write_all(input.as_bytes()).await;
            }
        };
        let ended = async { tokio::join!(talk, child.wait_with_output()).1 };
        let output = match tokio::time::timeout(limit, ended).await {
            Ok(output) => output.map_err(|error| format!("cannot wait for helm {verb}: {error}"))?,
            Err(_) => return Err(format!("helm {verb} has not ended after {} seconds", limit.as_secs())),
        };
        let text = |bytes: &[u8]| hidden(String::from_utf8_lossy(bytes).into_owned(), &secrets);
        if output.status.success() {
            return Ok(text(&output.stdout));
        }
        // Why an index cannot be read is said where what works is said.
        let said = [text(&output.stdout), text(&output.stderr)].concat();
        let said = said.trim();
        let end = (0..said.len()).find(|at| said.len() - at <= LONGEST && said.is_char_boundary(*at));
        let said = &said[end.unwrap_or_default()..];
        Err(match said {
            "" => format!("helm {verb}: {}", output.status),
            said => format!("helm {verb}: {}", said.trim_start_matches("Error: ")),
        })
    }
}

/// Puts stars in the place of every secret.
fn hidden(text: String, secrets: &[String]) -> String {
    let known = secrets.iter().filter(|secret| !secret.is_empty());
    known.fold(text, |text, secret| text.replace(secret.as_str(), "***"))
}

/// A command line, what it reads, and what nobody shall see of what it says.
#[derive(Clone, Default)]
pub(super) struct Call {
    arguments: Vec<OsString>,
    input: String,
    secrets: Vec<String>,
}

impl Call {
    pub(super) fn of(arguments: &[&str]) -> Self {
        Self::default().and(arguments)
    }

    pub(super) fn and(mut self, arguments: &[&str]) -> Self {
        self.arguments.extend(arguments.iter().map(OsString::from));
        self
    }

    /// A flag that names a file.
    pub(super) fn file(mut self, flag: &str, path: &Path) -> Self {
        self.arguments.push(flag.into());
        self.arguments.push(path.into());
        self
    }

    /// On a cluster.
    pub(super) fn on(self, helm: &Helm, namespace: &str) -> Self {
        self.file("--kubeconfig", &helm.kubeconfig)
            .and(&["--namespace", namespace])
    }

    pub(super) fn reads(mut self, input: &str) -> Self {
        self.input = input.to_owned();
        self
    }

    pub(super) fn hides(mut self, secrets: &[String]) -> Self {
        self.secrets = secrets.to_vec();
        self
    }
}
