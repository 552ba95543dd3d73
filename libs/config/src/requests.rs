//! What the administrator of a virtual cluster enforces on requests to its API server, and the files that tell it.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use machinery::names::dns1123_label;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::Config;

/// The file with the webhooks that change what is written.
pub const MUTATING: &str = "mutating.yaml";
/// The file with the webhooks that refuse what is written.
pub const VALIDATING: &str = "validating.yaml";
/// The file with the requests that are refused.
pub const DENIED: &str = "denied.yaml";

/// What the names of configurations end with that are in files (k8s.io/apiserver `pkg/admission/plugin/manifest`).
const SUFFIX: &str = ".static.k8s.io";
const EVERYTHING: &str = "*";
/// The operations that a rule may name. Reading includes lists and watches, and deleting includes collections.
const OPERATIONS: [&str; 5] = ["create", "get", "update", "patch", "delete"];
const SCOPES: [&str; 3] = ["Cluster", "Namespaced", EVERYTHING];

/// Webhooks that the administrator of the virtual cluster enforces: configurations as Kubernetes knows them.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CentralAdmission {
    /// ValidatingWebhookConfigurations.
    pub validating_webhooks: Vec<Value>,
    /// MutatingWebhookConfigurations.
    pub mutating_webhooks: Vec<Value>,
}

/// Requests that are refused whoever asks.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct DenyRule {
    /// What the refusal calls it.
    pub name: String,
    /// The namespaces it is about; all when empty. Of what lies in no namespace, only Namespaces have one: themselves.
    pub namespaces: Vec<String>,
    /// A request is refused if one of them covers it.
    pub rules: Vec<RuleWithOperations>,
    /// The users who may all the same, unless somebody else speaks in their name.
    pub excluded_users: Vec<String>,
}

/// Which requests a rule covers. What it says nothing of it does not restrict.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct RuleWithOperations {
    /// API groups, or `*`.
    pub api_groups: Vec<String>,
    /// API versions, or `*`.
    pub api_versions: Vec<String>,
    /// Plural names with or without a subresource, such as `pods`, `pods/exec` or `*/*`.
    pub resources: Vec<String>,
    /// `Cluster`, `Namespaced` or `*`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    /// `create`, `get`, `update`, `patch`, `delete`, or `*`.
    pub operations: Vec<String>,
}

/// The content of a file with requests that are refused.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DeniedRequests {
    /// They are asked in this order.
    pub rules: Vec<DenyRule>,
    /// No other namespaces may be made: names, or what they begin with and a `*`. All may when there are none.
    #[serde(rename = "allowedNamespaces", skip_serializing_if = "Vec::is_empty")]
    pub allowed_namespaces: Vec<String>,
}

impl DeniedRequests {
    /// Reads a file.
    ///
    /// # Errors
    /// A clause that names the field.
    pub fn parse(text: &str) -> Result<Self, String> {
        let read: Option<Self> = serde_yaml::from_str(text).map_err(|error| error.to_string())?;
        let read = read.unwrap_or_default();
        read.rules.iter().try_for_each(DenyRule::check)?;
        Ok(read)
    }
}

impl DenyRule {
    fn check(&self) -> Result<(), String> {
        let rule = &self.name;
        for namespace in &self.namespaces {
            if let Some(problem) = dns1123_label(namespace).first() {
                return Err(format!("rule {rule:?} has the namespace {namespace:?}: {problem}"));
            }
        }
        for each in &self.rules {
            for (field, values) in [
                ("apiGroups", &each.api_groups),
                ("apiVersions", &each.api_versions),
                ("operations", &each.operations),
            ] {
                if values.len() > 1 && values.iter().any(|value| value == EVERYTHING) {
                    return Err(format!("rule {rule:?} has * in {field} with others: * has to be alone"));
                }
            }
            let known = |operation: &&String| operation == &EVERYTHING || OPERATIONS.contains(&operation.as_str());
            if let Some(other) = each.operations.iter().find(|operation| !known(operation)) {
                return Err(format!(
                    "rule {rule:?} has the operation {other:?}: it takes {} or *",
                    OPERATIONS.join(", ")
                ));
            }
            if let Some(scope) = each.scope.as_deref().filter(|scope| !SCOPES.contains(scope)) {
                return Err(format!(
                    "rule {rule:?} has the scope {scope:?}: it takes {}",
                    SCOPES.join(", ")
                ));
            }
        }
        Ok(())
    }
}

/// Checks `experimental.denyProxyRequests`.
pub(crate) fn check_rules(value: &Value) -> Result<(), String> {
    let items = value.as_array().into_iter().flatten().enumerate();
    for (index, item) in items {
        let rule: DenyRule = serde_json::from_value(item.clone()).map_err(|error| format!("[{index}]: {error}"))?;
        rule.check().map_err(|problem| format!("[{index}]: {problem}"))?;
    }
    Ok(())
}

