//! The settings this version acts on, in the outline of the file.

use crate::checks::check_together;
use crate::experimental::Experimental;
use crate::export::ExportKubeConfig;
use crate::gateways::{GatewayApi, ImportedGateways};
use crate::keys;
use crate::mappings::ObjectMapping;
use crate::namespaces::Namespaces;
use crate::networking::Networking;
use crate::patches::Patch;
use crate::policies::Policies;
use crate::{Error, read};
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// A vcluster.yaml with its defaults.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Config {
    /// The kubeconfig that the host has of the virtual cluster.
    pub export_kube_config: ExportKubeConfig,
    /// Which objects are synced, and how.
    pub sync: Sync,
    #[serde(rename = "serviceCIDR")]
    pub(crate) service_cidr: String,
    /// Names on the network.
    pub networking: Networking,
    /// The processes that make up the virtual cluster.
    pub control_plane: ControlPlane,
    /// Services of the host that the virtual cluster offers, too.
    pub integrations: Integrations,
    /// What pods may ask for and reach.
    pub policies: Policies,
    /// Rights of the syncer on the host.
    pub rbac: Rbac,
    /// Settings that may change.
    pub experimental: Experimental,
    /// The patches of built-in kinds, by the key of their list, such as `sync.toHost.pods.patches`.
    #[serde(skip)]
    pub patches: BTreeMap<String, Vec<Patch>>,
    /// The whole file with the defaults of its keys.
    #[serde(skip)]
    pub document: Value,
}

/// Which objects are synced, and how.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Sync {
    /// From the virtual cluster to the host.
    pub to_host: ToHost,
    /// From the host to the virtual cluster.
    pub from_host: FromHost,
}

/// From the virtual cluster to the host.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ToHost {
    /// Pods.
    pub pods: Pods,
    /// Services.
    pub services: Switch,
    /// Endpoints of Services without a selector.
    pub endpoints: Switch,
    /// EndpointSlices of Services without a selector.
    pub endpoint_slices: Switch,
    /// PersistentVolumeClaims.
    pub persistent_volume_claims: Switch,
    /// PersistentVolumes; needs the right to read and write those of the host.
    pub persistent_volumes: Switch,
    /// VolumeSnapshots.
    pub volume_snapshots: Switch,
    /// VolumeSnapshotContents; needs the right to read and write those of the host.
    pub volume_snapshot_contents: Switch,
    /// ConfigMaps.
    pub config_maps: Selection,
    /// Secrets.
    pub secrets: Selection,
    /// The Gateway API.
    pub gateway_api: GatewayApi,
    /// Ingresses.
    pub ingresses: Switch,
    /// NetworkPolicies.
    pub network_policies: Switch,
    /// PodDisruptionBudgets.
    pub pod_disruption_budgets: Switch,
    /// PriorityClasses.
    pub priority_classes: Switch,
    /// ResourceClaims.
    pub resource_claims: Switch,
    /// ResourceClaimTemplates.
    pub resource_claim_templates: Switch,
    /// ServiceAccounts.
    pub service_accounts: Switch,
    /// StorageClasses.
    pub storage_classes: Switch,
    /// Custom resources, by `<plural>.<group>[/<version>]`.
    pub custom_resources: BTreeMap<String, CustomResource>,
    /// Namespaces, each with one of the host to itself.
    pub namespaces: Namespaces,
}

/// How pods are changed on their way to the host.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Pods {
    /// Whether they are synced.
    pub enabled: bool,
    /// Images to replace, by exact name.
    pub translate_image: BTreeMap<String, String>,
    /// Tolerations that every host pod gets; [`crate::toleration`] reads them.
    pub enforce_tolerations: Vec<String>,
    /// The runtime class of every host pod; empty leaves it to the pod.
    pub runtime_class_name: String,
    /// The priority class of every host pod; empty leaves it to the pod.
    pub priority_class_name: String,
    /// Fully qualified names in the hosts files of pods with a subdomain.
    pub rewrite_hosts: RewriteHosts,
    /// Some pods are assigned to nodes by the host, others in the virtual cluster.
    pub hybrid_scheduling: HybridScheduling,
}

