//! Who owns what: `metadata.managedFields` (apimachinery `pkg/util/managedfields/internal/managedfields.go`).

use std::collections::BTreeMap;
use std::fmt;

use serde_json::{Map, Value, json};

use super::fieldset::Set;
use crate::time;

/// More managers than this that do not apply are folded into one.
const MAX_UPDATE_MANAGERS: usize = 10;
/// The manager that old updates are folded into.
const ANCIENT: &str = "ancient-changes";

/// What tells one entry of managedFields from another.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ManagerId {
    /// The JSON form, by which upstream sorts.
    text: String,
    /// The name the client gave itself.
    pub name: String,
    /// Whether it applies, as opposed to all other ways to write.
    pub applies: bool,
    /// The version it writes; empty when it applies, for then it has one entry whatever the version.
    pub api_version: String,
    /// The subresource it writes through.
    pub subresource: String,
}

impl ManagerId {
    /// The identity of a writer.
    pub fn new(name: &str, applies: bool, api_version: &str, subresource: &str) -> Self {
        let api_version = if applies { "" } else { api_version };
        let mut text = String::from("{");
        let fields = [
            ("manager", name),
            ("operation", operation(applies)),
            ("apiVersion", api_version),
            ("subresource", subresource),
        ];
        for (field, value) in fields.into_iter().filter(|(_, value)| !value.is_empty()) {
            let comma = if text.len() > 1 { "," } else { "" };
            text.push_str(&format!("{comma}\"{field}\":{}", Value::from(value)));
        }
        text.push('}');
        ManagerId {
            text,
            name: name.to_owned(),
            applies,
            api_version: api_version.to_owned(),
            subresource: subresource.to_owned(),
        }
    }
}

fn operation(applies: bool) -> &'static str {
    if applies { "Apply" } else { "Update" }
}

impl fmt::Display for ManagerId {
    /// The form conflict messages name a manager in.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&crate::field::go_quote(&self.name))?;
        if !self.subresource.is_empty() {
            write!(f, " with subresource {}", crate::field::go_quote(&self.subresource))?;
        }
        if !self.applies {
            write!(f, " using {}", self.api_version)?;
        }
        Ok(())
    }
}

/// What one manager owns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owned {
    /// The fields.
    pub set: Set,
    /// The version in which the fields are named so.
    pub api_version: String,
    /// Whether they were applied.
    pub applied: bool,
}

/// All managers of an object.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Managed {
    /// What each one owns.
    pub fields: BTreeMap<ManagerId, Owned>,
    /// When each one last changed something.
    pub times: BTreeMap<ManagerId, String>,
}

/// Why managedFields cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreadable(String);

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Unreadable {}

/// The entries of an object; `None` when it has no such field.
fn entries(object: &Value) -> Option<&Vec<Value>> {
    object.get("metadata")?.get("managedFields")?.as_array()
}

/// Removes the field from an object.
pub fn strip(object: &mut Value) {
    if let Some(Value::Object(metadata)) = object.get_mut("metadata") {
        metadata.remove("managedFields");
    }
}

/// Whether the object asks to forget all owners: by an empty list or a single empty entry.
pub(super) fn asks_for_reset(object: &Value) -> bool {
    entries(object).is_some_and(|entries| match entries.as_slice() {
        [] => true,
        [one] => one.as_object().is_some_and(Map::is_empty),
        _ => false,
    })
}

impl Managed {
    /// Reads the managers of an object.
    ///
    /// # Errors
    /// When an entry lacks something or its fields cannot be read.
    pub fn decode(object: &Value) -> Result<Self, Unreadable> {
        let mut managed = Managed::default();
        for (i, entry) in entries(object).into_iter().flatten().enumerate() {
            let text = |name: &str| entry.get(name).and_then(Value::as_str).unwrap_or_default();
            let applies = match text("operation") {
                "Apply" => true,
                "Update" => false,
                _ => return Err(Unreadable("operation must be `Apply` or `Update`".to_owned())),
            };
            let api_version = text("apiVersion");
            if api_version.is_empty() {
                return Err(Unreadable("apiVersion must not be empty".to_owned()));
            }
            match text("fieldsType") {
                "FieldsV1" => {}
                "" => return Err(Unreadable(format!("missing fieldsType in managed fields entry {i}"))),
                other => {
                    let other = crate::field::go_quote(other);
                    return Err(Unreadable(format!(
                        "invalid fieldsType {other} in managed fields entry {i}"
                    )));
                }
            }
            let set = match entry.get("fieldsV1") {
                None => Set::default(),
                Some(fields) => Set::from_json(fields).map_err(|e| Unreadable(format!("error decoding set: {e}")))?,
            };
            let id = ManagerId::new(text("manager"), applies, api_version, text("subresource"));
            if let Some(time) = entry.get("time").and_then(Value::as_str) {
                managed.times.insert(id.clone(), time.to_owned());
            }
            managed.fields.insert(
                id,
                Owned {
                    set,
                    api_version: api_version.to_owned(),
                    applied: applies,
                },
            );
        }
        Ok(managed)
    }

