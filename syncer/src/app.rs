//! Builds every part, in start order: connections, names, watches, engine, kubelet API, gRPC.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use chassis::http::Answer;
use chassis::{BindAddress, Chassis, Gate, Listener, Tasks, usage};
use client::leader::Candidate;
use config::Config;
use serde_json::Value;
use tokio::sync::watch;
use tracing::warn;

use crate::clusters::{Api, ConnectError, Connection, Informer, Selection, connect, definitions};
use crate::engine::Engine;
use crate::export::Export;
use crate::foreign::{self, Scope};
use crate::kinds::{Kind, Side};
use crate::kubelet::{self, Kubelet};
use crate::metrics::Metrics;
use crate::names::{MappingStore, Names, keys};
use crate::object::Object;
use crate::options::{self, Options};
use crate::patches::Rules;
use crate::resources::custom::definition::{self, Wanted};
use crate::resources::nodes::others;
use crate::resources::{Direction, custom, gateway, trim};
use crate::settings::Settings;
use crate::world::World;
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
    let mut definitions = gateway_api(&options, &host_api, &settings).await?;
    definitions.extend(custom_resources(&options, &config, &host_api, &mut settings).await?);
    let world = Arc::new(World::new(settings));
    let (recorder, events) = client::Recorder::new(virtual_.shared.clone(), "vcluster-syncer");
    let engine = Engine::new(world.clone(), virtual_api, host_api, recorder, metrics.clone());

    if let Some(file) = &options.export_kubeconfig {
        let export = Export::read(file, &world.settings)?;
        let (shutdown, gate) = (chassis.shutdown(), chassis.health().gate("exported-kubeconfig"));
        let run = export.run(engine.api(Side::Host).clone(), virtual_.shared.clone(), gate);
        chassis.tasks().spawn_finite("export-kubeconfig", async move {
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = run => {}
            }
        });
    }

    for address in &world.settings.metrics_addresses {
        serve_metrics(chassis, address).await?;
    }

    let kubelet = Kubelet::new(world.clone(), host.clone(), virtual_.shared.clone());
    let tls = kubelet::tls(&options, &world.settings)?;
    kubelet::serve(chassis.tasks(), listener, kubelet, tls, kubelet::Trust::new(&options)?);
    let records = grpc::records::Publisher::new(world.clone());
    let publisher = records.clone();
    engine.listen(move |kind, change| publisher.observe(kind, change));
    grpc::register(chassis, &engine, &records);

    let informers = informers(&world.settings, &engine, chassis);
    let store = MappingStore::new(store, format!("{}-{}", world.settings.vcluster, std::process::id()));
    let run = Run {
        engine: engine.clone(),
        records,
        store,
        informers,
        events,
        virtual_: virtual_.shared.clone(),
        definitions,
    };
    let gate = chassis.health().gate("name-mappings");
    let tasks = chassis.tasks().clone();
    if options.leader_elect {
        let candidate = Candidate::new(
            virtual_.shared,
            &format!("vcluster-{}-controller", world.settings.vcluster),
        );
        lead(tasks, candidate, run, gate);
    } else {
        run.start(&tasks, gate);
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

/// Everything that only the leader does.
struct Run {
    engine: Arc<Engine>,
    records: Arc<grpc::records::Publisher>,
    store: MappingStore,
    informers: Vec<Watch>,
    events: client::events::Writer,
    virtual_: kube::Client,
    /// What the virtual cluster has to know of custom resources.
    definitions: Vec<Value>,
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

fn lead(tasks: Tasks, mut candidate: Candidate, run: Run, gate: Gate) {
    // A candidate that waits is healthy: it would take over at any moment.
    gate.ready();
    let shutdown = tasks.shutdown();
    tasks.clone().spawn("leader-election", async move {
        tokio::select! {
            () = shutdown.cancelled() => return Ok(()),
            () = candidate.acquire() => {}
        }
        run.start(&tasks, gate);
        tokio::select! {
            () = shutdown.cancelled() => Ok(()),
            () = candidate.hold() => Err(anyhow::anyhow!("leadership was lost; restart to become a candidate again")),
        }
    });
}

/// Learns which namespace of the host ours is: it becomes the owner of what lies in none.
async fn find_namespace(engine: &Engine) {
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
                return;
            }
            Err(error) if error.code() == 0 || error.code() >= 500 => tokio::time::sleep(RETRY).await,
            Err(error) => {
                return warn!(%error, "objects outside of the namespace will not be deleted with it");
            }
        }
    }
}

