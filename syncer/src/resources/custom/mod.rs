//! Custom resources that vcluster.yaml names: a line of the table for each, made at the start from their definitions on the
//! host.

mod copy;
pub mod definition;
mod mirror;

use serde_json::Value;

use super::copied::Fields;
use super::{Direction, HostRule, READ, Resource, WRITE, When};
use crate::kinds::{CustomKind, Kind};

/// The line of the table for one kind. It is made once and lives as long as the process.
pub fn line(kind: CustomKind, direction: Direction) -> &'static Resource {
    let kind: &'static CustomKind = Box::leak(Box::new(kind));
    let right = |verbs, cluster| HostRule {
        group: &kind.group,
        resource: &kind.plural,
        verbs,
        cluster,
    };
    // What may be read of objects in namespaces of the host is said by their mappings.
    let (plan, right): (super::Decision, _) = match direction {
        Direction::ToHost => (copy::plan, Some(right(WRITE, false))),
        Direction::FromHost if kind.namespaced => (super::imports::plan, None),
        Direction::FromHost => (mirror::plan, Some(right(READ, true))),
    };
    let rules: Vec<HostRule> = right.into_iter().chain([definition::RIGHT]).collect();
    Box::leak(Box::new(Resource {
        kind: Kind::Custom(kind),
        direction,
        when: When::Always,
        host_rules: rules.leak(),
        plan,
    }))
}

/// Everything of an object but what the API machinery itself knows, and its status.
pub(super) fn content(object: &Value) -> Fields {
    let mut content = object.as_object().cloned().unwrap_or_default();
    content.retain(|field, _| !matches!(field.as_str(), "apiVersion" | "kind" | "metadata" | "status"));
    content
}

#[cfg(test)]
mod tests;
