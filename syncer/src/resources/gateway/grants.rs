//! ReferenceGrants, to the host. They decide in the virtual cluster; the copies say the same of its one namespace.

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
    let host_namespace = translation.world.names.host_namespace();
    for from in json::items_mut(&mut spec, "from") {
        json::put(from, "namespace", Some(host_namespace.into()));
    }
    for (index, to) in json::items_mut(&mut spec, "to").enumerate() {
        translation.grantee(to, &format!("translate to[{index}]"))?;
    }
    Ok(spec)
}
