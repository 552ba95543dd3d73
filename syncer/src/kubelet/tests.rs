//! What is asked of the host, and what reaches whom.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use serde_json::{Value, json};

use super::*;
use crate::kinds::Side;
use crate::names::keys;
use crate::testing::{settings, world_of};

/// The copy of a virtual object on the host.
pub(super) fn host_copy(kind: Kind, namespace: &str, name: &str) -> Value {
    json!({"metadata": {
        "namespace": "host", "name": format!("{name}-x-{namespace}-x-vc"), "uid": format!("h-{name}"),
        "labels": {keys::MARKER: "vc", keys::NAMESPACE: namespace},
        "annotations": {keys::OBJECT_NAME: name, keys::OBJECT_NAMESPACE: namespace, keys::OBJECT_KIND: kind.gvk()},
    }})
}

/// A host that answers so.
pub(super) fn connection(answer: fn(&str) -> (u16, Value)) -> Connection {
    let service = tower::service_fn(move |request: Request<HostBody>| async move {
        let path = request
            .uri()
            .path_and_query()
            .map(ToString::to_string)
            .unwrap_or_default();
        let (code, body) = answer(&path);
        let body = match body {
            Value::String(text) => text,
            other => other.to_string(),
        };
        let mut response = Response::new(Full::new(Bytes::from(body)));
        *response.status_mut() = StatusCode::from_u16(code).expect("a status");
        Ok::<_, Infallible>(response)
    });
    let client = kube::Client::new(service, "default");
    Connection {
        shared: client.clone(),
        upgradable: client,
    }
}

/// Two nodes; on the first runs `team/web`.
fn kubelet() -> Arc<Kubelet> {
    let mut settings = settings();
    settings.nodes.by_hostname = true;
    settings.nodes.measured = true;
    let world = Arc::new(world_of(settings));
    for (name, node) in [("web", "n-1"), ("db", "n-2")] {
        let pod = json!({
            "metadata": {"namespace": "team", "name": name, "uid": format!("v-{name}")},
            "spec": {"nodeName": node, "containers": [{"name": "app"}]},
            "status": {"containerStatuses": [{"name": "app", "state": {"running": {}}}]},
        });
        world.put(Side::Virtual, Kind::Pod, pod);
        let mut host = host_copy(Kind::Pod, "team", name);
        host["spec"] = json!({"nodeName": node});
        world.put(Side::Host, Kind::Pod, host);
        let node = json!({"metadata": {"name": node, "uid": node, "labels": {"vcluster.loft.sh/fake-node": "true"}}});
        world.put(Side::Virtual, Kind::Node, node);
    }
    let host = connection(|path| match path {
        "/api/v1/nodes/n-1/proxy/metrics/resource" => (
            200,
            json!(
                "# TYPE m gauge\nm{namespace=\"host\",pod=\"web-x-team-x-vc\"} 1\nm{namespace=\"x\",pod=\"other\"} 2\n"
            ),
        ),
        _ => (403, json!({"message": "User \"syncer\" cannot get nodes/proxy"})),
    });
    Kubelet::new(world, host.clone(), host.shared)
}

fn target(namespace: &str, pod: &str, container: &str) -> Target {
    Target {
        namespace: namespace.into(),
        pod: pod.into(),
        container: container.into(),
    }
}

#[tokio::test]
async fn only_containers_of_own_pods_are_reached_and_only_at_their_node() {
    let kubelet = kubelet();
    let reach = |namespace: &str, pod: &str, container: &str, node: Option<&str>| {
        let found = kubelet.host_pod(&target(namespace, pod, container), node);
        found
            .map(|key| key.to_string())
            .map_err(|refusal| refusal.status().as_u16())
    };
    let ours = Ok("host/web-x-team-x-vc".to_owned());
    assert_eq!(reach("team", "web", "app", None), ours);
    assert_eq!(reach("team", "web", "", Some("n-1")), ours);
    for (namespace, pod, container, node) in [
        ("team", "web", "sidecar", None),
        ("team", "web", "app", Some("n-2")),
        ("team", "missing", "app", None),
        ("host", "web-x-team-x-vc", "app", None),
        ("kube-system", "dns", "dns", None),
        ("team/../host", "web", "app", None),
    ] {
        assert_eq!(
            reach(namespace, pod, container, node),
            Err(403),
            "{namespace}/{pod}/{container}"
        );
    }
    // A host pod that somebody else put where the copy would be.
    let foreign = json!({"metadata": {"namespace": "host", "name": "db-x-team-x-vc", "uid": "x"}, "spec": {}});
    kubelet.world.take(Side::Host, Kind::Pod, "host", "db-x-team-x-vc");
    kubelet.world.put(Side::Host, Kind::Pod, foreign);
    assert_eq!(reach("team", "db", "app", None), Err(404));
}

#[tokio::test]
async fn the_node_is_the_one_that_was_dialled_or_passed_on_to() {
    let kubelet = kubelet();
    let api_server = access::tests_api_server();
    let tenant = Caller::default();
    let ask = |caller: &Caller, host: &str, passed_on: &str| {
        let request = Request::get("/pods")
            .header("host", host)
            .header("x-forwarded-uri", passed_on);
        kubelet.node(caller, &request.body(()).expect("a request"))
    };
    let to_second = "/api/v1/nodes/https:n-2:10250/proxy/pods";
    assert_eq!(ask(&tenant, "n-1.nodes.vcluster.com:10250", "").as_deref(), Some("n-1"));
    assert_eq!(ask(&api_server, "127.0.0.1:10250", to_second).as_deref(), Some("n-2"));
    assert_eq!(ask(&tenant, "127.0.0.1:10250", to_second), None, "anybody could say so");
    assert_eq!(ask(&api_server, "127.0.0.1:10250", "/elsewhere"), None);
}

