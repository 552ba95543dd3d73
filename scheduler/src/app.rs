//! Builds the process: client, informers, scheduler; then, when it leads, runs them.

use std::sync::Arc;

use anyhow::Result;
use chassis::Chassis;
use client::leader::Candidate;
use client::{Informer, Recorder, connect};
use futures::FutureExt;
use futures::future::BoxFuture;
use k8s_openapi::api::core::v1::Namespace;
use kube::runtime::watcher;
use kube::{Api, Client};

use crate::metrics::Metrics;
use crate::options::Options;
use crate::pod::{trim_node, trim_pod};
use crate::scheduler::Scheduler;

pub(crate) async fn build(options: Options, chassis: &mut Chassis) -> Result<()> {
    let client = connect(&options.kubeconfig, "kube-scheduler")
        .await
        .map_err(|error| chassis::usage(format!("--kubeconfig: {error}")))?;
    let (recorder, events) = Recorder::new(client.clone(), "default-scheduler");
    let metrics = chassis.metrics().register(Metrics::register);
    let pods = Informer::new();
    let nodes = Informer::new();
    let namespaces = Informer::new();
    let scheduler = Arc::new(Scheduler::new(
        client.clone(),
        recorder,
        metrics,
        chassis.tasks().clone(),
    ));
    scheduler.listen(&pods, &nodes, &namespaces);

    let gate = chassis.health().gate("informers");
    let synced = {
        let (pods, nodes, namespaces) = (pods.clone(), nodes.clone(), namespaces.clone());
        async move {
            futures::join!(pods.synced(), nodes.synced(), namespaces.synced());
            gate.ready();
        }
    };
    let tasks: Vec<(&'static str, BoxFuture<'static, ()>)> = vec![
        ("watch of pods", watch(pods, &client, trim_pod)),
        ("watch of nodes", watch(nodes, &client, trim_node)),
        (
            "watch of namespaces",
            watch(namespaces, &client, |_: &mut Namespace| {}),
        ),
        ("events", events.run().boxed()),
        (
            "scheduling",
            async move {
                synced.await;
                scheduler.run().await;
            }
            .boxed(),
        ),
    ];
    lead(options.leader_elect, client, chassis, tasks);
    Ok(())
}

fn watch<K>(informer: Informer<K>, client: &Client, trim: fn(&mut K)) -> BoxFuture<'static, ()>
where
    K: kube::Resource<DynamicType = ()> + Clone + std::fmt::Debug + serde::de::DeserializeOwned + Send + Sync + 'static,
{
    let events = watcher(Api::<K>::all(client.clone()), watcher::Config::default());
    async move { informer.run(&K::kind(&()), events, trim).await }.boxed()
}

/// Starts the tasks, at once or when the lease is ours.
fn lead(elect: bool, client: Client, chassis: &Chassis, work: Vec<(&'static str, BoxFuture<'static, ()>)>) {
    let tasks = chassis.tasks().clone();
    let shutdown = tasks.shutdown();
    let start = {
        let tasks = tasks.clone();
        move || {
            for (name, task) in work {
                let shutdown = tasks.shutdown();
                tasks.spawn(name, async move {
                    tokio::select! {
                        () = shutdown.cancelled() => {}
                        () = task => {}
                    }
                });
            }
        }
    };
    if !elect {
        return start();
    }
    tasks.spawn("leader-election", async move {
        let mut candidate = Candidate::new(client, "kube-scheduler");
        tokio::select! {
            () = shutdown.cancelled() => return Ok(()),
            () = candidate.acquire() => {}
        }
        start();
        tokio::select! {
            () = shutdown.cancelled() => Ok(()),
            () = candidate.hold() => Err(anyhow::anyhow!("leadership was lost; restart to become a candidate again")),
        }
    });
}
