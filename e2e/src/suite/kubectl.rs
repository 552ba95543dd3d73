//! Stock kubectl, as users have it.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::world::succeeded;

/// kubectl with a kubeconfig. The environment variable KUBECTL names another binary than the one in PATH.
#[derive(Debug, Clone)]
pub struct Kubectl {
    program: PathBuf,
    kubeconfig: PathBuf,
    namespace: Option<String>,
    environment: Vec<(&'static str, &'static str)>,
}

impl Kubectl {
    /// kubectl for the cluster of a kubeconfig.
    pub fn new(kubeconfig: &Path) -> Self {
        let program = std::env::var_os("KUBECTL").unwrap_or_else(|| "kubectl".into());
        Self {
            program: program.into(),
            kubeconfig: kubeconfig.to_path_buf(),
            namespace: None,
            environment: Vec::new(),
        }
    }

    /// The same for a namespace, unless a command names another.
    pub fn in_namespace(mut self, namespace: &str) -> Self {
        self.namespace = Some(namespace.to_string());
        self
    }

    /// The same with a variable in its environment.
    pub fn with_environment(mut self, name: &'static str, value: &'static str) -> Self {
        self.environment.push((name, value));
        self
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        if let Some(namespace) = &self.namespace {
            command.args(["--namespace", namespace]);
        }
        command
            .args(arguments)
            .env("KUBECONFIG", &self.kubeconfig)
            .envs(self.environment.iter().copied())
            .stdin(Stdio::null());
        command
    }

    fn output(&self, arguments: &[&str]) -> Result<Output> {
        self.command(arguments)
            .output()
            .with_context(|| format!("cannot start {}", self.program.display()))
    }

    /// Standard output of a command that must succeed.
    ///
    /// # Errors
    /// It fails; carries everything it said.
    pub fn run(&self, arguments: &[&str]) -> Result<String> {
        succeeded(&self.output(arguments)?).with_context(|| format!("kubectl {}", arguments.join(" ")))
    }

    /// Exit status and standard error of a command that must fail.
    ///
    /// # Errors
    /// It succeeds.
    pub fn fails(&self, arguments: &[&str]) -> Result<(i32, String)> {
        let output = self.output(arguments)?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(!output.status.success(), "kubectl {} should fail", arguments.join(" "));
        Ok((output.status.code().unwrap_or(-1), said))
    }

    /// The answer to `get … -o json`, parsed.
    ///
    /// # Errors
    /// The command fails or says something else than JSON.
    pub fn json(&self, arguments: &[&str]) -> Result<Value> {
        let text = self.run(&[arguments, &["-o", "json"]].concat())?;
        serde_json::from_str(&text).with_context(|| format!("kubectl {} -o json", arguments.join(" ")))
    }

    /// Objects of a list by name.
    ///
    /// # Errors
    /// See [`Kubectl::json`].
    pub fn names(&self, arguments: &[&str]) -> Result<Vec<String>> {
        let list = self.json(arguments)?;
        let items = list["items"]
            .as_array()
            .with_context(|| format!("kubectl {} is no list", arguments.join(" ")))?;
        let name = |item: &Value| item["metadata"]["name"].as_str().unwrap_or_default().to_string();
        Ok(items.iter().map(name).collect())
    }

    /// Runs a command with `text` on its standard input; output when it succeeds.
    ///
    /// # Errors
    /// It fails.
    pub fn with_input(&self, arguments: &[&str], text: &str) -> Result<String> {
        let mut command = self.command(arguments);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command
            .spawn()
            .with_context(|| format!("cannot start {}", self.program.display()))?;
        if let Some(mut stdin) = child.stdin.take() {
            stdin
                .write_all(text.as_bytes())
                .context("kubectl does not read its input")?;
        }
        let output = child.wait_with_output().context("kubectl vanished")?;
        succeeded(&output).with_context(|| format!("kubectl {}", arguments.join(" ")))
    }

    /// Runs a command with this editor; output when it succeeds.
    ///
    /// # Errors
    /// It fails.
    pub fn edit(&self, editor: &str, arguments: &[&str]) -> Result<String> {
        let output = self.command(arguments).env("KUBE_EDITOR", editor).output();
        succeeded(&output.with_context(|| format!("cannot start {}", self.program.display()))?)
    }

    /// Standard error of a command that must succeed: what it says about its requests.
    ///
    /// # Errors
    /// It fails.
    pub fn traced(&self, arguments: &[&str]) -> Result<String> {
        let output = self.output(arguments)?;
        succeeded(&output)?;
        Ok(String::from_utf8_lossy(&output.stderr).into_owned())
    }

    /// `kubectl apply -f -`.
    ///
    /// # Errors
    /// It fails.
    pub fn apply(&self, manifest: &str) -> Result<String> {
        self.with_input(&["apply", "-f", "-"], manifest)
    }

    /// Starts a command that runs until it is dropped.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn background(&self, arguments: &[&str]) -> Result<Background> {
        let mut command = self.command(arguments);
        command.stdout(Stdio::piped()).stderr(Stdio::inherit());
        let mut child = command
            .spawn()
            .with_context(|| format!("cannot start {}", self.program.display()))?;
        let stdout = child.stdout.take().context("kubectl has no output")?;
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Ok(Background { child, lines })
    }
}

/// A running kubectl; killed when dropped.
#[derive(Debug)]
pub struct Background {
    child: Child,
    lines: mpsc::Receiver<String>,
}

impl Background {
    /// Waits for a line that contains `text`.
    ///
    /// # Errors
    /// None comes within 30 s; carries the lines seen.
    pub fn line(&self, text: &str) -> Result<String> {
        let mut seen = Vec::new();
        loop {
            match self.lines.recv_timeout(Duration::from_secs(30)) {
                Ok(line) if line.contains(text) => return Ok(line),
                Ok(line) => seen.push(line),
                Err(_) => bail!("no line with {text:?}, only: {}", seen.join("\n")),
            }
        }
    }

    /// Waits for the end of the output and of the process; success or not.
    ///
    /// # Errors
    /// It does not end within 60 s.
    pub fn end(mut self) -> Result<bool> {
        let deadline = std::time::Instant::now() + Duration::from_secs(60);
        loop {
            if let Some(status) = self.child.try_wait().context("kubectl vanished")? {
                return Ok(status.success());
            }
            ensure!(std::time::Instant::now() < deadline, "kubectl does not end");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
