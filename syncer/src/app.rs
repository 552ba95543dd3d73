//! Builds every part, in start order: connections, names, watches, engine, kubelet API, gRPC.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use chassis::http::Answer;
use chassis::{BindAddress, Chassis, Health, Listener, Tasks, usage};
use client::leader::Candidate;
use config::Config;
use serde_json::Value;
use tokio::sync::{Notify, watch};
use tracing::warn;

use crate::clusters::{Api, ConnectError, Connection, connect, definitions};
use crate::deploy::Deployment;
use crate::engine::Engine;
use crate::export::Export;
use crate::kinds::{Kind, Side};
use crate::kubelet::{self, Kubelet};
use crate::metrics::Metrics;
use crate::names::MappingStore;
use crate::object::Object;
use crate::options::{self, Options};
use crate::patches::Rules;
use crate::resources::custom::definition::{self, Wanted};
use crate::resources::{Direction, custom, gateway};
use crate::settings::Settings;
use crate::watches::{self, Watch};
use crate::world::World;
use crate::{ending, monitors, network};
use crate::{grpc, resources};

/// Builds the syncer and starts its tasks.
pub async fn build(options: Options, chassis: &mut Chassis) -> Result<Arc<Engine>> {
    let config = options.read_config()?;
    for sentence in config.without_effect() {
        warn!("{sentence}");
    }
    let options = options.complete(&config)?;
    let mut settings = options.settings(&config)?;
    let unusable = |error: ConnectError| usage(error.to_string());
    let virtual_ = connect("--kubeconfig", options.kubeconfig.as_deref())
        .await
        .map_err(unusable)?;
    let host = connect("--host-kubeconfig", options.host_kubeconfig.as_deref())
        .await
        .map_err(unusable)?;
    let store = chassis::grpc::channel("--etcd-servers", &options.etcd_servers)?;

    let address = BindAddress::Tcp((options.kubelet_address, options.kubelet_port).into());
    let listener = Listener::bind(&address)
        .await
        .context("--kubelet-address, --kubelet-port")?;
    if let Some(bound) = listener.address().tcp() {
        settings.nodes.kubelet_port = bound.port();
    }
    chassis.addresses().insert("kubelet", listener.address().clone());

    let metrics = Metrics::new(chassis.metrics());
    let api = |side, connection: &Connection| Api::new(side, connection.shared.clone(), metrics.clusters.clone());
    let (virtual_api, host_api) = (api(Side::Virtual, &virtual_), api(Side::Host, &host));
    let deployment = options.deployment(&config)?;
    let mut definitions = gateway_api(&options, &host_api, &settings).await?;
    definitions.extend(custom_resources(&options, &config, &host_api, &mut settings).await?);
    let world = Arc::new(World::new(settings));
    let (recorder, events) = client::Recorder::new(virtual_.shared.clone(), "vcluster-syncer");
    let engine = Engine::new(world.clone(), virtual_api, host_api, recorder, metrics.clone());

    let export = match &options.export_kubeconfig {
        Some(file) => Some(Export::read(file, &world.settings)?),
        None => None,
    };

    for address in &world.settings.metrics_addresses {
        serve_metrics(chassis, address).await?;
    }

    let kubelet = Kubelet::new(world.clone(), host.clone(), virtual_.shared.clone());
    let tls = kubelet::tls(&options, &world.settings)?;
    kubelet::serve(chassis.tasks(), listener, kubelet, tls, kubelet::Trust::new(&options)?);
    let records = grpc::records::Publisher::new(world.clone());
    let publisher = records.clone();
    let nodes_changed = Arc::new(Notify::new());
    let changed = nodes_changed.clone();
    engine.listen(move |kind, change| {
        publisher.observe(kind, change);
        if kind == Kind::Node {
            changed.notify_one();
        }
    });
    grpc::register(chassis, &engine, &records);

    let (standby, watches): (Vec<Watch>, Vec<Watch>) = watches::all(&world.settings, &engine)
        .into_iter()
        .partition(Watch::serves_standby);
    let store = MappingStore::new(store, format!("{}-{}", world.settings.vcluster, std::process::id()));
    let run = Run {
        engine: engine.clone(),
        records,
        store,
        standby,
        watches,
        events,
        export,
        virtual_: virtual_.shared.clone(),
        definitions,
        nodes_changed,
        deployment,
        service_network: config.service_network().map(str::to_owned),
        health: chassis.health().clone(),
    };
    let tasks = chassis.tasks().clone();
    if options.leader_elect {
        let candidate = Candidate::new(
            virtual_.shared,
            &format!("vcluster-{}-controller", world.settings.vcluster),
        );
        lead(tasks, candidate, run);
    } else {
        let mut run = run;
        let first_lists = run.serve(&tasks);
        run.start(&tasks, first_lists);
    }
    Ok(engine)
}

