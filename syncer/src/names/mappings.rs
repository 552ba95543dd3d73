//! Pairs of virtual and host names, and who refers to whom: what decides whether a ConfigMap or Secret is in use.
//!
//! The state lives here; [`super::MappingStore`] carries it to the virtual cluster's own store and back.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::Names;
use crate::kinds::Kind;
use crate::object::ObjectKey;

/// Prefix of every record in the store.
pub(super) const PREFIX: &str = "/vcluster/mappings/";

/// A virtual object, by kind and name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reference {
    /// Its kind.
    pub kind: Kind,
    /// Its virtual name.
    pub key: ObjectKey,
}

impl Reference {
    /// A reference from its parts.
    pub fn new(kind: Kind, namespace: &str, name: &str) -> Self {
        Self {
            kind,
            key: ObjectKey::new(namespace, name),
        }
    }

    /// The key of its record in the store, as in `/vcluster/mappings/v1/pod/default/nginx`.
    pub fn store_key(&self) -> String {
        format!(
            "{PREFIX}{}/{}/{}",
            self.kind.api_version(),
            self.kind.name().to_lowercase(),
            self.key
        )
    }
}

impl std::fmt::Display for Reference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.kind, self.key)
    }
}

/// What is known about one virtual object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mapping {
    /// Its name on the host.
    pub host: ObjectKey,
    /// What it refers to, with the host name of each.
    pub references: BTreeMap<Reference, ObjectKey>,
}

/// All mappings of a virtual cluster.
#[derive(Debug, Default)]
pub struct Mappings {
    mappings: BTreeMap<Reference, Mapping>,
    referrers: BTreeMap<Reference, BTreeSet<Reference>>,
    /// Records that differ from the store.
    dirty: BTreeSet<Reference>,
}

impl Mappings {
    /// The host name that was recorded for a virtual object.
    pub fn host_name(&self, owner: &Reference) -> Option<&ObjectKey> {
        self.mappings.get(owner).map(|mapping| &mapping.host)
    }

    /// Whether any object refers to this one.
    pub fn is_referenced(&self, target: &Reference) -> bool {
        self.referrers.contains_key(target)
    }

    /// The objects that refer to this one.
    pub fn referrers(&self, target: &Reference) -> Vec<Reference> {
        self.referrers
            .get(target)
            .map(|owners| owners.iter().cloned().collect())
            .unwrap_or_default()
    }

    /// All mappings, in order of kind and name.
    pub fn iter(&self) -> impl Iterator<Item = (&Reference, &Mapping)> {
        self.mappings.iter()
    }

    /// Records a pair and what the virtual object refers to; returns the references that are new or gone.
    pub fn record(&mut self, owner: &Reference, mapping: Mapping) -> Vec<Reference> {
        if self.mappings.get(owner) == Some(&mapping) {
            return Vec::new();
        }
        let old = self.mappings.insert(owner.clone(), mapping.clone()).unwrap_or_default();
        self.dirty.insert(owner.clone());
        let mut changed = Vec::new();
        for target in mapping
            .references
            .keys()
            .filter(|target| !old.references.contains_key(*target))
        {
            self.referrers.entry(target.clone()).or_default().insert(owner.clone());
            changed.push(target.clone());
        }
        for target in old
            .references
            .keys()
            .filter(|target| !mapping.references.contains_key(*target))
        {
            self.drop_referrer(target, owner);
            changed.push(target.clone());
        }
        changed
    }

    /// Forgets an object that exists on neither side; returns what it referred to.
    pub fn forget(&mut self, owner: &Reference) -> Vec<Reference> {
        let Some(mapping) = self.mappings.remove(owner) else {
            return Vec::new();
        };
        self.dirty.insert(owner.clone());
        for target in mapping.references.keys() {
            self.drop_referrer(target, owner);
        }
        mapping.references.into_keys().collect()
    }

    fn drop_referrer(&mut self, target: &Reference, owner: &Reference) {
        if let Some(owners) = self.referrers.get_mut(target) {
            owners.remove(owner);
            if owners.is_empty() {
                self.referrers.remove(target);
            }
        }
    }

    /// Takes the records that have to be written: the key, and the value or `None` for a deletion.
    pub fn take_dirty(&mut self, sender: &str, limit: usize) -> Vec<(Reference, Option<Vec<u8>>)> {
        let mut taken = Vec::new();
        while taken.len() < limit
            && let Some(owner) = self.dirty.pop_first()
        {
            let value = self
                .mappings
                .get(&owner)
                .map(|mapping| Record::of(&owner, mapping, sender).encode());
            taken.push((owner, value));
        }
        taken
    }

    /// Puts records back that could not be written.
    pub fn mark_dirty(&mut self, owners: impl IntoIterator<Item = Reference>) {
        self.dirty.extend(owners);
    }

    /// Takes over a record from the store. Records of kinds that are not known, or that cannot be read, are left alone, and so
    /// are those of another host namespace: the store of one virtual cluster may have been restored into another one.
    pub fn load(&mut self, value: &[u8], kinds: &[Kind], names: &Names) -> bool {
        let Some((owner, mut mapping)) = Record::decode(value, kinds) else {
            return false;
        };
        if !names.can_be(&owner, &mapping.host) {
            return false;
        }
        mapping.references.retain(|target, host| names.can_be(target, host));
        self.record(&owner, mapping);
        self.dirty.remove(&owner);
        true
    }
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct NameRecord {
    #[serde(default)]
    namespace: String,
    #[serde(default)]
    name: String,
}

impl From<&ObjectKey> for NameRecord {
    fn from(key: &ObjectKey) -> Self {
        Self {
            namespace: key.namespace.clone(),
            name: key.name.clone(),
        }
    }
}

impl From<NameRecord> for ObjectKey {
    fn from(record: NameRecord) -> Self {
        Self {
            namespace: record.namespace,
            name: record.name,
        }
    }
}

/// The stored form; the capitals are part of the format.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Record {
    group: String,
    version: String,
    kind: String,
    virtual_name: NameRecord,
    host_name: NameRecord,
    #[serde(rename = "sender", default, skip_serializing_if = "String::is_empty")]
    sender: String,
    #[serde(rename = "references", default, skip_serializing_if = "Vec::is_empty")]
    references: Vec<Record>,
}

