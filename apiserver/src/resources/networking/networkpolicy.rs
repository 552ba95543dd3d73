//! NetworkPolicies: who may talk to whom.

use super::super::core::pod_template::validate_label_selector;
use super::GROUP;
use crate::registry::columns::{Column, Columns};
use crate::registry::resource::Resource;
use crate::registry::strategy::{Context, Strategy};
use crate::resources::shared::addresses::{self, Cidr};
use crate::resources::shared::checks::{complaints, one_of_if_set, text};
use crate::resources::shared::pod_defaults::items;
use crate::resources::shared::{cells, generation};
use machinery::field::{Error, ErrorList, Path};
use machinery::{meta, names};
use serde_json::{Value, json};

const PROTOCOLS: [&str; 3] = ["TCP", "UDP", "SCTP"];
const POLICY_TYPES: [&str; 2] = ["Ingress", "Egress"];
/// The two lists of rules and what the peers of each are called.
const DIRECTIONS: [(&str, &str); 2] = [("ingress", "from"), ("egress", "to")];

static COLUMNS: Columns = Columns {
    columns: &[
        cells::NAME,
        Column::of_field(
            "Pod-Selector",
            "string",
            "io.k8s.api.networking.v1.NetworkPolicySpec",
            "podSelector",
        ),
        cells::AGE,
    ],
    cells: |obj, now| {
        vec![
            cells::name(obj),
            cells::selector(obj, &["spec", "podSelector"]),
            cells::age(obj, now),
        ]
    },
};

struct NetworkPolicy;

impl Strategy for NetworkPolicy {
    fn tells_empty_from_none(&self) -> bool {
        true
    }

    /// `SetDefaults_NetworkPolicy` and `SetDefaults_NetworkPolicyPort`.
    fn default(&self, obj: &mut Value) {
        if meta::at(obj, &["spec"]).is_none() {
            return;
        }
        if meta::list_at(obj, &["spec", "policyTypes"]).is_empty() {
            let types = if meta::list_at(obj, &["spec", "egress"]).is_empty() {
                json!(["Ingress"])
            } else {
                json!(["Ingress", "Egress"])
            };
            meta::set(obj, &["spec", "policyTypes"], types);
        }
        for (rules, _) in DIRECTIONS {
            for rule in items(obj, &["spec", rules]) {
                for port in items(rule, &["ports"]) {
                    meta::set_default(port, &["protocol"], "TCP");
                }
            }
        }
    }

    fn prepare_for_create(&self, _cx: &Context<'_>, obj: &mut Value) {
        generation::first(obj);
    }

    fn prepare_for_update(&self, _cx: &Context<'_>, new: &mut Value, old: &Value) {
        generation::follow(new, old, &[&["spec"]]);
    }

    fn validate(&self, _cx: &Context<'_>, obj: &Value) -> ErrorList {
        validate(obj, &[])
    }

    /// Networks that were there may stay, wherever they are now.
    fn validate_update(&self, _cx: &Context<'_>, new: &Value, old: &Value) -> ErrorList {
        let networks = networks(old);
        let known: Vec<&str> = networks.iter().map(|(_, text)| *text).collect();
        validate(new, &known)
    }

    fn warnings(&self, _cx: &Context<'_>, new: &Value, _old: Option<&Value>) -> Vec<String> {
        let networks = networks(new);
        networks
            .iter()
            .flat_map(|(path, text)| addresses::cidr_warnings(text, path))
            .collect()
    }
}

/// All networks that a policy names, and where.
fn networks(obj: &Value) -> Vec<(Path, &str)> {
    let mut all = Vec::new();
    for (rules, peers) in DIRECTIONS {
        for (i, rule) in meta::list_at(obj, &["spec", rules]).iter().enumerate() {
            for (j, peer) in meta::list_at(rule, &[peers]).iter().enumerate() {
                let Some(block) = peer.get("ipBlock").filter(|block| !block.is_null()) else {
                    continue;
                };
                let path = Path::new("spec")
                    .child(rules)
                    .index(i)
                    .child(peers)
                    .index(j)
                    .child("ipBlock");
                all.push((path.child("cidr"), text(block, &["cidr"])));
                let except = meta::list_at(block, &["except"]).iter().enumerate();
                all.extend(except.map(|(k, e)| (path.child("except").index(k), e.as_str().unwrap_or_default())));
            }
        }
    }
    all
}

/// `ValidateNetworkPolicySpec`.
fn validate(obj: &Value, known: &[&str]) -> ErrorList {
    let path = Path::new("spec");
    let mut errors = ErrorList::new();
    if let Some(selector) = meta::at(obj, &["spec", "podSelector"]) {
        errors.extend(validate_label_selector(selector, &path.child("podSelector")));
    }
    for (rules, peers) in DIRECTIONS {
        for (i, rule) in meta::list_at(obj, &["spec", rules]).iter().enumerate() {
            let path = path.child(rules).index(i);
            for (j, port) in meta::list_at(rule, &["ports"]).iter().enumerate() {
                errors.extend(validate_port(port, &path.child("ports").index(j)));
            }
            for (j, peer) in meta::list_at(rule, &[peers]).iter().enumerate() {
                errors.extend(validate_peer(peer, known, &path.child(peers).index(j)));
            }
        }
    }
    let types = meta::list_at(obj, &["spec", "policyTypes"]);
    let path = path.child("policyTypes");
    if types.len() > POLICY_TYPES.len() {
        let detail = "may not specify more than two policyTypes";
        errors.push(Error::invalid(&path, types.to_vec(), detail));
        return errors;
    }
    for (i, kind) in types.iter().enumerate() {
        let kind = kind.as_str().unwrap_or_default();
        if !POLICY_TYPES.contains(&kind) {
            errors.push(Error::not_supported(&path.index(i), kind, &POLICY_TYPES));
        }
    }
    errors
}

