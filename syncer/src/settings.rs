//! What was configured, in the form the translations use.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use config::{Config, KubeConfigSecret, NodeMonitor, ObjectMapping, ServiceMapping, ServiceName};
use machinery::pod_security::Standard;
use machinery::selector::label::Selector;
use serde_json::{Value, json};

use crate::kinds::Kind;
use crate::names::{Fixed, Layout, Names, NamespaceRules};
use crate::object::ObjectKey;
use crate::patches::Patches;
use crate::resources::{Direction, Resource};

/// The settings of one syncer.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Name of the virtual cluster.
    pub vcluster: String,
    /// Namespace of the host that holds its objects.
    pub host_namespace: String,
    /// The control plane's Service in that namespace; empty when there is none.
    pub service_name: String,
    /// The control plane's StatefulSet in that namespace; empty when there is none.
    pub stateful_set: String,
    /// DNS domain of the virtual cluster.
    pub cluster_domain: String,
    /// Address of the virtual cluster's DNS when it is not that of `kube-system/kube-dns`.
    pub cluster_dns: Option<IpAddr>,
    /// Whether `kube-system/kube-dns` is kept in the virtual cluster.
    pub dns_service: bool,
    /// Service account of synced pods; empty leaves it to the host.
    pub workload_service_account: String,
    /// Whether host objects are owned by the control plane's Service.
    pub set_owner: bool,
    /// Kinds that are synced to the host.
    pub to_host: BTreeSet<Kind>,
    /// Kinds that are shown in the virtual cluster as they are on the host, and which of their objects.
    pub from_host: BTreeMap<Kind, Selector>,
    /// ConfigMaps and Secrets of the host that the virtual cluster has copies of.
    pub imports: BTreeMap<Kind, Vec<ObjectMapping>>,
    /// Which namespaces of the host virtual ones have to themselves; without, all objects lie in the one of the control plane.
    pub namespaces: Option<NamespaceSettings>,
    /// How Gateways of the host are shown in the virtual cluster.
    pub gateways: GatewaySettings,
    /// Services of one cluster that the other one has, too.
    pub replicas: Replicas,
    /// Custom resources that are synced: their lines of the table.
    pub custom: Vec<&'static Resource>,
    /// How fields are rewritten on their way.
    pub patches: Patches,
    /// Secrets of the host with a kubeconfig of the virtual cluster, by their full names.
    pub exports: Vec<KubeConfigSecret>,
    /// Where metrics are served besides the admin address.
    pub metrics_addresses: Vec<String>,
    /// Every ConfigMap is synced, not only those in use.
    pub all_config_maps: bool,
    /// Every Secret is synced, not only those in use.
    pub all_secrets: bool,
    /// How often both sides are compared with what is known of them; never when zero.
    pub compare_every: Duration,
    /// What every pod has to comply with.
    pub pod_security: Option<Standard>,
    /// How pods are changed on their way.
    pub pods: PodSettings,
    /// What virtual nodes look like, and where pods may run.
    pub nodes: NodeSettings,
    /// Which measurements of `metrics.k8s.io` the virtual cluster offers.
    pub metrics: MetricsSettings,
    /// What the host measures at nodes.
    pub monitors: Vec<NodeMonitor>,
    /// Groups and versions that other virtual clusters answer for.
    pub proxied: Vec<Proxied>,
}

/// A group and version that another virtual cluster of the host answers for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proxied {
    /// The group.
    pub group: String,
    /// The version.
    pub version: String,
    /// The resources, by their plural names; every one when empty.
    pub resources: BTreeSet<String>,
    /// The virtual cluster that answers, and its namespace on the host.
    pub target: ObjectKey,
    /// Only objects that were made through this virtual cluster are shown and can be touched.
    pub owned_only: bool,
}

/// Virtual namespaces have some of the host to themselves.
#[derive(Clone, Debug)]
pub struct NamespaceSettings {
    /// Which one.
    pub rules: NamespaceRules,
    /// Labels that it gets besides.
    pub extra_labels: BTreeMap<String, String>,
    /// What must not change as long as the virtual cluster exists.
    pub fixed: Fixed,
}

impl Settings {
    /// The naming rules.
    pub fn names(&self) -> Names {
        let names = Names::new(&self.vcluster, &self.host_namespace);
        match &self.namespaces {
            Some(namespaces) => names
                .with_layout(Layout::Mapped(namespaces.rules.clone()))
                .with_reserved(Kind::ServiceAccount, &self.workload_service_account),
            None => names,
        }
    }

