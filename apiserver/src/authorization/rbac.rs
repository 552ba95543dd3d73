//! Roles and bindings (kubernetes `plugin/pkg/auth/authorizer/rbac`).
//!
//! The authorizer knows the policy as it was told last; whoever follows the roles and bindings tells it.

use super::{Attributes, Authorizer, Decision};
use machinery::field::go_quote;
use machinery::meta;
use machinery::rbac::{self, Rule};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::{PoisonError, RwLock};

/// The API group of roles and bindings.
pub const GROUP: &str = "rbac.authorization.k8s.io";
/// Namespace and name; no namespace for cluster roles and their bindings.
type Key = (String, String);

/// A binding: to whom it gives which role.
#[derive(Clone, Debug)]
struct Binding {
    /// Metadata and subjects as they are served.
    object: Value,
    /// Whether it gives a role of its namespace.
    role_is_local: bool,
    role: String,
}

/// Decides by roles and bindings.
#[derive(Debug, Default)]
pub struct Rbac(RwLock<Policy>);

#[derive(Debug, Default)]
struct Policy {
    roles: BTreeMap<Key, Vec<Rule>>,
    bindings: BTreeMap<Key, Binding>,
}

impl Rbac {
    /// Forgets everything.
    pub fn clear(&self) {
        *self.write() = Policy::default();
    }

    /// Takes note of a role, or of its end.
    pub fn set_role(&self, namespace: &str, name: &str, role: Option<&Value>) {
        let key = (namespace.to_owned(), name.to_owned());
        let mut policy = self.write();
        match role {
            Some(role) => policy.roles.insert(key, Rule::of_role(role)),
            None => policy.roles.remove(&key),
        };
    }

    /// Takes note of a binding, or of its end.
    pub fn set_binding(&self, namespace: &str, name: &str, binding: Option<&Value>) {
        let key = (namespace.to_owned(), name.to_owned());
        let mut policy = self.write();
        let Some(binding) = binding else {
            policy.bindings.remove(&key);
            return;
        };
        let role = |field: &str| meta::str_at(binding, &["roleRef", field]).unwrap_or_default();
        let kept = Binding {
            object: serde_json::json!({"metadata": {"namespace": namespace}, "subjects": binding.get("subjects")}),
            role_is_local: role("kind") == "Role",
            role: role("name").to_owned(),
        };
        policy.bindings.insert(key, kept);
    }