/// `ValidateNetworkPolicyPort`.
fn validate_port(port: &Value, path: &Path) -> ErrorList {
    let mut errors: ErrorList = one_of_if_set(port, "protocol", &PROTOCOLS, path).into_iter().collect();
    let (at, end_at) = (path.child("port"), path.child("endPort"));
    let end = meta::i64_at(port, &["endPort"]);
    match port.get("port") {
        Some(Value::Number(number)) => {
            let first = number.as_i64().unwrap_or_default();
            errors.extend(complaints(&at, first, names::port_number(first)));
            if let Some(end) = end {
                if end < first {
                    // Upstream shows the first port, not the last.
                    errors.push(Error::invalid(
                        &end_at,
                        first,
                        "must be greater than or equal to `port`",
                    ));
                }
                errors.extend(complaints(&end_at, end, names::port_number(end)));
            }
        }
        Some(Value::String(name)) => {
            if let Some(end) = end {
                let detail = "may not be specified when `port` is non-numeric";
                errors.push(Error::invalid(&end_at, end, detail));
            }
            errors.extend(complaints(&at, name.clone(), names::port_name(name)));
        }
        _ => {
            if let Some(end) = end {
                let detail = "may not be specified when `port` is not specified";
                errors.push(Error::invalid(&end_at, end, detail));
            }
        }
    }
    errors
}

/// `ValidateNetworkPolicyPeer`.
fn validate_peer(peer: &Value, known: &[&str], path: &Path) -> ErrorList {
    let part = |field: &str| peer.get(field).filter(|part| !part.is_null());
    let mut errors = ErrorList::new();
    let mut count = 0;
    for field in ["podSelector", "namespaceSelector"] {
        if let Some(selector) = part(field) {
            count += 1;
            errors.extend(validate_label_selector(selector, &path.child(field)));
        }
    }
    match part("ipBlock") {
        Some(block) => {
            errors.extend(validate_block(block, known, &path.child("ipBlock")));
            if count > 0 {
                errors.push(Error::forbidden(path, "may not specify both ipBlock and another peer"));
            }
        }
        None if count == 0 => errors.push(Error::required(path, "must specify a peer")),
        None => {}
    }
    errors
}

/// `ValidateIPBlock`.
fn validate_block(block: &Value, known: &[&str], path: &Path) -> ErrorList {
    let check = |text: &str, path: &Path| match known.contains(&text) {
        true => None,
        false => addresses::cidr(text, path),
    };
    let cidr = text(block, &["cidr"]);
    let at = path.child("cidr");
    if cidr.is_empty() {
        return vec![Error::required(&at, "")];
    }
    let mut errors: ErrorList = check(cidr, &at).into_iter().collect();
    let Some(network) = Cidr::read(cidr) else { return errors };
    for (i, except) in meta::list_at(block, &["except"]).iter().enumerate() {
        let (text, path) = (except.as_str().unwrap_or_default(), path.child("except").index(i));
        errors.extend(check(text, &path));
        let Some(inner) = Cidr::read(text) else { continue };
        if !network.contains(inner.first()) || network.prefix >= inner.prefix {
            errors.push(Error::invalid(&path, text, "must be a strict subset of `cidr`"));
        }
    }
    errors
}

pub(super) fn resource() -> Resource {
    Resource {
        short_names: ["netpol"].into(),
        ..Resource::namespaced_kind(
            (GROUP, "v1", "NetworkPolicy"),
            ("networkpolicies", "networkpolicy"),
            "io.k8s.api.networking.v1.NetworkPolicy",
            NetworkPolicy,
            &COLUMNS,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peers_are_selected_or_networks() {
        let block = |cidr: &str, except: &[&str]| json!({"ipBlock": {"cidr": cidr, "except": except}});
        for (peer, expected) in [
            (json!({"podSelector": {}}), ""),
            (block("1.2.0.0/16", &["1.2.3.0/24"]), ""),
            (json!({}), "p: Required value: must specify a peer"),
            (
                json!({"podSelector": {}, "ipBlock": {"cidr": "1.2.0.0/16"}}),
                "p: Forbidden: may not specify both ipBlock and another peer",
            ),
            (
                block("1.2.0.0/16", &["1.3.0.0/24"]),
                "p.ipBlock.except[0]: Invalid value: \"1.3.0.0/24\": must be a strict subset of `cidr`",
            ),
            (
                block("1.2.0.1/16", &[]),
                "p.ipBlock.cidr: Invalid value: \"1.2.0.1/16\": must not have bits set beyond the prefix length",
            ),
        ] {
            let errors = validate_peer(&peer, &[], &Path::new("p"));
            assert_eq!(
                errors.first().map(ToString::to_string).unwrap_or_default(),
                expected,
                "{peer}"
            );
        }
        assert!(validate_peer(&block("1.2.0.1/16", &[]), &["1.2.0.1/16"], &Path::new("p")).is_empty());
    }

    #[test]
    fn policies_with_rules_for_what_leaves_apply_to_it() {
        for (spec, types) in [
            (json!({}), json!(["Ingress"])),
            (json!({"egress": [{}]}), json!(["Ingress", "Egress"])),
            (json!({"policyTypes": ["Egress"]}), json!(["Egress"])),
        ] {
            let mut policy = json!({"spec": spec});
            NetworkPolicy.default(&mut policy);
            assert_eq!(policy["spec"]["policyTypes"], types);
        }
    }
}