impl Record {
    fn pair(owner: &Reference, host: &ObjectKey) -> Self {
        Self {
            group: owner.kind.group().to_owned(),
            version: owner.kind.version().to_owned(),
            kind: owner.kind.name().to_owned(),
            virtual_name: (&owner.key).into(),
            host_name: host.into(),
            sender: String::new(),
            references: Vec::new(),
        }
    }

    fn of(owner: &Reference, mapping: &Mapping, sender: &str) -> Self {
        Self {
            sender: sender.to_owned(),
            references: mapping
                .references
                .iter()
                .map(|(target, host)| Self::pair(target, host))
                .collect(),
            ..Self::pair(owner, &mapping.host)
        }
    }

    fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    fn decode(value: &[u8], kinds: &[Kind]) -> Option<(Reference, Mapping)> {
        let record: Record = serde_json::from_slice(value).ok()?;
        let references = record.references.into_iter();
        let references = references.filter_map(|record| record.into_pair(kinds)).collect();
        let owner = Reference {
            kind: kind(kinds, &record.group, &record.kind)?,
            key: record.virtual_name.into(),
        };
        Some((
            owner,
            Mapping {
                host: record.host_name.into(),
                references,
            },
        ))
    }

    fn into_pair(self, kinds: &[Kind]) -> Option<(Reference, ObjectKey)> {
        let kind = kind(kinds, &self.group, &self.kind)?;
        Some((
            Reference {
                kind,
                key: self.virtual_name.into(),
            },
            self.host_name.into(),
        ))
    }
}

fn kind(kinds: &[Kind], group: &str, name: &str) -> Option<Kind> {
    let named = |kind: &&Kind| kind.group() == group && kind.name().eq_ignore_ascii_case(name);
    kinds.iter().find(named).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(name: &str) -> Reference {
        Reference::new(Kind::Pod, "team", name)
    }

    fn secret(name: &str) -> Reference {
        Reference::new(Kind::Secret, "team", name)
    }

    fn mapping(name: &str, secrets: &[&str]) -> Mapping {
        let host = |name: &str| ObjectKey::new("host", &format!("{name}-x-team-x-vc"));
        Mapping {
            host: host(name),
            references: secrets.iter().map(|name| (secret(name), host(name))).collect(),
        }
    }

    #[test]
    fn references_are_counted_by_owner() {
        let mut mappings = Mappings::default();
        assert_eq!(
            mappings.record(&pod("a"), mapping("a", &["s", "t"])),
            [secret("s"), secret("t")]
        );
        assert_eq!(mappings.record(&pod("b"), mapping("b", &["s"])), [secret("s")]);
        assert!(mappings.record(&pod("b"), mapping("b", &["s"])).is_empty());
        assert_eq!(mappings.record(&pod("a"), mapping("a", &["s"])), [secret("t")]);
        assert!(!mappings.is_referenced(&secret("t")));
        assert_eq!(mappings.forget(&pod("a")), [secret("s")]);
        assert_eq!(mappings.referrers(&secret("s")), [pod("b")]);
        mappings.forget(&pod("b"));
        assert!(!mappings.is_referenced(&secret("s")));
    }

    #[test]
    fn records_have_the_stored_format_and_read_back() {
        let mut mappings = Mappings::default();
        mappings.record(&pod("nginx"), mapping("nginx", &["s"]));
        let written = mappings.take_dirty("me", 10);
        assert_eq!(written[0].0.store_key(), "/vcluster/mappings/v1/pod/team/nginx");
        let value = written[0].1.clone().expect("a value");
        let json: serde_json::Value = serde_json::from_slice(&value).expect("JSON");
        assert_eq!(
            json,
            serde_json::json!({
                "Group": "", "Version": "v1", "Kind": "Pod",
                "VirtualName": {"Namespace": "team", "Name": "nginx"},
                "HostName": {"Namespace": "host", "Name": "nginx-x-team-x-vc"},
                "sender": "me",
                "references": [{
                    "Group": "", "Version": "v1", "Kind": "Secret",
                    "VirtualName": {"Namespace": "team", "Name": "s"},
                    "HostName": {"Namespace": "host", "Name": "s-x-team-x-vc"},
                }],
            })
        );
        let mut restarted = Mappings::default();
        assert!(
            !restarted.load(&value, &Kind::ALL, &Names::new("vc", "another")),
            "a record of another namespace"
        );
        assert!(restarted.load(&value, &Kind::ALL, &Names::new("vc", "host")));
        assert!(restarted.is_referenced(&secret("s")));
        assert!(restarted.take_dirty("me", 10).is_empty());
        restarted.forget(&pod("nginx"));
        assert_eq!(restarted.take_dirty("me", 10), [(pod("nginx"), None)]);
    }

    #[test]
    fn foreign_records_are_left_alone() {
        let mut mappings = Mappings::default();
        let job = br#"{"Group":"batch","Version":"v1","Kind":"Job","VirtualName":{"Name":"a"},"HostName":{}}"#;
        for value in [&job[..], b"not JSON", b"{}", b"[]"] {
            assert!(!mappings.load(value, &Kind::ALL, &Names::new("vc", "host")));
        }
        assert_eq!(mappings.iter().count(), 0);
    }
}
