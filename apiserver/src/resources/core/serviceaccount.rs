//! ServiceAccounts.

use super::super::shared::cells;
use super::super::shared::pod_defaults::items;
use crate::registry::columns::Columns;
use crate::registry::resource::{Action, Resource};
use crate::registry::strategy::{Context, MetadataChecks, Strategy};
use machinery::meta;
use serde_json::{Value, json};

const MOUNTABLE_SECRETS: [&str; 3] = ["metadata", "annotations", "kubernetes.io/enforce-mountable-secrets"];

static COLUMNS: Columns = Columns {
    columns: &[cells::NAME, cells::AGE],
    cells: |obj, now| vec![cells::name(obj), cells::age(obj, now)],
};

struct ServiceAccount;

/// Of its secrets an account only knows the names.
fn keep_names(obj: &mut Value) {
    for secret in items(obj, &["secrets"]) {
        *secret = match meta::str_at(secret, &["name"]).unwrap_or_default() {
            "" => json!({}),
            name => json!({"name": name}),
        };
    }
}

impl Strategy for ServiceAccount {
    fn prepare_for_create(&self, _cx: &Context<'_>, obj: &mut Value) {
        keep_names(obj);
    }

    fn prepare_for_update(&self, _cx: &Context<'_>, new: &mut Value, _old: &Value) {
        keep_names(new);
    }

    fn warnings(&self, _cx: &Context<'_>, new: &Value, old: Option<&Value>) -> Vec<String> {
        let marked = |obj: &Value| meta::at(obj, &MOUNTABLE_SECRETS).is_some();
        if !marked(new) || old.is_some_and(marked) {
            return Vec::new();
        }
        vec![format!(
            "metadata.annotations[{}]: deprecated in v1.32+; prefer separate namespaces to isolate access to mounted \
             secrets",
            MOUNTABLE_SECRETS[2]
        )]
    }

    fn metadata_checks_on_update(&self) -> MetadataChecks {
        MetadataChecks::UpdateThenWhole
    }

    fn returns_deleted_object(&self) -> bool {
        true
    }
}

pub(super) fn resource() -> Resource {
    let account = Resource {
        short_names: ["sa"].into(),
        ..Resource::namespaced_kind(
            ("", "v1", "ServiceAccount"),
            ("serviceaccounts", "serviceaccount"),
            "io.k8s.api.core.v1.ServiceAccount",
            ServiceAccount,
            &COLUMNS,
        )
    };
    account.with_subresource(
        "token",
        ("authentication.k8s.io", "v1", "TokenRequest"),
        &["create"],
        Action::Token,
    )
}
