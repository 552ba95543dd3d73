//! The synced kinds. Adding one is a file here and a line in [`TABLE`].

pub mod custom;
pub mod placement;
pub mod role;

mod bound;
mod budgets;
pub mod capacities;
mod claims;
mod configmaps;
mod copied;
mod devices;
mod endpoints;
mod endpointslices;
mod events;
pub mod gateway;
pub(crate) mod imports;
mod ingresses;
mod kubernetes;
mod mirrored;
pub mod namespaces;
mod networkpolicies;
pub mod nodes;
mod ownership;
pub mod pair;
mod pods;
mod priorityclasses;
mod replicas;
mod secrets;
mod serviceaccounts;
mod services;
mod snapshots;
mod storageclasses;
pub mod strangers;
mod trim;
pub(crate) mod usable;
mod used;
pub mod volumes;

use serde_json::Value;

use crate::clusters::Change;
use crate::engine::plan::{Awaited, Place, Plan, Step};
use crate::json;
use crate::kinds::{GATEWAY_API, Kind, Side};
use crate::names::{Claim, DNS_NAME, DNS_NAMESPACE, Reference, claim, keys};
use crate::object::ObjectKey;
use crate::patches;
use crate::settings::Settings;
use crate::world::World;

pub(crate) use pods::RESIZE;
pub(crate) use pods::token_owner;
pub use pods::{REFRESH_AT, is_token_secret};
pub use services::address;
pub(crate) use services::without_node_ports;
pub use trim::trim;

/// Which side an object comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Direction {
    /// The host has copies of virtual objects.
    ToHost,
    /// The virtual cluster has copies of host objects, or what stands for them.
    FromHost,
}

/// When a kind is synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// With every configuration.
    Always,
    /// When the configuration names it for the direction. Its virtual objects are known with every configuration: some are
    /// the syncer's own, and the name server answers from them.
    Known,
    /// When the configuration names it for the direction.
    Named,
}

/// A right that the syncer needs on the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostRule {
    /// API group.
    pub group: &'static str,
    /// Resource or subresource.
    pub resource: &'static str,
    /// Verbs.
    pub verbs: &'static [&'static str],
    /// Whether it is needed outside the namespace of the virtual cluster.
    pub cluster: bool,
}

/// One line of the table.
#[derive(Debug)]
pub struct Resource {
    /// The kind.
    pub kind: Kind,
    /// Where its objects come from.
    pub direction: Direction,
    /// Whether it is synced.
    pub when: When,
    /// What it needs on the host.
    pub host_rules: &'static [HostRule],
    /// What to do about one object.
    pub plan: Decision,
}

/// Decides what one virtual object needs.
pub type Decision = fn(&World, &Reference) -> Plan;

impl Resource {
    /// Whether its virtual objects are looked at with these settings.
    pub fn is_enabled(&self, settings: &Settings) -> bool {
        self.when == When::Known || self.is_on_host(settings)
    }

    /// Whether its objects on the host are looked at, which takes the rights that it names.
    pub fn is_on_host(&self, settings: &Settings) -> bool {
        let to_host = |kind| settings.to_host.contains(&kind);
        match (self.when, self.direction, self.kind) {
            (When::Always, ..) => true,
            // Secrets carry the tokens of pods.
            (_, Direction::ToHost, Kind::Secret) => to_host(Kind::Secret) || to_host(Kind::Pod),
            // Replicas are Services.
            (_, Direction::ToHost, Kind::Service) => to_host(Kind::Service) || !settings.replicas.to_host.is_empty(),
            // Some of these have Endpoints.
            (_, Direction::ToHost, Kind::Endpoints) => {
                to_host(Kind::Endpoints) || (settings.namespaces.is_some() && !settings.replicas.to_host.is_empty())
            }
            (_, Direction::ToHost, kind) => to_host(kind),
            // Volumes are made up for claims, unless the host's are known.
            (_, Direction::FromHost, Kind::PersistentVolume) => {
                to_host(Kind::PersistentVolumeClaim) && !to_host(Kind::PersistentVolume)
            }
            (_, Direction::FromHost, kind) => {
                settings.from_host.contains_key(&kind) || settings.imports.contains_key(&kind)
            }
        }
    }
}

const WRITE: &[&str] = &["create", "delete", "get", "list", "patch", "watch"];
const READ: &[&str] = &["list", "watch"];
const CALL: &[&str] = &["create", "get"];
const GET: &[&str] = &["get"];
const PATCH: &[&str] = &["patch"];

