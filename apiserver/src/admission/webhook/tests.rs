//! Webhooks of both kinds: which are called, what is made of their answers, and what is said when they cannot be reached.

use super::call::Failure;
use super::response::{self, Response};
use super::{Fixed, Hook, Mutating, Rounds, Validating, Webhooks, patch, review};
use crate::admission::equivalent::Versioned;
use crate::admission::testing::{Objects, attributes};
use crate::admission::{Equivalent, Operation, Plugin};
use crate::webhook::{Client, Credentials};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chassis::{CancellationToken, Health, Tasks};
use machinery::gvk::{GroupResource, GroupVersionKind};
use machinery::status::Status;
use serde_json::{Value, json};
use std::sync::Arc;

/// Nobody listens there: whoever is called fails.
const NOWHERE: &str = "https://127.0.0.1:1/hook";

fn config_map() -> GroupVersionKind {
    GroupVersionKind::new("", "v1", "ConfigMap")
}

fn object() -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "n", "labels": {"app": "x"}},
        "data": {"k": "v"}})
}

/// A configuration with one webhook for ConfigMaps that has these fields.
fn configuration(fields: &Value) -> Value {
    let mut hook = json!({
        "name": "h.example.com", "failurePolicy": "Fail", "sideEffects": "None", "timeoutSeconds": 5,
        "admissionReviewVersions": ["v1"], "clientConfig": {"url": NOWHERE}, "namespaceSelector": {}, "objectSelector": {},
        "rules": [{"operations": ["*"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"]}],
    });
    for (name, value) in fields.as_object().unwrap() {
        hook[name] = value.clone();
    }
    json!({"metadata": {"name": "c", "resourceVersion": "1"}, "webhooks": [hook]})
}

fn webhooks(fixed: Fixed) -> (Arc<Webhooks>, chassis::Metrics, Tasks) {
    chassis::tls::install_provider();
    let tasks = Tasks::new(Health::default(), CancellationToken::new());
    let metrics = chassis::Metrics::default();
    let client = Client::new(Credentials::default(), tasks.clone());
    let webhooks = Webhooks::new((client.clone(), client), fixed, &metrics);
    (Arc::new(webhooks), metrics, tasks)
}

/// What becomes of the creation of a ConfigMap when both kinds of configurations have such a webhook.
async fn create(fields: Value, dry_run: bool) -> [Result<(), Status>; 2] {
    let objects = Objects::of(&[
        ("validatingwebhookconfigurations", configuration(&fields)),
        ("mutatingwebhookconfigurations", configuration(&fields)),
        (
            "namespaces",
            json!({"metadata": {"name": "n", "labels": {"env": "prod"}}}),
        ),
    ]);
    let (webhooks, _metrics, _tasks) = webhooks(Fixed::default());
    let (mut mutating, mut validating) = (Mutating::default(), Validating::default());
    mutating.connect(&webhooks);
    validating.connect(&webhooks);
    let mut warnings = Vec::new();
    let mut asked = attributes(Operation::Create, "configmaps", "n", "a", &mut warnings);
    (asked.kind, asked.dry_run) = (config_map(), dry_run);
    let mut written = object();
    let admitted = mutating.admit(&objects, &mut asked, &mut written).await;
    [admitted, validating.validate(&objects, &mut asked, &written).await]
}

#[tokio::test]
async fn those_who_concern_a_write_are_called() {
    const REFUSED: &str = "Internal error occurred: failed calling webhook \"h.example.com\": failed to call webhook: Post \"https://127.0.0.1:1/hook?timeout=5s\": dial tcp 127.0.0.1:1: connect: connection refused";
    let rule = |resource: &str| json!([{"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": [resource]}]);
    let condition = |expression: &str| json!([{"name": "c", "expression": expression}]);
    let forbidden =
        "configmaps \"a\" is forbidden: expression 'object.data.nope == '1'' resulted in error: no such key: nope";
    for (fields, expected) in [
        (json!({}), Some((500, REFUSED))),
        (json!({"failurePolicy": "Ignore"}), None),
        (json!({"rules": rule("secrets")}), None),
        (json!({"rules": rule("configmaps/status")}), None),
        (
            json!({"objectSelector": {"matchLabels": {"app": "x"}}}),
            Some((500, REFUSED)),
        ),
        (json!({"objectSelector": {"matchLabels": {"app": "y"}}}), None),
        (
            json!({"namespaceSelector": {"matchLabels": {"env": "prod"}}}),
            Some((500, REFUSED)),
        ),
        (json!({"namespaceSelector": {"matchLabels": {"env": "test"}}}), None),
        (
            json!({"matchConditions": condition("object.data.k == 'v'")}),
            Some((500, REFUSED)),
        ),
        (json!({"matchConditions": condition("object.data.k == 'w'")}), None),
        (
            json!({"matchConditions": condition("object.data.nope == '1'")}),
            Some((403, forbidden)),
        ),
        (
            json!({"matchConditions": condition("object.data.nope == '1'"), "failurePolicy": "Ignore"}),
            None,
        ),
        (
            json!({"admissionReviewVersions": ["v2"]}),
            Some((
                500,
                "Internal error occurred: failed calling webhook \"h.example.com\": could not create admission objects: webhook does not accept known AdmissionReview versions (v1, v1beta1)",
            )),
        ),
        (
            json!({"clientConfig": {}}),
            Some((
                500,
                "Internal error occurred: failed calling webhook \"h.example.com\": could not get REST client: webhook configuration must have either service or URL",
            )),
        ),
    ] {
        for result in create(fields.clone(), false).await {
            let found = result
                .as_ref()
                .err()
                .map(|status| (status.code, status.message.as_str()));
            assert_eq!(found, expected, "{fields}");
        }
    }
}

#[tokio::test]
async fn dry_runs_have_no_side_effects() {
    let refused = "admission webhook \"h.example.com\" does not support dry run";
    for (effects, code, expected) in [
        ("None", 500, "connection refused"),
        ("NoneOnDryRun", 500, "connection refused"),
        ("Some", 400, refused),
        ("Unknown", 400, refused),
    ] {
        // That a webhook does not do dry runs is no failure to call it.
        for policy in ["Fail", "Ignore"] {
            let fields = json!({"sideEffects": effects, "failurePolicy": policy});
            for result in create(fields, true).await {
                match result {
                    Ok(()) => assert_eq!((policy, code), ("Ignore", 500), "{effects}"),
                    Err(status) => {
                        assert_eq!(status.code, code, "{effects} {policy}");
                        assert!(status.message.ends_with(expected), "{}", status.message);
                    }
                }
            }
        }
    }
}

#[tokio::test]
async fn configurations_are_only_seen_by_webhooks_of_files() {
    let every = json!([{"operations": ["*"], "apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*"]}]);
    let all = configuration(&json!({"rules": every}));
    let objects = Objects::of(&[("validatingwebhookconfigurations", all.clone())]);
    let fixed = Fixed::default();
    fixed.validating.replace(Hook::all(&all, "manifest/"));
    for (fixed, refused) in [(Fixed::default(), false), (fixed, true)] {
        let (webhooks, metrics, _tasks) = webhooks(fixed);
        let mut plugin = Validating::default();
        plugin.connect(&webhooks);
        let mut warnings = Vec::new();
        let mut asked = attributes(
            Operation::Create,
            "validatingwebhookconfigurations",
            "",
            "a",
            &mut warnings,
        );
        asked.kind = GroupVersionKind::new("admissionregistration.k8s.io", "v1", "ValidatingWebhookConfiguration");
        let result = plugin
            .validate(&objects, &mut asked, &json!({"metadata": {"name": "a"}}))
            .await;
        assert_eq!(result.is_err(), refused);
        let counted = r#"apiserver_admission_webhook_rejection_count{name="h.example.com",type="validating",operation="CREATE",error_type="calling_webhook_error",rejection_code="503"} 1"#;
        assert_eq!(metrics.encode().contains(counted), refused, "{}", metrics.encode());
    }
}

fn words(failure: Failure) -> String {
    failure.into_status("h").message
}

#[test]
fn answers_are_checked() {
    let answer =
        |response: Value| json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response});
    let with = |field: &str, value: Value| {
        let mut whole = answer(json!({"uid": "u", "allowed": true}));
        whole[field] = value;
        whole
    };
    let patch = STANDARD.encode("[]");
    let called =
        |why: &str| format!("Internal error occurred: failed calling webhook \"h\": failed to call webhook: {why}");
    let invalid = |why: &str| {
        format!("Internal error occurred: failed calling webhook \"h\": received invalid webhook response: {why}")
    };
    for (review, mutating, expected) in [
        (answer(json!({"uid": "u"})), true, None),
        (json!({}), true, Some(invalid("webhook response was absent"))),
        (
            answer(json!({"uid": "x"})),
            true,
            Some(invalid("expected response.uid=\"u\", got \"x\"")),
        ),
        (
            json!({"response": {"uid": "u"}}),
            true,
            Some(invalid(
                "expected webhook response of admission.k8s.io/v1, Kind=AdmissionReview, got /, Kind=",
            )),
        ),
        (
            with("kind", json!("Foo")),
            true,
            Some(called(
                "no kind \"Foo\" is registered for version \"admission.k8s.io/v1\" in scheme \"pkg/runtime/scheme.go:111\"",
            )),
        ),
        (
            with("apiVersion", json!("admission.k8s.io/v1beta1")),
            true,
            Some(called(
                "converting (v1beta1.AdmissionReview) to (v1.AdmissionReview): unknown conversion",
            )),
        ),
        (
            answer(json!({"uid": "u", "allowed": "yes"})),
            true,
            Some(called(
                "json: cannot unmarshal string into Go struct field AdmissionResponse.response.allowed of type bool",
            )),
        ),
        (
            answer(json!({"uid": "u", "patch": "%%"})),
            true,
            Some(called("illegal base64 data at input byte 0")),
        ),
        (
            answer(json!({"uid": "u", "patch": patch})),
            true,
            Some(invalid("webhook returned response.patch but not response.patchType")),
        ),
        (
            answer(json!({"uid": "u", "patchType": "JSONPatch"})),
            true,
            Some(invalid("webhook returned response.patchType but not response.patch")),
        ),
        (
            answer(json!({"uid": "u", "patch": patch})),
            false,
            Some(invalid("validating webhook may not return response.patch")),
        ),
        (
            answer(json!({"uid": "u", "patchType": "JSONPatch"})),
            false,
            Some(invalid("validating webhook may not return response.patchType")),
        ),
    ] {
        let found = response::read(&review, "v1", "u", mutating).err().map(words);
        assert_eq!(found, expected, "{review}");
    }
    // The first version was never checked as closely.
    let old = json!({"response": {"uid": "other", "allowed": true, "patch": patch, "warnings": ["w"]}});
    let read = response::read(&old, "v1beta1", "u", true).unwrap();
    assert_eq!(
        (read.patch_type.as_str(), read.warnings.as_slice()),
        ("JSONPatch", &["w".to_owned()][..])
    );
}

