//! Services.

mod defaults;
mod update;
mod validate;
mod warnings;

use super::super::shared::cells::{self, NONE};
use super::super::shared::status::Status;
use crate::registry::columns::{Column, Columns};
use crate::registry::resource::Resource;
use crate::registry::strategy::{Context, MetadataChecks, Strategy};
use machinery::field::ErrorList;
use machinery::object::Selectable;
use machinery::{meta, names};
use serde_json::{Value, json};

const TYPE: &str = "io.k8s.api.core.v1.Service";
const SPEC: &str = "io.k8s.api.core.v1.ServiceSpec";
/// How long the addresses of a load balancer may be in the narrow table.
const ADDRESS_WIDTH: usize = 16;

static COLUMNS: Columns = Columns {
    columns: &[
        cells::NAME,
        Column::of_field("Type", "string", SPEC, "type"),
        Column::of_field("Cluster-IP", "string", SPEC, "clusterIP"),
        Column::of_field("External-IP", "string", SPEC, "externalIPs"),
        Column::of_field("Port(s)", "string", SPEC, "ports"),
        cells::AGE,
        Column::of_field("Selector", "string", SPEC, "selector").wide(),
    ],
    cells: |obj, now| {
        let ports: Vec<String> = meta::list_at(obj, &["spec", "ports"]).iter().map(port).collect();
        vec![
            cells::name(obj),
            meta::str_at(obj, &["spec", "type"]).unwrap_or_default().into(),
            cells::text_or_none(obj, &["spec", "clusterIP"]).into(),
            external_address(obj).into(),
            if ports.is_empty() {
                NONE.into()
            } else {
                ports.join(",").into()
            },
            cells::age(obj, now),
            cells::labels(meta::at(obj, &["spec", "selector"])),
        ]
    },
};

fn port(port: &Value) -> String {
    let protocol = meta::str_at(port, &["protocol"]).unwrap_or_default();
    match (cells::number(port, &["port"]), cells::number(port, &["nodePort"])) {
        (number, node) if node > 0 => format!("{number}:{node}/{protocol}"),
        (number, _) => format!("{number}/{protocol}"),
    }
}

/// `getServiceExternalIP`.
fn external_address(service: &Value) -> String {
    let external: Vec<&str> = meta::list_at(service, &["spec", "externalIPs"])
        .iter()
        .filter_map(Value::as_str)
        .collect();
    match meta::str_at(service, &["spec", "type"]).unwrap_or_default() {
        "ExternalName" => meta::str_at(service, &["spec", "externalName"])
            .unwrap_or_default()
            .to_owned(),
        "LoadBalancer" => {
            let mut balancers: Vec<&str> = meta::list_at(service, &["status", "loadBalancer", "ingress"])
                .iter()
                .filter_map(|i| ["ip", "hostname"].iter().find_map(|f| meta::str_at(i, &[f])))
                .collect();
            balancers.sort_unstable();
            balancers.dedup();
            let mut text = balancers.join(",");
            if text.len() > ADDRESS_WIDTH {
                text = format!("{}...", text.chars().take(ADDRESS_WIDTH - 3).collect::<String>());
            }
            match (text.is_empty(), external.is_empty()) {
                (true, true) => "<pending>".to_owned(),
                (false, true) => text,
                (true, false) => external.join(","),
                (false, false) => format!("{text},{}", external.join(",")),
            }
        }
        "ClusterIP" | "NodePort" if external.is_empty() => NONE.to_owned(),
        "ClusterIP" | "NodePort" => external.join(","),
        _ => cells::UNKNOWN.to_owned(),
    }
}

struct Service;

impl Strategy for Service {
    fn returns_deleted_object(&self) -> bool {
        true
    }

    fn default(&self, obj: &mut Value) {
        defaults::apply(obj);
    }

    fn allow_create_on_update(&self) -> bool {
        true
    }

    fn prepare_reservation(&self, _cx: &Context<'_>, new: &mut Value, old: Option<&Value>) -> ErrorList {
        match old {
            Some(old) => defaults::carry_over(new, old),
            None => defaults::list_address(new),
        }
        validate::addresses_and_families(new, old)
    }

    fn prepare_for_create(&self, _cx: &Context<'_>, obj: &mut Value) {
        meta::set(obj, &["status"], json!({"loadBalancer": {}}));
    }

    fn prepare_for_update(&self, _cx: &Context<'_>, new: &mut Value, old: &Value) {
        meta::copy(new, old, &["status"]);
        defaults::drop_foreign_fields(new, old);
    }

    fn validate(&self, _cx: &Context<'_>, obj: &Value) -> ErrorList {
        validate::service(obj, None)
    }

    fn validate_update(&self, _cx: &Context<'_>, new: &Value, old: &Value) -> ErrorList {
        let mut errors = update::validate(new, old);
        errors.extend(validate::service(new, Some(old)));
        errors
    }

    fn warnings(&self, _cx: &Context<'_>, new: &Value, _old: Option<&Value>) -> Vec<String> {
        warnings::of(new)
    }

    /// Relaxed from RFC 1035 labels in 1.36.
    fn validate_name(&self, name: &str, prefix: bool) -> Vec<String> {
        names::dns1123_label_for(name, prefix)
    }

    fn reset_fields(&self) -> &'static [&'static str] {
        &["status"]
    }

    fn metadata_checks_on_update(&self) -> MetadataChecks {
        MetadataChecks::UpdateThenWhole
    }
}

pub(super) fn resource() -> Resource {
    let service = Resource {
        short_names: ["svc"].into(),
        categories: ["all"].into(),
        storage_key: "services/specs".into(),
        selectable_fields: Selectable::Builtin(&[
            ("spec.clusterIP", |o| {
                meta::str_at(o, &["spec", "clusterIP"]).unwrap_or_default().to_owned()
            }),
            ("spec.type", |o| {
                meta::str_at(o, &["spec", "type"]).unwrap_or_default().to_owned()
            }),
        ]),
        ..Resource::namespaced_kind(("", "v1", "Service"), ("services", "service"), TYPE, Service, &COLUMNS)
    };
    let status = Status {
        validate: validate::status,
        ..Status::plain(defaults::apply)
    };
    service
        .with_proxy("ServiceProxyOptions")
        .with_object_subresource("status", status)
}
