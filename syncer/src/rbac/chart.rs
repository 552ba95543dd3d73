//! The rights in a form that a chart's templates can choose from: those that every configuration needs, and for every switch
//! of vcluster.yaml, and every two of them together, what comes with them. What depends on names in lists is left to the
//! templates.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use config::keys::{self, Content, Kind, Support};
use serde_json::{Value, json};

use super::*;

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/helm/files/rights.yaml");
const HEADER: &str = "# Generated from the syncer's table of rights: UPDATE_GENERATED=1 cargo test -p syncer chart
# What `vcluster.yaml` says decides which of them a release gets; release-name and release-namespace are put in.\n";
/// Where no switch is about rights of the syncer.
const ELSEWHERE: [&str; 4] = ["rbac.", "policies.", "telemetry.", "experimental.docker."];

/// Whether it is a right in all namespaces, the group, the resource, the object, and the verb.
type Right = (bool, String, String, String, String);
/// A switch and what it is set to.
type Setting = (String, &'static str);

/// Every switch, and what it can be besides off.
fn settings() -> Vec<Setting> {
    let mut settings = Vec::new();
    keys::root().walk("", &mut |path, key| {
        let Content::Leaf { kind, support, .. } = &key.content else {
            return;
        };
        if *support == Support::DefaultOnly || ELSEWHERE.iter().any(|prefix| path.starts_with(prefix)) {
            return;
        }
        match kind {
            Kind::Bool => settings.push((path.to_owned(), "true")),
            Kind::Auto => settings.extend(["true", "auto"].map(|value| (path.to_owned(), value))),
            _ => {}
        }
    });
    settings
}

fn set(document: &mut Value, path: &str, value: &str) {
    let value = match value {
        "auto" => json!("auto"),
        value => json!(value == "true"),
    };
    let place = path.split('.').fold(document, |place, name| &mut place[name]);
    *place = value;
}

/// The rights with everything off but `on`; `None` when that contradicts itself.
fn rights(all: &[Setting], on: &[&Setting]) -> Option<BTreeSet<Right>> {
    let mut document = json!({});
    all.iter().for_each(|(path, _)| set(&mut document, path, "false"));
    on.iter().for_each(|(path, value)| set(&mut document, path, value));
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), document.to_string()).unwrap();
    let options = RbacOptions {
        name: "release-name".into(),
        target_namespace: "release-namespace".into(),
        config: Some(file.path().to_owned()),
    };
    let manifests = printed(&options).ok()?;
    let mut rights = BTreeSet::new();
    for role in serde_yaml::Deserializer::from_str(&manifests) {
        let role: Value = serde::Deserialize::deserialize(role).unwrap();
        let words = |rule: &Value, field: &str| -> Vec<String> {
            let words = rule[field].as_array().into_iter().flatten();
            words.map(|word| word.as_str().unwrap().to_owned()).collect()
        };
        for rule in role["rules"].as_array().into_iter().flatten() {
            let names = Some(words(rule, "resourceNames")).filter(|names| !names.is_empty());
            for name in names.unwrap_or_else(|| vec![String::new()]) {
                for resource in words(rule, "resources") {
                    for verb in words(rule, "verbs") {
                        let group = words(rule, "apiGroups").remove(0);
                        rights.insert((
                            role["kind"] == "ClusterRole",
                            group,
                            resource.clone(),
                            name.clone(),
                            verb,
                        ));
                    }
                }
            }
        }
    }
    Some(rights)
}

/// The rules of one sort of role, a line each.
fn rules(rights: &BTreeSet<Right>, wide: bool) -> String {
    let mut rules: BTreeMap<(&str, &str, &str), Vec<&str>> = BTreeMap::new();
    for (_, group, resource, name, verb) in rights.iter().filter(|(cluster, ..)| *cluster == wide) {
        rules.entry((group, resource, name)).or_default().push(verb);
    }
    let mut text = String::new();
    for ((group, resource, name), verbs) in rules {
        let mut rule = json!({"apiGroups": [group], "resources": [resource], "verbs": verbs});
        if !name.is_empty() {
            rule["resourceNames"] = json!([name]);
        }
        let _ = writeln!(text, "      - {rule}");
    }
    text
}

fn entry(when: &[&Setting], rights: &BTreeSet<Right>) -> String {
    let when: Vec<Value> = when
        .iter()
        .map(|(path, value)| json!({"key": path, "is": value}))
        .collect();
    let mut text = format!("  - when: {}\n", json!(when));
    for (name, wide) in [("role", false), ("clusterRole", true)] {
        let rules = rules(rights, wide);
        if !rules.is_empty() {
            let _ = write!(text, "    {name}:\n{rules}");
        }
    }
    text
}

/// What comes with switches that are left open, where two others that need each other decide about them.
fn left_open(all: &[Setting], on: &[&Setting; 2], both: &BTreeSet<Right>) -> String {
    let open = all.iter().filter(|(_, value)| *value == "auto");
    let entries = open.filter_map(|setting| {
        let three = [on[0], on[1], setting];
        let new = &rights(all, &three)? - both;
        (!new.is_empty()).then(|| entry(&three, &new))
    });
    entries.collect()
}

/// The whole file.
fn generated() -> String {
    let all = settings();
    let base = rights(&all, &[]).unwrap();
    let alone: Vec<Option<BTreeSet<Right>>> = all.iter().map(|setting| rights(&all, &[setting])).collect();
    let is_complete: Vec<bool> = alone.iter().map(Option::is_some).collect();
    let alone: Vec<BTreeSet<Right>> = alone
        .into_iter()
        .map(|rights| &rights.unwrap_or_default() - &base)
        .collect();
    let mut text = format!("{HEADER}features:\n{}", entry(&[], &base));
    for (setting, more) in all.iter().zip(&alone).filter(|(_, more)| !more.is_empty()) {
        text += &entry(&[setting], more);
    }
    for (index, (setting, more)) in all.iter().zip(&alone).enumerate() {
        for (other_index, (other, other_more)) in all.iter().zip(&alone).enumerate().skip(index + 1) {
            if setting.0 == other.0 {
                continue;
            }
            let Some(both) = rights(&all, &[setting, other]) else {
                continue;
            };
            let explained = &(&base | more) | other_more;
            let new = &both - &explained;
            if !new.is_empty() {
                text += &entry(&[setting, other], &new);
            }
            if !is_complete[index] || !is_complete[other_index] {
                text += &left_open(&all, &[setting, other], &both);
            }
        }
    }
    text
}

#[test]
fn the_rights_of_the_chart_are_those_of_the_table() {
    let wanted = generated();
    if std::env::var_os("UPDATE_GENERATED").is_some() {
        std::fs::write(PATH, &wanted).unwrap();
    }
    let actual = std::fs::read_to_string(PATH).unwrap();
    assert!(
        actual == wanted,
        "{PATH} is not up to date; its first line says how to write it anew"
    );
}
