//! Whose an object of another virtual cluster is: a label says through which virtual cluster it was made. Whoever asks through
//! one cannot take it away.

use serde_json::{Map, Value, json};

use crate::json;
use crate::names::keys::PROXY_OWNER;

/// The longest value of a label.
const LONGEST: usize = 63;
/// The finalizers that the garbage collector of an object's own cluster takes care of.
const COLLECTED: [&str; 2] = ["foregroundDeletion", "orphan"];
/// Fields of DeleteOptions that may be parameters, and whether they are texts.
const DELETE_OPTIONS: [(&str, bool); 4] = [
    ("propagationPolicy", true),
    ("gracePeriodSeconds", false),
    ("orphanDependents", false),
    ("ignoreStoreReadErrorWithClusterBreakingPotential", false),
];

/// The value of the label for a virtual cluster, which no other one of the host has.
pub(super) fn owner(host_namespace: &str, vcluster: &str) -> String {
    // Neither of them has a dot.
    let whole = format!("{host_namespace}.{vcluster}");
    if whole.len() <= LONGEST {
        return whole;
    }
    config::digest::hex_digest(whole.as_bytes())
        .chars()
        .take(LONGEST)
        .collect()
}

/// Whether an object, or its metadata alone, belongs to an owner.
pub(super) fn is_owned(object: &Value, owner: &str) -> bool {
    json::text(object, &["metadata", "labels", PROXY_OWNER]) == owner
}

/// A selector that selects objects of the owner only.
pub(super) fn selector(selector: &str, owner: &str) -> String {
    let separator = if selector.trim().is_empty() { "" } else { "," };
    format!("{}{separator}{PROXY_OWNER}={owner}", selector.trim())
}

/// Gives an object its owner.
pub(super) fn mark(object: &mut Value, owner: &str) {
    if let Some(labels) = below(object, "metadata").and_then(|metadata| below(metadata, "labels")) {
        labels[PROXY_OWNER] = json!(owner);
    }
}

/// Names the object that is meant, for the case that another one has its name meanwhile.
pub(super) fn pin(object: &mut Value, uid: &str) {
    if let Some(metadata) = below(object, "metadata").filter(|_| !uid.is_empty()) {
        let known = metadata.get("uid").and_then(Value::as_str).unwrap_or_default();
        if known.is_empty() {
            metadata["uid"] = json!(uid);
        }
    }
}

/// A mapping of a mapping, which is made when nothing is there; `None` when something else is.
fn below<'a>(value: &'a mut Value, key: &str) -> Option<&'a mut Value> {
    let entry = value.as_object_mut()?.entry(key).or_insert(Value::Null);
    if entry.is_null() {
        *entry = json!({});
    }
    Some(entry).filter(|entry| entry.is_object())
}

/// A merge patch after which an object has the owner that it had. Whoever takes all labels away takes away all others.
pub(super) fn mark_merge(patch: &mut Value, current: &Value, owner: &str) {
    let clears = |value: Option<&Value>| value.is_some_and(Value::is_null);
    let all = clears(patch.get("metadata")) || clears(json::at(patch, &["metadata", "labels"]));
    let Some(labels) = below(patch, "metadata").and_then(|metadata| below(metadata, "labels")) else {
        return;
    };
    if all {
        let known = json::at(current, &["metadata", "labels"]).and_then(Value::as_object);
        for key in known.into_iter().flat_map(Map::keys) {
            labels[key] = Value::Null;
        }
    }
    labels[PROXY_OWNER] = json!(owner);
}

/// A JSON patch that fails when the object is another one, or has another owner in the end.
pub(super) fn mark_json(patch: &mut Value, uid: &str, owner: Option<&str>) {
    let Some(operations) = patch.as_array_mut() else { return };
    if !uid.is_empty() {
        operations.insert(0, json!({"op": "test", "path": "/metadata/uid", "value": uid}));
    }
    if let Some(owner) = owner {
        let path = format!("/metadata/labels/{}", PROXY_OWNER.replace('/', "~1"));
        operations.push(json!({"op": "test", "path": path, "value": owner}));
    }
}

/// DeleteOptions that name the object that is meant. With a body, an API server looks at no parameter.
pub(super) fn delete_options(body: Option<Value>, parameters: &[(String, String)], uid: &str) -> Value {
    let mut options = body.unwrap_or_else(|| {
        let mut options = json!({"kind": "DeleteOptions", "apiVersion": "v1"});
        for (name, value) in parameters {
            let field = DELETE_OPTIONS.iter().find(|(field, _)| field == name);
            match field {
                Some((field, true)) => options[field] = json!(value),
                Some((field, false)) => options[field] = serde_json::from_str(value).unwrap_or_else(|_| json!(value)),
                None if name == "dryRun" => options["dryRun"] = json!([value]),
                None => {}
            }
        }
        options
    });
    if let Some(preconditions) = below(&mut options, "preconditions") {
        let known = preconditions.get("uid").and_then(Value::as_str).unwrap_or_default();
        if known.is_empty() && !uid.is_empty() {
            preconditions["uid"] = json!(uid);
        }
    }
    options
}

