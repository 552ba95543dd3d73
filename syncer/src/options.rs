//! The command line.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;
use chassis::{CommonOptions, Defaults, usage};
use clap::{ArgAction, Parser};
use config::{Config, CustomResource, Scope};
use machinery::pod_security::{Standard, Version};
use machinery::selector::label::Selector;
use serde_json::{Value, json};

use crate::kinds::Kind;
use crate::patches::{Patches, Rules};
use crate::resources::custom::definition::Wanted;
use crate::resources::{Direction, custom};
use crate::settings::{
    GatewaySettings, MetricsSettings, NodeSettings, PodSettings, Replica, Replicas, RewriteHosts, Settings,
};

/// The version that virtual nodes report.
const KUBERNETES_VERSION: &str = "v1.36.0";
/// User of the container that writes hosts files when this process is root.
const UNPRIVILEGED: u32 = 1001;

/// Syncs objects between a virtual cluster and its host, and plays the kubelet of every virtual node.
#[derive(Clone, Debug, Parser)]
pub struct Options {
    /// Kubeconfig of the virtual cluster
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: PathBuf,

    /// Kubeconfig of the host cluster [default: the service account of this pod]
    #[arg(long, value_name = "FILE")]
    pub host_kubeconfig: Option<PathBuf>,

    /// Name of the virtual cluster
    #[arg(long, value_name = "NAME")]
    pub name: String,

    /// Namespace of the host in which the objects of the virtual cluster live
    #[arg(long, value_name = "NAMESPACE")]
    pub target_namespace: String,

    /// The control plane's Service in that namespace, which owns the synced objects; empty when there is none [default: the
    /// name of the virtual cluster]
    #[arg(long, value_name = "NAME")]
    pub service_name: Option<String>,

    /// Kubeconfig of the virtual cluster to publish as Secret vc-NAME of that namespace, for those who use it
    #[arg(long, value_name = "FILE")]
    pub export_kubeconfig: Option<PathBuf>,

    /// Where the name mappings are kept: the store of the virtual API server, as http://HOST:PORT or unix:///path
    #[arg(long, value_name = "URL")]
    pub etcd_servers: String,

