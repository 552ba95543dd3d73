//! Label selectors with upstream's meaning of "none" and "empty".

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
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
