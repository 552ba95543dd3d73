//! `make bench`: how fast a virtual control plane starts, what it holds when idle, and what 500 pods cost. Prints tables
//! and asserts nothing.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use client::connect;
use e2e::controlplane::{ControlPlane, Role};
use e2e::process::{Ports, Process, cpu_time, resident_memory};
use e2e::suite::World;
use futures::StreamExt;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::api::{DeleteParams, ListParams, PostParams};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client};
use serde_json::json;

const COLD_STARTS: usize = 5;
const PODS: i32 = 500;
/// Room for them: 110 pods each.
const NODES: &str = "6";
const IDLE: Duration = Duration::from_secs(15);
const PATIENCE: Duration = Duration::from_secs(300);

fn main() -> Result<()> {
    chassis::tls::install_provider();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let world = World::with(&["--clusters", "1", "--nodes", NODES])?;
    let measured = runtime.block_on(measure(&world));
    world.stop()?;
    measured
}

async fn measure(world: &World) -> Result<()> {
    let (virtual_, host) = (admin(world, "vc-1").await?, admin(world, "host").await?);
    idle(world).await?;
    cold_starts(world, &host).await?;
    println!("\n{PODS} pods from one Deployment until all are Running and ready");
    let through = rollout(&virtual_, &host).await?;
    let direct = rollout(&host, &host).await?;
    println!("  in the virtual cluster {:>8.1} s", through.seconds);
    println!("  directly in the host   {:>8.1} s", direct.seconds);
    println!(
        "\nRequests to the host per pod (the second column is what its own nodes, scheduler and controllers need)"
    );
    println!(
        "  {:<12} {:>10} {:>10} {:>12}",
        "VERB", "VIRTUAL", "DIRECT", "DIFFERENCE"
    );
    let verbs: std::collections::BTreeSet<&String> = through.requests.keys().chain(direct.requests.keys()).collect();
    for verb in verbs {
        let per_pod = |requests: &BTreeMap<String, f64>| requests.get(verb).copied().unwrap_or(0.0) / f64::from(PODS);
        let (ours, plain) = (per_pod(&through.requests), per_pod(&direct.requests));
        println!("  {verb:<12} {ours:>10.2} {plain:>10.2} {:>12.2}", ours - plain);
    }
    Ok(())
}

async fn admin(world: &World, cluster: &str) -> Result<Client> {
    Ok(connect(&world.access(cluster)?.kubeconfig, "bench").await?)
}

/// Memory and processor time of a virtual control plane that nobody uses.
async fn idle(world: &World) -> Result<()> {
    let processes: Vec<(String, i32)> = world
        .state()?
        .processes
        .into_iter()
        .filter_map(|report| Some((report.name.strip_prefix("vc-1/")?.to_string(), report.pid?)))
        .collect();
    tokio::time::sleep(Duration::from_secs(5)).await;
    let before: Vec<Option<Duration>> = processes.iter().map(|(_, pid)| cpu_time(*pid)).collect();
    tokio::time::sleep(IDLE).await;
    println!("An idle virtual control plane");
    println!("  {:<20} {:>12} {:>14}", "SERVICE", "MEMORY (MiB)", "CPU (% of 1)");
    let (mut memory_sum, mut cpu_sum) = (0.0, 0.0);
    for ((name, pid), before) in processes.iter().zip(before) {
        let memory = resident_memory(*pid).unwrap_or(0) as f64 / 1_048_576.0;
        let spent = cpu_time(*pid)
            .zip(before)
            .map_or(Duration::ZERO, |(now, before)| now.saturating_sub(before));
        let cpu = spent.as_secs_f64() / IDLE.as_secs_f64() * 100.0;
        println!("  {name:<20} {memory:>12.1} {cpu:>14.2}");
        memory_sum += memory;
        cpu_sum += cpu;
    }
    println!("  {:<20} {memory_sum:>12.1} {cpu_sum:>14.2}", "all");
    Ok(())
}

/// Starts all processes of a new virtual control plane at once, several times.
async fn cold_starts(world: &World, host: &Client) -> Result<()> {
    let namespace = json!({"metadata": {"name": "vcluster-cold"}});
    Api::<Namespace>::all(host.clone())
        .create(&PostParams::default(), &serde_json::from_value(namespace)?)
        .await?;
    let mut times = Vec::new();
    for round in 0..COLD_STARTS {
        let dir = tempfile::Builder::new().prefix("vc").tempdir()?;
        times.push(cold_start(world, dir.path(), round).await?);
    }
    times.sort();
    let milliseconds: Vec<String> = times.iter().map(|time| format!("{}", time.as_millis())).collect();
    println!("\nCold start on an empty store until the first successful GET /api/v1/namespaces");
    println!(
        "  {} ms (median {} ms)",
        milliseconds.join(", "),
        times[times.len() / 2].as_millis()
    );
    Ok(())
}

