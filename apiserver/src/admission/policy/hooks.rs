//! The policies that have bindings, compiled.

use super::super::{Attributes, Lookup};
use super::GROUP;
use super::compiled::Policy;
use machinery::gvk::GroupResource;
use machinery::meta;
use machinery::status::Status;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// A policy and what binds it.
pub(super) struct Hook {
    pub(super) policy: Arc<Policy>,
    pub(super) bindings: Vec<Value>,
}

/// What was compiled, by the name of its policy and with the revision it was compiled from.
#[derive(Default)]
pub(super) struct Compiled(Mutex<BTreeMap<String, (String, Arc<Policy>)>>);

/// The names of the resources of one kind of policies.
pub(super) struct Kind {
    pub(super) policies: &'static str,
    pub(super) bindings: &'static str,
}

impl Compiled {
    /// All policies with bindings, by name.
    pub(super) async fn hooks(
        &self,
        kind: &Kind,
        lookup: &dyn Lookup,
        attributes: &Attributes<'_>,
    ) -> Result<Vec<Hook>, Status> {
        if is_about_policies(attributes) {
            return Ok(Vec::new());
        }
        let bindings = lookup.list(&GroupResource::new(GROUP, kind.bindings), "").await?;
        if bindings.is_empty() {
            return Ok(Vec::new());
        }
        let policies = lookup.list(&GroupResource::new(GROUP, kind.policies), "").await?;
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|name, _| policies.iter().any(|policy| meta::name(policy) == name));
        let mut hooks = Vec::new();
        for object in &policies {
            let name = meta::name(object);
            let bound: Vec<Value> = bindings
                .iter()
                .filter(|binding| meta::str_at(binding, &["spec", "policyName"]) == Some(name))
                .cloned()
                .collect();
            if bound.is_empty() {
                continue;
            }
            let revision = meta::str_at(object, &["metadata", "resourceVersion"]).unwrap_or_default();
            let policy = match kept.get(name) {
                Some((known, policy)) if known == revision => policy.clone(),
                _ => {
                    let policy = Arc::new(Policy::compile(object));
                    kept.insert(name.to_owned(), (revision.to_owned(), policy.clone()));
                    policy
                }
            };
            hooks.push(Hook {
                policy,
                bindings: bound,
            });
        }
        Ok(hooks)
    }
}

/// Policies do not look at policies, or a wrong one could never be taken back (`isPolicyResource`).
fn is_about_policies(attributes: &Attributes<'_>) -> bool {
    attributes.resource.group == GROUP
        && [
            "validatingadmissionpolicies",
            "validatingadmissionpolicybindings",
            "mutatingadmissionpolicies",
            "mutatingadmissionpolicybindings",
        ]
        .contains(&attributes.resource.resource.as_str())
}

fn namespaces() -> GroupResource {
    GroupResource::new("", "namespaces")
}

/// Whether the object that is written lies in a namespace; a namespace itself does not.
fn is_namespaced(attributes: &Attributes<'_>) -> bool {
    !attributes.namespace.is_empty() && attributes.resource != namespaces()
}

/// The namespace of the object that is written.
pub(super) async fn namespace(lookup: &dyn Lookup, attributes: &Attributes<'_>) -> Result<Option<Value>, Status> {
    if !is_namespaced(attributes) {
        return Ok(None);
    }
    lookup.find(&namespaces(), "", attributes.namespace).await
}

/// What a policy looks at lies in a namespace that exists.
pub(super) fn needs_namespace(attributes: &Attributes<'_>, namespace: Option<&Value>) -> Result<(), Status> {
    if namespace.is_none() && is_namespaced(attributes) {
        return Err(Status::not_found(&namespaces(), attributes.namespace));
    }
    Ok(())
}
