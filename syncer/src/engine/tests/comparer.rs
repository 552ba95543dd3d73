//! Whether two clusters agree, judged by what the documentation says about copies: by someone who has never seen a plan.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::kinds::Kind;
use crate::testing::fake::Fake;

/// Where copies lie.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Layout {
    /// All in namespace `host`, under joined names.
    Joined,
    /// Those of `team` in `own-team` under their own names, others as before; ConfigMaps and Secrets whether they are used or not.
    Own,
}

impl Layout {
    /// Where the copy of an object is. These names are short enough to be joined.
    fn place(self, namespace: &str, name: &str) -> (String, String) {
        match (self, namespace) {
            (Self::Own, "team") => ("own-team".to_owned(), name.to_owned()),
            _ => ("host".to_owned(), format!("{name}-x-{namespace}-x-vc")),
        }
    }
}

const KINDS: [Kind; 4] = [Kind::Pod, Kind::Service, Kind::ConfigMap, Kind::Secret];

fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

fn annotation<'a>(object: &'a Value, name: &str) -> &'a str {
    text(object, &format!("/metadata/annotations/vcluster.loft.sh~1{name}"))
}

fn label<'a>(object: &'a Value, name: &str) -> &'a str {
    text(object, &format!("/metadata/labels/vcluster.loft.sh~1{name}"))
}

fn namespace_and_name(object: &Value) -> (String, String) {
    (
        text(object, "/metadata/namespace").into(),
        text(object, "/metadata/name").into(),
    )
}

/// Names of ConfigMaps that a pod takes its environment from, with its namespace.
fn used_config_maps(pods: &[Value]) -> Vec<(String, String)> {
    let containers = pods.iter().flat_map(|pod| {
        let namespace = text(pod, "/metadata/namespace");
        let containers = pod["spec"]["containers"].as_array().into_iter().flatten();
        containers.map(move |container| (namespace, container))
    });
    let sources = containers.flat_map(|(namespace, container)| {
        let sources = container["envFrom"].as_array().into_iter().flatten();
        sources.map(move |source| (namespace.to_owned(), text(source, "/configMapRef/name").to_owned()))
    });
    sources.filter(|(_, name)| !name.is_empty()).collect()
}

/// Says what differs, if anything does. The virtual cluster is `vc`, its objects lie in namespace `host`.
pub(super) fn difference(virtual_: &Fake, host: &Fake, layout: Layout) -> Option<String> {
    let pods = virtual_.list(Kind::Pod);
    let used = used_config_maps(&pods);
    for kind in KINDS {
        let mut copies: BTreeMap<String, Value> = BTreeMap::new();
        for copy in host.list(kind) {
            if label(&copy, "managed-by") != "vc" {
                continue;
            }
            let name = text(&copy, "/metadata/name").to_owned();
            if let Some(twin) = copies.insert(annotation(&copy, "object-uid").to_owned(), copy) {
                return Some(format!(
                    "{kind} {name} and {} are copies of one object",
                    twin["metadata"]["name"]
                ));
            }
        }
        for object in virtual_.list(kind) {
            let (namespace, name) = namespace_and_name(&object);
            let copy = copies.remove(text(&object, "/metadata/uid"));
            let is_wanted = match kind {
                Kind::ConfigMap => layout == Layout::Own || used.contains(&(namespace.clone(), name.clone())),
                Kind::Secret => layout == Layout::Own,
                _ => true,
            };
            match copy {
                None if is_wanted => return Some(format!("{kind} {namespace}/{name} has no copy")),
                Some(_) if !is_wanted => return Some(format!("{kind} {namespace}/{name} has a copy that nobody uses")),
                None => {}
                Some(copy) => {
                    if let Some(what) = pair(kind, &object, &copy, layout) {
                        return Some(format!("{kind} {namespace}/{name}: {what}"));
                    }
                }
            }
        }
        if let Some((uid, orphan)) = copies.into_iter().next() {
            return Some(format!(
                "{kind} {} is the copy of nothing ({uid})",
                orphan["metadata"]["name"]
            ));
        }
    }
    None
}

