//! The core of server-side apply: how a write changes who owns what (structured-merge-diff `merge/update.go`).

use std::collections::BTreeMap;

use serde_json::Value;

use super::compare::{Comparison, compare};
use super::conflict::Error;
use super::fieldset::Set;
use super::managed::{ManagerId, Owned};
use super::merge::{merge, remove};
use super::reconcile::reconcile;
use super::value::equal;
use super::view::View;
use super::walk::{to_set, validate, with_named_fields};
use super::{Version, Versions};

pub(super) type Managers = BTreeMap<ManagerId, Owned>;

/// An object with the version it is in.
#[derive(Clone)]
struct Typed<'a> {
    value: Value,
    version: Version<'a>,
}

impl Typed<'_> {
    fn view(&self) -> View<'_> {
        self.version.view()
    }

    fn set(&self) -> Set {
        to_set(&self.value, self.view())
    }

    fn named(&self, set: &Set) -> Set {
        with_named_fields(set, self.view())
    }

    fn without(&self, set: &Set) -> Self {
        Typed {
            value: remove(&self.value, set, self.view()),
            version: self.version.clone(),
        }
    }
}

/// Changes ownership in the light of the versions an object can be in.
pub(super) struct Updater<'a> {
    pub(super) versions: &'a dyn Versions,
    /// The version of the request.
    pub(super) version: Version<'a>,
}

