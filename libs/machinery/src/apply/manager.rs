//! The field manager: what each kind of write does to `metadata.managedFields`
//! (apimachinery `pkg/util/managedfields/internal`, the chain in `fieldmanager.go`).

use serde_json::{Value, json};

use super::conflict::Error;
use super::fieldset::Set;
use super::managed::{self, Managed, ManagerId};
use super::update::Updater;
use super::walk::{fits, validate};
use super::{Versions, last_applied};
use crate::gvk::{GroupVersion, GroupVersionKind};
use crate::meta;
use crate::schema::empty;

/// The manager that owns what was there before the first apply.
const BEFORE_FIRST_APPLY: &str = "before-first-apply";

/// The metadata that belongs to the server and to nobody else.
const SERVER_OWNED: &[&[&str]] = &[
    &["apiVersion"],
    &["kind"],
    &["metadata"],
    &["metadata", "name"],
    &["metadata", "namespace"],
    &["metadata", "creationTimestamp"],
    &["metadata", "selfLink"],
    &["metadata", "uid"],
    &["metadata", "clusterName"],
    &["metadata", "generation"],
    &["metadata", "managedFields"],
    &["metadata", "resourceVersion"],
];

/// Keeps the owners of one kind of object for writes through one endpoint.
pub struct FieldManager<'a> {
    /// The kind in the version of the request.
    pub kind: GroupVersionKind,
    /// The subresource; empty for the object itself.
    pub subresource: &'a str,
    /// The versions the kind is served in; the one of the request must be among them.
    pub versions: &'a dyn Versions,
    /// The time of the write, as `metav1.Time`.
    pub now: &'a str,
}

/// The outcome of an apply.
#[derive(Debug, Clone, PartialEq)]
pub struct Applied {
    /// The object with its new owners. It is merged but neither decoded nor defaulted.
    pub object: Value,
    /// Whether the configuration changed anything but owners; if not, `object` needs no defaulting.
    pub changed: bool,
}

