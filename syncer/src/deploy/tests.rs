use proptest::prelude::*;
use serde_json::{Value, json};

use super::merge::{LAST_APPLIED, annotated, patch};
use super::*;
use crate::kinds::Side;
use crate::testing::fake::Fake;

fn identities(text: &str) -> Vec<String> {
    let parsed = manifests::parse(text).expect("manifests");
    manifests::in_order(&parsed).map(ToString::to_string).collect()
}

#[test]
fn manifests_are_read_and_ordered() {
    let object = |kind: &str, name: &str| format!("apiVersion: v1\nkind: {kind}\nmetadata: {{name: {name}}}\n");
    let definition = "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: d}\n";
    let list =
        "kind: List\napiVersion: v1\nitems:\n- {apiVersion: v1, kind: A, metadata: {name: x, namespace: shop}}\n";
    let (first, second) = (object("A", "a"), object("B", "b"));
    for (text, expected) in [
        (String::new(), vec![]),
        ("---\n# nothing\n---\n{}\n".to_owned(), vec![]),
        (
            format!("---\n{first}--- # more\n{second}"),
            vec!["A default/a", "B default/b"],
        ),
        (
            format!("{first}---\n{definition}"),
            vec!["CustomResourceDefinition default/d", "A default/a"],
        ),
        (list.to_owned(), vec!["A shop/x"]),
    ] {
        assert_eq!(identities(&text), expected, "{text}");
    }
    for (text, expected) in [
        ("- a", "document 1: it is no object"),
        ("a: b", "document 1: a manifest has no apiVersion"),
        ("apiVersion: v1", "document 1: a manifest has no kind"),
        (
            "{}\n---\napiVersion: v1\nkind: A\nmetadata: {generateName: a-}",
            "document 2: a A has no metadata.name: what is applied must have one",
        ),
    ] {
        assert_eq!(manifests::parse(text), Err(expected.to_owned()), "{text}");
    }
    assert!(manifests::parse("a: [").is_err_and(|problem| problem.starts_with("document 1: yaml: ")));
}

#[test]
fn what_another_version_still_names_is_not_deleted() {
    let of = |version: &str, name: &str| format!("apiVersion: {version}\nkind: A\nmetadata: {{name: {name}}}\n");
    let former = manifests::parse(&[of("g/v1", "a"), of("g/v1", "b"), of("g/v1", "c")].join("---\n")).expect("valid");
    let wanted = manifests::parse(&of("g/v2", "a")).expect("valid");
    let gone: Vec<&str> = manifests::gone(&former, &wanted)
        .iter()
        .map(|gone| gone.name())
        .collect();
    assert_eq!(gone, ["c", "b"]);
}

#[test]
fn patches_merge_three_ways() {
    for (last, wanted, current, expected) in [
        // Somebody else's fields stay, ours that are no longer wanted go, drift is repaired.
        (json!({"a": 1}), json!({"a": 1}), json!({"a": 1, "b": 2}), json!({})),
        (
            json!({"a": 1, "b": 2}),
            json!({"a": 1}),
            json!({"a": 1, "b": 2}),
            json!({"b": null}),
        ),
        (json!({"a": 1}), json!({"a": 1}), json!({"a": 2}), json!({"a": 1})),
        (
            json!({"m": {"x": 1}}),
            json!({"m": {}}),
            json!({"m": {"x": 1, "y": 2}}),
            json!({"m": {"x": null}}),
        ),
        (json!({"a": 1}), json!({}), json!({}), json!({})),
        (json!({}), json!({"a": null}), json!({}), json!({})),
        // Defaults within lists are no drift; another list is written.
        (
            json!({"l": [{"p": 1}]}),
            json!({"l": [{"p": 1}]}),
            json!({"l": [{"p": 1, "d": 0}]}),
            json!({}),
        ),
        (
            json!({"l": [{"p": 1}]}),
            json!({"l": [{"p": 2}]}),
            json!({"l": [{"p": 1, "d": 0}]}),
            json!({"l": [{"p": 2}]}),
        ),
        (
            json!({"l": [1, 2]}),
            json!({"l": [1]}),
            json!({"l": [1, 2]}),
            json!({"l": [1]}),
        ),
    ] {
        let mut there = current.clone();
        let note = json!({"metadata": {"annotations": {LAST_APPLIED: last.to_string()}}});
        json::merge(&mut there, &note);
        let mut found = patch(&annotated(wanted.clone()), &there);
        json::put(&mut found, "metadata", None);
        assert_eq!(found, expected, "{last} {wanted} {current}");
    }
}

