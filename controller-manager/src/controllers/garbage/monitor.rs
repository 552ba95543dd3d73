//! Follows every kind the API server has: kinds that other controllers watch through their informers, all others by watches
//! of metadata whose only store is the graph.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use futures::{StreamExt, pin_mut};
use kube::Api;
use kube::api::{DynamicObject, PartialObjectMeta};
use kube::core::discovery::verbs;
use kube::runtime::watcher::{self, Event, watcher};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};
use tracing::{debug, info, warn};

use super::graph::{GroupKind, Uid};
use super::{Collector, lock};
use crate::common::discovery::{self, Kind};

/// How often new kinds are looked for, as in upstream.
const REDISCOVERY: Duration = Duration::from_secs(30);
/// The pause while there is no API server.
const RETRY: Duration = Duration::from_secs(1);
const RETRY_MAX: Duration = Duration::from_secs(10);

type Resource = (String, String);

/// Keeps a watch going for every deletable kind but events, which nothing owns and many of which come and go.
pub(super) async fn run(collector: Arc<Collector>, followed: HashSet<Resource>) {
    let mut watches = JoinSet::new();
    let mut running: HashMap<Resource, (AbortHandle, watch::Receiver<bool>)> = HashMap::new();
    loop {
        let kinds = match discovery::kinds(&collector.client).await {
            Ok(kinds) => kinds,
            Err(error) => {
                debug!(%error, "cannot discover kinds");
                tokio::time::sleep(RETRY).await;
                continue;
            }
        };
        remember(&collector, &kinds);
        let wanted: BTreeMap<&Resource, &Kind> = kinds.iter().filter(|(key, kind)| is_monitored(key, kind)).collect();
        running.retain(|key, (handle, _)| {
            let keep = wanted.contains_key(key);
            if !keep {
                info!(group = key.0, resource = key.1, "the kind is gone");
                handle.abort();
            }
            keep
        });
        for (key, kind) in wanted {
            if !followed.contains(key) && !running.contains_key(key) {
                let (sender, receiver) = watch::channel(false);
                let handle = watches.spawn(follow(collector.clone(), (*kind).clone(), sender));
                running.insert(key.clone(), (handle, receiver));
            }
        }
        let first = !*collector.ready.borrow();
        if first {
            for (_, synced) in running.values_mut() {
                // An aborted watch drops its sender, which is an answer too.
                let _ = synced.wait_for(|synced| *synced).await;
            }
            collector.ready.send_replace(true);
        }
        tokio::time::sleep(REDISCOVERY).await;
        while let Some(ended) = watches.try_join_next() {
            if let Err(error) = ended
                && error.is_panic()
            {
                warn!(%error, "a watch failed");
            }
        }
    }
}

fn is_monitored((group, plural): &Resource, kind: &Kind) -> bool {
    let is_event = plural == "events" && (group.is_empty() || group == "events.k8s.io");
    !is_event
        && [verbs::LIST, verbs::WATCH, verbs::DELETE]
            .iter()
            .all(|verb| kind.can(verb))
}

fn remember(collector: &Collector, kinds: &BTreeMap<Resource, Kind>) {
    let by_kind = kinds.values().map(|kind| {
        let name = GroupKind {
            group: kind.resource.group.clone(),
            kind: kind.resource.kind.clone(),
        };
        (name, kind.clone())
    });
    *collector.kinds.write().unwrap_or_else(PoisonError::into_inner) = by_kind.collect();
}

/// Feeds the metadata of one kind into the graph for ever.
async fn follow(collector: Arc<Collector>, kind: Kind, synced: watch::Sender<bool>) {
    let name = Arc::new(GroupKind {
        group: kind.resource.group.clone(),
        kind: kind.resource.kind.clone(),
    });
    let api: Api<PartialObjectMeta<DynamicObject>> = Api::all_with(collector.client.clone(), &kind.resource);
    let events = watcher(api, watcher::Config::default());
    pin_mut!(events);
    let mut listed: HashSet<Uid> = HashSet::new();
    let mut retry = RETRY;
    while let Some(event) = events.next().await {
        match event {
            Ok(Event::Init) => listed.clear(),
            Ok(Event::InitApply(object)) => {
                listed.extend(object.metadata.uid.as_deref().map(Uid::from));
                collector.changed(&name, &object.metadata, true);
            }
            Ok(Event::InitDone) => {
                let todo = lock(&collector.graph).retain(&name, &listed);
                collector.enqueue(todo);
                listed = HashSet::new();
                synced.send_replace(true);
                retry = RETRY;
            }
            Ok(Event::Apply(object)) => collector.changed(&name, &object.metadata, true),
            Ok(Event::Delete(object)) => collector.changed(&name, &object.metadata, false),
            Err(error) => {
                debug!(kind = name.kind, %error, "the watch broke");
                tokio::time::sleep(retry).await;
                retry = (retry * 2).min(RETRY_MAX);
            }
        }
    }
}