    /// Run only while holding a lease in the virtual cluster, so that several syncers can stand by
    #[arg(long, value_name = "BOOL", default_value_t = false, action = ArgAction::Set, num_args = 0..=1,
          default_missing_value = "true")]
    pub leader_elect: bool,

    /// How often what is known of both clusters is compared with what is there, in seconds: finds what a watch has not shown;
    /// 0 turns it off
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    pub compare_interval: u32,

    /// The vcluster.yaml; what other flags say goes before it [default: the defaults of every key]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// DNS domain of the virtual cluster [default: networking.advanced.clusterDomain of --config]
    #[arg(long, value_name = "DOMAIN", help_heading = "Pods")]
    pub cluster_domain: Option<String>,

    /// Address of the virtual cluster's DNS server [default: the cluster IP of kube-system/kube-dns]
    #[arg(long, value_name = "IP", help_heading = "Pods")]
    pub cluster_dns: Option<IpAddr>,

    /// Keep the Service kube-system/kube-dns, which leads to the DNS server of the control plane
    #[arg(long, value_name = "BOOL", default_value_t = true, action = ArgAction::Set, help_heading = "Pods")]
    pub dns_service: bool,

    /// Service account of synced pods on the host; empty leaves it to the host [default: vc-workload-NAME]
    #[arg(long, value_name = "NAME", help_heading = "Pods")]
    pub workload_service_account: Option<String>,

    /// Image of the init container that writes the fully qualified name of pods with a subdomain into their hosts file;
    /// empty turns it off [default: sync.toHost.pods.rewriteHosts of --config]
    #[arg(long, value_name = "IMAGE", help_heading = "Pods")]
    pub rewrite_hosts_image: Option<String>,

    /// Labels that a node of the host must have to run pods of the virtual cluster and to be shown in it
    /// [default: sync.fromHost.nodes.selector.labels of --config]
    #[arg(long, value_name = "KEY=VALUE,...", value_delimiter = ',', help_heading = "Nodes")]
    pub node_selector: Vec<String>,

    /// Tolerations that every pod gets on the host, as *, KEY, KEY=VALUE or KEY[=VALUE]:EFFECT; what they tolerate is not
    /// shown on nodes [default: sync.toHost.pods.enforceTolerations of --config]
    #[arg(long, value_name = "TOLERATION,...", value_delimiter = ',', help_heading = "Nodes")]
    pub tolerations: Vec<String>,

    /// The node of the host that this process runs on, which a cluster autoscaler is asked to keep
    #[arg(
        long,
        value_name = "NAME",
        env = "NODE_NAME",
        default_value = "",
        hide_env_values = true,
        help_heading = "Nodes"
    )]
    pub node_name: String,

    /// Address to serve the kubelet API on
    #[arg(long, value_name = "IP", default_value = "0.0.0.0", help_heading = "Kubelet")]
    pub kubelet_address: IpAddr,

    /// Port to serve the kubelet API on; 0 takes a free one
    #[arg(long, value_name = "PORT", default_value_t = 10250, help_heading = "Kubelet")]
    pub kubelet_port: u16,

    /// Address under which the virtual API server reaches the kubelet API [default: --kubelet-address, or 127.0.0.1 when
    /// that is every address]
    #[arg(long, value_name = "IP", help_heading = "Kubelet")]
    pub kubelet_advertise_address: Option<IpAddr>,

    /// Certificate of the kubelet API [default: a self-signed one]
    #[arg(
        long,
        value_name = "FILE",
        requires = "tls_private_key_file",
        help_heading = "Kubelet"
    )]
    pub tls_cert_file: Option<PathBuf>,

    /// Key of that certificate
    #[arg(long, value_name = "FILE", requires = "tls_cert_file", help_heading = "Kubelet")]
    pub tls_private_key_file: Option<PathBuf>,

    /// Authority that signs the certificate of the kubelet API, which then names the addresses of all nodes
    #[arg(
        long,
        value_name = "FILE",
        requires = "tls_signing_key_file",
        conflicts_with = "tls_cert_file",
        help_heading = "Kubelet"
    )]
    pub tls_signing_cert_file: Option<PathBuf>,

    /// Key of that authority
    #[arg(
        long,
        value_name = "FILE",
        requires = "tls_signing_cert_file",
        help_heading = "Kubelet"
    )]
    pub tls_signing_key_file: Option<PathBuf>,

    /// Authorities of the client certificates that may use the kubelet API; without it only /healthz is answered
    #[arg(long, value_name = "FILE", help_heading = "Kubelet")]
    pub client_ca_file: Option<PathBuf>,

    #[command(flatten)]
    pub common: CommonOptions,
}

impl chassis::Options for Options {
    const DEFAULTS: Defaults = Defaults {
        admin_bind_address: Some("127.0.0.1:8082"),
        grpc_bind_address: Some("127.0.0.1:9092"),
        ..Defaults::NONE
    };

    fn common(&self) -> &CommonOptions {
        &self.common
    }
}

