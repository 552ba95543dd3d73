//! The namespace controller: empties a namespace that is being deleted, then lets it go (`pkg/controller/namespace`).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use client::{Change, Informer, ObjectKey, WorkQueue};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Namespace, NamespaceCondition, NamespaceSpec, NamespaceStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::{DeleteParams, DynamicObject, ListParams, PostParams, PropagationPolicy};
use kube::core::discovery::verbs;
use kube::{Api, Client};

use crate::common::discovery::{self, Kind};
use crate::context::{Context, Task};
use crate::error::{During, Result, SyncError, ignore_not_found, is_not_found, message};
use crate::workers::{Reconcile, run};

const NAME: &str = "namespace-controller";
/// The finalizer that is ours to remove.
const FINALIZER: &str = "kubernetes";
/// Watches and caches may lag behind the deletion mark for a moment, so what they let in has to arrive first.
const GRACE: Duration = Duration::from_millis(50);

struct Controller {
    client: Client,
    namespaces: Informer<Namespace>,
    queue: WorkQueue<ObjectKey>,
}

pub(crate) fn start(context: &Arc<Context>) -> Task {
    let controller = Arc::new(Controller {
        client: context.client.clone(),
        namespaces: context.informers.namespaces(),
        queue: WorkQueue::new(),
    });
    let queue = controller.queue.clone();
    controller.namespaces.on_change(move |change| {
        let namespace = change.object();
        if namespace.metadata.deletion_timestamp.is_some() {
            queue.add_after(ObjectKey::of(&namespace.metadata), GRACE);
        }
    });
    // The last pod to go is what the rest of the namespace waits for.
    let (pods, this) = (context.informers.pods(), controller.clone());
    pods.clone().on_change(move |change| {
        if let Change::Deleted(pod) = change {
            let key = ObjectKey::new("", pod.metadata.namespace.as_deref().unwrap_or_default());
            let deleting = |namespace: &Namespace| namespace.metadata.deletion_timestamp.is_some();
            if this.namespaces.get(&key).is_some_and(|namespace| deleting(&namespace))
                && pods.list_in(&key.name).is_empty()
            {
                this.queue.add(key);
            }
        }
    });
    run(
        NAME,
        context,
        context.settings.workers.concurrent_namespace_syncs,
        controller,
    )
}

/// What one pass over a namespace found.
#[derive(Debug, Default, PartialEq)]
struct Findings {
    discovery_error: Option<String>,
    deletion_errors: Vec<String>,
    /// Objects left, by `plural.group`.
    remaining: BTreeMap<String, usize>,
    /// Objects with this finalizer left.
    finalizers: BTreeMap<String, usize>,
    /// How long the slowest pod may take to end.
    grace_seconds: i64,
}

impl Findings {
    fn is_empty(&self) -> bool {
        self.discovery_error.is_none() && self.deletion_errors.is_empty() && self.remaining.is_empty()
    }
}

impl Reconcile for Controller {
    fn queue(&self) -> &WorkQueue<ObjectKey> {
        &self.queue
    }

    async fn sync(&self, key: ObjectKey) -> Result {
        let api: Api<Namespace> = Api::all(self.client.clone());
        // The informer may be behind our own writes; deletion is rare enough to ask.
        let Some(namespace) = api
            .get_opt(&key.name)
            .await
            .during(format_args!("looking at namespace {key}"))?
        else {
            return Ok(());
        };
        if namespace.metadata.deletion_timestamp.is_none() || !has_finalizer(&namespace) {
            return Ok(());
        }
        let mut namespace = namespace;
        if namespace.status.as_ref().and_then(|status| status.phase.as_deref()) != Some("Terminating") {
            namespace.status.get_or_insert_default().phase = Some("Terminating".to_owned());
            namespace = self.write_status(&namespace).await?;
        }
        let findings = self.empty(&key.name).await;
        let conditions = conditions(&namespace, &findings, Timestamp::now());
        if namespace.status.as_ref().and_then(|status| status.conditions.as_ref()) != Some(&conditions) {
            namespace.status.get_or_insert_default().conditions = Some(conditions);
            namespace = self.write_status(&namespace).await?;
        }
        if findings.is_empty() {
            return self.finalize(namespace).await;
        }
        if findings.discovery_error.is_none() && findings.deletion_errors.is_empty() {
            // Nothing went wrong; what is left needs its time.
            let wait = u64::try_from(findings.grace_seconds / 2 + 1).unwrap_or(1).min(15);
            self.queue.add_after(key, Duration::from_secs(wait));
            return Ok(());
        }
        let errors: Vec<String> = findings
            .discovery_error
            .into_iter()
            .chain(findings.deletion_errors)
            .collect();
        Err(SyncError::Invalid(format!(
            "namespace {key} cannot be emptied: {}",
            errors.join("; ")
        )))
    }
}

