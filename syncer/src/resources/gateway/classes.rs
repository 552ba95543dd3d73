//! GatewayClasses of the host, which the virtual cluster shows without their parameters: those lie on the host.

use crate::engine::plan::{Note, Plan, Step};
use crate::json;
use crate::names::Reference;
use crate::resources::mirrored::{self, Mirrored, PLAIN};
use crate::world::World;

pub(in crate::resources) fn plan(world: &World, item: &Reference) -> Plan {
    let mirrored = Mirrored {
        fields: &["spec"],
        hide: |class| {
            if let Some(spec) = class.get_mut("spec") {
                json::remove(spec, &["parametersRef"]);
            }
        },
        status: true,
        ..PLAIN
    };
    let plan = mirrored::plan(world, item, &mirrored);
    let goes = plan.steps.iter().any(|step| matches!(step, Step::Delete { .. }));
    if !goes {
        return plan;
    }
    let name = item.key.name.as_str();
    let reason = match world.host.get(item.kind, "", name) {
        None => format!("physical GatewayClass {name:?} is missing"),
        Some(_) => format!(
            "did not sync GatewayClass {name:?} because it does not match the selector under \
             'sync.fromHost.gatewayClasses.selector'"
        ),
    };
    plan.note(Note::warning(format!("Deleting virtual GatewayClass: {reason}")))
}
