//! The bindings that concern a write, each with its policy and its parameters.

use super::super::Equivalent;
use super::compiled::Policy;
use super::hooks::Hook;
use super::matching::Write;
use super::parameters::{Missing, collect};
use machinery::meta;
use serde_json::Value;

/// A binding of a policy, both of which cover the write.
pub(super) struct Bound<'a> {
    pub(super) policy: &'a Policy,
    pub(super) binding: &'a Value,
    /// The form in which the policy covers the write.
    pub(super) form: Equivalent,
    /// The parameters to evaluate the policy with, one after the other.
    pub(super) parameters: Result<Vec<Option<Value>>, Missing>,
}

/// All of them, by the names of the policies.
pub(super) async fn bound<'a>(hooks: &'a [Hook], write: &Write<'_>) -> Vec<Bound<'a>> {
    let mut found = Vec::new();
    for Hook { policy, bindings } in hooks {
        let Some(form) = write.fits(policy.spec.get("matchConstraints")) else {
            continue;
        };
        for binding in bindings {
            if write.fits(meta::at(binding, &["spec", "matchResources"])).is_some() {
                found.push(Bound {
                    policy,
                    binding,
                    form: form.clone(),
                    parameters: collect(write.lookup, &policy.spec, binding, write.attributes.namespace).await,
                });
            }
        }
    }
    found
}

/// Who is to blame for missing parameters, the policy or the binding as they are given, and in which words.
pub(super) fn blame(missing: Missing, policy: String, binding: String) -> (String, String) {
    match missing {
        Missing::Binding(why) => (binding, format!("failed to configure binding: {why}")),
        Missing::Policy(why) => (policy, format!("failed to configure policy: {why}")),
    }
}
