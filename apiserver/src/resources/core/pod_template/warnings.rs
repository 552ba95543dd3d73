//! What works but should not be written any more (`pkg/api/pod/warnings.go`).

use machinery::field::{Path, go_quote};
use machinery::quantity::Quantity;
use machinery::{meta, names};
use serde_json::Value;
use std::collections::BTreeSet;

/// Labels of nodes and what to use instead (`pkg/api/node/util.go`).
const NODE_LABELS: [(&str, &str); 5] = [
    (
        "beta.kubernetes.io/arch",
        r#"deprecated since v1.14; use "kubernetes.io/arch" instead"#,
    ),
    (
        "beta.kubernetes.io/os",
        r#"deprecated since v1.14; use "kubernetes.io/os" instead"#,
    ),
    (
        "failure-domain.beta.kubernetes.io/region",
        r#"deprecated since v1.17; use "topology.kubernetes.io/region" instead"#,
    ),
    (
        "failure-domain.beta.kubernetes.io/zone",
        r#"deprecated since v1.17; use "topology.kubernetes.io/zone" instead"#,
    ),
    (
        "beta.kubernetes.io/instance-type",
        r#"deprecated since v1.17; use "node.kubernetes.io/instance-type" instead"#,
    ),
];
const ANNOTATIONS: [(&str, &str); 2] = [
    (
        "scheduler.alpha.kubernetes.io/critical-pod",
        r#"non-functional in v1.16+; use the "priorityClassName" field instead"#,
    ),
    (
        "security.alpha.kubernetes.io/sysctls",
        r#"non-functional in v1.11+; use the "sysctls" field instead"#,
    ),
];
const VOLUMES: [(&str, &str); 9] = [
    ("photonPersistentDisk", "deprecated in v1.11, non-functional in v1.16+"),
    ("gitRepo", "deprecated in v1.11, and disabled by default in v1.33+"),
    ("scaleIO", "deprecated in v1.16, non-functional in v1.22+"),
    ("flocker", "deprecated in v1.22, non-functional in v1.25+"),
    ("storageos", "deprecated in v1.22, non-functional in v1.25+"),
    ("quobyte", "deprecated in v1.22, non-functional in v1.25+"),
    ("glusterfs", "deprecated in v1.25, non-functional in v1.26+"),
    ("cephfs", "deprecated in v1.28, non-functional in v1.31+"),
    ("rbd", "deprecated in v1.28, non-functional in v1.31+"),
];
const NULL_SELECTOR: &str = "a null labelSelector results in matching no pod";
/// Resources that are counted in whole bytes.
const BYTES: [&str; 2] = ["memory", "ephemeral-storage"];
const CONTAINERS: [&str; 2] = ["initContainers", "containers"];

fn text<'a>(item: &'a Value, field: &str) -> &'a str {
    meta::str_at(item, &[field]).unwrap_or_default()
}

/// Why a label of nodes should not be used any more, if it should not.
pub(in super::super::super) fn deprecated_node_label(label: &str) -> Option<&'static str> {
    NODE_LABELS
        .iter()
        .find(|(known, _)| *known == label)
        .map(|(_, why)| *why)
}

