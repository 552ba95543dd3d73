//! The definitions of the Gateway API's kinds: the host has to serve them, and the virtual cluster gets them.

use serde_json::Value;

use super::MEMBERS;
use crate::json;
use crate::kinds::Kind;
use crate::resources::custom::definition::{self, Wanted};
use crate::settings::Settings;

/// The name of the definition of a kind.
pub fn name(kind: Kind) -> String {
    format!("{}.{}", kind.plural(), kind.group())
}

/// What the virtual cluster gets of the host's definition, if there is one; the problem is a sentence.
pub fn for_virtual(settings: &Settings, kind: Kind, definition: Option<Value>) -> Result<Value, String> {
    let member = MEMBERS.iter().find(|member| member.kind == kind);
    let missing = || {
        let needed = MEMBERS.iter().filter(|other| other.looks_at.contains(&kind));
        let mut members: Vec<_> = member.into_iter().chain(needed).collect();
        members.retain(|member| member.is_synced(settings));
        let keys = members.first().map_or("", |member| member.keys);
        format!(
            "host cluster does not advertise Gateway API resource {}; install Gateway API CRDs that serve this version on the \
             host cluster or disable {keys}",
            kind.gvk()
        )
    };
    let mut definition = definition.ok_or_else(missing)?;
    if !member.is_some_and(|member| member.is_synced(settings)) {
        name_newest(&mut definition, kind.version());
    }
    let wanted = Wanted {
        definition: name(kind),
        version: Some(kind.version().to_owned()),
    };
    let served = definition::kind(&wanted, &definition).map_err(|_| missing())?;
    Ok(definition::for_virtual(&served, &definition))
}

/// A kind that never gets to the host may have another version there. Of those that the virtual cluster only looks at, v1 has
/// no other fields than the last version before it.
fn name_newest(definition: &mut Value, version: &str) {
    let served = |other: &Value| json::flag(other, &["served"]) == Some(true);
    let Some(versions) = definition.pointer_mut("/spec/versions").and_then(Value::as_array_mut) else {
        return;
    };
    if versions.iter().any(|other| served(other) && other["name"] == version) {
        return;
    }
    versions.retain(served);
    if let Some(newest) = versions.last_mut() {
        newest["name"] = version.into();
    }
}
