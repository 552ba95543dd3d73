//! The networking.k8s.io group.

mod ingress;
mod ingressclass;
mod ipaddress;
mod networkpolicy;
mod servicecidr;

use super::shared::checks::{complaints, text};
use crate::registry::resource::Resource;
use machinery::field::{ErrorList, Path};
use machinery::names;
use serde_json::Value;

/// The group's name.
const GROUP: &str = "networking.k8s.io";

pub(super) fn all() -> Vec<Resource> {
    vec![
        ingressclass::resource(),
        ingress::resource(),
        ipaddress::resource(),
        networkpolicy::resource(),
        servicecidr::resource(),
    ]
}

/// Complaints about a field that must be one segment of a path, when it has to be there or is.
fn segment(owner: &Value, field: &str, path: &Path) -> ErrorList {
    let value = text(owner, &[field]);
    complaints(&path.child(field), value, names::path_segment(value, false))
}

/// Complaints about the API group in a reference.
fn api_group(owner: &Value, path: &Path) -> ErrorList {
    match owner.get("apiGroup").and_then(Value::as_str) {
        Some(group) => complaints(&path.child("apiGroup"), group, names::dns1123_subdomain(group)),
        None => ErrorList::new(),
    }
}
