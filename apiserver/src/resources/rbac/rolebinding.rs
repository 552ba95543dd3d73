//! RoleBindings: who may do in a namespace what a role says.

use super::super::shared::cells;
use super::GROUP;
use super::bindings::{self, Bindings};
use crate::registry::columns::{Column, Columns};
use crate::registry::resource::Resource;

static COLUMNS: Columns = Columns {
    columns: &[
        cells::NAME,
        Column::new(
            "Role",
            "string",
            "RoleRef can reference a Role in the current namespace or a ClusterRole in the global namespace. If the RoleRef cannot be resolved, the Authorizer must return an error.",
        ),
        cells::AGE,
        Column::new("Users", "string", "Users in the roleBinding").wide(),
        Column::new("Groups", "string", "Groups in the roleBinding").wide(),
        Column::new("ServiceAccounts", "string", "ServiceAccounts in the roleBinding").wide(),
    ],
    cells: bindings::cells,
};

pub(super) fn resource() -> Resource {
    Resource::namespaced_kind(
        (GROUP, "v1", "RoleBinding"),
        ("rolebindings", "rolebinding"),
        "io.k8s.api.rbac.v1.RoleBinding",
        Bindings { namespaced: true },
        &COLUMNS,
    )
}