impl Options {
    /// Checks what the parser could not, and fills in what depends on other flags.
    pub fn settings(&self) -> Result<Settings> {
        for (flag, value) in [("--name", &self.name), ("--target-namespace", &self.target_namespace)] {
            if !is_dns_label(value) {
                return Err(usage(format!(
                    "{flag}: {value:?} is no DNS label: up to 63 lower-case letters, digits and '-', which neither begins nor ends it"
                )));
            }
        }
        let advertised = self.kubelet_advertise_address.unwrap_or(match self.kubelet_address {
            address if address.is_unspecified() => IpAddr::from([127, 0, 0, 1]),
            address => address,
        });
        let config = read_config(self.config.as_deref())?;
        let pods = &config.sync.to_host.pods;
        let gateways = &config.sync.from_host.gateways;
        gateways
            .check_host_namespace(&self.target_namespace)
            .map_err(|problem| self.wrong(&problem))?;
        Ok(Settings {
            vcluster: self.name.clone(),
            host_namespace: self.target_namespace.clone(),
            service_name: self.service_name.clone().unwrap_or_else(|| self.name.clone()),
            cluster_domain: self
                .cluster_domain
                .clone()
                .unwrap_or_else(|| config.networking.advanced.cluster_domain.clone()),
            cluster_dns: self.cluster_dns,
            dns_service: self.dns_service,
            workload_service_account: self
                .workload_service_account
                .clone()
                .unwrap_or_else(|| format!("vc-workload-{}", self.name)),
            set_owner: config.experimental.sync_settings.set_owner,
            to_host: to_host(&config.sync.to_host),
            from_host: from_host(&config),
            imports: imports(&config.sync.from_host),
            exports: self.exports(&config.export_kube_config)?,
            metrics_addresses: metrics_addresses(&config.experimental.sync_settings),
            gateways: GatewaySettings::of(gateways),
            replicas: replicas(&config.networking.replicate_services, &self.target_namespace),
            // What the definitions of custom resources say is not known before the host is asked.
            custom: Vec::new(),
            patches: patches(&config).map_err(|problem| self.wrong(&problem))?,
            all_config_maps: config.sync.to_host.config_maps.all,
            all_secrets: config.sync.to_host.secrets.all,
            compare_every: Duration::from_secs(self.compare_interval.into()),
            pod_security: pod_security(&config.policies.pod_security_standard),
            pods: PodSettings {
                translate_image: pods.translate_image.clone(),
                tolerations: self.enforced_tolerations(&pods.enforce_tolerations)?,
                runtime_class: pods.runtime_class_name.clone(),
                priority_class: pods.priority_class_name.clone(),
                rewrite_hosts: self.rewrite_hosts(&pods.rewrite_hosts),
            },
            nodes: NodeSettings {
                kubelet_address: advertised.to_string(),
                kubelet_port: self.kubelet_port,
                version: KUBERNETES_VERSION.to_owned(),
                own_node: self.node_name.clone(),
                ..self.nodes(&config)?
            },
            metrics: metrics(&config.integrations.metrics_server),
        })
    }

    /// The custom resources that are synced: the key of vcluster.yaml, its direction, and how they are changed.
    pub fn custom_resources(&self) -> Result<Vec<(String, Direction, CustomResource)>> {
        let sync = read_config(self.config.as_deref())?.sync;
        let of = |direction, section: BTreeMap<String, CustomResource>| {
            let enabled = section.into_iter().filter(|(_, resource)| resource.enabled);
            enabled.map(move |(key, resource)| (key, direction, resource))
        };
        let to_host = of(Direction::ToHost, sync.to_host.custom_resources);
        Ok(to_host
            .chain(of(Direction::FromHost, sync.from_host.custom_resources))
            .collect())
    }

    /// Says what is wrong with the file.
    pub fn wrong(&self, problem: &str) -> anyhow::Error {
        let file = self
            .config
            .as_ref()
            .map_or_else(String::new, |file| format!("{}: ", file.display()));
        usage(format!("--config: {file}{problem}"))
    }

    /// The settings that decide about rights in the host: where the clusters are does not matter to them.
    pub fn for_rights(name: &str, target_namespace: &str, config: Option<&Path>) -> Result<Settings> {
        let flags = [
            "syncer".into(),
            "--kubeconfig=-".into(),
            "--etcd-servers=-".into(),
            // Whether there will be one is not known; what the configuration says about it takes rights.
            "--export-kubeconfig=-".into(),
            format!("--name={name}"),
            format!("--target-namespace={target_namespace}"),
        ];
        let options = Self {
            config: config.map(Path::to_path_buf),
            ..Self::try_parse_from(flags)?
        };
        let mut settings = options.settings()?;
        for (key, direction, resource) in options.custom_resources()? {
            let kind = Wanted::parse(&key).without_definition(resource.scope == Scope::of(true));
            let line = custom::line(kind, direction);
            settings.imports.insert(line.kind, resource.mappings.objects());
            settings.custom.push(line);
        }
        Ok(settings)
    }

