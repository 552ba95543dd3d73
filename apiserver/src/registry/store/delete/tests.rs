use super::*;
use serde_json::json;

struct Plain;
impl Strategy for Plain {}

/// A kind that ends within 30 seconds unless told otherwise.
struct Graceful;
impl Strategy for Graceful {
    fn grace(&self, _obj: &Value, requested: Option<i64>) -> Grace {
        Grace::Seconds(requested.unwrap_or(30))
    }
}

fn now() -> Timestamp {
    time::parse("2026-01-01T00:00:00Z").unwrap()
}

fn marked(plan: Plan) -> (Value, bool) {
    match plan {
        Plan::Mark { object, remove } => (object["metadata"].clone(), remove),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_plain_object_goes_at_once() {
    let object = json!({"metadata": {"name": "a"}});
    assert_eq!(plan(&Plain, now(), object, &DeleteOptions::default()), Plan::Remove);
}

#[test]
fn finalizers_hold_an_object_and_propagation_adds_them() {
    let options = |p| DeleteOptions {
        propagation: Some(p),
        ..DeleteOptions::default()
    };
    for (finalizers, options, expected) in [
        (json!(["a/b"]), DeleteOptions::default(), json!(["a/b"])),
        (
            json!([]),
            options(Propagation::Foreground),
            json!(["foregroundDeletion"]),
        ),
        (
            json!(["foregroundDeletion"]),
            options(Propagation::Orphan),
            json!(["orphan"]),
        ),
        (
            json!(["foregroundDeletion"]),
            DeleteOptions::default(),
            json!(["foregroundDeletion"]),
        ),
    ] {
        let object = json!({"metadata": {"name": "a", "generation": 1, "finalizers": finalizers}});
        let (metadata, remove) = marked(plan(&Plain, now(), object, &options));
        assert_eq!(metadata["finalizers"], expected);
        assert_eq!(metadata["deletionTimestamp"], "2026-01-01T00:00:00Z");
        assert_eq!(metadata["deletionGracePeriodSeconds"], 0);
        assert_eq!(metadata["generation"], 2);
        assert!(!remove);
    }
    let object = json!({"metadata": {"finalizers": ["orphan"]}});
    assert_eq!(
        plan(&Plain, now(), object, &options(Propagation::Background)),
        Plan::Remove
    );
}

#[test]
fn grace_starts_once_and_only_shrinks() {
    let object = json!({"metadata": {"generation": 1}});
    let (metadata, remove) = marked(plan(&Graceful, now(), object, &DeleteOptions::default()));
    assert_eq!(metadata["deletionTimestamp"], "2026-01-01T00:00:30Z");
    assert!(!remove && metadata["generation"] == 2);
    let ending = json!({"metadata": metadata});
    let options = |seconds| DeleteOptions {
        grace_period_seconds: Some(seconds),
        ..DeleteOptions::default()
    };
    assert_eq!(plan(&Graceful, now(), ending.clone(), &options(90)), Plan::Pending);
    assert_eq!(
        plan(&Graceful, now(), ending.clone(), &DeleteOptions::default()),
        Plan::Pending
    );
    let (metadata, remove) = marked(plan(&Graceful, now(), ending.clone(), &options(10)));
    assert_eq!(metadata["deletionTimestamp"], "2026-01-01T00:00:10Z");
    assert!(!remove && metadata["generation"] == 2);
    let later = time::parse("2026-01-01T00:00:20Z").unwrap();
    let (metadata, _) = marked(plan(&Graceful, later, ending.clone(), &options(10)));
    assert_eq!(
        (&metadata["deletionTimestamp"], &metadata["deletionGracePeriodSeconds"]),
        (&json!("2026-01-01T00:00:20Z"), &json!(1))
    );
    let (metadata, remove) = marked(plan(&Graceful, now(), ending, &options(0)));
    assert!(remove && metadata["deletionGracePeriodSeconds"] == 0);
}

#[test]
fn negative_grace_means_a_second() {
    let options = DeleteOptions {
        grace_period_seconds: Some(-1),
        ..DeleteOptions::default()
    };
    let (metadata, _) = marked(plan(&Graceful, now(), json!({"metadata": {}}), &options));
    assert_eq!(metadata["deletionGracePeriodSeconds"], 1);
}

#[test]
fn preconditions_name_the_kind() {
    let object = json!({"metadata": {"name": "a", "uid": "u", "resourceVersion": "5"}});
    let resource = GroupResource::new("", "Pod");
    let uid = DeleteOptions {
        uid: Some("v".to_owned()),
        ..DeleteOptions::default()
    };
    let status = check_preconditions(&resource, &object, &uid).unwrap_err();
    assert!(
        status
            .message
            .starts_with("Operation cannot be fulfilled on Pod \"a\": the UID in the precondition (v)")
    );
    let version = DeleteOptions {
        resource_version: Some("5".to_owned()),
        ..DeleteOptions::default()
    };
    assert!(check_preconditions(&resource, &object, &version).is_ok());
}
