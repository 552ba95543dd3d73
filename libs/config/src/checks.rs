//! What must hold for the values this version acts on, beyond their type.

use crate::charts;
use crate::docker;
use crate::export::{check_secrets, check_server};
use crate::gateways;
use crate::mappings::{ObjectMapping, ServiceMapping, is_label};
use crate::model::{CustomResource, Image, Scope};
use crate::monitors;
use crate::networking;
use crate::patches;
use crate::proxied;
use crate::requests;
use crate::resolve::Resolution;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

/// The scheduler of pods that name none.
pub const DEFAULT_SCHEDULER: &str = "default-scheduler";

/// Checks the value at `path`; the problem is a clause that follows the path.
pub(crate) fn check(path: &str, value: &Value) -> Result<(), String> {
    match path {
        "networking.advanced.clusterDomain" => domain(value),
        "sync.toHost.pods.enforceTolerations" => each_text(value, |text| {
            toleration(text)
                .map(drop)
                .ok_or_else(|| format!("{text:?} is not *, KEY, KEY=VALUE or KEY[=VALUE]:EFFECT"))
        }),
        "sync.toHost.pods.hybridScheduling.hostSchedulers" => each_text(value, |text| match text {
            "" => Err("a scheduler must have a name".to_owned()),
            _ => Ok(()),
        }),
        "sync.toHost.pods.translateImage" => match value.as_object() {
            Some(images) if images.values().all(Value::is_string) => Ok(()),
            _ => Err("every entry must map an image to an image".to_owned()),
        },
        "sync.toHost.pods.rewriteHosts.initContainer.image" => Image::from_value(value)
            .map(drop)
            .ok_or_else(|| "it must be an image, or registry, repository and tag".to_owned()),
        "sync.toHost.customResources" | "sync.fromHost.customResources" => custom_resources(path, value),
        _ if path.ends_with(".patches") => patches::check_list(value),
        _ if path.ends_with(".selector.matchLabels") || path == "sync.fromHost.nodes.selector.labels" => {
            match value.as_object() {
                Some(labels) if labels.values().all(Value::is_string) => Ok(()),
                _ => Err("every entry must map a label to a value".to_owned()),
            }
        }
        "policies.networkPolicy.fallbackDns" => {
            let text = value.as_str().unwrap_or_default();
            let is_address = text.is_empty()
                || text.parse::<std::net::IpAddr>().is_ok()
                || text.parse::<std::net::SocketAddr>().is_ok();
            match is_address {
                true => Ok(()),
                false => Err(format!("{text:?} is not an address such as 8.8.8.8 or 8.8.8.8:53")),
            }
        }
        "policies.podSecurityStandard" => match value.as_str().unwrap_or_default() {
            "" | "privileged" | "baseline" | "restricted" => Ok(()),
            other => Err(format!("{other:?} is none of privileged, baseline and restricted")),
        },
        _ if path.starts_with("rbac.") && path.ends_with("Rules") => rules(value),
        _ if path.ends_with(".selector.matchExpressions") => requirements(value),
        // What is said of Gateways is checked as a whole.
        "sync.fromHost.gateways.mappings.byName" => Ok(()),
        "sync.fromHost.gateways.allowedRoutes.overrides" => gateways::check_overrides(value),
        "sync.toHost.namespaces.mappings.byName" | "sync.toHost.namespaces.extraLabels" => match value.as_object() {
            Some(pairs) if pairs.values().all(Value::is_string) => Ok(()),
            _ => Err("every entry must map a name to a text".to_owned()),
        },
        _ if path.ends_with(".mappings.byName") => object_mappings(value),
        "policies.centralAdmission.validatingWebhooks" | "policies.centralAdmission.mutatingWebhooks" => {
            requests::check_webhooks(value)
        }
        "experimental.proxy.customResources" => proxied::check(value),
        "experimental.deploy.vcluster.helm" => charts::check(value),
        "experimental.nodeMonitors" => monitors::check(value),
        "serviceCIDR" | "networking.serviceCIDR" => networking::check_networks(value.as_str().unwrap_or_default()),
        _ if let Some(name) = path.strip_prefix("experimental.docker.") => docker::check(name, value),
        "experimental.denyProxyRequests" => requests::check_rules(value),
        "exportKubeConfig.server" => check_server(value.as_str().unwrap_or_default()),
        "exportKubeConfig.additionalSecrets" => check_secrets(value),
        _ if path.ends_with("MetricsBindAddress") => metrics_address(value.as_str().unwrap_or_default()),
        "networking.resolveDNS" => resolutions(value),
        "networking.replicateServices.toHost" => service_mappings(value, ServiceMapping::to_host),
        "networking.replicateServices.fromHost" => service_mappings(value, ServiceMapping::from_host),
        _ => Ok(()),
    }
}

