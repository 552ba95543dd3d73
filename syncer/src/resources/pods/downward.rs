//! The downward API: what a pod learns about itself must be virtual, so annotations of the host copy carry it.

use serde_json::{Value, json};

use super::names::CONTAINER_LISTS;
use crate::json::{self, Strings, items_mut};
use crate::names::Names;
use crate::names::keys::{OWNER_REFERENCES, OWNER_SET_KIND};

const NAME: &str = "vcluster.loft.sh/name";
const NAMESPACE: &str = "vcluster.loft.sh/namespace";
const UID: &str = "vcluster.loft.sh/uid";
const SERVICE_ACCOUNT: &str = "vcluster.loft.sh/service-account-name";
const LABELS: &str = "vcluster.loft.sh/labels";

/// Controllers whose pods are told apart on the host.
const SET_KINDS: [&str; 4] = ["DaemonSet", "Job", "ReplicaSet", "StatefulSet"];

/// Field paths that say something else on the host, and the annotation that says what they mean.
const FIELDS: [(&str, &str); 4] = [
    ("metadata.name", NAME),
    ("metadata.namespace", NAMESPACE),
    ("metadata.uid", UID),
    ("spec.serviceAccountName", SERVICE_ACCOUNT),
];

/// All of these annotations.
const CARRIERS: [&str; 7] = [
    NAME,
    NAMESPACE,
    UID,
    SERVICE_ACCOUNT,
    LABELS,
    OWNER_REFERENCES,
    OWNER_SET_KIND,
];

/// The annotations that carry the virtual identity of a pod. The copy that a virtual cluster inside this one has made has
/// them already, and says who its pod is.
pub(super) fn carriers(pod: &Value) -> Strings {
    let metadata = &pod["metadata"];
    let text = |path: &[&str]| json::text(pod, path).to_owned();
    let mut carriers = Strings::from([
        (NAME.to_owned(), text(&["metadata", "name"])),
        (NAMESPACE.to_owned(), text(&["metadata", "namespace"])),
        (UID.to_owned(), text(&["metadata", "uid"])),
        (SERVICE_ACCOUNT.to_owned(), text(&["spec", "serviceAccountName"])),
        (LABELS.to_owned(), label_lines(&json::strings(metadata, &["labels"]))),
    ]);
    if let Some(owners) = metadata.get("ownerReferences").filter(|owners| **owners != json!([])) {
        carriers.insert(OWNER_REFERENCES.to_owned(), owners.to_string());
    }
    if let Some(kind) = owner_set_kind(pod) {
        carriers.insert(OWNER_SET_KIND.to_owned(), kind.to_owned());
    }
    let mut inner = json::strings(metadata, &["annotations"]);
    inner.retain(|key, _| CARRIERS.contains(&key.as_str()));
    carriers.extend(inner);
    carriers
}

/// The kind of the workload controller that made a pod. Only those of `apps/v1` count, so there is none for the pods of Jobs
/// (`pkg/controllers/resources/pods/translate/translator.go` of vCluster).
pub(super) fn owner_set_kind(pod: &Value) -> Option<&str> {
    json::items(pod, &["metadata", "ownerReferences"])
        .iter()
        .filter(|owner| json::text(owner, &["apiVersion"]) == "apps/v1")
        .map(|owner| json::text(owner, &["kind"]))
        .find(|kind| SET_KINDS.contains(kind))
}

/// The form in which a kubelet shows `metadata.labels`.
fn label_lines(labels: &Strings) -> String {
    labels
        .iter()
        .map(|(key, value)| format!("{key}={}", json!(value)))
        .collect::<Vec<_>>()
        .join("\n")
}

/// Points every field reference of a pod spec at what it means in the virtual cluster.
pub(super) fn translate(names: &Names, spec: &mut Value) {
    for list in CONTAINER_LISTS {
        for container in items_mut(spec, list) {
            translate_container(names, container);
        }
    }
    for volume in items_mut(spec, "volumes") {
        if let Some(source) = volume.get_mut("downwardAPI") {
            translate_files(names, source);
        }
        if let Some(projected) = volume.get_mut("projected") {
            for source in items_mut(projected, "sources") {
                if let Some(source) = source.get_mut("downwardAPI") {
                    translate_files(names, source);
                }
            }
        }
    }
}

/// The same for the environment of one container.
pub(super) fn translate_container(names: &Names, container: &mut Value) {
    for variable in items_mut(container, "env") {
        if let Some(field) = variable.get_mut("valueFrom").and_then(|from| from.get_mut("fieldRef")) {
            translate_field(names, field);
        }
    }
}

fn translate_files(names: &Names, source: &mut Value) {
    for file in items_mut(source, "items") {
        if let Some(field) = file.get_mut("fieldRef") {
            translate_field(names, field);
        }
    }
}

fn translate_field(names: &Names, reference: &mut Value) {
    let path = json::text(reference, &["fieldPath"]);
    let translated = if path == "metadata.labels" {
        annotation(LABELS)
    } else if let Some((_, carrier)) = FIELDS.iter().find(|(field, _)| *field == path) {
        annotation(carrier)
    } else if let Some(key) = path
        .strip_prefix("metadata.labels['")
        .and_then(|rest| rest.strip_suffix("']"))
    {
        format!("metadata.labels['{}']", names.label_to_host(key))
    } else {
        return;
    };
    reference["fieldPath"] = json!(translated);
}

fn annotation(key: &str) -> String {
    format!("metadata.annotations['{key}']")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn field_paths() {
        let names = Names::new("vc", "host");
        let hidden = format!("metadata.labels['{}']", names.label_to_host("release"));
        let table = [
            ("metadata.name", "metadata.annotations['vcluster.loft.sh/name']"),
            (
                "metadata.namespace",
                "metadata.annotations['vcluster.loft.sh/namespace']",
            ),
            ("metadata.uid", "metadata.annotations['vcluster.loft.sh/uid']"),
            (
                "spec.serviceAccountName",
                "metadata.annotations['vcluster.loft.sh/service-account-name']",
            ),
            ("metadata.labels", "metadata.annotations['vcluster.loft.sh/labels']"),
            ("metadata.labels['app']", "metadata.labels['app']"),
            ("metadata.labels['release']", hidden.as_str()),
            ("metadata.annotations['a']", "metadata.annotations['a']"),
            ("status.podIP", "status.podIP"),
            ("spec.nodeName", "spec.nodeName"),
        ];
        for (path, expected) in table {
            let mut spec = json!({
                "containers": [{"env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": path}}}]}],
                "volumes": [
                    {"downwardAPI": {"items": [{"path": "p", "fieldRef": {"fieldPath": path}}]}},
                    {"projected": {"sources": [{"downwardAPI": {"items": [{"path": "p", "fieldRef": {"fieldPath": path}}]}}]}},
                ],
            });
            translate(&names, &mut spec);
            assert_eq!(
                spec["containers"][0]["env"][0]["valueFrom"]["fieldRef"]["fieldPath"],
                expected
            );
            assert_eq!(
                spec["volumes"][0]["downwardAPI"]["items"][0]["fieldRef"]["fieldPath"],
                expected
            );
            let projected = &spec["volumes"][1]["projected"]["sources"][0]["downwardAPI"]["items"][0];
            assert_eq!(projected["fieldRef"]["fieldPath"], expected);
        }
    }

    #[test]
    fn labels_are_shown_as_a_kubelet_shows_them() {
        let pod = json!({"metadata": {"name": "a", "labels": {"b": "x\"y", "a": "1"}}});
        assert_eq!(carriers(&pod)[LABELS], "a=\"1\"\nb=\"x\\\"y\"");
    }
}
