//! Those whom no role needs to allow anything: the control plane's own identities and the cluster's administrators. And
//! everybody may ask whether the server is healthy, before there are roles that say so.

use super::{Attributes, Authorizer, Decision};

/// Those who may do everything.
const MASTERS: &str = "system:masters";
/// The control plane's own users.
const CONTROL_PLANE: [&str; 4] = [
    "system:apiserver",
    "system:kube-controller-manager",
    "system:kube-scheduler",
    "system:vcluster-syncer",
];

/// Whether the server is there.
const HEALTH: [&str; 3] = ["/healthz", "/livez", "/readyz"];

/// Whether this is a user of the control plane itself.
pub fn is_own(user: &str) -> bool {
    CONTROL_PLANE.contains(&user)
}

/// Lets in the control plane and the cluster's administrators.
pub struct ControlPlane;

impl Authorizer for ControlPlane {
    fn decide(&self, attributes: &Attributes<'_>) -> Decision {
        let own = attributes.in_group(MASTERS) || is_own(attributes.user);
        let health = !attributes.is_resource && attributes.verb == "get" && HEALTH.contains(&attributes.path);
        if own || health {
            Decision::allow("")
        } else {
            Decision::no_opinion("")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn may(user: &str, groups: &[&str], verb: &str, what: &str) -> bool {
        let groups: Vec<String> = groups.iter().map(|group| (*group).to_owned()).collect();
        let (group, resource) = what.split_once(':').unwrap_or(("", ""));
        let is_resource = !resource.is_empty();
        let attributes = Attributes {
            user,
            groups: &groups,
            verb,
            group,
            resource,
            is_resource,
            ..Attributes::default()
        };
        ControlPlane.allows(&Attributes {
            path: if is_resource { "" } else { what },
            ..attributes
        })
    }

    #[test]
    fn only_the_control_plane_is_let_in() {
        let known = &["system:authenticated"][..];
        let account = &[
            "system:serviceaccounts",
            "system:serviceaccounts:n",
            "system:authenticated",
        ][..];
        let nobody = &["system:unauthenticated"][..];
        for (user, groups, verb, what, allowed) in [
            (
                "admin",
                &["system:masters", "system:authenticated"][..],
                "delete",
                ":secrets",
                true,
            ),
            (
                "system:kube-controller-manager",
                known,
                "list",
                "apps:deployments",
                true,
            ),
            ("system:vcluster-syncer", known, "list", ":pods", true),
            (
                "system:node:n",
                &["system:nodes", "system:authenticated"],
                "get",
                ":secrets",
                false,
            ),
            ("jane", known, "list", ":pods", false),
            ("jane", known, "get", "/apis/apps/v1", false),
            ("jane", known, "get", "/metrics", false),
            ("jane", known, "head", "/healthz", false),
            ("system:serviceaccount:n:a", account, "list", ":pods", false),
            ("system:anonymous", nobody, "get", "/healthz", true),
            ("system:anonymous", nobody, "get", "/healthz/etcd", false),
            ("system:anonymous", nobody, "get", "/api", false),
            ("system:anonymous", nobody, "list", ":pods", false),
        ] {
            assert_eq!(may(user, groups, verb, what), allowed, "{user} {verb} {what}");
        }
    }
}
