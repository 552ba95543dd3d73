//! Runs the cases of a test file that has its own `main` (`harness = false`).

use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Result;

use super::world::{World, existing_host};

/// A named test.
pub type Case = (&'static str, fn(&World) -> Result<()>);

/// Runs the cases in a playground with `clusters` virtual clusters, see [`configured`].
pub fn main(file: &str, clusters: u8, cases: &[Case]) -> ExitCode {
    configured(file, clusters, "", cases)
}

/// Runs the cases in a playground with `clusters` virtual clusters that have `values` as their vcluster.yaml, see [`with`].
pub fn configured(file: &str, clusters: u8, values: &str, cases: &[Case]) -> ExitCode {
    with(file, &["--clusters", &clusters.to_string()], values, cases)
}

/// The same for cases that need nothing of the host but what every Kubernetes has: with `E2E_HOST=existing` they run on the
/// cluster of `E2E_KUBECONFIG`, or else `KUBECONFIG`, in a namespace of their own.
pub fn anywhere(file: &str, values: &str, cases: &[Case]) -> ExitCode {
    match existing_host() {
        Ok(None) => run(file, &NAME, values, cases),
        Ok(Some(kubeconfig)) => on_existing(file, &kubeconfig, values, cases),
        Err(error) => {
            eprintln!("{file}: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The same for cases that need containers which really run: the embedded host has none.
pub fn on_real_nodes(file: &str, values: &str, cases: &[Case]) -> ExitCode {
    match existing_host() {
        Ok(None) => {
            println!(
                "{file}: skipped on the embedded host, whose simulated nodes run no containers: it needs E2E_HOST=existing"
            );
            ExitCode::SUCCESS
        }
        Ok(Some(kubeconfig)) => on_existing(file, &kubeconfig, values, cases),
        Err(error) => {
            eprintln!("{file}: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The virtual cluster of suites that choose their host.
const NAME: [&str; 2] = ["--name", "vc-1"];

fn on_existing(file: &str, kubeconfig: &Path, values: &str, cases: &[Case]) -> ExitCode {
    let kubeconfig = kubeconfig.to_string_lossy();
    let namespace = format!("vcluster-e2e-{}", std::process::id());
    let host = ["--host-kubeconfig", &kubeconfig, "--namespace", &namespace];
    run(file, &[&NAME[..], &host].concat(), values, cases)
}

/// Starts a playground with these arguments of `vcluster playground up` and `values` as the vcluster.yaml of its virtual
/// clusters, runs the cases whose name contains one of the arguments (all without arguments), stops the playground. `--list` only prints the names, as cargo's own runner does.
pub fn with(file: &str, playground: &[&str], values: &str, cases: &[Case]) -> ExitCode {
    match existing_host() {
        Ok(None) => run(file, playground, values, cases),
        Ok(Some(_)) => {
            println!("{file}: skipped with E2E_HOST=existing: it needs the embedded host and its simulated nodes");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{file}: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(file: &str, playground: &[&str], values: &str, cases: &[Case]) -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.iter().any(|argument| argument == "--list") {
        cases.iter().for_each(|(name, _)| println!("{name}: test"));
        return ExitCode::SUCCESS;
    }
    let filters: Vec<&String> = arguments.iter().filter(|argument| !argument.starts_with('-')).collect();
    let chosen = |name: &str| filters.is_empty() || filters.iter().any(|filter| name.contains(filter.as_str()));
    let chosen: Vec<&Case> = cases.iter().filter(|(name, _)| chosen(name)).collect();
    if chosen.is_empty() {
        println!("{file}: no case matches");
        return ExitCode::SUCCESS;
    }
    let began = Instant::now();
    let world = match World::start(playground, values) {
        Ok(world) => world,
        Err(error) => {
            eprintln!("{file}: the playground does not start: {error:#}");
            return ExitCode::FAILURE;
        }
    };
    println!(
        "{file}: playground ready after {:.1} s on {}, {} cases",
        began.elapsed().as_secs_f64(),
        world.description(),
        chosen.len()
    );
    let mut failed = Vec::new();
    for (name, case) in chosen {
        let began = Instant::now();
        let outcome = case(&world);
        let verdict = if outcome.is_ok() { "ok" } else { "FAILED" };
        println!(
            "test {file}::{name} ... {verdict} ({:.1} s)",
            began.elapsed().as_secs_f64()
        );
        if let Err(error) = outcome {
            println!("    {}", format!("{error:#}").replace('\n', "\n    "));
            failed.push(*name);
        }
    }
    if !failed.is_empty() {
        println!("{file}: failed: {}", failed.join(", "));
        world.keep_logs(file);
    }
    match world.stop() {
        Ok(()) if failed.is_empty() => ExitCode::SUCCESS,
        Ok(()) => ExitCode::FAILURE,
        Err(error) => {
            println!("{file}: the playground does not stop cleanly: {error:#}");
            ExitCode::FAILURE
        }
    }
}
