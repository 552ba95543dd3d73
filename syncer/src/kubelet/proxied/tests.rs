//! What reaches the other cluster, and what comes back.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::Arc;

use http::Method;
use http_body_util::Full;
use kube::client::Body as HostBody;
use serde_json::json;

use super::*;
use crate::kubelet::tests::connection;
use crate::names::keys::PROXY_OWNER;

/// Widgets of `example.com/v1` that are owned, and everything of `all.io/v1`.
pub(super) fn versions() -> Vec<settings::Proxied> {
    let version = |group: &str, resources: &[&str], owned_only| settings::Proxied {
        group: group.to_owned(),
        version: "v1".to_owned(),
        resources: resources.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>(),
        target: ObjectKey::new("vcluster-b", "b"),
        owned_only,
    };
    vec![
        version("example.com", &["widgets"], true),
        version("all.io", &[], false),
    ]
}

/// Method, path with query, content type and body of a request, and whether it has credentials.
type Seen = (String, String, String, Value);

/// A cluster with `widgets` and `things` in namespace `n` by the names `mine` and `theirs`, and who has asked it for what.
struct Other {
    seen: Arc<Mutex<Vec<Seen>>>,
    client: Client,
}

fn object(name: &str) -> Value {
    let owner = if name == "mine" { "host.vc" } else { "host.other" };
    json!({"metadata": {
        "name": name, "uid": format!("u-{name}"), "labels": {PROXY_OWNER: owner},
        "ownerReferences": [{"uid": "theirs"}], "finalizers": ["orphan"],
    }})
}

impl Other {
    fn new() -> Self {
        let seen: Arc<Mutex<Vec<Seen>>> = Arc::default();
        let log = seen.clone();
        let service = tower::service_fn(move |request: Request<HostBody>| {
            let log = log.clone();
            async move {
                let (parts, body) = request.into_parts();
                let names = parts.headers.keys().map(http::HeaderName::as_str);
                let private = names.filter(|name| name.starts_with("x-remote") || *name == "authorization");
                assert_eq!(private.count(), 0, "no credentials are passed on");
                let body = body.collect().await.expect("a body").to_bytes();
                let body: Value = serde_json::from_slice(&body).unwrap_or_default();
                let path = parts.uri.path_and_query().map(ToString::to_string).unwrap_or_default();
                let form = parts
                    .headers
                    .get("content-type")
                    .map(|form| form.to_str().expect("text").to_owned());
                let (code, answer) = Self::answer(&log, &parts, &path, &body);
                let seen = (parts.method.to_string(), path, form.unwrap_or_default(), body);
                log.lock().expect("unpoisoned").push(seen);
                let mut response = Response::new(Full::new(Bytes::from(answer.to_string())));
                *response.status_mut() = StatusCode::from_u16(code).expect("a status");
                Ok::<_, Infallible>(response)
            }
        });
        Self {
            seen,
            client: Client::new(service, "default"),
        }
    }

    fn answer(log: &Mutex<Vec<Seen>>, parts: &http::request::Parts, path: &str, body: &Value) -> (u16, Value) {
        let missing = |kind: &str, name: &str| {
            let details = json!({"kind": kind, "name": name});
            let message = format!("{kind}.example.com {name:?} not found");
            (
                404,
                json!({"kind": "Status", "code": 404, "message": message, "details": details}),
            )
        };
        let name = parts
            .uri
            .path()
            .split("/widgets/")
            .nth(1)
            .or_else(|| parts.uri.path().split("/things/").nth(1));
        let name = name.map(|name| name.split('/').next().unwrap_or_default());
        match (parts.method.as_str(), name) {
            ("POST", None) if path.contains("/namespaces/new/") => {
                let has = |seen: &Seen| seen.3["kind"] == "Namespace";
                if log.lock().expect("unpoisoned").iter().any(has) {
                    (201, body.clone())
                } else {
                    missing("namespaces", "new")
                }
            }
            ("POST", _) => (201, body.clone()),
            ("GET", None) => {
                let all = json!([object("mine"), object("theirs")]);
                (200, json!({"items": all, "metadata": {}}))
            }
            (_, Some("gone")) => missing("widgets", "gone"),
            ("GET", Some(name)) => (200, object(name)),
            _ => (200, body.clone()),
        }
    }

    fn seen(&self) -> Vec<Seen> {
        std::mem::take(&mut *self.seen.lock().expect("unpoisoned"))
    }

