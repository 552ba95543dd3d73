//! Whether two clusters agree, judged by what is documented about copies: names, labels and references are computed anew, by
//! nothing that the syncer uses.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::kinds::KINDS;
use crate::owner::{Key, version_of};

/// The virtual cluster's name.
pub(crate) const VCLUSTER: &str = "vc";

/// All objects of one cluster, by kind.
pub(crate) type Objects = BTreeMap<&'static str, Vec<Value>>;

pub(crate) fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

fn mark<'a>(object: &'a Value, field: &str, name: &str) -> &'a str {
    text(object, &format!("/metadata/{field}/vcluster.loft.sh~1{name}"))
}

/// What an object is called on the host: the parts, or what fits of them and a digest of the whole.
fn translated(name: &str, namespace: &str) -> String {
    let joined = format!("{name}-x-{namespace}-x-{VCLUSTER}");
    if joined.len() <= 63 {
        return joined;
    }
    let mut hex = String::new();
    for byte in Sha256::digest(&joined) {
        let _ = write!(hex, "{byte:02x}");
    }
    format!("{}-{}", &joined[..52], &hex[..10]).replace(".-", "-")
}

/// The objects of owners by kind, namespace and name.
pub(crate) fn by_key(objects: &Objects) -> BTreeMap<Key, Value> {
    let all = objects
        .iter()
        .flat_map(|(kind, objects)| objects.iter().map(move |object| (*kind, object)));
    all.map(|(kind, object)| {
        let of = |field: &str| text(object, &format!("/metadata/{field}")).to_owned();
        ((kind, of("namespace"), of("name")), object.clone())
    })
    .collect()
}

/// Says what differs between the virtual cluster and the host's namespace, if anything does. `nodes` are those that the virtual
/// cluster shows.
pub(crate) fn difference(virtual_: &Objects, host: &Objects, nodes: &[String]) -> Option<String> {
    let used: Vec<Reference> = virtual_
        .get("Pod")
        .into_iter()
        .flatten()
        .flat_map(config_maps_of)
        .collect();
    for kind in &KINDS {
        let mut copies: BTreeMap<String, &Value> = BTreeMap::new();
        for copy in host.get(kind.name).into_iter().flatten() {
            if mark(copy, "labels", "managed-by") != VCLUSTER {
                continue;
            }
            let name = text(copy, "/metadata/name");
            if mark(copy, "annotations", "object-name").is_empty() {
                let node = name.strip_prefix(&format!("{VCLUSTER}-node-"));
                if kind.name == "Service" && node.is_some_and(|node| nodes.iter().any(|known| known == node)) {
                    continue;
                }
                return Some(format!(
                    "{} {name} says that it is ours, and not what it is for",
                    kind.name
                ));
            }
            if let Some(twin) = copies.insert(mark(copy, "annotations", "object-uid").to_owned(), copy) {
                return Some(format!(
                    "{} {name} and {} are copies of one object",
                    kind.name, twin["metadata"]["name"]
                ));
            }
        }
        for object in virtual_.get(kind.name).into_iter().flatten() {
            let id = (
                text(object, "/metadata/namespace").to_owned(),
                text(object, "/metadata/name").to_owned(),
            );
            // The API server's own, which is another one on every cluster.
            if kind.name == "Service" && (id.0.as_str(), id.1.as_str()) == ("default", "kubernetes") {
                continue;
            }
            let copy = copies.remove(text(object, "/metadata/uid"));
            let wanted = kind.name != "ConfigMap" || used.contains(&id);
            let what = match copy {
                None if wanted => Some("it has no copy".to_owned()),
                Some(_) if !wanted => Some("it has a copy that nobody uses".to_owned()),
                None => None,
                Some(copy) => pair(kind.name, &id, object, copy),
            };
            if let Some(what) = what {
                return Some(format!("{} {}/{}: {what}", kind.name, id.0, id.1));
            }
        }
        if let Some((uid, orphan)) = copies.into_iter().next() {
            let name = &orphan["metadata"]["name"];
            return Some(format!("{} {name} is the copy of nothing ({uid})", kind.name));
        }
    }
    None
}

/// Namespace and name.
type Reference = (String, String);

/// The ConfigMaps that a pod takes its environment from.
fn config_maps_of(pod: &Value) -> Vec<Reference> {
    let containers = pod["spec"]["containers"].as_array().into_iter().flatten();
    let sources = containers.flat_map(|container| container["envFrom"].as_array().into_iter().flatten());
    let names = sources.map(|source| text(source, "/configMapRef/name"));
    names
        .map(|name| (text(pod, "/metadata/namespace").to_owned(), name.to_owned()))
        .collect()
}

/// Where objects of a kind name others.
fn references(kind: &str) -> &'static [&'static str] {
    match kind {
        "Pod" => &[
            "/spec/containers/0/envFrom/0/configMapRef/name",
            "/spec/volumes/0/persistentVolumeClaim/claimName",
            "/spec/volumes/1/secret/secretName",
        ],
        "Ingress" => &[
            "/spec/tls/0/secretName",
            "/spec/rules/0/http/paths/0/backend/service/name",
        ],
        _ => &[],
    }
}

/// What is the same on both sides.
fn equal(kind: &str) -> &'static [&'static str] {
    match kind {
        "ConfigMap" => &["/data"],
        "Secret" => &["/data", "/type"],
        "Service" => &[
            "/spec/type",
            "/spec/ports",
            "/spec/clusterIP",
            "/spec/sessionAffinity",
            "/status",
        ],
        "PersistentVolumeClaim" => &[
            "/spec/resources",
            "/spec/accessModes",
            "/spec/storageClassName",
            "/status",
        ],
        "Ingress" => &["/spec/rules/0/host", "/spec/defaultBackend", "/status"],
        _ => &[
            "/spec/nodeName",
            "/spec/containers/0/image",
            "/status/phase",
            "/status/podIP",
            "/status/startTime",
            "/status/containerStatuses",
        ],
    }
}

