//! Builds the process: client, informers, controllers; then, when it leads, runs them.

use std::sync::Arc;

use anyhow::Result;
use chassis::{Chassis, Gate};
use client::leader::Candidate;
use client::{Recorder, connect};
use futures::future::BoxFuture;
use tracing::info;

use crate::context::Context;
use crate::informers::{Informers, Watch};
use crate::metrics::Metrics;
use crate::options::Options;

pub(crate) async fn build(options: Options, chassis: &mut Chassis) -> Result<()> {
    let config = options.resolve()?;
    let client = connect(&config.kubeconfig, "kube-controller-manager")
        .await
        .map_err(|error| chassis::usage(format!("--kubeconfig: {error}")))?;
    let (recorder, events) = Recorder::new(client.clone(), "kube-controller-manager");
    let context = Arc::new(Context {
        informers: Arc::new(Informers::new()),
        client: client.clone(),
        recorder,
        settings: config.settings,
        metrics: chassis.metrics().register(Metrics::register),
    });
    let chosen = config.controllers;
    // Controllers say which informers they need when they are made, so the watches come last.
    let controllers: Vec<_> = chosen
        .controllers()
        .map(|controller| (controller.name, (controller.start)(&context)))
        .collect();
    let watches = context.informers.watches(&client);
    info!(controllers = controllers.len(), informers = watches.len(), "built");

    let gates: Vec<Gate> = watches.iter().map(|watch| chassis.health().gate(&watch.name)).collect();
    let run = run(chassis.tasks().clone(), events, controllers, watches, gates);
    let tasks = chassis.tasks();
    let shutdown = tasks.shutdown();
    if config.leader_elect {
        let leading = chassis.health().gate("leader-election");
        // A candidate that waits is healthy: it would take over at any moment.
        leading.ready();
        tasks.spawn("leader-election", async move {
            let mut candidate = Candidate::new(client, "kube-controller-manager");
            tokio::select! {
                () = shutdown.cancelled() => return Ok(()),
                () = candidate.acquire() => {}
            }
            run();
            tokio::select! {
                () = shutdown.cancelled() => Ok(()),
                () = candidate.hold() => Err(anyhow::anyhow!("leadership was lost; restart to become a candidate again")),
            }
        });
    } else {
        run();
    }
    Ok(())
}

/// What starts everything at once.
fn run(
    tasks: chassis::Tasks,
    events: client::events::Writer,
    controllers: Vec<(&'static str, BoxFuture<'static, ()>)>,
    watches: Vec<Watch>,
    gates: Vec<Gate>,
) -> impl FnOnce() + Send + 'static {
    move || {
        let spawn = |name: String, task: BoxFuture<'static, ()>| {
            let shutdown = tasks.shutdown();
            tasks.spawn(name, async move {
                tokio::select! {
                    () = shutdown.cancelled() => {}
                    () = task => {}
                }
            });
        };
        for (watch, gate) in watches.into_iter().zip(gates) {
            let synced = watch.synced;
            tasks.spawn_finite(format!("first list of {}", watch.name), {
                let shutdown = tasks.shutdown();
                async move {
                    tokio::select! {
                        () = shutdown.cancelled() => {}
                        () = synced => gate.ready(),
                    }
                }
            });
            spawn(format!("watch of {}", watch.name), watch.run);
        }
        for (name, task) in controllers {
            spawn(name.to_owned(), task);
        }
        spawn("events".to_owned(), Box::pin(events.run()));
    }
}
