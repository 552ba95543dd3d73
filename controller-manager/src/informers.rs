//! One informer per kind for the whole process. Asking for one marks it as used; only used ones are run.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use client::informer::IndexId;
use client::{Change, Informer};
use futures::future::{BoxFuture, FutureExt, join_all};
use k8s_openapi::api::apps::v1::{ControllerRevision, DaemonSet, Deployment, ReplicaSet, StatefulSet};
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{
    Container, Endpoints, Namespace, Node, PersistentVolume, PersistentVolumeClaim, Pod, ResourceQuota,
    ResourceRequirements, Service, ServiceAccount,
};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::rbac::v1::ClusterRole;
use k8s_openapi::api::storage::v1::VolumeAttributesClass;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::ApiResource;
use kube::runtime::watcher;
use kube::{Api, Client, Resource};

use crate::common::ownership::controller_of;
use crate::common::{attribute_classes, pods};

/// One kind: its informer and whether any controller wants it.
struct Slot<K> {
    informer: Informer<K>,
    used: AtomicBool,
}

impl<K: Resource + Send + Sync + 'static> Slot<K> {
    fn new() -> Self {
        Self {
            informer: Informer::new(),
            used: AtomicBool::new(false),
        }
    }

    fn take(&self) -> Informer<K> {
        self.used.store(true, Ordering::Relaxed);
        self.informer.clone()
    }

    fn is_used(&self) -> bool {
        self.used.load(Ordering::Relaxed)
    }
}

/// The informers by kind.
pub(crate) struct Informers {
    slots: Slots,
    /// Pods by the UID of their controller.
    pub(crate) pods_by_controller: IndexId,
    /// Pods by the name of their node; under the empty name those that have none yet.
    pub(crate) pods_by_node: IndexId,
    /// Pods by `namespace/name` of the claims they use.
    pub(crate) pods_by_claim: IndexId,
    /// Claims by the VolumeAttributesClasses they name.
    pub(crate) claims_by_attributes_class: IndexId,
    /// Volumes by the VolumeAttributesClass they name.
    pub(crate) volumes_by_attributes_class: IndexId,
}

impl Informers {
    pub(crate) fn new() -> Self {
        let slots = Slots::new();
        let pods = &slots.pods.informer;
        let pods_by_controller = pods.add_index(|pod| {
            controller_of(&pod.metadata)
                .map(|owner| owner.uid.clone())
                .into_iter()
                .collect()
        });
        let pods_by_node = pods.add_index(|pod| {
            vec![
                pod.spec
                    .as_ref()
                    .and_then(|spec| spec.node_name.clone())
                    .unwrap_or_default(),
            ]
        });
        let pods_by_claim = pods.add_index(|pod| {
            let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
            pods::claims(pod).map(|claim| format!("{namespace}/{claim}")).collect()
        });
        let claims_by_attributes_class = slots.claims.informer.add_index(attribute_classes::named_by_claim);
        let volumes_by_attributes_class = slots.volumes.informer.add_index(attribute_classes::named_by_volume);
        Self {
            slots,
            pods_by_controller,
            pods_by_node,
            pods_by_claim,
            claims_by_attributes_class,
            volumes_by_attributes_class,
        }
    }
}

/// The metadata of an object that changed, or `false` when it is gone.
pub(crate) type OnMetadata = Arc<dyn Fn(&ObjectMeta, bool) + Send + Sync>;

/// Keeps an informer going for ever.
pub(crate) struct Watch {
    /// `plural.group`, as in `deployments.apps`.
    pub(crate) name: String,
    pub(crate) run: BoxFuture<'static, ()>,
    pub(crate) synced: BoxFuture<'static, ()>,
}