fn pair(kind: &str, (namespace, name): &Reference, object: &Value, copy: &Value) -> Option<String> {
    for (cluster, object) in [("the virtual cluster", object), ("the host", copy)] {
        if !object["metadata"]["deletionTimestamp"].is_null() {
            return Some(format!("it is still being deleted in {cluster}"));
        }
    }
    let expected = translated(name, namespace);
    if text(copy, "/metadata/name") != expected {
        return Some(format!(
            "its copy is called {} instead of {expected}",
            copy["metadata"]["name"]
        ));
    }
    let says = |what: &str| mark(copy, "annotations", what);
    if (says("object-name"), says("object-namespace")) != (name, namespace)
        || mark(copy, "labels", "namespace") != namespace
    {
        return Some("its copy says that it is another object's".to_owned());
    }
    if version_of(object) != version_of(copy) {
        return Some(format!(
            "it has version {:?}, its copy {:?}",
            version_of(object),
            version_of(copy)
        ));
    }
    for (key, value) in object["metadata"]["labels"].as_object().into_iter().flatten() {
        if copy["metadata"]["labels"].get(key) != Some(value) {
            return Some(format!("its copy lacks the label {key}={value}"));
        }
    }
    for pointer in references(kind) {
        let wanted = translated(text(object, pointer), namespace);
        if text(copy, pointer) != wanted {
            return Some(format!("its copy names {:?} instead of {wanted}", text(copy, pointer)));
        }
    }
    // What lacks a selector in the virtual cluster has one on the host: that of the control plane.
    if kind == "Service" && object["spec"]["selector"].is_object() {
        let selector = &copy["spec"]["selector"];
        let own = [("managed-by", VCLUSTER), ("namespace", namespace.as_str())];
        if own
            .iter()
            .any(|(key, value)| selector[format!("vcluster.loft.sh/{key}")] != *value)
            || selector["app"] != object["spec"]["selector"]["app"]
            || selector.as_object().is_none_or(|selector| selector.len() != 3)
        {
            return Some(format!("its copy selects {selector}"));
        }
    }
    for pointer in equal(kind) {
        let (ours, theirs) = (object.pointer(pointer), copy.pointer(pointer));
        if ours != theirs {
            return Some(format!("its {pointer} is {ours:?}, on the host {theirs:?}"));
        }
    }
    (kind == "Pod" && text(object, "/status/phase") != "Running").then(|| "it does not run".to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn copy(name: &str, uid: &str) -> Value {
        json!({
            "metadata": {
                "name": translated(name, "red"),
                "labels": {"vcluster.loft.sh/managed-by": "vc", "vcluster.loft.sh/namespace": "red", "app": "web"},
                "annotations": {
                    "vcluster.loft.sh/object-uid": uid, "vcluster.loft.sh/object-name": name,
                    "vcluster.loft.sh/object-namespace": "red", "version": "7",
                },
            },
            "type": "Opaque", "data": {"a": "MQ=="},
        })
    }

    #[test]
    fn every_kind_of_difference_is_found() {
        let own = json!({
            "metadata": {
                "namespace": "red", "name": "web", "uid": "u", "labels": {"app": "web"}, "annotations": {"version": "7"},
            },
            "type": "Opaque", "data": {"a": "MQ=="},
        });
        let virtual_ = Objects::from([("Secret", vec![own.clone()])]);
        let host = |copies: Vec<Value>| Objects::from([("Secret", copies)]);
        assert_eq!(difference(&virtual_, &host(vec![copy("web", "u")]), &[]), None);
        let changed = |pointer: &str, value: &str| {
            let mut copy = copy("web", "u");
            *copy.pointer_mut(pointer).unwrap() = value.into();
            vec![copy]
        };
        let foreign = json!({"metadata": {"name": "theirs"}});
        let cases = [
            (vec![], "it has no copy"),
            (vec![foreign], "it has no copy"),
            (vec![copy("web", "u"), copy("old", "o")], "is the copy of nothing (o)"),
            (vec![copy("web", "u"), copy("old", "u")], "are copies of one object"),
            (changed("/metadata/name", "web"), "instead of web-x-red-x-vc"),
            (changed("/metadata/labels/app", "db"), "lacks the label app"),
            (
                changed("/metadata/labels/vcluster.loft.sh~1namespace", "blue"),
                "another object's",
            ),
            (changed("/metadata/annotations/version", "6"), "it has version \"7\""),
            (
                changed("/metadata/annotations/vcluster.loft.sh~1object-name", ""),
                "not what it is for",
            ),
            (changed("/data/a", "Mg=="), "its /data is"),
        ];
        for (copies, what) in cases {
            let found = difference(&virtual_, &host(copies), &[]).unwrap_or_default();
            assert!(found.contains(what), "{found:?} instead of {what:?}");
        }
        let unused = Objects::from([("ConfigMap", vec![own])]);
        assert_eq!(difference(&unused, &Objects::new(), &[]), None);
        let found = difference(&unused, &Objects::from([("ConfigMap", vec![copy("web", "u")])]), &[]);
        assert!(found.is_some_and(|found| found.contains("nobody uses")));
    }

    #[test]
    fn long_names_are_cut_and_told_apart() {
        let long = "a-name-that-is-so-long-that-its-copy-needs-another-one";
        let name = translated(long, "red");
        assert!(name.len() == 63 && name.starts_with(&long[..50]), "{name}");
        assert_ne!(name, translated(long, "blue"));
    }
}
