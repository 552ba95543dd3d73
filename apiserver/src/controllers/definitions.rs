//! CustomResourceDefinitions: their names are accepted, then they are established; those that are deleted go when nothing of
//! them is left (apiextensions-apiserver `pkg/controller/{status,apiapproval,establish,finalizer}`).

use super::conditions::{self, Condition, find, holds};
use super::definition_names::{self, Taken};
use super::finalizer;
use super::{Controller, Feed, Kind, Seen};
use crate::bootstrap::writer::Writer;
use crate::resources::apiextensions::approval::{self, Approval};
use crate::resources::apiextensions::{CLEANUP, not_structural};

use crate::endpoints::api::Api;
use crate::storage::interface::{ListOptions, Revision, Scope};
use machinery::field::aggregate;
use machinery::meta;
use machinery::status::Status;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

const KIND: Kind = ("apiextensions.k8s.io", "customresourcedefinitions");
const ESTABLISHED: &str = "Established";
const NON_STRUCTURAL: &str = "NonStructuralSchema";

/// The names that definitions have got, by the name of the definition.
#[derive(Default)]
pub(super) struct Definitions {
    accepted: BTreeMap<String, Names>,
}

struct Names {
    group: String,
    accepted: Value,
}

/// The next thing to do about a definition.
#[derive(Debug)]
enum Step {
    /// Its names.
    Names(definition_names::Decision),
    /// A condition.
    Say(Condition),
    /// A condition that is no longer true.
    Unsay(&'static str),
}

impl Controller for Definitions {
    const NAME: &'static str = "customresourcedefinition-status";
    const FOLLOWS: &'static [Kind] = &[KIND];

    async fn see(&mut self, api: &Api, feed: &mut Feed, seen: Seen) -> Result<(), Status> {
        let definition = seen.decode(api)?;
        if seen.gone {
            api.custom_resources.remove(&api.catalog, meta::name(&definition));
        } else {
            api.custom_resources.put(&api.catalog, [&seen.object])?;
        }
        let (name, group) = (meta::name(&definition).to_owned(), group(&definition).to_owned());
        if seen.gone {
            self.accepted.remove(&name);
            return self.reconsider(api, &group, &name).await;
        }
        let accepted = accepted(&definition);
        self.accepted.insert(
            name.clone(),
            Names {
                group: group.clone(),
                accepted,
            },
        );
        if is_going(&definition) {
            return finalizer::advance(api, feed, seen, &definition).await;
        }
        if self.advance(api, &definition).await? {
            self.reconsider(api, &group, &name).await?;
        }
        Ok(())
    }
}

/// Serves everything that is defined already.
///
/// # Errors
/// When the definitions cannot be read.
pub(crate) async fn load(api: &Api) -> Result<(), Status> {
    let everything = ListOptions {
        scope: Scope::default(),
        revision: Revision::Latest,
        limit: 0,
        continue_token: String::new(),
    };
    let definitions = super::store(api, KIND)?.list(everything).await?;
    api.custom_resources.put(&api.catalog, &definitions.items)
}

impl Definitions {
    /// Names may have become free: what others of the group are still waiting for.
    async fn reconsider(&mut self, api: &Api, group: &str, but: &str) -> Result<(), Status> {
        let others = self
            .accepted
            .iter()
            .filter(|(name, names)| names.group == group && *name != but);
        let others: Vec<String> = others.map(|(name, _)| name.clone()).collect();
        for name in others {
            let definition = Writer::new(api, KIND.0, KIND.1)?.get("", &name).await?;
            if let Some(definition) = definition {
                self.advance(api, &definition).await?;
            }
        }
        Ok(())
    }