/// The warnings about a pod or a template; `path` is where it is.
pub(in super::super::super) fn of(pod: &Value, path: &Path) -> Vec<String> {
    let Some(spec) = meta::at(pod, &["spec"]) else {
        return Vec::new();
    };
    let here = path.child("spec");
    let mut warnings = Vec::new();
    for key in meta::map_at(spec, &["nodeSelector"])
        .into_iter()
        .flat_map(serde_json::Map::keys)
    {
        if let Some(why) = deprecated_node_label(key) {
            warnings.push(format!("{}: {why}", here.child("nodeSelector").key(key)));
        }
    }
    let constraints = meta::list_at(spec, &["topologySpreadConstraints"]);
    for (i, constraint) in constraints.iter().enumerate() {
        let path = here.child("topologySpreadConstraints").index(i);
        let key = text(constraint, "topologyKey");
        if let Some(why) = deprecated_node_label(key) {
            warnings.push(format!("{}: {key} is {why}", path.child("topologyKey")));
        }
        if constraint.get("labelSelector").is_none() {
            warnings.push(format!("{}: {NULL_SELECTOR}", path.child("labelSelector")));
        }
    }
    for (key, why) in ANNOTATIONS {
        if meta::at(pod, &["metadata", "annotations", key]).is_some() {
            let path = path.child("metadata").child("annotations").key(key);
            warnings.push(format!("{path}: {why}"));
        }
    }
    warnings.extend(of_volumes(spec, &here));
    warnings.extend(of_lists(spec, &here));
    for list in CONTAINERS {
        for (i, container) in meta::list_at(spec, &[list]).iter().enumerate() {
            warnings.extend(of_container(container, &here.child(list).index(i)));
        }
    }
    warnings.extend(of_ports(spec, &here));
    let grace = meta::i64_at(spec, &["terminationGracePeriodSeconds"]).unwrap_or_default();
    if grace < 0 {
        let path = here.child("terminationGracePeriodSeconds");
        warnings.push(format!(
            "{path}: must be >= 0; negative values are invalid and will be treated as 1"
        ));
    }
    for kind in ["podAffinity", "podAntiAffinity"] {
        warnings.extend(of_affinity(spec, kind, &here.child("affinity").child(kind)));
    }
    warnings
}

/// The warning about the name of something new that `becomes` a part of host names and should be a DNS label.
pub(in super::super::super) fn of_name(new: &Value, old: Option<&Value>, becomes: &str) -> Option<String> {
    let complaints = names::dns1123_label(meta::name(new));
    (old.is_none() && !complaints.is_empty()).then(|| {
        format!(
            "metadata.name: this is used in {becomes}, which can result in surprising behavior; a DNS label is recommended: [{}]",
            complaints.join(" ")
        )
    })
}

/// What the names of workloads become whose pods have them in theirs.
pub(in super::super::super) const POD_NAMES: &str = "Pod names and hostnames";

/// The warnings about the name and the template of a workload whose pods have its name in theirs.
pub(in super::super::super) fn of_named_workload(new: &Value, old: Option<&Value>) -> Vec<String> {
    let mut warnings: Vec<String> = of_name(new, old, POD_NAMES).into_iter().collect();
    warnings.extend(of_workload(new, old));
    warnings
}

/// The warnings about the template of a workload that is new or whose spec changes.
pub(in super::super::super) fn of_workload(new: &Value, old: Option<&Value>) -> Vec<String> {
    let same = |old: &Value| meta::at(old, &["spec"]) == meta::at(new, &["spec"]);
    if old.is_some_and(same) {
        return Vec::new();
    }
    let template = meta::at(new, &["spec", "template"]).cloned().unwrap_or_default();
    of(&template, &Path::new("spec").child("template"))
}

fn of_volumes(spec: &Value, path: &Path) -> Vec<String> {
    let mut warnings = Vec::new();
    for (i, volume) in meta::list_at(spec, &["volumes"]).iter().enumerate() {
        let path = path.child("volumes").index(i);
        for (source, why) in VOLUMES {
            if volume.get(source).is_some() {
                warnings.push(format!("{}: {why}", path.child(source)));
            }
        }
        let nothing = |source: &Value| source.as_object().is_none_or(serde_json::Map::is_empty);
        let sources = meta::list_at(volume, &["projected", "sources"]);
        if volume.get("projected").is_some() && sources.iter().any(nothing) {
            let name = go_quote(text(volume, "name"));
            warnings.push(format!("volume {name} (Projected) has no sources provided"));
        }
    }
    warnings
}

fn of_lists(spec: &Value, path: &Path) -> Vec<String> {
    let mut warnings = Vec::new();
    for (list, key) in [("hostAliases", "ip"), ("imagePullSecrets", "name")] {
        let mut seen = BTreeSet::new();
        for (i, item) in meta::list_at(spec, &[list]).iter().enumerate() {
            let value = text(item, key);
            if !seen.insert(value) {
                let path = path.child(list).index(i).child(key);
                warnings.push(format!("{path}: duplicate {key} {}", go_quote(value)));
            }
        }
    }
    for (i, secret) in meta::list_at(spec, &["imagePullSecrets"]).iter().enumerate() {
        if text(secret, "name").is_empty() {
            let path = path.child("imagePullSecrets").index(i).child("name");
            warnings.push(format!("{path}: invalid empty name \"\""));
        }
    }
    warnings
}

