//! Pods with a subdomain: their fully qualified name belongs into their hosts file, and a kubelet would write the host's.

use serde_json::{Value, json};

use super::names::CONTAINER_LISTS;
use crate::json::{self, items_mut};
use crate::world::World;

/// Marks host pods whose hosts file is written by the container below.
pub(super) const REWRITTEN: &str = "vcluster.loft.sh/hosts-rewritten";
/// Annotation of a virtual pod that wants its hosts file left as it is.
const NOT_WANTED: &str = "vcluster.loft.sh/disable-subdomain-rewrite";
/// Name of the init container and of its volume.
const NAME: &str = "vcluster-rewrite-hosts";

/// Adds the init container that writes the hosts file, if this pod needs one.
pub(super) fn translate(world: &World, pod: &Value, spec: &mut Value) -> bool {
    let (namespace, subdomain) = (
        json::text(pod, &["metadata", "namespace"]),
        json::text(pod, &["spec", "subdomain"]),
    );
    let is_wanted = json::text(pod, &["metadata", "annotations", NOT_WANTED]) != "true";
    let Some(settings) = &world.settings.pods.rewrite_hosts else {
        return false;
    };
    if !is_wanted || subdomain.is_empty() || json::flag(spec, &["hostNetwork"]) == Some(true) {
        return false;
    }
    let hostname = json::text(spec, &["hostname"]).to_owned();
    let full = format!(
        "{hostname}.{subdomain}.{namespace}.svc.{}",
        world.settings.cluster_domain
    );
    // Host names are DNS labels: nothing in them has a meaning in the expression or the shell.
    let script =
        format!("sed -E 's/^([^[:space:]]+)[[:space:]]+{hostname}$/\\1  {full} {hostname}/' /etc/hosts > /hosts/hosts");
    for list in CONTAINER_LISTS {
        for container in items_mut(spec, list) {
            push(
                container,
                "volumeMounts",
                json!({"name": NAME, "mountPath": "/etc/hosts", "subPath": "hosts"}),
            );
        }
    }
    push(spec, "volumes", json!({"name": NAME, "emptyDir": {}}));
    let container = json!({
        "name": NAME,
        "image": settings.image,
        "command": ["sh"],
        "args": ["-c", script],
        "resources": settings.resources,
        "volumeMounts": [{"name": NAME, "mountPath": "/hosts"}],
        "securityContext": {
            "runAsUser": settings.user,
            "runAsGroup": settings.user,
            "runAsNonRoot": true,
            "allowPrivilegeEscalation": false,
            "capabilities": {"drop": ["ALL"]},
            "seccompProfile": {"type": "RuntimeDefault"},
        },
    });
    match spec.get_mut("initContainers") {
        Some(Value::Array(containers)) => containers.insert(0, container),
        _ => json::put(spec, "initContainers", Some(json!([container]))),
    }
    true
}

fn push(holder: &mut Value, field: &str, item: Value) {
    match holder.get_mut(field) {
        Some(Value::Array(items)) => items.push(item),
        _ => json::put(holder, field, Some(json!([item]))),
    }
}