fn tree() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        any::<u8>().prop_map(|number| json!(number)),
        "[a-b]".prop_map(|text| json!(text))
    ];
    let object = |inner| proptest::collection::btree_map("[a-d]", inner, 0..4).prop_map(|fields| json!(fields));
    object(
        leaf.prop_recursive(3, 16, 4, move |inner| {
            prop_oneof![
                object(inner.clone().boxed()),
                proptest::collection::vec(inner, 0..3).prop_map(Value::from)
            ]
            .boxed()
        })
        .boxed(),
    )
}

proptest! {
    #[test]
    fn a_patched_object_is_what_was_wanted(last in tree(), wanted in tree()) {
        let (mut object, wanted) = (annotated(last), annotated(wanted));
        let body = patch(&wanted, &object);
        json::merge(&mut object, &body);
        prop_assert_eq!(&object, &wanted);
        prop_assert_eq!(patch(&wanted, &object), json!({}));
    }
}

#[test]
fn texts_survive_their_compression() {
    let mut status = Status::default();
    assert_eq!(status.last_applied().as_deref(), Some(""));
    status.set_last_applied("kind: A").expect("compressed");
    status.manifests.end(Phase::Success, "", "");
    status.conclude(None, 0);
    let again = Status::parse(&status.to_text());
    assert_eq!(again, status);
    assert_eq!(again.last_applied().as_deref(), Some("kind: A"));
    assert_eq!(Status::parse("no status"), Status::default());
    let broken = Status::parse(r#"{"manifests": {"lastAppliedManifests": "%"}}"#);
    assert_eq!(broken.last_applied(), None);
}

fn host() -> (Fake, Api) {
    let fake = Fake::new();
    for name in [NAMESPACE, DEFAULT_NAMESPACE] {
        fake.put(Kind::Namespace, json!({"metadata": {"name": name}}));
    }
    let api = Api::new(Side::Virtual, fake.client(), Default::default());
    (fake, api)
}

fn map(name: &str, value: &str) -> String {
    format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\ndata: {{key: {value}}}\n")
}

fn noted(fake: &Fake) -> Value {
    let found = fake.get(Kind::ConfigMap, NAMESPACE, NAME).expect("a status");
    serde_json::from_str(json::text(&found, &["metadata", "annotations", STATUS])).expect("a document")
}

#[tokio::test(start_paused = true)]
async fn what_is_written_is_there_and_what_is_not_goes() {
    let (fake, api) = host();
    assert_eq!(run(&api, "", 0).await, Ok(()));
    assert!(fake.get(Kind::ConfigMap, NAMESPACE, NAME).is_none());
    assert_eq!(fake.take_requests().len(), 1);

    let both = format!("{}---\n{}", map("a", "one"), map("b", "one"));
    assert_eq!(run(&api, &both, 0).await, Ok(()));
    let made = fake.get(Kind::ConfigMap, "default", "a").expect("made");
    assert_eq!(made["data"]["key"], "one");
    assert_eq!(noted(&fake)["phase"], "Success");
    fake.take_writes();
    assert_eq!(run(&api, &both, 0).await, Ok(()));
    assert!(fake.take_writes().iter().all(|write| write.contains("/kube-system/")));

    assert_eq!(run(&api, &map("a", "two"), 0).await, Ok(()));
    let changed = fake.get(Kind::ConfigMap, "default", "a").expect("kept");
    assert_eq!(
        (&changed["data"]["key"], &changed["metadata"]["uid"]),
        (&json!("two"), &made["metadata"]["uid"])
    );
    assert!(fake.get(Kind::ConfigMap, "default", "b").is_none());
    assert_eq!(run(&api, "", 0).await, Ok(()));
    assert!(fake.get(Kind::ConfigMap, "default", "a").is_none());
}

#[tokio::test(start_paused = true)]
async fn failures_are_told_and_noted() {
    let (fake, api) = host();
    let unknown = "apiVersion: example.com/v1\nkind: Thing\nmetadata: {name: t}\n";
    let problem = run(&api, unknown, 0).await.expect_err("unknown");
    assert_eq!(
        problem,
        "cannot apply Thing default/t: the API server has no kind Thing in example.com/v1"
    );
    let status = noted(&fake);
    assert_eq!(status["manifests"]["reason"], "InstallFailed");
    assert_eq!(
        (&status["phase"], &status["message"]),
        (&json!("Failed"), &json!(problem))
    );
    let mut failures = 20;
    fake.set_faults(Some(Box::new(move |_, _| {
        failures -= 1;
        (failures >= 0).then_some(if failures % 2 == 0 { 503 } else { 0 })
    })));
    assert_eq!(run(&api, &map("a", "one"), 0).await, Ok(()));
    assert_eq!(noted(&fake)["phase"], "Success");
}
