//! Which objects a pod or a volume needs to run: secrets, ConfigMaps and claims (kubernetes `pkg/api/v1/pod`,
//! `pkg/api/v1/persistentvolume`).

use crate::meta;
use serde_json::Value;

/// Fields of a pod's spec that hold containers.
const CONTAINERS: [&str; 3] = ["initContainers", "containers", "ephemeralContainers"];

/// Where volume sources of pods name a secret.
const POD_SECRETS: [(&str, &[&str]); 10] = [
    ("azureFile", &["secretName"]),
    ("cephfs", &["secretRef", "name"]),
    ("cinder", &["secretRef", "name"]),
    ("flexVolume", &["secretRef", "name"]),
    ("rbd", &["secretRef", "name"]),
    ("secret", &["secretName"]),
    ("scaleIO", &["secretRef", "name"]),
    ("iscsi", &["secretRef", "name"]),
    ("storageos", &["secretRef", "name"]),
    ("csi", &["nodePublishSecretRef", "name"]),
];

/// Where sources of persistent volumes refer to a secret that kubelets need, and whether the claim's namespace stands in
/// for one that is not given.
const VOLUME_SECRETS: [(&str, &str, bool); 10] = [
    ("cephfs", "secretRef", true),
    ("cinder", "secretRef", false),
    ("flexVolume", "secretRef", true),
    ("rbd", "secretRef", true),
    ("scaleIO", "secretRef", true),
    ("iscsi", "secretRef", true),
    ("storageos", "secretRef", false),
    ("csi", "nodePublishSecretRef", false),
    ("csi", "nodeStageSecretRef", false),
    ("csi", "nodeExpandSecretRef", false),
];

/// The names of the secrets that a pod uses; a name may appear more than once.
pub fn pod_secrets(pod: &Value) -> Vec<&str> {
    let pull = meta::list_at(pod, &["spec", "imagePullSecrets"]).iter();
    let mut names: Vec<&str> = pull.filter_map(|secret| name_at(secret, &["name"])).collect();
    names.extend(from_environments(pod, "secretRef", "secretKeyRef"));
    for volume in volumes(pod) {
        let sources = POD_SECRETS.iter();
        names.extend(sources.filter_map(|(source, path)| name_at(volume.get(*source)?, path)));
        names.extend(projected(volume, "secret"));
    }
    names
}

/// The names of the ConfigMaps that a pod uses; a name may appear more than once.
pub fn pod_config_maps(pod: &Value) -> Vec<&str> {
    let mut names = from_environments(pod, "configMapRef", "configMapKeyRef");
    for volume in volumes(pod) {
        names.extend(name_at(volume, &["configMap", "name"]));
        names.extend(projected(volume, "configMap"));
    }
    names
}

/// The names of the volume claims that a pod uses, those made for it included.
pub fn pod_volume_claims(pod: &Value) -> Vec<String> {
    let claim = |volume: &Value| match name_at(volume, &["persistentVolumeClaim", "claimName"]) {
        Some(name) => Some(name.to_owned()),
        None => {
            volume.get("ephemeral").filter(|source| !source.is_null())?;
            Some(format!("{}-{}", meta::name(pod), name_at(volume, &["name"])?))
        }
    };
    volumes(pod).iter().filter_map(claim).collect()
}

/// The names of the resource claims that a pod uses, those made for it included.
pub fn pod_resource_claims(pod: &Value) -> Vec<&str> {
    let made = meta::list_at(pod, &["status", "resourceClaimStatuses"]);
    let claims = meta::list_at(pod, &["spec", "resourceClaims"]).iter();
    let name_of = |claim| match name_at(claim, &["resourceClaimName"]) {
        Some(name) => Some(name),
        None => {
            name_at(claim, &["resourceClaimTemplateName"])?;
            let wanted = name_at(claim, &["name"])?;
            let found = made.iter().find(|status| name_at(status, &["name"]) == Some(wanted))?;
            name_at(found, &["resourceClaimName"])
        }
    };
    let extended = name_at(pod, &["status", "extendedResourceClaimStatus", "resourceClaimName"]);
    claims.filter_map(name_of).chain(extended).collect()
}

