//! The keys of the Gateway API: `sync.toHost.gatewayApi` and `sync.fromHost.gateways`.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use crate::mappings::{is_label, is_subdomain};
use crate::{AutoSwitch, Mappings, Switch};

const GATEWAYS: &str = "sync.fromHost.gateways";

/// Namespaces of the virtual cluster that no Gateway of the host is shown in.
const RESERVED: [&str; 3] = ["kube-system", "kube-public", "kube-node-lease"];

/// Which objects of the Gateway API are synced to the host.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GatewayApi {
    /// Gateways and HTTPRoutes, and the host's GatewayClasses are shown.
    pub enabled: bool,
    /// HTTPRoutes.
    pub http_routes: Switch,
    /// Gateways.
    pub gateways: Switch,
    /// TLSRoutes.
    pub tls_routes: Switch,
    /// BackendTLSPolicies.
    #[serde(rename = "backendTLSPolicies")]
    pub backend_tls_policies: Switch,
    /// ReferenceGrants. Where all virtual namespaces are one on the host, they would say nothing there: the suggestion is not
    /// to. Otherwise the host asks for them.
    pub reference_grants: AutoSwitch,
}

impl GatewayApi {
    /// Whether Gateways go to the host.
    pub fn syncs_gateways(&self) -> bool {
        self.enabled || self.gateways.enabled
    }

    /// Whether HTTPRoutes go to the host.
    pub fn syncs_http_routes(&self) -> bool {
        self.enabled || self.http_routes.enabled
    }

    /// Whether ReferenceGrants go to the host, where `several` says whether virtual namespaces have namespaces of their own.
    pub fn syncs_reference_grants(&self, several: bool) -> bool {
        let name_others = self.syncs_gateways()
            || self.syncs_http_routes()
            || self.tls_routes.enabled
            || self.backend_tls_policies.enabled;
        self.reference_grants.enabled.is_on(several && name_others)
    }
}

/// Gateways of the host that the virtual cluster shows.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ImportedGateways {
    /// Whether it shows any.
    pub enabled: bool,
    /// Which of those that a mapping of a whole namespace leads to, as a Kubernetes label selector.
    pub selector: Value,
    /// Which of them, and under which names.
    pub mappings: Mappings,
    /// Which routes may attach to them.
    pub allowed_routes: AllowedRoutes,
    /// What of their status is shown.
    pub status: ShownStatus,
    /// What of their origin is shown.
    pub metadata: ShownMetadata,
    /// What is not shown.
    pub sanitize: Sanitize,
}

/// Which routes may attach to Gateways of the host.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AllowedRoutes {
    /// From which virtual namespaces.
    pub default_virtual_namespace_policy: NamespacePolicy,
    /// What else holds for some Gateways.
    pub overrides: Vec<RoutesOverride>,
}

/// The virtual namespaces whose routes may attach.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct NamespacePolicy {
    /// All, Same or Selector; empty leaves it to the Gateway.
    pub from: String,
    /// The labels of the namespaces, as a Kubernetes label selector, when it is Selector.
    pub selector: Value,
}

impl NamespacePolicy {
    fn check(&self, path: &str) -> Result<(), String> {
        let given = |field: &str| match &self.selector[field] {
            Value::Object(labels) => !labels.is_empty(),
            Value::Array(requirements) => !requirements.is_empty(),
            _ => false,
        };
        match self.from.as_str() {
            "" | "All" | "Same" => Ok(()),
            "Selector" if given("matchLabels") || given("matchExpressions") => Ok(()),
            "Selector" => Err(format!("{path}.selector must not be empty when from is Selector")),
            _ => Err(format!("{path}.from must be one of: All, Same, Selector")),
        }
    }
}

/// What holds for one Gateway of the host.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct RoutesOverride {
    /// Its namespace.
    pub host_namespace: String,
    /// Its name.
    pub name: String,
    /// From which virtual namespaces routes may attach.
    pub virtual_namespace_policy: NamespacePolicy,
    /// The host names that routes may ask for, such as `*.example.com`; every one when empty.
    pub allowed_hostnames: Vec<String>,
}

