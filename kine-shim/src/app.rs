//! Every component of the service, in start order.

use std::{
    hash::{BuildHasher, Hasher, RandomState},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, anyhow};
use chassis::{
    BindAddress, Chassis, Gate, GrpcServices, Listener,
    tls::{Protocols, Server},
};
use tokio::sync::watch;

use crate::{
    backend::{
        self, Backend, OpenError,
        endpoint::{DatastoreOptions, Endpoint},
        observed::{Observer, SlowCalls},
    },
    error::Error,
    metrics::{self, ServerMetrics, SqlMetrics},
    options::{Compaction, Options},
    server::{Services, Settings},
    store::Store,
};

/// What the service is made of, for tests that look inside.
#[derive(Debug)]
pub struct App {
    /// The store.
    pub store: Store,
    /// What clients were told.
    pub metrics: ServerMetrics,
}

/// Binds the listeners, opens the store and serves it. The addresses are recorded as `etcd-unix` and `etcd-tcp`; further
/// ones of a kind have a number behind that.
pub async fn build(options: Options, chassis: &mut Chassis) -> anyhow::Result<App> {
    build_on(options, chassis, backend::open).await
}

/// The same on a database of the caller's own making.
pub async fn build_on(
    options: Options,
    chassis: &mut Chassis,
    open: impl FnOnce(&Endpoint, &DatastoreOptions) -> Result<Backend, OpenError> + Send + 'static,
) -> anyhow::Result<App> {
    let storage = chassis.health().gate("storage");
    options.check_listeners().map_err(chassis::usage)?;
    options.log_what_has_no_effect();
    let tls = options.server_tls.files();
    let tls = tls.map(|files| Server::load(files, Protocols::Http2)).transpose();
    let tls = tls.map_err(|error| chassis::usage(error.to_string()))?.map(Arc::new);
    let mut listeners = Vec::new();
    for address in &options.listen_address {
        let listener = Listener::bind(address).await.context("--listen-address")?;
        listeners.push(listener.secured(tls.clone()));
    }
    for (at, listener) in listeners.iter().enumerate() {
        chassis
            .addresses()
            .insert(&name(&listeners, at), listener.address().clone());
    }

    let (endpoint, datastore) = (options.endpoint, options.datastore);
    let observer = Observer {
        metrics: SqlMetrics::default(),
        slow: SlowCalls {
            info: options.slow_sql_threshold,
            warn: options.slow_sql_warning_threshold,
        },
    };
    let sql_metrics = observer.metrics.clone();
    let open = move || Store::start(observer.wrap(open(&endpoint, &datastore)?), &endpoint);
    let opened = tokio::task::spawn_blocking(open).await.context("opening the store")?;
    let (store, mut writer_end) = opened.map_err(|error| chassis::usage(error.to_string()))?;
    let server_metrics = ServerMetrics::default();
    let quota = options.limits.quota_backend_bytes;
    metrics::register(chassis.metrics(), &store, &sql_metrics, &server_metrics, quota);

    let tasks = chassis.tasks();
    let shutdown = chassis.shutdown();
    tasks.spawn("writer", {
        let (store, shutdown) = (store.clone(), shutdown.clone());
        async move {
            tokio::select! {
                () = writer_end.deliver() => return Err(anyhow!("the writer ended")),
                () = shutdown.cancelled() => store.stop().await,
            }
            writer_end.deliver().await;
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
    if store.trouble().is_some() {
        tasks.spawn("peers", {
            let (store, shutdown) = (store.clone(), shutdown.clone());
            async move {
                tokio::select! {
                    () = store.follow() => {}
                    () = shutdown.cancelled() => {}
                }
            }
        });
    }
    if !options.compaction.compact_interval.is_zero() {
        tasks.spawn("compaction", {
            let store = store.clone();
            async move {
                tokio::select! {
                    () = compact(&store, &options.compaction) => {}
                    () = shutdown.cancelled() => {}
                }
            }
        });
    }

    let settings = Settings {
        version: options.emulated_etcd_version,
        progress_interval: options.watch_progress_notify_interval,
        limits: options.limits,
        metrics: server_metrics.clone(),
        client_urls: listeners.iter().map(Listener::endpoint).collect(),
    };
    let services = Services::new(store.clone(), settings, chassis.tasks().clone());
    services.register(chassis.grpc());
    for listener in listeners {
        let mut grpc = GrpcServices::default();
        services.register(&mut grpc);
        grpc.serve(chassis.tasks(), "etcd", listener, chassis.health()).await?;
    }
    storage.ready();
    if let Some(mut trouble) = store.trouble() {
        let shutdown = chassis.shutdown();
        chassis.tasks().spawn("storage", async move {
            tokio::select! {
                () = tell(&mut trouble, &storage) => {}
                () = shutdown.cancelled() => {}
            }
        });
    }
    Ok(App {
        store,
        metrics: server_metrics,
    })
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

/// Lets readiness say what keeps the store from its database.
async fn tell(trouble: &mut watch::Receiver<Option<String>>, storage: &Gate) {
    while trouble.changed().await.is_ok() {
        match &*trouble.borrow_and_update() {
            Some(reason) => storage.not_ready(reason.as_str()),
            None => storage.ready(),
        }
    }
}

/// Compacts at every interval to the newest revision of the interval before, but never the last `compact_min_retain`
/// revisions (kine: `SQLLog.compactor` in `pkg/logstructured/sqllog/sql.go`).
async fn compact(store: &Store, options: &Compaction) {
    let mut target = store.revision();
    loop {
        let spread = RandomState::new().build_hasher().finish();
        tokio::time::sleep(jittered(
            options.compact_interval,
            options.compact_interval_jitter,
            spread,
        ))
        .await;
        let revision = store.revision();
        let to = target.min(revision - options.compact_min_retain);
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

/// `interval`, changed by up to `percent` either way as `spread` falls.
fn jittered(interval: Duration, percent: u32, spread: u64) -> Duration {
    let range = u64::from(percent) * 2 + 1;
    let share = 100 + u32::try_from(spread % range).unwrap_or(0) - percent;
    interval * share / 100
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jitter_stays_within_its_percentage() {
        let minute = Duration::from_secs(60);
        assert_eq!(jittered(minute, 0, 12345), minute);
        let times: Vec<_> = (0..21).map(|spread| jittered(minute, 10, spread)).collect();
        assert_eq!(times.iter().min(), Some(&Duration::from_secs(54)));
        assert_eq!(times.iter().max(), Some(&Duration::from_secs(66)));
    }
}
