//! ServiceAccounts.

use super::super::shared::cells;
use crate::registry::columns::Columns;
use crate::registry::resource::{Action, Resource};
use crate::registry::strategy::{MetadataChecks, Strategy};

static COLUMNS: Columns = Columns {
    columns: &[cells::NAME, cells::AGE],
    cells: |obj, now| vec![cells::name(obj), cells::age(obj, now)],
};

struct ServiceAccount;

impl Strategy for ServiceAccount {
    fn metadata_checks_on_update(&self) -> MetadataChecks {
        MetadataChecks::UpdateThenWhole
    }

    fn returns_deleted_object(&self) -> bool {
        true
    }
}

pub(super) fn resource() -> Resource {
    let account = Resource {
        short_names: &["sa"],
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
