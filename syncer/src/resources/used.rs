//! ConfigMaps and Secrets: on the host only while something there needs them. What the host changes in a copy comes up, entry by
//! entry; where both sides have changed one, the virtual cluster's counts (`MergeBidirectional` in `pkg/patcher` of vCluster).

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::pair::{self, Pair};
use crate::engine::plan::Plan;
use crate::json;
use crate::kinds::Side;
use crate::names::{Known, Newer, Reference, keys, reconcile_metadata};
use crate::world::World;

/// What differs between the two kinds.
pub(super) struct Content {
    /// Top-level fields that are kept equal.
    pub fields: &'static [&'static str],
    /// Top-level fields that only a new object gets, because they cannot change.
    pub initial: &'static [&'static str],
    /// Whether every object is synced.
    pub all: bool,
    /// Changes the content for the host.
    pub convert: fn(&mut Map<String, Value>),
}

/// Decides about one ConfigMap or Secret.
pub(super) fn plan(world: &World, item: &Reference, content: &Content) -> Plan {
    match pair::load(world, item) {
        Pair::Nothing => Plan {
            forget: true,
            ..Plan::nothing()
        },
        Pair::Taken(_) => pair::taken(world, item),
        Pair::Replaced(_, host) | Pair::Host(host) => pair::delete(Side::Host, item, &host),
        Pair::Virtual(object) if is_used(world, item, &object, content) && !pair::is_deleting(&object) => {
            create(world, item, &object, content)
        }
        Pair::Virtual(_) => Plan {
            forget: true,
            ..Plan::nothing()
        },
        Pair::Both(object, host) => {
            if pair::is_deleting(&object) || !is_used(world, item, &object, content) {
                return pair::delete(Side::Host, item, &host);
            }
            update(world, item, &object, &host, content)
        }
    }
}

fn is_used(world: &World, item: &Reference, object: &Value, content: &Content) -> bool {
    content.all
        || json::text(object, &["metadata", "annotations", keys::FORCE_SYNC]) == "true"
        || world.mappings().is_referenced(item)
}

fn wanted(object: &Value, fields: &[&str], convert: fn(&mut Map<String, Value>)) -> Map<String, Value> {
    let mut wanted: Map<String, Value> = fields
        .iter()
        .filter_map(|field| Some(((*field).to_owned(), object.get(*field)?.clone())))
        .collect();
    convert(&mut wanted);
    wanted
}

fn create(world: &World, item: &Reference, object: &Value, content: &Content) -> Plan {
    let gvk = item.kind.gvk();
    let mapping = pair::mapping(world, item);
    let mut host = wanted(object, content.fields, content.convert);
    host.extend(wanted(object, content.initial, content.convert));
    let source = pair::source(world, &gvk, &mapping.host.name, object, &[]);
    pair::create_copy(world, item, &mapping, &source, host)
}

fn update(world: &World, item: &Reference, object: &Value, host: &Value, content: &Content) -> Plan {
    let gvk = item.kind.gvk();
    let name = &pair::key_of(host).name;
    // What cannot change any more has to be made anew.
    if json::flag(host, &["immutable"]) == Some(true)
        && wanted(object, content.fields, content.convert) != wanted(host, content.fields, |_| ())
    {
        return pair::delete(Side::Host, item, host);
    }
    let change = reconcile_metadata(&pair::source(world, &gvk, name, object, &[]), host);
    let news = entries_of_host(world, object, host, content);
    let mut target = Value::Object(wanted(object, content.fields, content.convert));
    if let Some(news) = &news {
        json::merge(&mut target, news);
    }
    let actual = Value::Object(wanted(host, content.fields, |_| ()));
    let down = pair::patch_step(Side::Host, item, host, change.host, json::merge_diff(&actual, &target));
    let mut metadata = change.virtual_;
    if news.is_some() {
        // The virtual object must be as it was when this was decided.
        let metadata = metadata.get_or_insert_with(|| json!({}));
        metadata["resourceVersion"] = object["metadata"]["resourceVersion"].clone();
    }
    let up = pair::patch_step(Side::Virtual, item, object, metadata, news);
    Plan {
        mapping: Some(pair::mapping(world, item)),
        ..Plan::nothing()
    }
    .and(down)
    .and(up)
}

/// What the host has changed, added or removed since both sides were equal, as a merge patch.
fn entries_of_host(world: &World, object: &Value, host: &Value, content: &Content) -> Option<Value> {
    let uid = json::text(object, &["metadata", "uid"]);
    let news = world
        .agreed
        .revise(uid, |known| news_of_host(known, object, host, content));
    let can_change = json::flag(object, &["immutable"]) != Some(true);
    (can_change && news != json!({})).then_some(news)
}

fn news_of_host(known: &mut Known, object: &Value, host: &Value, content: &Content) -> Value {
    let mut news = json!({});
    for field in content.fields {
        // Where they were compared before, an entry that is not known was on neither side.
        let compared = known.knows(field);
        known.note(field, Some(""));
        let [ours, theirs] = [object, host].map(|side| json::strings(side, &[field]));
        let names: BTreeSet<&String> = ours.keys().chain(theirs.keys()).collect();
        for name in names {
            let (our, their) = (ours.get(name), theirs.get(name));
            let entry = format!("{field}/{name}");
            match known.compare(&entry, our, their) {
                Newer::Host => news[*field][name] = json!(their),
                Newer::Unknown if compared && our.is_none() => news[*field][name] = json!(their),
                // It stays the virtual cluster's until that is written.
                Newer::Unknown => known.note(&entry, their),
                Newer::Neither | Newer::Virtual => {}
            }
        }
        known.keep(|what| {
            let entry = what.strip_prefix(field).and_then(|rest| rest.strip_prefix('/'));
            entry.is_none_or(|name| ours.contains_key(name) || theirs.contains_key(name))
        });
    }
    news
}