/// The owner references that an object would get by a body of a request, patches included.
pub(super) fn references(body: &Value) -> Vec<Value> {
    let of = |object: &Value| json::items(object, &["ownerReferences"]).to_vec();
    let Some(operations) = body.as_array() else {
        return of(&body["metadata"]);
    };
    let mut found = Vec::new();
    for operation in operations.iter().filter(|operation| operation["op"] != "test") {
        let value = &operation["value"];
        match operation["path"].as_str().unwrap_or_default() {
            "" => found.extend(of(&value["metadata"])),
            "/metadata" => found.extend(of(value)),
            "/metadata/ownerReferences" => found.extend(value.as_array().into_iter().flatten().cloned()),
            path if path.starts_with("/metadata/ownerReferences/") && value.is_object() => found.push(value.clone()),
            _ => {}
        }
    }
    found
}

/// The first of these references that the other cluster's garbage collector would not find, in words.
pub(super) fn lost(references: &[Value], current: &Value, shared: impl Fn(&str) -> bool) -> Option<String> {
    let known = json::items(current, &["metadata", "ownerReferences"]);
    let lost = |reference: &&Value| {
        let group = json::text(reference, &["apiVersion"])
            .split_once('/')
            .map_or("", |(group, _)| group);
        let is_known = known.iter().any(|known| known["uid"] == reference["uid"]);
        !is_known && !shared(group)
    };
    let reference = references.iter().find(lost)?;
    Some(format!(
        "{} {:?}",
        json::text(reference, &["kind"]),
        json::text(reference, &["name"])
    ))
}

