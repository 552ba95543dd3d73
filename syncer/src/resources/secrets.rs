//! Secrets, to the host.

use serde_json::{Map, Value, json};

use super::used::{self, Content};
use crate::engine::plan::Plan;
use crate::names::Reference;
use crate::world::World;

pub(super) fn plan(world: &World, item: &Reference) -> Plan {
    let content = Content {
        fields: &["data"],
        initial: &["type", "immutable"],
        all: world.settings.all_secrets,
        convert: hide_token_type,
    };
    used::plan(world, item, &content)
}

/// The host's token controller would fill in, or delete, a Secret of the service-account type.
fn hide_token_type(secret: &mut Map<String, Value>) {
    if let Some(kind) = secret.get_mut("type")
        && kind == "kubernetes.io/service-account-token"
    {
        *kind = json!("Opaque");
    }
}
