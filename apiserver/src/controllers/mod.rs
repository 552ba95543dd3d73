//! What the server does by itself about objects: it follows the roles, it writes the statuses that upstream's API server
//! writes, and keeps cluster IPs in line with Services (kubernetes `pkg/controlplane`, apiextensions-apiserver
//! `pkg/controller`, kube-aggregator `pkg/controllers/status`).
//!
//! A controller sees everything that exists, then every change, one at a time. What it writes comes back to it as a change,
//! so it does one thing at a time and comes to rest when nothing is left to do. When anything fails it begins anew.

pub(crate) mod allocations;
mod api_services;
mod cluster_trust;
mod conditions;
mod definition_names;
pub(crate) mod definitions;
mod finalizer;
mod flow_schemas;
mod node_objects;
mod registrations;
mod roles;

use crate::authorization::node::Node;
use crate::authorization::rbac::Rbac;
use crate::bootstrap::ClusterTrust;
use crate::endpoints::api::Api;
use crate::registry::allocators::ServiceAllocator;
use crate::registry::codec;
use crate::registry::store::Store;
use crate::storage::interface::{Event, Revision, Scope, WatchOptions};
use chassis::{CancellationToken, Tasks};
use futures::stream::{BoxStream, SelectAll};
use futures::{StreamExt, future, stream};
use machinery::object::Stored;
use machinery::status::Status;
use serde_json::Value;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

/// How long to wait before beginning anew.
const RETRY: Duration = Duration::from_secs(1);

/// One controller.
trait Controller: Send {
    /// Its name in the log.
    const NAME: &'static str;
    /// Group and plural name of what it follows from the start.
    const FOLLOWS: &'static [Kind];

    /// Acts on one change.
    fn see(&mut self, api: &Api, feed: &mut Feed, seen: Seen) -> impl Future<Output = Result<(), Status>> + Send;
}

/// Group and plural name of a resource that is served in version `v1`.
type Kind = (&'static str, &'static str);

/// A change that a controller sees.
struct Seen {
    kind: Kind,
    /// The newest state, or the last one.
    object: Stored,
    /// Whether it is there no more.
    gone: bool,
}

impl Seen {
    fn decode(&self, api: &Api) -> Result<Value, Status> {
        codec::decode(&store(api, self.kind)?.resource, &self.object)
    }
}

fn store(api: &Api, (group, plural): Kind) -> Result<&Arc<Store>, Status> {
    let store = api.catalog.store(group, "v1", plural);
    store.ok_or_else(|| Status::internal(format!("{plural} are not served")))
}

/// The changes of several resources.
#[derive(Default)]
struct Feed(SelectAll<BoxStream<'static, Result<Seen, Status>>>);

impl Feed {
    /// Shows something again after a time.
    fn again(&mut self, seen: Seen, after: Duration) {
        let later = async move {
            tokio::time::sleep(after).await;
            Ok(seen)
        };
        self.0.push(stream::once(later).boxed());
    }

    /// Follows one more resource, beginning with what exists.
    async fn follow(&mut self, api: &Api, kind: Kind) -> Result<(), Status> {
        let options = WatchOptions {
            scope: Scope::default(),
            revision: Revision::Any,
            bookmarks: false,
            initial_events: None,
            deadline: None,
        };
        let events = store(api, kind)?.watch(options).await?;
        let seen = events.filter_map(move |event| future::ready(seen(kind, event)));
        let end = stream::once(async move { Err(Status::internal(format!("the watch of {} ended", kind.1))) });
        self.0.push(seen.chain(end).boxed());
        Ok(())
    }
}

fn seen(kind: Kind, event: Event) -> Option<Result<Seen, Status>> {
    let (object, gone) = match event {
        Event::Added(object) | Event::Modified(object) => (object, false),
        Event::Deleted(object) => (object, true),
        Event::Bookmark { .. } => return None,
        Event::Error(error) => return Some(Err(Status::internal(error))),
    };
    Some(Ok(Seen { kind, object, gone }))
}

/// Starts all of them. The authorizers are told of roles and bindings, and of what belongs to nodes; `allocator` is the one
/// whose reservations are looked after, and `trust` is what is published.
pub fn spawn(
    tasks: &Tasks,
    api: &Arc<Api>,
    (rbac, node): (&Arc<Rbac>, &Arc<Node>),
    allocator: &ServiceAllocator,
    trust: ClusterTrust,
    shutdown: &CancellationToken,
) {
    let (rbac, node, allocator) = (rbac.clone(), node.clone(), allocator.clone());
    spawn_one(tasks, api, shutdown, move || roles::Roles::new(rbac.clone()));
    spawn_one(tasks, api, shutdown, move || {
        node_objects::NodeObjects::new(node.clone())
    });
    spawn_one(tasks, api, shutdown, definitions::Definitions::default);
    spawn_one(tasks, api, shutdown, flow_schemas::FlowSchemas::default);
    spawn_one(tasks, api, shutdown, registrations::Registrations::default);
    spawn_one(tasks, api, shutdown, move || cluster_trust::Published(trust.clone()));
    let owner = (api.clone(), tasks.clone());
    spawn_one(tasks, api, shutdown, move || {
        api_services::ApiServices::new(owner.0.clone(), owner.1.clone())
    });
    spawn_one(tasks, api, shutdown, move || {
        allocations::ClusterIps::new(allocator.clone())
    });
}

fn spawn_one<C: Controller + 'static>(
    tasks: &Tasks,
    api: &Arc<Api>,
    shutdown: &CancellationToken,
    make: impl Fn() -> C + Send + 'static,
) {
    tasks.spawn(C::NAME, run(api.clone(), shutdown.clone(), make));
}

async fn run<C: Controller>(api: Arc<Api>, shutdown: CancellationToken, make: impl Fn() -> C) {
    loop {
        tokio::select! {
            Err(status) = once(&api, make()) => {
                tracing::warn!(controller = C::NAME, error = %status, "beginning anew");
            }
            () = shutdown.cancelled() => return,
        }
        tokio::select! {
            () = tokio::time::sleep(RETRY) => {}
            () = shutdown.cancelled() => return,
        }
    }
}

/// Acts on every change until something fails.
async fn once<C: Controller>(api: &Api, mut controller: C) -> Result<(), Status> {
    let mut feed = Feed::default();
    for kind in C::FOLLOWS {
        feed.follow(api, *kind).await?;
    }
    while let Some(seen) = feed.0.next().await {
        controller.see(api, &mut feed, seen?).await?;
    }
    Err(Status::internal("there is nothing left to follow"))
}
