//! ConfigMaps, to the host.

use super::used::{self, Content};
use crate::engine::plan::Plan;
use crate::names::Reference;
use crate::world::World;

pub(super) fn plan(world: &World, item: &Reference) -> Plan {
    let content = Content {
        fields: &["data", "binaryData"],
        initial: &["immutable"],
        all: world.settings.all_config_maps,
        convert: |_| (),
    };
    used::plan(world, item, &content)
}
