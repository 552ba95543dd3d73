//! BackendTLSPolicies, to the host: the Services that they are for, and the certificates that these must have.

use serde_json::Value;

use super::copy::{self, Rules};
use super::parents;
use super::references::{Refusal, Translation};
use crate::engine::plan::Plan;
use crate::json;
use crate::names::Reference;
use crate::world::World;

pub(in crate::resources) fn plan(world: &World, item: &Reference) -> Plan {
    let rules = Rules {
        spec,
        keep: |_, _| (),
        status: |world, object, host| parents::status(world, object, host, "ancestors", "ancestorRef"),
        removed_when_denied: true,
    };
    copy::plan(world, item, &rules)
}

fn spec(translation: &mut Translation<'_>, object: &Value) -> Result<Value, Refusal> {
    let mut spec = object["spec"].clone();
    for (index, target) in json::items_mut(&mut spec, "targetRefs").enumerate() {
        translation.target(target, &format!("translate targetRefs[{index}]"))?;
    }
    if let Some(validation) = spec.get_mut("validation") {
        for (index, reference) in json::items_mut(validation, "caCertificateRefs").enumerate() {
            translation.local(reference, &format!("translate validation.caCertificateRefs[{index}]"))?;
        }
    }
    Ok(spec)
}