    /// The rules that apply to somebody in a namespace, and what is wrong with the bindings.
    pub fn rules(&self, user: &str, groups: &[String], namespace: &str) -> (Vec<Rule>, Vec<String>) {
        let (mut rules, mut problems) = (Vec::new(), Vec::new());
        self.visit(user, groups, namespace, |found| {
            match found {
                Ok((_, held)) => rules.extend_from_slice(held),
                Err(problem) => problems.push(problem),
            }
            true
        });
        (rules, problems)
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, Policy> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Shows the rules that apply to somebody, those for the whole cluster first, binding by binding, with a description of
    /// where they come from, until `visitor` has seen enough (`VisitRulesFor`).
    fn visit(
        &self,
        user: &str,
        groups: &[String],
        namespace: &str,
        mut visitor: impl FnMut(Result<(&dyn Fn() -> String, &[Rule]), String>) -> bool,
    ) {
        let policy = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let local = (!namespace.is_empty()).then_some(namespace);
        for place in std::iter::once("").chain(local) {
            let from = (place.to_owned(), String::new());
            let bindings = policy
                .bindings
                .range(from..)
                .take_while(|((found, _), _)| found == place);
            for ((_, name), binding) in bindings {
                let Some(subject) = rbac::subject(&binding.object, user, groups) else {
                    continue;
                };
                let (kind, role_namespace) = match binding.role_is_local {
                    true => ("Role", place),
                    false => ("ClusterRole", ""),
                };
                let source = || match place {
                    "" => format!(
                        "ClusterRoleBinding {} of {kind} {} to {subject}",
                        go_quote(name),
                        go_quote(&binding.role)
                    ),
                    place => {
                        let name = format!("{name}/{place}");
                        format!(
                            "RoleBinding {} of {kind} {} to {subject}",
                            go_quote(&name),
                            go_quote(&binding.role)
                        )
                    }
                };
                let role = policy.roles.get(&(role_namespace.to_owned(), binding.role.clone()));
                let more = match role {
                    Some(rules) => visitor(Ok((&source, rules))),
                    None => visitor(Err(format!(
                        "{}.{GROUP} {} not found",
                        kind.to_lowercase(),
                        go_quote(&binding.role)
                    ))),
                };
                if !more {
                    return;
                }
            }
        }
    }
}

impl Authorizer for Rbac {
    fn decide(&self, attributes: &Attributes<'_>) -> Decision {
        let Attributes { user, groups, .. } = attributes;
        let mut allowed = None;
        let mut problems = Vec::new();
        self.visit(user, groups, attributes.namespace, |found| match found {
            Ok((source, rules)) => {
                if rules.iter().any(|rule| allows(rule, attributes)) {
                    allowed = Some(source());
                }
                allowed.is_none()
            }
            Err(problem) => {
                problems.push(problem);
                true
            }
        });
        match (allowed, &problems[..]) {
            (Some(source), _) => Decision::allow(format!("RBAC: allowed by {source}")),
            (None, []) => Decision::no_opinion(""),
            (None, [one]) => Decision::no_opinion(format!("RBAC: {one}")),
            (None, many) => Decision::no_opinion(format!("RBAC: [{}]", many.join(", "))),
        }
    }
}

fn allows(rule: &Rule, attributes: &Attributes<'_>) -> bool {
    let Attributes {
        verb,
        group,
        resource,
        subresource,
        name,
        path,
        ..
    } = attributes;
    if attributes.is_resource {
        rule.allows_resource(verb, group, resource, subresource, name)
    } else {
        rule.allows_path(verb, path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn policy() -> Rbac {
        let rbac = Rbac::default();
        let role = |resource: &str| json!({"rules": [{"apiGroups": [""], "resources": [resource], "verbs": ["get"]}]});
        rbac.set_role("n", "reader", Some(&role("pods")));
        rbac.set_role("", "nodes", Some(&role("nodes")));
        let binding = |kind: &str, role: &str, subject: Value| json!({"roleRef": {"kind": kind, "name": role}, "subjects": [subject]});
        let jane = json!({"kind": "User", "name": "jane"});
        rbac.set_binding("n", "b", Some(&binding("Role", "reader", jane.clone())));
        rbac.set_binding(
            "",
            "c",
            Some(&binding(
                "ClusterRole",
                "nodes",
                json!({"kind": "Group", "name": "ops"}),
            )),
        );
        rbac.set_binding("m", "dangling", Some(&binding("Role", "nosuch", jane)));
        rbac.set_binding(
            "n",
            "a",
            Some(&binding(
                "ClusterRole",
                "nodes",
                json!({"kind": "ServiceAccount", "name": "sa"}),
            )),
        );
        rbac
    }

    #[test]
    fn bindings_give_what_their_roles_allow() {
        let rbac = policy();
        for (user, groups, namespace, resource, allowed, reason) in [
            (
                "jane",
                &[][..],
                "n",
                "pods",
                true,
                r#"RBAC: allowed by RoleBinding "b/n" of Role "reader" to User "jane""#,
            ),
            ("jane", &[], "n", "nodes", false, ""),
            ("jane", &[], "", "pods", false, ""),
            (
                "jane",
                &[],
                "m",
                "pods",
                false,
                r#"RBAC: role.rbac.authorization.k8s.io "nosuch" not found"#,
            ),
            (
                "joe",
                &["ops"],
                "",
                "nodes",
                true,
                r#"RBAC: allowed by ClusterRoleBinding "c" of ClusterRole "nodes" to Group "ops""#,
            ),
            (
                "system:serviceaccount:n:sa",
                &[],
                "n",
                "nodes",
                true,
                r#"RBAC: allowed by RoleBinding "a/n" of ClusterRole "nodes" to ServiceAccount "sa/n""#,
            ),
            ("system:serviceaccount:m:sa", &[], "n", "nodes", false, ""),
        ] {
            let groups: Vec<String> = groups.iter().map(|group| (*group).to_owned()).collect();
            let attributes = Attributes {
                user,
                groups: &groups,
                verb: "get",
                is_resource: true,
                resource,
                namespace,
                ..Attributes::default()
            };
            let decision = rbac.decide(&attributes);
            assert_eq!(
                (decision.allowed, decision.reason.as_str()),
                (allowed, reason),
                "{user} {namespace} {resource}"
            );
        }
    }

    #[test]
    fn what_ends_allows_nothing() {
        let rbac = policy();
        assert_eq!(rbac.rules("jane", &[], "n").0.len(), 1);
        rbac.set_binding("n", "b", None);
        assert_eq!(rbac.rules("jane", &[], "n").0.len(), 0);
        rbac.clear();
        assert_eq!(rbac.rules("joe", &["ops".to_owned()], "").0.len(), 0);
    }
}
