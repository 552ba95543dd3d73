//! ClusterRoles: what may be done in the whole cluster, or in namespaces that bind them.

use super::super::shared::cells;
use super::GROUP;
use super::rules::Rules;
use crate::registry::resource::Resource;

pub(super) fn resource() -> Resource {
    Resource::cluster_kind(
        (GROUP, "v1", "ClusterRole"),
        ("clusterroles", "clusterrole"),
        "io.k8s.api.rbac.v1.ClusterRole",
        Rules { namespaced: false },
        &cells::NAME_AND_CREATION,
    )
}
