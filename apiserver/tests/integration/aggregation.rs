//! Another server behind an APIService: found, asked, shown in discovery, and gone again.

use crate::kubelet::serve;
use crate::server::Server;
use crate::support::https::{Client, write};
use crate::support::store::eventually;
use apiserver::server::request::{Body, full};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chassis::tls::{Authority, Profile};
use http::{Request, Response, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const RESOURCES: &str = "/apis/test.example.com/v1";

/// Lists one resource, and tells of everything else how it was asked for; upgrades say it before they echo.
async fn backend(mut request: Request<Incoming>) -> Response<Body> {
    let path = request.uri().path();
    if path == RESOURCES {
        let list = json!({
            "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": "test.example.com/v1",
            "resources": [{"name": "things", "singularName": "thing", "namespaced": true, "kind": "Thing", "verbs": ["list"]}],
        });
        let answer = Response::builder().header(header::CONTENT_TYPE, "application/json");
        return answer.body(full(list.to_string())).unwrap();
    }
    if path == "/openapi/v2" {
        let answers =
            json!({"200": {"description": "OK", "schema": {"$ref": "#/definitions/com.example.test.v1.ThingList"}}});
        let document = json!({
            "swagger": "2.0",
            "paths": {"/apis/test.example.com/v1/things": {"get": {"responses": answers}}, "/apis/apps/": {}},
            "definitions": {"com.example.test.v1.ThingList": {"type": "object"}, "unused": {}},
        });
        let answer = Response::builder().header(header::CONTENT_TYPE, "application/json");
        return answer.body(full(document.to_string())).unwrap();
    }
    if path == "/openapi/v3" {
        let entry = json!({"serverRelativeURL": "/openapi/v3/apis/test.example.com/v1?hash=1"});
        return Response::new(full(
            json!({"paths": {"apis/test.example.com/v1": entry, "version": {}}}).to_string(),
        ));
    }
    if path == "/apis" {
        return Response::builder().status(404).body(full("nothing here")).unwrap();
    }
    if path.ends_with("/moved") {
        let answer = Response::builder()
            .status(302)
            .header(header::LOCATION, "https://elsewhere");
        return answer.body(full("")).unwrap();
    }
    let said = |name: &str| -> Vec<String> {
        let values = request.headers().get_all(name).iter();
        values.map(|value| value.to_str().unwrap().to_owned()).collect()
    };
    let told = json!({
        "target": request.uri().to_string(), "user": said("x-remote-user"), "groups": said("x-remote-group"),
        "uid": said("x-remote-uid"), "credentials": said("authorization"), "host": said("host"),
    })
    .to_string();
    if request.headers().contains_key(header::UPGRADE) {
        let upgrade = hyper::upgrade::on(&mut request);
        tokio::spawn(async move {
            let mut stream = TokioIo::new(upgrade.await.unwrap());
            let mut buffer = [0; 64];
            while let Ok(read @ 1..) = stream.read(&mut buffer).await {
                stream.write_all(&buffer[..read].to_ascii_uppercase()).await.unwrap();
            }
        });
        let answer = Response::builder()
            .status(101)
            .header("upgrade", "echo")
            .header("connection", "Upgrade");
        return answer.body(full("")).unwrap();
    }
    Response::new(full(told))
}

/// The same of a server that describes itself as servers did in former times.
async fn former(request: Request<Incoming>) -> Response<Body> {
    if request.uri().path() == "/openapi/v3" {
        return Response::builder().status(404).body(full("nothing here")).unwrap();
    }
    backend(request).await
}

async fn json_of(client: &Client, path: &str, accept: &str) -> Value {
    let request = Request::get(path).header("host", "test").header("accept", accept);
    let (code, text) = client.text(request.body(Full::default()).unwrap()).await;
    assert_eq!(code, 200, "{path}: {text}");
    serde_json::from_str(&text).unwrap()
}

/// The reason of the APIService's condition, once it is this one.
async fn condition(client: &Client, reason: &str) {
    eventually(reason, async || {
        let path = "/apis/apiregistration.k8s.io/v1/apiservices/v1.test.example.com";
        let (_, text) = client.get(path).await;
        let object: Value = serde_json::from_str(&text).ok()?;
        (object["status"]["conditions"][0]["reason"] == reason).then_some(())
    })
    .await;
}

#[tokio::test]
async fn descriptions_of_former_times_are_converted() {
    chassis::tls::install_provider();
    let authority = Authority::generate("test").unwrap();
    let port = serve(&authority, former).await.port();
    let bundle = STANDARD.encode(authority.certificate());
    let server = Server::start_with(authority, Vec::new()).await;
    let admin = server.client(Some((&server.authority, "admin", "system:masters")));
    eventually("the server is ready", async || {
        (admin.get("/readyz").await.0 == 200).then_some(())
    })
    .await;
    let service = json!({
        "metadata": {"name": "backend"}, "spec": {"type": "ExternalName", "externalName": "localhost"},
    });
    assert_eq!(admin.post("/api/v1/namespaces/default/services", service).await.0, 201);
    let announced = json!({
        "metadata": {"name": "v1.test.example.com"},
        "spec": {
            "group": "test.example.com", "version": "v1", "groupPriorityMinimum": 1000, "versionPriority": 10,
            "caBundle": bundle, "service": {"namespace": "default", "name": "backend", "port": port},
        },
    });
    let api_services = "/apis/apiregistration.k8s.io/v1/apiservices";
    assert_eq!(admin.post(api_services, announced).await.0, 201);
    let url = eventually("its description is announced", async || {
        let index = json_of(&admin, "/openapi/v3", "application/json").await;
        let entry = &index["paths"]["apis/test.example.com/v1"]["serverRelativeURL"];
        entry.as_str().map(str::to_owned)
    })
    .await;
    let path = "/openapi/v3/apis/test.example.com/v1";
    assert!(url.starts_with(&format!("{path}?hash=")), "{url}");
    let described = json_of(&admin, &url, "application/json").await;
    assert_eq!(described["openapi"], "3.0.0");
    let answer = &described["paths"]["/apis/test.example.com/v1/things"]["get"]["responses"]["200"];
    assert_eq!(answer["description"], "OK");
    let list = &described["components"]["schemas"]["com.example.test.v1.ThingList"];
    assert_eq!(list["type"], "object");
    let form = "application/com.github.proto-openapi.spec.v3.v1.0+protobuf";
    let request = Request::get(path).header("host", "test").header("accept", form);
    let encoded = admin.send(request.body(Full::default()).unwrap()).await;
    let encoded = encoded.into_body().collect().await.unwrap().to_bytes();
    let name = b"com.example.test.v1.ThingList";
    assert!(encoded.windows(name.len()).any(|window| window == name));
    let (code, _) = admin.get(&format!("{path}?hash=other")).await;
    assert_eq!(code, 301);
}

#[tokio::test]
async fn requests_are_passed_on_to_whom_an_apiservice_names() {
    chassis::tls::install_provider();
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::generate("test").unwrap();
    let port = serve(&authority, backend).await.port();
    let front = authority
        .issue(&Profile::client("front-proxy-client", [""; 0]))
        .unwrap();
    let (certificate, key) = write(dir.path(), "front", &front);
    let bundle = STANDARD.encode(authority.certificate());
    let flags = vec![
        format!("--proxy-client-cert-file={}", certificate.display()),
        format!("--proxy-client-key-file={}", key.display()),
    ];
    let server = Server::start_with(authority, flags).await;
    let admin = server.client(Some((&server.authority, "admin", "system:masters")));
    eventually("the server is ready", async || {
        (admin.get("/readyz").await.0 == 200).then_some(())
    })
    .await;

    let announced = json!({
        "metadata": {"name": "v1.test.example.com"},
        "spec": {
            "group": "test.example.com", "version": "v1", "groupPriorityMinimum": 17_850, "versionPriority": 10,
            "caBundle": bundle, "service": {"namespace": "default", "name": "backend", "port": port},
        },
    });
    let (code, text) = admin
        .post("/apis/apiregistration.k8s.io/v1/apiservices", announced)
        .await;
    assert_eq!(code, 201, "{text}");
    condition(&admin, "ServiceNotFound").await;
    let unavailable = (503, "service unavailable\n".to_owned());
    assert_eq!(admin.get(&format!("{RESOURCES}/things")).await, unavailable);

    let service = json!({
        "metadata": {"name": "backend"}, "spec": {"type": "ExternalName", "externalName": "localhost"},
    });
    assert_eq!(admin.post("/api/v1/namespaces/default/services", service).await.0, 201);
    condition(&admin, "Passed").await;
    let unavailable_now = async |value: u8| {
        let series = format!("aggregator_unavailable_apiservice{{name=\"v1.test.example.com\"}} {value}");
        eventually("it is counted", async || {
            admin.get("/metrics").await.1.contains(&series).then_some(())
        })
        .await;
    };
    unavailable_now(0).await;

    let told = eventually("requests are passed on", async || {
        let path = format!("{RESOURCES}/namespaces/n/things?limit=5&x=a%2Fb");
        let request = Request::get(path)
            .header("host", "test")
            .header("x-remote-user", "forged");
        let (code, text) = admin.text(request.body(Full::default()).unwrap()).await;
        (code == 200).then(|| serde_json::from_str::<Value>(&text).unwrap())
    })
    .await;
    assert_eq!(
        told["target"],
        format!("{RESOURCES}/namespaces/n/things?limit=5&x=a%2Fb")
    );
    assert_eq!(told["user"], json!(["admin"]));
    assert_eq!(told["groups"], json!(["system:masters", "system:authenticated"]));
    assert_eq!(told["host"], json!([format!("localhost:{port}")]));
    assert_eq!((&told["uid"], &told["credentials"]), (&json!([]), &json!([])));
    assert_eq!(admin.get(&format!("{RESOURCES}/moved")).await.0, 502);
    let jane = server.client(Some((&server.authority, "jane", "people")));
    assert_eq!(jane.get(&format!("{RESOURCES}/things")).await.0, 403);

    // Discovery shows it among the others: before apps, whose priority is lower.
    let groups = json_of(&admin, "/apis", "application/json").await;
    let names: Vec<&str> = groups["groups"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|g| g["name"].as_str())
        .collect();
    assert_eq!(names[..3], ["apiregistration.k8s.io", "test.example.com", "apps"]);
    let group = json_of(&admin, "/apis/test.example.com", "application/json").await;
    assert_eq!(group["preferredVersion"]["groupVersion"], "test.example.com/v1");
    let entry = eventually("what it has is known", async || {
        let all = json_of(
            &admin,
            "/apis",
            "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList",
        )
        .await;
        let version = all["items"][1]["versions"][0].clone();
        (version["freshness"] == "Current").then_some(version)
    })
    .await;
    assert_eq!(entry["resources"][0]["responseKind"]["kind"], "Thing");

    // So does the index of descriptions, which leads to its own.
    let index = json_of(&admin, "/openapi/v3", "application/json").await;
    assert!(index["paths"]["apis/apps/v1"].is_object());
    let url = index["paths"]["apis/test.example.com/v1"]["serverRelativeURL"]
        .as_str()
        .unwrap();
    let described = json_of(&admin, url, "application/json").await;
    assert_eq!(described["target"], "/openapi/v3/apis/test.example.com/v1?hash=1");
    let whole = json_of(&admin, "/openapi/v2", "application/json").await;
    assert!(whole["paths"]["/apis/test.example.com/v1/things"]["get"].is_object());
    assert_eq!(whole["definitions"]["com.example.test.v1.ThingList"]["type"], "object");
    assert!(
        whole["definitions"]["io.k8s.api.apps.v1.Deployment"].is_object() && whole["definitions"]["unused"].is_null()
    );
    let form = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";
    let request = Request::get("/openapi/v2")
        .header("host", "test")
        .header("accept", form);
    let encoded = admin.send(request.body(Full::default()).unwrap()).await;
    let encoded = encoded.into_body().collect().await.unwrap().to_bytes();
    let name = b"com.example.test.v1.ThingList";
    assert!(encoded.windows(name.len()).any(|window| window == name));

    let upgrade = Request::get(format!("{RESOURCES}/things/echo"))
        .header("host", "test")
        .header("connection", "Upgrade")
        .header("upgrade", "echo");
    let mut response = admin.send(upgrade.body(Full::default()).unwrap()).await;
    assert_eq!(response.status(), 101);
    let mut stream = TokioIo::new(hyper::upgrade::on(&mut response).await.unwrap());
    stream.write_all(b"hello").await.unwrap();
    let mut echo = [0; 5];
    stream.read_exact(&mut echo).await.unwrap();
    assert_eq!(&echo, b"HELLO");

    // Without its Service it is there, but stale, and answers nothing.
    let gone = Request::delete("/api/v1/namespaces/default/services/backend").header("host", "test");
    let deleted = admin.send(gone.body(Full::default()).unwrap()).await;
    assert_eq!(deleted.status(), 200);
    drop(deleted.into_body().collect().await.unwrap());
    condition(&admin, "ServiceNotFound").await;
    eventually("requests are refused", async || {
        (admin.get(&format!("{RESOURCES}/things")).await == unavailable).then_some(())
    })
    .await;
    unavailable_now(1).await;
    let counted = r#"aggregator_unavailable_apiservice_total{name="v1.test.example.com",reason="ServiceNotFound"} 1"#;
    eventually("that it became unavailable is counted", async || {
        admin.get("/metrics").await.1.contains(counted).then_some(())
    })
    .await;
    let all = json_of(
        &admin,
        "/apis",
        "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList",
    )
    .await;
    assert_eq!(all["items"][1]["versions"][0]["freshness"], "Stale");
    let gone =
        Request::delete("/apis/apiregistration.k8s.io/v1/apiservices/v1.test.example.com").header("host", "test");
    assert_eq!(admin.send(gone.body(Full::default()).unwrap()).await.status(), 200);
    eventually("the group is gone", async || {
        (admin.get("/apis/test.example.com").await.0 == 404).then_some(())
    })
    .await;
}

#[tokio::test]
async fn definitions_are_announced_as_long_as_they_serve() {
    let server = Server::start_with(Authority::generate("ca").unwrap(), Vec::new()).await;
    let admin = server.client(Some((&server.authority, "admin", "system:masters")));
    eventually("the server is ready", async || {
        (admin.get("/readyz").await.0 == 200).then_some(())
    })
    .await;
    let version = |name: &str, served: bool| {
        let schema = json!({"openAPIV3Schema": {"type": "object"}});
        json!({"name": name, "served": served, "storage": name == "v1", "schema": schema})
    };
    let definition = json!({
        "metadata": {"name": "things.custom.example.com"},
        "spec": {
            "group": "custom.example.com", "scope": "Namespaced", "names": {"plural": "things", "kind": "Thing"},
            "versions": [version("v1", true), version("v1beta1", false)],
        },
    });
    let definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    assert_eq!(admin.post(definitions, definition).await.0, 201);
    let announced = "/apis/apiregistration.k8s.io/v1/apiservices/v1.custom.example.com";
    let found = async |wanted: u16| {
        eventually("the APIService is as it should be", async || {
            let (code, text) = admin.get(announced).await;
            (code == wanted).then_some(text)
        })
        .await
    };
    let object: Value = serde_json::from_str(&found(200).await).unwrap();
    assert_eq!(object["spec"]["groupPriorityMinimum"], 1000);
    assert_eq!(
        object["metadata"]["labels"]["kube-aggregator.kubernetes.io/automanaged"],
        "true"
    );
    let (code, _) = admin
        .get("/apis/apiregistration.k8s.io/v1/apiservices/v1beta1.custom.example.com")
        .await;
    assert_eq!(code, 404);
    let delete = async |path: &str| {
        let request = Request::delete(path).header("host", "test");
        admin.text(request.body(Full::default()).unwrap()).await.0
    };
    // It comes back as long as it is wanted.
    assert_eq!(delete(announced).await, 200);
    found(200).await;
    assert_eq!(delete(&format!("{definitions}/things.custom.example.com")).await, 200);
    found(404).await;
}

#[tokio::test]
async fn proxies_name_users_and_are_told_to_others() {
    chassis::tls::install_provider();
    let dir = tempfile::tempdir().unwrap();
    let (users, proxies) = (
        Authority::generate("ca").unwrap(),
        Authority::generate("front").unwrap(),
    );
    let file = dir.path().join("front-proxy-ca.crt");
    std::fs::write(&file, proxies.certificate()).unwrap();
    let flags = vec![
        format!("--requestheader-client-ca-file={}", file.display()),
        "--requestheader-allowed-names=front-proxy-client".to_owned(),
        "--requestheader-username-headers=X-Remote-User".to_owned(),
        "--requestheader-group-headers=X-Remote-Group".to_owned(),
        "--requestheader-extra-headers-prefix=X-Remote-Extra-".to_owned(),
    ];
    let server = Server::start_with(users, flags).await;
    let admin = server.client(Some((&server.authority, "admin", "system:masters")));
    eventually("the server is ready", async || {
        (admin.get("/readyz").await.0 == 200).then_some(())
    })
    .await;

    let asked = async |client: &Client, headers: &[(&str, &str)]| {
        let path = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
        let mut request = Request::post(path)
            .header("host", "test")
            .header("content-type", "application/json");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (code, text) = client.text(request.body(Full::from("{}")).unwrap()).await;
        let answer: Value = serde_json::from_str(&text).unwrap();
        (
            code,
            answer["status"]["userInfo"]["username"]
                .as_str()
                .unwrap_or_default()
                .to_owned(),
        )
    };
    let named = [("x-remote-user", "jane"), ("x-remote-group", "dev")];
    let proxy = server.client(Some((&proxies, "front-proxy-client", "any")));
    assert_eq!(asked(&proxy, &named).await, (201, "jane".to_owned()));
    assert_eq!(asked(&proxy, &[]).await.0, 401, "the proxy itself is nobody");
    let other = server.client(Some((&proxies, "other", "any")));
    assert_eq!(asked(&other, &named).await.0, 401);
    assert_eq!(asked(&admin, &named).await, (201, "admin".to_owned()));

    let path = "/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication";
    let published = json_of(&admin, path, "application/json").await;
    assert_eq!(
        published["data"]["requestheader-allowed-names"],
        r#"["front-proxy-client"]"#
    );
    assert_eq!(published["data"]["requestheader-client-ca-file"], proxies.certificate());
    let gone = Request::delete(path).header("host", "test");
    let deleted = admin.send(gone.body(Full::default()).unwrap()).await;
    assert_eq!(deleted.status(), 200);
    eventually("it is there again", async || {
        (admin.get(path).await.0 == 200).then_some(())
    })
    .await;
}
