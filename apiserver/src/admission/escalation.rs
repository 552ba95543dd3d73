//! Nobody may give away what he does not have: writes of roles and bindings need every right that they grant, or the
//! right to `escalate` or `bind` (kubernetes `pkg/registry/rbac`, the storages named `policybased`).
//!
//! This is no plugin that could be switched off; it stands at the end of the chain because it has to see what the
//! plugins made of the object.

use super::{Attributes, Lookup, Operation, Plugin};
use futures::future::BoxFuture;
use machinery::field::go_quote;
use machinery::gvk::GroupResource;
use machinery::meta;
use machinery::rbac::{self, Rule};
use machinery::status::Status;
use serde_json::Value;

/// The API group of roles and bindings.
pub const GROUP: &str = "rbac.authorization.k8s.io";
/// Those whom nothing is refused.
const MASTERS: &str = "system:masters";

/// Whether somebody may do something to a role.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// The user's name.
    pub user: &'a str,
    /// The user's groups.
    pub groups: &'a [String],
    /// `escalate` or `bind`.
    pub verb: &'static str,
    /// `roles` or `clusterroles`.
    pub resource: &'a str,
    /// Where the role or the binding is; empty outside of namespaces.
    pub namespace: &'a str,
    /// The role; empty for one that is being made.
    pub name: &'a str,
}

/// Guards roles and bindings.
pub struct Escalation {
    may: Box<dyn Fn(&Question<'_>) -> bool + Send + Sync>,
}

impl Escalation {
    /// A guard that asks `may` about the verbs `escalate` and `bind` on roles of the group `rbac.authorization.k8s.io`.
    pub fn new(may: impl Fn(&Question<'_>) -> bool + Send + Sync + 'static) -> Self {
        Escalation { may: Box::new(may) }
    }

    async fn check(&self, lookup: &dyn Lookup, attributes: &Attributes<'_>, new: &Value) -> Result<(), Status> {
        let write = matches!(attributes.operation, Operation::Create | Operation::Update);
        let about_roles = attributes.resource.group == GROUP && attributes.subresource.is_empty();
        if !write || !about_roles || attributes.groups.iter().any(|group| group == MASTERS) {
            return Ok(());
        }
        if attributes.old.is_some_and(|old| only_for_the_collector(new, old)) {
            return Ok(());
        }
        match attributes.resource.resource.as_str() {
            "roles" | "clusterroles" => self.check_role(lookup, attributes, new).await,
            "rolebindings" | "clusterrolebindings" => self.check_binding(lookup, attributes, new).await,
            _ => Ok(()),
        }
    }

    async fn check_role(&self, lookup: &dyn Lookup, attributes: &Attributes<'_>, role: &Value) -> Result<(), Status> {
        let question = Question {
            user: attributes.user,
            groups: attributes.groups,
            verb: "escalate",
            resource: &attributes.resource.resource,
            namespace: attributes.namespace,
            // A creation has no name in its path.
            name: attributes.old.map_or("", meta::name),
        };
        if (self.may)(&question) {
            return Ok(());
        }
        confirm(lookup, attributes, &Rule::of_role(role))
            .await?
            .map_err(|why| attributes.forbidden(role, why))?;
        let aggregates = |role: &Value| meta::at(role, &["aggregationRule"]).is_some_and(|rule| !rule.is_null());
        if aggregates(role) || attributes.old.is_some_and(aggregates) {
            confirm(lookup, attributes, &Rule::everything())
                .await?
                .map_err(|why| format!("must have cluster-admin privileges to use an aggregationRule: {why}"))
                .map_err(|why| attributes.forbidden(role, why))?;
        }
        Ok(())
    }

    async fn check_binding(
        &self,
        lookup: &dyn Lookup,
        attributes: &Attributes<'_>,
        binding: &Value,
    ) -> Result<(), Status> {
        let (kind, name) = role_of(binding);
        let resource = match kind {
            "Role" => "roles",
            "ClusterRole" => "clusterroles",
            _ => {
                return Err(Status::internal(format!(
                    "unsupported role reference kind: {}",
                    go_quote(kind)
                )));
            }
        };
        let question = Question {
            user: attributes.user,
            groups: attributes.groups,
            verb: "bind",
            resource,
            namespace: attributes.namespace,
            name,
        };
        if (self.may)(&question) {
            return Ok(());
        }
        let role = find_role(lookup, attributes.namespace, binding).await?;
        let role = role.ok_or_else(|| Status::not_found(&attributes.resource, name))?;
        confirm(lookup, attributes, &Rule::of_role(&role))
            .await?
            .map_err(|why| attributes.forbidden(binding, why))
    }
}

impl Plugin for Escalation {
    fn name(&self) -> &'static str {
        "RBACEscalation"
    }