    /// The entries in upstream's order: applied ones first, then by time and name.
    pub fn encode(&self) -> Vec<Value> {
        let mut order: Vec<(&ManagerId, &Owned)> = self.fields.iter().collect();
        order.sort_by_key(|(id, owned)| {
            (
                !owned.applied,
                self.seconds(id),
                &id.name,
                &owned.api_version,
                &id.subresource,
            )
        });
        let entry = |(id, owned): (&ManagerId, &Owned)| {
            let mut entry = Map::new();
            entry.insert("apiVersion".to_owned(), json!(owned.api_version));
            entry.insert("fieldsType".to_owned(), json!("FieldsV1"));
            entry.insert("fieldsV1".to_owned(), owned.set.to_json());
            entry.insert("operation".to_owned(), json!(operation(owned.applied || id.applies)));
            if !id.name.is_empty() {
                entry.insert("manager".to_owned(), json!(id.name));
            }
            if !id.subresource.is_empty() {
                entry.insert("subresource".to_owned(), json!(id.subresource));
            }
            if let Some(time) = self.times.get(id) {
                entry.insert("time".to_owned(), json!(time));
            }
            Value::Object(entry)
        };
        order.into_iter().map(entry).collect()
    }

    /// Writes the managers into an object.
    pub fn write(&self, object: &mut Value) {
        strip(object);
        if !self.fields.is_empty() {
            crate::meta::set(object, &["metadata", "managedFields"], self.encode());
        }
    }

    fn seconds(&self, id: &ManagerId) -> i64 {
        self.times
            .get(id)
            .and_then(|text| time::parse(text))
            .map_or(0, |time| time.as_second())
    }

    /// Folds the oldest managers that do not apply into one, so that an object never has more than ten of them
    /// (apimachinery `capmanagers.go`).
    pub(super) fn cap(&mut self) {
        let mut updaters: Vec<ManagerId> = self
            .fields
            .iter()
            .filter(|(_, owned)| !owned.applied)
            .map(|(id, _)| id.clone())
            .collect();
        let mut count = updaters.len();
        if count <= MAX_UPDATE_MANAGERS {
            return;
        }
        updaters.sort_by_key(|id| (self.seconds(id), id.text.clone()));
        let mut first_of_version = BTreeMap::<String, ManagerId>::new();
        for id in updaters {
            if count <= MAX_UPDATE_MANAGERS {
                return;
            }
            let Some(version) = self.fields.get(&id).map(|owned| owned.api_version.clone()) else {
                continue;
            };
            let Some(first) = first_of_version.get(&version) else {
                first_of_version.insert(version, id);
                continue;
            };
            let bucket = ManagerId::new(ANCIENT, false, &version, "");
            if !self.fields.contains_key(&bucket)
                && let Some(owned) = self.fields.remove(first)
            {
                self.fields.insert(bucket.clone(), owned);
            }
            if let Some(folded) = self.fields.remove(&id) {
                match self.fields.get_mut(&bucket) {
                    Some(owned) => owned.set.extend(&folded.set),
                    None => {
                        self.fields.insert(bucket.clone(), folded);
                    }
                }
            }
            count -= 1;
            match self.times.get(&id).cloned() {
                Some(time) => self.times.insert(bucket, time),
                None => self.times.remove(&bucket),
            };
        }
    }
}

/// Puts the times of `old` back into `new` when nothing but times has changed, so that writing the same again is no
/// write (apiserver `handlers/fieldmanager/equality.go`).
pub fn keep_times(old: &Value, new: &mut Value) {
    let (Some(before), Some(after)) = (entries(old), entries(new)) else {
        return;
    };
    if before.is_empty() || before.len() != after.len() || before == after {
        return;
    }
    let mut restored = new.clone();
    let times: Vec<Option<Value>> = before.iter().map(|entry| entry.get("time").cloned()).collect();
    let Some(Value::Array(entries)) = restored.pointer_mut("/metadata/managedFields") else {
        return;
    };
    for (entry, time) in entries.iter_mut().zip(times) {
        let Some(entry) = entry.as_object_mut() else { return };
        match time {
            Some(time) => entry.insert("time".to_owned(), time),
            None => entry.remove("time"),
        };
    }
    if restored == *old {
        *new = restored;
    }
}
