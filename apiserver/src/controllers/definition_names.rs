//! Which of the names that a CustomResourceDefinition asks for it gets: those that no other definition of its group has
//! (apiextensions-apiserver `pkg/controller/status/naming_controller.go`).

use super::conditions::{Condition, find};
use machinery::field::go_quote;
use machinery::meta;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

/// The names that are taken in a group.
#[derive(Default)]
pub(super) struct Taken {
    resources: BTreeSet<String>,
    kinds: BTreeSet<String>,
}

impl Taken {
    /// Adds the names that a definition has got.
    pub(super) fn add(&mut self, accepted: &Value) {
        let text = |field: &str| accepted[field].as_str().unwrap_or_default().to_owned();
        let short = accepted["shortNames"].as_array().into_iter().flatten();
        self.resources.extend([text("plural"), text("singular")]);
        self.resources
            .extend(short.filter_map(Value::as_str).map(str::to_owned));
        self.kinds.extend([text("kind"), text("listKind")]);
    }
}

/// What a definition gets.
#[derive(Debug)]
pub(super) struct Decision {
    /// The names it has now.
    pub(super) accepted: Value,
    /// Whether these are all it asks for.
    pub(super) names: Condition,
    /// What that means for serving it, where it changes anything.
    pub(super) established: Option<Condition>,
}

impl Decision {
    /// Writes it into the status of the definition.
    pub(super) fn put(&self, definition: &mut Value, now: &str) {
        meta::set(definition, &["status", "acceptedNames"], self.accepted.clone());
        self.names.put(definition, now);
        if let Some(established) = &self.established {
            established.put(definition, now);
        }
    }
}

/// Decides about a definition; nothing when it has all it asks for.
pub(super) fn decide(definition: &Value, taken: &Taken) -> Option<Decision> {
    let empty = json!({});
    let requested = meta::at(definition, &["spec", "names"]).unwrap_or(&empty);
    let current = meta::at(definition, &["status", "acceptedNames"]).unwrap_or(&empty);
    if *requested == *current {
        return None;
    }
    let text = |names: &Value, field: &str| names[field].as_str().unwrap_or_default().to_owned();
    let list = |names: &Value, field: &str| names[field].as_array().cloned().unwrap_or_default();
    let mut accepted: Map<String, Value> = current.as_object().cloned().unwrap_or_default();
    // The last conflict is the one that is reported.
    let mut refusal: Option<(&'static str, String)> = None;
    for (field, reason, used) in [
        ("plural", "PluralConflict", &taken.resources),
        ("singular", "SingularConflict", &taken.resources),
        ("shortNames", "ShortNamesConflict", &taken.resources),
        ("kind", "KindConflict", &taken.kinds),
        ("listKind", "ListKindConflict", &taken.kinds),
    ] {
        let is_list = field == "shortNames";
        let wanted = if is_list {
            list(requested, field)
        } else {
            vec![requested[field].clone()]
        };
        let own = if is_list {
            list(current, field)
        } else {
            vec![current[field].clone()]
        };
        let foreign: Vec<String> = wanted
            .iter()
            .filter(|name| !own.contains(name))
            .filter_map(Value::as_str)
            .filter(|name| used.contains(*name))
            .map(|name| format!("{} is already in use", go_quote(name)))
            .collect();
        match &foreign[..] {
            [] if is_list => put_list(&mut accepted, field, wanted),
            [] => {
                accepted.insert(field.to_owned(), text(requested, field).into());
            }
            [one] => refusal = Some((reason, one.clone())),
            many => refusal = Some((reason, format!("[{}]", many.join(", ")))),
        }
    }
    put_list(&mut accepted, "categories", list(requested, "categories"));
    let names = match refusal {
        Some((reason, message)) => Condition::new("NamesAccepted", "False", reason, message),
        None => Condition::new("NamesAccepted", "True", "NoConflicts", "no conflicts found"),
    };
    let accepted = Value::Object(accepted);
    if accepted == *current && names.is_in(definition) {
        return None;
    }
    let before = find(definition, "Established");
    let is_established = before.is_some_and(|condition| condition["status"] == "True");
    let message = "the initial names have been accepted";
    let established = match (names.status, before) {
        ("True", _) if !is_established => Some(Condition::new("Established", "False", "Installing", message)),
        (_, None) => Some(Condition::new(
            "Established",
            "False",
            "NotAccepted",
            "not all names are accepted",
        )),
        _ => None,
    };
    Some(Decision {
        accepted,
        names,
        established,
    })
}

fn put_list(names: &mut Map<String, Value>, field: &str, list: Vec<Value>) {
    if list.is_empty() {
        names.remove(field);
    } else {
        names.insert(field.to_owned(), list.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(word: &str, short: &[&str]) -> Value {
        json!({"plural": format!("{word}s"), "singular": word, "kind": word.to_uppercase(),
            "listKind": format!("{}List", word.to_uppercase()), "shortNames": short})
    }

    fn definition(requested: Value) -> Value {
        json!({"spec": {"names": requested}, "status": {"acceptedNames": {"plural": "", "kind": ""}, "conditions": null}})
    }

    #[test]
    fn free_names_are_given() {
        let decision = decide(&definition(names("a", &["x"])), &Taken::default()).unwrap();
        assert_eq!(decision.accepted, names("a", &["x"]));
        assert_eq!((decision.names.status, decision.names.reason), ("True", "NoConflicts"));
        assert_eq!(decision.established.unwrap().reason, "Installing");
        let mut content = definition(names("a", &["x"]));
        content["status"]["acceptedNames"] = names("a", &["x"]);
        assert!(decide(&content, &Taken::default()).is_none());
    }

    #[test]
    fn what_others_have_is_refused() {
        let mut taken = Taken::default();
        taken.add(&names("a", &["x", "y"]));
        for (requested, reason, message) in [
            (
                json!({"plural": "as", "kind": "B"}),
                "PluralConflict",
                r#""as" is already in use"#,
            ),
            (
                json!({"plural": "bs", "kind": "A"}),
                "KindConflict",
                r#""A" is already in use"#,
            ),
            (
                json!({"plural": "as", "kind": "A"}),
                "KindConflict",
                r#""A" is already in use"#,
            ),
            (
                json!({"plural": "bs", "kind": "B", "shortNames": ["x", "z", "y"]}),
                "ShortNamesConflict",
                r#"["x" is already in use, "y" is already in use]"#,
            ),
            (
                json!({"plural": "bs", "kind": "B", "listKind": "AList"}),
                "ListKindConflict",
                r#""AList" is already in use"#,
            ),
        ] {
            let decision = decide(&definition(requested.clone()), &taken).unwrap();
            assert_eq!(
                (decision.names.status, decision.names.reason),
                ("False", reason),
                "{requested}"
            );
            assert_eq!(decision.names.message, message);
            assert_eq!(decision.established.unwrap().reason, "NotAccepted");
        }
    }
}
