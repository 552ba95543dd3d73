//! Reads: one object, many, or their changes.

use super::Store;
use super::errors::{self, Attempt};
use crate::storage::interface::{ListOptions, Listed, Revision, Watch, WatchOptions};
use machinery::object::Stored;
use machinery::status::Status;

impl Store {
    /// Reads one object.
    ///
    /// # Errors
    /// 404 when there is none.
    pub async fn get(&self, namespace: &str, name: &str, revision: Revision) -> Result<Stored, Status> {
        let result = self.storage.get(namespace, name, revision).await;
        let mut resource = self.resource.group_resource();
        if self.resource.storage_key.is_empty() {
            // Upstream words by hand what it does not find in no store.
            resource.resource = self.resource.singular.to_string();
        }
        result.map_err(|error| errors::status(error, Attempt::Get, &resource, name))
    }

    /// Reads many objects.
    ///
    /// # Errors
    /// 410 for a revision that is gone, 504 for one that does not exist yet, 400 for a bad continue token.
    pub async fn list(&self, options: ListOptions) -> Result<Listed, Status> {
        let result = self.storage.list(options).await;
        result.map_err(|error| errors::status(error, Attempt::List, &self.resource.group_resource(), ""))
    }

    /// Follows the changes of objects.
    ///
    /// # Errors
    /// 410 for a revision that is gone.
    pub async fn watch(&self, options: WatchOptions) -> Result<Watch, Status> {
        let result = self.storage.watch(options).await;
        result.map_err(|error| errors::status(error, Attempt::Watch, &self.resource.group_resource(), ""))
    }
}
