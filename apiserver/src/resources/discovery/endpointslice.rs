//! EndpointSlices.

use super::super::shared::addresses;
use super::super::shared::cells::{self, UNSET};
use super::super::shared::generation;
use super::super::shared::pod_defaults::{items, set_text};
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
            cells::shortened(&ports, 3, UNSET).into(),
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
            set_text(port, &["protocol"], "TCP");
        }
    }

    fn prepare_for_create(&self, _cx: &Context<'_>, obj: &mut Value) {
        generation::first(obj);
    }

    fn prepare_for_update(&self, _cx: &Context<'_>, new: &mut Value, old: &Value) {
        generation::follow(
            new,
            old,
            &[&["endpoints"], &["ports"], &["addressType"], &["metadata", "labels"]],
        );
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
        errors.extend(validate_endpoints(obj, kind));
        errors.extend(validate_ports(obj));
        errors
    }

    fn validate_update(&self, cx: &Context<'_>, new: &Value, old: &Value) -> ErrorList {
        let mut errors = self.validate(cx, new);
        if meta::at(new, &["addressType"]) != meta::at(old, &["addressType"]) {
            let value = meta::at(new, &["addressType"]).cloned().unwrap_or_default();
            errors.push(Error::invalid(&Path::new("addressType"), value, "field is immutable"));
        }
        errors
    }

    fn warnings(&self, _cx: &Context<'_>, new: &Value, _old: Option<&Value>) -> Vec<String> {
        if meta::str_at(new, &["addressType"]) == Some("FQDN") {
            vec!["spec.addressType: FQDN endpoints are deprecated".to_owned()]
        } else {
            Vec::new()
        }
    }

    fn metadata_checks_on_update(&self) -> MetadataChecks {
        MetadataChecks::Whole
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
            let text = address.as_str().unwrap_or_default();
            // Upstream checks the family of all addresses under the path of the list.
            let (list, path) = (path.child("addresses"), path.child("addresses").index(j));
            if matches!(kind, "IPv4" | "IPv6") {
                errors.extend(addresses_of_family(kind, text, &list));
                errors.extend(addresses::special(text, &path));
                continue;
            }
            if kind == "FQDN" {
                errors.extend(
                    names::dns1123_subdomain(text)
                        .into_iter()
                        .map(|e| Error::invalid(&path, text, e)),
                );
            }
        }
        if let Some(hostname) = meta::str_at(endpoint, &["hostname"]) {
            let complaints = names::dns1123_label(hostname);
            errors.extend(
                complaints
                    .into_iter()
                    .map(|e| Error::invalid(&path.child("hostname"), hostname, e)),
            );
        }
    }
    errors
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
        match meta::str_at(port, &["protocol"]).unwrap_or_default() {
            "TCP" | "UDP" | "SCTP" => {}
            "" => errors.push(Error::required(&path.child("protocol"), "")),
            other => errors.push(Error::not_supported(
                &path.child("protocol"),
                other,
                &["SCTP", "TCP", "UDP"],
            )),
        }
        if let Some(number) = meta::i64_at(port, &["port"]) {
            errors.extend(
                names::port_number(number)
                    .into_iter()
                    .map(|e| Error::invalid(&path.child("port"), number, e)),
            );
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
