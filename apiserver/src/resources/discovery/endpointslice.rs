//! EndpointSlices.

use super::super::shared::addresses;
use super::super::shared::cells::{self, UNSET};
use super::super::shared::checks::{complaints, one_of, text};
use super::super::shared::generation;
use super::super::shared::pod_defaults::items;
use crate::registry::columns::{Column, Columns};
use crate::registry::resource::Resource;
use crate::registry::strategy::{Context, MetadataChecks, Strategy};
use machinery::field::{Error, ErrorList, Path};
use machinery::{meta, names};
use serde_json::Value;
use std::collections::BTreeSet;
use std::net::IpAddr;

const TYPE: &str = "io.k8s.api.discovery.v1.EndpointSlice";
const MAX_ENDPOINTS: usize = 1000;
const MAX_ADDRESSES: usize = 100;
const MAX_PORTS: usize = 20_000;
/// Zones and nodes that an endpoint is meant for.
const MAX_HINTS: usize = 8;

static COLUMNS: Columns = Columns {
    columns: &[
        cells::NAME,
        Column::of_field("AddressType", "string", TYPE, "addressType"),
        Column::of_field("Ports", "string", TYPE, "ports"),
        Column::of_field("Endpoints", "string", TYPE, "endpoints"),
        cells::AGE,
    ],
    cells: |obj, now| {
        let port = |port: &Value| match (meta::i64_at(port, &["port"]), meta::str_at(port, &["name"])) {
            (Some(number), _) => number.to_string(),
            (None, Some(name)) => name.to_owned(),
            (None, None) => "*".to_owned(),
        };
        let ports: Vec<String> = meta::list_at(obj, &["ports"]).iter().map(port).collect();
        let addresses: Vec<String> = meta::list_at(obj, &["endpoints"])
            .iter()
            .flat_map(|e| meta::list_at(e, &["addresses"]))
            .filter_map(|a| a.as_str().map(str::to_owned))
            .collect();
        vec![
            cells::name(obj),
            meta::str_at(obj, &["addressType"]).unwrap_or_default().into(),
            // A single port without number or name is no text either.
            Some(cells::shortened(&ports, 3, UNSET))
                .filter(|text| !text.is_empty())
                .unwrap_or_else(|| UNSET.to_owned())
                .into(),
            cells::shortened(&addresses, 3, UNSET).into(),
            cells::age(obj, now),
        ]
    },
};

struct EndpointSlice;

impl Strategy for EndpointSlice {
    fn default(&self, obj: &mut Value) {
        for port in items(obj, &["ports"]) {
            meta::set_default(port, &["name"], "");
            meta::set_default(port, &["protocol"], "TCP");
        }
    }

    fn prepare_for_create(&self, _cx: &Context<'_>, obj: &mut Value) {
        generation::first(obj);
        drop_topology(obj);
    }

    fn prepare_for_update(&self, _cx: &Context<'_>, new: &mut Value, old: &Value) {
        generation::follow(
            new,
            old,
            &[&["endpoints"], &["ports"], &["addressType"], &["metadata", "labels"]],
        );
        if meta::at(new, &["endpoints"]) != meta::at(old, &["endpoints"]) {
            drop_topology(new);
        }
    }

    fn validate(&self, _cx: &Context<'_>, obj: &Value) -> ErrorList {
        let mut errors = ErrorList::new();
        let kind = meta::str_at(obj, &["addressType"]).unwrap_or_default();
        let path = Path::new("addressType");
        match kind {
            "" => errors.push(Error::required(&path, "")),
            "IPv4" | "IPv6" | "FQDN" => {}
            other => errors.push(Error::not_supported(&path, other, &["FQDN", "IPv4", "IPv6"])),
        }
        errors.extend(validate_ports(obj));
        errors.extend(validate_endpoints(obj, kind));
        errors
    }

    fn validate_update(&self, cx: &Context<'_>, new: &Value, old: &Value) -> ErrorList {
        let mut errors = self.validate(cx, new);
        if meta::at(new, &["endpoints"]) == meta::at(old, &["endpoints"]) {
            // Older rules took them.
            errors.retain(|error| !error.field.starts_with("endpoints"));
        }
        if meta::at(new, &["addressType"]) != meta::at(old, &["addressType"]) {
            let value = meta::at(new, &["addressType"]).cloned().unwrap_or_default();
            errors.push(Error::invalid(&Path::new("addressType"), value, "field is immutable"));
        }
        errors
    }

    fn warnings(&self, _cx: &Context<'_>, new: &Value, _old: Option<&Value>) -> Vec<String> {
        if meta::str_at(new, &["addressType"]) == Some("FQDN") {
            return vec!["spec.addressType: FQDN endpoints are deprecated".to_owned()];
        }
        let mut warnings = Vec::new();
        for (i, endpoint) in meta::list_at(new, &["endpoints"]).iter().enumerate() {
            for (j, address) in meta::list_at(endpoint, &["addresses"]).iter().enumerate() {
                let path = Path::new("endpoints").index(i).child("addresses").index(j);
                warnings.extend(addresses::ip_warnings(address.as_str().unwrap_or_default(), &path));
            }
        }
        warnings
    }

    fn metadata_checks_on_update(&self) -> MetadataChecks {
        MetadataChecks::Whole
    }
}

/// What v1beta1 kept labels of nodes in cannot be written any more (`dropTopologyOnV1`).
fn drop_topology(obj: &mut Value) {
    for endpoint in items(obj, &["endpoints"]) {
        meta::remove(endpoint, &["deprecatedTopology"]);
    }
}