    /// What passes requests on to it. This cluster has the namespaces `n` and `new`, and `ending`.
    fn proxied(&self) -> Proxied {
        let virtual_ = connection(|path| match path {
            "/api/v1/namespaces/n" | "/api/v1/namespaces/new" => (200, json!({"status": {"phase": "Active"}})),
            "/api/v1/namespaces/ending" => (200, json!({"status": {"phase": "Terminating"}})),
            "/apis/authorization.k8s.io/v1/subjectaccessreviews" => (201, json!({"status": {"allowed": true}})),
            _ => (404, json!({})),
        });
        let place = ObjectKey::new("vcluster-b", "b");
        Proxied {
            targets: BTreeMap::from([(place.clone(), Target::known(place, self.client.clone()))]),
            versions: versions(),
            owner: "host.vc".to_owned(),
            virtual_: virtual_.shared,
            resources: Mutex::default(),
        }
    }
}

/// A request of a user, and the code and the answer.
async fn ask(proxied: &Proxied, user: &str, method: &str, path: &str, form: &str, body: Value) -> (u16, Value) {
    let request = Request::builder()
        .method(Method::from_bytes(method.as_bytes()).expect("a method"))
        .uri(path)
        .header("content-type", form)
        .header("user-agent", "kubectl/v1")
        .header("authorization", "Bearer secret")
        .header("x-remote-user", "somebody");
    let body = if body.is_null() {
        String::new()
    } else {
        body.to_string()
    };
    let request = request.body(Full::new(Bytes::from(body))).expect("a request");
    let asked = proxied.asked(request.uri().path()).expect("of another cluster");
    let caller = Caller {
        user: user.to_owned(),
        ..Caller::default()
    };
    let authority = Authority::new(proxied.virtual_.clone());
    let answer = proxied.answer(&authority, &caller, asked, request).await;
    let code = answer.status().as_u16();
    let body = answer.into_body().collect().await.expect("a body").to_bytes();
    (code, serde_json::from_slice(&body).unwrap_or_default())
}

const OWNED: &str = "/apis/example.com/v1/namespaces/n/widgets";
const ALL: &str = "/apis/all.io/v1/namespaces/n/things";
const SELECTOR: &str = "labelSelector=vcluster.loft.sh%2Fproxy-owner%3Dhost.vc";
const MERGE: &str = "application/merge-patch+json";
const APPLY: &str = "application/apply-patch+yaml";
const JSON: &str = "application/json";

#[tokio::test]
async fn others_objects_are_not_there() {
    let other = Other::new();
    let proxied = other.proxied();
    let missing = |name: &str| format!("widgets.example.com {name:?} not found");
    for (method, below, form, body) in [
        ("GET", "", JSON, Value::Null),
        ("GET", "/status", JSON, Value::Null),
        ("GET", "/scale", JSON, Value::Null),
        ("PUT", "", JSON, json!({})),
        ("PUT", "/status", JSON, json!({})),
        ("PATCH", "", MERGE, json!({})),
        ("PATCH", "/scale", MERGE, json!({})),
        ("PATCH", "", "application/json-patch+json", json!([])),
        ("DELETE", "", JSON, Value::Null),
        ("POST", "/action", JSON, json!({})),
    ] {
        for name in ["theirs", "gone"] {
            let path = format!("{OWNED}/{name}{below}");
            let (code, status) = ask(&proxied, "jane", method, &path, form, body.clone()).await;
            assert_eq!(
                (code, status["message"].as_str()),
                (404, Some(missing(name).as_str())),
                "{method} {path}"
            );
        }
        let written = other.seen().into_iter().filter(|(method, ..)| method != "GET").count();
        assert_eq!(written, 0, "{method} {below} reaches nothing of others");
        let path = format!("{OWNED}/mine{below}");
        let (code, _) = ask(&proxied, "jane", method, &path, form, body).await;
        assert!((200..300).contains(&code), "{method} {path}: {code}");
        other.seen();
    }
    // An apply to what is not there makes it; what others have made stops it by its uid.
    let (code, _) = ask(&proxied, "jane", "PATCH", &format!("{OWNED}/gone"), APPLY, json!({})).await;
    assert_eq!(code, 404, "the other cluster was asked, and says so");
    let applied = other.seen().pop().expect("a request");
    assert_eq!(applied.3["metadata"]["labels"][PROXY_OWNER], "host.vc");
}

