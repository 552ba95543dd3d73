//! The namespace controller: empties a namespace that is being deleted, then lets it go (`pkg/controller/namespace`).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use client::{Change, Informer, ObjectKey, WorkQueue};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Namespace, NamespaceCondition, NamespaceSpec, NamespaceStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::{ApiResource, DeleteParams, DynamicObject, ListParams, PostParams, PropagationPolicy};
use kube::core::discovery::verbs;
use kube::{Api, Client};

use crate::common::discovery::{self, Kind};
use crate::context::{Context, Task};
use crate::error::{During, Result, SyncError, ignore_not_found, is_not_found, message};
use crate::workers::{Reconcile, run};

const NAME: &str = "namespace-controller";
/// The finalizer that is ours to remove.
const FINALIZER: &str = "kubernetes";
/// For how many seconds finalizers are given time before the namespace is looked at again, as in upstream.
const FINALIZERS_TAKE: i64 = 15;
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
    /// For how many seconds what is left may take; 0 if nothing is.
    estimate: i64,
}

/// What is left of one kind.
#[derive(Debug, Default, PartialEq)]
struct Left {
    objects: usize,
    finalizers: BTreeMap<String, usize>,
    /// How long the slowest pod may take to end.
    grace_seconds: i64,
}

impl Findings {
    fn is_empty(&self) -> bool {
        self.discovery_error.is_none() && self.deletion_errors.is_empty() && self.estimate == 0
    }

    /// Takes in what is left of a kind (`deleteAllContentForGroupVersionResource`): pods that have time to end and objects
    /// with finalizers are nothing wrong, all others should be gone.
    fn add(&mut self, namespace: &str, resource: &ApiResource, left: Left, since_deletion: SignedDuration) {
        if left.objects == 0 {
            return;
        }
        let grace = SignedDuration::from_secs(left.grace_seconds);
        let estimate = match (since_deletion < grace, left.finalizers.is_empty()) {
            (true, _) => left.grace_seconds,
            (false, false) => FINALIZERS_TAKE,
            (false, true) => {
                let ApiResource {
                    group, version, plural, ..
                } = resource;
                self.deletion_errors.push(format!(
                    "unexpected items still remain in namespace: {namespace} for gvr: {group}/{version}, Resource={plural}"
                ));
                0
            }
        };
        self.estimate = self.estimate.max(estimate);
        let name = format!("{}.{}", resource.plural, resource.group);
        self.remaining.insert(name, left.objects);
        for (finalizer, objects) in left.finalizers {
            *self.finalizers.entry(finalizer).or_default() += objects;
        }
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
        let findings = self.empty(&key.name, &namespace).await;
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
            let wait = u64::try_from(findings.estimate / 2 + 1).unwrap_or(1).min(15);
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
    async fn empty(&self, name: &str, namespace: &Namespace) -> Findings {
        let mut findings = Findings::default();
        let (kinds, stale) = match self.kinds().await {
            Ok(found) => found,
            Err(error) => {
                findings.discovery_error = Some(message(&error));
                return findings;
            }
        };
        // What can be found out goes nevertheless.
        findings.discovery_error = discovery_error(&stale);
        let is_fresh = |kind: &Kind| !stale.contains(&kind.resource.api_version);
        let deletable =
            |kind: &&Kind| kind.namespaced && kind.can(verbs::DELETE) && kind.can(verbs::LIST) && is_fresh(kind);
        let (pods, rest): (Vec<&Kind>, Vec<&Kind>) = kinds
            .values()
            .filter(deletable)
            .partition(|kind| kind.resource.group.is_empty() && kind.resource.plural == "pods");
        let deleted = namespace.metadata.deletion_timestamp.as_ref();
        let since = deleted.map_or(SignedDuration::ZERO, |deleted| {
            Timestamp::now().duration_since(deleted.0)
        });
        for kind in pods {
            self.delete_kind(name, kind, since, &mut findings).await;
        }
        if !findings.remaining.is_empty() {
            // Upstream does not sum up before it has looked at everything.
            findings.remaining.clear();
            findings.finalizers.clear();
            return findings;
        }
        for kind in rest {
            self.delete_kind(name, kind, since, &mut findings).await;
        }
        findings
    }

    /// All kinds, and which groups and versions the API server cannot tell about: theirs may be missing or outdated.
    async fn kinds(&self) -> std::result::Result<(BTreeMap<(String, String), Kind>, BTreeSet<String>), kube::Error> {
        let kinds = discovery::kinds(&self.client).await?;
        Ok((kinds, discovery::stale(&self.client).await?))
    }

    async fn delete_kind(&self, namespace: &str, kind: &Kind, since_deletion: SignedDuration, findings: &mut Findings) {
        let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), namespace, &kind.resource);
        match self.delete_and_count(&api, kind).await {
            Ok(left) => findings.add(namespace, &kind.resource, left, since_deletion),
            Err(error) if is_not_found(&error) => {}
            Err(error) => findings.deletion_errors.push(message(&error)),
        }
    }

    async fn delete_and_count(&self, api: &Api<DynamicObject>, kind: &Kind) -> std::result::Result<Left, kube::Error> {
        let params = DeleteParams {
            propagation_policy: Some(PropagationPolicy::Background),
            ..DeleteParams::default()
        };
        let all = ListParams::default();
        let mut left = Left::default();
        let found = api.list_metadata(&all).await?;
        if found.items.is_empty() {
            return Ok(left);
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
        for object in api.list_metadata(&all).await?.items {
            left.objects += 1;
            for finalizer in object.metadata.finalizers.into_iter().flatten() {
                *left.finalizers.entry(finalizer).or_default() += 1;
            }
            let grace = object.metadata.deletion_grace_period_seconds.unwrap_or(0);
            left.grace_seconds = left.grace_seconds.max(grace);
        }
        Ok(left)
    }
}

