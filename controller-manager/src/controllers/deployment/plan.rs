//! Decides the next step of a deployment from the deployment and its replica sets
//! (`pkg/controller/deployment/{deployment_controller,sync,rolling,recreate}.go`).

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::core::v1::PodTemplateSpec;

use super::annotations::{self, desired_replicas, max_replicas};
use super::sizes::{self, actual, available, replicas, size};
use super::status;
use crate::common::hash;
use crate::common::status::is_same;

pub(crate) const TEMPLATE_HASH_LABEL: &str = "pod-template-hash";

/// Everything a decision depends on.
pub(crate) struct State<'a> {
    pub(crate) deployment: &'a Deployment,
    /// The replica sets that belong to it.
    pub(crate) owned: &'a [Arc<ReplicaSet>],
    /// Whether a pod of an old replica set still runs; matters for Recreate only.
    pub(crate) old_pods_run: bool,
    pub(crate) now: Timestamp,
}

/// One write; they are made in order.
#[derive(Debug, PartialEq)]
pub(crate) enum Action {
    CreateReplicaSet(Box<ReplicaSet>),
    /// The replica set as it should be; `resized_from` is set when its size changes, which is worth an event.
    UpdateReplicaSet {
        rs: Box<ReplicaSet>,
        resized_from: Option<i32>,
    },
    DeleteReplicaSet(Arc<ReplicaSet>),
    /// The deployment with its new status and revision annotation. One write for both, because a write of the status may
    /// change annotations without counting as a new generation.
    UpdateStatus(Box<Deployment>),
}

/// The new replica set (the one with the deployment's template) and all others, oldest first.
pub(crate) struct Split<'a> {
    pub(crate) new: Option<&'a Arc<ReplicaSet>>,
    pub(crate) old: Vec<&'a Arc<ReplicaSet>>,
}

impl<'a> Split<'a> {
    pub(crate) fn of(deployment: &Deployment, owned: &'a [Arc<ReplicaSet>]) -> Self {
        let mut sorted: Vec<&Arc<ReplicaSet>> = owned.iter().collect();
        sorted.sort_by(|a, b| age_order(a).cmp(&age_order(b)));
        let template = deployment.spec.as_ref().map(|spec| &spec.template);
        let is_new = |rs: &&&Arc<ReplicaSet>| {
            let own = rs.spec.as_ref().and_then(|spec| spec.template.as_ref());
            own.zip(template)
                .is_some_and(|(own, template)| same_template(own, template))
        };
        let new = sorted.iter().find(is_new).copied();
        sorted.retain(|rs| new.is_none_or(|new| !Arc::ptr_eq(new, rs)));
        Self { new, old: sorted }
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &'a Arc<ReplicaSet>> {
        self.old.iter().copied().chain(self.new)
    }

    fn active(&self) -> Vec<&'a Arc<ReplicaSet>> {
        self.all().filter(|rs| size(rs) > 0).collect()
    }
}

fn age_order(rs: &ReplicaSet) -> (Option<Timestamp>, Option<&String>) {
    (
        rs.metadata.creation_timestamp.as_ref().map(|time| time.0),
        rs.metadata.name.as_ref(),
    )
}

/// Equality of templates but for the hash label (`EqualIgnoreHash`).
pub(crate) fn same_template(a: &PodTemplateSpec, b: &PodTemplateSpec) -> bool {
    let without_hash = |template: &PodTemplateSpec| {
        let mut template = template.clone();
        let meta = template.metadata.get_or_insert_default();
        if let Some(labels) = &mut meta.labels {
            labels.remove(TEMPLATE_HASH_LABEL);
        }
        for map in [&mut meta.labels, &mut meta.annotations] {
            if map.as_ref().is_some_and(|map| map.is_empty()) {
                *map = None;
            }
        }
        meta.creation_timestamp = None;
        template
    };
    without_hash(a) == without_hash(b)
}

/// What to do next.
pub(crate) fn plan(state: &State<'_>) -> Vec<Action> {
    let split = Split::of(state.deployment, state.owned);
    let mut step = Step {
        state,
        split,
        deployment: state.deployment.clone(),
        actions: Vec::new(),
    };
    step.run();
    step.actions
}

struct Step<'a> {
    state: &'a State<'a>,
    split: Split<'a>,
    /// Collects the new status on its way.
    deployment: Deployment,
    actions: Vec<Action>,
}

impl<'a> Step<'a> {
    fn run(&mut self) {
        if self.deployment.metadata.deletion_timestamp.is_some() {
            return self.finish(status::plain);
        }
        status::note_paused(&mut self.deployment, self.state.now);
        let paused = self
            .deployment
            .spec
            .as_ref()
            .and_then(|spec| spec.paused)
            .unwrap_or(false);
        if paused || self.is_scaling() {
            self.adopt_revision();
            self.scale();
            if paused {
                self.clean_up();
            }
            return self.finish(status::plain);
        }
        if sizes::is_rolling(&self.deployment) {
            self.roll();
        } else {
            self.recreate();
        }
        self.finish(status::rollout);
    }

