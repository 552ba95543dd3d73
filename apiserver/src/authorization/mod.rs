//! Who may do what (k8s.io/apiserver `pkg/authorization`).

pub mod control_plane;
pub mod node;
pub mod rbac;

use machinery::field::go_quote;
use machinery::gvk::GroupResource;
use machinery::status::Status;
use std::sync::Arc;

/// What somebody wants to do.
#[derive(Clone, Copy, Debug, Default)]
pub struct Attributes<'a> {
    /// The user's name.
    pub user: &'a str,
    /// The user's groups.
    pub groups: &'a [String],
    /// The verb.
    pub verb: &'a str,
    /// Whether it is about a resource; else only `path` counts.
    pub is_resource: bool,
    /// The API group.
    pub group: &'a str,
    /// The plural resource name.
    pub resource: &'a str,
    /// The subresource.
    pub subresource: &'a str,
    /// The namespace; empty for cluster-scoped resources and all namespaces.
    pub namespace: &'a str,
    /// The object's name.
    pub name: &'a str,
    /// The path.
    pub path: &'a str,
    /// The field selector of a list, watch or deletion of many, as it was sent.
    pub field_selector: &'a str,
}

impl Attributes<'_> {
    fn in_group(&self, group: &str) -> bool {
        self.groups.iter().any(|g| g == group)
    }
}

/// What an authorizer says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Whether the user may. What nobody allows is refused.
    pub allowed: bool,
    /// Why, where there is something to say.
    pub reason: String,
}

impl Decision {
    /// The user may.
    pub fn allow(reason: impl Into<String>) -> Self {
        Decision {
            allowed: true,
            reason: reason.into(),
        }
    }

    /// The user may unless nobody else allows it.
    pub fn no_opinion(reason: impl Into<String>) -> Self {
        Decision {
            allowed: false,
            reason: reason.into(),
        }
    }
}

/// Decides.
pub trait Authorizer: Send + Sync {
    /// Whether the user may, and why.
    fn decide(&self, attributes: &Attributes<'_>) -> Decision;

    /// Whether the user may.
    fn allows(&self, attributes: &Attributes<'_>) -> bool {
        self.decide(attributes).allowed
    }
}

/// Several authorizers: the first one that allows something decides (k8s.io/apiserver `pkg/authorization/union`).
pub struct Union(pub Vec<Arc<dyn Authorizer>>);

impl Authorizer for Union {
    fn decide(&self, attributes: &Attributes<'_>) -> Decision {
        let mut reasons = Vec::new();
        for authorizer in &self.0 {
            let decision = authorizer.decide(attributes);
            if decision.allowed {
                return decision;
            }
            if !decision.reason.is_empty() {
                reasons.push(decision.reason);
            }
        }
        Decision::no_opinion(reasons.join("\n"))
    }
}

/// The refusal in upstream's words (k8s.io/apiserver `endpoints/handlers/responsewriters/errors.go`).
pub fn forbidden(attributes: &Attributes<'_>, reason: &str) -> Status {
    let Attributes {
        user,
        verb,
        group,
        resource,
        subresource,
        namespace,
        name,
        path,
        ..
    } = attributes;
    let user = go_quote(user);
    let message = if attributes.is_resource {
        let resource = if subresource.is_empty() {
            (*resource).to_owned()
        } else {
            format!("{resource}/{subresource}")
        };
        let (resource, group) = (go_quote(&resource), go_quote(group));
        let place = match *namespace {
            "" => "at the cluster scope".to_owned(),
            namespace => format!("in the namespace {}", go_quote(namespace)),
        };
        format!("User {user} cannot {verb} resource {resource} in API group {group} {place}")
    } else {
        format!("User {user} cannot {verb} path {}", go_quote(path))
    };
    // The answer must never look like HTML.
    let message = message.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let message = match reason {
        "" => message,
        reason => format!("{message}: {reason}"),
    };
    Status::forbidden(&GroupResource::new(*group, *resource), name, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_read_as_upstreams() {
        let list = Attributes {
            user: "jane",
            verb: "list",
            is_resource: true,
            resource: "pods",
            ..Attributes::default()
        };
        for (attributes, expected) in [
            (
                Attributes { namespace: "n", ..list },
                r#"pods is forbidden: User "jane" cannot list resource "pods" in API group "" in the namespace "n""#,
            ),
            (
                Attributes {
                    verb: "get",
                    group: "apps",
                    resource: "deployments",
                    subresource: "scale",
                    name: "d",
                    ..list
                },
                r#"deployments.apps "d" is forbidden: User "jane" cannot get resource "deployments/scale" in API group "apps" at the cluster scope"#,
            ),
            (
                Attributes {
                    verb: "get",
                    is_resource: false,
                    path: "/<x>",
                    resource: "",
                    ..list
                },
                r#"forbidden: User "jane" cannot get path "/&lt;x&gt;""#,
            ),
        ] {
            assert_eq!(forbidden(&attributes, "").message, expected);
        }
    }
}
