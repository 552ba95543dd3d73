//! What the host says about a copy, in the words of the virtual cluster.

use super::Names;
use crate::object::ObjectKey;

impl Names {
    /// A message about a host object as one about the virtual object: `namespace/name`, the kubelet's `name_namespace(uid)`
    /// (`pkg/kubelet/util/format/pod.go` of Kubernetes) and the name alone; then as [`Names::sanitise`] does.
    pub fn retold(&self, message: &str, host: &ObjectKey, virtual_: &ObjectKey) -> String {
        let of_kubelet = |key: &ObjectKey| format!("{}_{}(", key.name, key.namespace);
        let message = message
            .replace(&host.to_string(), &virtual_.to_string())
            .replace(&of_kubelet(host), &of_kubelet(virtual_))
            .replace(&host.name, &virtual_.name);
        self.sanitise(&message, &virtual_.name, &virtual_.namespace)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::world;

    #[test]
    fn every_form_of_a_name_becomes_virtual() {
        let (host, virtual_) = (ObjectKey::new("host", "web-x-team-x-vc"), ObjectKey::new("team", "web"));
        for (said, retold_) in [
            (
                "Successfully assigned host/web-x-team-x-vc to n",
                "Successfully assigned team/web to n",
            ),
            (
                "restarting failed container c in pod web-x-team-x-vc_host(1-2)",
                "restarting failed container c in pod web_team(1-2)",
            ),
            (
                "container \"c\" in pod \"web-x-team-x-vc\" is waiting to start",
                "container \"c\" in pod \"web\" is waiting to start",
            ),
            (
                "secret \"web-sa-token-x-team-x-vc\" not found",
                "secret \"web-sa-token\" not found",
            ),
            ("nothing about it", "nothing about it"),
        ] {
            assert_eq!(world().names.retold(said, &host, &virtual_), retold_);
        }
    }
}
