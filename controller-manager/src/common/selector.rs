//! Label selectors with upstream's meaning of "none" and "empty".

use std::collections::BTreeMap;

use client::{Informer, ObjectKey, WorkQueue};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use kube::Resource;
use kube::core::{Selector, SelectorExt};

use crate::error::{Result, SyncError};

/// A selector ready to be matched.
#[derive(Clone, Debug)]
pub(crate) struct Labels(Selector);

/// Builds the selector of a workload; an unusable one is an error that names its owner.
pub(crate) fn parse(selector: &LabelSelector, owner: &str) -> Result<Labels> {
    Selector::try_from(selector.clone())
        .map(Labels)
        .map_err(|error| SyncError::Invalid(format!("the selector of {owner} is not valid: {error}")))
}

/// An empty selector would take every pod of the namespace; controllers refuse it.
pub(crate) fn is_empty(selector: &LabelSelector) -> bool {
    selector.match_labels.as_ref().is_none_or(BTreeMap::is_empty)
        && selector.match_expressions.as_ref().is_none_or(Vec::is_empty)
}

/// Queues every object whose selector takes an orphan in, so that it may adopt it. An invalid selector
/// matches nothing here; it is reported when its owner is reconciled.
pub(crate) fn queue_matching<O>(
    orphan: &ObjectMeta,
    owners: &Informer<O>,
    selector: impl Fn(&O) -> Option<&LabelSelector>,
    queue: &WorkQueue<ObjectKey>,
) where
    O: Resource<DynamicType = ()> + Send + Sync + 'static,
{
    for owner in owners.list_in(orphan.namespace.as_deref().unwrap_or_default()) {
        let labels = selector(&owner).and_then(|selector| parse(selector, "").ok());
        if labels.is_some_and(|labels| labels.matches(orphan.labels.as_ref())) {
            queue.add(ObjectKey::of(owner.meta()));
        }
    }
}

impl Labels {
    pub(crate) fn matches(&self, labels: Option<&BTreeMap<String, String>>) -> bool {
        match labels {
            Some(labels) => self.0.matches(labels),
            None => self.0.matches(&BTreeMap::new()),
        }
    }
}

/// Whether all of `wanted` is in `labels`, the meaning of a plain map selector.
pub(crate) fn includes(labels: Option<&BTreeMap<String, String>>, wanted: &BTreeMap<String, String>) -> bool {
    wanted
        .iter()
        .all(|(key, value)| labels.and_then(|labels| labels.get(key)) == Some(value))
}