#[test]
fn refusals_are_in_the_words_of_the_webhook() {
    for (status, code, reason, message) in [
        (
            json!(null),
            400,
            "",
            "admission webhook \"h\" denied the request without explanation",
        ),
        (
            json!({"message": "no"}),
            400,
            "",
            "admission webhook \"h\" denied the request: no",
        ),
        (
            json!({"reason": "Why"}),
            400,
            "Why",
            "admission webhook \"h\" denied the request: Why",
        ),
        (
            json!({"code": 200, "status": "Success"}),
            400,
            "",
            "admission webhook \"h\" denied the request without explanation",
        ),
        (
            json!({"code": 409, "reason": "Conflict", "message": "later", "details": {"name": "x"}}),
            409,
            "Conflict",
            "admission webhook \"h\" denied the request: later",
        ),
    ] {
        let review = json!({"response": {"allowed": false, "status": status}});
        let read = response::read(&review, "v1beta1", "", false).unwrap();
        assert!(!read.allowed);
        let refusal = read.refusal("h");
        assert_eq!(
            (
                refusal.code,
                refusal.reason.as_str(),
                refusal.message.as_str(),
                refusal.status.as_str()
            ),
            (code, reason, message, "Failure"),
            "{status}"
        );
    }
}

fn patched(operations: &str, patch_type: &str) -> Result<Option<Value>, String> {
    let response = Response {
        allowed: true,
        patch: operations.as_bytes().to_vec(),
        patch_type: patch_type.to_owned(),
        ..Response::default()
    };
    patch::apply(&response, "h", &object(), &config_map()).map_err(words)
}