    fn enforced_tolerations(&self, configured: &[String]) -> Result<Vec<Value>> {
        let (texts, source) = match self.tolerations.as_slice() {
            [] => (configured, "sync.toHost.pods.enforceTolerations"),
            flags => (flags, "--tolerations"),
        };
        let read = |text: &String| {
            config::toleration(text).ok_or_else(|| {
                usage(format!(
                    "{source}: {text:?} is not *, KEY, KEY=VALUE or KEY[=VALUE]:EFFECT"
                ))
            })
        };
        texts.iter().map(read).collect()
    }

    /// What is known of nodes from the file and the flags about selection.
    fn nodes(&self, config: &Config) -> Result<NodeSettings> {
        let nodes = &config.sync.from_host.nodes;
        let required_labels = match self.node_selector.as_slice() {
            [] => nodes.selector.labels.clone(),
            flags => labels("--node-selector", flags)?,
        };
        let all = nodes.selector.all && self.node_selector.is_empty();
        let selector = if all {
            Some(Selector::default())
        } else if !required_labels.is_empty() {
            Some(Selector::of_labels(Some(&json!(required_labels))))
        } else {
            // Who schedules has to see the nodes that run nothing yet.
            config.schedules().then(Selector::default)
        };
        let kubelets = &config.networking.advanced.proxy_kubelets;
        Ok(NodeSettings {
            from_host: nodes.enabled,
            selector,
            required_labels: if all { BTreeMap::new() } else { required_labels },
            sync_back: nodes.sync_back_changes,
            clear_images: nodes.clear_image_status,
            scheduled_here: config.schedules(),
            by_ip: kubelets.by_ip,
            by_hostname: kubelets.by_hostname,
            ..NodeSettings::default()
        })
    }

    /// The Secrets with a kubeconfig, if there is one to publish.
    fn exports(&self, config: &config::ExportKubeConfig) -> Result<Vec<config::KubeConfigSecret>> {
        if self.export_kubeconfig.is_none() {
            let defaults = Config::parse("", "").map(|defaults| defaults.export_kube_config);
            return if defaults.as_ref() == Ok(config) {
                Ok(Vec::new())
            } else {
                Err(usage(
                    "--config: exportKubeConfig needs --export-kubeconfig, the kubeconfig to publish".to_owned(),
                ))
            };
        }
        let mut secrets = config.secrets();
        let mut names = BTreeSet::new();
        for secret in &mut secrets {
            if secret.name.is_empty() {
                secret.name = format!("vc-{}", self.name);
            }
            if secret.namespace.is_empty() {
                secret.namespace.clone_from(&self.target_namespace);
            }
            if !names.insert((secret.namespace.clone(), secret.name.clone())) {
                let (namespace, name) = (&secret.namespace, &secret.name);
                return Err(usage(format!(
                    "--config: exportKubeConfig would write the Secret {namespace}/{name} twice"
                )));
            }
        }
        Ok(secrets)
    }

    fn rewrite_hosts(&self, config: &config::RewriteHosts) -> Option<RewriteHosts> {
        // As in the container image: whoever runs the syncer may run this, too.
        let user = std::fs::metadata("/proc/self").map_or(0, |process| process.uid());
        let image = match &self.rewrite_hosts_image {
            Some(image) => Some(image).filter(|image| !image.is_empty()),
            None => Some(&config.init_container.image.0).filter(|_| config.enabled),
        };
        image.map(|image| RewriteHosts {
            image: image.clone(),
            resources: config.init_container.resources.clone(),
            user: if user == 0 { UNPRIVILEGED } else { user },
        })
    }
}

/// Reads a vcluster.yaml; without one, every key has its default.
pub(crate) fn read_config(file: Option<&Path>) -> Result<Config> {
    let (name, text) = match file {
        // An empty file has the defaults.
        None => (String::new(), String::new()),
        Some(file) => {
            let text = std::fs::read_to_string(file)
                .map_err(|error| usage(format!("--config: cannot read {}: {error}", file.display())))?;
            (file.display().to_string(), text)
        }
    };
    Config::parse(&name, &text).map_err(|error| usage(format!("--config: {error}")))
}