/// One informer, where its changes go, and how its first list is announced.
struct Watch {
    name: String,
    informer: Informer,
    source: Source,
    /// Opens with the first list; nothing waits for objects that are not ours.
    gate: Option<Gate>,
}

enum Source {
    Side(Side),
    ControlPlane,
    Foreign(Scope),
    /// Pods that belong to others, wherever they are.
    Others,
}

impl Run {
    /// Starts the tasks. The engine begins when the names and both clusters are known: before that, everything that
    /// is merely not yet seen would look deleted.
    fn start(self, tasks: &Tasks, gate: Gate) {
        let Run {
            engine,
            records,
            mut store,
            informers,
            events,
            virtual_,
            definitions,
        } = self;
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
        let mut first_lists = Vec::new();
        for watch in informers {
            let (synced, announced) = watch::channel(false);
            if watch.gate.is_some() {
                first_lists.push(announced);
            }
            let name = format!("watch {}", watch.name);
            tasks.spawn(name, until_shutdown(Box::pin(follow(watch, engine.clone(), synced))));
        }
        tasks.spawn("events", until_shutdown(Box::pin(events.run())));
        tasks.spawn("records", until_shutdown(Box::pin(records.clone().run())));
        if !definitions.is_empty() {
            let virtual_ = engine.api(Side::Virtual).clone();
            tasks.spawn_finite(
                "custom-resource-definitions",
                until_shutdown(Box::pin(
                    async move { definitions::install(&virtual_, &definitions).await },
                )),
            );
        }
        tasks.spawn("versions", until_shutdown(Box::pin(engine.clone().learn_versions())));
        let world = engine.world().clone();
        let register = {
            let world = world.clone();
            async move { kubelet::register(&world, virtual_).await }
        };
        tasks.spawn_finite("metrics.k8s.io", until_shutdown(Box::pin(register)));
        let main = async move {
            store.load(&world).await;
            gate.ready();
            for mut list in first_lists {
                // The sender lives as long as the informer, which lives as long as the process.
                let _ = list.wait_for(|synced| *synced).await;
            }
            records.complete();
            if resources::copied_outside(&world.settings).next().is_some() {
                find_namespace(&engine).await;
            }
            let sweep = engine.clone().sweep(world.settings.compare_every);
            tokio::join!(engine.run(), sweep, store.run(&world));
        };
        tasks.spawn("engine", until_shutdown(Box::pin(main)));
    }
}

async fn follow(watch: Watch, engine: Arc<Engine>, synced: watch::Sender<bool>) {
    let world = engine.world().clone();
    let kind = watch.informer.kind;
    let cache = match &watch.source {
        Source::Side(side) => world.side(*side).of(kind),
        Source::ControlPlane => world.control_plane.of(kind),
        Source::Foreign(_) => world.foreign.caches.of(kind),
        Source::Others => world.other_pods.cache(),
    };
    let announce = || {
        if let Some(gate) = &watch.gate {
            gate.ready();
        }
        if let Source::Foreign(scope) = &watch.source {
            world.foreign.complete(scope);
            // What is not there is known only now.
            engine.resync(Some(kind));
        }
        synced.send_replace(true);
    };
    watch
        .informer
        .run(cache, announce, |change| match &watch.source {
            Source::Side(side) => engine.observe(*side, kind, &change),
            Source::ControlPlane => engine.observe_control_plane(kind, &change),
            Source::Foreign(_) => engine.observe_foreign(kind, &change),
            Source::Others => engine.observe_other_pod(&change),
        })
        .await;
}