#[tokio::test]
async fn collections_are_those_of_the_owner() {
    let other = Other::new();
    let proxied = other.proxied();
    for (method, query, expected) in [
        ("GET", "", format!("?{SELECTOR}")),
        ("GET", "?watch=1&limit=5", format!("?watch=1&limit=5&{SELECTOR}")),
        (
            "DELETE",
            "?labelSelector=a%3Db",
            "?labelSelector=a%3Db%2Cvcluster.loft.sh%2Fproxy-owner%3Dhost.vc".to_owned(),
        ),
    ] {
        ask(&proxied, "jane", method, &format!("{OWNED}{query}"), JSON, Value::Null).await;
        assert_eq!(other.seen()[0].1, format!("{OWNED}{expected}"));
        ask(&proxied, "jane", method, &format!("{ALL}{query}"), JSON, Value::Null).await;
        assert_eq!(other.seen()[0].1, format!("{ALL}{query}"));
    }
}

#[tokio::test]
async fn what_is_made_has_its_owner() {
    let other = Other::new();
    let proxied = other.proxied();
    let forged = json!({"metadata": {"name": "x", "labels": {PROXY_OWNER: "host.other", "a": "b"}}});
    for collection in [OWNED, ALL] {
        let (code, made) = ask(&proxied, "jane", "POST", collection, JSON, forged.clone()).await;
        assert_eq!(code, 201);
        assert_eq!(made["metadata"]["labels"], json!({PROXY_OWNER: "host.vc", "a": "b"}));
        let (_, path, ..) = other.seen().remove(0);
        assert_eq!(path, format!("{collection}?fieldManager=kubectl"));
    }
    for (method, form, body) in [
        ("PUT", JSON, forged.clone()),
        ("PATCH", MERGE, forged),
        ("PATCH", MERGE, json!({"metadata": {"labels": null}})),
        ("PATCH", APPLY, json!({"metadata": {"labels": {"a": "b"}}})),
    ] {
        for collection in [OWNED, ALL] {
            let path = format!("{collection}/mine");
            let (_, changed) = ask(&proxied, "jane", method, &path, form, body.clone()).await;
            assert_eq!(
                changed["metadata"]["labels"][PROXY_OWNER], "host.vc",
                "{method} {form} {body}"
            );
            assert_eq!(
                changed["metadata"]["uid"], "u-mine",
                "{method}: another object of the name is not meant"
            );
        }
    }
    // Where all are shown, what others have made stays theirs.
    let (_, changed) = ask(
        &proxied,
        "jane",
        "PUT",
        &format!("{ALL}/theirs"),
        JSON,
        json!({"spec": 1}),
    )
    .await;
    assert_eq!(changed, json!({"spec": 1, "metadata": {"uid": "u-theirs"}}));
}

#[tokio::test]
async fn namespaces_are_those_of_this_cluster() {
    let other = Other::new();
    let proxied = other.proxied();
    for (namespace, query, expected, requests) in [
        ("n", "", 201, 1),
        ("new", "?dryRun=All", 404, 1),
        ("new", "", 201, 3),
        ("missing", "", 404, 0),
        ("ending", "", 403, 0),
    ] {
        let path = format!("/apis/example.com/v1/namespaces/{namespace}/widgets{query}");
        let (code, status) = ask(&proxied, "jane", "POST", &path, JSON, json!({})).await;
        let seen = other.seen();
        assert_eq!(
            (code, seen.len()),
            (expected, requests),
            "{namespace}: {status} {seen:?}"
        );
        if requests == 3 {
            let (_, path, _, body) = &seen[1];
            assert_eq!(
                (path.as_str(), &body["metadata"]["name"]),
                ("/api/v1/namespaces", &json!("new"))
            );
        }
    }
}

#[tokio::test]
async fn controllers_of_this_cluster_end_nothing_of_others() {
    let other = Other::new();
    let proxied = other.proxied();
    let controller = "system:serviceaccount:kube-system:namespace-controller";
    ask(&proxied, controller, "DELETE", ALL, JSON, Value::Null).await;
    assert_eq!(other.seen()[0].1, format!("{ALL}?{SELECTOR}"));
    let (code, _) = ask(
        &proxied,
        controller,
        "DELETE",
        &format!("{ALL}/theirs"),
        JSON,
        Value::Null,
    )
    .await;
    assert_eq!(code, 404);
    for path in [ALL.to_owned(), format!("{ALL}/mine")] {
        let (_, found) = ask(&proxied, controller, "GET", &path, JSON, Value::Null).await;
        let text = found.to_string();
        assert!(!text.contains("ownerReferences") && !text.contains("orphan"), "{text}");
        let (_, found) = ask(&proxied, "jane", "GET", &path, JSON, Value::Null).await;
        assert!(found.to_string().contains("ownerReferences"));
    }
}

