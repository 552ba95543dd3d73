//! Fields that exist but are behind feature gates which are off in 1.36 (kubernetes `pkg/features/kube_features.go`): they are
//! dropped unless the object had them before (the `dropDisabledFields` of upstream's strategies).

use super::resource::Resource;
use machinery::meta;
use serde_json::Value;

/// A field behind a gate.
struct Gated {
    /// The gate, as upstream names it.
    gate: &'static str,
    /// Where the field is; `*` stands for all items of a list or all values of a map.
    path: &'static [&'static str],
    /// The object goes as well when nothing else is in it.
    with_parent: bool,
}

const fn gated(gate: &'static str, path: &'static [&'static str]) -> Gated {
    Gated {
        gate,
        path,
        with_parent: false,
    }
}

/// In the specs of pods, wherever these are.
const IN_PODS: [Gated; 6] = [
    gated(
        "ClusterTrustBundleProjection",
        &["volumes", "*", "projected", "sources", "*", "clusterTrustBundle"],
    ),
    gated(
        "PodCertificateRequest",
        &["volumes", "*", "projected", "sources", "*", "podCertificate"],
    ),
    gated("GenericWorkload", &["schedulingGroup"]),
    stop_signal(&["containers", "*", "lifecycle", "stopSignal"]),
    stop_signal(&["initContainers", "*", "lifecycle", "stopSignal"]),
    stop_signal(&["ephemeralContainers", "*", "lifecycle", "stopSignal"]),
];

const fn stop_signal(path: &'static [&'static str]) -> Gated {
    Gated {
        gate: "ContainerStopSignals",
        path,
        with_parent: true,
    }
}

/// Where the spec of a pod is, by group and resource.
const PODS: [(&str, &str, &[&str]); 9] = [
    ("", "pods", &["spec"]),
    ("", "podtemplates", &["template", "spec"]),
    ("", "replicationcontrollers", &["spec", "template", "spec"]),
    ("apps", "daemonsets", &["spec", "template", "spec"]),
    ("apps", "deployments", &["spec", "template", "spec"]),
    ("apps", "replicasets", &["spec", "template", "spec"]),
    ("apps", "statefulsets", &["spec", "template", "spec"]),
    (
        "batch",
        "cronjobs",
        &["spec", "jobTemplate", "spec", "template", "spec"],
    ),
    ("batch", "jobs", &["spec", "template", "spec"]),
];

/// The fields of other kinds, by group and resource.
const FIELDS: [(&str, &str, Gated); 13] = [
    volume_status(&["status", "containerStatuses", "*", "volumeMounts", "*", "volumeStatus"]),
    volume_status(&[
        "status",
        "initContainerStatuses",
        "*",
        "volumeMounts",
        "*",
        "volumeStatus",
    ]),
    volume_status(&[
        "status",
        "ephemeralContainerStatuses",
        "*",
        "volumeMounts",
        "*",
        "volumeStatus",
    ]),
    (
        "",
        "pods",
        gated(
            "DRANodeAllocatableResources",
            &["status", "nodeAllocatableResourceClaimStatuses"],
        ),
    ),
    (
        "apps",
        "statefulsets",
        gated(
            "MaxUnavailableStatefulSet",
            &["spec", "updateStrategy", "rollingUpdate", "maxUnavailable"],
        ),
    ),
    (
        "coordination.k8s.io",
        "leases",
        gated("CoordinatedLeaderElection", &["spec", "strategy"]),
    ),
    (
        "coordination.k8s.io",
        "leases",
        gated("CoordinatedLeaderElection", &["spec", "preferredHolder"]),
    ),
    (
        "storage.k8s.io",
        "csidrivers",
        gated("VolumeLimitScaling", &["spec", "preventPodSchedulingIfMissing"]),
    ),
    (
        "resource.k8s.io",
        "resourceslices",
        gated(
            "DRANodeAllocatableResources",
            &["spec", "devices", "*", "nodeAllocatableResourceMappings"],
        ),
    ),
    list_attribute(&["spec", "devices", "*", "attributes", "*", "bools"]),
    list_attribute(&["spec", "devices", "*", "attributes", "*", "ints"]),
    list_attribute(&["spec", "devices", "*", "attributes", "*", "strings"]),
    list_attribute(&["spec", "devices", "*", "attributes", "*", "versions"]),
];

const fn volume_status(path: &'static [&'static str]) -> (&'static str, &'static str, Gated) {
    ("", "pods", gated("ImageVolumeWithDigest", path))
}

const fn list_attribute(path: &'static [&'static str]) -> (&'static str, &'static str, Gated) {
    (
        "resource.k8s.io",
        "resourceslices",
        gated("DRAListTypeAttributes", path),
    )
}