impl Controller {
    async fn write_status(&self, namespace: &Namespace) -> Result<Namespace> {
        let api: Api<Namespace> = Api::all(self.client.clone());
        let name = namespace.metadata.name.as_deref().unwrap_or_default();
        let written = api.replace_status(name, &PostParams::default(), namespace).await;
        written.during(format_args!("updating the status of namespace {name}"))
    }

    async fn finalize(&self, mut namespace: Namespace) -> Result {
        let api: Api<Namespace> = Api::all(self.client.clone());
        let name = namespace.metadata.name.clone().unwrap_or_default();
        let finalizers = namespace
            .spec
            .take()
            .and_then(|spec| spec.finalizers)
            .unwrap_or_default();
        let rest = finalizers
            .into_iter()
            .filter(|finalizer| finalizer != FINALIZER)
            .collect();
        namespace.spec = Some(NamespaceSpec { finalizers: Some(rest) });
        let written = api
            .replace_subresource("finalize", &name, &PostParams::default(), &namespace)
            .await;
        ignore_not_found(written).during(format_args!("finalizing namespace {name}"))
    }

    /// Deletes everything that can be deleted and says what is left. Pods go first: whatever they still need, such as
    /// secrets and policies, stays until they are gone.
    async fn empty(&self, namespace: &str) -> Findings {
        let mut findings = Findings::default();
        let kinds = match discovery::kinds(&self.client).await {
            Ok(kinds) => kinds,
            Err(error) => {
                findings.discovery_error = Some(message(&error));
                return findings;
            }
        };
        let deletable = |kind: &&Kind| kind.namespaced && kind.can(verbs::DELETE) && kind.can(verbs::LIST);
        let (pods, rest): (Vec<&Kind>, Vec<&Kind>) = kinds
            .values()
            .filter(deletable)
            .partition(|kind| kind.resource.group.is_empty() && kind.resource.plural == "pods");
        for kind in pods {
            self.delete_kind(namespace, kind, &mut findings).await;
        }
        if !findings.remaining.is_empty() {
            return findings;
        }
        for kind in rest {
            self.delete_kind(namespace, kind, &mut findings).await;
        }
        findings
    }

    async fn delete_kind(&self, namespace: &str, kind: &Kind, findings: &mut Findings) {
        let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), namespace, &kind.resource);
        let name = match kind.resource.group.as_str() {
            "" => kind.resource.plural.clone(),
            group => format!("{}.{group}", kind.resource.plural),
        };
        if let Err(error) = self.delete_and_count(&api, &name, kind, findings).await
            && !is_not_found(&error)
        {
            findings.deletion_errors.push(format!("{name}: {}", message(&error)));
        }
    }

    async fn delete_and_count(
        &self,
        api: &Api<DynamicObject>,
        name: &str,
        kind: &Kind,
        findings: &mut Findings,
    ) -> std::result::Result<(), kube::Error> {
        let params = DeleteParams {
            propagation_policy: Some(PropagationPolicy::Background),
            ..DeleteParams::default()
        };
        let all = ListParams::default();
        let found = api.list_metadata(&all).await?;
        if found.items.is_empty() {
            return Ok(());
        }
        if kind.can(verbs::DELETE_COLLECTION) {
            api.delete_collection(&params, &all).await?;
        } else {
            for object in found.items {
                ignore_not_found(
                    api.delete(object.metadata.name.as_deref().unwrap_or_default(), &params)
                        .await,
                )?;
            }
        }
        let left = api.list_metadata(&all).await?.items;
        if !left.is_empty() {
            findings.remaining.insert(name.to_owned(), left.len());
        }
        for object in left {
            for finalizer in object.metadata.finalizers.into_iter().flatten() {
                *findings.finalizers.entry(finalizer).or_default() += 1;
            }
            let grace = object.metadata.deletion_grace_period_seconds.unwrap_or(0);
            findings.grace_seconds = findings.grace_seconds.max(grace);
        }
        Ok(())
    }
}

fn has_finalizer(namespace: &Namespace) -> bool {
    let finalizers = namespace.spec.as_ref().and_then(|spec| spec.finalizers.as_ref());
    finalizers.is_some_and(|finalizers| finalizers.iter().any(|finalizer| finalizer == FINALIZER))
}

