//! Every binary at the command line: versions, help, and what it says about flags and files that it cannot use.

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use e2e::suite::binary;

const SERVICES: [&str; 6] = [
    "apiserver",
    "controller-manager",
    "scheduler",
    "syncer",
    "kine-shim",
    "dns",
];
/// None of the commands below may run on.
const PATIENCE: Duration = Duration::from_secs(30);

fn start(name: &str, arguments: &[&str], dir: &Path) -> Result<Output> {
    let mut command = Command::new(binary(name)?);
    command.args(arguments).current_dir(dir).stdin(Stdio::null());
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let began = Instant::now();
    while child.try_wait()?.is_none() {
        if began.elapsed() > PATIENCE {
            child.kill()?;
            bail!("{name} {arguments:?} does not end");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    child.wait_with_output().context("the output is lost")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn every_binary_has_a_version_and_help() {
    let dir = tempfile::tempdir().unwrap();
    for name in SERVICES.into_iter().chain(["vcluster"]) {
        let version = start(name, &["--version"], dir.path()).unwrap();
        assert_eq!(
            text(&version.stdout).trim(),
            format!("{name} {}", env!("CARGO_PKG_VERSION"))
        );
        let help = start(name, &["--help"], dir.path()).unwrap();
        let said = text(&help.stdout);
        assert!(help.status.success() && said.contains("Usage: "), "{name}: {said}");
        let wide = said.lines().find(|line| line.chars().count() > 120);
        assert_eq!(wide, None, "{name}'s help does not fit a terminal");
    }
}

#[test]
fn every_flag_of_a_service_is_explained() {
    let dir = tempfile::tempdir().unwrap();
    for name in SERVICES {
        let said = text(&start(name, &["--help"], dir.path()).unwrap().stdout);
        let mut lines = said.lines().peekable();
        while let Some(line) = lines.next() {
            let flag = line.trim_start();
            // Deeper lines are text, which may begin with the name of another flag.
            if line.len() - flag.len() > 6 || !["--", "-h,", "-V,"].iter().any(|start| flag.starts_with(start)) {
                continue;
            }
            // The explanation stands behind the flag, or on the next line when that is too long.
            let beside = flag.split_once("  ").is_some_and(|(_, words)| !words.trim().is_empty());
            let below = lines.peek().is_some_and(|next| {
                let words = next.trim();
                !words.is_empty() && !words.starts_with('-')
            });
            assert!(beside || below, "{name}: {flag} is not explained");
        }
    }
}

#[test]
fn what_cannot_be_used_is_named_in_one_sentence() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, content: &str| std::fs::write(dir.path().join(name), content).unwrap();
    write("broken.yaml", "a: ]");
    write("other.yaml", "apiVersion: v1\nkind: ConfigMap\n");
    write(
        "broken.pem",
        "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n",
    );
    write("broken.db", &"this is no database. ".repeat(100));
    write("Corefile.open", ". {\n    errors\n");
    write("Corefile.unknown", ". {\n    errors\n    nonsense\n}\n");
    let store = "--etcd-servers=http://127.0.0.1:1";
    let syncer = ["--name=vc", "--target-namespace=host", store];
    // The service, its arguments, and the words that lead to the mistake.
    let table: &[(&str, &[&str], &[&str])] = &[
        ("kine-shim", &["--nonsense"], &["--nonsense"]),
        (
            "kine-shim",
            &["--endpoint=sqlite://new.db", "--listen-address=tcp://0.0.0.0:0"],
            &["--listen-address", "--trusted-ca-file"],
        ),
        ("kine-shim", &["--endpoint=ftp://x"], &["--endpoint", "ftp"]),
        (
            "kine-shim",
            &["--endpoint=sqlite://broken.db", "--listen-address=tcp://127.0.0.1:0"],
            &["--endpoint", "broken.db"],
        ),
        (
            "kine-shim",
            &["--endpoint=sqlite://new.db", "--listen-address=nonsense"],
            &["--listen-address", "nonsense"],
        ),
        ("apiserver", &[], &["--etcd-servers"]),
        ("apiserver", &["--etcd-servers=ftp://x"], &["--etcd-servers", "ftp://x"]),
        (
            "apiserver",
            &[store, "--secure-port=99999"],
            &["--secure-port", "99999"],
        ),
        (
            "apiserver",
            &[store, "--service-cluster-ip-range=10.0.0.0/99"],
            &["--service-cluster-ip-range", "10.0.0.0/99"],
        ),
        (
            "apiserver",
            &[store, "--tls-cert-file=none.crt", "--tls-private-key-file=none.key"],
            &["--tls-cert-file", "none.crt"],
        ),
        (
            "apiserver",
            &[
                store,
                "--secure-port=0",
                "--client-ca-file=broken.pem",
                "--cert-dir=certs",
            ],
            &["--client-ca-file", "broken.pem"],
        ),
        (
            "controller-manager",
            &["--kubeconfig=none.yaml"],
            &["--kubeconfig", "none.yaml"],
        ),
        (
            "controller-manager",
            &["--kubeconfig=broken.yaml"],
            &["--kubeconfig", "broken.yaml", "line 1"],
        ),
        (
            "scheduler",
            &["--kubeconfig=broken.yaml"],
            &["--kubeconfig", "broken.yaml", "line 1"],
        ),
        (
            "scheduler",
            &["--kubeconfig=other.yaml"],
            &["--kubeconfig", "other.yaml"],
        ),
        (
            "syncer",
            &[syncer[0], syncer[1], syncer[2], "--kubeconfig=broken.yaml"],
            &["--kubeconfig", "broken.yaml", "line 1"],
        ),
        (
            "syncer",
            &[
                "--name=vc",
                "--target-namespace=Not_A_Name",
                store,
                "--kubeconfig=none.yaml",
            ],
            &["--target-namespace", "Not_A_Name"],
        ),
        ("dns", &["--conf=none"], &["--conf", "none"]),
        ("dns", &["--conf=Corefile.open"], &["Corefile.open:"]),
        ("dns", &["--conf=Corefile.unknown"], &["Corefile.unknown:3", "nonsense"]),
        ("vcluster", &["nonsense"], &["nonsense"]),
        ("vcluster", &["playground", "up", "--nodes=300"], &["--nodes", "300"]),
        ("vcluster", &["playground", "status", "--dir=none"], &["none"]),
        ("vcluster", &["playground", "up", "--dir=broken.pem"], &["broken.pem"]),
    ];
    for (name, arguments, words) in table {
        explained(name, arguments, words, dir.path()).unwrap();
    }
    for name in SERVICES {
        let needed: &[&str] = match name {
            "kine-shim" => &["--endpoint=sqlite://new.db"],
            "apiserver" => &[store],
            "dns" => &[],
            "syncer" => &[syncer[0], syncer[1], syncer[2], "--kubeconfig=none.yaml"],
            _ => &["--kubeconfig=none.yaml"],
        };
        for (flag, value) in [
            ("--log-level", "[["),
            ("--log-format", "nonsense"),
            ("--admin-bind-address", "nonsense"),
            ("--grpc-bind-address", "127.0.0.1"),
        ] {
            let argument = format!("{flag}={value}");
            let arguments: Vec<&str> = needed.iter().copied().chain([argument.as_str()]).collect();
            explained(name, &arguments, &[flag, value], dir.path()).unwrap();
        }
    }
    let database = std::fs::read_to_string(dir.path().join("broken.db")).unwrap();
    assert!(database.starts_with("this is no database"), "the file was changed");
}

/// The command fails with code 1 or 2, and one line of what it says has all `words`.
fn explained(name: &str, arguments: &[&str], words: &[&str], dir: &Path) -> Result<()> {
    let output = start(name, arguments, dir)?;
    let said = text(&output.stderr);
    let code = output.status.code();
    ensure!(matches!(code, Some(1 | 2)), "{name} {arguments:?}: {code:?} {said}");
    ensure!(!said.contains("panicked"), "{name} {arguments:?}: {said}");
    let sentence = |line: &str| words.iter().all(|word| line.contains(word)) && !line.contains(" INFO ");
    // clap lists missing flags below its sentence.
    let one_line = said.replace(":\n  --", ": --");
    ensure!(one_line.lines().any(sentence), "{name} {arguments:?}: {said}");
    Ok(())
}