/// Namespaces and names of the secrets that kubelets need for a persistent volume.
pub fn volume_secrets(volume: &Value) -> Vec<(&str, &str)> {
    let claimed = name_at(volume, &["spec", "claimRef", "namespace"]).unwrap_or_default();
    let spec = volume.get("spec").unwrap_or(&Value::Null);
    let azure = name_at(spec, &["azureFile", "secretName"]).map(|name| {
        let namespace = name_at(spec, &["azureFile", "secretNamespace"]);
        (namespace.unwrap_or(claimed), name)
    });
    let others = VOLUME_SECRETS.iter().filter_map(|(source, field, or_claimed)| {
        let reference = meta::at(spec, &[source, field])?;
        let stands_in = if *or_claimed { claimed } else { "" };
        let namespace = name_at(reference, &["namespace"]).unwrap_or(stands_in);
        Some((namespace, name_at(reference, &["name"])?))
    });
    azure.into_iter().chain(others).collect()
}

/// The text at a path; nothing when it is empty.
fn name_at<'a>(value: &'a Value, path: &[&str]) -> Option<&'a str> {
    meta::str_at(value, path).filter(|name| !name.is_empty())
}

fn volumes(pod: &Value) -> &[Value] {
    meta::list_at(pod, &["spec", "volumes"])
}

fn projected<'a>(volume: &'a Value, kind: &'a str) -> impl Iterator<Item = &'a str> {
    let sources = meta::list_at(volume, &["projected", "sources"]).iter();
    sources.filter_map(move |source| name_at(source, &[kind, "name"]))
}

fn from_environments<'a>(pod: &'a Value, whole: &str, key: &str) -> Vec<&'a str> {
    let containers = CONTAINERS.iter().flat_map(|field| meta::list_at(pod, &["spec", field]));
    let mut names = Vec::new();
    for container in containers {
        let sets = meta::list_at(container, &["envFrom"]).iter();
        names.extend(sets.filter_map(|set| name_at(set, &[whole, "name"])));
        let variables = meta::list_at(container, &["env"]).iter();
        names.extend(variables.filter_map(|variable| name_at(variable, &["valueFrom", key, "name"])));
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn pods_need_what_they_name() {
        let pod = json!({
            "metadata": {"name": "p"},
            "spec": {
                "imagePullSecrets": [{"name": "pull"}, {}],
                "initContainers": [{"envFrom": [{"secretRef": {"name": "set"}}, {"configMapRef": {"name": "mapped"}}]}],
                "containers": [{"env": [
                    {"valueFrom": {"secretKeyRef": {"name": "key"}}},
                    {"valueFrom": {"configMapKeyRef": {"name": "entry"}}},
                ]}],
                "volumes": [
                    {"secret": {"secretName": "vol"}}, {"csi": {"nodePublishSecretRef": {"name": "csi"}}},
                    {"configMap": {"name": "files"}}, {"persistentVolumeClaim": {"claimName": "data"}},
                    {"name": "tmp", "ephemeral": {"volumeClaimTemplate": {}}},
                    {"projected": {"sources": [{"secret": {"name": "ps"}}, {"configMap": {"name": "pc"}}]}},
                ],
                "resourceClaims": [
                    {"name": "a", "resourceClaimName": "ready"}, {"name": "b", "resourceClaimTemplateName": "t"},
                    {"name": "c", "resourceClaimTemplateName": "t"},
                ],
            },
            "status": {"resourceClaimStatuses": [{"name": "b", "resourceClaimName": "made"}]},
        });
        assert_eq!(pod_secrets(&pod), ["pull", "set", "key", "vol", "csi", "ps"]);
        assert_eq!(pod_config_maps(&pod), ["mapped", "entry", "files", "pc"]);
        assert_eq!(pod_volume_claims(&pod), ["data", "p-tmp"]);
        assert_eq!(pod_resource_claims(&pod), ["ready", "made"]);
    }

    #[test]
    fn volumes_need_the_secrets_of_their_driver() {
        let volume = |source: Value| {
            let mut spec = source;
            spec["claimRef"] = json!({"namespace": "n", "name": "c"});
            json!({"spec": spec})
        };
        for (source, expected) in [
            (json!({"rbd": {"secretRef": {"name": "s"}}}), vec![("n", "s")]),
            (json!({"cinder": {"secretRef": {"name": "s"}}}), vec![("", "s")]),
            (
                json!({"azureFile": {"secretName": "s", "secretNamespace": "m"}}),
                vec![("m", "s")],
            ),
            (
                json!({"csi": {
                    "controllerPublishSecretRef": {"name": "x", "namespace": "m"},
                    "nodeStageSecretRef": {"name": "s", "namespace": "m"},
                }}),
                vec![("m", "s")],
            ),
        ] {
            assert_eq!(volume_secrets(&volume(source)), expected);
        }
    }
}