    /// Every kind of which objects may be known.
    pub fn kinds(&self) -> impl Iterator<Item = Kind> {
        // A kind that vcluster.yaml names as a custom resource is synced as one.
        let custom = self.custom.iter().map(|resource| resource.kind);
        custom.chain(Kind::ALL)
    }

    /// The name of the control plane's own ClusterRole, and of its Roles in other namespaces.
    pub fn cluster_role_name(&self) -> String {
        /// Longest name of a ClusterRole.
        const LONGEST: usize = 63;
        let mut name = format!("vc-{}-v-{}", self.vcluster, self.host_namespace);
        name.truncate(LONGEST);
        name.trim_end_matches('-').to_owned()
    }

    /// The control plane's StatefulSet, if it is to own the Service that owns all copies.
    pub fn owner_of_service(&self) -> Option<&str> {
        let wanted = self.set_owner && !self.service_name.is_empty() && !self.stateful_set.is_empty();
        wanted.then_some(self.stateful_set.as_str())
    }

    /// The Secrets with kubeconfigs that lie in other namespaces of the host: nothing in the control plane's can own them.
    pub fn exports_elsewhere(&self) -> impl Iterator<Item = &KubeConfigSecret> {
        let own = self.host_namespace.as_str();
        self.exports.iter().filter(move |secret| secret.namespace != own)
    }

    /// Whether virtual objects of a kind have copies on the host.
    pub fn is_copied(&self, kind: Kind) -> bool {
        let mut custom = self.custom.iter();
        self.to_host.contains(&kind)
            || custom.any(|resource| resource.kind == kind && resource.direction == Direction::ToHost)
    }

    /// The kind of this group and name, if it is known.
    pub fn kind(&self, group: &str, name: &str) -> Option<Kind> {
        self.kinds().find(|kind| kind.group() == group && kind.name() == name)
    }
}

/// How Gateways of the host are shown in the virtual cluster.
#[derive(Clone, Debug, Default)]
pub struct GatewaySettings {
    /// Which of those that no mapping names one by one.
    pub selector: Selector,
    /// The `allowedRoutes` that their listeners have there; `None` leaves them.
    pub allowed_routes: Option<Value>,
    /// What else holds for some of them, by their names on the host.
    pub overrides: BTreeMap<ObjectKey, GatewayOverride>,
    /// Their addresses are shown.
    pub expose_addresses: bool,
    /// Their names on the host are shown.
    pub expose_source: bool,
    /// The Secrets with their certificates are not shown.
    pub hide_certificates: bool,
    /// What they say about the host's infrastructure is not shown.
    pub hide_infrastructure: bool,
}

impl GatewaySettings {
    /// What vcluster.yaml says.
    pub fn of(config: &config::ImportedGateways) -> Self {
        let allowed = |policy: &config::NamespacePolicy| {
            let mut namespaces = json!({"from": policy.from});
            if policy.from == "Selector" {
                namespaces["selector"] = policy.selector.clone();
            }
            (!policy.from.is_empty()).then(|| json!({"namespaces": namespaces}))
        };
        let routes = &config.allowed_routes;
        // Of several for one Gateway, the first one counts.
        let overrides = routes.overrides.iter().rev().map(|single| {
            let known = GatewayOverride {
                allowed_routes: allowed(&single.virtual_namespace_policy),
                hostnames: single.allowed_hostnames.clone(),
            };
            (ObjectKey::new(&single.host_namespace, &single.name), known)
        });
        Self {
            selector: Selector::of(Some(&config.selector)),
            allowed_routes: allowed(&routes.default_virtual_namespace_policy),
            overrides: overrides.collect(),
            expose_addresses: config.status.expose_addresses,
            expose_source: config.metadata.expose_source_gateway,
            hide_certificates: config.sanitize.certificate_refs,
            hide_infrastructure: config.sanitize.infrastructure,
        }
    }
}

/// What holds for one Gateway of the host.
#[derive(Clone, Debug, Default)]
pub struct GatewayOverride {
    /// The `allowedRoutes` of its listeners; `None` leaves what holds for all.
    pub allowed_routes: Option<Value>,
    /// The host names that routes may ask for; every one when empty.
    pub hostnames: Vec<String>,
}

/// Services of one cluster that the other one has, too.
#[derive(Clone, Debug, Default)]
pub struct Replicas {
    /// Services of the virtual cluster.
    pub to_host: Vec<Replica>,
    /// Services of the host.
    pub from_host: Vec<Replica>,
}

/// A Service and its replica in the other cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replica {
    /// The Service.
    pub from: ObjectKey,
    /// Its replica.
    pub to: ObjectKey,
}

