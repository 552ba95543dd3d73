//! `experimental.nodeMonitors`: what a Prometheus of the host measures at the nodes of the virtual cluster.

use std::collections::{BTreeMap, BTreeSet};

use machinery::names::{dns1123_subdomain, qualified_name};
use serde::Deserialize;
use serde_json::{Map, Value};

/// A monitor, of which there is one for every node.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct NodeMonitor {
    /// Its name, which the name of a node is added to.
    pub name: String,
    /// Labels of the nodes that it is for; none means all.
    pub node_selector: BTreeMap<String, String>,
    /// What is measured.
    pub endpoints: Vec<MonitorEndpoint>,
    /// Fields of the ServiceMonitor's spec that go before ours.
    pub spec: Map<String, Value>,
    /// Labels of the ServiceMonitor.
    pub labels: BTreeMap<String, String>,
    /// Annotations of the ServiceMonitor.
    pub annotations: BTreeMap<String, String>,
}

/// Something that is measured.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct MonitorEndpoint {
    /// Where the kubelet serves it.
    pub path: String,
    /// The query.
    pub params: BTreeMap<String, Vec<String>>,
    /// Rules about labels of the target, after those that say which node it is.
    pub extra_relabelings: Vec<Map<String, Value>>,
    /// Rules about labels of what is measured.
    pub metrics_relabelings: Vec<Map<String, Value>>,
    /// How often; empty leaves it to Prometheus.
    pub interval: String,
    /// How long it may take; empty leaves it to Prometheus.
    pub scrape_timeout: String,
}

impl NodeMonitor {
    fn check(&self) -> Result<(), String> {
        if !dns1123_subdomain(&self.name).is_empty() {
            return Err(format!(
                ".name: {:?} cannot be the name of an object: lower-case letters, digits, '-' and '.'",
                self.name
            ));
        }
        let keys = self.labels.keys().chain(self.annotations.keys());
        if let Some(key) = keys.into_iter().find(|key| !qualified_name(key).is_empty()) {
            return Err(format!(": {key:?} cannot be a label or an annotation"));
        }
        if self.endpoints.is_empty() && !self.spec.contains_key("endpoints") {
            return Err(".endpoints is empty: say what is measured, such as {path: /metrics/cadvisor}".to_owned());
        }
        let relative = self
            .endpoints
            .iter()
            .position(|endpoint| !endpoint.path.starts_with('/'));
        match relative {
            Some(index) => Err(format!(
                ".endpoints[{index}].path must begin with /, such as /metrics/cadvisor"
            )),
            None => Ok(()),
        }
    }
}

/// Checks the value of the key.
pub(crate) fn check(value: &Value) -> Result<(), String> {
    let mut names = BTreeSet::new();
    for (index, item) in value.as_array().into_iter().flatten().enumerate() {
        let monitor: NodeMonitor =
            serde_json::from_value(item.clone()).map_err(|error| format!("[{index}]: {error}"))?;
        monitor.check().map_err(|problem| format!("[{index}]{problem}"))?;
        if !names.insert(monitor.name.clone()) {
            return Err(format!("[{index}]: there is a monitor {:?} before it", monitor.name));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn mistakes_are_explained() {
        let endpoints = json!([{"path": "/metrics"}]);
        for (item, expected) in [
            (json!({"endpoints": endpoints}), "[0].name: \"\" cannot be"),
            (json!({"name": "a"}), "[0].endpoints is empty"),
            (
                json!({"name": "a", "endpoints": [{"path": "metrics"}]}),
                "[0].endpoints[0].path must begin with /",
            ),
            (
                json!({"name": "a", "endpoints": endpoints, "labels": {"a b": "c"}}),
                "[0]: \"a b\" cannot be a label",
            ),
            (
                json!({"name": "a", "endpoint": endpoints}),
                "[0]: unknown field `endpoint`",
            ),
        ] {
            let problem = check(&json!([item])).unwrap_err();
            assert!(problem.starts_with(expected), "{item}: {problem}");
        }
        let good = json!({"name": "a", "endpoints": endpoints, "nodeSelector": {"k": "v"}, "spec": {"jobLabel": "j"}});
        assert_eq!(check(&json!([good])), Ok(()));
        assert_eq!(
            check(&json!([good, good])),
            Err("[1]: there is a monitor \"a\" before it".to_owned())
        );
    }
}
