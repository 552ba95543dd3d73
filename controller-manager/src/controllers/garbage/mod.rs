//! The garbage collector: what an owner leaves behind goes with it, before it, or stays (`pkg/controller/garbagecollector`).

mod graph;
mod monitor;
mod references;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use client::WorkQueue;
use futures::FutureExt;
use futures::future::join3;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::api::{DeleteParams, DynamicObject, Patch, PatchParams, Preconditions, PropagationPolicy};
use kube::{Api, Client};
use serde_json::{Value, json};
use tokio::sync::watch;
use tracing::{debug, info};

use crate::common::discovery::Kind;
use crate::context::{Context, Task};
use crate::error::{During, Result, SyncError, is_not_found};
use crate::workers::work;
use graph::{FOREGROUND, Graph, GroupKind, Identity, ORPHAN, Todo, Uid, View};
use references::{Fate, Owners, Standing};

const NAME: &str = "garbage-collector-controller";
/// Owners known not to exist that are remembered.
const ABSENT_LIMIT: usize = 1000;

pub(crate) struct Collector {
    client: Client,
    graph: Mutex<Graph>,
    kinds: RwLock<BTreeMap<GroupKind, Kind>>,
    absent: Mutex<HashSet<Uid>>,
    examine: WorkQueue<Item>,
    orphan: WorkQueue<Item>,
    /// Whether all kinds have been listed once: before that, absence means nothing.
    ready: watch::Sender<bool>,
}

/// A UID that reads as one in logs.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Item(Uid);

impl std::fmt::Display for Item {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) fn start(context: &Arc<Context>) -> Task {
    let collector = Arc::new(Collector {
        client: context.client.clone(),
        graph: Mutex::default(),
        kinds: RwLock::default(),
        absent: Mutex::default(),
        examine: WorkQueue::new(),
        orphan: WorkQueue::new(),
        ready: watch::channel(false).0,
    });
    let followed = context.informers.follow_metadata(|resource| {
        let kind = Arc::new(GroupKind {
            group: resource.group.clone(),
            kind: resource.kind.clone(),
        });
        let collector = collector.clone();
        Arc::new(move |meta: &ObjectMeta, exists| collector.changed(&kind, meta, exists))
    });
    let followed: HashSet<(String, String)> = followed
        .into_iter()
        .map(|resource| (resource.group, resource.plural))
        .collect();
    let context = context.clone();
    async move {
        context.informers.synced().await;
        let watches = monitor::run(collector.clone(), followed);
        let workers = context.settings.workers.concurrent_gc_syncs;
        let ready = || async {
            // The sender lives in `collector`, so waiting cannot fail.
            let _ = collector.ready.subscribe().wait_for(|ready| *ready).await;
        };
        let examine = async {
            ready().await;
            info!(
                objects = lock(&collector.graph).len(),
                "the ownership graph is complete"
            );
            work(NAME, &collector.examine, workers, &context.metrics, |item| {
                collector.examine(item)
            })
            .await;
        };
        let orphan = async {
            ready().await;
            work(NAME, &collector.orphan, workers, &context.metrics, |item| {
                collector.orphan(item)
            })
            .await;
        };
        join3(watches, examine, orphan).await;
    }
    .boxed()
}

impl Collector {
    /// A watch showed an object, or that it is gone.
    fn changed(&self, kind: &Arc<GroupKind>, meta: &ObjectMeta, exists: bool) {
        let todo = if exists {
            lock(&self.graph).observe(kind, meta, |kind| self.is_namespaced(kind))
        } else {
            let uid = meta.uid.as_deref().unwrap_or_default();
            self.remember_absent(uid.into());
            lock(&self.graph).forget(uid)
        };
        self.enqueue(todo);
    }

    fn enqueue(&self, todo: Vec<Todo>) {
        for one in todo {
            match one {
                Todo::Examine(uid) => self.examine.add(Item(uid)),
                Todo::Orphan(uid) => self.orphan.add(Item(uid)),
            }
        }
    }

    fn vanished(&self, uid: &Uid) {
        self.remember_absent(uid.clone());
        let todo = lock(&self.graph).forget(uid);
        self.enqueue(todo);
    }

    fn remember_absent(&self, uid: Uid) {
        let mut absent = lock(&self.absent);
        if absent.len() >= ABSENT_LIMIT {
            absent.clear();
        }
        absent.insert(uid);
    }