    fn admit<'a>(
        &'a self,
        lookup: &'a dyn Lookup,
        attributes: &'a mut Attributes<'_>,
        object: &'a mut Value,
    ) -> BoxFuture<'a, Result<(), Status>> {
        Box::pin(self.check(lookup, attributes, object))
    }
}

/// Whether an update does nothing but let the garbage collector go on (`IsOnlyMutatingGCFields`).
fn only_for_the_collector(new: &Value, old: &Value) -> bool {
    let rest = |object: &Value| {
        let mut rest = object.clone();
        for field in ["ownerReferences", "finalizers", "managedFields", "resourceVersion"] {
            meta::remove(&mut rest, &["metadata", field]);
        }
        rest
    };
    rest(new) == rest(old)
}

/// Kind and name of the role that a binding gives.
fn role_of(binding: &Value) -> (&str, &str) {
    let text = |field: &str| meta::str_at(binding, &["roleRef", field]).unwrap_or_default();
    (text("kind"), text("name"))
}

async fn find_role(lookup: &dyn Lookup, namespace: &str, binding: &Value) -> Result<Option<Value>, Status> {
    match role_of(binding) {
        ("ClusterRole", name) => lookup.find(&GroupResource::new(GROUP, "clusterroles"), "", name).await,
        ("Role", name) => lookup.find(&GroupResource::new(GROUP, "roles"), namespace, name).await,
        _ => Ok(None),
    }
}

/// The rules that apply to a user in a namespace, and the roles that bindings name and that do not exist.
async fn held(lookup: &dyn Lookup, attributes: &Attributes<'_>) -> Result<(Vec<Rule>, Vec<String>), Status> {
    let mut bindings = lookup
        .list(&GroupResource::new(GROUP, "clusterrolebindings"), "")
        .await?;
    if !attributes.namespace.is_empty() {
        let own = GroupResource::new(GROUP, "rolebindings");
        bindings.extend(lookup.list(&own, attributes.namespace).await?);
    }
    let (mut rules, mut problems) = (Vec::new(), Vec::new());
    for binding in bindings
        .iter()
        .filter(|b| rbac::binds(b, attributes.user, attributes.groups))
    {
        match find_role(lookup, attributes.namespace, binding).await? {
            Some(role) => rules.extend(Rule::of_role(&role)),
            None => {
                let (kind, name) = role_of(binding);
                problems.push(format!("{}.{GROUP} {} not found", kind.to_lowercase(), go_quote(name)));
            }
        }
    }
    Ok((rules, problems))
}

