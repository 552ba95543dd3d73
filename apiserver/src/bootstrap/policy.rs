//! The roles that every cluster has and who is bound to them: what is missing is made, and what an administrator took
//! away comes back, unless he said that it shall not (kubernetes `component-helpers/auth/rbac/reconciliation`).

use machinery::meta;
use machinery::rbac::{Rule, missing};
use machinery::status::Status;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// The group's name.
pub(super) const GROUP: &str = "rbac.authorization.k8s.io";
/// The resources that hold it, those that others refer to first.
pub(super) const RESOURCES: [&str; 4] = ["clusterroles", "roles", "clusterrolebindings", "rolebindings"];
/// `false` keeps an object as it is.
const AUTO_UPDATE: &str = "rbac.authorization.kubernetes.io/autoupdate";
const CONTROLLER: &str = "system:controller:";
const NODE: &str = "system:node";
const SYSTEM: &str = "kube-system";

/// The roles that gather the rules of others: name, and the role that in turn gathers theirs.
const GATHERING: [(&str, Option<&str>); 3] = [("admin", None), ("edit", Some("admin")), ("view", Some("edit"))];

/// The facts, as they are written down.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Policy {
    cluster_roles: BTreeMap<String, Vec<Value>>,
    controllers: BTreeMap<String, Vec<Value>>,
    cluster_role_bindings: BTreeMap<String, Vec<String>>,
    roles: Vec<Role>,
    role_bindings: Vec<RoleBinding>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Role {
    namespace: String,
    name: String,
    rules: Vec<Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RoleBinding {
    namespace: String,
    name: String,
    role: String,
    subjects: Vec<String>,
}

/// An object that shall be there.
pub(super) struct Wanted {
    /// One of [`RESOURCES`].
    pub(super) plural: &'static str,
    /// The object.
    pub(super) object: Value,
}

/// What has to be done about an object.
#[derive(Debug, PartialEq)]
pub(super) enum Plan {
    /// Nothing.
    Keep,
    /// It becomes this.
    Update(Value),
    /// It gives another role, which cannot be changed: it goes and comes anew.
    Replace,
}

/// What the role of nodes allows.
///
/// # Errors
/// 500 when the facts are not what they should be, which a test rules out.
pub fn node_rules() -> Result<Vec<Rule>, Status> {
    let policy = facts()?;
    let rules = policy.cluster_roles.get(NODE).into_iter().flatten();
    Ok(rules.map(Rule::of).collect())
}

fn facts() -> Result<Policy, Status> {
    serde_yaml::from_str(include_str!("policy.yaml")).map_err(Status::internal)
}

/// Everything that shall be there.
///
/// # Errors
/// 500 when the facts are not what they should be, which a test rules out.
pub(super) fn wanted() -> Result<Vec<Wanted>, Status> {
    let policy = facts()?;
    let mut all = Vec::new();
    let mut add = |plural: &'static str, object: Value| all.push(Wanted { plural, object });
    for (name, gathered_by) in GATHERING {
        let mut role = cluster_role(name, None);
        meta::set(
            &mut role,
            &["aggregationRule", "clusterRoleSelectors"],
            json!([{"matchLabels": {gathers(name): "true"}}]),
        );
        if let Some(gathering) = gathered_by {
            meta::set(&mut role, &["metadata", "labels", &gathers(gathering)], "true");
        }
        add("clusterroles", role);
    }
    for (name, rules) in policy.cluster_roles {
        let mut role = cluster_role(&name, Some(rules));
        if let Some(gathering) = name.strip_prefix("system:aggregate-to-") {
            meta::set(&mut role, &["metadata", "labels", &gathers(gathering)], "true");
        }
        add("clusterroles", role);
    }
    for (name, subjects) in policy.cluster_role_bindings {
        let subjects = subjects.iter().map(|text| subject(text)).collect();
        add(
            "clusterrolebindings",
            binding("", &name, ("ClusterRole", &name), subjects),
        );
    }
    for (controller, rules) in policy.controllers {
        let name = format!("{CONTROLLER}{controller}");
        let account = json!({"kind": "ServiceAccount", "name": controller, "namespace": SYSTEM});
        add("clusterroles", cluster_role(&name, Some(rules)));
        add(
            "clusterrolebindings",
            binding("", &name, ("ClusterRole", &name), vec![account]),
        );
    }
    for role in policy.roles {
        let mut object = cluster_role(&role.name, Some(role.rules));
        meta::set(&mut object, &["metadata", "namespace"], role.namespace);
        add("roles", object);
    }
    for given in policy.role_bindings {
        let subjects = given.subjects.iter().map(|text| subject(text)).collect();
        let object = binding(&given.namespace, &given.name, ("Role", &given.role), subjects);
        add("rolebindings", object);
    }
    Ok(all)
}

fn gathers(role: &str) -> String {
    format!("{GROUP}/aggregate-to-{role}")
}

fn metadata(name: &str) -> Value {
    json!({
        "name": name,
        "labels": {"kubernetes.io/bootstrapping": "rbac-defaults"},
        "annotations": {AUTO_UPDATE: "true"},
    })
}

fn cluster_role(name: &str, rules: Option<Vec<Value>>) -> Value {
    json!({"metadata": metadata(name), "rules": rules})
}

fn binding(namespace: &str, name: &str, (kind, role): (&str, &str), subjects: Vec<Value>) -> Value {
    let mut object = json!({
        "metadata": metadata(name),
        "roleRef": {"apiGroup": GROUP, "kind": kind, "name": role},
    });
    if !subjects.is_empty() {
        meta::set(&mut object, &["subjects"], subjects);
    }
    if !namespace.is_empty() {
        meta::set(&mut object, &["metadata", "namespace"], namespace);
    }
    object
}

/// A subject from its short form.
fn subject(text: &str) -> Value {
    match text.split_once('/') {
        Some((kind @ ("User" | "Group"), name)) => json!({"kind": kind, "apiGroup": GROUP, "name": name}),
        Some((namespace, account)) => json!({"kind": "ServiceAccount", "name": account, "namespace": namespace}),
        None => json!({"kind": "ServiceAccount", "name": text, "namespace": SYSTEM}),
    }
}

/// What has to be done so that `existing` gives at least what `wanted` does.
pub(super) fn plan(existing: &Value, wanted: &Value) -> Plan {
    if meta::str_at(existing, &["metadata", "annotations", AUTO_UPDATE]) == Some("false") {
        return Plan::Keep;
    }
    let role = |object: &Value| meta::at(object, &["roleRef"]).cloned();
    if role(existing) != role(wanted) {
        return Plan::Replace;
    }
    let mut new = existing.clone();
    for field in ["labels", "annotations"] {
        let mut merged: Map<String, Value> = meta::map_at(wanted, &["metadata", field]).cloned().unwrap_or_default();
        merged.extend(
            meta::map_at(existing, &["metadata", field])
                .cloned()
                .unwrap_or_default(),
        );
        meta::set(&mut new, &["metadata", field], merged);
    }
    let rules = missing(&Rule::of_role(existing), &Rule::of_role(wanted));
    extend(&mut new, &["rules"], rules.iter().map(Rule::to_value).collect());
    for path in [&["subjects"][..], &["aggregationRule", "clusterRoleSelectors"]] {
        let had = meta::list_at(existing, path);
        let lacking = meta::list_at(wanted, path).iter().filter(|item| !had.contains(item));
        extend(&mut new, path, lacking.cloned().collect());
    }
    if new == *existing {
        Plan::Keep
    } else {
        Plan::Update(new)
    }
}

fn extend(object: &mut Value, path: &[&str], more: Vec<Value>) {
    if !more.is_empty() {
        let mut list = meta::list_at(object, path).to_vec();
        list.extend(more);
        meta::set(object, path, list);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_facts_can_be_read() {
        let all = wanted().unwrap();
        let find = |plural: &str, name: &str| {
            let mut found = all
                .iter()
                .filter(|w| w.plural == plural && meta::name(&w.object) == name);
            found
                .next()
                .map(|w| w.object.clone())
                .unwrap_or_else(|| panic!("{plural}/{name}"))
        };
        assert!(all.len() > 120, "{}", all.len());
        assert_eq!(
            Rule::of_role(&find("clusterroles", "cluster-admin")),
            Rule::everything()
        );
        assert_eq!(
            find("clusterrolebindings", "cluster-admin")["subjects"][0]["name"],
            "system:masters"
        );
        let job = find("clusterrolebindings", "system:controller:job-controller");
        assert_eq!(
            job["subjects"][0],
            json!({"kind": "ServiceAccount", "name": "job-controller", "namespace": SYSTEM})
        );
        assert_eq!(
            find("clusterroles", "view")["metadata"]["labels"][gathers("edit")],
            "true"
        );
        let every_rule = all.iter().flat_map(|w| Rule::of_role(&w.object));
        assert!(every_rule.into_iter().all(|rule| !rule.verbs.is_empty()));
    }

    #[test]
    fn what_was_taken_away_comes_back() {
        let rule = |verb: &str| json!({"apiGroups": [""], "resources": ["pods"], "verbs": [verb]});
        let role = |rules: Value| json!({"metadata": metadata("r"), "rules": rules});
        let wanted = role(json!([rule("get"), rule("list")]));
        assert_eq!(plan(&wanted, &wanted), Plan::Keep);
        assert_eq!(
            plan(&role(json!([rule("list"), rule("watch")])), &wanted),
            Plan::Update(role(json!([rule("list"), rule("watch"), rule("get")])))
        );
        let mut kept = role(json!([]));
        meta::set(&mut kept, &["metadata", "annotations", AUTO_UPDATE], "false");
        assert_eq!(plan(&kept, &wanted), Plan::Keep);
    }

    #[test]
    fn a_binding_to_another_role_is_replaced() {
        let wanted = binding("", "b", ("ClusterRole", "a"), vec![subject("User/jane")]);
        let other = binding("", "b", ("ClusterRole", "z"), vec![]);
        assert_eq!(plan(&other, &wanted), Plan::Replace);
        let empty = binding("", "b", ("ClusterRole", "a"), vec![]);
        assert_eq!(plan(&empty, &wanted), Plan::Update(wanted.clone()));
    }
}
