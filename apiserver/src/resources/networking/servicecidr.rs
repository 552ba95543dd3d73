//! ServiceCIDRs: the networks that addresses of Services are taken from.

use super::GROUP;
use crate::registry::columns::{Column, Columns};
use crate::registry::resource::Resource;
use crate::registry::strategy::{Context, Strategy};
use crate::resources::shared::addresses::{self, Cidr};
use crate::resources::shared::cells;
use crate::resources::shared::status::{Metadata, Status};
use machinery::field::{Error, ErrorList, Path};
use machinery::meta;
use serde_json::{Value, json};

const IMMUTABLE: &str = "field is immutable";

static COLUMNS: Columns = Columns {
    columns: &[
        cells::NAME,
        Column::of_field("CIDRs", "string", "io.k8s.api.networking.v1.ServiceCIDRSpec", "cidrs"),
        cells::AGE,
    ],
    cells: |obj, now| {
        let cidrs: Vec<&str> = cidrs(obj).iter().filter_map(Value::as_str).collect();
        vec![cells::name(obj), cidrs.join(",").into(), cells::age(obj, now)]
    },
};

fn cidrs(obj: &Value) -> &[Value] {
    meta::list_at(obj, &["spec", "cidrs"])
}

struct ServiceCidr;

impl Strategy for ServiceCidr {
    fn prepare_for_create(&self, _cx: &Context<'_>, obj: &mut Value) {
        meta::set(obj, &["status"], json!({}));
    }

    fn prepare_for_update(&self, _cx: &Context<'_>, new: &mut Value, old: &Value) {
        meta::copy(new, old, &["status"]);
    }

    fn validate(&self, _cx: &Context<'_>, obj: &Value) -> ErrorList {
        validate(cidrs(obj))
    }

    /// `ValidateServiceCIDRUpdate`: a network of the other family may be added.
    fn validate_update(&self, _cx: &Context<'_>, new: &Value, old: &Value) -> ErrorList {
        let path = Path::new("spec").child("cidrs");
        let (new, old) = (cidrs(new), cidrs(old));
        let mut errors = ErrorList::new();
        let growing = old.len() == 1 && new.len() == 2;
        if !growing && new.len() != old.len() {
            errors.push(Error::invalid(&path, new.to_vec(), IMMUTABLE));
            return errors;
        }
        for (i, (new, _)) in new.iter().zip(old).enumerate().filter(|(_, (new, old))| new != old) {
            errors.push(Error::invalid(&path.index(i), new.clone(), IMMUTABLE));
        }
        if growing {
            errors.extend(validate(new));
        }
        errors
    }

    fn reset_fields(&self) -> &'static [&'static str] {
        &["status"]
    }
}

/// `validateServiceCIDRSpec`.
fn validate(cidrs: &[Value]) -> ErrorList {
    let path = Path::new("spec").child("cidrs");
    if cidrs.is_empty() {
        return vec![Error::required(&path, "at least one CIDR required")];
    }
    if cidrs.len() > 2 {
        let shown = format!("{{\"CIDRs\":{}}}", Value::from(cidrs.to_vec()));
        return vec![Error::invalid(&path, cidrs.to_vec(), "may only hold up to 2 values").showing(shown)];
    }
    let texts: Vec<&str> = cidrs.iter().map(|cidr| cidr.as_str().unwrap_or_default()).collect();
    let checked = texts.iter().enumerate();
    let mut errors: ErrorList = checked
        .filter_map(|(i, text)| addresses::canonical_cidr(text, &path.index(i)))
        .collect();
    if let [Some(first), Some(second)] = texts.iter().map(|text| Cidr::read(text)).collect::<Vec<_>>()[..]
        && first.width() == second.width()
    {
        let detail = "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64";
        errors.push(Error::invalid(&path, cidrs.to_vec(), detail));
    }
    errors
}

pub(super) fn resource() -> Resource {
    let cidr = Resource::cluster_kind(
        (GROUP, "v1", "ServiceCIDR"),
        ("servicecidrs", "servicecidr"),
        "io.k8s.api.networking.v1.ServiceCIDR",
        ServiceCidr,
        &COLUMNS,
    );
    let status = Status {
        metadata: Metadata::Reset,
        ..Status::plain(|_| {})
    };
    cidr.with_object_subresource("status", status)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_family_may_be_added() {
        let cx = Context {
            namespace: "",
            now: "",
            user: "",
        };
        let object = |cidrs: Value| json!({"spec": {"cidrs": cidrs}});
        let old = object(json!(["10.0.0.0/16"]));
        for (new, errors) in [
            (json!(["10.0.0.0/16"]), 0),
            (json!(["10.0.0.0/16", "fd00::/108"]), 0),
            (json!(["10.0.0.0/16", "10.1.0.0/16"]), 1),
            (json!(["10.1.0.0/16"]), 1),
            (json!(["10.1.0.0/16", "fd00::/108"]), 1),
            (json!([]), 1),
        ] {
            let found = ServiceCidr.validate_update(&cx, &object(new.clone()), &old);
            assert_eq!(found.len(), errors, "{new} {found:?}");
        }
    }
}
