//! Custom resources on whole servers: two on one store follow the same definitions, versions differ as their schemas say,
//! and what is defined no more is served no more.

use crate::server::Server;
use crate::support::https::Client;
use crate::support::store::eventually;
use http::Request;
use http_body_util::{BodyExt, Full};
use serde_json::{Value, json};
use std::time::Duration;

const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
const NAME: &str = "things.shop.example.com";

fn definition() -> Value {
    let schema = |field: &str| {
        json!({"openAPIV3Schema": {"type": "object", "properties": {"spec": {"type": "object", "properties": {
            "color": {"type": "string", "default": "red"}, field: {"type": "integer"}}}}}})
    };
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": NAME},
        "spec": {
            "group": "shop.example.com",
            "scope": "Cluster",
            "names": {"plural": "things", "kind": "Thing"},
            "versions": [
                {"name": "v1", "served": true, "storage": true, "schema": schema("new")},
                {"name": "v1beta1", "served": true, "storage": false, "schema": schema("old"), "deprecated": true},
            ],
        },
    })
}

fn path(version: &str, name: &str) -> String {
    format!("/apis/shop.example.com/{version}/things{name}")
}

async fn served(client: &Client, code: u16) {
    eventually("the server follows the definition", async || {
        (client.get(&path("v1", "")).await.0 == code).then_some(())
    })
    .await;
}

fn parsed((code, text): (u16, String)) -> (u16, Value) {
    let value = serde_json::from_str(&text).unwrap_or(Value::Null);
    (code, value)
}

#[tokio::test]
async fn servers_on_one_store_serve_the_same_definitions() {
    let server = Server::start().await;
    let admin = server.client(Some((&server.authority, "admin", "system:masters")));
    eventually("the server is ready", async || {
        (admin.get("/readyz").await.0 == 200).then_some(())
    })
    .await;
    let beside = server.beside().await;
    let other = beside.client(Some((&beside.authority, "admin", "system:masters")));
    assert_eq!(admin.get(&path("v1", "")).await.0, 404);
    assert_eq!(admin.post(DEFINITIONS, definition()).await.0, 201);
    served(&admin, 200).await;
    served(&other, 200).await;

    let thing = json!({"apiVersion": "shop.example.com/v1", "kind": "Thing", "metadata": {"name": "a"},
        "spec": {"new": 1, "old": 2}});
    let (code, created) = parsed(admin.post(&path("v1", ""), thing.clone()).await);
    assert_eq!((code, &created["spec"]), (201, &json!({"color": "red", "new": 1})));
    let (code, seen) = parsed(other.get(&path("v1beta1", "/a")).await);
    assert_eq!(code, 200);
    assert_eq!(
        (&seen["apiVersion"], &seen["spec"]),
        (&json!("shop.example.com/v1beta1"), &json!({"color": "red"}))
    );
    let mut wrong = thing;
    wrong["spec"]["new"] = json!("x");
    let (code, refused) = parsed(other.post(&path("v1", ""), wrong).await);
    assert_eq!((code, &refused["reason"]), (422, &json!("Invalid")));

    // A watch ends with the definition, after the objects.
    let watch = Request::get(path("v1", "?watch=true")).header("host", "test");
    let watch = admin.send(watch.body(Full::default()).unwrap()).await.into_body();
    assert_eq!(admin.delete(&format!("{DEFINITIONS}/{NAME}")).await.0, 200);
    let events = tokio::time::timeout(Duration::from_secs(20), watch.collect())
        .await
        .unwrap()
        .unwrap()
        .to_bytes();
    let kinds: Vec<Value> = events
        .split(|byte| *byte == b'\n')
        .filter_map(|line| serde_json::from_slice::<Value>(line).ok())
        .map(|event| event["type"].clone())
        .collect();
    assert_eq!(kinds, ["ADDED", "DELETED"]);
    served(&admin, 404).await;
    served(&other, 404).await;
    assert_eq!(admin.get(&format!("{DEFINITIONS}/{NAME}")).await.0, 404);
}

/// Policies look at an object in the version that their rules name, and change it there.
#[tokio::test]
async fn policies_for_one_version_see_the_objects_of_all() {
    let server = Server::start().await;
    let admin = server.client(Some((&server.authority, "admin", "system:masters")));
    eventually("the server is ready", async || {
        (admin.get("/readyz").await.0 == 200).then_some(())
    })
    .await;
    assert_eq!(admin.post(DEFINITIONS, definition()).await.0, 201);
    served(&admin, 200).await;
    let rule = json!({"apiGroups": ["shop.example.com"], "apiVersions": ["v1beta1"], "resources": ["things"], "operations": ["CREATE"]});
    let refusing = json!({"expression": "object.spec.color != 'blue'", "messageExpression":
        "object.apiVersion + ' ' + request.resource.version + ' ' + request.requestResource.version"});
    let changing = "Object{metadata: Object.metadata{labels: {'seen': request.kind.version}}}";
    let named = |spec: Value| json!({"metadata": {"name": "p"}, "spec": spec});
    for (kind, spec, binding) in [
        (
            "validating",
            json!({"validations": [refusing]}),
            json!({"validationActions": ["Deny"]}),
        ),
        (
            "mutating",
            json!({"reinvocationPolicy": "Never", "mutations": [
                {"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": changing}}]}),
            json!({}),
        ),
    ] {
        let (mut spec, mut binding) = (spec, binding);
        spec["matchConstraints"] = json!({"resourceRules": [rule]});
        binding["policyName"] = json!("p");
        let path = |what: &str| format!("/apis/admissionregistration.k8s.io/v1/{kind}admission{what}");
        for (what, object) in [("policies", named(spec)), ("policybindings", named(binding))] {
            let (code, answer) = admin.post(&path(what), object).await;
            assert_eq!(code, 201, "{answer}");
        }
    }
    let thing = |color: &str| {
        json!({"apiVersion": "shop.example.com/v1", "kind": "Thing", "metadata": {"name": "a"},
        "spec": {"color": color, "new": 1}})
    };
    let dry = path("v1", "?dryRun=All");
    let refused = eventually("the policy refuses", async || {
        let (code, answer) = parsed(admin.post(&dry, thing("blue")).await);
        (code == 422).then_some(answer)
    })
    .await;
    let message = refused["message"].as_str().unwrap();
    assert!(
        message.ends_with("denied request: shop.example.com/v1beta1 v1beta1 v1"),
        "{message}"
    );
    let changed = eventually("the policy changes", async || {
        let (code, answer) = parsed(admin.post(&dry, thing("red")).await);
        assert_eq!(code, 201);
        answer["metadata"].get("labels").is_some().then_some(answer)
    })
    .await;
    assert_eq!(changed["metadata"]["labels"], json!({"seen": "v1beta1"}));
    assert_eq!(
        (&changed["apiVersion"], &changed["spec"]),
        (&json!("shop.example.com/v1"), &json!({"color": "red", "new": 1}))
    );
}