    fn kind(&self, kind: &GroupKind) -> Option<Kind> {
        self.kinds
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(kind)
            .cloned()
    }

    fn is_namespaced(&self, kind: &GroupKind) -> bool {
        self.kind(kind).is_none_or(|kind| kind.namespaced)
    }

    fn api(&self, kind: &GroupKind, namespace: &str) -> Result<Api<DynamicObject>> {
        let Some(known) = self.kind(kind) else {
            let group = if kind.group.is_empty() { "core" } else { &kind.group };
            return Err(SyncError::Invalid(format!(
                "the API server has no kind {} in group {group}",
                kind.kind
            )));
        };
        Ok(if known.namespaced {
            Api::namespaced_with(self.client.clone(), namespace, &known.resource)
        } else {
            Api::all_with(self.client.clone(), &known.resource)
        })
    }

    /// The object as the API server has it now; nothing when it, or exactly it, is gone.
    async fn fetch(&self, identity: &Identity) -> Result<Option<ObjectMeta>> {
        let api = self.api(&identity.kind, &identity.namespace)?;
        let found = api
            .get_metadata_opt(&identity.name)
            .await
            .during(format_args!("looking at {identity}"))?;
        Ok(found
            .map(|object| object.metadata)
            .filter(|meta| meta.uid.as_deref() == Some(&*identity.uid)))
    }

    /// Decides about one object (`attemptToDeleteItem`).
    async fn examine(&self, item: Item) -> Result {
        let Some(view) = lock(&self.graph).view(&item.0) else {
            return Ok(());
        };
        if view.deleting && !view.foreground {
            return Ok(());
        }
        let Some(latest) = self.fetch(&view.identity).await? else {
            self.vanished(&view.identity.uid);
            return Ok(());
        };
        if view.is_virtual {
            // It exists after all; its own watch will show it.
            return Ok(());
        }
        if view.foreground {
            return self.finish_foreground(&view, &latest).await;
        }
        let references = latest.owner_references.clone().unwrap_or_default();
        if references.is_empty() {
            return Ok(());
        }
        let owners = self.classify(&view.identity, references).await?;
        match references::decide(&latest, &owners, !view.dependents.is_empty()) {
            Fate::Stay => Ok(()),
            Fate::DropReferences => self.set_owners(&view.identity, &latest, owners.solid()).await,
            Fate::Delete(policy) => {
                if policy == PropagationPolicy::Foreground {
                    self.unblock_circles(&view).await?;
                }
                self.delete(&view.identity, &latest, policy).await
            }
        }
    }

    /// Asks for every owner whether it is there (`classifyReferences`).
    async fn classify(&self, dependent: &Identity, references: Vec<OwnerReference>) -> Result<Owners> {
        let mut owners = Owners::default();
        for reference in references {
            let standing = self.standing(dependent, &reference).await?;
            owners.push(reference, standing);
        }
        Ok(owners)
    }

    async fn standing(&self, dependent: &Identity, reference: &OwnerReference) -> Result<Standing> {
        let uid: Uid = reference.uid.as_str().into();
        if lock(&self.absent).contains(&uid) {
            return Ok(Standing::Absent);
        }
        let kind = GroupKind::of(reference);
        if dependent.namespace.is_empty() && self.is_namespaced(&kind) {
            // A cluster-scoped object cannot be owned by one of a namespace: the reference means nothing.
            return Err(SyncError::Invalid(format!(
                "{dependent} is cluster-scoped but names the namespaced {} {} as its owner",
                reference.kind, reference.name
            )));
        }
        let owner = Identity {
            kind: Arc::new(kind),
            namespace: dependent.namespace.clone(),
            name: reference.name.clone(),
            uid: uid.clone(),
        };
        let Some(meta) = self.fetch(&owner).await? else {
            self.remember_absent(uid);
            return Ok(Standing::Absent);
        };
        let waits = meta.deletion_timestamp.is_some() && has_finalizer(&meta, FOREGROUND);
        Ok(if waits {
            Standing::WaitsForDependents
        } else {
            Standing::Solid
        })
    }

    /// Lets an object go whose blocking dependents are all gone (`processDeletingDependentsItem`).
    async fn finish_foreground(&self, view: &View, latest: &ObjectMeta) -> Result {
        if view.blocking.is_empty() {
            return self.drop_finalizer(&view.identity, latest, FOREGROUND).await;
        }
        for dependent in &view.blocking {
            let waits_itself = lock(&self.graph)
                .view(dependent)
                .is_some_and(|dependent| dependent.foreground);
            if !waits_itself {
                self.examine.add(Item(dependent.clone()));
            }
        }
        Ok(())
    }

