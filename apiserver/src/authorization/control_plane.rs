//! The rules until roles are evaluated: the control plane's own identities may do everything, everybody may read what
//! upstream's bootstrap roles make public, and nobody else may do anything.

use super::{Attributes, Authorizer};

/// Those who may do everything.
const MASTERS: &str = "system:masters";
const NODES: &str = "system:nodes";
const AUTHENTICATED: &str = "system:authenticated";
const UNAUTHENTICATED: &str = "system:unauthenticated";
const SERVICE_ACCOUNTS: &str = "system:serviceaccounts";
/// The control plane's own users.
const CONTROL_PLANE: [&str; 4] = [
    "system:apiserver",
    "system:kube-controller-manager",
    "system:kube-scheduler",
    "system:vcluster-syncer",
];

/// A bootstrap role: a group and the paths it may read. A trailing `*` stands for anything (kubernetes
/// `plugin/pkg/auth/authorizer/rbac/bootstrappolicy/policy.go`).
const READABLE: [(&str, &[&str]); 4] = [
    // system:public-info-viewer
    (
        AUTHENTICATED,
        &["/healthz", "/livez", "/readyz", "/version", "/version/"],
    ),
    (
        UNAUTHENTICATED,
        &["/healthz", "/livez", "/readyz", "/version", "/version/"],
    ),
    // system:discovery
    (
        AUTHENTICATED,
        &["/api", "/api/*", "/apis", "/apis/*", "/openapi", "/openapi/*"],
    ),
    // system:service-account-issuer-discovery
    (
        SERVICE_ACCOUNTS,
        &[
            "/.well-known/openid-configuration",
            "/.well-known/openid-configuration/",
            "/openid/v1/jwks",
            "/openid/v1/jwks/",
        ],
    ),
];

/// What everybody may ask about themselves (system:basic-user): group and resource.
const ABOUT_ONESELF: [(&str, &str); 3] = [
    ("authorization.k8s.io", "selfsubjectaccessreviews"),
    ("authorization.k8s.io", "selfsubjectrulesreviews"),
    ("authentication.k8s.io", "selfsubjectreviews"),
];

/// Lets in the control plane and the cluster's administrators.
pub struct ControlPlane;

impl Authorizer for ControlPlane {
    fn allows(&self, attributes: &Attributes<'_>) -> bool {
        if attributes.in_group(MASTERS) || CONTROL_PLANE.contains(&attributes.user) {
            return true;
        }
        if attributes.user.starts_with("system:node:") && attributes.in_group(NODES) {
            return true;
        }
        if attributes.is_resource {
            return attributes.verb == "create"
                && attributes.subresource.is_empty()
                && attributes.in_group(AUTHENTICATED)
                && ABOUT_ONESELF.contains(&(attributes.group, attributes.resource));
        }
        let readable = |(group, paths): &(&str, &[&str])| {
            attributes.in_group(group) && paths.iter().any(|pattern| covers(pattern, attributes.path))
        };
        attributes.verb == "get" && READABLE.iter().any(readable)
    }
}

fn covers(pattern: &str, path: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(start) => path.starts_with(start),
        None => path == pattern,
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
                true,
            ),
            ("system:node:n", known, "get", ":secrets", false),
            ("jane", known, "list", ":pods", false),
            ("jane", known, "get", "/apis/apps/v1", true),
            ("jane", known, "get", "/metrics", false),
            ("jane", known, "head", "/healthz", false),
            (
                "jane",
                known,
                "create",
                "authorization.k8s.io:selfsubjectaccessreviews",
                true,
            ),
            (
                "jane",
                known,
                "create",
                "authorization.k8s.io:subjectaccessreviews",
                false,
            ),
            ("system:serviceaccount:n:a", account, "list", ":pods", false),
            ("system:serviceaccount:n:a", account, "get", "/openid/v1/jwks", true),
            ("system:anonymous", nobody, "get", "/healthz", true),
            ("system:anonymous", nobody, "get", "/healthz/etcd", false),
            ("system:anonymous", nobody, "get", "/api", false),
            ("system:anonymous", nobody, "list", ":pods", false),
        ] {
            assert_eq!(may(user, groups, verb, what), allowed, "{user} {verb} {what}");
        }
    }
}