async fn cold_start(world: &World, dir: &Path, round: usize) -> Result<Duration> {
    let host_kubeconfig = world.access("host")?.kubeconfig;
    let role = Role::Virtual {
        host_kubeconfig,
        host_namespace: "vcluster-cold".to_string(),
        values: None,
        scheduler: false,
    };
    let mut ports = Ports::open(&dir.join("ports.json"))?;
    let plane = ControlPlane::prepare("cold", dir, role, &mut ports)?;
    let client = connect(&plane.kubeconfig(), "bench").await?;
    let specs = plane.processes(&world.binaries()?, dir);
    let namespaces: Api<Namespace> = Api::all(client);
    let began = Instant::now();
    let processes: Vec<Process> = specs.into_iter().map(Process::start).collect();
    while namespaces.list(&ListParams::default()).await.is_err() {
        anyhow::ensure!(
            began.elapsed() < PATIENCE,
            "cold start {round} does not come up; see {}",
            dir.display()
        );
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let time = began.elapsed();
    futures::future::join_all(processes.into_iter().rev().map(Process::stop)).await;
    Ok(time)
}

struct Rollout {
    seconds: f64,
    requests: BTreeMap<String, f64>,
}

/// Creates a Deployment of [`PODS`] in `cluster`, waits until it is ready, deletes it and waits until its pods are gone.
async fn rollout(cluster: &Client, host: &Client) -> Result<Rollout> {
    let deployments: Api<Deployment> = Api::namespaced(cluster.clone(), "default");
    let deployment = serde_json::from_value(json!({
        "metadata": {"name": "many"},
        "spec": {"replicas": PODS, "selector": {"matchLabels": {"app": "many"}}, "template": {
            "metadata": {"labels": {"app": "many"}},
            "spec": {"containers": [{"name": "c", "image": "nginx", "resources": {"requests": {"cpu": "10m"}}}]},
        }},
    }))?;
    let before = requests(host).await?;
    let began = Instant::now();
    deployments.create(&PostParams::default(), &deployment).await?;
    let mut changes = watcher(deployments.clone(), watcher::Config::default())
        .applied_objects()
        .boxed();
    let all_ready = async {
        while let Some(deployment) = changes.next().await {
            // A watch that breaks is opened again by the watcher.
            let ready = deployment
                .ok()
                .and_then(|deployment| deployment.status)
                .and_then(|status| status.ready_replicas);
            if ready == Some(PODS) {
                return;
            }
        }
    };
    tokio::time::timeout(PATIENCE, all_ready)
        .await
        .context("the pods do not become ready")?;
    let seconds = began.elapsed().as_secs_f64();
    let after = requests(host).await?;
    let spent = after
        .into_iter()
        .map(|(verb, count)| (verb.clone(), count - before.get(&verb).copied().unwrap_or(0.0)));
    let spent = spent.filter(|(_, count)| *count > 0.0).collect();
    deployments.delete("many", &DeleteParams::background()).await?;
    let pods: Api<Pod> = Api::namespaced(cluster.clone(), "default");
    let deadline = Instant::now() + PATIENCE;
    while !pods
        .list(&ListParams::default().labels("app=many"))
        .await?
        .items
        .is_empty()
    {
        anyhow::ensure!(Instant::now() < deadline, "the pods do not go away");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    Ok(Rollout {
        seconds,
        requests: spent,
    })
}

/// The host API server's `apiserver_request_total` by verb.
async fn requests(host: &Client) -> Result<BTreeMap<String, f64>> {
    let request = http::Request::get("/metrics")
        .body(Vec::new())
        .context("cannot ask for metrics")?;
    let text = host.request_text(request).await.context("the host shows no metrics")?;
    let mut sums = BTreeMap::new();
    for line in text.lines().filter(|line| line.starts_with("apiserver_request_total{")) {
        let verb = line.split("verb=\"").nth(1).and_then(|rest| rest.split('"').next());
        let count = line.rsplit(' ').next().and_then(|count| count.parse::<f64>().ok());
        if let (Some(verb), Some(count)) = (verb, count) {
            *sums.entry(verb.to_string()).or_insert(0.0) += count;
        }
    }
    Ok(sums)
}