    /// Does the next thing about a definition and says whether its names changed. The rest follows when that comes back as
    /// a change.
    async fn advance(&mut self, api: &Api, definition: &Value) -> Result<bool, Status> {
        let name = meta::name(definition);
        let mut taken = Taken::default();
        let group = group(definition);
        for names in self.accepted.values().filter(|names| names.group == group) {
            taken.add(&names.accepted);
        }
        let Some(step) = next(definition, &taken) else {
            return Ok(false);
        };
        let writer = Writer::new(api, KIND.0, KIND.1)?;
        // Another version of the definition comes back as a change of its own.
        let same =
            |current: &Value| current["metadata"]["resourceVersion"] == definition["metadata"]["resourceVersion"];
        let done = AtomicBool::new(false);
        let write = |current: &mut Value| {
            done.store(same(current), Ordering::Relaxed);
            if same(current) {
                let now = machinery::time::now();
                match &step {
                    Step::Names(decision) => decision.put(current, &now),
                    Step::Say(condition) => condition.put(current, &now),
                    Step::Unsay(kind) => conditions::remove(current, kind),
                }
            }
        };
        match writer.change_in("status", "", name, &write).await {
            Err(status) if status.reason != "NotFound" => return Err(status),
            Err(_) => return Ok(false),
            Ok(()) => {}
        }
        match (step, self.accepted.get_mut(name)) {
            (Step::Names(decision), Some(names)) if done.into_inner() => {
                names.accepted = decision.accepted;
                Ok(true)
            }
            _ => Ok(false),
        }
    }
}

fn group(definition: &Value) -> &str {
    meta::str_at(definition, &["spec", "group"]).unwrap_or_default()
}

fn accepted(definition: &Value) -> Value {
    meta::at(definition, &["status", "acceptedNames"])
        .cloned()
        .unwrap_or_else(|| json!({}))
}

/// Whether a definition is to go and waits for this server.
fn is_going(definition: &Value) -> bool {
    let held = meta::list_at(definition, &["metadata", "finalizers"]);
    meta::is_deleting(definition) && held.iter().any(|finalizer| finalizer == CLEANUP)
}

fn next(definition: &Value, taken: &Taken) -> Option<Step> {
    if let Some(decision) = definition_names::decide(definition, taken) {
        return Some(Step::Names(decision));
    }
    if let Some(condition) = conformance(definition).filter(|condition| !condition.is_in(definition)) {
        return Some(Step::Say(condition));
    }
    match nonstructural(definition) {
        Some(condition) if !condition.is_in(definition) => return Some(Step::Say(condition)),
        None if find(definition, NON_STRUCTURAL).is_some() => return Some(Step::Unsay(NON_STRUCTURAL)),
        _ => {}
    }
    if holds(definition, "NamesAccepted") && !holds(definition, ESTABLISHED) {
        let message = "the initial names have been accepted";
        return Some(Step::Say(Condition::new(
            ESTABLISHED,
            "True",
            "InitialNamesAccepted",
            message,
        )));
    }
    None
}

/// What speaks against pruning by the schemas of a definition: only definitions of old can say it.
fn nonstructural(definition: &Value) -> Option<Condition> {
    let errors = not_structural(definition);
    let condition = || Condition::new(NON_STRUCTURAL, "True", "Violations", aggregate(&errors));
    (!errors.is_empty()).then(condition)
}

/// Whether a definition in a group of the community has its approval.
fn conformance(definition: &Value) -> Option<Condition> {
    if !approval::is_protected(group(definition)) {
        return None;
    }
    let (state, message) = approval::state(definition);
    let (status, reason) = match state {
        Approval::Approved => ("True", "ApprovedAnnotation"),
        Approval::Bypassed => ("False", "UnapprovedAnnotation"),
        Approval::Missing => ("False", "MissingAnnotation"),
        Approval::Invalid => ("False", "InvalidAnnotation"),
    };
    Some(Condition::new(
        "KubernetesAPIApprovalPolicyConformant",
        status,
        reason,
        message,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Does everything there is to do about a definition and says what that was.
    fn carry_out(definition: &mut Value) -> Vec<String> {
        let mut done = Vec::new();
        while let Some(step) = next(definition, &Taken::default()) {
            assert!(done.len() < 10, "it never comes to rest: {done:?}");
            match &step {
                Step::Names(decision) => {
                    decision.put(definition, "now");
                    done.push(decision.names.reason.to_owned());
                }
                Step::Say(condition) => {
                    condition.put(definition, "now");
                    done.push(condition.reason.to_owned());
                }
                Step::Unsay(kind) => {
                    conditions::remove(definition, kind);
                    done.push(format!("not {kind}"));
                }
            }
        }
        done
    }

    #[test]
    fn definitions_are_established() {
        let mut definition = json!({
            "metadata": {"name": "as.b.k8s.io", "annotations": {"api-approved.kubernetes.io": "unapproved, a test"}},
            "spec": {"group": "b.k8s.io", "names": {"plural": "as", "kind": "A"}},
            "status": {"acceptedNames": {"plural": "", "kind": ""}},
        });
        assert_eq!(
            carry_out(&mut definition),
            ["NoConflicts", "UnapprovedAnnotation", "InitialNamesAccepted"]
        );
        assert_eq!(definition["status"]["acceptedNames"]["plural"], "as");
        definition["spec"]["preserveUnknownFields"] = json!(true);
        assert_eq!(carry_out(&mut definition), ["Violations"]);
        let said = find(&definition, NON_STRUCTURAL).unwrap();
        assert_eq!(
            said["message"],
            "spec.preserveUnknownFields: Invalid value: true: must be false"
        );
        definition["spec"]["preserveUnknownFields"] = json!(false);
        assert_eq!(carry_out(&mut definition), ["not NonStructuralSchema"]);
        assert!(!is_going(&definition));
        definition["metadata"]["finalizers"] = json!([CLEANUP]);
        definition["metadata"]["deletionTimestamp"] = json!("now");
        assert!(is_going(&definition));
    }
}