/// Which pods are assigned to nodes by the host although others are in the virtual cluster.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HybridScheduling {
    /// Whether `spec.schedulerName` decides.
    pub enabled: bool,
    /// The schedulers of the host. Its default one is among them unless the virtual cluster has one of its own.
    pub host_schedulers: Vec<String>,
}

/// Fully qualified names in the hosts files of pods with a subdomain.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RewriteHosts {
    /// Whether they are written.
    pub enabled: bool,
    /// The container that writes them.
    pub init_container: InitContainer,
}

/// The container that writes hosts files.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InitContainer {
    /// Its image.
    pub image: Image,
    /// Its resources, as a Kubernetes object.
    pub resources: Value,
}

/// The full name of an image; written as one string or as registry, repository and tag.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Value")]
pub struct Image(pub String);

impl Image {
    /// The image a value of the file stands for.
    pub(crate) fn from_value(value: &Value) -> Option<Self> {
        if let Some(text) = value.as_str() {
            return (!text.is_empty()).then(|| Image(text.to_owned()));
        }
        let parts = value.as_object()?;
        if parts
            .keys()
            .any(|key| !matches!(key.as_str(), "registry" | "repository" | "tag"))
        {
            return None;
        }
        let part = |name: &str| parts.get(name).and_then(Value::as_str).unwrap_or_default();
        let repository = Some(part("repository")).filter(|repository| !repository.is_empty())?;
        let registry = Some(part("registry")).filter(|registry| !registry.is_empty());
        let tag = Some(part("tag")).filter(|tag| !tag.is_empty());
        let name = registry.map_or_else(|| repository.to_owned(), |registry| format!("{registry}/{repository}"));
        Some(Image(tag.map_or_else(|| name.clone(), |tag| format!("{name}:{tag}"))))
    }
}

impl TryFrom<Value> for Image {
    type Error = &'static str;

    fn try_from(value: Value) -> Result<Self, Self::Error> {
        Image::from_value(&value).ok_or("not an image")
    }
}

/// Which objects of a kind are synced.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Selection {
    /// Whether any of them are.
    pub enabled: bool,
    /// All of them, not only those in use.
    pub all: bool,
}

/// From the host to the virtual cluster.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FromHost {
    /// Virtual nodes show the host's labels, capacity and status; needs the right to read nodes.
    pub nodes: Nodes,
    /// Events of host objects appear at their virtual objects.
    pub events: Switch,
    /// IngressClasses.
    pub ingress_classes: Classes,
    /// GatewayClasses.
    pub gateway_classes: Classes,
    /// Gateways, by name.
    pub gateways: ImportedGateways,
    /// PriorityClasses.
    pub priority_classes: Classes,
    /// DeviceClasses.
    pub device_classes: Classes,
    /// RuntimeClasses.
    pub runtime_classes: Classes,
    /// StorageClasses.
    pub storage_classes: Classes,
    /// CSIDrivers.
    pub csi_drivers: AutoSwitch,
    /// CSINodes of the nodes that are shown.
    pub csi_nodes: AutoSwitch,
    /// CSIStorageCapacities.
    pub csi_storage_capacities: AutoSwitch,
    /// VolumeSnapshotClasses.
    pub volume_snapshot_classes: Switch,
    /// ConfigMaps, by name.
    pub config_maps: Imported,
    /// Secrets, by name.
    pub secrets: Imported,
    /// Custom resources, by `<plural>.<group>[/<version>]`.
    pub custom_resources: BTreeMap<String, CustomResource>,
}

/// Objects of the host that the virtual cluster has copies of.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Imported {
    /// Whether it has any.
    pub enabled: bool,
    /// Which of them, and under which names.
    pub mappings: Mappings,
}

/// Names of the host and the names that they have in the virtual cluster.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Mappings {
    /// From the host's name to the virtual one; [`crate::ObjectMapping`] reads a pair.
    pub by_name: BTreeMap<String, String>,
}

impl Imported {
    /// What is copied; nothing when that is switched off.
    pub fn objects(&self) -> Vec<ObjectMapping> {
        match self.enabled {
            true => self.mappings.objects(),
            false => Vec::new(),
        }
    }
}

impl Mappings {
    /// Every pair of names.
    pub fn objects(&self) -> Vec<ObjectMapping> {
        // The reader of the file refuses other forms.
        let pairs = self.by_name.iter();
        pairs
            .filter_map(|(from, to)| ObjectMapping::parse(from, to).ok())
            .collect()
    }
}