fn validate_endpoints(obj: &Value, kind: &str) -> ErrorList {
    let path = Path::new("endpoints");
    let endpoints = meta::list_at(obj, &["endpoints"]);
    let mut errors = ErrorList::new();
    if endpoints.len() > MAX_ENDPOINTS {
        errors.push(Error::too_many(&path, endpoints.len(), MAX_ENDPOINTS));
        return errors;
    }
    for (i, endpoint) in endpoints.iter().enumerate() {
        let path = path.index(i);
        let addresses = meta::list_at(endpoint, &["addresses"]);
        if addresses.is_empty() {
            errors.push(Error::required(
                &path.child("addresses"),
                "must contain at least 1 address",
            ));
        } else if addresses.len() > MAX_ADDRESSES {
            errors.push(Error::too_many(
                &path.child("addresses"),
                addresses.len(),
                MAX_ADDRESSES,
            ));
        }
        for (j, address) in addresses.iter().enumerate() {
            let written = address.as_str().unwrap_or_default();
            // Upstream checks the family of all addresses under the path of the list.
            let (list, path) = (path.child("addresses"), path.child("addresses").index(j));
            let unreadable = match kind {
                "IPv4" => addresses::ip(written, &path),
                "IPv6" => addresses::canonical_ip(written, &path),
                "FQDN" => {
                    errors.extend(fully_qualified(written, &path));
                    continue;
                }
                _ => continue,
            };
            if unreadable.is_none() {
                errors.extend(addresses_of_family(kind, written, &list));
                errors.extend(addresses::special(written, &path));
            }
            errors.extend(unreadable);
        }
        if let Some(node) = meta::str_at(endpoint, &["nodeName"]) {
            errors.extend(complaints(
                &path.child("nodeName"),
                node,
                names::dns1123_subdomain(node),
            ));
        }
        if let Some(hostname) = meta::str_at(endpoint, &["hostname"]) {
            let complaints = names::dns1123_label(hostname);
            errors.extend(
                complaints
                    .into_iter()
                    .map(|e| Error::invalid(&path.child("hostname"), hostname, e)),
            );
        }
        let hints = path.child("hints");
        for (list, rule) in [
            ("forZones", names::label_value as fn(&str) -> Vec<String>),
            ("forNodes", names::dns1123_subdomain),
        ] {
            let hinted = meta::list_at(endpoint, &["hints", list]);
            let path = hints.child(list);
            if hinted.len() > MAX_HINTS {
                errors.push(Error::too_many(&path, hinted.len(), MAX_HINTS));
                break;
            }
            let mut seen = BTreeSet::new();
            for (j, hint) in hinted.iter().enumerate() {
                let (name, path) = (text(hint, &["name"]), path.index(j).child("name"));
                if !seen.insert(name) {
                    errors.push(Error::duplicate(&path, name));
                }
                errors.extend(complaints(&path, name, rule(name)));
            }
        }
    }
    errors
}

/// apimachinery `IsFullyQualifiedDomainName`.
fn fully_qualified(name: &str, path: &Path) -> Option<Error> {
    if name.is_empty() {
        return Some(Error::required(path, ""));
    }
    let name = name.strip_suffix('.').unwrap_or(name);
    let invalid =
        |shown: &str, found: Vec<String>| (!found.is_empty()).then(|| Error::invalid(path, shown, found.join(",")));
    let few = "should be a domain with at least two segments separated by dots";
    invalid(name, names::dns1123_subdomain(name))
        .or_else(|| (!name.contains('.')).then(|| Error::invalid(path, name, few)))
        .or_else(|| {
            name.split('.')
                .find_map(|label| invalid(label, names::dns1123_label(label)))
        })
}

fn addresses_of_family(kind: &str, text: &str, path: &Path) -> Option<Error> {
    let fits = match text.parse::<IpAddr>() {
        Ok(IpAddr::V4(_)) => kind == "IPv4",
        Ok(IpAddr::V6(_)) => kind == "IPv6",
        Err(_) => false,
    };
    (!fits).then(|| Error::invalid(path, text, format!("must be an {kind} address")))
}

fn validate_ports(obj: &Value) -> ErrorList {
    let path = Path::new("ports");
    let ports = meta::list_at(obj, &["ports"]);
    let mut errors = ErrorList::new();
    if ports.len() > MAX_PORTS {
        errors.push(Error::too_many(&path, ports.len(), MAX_PORTS));
        return errors;
    }
    let mut seen = BTreeSet::new();
    for (i, port) in ports.iter().enumerate() {
        let path = path.index(i);
        let name = meta::str_at(port, &["name"]).unwrap_or_default();
        if !name.is_empty() {
            errors.extend(
                names::dns1123_label(name)
                    .into_iter()
                    .map(|e| Error::invalid(&path.child("name"), name, e)),
            );
        }
        if !seen.insert(name) {
            errors.push(Error::duplicate(&path.child("name"), name));
        }
        let protocol_path = path.child("protocol");
        match meta::str_at(port, &["protocol"]) {
            None => errors.push(Error::required(&protocol_path, "")),
            Some(protocol) => errors.extend(one_of(protocol, &["SCTP", "TCP", "UDP"], &protocol_path)),
        }
        if let Some(protocol) = meta::str_at(port, &["appProtocol"]) {
            let found = names::qualified_name(protocol);
            errors.extend(complaints(&path.child("appProtocol"), protocol, found));
        }
    }
    errors
}

pub(super) fn resource() -> Resource {
    let names = ("endpointslices", "endpointslice");
    Resource::namespaced_kind(
        ("discovery.k8s.io", "v1", "EndpointSlice"),
        names,
        TYPE,
        EndpointSlice,
        &COLUMNS,
    )
}
