//! ClusterRoleBindings: who may do everywhere what a ClusterRole says.

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
            "RoleRef can only reference a ClusterRole in the global namespace. If the RoleRef cannot be resolved, the Authorizer must return an error.",
        ),
        cells::AGE,
        Column::new("Users", "string", "Users in the clusterRoleBinding").wide(),
        Column::new("Groups", "string", "Groups in the clusterRoleBinding").wide(),
        Column::new("ServiceAccounts", "string", "ServiceAccounts in the clusterRoleBinding").wide(),
    ],
    cells: bindings::cells,
};

pub(super) fn resource() -> Resource {
    Resource::cluster_kind(
        (GROUP, "v1", "ClusterRoleBinding"),
        ("clusterrolebindings", "clusterrolebinding"),
        "io.k8s.api.rbac.v1.ClusterRoleBinding",
        Bindings { namespaced: false },
        &COLUMNS,
    )
}
