//! One webhook, and where they come from.

use super::super::Lookup;
use super::super::policy::compiled::Policy;
use super::GROUP;
use crate::webhook::ClientConfig;
use machinery::gvk::GroupResource;
use machinery::meta;
use machinery::selector::label::Selector;
use machinery::status::Status;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// One webhook of a configuration, ready to be called.
pub struct Hook {
    /// What tells it from all others.
    pub(super) uid: String,
    pub(super) name: String,
    pub(super) client: ClientConfig,
    pub(super) rules: Vec<Value>,
    /// Whether writes to equivalent resources concern it, too.
    pub(super) equivalent: bool,
    pub(super) namespaces: Selector,
    pub(super) objects: Selector,
    /// A policy of nothing but match conditions.
    pub(super) conditions: Option<Policy>,
    /// The versions of AdmissionReview that it understands.
    pub(super) versions: Vec<String>,
    /// Whether a failed call counts as a refusal.
    pub(super) fails: bool,
    pub(super) reinvoked: bool,
    /// What calling it does to others; empty when that is not said.
    pub(super) side_effects: String,
    pub(super) timeout: Option<Duration>,
}

impl Hook {
    /// The webhooks of a configuration whose defaults are set. `origin` tells where it is from.
    pub fn all(configuration: &Value, origin: &str) -> Vec<Arc<Hook>> {
        let name = meta::name(configuration);
        let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
        let hooks = meta::list_at(configuration, &["webhooks"]).iter();
        hooks
            .map(|hook| {
                let own = meta::str_at(hook, &["name"]).unwrap_or_default();
                let count = seen.entry(own).or_default();
                let uid = format!("{origin}{name}/{own}/{count}");
                *count += 1;
                Arc::new(Hook::of(hook, uid))
            })
            .collect()
    }

    /// What tells it from all others.
    pub fn uid(&self) -> &str {
        &self.uid
    }

    fn of(hook: &Value, uid: String) -> Hook {
        let text = |field: &str| meta::str_at(hook, &[field]).unwrap_or_default();
        let list = |field: &str| meta::list_at(hook, &[field]).to_vec();
        let name = text("name");
        let conditions = list("matchConditions");
        let compile = || {
            let spec = json!({"matchConditions": conditions, "failurePolicy": text("failurePolicy")});
            Policy::compile(&json!({"metadata": {"name": name}, "spec": spec}))
        };
        let seconds = meta::i64_at(hook, &["timeoutSeconds"]).and_then(|seconds| u64::try_from(seconds).ok());
        Hook {
            uid,
            name: name.to_owned(),
            client: ClientConfig::of(hook.get("clientConfig").unwrap_or(&Value::Null)),
            rules: list("rules"),
            equivalent: text("matchPolicy") == "Equivalent",
            namespaces: Selector::of(hook.get("namespaceSelector")),
            objects: Selector::of(hook.get("objectSelector")),
            conditions: (!conditions.is_empty()).then(compile),
            versions: list("admissionReviewVersions")
                .iter()
                .filter_map(|version| version.as_str().map(str::to_owned))
                .collect(),
            fails: text("failurePolicy") != "Ignore",
            reinvoked: text("reinvocationPolicy") == "IfNeeded",
            side_effects: text("sideEffects").to_owned(),
            timeout: seconds.map(Duration::from_secs),
        }
    }
}

/// The webhooks of configurations by name, with the revision that was read.
type Known = BTreeMap<String, (String, Vec<Arc<Hook>>)>;

/// The webhooks that objects of one kind configure. What was read from an object is kept as long as it stays the same.
pub(super) struct Source {
    plural: &'static str,
    known: Mutex<Known>,
}

impl Source {
    pub(super) fn new(plural: &'static str) -> Self {
        Source {
            plural,
            known: Mutex::default(),
        }
    }

    /// All of them, by the names of their configurations and in the order in which these list them.
    pub(super) async fn hooks(&self, lookup: &dyn Lookup) -> Result<Vec<Arc<Hook>>, Status> {
        let mut configurations = lookup.list(&GroupResource::new(GROUP, self.plural), "").await?;
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        configurations.sort_by(|a, b| meta::name(a).cmp(meta::name(b)));
        known.retain(|name, _| {
            configurations
                .iter()
                .any(|configuration| meta::name(configuration) == name)
        });
        let mut hooks = Vec::new();
        for configuration in &configurations {
            let revision = meta::str_at(configuration, &["metadata", "resourceVersion"]).unwrap_or_default();
            let found = known.entry(meta::name(configuration).to_owned()).or_default();
            if found.0 != revision || revision.is_empty() {
                *found = (revision.to_owned(), Hook::all(configuration, ""));
            }
            hooks.extend(found.1.iter().cloned());
        }
        Ok(hooks)
    }
}
