//! `/flagz`: the flags as they are in effect.

use super::Page;
use serde_json::json;
use std::collections::BTreeMap;

pub(super) fn page(flags: &BTreeMap<String, String>) -> Page {
    Page {
        kind: "Flagz",
        fields: json!({ "flags": flags }),
        text: flags.iter().map(|(name, value)| format!("{name}:{value}\n")).collect(),
    }
}
