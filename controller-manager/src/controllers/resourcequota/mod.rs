//! Keeps the status of ResourceQuotas: what their namespace uses of what they limit (`pkg/controller/resourcequota`). The API
//! server charges what is written; here is counted what has become less, and what was there before the quota.

mod monitor;
mod plan;
mod triggers;

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use client::{Change, Informer, ObjectKey, WorkQueue};
use futures::FutureExt;
use futures::future::join3;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ResourceQuota, ResourceQuotaStatus};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::api::{ApiResource, DynamicObject, ListParams, PostParams};
use kube::core::Request;
use kube::core::discovery::verbs;
use kube::{Api, Client};
use machinery::gvk::GroupResource;
use machinery::meta;
use machinery::pod_resources::{Amounts, add};
use machinery::quota::{DeviceClasses, Evaluator, counted, is_ignored};
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::common::discovery::{self, Kind};
use crate::context::{Context, Task};
use crate::error::{During, Result, SyncError, ignore_not_found};
use crate::workers::{Reconcile, run};

const NAME: &str = "resourcequota-controller";
/// How many objects are read at a time, and how many if only their metadata matters.
const PAGE: u32 = 100;
const PAGE_OF_METADATA: u32 = 500;
/// For how long what is known of a kind that is not served is believed.
const DISCOVERY_PAUSE: Duration = Duration::from_secs(2);

type Kinds = Arc<BTreeMap<(String, String), Kind>>;

struct Controller {
    client: Client,
    quotas: Informer<ResourceQuota>,
    queue: WorkQueue<ObjectKey>,
    /// Other limits than before may take other watches.
    changed: Notify,
    kinds: Mutex<Option<(Instant, Kinds)>>,
}

pub(crate) fn start(context: &Arc<Context>) -> Task {
    let controller = Arc::new(Controller {
        client: context.client.clone(),
        quotas: context.informers.resource_quotas(),
        queue: WorkQueue::new(),
        changed: Notify::new(),
        kinds: Mutex::default(),
    });
    follow_quotas(&controller);
    follow_kind(&controller, "pods", &context.informers.pods(), triggers::pod);
    follow_kind(
        &controller,
        "services",
        &context.informers.services(),
        triggers::service,
    );
    follow_kind(
        &controller,
        "persistentvolumeclaims",
        &context.informers.claims(),
        triggers::claim,
    );

    let workers = context.settings.workers.concurrent_resource_quota_syncs;
    let work = run(NAME, context, workers, controller.clone());
    let (period, context) = (context.settings.resource_quota_sync_period, context.clone());
    async move {
        let monitor = async {
            context.informers.synced().await;
            monitor::run(controller.clone()).await;
        };
        join3(work, monitor, resync(&controller, period)).await;
    }
    .boxed()
}

fn follow_quotas(controller: &Arc<Controller>) {
    let this = controller.clone();
    controller.quotas.on_change(move |change| {
        let hard = |quota: &ResourceQuota| quota.spec.as_ref().and_then(|spec| spec.hard.clone());
        let is_new = match change {
            Change::Added(_) => true,
            // All other changes are our own, or the API server's, which has charged something.
            Change::Updated { old, new } => hard(old) != hard(new) || old.metadata.uid != new.metadata.uid,
            Change::Deleted(_) => false,
        };
        if is_new {
            this.queue.add(ObjectKey::of(&change.object().metadata));
        }
        if is_new || matches!(change, Change::Deleted(_)) {
            this.changed.notify_one();
        }
    });
}

/// Counts again when an object is gone, or changes as `frees` says.
fn follow_kind<K>(controller: &Arc<Controller>, plural: &str, informer: &Informer<K>, frees: fn(&K, &K) -> bool)
where
    K: kube::Resource + Send + Sync + 'static,
{
    let (this, resource) = (controller.clone(), GroupResource::new("", plural));
    informer.on_change(move |change| {
        let less = match change {
            Change::Added(_) => false,
            Change::Updated { old, new } => old.meta().uid != new.meta().uid || frees(old, new),
            Change::Deleted(_) => true,
        };
        if less {
            let namespace = change.object().meta().namespace.as_deref().unwrap_or_default();
            this.replenish(&resource, namespace);
        }
    });
}