/// Parts of bytes in `resources` of an owner.
fn of_bytes(owner: &Value, list: &str, name: &str, path: &Path) -> Option<String> {
    let quantity = Quantity::parse(meta::str_at(owner, &["resources", list, name])?).ok()?;
    let shown = go_quote(&quantity.to_string());
    let path = path.child("resources").child(list).key(name);
    let warning = format!("{path}: fractional byte value {shown} is invalid, must be an integer");
    (quantity.millis() % 1000 != 0).then_some(warning)
}

/// The warnings about what a claim for a volume asks for (`GetWarningsForPersistentVolumeClaimSpec`).
pub(in super::super::super) fn of_claim(spec: &Value, path: &Path) -> Vec<String> {
    let lists = ["requests", "limits"].into_iter();
    lists.filter_map(|list| of_bytes(spec, list, "storage", path)).collect()
}

fn of_container(container: &Value, path: &Path) -> Vec<String> {
    let mut warnings = Vec::new();
    for list in ["limits", "requests"] {
        warnings.extend(BYTES.iter().filter_map(|name| of_bytes(container, list, name, path)));
    }
    let mut seen = BTreeSet::new();
    for (i, variable) in meta::list_at(container, &["env"]).iter().enumerate() {
        let name = text(variable, "name");
        // A variable that refers to its own earlier value is meant to be there twice.
        let refers = text(variable, "value").contains(&format!("$({name})"));
        if !seen.insert(name) && !refers {
            warnings.push(format!(
                "{}: hides previous definition of {}, which may be dropped when using apply",
                path.child("env").index(i),
                go_quote(name)
            ));
        }
    }
    warnings
}

/// Ports that occur twice, in a container or between containers, and addresses of hosts without a port there.
fn of_ports(spec: &Value, path: &Path) -> Vec<String> {
    let mut warnings = Vec::new();
    let mut seen: Vec<(&Value, Path)> = Vec::new();
    for list in CONTAINERS {
        for (i, container) in meta::list_at(spec, &[list]).iter().enumerate() {
            let first_here = seen.len();
            for (j, port) in meta::list_at(container, &["ports"]).iter().enumerate() {
                let path = path.child(list).index(i).child("ports").index(j);
                let number = |p: &Value, field: &str| meta::i64_at(p, &[field]).unwrap_or_default();
                let same = |other: &Value| {
                    ["containerPort", "hostPort"]
                        .iter()
                        .all(|f| number(other, f) == number(port, f))
                        && ["protocol", "hostIP"].iter().all(|f| text(other, f) == text(port, f))
                };
                if number(port, "hostPort") == 0 && !text(port, "hostIP").is_empty() {
                    warnings.push(format!(
                        "{path}: hostIP set without hostPort: {{Name:{} HostPort:0 ContainerPort:{} Protocol:{} HostIP:{}}}",
                        text(port, "name"),
                        number(port, "containerPort"),
                        text(port, "protocol"),
                        text(port, "hostIP"),
                    ));
                }
                if let Some((_, first)) = seen[first_here..].iter().find(|(other, _)| same(other)) {
                    warnings.push(format!("{path}: duplicate port definition with {first}"));
                }
                seen.push((port, path));
            }
        }
    }
    warnings
}

fn of_affinity(spec: &Value, kind: &str, path: &Path) -> Vec<String> {
    let required = "requiredDuringSchedulingIgnoredDuringExecution";
    let preferred = "preferredDuringSchedulingIgnoredDuringExecution";
    let terms = meta::list_at(spec, &["affinity", kind, required]).iter().enumerate();
    let weighted = meta::list_at(spec, &["affinity", kind, preferred]).iter().enumerate();
    let mut warnings = Vec::new();
    for (i, term) in terms {
        if term.get("labelSelector").is_none() {
            let path = path.child(required).index(i).child("labelSelector");
            warnings.push(format!("{path}: {NULL_SELECTOR}"));
        }
    }
    for (i, term) in weighted {
        if meta::at(term, &["podAffinityTerm", "labelSelector"]).is_none() {
            let path = path
                .child(preferred)
                .index(i)
                .child("podAffinityTerm")
                .child("labelSelector");
            warnings.push(format!("{path}: {NULL_SELECTOR}"));
        }
    }
    warnings
}
