//! Roles: what may be done in a namespace.

use super::super::shared::cells;
use super::GROUP;
use super::rules::Rules;
use crate::registry::resource::Resource;

pub(super) fn resource() -> Resource {
    Resource::namespaced_kind(
        (GROUP, "v1", "Role"),
        ("roles", "role"),
        "io.k8s.api.rbac.v1.Role",
        Rules { namespaced: true },
        &cells::NAME_AND_CREATION,
    )
}