/// The newest rules of a level; nothing when the level is not said.
fn pod_security(level: &str) -> Option<Standard> {
    // The reader of the file lets no other word through.
    level.parse().ok().map(|level| Standard {
        level,
        version: Version::Latest,
    })
}

fn to_host(config: &config::ToHost) -> BTreeSet<Kind> {
    let switches = [
        (Kind::Pod, config.pods.enabled),
        (Kind::Service, config.services.enabled),
        (Kind::Endpoints, config.endpoints.enabled),
        (Kind::EndpointSlice, config.endpoint_slices.enabled),
        (Kind::ConfigMap, config.config_maps.enabled),
        (Kind::Secret, config.secrets.enabled),
        (Kind::PersistentVolumeClaim, config.persistent_volume_claims.enabled),
        (Kind::PersistentVolume, config.persistent_volumes.enabled),
        (Kind::VolumeSnapshot, config.volume_snapshots.enabled),
        (Kind::VolumeSnapshotContent, config.volume_snapshot_contents.enabled),
        (Kind::Ingress, config.ingresses.enabled),
        (Kind::NetworkPolicy, config.network_policies.enabled),
        (Kind::PodDisruptionBudget, config.pod_disruption_budgets.enabled),
        (Kind::PriorityClass, config.priority_classes.enabled),
        (Kind::ResourceClaim, config.resource_claims.enabled),
        (Kind::ResourceClaimTemplate, config.resource_claim_templates.enabled),
        (Kind::ServiceAccount, config.service_accounts.enabled),
        (Kind::StorageClass, config.storage_classes.enabled),
        (Kind::Gateway, config.gateway_api.syncs_gateways()),
        (Kind::HttpRoute, config.gateway_api.syncs_http_routes()),
        (Kind::TlsRoute, config.gateway_api.tls_routes.enabled),
        (Kind::BackendTlsPolicy, config.gateway_api.backend_tls_policies.enabled),
        (Kind::ReferenceGrant, config.gateway_api.syncs_reference_grants()),
    ];
    switches
        .into_iter()
        .filter_map(|(kind, on)| on.then_some(kind))
        .collect()
}

fn from_host(config: &Config) -> BTreeMap<Kind, Selector> {
    let from_host = &config.sync.from_host;
    // Where pods are scheduled by the host, the virtual cluster need not know what storage there is.
    let schedules = config.schedules();
    let selected = |selection: &config::Classes, suggested: bool| {
        selection
            .enabled
            .is_on(suggested)
            .then(|| Selector::of(Some(&selection.selector)))
    };
    let all = |on: bool| on.then(Selector::default);
    let kinds = [
        (Kind::Event, all(from_host.events.enabled)),
        (Kind::IngressClass, selected(&from_host.ingress_classes, false)),
        (Kind::PriorityClass, selected(&from_host.priority_classes, false)),
        (
            Kind::GatewayClass,
            // Who makes Gateways, or sees them, has to know their classes.
            (from_host.gateway_classes.enabled.is_on(false)
                || from_host.gateways.enabled
                || config.sync.to_host.gateway_api.enabled)
                .then(|| Selector::of(Some(&from_host.gateway_classes.selector))),
        ),
        (Kind::DeviceClass, selected(&from_host.device_classes, false)),
        (Kind::RuntimeClass, selected(&from_host.runtime_classes, false)),
        (
            Kind::StorageClass,
            selected(
                &from_host.storage_classes,
                schedules && !config.sync.to_host.storage_classes.enabled,
            ),
        ),
        (Kind::CsiDriver, all(from_host.csi_drivers.enabled.is_on(schedules))),
        (Kind::CsiNode, all(from_host.csi_nodes.enabled.is_on(schedules))),
        (
            Kind::CsiStorageCapacity,
            all(from_host.csi_storage_capacities.enabled.is_on(schedules)),
        ),
        (
            Kind::VolumeSnapshotClass,
            all(from_host.volume_snapshot_classes.enabled),
        ),
    ];
    kinds
        .into_iter()
        .filter_map(|(kind, selector)| Some((kind, selector?)))
        .collect()
}

