//! IPAddresses: which addresses of Services are taken, and by whom.

use super::{GROUP, segment};
use crate::registry::columns::{Column, Columns};
use crate::registry::resource::Resource;
use crate::registry::strategy::{Context, Strategy};
use crate::resources::shared::checks::{complaints, same, text};
use crate::resources::shared::{addresses, cells, internal};
use machinery::field::{Error, ErrorList, Path};
use machinery::gvk::GroupResource;
use machinery::{meta, names};
use serde_json::Value;

/// Upstream has a cell for the age, but no heading.
static COLUMNS: Columns = Columns {
    columns: &[
        cells::NAME,
        Column::of_field(
            "ParentRef",
            "string",
            "io.k8s.api.networking.v1.IPAddressSpec",
            "parentRef",
        ),
    ],
    cells: |obj, now| vec![cells::name(obj), parent(obj).into(), cells::age(obj, now)],
};

fn parent(obj: &Value) -> String {
    let Some(parent) = meta::at(obj, &["spec", "parentRef"]).filter(|p| !p.is_null()) else {
        return cells::NONE.to_owned();
    };
    let part = |field: &str| text(parent, &[field]);
    let resource = GroupResource::new(part("group"), part("resource"))
        .to_string()
        .to_lowercase();
    match part("namespace") {
        "" => format!("{resource}/{}", part("name")),
        namespace => format!("{resource}/{namespace}/{}", part("name")),
    }
}

struct IpAddress;

impl Strategy for IpAddress {
    fn validate(&self, _cx: &Context<'_>, obj: &Value) -> ErrorList {
        let path = Path::new("spec").child("parentRef");
        match meta::at(obj, &["spec", "parentRef"]).filter(|p| !p.is_null()) {
            Some(parent) => validate_parent(parent, &path),
            None => vec![Error::required(&path, "")],
        }
    }

    fn validate_update(&self, _cx: &Context<'_>, new: &Value, old: &Value) -> ErrorList {
        let parent = |obj| meta::at(obj, &["spec", "parentRef"]);
        if same(parent(new), parent(old)) {
            return ErrorList::new();
        }
        let value = parent(new).cloned().unwrap_or_default();
        let shown = match &value {
            Value::Null => "null".to_owned(),
            parent => internal::show("ParentReference", parent),
        };
        let path = Path::new("spec").child("parentRef");
        vec![Error::invalid(&path, value, "field is immutable").showing(shown)]
    }

    fn validate_name(&self, name: &str, _prefix: bool) -> Vec<String> {
        let problem = addresses::canonical_ip(name, &Path::root());
        problem.map(|error| error.detail).into_iter().collect()
    }
}

/// `validateIPAddressParentReference`.
fn validate_parent(parent: &Value, path: &Path) -> ErrorList {
    let group = text(parent, &["group"]);
    let mut errors = ErrorList::new();
    if !group.is_empty() {
        errors.extend(complaints(&path.child("group"), group, names::dns1123_subdomain(group)));
    }
    for (field, needed) in [("resource", true), ("name", true), ("namespace", false)] {
        if !text(parent, &[field]).is_empty() {
            errors.extend(segment(parent, field, path));
        } else if needed {
            errors.push(Error::required(&path.child(field), ""));
        }
    }
    errors
}

pub(super) fn resource() -> Resource {
    Resource {
        short_names: ["ip"].into(),
        ..Resource::cluster_kind(
            (GROUP, "v1", "IPAddress"),
            ("ipaddresses", "ipaddress"),
            "io.k8s.api.networking.v1.IPAddress",
            IpAddress,
            &COLUMNS,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn parents_are_shown_by_resource() {
        let obj = |parent: Value| json!({"spec": {"parentRef": parent}});
        for (given, shown) in [
            (
                json!({"resource": "services", "namespace": "n", "name": "s"}),
                "services/n/s",
            ),
            (
                json!({"group": "a.b", "resource": "things", "name": "t"}),
                "things.a.b/t",
            ),
            (Value::Null, "<none>"),
        ] {
            assert_eq!(parent(&obj(given)), shown);
        }
    }

    #[test]
    fn names_are_addresses() {
        for (name, fine) in [
            ("10.0.0.1", true),
            ("fd00::1", true),
            ("fd00:0::1", false),
            ("notip", false),
        ] {
            assert_eq!(IpAddress.validate_name(name, false).is_empty(), fine, "{name}");
        }
    }
}
