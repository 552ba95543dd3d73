//! A second syncer of a virtual cluster, which waits until it leads: it answers kubelet requests meanwhile.

use std::process::{Child, Command, ExitCode, Stdio};

use anyhow::{Context, Result, ensure};
use e2e::suite::{Case, World, eventually, main as suite};
use rustix::process::{Pid, Signal, kill_process};

const CASES: &[Case] = &[
    (
        "who_stands_by_answers_kubelet_requests",
        who_stands_by_answers_kubelet_requests,
    ),
    ("who_stands_by_takes_over", who_stands_by_takes_over),
    ("rights_are_enough", World::rights_are_enough),
];

const LEASE: &str = "vcluster-vc-1-controller";

fn main() -> ExitCode {
    suite("standby", 1, CASES)
}

/// The second syncer; ends with the test.
struct Standby {
    process: Child,
    kubelet: u16,
    admin: u16,
    pki: String,
}

impl Drop for Standby {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn free_port() -> Result<u16> {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).context("no port is free")?;
    Ok(listener.local_addr()?.port())
}

impl Standby {
    /// Starts one with the flags of the first, which a lease of somebody else keeps waiting.
    fn start(world: &World) -> Result<Self> {
        let virtual_ = world.kubectl("vc-1")?;
        let lease = format!(
            r#"{{"apiVersion":"coordination.k8s.io/v1","kind":"Lease","metadata":{{"name":"{LEASE}","namespace":"kube-system"}},
                "spec":{{"holderIdentity":"the-first","leaseDurationSeconds":3600,"renewTime":"2026-01-01T00:00:00.000000Z"}}}}"#
        );
        virtual_.apply(&lease)?;
        let (program, words) = world.command_line("vc-1/syncer")?;
        let (kubelet, admin, grpc) = (free_port()?, free_port()?, free_port()?);
        let other = [
            "--kubelet-port=",
            "--admin-bind-address=",
            "--grpc-bind-address=",
            "--leader-elect=",
        ];
        let (mut arguments, mut pki) = (Vec::new(), String::new());
        for word in words {
            if let Some(file) = word.strip_prefix("--client-ca-file=") {
                pki = file.trim_end_matches("/ca.crt").to_owned();
            }
            if !other.iter().any(|flag| word.starts_with(flag)) {
                arguments.push(word);
            }
        }
        arguments.extend([
            format!("--kubelet-port={kubelet}"),
            format!("--admin-bind-address=127.0.0.1:{admin}"),
            format!("--grpc-bind-address=127.0.0.1:{grpc}"),
            "--leader-elect=true".to_owned(),
        ]);
        let process = Command::new(program)
            .args(&arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("the second syncer does not start")?;
        let standby = Self {
            process,
            kubelet,
            admin,
            pki,
        };
        eventually("the one that stands by is ready", || {
            let ready = curl(&["-sf", &format!("http://127.0.0.1:{}/readyz", standby.admin)]);
            Ok(ready.ok())
        })?;
        Ok(standby)
    }

    /// What its kubelet API answers to an API server.
    fn asked(&self, path: &str, more: &[&str]) -> Result<String> {
        let client = format!("{}/apiserver-kubelet-client", self.pki);
        let (certificate, key) = (format!("{client}.crt"), format!("{client}.key"));
        let url = format!("https://127.0.0.1:{}{path}", self.kubelet);
        let flags = ["-s", "-k", "--http1.1", "--cert", &certificate, "--key", &key];
        curl(&[&flags, more, &[&url]].concat())
    }

    /// What it has asked of the host: verb and resource.
    fn host_requests(&self) -> Result<Vec<String>> {
        let counted = curl(&["-sf", &format!("http://127.0.0.1:{}/metrics", self.admin)])?;
        let label = |line: &str, name: &str| -> String {
            let rest = line.split_once(&format!("{name}=\"")).map_or("", |(_, rest)| rest);
            rest.split('"').next().unwrap_or_default().to_owned()
        };
        let mut requests: Vec<String> = counted
            .lines()
            .filter(|line| line.starts_with("syncer_requests_total") && line.contains("cluster=\"host\""))
            .map(|line| format!("{} {}", label(line, "verb"), label(line, "resource")))
            .collect();
        requests.sort();
        requests.dedup();
        Ok(requests)
    }
}