/// What excludes each other: the problem names both keys.
pub(crate) fn check_together(document: &Value) -> Result<(), String> {
    for kind in ["priorityClasses", "storageClasses"] {
        let on = |direction: &str| document["sync"][direction][kind]["enabled"] == true;
        if on("toHost") && on("fromHost") {
            return Err(format!(
                "sync.toHost.{kind}.enabled and sync.fromHost.{kind}.enabled cannot both be true: set one of them to false"
            ));
        }
    }
    let export = &document["exportKubeConfig"];
    let older = ["name", "namespace"].iter().any(|field| export["secret"][field] != "");
    if older
        && export["additionalSecrets"]
            .as_array()
            .is_some_and(|secrets| !secrets.is_empty())
    {
        return Err(
            "exportKubeConfig.secret and exportKubeConfig.additionalSecrets cannot both be set: add the Secret to the list"
                .to_owned(),
        );
    }
    let files = &document["experimental"]["virtualClusterKubeConfig"];
    if (files["serverCACert"] == "") != (files["serverCAKey"] == "") {
        return Err(
            "experimental.virtualClusterKubeConfig.serverCACert and .serverCAKey belong together: set both or none"
                .to_owned(),
        );
    }
    networking::check_together(document)?;
    gateways::check(document)?;
    proxied::check_together(document)?;
    for kind in ["configMaps", "secrets"] {
        let imported = &document["sync"]["fromHost"][kind];
        let mappings = imported["mappings"]["byName"].as_object();
        if imported["enabled"] == true && mappings.is_none_or(|mappings| mappings.is_empty()) {
            return Err(format!(
                "sync.fromHost.{kind}.mappings.byName is empty: say which objects are synced, or set \
                 sync.fromHost.{kind}.enabled to false"
            ));
        }
    }
    let on = |path: &str| document.pointer(path) == Some(&Value::Bool(true));
    let schedules =
        on("/controlPlane/distro/k8s/scheduler/enabled") || on("/controlPlane/advanced/virtualScheduler/enabled");
    let hybrid = on("/sync/toHost/pods/hybridScheduling/enabled");
    if (schedules || hybrid) && !on("/sync/fromHost/nodes/enabled") {
        return Err(
            "sync.fromHost.nodes.enabled is false, but required if using hybrid scheduling or virtual scheduler"
                .to_owned(),
        );
    }
    let of_the_host = document["sync"]["toHost"]["pods"]["hybridScheduling"]["hostSchedulers"].as_array();
    if schedules && hybrid && of_the_host.is_some_and(|names| names.contains(&DEFAULT_SCHEDULER.into())) {
        return Err(format!(
            "sync.toHost.pods.hybridScheduling.hostSchedulers: {DEFAULT_SCHEDULER} is the virtual cluster's own scheduler: remove \
             it, or switch that scheduler off"
        ));
    }
    let custom = |direction: &str| {
        document["sync"][direction]["customResources"]
            .as_object()
            .cloned()
            .unwrap_or_default()
    };
    let definition = |key: &String| key.split('/').next().unwrap_or_default().to_owned();
    let enabled = |resources: Map<String, Value>| {
        resources
            .into_iter()
            .filter(|(_, resource)| resource["enabled"] == true)
    };
    let from_host: Vec<String> = enabled(custom("fromHost")).map(|(key, _)| definition(&key)).collect();
    let both = enabled(custom("toHost")).find(|(key, _)| from_host.contains(&definition(key)));
    match both {
        Some((key, _)) => Err(format!(
            "sync.toHost.customResources and sync.fromHost.customResources both name {key}: a resource is synced one way only"
        )),
        None => Ok(()),
    }
}

fn object_mappings(value: &Value) -> Result<(), String> {
    let mappings = value.as_object().into_iter().flatten();
    for (from, to) in mappings {
        let to = to.as_str().unwrap_or_default();
        ObjectMapping::parse(from, to).map_err(|problem| format!("\"{from}\": \"{to}\": {problem}"))?;
    }
    Ok(())
}

/// As in vCluster, "0" serves nothing.
fn metrics_address(text: &str) -> Result<(), String> {
    let (host, port) = text.rsplit_once(':').unwrap_or((text, ""));
    let is_host = host.is_empty() || host.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok();
    if matches!(text, "" | "0") || (is_host && port.parse::<u16>().is_ok()) {
        Ok(())
    } else {
        Err(format!("{text:?} is not an address such as :8080 or 127.0.0.1:8080"))
    }
}

fn resolutions(value: &Value) -> Result<(), String> {
    let items = value.as_array().into_iter().flatten().enumerate();
    for (index, item) in items {
        Resolution::parse(item).map_err(|problem| format!("[{index}]{problem}"))?;
    }
    Ok(())
}

fn service_mappings(value: &Value, parse: fn(&str, &str) -> Result<ServiceMapping, String>) -> Result<(), String> {
    let mut replicas = BTreeSet::new();
    let items = value.as_array().into_iter().flatten();
    for item in items {
        let pair = item.as_object().filter(|fields| fields.len() == 2);
        let side = |name| pair.and_then(|pair| pair.get(name)?.as_str());
        let (Some(from), Some(to)) = (side("from"), side("to")) else {
            return Err(format!("{item} must have the form {{from: SERVICE, to: SERVICE}}"));
        };
        let mapping = parse(from, to).map_err(|problem| format!("{from}={to}: {problem}"))?;
        if !replicas.insert(mapping.to) {
            return Err(format!("{to} cannot be the replica of two Services"));
        }
    }
    Ok(())
}

