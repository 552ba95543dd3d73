//! The objects that a binding hands to its policy (`CollectParams`).

use super::super::Lookup;
use machinery::gvk::GroupVersion;
use machinery::meta;
use machinery::selector::label::Selector;
use serde_json::Value;

const NOT_FOUND: &str = "no params found for policy binding with `Deny` parameterNotFoundAction";
const NO_NAMESPACE: &str = "cannot use namespaced paramRef in policy binding that matches cluster-scoped resources";
const CLUSTER_SCOPED: &str = "paramRef.namespace must not be provided for a cluster-scoped `paramKind`";

/// Why there are no parameters.
pub(super) enum Missing {
    /// The policy is to blame.
    Policy(String),
    /// The binding is to blame.
    Binding(String),
}

/// The parameters of a binding; one that is absent where the policy takes none.
pub(super) async fn collect(
    lookup: &dyn Lookup,
    policy: &Value,
    binding: &Value,
    namespace: &str,
) -> Result<Vec<Option<Value>>, Missing> {
    let failed = |why: &str| Missing::Binding(why.to_owned());
    let Some(kind) = policy.get("paramKind").filter(|kind| kind.is_object()) else {
        return Ok(vec![None]);
    };
    let part = |field: &str| meta::str_at(kind, &[field]).unwrap_or_default();
    let version = GroupVersion::parse(part("apiVersion")).unwrap_or_default();
    let kind = version.kind(part("kind"));
    let Some((resource, namespaced)) = lookup.resource_of(&kind) else {
        return Err(Missing::Policy(format!(
            "failed to find resource referenced by paramKind: '{}, Kind={}'",
            kind.api_version(),
            kind.kind
        )));
    };
    let Some(reference) = meta::at(binding, &["spec", "paramRef"]).filter(|reference| reference.is_object()) else {
        return Ok(vec![None]);
    };
    let given = meta::str_at(reference, &["namespace"]).unwrap_or_default();
    let namespace = match (namespaced, given) {
        (false, "") => "",
        (false, _) => return Err(failed(CLUSTER_SCOPED)),
        (true, "") if namespace.is_empty() => return Err(failed(NO_NAMESPACE)),
        (true, "") => namespace,
        (true, given) => given,
    };
    let internal = |status: machinery::status::Status| Missing::Binding(status.message);
    let found: Vec<Value> = match meta::str_at(reference, &["name"]).filter(|name| !name.is_empty()) {
        Some(name) => lookup
            .find(&resource, namespace, name)
            .await
            .map_err(internal)?
            .into_iter()
            .collect(),
        None => {
            let selector = Selector::of(reference.get("selector"));
            let mut all = lookup.list(&resource, namespace).await.map_err(internal)?;
            all.retain(|object| selector.matches_labels(meta::at(object, &["metadata", "labels"])));
            all
        }
    };
    if found.is_empty() && meta::str_at(reference, &["parameterNotFoundAction"]) == Some("Deny") {
        return Err(failed(NOT_FOUND));
    }
    Ok(found.into_iter().map(Some).collect())
}
