//! Bindings: the old way to bind a pod, by a `POST` of a Binding into a namespace. Nothing is stored.

use super::super::shared::cells;
use crate::registry::columns::Columns;
use crate::registry::resource::{Action, Resource};
use crate::registry::strategy::Strategy;

static COLUMNS: Columns = Columns {
    columns: &[cells::NAME, cells::AGE],
    cells: |obj, now| vec![cells::name(obj), cells::age(obj, now)],
};

struct Binding;

impl Strategy for Binding {}

pub(super) fn resource() -> Resource {
    let binding = Resource {
        verbs: &["create"],
        storage_key: "".into(),
        ..Resource::namespaced_kind(
            ("", "v1", "Binding"),
            ("bindings", "binding"),
            "io.k8s.api.core.v1.Binding",
            Binding,
            &COLUMNS,
        )
    };
    binding.with_subresource("", ("", "v1", "Binding"), &["create"], Action::Binding)
}