/// Serves the metrics of the admin address at another one.
async fn serve_metrics(chassis: &mut Chassis, address: &str) -> Result<()> {
    let key = "experimental.syncSettings";
    let bind: BindAddress = address.parse().map_err(|why| usage(format!("{key}: {why}")))?;
    let listener = Listener::bind(&bind)
        .await
        .with_context(|| format!("{key}: cannot serve metrics"))?;
    chassis.addresses().insert("metrics", listener.address().clone());
    let metrics = chassis.metrics().clone();
    let handler = Arc::new(move |path: &str, _: &str| match path {
        "/metrics" => Answer::metrics(&metrics),
        _ => Answer::not_found(),
    });
    chassis::http::serve(chassis.tasks(), "metrics", listener, handler);
    Ok(())
}

/// What is left to be started.
struct Run {
    engine: Arc<Engine>,
    records: Arc<grpc::records::Publisher>,
    store: MappingStore,
    /// What a process that stands by watches, too.
    standby: Vec<Watch>,
    watches: Vec<Watch>,
    events: client::events::Writer,
    export: Option<Export>,
    virtual_: kube::Client,
    health: Health,
    /// What the virtual cluster has to know of custom resources.
    definitions: Vec<Value>,
    /// Tells of changes of nodes.
    nodes_changed: Arc<Notify>,
    /// What vcluster.yaml has it put there.
    deployment: Deployment,
    /// The network that vcluster.yaml says its Services have.
    service_network: Option<String>,
}

/// The definitions of the Gateway API's kinds for the virtual cluster, if any are synced.
async fn gateway_api(options: &Options, host: &Api, settings: &Settings) -> Result<Vec<Value>> {
    let mut found = Vec::new();
    for kind in gateway::known(settings) {
        let definition = definitions::find(host, &gateway::definition::name(kind)).await;
        let shown = definition.and_then(|definition| gateway::definition::for_virtual(settings, kind, definition));
        found.push(shown.map_err(|problem| options.wrong(&problem))?);
    }
    Ok(found)
}

/// Completes the settings with what the host says about the custom resources that the configuration names; returns their
/// definitions for the virtual cluster.
async fn custom_resources(
    options: &Options,
    config: &Config,
    host: &Api,
    settings: &mut Settings,
) -> Result<Vec<Value>> {
    let mut found = Vec::new();
    for (key, direction, resource) in options::custom_resources(config) {
        let section = match direction {
            Direction::ToHost => "sync.toHost.customResources",
            Direction::FromHost => "sync.fromHost.customResources",
        };
        let wrong = |problem: String| options.wrong(&format!("{section}: {key}: {problem}"));
        let wanted = Wanted::parse(key);
        let definition = definitions::read(host, &wanted.definition).await.map_err(wrong)?;
        let kind = definition::kind(&wanted, &definition).map_err(wrong)?;
        let scope = config::Scope::of(kind.namespaced);
        if scope != resource.scope {
            return Err(wrong(format!(
                "scope must be {scope:?}, as the definition on the host says"
            )));
        }
        found.push(definition::for_virtual(&kind, &definition));
        let line = custom::line(kind, direction);
        let mappings = resource.mappings.objects();
        if !mappings.is_empty() {
            settings.imports.insert(line.kind, mappings);
        }
        let rules = Rules {
            key: format!("{section}[{key:?}].patches"),
            patches: resource.patches.clone(),
        };
        let added = settings.patches.add(direction, line.kind, rules);
        added.map_err(|problem| options.wrong(&problem))?;
        settings.custom.push(line);
    }
    let kinds: BTreeSet<Kind> = resources::enabled(settings).map(|resource| resource.kind).collect();
    for (kind, name) in kinds.into_iter().filter_map(|kind| Some((kind, kind.definition()?))) {
        let key = match kind {
            Kind::VolumeSnapshot => "sync.toHost.volumeSnapshots",
            Kind::VolumeSnapshotContent => "sync.toHost.volumeSnapshotContents",
            _ => "sync.fromHost.volumeSnapshotClasses",
        };
        let wrong = |problem: String| options.wrong(&format!("{key}: {problem}"));
        let definition = definitions::read(host, &name).await.map_err(wrong)?;
        let wanted = Wanted::parse(&format!("{name}/{}", kind.version()));
        let described = definition::kind(&wanted, &definition).map_err(wrong)?;
        found.push(definition::for_virtual(&described, &definition));
    }
    Ok(found)
}

