//! Volumes whose translation is more than a name.

use serde_json::{Value, json};

use super::names::CONTAINER_LISTS;
use crate::json::{self, items_mut};
use crate::names::Names;

/// Directories of a node in which every pod's files lie, and where a virtual cluster finds those of its own pods, below the
/// directory that it has on the node (`pkg/controllers/resources/pods/translate/hostpath.go` of vCluster). The longer ones first.
const PODS_OF_ALL: [(&str, &str); 3] = [
    ("/var/lib/kubelet/pods", "kubelet/pods"),
    ("/var/log/pods", "log/pods"),
    ("/var/log", "log"),
];

/// Generic ephemeral volumes become the claim that the virtual cluster's controller makes for them.
pub(super) fn name_own_claims(pod: &str, spec: &mut Value) {
    for volume in items_mut(spec, "volumes") {
        if volume.get("ephemeral").is_some() {
            let claim = format!("{pod}-{}", json::text(volume, &["name"]));
            json::remove(volume, &["ephemeral"]);
            json::put(volume, "persistentVolumeClaim", Some(json!({"claimName": claim})));
        }
    }
}

/// Leads host paths to the pods of all away from those of others.
pub(super) fn redirect_host_paths(names: &Names, spec: &mut Value) {
    let mut redirected = Vec::new();
    for volume in items_mut(spec, "volumes") {
        let name = json::text(volume, &["name"]).to_owned();
        let Some(source) = volume.get_mut("hostPath") else {
            continue;
        };
        if let Some(path) = redirect(names, json::text(source, &["path"])) {
            source["path"] = json!(path);
            redirected.push(name);
        }
    }
    for list in CONTAINER_LISTS {
        for container in items_mut(spec, list) {
            for mount in items_mut(container, "volumeMounts") {
                if redirected.iter().any(|name| name == json::text(mount, &["name"])) {
                    // What appears there comes from mounts on the node.
                    mount["mountPropagation"] = json!("HostToContainer");
                }
            }
        }
    }
}

fn redirect(names: &Names, path: &str) -> Option<String> {
    let parts: Vec<&str> = path.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
    let path = format!("/{}", parts.join("/"));
    PODS_OF_ALL.iter().find_map(|(of_all, own)| {
        let rest = path.strip_prefix(of_all)?;
        let below = rest.is_empty() || rest.starts_with('/');
        below.then(|| {
            format!(
                "/tmp/vcluster/{}/{}/{own}{rest}",
                names.host_namespace(),
                names.vcluster()
            )
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_to_the_pods_of_all_lead_to_those_of_the_virtual_cluster() {
        let names = Names::new("vc", "host");
        let table = [
            ("/var/log", Some("/tmp/vcluster/host/vc/log")),
            ("/var/log/", Some("/tmp/vcluster/host/vc/log")),
            ("//var/./log/pods", Some("/tmp/vcluster/host/vc/log/pods")),
            (
                "/var/log/pods/team_web_1/app",
                Some("/tmp/vcluster/host/vc/log/pods/team_web_1/app"),
            ),
            ("/var/lib/kubelet/pods", Some("/tmp/vcluster/host/vc/kubelet/pods")),
            ("/var/logs", None),
            ("/data", None),
        ];
        for (path, expected) in table {
            assert_eq!(redirect(&names, path).as_deref(), expected, "{path}");
        }
    }

    #[test]
    fn mounts_of_redirected_paths_see_what_is_mounted_there_later() {
        let mut spec = json!({
            "volumes": [
                {"name": "logs", "hostPath": {"path": "/var/log", "type": "Directory"}},
                {"name": "data", "hostPath": {"path": "/data"}},
            ],
            "containers": [{"volumeMounts": [{"name": "logs", "mountPath": "/a"}, {"name": "data", "mountPath": "/b"}]}],
        });
        redirect_host_paths(&Names::new("vc", "host"), &mut spec);
        assert_eq!(
            spec,
            json!({
                "volumes": [
                    {"name": "logs", "hostPath": {"path": "/tmp/vcluster/host/vc/log", "type": "Directory"}},
                    {"name": "data", "hostPath": {"path": "/data"}},
                ],
                "containers": [{"volumeMounts": [
                    {"name": "logs", "mountPath": "/a", "mountPropagation": "HostToContainer"},
                    {"name": "data", "mountPath": "/b"},
                ]}],
            })
        );
    }
}