/// Drops what is behind gates, unless the old object has it.
pub(super) fn drop_disabled(resource: &Resource, new: &mut Value, old: Option<&Value>) {
    let (group, plural) = (resource.gvk.group.as_str(), &*resource.plural);
    for (of, name, gated) in &FIELDS {
        if (*of, *name) == (group, plural) {
            drop_field(gated, new, old);
        }
    }
    for (of, name, path) in PODS {
        if (of, name) == (group, plural)
            && let Some(spec) = path.iter().try_fold(&mut *new, |value, field| value.get_mut(field))
        {
            let old = old.and_then(|old| meta::at(old, path));
            IN_PODS.iter().for_each(|gated| drop_field(gated, spec, old));
        }
    }
    if (group, plural) == ("", "persistentvolumeclaims") {
        drop_foreign_source(new, old);
    }
}

/// A data source in another namespace goes as a whole (`CrossNamespaceVolumeDataSource`).
fn drop_foreign_source(new: &mut Value, old: Option<&Value>) {
    const SOURCE: [&str; 2] = ["spec", "dataSourceRef"];
    let foreign = meta::at(new, &SOURCE)
        .is_some_and(|source| meta::str_at(source, &["namespace"]).is_some_and(|namespace| !namespace.is_empty()));
    if foreign && old.is_none_or(|old| meta::at(old, &SOURCE).is_none()) {
        meta::remove(new, &SOURCE);
    }
}

fn drop_field(gated: &Gated, new: &mut Value, old: Option<&Value>) {
    if has(new, gated.path) && !old.is_some_and(|old| has(old, gated.path)) {
        tracing::debug!(gate = gated.gate, "dropped a field behind a gate that is off");
        remove(new, gated.path, gated.with_parent);
    }
}

/// Everything at the first step of a path, with the steps that are left.
fn has(value: &Value, path: &[&str]) -> bool {
    match (path, value) {
        ([], value) => !value.is_null(),
        (["*", rest @ ..], Value::Array(items)) => items.iter().any(|item| has(item, rest)),
        (["*", rest @ ..], Value::Object(fields)) => fields.values().any(|value| has(value, rest)),
        ([field, rest @ ..], Value::Object(fields)) => fields.get(*field).is_some_and(|value| has(value, rest)),
        _ => false,
    }
}

fn remove(value: &mut Value, path: &[&str], with_parent: bool) {
    match (path, value) {
        (["*", rest @ ..], Value::Array(items)) => items.iter_mut().for_each(|item| remove(item, rest, with_parent)),
        (["*", rest @ ..], Value::Object(fields)) => {
            fields.values_mut().for_each(|value| remove(value, rest, with_parent));
        }
        ([field], Value::Object(fields)) => {
            fields.remove(*field);
        }
        ([field, rest @ ..], Value::Object(fields)) => {
            let Some(inner) = fields.get_mut(*field) else {
                return;
            };
            remove(inner, rest, with_parent);
            let empty = inner.as_object().is_some_and(serde_json::Map::is_empty);
            if with_parent && rest.len() == 1 && empty {
                fields.remove(*field);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn fields_behind_gates_stay_only_where_they_were() {
        let bundle = |name: &str| json!({"clusterTrustBundle": {"name": name, "path": "x"}});
        let projected = |sources: Value| json!({"volumes": [{"name": "v", "projected": {"sources": sources}}]});
        for (new, old, expected) in [
            (projected(json!([bundle("a")])), None, projected(json!([{}]))),
            (
                projected(json!([bundle("a")])),
                Some(projected(json!([bundle("b")]))),
                projected(json!([bundle("a")])),
            ),
            (
                json!({"containers": [{"lifecycle": {"stopSignal": "SIGTERM"}}, {"lifecycle": {"stopSignal": "x", "preStop": {}}}]}),
                None,
                json!({"containers": [{}, {"lifecycle": {"preStop": {}}}]}),
            ),
            (
                json!({"schedulingGroup": {"podGroupName": "x"}}),
                Some(json!({})),
                json!({}),
            ),
        ] {
            let mut changed = new.clone();
            IN_PODS
                .iter()
                .for_each(|gated| drop_field(gated, &mut changed, old.as_ref()));
            assert_eq!(changed, expected, "{new}");
        }
    }

    #[test]
    fn sources_in_other_namespaces_go_as_a_whole() {
        let foreign = json!({"spec": {"dataSourceRef": {"name": "a", "namespace": "n"}}});
        let mut new = foreign.clone();
        drop_foreign_source(&mut new, None);
        assert_eq!(new, json!({"spec": {}}));
        let mut new = foreign.clone();
        drop_foreign_source(&mut new, Some(&foreign));
        assert_eq!(new, foreign);
    }

    #[test]
    fn attributes_that_are_lists_go() {
        let mut slice = json!({"spec": {"devices": [{"attributes": {"a": {"ints": [1]}, "b": {"int": 1}}}]}});
        for (_, _, gated) in &FIELDS {
            drop_field(gated, &mut slice, None);
        }
        assert_eq!(
            slice,
            json!({"spec": {"devices": [{"attributes": {"a": {}, "b": {"int": 1}}}]}})
        );
    }
}