/// Has the process stand by until it leads.
fn lead(tasks: Tasks, mut candidate: Candidate, mut run: Run) {
    let shutdown = tasks.shutdown();
    run.engine.world().stand_by();
    let first_lists = run.serve(&tasks);
    tasks.clone().spawn("leader-election", async move {
        tokio::select! {
            () = shutdown.cancelled() => return Ok(()),
            () = candidate.acquire() => {}
        }
        run.engine.lead();
        run.start(&tasks, first_lists);
        tokio::select! {
            () = shutdown.cancelled() => Ok(()),
            () = candidate.hold() => Err(anyhow::anyhow!("leadership was lost; restart to become a candidate again")),
        }
    });
}

/// Learns what is to own the copies that lie in no namespace: our ClusterRole, or our namespace.
async fn find_owners(engine: &Engine) {
    const RETRY: Duration = Duration::from_secs(1);
    let world = engine.world();
    loop {
        match engine
            .api(Side::Host)
            .get(Kind::Namespace, "", world.names.host_namespace())
            .await
        {
            Ok(namespace) => {
                world.control_plane.of(Kind::Namespace).apply(Object::new(namespace));
                break;
            }
            Err(error) if error.code() == 0 || error.code() >= 500 => tokio::time::sleep(RETRY).await,
            Err(error) => {
                return warn!(%error, "objects outside of the namespace will not be deleted with it");
            }
        }
    }
    while let Err(error) = ending::find_cluster_role(engine).await {
        warn!(%error, "cannot tell yet what owns objects outside of the namespace");
        tokio::time::sleep(RETRY).await;
    }
}

/// Tells when a watch has listed everything once.
type FirstList = watch::Receiver<bool>;

async fn all_listed(first_lists: Vec<FirstList>) {
    for mut list in first_lists {
        // The sender lives as long as the informer, which lives as long as the process.
        let _ = list.wait_for(|synced| *synced).await;
    }
}

