//! Who owns which fields: managedFields on every write (apimachinery `pkg/util/managedfields`).

use super::codec;
use super::request::Request;
use super::resource::{Action, Resource};
use super::structure::Structure;
use machinery::apply::{Applied, FieldManager, Set, Version, Versions};
use machinery::gvk::GroupVersionKind;
use machinery::meta;
use machinery::schema::Type;
use machinery::status::Status;
use serde_json::Value;
use std::sync::Arc;

/// The rules of ownership for writes through one resource or subresource.
pub struct Managers {
    kind: GroupVersionKind,
    subresource: &'static str,
    versions: Served,
}

/// The versions in which a kind is served.
struct Served(Vec<ServedVersion>);

struct ServedVersion {
    api_version: String,
    seen: Seen,
    reset: Set,
}

/// What owners are kept of.
enum Seen {
    /// The objects of a resource.
    Object(Arc<Resource>),
    /// Kinds that exist only as a view of another, such as Scale.
    View(&'static Type),
}

impl ServedVersion {
    fn resource(&self) -> Option<&Arc<Resource>> {
        match &self.seen {
            Seen::Object(resource) => Some(resource),
            Seen::View(_) => None,
        }
    }
}

impl Versions for Served {
    fn version(&self, api_version: &str) -> Option<Version<'_>> {
        let Some(found) = self.0.iter().find(|version| version.api_version == api_version) else {
            let (beside, structure) = self.custom()?;
            return Some(Version {
                api_version: api_version.to_owned(),
                ty: Some(structure.ty_in(api_version)?),
                reset: Some(&beside.reset),
            });
        };
        Some(Version {
            api_version: found.api_version.clone(),
            ty: match &found.seen {
                Seen::Object(resource) => resource.ty().ok(),
                Seen::View(ty) => Some(ty),
            },
            reset: Some(&found.reset),
        })
    }

    fn convert(&self, object: &Value, api_version: &str) -> Result<Option<Value>, String> {
        match self.custom() {
            Some((_, structure)) => structure.convert(object, api_version).map(Some),
            None => Ok(self.converted(object, api_version)),
        }
    }

    fn may_misfit(&self) -> bool {
        self.custom().is_some_and(|(_, structure)| structure.renames())
    }
}

impl Served {
    /// What is known of a kind that is defined at run time.
    fn custom(&self) -> Option<(&ServedVersion, &dyn Structure)> {
        let structure = |version: &'_ ServedVersion| version.resource().is_some_and(|r| r.structure().is_some());
        let found = self.0.iter().find(|version| structure(version))?;
        Some((found, found.resource()?.structure()?))
    }

    /// An object of a built-in kind in another version.
    fn converted(&self, object: &Value, api_version: &str) -> Option<Value> {
        let own = object.get("apiVersion").and_then(Value::as_str).unwrap_or(api_version);
        let find = |name: &str| self.0.iter().find(|version| version.api_version == name);
        let (from, to) = (find(own)?, find(api_version)?);
        if own == api_version {
            return Some(object.clone());
        }
        let (from, to) = (from.resource()?, to.resource()?);
        let mut converted = object.clone();
        if let Some((_, conversion)) = &from.storage {
            converted = (conversion.to_storage)(converted);
        }
        if let Some((_, conversion)) = &to.storage {
            converted = (conversion.from_storage)(converted);
        }
        codec::set_kind(&mut converted, &to.gvk);
        Some(converted)
    }
}

fn reset_set(fields: &[&'static str]) -> Set {
    let paths: Vec<Vec<&str>> = fields.iter().map(|field| field.split('.').collect()).collect();
    let paths: Vec<&[&str]> = paths.iter().map(Vec::as_slice).collect();
    Set::of_fields(&paths)
}

/// The object as its managers see it, which upstream converts from its internal version. Returns whether it differs.
fn as_converted(resource: &Resource, object: &mut Value) -> bool {
    let mut differs = resource.strategy.anticipate(object);
    if let Some((_, conversion)) = &resource.storage {
        *object = (conversion.from_storage)((conversion.to_storage)(std::mem::take(object)));
        codec::set_kind(object, &resource.gvk);
        differs = true;
    }
    differs
}

impl Managers {
    /// The rules for writes to the objects of a kind through a subresource; empty for the object itself. `versions` are
    /// all in which it is served.
    ///
    /// # Errors
    /// 500 for a kind that has no schema.
    pub fn of(kind: &GroupVersionKind, versions: &[Arc<Resource>], subresource: &'static str) -> Result<Self, Status> {
        let version = |resource: &Arc<Resource>| {
            let strategy = match resource.subresource(subresource).map(|s| &s.action) {
                Some(Action::Object(strategy)) => strategy,
                _ => &resource.strategy,
            };
            Ok(ServedVersion {
                api_version: resource.gvk.api_version(),
                seen: resource.ty().map(|_| Seen::Object(resource.clone()))?,
                reset: reset_set(strategy.reset_fields()),
            })
        };
        let versions: Result<Vec<_>, Status> = versions.iter().map(version).collect();
        Ok(Managers {
            kind: kind.clone(),
            subresource,
            versions: Served(versions?),
        })
    }

    /// The rules for a subresource of a kind of its own, such as Scale.
    ///
    /// # Errors
    /// 500 for a kind that has no schema.
    pub fn of_view(kind: &GroupVersionKind, subresource: &'static str) -> Result<Self, Status> {
        let version = ServedVersion {
            api_version: kind.api_version(),
            seen: Seen::View(codec::type_of(kind)?),
            reset: Set::default(),
        };
        Ok(Managers {
            kind: kind.clone(),
            subresource,
            versions: Served(vec![version]),
        })
    }

    fn with<T>(&self, rq: &Request<'_>, f: impl FnOnce(&FieldManager<'_>) -> T) -> T {
        let now = rq.now_text();
        f(&FieldManager {
            kind: self.kind.clone(),
            subresource: self.subresource,
            versions: &self.versions,
            now: &now,
        })
    }

    /// Records a write that is not an apply in the new object.
    pub fn update(&self, rq: &Request<'_>, live: Option<&Value>, new: &mut Value, manager: &str) {
        let mut seen = new.clone();
        if !self.own().is_some_and(|resource| as_converted(resource, &mut seen)) {
            let object = std::mem::take(new);
            *new = self.with(rq, |managers| managers.update(live, object, manager));
            return;
        }
        let mut seen = self.with(rq, |managers| managers.update(live, seen, manager));
        meta::remove(new, &["metadata", "managedFields"]);
        if let Some(managed) = meta::remove(&mut seen, &["metadata", "managedFields"]) {
            meta::set(new, &["metadata", "managedFields"], managed);
        }
    }

    /// The resource in the version of the request.
    fn own(&self) -> Option<&Resource> {
        let own = self
            .versions
            .0
            .iter()
            .find(|version| version.api_version == self.kind.api_version())?;
        own.resource().map(AsRef::as_ref)
    }

    /// Merges a configuration into the live object, or makes a new one of it.
    ///
    /// # Errors
    /// When the configuration is of another kind, does not fit the schema or conflicts with other managers.
    pub fn apply(
        &self,
        rq: &Request<'_>,
        live: Option<&Value>,
        config: &Value,
        manager: &str,
        force: bool,
    ) -> Result<Applied, Status> {
        self.with(rq, |managers| managers.apply(live, config, manager, force))
            .map_err(Status::from)
    }
}
