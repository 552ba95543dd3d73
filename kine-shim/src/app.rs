//! Every component of the service, in start order.

use std::time::Duration;

use anyhow::{Context, anyhow};
use chassis::{BindAddress, Chassis, GrpcServices, Listener};

use crate::{
    error::Error,
    metrics,
    options::Options,
    server::{Services, Settings},
    store::Store,
};

/// What the service is made of, for tests that look inside.
#[derive(Debug)]
pub struct App {
    /// The store.
    pub store: Store,
}

/// Binds the listeners, opens the store and serves it. The addresses are recorded as `etcd-unix` and `etcd-tcp`; further
/// ones of a kind have a number behind that.
pub async fn build(options: Options, chassis: &mut Chassis) -> anyhow::Result<App> {
    let storage = chassis.health().gate("storage");
    let mut listeners = Vec::new();
    for address in &options.listen_address {
        listeners.push(Listener::bind(address).await.context("--listen-address")?);
    }
    for (at, listener) in listeners.iter().enumerate() {
        chassis
            .addresses()
            .insert(&name(&listeners, at), listener.address().clone());
    }

    let (endpoint, datastore) = (options.endpoint, options.datastore);
    let opened = tokio::task::spawn_blocking(move || Store::open(&endpoint, &datastore))
        .await
        .context("opening the store")?;
    let (store, mut writer_end) = opened.map_err(|error| chassis::usage(error.to_string()))?;
    metrics::register(chassis.metrics(), &store);

    let tasks = chassis.tasks();
    let shutdown = chassis.shutdown();
    tasks.spawn("writer", {
        let (store, shutdown) = (store.clone(), shutdown.clone());
        async move {
            tokio::select! {
                _ = &mut writer_end => return Err(anyhow!("the writer ended")),
                () = shutdown.cancelled() => store.stop().await,
            }
            // Whether it ended in order or not, it has ended.
            let _ = writer_end.await;
            Ok(())
        }
    });
    tasks.spawn("leases", {
        let (store, shutdown) = (store.clone(), shutdown.clone());
        async move {
            tokio::select! {
                () = store.expire_leases() => {}
                () = shutdown.cancelled() => {}
            }
        }
    });
    if !options.compact_interval.is_zero() {
        tasks.spawn("compaction", {
            let store = store.clone();
            async move {
                tokio::select! {
                    () = compact(&store, options.compact_interval, options.compact_min_retain) => {}
                    () = shutdown.cancelled() => {}
                }
            }
        });
    }

    let settings = Settings {
        version: options.emulated_etcd_version,
        progress_interval: options.watch_progress_notify_interval,
        client_urls: listeners.iter().map(|listener| listener.address().endpoint()).collect(),
    };
    let services = Services::new(store.clone(), settings, chassis.tasks().clone());
    services.register(chassis.grpc());
    for listener in listeners {
        let mut grpc = GrpcServices::default();
        services.register(&mut grpc);
        grpc.serve(chassis.tasks(), "etcd", listener, chassis.health()).await?;
    }
    storage.ready();
    Ok(App { store })
}

fn name(listeners: &[Listener], at: usize) -> String {
    let kind = |listener: &Listener| match listener.address() {
        BindAddress::Tcp(_) => "etcd-tcp",
        BindAddress::Unix(_) => "etcd-unix",
    };
    let this = kind(&listeners[at]);
    match listeners[..at].iter().filter(|listener| kind(listener) == this).count() {
        0 => this.to_owned(),
        earlier => format!("{this}-{}", earlier + 1),
    }
}

/// Compacts at every interval to the newest revision of the interval before, as kine does, but never the last `retain`
/// revisions.
async fn compact(store: &Store, interval: Duration, retain: i64) {
    let mut target = store.revision();
    loop {
        tokio::time::sleep(interval).await;
        let revision = store.revision();
        let to = target.min(revision - retain);
        target = revision;
        if to <= store.compacted() {
            continue;
        }
        match store.compact(to, false).await {
            // An API server was faster.
            Ok(_) | Err(Error::Compacted) => {}
            Err(error) => tracing::warn!(%error, revision = to, "history was not compacted"),
        }
    }
}