impl Run {
    /// Starts what every process does, whether it leads or not: it knows pods and tells the name server about records.
    /// Returns what tells of the first lists.
    fn serve(&mut self, tasks: &Tasks) -> Vec<FirstList> {
        let watches = std::mem::take(&mut self.standby).into_iter();
        let first_lists: Vec<FirstList> = watches
            .filter_map(|watch| watch.start(tasks, &self.health, &self.engine))
            .collect();
        let (records, known) = (self.records.clone(), first_lists.clone());
        let run = self.records.clone().run();
        let shutdown = tasks.shutdown();
        tasks.spawn("records", async move {
            let serve = async {
                all_listed(known).await;
                records.complete();
                std::future::pending().await
            };
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = run => {}
                () = serve => {}
            }
        });
        first_lists
    }

    /// Starts the tasks of a leader. The engine begins when the names and both clusters are known: before that, everything that
    /// is merely not yet seen would look deleted.
    fn start(self, tasks: &Tasks, mut first_lists: Vec<FirstList>) {
        let Run {
            engine,
            mut store,
            watches,
            events,
            export,
            virtual_,
            definitions,
            nodes_changed,
            deployment,
            service_network,
            health,
            ..
        } = self;
        let gate = health.gate("name-mappings");
        let shutdown = tasks.shutdown();
        let until_shutdown = move |task: futures::future::BoxFuture<'static, ()>| {
            let shutdown = shutdown.clone();
            async move {
                tokio::select! {
                    () = shutdown.cancelled() => {}
                    () = task => {}
                }
            }
        };
        let started = watches
            .into_iter()
            .filter_map(|watch| watch.start(tasks, &health, &engine));
        first_lists.extend(started);
        if let Some(export) = export {
            let gate = health.gate("exported-kubeconfig");
            let run = export.run(engine.api(Side::Host).clone(), virtual_.clone(), gate);
            tasks.spawn_finite("export-kubeconfig", until_shutdown(Box::pin(run)));
        }
        tasks.spawn("events", until_shutdown(Box::pin(events.run())));
        if !definitions.is_empty() {
            let virtual_ = engine.api(Side::Virtual).clone();
            tasks.spawn_finite(
                "custom-resource-definitions",
                until_shutdown(Box::pin(
                    async move { definitions::install(&virtual_, &definitions).await },
                )),
            );
        }
        let deployed = {
            let (virtual_, tasks) = (engine.api(Side::Virtual).clone(), tasks.clone());
            async move {
                if let Err(problem) = deployment.run(&virtual_).await {
                    tasks.fail(anyhow::anyhow!(problem));
                }
            }
        };
        tasks.spawn_finite("deploy", until_shutdown(Box::pin(deployed)));
        if let Some(said) = service_network {
            let virtual_ = engine.api(Side::Virtual).clone();
            let compared = async move { network::compare(&virtual_, &said).await };
            tasks.spawn_finite("service-network", until_shutdown(Box::pin(compared)));
        }
        tasks.spawn_finite("end", ending::run(engine.clone(), tasks.shutdown()));
        tasks.spawn("versions", until_shutdown(Box::pin(engine.clone().follow_versions())));
        let world = engine.world().clone();
        let register = {
            let world = world.clone();
            async move { kubelet::register(&world, virtual_).await }
        };
        tasks.spawn_finite("metrics.k8s.io", until_shutdown(Box::pin(register)));
        if !engine.world().settings.monitors.is_empty() {
            let (world, host, known) = (
                engine.world().clone(),
                engine.api(Side::Host).clone(),
                first_lists.clone(),
            );
            let kept = async move {
                all_listed(known).await;
                monitors::run(world, host, nodes_changed).await;
            };
            tasks.spawn("node-monitors", until_shutdown(Box::pin(kept)));
        }
        let main = async move {
            let fixed = world
                .settings
                .namespaces
                .as_ref()
                .map(|namespaces| namespaces.fixed.clone());
            let agreed = store.agree(&fixed.unwrap_or_default()).await;
            agreed.map_err(|problem| anyhow::anyhow!("--config: {problem}"))?;
            store.load(&world).await;
            gate.ready();
            tokio::join!(all_listed(first_lists), engine.learn_versions());
            if resources::copied_outside(&world.settings).next().is_some() {
                find_owners(&engine).await;
            }
            let sweep = engine.clone().sweep(world.settings.compare_every);
            tokio::join!(engine.run(), sweep, store.run(&world));
            anyhow::Ok(())
        };
        let shutdown = tasks.shutdown();
        tasks.spawn("engine", async move {
            tokio::select! {
                () = shutdown.cancelled() => Ok(()),
                ended = main => ended,
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use serde_json::json;

    use super::*;
    use crate::testing::fake::Fake;

    #[tokio::test]
    async fn a_host_without_snapshots_is_told_before_anything_starts() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), "sync: {toHost: {volumeSnapshots: {enabled: true}}}").expect("written");
        let config = format!("--config={}", file.path().display());
        let flags = [
            "syncer",
            "--kubeconfig=k",
            "--name=vc",
            "--target-namespace=host",
            "--etcd-servers=unix:///s",
        ];
        let options = Options::try_parse_from(flags.into_iter().chain([config.as_str()])).expect("valid");
        let config = options.read_config().expect("valid");
        let mut settings = options.settings(&config).expect("valid");
        let host = Fake::new();
        let api = Api::new(Side::Host, host.client(), Default::default());
        let error = custom_resources(&options, &config, &api, &mut settings)
            .await
            .expect_err("missing")
            .to_string();
        assert!(
            error.contains(
                "sync.toHost.volumeSnapshots: the host has no CustomResourceDefinition volumesnapshots.snapshot.storage.k8s.io"
            ),
            "{error}"
        );
        host.put(
            Kind::CustomResourceDefinition,
            json!({
                "metadata": {"name": "volumesnapshots.snapshot.storage.k8s.io"},
                "spec": {
                    "group": "snapshot.storage.k8s.io", "scope": "Namespaced",
                    "names": {"plural": "volumesnapshots", "kind": "VolumeSnapshot"},
                    "versions": [{"name": "v1", "served": true, "storage": true}],
                },
            }),
        );
        let found = custom_resources(&options, &config, &api, &mut settings)
            .await
            .expect("there");
        assert_eq!(found[0]["spec"]["versions"][0]["name"], "v1");
    }
}