const fn rule(resource: &'static str, verbs: &'static [&'static str]) -> HostRule {
    rule_of("", resource, verbs)
}

pub(crate) const fn rule_of(group: &'static str, resource: &'static str, verbs: &'static [&'static str]) -> HostRule {
    HostRule {
        group,
        resource,
        verbs,
        cluster: false,
    }
}

pub(crate) const fn cluster_rule(
    group: &'static str,
    resource: &'static str,
    verbs: &'static [&'static str],
) -> HostRule {
    HostRule {
        cluster: true,
        ..rule_of(group, resource, verbs)
    }
}

use Direction::{FromHost, ToHost};
use When::{Always, Known, Named};

/// Every synced kind, in the order in which they are explained.
#[rustfmt::skip]
pub const TABLE: &[Resource] = &[
    Resource { kind: Kind::Pod, direction: ToHost, when: Known, plan: pods::plan, host_rules: &[
        rule("pods", WRITE), rule("pods/status", PATCH), rule("pods/ephemeralcontainers", PATCH), rule("pods/resize", PATCH), rule("pods/log", GET),
        rule("pods/exec", CALL), rule("pods/attach", CALL), rule("pods/portforward", CALL),
    ] },
    Resource { kind: Kind::Service, direction: ToHost, when: Known, plan: services::plan, host_rules: &[rule("services", WRITE)] },
    Resource { kind: Kind::Endpoints, direction: ToHost, when: Known, plan: endpoints::plan, host_rules: &[rule("endpoints", WRITE)] },
    Resource { kind: Kind::EndpointSlice, direction: ToHost, when: Known, plan: endpointslices::plan, host_rules: &[rule_of("discovery.k8s.io", "endpointslices", WRITE)] },
    Resource { kind: Kind::ConfigMap, direction: FromHost, when: Named, plan: imports::plan, host_rules: &[] },
    Resource { kind: Kind::ConfigMap, direction: ToHost, when: Named, plan: configmaps::plan, host_rules: &[rule("configmaps", WRITE)] },
    Resource { kind: Kind::Secret, direction: FromHost, when: Named, plan: imports::plan, host_rules: &[] },
    Resource { kind: Kind::Secret, direction: ToHost, when: Named, plan: secrets::plan, host_rules: &[rule("secrets", WRITE)] },
    Resource { kind: Kind::PersistentVolumeClaim, direction: ToHost, when: Named, plan: claims::plan, host_rules: &[rule("persistentvolumeclaims", WRITE)] },
    Resource { kind: Kind::PersistentVolume, direction: ToHost, when: Named, plan: volumes::plan_real, host_rules: &[cluster_rule("", "persistentvolumes", WRITE)] },
    Resource { kind: Kind::PersistentVolume, direction: FromHost, when: Named, plan: volumes::plan, host_rules: &[] },
    Resource { kind: Kind::ServiceAccount, direction: ToHost, when: Named, plan: serviceaccounts::plan, host_rules: &[rule("serviceaccounts", WRITE)] },
    Resource { kind: Kind::Ingress, direction: ToHost, when: Named, plan: ingresses::plan, host_rules: &[rule_of("networking.k8s.io", "ingresses", WRITE)] },
    Resource { kind: Kind::NetworkPolicy, direction: ToHost, when: Named, plan: networkpolicies::plan, host_rules: &[rule_of("networking.k8s.io", "networkpolicies", WRITE)] },
    Resource { kind: Kind::PodDisruptionBudget, direction: ToHost, when: Named, plan: budgets::plan, host_rules: &[rule_of("policy", "poddisruptionbudgets", WRITE)] },
    Resource { kind: Kind::PriorityClass, direction: ToHost, when: Named, plan: priorityclasses::plan_copy, host_rules: &[cluster_rule("scheduling.k8s.io", "priorityclasses", WRITE)] },
    Resource { kind: Kind::PriorityClass, direction: FromHost, when: Named, plan: priorityclasses::plan_mirror, host_rules: &[cluster_rule("scheduling.k8s.io", "priorityclasses", READ)] },
    Resource { kind: Kind::StorageClass, direction: ToHost, when: Named, plan: storageclasses::plan_copy, host_rules: &[cluster_rule("storage.k8s.io", "storageclasses", WRITE)] },
    Resource { kind: Kind::StorageClass, direction: FromHost, when: Named, plan: storageclasses::plan_mirror, host_rules: &[cluster_rule("storage.k8s.io", "storageclasses", READ)] },
    Resource { kind: Kind::ResourceClaim, direction: ToHost, when: Named, plan: devices::plan_claim, host_rules: &[rule_of("resource.k8s.io", "resourceclaims", WRITE)] },
    Resource { kind: Kind::ResourceClaimTemplate, direction: ToHost, when: Named, plan: devices::plan_template, host_rules: &[rule_of("resource.k8s.io", "resourceclaimtemplates", WRITE)] },
    Resource { kind: Kind::DeviceClass, direction: FromHost, when: Named, plan: devices::plan_class, host_rules: &[cluster_rule("resource.k8s.io", "deviceclasses", READ)] },
    Resource { kind: Kind::GatewayClass, direction: FromHost, when: Named, plan: gateway::plan_class, host_rules: &[cluster_rule(GATEWAY_API, "gatewayclasses", READ), custom::definition::RIGHT] },
    // What may be read of Gateways of the host is said by their mappings.
    Resource { kind: Kind::Gateway, direction: FromHost, when: Named, plan: gateway::plan_import, host_rules: &[custom::definition::RIGHT] },
    Resource { kind: Kind::Gateway, direction: ToHost, when: Named, plan: gateway::plan_gateway, host_rules: &[rule_of(GATEWAY_API, "gateways", WRITE), custom::definition::RIGHT] },
    Resource { kind: Kind::HttpRoute, direction: ToHost, when: Named, plan: gateway::plan_http_route, host_rules: &[rule_of(GATEWAY_API, "httproutes", WRITE), custom::definition::RIGHT] },
    Resource { kind: Kind::TlsRoute, direction: ToHost, when: Named, plan: gateway::plan_tls_route, host_rules: &[rule_of(GATEWAY_API, "tlsroutes", WRITE), custom::definition::RIGHT] },
    Resource { kind: Kind::BackendTlsPolicy, direction: ToHost, when: Named, plan: gateway::plan_policy, host_rules: &[rule_of(GATEWAY_API, "backendtlspolicies", WRITE), custom::definition::RIGHT] },
    Resource { kind: Kind::ReferenceGrant, direction: ToHost, when: Named, plan: gateway::plan_grant, host_rules: &[rule_of(GATEWAY_API, "referencegrants", WRITE), custom::definition::RIGHT] },
    Resource { kind: Kind::IngressClass, direction: FromHost, when: Named, plan: mirrored::plan_ingress_class, host_rules: &[cluster_rule("networking.k8s.io", "ingressclasses", READ)] },
    Resource { kind: Kind::RuntimeClass, direction: FromHost, when: Named, plan: mirrored::plan_runtime_class, host_rules: &[cluster_rule("node.k8s.io", "runtimeclasses", READ)] },
    Resource { kind: Kind::CsiDriver, direction: FromHost, when: Named, plan: mirrored::plan_csi_driver, host_rules: &[cluster_rule("storage.k8s.io", "csidrivers", READ)] },
    Resource { kind: Kind::CsiNode, direction: FromHost, when: Named, plan: mirrored::plan_csi_node, host_rules: &[cluster_rule("storage.k8s.io", "csinodes", READ)] },
    Resource { kind: Kind::CsiStorageCapacity, direction: FromHost, when: Named, plan: capacities::plan, host_rules: &[cluster_rule("storage.k8s.io", "csistoragecapacities", READ)] },
    Resource { kind: Kind::VolumeSnapshot, direction: ToHost, when: Named, plan: snapshots::plan, host_rules: &[
        rule_of("snapshot.storage.k8s.io", "volumesnapshots", WRITE), custom::definition::RIGHT,
    ] },
    Resource { kind: Kind::VolumeSnapshotContent, direction: ToHost, when: Named, plan: snapshots::plan_content, host_rules: &[
        cluster_rule("snapshot.storage.k8s.io", "volumesnapshotcontents", WRITE), custom::definition::RIGHT,
    ] },
    Resource { kind: Kind::VolumeSnapshotClass, direction: FromHost, when: Named, plan: snapshots::plan_class, host_rules: &[
        cluster_rule("snapshot.storage.k8s.io", "volumesnapshotclasses", READ), custom::definition::RIGHT,
    ] },
    Resource { kind: Kind::Namespace, direction: ToHost, when: Named, plan: namespaces::plan_copy, host_rules: &[cluster_rule("", "namespaces", WRITE)] },
    Resource { kind: Kind::Namespace, direction: FromHost, when: Always, plan: namespaces::plan, host_rules: &[] },
    Resource { kind: Kind::Node, direction: FromHost, when: Always, plan: nodes::plan, host_rules: &[] },
    Resource { kind: Kind::Event, direction: FromHost, when: Named, plan: events::plan, host_rules: &[rule("events", READ)] },
];

