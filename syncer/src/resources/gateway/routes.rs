//! HTTPRoutes and TLSRoutes, to the host: they get there when every Gateway lets them attach and every Service that they name
//! may be named.

use serde_json::Value;

use super::copy::{self, Rules};
use super::parents;
use super::references::{Refusal, Translation};
use crate::engine::plan::Plan;
use crate::json;
use crate::names::{Reference, keys};
use crate::world::World;

pub(in crate::resources) fn plan_http(world: &World, item: &Reference) -> Plan {
    let rules = Rules {
        spec: |translation, object| spec(translation, object, http_rule),
        keep: |host, wanted| {
            // A rule that stays goes first, so that its filters are found by its name.
            keep_rule(host, wanted);
            keep_mirror_filters(host, wanted);
        },
        status: |world, object, host| parents::status(world, object, host, "parents", "parentRef"),
        removed_when_denied: true,
    };
    copy::plan(world, item, &rules)
}

pub(in crate::resources) fn plan_tls(world: &World, item: &Reference) -> Plan {
    let rules = Rules {
        spec: |translation, object| spec(translation, object, tls_rule),
        keep: |_, _| (),
        status: |world, object, host| parents::status(world, object, host, "parents", "parentRef"),
        removed_when_denied: true,
    };
    copy::plan(world, item, &rules)
}

fn spec(
    translation: &mut Translation<'_>,
    object: &Value,
    rule: fn(&mut Translation<'_>, &mut Value, &str) -> Result<(), Refusal>,
) -> Result<Value, Refusal> {
    let mut spec = object["spec"].clone();
    parents::hostnames(translation, &spec)?;
    parents::attach(translation, &mut spec)?;
    for (index, each) in json::items_mut(&mut spec, "rules").enumerate() {
        rule(translation, each, &format!("translate rules[{index}]"))?;
    }
    Ok(spec)
}

fn tls_rule(translation: &mut Translation<'_>, rule: &mut Value, place: &str) -> Result<(), Refusal> {
    for (index, reference) in json::items_mut(rule, "backendRefs").enumerate() {
        let at = |what: &str| format!("{place}: {what} backendRefs[{index}]");
        translation.backend(reference, &at("authorize"), &at("translate"))?;
    }
    Ok(())
}

fn http_rule(translation: &mut Translation<'_>, rule: &mut Value, place: &str) -> Result<(), Refusal> {
    for (index, reference) in json::items_mut(rule, "backendRefs").enumerate() {
        let at = format!("{place}: translate backendRefs[{index}]");
        translation.backend(reference, &at, &at)?;
        filters(translation, reference, &at)?;
    }
    filters(translation, rule, place)
}

/// The filters of a rule or of one of its backends that name something, too.
fn filters(translation: &mut Translation<'_>, holder: &mut Value, place: &str) -> Result<(), Refusal> {
    for (index, filter) in json::items_mut(holder, "filters").enumerate() {
        for field in ["requestMirror", "externalAuth"] {
            let Some(reference) = filter.get_mut(field).and_then(|filter| filter.get_mut("backendRef")) else {
                continue;
            };
            let at = |what: &str| format!("{place}: translate filters[{index}]: {what} {field}.backendRef");
            translation.backend(reference, &at("authorize"), &at("translate"))?;
        }
        if let Some(reference) = filter.get_mut("extensionRef") {
            translation.extension(reference, &format!("{place}: translate filters[{index}]"))?;
        }
    }
    Ok(())
}

/// Keeps a rule of the host's route that its annotation names.
fn keep_rule(host: &Value, wanted: &mut Value) {
    let name = json::text(host, &["metadata", "annotations", keys::KEEP_RULE]);
    let named = |rule: &&Value| !name.is_empty() && json::text(rule, &["name"]) == name;
    let Some(rule) = json::items(host, &["spec", "rules"]).iter().find(named) else {
        return;
    };
    let mut rules = json::items(wanted, &["rules"]).to_vec();
    if !rules.iter().any(|rule| named(&rule)) {
        rules.insert(0, rule.clone());
        wanted["rules"] = Value::Array(rules);
    }
}

/// Keeps filters that the host added to rules, if its annotation says so. Rules without a name are known by their place.
fn keep_mirror_filters(host: &Value, wanted: &mut Value) {
    if json::text(host, &["metadata", "annotations", keys::KEEP_MIRROR_FILTERS]) != "true" {
        return;
    }
    let theirs = json::items(host, &["spec", "rules"]);
    for (index, rule) in json::items_mut(wanted, "rules").enumerate() {
        let same = match rule.get("name").and_then(Value::as_str) {
            Some(name) => theirs.iter().find(|other| json::text(other, &["name"]) == name),
            None => theirs.get(index),
        };
        let mut filters = json::items(rule, &["filters"]).to_vec();
        let before = filters.len();
        for filter in same.map_or(&[][..], |same| json::items(same, &["filters"])) {
            let Some(target) = mirrored_to(filter) else { continue };
            if !filters.iter().any(|known| mirrored_to(known) == Some(target)) {
                filters.push(filter.clone());
            }
        }
        if filters.len() > before {
            rule["filters"] = Value::Array(filters);
        }
    }
}

/// Where a filter sends copies of requests.
fn mirrored_to(filter: &Value) -> Option<&Value> {
    let mirrors = json::text(filter, &["type"]) == "RequestMirror";
    json::at(filter, &["requestMirror", "backendRef"]).filter(|_| mirrors)
}
