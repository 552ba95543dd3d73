//! Refuses new namespaces that no mapping of `sync.toHost.namespaces` is for, where only those with one may be made
//! (vCluster `sync.toHost.namespaces.mappingsOnly`).
//!
//! This is no plugin that could be switched off, and no filter of requests: the name of a new namespace is in its object.

use super::{Attributes, Lookup, Operation, Plugin};
use futures::future::BoxFuture;
use machinery::gvk::GroupResource;
use machinery::meta;
use machinery::status::Status;
use serde_json::Value;

/// Stands for any rest of a name.
const WILDCARD: char = '*';

/// Guards the making of namespaces.
pub struct MappedNamespaces {
    allowed: Vec<String>,
    is_own: fn(&str) -> bool,
}

impl MappedNamespaces {
    /// Lets namespaces of these names and patterns be made, and the users that `is_own` knows make any.
    pub fn new(allowed: Vec<String>, is_own: fn(&str) -> bool) -> Self {
        MappedNamespaces { allowed, is_own }
    }

    fn check(&self, attributes: &Attributes<'_>, object: &Value) -> Result<(), Status> {
        let created = attributes.operation == Operation::Create && attributes.subresource.is_empty();
        let resource = GroupResource::new("", "namespaces");
        if !created || attributes.resource != resource || (self.is_own)(attributes.user) {
            return Ok(());
        }
        let given = |field: &str| meta::str_at(object, &["metadata", field]).filter(|name| !name.is_empty());
        let name = given("name").or(Some(attributes.name).filter(|name| !name.is_empty()));
        // What comes behind the beginning of a generated name is not known, and need not be: no pattern is about it.
        let (shown, generated) = match name {
            Some(name) => (name, false),
            None => (given("generateName").unwrap_or_default(), true),
        };
        let fits = |allowed: &String| match allowed.strip_suffix(WILDCARD) {
            Some(prefix) => shown.starts_with(prefix),
            None => !generated && allowed == shown,
        };
        if self.allowed.iter().any(fits) {
            return Ok(());
        }
        let message = format!(
            "Virtual namespace '{shown}' is not allowed by vcluster mappings. Allowed namespaces are {}",
            self.allowed.join(", ")
        );
        Err(Status {
            message,
            ..Status::forbidden(&resource, shown, "")
        })
    }
}

impl Plugin for MappedNamespaces {
    fn name(&self) -> &'static str {
        "MappedNamespaces"
    }

    fn admit<'a>(
        &'a self,
        _lookup: &'a dyn Lookup,
        attributes: &'a mut Attributes<'_>,
        object: &'a mut Value,
    ) -> BoxFuture<'a, Result<(), Status>> {
        let checked = self.check(attributes, object);
        Box::pin(async { checked })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admission::testing::{Objects, attributes};
    use serde_json::json;

    async fn refusal(user: &str, operation: Operation, plural: &str, metadata: Value) -> Option<(String, u16)> {
        let allowed = ["important-configs", "synced-*"].map(str::to_owned);
        let guard = MappedNamespaces::new(allowed.into(), |user| user == "system:vcluster-syncer");
        let mut warnings = Vec::new();
        let mut asked = attributes(operation, plural, "", "", &mut warnings);
        asked.user = user;
        let mut object = json!({"metadata": metadata});
        let answer = guard.admit(&Objects::of(&[]), &mut asked, &mut object).await;
        answer.err().map(|status| (status.message, status.code))
    }

    #[tokio::test]
    async fn only_mapped_namespaces_are_made() {
        for (metadata, allowed) in [
            (json!({"name": "important-configs"}), true),
            (json!({"name": "important-configs-2"}), false),
            (json!({"name": "synced-a"}), true),
            (json!({"name": "synced-"}), true),
            (json!({"name": "synced"}), false),
            (json!({"generateName": "synced-a-"}), true),
            (json!({"generateName": "synced"}), false),
            (json!({"generateName": "important-configs"}), false),
            (json!({}), false),
        ] {
            let found = refusal("admin", Operation::Create, "namespaces", metadata.clone()).await;
            assert_eq!(found.is_none(), allowed, "{metadata}");
        }
        let expected = "Virtual namespace 'experimental-app' is not allowed by vcluster mappings. Allowed namespaces are \
                        important-configs, synced-*";
        let other = || json!({"name": "experimental-app"});
        let found = refusal("admin", Operation::Create, "namespaces", other()).await;
        assert_eq!(found, Some((expected.to_owned(), 403)));
        for (user, operation, plural) in [
            ("system:vcluster-syncer", Operation::Create, "namespaces"),
            ("admin", Operation::Update, "namespaces"),
            ("admin", Operation::Create, "nodes"),
        ] {
            assert_eq!(refusal(user, operation, plural, other()).await, None);
        }
    }
}