/// The lines that count with these settings. A kind has two of them when objects of both clusters go to the other one.
pub fn enabled(settings: &Settings) -> impl Iterator<Item = &'static Resource> {
    let built_in = TABLE.iter().filter(|resource| resource.is_enabled(settings));
    built_in.chain(settings.custom.iter().copied())
}

/// The kinds of which the host has copies outside of the control plane's namespace with these settings: nothing in there owns
/// them.
pub fn copied_outside(settings: &Settings) -> impl Iterator<Item = Kind> {
    let everywhere = settings.namespaces.is_some();
    enabled(settings)
        .filter(move |resource| resource.direction == ToHost && (everywhere || !resource.kind.is_namespaced()))
        .map(|resource| resource.kind)
}

/// Decides what one virtual object needs, whatever happened.
pub fn plan(world: &World, item: &Reference) -> Plan {
    if let Some(plan) = namespaces::at_the_end(world, item) {
        return plan;
    }
    if let Some(plan) = strangers::plan(world, item) {
        return plan;
    }
    let plans = enabled(&world.settings)
        .filter(|resource| resource.kind == item.kind)
        .map(|resource| patches::apply(world, item, resource.direction, (resource.plan)(world, item)));
    let plan = plans.reduce(Plan::then).unwrap_or_default();
    unless_ending(world, namespaces::in_our_own(world, item, plan))
}