    fn roll(&mut self) {
        let Some(new) = self.new_or_create() else { return };
        let wanted = replicas(&self.deployment);
        let total = self.split.all().map(|rs| size(rs)).sum();
        let target = match size(new) {
            current if current > wanted => wanted,
            current => sizes::new_size(&self.deployment, total, current),
        };
        if self.resize(new, target) {
            return;
        }
        let old: Vec<&ReplicaSet> = self.split.old.iter().map(|rs| rs.as_ref()).collect();
        let steps = sizes::shrink_old(&self.deployment, Some(new), &old);
        for step in &steps {
            self.resize(self.split.old[step.index], step.to);
        }
        if steps.is_empty() && status::is_complete(&self.deployment, self.deployment.status.as_ref()) {
            self.clean_up();
        }
    }

    /// All old pods go before the first new one comes.
    fn recreate(&mut self) {
        let active: Vec<_> = self.split.old.iter().copied().filter(|rs| size(rs) > 0).collect();
        for rs in &active {
            self.resize(rs, 0);
        }
        let old_pods = self.split.old.iter().map(|rs| actual(rs)).sum::<i32>() > 0 || self.state.old_pods_run;
        if !active.is_empty() || old_pods {
            self.adopt_revision();
            return;
        }
        let Some(new) = self.new_or_create() else { return };
        if !self.resize(new, replicas(&self.deployment))
            && status::is_complete(&self.deployment, self.deployment.status.as_ref())
        {
            self.clean_up();
        }
    }