fn pair(kind: Kind, object: &Value, copy: &Value, layout: Layout) -> Option<String> {
    let (namespace, name) = namespace_and_name(object);
    if namespace_and_name(copy) != layout.place(&namespace, &name) {
        return Some(format!("its copy is {:?}", namespace_and_name(copy)));
    }
    if (annotation(copy, "object-name"), annotation(copy, "object-namespace")) != (&name, &namespace) {
        return Some("its copy says that it is another object's".to_owned());
    }
    if label(copy, "namespace") != namespace {
        return Some("its copy says that it is of another namespace".to_owned());
    }
    for (key, value) in object["metadata"]["labels"].as_object().into_iter().flatten() {
        if copy["metadata"]["labels"].get(key) != Some(value) {
            return Some(format!("its copy lacks the label {key}"));
        }
    }
    let same: &[(&str, &str)] = match kind {
        Kind::Pod => &[
            ("node", "/spec/nodeName"),
            ("phase", "/status/phase"),
            ("address", "/status/podIP"),
        ],
        Kind::Service => &[("type", "/spec/type"), ("address", "/spec/clusterIP")],
        _ => &[("data", "/data")],
    };
    for (what, pointer) in same {
        if object.pointer(pointer) != copy.pointer(pointer) {
            let (ours, theirs) = (object.pointer(pointer), copy.pointer(pointer));
            return Some(format!("its {what} is {ours:?}, on the host {theirs:?}"));
        }
    }
    if kind == Kind::Pod && text(object, "/status/phase") != "Running" {
        return Some("it does not run".to_owned());
    }
    let image = "/spec/containers/0/image";
    (kind == Kind::Pod && object.pointer(image) != copy.pointer(image)).then(|| "it has another image".to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn copy(name: &str, uid: &str) -> Value {
        json!({
            "metadata": {
                "namespace": "host", "name": format!("{name}-x-team-x-vc"),
                "labels": {"vcluster.loft.sh/managed-by": "vc", "vcluster.loft.sh/namespace": "team", "app": "web"},
                "annotations": {
                    "vcluster.loft.sh/object-uid": uid, "vcluster.loft.sh/object-name": name,
                    "vcluster.loft.sh/object-namespace": "team",
                },
            },
            "spec": {"type": "ClusterIP", "clusterIP": "10.0.0.9"},
        })
    }

    /// It finds what it is there for.
    #[test]
    fn every_kind_of_difference_is_found() {
        let (virtual_, host) = (Fake::new(), Fake::new());
        let service = json!({
            "metadata": {"namespace": "team", "name": "web", "uid": "u", "labels": {"app": "web"}},
            "spec": {"type": "ClusterIP", "clusterIP": "10.0.0.9"},
        });
        virtual_.put(Kind::Service, service);
        let found = |what: &str| {
            let difference = difference(&virtual_, &host, Layout::Joined).unwrap_or_default();
            assert!(difference.contains(what), "{difference:?} instead of {what:?}");
        };
        found("has no copy");
        host.put(Kind::Service, copy("web", "u"));
        assert_eq!(difference(&virtual_, &host, Layout::Joined), None);
        host.put(Kind::Service, copy("other", "old"));
        found("is the copy of nothing");
        host.change(Kind::Service, "host", "other-x-team-x-vc", |other| {
            other["metadata"]["annotations"]["vcluster.loft.sh/object-uid"] = json!("u");
        });
        found("are copies of one object");
        host.remove(Kind::Service, "host", "other-x-team-x-vc");
        host.change(Kind::Service, "host", "web-x-team-x-vc", |web| {
            web["metadata"]["labels"]["app"] = json!("db")
        });
        found("lacks the label app");
        host.put(Kind::Service, copy("web", "u"));
        host.change(Kind::Service, "host", "web-x-team-x-vc", |web| {
            web["spec"]["clusterIP"] = json!("10.0.0.8")
        });
        found("its address is");
        host.put(Kind::Service, copy("web", "u"));
        let map = json!({"metadata": {"namespace": "team", "name": "settings", "uid": "m"}, "data": {"a": "1"}});
        virtual_.put(Kind::ConfigMap, map);
        assert_eq!(difference(&virtual_, &host, Layout::Joined), None, "nobody uses it");
        host.put(Kind::ConfigMap, copy("settings", "m"));
        found("has a copy that nobody uses");
    }
}
