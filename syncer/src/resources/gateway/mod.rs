//! The Gateway API: what of it is synced, what each kind has to look at beside its own objects, and what of a change concerns
//! which others.
//!
//! What decides between namespaces (listeners that let routes in, and ReferenceGrants) is decided here, by the virtual objects,
//! before anything gets to the host: all virtual namespaces may be one there, or have other labels.

mod classes;
mod copy;
pub mod definition;
mod gateways;
mod grants;
mod imported;
mod names;
mod parents;
mod policies;
mod references;
mod routes;

pub(super) use classes::plan as plan_class;
pub(super) use gateways::plan as plan_gateway;
pub(super) use grants::plan as plan_grant;
pub(super) use imported::{of_host, plan as plan_import};
pub(super) use policies::plan as plan_policy;
pub(super) use routes::{plan_http as plan_http_route, plan_tls as plan_tls_route};

use std::collections::BTreeSet;

use serde_json::Value;

use crate::clusters::Change;
use crate::kinds::{Kind, Side};
use crate::names::Reference;
use crate::settings::Settings;
use crate::world::World;

/// A kind of the Gateway API.
struct Member {
    kind: Kind,
    /// The keys of vcluster.yaml that switch it on.
    keys: &'static str,
    /// Kinds of which the virtual objects say what may be done with its own.
    looks_at: &'static [Kind],
}

const MEMBERS: &[Member] = &[
    Member {
        kind: Kind::GatewayClass,
        keys: "sync.fromHost.gatewayClasses.enabled, sync.fromHost.gateways.enabled or sync.toHost.gatewayApi.enabled",
        looks_at: &[],
    },
    Member {
        kind: Kind::Gateway,
        keys: "sync.fromHost.gateways.enabled, sync.toHost.gatewayApi.gateways.enabled or sync.toHost.gatewayApi.enabled",
        looks_at: &[Kind::GatewayClass, Kind::ReferenceGrant],
    },
    Member {
        kind: Kind::HttpRoute,
        keys: "sync.toHost.gatewayApi.enabled or sync.toHost.gatewayApi.httpRoutes.enabled",
        looks_at: &[Kind::Gateway, Kind::ReferenceGrant],
    },
    Member {
        kind: Kind::TlsRoute,
        keys: "sync.toHost.gatewayApi.tlsRoutes.enabled",
        looks_at: &[Kind::Gateway, Kind::ReferenceGrant],
    },
    Member {
        kind: Kind::BackendTlsPolicy,
        keys: "sync.toHost.gatewayApi.backendTLSPolicies.enabled",
        looks_at: &[],
    },
    Member {
        kind: Kind::ReferenceGrant,
        keys: "sync.toHost.gatewayApi.referenceGrants.enabled",
        looks_at: &[],
    },
];

/// The kinds that go to the host.
pub const TO_HOST: [Kind; 5] = [
    Kind::Gateway,
    Kind::HttpRoute,
    Kind::TlsRoute,
    Kind::BackendTlsPolicy,
    Kind::ReferenceGrant,
];

impl Member {
    fn is_synced(&self, settings: &Settings) -> bool {
        settings.to_host.contains(&self.kind)
            || settings.from_host.contains_key(&self.kind)
            || settings.imports.contains_key(&self.kind)
    }
}

/// The kinds whose virtual objects have to be known, which takes their definitions.
pub fn known(settings: &Settings) -> BTreeSet<Kind> {
    let synced = MEMBERS.iter().filter(|member| member.is_synced(settings));
    synced
        .flat_map(|member| member.looks_at.iter().copied().chain([member.kind]))
        .collect()
}

/// Which objects have to be looked at because one that says what may be done with them changed.
pub(super) fn affected(world: &World, side: Side, kind: Kind, change: &Change) -> Vec<Reference> {
    let differs = |paths: &[&str]| {
        let (old, new) = (change.old_value(), change.new_value());
        let at = |object: Option<&Value>, path: &str| object.and_then(|object| object.pointer(path).cloned());
        old.is_none() || new.is_none() || paths.iter().any(|path| at(old, path) != at(new, path))
    };
    let concerned: &[Kind] = match kind {
        // Listeners let in what comes from namespaces of the virtual cluster.
        Kind::Namespace if side == Side::Host && differs(&["/metadata/labels"]) => &[Kind::Gateway],
        _ if side == Side::Host => return Vec::new(),
        Kind::GatewayClass if differs(&[]) => &[Kind::Gateway],
        Kind::Gateway if differs(&["/spec"]) => ROUTES,
        Kind::Namespace if differs(&["/metadata/labels"]) => ROUTES,
        Kind::ReferenceGrant if differs(&["/spec", "/metadata/deletionTimestamp"]) => {
            &[Kind::HttpRoute, Kind::TlsRoute, Kind::Gateway]
        }
        _ => return Vec::new(),
    };
    concerned.iter().flat_map(|kind| super::all(world, *kind)).collect()
}

/// Which objects have to be looked at because a Gateway of the host changed.
pub(super) fn affected_by_foreign(world: &World, kind: Kind) -> Vec<Reference> {
    match kind {
        Kind::Gateway => ROUTES.iter().flat_map(|kind| super::all(world, *kind)).collect(),
        _ => Vec::new(),
    }
}

/// The kinds that attach to Gateways.
const ROUTES: &[Kind] = &[Kind::HttpRoute, Kind::TlsRoute];

#[cfg(test)]
mod tests;