fn imports(config: &config::FromHost) -> BTreeMap<Kind, Vec<config::ObjectMapping>> {
    let gateways = match config.gateways.enabled {
        true => config.gateways.mappings.objects(),
        false => Vec::new(),
    };
    let kinds = [
        (Kind::ConfigMap, config.config_maps.objects()),
        (Kind::Secret, config.secrets.objects()),
        (Kind::Gateway, gateways),
    ];
    kinds.into_iter().filter(|(_, objects)| !objects.is_empty()).collect()
}

fn replicas(config: &config::ReplicateServices, host_namespace: &str) -> Replicas {
    let all = |mappings: Vec<config::ServiceMapping>| {
        let mappings = mappings.iter();
        mappings.map(|mapping| Replica::new(mapping, host_namespace)).collect()
    };
    Replicas {
        to_host: all(config.to_host()),
        from_host: all(config.from_host()),
    }
}

fn metrics(config: &config::MetricsServer) -> MetricsSettings {
    MetricsSettings {
        nodes: config.enabled && config.nodes,
        pods: config.enabled && config.pods,
    }
}

/// Labels written as KEY=VALUE.
fn labels(flag: &str, texts: &[String]) -> Result<BTreeMap<String, String>> {
    let read = |text: &String| match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err(usage(format!("{flag}: {text:?} is not KEY=VALUE"))),
    };
    texts.iter().map(read).collect()
}

/// The patches of built-in kinds. The key of a kind in vcluster.yaml is its plural, with capitals.
fn patches(config: &Config) -> Result<Patches, String> {
    let mut all = Patches::new(config.document.clone());
    for (key, patches) in &config.patches {
        let mut words = key.split('.').skip(1);
        let direction = match words.next() {
            Some("toHost") => Direction::ToHost,
            _ => Direction::FromHost,
        };
        // Before the last word, which says that these are patches.
        let section = key.rsplit('.').nth(1).unwrap_or_default();
        let kind = Kind::ALL
            .into_iter()
            .find(|kind| kind.plural().eq_ignore_ascii_case(section));
        let rules = Rules {
            key: key.clone(),
            patches: patches.clone(),
        };
        all.add(
            direction,
            kind.ok_or_else(|| format!("{key} is not supported yet: remove it"))?,
            rules,
        )?;
    }
    Ok(all)
}

fn metrics_addresses(config: &config::SyncSettings) -> Vec<String> {
    let addresses = [&config.host_metrics_bind_address, &config.virtual_metrics_bind_address];
    let mut addresses: Vec<String> = addresses.into_iter().cloned().collect();
    addresses.retain(|address| !matches!(address.as_str(), "" | "0"));
    addresses.dedup();
    addresses
}