/// A plan without what nobody would take away again, when the virtual cluster is being taken away.
fn unless_ending(world: &World, mut plan: Plan) -> Plan {
    let leaves_something = |step: &Step| matches!(step, Step::Create { side: Side::Host, .. } | Step::Tokens(_));
    if plan.steps.iter().any(leaves_something) && world.is_ending() {
        plan.steps.retain(|step| !leaves_something(step));
        plan.waits.push(Awaited {
            place: Place::ControlPlane,
            kind: Kind::Service,
            key: ObjectKey::new(world.names.host_namespace(), &world.settings.service_name),
        });
    }
    plan
}

/// Which virtual objects have to be looked at because an object of one side changed.
pub fn affected(world: &World, side: Side, kind: Kind, change: &Change) -> Vec<Reference> {
    let mut items = match side {
        Side::Virtual => own_item(kind, change),
        Side::Host => counterparts(world, kind, change),
    };
    forget_agreed(world, side, change);
    match kind {
        Kind::Pod => {
            let nodes = world.placement.observe(side, change);
            items.extend(nodes.iter().map(|node| Reference::new(Kind::Node, "", node)));
        }
        Kind::Service if side == Side::Virtual => {
            items.extend(own_item(Kind::Endpoints, change));
            items.extend(replicas::of_virtual_service(world, change));
            items.extend(endpointslices::of_service(world, change));
        }
        Kind::CsiStorageCapacity if side == Side::Host => items.extend(world.capacities.observe(change)),
        Kind::Node if side == Side::Virtual => {
            let csi = change
                .object()
                .map(|node| Reference::new(Kind::CsiNode, "", &node.key().name));
            items.extend(csi.filter(|_| world.settings.from_host.contains_key(&Kind::CsiNode)));
            if change.old.is_none() || change.new.is_none() {
                items.extend(capacities::of_nodes(world));
            }
        }
        Kind::PersistentVolumeClaim if side == Side::Virtual => items.extend(world.volumes.observe(change)),
        Kind::Namespace if side == Side::Virtual => items.extend(pods::of_relabelled_namespace(world, change)),
        Kind::Namespace => items.extend(namespaces::of_host(world, change)),
        _ => {}
    }
    items.extend(gateway::affected(world, side, kind, change));
    items.extend(replicas::of_items(world, &items, change));
    items
}

/// Forgets what both sides had when one of them is gone, and when the host was put back to an earlier state: what it has then is no
/// news.
fn forget_agreed(world: &World, side: Side, change: &Change) {
    match (side, &change.old, &change.new) {
        (Side::Virtual, Some(gone), None) => world.agreed.forget(gone.uid()),
        (Side::Host, Some(old), Some(new)) if old.version() > new.version() => {
            let copy = change.new_value();
            let uid = copy.map(|copy| json::text(copy, &["metadata", "annotations", keys::OBJECT_UID]));
            world.agreed.forget(uid.unwrap_or_default());
        }
        _ => {}
    }
}

/// Which nodes have to be looked at because a pod of somebody else changed.
pub fn affected_by_other_pod(world: &World, change: &Change) -> Vec<Reference> {
    let nodes = world.other_pods.observe(change);
    nodes.iter().map(|node| Reference::new(Kind::Node, "", node)).collect()
}