/// Counts everything again from time to time: pods may be overdue, and quotas may have been charged for what then failed.
async fn resync(controller: &Controller, period: Duration) {
    if period.is_zero() {
        return std::future::pending().await;
    }
    loop {
        tokio::time::sleep(period).await;
        for quota in controller.quotas.list() {
            controller.queue.add(ObjectKey::of(&quota.metadata));
        }
    }
}

fn hard_names(quota: &ResourceQuota) -> impl Iterator<Item = &str> {
    let hard = quota.spec.as_ref().and_then(|spec| spec.hard.as_ref());
    hard.into_iter().flat_map(|hard| hard.keys().map(String::as_str))
}

impl Controller {
    /// The kinds that quotas count and that only this controller watches.
    fn followed(&self) -> HashSet<GroupResource> {
        let shared = ["pods", "services", "persistentvolumeclaims"].map(|plural| GroupResource::new("", plural));
        let evaluators: Vec<_> = Evaluator::with_own_names(&DeviceClasses::default()).collect();
        let mut all = HashSet::new();
        for quota in self.quotas.list() {
            for name in hard_names(&quota) {
                all.extend(counted(name));
                let own = evaluators.iter().filter(|(_, evaluator)| evaluator.limits(name));
                all.extend(own.map(|(resource, _)| resource.clone()));
            }
        }
        all.retain(|resource| !shared.contains(resource) && !is_ignored(resource));
        all
    }

    /// Something of a resource in a namespace is gone.
    fn replenish(&self, resource: &GroupResource, namespace: &str) {
        let quotas = self.quotas.list_in(namespace);
        self.enqueue(resource, quotas);
    }

    fn replenish_everywhere(&self, resource: &GroupResource) {
        self.enqueue(resource, self.quotas.list());
    }

    fn enqueue(&self, resource: &GroupResource, quotas: Vec<Arc<ResourceQuota>>) {
        if quotas.is_empty() {
            return;
        }
        let evaluator = Evaluator::of(resource, DeviceClasses::default());
        for quota in quotas {
            if hard_names(&quota).any(|name| evaluator.limits(name)) {
                self.queue.add(ObjectKey::of(&quota.metadata));
            }
        }
    }

    /// The kind of a resource that can be counted; `None` when there is none.
    async fn kind(&self, resource: &GroupResource) -> Result<Option<ApiResource>> {
        if resource.group.is_empty()
            && Evaluator::with_own_names(&DeviceClasses::default()).any(|(r, _)| r == *resource)
        {
            return Ok(Some(ApiResource {
                group: String::new(),
                version: "v1".to_owned(),
                api_version: "v1".to_owned(),
                kind: String::new(),
                plural: resource.resource.clone(),
            }));
        }
        let quotable = |kind: &Kind| {
            let verbs = [verbs::CREATE, verbs::LIST, verbs::WATCH, verbs::DELETE];
            kind.namespaced && verbs.iter().all(|verb| kind.can(verb))
        };
        let kind = self.discovered(resource).await?.filter(quotable);
        Ok(kind.map(|kind| kind.resource))
    }

    /// A kind as the API server shows it; one that it does not show is looked for again.
    async fn discovered(&self, resource: &GroupResource) -> Result<Option<Kind>> {
        let key = (resource.group.clone(), resource.resource.clone());
        let known = self.kinds.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let kinds = match known {
            Some((since, kinds)) if kinds.contains_key(&key) || since.elapsed() < DISCOVERY_PAUSE => kinds,
            _ => {
                let kinds: Kinds = Arc::new(discovery::kinds(&self.client).await.during("discovering kinds")?);
                let known = (Instant::now(), kinds.clone());
                *self.kinds.lock().unwrap_or_else(PoisonError::into_inner) = Some(known);
                kinds
            }
        };
        Ok(kinds.get(&key).cloned())
    }