/// Nodes of the host that the virtual cluster shows as they are.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Nodes {
    /// Whether it shows any; without, nodes are made up.
    pub enabled: bool,
    /// Changes of labels, taints and schedulability go to the host.
    pub sync_back_changes: bool,
    /// The images that a node has are not shown.
    pub clear_image_status: bool,
    /// Which of them; without a selector those that run pods of the virtual cluster.
    pub selector: NodeSelection,
}

/// Which nodes of the host the virtual cluster shows.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeSelection {
    /// All of them.
    pub all: bool,
    /// Those with these labels; pods run on no others.
    pub labels: BTreeMap<String, String>,
}

/// Custom resources of one kind.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CustomResource {
    /// Whether they are synced.
    #[serde(default)]
    pub enabled: bool,
    /// Whether they lie in namespaces.
    #[serde(default)]
    pub scope: Scope,
    /// How they are changed on their way.
    #[serde(default)]
    pub patches: Vec<Patch>,
    /// Which of them, and under which names; only of those that come from namespaces of the host.
    #[serde(default)]
    pub mappings: Mappings,
}

/// Whether objects lie in namespaces.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub enum Scope {
    /// They do.
    #[default]
    Namespaced,
    /// They do not.
    Cluster,
}

impl Scope {
    /// The scope of objects that lie in namespaces, or do not.
    pub fn of(namespaced: bool) -> Self {
        match namespaced {
            true => Self::Namespaced,
            false => Self::Cluster,
        }
    }
}

/// Classes of the host that the virtual cluster shows.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Classes {
    /// Whether it shows any.
    pub enabled: Auto,
    /// Which of them, as a Kubernetes label selector; an empty one means all.
    pub selector: Value,
}

/// Something that is on, off, or as the rest of the file suggests.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AutoSwitch {
    /// On.
    pub enabled: Auto,
}

/// true, false, or "auto", which is what the rest of the file suggests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum Auto {
    /// As it says.
    Set(bool),
    /// As the rest of the file suggests.
    #[serde(deserialize_with = "auto")]
    Suggested,
}

fn auto<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<(), D::Error> {
    // The reader of the file lets nothing else through.
    String::deserialize(deserializer).map(drop)
}

impl Auto {
    /// Whether it is on, given what the rest of the file suggests.
    pub fn is_on(self, suggested: bool) -> bool {
        match self {
            Auto::Set(on) => on,
            Auto::Suggested => suggested,
        }
    }
}

/// Something that is on or off.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Switch {
    /// On.
    pub enabled: bool,
}

/// The processes that make up the virtual cluster.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ControlPlane {
    /// Kubernetes itself.
    pub distro: Distro,
    /// Settings with good defaults.
    pub advanced: AdvancedControlPlane,
}

/// Kubernetes itself.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Distro {
    /// The only one.
    pub k8s: Kubernetes,
}

/// The parts of Kubernetes.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Kubernetes {
    /// A scheduler of the virtual cluster's own.
    pub scheduler: Switch,
}

/// Settings of the control plane with good defaults.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AdvancedControlPlane {
    /// The older name of the scheduler's switch.
    pub virtual_scheduler: Switch,
}

/// Services of the host that the virtual cluster offers, too.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Integrations {
    /// The API `metrics.k8s.io`.
    pub metrics_server: MetricsServer,
}

/// The API `metrics.k8s.io`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MetricsServer {
    /// Whether it is offered.
    pub enabled: bool,
    /// Measurements of nodes; needs the right to read them on the host.
    pub nodes: bool,
    /// Measurements of pods.
    pub pods: bool,
}

/// Rights of the syncer on the host.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rbac {
    /// Those within the namespace.
    pub role: Role,
    /// Those outside of namespaces.
    pub cluster_role: ClusterRole,
}

/// Rights within the namespace.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Role {
    /// Whether the role is made.
    pub enabled: bool,
    /// What is in it besides, or instead.
    #[serde(flatten)]
    pub rules: Rules,
}

/// Rights outside of namespaces.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClusterRole {
    /// Whether the role is made; as suggested, when anything is in it.
    pub enabled: Auto,
    /// What is in it besides, or instead.
    #[serde(flatten)]
    pub rules: Rules,
}