impl FieldManager<'_> {
    fn api_version(&self) -> String {
        GroupVersion::new(self.kind.group.clone(), self.kind.version.clone()).to_string()
    }

    fn updater(&self) -> Option<Updater<'_>> {
        let version = self.versions.version(&self.api_version())?;
        Some(Updater {
            versions: self.versions,
            version,
        })
    }

    fn id(&self, manager: &str, applies: bool) -> ManagerId {
        let name = if manager.is_empty() { "unknown" } else { manager };
        ManagerId::new(name, applies, &self.api_version(), self.subresource)
    }

    /// An object of the kind in which nothing is set.
    fn nothing(&self, updater: &Updater<'_>) -> Value {
        let mut object = match updater.version.ty {
            Some(ty) => empty::zero_object(ty),
            None => json!({}),
        };
        object["apiVersion"] = json!(self.api_version());
        object["kind"] = json!(self.kind.kind);
        object
    }

    /// Records a write that is not an apply: create, update or a patch. `live` is `None` on create.
    ///
    /// Both objects are decoded and in the version of the request. What cannot be tracked is left untracked, as are objects
    /// with lists whose elements lack their keys.
    #[must_use]
    pub fn update(&self, live: Option<&Value>, mut new: Value, manager: &str) -> Value {
        let managed = self.managers_of(live, &new);
        managed::strip(&mut new);
        let Some(updater) = self.updater() else { return new };
        let is_new = live.is_none_or(|live| meta::str_at(live, &["metadata", "uid"]).unwrap_or_default().is_empty());
        if managed.fields.is_empty() && !is_new {
            // Upstream does not start to track objects that have come without owners.
            return new;
        }
        let nothing;
        let live = match live {
            Some(live) if !is_new => live,
            _ => {
                nothing = self.nothing(&updater);
                &nothing
            }
        };
        let mut encoded = new.clone();
        if let Some(ty) = updater.version.ty {
            empty::leave_out_empty(&mut encoded, ty);
        }
        if [live, &encoded]
            .into_iter()
            .all(|object| fits(object, updater.version.view()))
        {
            // Upstream would rather forget all owners than keep wrong ones.
            if let Ok(managed) = self.record_update(&updater, live, &encoded, managed, &self.id(manager, false)) {
                managed.write(&mut new);
            }
        }
        new
    }

    /// The managers to start from: those the client sent along, unless it writes to a subresource, else the live ones.
    fn managers_of(&self, live: Option<&Value>, new: &Value) -> Managed {
        let of_live = || {
            live.map(|live| Managed::decode(live).unwrap_or_default())
                .unwrap_or_default()
        };
        if !self.subresource.is_empty() {
            return of_live();
        }
        if managed::asks_for_reset(new) {
            return Managed::default();
        }
        match Managed::decode(new) {
            Ok(managed) if !managed.fields.is_empty() => managed,
            _ => of_live(),
        }
    }

    fn record_update(
        &self,
        updater: &Updater<'_>,
        live: &Value,
        new: &Value,
        mut managed: Managed,
        manager: &ManagerId,
    ) -> Result<Managed, Error> {
        // The operation has an identity of its own first, so that what the manager owned before is kept.
        let operation = ManagerId::new("current-operation", false, "", "");
        let (live, new) = (without_managers(live), without_managers(new));
        managed.fields = updater.update(&live, &new, managed.fields, &operation)?;
        if let Some(mut owned) = managed.fields.remove(&operation) {
            owned.set = owned.set.difference(&server_owned());
            if !owned.set.is_empty() {
                if let Some(before) = managed.fields.get(manager) {
                    owned.set.extend(&before.set);
                }
                managed.fields.insert(manager.clone(), owned);
                managed.times.insert(manager.clone(), self.now.to_owned());
            }
        }
        managed.cap();
        Ok(managed)
    }

    /// Applies a configuration. `live` is `None` when the object does not exist yet.
    ///
    /// `live` is decoded and in the version of the request; `config` is what the client sent, undecoded.
    ///
    /// # Errors
    /// When the configuration is of another kind, does not fit the schema or conflicts with other managers.
    pub fn apply(&self, live: Option<&Value>, config: &Value, manager: &str, force: bool) -> Result<Applied, Error> {
        self.check_kind(config)?;
        let Some(updater) = self.updater() else {
            return Err(Error::Failed(format!("no corresponding type for {}", self.kind)));
        };
        let nothing = self.nothing(&updater);
        let live = live.unwrap_or(&nothing);
        let managed =
            Managed::decode(live).map_err(|why| Error::Failed(format!("failed to decode managed fields: {why}")))?;
        let once = |force: bool| self.apply_once(&updater, live, config, managed.clone(), manager, force);
        let mut applied = match once(force) {
            Err(Error::Conflicts(conflicts)) if last_applied::is_kubectl(manager) => {
                let rest = last_applied::unresolved(live, &updater.version, conflicts)?;
                if !rest.is_empty() {
                    return Err(Error::Conflicts(rest));
                }
                once(true)?
            }
            outcome => outcome?,
        };
        if last_applied::is_kubectl(manager) {
            last_applied::refresh(&mut applied.object, config);
        }
        Ok(applied)
    }

    fn check_kind(&self, config: &Value) -> Result<(), Error> {
        let text = |name: &str| config.get(name).and_then(Value::as_str).unwrap_or_default();
        let sent = GroupVersion::parse(text("apiVersion"))
            .unwrap_or_default()
            .kind(text("kind"));
        if sent != self.kind {
            let (group, version, kind) = (sent.group, sent.version, sent.kind);
            return Err(Error::BadRequest(format!(
                "invalid object type: {group}/{version}, Kind={kind}"
            )));
        }
        match meta::at(config, &["metadata", "managedFields"]) {
            None | Some(Value::Null) => Ok(()),
            Some(_) => Err(Error::BadRequest("metadata.managedFields must be nil".to_owned())),
        }
    }

    fn apply_once(
        &self,
        updater: &Updater<'_>,
        live: &Value,
        config: &Value,
        mut managed: Managed,
        manager: &str,
        force: bool,
    ) -> Result<Applied, Error> {
        let id = self.id(manager, true);
        if managed.fields.is_empty() {
            let before = self.id(BEFORE_FIRST_APPLY, false);
            managed = self.record_update(updater, &self.nothing(updater), live, managed, &before)?;
        }
        validate(config, updater.version.view()).map_err(|why| {
            let name = |field: &str| {
                meta::str_at(config, &["metadata", field])
                    .unwrap_or_default()
                    .to_owned()
            };
            let GroupVersionKind { group, version, kind } = &self.kind;
            let object = format!("{}/{}; {group}/{version}, Kind={kind}", name("namespace"), name("name"));
            Error::Failed(format!("failed to create typed patch object ({object}): {why}"))
        })?;
        let live = without_managers(live);
        let (object, fields) = updater.apply(&live, config, managed.fields, &id, force)?;
        managed.fields = fields;
        if let Some(owned) = managed.fields.get_mut(&id) {
            owned.set = owned.set.difference(&server_owned());
            if owned.set.is_empty() {
                managed.fields.remove(&id);
            }
        }
        let changed = object.is_some();
        if changed {
            managed.times.insert(id, self.now.to_owned());
        }
        let mut object = object.unwrap_or(live);
        managed.write(&mut object);
        Ok(Applied { object, changed })
    }
}

fn without_managers(object: &Value) -> Value {
    let mut object = object.clone();
    managed::strip(&mut object);
    object
}

fn server_owned() -> Set {
    Set::of_fields(SERVER_OWNED)
}
