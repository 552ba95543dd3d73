//! Who may do what (k8s.io/apiserver `pkg/authorization`).

pub mod control_plane;

use machinery::field::go_quote;
use machinery::gvk::GroupResource;
use machinery::status::Status;

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
}

impl Attributes<'_> {
    fn in_group(&self, group: &str) -> bool {
        self.groups.iter().any(|g| g == group)
    }
}

/// Decides.
pub trait Authorizer: Send + Sync {
    /// Whether the user may. What is not allowed is refused.
    fn allows(&self, attributes: &Attributes<'_>) -> bool;
}

/// The refusal in upstream's words (k8s.io/apiserver `endpoints/handlers/responsewriters/errors.go`).
pub fn forbidden(attributes: &Attributes<'_>) -> Status {
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
            assert_eq!(forbidden(&attributes).message, expected);
        }
    }
}