#[test]
fn patches_are_applied_or_blamed() {
    let added = patched(r#"[{"op": "add", "path": "/data/z", "value": "1"}]"#, "JSONPatch").unwrap();
    assert_eq!(added.unwrap()["data"], json!({"k": "v", "z": "1"}));
    let unknown = patched(r#"[{"op": "add", "path": "/nope", "value": "1"}]"#, "JSONPatch").unwrap();
    assert!(unknown.unwrap().get("nope").is_none());
    for nothing in ["", "[]", "null"] {
        assert_eq!(patched(nothing, "JSONPatch"), Ok(None), "{nothing}");
    }
    for (operations, expected) in [
        (
            r#"[{"op": "test", "path": "/data/k", "value": "x"}]"#,
            "testing value /data/k failed: test failed",
        ),
        (r#"[{"op": "frob", "path": "/a"}]"#, "Unexpected kind: frob"),
        (
            r#"[{"op": "add"}]"#,
            "add operation failed to decode path: missing value",
        ),
        (
            r#"[{"op": "remove", "path": "/a/b"}]"#,
            "remove operation does not apply: doc is missing path: \"/a/b\": missing value",
        ),
        (
            r#"[{"op": "add", "path": "/data", "value": "s"}]"#,
            "json: cannot unmarshal string into Go struct field ConfigMap.data of type map[string]string",
        ),
        (
            r#"[{"op": "replace", "path": "/kind", "value": "Nope"}]"#,
            "no kind \"Nope\" is registered for version \"v1\" in scheme \"pkg/runtime/scheme.go:111\"",
        ),
        (
            r#"{"op": "add"}"#,
            "failed calling webhook \"h\": received undecodable patch in webhook response: json: cannot unmarshal object into Go value of type jsonpatch.Patch",
        ),
        (
            "[",
            "failed calling webhook \"h\": received undecodable patch in webhook response: unexpected end of JSON input",
        ),
    ] {
        let expected = format!("Internal error occurred: {expected}");
        assert_eq!(patched(operations, "JSONPatch"), Err(expected), "{operations}");
    }
    let other = patched(r#"[{"op": "remove", "path": "/data"}]"#, "Merge").unwrap_err();
    assert!(other.ends_with("unsupported patch type \"Merge\""), "{other}");
    let response = Response {
        patch: br#"[{"op": "remove", "path": "/data"}]"#.to_vec(),
        patch_type: "JSONPatch".to_owned(),
        ..Response::default()
    };
    let gone = patch::apply(&response, "h", &Value::Null, &config_map())
        .map_err(words)
        .unwrap_err();
    assert!(
        gone.ends_with("attempted to modify the object, which is not supported for this operation"),
        "{gone}"
    );
}

#[tokio::test]
async fn reviews_say_what_was_asked_and_what_the_webhook_expects() {
    let objects = Objects::of(&[]);
    let mut warnings = Vec::new();
    let mut asked = attributes(Operation::Update, "configmaps", "n", "a", &mut warnings);
    let old = json!({"metadata": {"name": "a", "labels": {}}, "data": {}});
    (asked.kind, asked.user, asked.old) = (config_map(), "me", Some(&old));
    let versions = Versioned::new(&objects, &asked, &object(), &config_map())
        .await
        .unwrap();
    let target = Equivalent {
        resource: GroupResource::new("other", "things"),
        version: "v2".to_owned(),
        kind: config_map(),
    };
    let review = review::of("u", "v1", &asked, &target, &versions);
    let expected = json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "request": {
            "uid": "u", "operation": "UPDATE", "namespace": "n", "name": "a", "dryRun": false, "options": null,
            "userInfo": {"username": "me"},
            "kind": {"group": "", "version": "v1", "kind": "ConfigMap"},
            "resource": {"group": "other", "version": "v2", "resource": "things"},
            "requestKind": {"group": "", "version": "v1", "kind": "ConfigMap"},
            "requestResource": {"group": "", "version": "v1", "resource": "configmaps"},
            "object": object(),
            "oldObject": {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}},
        },
    });
    assert_eq!(review, expected);
    assert_eq!(
        review::version(&["v7".to_owned(), "v1beta1".to_owned(), "v1".to_owned()]),
        Some("v1beta1")
    );
}

#[test]
fn webhooks_that_want_to_see_later_changes_are_called_again() {
    let (first, second) = (json!({"a": 1}), json!({"a": 2}));
    let mut rounds = Rounds::default();
    rounds.called("one");
    rounds.changed();
    rounds.called("two");
    rounds.end(&first);
    let mut again = rounds.clone();
    again.begin_again(&first);
    assert!(again.repeats("one") && !again.repeats("two"));
    rounds.begin_again(&second);
    assert!(rounds.repeats("one") && rounds.repeats("two"));
}

#[test]
fn webhooks_of_one_name_are_told_apart() {
    let one = configuration(&json!({}))["webhooks"][0].clone();
    let twice = json!({"metadata": {"name": "c"}, "webhooks": [one.clone(), one]});
    let uids: Vec<String> = Hook::all(&twice, "").iter().map(|hook| hook.uid.clone()).collect();
    assert_eq!(uids, ["c/h.example.com/0", "c/h.example.com/1"]);
}