impl Replica {
    /// The replica of a mapping; names without a namespace lie in `host_namespace`.
    pub fn new(mapping: &ServiceMapping, host_namespace: &str) -> Self {
        let key = |name: &ServiceName| ObjectKey::new(name.namespace.as_deref().unwrap_or(host_namespace), &name.name);
        Self {
            from: key(&mapping.from),
            to: key(&mapping.to),
        }
    }
}

/// Where pods are assigned to nodes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Scheduling {
    /// On the host.
    #[default]
    Host,
    /// In the virtual cluster.
    Virtual,
    /// On the host if they name one of these schedulers, else in the virtual cluster.
    ByName(BTreeSet<String>),
}

impl Scheduling {
    /// What vcluster.yaml says.
    pub fn of(config: &Config) -> Self {
        let hybrid = &config.sync.to_host.pods.hybrid_scheduling;
        match (hybrid.enabled, config.has_scheduler()) {
            (false, false) => Self::Host,
            (false, true) => Self::Virtual,
            (true, own) => {
                let default = (!own).then(|| config::DEFAULT_SCHEDULER.to_owned());
                Self::ByName(hybrid.host_schedulers.iter().cloned().chain(default).collect())
            }
        }
    }

    /// Whether this pod is assigned to its node in the virtual cluster.
    pub fn is_virtual(&self, spec: &Value) -> bool {
        match self {
            Self::Host => false,
            Self::Virtual => true,
            Self::ByName(hosts) => {
                let name = spec["schedulerName"].as_str().filter(|name| !name.is_empty());
                !hosts.contains(name.unwrap_or(config::DEFAULT_SCHEDULER))
            }
        }
    }
}

/// How pods are changed on their way to the host.
#[derive(Clone, Debug, Default)]
pub struct PodSettings {
    /// Where they are assigned to nodes.
    pub scheduling: Scheduling,
    /// Images to replace, by exact name.
    pub translate_image: BTreeMap<String, String>,
    /// Tolerations that every host pod gets.
    pub tolerations: Vec<Value>,
    /// Runtime class that every host pod gets.
    pub runtime_class: String,
    /// Priority class that every host pod gets.
    pub priority_class: String,
    /// The container that writes fully qualified names into the hosts file of pods with a subdomain.
    pub rewrite_hosts: Option<RewriteHosts>,
}

/// The container that writes fully qualified names into the hosts file of pods with a subdomain.
#[derive(Clone, Debug)]
pub struct RewriteHosts {
    /// Its image.
    pub image: String,
    /// Its resources.
    pub resources: Value,
    /// User and group it runs as.
    pub user: u32,
}

/// What virtual nodes look like, and where pods may run.
#[derive(Clone, Debug, Default)]
pub struct NodeSettings {
    /// Copies labels, capacity and status of the host's nodes, which needs the right to read them.
    pub from_host: bool,
    /// Which of the host's nodes are shown; without a selector those that run pods of this cluster.
    pub selector: Option<Selector>,
    /// Labels that a node must have to run pods of this cluster.
    pub required_labels: BTreeMap<String, String>,
    /// Changes of labels, taints and schedulability of a virtual node go to the host.
    pub sync_back: bool,
    /// The images that a node has are not shown.
    pub clear_images: bool,
    /// Pods are assigned to nodes in the virtual cluster, at least some of them.
    pub scheduled_here: bool,
    /// Every node has an address of its own: that of a Service on the host.
    pub by_ip: bool,
    /// Every node has a host name of its own.
    pub by_hostname: bool,
    /// The host's kubelets are asked what they measure: there is a right to `nodes/proxy`, of ours or one that the configuration
    /// adds.
    pub measured: bool,
    /// The node of the host that this process runs on, if it is known.
    pub own_node: String,
    /// Address under which the virtual API server reaches this syncer's kubelet API.
    pub kubelet_address: String,
    /// Port of the kubelet API.
    pub kubelet_port: u16,
    /// Version that the virtual nodes report.
    pub version: String,
}

impl NodeSettings {
    /// Whether kubelets of the host are known under addresses or names of their own here.
    pub fn is_proxied(&self) -> bool {
        self.by_ip || self.by_hostname
    }
}

/// Which measurements of `metrics.k8s.io` the virtual cluster offers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MetricsSettings {
    /// Those of nodes.
    pub nodes: bool,
    /// Those of pods.
    pub pods: bool,
}

impl MetricsSettings {
    /// Whether there are any.
    pub fn is_on(self) -> bool {
        self.nodes || self.pods
    }
}