/// The five conditions of a namespace that is going (`status_condition_utils.go`).
fn conditions(namespace: &Namespace, findings: &Findings, now: Timestamp) -> Vec<NamespaceCondition> {
    let count = |map: &BTreeMap<String, usize>, text: &str| {
        let parts: Vec<String> = map
            .iter()
            .map(|(name, count)| format!("{name} {text} {count} resource instances"))
            .collect();
        parts.join(", ")
    };
    let remaining = count(&findings.remaining, "has");
    let finalizers = count(&findings.finalizers, "in");
    // Type, then reason and message of the bad and of the good case.
    let table = [
        (
            "NamespaceDeletionDiscoveryFailure",
            findings
                .discovery_error
                .as_ref()
                .map(|error| ("DiscoveryFailed", format!("Discovery failed for some groups: {error}"))),
            ("ResourcesDiscovered", "All resources successfully discovered"),
        ),
        (
            "NamespaceDeletionGroupVersionParsingFailure",
            None,
            ("ParsedGroupVersions", "All legacy kube types successfully parsed"),
        ),
        (
            "NamespaceDeletionContentFailure",
            (!findings.deletion_errors.is_empty()).then(|| {
                let errors = findings.deletion_errors.join(", ");
                (
                    "ContentDeletionFailed",
                    format!(
                        "Failed to delete all resource types, {} remaining: {errors}",
                        findings.deletion_errors.len()
                    ),
                )
            }),
            (
                "ContentDeleted",
                "All content successfully deleted, may be waiting on finalization",
            ),
        ),
        (
            "NamespaceContentRemaining",
            (!remaining.is_empty()).then(|| {
                (
                    "SomeResourcesRemain",
                    format!("Some resources are remaining: {remaining}"),
                )
            }),
            ("ContentRemoved", "All content successfully removed"),
        ),
        (
            "NamespaceFinalizersRemaining",
            (!finalizers.is_empty()).then(|| {
                (
                    "SomeFinalizersRemain",
                    format!("Some content in the namespace has finalizers remaining: {finalizers}"),
                )
            }),
            ("ContentHasNoFinalizers", "All content-preserving finalizers finished"),
        ),
    ];
    let old: &NamespaceStatus = &namespace.status.clone().unwrap_or_default();
    let mut all: Vec<NamespaceCondition> = old.conditions.clone().unwrap_or_default();
    for (kind, bad, (good_reason, good_message)) in table {
        let (status, reason, message) = match bad {
            Some((reason, message)) => ("True", reason, message),
            None => ("False", good_reason, good_message.to_owned()),
        };
        let current = all.iter().find(|condition| condition.type_ == kind);
        let same = current.is_some_and(|current| {
            current.status == status
                && current.reason.as_deref() == Some(reason)
                && current.message.as_ref() == Some(&message)
        });
        if same {
            continue;
        }
        let unchanged = current.filter(|current| current.status == status);
        let since = unchanged
            .and_then(|current| current.last_transition_time.clone())
            .unwrap_or(Time(now));
        let condition = NamespaceCondition {
            type_: kind.to_owned(),
            status: status.to_owned(),
            reason: Some(reason.to_owned()),
            message: Some(message),
            last_transition_time: Some(since),
        };
        match all.iter_mut().find(|condition| condition.type_ == kind) {
            Some(slot) => *slot = condition,
            None => all.push(condition),
        }
    }
    all
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// What was written is not written again, however late it is.
    pub(crate) fn rests() {
        let findings = [
            Findings::default(),
            Findings {
                deletion_errors: vec!["pods: no".to_owned()],
                remaining: [("pods".to_owned(), 2)].into(),
                ..Findings::default()
            },
        ];
        for findings in findings {
            let mut namespace = Namespace::default();
            let written = conditions(&namespace, &findings, Timestamp::from_second(10).unwrap());
            namespace.status.get_or_insert_default().conditions = Some(written.clone());
            let later = Timestamp::from_second(10_000).unwrap();
            assert_eq!(conditions(&namespace, &findings, later), written);
        }
    }

    #[test]
    fn conditions_say_what_is_left() {
        let now = Timestamp::from_second(10).unwrap();
        let findings = Findings {
            remaining: [("pods".to_owned(), 2)].into(),
            finalizers: [("example.com/hold".to_owned(), 1)].into(),
            ..Findings::default()
        };
        let mut namespace = Namespace::default();
        let first = conditions(&namespace, &findings, now);
        let get = |all: &[NamespaceCondition], kind: &str| {
            let found = all.iter().find(|condition| condition.type_ == kind).unwrap().clone();
            (found.status, found.message.unwrap())
        };
        assert_eq!(first.len(), 5);
        let (status, message) = get(&first, "NamespaceContentRemaining");
        assert_eq!(
            (status.as_str(), message.as_str()),
            ("True", "Some resources are remaining: pods has 2 resource instances")
        );
        let (_, message) = get(&first, "NamespaceFinalizersRemaining");
        assert_eq!(
            message,
            "Some content in the namespace has finalizers remaining: example.com/hold in 1 resource instances"
        );
        namespace.status = Some(NamespaceStatus {
            conditions: Some(first.clone()),
            phase: None,
        });
        assert_eq!(
            conditions(&namespace, &findings, Timestamp::from_second(20).unwrap()),
            first,
            "no change, no write"
        );
        let done = conditions(&namespace, &Findings::default(), Timestamp::from_second(20).unwrap());
        assert!(done.iter().all(|condition| condition.status == "False"));
    }
}