/// Checks a list of webhook configurations as far as it can be told without the rest of Kubernetes' rules, which the API
/// server checks when it starts.
pub(crate) fn check_webhooks(value: &Value) -> Result<(), String> {
    let mut names = Vec::new();
    for (index, configuration) in value.as_array().into_iter().flatten().enumerate() {
        let name = configuration["metadata"]["name"].as_str().unwrap_or_default();
        if name.is_empty() {
            return Err(format!("[{index}] must have a metadata.name"));
        }
        if names.contains(&name) {
            return Err(format!("[{index}] has the name {name:?} of another one before it"));
        }
        names.push(name);
        for (i, hook) in configuration["webhooks"].as_array().into_iter().flatten().enumerate() {
            let complain = |problem: Problem| format!("[{index}].webhooks[{i}].clientConfig {problem}");
            check_client(&hook["clientConfig"]).map_err(complain)?;
        }
    }
    Ok(())
}

/// What is wrong with where a webhook is.
enum Problem {
    Bundle,
    Nowhere,
    Nameless,
    Url,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Problem::Bundle => "has a caBundle that holds no certificate: it takes PEM in base64",
            Problem::Nowhere => "must have a url or a service",
            Problem::Nameless => "has a service without a name or a namespace",
            Problem::Url => "has a url that does not begin with https:// and a host",
        })
    }
}

fn check_client(client: &Value) -> Result<(), Problem> {
    if let Some(bundle) = client["caBundle"].as_str().filter(|bundle| !bundle.is_empty()) {
        let pem = STANDARD.decode(bundle).map_err(|_| Problem::Bundle)?;
        let is_certificate = |section: &x509_parser::pem::Pem| section.parse_x509().is_ok();
        let mut sections = x509_parser::pem::Pem::iter_from_buffer(&pem).flatten();
        if !sections.any(|section| is_certificate(&section)) {
            return Err(Problem::Bundle);
        }
    }
    let (service, url) = (client.get("service"), client.get("url"));
    let set = |value: Option<&Value>| value.is_some_and(|value| !value.is_null());
    let named = |field: &str| client["service"][field].as_str().is_some_and(|text| !text.is_empty());
    let good = |url: &str| url.strip_prefix("https://").is_some_and(|rest| !rest.is_empty());
    match (set(service), set(url)) {
        (false, false) => Err(Problem::Nowhere),
        (true, _) if !(named("name") && named("namespace")) => Err(Problem::Nameless),
        (_, true) if !client["url"].as_str().is_some_and(good) => Err(Problem::Url),
        _ => Ok(()),
    }
}

impl Config {
    /// The files for the API server of a virtual cluster of this name: their names and what is in them. What is not configured
    /// has no file.
    ///
    /// # Errors
    /// A value that has no form in YAML.
    pub fn request_files(&self, vcluster: &str) -> Result<Vec<(&'static str, String)>, serde_yaml::Error> {
        let central = &self.policies.central_admission;
        let mut files = Vec::new();
        for (file, kind, webhooks) in [
            (MUTATING, "MutatingWebhookConfiguration", &central.mutating_webhooks),
            (
                VALIDATING,
                "ValidatingWebhookConfiguration",
                &central.validating_webhooks,
            ),
        ] {
            let manifests = webhooks
                .iter()
                .map(|webhook| serde_yaml::to_string(&manifest(kind, webhook)));
            let manifests = manifests.collect::<Result<Vec<String>, _>>()?;
            if !manifests.is_empty() {
                files.push((file, manifests.join("---\n")));
            }
        }
        let denied = DeniedRequests {
            rules: self.experimental.deny_proxy_requests.clone(),
            allowed_namespaces: self.sync.to_host.namespaces.allowed(vcluster),
        };
        if denied != DeniedRequests::default() {
            files.push((DENIED, serde_yaml::to_string(&denied)?));
        }
        Ok(files)
    }
}

