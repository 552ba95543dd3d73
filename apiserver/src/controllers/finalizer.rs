//! Definitions that are deleted go when nothing of them is left (apiextensions-apiserver `pkg/controller/finalizer`).

use super::conditions::{Condition, holds};
use super::{Feed, Seen};
use crate::bootstrap::writer::Writer;
use crate::endpoints::api::Api;
use crate::registry::request::{NO_EXTRA, NO_OPTIONS, Request};
use crate::registry::store::Store;
use crate::registry::store::options::DeleteOptions;
use crate::resources::apiextensions::CLEANUP;
use crate::storage::interface::{ListOptions, Revision, Scope};
use machinery::meta;
use machinery::status::Status;
use serde_json::Value;
use std::collections::BTreeSet;
use std::time::Duration;

const TERMINATING: &str = "Terminating";
/// How long to wait before looking again whether objects are gone that others hold.
const AGAIN: Duration = Duration::from_secs(1);

/// Does what there is to do about a definition that is to go.
///
/// # Errors
/// When the store cannot be read or written.
pub(super) async fn advance(api: &Api, feed: &mut Feed, seen: Seen, definition: &Value) -> Result<(), Status> {
    let objects = api.custom_resources.objects(meta::name(definition));
    let (done, held) = match objects.filter(|_| holds(definition, "Established")) {
        None => {
            let message = "resource was never established";
            (Condition::new(TERMINATING, "False", "NeverEstablished", message), 0)
        }
        Some(store) => {
            let message = "CustomResource deletion is in progress";
            say(
                api,
                definition,
                &Condition::new(TERMINATING, "True", "InstanceDeletionInProgress", message),
            )
            .await?;
            match delete_all(&store).await {
                Ok(held) => (
                    Condition::new(
                        TERMINATING,
                        "False",
                        "InstanceDeletionCompleted",
                        "removed all instances",
                    ),
                    held,
                ),
                Err(status) => {
                    let message = format!("could not issue all deletes: {status}");
                    let failed = Condition::new(TERMINATING, "True", "InstanceDeletionFailed", message);
                    say(api, definition, &failed).await?;
                    feed.again(seen, AGAIN);
                    return Ok(());
                }
            }
        }
    };
    if held > 0 {
        feed.again(seen, AGAIN);
        return Ok(());
    }
    say(api, definition, &done).await?;
    release(api, definition).await
}

/// Deletes all objects and answers how many are still there.
async fn delete_all(store: &Store) -> Result<usize, Status> {
    let found = list(store, String::new()).await?;
    let namespaces: BTreeSet<String> = found.iter().map(|stored| stored.index.namespace.to_string()).collect();
    for namespace in &namespaces {
        let rq = Request {
            namespace,
            user: "",
            uid: "",
            groups: &[],
            extra: &NO_EXTRA,
            now: jiff::Timestamp::now(),
            dry_run: false,
            options: &NO_OPTIONS,
            warn: &|_| {},
        };
        let everything = options(namespace.clone());
        store
            .delete_collection(&rq, &DeleteOptions::default(), everything)
            .await?;
    }
    if namespaces.is_empty() {
        return Ok(0);
    }
    list(store, String::new()).await.map(|left| left.len())
}

fn options(namespace: String) -> ListOptions {
    ListOptions {
        scope: Scope {
            namespace,
            ..Scope::default()
        },
        revision: Revision::Latest,
        limit: 0,
        continue_token: String::new(),
    }
}

async fn list(store: &Store, namespace: String) -> Result<Vec<machinery::object::Stored>, Status> {
    store.list(options(namespace)).await.map(|listed| listed.items)
}

async fn say(api: &Api, definition: &Value, condition: &Condition) -> Result<(), Status> {
    if condition.is_in(definition) {
        return Ok(());
    }
    let put = |current: &mut Value| {
        if meta::uid(current) == meta::uid(definition) && !condition.is_in(current) {
            condition.put(current, &machinery::time::now());
        }
    };
    change(api, "status", definition, &put).await
}

/// Lets the definition go.
async fn release(api: &Api, definition: &Value) -> Result<(), Status> {
    let let_go = |current: &mut Value| {
        let mut finalizers = meta::list_at(current, &["metadata", "finalizers"]).to_vec();
        if meta::uid(current) != meta::uid(definition) {
            return;
        }
        finalizers.retain(|finalizer| finalizer != CLEANUP);
        if finalizers.is_empty() {
            meta::remove(current, &["metadata", "finalizers"]);
        } else {
            meta::set(current, &["metadata", "finalizers"], finalizers);
        }
    };
    change(api, "", definition, &let_go).await
}

async fn change(
    api: &Api,
    subresource: &'static str,
    definition: &Value,
    change: &(dyn Fn(&mut Value) + Send + Sync),
) -> Result<(), Status> {
    let writer = Writer::new(api, "apiextensions.k8s.io", "customresourcedefinitions")?;
    match writer.change_in(subresource, "", meta::name(definition), change).await {
        Err(status) if status.reason != "NotFound" => Err(status),
        _ => Ok(()),
    }
}
