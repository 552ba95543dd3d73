//! The owners of virtual objects, and the ledger of what the API server has acknowledged to them.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, bail};
use e2e::faulty::Dice;
use serde_json::{Value, json};

use crate::client::{Client, Outcome};
use crate::kinds::{KINDS, Kind, NAMES, NAMESPACES, VERSION};

/// Kind, namespace and name.
pub(crate) type Key = (&'static str, String, String);
/// How often an update is tried that met another one.
const TRIES: usize = 3;

pub(crate) struct Owner {
    pub(crate) client: Client,
    dice: Dice,
    versions: u64,
    /// The version that must be there, or none when the object must not.
    acknowledged: BTreeMap<Key, Option<u64>>,
    /// Objects of which a write may or may not have been done.
    uncertain: BTreeSet<Key>,
}

impl Owner {
    pub(crate) fn new(client: Client, dice: Dice) -> Self {
        Self {
            client,
            dice,
            versions: 0,
            acknowledged: BTreeMap::new(),
            uncertain: BTreeSet::new(),
        }
    }

    /// Creates, updates or deletes some object.
    pub(crate) async fn act(&mut self) -> Result<()> {
        let kind = &KINDS[self.dice.below(KINDS.len())];
        let namespace = NAMESPACES[self.dice.below(NAMESPACES.len())];
        let name = NAMES[self.dice.below(NAMES.len())];
        let key = (kind.name, namespace.to_owned(), name.to_owned());
        let collection = kind.path(namespace);
        let path = format!("{collection}/{name}");
        self.versions += 1;
        let version = self.versions;
        let wanted = kind.object(name, version);
        let (outcome, result) = match self.dice.below(5) {
            0..2 => (self.client.ask("POST", &collection, &wanted).await, Some(version)),
            2..4 => (self.update(kind, &path, &wanted).await, Some(version)),
            _ => (self.delete(&path).await, None),
        };
        match outcome {
            Outcome::Done(_) => {
                self.acknowledged.insert(key, result);
            }
            Outcome::Unknown => {
                self.uncertain.insert(key);
            }
            // It exists, is gone, has changed, or the server is busy.
            Outcome::Refused(404 | 409 | 429) => {}
            Outcome::Refused(code) => bail!("{path}: the API server refuses with {code}"),
        }
        Ok(())
    }

    async fn update(&mut self, kind: &Kind, path: &str, wanted: &Value) -> Outcome {
        let mut outcome = Outcome::Refused(404);
        for _ in 0..TRIES {
            let Some(mut object) = self.client.get(path).await.filter(|object| !is_ending(object)) else {
                return outcome;
            };
            for field in ["labels", "annotations"] {
                for (key, value) in wanted["metadata"][field].as_object().into_iter().flatten() {
                    object["metadata"][field][key] = value.clone();
                }
            }
            match kind.name {
                // Of their specs only this may change.
                "Pod" => object["spec"]["containers"][0]["image"] = wanted["spec"]["containers"][0]["image"].clone(),
                "Service" => object["spec"]["ports"][0]["port"] = wanted["spec"]["ports"][0]["port"].clone(),
                _ if kind.content_changes => {
                    for field in ["data", "stringData", "spec"] {
                        if let Some(content) = wanted.get(field) {
                            object[field] = content.clone();
                        }
                    }
                }
                _ => {}
            }
            // The resource version in it keeps it from being done after anything else.
            outcome = self.client.ask("PUT", path, &object).await;
            if outcome != Outcome::Refused(409) {
                break;
            }
        }
        outcome
    }

    async fn delete(&mut self, path: &str) -> Outcome {
        let Some(object) = self.client.get(path).await else {
            return Outcome::Refused(404);
        };
        let metadata = &object["metadata"];
        let only = json!({"uid": metadata["uid"], "resourceVersion": metadata["resourceVersion"]});
        self.client.ask("DELETE", path, &json!({"preconditions": only})).await
    }

    /// How many objects there is certainty about.
    pub(crate) fn certainties(&self) -> usize {
        let certain = self.acknowledged.keys().filter(|key| !self.uncertain.contains(*key));
        certain.count()
    }

    /// What was acknowledged and is not so, in the virtual cluster with these objects. Pods whose copies the host has removed
    /// may be gone.
    pub(crate) fn lost(&self, objects: &BTreeMap<Key, Value>, removed: &BTreeSet<Key>) -> Option<String> {
        let certain = self
            .acknowledged
            .iter()
            .filter(|(key, _)| !self.uncertain.contains(*key));
        for (key, version) in certain {
            let object = objects.get(key);
            let there = object.map(|object| version_of(object).to_owned());
            if there == version.map(|version| version.to_string()) || (there.is_none() && removed.contains(key)) {
                continue;
            }
            return Some(format!("{key:?} has version {there:?}, acknowledged was {version:?}"));
        }
        None
    }
}

pub(crate) fn is_ending(object: &Value) -> bool {
    !object["metadata"]["deletionTimestamp"].is_null()
}

pub(crate) fn version_of(object: &Value) -> &str {
    object["metadata"]["annotations"][VERSION].as_str().unwrap_or_default()
}