/// A configuration as the API server takes it from a file: there, webhooks have URLs. Services of the host have names that
/// the control plane's Pod can resolve.
fn manifest(kind: &str, configuration: &Value) -> Value {
    let name = configuration["metadata"]["name"].as_str().unwrap_or_default();
    let name = name.strip_suffix(SUFFIX).unwrap_or(name);
    let mut webhooks = configuration["webhooks"].clone();
    for hook in webhooks.as_array_mut().into_iter().flatten() {
        if let Some(client) = hook.get_mut("clientConfig").and_then(Value::as_object_mut)
            && let Some(service) = client.remove("service").filter(Value::is_object)
        {
            let text = |field: &str| service[field].as_str().unwrap_or_default();
            let port = service["port"].as_u64().unwrap_or(443);
            let path = text("path");
            let slash = if path.is_empty() || path.starts_with('/') {
                ""
            } else {
                "/"
            };
            let url = format!("https://{}.{}.svc:{port}{slash}{path}", text("name"), text("namespace"));
            client.insert("url".to_owned(), json!(url));
        }
    }
    json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": kind,
        "metadata": {"name": format!("{name}{SUFFIX}")},
        "webhooks": webhooks,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A certificate that signs itself.
    const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----
MIIBUDCB+KADAgECAgEBMAoGCCqGSM49BAMCMAkxBzAFBgNVBAMMAAA=
-----END CERTIFICATE-----
";

    fn parse(text: &str) -> Result<Config, String> {
        Config::parse("f", text).map_err(|error| error.to_string())
    }

    fn webhooks(client: &str) -> String {
        format!(
            "policies: {{centralAdmission: {{validatingWebhooks: [{{metadata: {{name: c}}, webhooks: [{{name: w, clientConfig: {client}}}]}}]}}}}\n"
        )
    }

    #[test]
    fn services_of_the_host_become_urls() {
        for (client, url) in [
            ("{service: {name: s, namespace: n}}", "https://s.n.svc:443"),
            (
                "{service: {name: s, namespace: n, port: 8443, path: /p/q}}",
                "https://s.n.svc:8443/p/q",
            ),
            ("{service: {name: s, namespace: n, path: p}}", "https://s.n.svc:443/p"),
            ("{url: 'https://hooks.example/x'}", "https://hooks.example/x"),
        ] {
            let files = parse(&webhooks(client)).unwrap().request_files("vc").unwrap();
            let [(name, text)] = files.as_slice() else {
                panic!("{files:?}")
            };
            assert_eq!(*name, VALIDATING);
            let manifest: Value = serde_yaml::from_str(text).unwrap();
            assert_eq!(manifest["metadata"]["name"], "c.static.k8s.io");
            assert_eq!(manifest["webhooks"][0]["clientConfig"], json!({"url": url}));
        }
        assert!(parse("").unwrap().request_files("vc").unwrap().is_empty());
    }

    #[test]
    fn webhooks_without_a_place_are_refused() {
        let junk = STANDARD.encode(CERTIFICATE);
        for (client, expected) in [
            ("{}".to_owned(), "must have a url or a service"),
            ("{service: {name: s}}".to_owned(), "without a name or a namespace"),
            ("{service: {namespace: s}}".to_owned(), "without a name or a namespace"),
            ("{url: 'http://x'}".to_owned(), "does not begin with https://"),
            ("{url: 'https://x', caBundle: '!'}".to_owned(), "holds no certificate"),
            (
                format!("{{url: 'https://x', caBundle: {junk}}}"),
                "holds no certificate",
            ),
        ] {
            let error = parse(&webhooks(&client)).unwrap_err();
            assert!(
                error.contains("policies.centralAdmission.validatingWebhooks") && error.contains(expected),
                "{client}: {error}"
            );
        }
        let twice = "policies: {centralAdmission: {mutatingWebhooks: [{metadata: {name: a}}, {metadata: {name: a}}]}}";
        assert!(parse(twice).unwrap_err().contains("[1] has the name \"a\""));
    }

    #[test]
    fn rules_about_requests_are_checked_and_written() {
        let rule = |rule: &str| format!("experimental: {{denyProxyRequests: [{rule}]}}\n");
        let good = "{name: r, namespaces: [a], rules: [{apiGroups: [''], resources: [pods/exec], scope: Namespaced, operations: [create, get]}], excludedUsers: [boss]}";
        let config = parse(&rule(good)).unwrap();
        let files = config.request_files("vc").unwrap();
        let [(DENIED, text)] = files.as_slice() else {
            panic!("{files:?}")
        };
        let read = DeniedRequests::parse(text).unwrap();
        assert_eq!(read.rules, config.experimental.deny_proxy_requests);
        assert_eq!(read.rules[0].excluded_users, ["boss"]);
        assert_eq!(DeniedRequests::parse("").unwrap(), DeniedRequests::default());
        let only = "sync: {toHost: {namespaces: {enabled: true, mappingsOnly: true, mappings: {byName: {'synced-*': 'h-*', '${name}-a': b}}}}}";
        let files = parse(only).unwrap().request_files("vc").unwrap();
        let read = DeniedRequests::parse(&files[0].1).unwrap();
        assert_eq!(read.allowed_namespaces, ["synced-*", "vc-a"]);
        let any = only.replace("mappingsOnly: true", "mappingsOnly: false");
        assert!(parse(&any).unwrap().request_files("vc").unwrap().is_empty());
        for (wrong, expected) in [
            ("{name: r, namespaces: [A]}", "namespace \"A\""),
            ("{name: r, rules: [{operations: [list]}]}", "operation \"list\""),
            ("{name: r, rules: [{operations: ['*', get]}]}", "* in operations"),
            ("{name: r, rules: [{apiGroups: ['*', apps]}]}", "* in apiGroups"),
            ("{name: r, rules: [{apiVersions: [v1, '*']}]}", "* in apiVersions"),
            ("{name: r, rules: [{scope: Everywhere}]}", "scope \"Everywhere\""),
            ("{name: r, verbs: [get]}", "verbs"),
        ] {
            let error = parse(&rule(wrong)).unwrap_err();
            assert!(
                error.contains("experimental.denyProxyRequests") && error.contains(expected),
                "{wrong}: {error}"
            );
        }
    }
}