/// Which virtual objects have to be looked at because the control plane's own Service or Endpoints changed.
pub fn affected_by_control_plane(world: &World, kind: Kind) -> Vec<Reference> {
    let mut items = behind_control_plane(world, kind);
    items.extend(nodes::with_service(world));
    items
}

fn behind_control_plane(world: &World, kind: Kind) -> Vec<Reference> {
    match kind {
        Kind::Service => {
            let outside = copied_outside(&world.settings).flat_map(|kind| all(world, kind));
            let own = [
                kubernetes::reference(Kind::Service),
                Reference::new(Kind::Service, DNS_NAMESPACE, DNS_NAME),
            ];
            let marked = namespaces::marked(world);
            own.into_iter().chain(outside).chain(marked).collect()
        }
        _ => vec![
            kubernetes::reference(Kind::Endpoints),
            kubernetes::reference(Kind::EndpointSlice),
        ],
    }
}

/// Which virtual object has to be looked at because an object of the host changed in a namespace that is one's of the virtual
/// cluster, or of another one.
pub fn affected_by_stranger(world: &World, kind: Kind, change: &Change) -> Vec<Reference> {
    strangers::affected(world, kind, change).into_iter().collect()
}

/// Which virtual objects have to be looked at because an object of the host that is not ours changed.
pub fn affected_by_foreign(world: &World, kind: Kind, change: &Change) -> Vec<Reference> {
    let mut items = imports::affected(world, kind, change);
    items.extend(replicas::of_host_service(world, change));
    items.extend(gateway::affected_by_foreign(world, kind));
    items
}

/// The object of the host that a virtual object in a namespace is made of, whatever names the two have.
pub(crate) fn shown(world: &World, item: &Reference) -> Option<Value> {
    match item.kind {
        Kind::Event => events::of_host(world, item),
        Kind::CsiStorageCapacity => world.capacities.of_host(world, item),
        Kind::Gateway => gateway::of_host(world, item),
        _ => imports::of(world, item),
    }
}

/// What has to be looked at once at the start, besides everything that exists.
pub fn at_start(world: &World) -> Vec<Reference> {
    let mut items = behind_control_plane(world, Kind::Service);
    items.extend(replicas::on_host(world));
    items.extend(behind_control_plane(world, Kind::Endpoints));
    items
}

/// Every virtual object of a kind.
fn all(world: &World, kind: Kind) -> Vec<Reference> {
    let objects = world.virtual_side.of(kind).list();
    objects
        .iter()
        .map(|object| Reference {
            kind,
            key: object.key().clone(),
        })
        .collect()
}

fn own_item(kind: Kind, change: &Change) -> Vec<Reference> {
    change
        .object()
        .map(|object| Reference {
            kind,
            key: object.key().clone(),
        })
        .into_iter()
        .collect()
}

/// The virtual objects that a host object belongs to.
pub fn counterparts(world: &World, kind: Kind, change: &Change) -> Vec<Reference> {
    let mut items = Vec::new();
    let versions = [
        change.old.as_ref().zip(change.old_value()),
        change.new.as_ref().zip(change.new_value()),
    ];
    for (object, value) in versions.into_iter().flatten() {
        let item = match kind {
            _ if world.is_mirrored(kind) => Some(Reference {
                kind,
                key: object.key().clone(),
            }),
            Kind::Event => events::item(world, value),
            Kind::Service | Kind::Endpoints if replicas::is_replica(value) => Some(replicas::item(&object.key().name)),
            Kind::PersistentVolume => bound::item(world, kind, &volumes::REAL, value),
            Kind::VolumeSnapshotContent => bound::item(world, kind, &snapshots::CONTENT, value),
            Kind::CsiStorageCapacity => None,
            Kind::Secret if is_token_secret(value) => pods::pod_of_token_secret(value),
            _ => match claim(&world.names, &kind.gvk(), value) {
                Claim::Ours { namespace, name, .. } => Some(Reference::new(kind, &namespace, &name)),
                Claim::Foreign if matches!(kind, Kind::Service | Kind::Endpoints) => nodes::of_service(world, value),
                Claim::Foreign if kind == Kind::ServiceAccount => namespaces::of_account(world, object.key()),
                Claim::Foreign => None,
            },
        };
        items.extend(
            item.filter(|item| !items.contains(item))
                .into_iter()
                .collect::<Vec<_>>(),
        );
    }
    items
}

#[cfg(test)]
mod tests;
