//! Server-side apply and the bookkeeping of field owners on every other write: the semantics of structured-merge-diff
//! v6 and apimachinery's field manager.

mod compare;
pub mod conflict;
pub mod fieldset;
mod last_applied;
pub mod managed;
mod manager;
mod merge;
mod overlay;
mod reconcile;
pub mod scale;
mod update;
mod value;
mod view;
mod walk;

pub use conflict::{Conflict, Error};
pub use fieldset::{PathElement, Set};
pub use managed::keep_times;
pub use manager::{Applied, FieldManager};
pub use overlay::overlay;

use serde_json::Value;

use crate::schema::Type;
use view::View;

/// An API version of a kind, as far as owners are concerned.
#[derive(Clone)]
pub struct Version<'a> {
    /// Group and version as in an object's `apiVersion`.
    pub api_version: String,
    /// The schema; without one every map is granular and every list atomic.
    pub ty: Option<&'a Type>,
    /// The fields the resource's strategy resets on this write; nobody comes to own them by it.
    pub reset: Option<&'a Set>,
}

impl<'a> Version<'a> {
    fn view(&self) -> View<'a> {
        self.ty.map_or_else(View::deduced, View::root)
    }
}

/// The versions in which a kind is served.
pub trait Versions {
    /// What is known about a version; `None` when it is not served.
    fn version(&self, api_version: &str) -> Option<Version<'_>>;

    /// The object in that version; `None` when it is not served.
    ///
    /// # Errors
    /// When there is no way into that version, and none that owners of fields could be left out by.
    fn convert(&self, object: &Value, api_version: &str) -> Result<Option<Value>, String>;

    /// Whether a conversion may make something that does not fit the schema of its version.
    fn may_misfit(&self) -> bool {
        false
    }
}

/// A kind that is served in one version only.
impl Versions for Version<'_> {
    fn version(&self, api_version: &str) -> Option<Version<'_>> {
        (self.api_version == api_version).then(|| self.clone())
    }

    fn convert(&self, object: &Value, api_version: &str) -> Result<Option<Value>, String> {
        Ok((self.api_version == api_version).then(|| object.clone()))
    }
}

#[cfg(test)]
mod tests;