fn informers(settings: &Settings, engine: &Engine, chassis: &Chassis) -> Vec<Watch> {
    let names = Names::new(&settings.vcluster, &settings.host_namespace);
    let ours = Selection {
        namespace: settings.host_namespace.clone(),
        labels: format!("{}={}", keys::MARKER, settings.vcluster),
        ..Selection::default()
    };
    let ours_of_cluster = Selection {
        labels: format!("{}={}", keys::MARKER, names.cluster_marker()),
        ..Selection::default()
    };
    let everything = |namespace: &str| Selection {
        namespace: namespace.to_owned(),
        ..Selection::default()
    };
    // Labels of namespaces are labels of pods on the host.
    let mut own = gateway::known(settings);
    own.insert(Kind::Namespace);
    let mut watches: Vec<(Source, Kind, Selection)> = Vec::new();
    for resource in resources::enabled(settings) {
        own.extend(Some(resource.kind).filter(|kind| *kind != Kind::Event));
        if !resource.is_on_host(settings) {
            continue;
        }
        if settings.imports.contains_key(&resource.kind) && resource.direction == Direction::FromHost {
            continue;
        }
        let selection = match (resource.kind, resource.direction) {
            (Kind::Event, _) => everything(&settings.host_namespace),
            (Kind::Node, _) if !settings.nodes.from_host => continue,
            (Kind::Node, _) => Selection {
                labels: labels(&settings.nodes.required_labels),
                ..everything("")
            },
            (Kind::Namespace | Kind::PersistentVolume, Direction::FromHost) => continue,
            // What the host makes for our claims and snapshots carries no mark.
            (Kind::PersistentVolume | Kind::VolumeSnapshotContent, _) => everything(""),
            (_, Direction::FromHost) => everything(""),
            (kind, Direction::ToHost) if kind.is_namespaced() => ours.clone(),
            (_, Direction::ToHost) => ours_of_cluster.clone(),
        };
        watches.push((Source::Side(Side::Host), resource.kind, selection));
    }
    watches.extend(
        own.into_iter()
            .map(|kind| (Source::Side(Side::Virtual), kind, everything(""))),
    );
    if settings.nodes.from_host && settings.nodes.scheduled_here {
        let others = Selection {
            labels: format!("{}!={}", keys::MARKER, settings.vcluster),
            fields: "spec.nodeName!=,status.phase!=Succeeded,status.phase!=Failed".to_owned(),
            ..Selection::default()
        };
        watches.push((Source::Others, Kind::Pod, others));
    }
    if !settings.service_name.is_empty() {
        for kind in [Kind::Service, Kind::Endpoints] {
            let fields = format!("metadata.name={}", settings.service_name);
            watches.push((
                Source::ControlPlane,
                kind,
                Selection {
                    fields,
                    ..everything(&settings.host_namespace)
                },
            ));
        }
    }
    for scope in foreign::scopes(settings) {
        let (kind, selection) = (scope.kind, scope.selection());
        watches.push((Source::Foreign(scope), kind, selection));
    }
    watches
        .into_iter()
        .map(|(source, kind, selection)| {
            let (side, cluster) = match &source {
                Source::Side(side) => (*side, side.as_str().to_owned()),
                Source::ControlPlane => (Side::Host, "control-plane".to_owned()),
                Source::Foreign(scope) => (Side::Host, format!("namespace-{}", scope.namespace)),
                Source::Others => (Side::Host, "others".to_owned()),
            };
            let name = format!("{cluster}-{}", kind.plural());
            let gate = (!matches!(source, Source::Foreign(_))).then(|| chassis.health().gate(&name));
            let informer = Informer {
                api: engine.api(side).clone(),
                kind,
                selection,
                trim: match source {
                    Source::Others => others::trim,
                    _ => trim(side, kind),
                },
                compare_every: settings.compare_every,
            };
            Watch {
                name,
                informer,
                source,
                gate,
            }
        })
        .collect()
}

/// The label selector that demands all of these.
fn labels(required: &BTreeMap<String, String>) -> String {
    let pairs: Vec<String> = required.iter().map(|(key, value)| format!("{key}={value}")).collect();
    pairs.join(",")
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
