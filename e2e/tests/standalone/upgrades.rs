//! Connections that leave HTTP: exec, attach and port-forward are passed through to the kubelet as the client has asked for
//! them, over SPDY and WebSocket. The kubelet here answers as kubelets do and then sends back every byte in capitals.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use chassis::tls::{Authority, Identity, Profile, server_config};
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::{Node, Pod, ServiceAccount};
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::Running;
use super::connection::{Dialer, text};

const POD: &str = "/api/v1/namespaces/default/pods/p";
const SPDY_PROTOCOL: &str = "x-stream-protocol-version";
const RBAC: &str = "rbac.authorization.k8s.io";
/// The subprotocols that the kubelet speaks.
const KNOWN: [&str; 3] = ["v5.channel.k8s.io", "v4.channel.k8s.io", "base64.channel.k8s.io"];

/// How a client asks, and what it gets.
struct Case {
    subresource: &'static str,
    upgrade: &'static str,
    protocol: &'static str,
    status: u16,
}

const CASES: [Case; 8] = [
    case("exec?command=ls&stdout=true", "SPDY/3.1", "v4.channel.k8s.io", 101),
    case("attach?stdin=true", "SPDY/3.1", "v4.channel.k8s.io", 101),
    case("portforward", "SPDY/3.1", "portforward.k8s.io", 101),
    case("exec?command=ls&stdout=true", "websocket", "v5.channel.k8s.io", 101),
    case("exec?command=ls&stdout=true", "websocket", "v4.channel.k8s.io", 101),
    case("attach?stdout=true", "websocket", "base64.channel.k8s.io", 101),
    case("exec?command=ls&stdout=true", "websocket", "v9.channel.k8s.io", 403),
    case("exec?command=ls&stdout=true", "SPDY/3.1", "v9.channel.k8s.io", 403),
];

const fn case(subresource: &'static str, upgrade: &'static str, protocol: &'static str, status: u16) -> Case {
    Case {
        subresource,
        upgrade,
        protocol,
        status,
    }
}

#[tokio::test]
async fn tunnels_pass_what_client_and_kubelet_agree_on() -> Result<()> {
    let running = Running::start(&["--kubelet-preferred-address-types=InternalIP"]).await?;
    let kubelet = kubelet().await?;
    pod_on(&running, kubelet).await?;
    let dialer = running.dialer()?;
    for case in &CASES {
        tunnel(&dialer, case)
            .await
            .with_context(|| format!("{} over {} as {}", case.subresource, case.upgrade, case.protocol))?;
    }
    for method in ["GET", "POST"] {
        let request = Request::builder()
            .method(method)
            .uri(format!("{POD}/exec?command=ls&stdout=true"));
        let request = request
            .header(header::HOST, "localhost")
            .body(Full::new(Bytes::new()))?;
        let answer = dialer.http1().await?.send_request(request).await?;
        ensure!(
            answer.status() == 400,
            "{method} without an upgrade: {}",
            answer.status()
        );
        let said = text(answer).await?;
        ensure!(said.contains("Upgrade request required"), "{said}");
    }
    running.stop().await
}

#[tokio::test]
async fn who_may_only_look_runs_no_commands() -> Result<()> {
    let running = Running::start(&["--kubelet-preferred-address-types=InternalIP"]).await?;
    pod_on(&running, kubelet().await?).await?;
    let client = running.server.client().await?;
    for (user, verb) in [("looker", "get"), ("runner", "create"), ("both", "*")] {
        let role = json!({"metadata": {"name": user},
            "rules": [{"apiGroups": [""], "resources": ["pods/exec", "pods/attach", "pods/portforward"], "verbs": [verb]}]});
        let binding = json!({"metadata": {"name": user}, "subjects": [{"kind": "User", "name": user, "apiGroup": RBAC}],
            "roleRef": {"apiGroup": RBAC, "kind": "Role", "name": user}});
        let create = PostParams::default();
        let (roles, bindings): (Api<Role>, Api<RoleBinding>) = (
            Api::default_namespaced(client.clone()),
            Api::default_namespaced(client.clone()),
        );
        roles.create(&create, &serde_json::from_value(role)?).await?;
        bindings.create(&create, &serde_json::from_value(binding)?).await?;
    }
    let dialer = running.dialer()?;
    for (user, upgrade, allowed) in [
        ("looker", "websocket", false),
        ("looker", "SPDY/3.1", false),
        ("runner", "websocket", false),
        ("runner", "SPDY/3.1", true),
        ("both", "websocket", true),
    ] {
        for subresource in ["exec?command=ls&stdout=true", "attach?stdout=true", "portforward"] {
            let protocol = if subresource == "portforward" {
                "portforward.k8s.io"
            } else {
                KNOWN[0]
            };
            let mut request = handshake(subresource, upgrade, protocol)?;
            request
                .headers_mut()
                .insert("impersonate-user", HeaderValue::from_static(user));
            let answer = dialer.http1().await?.send_request(request).await?;
            let expected = if allowed {
                StatusCode::SWITCHING_PROTOCOLS
            } else {
                StatusCode::FORBIDDEN
            };
            ensure!(
                answer.status() == expected,
                "{user} over {upgrade} to {subresource}: {}",
                answer.status()
            );
        }
    }
    running.stop().await
}

