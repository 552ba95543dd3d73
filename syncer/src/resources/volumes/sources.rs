//! What the source of a volume that a tenant made names and reaches. Drivers on nodes read every Secret that a volume names, so
//! the copy names the copies of the tenant's own.

use std::collections::BTreeSet;

use machinery::pod_security::Level;
use serde_json::{Value, json};

use crate::json;
use crate::kinds::Kind;
use crate::names::Reference;
use crate::world::World;

/// One way to name an object: the source, the field of it that does (none when the source itself does), and the fields with the
/// name and the namespace.
struct Naming {
    source: &'static str,
    field: &'static str,
    name: &'static str,
    namespace: &'static str,
    kind: Kind,
}

const fn secret(source: &'static str, field: &'static str) -> Naming {
    Naming {
        source,
        field,
        name: "name",
        namespace: "namespace",
        kind: Kind::Secret,
    }
}

/// All of them (`PersistentVolumeSource` of `k8s.io/api/core/v1`).
const NAMINGS: &[Naming] = &[
    secret("csi", "controllerPublishSecretRef"),
    secret("csi", "nodeStageSecretRef"),
    secret("csi", "nodePublishSecretRef"),
    secret("csi", "controllerExpandSecretRef"),
    secret("csi", "nodeExpandSecretRef"),
    secret("cephfs", "secretRef"),
    secret("cinder", "secretRef"),
    secret("flexVolume", "secretRef"),
    secret("iscsi", "secretRef"),
    secret("rbd", "secretRef"),
    secret("scaleIO", "secretRef"),
    secret("storageos", "secretRef"),
    Naming {
        source: "azureFile",
        field: "",
        name: "secretName",
        namespace: "secretNamespace",
        kind: Kind::Secret,
    },
    Naming {
        source: "glusterfs",
        field: "",
        name: "endpoints",
        namespace: "endpointsNamespace",
        kind: Kind::Endpoints,
    },
];

/// Sources that lead to a path of a node.
const PATHS: [&str; 2] = ["hostPath", "local"];

impl Naming {
    /// What holds the two fields, if something is named.
    fn holder<'v>(&self, spec: &'v Value) -> Option<&'v Value> {
        let source = spec.get(self.source)?;
        let holder = if self.field.is_empty() {
            source
        } else {
            source.get(self.field)?
        };
        (!json::text(holder, &[self.name]).is_empty()).then_some(holder)
    }

    fn reference(&self, spec: &Value) -> Option<Reference> {
        let holder = self.holder(spec)?;
        let text = |field| json::text(holder, &[field]);
        Some(Reference::new(self.kind, text(self.namespace), text(self.name)))
    }

    fn place(&self) -> String {
        let parts = [self.source, self.field, self.namespace];
        let parts: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        parts.join(".")
    }
}

/// The objects that a volume names.
pub(super) fn references(object: &Value) -> BTreeSet<Reference> {
    let named = NAMINGS.iter().filter_map(|naming| naming.reference(&object["spec"]));
    named.collect()
}

/// Why a volume does not get to the host, as a sentence.
pub(super) fn refusal(world: &World, object: &Value) -> Option<String> {
    let name = json::text(object, &["metadata", "name"]);
    let level = world.settings.pod_security.map(|standard| standard.level);
    if let Some(level) = level.filter(|level| *level != Level::Privileged)
        && let Some(source) = PATHS.iter().find(|source| object["spec"].get(**source).is_some())
    {
        return Some(format!(
            "PersistentVolume {name} is forbidden: {source} leads to a path of a node, which \
             policies.podSecurityStandard {level} does not let pods reach"
        ));
    }
    NAMINGS.iter().find_map(|naming| {
        let named = naming.reference(&object["spec"])?;
        let place = naming.place();
        let key = world.host_key(named.kind, &named.key.namespace, &named.key.name);
        if named.key.namespace.is_empty() {
            Some(format!(
                "PersistentVolume {name} is not synced: spec.{place} is missing; the {} that it names is one of the virtual \
                 cluster, and synced with it",
                named.kind
            ))
        } else if key.namespace.is_empty() {
            Some(format!(
                "PersistentVolume {name} is not synced: namespace {:?} of spec.{place} has none on the host by \
                 sync.toHost.namespaces",
                named.key.namespace
            ))
        } else {
            None
        }
    })
}

/// Gives everything that is named the name of its copy.
pub(super) fn translate(world: &World, spec: &mut Value) {
    for naming in NAMINGS {
        let Some(named) = naming.reference(spec) else { continue };
        let key = world.host_key(named.kind, &named.key.namespace, &named.key.name);
        let Some(mut holder) = spec.get_mut(naming.source) else {
            continue;
        };
        if !naming.field.is_empty() {
            holder = &mut holder[naming.field];
        }
        json::put(holder, naming.name, Some(json!(key.name)));
        json::put(holder, naming.namespace, Some(json!(key.namespace)));
    }
}
