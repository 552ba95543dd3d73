//! ReferenceGrants, to the host. They decide in the virtual cluster; the copies say the same of its namespaces there.

use serde_json::Value;

use super::copy::{self, Rules};
use super::references::{Refusal, Translation};
use crate::engine::plan::Plan;
use crate::json;
use crate::names::Reference;
use crate::world::World;

pub(in crate::resources) fn plan(world: &World, item: &Reference) -> Plan {
    let rules = Rules {
        spec,
        keep: |_, _| (),
        status: |_, _, _| Ok(None),
        removed_when_denied: true,
    };
    copy::plan(world, item, &rules)
}

fn spec(translation: &mut Translation<'_>, object: &Value) -> Result<Value, Refusal> {
    let mut spec = object["spec"].clone();
    if let Some(Value::Array(all)) = spec.get_mut("from") {
        all.retain_mut(|from| {
            // What has no place on the host names nothing there, and that of others is granted nothing.
            let Some(host) = known(translation.world, json::text(from, &["namespace"])) else {
                return false;
            };
            json::put(from, "namespace", Some(host.into()));
            true
        });
        if all.is_empty() {
            let why = "none of the namespaces in from has one on the host".to_owned();
            return Err(Refusal::Failed(why));
        }
    }
    for (index, to) in json::items_mut(&mut spec, "to").enumerate() {
        translation.grantee(to, &format!("translate to[{index}]"))?;
    }
    Ok(spec)
}

/// The namespace of the host in which the objects of a virtual one lie.
fn known(world: &World, namespace: &str) -> Option<String> {
    let host = world.names.target(namespace).into_owned();
    let joined = host == world.names.host_namespace();
    (joined || world.virtual_namespace(&host).as_deref() == Some(namespace)).then_some(host)
}
