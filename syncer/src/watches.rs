//! Which watches there are, and where what they show goes.

use std::collections::BTreeMap;
use std::sync::Arc;

use chassis::{Gate, Health, Tasks};
use tokio::sync::watch;

use crate::clusters::{Informer, Selection};
use crate::engine::Engine;
use crate::foreign::{self, Scope};
use crate::kinds::{Kind, Side};
use crate::names::keys;
use crate::resources::nodes::others;
use crate::resources::{self, Direction, gateway, namespaces, trim};
use crate::settings::Settings;

/// One informer, and where its changes go.
pub struct Watch {
    name: String,
    informer: Informer,
    source: Source,
}

/// Kinds of the virtual cluster that the name server answers from, and pods and nodes, which kubelets know.
const SERVED: &[Kind] = &[
    Kind::Pod,
    Kind::Node,
    Kind::Namespace,
    Kind::Service,
    Kind::EndpointSlice,
];

impl Watch {
    /// Whether a process needs it that only stands by: it answers kubelet requests and tells the name server about records. On
    /// the host it watches nothing but pods.
    pub fn serves_standby(&self) -> bool {
        match self.source {
            Source::Side(Side::Host) => self.informer.kind == Kind::Pod,
            Source::Side(Side::Virtual) => SERVED.contains(&self.informer.kind),
            _ => false,
        }
    }

    /// Starts it as a task. What is returned tells of the first list; nothing waits for objects that are not ours.
    pub fn start(self, tasks: &Tasks, health: &Health, engine: &Arc<Engine>) -> Option<watch::Receiver<bool>> {
        let (synced, announced) = watch::channel(false);
        let gate = (!matches!(self.source, Source::Foreign(_))).then(|| health.gate(&self.name));
        let awaited = gate.is_some().then_some(announced);
        let (name, shutdown) = (format!("watch {}", self.name), tasks.shutdown());
        let follow = Box::pin(follow(self, engine.clone(), gate, synced));
        tasks.spawn(name, async move {
            shutdown.run_until_cancelled(follow).await;
        });
        awaited
    }
}

enum Source {
    Side(Side),
    ControlPlane,
    Foreign(Scope),
    /// What is in namespaces that virtual ones have to themselves, whoever made it.
    Strangers,
    /// Pods that belong to others, wherever they are.
    Others,
}

async fn follow(watch: Watch, engine: Arc<Engine>, gate: Option<Gate>, synced: watch::Sender<bool>) {
    let world = engine.world().clone();
    let kind = watch.informer.kind;
    let cache = match &watch.source {
        Source::Side(side) => world.side(*side).of(kind),
        Source::ControlPlane => world.control_plane.of(kind),
        Source::Foreign(_) => world.foreign.caches.of(kind),
        Source::Strangers => world.strangers.of(kind),
        Source::Others => world.other_pods.cache(),
    };
    let announce = || {
        if let Some(gate) = &gate {
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
            Source::Strangers => engine.observe_stranger(kind, &change),
            Source::Others => engine.observe_other_pod(&change),
        })
        .await;
}

/// Every watch that these settings need.
pub fn all(settings: &Settings, engine: &Engine) -> Vec<Watch> {
    let names = settings.names();
    // In several namespaces, or in one.
    let copies = names.single_namespace().unwrap_or_default();
    let ours = Selection {
        namespace: copies.to_owned(),
        labels: format!("{}={}", keys::MARKER, settings.vcluster),
        ..Selection::default()
    };
    let ours_of_cluster = Selection {
        labels: format!("{}={}", keys::MARKER, names.cluster_marker()),
        ..Selection::default()
    };
    // The namespaces of the host besides the control plane's, where they are known one by one.
    let mapped = names.all_on_host().unwrap_or_default();
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
            (Kind::Event, _) if !mapped.is_empty() => {
                let places = mapped.iter().copied().chain([settings.host_namespace.as_str()]);
                watches.extend(places.map(|place| (Source::Side(Side::Host), Kind::Event, everything(place))));
                continue;
            }
            (Kind::Event, _) => everything(copies),
            (Kind::Node, _) if !settings.nodes.from_host => continue,
            (Kind::Node, _) => Selection {
                labels: labels(&settings.nodes.required_labels),
                ..everything("")
            },
            (Kind::Namespace | Kind::PersistentVolume, Direction::FromHost) => continue,
            // What the host makes for our claims and snapshots carries no mark.
            (Kind::PersistentVolume | Kind::VolumeSnapshotContent, _) => everything(""),
            // Others are there, too: a name may be taken.
            (Kind::Namespace, Direction::ToHost) if !mapped.is_empty() => {
                let named = |name: &&str| Selection {
                    fields: format!("metadata.name={name}"),
                    ..Selection::default()
                };
                let each = mapped.iter().map(named);
                watches.extend(each.map(|selection| (Source::Side(Side::Host), Kind::Namespace, selection)));
                continue;
            }
            (Kind::Namespace, Direction::ToHost) => everything(""),
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
    for kind in resources::strangers::kinds(settings) {
        let places = if mapped.is_empty() { vec![""] } else { mapped.clone() };
        watches.extend(
            places
                .into_iter()
                .map(|place| (Source::Strangers, kind, everything(place))),
        );
    }
    if namespaces::needs_account(settings) {
        let fields = format!("metadata.name={}", settings.workload_service_account);
        let named = Selection {
            fields,
            ..Selection::default()
        };
        watches.push((Source::Side(Side::Host), Kind::ServiceAccount, named));
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
                Source::Side(Side::Host) if !mapped.is_empty() && matches!(kind, Kind::Namespace | Kind::Event) => {
                    (Side::Host, format!("host-{}{}", selection.namespace, selection.fields))
                }
                Source::Side(side) => (*side, side.as_str().to_owned()),
                Source::ControlPlane => (Side::Host, "control-plane".to_owned()),
                Source::Foreign(scope) => (Side::Host, format!("namespace-{}", scope.namespace)),
                Source::Strangers => (Side::Host, ["strangers", &selection.namespace].join("-")),
                Source::Others => (Side::Host, "others".to_owned()),
            };
            let name = format!("{cluster}-{}", kind.plural());
            let informer = Informer {
                api: engine.api(side).clone(),
                kind,
                selection,
                trim: match source {
                    Source::Others => others::trim,
                    // What a virtual object is made from has to be whole.
                    Source::Strangers => |_| (),
                    _ => trim(side, kind),
                },
                compare_every: settings.compare_every,
            };
            Watch { name, informer, source }
        })
        .collect()
}

/// The label selector that demands all of these.
fn labels(required: &BTreeMap<String, String>) -> String {
    let pairs: Vec<String> = required.iter().map(|(key, value)| format!("{key}={value}")).collect();
    pairs.join(",")
}
