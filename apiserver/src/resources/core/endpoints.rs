//! Endpoints, the older form of EndpointSlices.

use super::super::shared::addresses;
use super::super::shared::cells::{self, NONE};
use super::super::shared::checks::complaints;
use super::super::shared::pod_defaults::{items, set_text};
use crate::registry::columns::{Column, Columns};
use crate::registry::resource::Resource;
use crate::registry::strategy::{Context, Strategy};
use machinery::field::{Error, ErrorList, Path};
use machinery::{meta, names};
use serde_json::Value;

const TYPE: &str = "io.k8s.api.core.v1.Endpoints";

static COLUMNS: Columns = Columns {
    columns: &[
        cells::NAME,
        Column::of_field("Endpoints", "string", TYPE, "subsets"),
        cells::AGE,
    ],
    cells: |obj, now| {
        let all: Vec<String> = meta::list_at(obj, &["subsets"])
            .iter()
            .flat_map(subset_addresses)
            .collect();
        vec![
            cells::name(obj),
            cells::shortened(&all, 3, NONE).into(),
            cells::age(obj, now),
        ]
    },
};

/// Every ready address with every port.
fn subset_addresses(subset: &Value) -> Vec<String> {
    let addresses = || {
        meta::list_at(subset, &["addresses"])
            .iter()
            .filter_map(|a| meta::str_at(a, &["ip"]))
    };
    let ports = meta::list_at(subset, &["ports"]);
    if ports.is_empty() {
        return addresses().map(str::to_owned).collect();
    }
    let with_port = |port: &Value| {
        let number = meta::i64_at(port, &["port"]).unwrap_or_default();
        addresses().map(move |ip| {
            if ip.contains(':') {
                format!("[{ip}]:{number}")
            } else {
                format!("{ip}:{number}")
            }
        })
    };
    ports.iter().flat_map(with_port).collect()
}

struct Endpoints;

impl Strategy for Endpoints {
    fn default(&self, obj: &mut Value) {
        for subset in items(obj, &["subsets"]) {
            for port in items(subset, &["ports"]) {
                set_text(port, &["protocol"], "TCP");
            }
        }
    }

    fn allow_create_on_update(&self) -> bool {
        true
    }

    fn validate(&self, _cx: &Context<'_>, obj: &Value) -> ErrorList {
        let mut errors = ErrorList::new();
        for (i, subset) in meta::list_at(obj, &["subsets"]).iter().enumerate() {
            errors.extend(validate_subset(subset, &Path::new("subsets").index(i)));
        }
        errors
    }

    fn validate_update(&self, cx: &Context<'_>, new: &Value, _old: &Value) -> ErrorList {
        self.validate(cx, new)
    }
}

/// `validateEndpointSubsets`.
fn validate_subset(subset: &Value, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let lists = ["addresses", "notReadyAddresses"].map(|field| (field, meta::list_at(subset, &[field])));
    if lists.iter().all(|(_, list)| list.is_empty()) {
        errors.push(Error::required(path, "must specify `addresses` or `notReadyAddresses`"));
    }
    for (field, list) in lists {
        for (i, address) in list.iter().enumerate() {
            let path = path.child(field).index(i);
            let ip = meta::str_at(address, &["ip"]).unwrap_or_default();
            errors.extend(addresses::of_another_host(ip, &path.child("ip")));
            // Upstream looks at an address that cannot be read twice.
            if addresses::read_ip(ip).is_none() {
                errors.push(Error::invalid(&path.child("ip"), ip, "must be a valid IP address"));
            }
            let hostname = meta::str_at(address, &["hostname"]).unwrap_or_default();
            if !hostname.is_empty() {
                let complaints = names::dns1123_label(hostname);
                errors.extend(
                    complaints
                        .into_iter()
                        .map(|e| Error::invalid(&path.child("hostname"), hostname, e)),
                );
            }
            if let Some(node) = meta::str_at(address, &["nodeName"]) {
                errors.extend(complaints(
                    &path.child("nodeName"),
                    node,
                    names::dns1123_subdomain(node),
                ));
            }
        }
    }
    let ports = meta::list_at(subset, &["ports"]);
    for (i, port) in ports.iter().enumerate() {
        let path = path.child("ports").index(i);
        let name = meta::str_at(port, &["name"]).unwrap_or_default();
        if name.is_empty() && ports.len() > 1 {
            errors.push(Error::required(&path.child("name"), ""));
        } else if !name.is_empty() {
            errors.extend(
                names::dns1123_label(name)
                    .into_iter()
                    .map(|e| Error::invalid(&path.child("name"), name, e)),
            );
        }
        let number = meta::i64_at(port, &["port"]).unwrap_or_default();
        errors.extend(
            names::port_number(number)
                .into_iter()
                .map(|e| Error::invalid(&path.child("port"), number, e)),
        );
        match meta::str_at(port, &["protocol"]).unwrap_or_default() {
            "" => errors.push(Error::required(&path.child("protocol"), "")),
            "TCP" | "UDP" | "SCTP" => {}
            other => errors.push(Error::not_supported(
                &path.child("protocol"),
                other,
                &["SCTP", "TCP", "UDP"],
            )),
        }
        if let Some(protocol) = meta::str_at(port, &["appProtocol"]) {
            let found = names::qualified_name(protocol);
            errors.extend(complaints(&path.child("appProtocol"), protocol, found));
        }
    }
    errors
}

pub(super) fn resource() -> Resource {
    Resource {
        short_names: ["ep"].into(),
        storage_key: "services/endpoints".into(),
        deprecation: Some("v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice".into()),
        ..Resource::namespaced_kind(
            ("", "v1", "Endpoints"),
            ("endpoints", "endpoints"),
            TYPE,
            Endpoints,
            &COLUMNS,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn cells_show_the_first_three() {
        let ip = |n: u8| json!({"ip": format!("10.0.0.{n}")});
        let obj = json!({"metadata": {"name": "e"}, "subsets": [{"addresses": [ip(1), ip(2), ip(3), ip(4)], "ports": [{"port": 80}]}]});
        assert_eq!(
            (COLUMNS.cells)(&obj, 0)[1],
            "10.0.0.1:80,10.0.0.2:80,10.0.0.3:80 + 1 more..."
        );
    }
}