    fn forget_kinds(&self) {
        *self.kinds.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// The classes of devices, if a quota has a name that may be about them.
    async fn device_classes(&self, quota: &Value) -> Result<DeviceClasses> {
        if !plan::names(quota).any(DeviceClasses::matter_for) {
            return Ok(DeviceClasses::default());
        }
        let resource = GroupResource::new("resource.k8s.io", "deviceclasses");
        let Some(kind) = self.discovered(&resource).await? else {
            return Ok(DeviceClasses::default());
        };
        let mut classes = Vec::new();
        self.each(&kind.resource, "", true, |class| classes.push(class.clone()))
            .await?;
        Ok(DeviceClasses::of(&classes))
    }

    /// Shows all objects of a kind in a namespace (empty for all), or as many empty ones if nothing in them matters.
    async fn each(
        &self,
        kind: &ApiResource,
        namespace: &str,
        inside: bool,
        mut see: impl FnMut(&Value) + Send,
    ) -> Result {
        let doing = || format!("listing {}", kind.plural);
        let namespace = Some(namespace).filter(|namespace| !namespace.is_empty());
        let requests = Request::new(<DynamicObject as kube::Resource>::url_path(kind, namespace));
        let mut params = ListParams::default().limit(if inside { PAGE } else { PAGE_OF_METADATA });
        loop {
            let request = match inside {
                true => requests.list(&params),
                false => requests.list_metadata(&params),
            };
            let request = request.map_err(kube::Error::BuildRequest).during(doing())?;
            let page: Value = self.client.request(request).await.during(doing())?;
            let empty = json!({});
            for object in meta::list_at(&page, &["items"]) {
                see(if inside { object } else { &empty });
            }
            match meta::str_at(&page, &["metadata", "continue"]) {
                Some(token) if !token.is_empty() => params.continue_token = Some(token.to_owned()),
                _ => return Ok(()),
            }
        }
    }
}

impl Reconcile for Controller {
    fn queue(&self) -> &WorkQueue<ObjectKey> {
        &self.queue
    }

    async fn sync(&self, key: ObjectKey) -> Result {
        let api: Api<ResourceQuota> = Api::namespaced(self.client.clone(), &key.namespace);
        // The API server charges quotas all the time: a copy would often be too old to be written back.
        let found = api
            .get_opt(&key.name)
            .await
            .during(format_args!("looking at quota {key}"))?;
        let Some(mut object) = found else { return Ok(()) };
        let quota =
            serde_json::to_value(&object).map_err(|error| SyncError::Invalid(format!("quota {key}: {error}")))?;
        let mut failed = None;
        let mut measured = Amounts::new();
        let mut unknown: HashSet<String> = HashSet::new();
        let classes = self.device_classes(&quota).await?;
        let now = Timestamp::now();
        for need in plan::needs(&quota, &classes) {
            let mut total = need.nothing();
            let counted = match self.kind(&need.resource).await {
                Ok(Some(kind)) => {
                    let see = |object: &Value| need.count(&quota, object, now, &mut total);
                    let inside = need.looks_inside(&quota);
                    self.each(&kind, &key.namespace, inside, see).await.map(|()| true)
                }
                Ok(None) => {
                    // It may be defined later.
                    self.queue.add_after(key.clone(), monitor::REDISCOVERY);
                    Ok(false)
                }
                Err(error) => Err(error),
            };
            match counted {
                Ok(true) => add(&mut measured, &total),
                Ok(false) => unknown.extend(need.names),
                Err(error) => {
                    unknown.extend(need.names);
                    failed = Some(error);
                }
            }
        }
        measured.retain(|name, _| !unknown.contains(name));
        if let Some(status) = plan::status(&quota, &measured) {
            let list = |amounts: BTreeMap<String, String>| {
                Some(
                    amounts
                        .into_iter()
                        .map(|(name, amount)| (name, Quantity(amount)))
                        .collect(),
                )
            };
            object.status = Some(ResourceQuotaStatus {
                hard: list(status.hard),
                used: list(status.used),
            });
            let written = api.replace_status(&key.name, &PostParams::default(), &object).await;
            ignore_not_found(written).during(format_args!("updating the status of quota {key}"))?;
        }
        failed.map_or(Ok(()), Err)
    }
}

#[cfg(test)]
pub(super) mod tests {
    pub(crate) use super::plan::tests::rests;
}