macro_rules! informers {
    ($($field:ident: $kind:ty, $trim:expr;)*) => {
        struct Slots {
            $($field: Slot<$kind>,)*
        }

        impl Slots {
            fn new() -> Self {
                Self { $($field: Slot::new(),)* }
            }
        }

        impl Informers {
            $(pub(crate) fn $field(&self) -> Informer<$kind> {
                self.slots.$field.take()
            })*

            /// One watch per kind that is used.
            pub(crate) fn watches(&self, client: &Client) -> Vec<Watch> {
                let mut watches = Vec::new();
                $(if self.slots.$field.is_used() {
                    watches.push(watch(self.slots.$field.informer.clone(), client, $trim));
                })*
                watches
            }

            /// Ends when every used informer has its first list.
            pub(crate) async fn synced(&self) {
                let mut waits: Vec<BoxFuture<'_, ()>> = Vec::new();
                $(if self.slots.$field.is_used() {
                    waits.push(self.slots.$field.informer.synced().boxed());
                })*
                join_all(waits).await;
            }

            /// Lets `handler(kind)` follow the metadata of every kind that is already watched in full.
            pub(crate) fn follow_metadata(&self, handler: impl Fn(&ApiResource) -> OnMetadata) -> Vec<ApiResource> {
                let mut followed = Vec::new();
                $(if self.slots.$field.is_used() {
                    let resource = ApiResource::erase::<$kind>(&());
                    let tell = handler(&resource);
                    self.slots.$field.informer.on_change(move |change| match change {
                        Change::Updated { old, new } => {
                            if old.metadata.uid != new.metadata.uid {
                                tell(&old.metadata, false);
                            }
                            tell(&new.metadata, true);
                        }
                        Change::Added(object) => tell(&object.metadata, true),
                        Change::Deleted(object) => tell(&object.metadata, false),
                    });
                    followed.push(resource);
                })*
                followed
            }
        }
    };
}

informers! {
    namespaces: Namespace, keep;
    nodes: Node, trim_node;
    pods: Pod, trim_pod;
    services: Service, keep;
    service_accounts: ServiceAccount, keep;
    endpoints: Endpoints, keep;
    endpoint_slices: EndpointSlice, keep;
    claims: PersistentVolumeClaim, keep;
    volumes: PersistentVolume, keep;
    attribute_classes: VolumeAttributesClass, keep;
    deployments: Deployment, keep;
    replica_sets: ReplicaSet, keep;
    stateful_sets: StatefulSet, keep;
    daemon_sets: DaemonSet, keep;
    revisions: ControllerRevision, keep;
    jobs: Job, keep;
    autoscalers: HorizontalPodAutoscaler, keep;
    budgets: PodDisruptionBudget, keep;
    cluster_roles: ClusterRole, keep;
    resource_quotas: ResourceQuota, keep;
}

fn watch<K>(informer: Informer<K>, client: &Client, trim: fn(&mut K)) -> Watch
where
    K: Resource<DynamicType = ()> + Clone + std::fmt::Debug + serde::de::DeserializeOwned + Send + Sync + 'static,
{
    let resource = ApiResource::erase::<K>(&());
    let name = if resource.group.is_empty() {
        resource.plural.clone()
    } else {
        format!("{}.{}", resource.plural, resource.group)
    };
    let events = watcher(Api::<K>::all(client.clone()), watcher::Config::default());
    let waiting = informer.clone();
    Watch {
        name,
        run: async move { informer.run(&resource.kind, events, trim).await }.boxed(),
        synced: async move { waiting.synced().await }.boxed(),
    }
}

fn keep<K>(_: &mut K) {}

/// A node reports every image it has; no controller asks.
fn trim_node(node: &mut Node) {
    if let Some(status) = &mut node.status {
        status.images = None;
        status.volumes_attached = None;
        status.volumes_in_use = None;
        status.node_info = None;
    }
}

/// Pods are by far the most numerous objects. Only what decides about them is kept, so a pod from here must never be
/// written back as a whole.
fn trim_pod(pod: &mut Pod) {
    let Some(spec) = &mut pod.spec else { return };
    for container in spec
        .containers
        .iter_mut()
        .chain(spec.init_containers.iter_mut().flatten())
    {
        *container = Container {
            name: std::mem::take(&mut container.name),
            ports: container.ports.take(),
            restart_policy: container.restart_policy.take(),
            // Autoscalers compare measurements with them.
            resources: container.resources.take().and_then(requests),
            ..Container::default()
        };
    }
    // A daemon pod that is not scheduled yet is found by the node its affinity names.
    if let Some(affinity) = &mut spec.affinity {
        affinity.pod_affinity = None;
        affinity.pod_anti_affinity = None;
    }
    spec.ephemeral_containers = None;
    spec.security_context = None;
    spec.topology_spread_constraints = None;
}

fn requests(resources: ResourceRequirements) -> Option<ResourceRequirements> {
    resources
        .requests
        .filter(|requests| !requests.is_empty())
        .map(|requests| ResourceRequirements {
            requests: Some(requests),
            ..ResourceRequirements::default()
        })
}