/// The entries of a `customResources` section.
fn custom_resources(path: &str, value: &Value) -> Result<(), String> {
    for (key, resource) in value.as_object().into_iter().flatten() {
        let (definition, version) = key.split_once('/').unwrap_or((key, "v1"));
        if !definition.contains('.')
            || domain(&definition.into()).is_err()
            || version.is_empty()
            || version.contains('/')
        {
            return Err(format!(
                "{key:?} is not the name of a resource: PLURAL.GROUP or PLURAL.GROUP/VERSION"
            ));
        }
        let parsed: CustomResource =
            serde_json::from_value(resource.clone()).map_err(|error| format!("{key}: {error}"))?;
        patches::check_list(&resource["patches"]).map_err(|problem| format!("{key}: patches: {problem}"))?;
        object_mappings(&resource["mappings"]["byName"]).map_err(|problem| format!("{key}: {problem}"))?;
        let mapped = !parsed.mappings.by_name.is_empty();
        match (path, parsed.scope) {
            ("sync.toHost.customResources", Scope::Cluster) => {
                return Err(format!(
                    "{key}: scope must be Namespaced: objects without a namespace are not synced to the host"
                ));
            }
            ("sync.fromHost.customResources", Scope::Namespaced) if parsed.enabled && !mapped => {
                return Err(format!(
                    "{key}: mappings.byName is empty: say which objects are synced, or set scope to Cluster"
                ));
            }
            (_, Scope::Cluster) | ("sync.toHost.customResources", _) if mapped => {
                return Err(format!(
                    "{key}: only objects that come from namespaces of the host have mappings: remove them"
                ));
            }
            _ => {}
        }
    }
    Ok(())
}

fn requirements(value: &Value) -> Result<(), String> {
    let items = value.as_array().map(Vec::as_slice).unwrap_or_default();
    items.iter().try_for_each(|item| {
        let values = item["values"].as_array().map_or(0, Vec::len);
        let fits = match item["operator"].as_str() {
            Some("In" | "NotIn") => values > 0,
            Some("Exists" | "DoesNotExist") => values == 0,
            _ => false,
        };
        if fits && item["key"].is_string() {
            Ok(())
        } else {
            Err(format!(
                "{item} is not a requirement: key, operator (In, NotIn, Exists or DoesNotExist) and values (with In and NotIn only)"
            ))
        }
    })
}

/// Rules of roles: what may be done, and to what.
fn rules(value: &Value) -> Result<(), String> {
    let items = value.as_array().map(Vec::as_slice).unwrap_or_default();
    let texts = |list: &Value| {
        list.as_array()
            .is_some_and(|list| !list.is_empty() && list.iter().all(Value::is_string))
    };
    items.iter().try_for_each(|rule| {
        let of_objects = texts(&rule["apiGroups"]) && texts(&rule["resources"]);
        if texts(&rule["verbs"]) && (of_objects || texts(&rule["nonResourceURLs"])) {
            Ok(())
        } else {
            Err(format!(
                "{rule} is not a rule: apiGroups, resources and verbs, each a list of texts"
            ))
        }
    })
}

fn each_text(value: &Value, check: impl Fn(&str) -> Result<(), String>) -> Result<(), String> {
    let Some(items) = value.as_array() else { return Ok(()) };
    items.iter().try_for_each(|item| match item.as_str() {
        Some(text) => check(text),
        None => Err(format!("{item} is not a string")),
    })
}

fn domain(value: &Value) -> Result<(), String> {
    let text = value.as_str().unwrap_or_default();
    if text.len() <= 253 && text.split('.').all(is_label) {
        Ok(())
    } else {
        Err(format!(
            "{text:?} is not a DNS domain in lower case, such as cluster.local"
        ))
    }
}

/// The toleration that `*`, `KEY[=VALUE]` or `KEY[=VALUE]:EFFECT` stands for, as a Kubernetes object. Nothing when the text
/// has another form.
///
/// As in vCluster, an operator is set only together with an effect; without one the field stays empty, which is `Equal`.
pub fn toleration(text: &str) -> Option<Value> {
    if text == "*" {
        return Some(json!({"operator": "Exists"}));
    }
    let (selector, effect) = match text.split_once(':') {
        Some((selector, effect)) => (selector, Some(effect)),
        None => (text, None),
    };
    let (key, value) = match selector.split_once('=') {
        Some((key, value)) => (key, Some(value)),
        None => (selector, None),
    };
    if key.is_empty() || key.contains(char::is_whitespace) {
        return None;
    }
    let mut toleration = json!({"key": key});
    if let Some(value) = value {
        toleration["value"] = value.into();
    }
    if let Some(effect) = effect {
        if !matches!(effect, "NoSchedule" | "PreferNoSchedule" | "NoExecute") {
            return None;
        }
        toleration["effect"] = effect.into();
        toleration["operator"] = if value.is_some() { "Equal" } else { "Exists" }.into();
    }
    Some(toleration)
}