#[tokio::test]
async fn pods_are_those_of_the_node_in_their_virtual_form() {
    let kubelet = kubelet();
    let names = |node, wanted: fn(&Value) -> bool| -> Vec<String> {
        let list = kubelet.pods(node, wanted);
        let items = json::items(&list, &["items"]).iter();
        items
            .map(|pod| json::text(pod, &["metadata", "name"]).to_owned())
            .collect()
    };
    assert_eq!(names(Some("n-1"), |_| true), ["web"]);
    assert_eq!(names(None, is_running), ["db", "web"]);
    assert!(names(Some("n-3"), |_| true).is_empty());
}

#[tokio::test]
async fn series_are_passed_on_rewritten_and_a_missing_right_is_told() {
    let kubelet = kubelet();
    let read = async |node: &str| {
        let node = kubelet.served(Some(node)).await.expect("a node that is shown");
        let path = format!("/api/v1/nodes/{node}/proxy/metrics/resource");
        let body = host::open(&kubelet.host, &path, TEXT_FORMAT)
            .await
            .map_err(|refused| refused.status.as_u16())?;
        let body = series(kubelet.world.clone(), body)
            .into_body()
            .collect()
            .await
            .expect("a body");
        Ok::<_, u16>(String::from_utf8_lossy(&body.to_bytes()).into_owned())
    };
    assert_eq!(
        read("n-1").await.as_deref(),
        Ok("# TYPE m gauge\nm{namespace=\"team\",pod=\"web\"} 1\n")
    );
    assert_eq!(read("n-2").await, Err(403));
    assert_eq!(
        kubelet
            .served(Some("n-3"))
            .await
            .map_err(|refusal| refusal.status().as_u16()),
        Err(404)
    );
    assert_eq!(
        kubelet.served(None).await.map_err(|refusal| refusal.status().as_u16()),
        Err(400)
    );
}

#[tokio::test]
async fn without_the_right_to_measurements_nobody_asks_for_them() {
    let mut settings = settings();
    settings.nodes.by_hostname = true;
    let host = connection(|path| panic!("{path} is asked for"));
    let summary = summary::summary(&world_of(settings), &host, "n-1").await;
    assert_eq!(summary, json!({"node": {"nodeName": "n-1"}, "pods": []}));
}

#[tokio::test]
async fn who_stands_by_knows_copies_by_their_marks_and_asks_the_host_about_nodes() {
    let mut settings = settings();
    settings.nodes.from_host = true;
    settings.nodes.by_ip = true;
    let pool = machinery::selector::label::Selector::of(Some(&json!({"matchLabels": {"pool": "a"}})));
    settings.nodes.selector = Some(pool);
    let world = Arc::new(world_of(settings));
    let pod = json!({
        "metadata": {"namespace": "team", "name": "web", "uid": "v"},
        "spec": {"nodeName": "n-1", "containers": [{"name": "app"}]},
    });
    world.put(Side::Virtual, Kind::Pod, pod);
    let mut copy = host_copy(Kind::Pod, "team", "web");
    copy["metadata"]["name"] = json!("recorded-otherwise");
    copy["spec"] = json!({"nodeName": "n-1"});
    world.put(Side::Host, Kind::Pod, copy);
    for (name, address) in [("n-1", "10.0.0.1"), ("n-2", "10.0.0.2"), ("n-3", "10.0.0.3")] {
        let status = json!({"addresses": [{"type": "InternalIP", "address": address}]});
        world.put(
            Side::Virtual,
            Kind::Node,
            json!({"metadata": {"name": name, "uid": name}, "status": status}),
        );
    }
    let host = connection(|path| match path {
        "/api/v1/nodes?fieldSelector=metadata.name%3Dn-2" => {
            (200, json!({"items": [{"metadata": {"labels": {"pool": "a"}}}]}))
        }
        "/api/v1/nodes?fieldSelector=metadata.name%3Dn-3" => {
            (200, json!({"items": [{"metadata": {"labels": {"pool": "b"}}}]}))
        }
        "/api/v1/nodes?fieldSelector=metadata.name%3Dn-4" => (200, json!({"items": []})),
        // There is no right to read a node by its name.
        _ => (403, json!({})),
    });
    let kubelet = Kubelet::new(world.clone(), host.clone(), host.shared);
    let reached = || {
        let reached = kubelet.host_pod(&target("team", "web", "app"), None);
        reached
            .map(|key| key.to_string())
            .map_err(|refusal| refusal.status().as_u16())
    };
    let served = async |node: &str| kubelet.served(Some(node)).await.is_ok();
    assert_eq!(reached(), Err(404), "a leader goes by the names that were recorded");
    assert!(!served("n-2").await, "a leader has seen all nodes");
    world.stand_by();
    assert_eq!(reached().as_deref(), Ok("host/recorded-otherwise"));
    assert!(served("n-2").await && !served("n-3").await && !served("n-4").await);
    assert_eq!(addresses::node_of_host(&world, "10.0.0.2").as_deref(), Some("n-2"));
    world.lead();
    assert_eq!(addresses::node_of_host(&world, "10.0.0.2"), None, "its Service counts");
}