    /// Objects that own each other would wait for each other for ever: a dependent that already waits stops blocking.
    async fn unblock_circles(&self, view: &View) -> Result {
        for dependent in &view.dependents {
            let Some(dependent) = lock(&self.graph)
                .view(dependent)
                .filter(|dependent| dependent.foreground)
            else {
                continue;
            };
            let Some(latest) = self.fetch(&view.identity).await? else {
                return Ok(());
            };
            debug!(object = %view.identity, dependent = %dependent.identity, "breaking a circle of owners");
            let mut references = latest.owner_references.clone().unwrap_or_default();
            references
                .iter_mut()
                .for_each(|reference| reference.block_owner_deletion = Some(false));
            return self.set_owners(&view.identity, &latest, references).await;
        }
        Ok(())
    }

    async fn delete(&self, identity: &Identity, latest: &ObjectMeta, policy: PropagationPolicy) -> Result {
        info!(object = %identity, ?policy, "its owners are gone: deleting");
        let params = DeleteParams {
            propagation_policy: Some(policy),
            preconditions: Some(Preconditions {
                uid: Some(identity.uid.to_string()),
                resource_version: latest.resource_version.clone(),
            }),
            ..DeleteParams::default()
        };
        match self
            .api(&identity.kind, &identity.namespace)?
            .delete(&identity.name, &params)
            .await
        {
            Err(error) if is_not_found(&error) => {
                self.vanished(&identity.uid);
                Ok(())
            }
            result => result.map(|_| ()).during(format_args!("deleting {identity}")),
        }
    }

    /// Frees the dependents of an object that is being deleted, then lets it go (`attemptToOrphan`).
    async fn orphan(&self, item: Item) -> Result {
        let Some(view) = lock(&self.graph).view(&item.0) else {
            return Ok(());
        };
        for dependent in &view.dependents {
            let Some(dependent) = lock(&self.graph).view(dependent) else {
                continue;
            };
            let Some(latest) = self.fetch(&dependent.identity).await? else {
                continue;
            };
            let mut references = latest.owner_references.clone().unwrap_or_default();
            let before = references.len();
            references.retain(|reference| *reference.uid != *item.0);
            if references.len() < before {
                self.set_owners(&dependent.identity, &latest, references).await?;
            }
        }
        let Some(latest) = self.fetch(&view.identity).await? else {
            return Ok(());
        };
        self.drop_finalizer(&view.identity, &latest, ORPHAN).await
    }

    async fn set_owners(&self, identity: &Identity, latest: &ObjectMeta, references: Vec<OwnerReference>) -> Result {
        self.patch(identity, latest, "ownerReferences", json!(references)).await
    }

    async fn drop_finalizer(&self, identity: &Identity, latest: &ObjectMeta, finalizer: &str) -> Result {
        if !has_finalizer(latest, finalizer) {
            return Ok(());
        }
        let rest: Vec<&String> = latest
            .finalizers
            .iter()
            .flatten()
            .filter(|one| *one != finalizer)
            .collect();
        self.patch(identity, latest, "finalizers", json!(rest)).await
    }

    /// Replaces a list of the metadata, provided that the object is as it was when this was decided.
    async fn patch(&self, identity: &Identity, latest: &ObjectMeta, field: &str, value: Value) -> Result {
        let mut metadata = json!({ "uid": latest.uid, "resourceVersion": latest.resource_version });
        metadata[field] = value;
        let api = self.api(&identity.kind, &identity.namespace)?;
        let patch = Patch::Merge(json!({ "metadata": metadata }));
        match api
            .patch_metadata(&identity.name, &PatchParams::default(), &patch)
            .await
        {
            Err(error) if is_not_found(&error) => Ok(()),
            result => result
                .map(|_| ())
                .during(format_args!("setting the {field} of {identity}")),
        }
    }
}

fn has_finalizer(meta: &ObjectMeta, finalizer: &str) -> bool {
    meta.finalizers.iter().flatten().any(|one| one == finalizer)
}

impl std::fmt::Display for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Identity {
            kind, namespace, name, ..
        } = self;
        if namespace.is_empty() {
            write!(f, "{} {name}", kind.kind)
        } else {
            write!(f, "{} {namespace}/{name}", kind.kind)
        }
    }
}
