//! Containers: images, and the environment of the virtual cluster's Services.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::names::CONTAINER_LISTS;
use super::{downward, names};
use crate::json::{self, items_mut};
use crate::world::World;

/// Translates the containers of a pod spec; names of other objects are translated already.
pub(super) fn translate(world: &World, variables: &BTreeMap<String, String>, spec: &mut Value) {
    for list in CONTAINER_LISTS {
        for container in items_mut(spec, list) {
            prepend_variables(container, variables);
            container["image"] = json!(image(world, json::text(container, &["image"])));
        }
    }
    downward::translate(&world.names, spec);
}

/// A container that was added to a running pod.
pub(super) fn translate_added(
    world: &World,
    namespace: &str,
    variables: &BTreeMap<String, String>,
    container: &Value,
) -> Value {
    let mut container = container.clone();
    names::for_each_name_in_container(&mut container, &mut |target, name| {
        names::translate(world, namespace, target, name);
    });
    prepend_variables(&mut container, variables);
    container["image"] = json!(image(world, json::text(&container, &["image"])));
    downward::translate_container(&world.names, &mut container);
    container
}

/// The image to run for an image of the virtual pod.
pub(super) fn image<'a>(world: &'a World, image: &'a str) -> &'a str {
    world
        .settings
        .pods
        .translate_image
        .get(image)
        .map_or(image, String::as_str)
}

/// Puts variables in front, so that the pod's own can refer to them and win over them.
fn prepend_variables(container: &mut Value, variables: &BTreeMap<String, String>) {
    let own = json::items(container, &["env"]);
    let defined = |name: &str| own.iter().any(|variable| json::text(variable, &["name"]) == name);
    let mut env: Vec<Value> = variables
        .iter()
        .filter(|(name, _)| !defined(name))
        .map(|(name, value)| json!({"name": name, "value": value}))
        .collect();
    env.extend(own.iter().cloned());
    json::put(container, "env", (!env.is_empty()).then_some(Value::Array(env)));
}
