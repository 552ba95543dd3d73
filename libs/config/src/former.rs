//! Keys of earlier versions of vcluster.yaml, and what has taken their place.

/// A key, with everything below it, and what to do instead.
const FORMER: &[(&str, &str)] = &[
    (
        "experimental.genericSync",
        "name the resources under sync.toHost.customResources and sync.fromHost.customResources",
    ),
    (
        "experimental.isolatedControlPlane",
        "start the control plane anywhere, and name the host with the syncer's --host-kubeconfig",
    ),
    (
        "experimental.multiNamespaceMode",
        "use sync.toHost.namespaces.enabled with mappings",
    ),
    (
        "experimental.reuseNamespace",
        "remove it: several virtual clusters may share a namespace",
    ),
    (
        "experimental.syncSettings.disableSync",
        "remove it: without a syncer nothing is synced",
    ),
    (
        "experimental.syncSettings.rewriteKubernetesService",
        "remove it: default/kubernetes always has the address of the control plane's Service",
    ),
    (
        "experimental.syncSettings.targetNamespace",
        "use the syncer's --target-namespace",
    ),
    (
        "rbac.enableVolumeSnapshotRules",
        "remove it: the rights for snapshots come with sync.toHost.volumeSnapshots and its neighbours",
    ),
];

/// What to do instead of using a key that there was once.
pub(crate) fn advice(path: &str) -> Option<&'static str> {
    let (_, advice) = FORMER.iter().find(|(key, _)| *key == path)?;
    Some(advice)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Config, keys};

    #[test]
    fn no_key_is_both_a_former_one_and_one_of_today() {
        keys::root().walk("", &mut |path, _| {
            let former = FORMER
                .iter()
                .find(|(key, _)| path == *key || path.starts_with(&format!("{key}.")));
            assert_eq!(former, None, "{path}");
        });
    }

    #[test]
    fn who_writes_a_former_key_is_told_what_to_write() {
        for (key, advice) in FORMER {
            let value = serde_json::json!({"enabled": false});
            let document = key
                .rsplit('.')
                .fold(value, |value, name| serde_json::json!({name: value}));
            let error = Config::parse("f", &document.to_string()).unwrap_err().to_string();
            assert_eq!(
                error,
                format!("f:1: {key} is no key of vcluster.yaml any more: {advice}")
            );
        }
    }
}
