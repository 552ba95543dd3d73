//! Custom resources that vcluster.yaml names: a line of the table for each, made at the start from their definitions on the
//! host.

mod copy;
pub mod definition;
mod mirror;

use super::{Direction, HostRule, READ, Resource, WRITE, When};
use crate::kinds::{CustomKind, Kind};

/// The line of the table for one kind. It is made once and lives as long as the process.
pub fn line(kind: CustomKind, direction: Direction) -> &'static Resource {
    let kind: &'static CustomKind = Box::leak(Box::new(kind));
    let (plan, verbs): (super::Decision, _) = match direction {
        Direction::ToHost => (copy::plan, WRITE),
        Direction::FromHost => (mirror::plan, READ),
    };
    let rules = vec![
        HostRule {
            group: &kind.group,
            resource: &kind.plural,
            verbs,
            cluster: direction == Direction::FromHost,
        },
        definition::RIGHT,
    ];
    Box::leak(Box::new(Resource {
        kind: Kind::Custom(kind),
        direction,
        when: When::Always,
        host_rules: rules.leak(),
        plan,
    }))
}

/// Everything of an object but what the API machinery itself knows.
fn content(object: &serde_json::Value) -> serde_json::Value {
    let mut content = object.clone();
    crate::json::remove(&mut content, &["apiVersion", "kind", "metadata", "status"]);
    content
}

#[cfg(test)]
mod tests;