fn is_dns_label(text: &str) -> bool {
    let edge = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = text.as_bytes();
    bytes.len() <= 63
        && edge(bytes.first())
        && edge(bytes.last())
        && bytes
            .iter()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || *byte == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(more: &[&str]) -> Result<Settings> {
        let required = [
            "syncer",
            "--kubeconfig=k",
            "--name=vc",
            "--target-namespace=host",
            "--etcd-servers=unix:///s",
        ];
        Options::try_parse_from(required.iter().chain(more))?.settings()
    }

    #[test]
    fn defaults_follow_the_name() {
        let settings = parse(&[]).expect("valid");
        assert_eq!(settings.service_name, "vc");
        assert_eq!(settings.workload_service_account, "vc-workload-vc");
        assert_eq!(settings.nodes.kubelet_address, "127.0.0.1");
        let settings = parse(&[
            "--kubelet-address=10.0.0.5",
            "--service-name=",
            "--workload-service-account=",
        ]);
        let settings = settings.expect("valid");
        assert_eq!(settings.nodes.kubelet_address, "10.0.0.5");
        assert!(settings.service_name.is_empty() && settings.workload_service_account.is_empty());
    }

    #[test]
    fn the_file_is_read_and_flags_go_before_it() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("vcluster.yaml");
        let flag = format!("--config={}", file.display());
        let write = |text: &str| std::fs::write(&file, text).expect("written");
        write(
            "sync:\n  toHost:\n    secrets: {all: true}\n    pods:\n      enforceTolerations: ['*']\n  fromHost:\n    \
             events: {enabled: false}\nnetworking:\n  advanced: {clusterDomain: a.internal}\n",
        );
        let settings = parse(&[&flag]).expect("valid");
        assert!(settings.all_secrets && !settings.all_config_maps && settings.from_host.is_empty());
        assert_eq!(settings.cluster_domain, "a.internal");
        assert_eq!(settings.pods.tolerations, [serde_json::json!({"operator": "Exists"})]);
        let hosts = settings.pods.rewrite_hosts.expect("on by default");
        assert_eq!(hosts.image, "mirror.gcr.io/library/alpine:3.20");
        let settings = parse(&[&flag, "--cluster-domain=b.internal", "--rewrite-hosts-image="]).expect("valid");
        assert_eq!(settings.cluster_domain, "b.internal");
        assert!(settings.pods.rewrite_hosts.is_none());
        write("sync:\n  toHost:\n    pods:\n      rewriteHosts: {enabled: false}\n");
        assert!(parse(&[&flag]).expect("valid").pods.rewrite_hosts.is_none());
        write(
            "sync:\n  toHost:\n    ingresses: {enabled: true}\n    secrets: {enabled: false}\n  fromHost:\n    storageClasses:\n      enabled: true\n      \
               selector: {matchLabels: {tier: gold}}\n",
        );
        let settings = parse(&[&flag]).expect("valid");
        let defaults = parse(&[]).expect("valid").to_host;
        let expected = defaults.iter().copied().filter(|kind| *kind != Kind::Secret);
        assert_eq!(settings.to_host, expected.chain([Kind::Ingress]).collect());
        assert_eq!(defaults.len(), 7);
        assert!(settings.from_host[&Kind::StorageClass].matches_labels(Some(&serde_json::json!({"tier": "gold"}))));
        assert!(!settings.from_host[&Kind::StorageClass].matches_labels(None));
        write("exportKubeConfig: {additionalSecrets: [{namespace: tools}]}\n");
        let error = parse(&[&flag]).expect_err("nothing to publish").to_string();
        assert!(error.contains("exportKubeConfig needs --export-kubeconfig"), "{error}");
        let settings = parse(&[&flag, "--export-kubeconfig=k"]).expect("valid");
        let names: Vec<String> = settings
            .exports
            .iter()
            .map(|secret| format!("{}/{}", secret.namespace, secret.name))
            .collect();
        assert_eq!(names, ["host/vc-vc", "tools/vc-vc"]);
        write("exportKubeConfig: {secret: {name: vc-vc}}\n");
        let error = parse(&[&flag, "--export-kubeconfig=k"]).expect_err("twice").to_string();
        assert!(error.contains("the Secret host/vc-vc twice"), "{error}");
        write("experimental: {syncSettings: {hostMetricsBindAddress: ':9', virtualMetricsBindAddress: '0'}}\n");
        assert_eq!(parse(&[&flag]).expect("valid").metrics_addresses, [":9"]);
        write("sync:\n  toHost:\n    gatewayApi: {patches: [{path: spec, labels: {}}]}\n");
        let error = parse(&[&flag]).expect_err("not supported").to_string();
        assert!(
            error.ends_with("vcluster.yaml:3: sync.toHost.gatewayApi.patches is not supported yet: remove it"),
            "{error}"
        );
    }

    #[test]
    fn the_gateway_api_is_switched_on_by_kinds_or_as_a_whole() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("vcluster.yaml");
        let flag = format!("--config={}", file.display());
        let parsed = |text: &str| {
            std::fs::write(&file, text).expect("written");
            parse(&[&flag])
        };
        let kinds = |settings: &Settings| -> Vec<Kind> {
            let synced = settings.to_host.iter().chain(settings.from_host.keys());
            let mut kinds: Vec<Kind> = synced.copied().collect();
            kinds.retain(|kind| kind.group() == crate::kinds::GATEWAY_API);
            kinds.sort();
            kinds
        };
        let settings = parsed("sync: {toHost: {gatewayApi: {enabled: true}}}\n").expect("valid");
        assert_eq!(kinds(&settings), [Kind::GatewayClass, Kind::Gateway, Kind::HttpRoute]);
        let settings = parsed(
            "sync: {toHost: {gatewayApi: {referenceGrants: {enabled: true}, backendTLSPolicies: {enabled: true}, tlsRoutes: \
             {enabled: true, patches: [{path: spec, expression: value}]}}}}\n",
        )
        .expect("valid");
        assert_eq!(
            kinds(&settings),
            [Kind::TlsRoute, Kind::BackendTlsPolicy, Kind::ReferenceGrant]
        );
        assert!(settings.patches.of(Direction::ToHost, Kind::TlsRoute).is_some());

        let import = |target: &str| {
            parsed(&format!(
                "sync: {{fromHost: {{gateways: {{enabled: true, mappings: {{byName: {{infra/edge: {target}/edge}}}}, allowedRoutes: \
                 {{defaultVirtualNamespacePolicy: {{from: All}}, overrides: [{{hostNamespace: infra, name: edge, \
                 virtualNamespacePolicy: {{from: Selector, selector: {{matchLabels: {{a: b}}}}}}}}]}}}}}}}}\n"
            ))
        };
        let settings = import("team").expect("valid");
        assert_eq!(kinds(&settings), [Kind::GatewayClass]);
        assert_eq!(settings.imports[&Kind::Gateway].len(), 1);
        let gateways = &settings.gateways;
        assert!(gateways.hide_certificates && gateways.hide_infrastructure && !gateways.expose_addresses);
        assert_eq!(gateways.allowed_routes, Some(json!({"namespaces": {"from": "All"}})));
        let single = &gateways.overrides[&crate::object::ObjectKey::new("infra", "edge")];
        assert_eq!(
            single.allowed_routes,
            Some(json!({"namespaces": {"from": "Selector", "selector": {"matchLabels": {"a": "b"}}}}))
        );
        let error = import("host").expect_err("reserved").to_string();
        assert!(
            error.ends_with("mappings.byName target namespace \"host\" is reserved"),
            "{error}"
        );
    }

    #[test]
    fn nodes_are_selected_and_tolerations_enforced_by_flags() {
        let settings = parse(&["--node-selector=team=a,zone=", "--tolerations=team=a:NoSchedule,*"]).expect("valid");
        let nodes = &settings.nodes;
        assert_eq!(nodes.required_labels["team"], "a");
        let selector = nodes.selector.as_ref().expect("a selector");
        assert!(selector.matches_labels(Some(&json!({"team": "a", "zone": ""}))));
        assert!(!selector.matches_labels(Some(&json!({"team": "b", "zone": ""}))));
        assert_eq!(settings.pods.tolerations.len(), 2);
        assert!(nodes.by_ip && nodes.by_hostname && !nodes.from_host && !settings.metrics.is_on());
        assert!(parse(&[]).expect("valid").nodes.selector.is_none());
    }

    #[test]
    fn errors_name_the_flag() {
        let table: [(&[&str], &str); 6] = [
            (&["--node-selector=team"], "--node-selector"),
            (&["--tolerations=a:Never"], "--tolerations"),
            (&["--cluster-dns=example"], "--cluster-dns"),
            (&["--tls-cert-file=c"], "--tls-private-key-file"),
            (&["--kubelet-port=70000"], "--kubelet-port"),
            (&["--leader-elect=perhaps"], "--leader-elect"),
        ];
        for (flags, named) in table {
            let error = parse(flags).expect_err("invalid").to_string();
            assert!(error.contains(named), "{error}");
        }
        let bad = Options::try_parse_from([
            "syncer",
            "--kubeconfig=k",
            "--name=Vc",
            "--target-namespace=h",
            "--etcd-servers=u",
        ]);
        let error = bad.expect("parses").settings().expect_err("no DNS label").to_string();
        assert!(error.starts_with("--name: \"Vc\""), "{error}");
    }
}