    /// The new replica set with up-to-date annotations; when there is none it is created, and the rest waits until the
    /// informer shows it.
    fn new_or_create(&mut self) -> Option<&'a Arc<ReplicaSet>> {
        if self.split.new.is_some() {
            self.adopt_revision();
            return self.split.new;
        }
        let rs = self.build();
        let name = rs.metadata.name.clone().unwrap_or_default();
        status::note_new_replica_set(
            &mut self.deployment,
            "NewReplicaSetCreated",
            "Created new replica set",
            &name,
            self.state.now,
        );
        annotations::copy_revision(&rs.metadata, &mut self.deployment.metadata);
        self.actions.push(Action::CreateReplicaSet(Box::new(rs)));
        None
    }

    fn next_revision(&self) -> i64 {
        self.split
            .old
            .iter()
            .map(|rs| annotations::revision(&rs.metadata))
            .max()
            .unwrap_or(0)
            + 1
    }

    /// Brings revision, copied annotations and `minReadySeconds` of the new replica set up to date.
    fn adopt_revision(&mut self) {
        let Some(new) = self.split.new else { return };
        let mut rs = new.as_ref().clone();
        let mut changed =
            annotations::copy_to_replica_set(&self.deployment, &mut rs.metadata, self.next_revision(), true);
        let min_ready = self.deployment.spec.as_ref().and_then(|spec| spec.min_ready_seconds);
        if let Some(spec) = &mut rs.spec
            && spec.min_ready_seconds.unwrap_or(0) != min_ready.unwrap_or(0)
        {
            spec.min_ready_seconds = min_ready;
            changed = true;
        }
        annotations::copy_revision(&rs.metadata, &mut self.deployment.metadata);
        if changed {
            self.actions.push(Action::UpdateReplicaSet {
                rs: Box::new(rs),
                resized_from: None,
            });
        }
        let name = new.metadata.name.clone().unwrap_or_default();
        if status::progressing(&self.deployment).is_none() {
            status::note_new_replica_set(
                &mut self.deployment,
                "FoundNewReplicaSet",
                "Found new replica set",
                &name,
                self.state.now,
            );
        }
    }

    fn build(&self) -> ReplicaSet {
        let mut rs = new_replica_set(&self.deployment);
        let total = self.split.old.iter().map(|rs| size(rs)).sum();
        let initial = sizes::new_size(&self.deployment, total, 0);
        if let Some(spec) = &mut rs.spec {
            spec.replicas = Some(initial);
        }
        annotations::copy_to_replica_set(&self.deployment, &mut rs.metadata, self.next_revision(), false);
        rs
    }

    /// Gives a replica set its size and the annotations that record the deployment's. Whether the size changes.
    fn resize(&mut self, rs: &Arc<ReplicaSet>, to: i32) -> bool {
        if size(rs) == to {
            return false;
        }
        self.write_size(rs, to);
        true
    }

    fn write_size(&mut self, rs: &Arc<ReplicaSet>, to: i32) {
        // An update of the annotations may be planned already; one write carries both.
        let name = &rs.metadata.name;
        let planned = self
            .actions
            .iter()
            .position(|action| matches!(action, Action::UpdateReplicaSet { rs, .. } if &rs.metadata.name == name));
        let mut updated = match planned.map(|index| self.actions.remove(index)) {
            Some(Action::UpdateReplicaSet { rs, .. }) => *rs,
            _ => rs.as_ref().clone(),
        };
        let annotated = annotations::set_replicas(&self.deployment, &mut updated.metadata);
        if let Some(spec) = &mut updated.spec {
            spec.replicas = Some(to);
        }
        let from = size(rs);
        if annotated || from != to || planned.is_some() {
            let resized_from = (from != to).then_some(from);
            self.actions.push(Action::UpdateReplicaSet {
                rs: Box::new(updated),
                resized_from,
            });
        }
    }

    /// Whether somebody changed the size of the deployment since its replica sets were last sized (`isScalingEvent`).
    fn is_scaling(&self) -> bool {
        let wanted = replicas(&self.deployment);
        self.split
            .active()
            .iter()
            .any(|rs| desired_replicas(&rs.metadata).is_some_and(|desired| desired != wanted))
    }

    fn scale(&mut self) {
        let wanted = replicas(&self.deployment);
        let active = self.split.active();
        let single = match active.as_slice() {
            [] => self.split.new.or(self.split.old.last().copied()),
            [only] => Some(*only),
            _ => None,
        };
        if let Some(rs) = single {
            if size(rs) != wanted || desired_replicas(&rs.metadata) != Some(wanted) {
                self.write_size(rs, wanted);
            }
            return;
        }
        let saturated = self.split.new.is_some_and(|new| {
            desired_replicas(&new.metadata) == Some(wanted) && size(new) == wanted && available(new) == wanted
        });
        if saturated {
            let old: Vec<_> = self.split.old.iter().copied().filter(|rs| size(rs) > 0).collect();
            for rs in old {
                self.resize(rs, 0);
            }
            return;
        }
        if !sizes::is_rolling(&self.deployment) {
            return;
        }
        let mut sets = active;
        let growing = wanted + sizes::max_surge(&self.deployment) > sets.iter().map(|rs| size(rs)).sum::<i32>();
        sets.sort_by(|a, b| {
            let by_age = if growing {
                age_order(b).cmp(&age_order(a))
            } else {
                age_order(a).cmp(&age_order(b))
            };
            size(b).cmp(&size(a)).then(by_age)
        });
        let inputs: Vec<(&ReplicaSet, Option<i32>)> = sets
            .iter()
            .map(|rs| (rs.as_ref(), max_replicas(&rs.metadata)))
            .collect();
        for step in sizes::proportional(&self.deployment, &inputs) {
            self.write_size(sets[step.index], step.to);
        }
    }

    /// Deletes the oldest replica sets beyond `revisionHistoryLimit` (`cleanupDeployment`).
    fn clean_up(&mut self) {
        let limit = self
            .deployment
            .spec
            .as_ref()
            .and_then(|spec| spec.revision_history_limit)
            .unwrap_or(10);
        let mut kept: Vec<_> = self
            .split
            .old
            .iter()
            .copied()
            .filter(|rs| rs.metadata.deletion_timestamp.is_none())
            .collect();
        let excess = kept.len().saturating_sub(usize::try_from(limit).unwrap_or(0));
        kept.sort_by_key(|rs| annotations::revision(&rs.metadata));
        for rs in kept.into_iter().take(excess) {
            let observed = rs
                .status
                .as_ref()
                .and_then(|status| status.observed_generation)
                .unwrap_or(0);
            if actual(rs) == 0 && size(rs) == 0 && rs.metadata.generation.unwrap_or(0) <= observed {
                self.actions.push(Action::DeleteReplicaSet(rs.clone()));
            }
        }
    }

    fn finish(&mut self, compute: fn(&mut Deployment, &Split<'_>, Timestamp)) {
        compute(&mut self.deployment, &self.split, self.state.now);
        let before = self.state.deployment;
        let is_new = |status| !is_same(before.status.as_ref(), status);
        let changed = self.deployment.status.as_ref().is_some_and(is_new)
            || self.deployment.metadata.annotations != before.metadata.annotations;
        if changed {
            self.actions
                .push(Action::UpdateStatus(Box::new(self.deployment.clone())));
        }
    }
}

/// The replica set for the deployment's template, still without size and annotations.
pub(crate) fn new_replica_set(deployment: &Deployment) -> ReplicaSet {
    let spec = deployment.spec.clone().unwrap_or_default();
    let collisions = deployment.status.as_ref().and_then(|status| status.collision_count);
    let hash = hash::pod_template(&spec.template, collisions);
    let mut template = spec.template;
    let labels = template.metadata.get_or_insert_default().labels.get_or_insert_default();
    labels.insert(TEMPLATE_HASH_LABEL.to_owned(), hash.clone());
    let labels = labels.clone();
    let mut selector = spec.selector;
    selector
        .match_labels
        .get_or_insert_default()
        .insert(TEMPLATE_HASH_LABEL.to_owned(), hash.clone());
    let mut rs = ReplicaSet::default();
    rs.metadata.name = Some(format!(
        "{}-{hash}",
        deployment.metadata.name.as_deref().unwrap_or_default()
    ));
    rs.metadata.namespace = deployment.metadata.namespace.clone();
    rs.metadata.labels = Some(labels);
    rs.metadata.owner_references = Some(vec![crate::common::ownership::reference_to(deployment)]);
    rs.spec = Some(k8s_openapi::api::apps::v1::ReplicaSetSpec {
        replicas: Some(0),
        min_ready_seconds: spec.min_ready_seconds,
        selector,
        template: Some(template),
    });
    rs
}
