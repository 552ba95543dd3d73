//! The life of a playground as its user sees it.

use std::process::ExitCode;

use anyhow::{Result, ensure};
use e2e::process;
use e2e::suite::{Case, World, eventually, main as run};

const CASES: &[Case] = &[
    ("clusters_do_not_see_each_other", clusters_do_not_see_each_other),
    ("status_shows_every_process", status_shows_every_process),
    ("up_twice_is_explained", up_twice_is_explained),
    (
        "a_half_dead_playground_is_cleaned_up",
        a_half_dead_playground_is_cleaned_up,
    ),
];

fn main() -> ExitCode {
    run("playground", 2, CASES)
}

fn clusters_do_not_see_each_other(world: &World) -> Result<()> {
    let manifest = |image: &str| {
        format!(
            r#"{{"apiVersion":"v1","kind":"Pod","metadata":{{"name":"same"}},"spec":{{"containers":[{{"name":"c","image":"{image}"}}]}}}}"#
        )
    };
    for cluster in ["vc-1", "vc-2"] {
        let kubectl = world.kubectl(cluster)?;
        kubectl.apply(&manifest(cluster))?;
        kubectl.run(&["wait", "--for=condition=Ready", "pod/same", "--timeout=60s"])?;
        ensure!(
            kubectl.names(&["get", "pods", "-A"])? == ["same"],
            "{cluster} sees foreign pods"
        );
    }
    let host = world.kubectl("host")?;
    for cluster in ["vc-1", "vc-2"] {
        let namespace = format!("vcluster-{cluster}");
        let pod = host.json(&["-n", &namespace, "get", "pod", &format!("same-x-default-x-{cluster}")])?;
        ensure!(
            pod["spec"]["containers"][0]["image"] == cluster,
            "{cluster}: {}",
            pod["spec"]
        );
    }
    Ok(())
}

fn status_shows_every_process(world: &World) -> Result<()> {
    let output = world.vcluster(&["status"])?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    for process in [
        "host/apiserver",
        "host/scheduler",
        "vc-1/kine-shim",
        "vc-2/syncer",
        "vc-2/dns",
    ] {
        ensure!(
            text.lines()
                .any(|line| line.starts_with(process) && line.contains("ready")),
            "{process}:\n{text}"
        );
    }
    ensure!(text.contains("KUBECONFIG=") && text.contains("vcluster-vc-2"), "{text}");
    Ok(())
}

fn up_twice_is_explained(world: &World) -> Result<()> {
    let output = world.vcluster(&["up"])?;
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(
        output.status.code() == Some(1) && error.contains("running") && error.contains("down"),
        "{error}"
    );
    ensure!(
        world.kubectl("vc-1")?.run(&["get", "pods"]).is_ok(),
        "the running playground was disturbed"
    );
    Ok(())
}

fn a_half_dead_playground_is_cleaned_up(world: &World) -> Result<()> {
    let supervisor = i32::try_from(world.state()?.supervisor)?;
    process::kill(supervisor);
    eventually("the supervisor is gone", || {
        Ok((!process::find(world.dir())
            .iter()
            .any(|process| process.pid == supervisor))
        .then_some(()))
    })?;
    let status = world.vcluster(&["status"])?;
    ensure!(
        String::from_utf8_lossy(&status.stdout).contains("half dead"),
        "status does not tell"
    );
    let up = world.vcluster(&["up"])?;
    ensure!(!up.status.success(), "up must not start over the remains");
    world.stop()?;
    world.up(&["--clusters", "1"]).map(|_| ())
}