/// Hides from the controllers of this cluster what is a matter of the other one: whose dependents its objects are, and what its
/// garbage collector has still to do.
pub(super) fn for_controllers(object: &mut Value) {
    for item in json::items_mut(object, "items") {
        for_controllers(item);
    }
    let Some(metadata) = json::object_mut(object, "metadata") else {
        return;
    };
    metadata.remove("ownerReferences");
    if let Some(finalizers) = metadata.get_mut("finalizers").and_then(Value::as_array_mut) {
        finalizers.retain(|finalizer| !COLLECTED.iter().any(|own| finalizer == own));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const UID: &str = "u-1";

    fn object(labels: Value) -> Value {
        json!({"metadata": {"uid": UID, "labels": labels}})
    }

    #[test]
    fn owners_are_label_values_and_differ() {
        let long = "a".repeat(63);
        for (one, other) in [(("a-b", "c"), ("a", "b-c")), ((&long, "c"), (&long, "d"))] {
            let (one, other) = (owner(one.0, one.1), owner(other.0, other.1));
            assert_ne!(one, other);
            assert!(one.len() <= LONGEST && other.len() <= LONGEST);
        }
        assert_eq!(owner("vcluster-a", "a"), "vcluster-a.a");
    }

    #[test]
    fn selectors_are_narrowed() {
        let own = format!("{PROXY_OWNER}=o");
        for (text, expected) in [
            ("", own.clone()),
            (" ", own.clone()),
            ("a=b,!c", format!("a=b,!c,{own}")),
        ] {
            assert_eq!(selector(text, "o"), expected);
        }
    }

    #[test]
    fn objects_get_their_owner_whatever_they_say() {
        for (mut given, expected) in [
            (json!({}), json!({PROXY_OWNER: "o"})),
            (json!({"metadata": null}), json!({PROXY_OWNER: "o"})),
            (json!({"metadata": {"labels": null}}), json!({PROXY_OWNER: "o"})),
            (
                object(json!({PROXY_OWNER: "x", "a": "b"})),
                json!({PROXY_OWNER: "o", "a": "b"}),
            ),
        ] {
            mark(&mut given, "o");
            assert_eq!(given["metadata"]["labels"], expected);
        }
        for mut odd in [
            json!("text"),
            json!({"metadata": "text"}),
            json!({"metadata": {"labels": []}}),
        ] {
            let before = odd.clone();
            mark(&mut odd, "o");
            assert_eq!(odd, before, "the other API server says what is wrong with it");
        }
    }

    #[test]
    fn only_what_nobody_has_named_is_pinned() {
        let mut named = json!({"metadata": {"uid": "theirs"}});
        pin(&mut named, UID);
        assert_eq!(named["metadata"]["uid"], "theirs");
        let mut unnamed = json!({});
        pin(&mut unnamed, UID);
        assert_eq!(unnamed["metadata"]["uid"], UID);
    }

    #[test]
    fn options_of_a_deletion_keep_what_parameters_say() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let parameters = [
            pair("propagationPolicy", "Orphan"),
            pair("gracePeriodSeconds", "0"),
            pair("dryRun", "All"),
            pair("x", "y"),
        ];
        let expected = json!({
            "kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Orphan", "gracePeriodSeconds": 0,
            "dryRun": ["All"], "preconditions": {"uid": UID},
        });
        assert_eq!(delete_options(None, &parameters, UID), expected);
        let body = json!({"preconditions": {"uid": "theirs"}});
        assert_eq!(delete_options(Some(body.clone()), &parameters, UID), body);
    }

    #[test]
    fn references_to_owners_elsewhere_are_found_in_every_body() {
        let reference =
            |group: &str| json!({"apiVersion": format!("{group}/v1"), "kind": "K", "name": "n", "uid": group});
        let (here, there) = (reference("apps"), reference("example.com"));
        let shared = |group: &str| group == "example.com";
        let current = json!({"metadata": {"ownerReferences": [reference("batch")]}});
        let with = |references: Value| json!({"metadata": {"ownerReferences": references}});
        for (body, expected) in [
            (json!({}), false),
            (with(json!([there])), false),
            (with(json!([there, here])), true),
            (with(json!([reference("batch")])), false),
            (
                with(json!([{"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "p"}])),
                true,
            ),
            (
                json!([{"op": "add", "path": "/metadata/ownerReferences", "value": [here]}]),
                true,
            ),
            (
                json!([{"op": "add", "path": "/metadata/ownerReferences/-", "value": here}]),
                true,
            ),
            (
                json!([{"op": "replace", "path": "/metadata", "value": {"ownerReferences": [here]}}]),
                true,
            ),
            (
                json!([{"op": "test", "path": "/metadata/ownerReferences", "value": [here]}]),
                false,
            ),
            (json!([{"op": "remove", "path": "/metadata/ownerReferences"}]), false),
        ] {
            let found = lost(&references(&body), &current, shared);
            assert_eq!(found.is_some(), expected, "{body}: {found:?}");
        }
    }

    #[test]
    fn controllers_see_no_dependents() {
        let metadata = json!({"ownerReferences": [{}], "finalizers": ["orphan", "example.com/x"], "name": "n"});
        let mut list = json!({"metadata": {}, "items": [{"metadata": metadata}]});
        for_controllers(&mut list);
        assert_eq!(
            list["items"][0]["metadata"],
            json!({"finalizers": ["example.com/x"], "name": "n"})
        );
    }

    fn labels() -> impl Strategy<Value = Value> {
        let value = prop_oneof![Just(Value::Null), "[a-z]{0,3}".prop_map(Value::from)];
        let key = prop_oneof!["[a-c]", Just(PROXY_OWNER.to_owned())];
        prop::collection::btree_map(key, value, 0..4).prop_map(|map| json!(map))
    }

    proptest! {
        /// Whatever a merge patch says, the object keeps its owner, and of the rest happens what it says.
        #[test]
        fn merge_patches_leave_the_owner(
            patch in prop_oneof![
                Just(json!({})), Just(json!({"metadata": null})), Just(json!({"metadata": {"labels": null}})),
                labels().prop_map(|labels| json!({"metadata": {"labels": labels}})),
            ],
            others in prop::collection::btree_map("[a-c]", "[a-z]{0,3}", 0..3),
        ) {
            let mut labels = json!(others);
            labels[PROXY_OWNER] = json!("o");
            let current = object(labels);
            let mut marked = patch.clone();
            mark_merge(&mut marked, &current, "o");
            let (mut expected, mut found) = (current.clone(), current);
            json::merge(&mut expected, &patch);
            json::merge(&mut found, &marked);
            prop_assert!(is_owned(&found, "o"));
            let rest = |object: &Value| {
                let mut labels = json::strings(object, &["metadata", "labels"]);
                labels.remove(PROXY_OWNER);
                labels
            };
            prop_assert_eq!(rest(&found), rest(&expected));
        }
    }

    #[test]
    fn json_patches_fail_when_they_would_change_the_owner() {
        let mut patch = json!([{"op": "remove", "path": "/metadata/labels"}]);
        mark_json(&mut patch, UID, Some("o"));
        assert_eq!(patch[0], json!({"op": "test", "path": "/metadata/uid", "value": UID}));
        assert_eq!(
            patch[2],
            json!({"op": "test", "path": "/metadata/labels/vcluster.loft.sh~1proxy-owner", "value": "o"})
        );
    }
}
