//! Follows the kinds that quotas count and no other controller watches (`resource_quota_monitor.go`): only those, and only
//! while there is a quota for them.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt, pin_mut};
use kube::Api;
use kube::api::{ApiResource, DynamicObject, PartialObjectMeta};
use kube::runtime::watcher::{self, Event, watcher};
use machinery::gvk::GroupResource;
use tokio::task::{AbortHandle, JoinSet};
use tracing::debug;

use super::Controller;

/// How often a kind that is not served is looked for, as in upstream.
pub(super) const REDISCOVERY: Duration = Duration::from_secs(30);
/// The pause while there is no API server.
const RETRY: Duration = Duration::from_secs(1);
const RETRY_MAX: Duration = Duration::from_secs(10);

pub(super) async fn run(controller: Arc<Controller>) {
    let mut watches = JoinSet::new();
    let mut running: HashMap<GroupResource, AbortHandle> = HashMap::new();
    loop {
        let wanted: HashSet<GroupResource> = controller.followed();
        running.retain(|resource, handle| {
            let keep = wanted.contains(resource) && !handle.is_finished();
            if !keep {
                handle.abort();
            }
            keep
        });
        let mut is_missing = false;
        for resource in wanted {
            if running.contains_key(&resource) {
                continue;
            }
            match controller.kind(&resource).await {
                Ok(Some(kind)) => {
                    let handle = watches.spawn(follow(controller.clone(), resource.clone(), kind));
                    running.insert(resource, handle);
                }
                Ok(None) => is_missing = true,
                Err(error) => {
                    debug!(%resource, %error, "cannot look for the kind");
                    is_missing = true;
                }
            }
        }
        tokio::select! {
            () = controller.changed.notified() => {}
            Some(_) = watches.join_next() => {}
            () = tokio::time::sleep(REDISCOVERY), if is_missing => {}
        }
    }
}

/// Has quotas counted again when objects of a kind are gone, until the kind is.
async fn follow(controller: Arc<Controller>, resource: GroupResource, kind: ApiResource) {
    let api: Api<PartialObjectMeta<DynamicObject>> = Api::all_with(controller.client.clone(), &kind);
    let events = watcher(api, watcher::Config::default());
    pin_mut!(events);
    let mut retry = RETRY;
    while let Some(event) = events.next().await {
        match event {
            Ok(Event::Delete(object)) => {
                controller.replenish(&resource, object.metadata.namespace.as_deref().unwrap_or_default());
            }
            // What went before, or while the watch was broken, was not shown.
            Ok(Event::InitDone) => {
                controller.replenish_everywhere(&resource);
                retry = RETRY;
            }
            Ok(_) => {}
            Err(error) if is_gone(&error) => {
                controller.forget_kinds();
                return;
            }
            Err(error) => {
                debug!(%resource, %error, "the watch broke");
                tokio::time::sleep(retry).await;
                retry = (retry * 2).min(RETRY_MAX);
            }
        }
    }
}

fn is_gone(error: &watcher::Error) -> bool {
    match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status)) => status.code == 404,
        _ => false,
    }
}
