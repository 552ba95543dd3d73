//! Every place of a pod spec that names another object: one list, used to find references and to translate them.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::super::devices;
use super::volumes;
use crate::json::{self, items_mut};
use crate::kinds::Kind;
use crate::names::Reference;

/// What a name in a pod spec refers to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// An object that has to be on the host first.
    Used(Kind),
    /// An object of another kind, whose name is translated alike.
    Other,
}

const CONFIG_MAP: Target = Target::Used(Kind::ConfigMap);
const SECRET: Target = Target::Used(Kind::Secret);

/// Volume sources: the source, the object inside it that holds the name (empty when it is the source itself), the field.
const VOLUME_SOURCES: &[(&str, &str, &str, Target)] = &[
    ("configMap", "", "name", CONFIG_MAP),
    ("secret", "", "secretName", SECRET),
    (
        "persistentVolumeClaim",
        "",
        "claimName",
        Target::Used(Kind::PersistentVolumeClaim),
    ),
    ("glusterfs", "", "endpoints", Target::Other),
    ("azureFile", "", "secretName", SECRET),
    ("iscsi", "secretRef", "name", SECRET),
    ("rbd", "secretRef", "name", SECRET),
    ("flexVolume", "secretRef", "name", SECRET),
    ("cinder", "secretRef", "name", SECRET),
    ("cephfs", "secretRef", "name", SECRET),
    ("scaleIO", "secretRef", "name", SECRET),
    ("storageos", "secretRef", "name", SECRET),
    ("csi", "nodePublishSecretRef", "name", SECRET),
];

/// The three lists of containers.
pub(super) const CONTAINER_LISTS: [&str; 3] = ["initContainers", "containers", "ephemeralContainers"];

/// Calls `visit` with the target and the value of every name.
pub(super) fn for_each_name(spec: &mut Value, visit: &mut dyn FnMut(Target, &mut Value)) {
    for volume in items_mut(spec, "volumes") {
        for (source, inner, field, target) in VOLUME_SOURCES {
            let Some(source) = volume.get_mut(*source) else {
                continue;
            };
            let holder = if inner.is_empty() {
                Some(source)
            } else {
                source.get_mut(*inner)
            };
            name_in(holder, field, *target, visit);
        }
        if let Some(projected) = volume.get_mut("projected") {
            for source in items_mut(projected, "sources") {
                name_in(source.get_mut("configMap"), "name", CONFIG_MAP, visit);
                name_in(source.get_mut("secret"), "name", SECRET, visit);
            }
        }
    }
    for entry in items_mut(spec, "resourceClaims") {
        for (field, kind) in devices::NAMED_BY_PODS {
            name_in(Some(&mut *entry), field, Target::Used(kind), visit);
        }
    }
    for secret in items_mut(spec, "imagePullSecrets") {
        name_in(Some(secret), "name", SECRET, visit);
    }
    for list in CONTAINER_LISTS {
        for container in items_mut(spec, list) {
            for_each_name_in_container(container, visit);
        }
    }
}

/// The names in the environment of one container.
pub(super) fn for_each_name_in_container(container: &mut Value, visit: &mut dyn FnMut(Target, &mut Value)) {
    for source in items_mut(container, "envFrom") {
        name_in(source.get_mut("configMapRef"), "name", CONFIG_MAP, visit);
        name_in(source.get_mut("secretRef"), "name", SECRET, visit);
    }
    for variable in items_mut(container, "env") {
        let Some(from) = variable.get_mut("valueFrom") else {
            continue;
        };
        name_in(from.get_mut("configMapKeyRef"), "name", CONFIG_MAP, visit);
        name_in(from.get_mut("secretKeyRef"), "name", SECRET, visit);
    }
}

fn name_in(holder: Option<&mut Value>, field: &str, target: Target, visit: &mut dyn FnMut(Target, &mut Value)) {
    if let Some(name) = holder.and_then(|holder| holder.get_mut(field))
        && name.as_str().is_some_and(|name| !name.is_empty())
    {
        visit(target, name);
    }
}

/// The objects that a pod uses.
pub(super) fn references(pod: &Value) -> BTreeSet<Reference> {
    let namespace = json::text(pod, &["metadata", "namespace"]);
    let mut references = BTreeSet::new();
    let mut spec = pod["spec"].clone();
    volumes::name_own_claims(json::text(pod, &["metadata", "name"]), &mut spec);
    for_each_name(&mut spec, &mut |target, name| {
        if let (Target::Used(kind), Some(name)) = (target, name.as_str()) {
            references.insert(Reference::new(kind, namespace, name));
        }
    });
    references
}

/// Replaces every name by the one on the host.
pub(super) fn translate(world: &crate::world::World, namespace: &str, target: Target, name: &mut Value) {
    let Some(virtual_name) = name.as_str() else { return };
    *name = json!(match target {
        Target::Used(kind) => world.host_name(kind, namespace, virtual_name),
        Target::Other => world.names.host_name(virtual_name, namespace),
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reference_is_found() {
        let pod = json!({
            "metadata": {"namespace": "team", "name": "web"},
            "spec": {
                "volumes": [
                    {"name": "a", "configMap": {"name": "cm-volume"}},
                    {"name": "b", "secret": {"secretName": "secret-volume"}},
                    {"name": "c", "projected": {"sources": [
                        {"configMap": {"name": "cm-projected"}},
                        {"secret": {"name": "secret-projected"}},
                        {"downwardAPI": {"items": []}},
                    ]}},
                    {"name": "d", "persistentVolumeClaim": {"claimName": "claim"}},
                    {"name": "e", "csi": {"driver": "x", "nodePublishSecretRef": {"name": "secret-csi"}}},
                    {"name": "f", "emptyDir": {}},
                    {"name": "g", "ephemeral": {"volumeClaimTemplate": {}}},
                ],
                "imagePullSecrets": [{"name": "secret-pull"}, {}],
                "initContainers": [{"env": [
                    {"name": "A", "value": "b"},
                    {"name": "B", "valueFrom": {"secretKeyRef": {"name": "secret-env", "key": "k"}}},
                ]}],
                "containers": [{"envFrom": [{"configMapRef": {"name": "cm-env-from"}}, {"secretRef": {"name": ""}}]}],
                "ephemeralContainers": [{"env": [
                    {"name": "C", "valueFrom": {"configMapKeyRef": {"name": "cm-env", "key": "k"}}},
                ]}],
            },
        });
        let found: Vec<String> = references(&pod).iter().map(ToString::to_string).collect();
        let expected = [
            "ConfigMap team/cm-env",
            "ConfigMap team/cm-env-from",
            "ConfigMap team/cm-projected",
            "ConfigMap team/cm-volume",
            "Secret team/secret-csi",
            "Secret team/secret-env",
            "Secret team/secret-projected",
            "Secret team/secret-pull",
            "Secret team/secret-volume",
            "PersistentVolumeClaim team/claim",
            "PersistentVolumeClaim team/web-g",
        ];
        assert_eq!(found, expected);
    }
}
