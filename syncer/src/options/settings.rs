//! What the flags say, and the vcluster.yaml where they say nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use chassis::usage;
use clap::Parser;
use config::{Config, Scope};
use machinery::names::dns1123_label;
use machinery::selector::label::Selector;
use serde_json::{Value, json};

use super::Options;
use super::file::{
    credentials, custom_resources, from_host, imports, metrics, metrics_addresses, namespaces, patches, pod_security,
    proxied, read_config, replicas, to_host,
};
use crate::deploy::Deployment;
use crate::resources::custom;
use crate::resources::custom::definition::Wanted;
use crate::settings::{GatewaySettings, NodeSettings, PodSettings, RewriteHosts, Scheduling, Settings};

/// Whether a file can be run.
fn is_program(file: &Path) -> bool {
    file.metadata()
        .is_ok_and(|file| file.is_file() && file.mode() & 0o111 != 0)
}

/// The version that virtual nodes report.
const KUBERNETES_VERSION: &str = "v1.36.0";
/// User of the container that writes hosts files when this process is root.
const UNPRIVILEGED: u32 = 1001;

impl Options {
    /// Reads the vcluster.yaml; without one, every key has its default.
    pub fn read_config(&self) -> Result<Config> {
        read_config(self.config.as_deref())
    }

    /// Takes from the file what no flag says about other files.
    pub fn complete(mut self, config: &Config) -> Result<Self> {
        credentials(&mut self, &config.experimental.virtual_cluster_kube_config);
        match self.kubeconfig {
            Some(_) => Ok(self),
            None => Err(usage(
                "--kubeconfig is needed, or experimental.virtualClusterKubeConfig.kubeConfig in the file of --config"
                    .to_owned(),
            )),
        }
    }

    /// What is put into the virtual cluster when this process begins to lead.
    pub fn deployment(&self, config: &Config) -> Result<Deployment> {
        let manifests = config.virtual_manifests(&self.name, &self.target_namespace);
        let deployment = Deployment {
            manifests: manifests.map_err(|problem| self.wrong(&problem))?,
            charts: config.experimental.deploy.vcluster.helm.clone(),
            helm: self.helm_binary.clone(),
            kubeconfig: self.kubeconfig.clone().unwrap_or_default(),
        };
        if deployment.charts.is_empty() || is_program(&self.helm_binary) {
            return Ok(deployment);
        }
        Err(usage(format!(
            "--helm-binary: {} is no program, and experimental.deploy.vcluster.helm needs one: install Helm 3 there",
            self.helm_binary.display()
        )))
    }

    /// Checks what the parser could not, and fills in what depends on other flags.
    pub fn settings(&self, config: &Config) -> Result<Settings> {
        for (flag, value) in [("--name", &self.name), ("--target-namespace", &self.target_namespace)] {
            if !dns1123_label(value).is_empty() {
                return Err(usage(format!(
                    "{flag}: {value:?} is no DNS label: up to 63 lower-case letters, digits and '-', which neither begins nor ends it"
                )));
            }
        }
        let advertised = self.kubelet_advertise_address.unwrap_or(match self.kubelet_address {
            address if address.is_unspecified() => IpAddr::from([127, 0, 0, 1]),
            address => address,
        });
        let pods = &config.sync.to_host.pods;
        let gateways = &config.sync.from_host.gateways;
        gateways
            .check_host_namespace(&self.target_namespace)
            .map_err(|problem| self.wrong(&problem))?;
        Ok(Settings {
            vcluster: self.name.clone(),
            host_namespace: self.target_namespace.clone(),
            service_name: self.service_name.clone().unwrap_or_else(|| self.name.clone()),
            stateful_set: self.stateful_set.clone().unwrap_or_else(|| self.name.clone()),
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
            from_host: from_host(config),
            imports: imports(&config.sync.from_host),
            exports: self.exports(&config.export_kube_config)?,
            metrics_addresses: metrics_addresses(&config.experimental.sync_settings),
            namespaces: namespaces(config, &self.name, &self.target_namespace)
                .map_err(|problem| self.wrong(&problem))?,
            gateways: GatewaySettings::of(gateways),
            replicas: replicas(&config.networking.replicate_services, &self.target_namespace),
            // What the definitions of custom resources say is not known before the host is asked.
            custom: Vec::new(),
            patches: patches(config).map_err(|problem| self.wrong(&problem))?,
            // In namespaces of their own, both sides are to look alike.
            all_config_maps: config.sync.to_host.config_maps.all || config.sync.to_host.namespaces.enabled,
            all_secrets: config.sync.to_host.secrets.all || config.sync.to_host.namespaces.enabled,
            compare_every: Duration::from_secs(self.compare_interval.into()),
            pod_security: pod_security(&config.policies.pod_security_standard),
            pods: PodSettings {
                scheduling: Scheduling::of(config),
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
                ..self.nodes(config)?
            },
            metrics: metrics(&config.integrations.metrics_server),
            monitors: config.experimental.node_monitors.clone(),
            proxied: proxied(&config.experimental.proxy, &self.name, &self.target_namespace),
        })
    }

    /// Says what is wrong with the file.
    pub fn wrong(&self, problem: &str) -> anyhow::Error {
        let file = self
            .config
            .as_ref()
            .map_or_else(String::new, |file| format!("{}: ", file.display()));
        usage(format!("--config: {file}{problem}"))
    }

    /// The settings that decide about rights in the host, and the file: where the clusters are does not matter to them.
    pub fn for_rights(name: &str, target_namespace: &str, file: Option<&Path>) -> Result<(Settings, Config)> {
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
            config: file.map(Path::to_path_buf),
            ..Self::try_parse_from(flags)?
        };
        let config = options.read_config()?;
        let mut settings = options.settings(&config)?;
        for (key, direction, resource) in custom_resources(&config) {
            let kind = Wanted::parse(key).without_definition(resource.scope == Scope::of(true));
            let line = custom::line(kind, direction);
            settings.imports.insert(line.kind, resource.mappings.objects());
            settings.custom.push(line);
        }
        Ok((settings, config))
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
        let rights = &config.rbac.cluster_role.rules;
        let settings = NodeSettings {
            from_host: nodes.enabled,
            selector,
            required_labels: if all { BTreeMap::new() } else { required_labels },
            sync_back: nodes.sync_back_changes,
            clear_images: nodes.clear_image_status,
            scheduled_here: config.schedules(),
            by_ip: kubelets.by_ip,
            by_hostname: kubelets.by_hostname,
            ..NodeSettings::default()
        };
        let ours = nodes.enabled && settings.is_proxied() && rights.overwrite_rules.is_empty();
        Ok(NodeSettings {
            measured: ours || rights.allow("", "nodes/proxy", "get"),
            ..settings
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

/// Labels written as KEY=VALUE.
fn labels(flag: &str, texts: &[String]) -> Result<BTreeMap<String, String>> {
    let read = |text: &String| match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err(usage(format!("{flag}: {text:?} is not KEY=VALUE"))),
    };
    texts.iter().map(read).collect()
}
