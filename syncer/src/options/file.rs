//! What the vcluster.yaml says alone, whatever the flags are: a table of its switches for each direction.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::Result;
use chassis::usage;
use config::{AccessResources, Config, CustomResource};
use machinery::pod_security::{Standard, Version};
use machinery::selector::label::Selector;

use super::Options;
use crate::kinds::Kind;
use crate::names::{Fixed, NamespaceRules};
use crate::object::ObjectKey;
use crate::patches::{Patches, Rules};
use crate::resources::{Direction, gateway};
use crate::settings::{MetricsSettings, NamespaceSettings, Proxied, Replica, Replicas};

/// The key of patches for every kind of the Gateway API.
const GATEWAY_API: &str = "sync.toHost.gatewayApi.patches";

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

/// Fills in the files that no flag names.
pub(super) fn credentials(options: &mut Options, config: &config::VirtualKubeConfig) {
    let fill = |flag: &mut Option<PathBuf>, file: &str| {
        if flag.is_none() && !file.is_empty() {
            *flag = Some(file.into());
        }
    };
    fill(&mut options.kubeconfig, &config.kube_config);
    fill(&mut options.client_ca_file, &config.client_ca_cert);
    fill(
        &mut options.requestheader_client_ca_file,
        &config.request_header_ca_cert,
    );
    // A certificate that is there already needs no authority to sign it.
    if options.tls_cert_file.is_none() && options.tls_signing_cert_file.is_none() {
        fill(&mut options.tls_signing_cert_file, &config.server_ca_cert);
        fill(&mut options.tls_signing_key_file, &config.server_ca_key);
    }
}

/// The newest rules of a level; nothing when the level is not said.
pub(super) fn pod_security(level: &str) -> Option<Standard> {
    // The reader of the file lets no other word through.
    level.parse().ok().map(|level| Standard {
        level,
        version: Version::Latest,
    })
}

pub(super) fn to_host(config: &config::ToHost) -> BTreeSet<Kind> {
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
        (
            Kind::ReferenceGrant,
            config.gateway_api.syncs_reference_grants(config.namespaces.enabled),
        ),
        (Kind::Namespace, config.namespaces.enabled),
    ];
    switches
        .into_iter()
        .filter_map(|(kind, on)| on.then_some(kind))
        .collect()
}

/// The namespaces of the host that virtual ones have to themselves; what does not work with them is said.
pub(super) fn namespaces(
    config: &Config,
    vcluster: &str,
    control_plane: &str,
) -> Result<Option<NamespaceSettings>, String> {
    let namespaces = &config.sync.to_host.namespaces;
    if !namespaces.enabled {
        return Ok(None);
    }
    let pairs = namespaces.pairs(vcluster, control_plane)?;
    Ok(Some(NamespaceSettings {
        rules: NamespaceRules::new(control_plane, &pairs),
        extra_labels: namespaces.extra_labels.clone(),
        fixed: Fixed {
            enabled: true,
            mappings_only: namespaces.mappings_only,
            by_name: namespaces.mappings.by_name.clone(),
            patches: config.document["sync"]["toHost"]["namespaces"]["patches"].clone(),
        },
    }))
}

pub(super) fn from_host(config: &Config) -> BTreeMap<Kind, Selector> {
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

pub(super) fn imports(config: &config::FromHost) -> BTreeMap<Kind, Vec<config::ObjectMapping>> {
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

pub(super) fn replicas(config: &config::ReplicateServices, host_namespace: &str) -> Replicas {
    let all = |mappings: Vec<config::ServiceMapping>| {
        let mappings = mappings.iter();
        mappings.map(|mapping| Replica::new(mapping, host_namespace)).collect()
    };
    Replicas {
        to_host: all(config.to_host()),
        from_host: all(config.from_host()),
    }
}

pub(super) fn metrics(config: &config::MetricsServer) -> MetricsSettings {
    MetricsSettings {
        nodes: config.enabled && config.nodes,
        pods: config.enabled && config.pods,
    }
}

/// What other virtual clusters answer for. What is to be answered for by this one itself is not proxied, so that all virtual
/// clusters of a host can have the same vcluster.yaml.
pub(super) fn proxied(config: &config::Proxy, vcluster: &str, host_namespace: &str) -> Vec<Proxied> {
    let own = ObjectKey::new(host_namespace, vcluster);
    let versions = config.versions().into_iter().map(|version| Proxied {
        target: ObjectKey::new(&version.target.namespace(), &version.target.name),
        owned_only: version.access == AccessResources::Owned,
        group: version.group,
        version: version.version,
        resources: version.resources,
    });
    versions.filter(|version| version.target != own).collect()
}

/// The patches of built-in kinds. The key of a kind in vcluster.yaml is its plural, with capitals; what stands beside the
/// kinds of the Gateway API is for all of them.
pub(super) fn patches(config: &Config) -> Result<Patches, String> {
    let mut all = Patches::new(config.document.clone());
    for (key, patches) in config.patches.iter().filter(|(key, _)| *key != GATEWAY_API) {
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
    if let Some(patches) = config.patches.get(GATEWAY_API) {
        for kind in gateway::TO_HOST {
            let rules = Rules {
                key: GATEWAY_API.to_owned(),
                patches: patches.clone(),
            };
            all.add(Direction::ToHost, kind, rules)?;
        }
    }
    Ok(all)
}

pub(super) fn metrics_addresses(config: &config::SyncSettings) -> Vec<String> {
    let addresses = [&config.host_metrics_bind_address, &config.virtual_metrics_bind_address];
    let mut addresses: Vec<String> = addresses.into_iter().cloned().collect();
    addresses.retain(|address| !matches!(address.as_str(), "" | "0"));
    addresses.dedup();
    addresses
}

/// The custom resources that are synced: the key of vcluster.yaml, its direction, and how they are changed.
pub(crate) fn custom_resources(config: &Config) -> impl Iterator<Item = (&String, Direction, &CustomResource)> {
    let sections = [
        (Direction::ToHost, &config.sync.to_host.custom_resources),
        (Direction::FromHost, &config.sync.from_host.custom_resources),
    ];
    sections.into_iter().flat_map(|(direction, section)| {
        let enabled = section.iter().filter(|(_, resource)| resource.enabled);
        enabled.map(move |(key, resource)| (key, direction, resource))
    })
}