impl<'a> Updater<'a> {
    fn typed(&self, value: &Value) -> Typed<'a> {
        Typed {
            value: value.clone(),
            version: self.version.clone(),
        }
    }

    /// The object in another version; `None` when that version is not known.
    fn convert(&self, object: &Typed<'a>, api_version: &str) -> Result<Option<Typed<'a>>, String> {
        if object.version.api_version == api_version {
            return Ok(Some(object.clone()));
        }
        let value = self.versions.convert(&object.value, api_version)?;
        let Some((value, version)) = value.zip(self.versions.version(api_version)) else {
            return Ok(None);
        };
        if self.versions.may_misfit() {
            validate(&value, version.view()).map_err(|mismatches| mismatches.to_string())?;
        }
        Ok(Some(Typed { value, version }))
    }

    /// Records a write that is not an apply: `manager` owns what it changed, nobody else does any more.
    ///
    /// # Errors
    /// When the object has no form in the version of another manager.
    pub(super) fn update(
        &self,
        live: &Value,
        new: &Value,
        managers: Managers,
        manager: &ManagerId,
    ) -> Result<Managers, Error> {
        let (live, new) = (self.typed(live), self.typed(new));
        let managers = self.reconcile(&live, managers).map_err(Error::Failed)?;
        let (mut managers, change) = self.disown(&live, &new, managers, manager, true)?;
        let own = managers.remove(manager).map(|owned| owned.set).unwrap_or_default();
        let set = own
            .difference(&change.removed)
            .union(&change.modified)
            .union(&change.added);
        let set = self.kept(set);
        if !set.is_empty() {
            managers.insert(manager.clone(), self.owned(set, false));
        }
        Ok(managers)
    }

    /// Merges a configuration into the live object. The object is `None` when that changes nothing.
    pub(super) fn apply(
        &self,
        live: &Value,
        config: &Value,
        managers: Managers,
        manager: &ManagerId,
        force: bool,
    ) -> Result<(Option<Value>, Managers), Error> {
        let (live, config) = (self.typed(live), self.typed(config));
        let mut managers = self.reconcile(&live, managers).map_err(Error::Failed)?;
        let merged = merge(&live.value, &config.value, self.version.view())
            .map_err(|why| Error::Failed(format!("failed to merge config: {why}")))?;
        let merged = Typed {
            value: merged,
            version: self.version.clone(),
        };
        let last = managers.insert(manager.clone(), self.owned(self.kept(config.set()), true));
        let new = self.prune(merged, &managers, last);
        let new = new.map_err(|why| Error::Failed(format!("failed to prune fields: {why}")))?;
        let (managers, _) = self.disown(&live, &new, managers, manager, force)?;
        let changed = !equal(&live.value, &new.value);
        Ok((changed.then_some(new.value), managers))
    }

    fn owned(&self, set: Set, applied: bool) -> Owned {
        Owned {
            set,
            api_version: self.version.api_version.clone(),
            applied,
        }
    }

    /// A set without the fields that the resource's strategy resets on every write.
    fn kept(&self, set: Set) -> Set {
        match self.version.reset {
            Some(reset) => set.recursive_difference(reset),
            None => set,
        }
    }

    /// Takes from the other managers what a write changes or removes.
    fn disown(
        &self,
        live: &Typed<'a>,
        new: &Typed<'a>,
        mut managers: Managers,
        manager: &ManagerId,
        force: bool,
    ) -> Result<(Managers, Comparison), Error> {
        let change = |live: &Typed<'a>, new: &Typed<'a>| {
            compare(&live.value, &new.value, live.view()).without(live.version.reset)
        };
        let own_change = change(live, new);
        let mut changes = BTreeMap::<String, Option<Comparison>>::new();
        changes.insert(self.version.api_version.clone(), Some(own_change.clone()));
        let mut conflicts = BTreeMap::new();
        let converted = |what: &str, object: &Typed<'a>, version: &str| {
            let failed = |why| Error::Failed(format!("failed to convert {what} object: {why}"));
            self.convert(object, version).map_err(failed)
        };
        for (other, owned) in managers.iter().filter(|(other, _)| *other != manager) {
            let version = &owned.api_version;
            if !changes.contains_key(version) {
                let seen = match converted("old", live, version)? {
                    Some(live) => converted("new", new, version)?.map(|new| change(&live, &new)),
                    None => None,
                };
                changes.insert(version.clone(), seen);
            }
            let Some(change) = changes.get(version).and_then(Option::as_ref) else {
                continue;
            };
            let conflict = owned.set.intersection(&change.modified.union(&change.added));
            if !conflict.is_empty() {
                conflicts.insert(other.clone(), conflict);
            }
        }
        if !force && !conflicts.is_empty() {
            return Err(Error::conflicts(&conflicts));
        }
        managers.retain(|other, owned| {
            if other != manager {
                // A version that is gone takes its managers along.
                let Some(change) = changes.get(&owned.api_version).and_then(Option::as_ref) else {
                    return false;
                };
                if let Some(conflict) = conflicts.get(other) {
                    owned.set = owned.set.difference(conflict);
                }
                owned.set = owned.set.difference(&change.removed);
            }
            !owned.set.is_empty()
        });
        Ok((managers, own_change))
    }

    /// Removes what the manager applied last time and not any more, unless somebody else owns it.
    fn prune(&self, merged: Typed<'a>, managers: &Managers, last: Option<Owned>) -> Result<Typed<'a>, String> {
        let Some(last) = last.filter(|last| !last.set.is_empty()) else {
            return Ok(merged);
        };
        let converted = self.convert(&merged, &last.api_version);
        let converted =
            converted.map_err(|why| format!("failed to convert merged object to last applied version: {why}"))?;
        let Some(converted) = converted else {
            return Ok(merged);
        };
        let pruned = converted.without(&converted.named(&last.set));
        let pruned = self.add_back_owned(converted.clone(), pruned, managers, &last.api_version);
        let pruned = pruned.map_err(|why| format!("failed add back owned items: {why}"))?;
        let pruned = self.add_back_dangling(&converted, pruned, &last);
        let pruned = pruned.map_err(|why| format!("failed add back dangling items: {why}"))?;
        Ok(self.convert(&pruned, &self.version.api_version)?.unwrap_or(merged))
    }

    /// Puts back what any manager owns.
    fn add_back_owned(
        &self,
        mut merged: Typed<'a>,
        mut pruned: Typed<'a>,
        managers: &Managers,
        first: &str,
    ) -> Result<Typed<'a>, String> {
        let mut by_version = BTreeMap::<&str, Set>::new();
        for owned in managers.values() {
            by_version.entry(&owned.api_version).or_default().extend(&owned.set);
        }
        // The pruned version comes first, so that nothing is missing that a conversion needs.
        let at_first = by_version.remove(first).map(|set| (first, set));
        for (version, managed) in at_first.into_iter().chain(by_version) {
            let convert = |what: &str, object: &Typed<'a>| {
                let failed = |why| format!("failed to convert {what} object at version {version}: {why}");
                self.convert(object, version).map_err(failed)
            };
            let (Some(m), Some(p)) = (convert("merged", &merged)?, convert("pruned", &pruned)?) else {
                continue;
            };
            let keep = p.named(&p.set()).union(&m.named(&managed));
            pruned = m.without(&m.named(&m.set()).difference(&keep));
            merged = m;
        }
        Ok(pruned)
    }

    /// Puts back what the manager had not owned before, whoever does.
    fn add_back_dangling(&self, merged: &Typed<'a>, pruned: Typed<'a>, last: &Owned) -> Result<Typed<'a>, String> {
        let pruned = self.convert(&pruned, &last.api_version);
        let pruned = pruned.map_err(|why| format!("failed to convert pruned object to last applied version: {why}"))?;
        let Some(pruned) = pruned else {
            return Ok(merged.clone());
        };
        let gone = merged.named(&merged.set()).difference(&merged.named(&pruned.set()));
        Ok(merged.without(&gone.intersection(&merged.named(&last.set))))
    }

    /// Adapts sets to what has changed in the schema since they were written.
    fn reconcile(&self, live: &Typed<'a>, managers: Managers) -> Result<Managers, String> {
        let adapt = |(manager, mut owned): (ManagerId, Owned)| {
            let Some(converted) = self.convert(live, &owned.api_version)? else {
                return Ok(None);
            };
            if let Some(set) = reconcile(&owned.set, converted.view()) {
                owned.set = set;
            }
            Ok(Some((manager, owned)))
        };
        managers
            .into_iter()
            .filter_map(|each| adapt(each).transpose())
            .collect()
    }
}
