//! Volumes whose translation is more than a name.

use serde_json::{Value, json};

use super::names::CONTAINER_LISTS;
use crate::json::{self, items_mut};
use crate::kinds::Kind;
use crate::names::{Names, keys};
use crate::world::World;

/// Directories of a node in which every pod's files lie, and where a virtual cluster finds those of its own pods, below the
/// directory that it has on the node (`pkg/controllers/resources/pods/translate/hostpath.go` of vCluster). The longer ones first.
const PODS_OF_ALL: [(&str, &str); 3] = [
    ("/var/lib/kubelet/pods", "kubelet/pods"),
    ("/var/log/pods", "log/pods"),
    ("/var/log", "log"),
];

/// Where kubelets keep what belongs to a pod, by its uid.
const OF_KUBELET: &str = "/var/lib/kubelet/pods/";

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
pub(super) fn redirect_host_paths(world: &World, spec: &mut Value) {
    let mut redirected = Vec::new();
    for volume in items_mut(spec, "volumes") {
        let name = json::text(volume, &["name"]).to_owned();
        let Some(source) = volume.get_mut("hostPath") else {
            continue;
        };
        let path = json::text(source, &["path"]);
        if let Some(path) = of_own_pod(world, path) {
            source["path"] = json!(path);
        } else if let Some(path) = redirect(&world.names, path) {
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

/// A path without what means nothing in it.
fn plain(path: &str) -> String {
    let parts: Vec<&str> = path.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
    format!("/{}", parts.join("/"))
}

/// The directory of a pod of this virtual cluster, which has another uid on the host
/// (`translateKubeletSubPath` in the same file).
fn of_own_pod(world: &World, path: &str) -> Option<String> {
    let path = plain(path);
    let below = path.strip_prefix(OF_KUBELET)?;
    let (uid, rest) = below.split_once('/').unwrap_or((below, ""));
    if uid.is_empty() || rest.split('/').any(|part| part == "..") {
        return None;
    }
    let pods = world.virtual_side.of(Kind::Pod).list();
    let key = pods.iter().find(|pod| pod.uid() == uid)?.key().clone();
    let copy = world.host_key(Kind::Pod, &key.namespace, &key.name);
    let copy = world.host.get(Kind::Pod, &copy.namespace, &copy.name)?;
    // Another pod's, whose copy has this name for a moment longer, is not meant.
    let copied = json::text(&copy.value(), &["metadata", "annotations", keys::OBJECT_UID]) == uid;
    copied.then(|| path.replacen(uid, copy.uid(), 1))
}

fn redirect(names: &Names, path: &str) -> Option<String> {
    let path = plain(path);
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
    use crate::kinds::Side;
    use crate::testing::world;

    #[test]
    fn the_directory_of_an_own_pod_is_that_of_its_copy() {
        let world = world();
        let own = json!({"metadata": {"namespace": "team", "name": "web", "uid": "v-1"}});
        world.put(Side::Virtual, Kind::Pod, own);
        let volume = |path: &str| {
            let mut spec = json!({"volumes": [{"name": "data", "hostPath": {"path": path}}]});
            redirect_host_paths(&world, &mut spec);
            json::text(&spec["volumes"][0], &["hostPath", "path"]).to_owned()
        };
        let redirected = |rest: &str| format!("/tmp/vcluster/host/vc/kubelet/pods/{rest}");
        assert_eq!(
            volume("/var/lib/kubelet/pods/v-1/volumes"),
            redirected("v-1/volumes"),
            "it has no copy"
        );
        let copy = json!({"metadata": {
            "namespace": "host", "name": "web-x-team-x-vc", "uid": "h-1", "annotations": {keys::OBJECT_UID: "v-1"},
        }});
        world.put(Side::Host, Kind::Pod, copy);
        let table = [
            (
                "/var/lib/kubelet/pods/v-1/volumes",
                "/var/lib/kubelet/pods/h-1/volumes".to_owned(),
            ),
            ("/var/lib//kubelet/pods/v-1/", "/var/lib/kubelet/pods/h-1".to_owned()),
            ("/var/lib/kubelet/pods/h-1/volumes", redirected("h-1/volumes")),
            ("/var/lib/kubelet/pods/v-1/../h-2", redirected("v-1/../h-2")),
            ("/var/lib/kubelet/pods/other", redirected("other")),
        ];
        for (path, expected) in table {
            assert_eq!(volume(path), expected, "{path}");
        }
    }

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
        redirect_host_paths(&world(), &mut spec);
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