/// What is said of groups and versions that the API server cannot tell about (client-go `ErrGroupDiscoveryFailed`).
fn discovery_error(stale: &BTreeSet<String>) -> Option<String> {
    let each: Vec<String> = stale
        .iter()
        .map(|version| format!("{version}: stale GroupVersion discovery: {version}"))
        .collect();
    (!each.is_empty()).then(|| {
        format!(
            "Discovery failed for some groups, {} failing: unable to retrieve the complete list of server APIs: {}",
            each.len(),
            each.join(", ")
        )
    })
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
                .map(|error| ("DiscoveryFailed", error.clone())),
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
                let mut errors = findings.deletion_errors.clone();
                errors.sort();
                let errors = errors.join(", ");
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
                remaining: [("pods.".to_owned(), 2)].into(),
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
            remaining: [("pods.".to_owned(), 2)].into(),
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
            ("True", "Some resources are remaining: pods. has 2 resource instances")
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
    #[test]
    fn what_is_left_is_wrong_unless_it_has_time_or_finalizers() {
        let things = ApiResource {
            group: "example.com".to_owned(),
            version: "v1".to_owned(),
            api_version: "example.com/v1".to_owned(),
            kind: "Thing".to_owned(),
            plural: "things".to_owned(),
        };
        let left = |grace_seconds: i64, finalizers: &[&str]| Left {
            objects: 2,
            finalizers: finalizers
                .iter()
                .map(|finalizer| ((*finalizer).to_owned(), 1))
                .collect(),
            grace_seconds,
        };
        let wrong = "unexpected items still remain in namespace: n for gvr: example.com/v1, Resource=things";
        for (left, since, estimate, errors) in [
            (left(30, &[]), 5, 30, &[][..]),
            (left(30, &["a/b"]), 31, FINALIZERS_TAKE, &[]),
            (left(0, &["a/b"]), 0, FINALIZERS_TAKE, &[]),
            (left(30, &[]), 31, 0, &[wrong]),
        ] {
            let mut findings = Findings::default();
            findings.add("n", &things, left, SignedDuration::from_secs(since));
            assert_eq!(
                (findings.estimate, findings.deletion_errors.as_slice()),
                (
                    estimate,
                    &errors.iter().map(|e| (*e).to_owned()).collect::<Vec<_>>()[..]
                )
            );
            assert_eq!(findings.remaining["things.example.com"], 2);
            assert!(!findings.is_empty());
        }
        let mut nothing = Findings::default();
        nothing.add("n", &things, Left::default(), SignedDuration::ZERO);
        assert!(nothing.is_empty());
    }

    #[test]
    fn groups_without_an_answer_are_named() {
        let stale = ["metrics.k8s.io/v1beta1".to_owned()].into();
        assert_eq!(
            discovery_error(&stale).as_deref(),
            Some(
                "Discovery failed for some groups, 1 failing: unable to retrieve the complete list of server APIs: \
                 metrics.k8s.io/v1beta1: stale GroupVersion discovery: metrics.k8s.io/v1beta1"
            )
        );
        assert_eq!(discovery_error(&BTreeSet::new()), None);
    }
}