/// What of the status of the host's Gateways is shown.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ShownStatus {
    /// The addresses.
    pub expose_addresses: bool,
}

/// What of the origin of the host's Gateways is shown.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ShownMetadata {
    /// Namespace and name on the host.
    pub expose_source_gateway: bool,
}

/// What the host's Gateways say about the host and is not shown.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Sanitize {
    /// The Secrets with the certificates of listeners.
    pub certificate_refs: bool,
    /// `spec.infrastructure`.
    pub infrastructure: bool,
}

impl ImportedGateways {
    /// Checks what cannot be known without the name of the virtual cluster's namespace of the host.
    ///
    /// # Errors
    /// One sentence that names the key.
    pub fn check_host_namespace(&self, host_namespace: &str) -> Result<(), String> {
        let mut targets = self.mappings.by_name.values();
        let inside = |target: &&String| target.split('/').next() == Some(host_namespace);
        match self.enabled && targets.any(|target| inside(&target)) {
            true => Err(reserved(host_namespace)),
            false => Ok(()),
        }
    }
}

fn reserved(namespace: &str) -> String {
    format!("{GATEWAYS}.mappings.byName target namespace {namespace:?} is reserved")
}

/// Checks the list of overrides by itself; the problem is a clause that follows the path.
pub(crate) fn check_overrides(value: &Value) -> Result<(), String> {
    for (index, item) in value.as_array().into_iter().flatten().enumerate() {
        RoutesOverride::deserialize(item).map_err(|problem| format!("[{index}]: {problem}"))?;
    }
    Ok(())
}

/// Checks what is said about Gateways of the host, if any are shown; the problem is a sentence.
pub(crate) fn check(document: &Value) -> Result<(), String> {
    let section = &document["sync"]["fromHost"]["gateways"];
    if section["enabled"] != true {
        return Ok(());
    }
    let gateways = ImportedGateways::deserialize(section).map_err(|problem| format!("{GATEWAYS}: {problem}"))?;
    let mappings = &gateways.mappings.by_name;
    check_mappings(mappings).map_err(|problem| format!("{GATEWAYS}.mappings.byName {problem}"))?;
    let routes = &gateways.allowed_routes;
    let path = format!("{GATEWAYS}.allowedRoutes");
    routes
        .default_virtual_namespace_policy
        .check(&format!("{path}.defaultVirtualNamespacePolicy"))?;
    for (index, single) in routes.overrides.iter().enumerate() {
        let path = format!("{path}.overrides[{index}]");
        single
            .virtual_namespace_policy
            .check(&format!("{path}.virtualNamespacePolicy"))?;
        let (namespace, name) = (&single.host_namespace, &single.name);
        let covered = |key: String| !namespace.is_empty() && !name.is_empty() && mappings.contains_key(&key);
        if !covered(format!("{namespace}/{name}")) && !covered(format!("{namespace}/*")) {
            return Err(format!(
                "{path} references host Gateway {namespace}/{name} not covered by {GATEWAYS}.mappings.byName"
            ));
        }
        let wrong = |hostname: &&String| !is_hostname(&hostname.trim().to_lowercase());
        if let Some((at, hostname)) = single
            .allowed_hostnames
            .iter()
            .enumerate()
            .find(|(_, name)| wrong(name))
        {
            return Err(format!("{path}.allowedHostnames[{at}] is invalid: {hostname:?}"));
        }
    }
    Ok(())
}

fn is_hostname(text: &str) -> bool {
    is_subdomain(text.strip_prefix("*.").unwrap_or(text))
}

/// One side of a mapping; a name of `*` is every name.
type Name<'a> = (&'a str, &'a str);