async fn tunnel(dialer: &Dialer, case: &Case) -> Result<()> {
    let request = handshake(case.subresource, case.upgrade, case.protocol)?;
    let protocol = protocol_header(case.upgrade);
    let answer = dialer.http1().await?.send_request(request).await?;
    let status = answer.status();
    if status != StatusCode::SWITCHING_PROTOCOLS || case.status != 101 {
        let said = text(answer).await?;
        ensure!(status == case.status && said.contains("no protocol"), "{status} {said}");
        return Ok(());
    }
    let chosen = answer.headers().get(protocol);
    ensure!(
        chosen.is_some_and(|chosen| chosen == case.protocol),
        "{chosen:?} was chosen"
    );
    ensure!(
        answer.headers()[header::UPGRADE] == case.upgrade,
        "{:?}",
        answer.headers()
    );
    let mut stream = TokioIo::new(hyper::upgrade::on(answer).await?);
    // More than any buffer on the way holds.
    let sent: Vec<u8> = b"abcdefghij".repeat(20_000);
    let (mut reader, mut writer) = tokio::io::split(&mut stream);
    let mut received = vec![0; sent.len()];
    let (written, read) = tokio::join!(writer.write_all(&sent), reader.read_exact(&mut received));
    written?;
    read?;
    ensure!(received == sent.to_ascii_uppercase(), "bytes are lost or changed");
    Ok(())
}

/// The header in which a protocol is asked for.
fn protocol_header(upgrade: &str) -> &'static str {
    match upgrade {
        "websocket" => "sec-websocket-protocol",
        _ => SPDY_PROTOCOL,
    }
}

/// The request for a tunnel: WebSocket begins with a GET, SPDY with a POST.
fn handshake(subresource: &str, upgrade: &str, protocol: &str) -> Result<Request<Full<Bytes>>> {
    let method = if upgrade == "websocket" { "GET" } else { "POST" };
    let request = Request::builder()
        .method(method)
        .uri(format!("{POD}/{subresource}"))
        .header(header::HOST, "localhost")
        .header(header::CONNECTION, "Upgrade")
        .header(header::UPGRADE, upgrade)
        .header(header::SEC_WEBSOCKET_VERSION, "13")
        .header(header::SEC_WEBSOCKET_KEY, "dGhlIHNhbXBsZSBub25jZQ==")
        .header(protocol_header(upgrade), protocol);
    Ok(request.body(Full::new(Bytes::new()))?)
}

/// A node with this kubelet, and a pod on it.
async fn pod_on(running: &Running, kubelet: SocketAddr) -> Result<()> {
    let client = running.server.client().await?;
    let (nodes, pods): (Api<Node>, Api<Pod>) = (Api::all(client.clone()), Api::default_namespaced(client.clone()));
    let accounts: Api<ServiceAccount> = Api::default_namespaced(client);
    let create = PostParams::default();
    accounts
        .create(
            &create,
            &serde_json::from_value(json!({"metadata": {"name": "default"}}))?,
        )
        .await?;
    nodes
        .create(&create, &serde_json::from_value(json!({"metadata": {"name": "n"}}))?)
        .await?;
    let status = json!({"status": {
        "addresses": [{"type": "InternalIP", "address": kubelet.ip().to_string()}],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": kubelet.port()}},
    }});
    nodes
        .patch_status("n", &PatchParams::default(), &Patch::Merge(status))
        .await?;
    let pod =
        json!({"metadata": {"name": "p"}, "spec": {"nodeName": "n", "containers": [{"name": "c", "image": "i"}]}});
    pods.create(&create, &serde_json::from_value(pod)?).await?;
    Ok(())
}

/// Starts the kubelet.
async fn kubelet() -> Result<SocketAddr> {
    let issued = Authority::generate("kubelets")?.issue(&Profile::server("n", ["127.0.0.1"]))?;
    let identity = Identity {
        certificates: CertificateDer::pem_slice_iter(issued.certificate.as_bytes()).collect::<Result<_, _>>()?,
        key: PrivateKeyDer::from_pem_slice(issued.key.as_str().as_bytes())?,
    };
    let acceptor = TlsAcceptor::from(Arc::new(server_config(identity, None)?));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let stream = TokioIo::new(acceptor.accept(stream).await?);
                let served = hyper::server::conn::http1::Builder::new()
                    .serve_connection(stream, service_fn(answer))
                    .with_upgrades();
                served.await.context("a connection broke")
            });
        }
    });
    Ok(address)
}

/// Agrees to a protocol that kubelets know, for the paths that they have.
async fn answer(mut request: Request<Incoming>) -> Result<Response<Full<Bytes>>> {
    let mut response = Response::new(Full::default());
    let path = request.uri().path();
    let forwarding = path == "/portForward/default/p";
    if !forwarding && path != "/exec/default/p/c" && path != "/attach/default/p/c" {
        *response.status_mut() = StatusCode::NOT_FOUND;
        return Ok(response);
    }
    let headers = request.headers();
    let upgrade = headers.get(header::UPGRADE).cloned().context("no upgrade")?;
    let name = if upgrade == "websocket" {
        header::SEC_WEBSOCKET_PROTOCOL
    } else {
        http::HeaderName::from_static(SPDY_PROTOCOL)
    };
    let wanted = headers.get(&name).cloned().context("no protocol is asked for")?;
    let known = if forwarding {
        &["portforward.k8s.io"][..]
    } else {
        &KNOWN
    };
    if !known.iter().any(|protocol| wanted == protocol) {
        *response.status_mut() = StatusCode::FORBIDDEN;
        *response.body_mut() = "no protocol is known to both sides".into();
        return Ok(response);
    }
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    response.headers_mut().insert(name, wanted);
    response.headers_mut().insert(header::UPGRADE, upgrade);
    response
        .headers_mut()
        .insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    let upgraded = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        let mut stream = TokioIo::new(upgraded.await?);
        let mut buffer = vec![0; 4096];
        loop {
            let count = stream.read(&mut buffer).await?;
            if count == 0 {
                return anyhow::Ok(());
            }
            stream.write_all(&buffer[..count].to_ascii_uppercase()).await?;
        }
    });
    Ok(response)
}