/// Whether the user has all rights of `wanted`; else what to say about it (`ConfirmNoEscalation`).
async fn confirm(
    lookup: &dyn Lookup,
    attributes: &Attributes<'_>,
    wanted: &[Rule],
) -> Result<Result<(), String>, Status> {
    let (held, problems) = held(lookup, attributes).await?;
    let missing = rbac::missing(&held, wanted);
    if missing.is_empty() {
        return Ok(Ok(()));
    }
    let mut why = format!(
        "user {} (groups={}) is attempting to grant RBAC permissions not currently held:\n{}",
        go_quote(attributes.user),
        rbac::quoted(attributes.groups),
        rbac::describe(missing)
    );
    match problems.as_slice() {
        [] => {}
        [one] => why.push_str(&format!("; resolution errors: [{one}]")),
        many => why.push_str(&format!("; resolution errors: [[{}]]", many.join(", "))),
    }
    Ok(Err(why))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admission::testing::{Objects, attributes};
    use serde_json::json;

    fn objects() -> Objects {
        let cluster_role =
            |name: &str, rules: Value| ("clusterroles", json!({"metadata": {"name": name}, "rules": rules}));
        let reference = |name: &str| json!({"kind": "ClusterRole", "name": name});
        Objects::of(&[
            cluster_role(
                "pods",
                json!([{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]),
            ),
            cluster_role("all", json!([{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}])),
            (
                "clusterrolebindings",
                json!({"metadata": {"name": "b"}, "roleRef": reference("pods"), "subjects": [{"kind": "User", "name": "esc"}]}),
            ),
        ])
    }

    async fn refusal(may: bool, plural: &'static str, object: Value, groups: &[String]) -> Option<String> {
        let mut warnings = Vec::new();
        let mut attributes = attributes(Operation::Create, plural, "n", "x", &mut warnings);
        attributes.resource.group = GROUP.to_owned();
        attributes.user = "esc";
        attributes.groups = groups;
        let guard = Escalation::new(move |_| may);
        guard
            .check(&objects(), &attributes, &object)
            .await
            .err()
            .map(|s| s.message)
    }

    #[tokio::test]
    async fn rights_are_given_by_those_who_have_them() {
        let pods = json!({"rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]});
        let secrets = json!({"rules": [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}]});
        let aggregating = json!({"aggregationRule": {"clusterRoleSelectors": [{}]}});
        let binding = |role: &str| json!({"roleRef": {"kind": "ClusterRole", "name": role}});
        let groups = ["system:authenticated".to_owned()];
        let refused = "user \"esc\" (groups=[\"system:authenticated\"]) is attempting to grant RBAC permissions not currently held:\n";
        for (may, plural, object, expected) in [
            (false, "roles", pods, None),
            (true, "roles", secrets.clone(), None),
            (
                false,
                "roles",
                secrets,
                Some(format!(
                    "roles.{GROUP} \"x\" is forbidden: {refused}{{APIGroups:[\"\"], Resources:[\"secrets\"], Verbs:[\"get\"]}}"
                )),
            ),
            (
                false,
                "clusterroles",
                aggregating,
                Some(format!(
                    "clusterroles.{GROUP} \"x\" is forbidden: must have cluster-admin privileges to use an aggregationRule: {refused}{{APIGroups:[\"*\"], Resources:[\"*\"], Verbs:[\"*\"]}}\n{{NonResourceURLs:[\"*\"], Verbs:[\"*\"]}}"
                )),
            ),
            (false, "rolebindings", binding("pods"), None),
            (true, "rolebindings", binding("all"), None),
            (
                false,
                "rolebindings",
                binding("all"),
                Some(format!(
                    "rolebindings.{GROUP} \"x\" is forbidden: {refused}{{APIGroups:[\"*\"], Resources:[\"*\"], Verbs:[\"*\"]}}"
                )),
            ),
            (
                false,
                "rolebindings",
                binding("nope"),
                Some(format!("rolebindings.{GROUP} \"nope\" not found")),
            ),
        ] {
            assert_eq!(
                refusal(may, plural, object.clone(), &groups).await,
                expected,
                "{plural} {object}"
            );
        }
        assert_eq!(
            refusal(false, "rolebindings", binding("all"), &[MASTERS.to_owned()]).await,
            None
        );
    }

    #[test]
    fn the_collector_may_go_on() {
        let old = json!({"metadata": {"name": "a", "finalizers": ["x/y"]}, "rules": []});
        assert!(only_for_the_collector(
            &json!({"metadata": {"name": "a"}, "rules": []}),
            &old
        ));
        assert!(!only_for_the_collector(
            &json!({"metadata": {"name": "a"}, "rules": [{}]}),
            &old
        ));
    }
}