fn check_mappings(mappings: &BTreeMap<String, String>) -> Result<(), String> {
    if mappings.is_empty() {
        return Err("are empty".to_owned());
    }
    let mut parsed: Vec<(&str, Name<'_>, &str, Name<'_>)> = Vec::new();
    for (key, value) in mappings {
        let from = name(key).map_err(|problem| format!("has invalid key {key:?}: {problem}"))?;
        let to = name(value).map_err(|problem| format!("has invalid value {value:?}: {problem}"))?;
        if RESERVED.contains(&to.0) {
            return Err(format!("target namespace {:?} is reserved", to.0));
        }
        match (from.1 == "*", to.1 == "*") {
            (true, false) => {
                return Err(format!(
                    "wildcard key {key:?} must map to a wildcard target NAMESPACE/*, but {value:?} is concrete"
                ));
            }
            (false, true) => {
                return Err(format!(
                    "target {value:?} requires the source key to be a wildcard NAMESPACE/*, but {key:?} is concrete"
                ));
            }
            _ => {}
        }
        for (other, other_from, other_value, other_to) in &parsed {
            let whole = [from.1 == "*", other_from.1 == "*"];
            if to == *other_to {
                return Err(match whole {
                    [true, _] => format!(
                        "has duplicate wildcard target namespace {:?} already used by {other}",
                        to.0
                    ),
                    _ => format!("has duplicate tenant-facing target {value:?} already used by {other}"),
                });
            }
            // Of two mappings, one for a whole namespace leaves nothing there to the other.
            let pair = match whole {
                [true, false] => Some(((*other, *other_value), (key.as_str(), value.as_str()))),
                [false, true] => Some(((key.as_str(), value.as_str()), (*other, *other_value))),
                _ => None,
            };
            let Some((exact, wildcard)) = pair else { continue };
            if from.0 == other_from.0 {
                return Err(format!(
                    "exact source {:?} overlaps wildcard source {:?}",
                    exact.0, wildcard.0
                ));
            }
            if to.0 == other_to.0 {
                return Err(format!(
                    "exact target {:?} is in wildcard target namespace from {:?}",
                    exact.1, wildcard.0
                ));
            }
        }
        parsed.push((key, from, value, to));
    }
    Ok(())
}