/// Standard output of curl, which must succeed.
fn curl(arguments: &[&str]) -> Result<String> {
    let output = Command::new("curl")
        .args(arguments)
        .output()
        .context("cannot start curl")?;
    ensure!(output.status.success(), "curl: {}", output.status);
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn pod(name: &str) -> String {
    format!(
        r#"{{"apiVersion":"v1","kind":"Pod","metadata":{{"name":"{name}","namespace":"default"}},
            "spec":{{"containers":[{{"name":"app","image":"busybox","command":["sh","-c","echo hello; sleep 3600"]}}]}}}}"#
    )
}

fn who_stands_by_answers_kubelet_requests(world: &World) -> Result<()> {
    let virtual_ = world.kubectl("vc-1")?;
    virtual_.apply(&pod("web"))?;
    eventually("the pod runs", || {
        Ok((virtual_.json(&["get", "pod", "web"])?["status"]["phase"] == "Running").then_some(()))
    })?;
    let standby = Standby::start(world)?;
    eventually("its log is there", || {
        let log = standby.asked("/containerLogs/default/web/app", &[])?;
        ensure!(log.contains("hello\n"), "{log:?}");
        Ok(Some(()))
    })?;
    let pods = standby.asked("/pods", &[])?;
    ensure!(pods.contains(r#""name":"web""#) && !pods.contains("web-x-"), "{pods}");
    let summary = standby.asked("/stats/summary", &[])?;
    ensure!(summary.contains(r#""name":"web""#), "{summary}");
    // curl stays with the session until it has had enough.
    let session = [
        "-i",
        "-N",
        "--max-time",
        "5",
        "-H",
        "Connection: Upgrade",
        "-H",
        "Upgrade: websocket",
        "-H",
        "Sec-WebSocket-Version: 13",
        "-H",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        "-H",
        "Sec-WebSocket-Protocol: v5.channel.k8s.io",
    ];
    let said = standby.asked(
        "/exec/default/web/app?command=echo&command=from-within&output=1",
        &session,
    )?;
    ensure!(
        said.contains("101 Switching Protocols") && said.contains("from-within"),
        "{said}"
    );
    let others = standby.asked(
        "/containerLogs/kube-system/other/app",
        &["-o", "/dev/null", "-w", "%{http_code}"],
    )?;
    ensure!(others == "403", "{others}");
    let requests = standby.host_requests()?;
    ensure!(
        requests == ["list pods", "watch pods"],
        "it asks the host for more: {requests:?}"
    );
    Ok(())
}

fn who_stands_by_takes_over(world: &World) -> Result<()> {
    let (virtual_, host) = (world.kubectl("vc-1")?, world.kubectl("host")?);
    let first = world
        .process("vc-1/syncer")?
        .pid
        .context("the first syncer does not run")?;
    let standby = Standby::start(world)?;
    let first = Pid::from_raw(first).context("no process has this id")?;
    kill_process(first, Signal::STOP)?;
    let taken_over = || -> Result<()> {
        virtual_.run(&["delete", "pod", "web", "--wait=false"])?;
        virtual_.apply(&pod("later"))?;
        virtual_.run(&["-n", "kube-system", "delete", "lease", LEASE])?;
        eventually("what happened meanwhile has happened on the host", || {
            let pods = host.names(&["-n", "vcluster-vc-1", "get", "pods"])?;
            Ok((pods == ["later-x-default-x-vc-1"]).then_some(()))
        })?;
        eventually("the pod runs", || {
            Ok((virtual_.json(&["get", "pod", "later"])?["status"]["phase"] == "Running").then_some(()))
        })?;
        let refused = curl(&["-sf", &format!("http://127.0.0.1:{}/metrics", standby.admin)])?;
        let refused = refused
            .lines()
            .find(|line| line.contains("cluster=\"host\"") && line.contains("code=\"403\""));
        ensure!(refused.is_none(), "{refused:?}");
        Ok(())
    };
    let outcome = taken_over();
    kill_process(first, Signal::CONT)?;
    outcome
}