#[tokio::test]
async fn owners_that_the_other_cluster_does_not_have_are_refused() {
    let other = Other::new();
    let proxied = other.proxied();
    let owned_by = |api_version: &str| {
        let owner = json!({"apiVersion": api_version, "kind": "Deployment", "name": "web", "uid": "u"});
        json!({"metadata": {"ownerReferences": [owner]}})
    };
    let (code, status) = ask(&proxied, "jane", "POST", OWNED, JSON, owned_by("apps/v1")).await;
    let message = status["message"].as_str().unwrap_or_default();
    assert_eq!(code, 422);
    assert!(
        message.contains("Deployment \"web\" is an object of this cluster"),
        "{message}"
    );
    for api_version in ["example.com/v1", "all.io/v2"] {
        let (code, _) = ask(&proxied, "jane", "POST", OWNED, JSON, owned_by(api_version)).await;
        assert_eq!(code, 201, "{api_version}");
    }
}

#[tokio::test]
async fn deletions_name_the_object_that_is_meant() {
    let other = Other::new();
    let proxied = other.proxied();
    let path = format!("{OWNED}/mine?propagationPolicy=Foreground");
    ask(&proxied, "jane", "DELETE", &path, "", Value::Null).await;
    let (method, _, form, body) = other.seen().pop().expect("a request");
    assert_eq!((method.as_str(), form.as_str()), ("DELETE", JSON));
    assert_eq!(body["preconditions"]["uid"], "u-mine");
    assert_eq!(body["propagationPolicy"], "Foreground");
}

#[tokio::test]
async fn what_cannot_be_understood_is_told() {
    let other = Other::new();
    let proxied = other.proxied();
    let one = format!("{OWNED}/mine");
    for (method, path, form, body, expected) in [
        ("POST", OWNED, "application/vnd.kubernetes.protobuf", json!({}), 415),
        ("PATCH", &one, "application/strategic-merge-patch+json", json!({}), 415),
        ("POST", OWNED, JSON, Value::Null, 400),
        ("PUT", OWNED, JSON, json!({}), 405),
        ("GET", "/apis/example.com/v1/gadgets", JSON, Value::Null, 404),
        ("POST", OWNED, JSON, json!("x".repeat(LONGEST_BODY)), 413),
    ] {
        let (code, status) = ask(&proxied, "jane", method, path, form, body).await;
        assert_eq!(
            (code, &status["kind"]),
            (expected, &json!("Status")),
            "{method} {path} {form}"
        );
    }
}

#[tokio::test]
async fn a_circle_of_clusters_ends() {
    let other = Other::new();
    let proxied = other.proxied();
    for (via, expected) in [("host.a", 200), ("host.a,host.vc", 508)] {
        let request = Request::get(OWNED).header("x-vcluster-proxied-by", via);
        let request = request.body(Full::new(Bytes::new())).expect("a request");
        let asked = proxied.asked(OWNED).expect("of another cluster");
        let authority = Authority::new(proxied.virtual_.clone());
        let answer = proxied.answer(&authority, &Caller::default(), asked, request).await;
        assert_eq!(answer.status().as_u16(), expected, "{via}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_cluster_that_is_away_is_named_and_its_resources_stay() {
    let other = Other::new();
    let mut proxied = other.proxied();
    let list = |proxied: &Proxied| {
        let found = proxied.resources.lock().expect("unpoisoned");
        found.len()
    };
    let (code, _) = ask(&proxied, "jane", "GET", "/apis/example.com/v1", JSON, Value::Null).await;
    assert_eq!((code, list(&proxied)), (200, 1));
    let host = connection(|_| (404, json!({"kind": "Status", "code": 404})));
    let place = ObjectKey::new("vcluster-b", "b");
    proxied.targets.insert(place.clone(), Target::new(place, host.shared));
    let (code, status) = ask(&proxied, "jane", "GET", OWNED, JSON, Value::Null).await;
    let expected = "example.com/v1 is answered for by the virtual cluster \"b\", which cannot be reached now: the host has no \
                    Secret with its kubeconfig";
    assert_eq!((code, status["message"].as_str()), (503, Some(expected)));
    let (code, _) = ask(&proxied, "jane", "GET", "/apis/example.com/v1", JSON, Value::Null).await;
    assert_eq!(code, 200, "clients do not take them for gone");
    let (code, _) = ask(&proxied, "jane", "GET", "/apis/all.io/v1", JSON, Value::Null).await;
    assert_eq!(code, 503, "nothing was ever known of them");
}
