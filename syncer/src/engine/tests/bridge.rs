//! A syncer between two API servers in memory.

use chassis::{CancellationToken, Health, Tasks};

use super::*;
use crate::watches;

pub(super) struct Bridge {
    pub(super) virtual_: Fake,
    pub(super) host: Fake,
    pub(super) engine: Arc<Engine>,
    pub(super) metrics: chassis::Metrics,
    tasks: tokio::task::JoinSet<()>,
    watches: Tasks,
}

impl Drop for Bridge {
    fn drop(&mut self) {
        self.tasks.abort_all();
        self.watches.shutdown().cancel();
    }
}

/// Two clusters as they are before anything happens.
pub(super) fn clusters() -> (Fake, Fake) {
    let (virtual_, host) = (Fake::new(), Fake::new());
    for namespace in ["team", "kube-system"] {
        virtual_.put(Kind::Namespace, json!({"metadata": {"name": namespace}}));
    }
    host.put(Kind::Service, json!({
        "metadata": {"namespace": "host", "name": "vc"},
        "spec": {"clusterIP": "10.0.0.1", "selector": {"app": "vcluster"}, "ports": [{"name": "https", "port": 443}]},
    }));
    (virtual_, host)
}

impl Bridge {
    pub(super) fn start() -> Self {
        let (virtual_, host) = clusters();
        Self::between(virtual_, host)
    }

    pub(super) fn between(virtual_: Fake, host: Fake) -> Self {
        Self::configured(virtual_, host, settings())
    }

    pub(super) fn configured(virtual_: Fake, host: Fake, settings: Settings) -> Self {
        let world = Arc::new(World::new(settings));
        let registry = chassis::Metrics::default();
        let metrics = Metrics::new(&registry);
        let api = |side, fake: &Fake| Api::new(side, fake.client(), metrics.clusters.clone());
        let (recorder, events) = client::Recorder::new(virtual_.client(), "syncer");
        let engine = Engine::new(
            world,
            api(Side::Virtual, &virtual_),
            api(Side::Host, &host),
            recorder,
            metrics.clone(),
        );
        let mut bridge = Self {
            virtual_,
            host,
            engine,
            metrics: registry,
            tasks: tokio::task::JoinSet::new(),
            watches: Tasks::new(Health::default(), CancellationToken::new()),
        };
        bridge.tasks.spawn(events.run());
        bridge.run();
        bridge
    }

    /// Starts the watches, and the engine once they have listed everything, as the process does.
    fn run(&mut self) {
        let world = self.engine.world().clone();
        let health = Health::default();
        let watches = watches::all(&world.settings, &self.engine);
        let lists: Vec<_> = watches
            .into_iter()
            .filter_map(|watch| watch.start(&self.watches, &health, &self.engine))
            .collect();
        let engine = self.engine.clone();
        self.tasks.spawn(async move {
            for mut list in lists {
                list.wait_for(|synced| *synced).await.expect("the informer lives");
            }
            engine.learn_versions().await;
            let sweep = engine.clone().sweep(world.settings.compare_every);
            tokio::join!(engine.run(), sweep);
        });
    }

    /// Kills the syncer and starts a new one that knows nothing.
    pub(super) fn restart(self) -> Self {
        let settings = self.engine.world().settings.clone();
        Self::configured(self.virtual_.clone(), self.host.clone(), settings)
    }

    pub(super) async fn until(&self, what: &str, mut condition: impl FnMut() -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !condition() {
            assert!(Instant::now() < deadline, "not in time: {what}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    pub(super) fn host_pod(&self, name: &str) -> Option<Value> {
        self.copy(Kind::Pod, name)
    }

    /// Where the copy of an object of namespace `team` lies.
    pub(super) fn place(&self, kind: Kind, name: &str) -> ObjectKey {
        self.engine.world().names.place(kind, "team", name)
    }

    pub(super) fn copy(&self, kind: Kind, name: &str) -> Option<Value> {
        let key = self.place(kind, name);
        self.host.get(kind, &key.namespace, &key.name)
    }

    /// The sum of a counter over all its labels.
    pub(super) fn counted(&self, name: &str) -> u64 {
        let text = self.metrics.encode();
        let lines = text.lines().filter(|line| line.starts_with(name));
        lines
            .filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok())
            .sum()
    }

    /// What the host's scheduler and kubelets would do by now.
    pub(super) fn run_host(&self) {
        for pod in self.host.list(Kind::Pod) {
            let (namespace, name) = (json_text(&pod, "namespace"), json_text(&pod, "name"));
            if pod["metadata"].get("deletionTimestamp").is_some() {
                self.host.remove(Kind::Pod, &namespace, &name);
            } else if pod["status"]["phase"] != "Running" {
                self.host.change(Kind::Pod, &namespace, &name, |pod| {
                    pod["spec"]["nodeName"] = json!("worker-1");
                    pod["status"] =
                        json!({"phase": "Running", "startTime": "2026-01-01T00:00:00Z", "podIP": "10.1.0.1"});
                });
            }
        }
    }
}