/// Rules of Kubernetes roles.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rules {
    /// Added to those that the rest of the file needs.
    pub extra_rules: Vec<Value>,
    /// Instead of those, if there are any.
    pub overwrite_rules: Vec<Value>,
}

impl Rules {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.extra_rules.is_empty() && self.overwrite_rules.is_empty()
    }

    /// Whether they let this be done with every object of a resource, which may be a subresource
    /// (`pkg/apis/rbac/v1/evaluation_helpers.go`).
    pub fn allow(&self, group: &str, resource: &str, verb: &str) -> bool {
        let rules = match self.overwrite_rules.as_slice() {
            [] => &self.extra_rules,
            rules => rules,
        };
        let any_of = resource
            .split_once('/')
            .map(|(_, subresource)| format!("*/{subresource}"));
        rules.iter().any(|rule| {
            let has = |field: &str, word: &str| {
                let words = rule[field].as_array().into_iter().flatten();
                let mut words = words.filter_map(Value::as_str);
                words.any(|known| known == word || known == "*")
            };
            let resources = |name: &str| has("resources", name);
            let named = rule["resourceNames"].as_array().is_some_and(|names| !names.is_empty());
            has("apiGroups", group)
                && has("verbs", verb)
                && (resources(resource) || any_of.as_deref().is_some_and(resources))
                && !named
        })
    }
}

impl Config {
    /// Whether the control plane has a scheduler.
    pub fn has_scheduler(&self) -> bool {
        self.control_plane.distro.k8s.scheduler.enabled || self.control_plane.advanced.virtual_scheduler.enabled
    }

    /// Whether any pods are assigned to nodes in the virtual cluster, not by the host.
    pub fn schedules(&self) -> bool {
        self.has_scheduler() || self.sync.to_host.pods.hybrid_scheduling.enabled
    }

    /// What the file says without any effect, one sentence each.
    pub fn without_effect(&self) -> Vec<&'static str> {
        let hybrid = &self.sync.to_host.pods.hybrid_scheduling;
        let idle = hybrid.enabled && hybrid.host_schedulers.is_empty() && self.has_scheduler();
        let docker = &self.document["experimental"]["docker"];
        let in_docker = keys::root()
            .child("experimental")
            .and_then(|section| section.child("docker"));
        [
            (
                idle,
                "sync.toHost.pods.hybridScheduling.hostSchedulers is empty: every pod is scheduled in the virtual cluster",
            ),
            (
                in_docker.is_some_and(|section| section.defaults() != *docker),
                "experimental.docker has no effect: it is about virtual clusters that run in Docker, not in a Pod",
            ),
        ]
        .into_iter()
        .filter_map(|(says, sentence)| says.then_some(sentence))
        .collect()
    }

    /// Reads the text of `file`. A key that does not exist, one of another type, and one whose value this version cannot
    /// honour are errors.
    pub fn parse(file: &str, text: &str) -> Result<Config, Error> {
        let wrong = |line, message| Error {
            file: file.to_owned(),
            line,
            message,
        };
        let document = read::read(text, keys::root()).map_err(|(line, message)| wrong(line, message))?;
        check_together(&document).map_err(|message| wrong(None, message))?;
        let mut config: Config =
            serde_json::from_value(document.clone()).map_err(|error| wrong(None, error.to_string()))?;
        config.patches = patches(&document).map_err(|message| wrong(None, message))?;
        config.document = document;
        Ok(config)
    }
}

/// Every list of patches that is not empty.
fn patches(document: &Value) -> Result<BTreeMap<String, Vec<Patch>>, String> {
    let mut found = BTreeMap::new();
    let mut problem = None;
    keys::root().walk("", &mut |key, _| {
        if !key.ends_with(".patches") {
            return;
        }
        let list = document.pointer(&format!("/{}", key.replace('.', "/"))).cloned();
        match serde_json::from_value::<Vec<Patch>>(list.unwrap_or_default()) {
            Ok(list) if list.is_empty() => {}
            Ok(list) => drop(found.insert(key.to_owned(), list)),
            Err(error) => problem = Some(format!("{key}: {error}")),
        }
    });
    problem.map_or(Ok(found), Err)
}