fn name(text: &str) -> Result<Name<'_>, String> {
    let missing = || "explicit host namespace is required".to_owned();
    if text.is_empty() {
        return Err(missing());
    }
    let halves = text.split_once('/').filter(|(_, name)| !name.contains('/'));
    let (namespace, name) = halves.ok_or("expected NAMESPACE_NAME/NAME or NAMESPACE_NAME/*")?;
    if namespace.is_empty() {
        Err(missing())
    } else if !is_label(namespace) {
        Err(format!("namespace {namespace:?} is invalid"))
    } else if name.is_empty() {
        Err("name is required".to_owned())
    } else if name != "*" && name.contains('*') {
        Err("* is allowed only as the full object name segment".to_owned())
    } else if name != "*" && !is_subdomain(name) {
        Err(format!("name {name:?} is invalid"))
    } else {
        Ok((namespace, name))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::Config;

    fn problem(gateways: Value) -> String {
        let mut gateways = gateways;
        gateways["enabled"] = true.into();
        let document = json!({"sync": {"fromHost": {"gateways": gateways}}});
        match Config::parse("f", &document.to_string()) {
            Ok(_) => String::new(),
            Err(error) => error.message,
        }
    }

    #[test]
    fn mappings_lead_to_one_gateway_each() {
        for (mappings, expected) in [
            (json!({"a/*": "a/*", "b/edge": "c/public"}), ""),
            (json!({}), "are empty"),
            (json!({"": "t/edge"}), "explicit host namespace is required"),
            (json!({"/*": "t/*"}), "explicit host namespace is required"),
            (json!({"/edge": "t/edge"}), "explicit host namespace is required"),
            (
                json!({"edge": "t/edge"}),
                "expected NAMESPACE_NAME/NAME or NAMESPACE_NAME/*",
            ),
            (json!({"A/edge": "t/edge"}), "namespace \"A\" is invalid"),
            (json!({"a/": "t/edge"}), "name is required"),
            (
                json!({"a/e*": "t/edge"}),
                "* is allowed only as the full object name segment",
            ),
            (json!({"a/E": "t/edge"}), "name \"E\" is invalid"),
            (json!({"a/edge": "t"}), "has invalid value \"t\""),
            (
                json!({"a/edge": "kube-system/edge"}),
                "target namespace \"kube-system\" is reserved",
            ),
            (
                json!({"a/*": "t/edge"}),
                "wildcard key \"a/*\" must map to a wildcard target NAMESPACE/*, but \"t/edge\" is concrete",
            ),
            (
                json!({"a/edge": "t/*"}),
                "target \"t/*\" requires the source key to be a wildcard NAMESPACE/*, but \"a/edge\" is concrete",
            ),
            (
                json!({"a/*": "t/*", "b/*": "t/*"}),
                "has duplicate wildcard target namespace \"t\"",
            ),
            (
                json!({"a/e": "t/e", "b/e": "t/e"}),
                "has duplicate tenant-facing target \"t/e\" already used by a/e",
            ),
            (
                json!({"a/*": "t/*", "a/e": "u/e"}),
                "exact source \"a/e\" overlaps wildcard source \"a/*\"",
            ),
            (
                json!({"a/*": "t/*", "b/e": "t/x"}),
                "exact target \"t/x\" is in wildcard target namespace from \"a/*\"",
            ),
            (
                json!({"b/*": "t/*", "a/e": "t/x"}),
                "exact target \"t/x\" is in wildcard target namespace from \"b/*\"",
            ),
        ] {
            let problem = problem(json!({"mappings": {"byName": mappings}}));
            assert!(
                problem.contains(expected) && problem.is_empty() == expected.is_empty(),
                "{mappings}: {problem}"
            );
        }
    }

    #[test]
    fn policies_are_whole_and_about_gateways_that_are_shown() {
        let gateways = |routes: Value| json!({"mappings": {"byName": {"a/edge": "t/edge"}}, "allowedRoutes": routes});
        let single = |fields: Value| {
            let mut single = json!({"hostNamespace": "a", "name": "edge"});
            single
                .as_object_mut()
                .unwrap()
                .extend(fields.as_object().unwrap().clone());
            json!({"overrides": [single]})
        };
        let default = |policy: Value| json!({"defaultVirtualNamespacePolicy": policy});
        for (routes, expected) in [
            (default(json!({"from": "Same"})), ""),
            (
                default(json!({"from": "Selector", "selector": {"matchLabels": {"team": "a"}}})),
                "",
            ),
            (
                default(json!({"from": "None"})),
                "defaultVirtualNamespacePolicy.from must be one of: All, Same, Selector",
            ),
            (
                default(json!({"from": "Selector"})),
                "selector must not be empty when from is Selector",
            ),
            (
                single(json!({"allowedHostnames": ["a.example.com", "*.example.com"]})),
                "",
            ),
            (
                single(json!({"allowedHostnames": ["ok", "bad_*_name"]})),
                "allowedHostnames[1] is invalid: \"bad_*_name\"",
            ),
            (
                single(json!({"name": "other"})),
                "overrides[0] references host Gateway a/other not covered by sync.fromHost.gateways.mappings.byName",
            ),
            (
                single(json!({"virtualNamespacePolicy": {"from": "x"}})),
                "overrides[0].virtualNamespacePolicy.from",
            ),
            (
                single(json!({"hostname": "x"})),
                "overrides: [0]: unknown field `hostname`",
            ),
        ] {
            let problem = problem(gateways(routes.clone()));
            assert!(
                problem.contains(expected) && problem.is_empty() == expected.is_empty(),
                "{routes}: {problem}"
            );
        }
    }

    #[test]
    fn nothing_is_checked_that_is_switched_off_and_the_own_namespace_is_reserved() {
        let document = json!({"sync": {"fromHost": {"gateways": {"mappings": {"byName": {"": "x/*"}}}}}});
        assert!(Config::parse("f", &document.to_string()).is_ok());
        let document =
            json!({"sync": {"fromHost": {"gateways": {"enabled": true, "mappings": {"byName": {"a/*": "own/*"}}}}}});
        let gateways = Config::parse("f", &document.to_string())
            .unwrap()
            .sync
            .from_host
            .gateways;
        assert!(
            gateways
                .check_host_namespace("own")
                .unwrap_err()
                .ends_with("target namespace \"own\" is reserved")
        );
        assert!(gateways.check_host_namespace("ow").is_ok());
    }
}
