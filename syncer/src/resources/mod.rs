//! The synced kinds. Adding one is a file here and a line in [`TABLE`].

pub mod placement;
pub mod role;

mod configmaps;
mod endpoints;
mod events;
mod kubernetes;
mod nodes;
pub mod pair;
mod pods;
mod secrets;
mod services;
mod trim;
mod used;

use crate::clusters::Change;
use crate::engine::plan::Plan;
use crate::kinds::{Kind, Side};
use crate::names::{Claim, Reference, claim};
use crate::settings::Settings;
use crate::world::World;

pub use pods::{REFRESH_AT, is_token_secret};
pub use services::address;
pub use trim::trim;

/// How the name on the other side is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Naming {
    /// `<name>-x-<namespace>-x-<virtual cluster>`, shortened when it is long.
    Translated,
    /// The same name on both sides.
    Same,
    /// The host's name with the name of the object that it is about put back.
    Prefix,
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
pub struct Resource {
    /// The kind.
    pub kind: Kind,
    /// Whether it is synced with these settings.
    pub enabled: fn(&Settings) -> bool,
    /// How it is named on the other side.
    pub naming: Naming,
    /// What it needs on the host.
    pub host_rules: &'static [HostRule],
    /// Decides what one object needs.
    pub plan: fn(&World, &Reference) -> Plan,
}

const WRITE: &[&str] = &["create", "delete", "get", "list", "patch", "watch"];
const READ: &[&str] = &["get", "list", "watch"];
const CALL: &[&str] = &["create", "get"];
const GET: &[&str] = &["get"];
const PATCH: &[&str] = &["patch"];

const fn rule(resource: &'static str, verbs: &'static [&'static str]) -> HostRule {
    HostRule {
        group: "",
        resource,
        verbs,
        cluster: false,
    }
}

const fn always(_: &Settings) -> bool {
    true
}

/// Every synced kind, in the order in which they are explained.
#[rustfmt::skip]
pub const TABLE: &[Resource] = &[
    Resource { kind: Kind::Pod, enabled: always, naming: Naming::Translated, plan: pods::plan, host_rules: &[
        rule("pods", WRITE), rule("pods/status", PATCH), rule("pods/ephemeralcontainers", PATCH), rule("pods/log", GET),
        rule("pods/exec", CALL), rule("pods/attach", CALL), rule("pods/portforward", CALL),
    ] },
    Resource { kind: Kind::Service, enabled: always, naming: Naming::Translated, plan: services::plan, host_rules: &[rule("services", WRITE)] },
    Resource { kind: Kind::Endpoints, enabled: always, naming: Naming::Translated, plan: endpoints::plan, host_rules: &[rule("endpoints", WRITE)] },
    Resource { kind: Kind::ConfigMap, enabled: always, naming: Naming::Translated, plan: configmaps::plan, host_rules: &[rule("configmaps", WRITE)] },
    Resource { kind: Kind::Secret, enabled: always, naming: Naming::Translated, plan: secrets::plan, host_rules: &[rule("secrets", WRITE)] },
    Resource { kind: Kind::Node, enabled: always, naming: Naming::Same, plan: nodes::plan, host_rules: &[] },
    Resource { kind: Kind::Event, enabled: |settings| settings.events, naming: Naming::Prefix, plan: events::plan, host_rules: &[rule("events", READ)] },
    Resource { kind: Kind::EndpointSlice, enabled: always, naming: Naming::Same, plan: kubernetes::plan_slice, host_rules: &[] },
];

/// The line of one kind.
pub fn resource(kind: Kind) -> Option<&'static Resource> {
    TABLE.iter().find(|resource| resource.kind == kind)
}

/// Decides what one virtual object needs, whatever happened.
pub fn plan(world: &World, item: &Reference) -> Plan {
    match resource(item.kind) {
        Some(resource) if (resource.enabled)(&world.settings) => (resource.plan)(world, item),
        _ => Plan::nothing(),
    }
}

/// Which virtual objects have to be looked at because an object of one side changed.
pub fn affected(world: &World, side: Side, kind: Kind, change: &Change) -> Vec<Reference> {
    let mut items = match side {
        Side::Virtual => own_item(kind, change),
        Side::Host => counterparts(world, kind, change),
    };
    match kind {
        Kind::Pod => {
            let nodes = world.placement.observe(side, change);
            items.extend(nodes.iter().map(|node| Reference::new(Kind::Node, "", node)));
        }
        Kind::Service if side == Side::Virtual => {
            items.extend(own_item(Kind::Endpoints, change));
        }
        Kind::Namespace => items.extend(pods::of_relabelled_namespace(world, change)),
        _ => {}
    }
    items
}

/// Which virtual objects have to be looked at because the control plane's own Service or Endpoints changed.
pub fn affected_by_control_plane(kind: Kind) -> Vec<Reference> {
    match kind {
        Kind::Service => vec![
            kubernetes::reference(Kind::Service),
            Reference::new(Kind::Service, services::DNS_NAMESPACE, services::DNS_NAME),
        ],
        _ => vec![
            kubernetes::reference(Kind::Endpoints),
            kubernetes::reference(Kind::EndpointSlice),
        ],
    }
}

/// What has to be looked at once at the start, besides everything that exists.
pub fn at_start() -> Vec<Reference> {
    let mut items = affected_by_control_plane(Kind::Service);
    items.extend(affected_by_control_plane(Kind::Endpoints));
    items
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
    for object in [&change.old, &change.new].into_iter().flatten() {
        let value = object.value();
        let item = match kind {
            Kind::Node => Some(Reference {
                kind,
                key: object.key().clone(),
            }),
            Kind::Event => events::item(world, &value),
            Kind::Secret if is_token_secret(&value) => pods::pod_of_token_secret(&value),
            _ => match claim(&world.names, &kind.gvk(), &value) {
                Claim::Ours { namespace, name, .. } => Some(Reference::new(kind, &namespace, &name)),
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
