//! Ingresses: how requests from outside find Services.

mod validate;

use super::GROUP;
use crate::registry::columns::{Column, Columns};
use crate::registry::resource::Resource;
use crate::registry::strategy::{Context, MetadataChecks, Strategy};
use crate::resources::shared::checks::text;
use crate::resources::shared::status::{self, Status};
use crate::resources::shared::{cells, generation};
use machinery::field::{Error, ErrorList, Path};
use machinery::meta;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// The predecessor of `spec.ingressClassName`.
const CLASS_ANNOTATION: &str = "kubernetes.io/ingress.class";
/// How many hosts a table shows.
const MAX_HOSTS: usize = 3;

static COLUMNS: Columns = Columns {
    columns: &[
        cells::NAME,
        Column::new(
            "Class",
            "string",
            "The name of the IngressClass resource that should be used for additional configuration",
        ),
        Column::new(
            "Hosts",
            "string",
            "Hosts that incoming requests are matched against before the ingress rule",
        ),
        Column::new(
            "Address",
            "string",
            "Address is a list containing ingress points for the load-balancer",
        ),
        Column::new("Ports", "string", "Ports of TLS configurations that open"),
        cells::AGE,
    ],
    cells: |obj, now| {
        let secured = !meta::list_at(obj, &["spec", "tls"]).is_empty();
        vec![
            cells::name(obj),
            meta::str_at(obj, &["spec", "ingressClassName"])
                .unwrap_or(cells::NONE)
                .into(),
            hosts(meta::list_at(obj, &["spec", "rules"])).into(),
            addresses(obj).into(),
            if secured { "80, 443" } else { "80" }.into(),
            cells::age(obj, now),
        ]
    },
};

/// The first hosts; `more` counts rules without a host as well, as upstream does.
fn hosts(rules: &[Value]) -> String {
    let hosts: Vec<&str> = rules
        .iter()
        .map(|rule| text(rule, &["host"]))
        .filter(|h| !h.is_empty())
        .collect();
    if hosts.is_empty() {
        return "*".to_owned();
    }
    let shown = hosts[..hosts.len().min(MAX_HOSTS)].join(",");
    let position = rules.iter().scan(0, |count, rule| {
        *count += usize::from(!text(rule, &["host"]).is_empty());
        Some(*count)
    });
    // Whether a rule follows the last host that is shown.
    let full = position.take_while(|count| *count < MAX_HOSTS).count() + 1;
    if rules.len() > full {
        format!("{shown} + {} more...", rules.len() - MAX_HOSTS)
    } else {
        shown
    }
}

fn addresses(obj: &Value) -> String {
    let points = meta::list_at(obj, &["status", "loadBalancer", "ingress"]);
    let address = |point| {
        ["ip", "hostname"]
            .map(|field| text(point, &[field]))
            .into_iter()
            .find(|a| !a.is_empty())
    };
    let all: BTreeSet<&str> = points.iter().filter_map(address).collect();
    all.into_iter().collect::<Vec<_>>().join(",")
}

struct Ingress;

impl Strategy for Ingress {
    fn prepare_for_create(&self, _cx: &Context<'_>, obj: &mut Value) {
        meta::set(obj, &["status"], json!({"loadBalancer": {}}));
        generation::first(obj);
    }

    fn prepare_for_update(&self, _cx: &Context<'_>, new: &mut Value, old: &Value) {
        status::keep(new, old, &[&["spec"]]);
    }

    /// `ValidateIngressCreate`.
    fn validate(&self, _cx: &Context<'_>, obj: &Value) -> ErrorList {
        let mut errors = validate::spec(obj, None);
        let annotated = meta::str_at(obj, &["metadata", "annotations", CLASS_ANNOTATION]);
        let class = meta::str_at(obj, &["spec", "ingressClassName"]);
        if let Some((annotated, _)) = annotated.zip(class).filter(|(a, class)| a != class) {
            let path = Path::new("annotations").child(CLASS_ANNOTATION);
            let detail = "must match `ingressClassName` when both are specified";
            errors.push(Error::invalid(&path, annotated, detail));
        }
        errors
    }

    /// `ValidateIngressUpdate`.
    fn validate_update(&self, _cx: &Context<'_>, new: &Value, old: &Value) -> ErrorList {
        validate::spec(new, Some(old))
    }

    fn warnings(&self, _cx: &Context<'_>, new: &Value, old: Option<&Value>) -> Vec<String> {
        let annotated = meta::at(new, &["metadata", "annotations", CLASS_ANNOTATION]).is_some();
        if old.is_some() || !annotated || meta::at(new, &["spec", "ingressClassName"]).is_some() {
            return Vec::new();
        }
        vec![format!(
            "annotation \"{CLASS_ANNOTATION}\" is deprecated, please use 'spec.ingressClassName' instead"
        )]
    }

    fn metadata_checks_on_update(&self) -> MetadataChecks {
        MetadataChecks::UpdateThenWhole
    }

    fn reset_fields(&self) -> &'static [&'static str] {
        &["status"]
    }
}

pub(super) fn resource() -> Resource {
    let ingress = Resource {
        short_names: ["ing"].into(),
        storage_key: "ingress".into(),
        ..Resource::namespaced_kind(
            (GROUP, "v1", "Ingress"),
            ("ingresses", "ingress"),
            "io.k8s.api.networking.v1.Ingress",
            Ingress,
            &COLUMNS,
        )
    };
    let status = Status {
        validate: validate::status,
        ..Status::plain(|_| {})
    };
    ingress.with_object_subresource("status", status)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_show_three_hosts() {
        let rules = |hosts: &[&str]| hosts.iter().map(|host| json!({"host": host})).collect::<Vec<_>>();
        for (given, shown) in [
            (&[][..], "*"),
            (&[""], "*"),
            (&["a", "b", "c"], "a,b,c"),
            (&["a", "", "b"], "a,b"),
            (&["a", "b", "c", "d"], "a,b,c + 1 more..."),
        ] {
            assert_eq!(hosts(&rules(given)), shown);
        }
    }
}
