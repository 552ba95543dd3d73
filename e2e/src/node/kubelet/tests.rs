//! The kubelet API over real TLS connections, as API servers of all ages use it.

use bytes::{Bytes, BytesMut};
use chassis::tls::{Authority, Profile, client_config, load_authorities, load_identity};
use futures::{SinkExt, StreamExt};
use http::{Request, Response, StatusCode, header};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, Full, StreamBody};
use hyper_util::rt::TokioIo;
use k8s_openapi::jiff::Timestamp;
use kube::Client;
use serde_json::json;
use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;
use tokio_util::codec::{FramedRead, FramedWrite};

use super::spdy::{Frame, FrameDecoder, FrameEncoder, Headers};
use super::{Kubelet, KubeletTls};
use crate::node::{NodeIdentity, Pods};

type Upgraded = TokioIo<hyper::upgrade::Upgraded>;

/// A kubelet with one running pod, `shop/web-0`, that an API server made of constants has told it about.
struct Node {
    dir: tempfile::TempDir,
    address: std::net::SocketAddr,
    _tasks: JoinSet<()>,
}

impl Node {
    async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let authority = Authority::generate("ca").unwrap();
        std::fs::write(dir.path().join("ca.crt"), authority.certificate()).unwrap();
        let issue = |name: &str, profile: Profile| {
            let pem = authority.issue(&profile).unwrap();
            std::fs::write(dir.path().join(format!("{name}.crt")), pem.certificate).unwrap();
            std::fs::write(dir.path().join(format!("{name}.key")), pem.key.as_str()).unwrap();
        };
        issue("kubelet", Profile::server("system:node:node-1", ["127.0.0.1"]));
        issue(
            "apiserver",
            Profile::client("kube-apiserver-kubelet-client", ["system:masters"]),
        );
        issue("stranger", Profile::client("stranger", ["visitors"]));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let nodes = [NodeIdentity {
            name: "node-1".to_string(),
            index: 1,
            address,
        }];
        let client = constant_api();
        let (recorder, _events) = client::Recorder::new(client.clone(), "kubelet");
        let pods = Pods::new(client, &nodes, recorder);
        let path = |name: &str| dir.path().join(name);
        let tls = KubeletTls {
            certificate: path("kubelet.crt"),
            key: path("kubelet.key"),
            client_ca: path("ca.crt"),
        };
        let kubelet = Kubelet::new("node-1", pods.clone(), &tls).unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(kubelet.serve(listener));
        let watched = pods.clone();
        tasks.spawn(async move { watched.run().await });
        while pods.on("node-1").is_empty() {
            tokio::task::yield_now().await;
        }
        Self {
            dir,
            address,
            _tasks: tasks,
        }
    }

    async fn request(&self, identity: Option<&str>, request: Request<Empty<Bytes>>) -> Response<hyper::body::Incoming> {
        chassis::tls::install_provider();
        let file = |name: String| -> PathBuf { self.dir.path().join(name) };
        let identity = identity.map(|name| {
            let (certificate, key) = (file(format!("{name}.crt")), file(format!("{name}.key")));
            load_identity(("certificate", &certificate), ("key", &key)).unwrap()
        });
        let authorities = load_authorities("ca", Path::new(&file("ca.crt".to_string()))).unwrap();
        let connector = TlsConnector::from(Arc::new(client_config(authorities, identity).unwrap()));
        let stream = TcpStream::connect(self.address).await.unwrap();
        let stream = connector
            .connect("127.0.0.1".try_into().unwrap(), stream)
            .await
            .unwrap();
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .unwrap();
        tokio::spawn(connection.with_upgrades());
        sender.send_request(request).await.unwrap()
    }

    async fn get(&self, path: &str) -> (StatusCode, String) {
        let request = Request::get(path)
            .header(header::HOST, "node")
            .body(Empty::new())
            .unwrap();
        let response = self.request(Some("apiserver"), request).await;
        let status = response.status();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    async fn upgrade(&self, path: &str, headers: &[(&str, &str)]) -> Upgraded {
        let mut request = Request::post(path)
            .header(header::HOST, "node")
            .header(header::CONNECTION, "Upgrade");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = self
            .request(Some("apiserver"), request.body(Empty::new()).unwrap())
            .await;
        assert_eq!(response.status(), StatusCode::SWITCHING_PROTOCOLS);
        TokioIo::new(hyper::upgrade::on(response).await.unwrap())
    }

    async fn websocket(&self, path: &str, protocol: &str) -> WebSocketStream<Upgraded> {
        let headers = [
            ("upgrade", "websocket"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
            ("sec-websocket-protocol", protocol),
        ];
        WebSocketStream::from_raw_socket(self.upgrade(path, &headers).await, Role::Client, None).await
    }

    async fn spdy(&self, path: &str, protocol: &str) -> Spdy<Upgraded> {
        Spdy::new(
            self.upgrade(
                path,
                &[("upgrade", "SPDY/3.1"), ("x-stream-protocol-version", protocol)],
            )
            .await,
        )
    }
}

/// Lists that never change.
fn constant_api() -> Client {
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "web-0", "namespace": "shop", "uid": "u1", "resourceVersion": "7"},
        "spec": {"nodeName": "node-1", "containers": [{"name": "web", "image": "nginx", "ports": [{"containerPort": 8080}],
            "env": [{"name": "COLOR", "value": "blue"}]}]},
        "status": {"phase": "Running", "podIP": "10.244.1.1", "startTime": Timestamp::now().to_string(),
            "containerStatuses": [{"name": "web", "image": "nginx", "imageID": "", "ready": true, "started": true,
                "restartCount": 0, "state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}}}]},
    });
    let service = tower::service_fn(move |request: Request<kube::client::Body>| {
        let items = if request.uri().path() == "/api/v1/pods" {
            json!([pod])
        } else {
            json!([])
        };
        let watch = request.uri().query().is_some_and(|query| query.contains("watch=true"));
        let body: UnsyncBoxBody<Bytes, Infallible> = if watch {
            StreamBody::new(futures::stream::pending::<Result<hyper::body::Frame<Bytes>, Infallible>>()).boxed_unsync()
        } else if request.method() == http::Method::GET {
            let list =
                json!({"apiVersion": "v1", "kind": "List", "metadata": {"resourceVersion": "9"}, "items": items});
            Full::new(Bytes::from(list.to_string())).boxed_unsync()
        } else {
            Full::new(Bytes::from(pod.to_string())).boxed_unsync()
        };
        std::future::ready(Ok::<_, Infallible>(Response::new(body)))
    });
    Client::new(service, "default")
}

/// The client's side of SPDY.
struct Spdy<T> {
    source: FramedRead<tokio::io::ReadHalf<T>, FrameDecoder>,
    sink: FramedWrite<tokio::io::WriteHalf<T>, FrameEncoder>,
}

impl<T: AsyncRead + AsyncWrite> Spdy<T> {
    fn new(io: T) -> Self {
        let (read, write) = tokio::io::split(io);
        Self {
            source: FramedRead::new(read, FrameDecoder::new()),
            sink: FramedWrite::new(write, FrameEncoder::new().unwrap()),
        }
    }

    async fn open(&mut self, stream: u32, headers: &[(&str, &str)]) {
        let headers: Headers = headers
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_string()))
            .collect();
        self.sink
            .send(Frame::SynStream {
                stream,
                fin: false,
                headers,
            })
            .await
            .unwrap();
    }

    async fn data(&mut self, stream: u32, text: &str, fin: bool) {
        self.sink
            .send(Frame::Data {
                stream,
                fin,
                data: Bytes::copy_from_slice(text.as_bytes()),
            })
            .await
            .unwrap();
    }

    /// Everything the server sends on a stream until it closes its half.
    async fn read(&mut self, wanted: u32) -> String {
        let mut all = BytesMut::new();
        loop {
            match self.source.next().await {
                Some(Ok(Frame::Data { stream, fin, data })) if stream == wanted => {
                    all.extend_from_slice(&data);
                    if fin {
                        return String::from_utf8(all.to_vec()).unwrap();
                    }
                }
                Some(Ok(_)) => {}
                other => panic!("the connection ended early: {other:?}"),
            }
        }
    }
}

#[tokio::test]
async fn plain_requests() {
    let node = Node::start().await;
    assert_eq!(node.get("/healthz").await, (StatusCode::OK, "ok".to_string()));
    let (_, pods) = node.get("/pods").await;
    assert!(pods.contains("\"web-0\""), "{pods}");
    let (status, summary) = node.get("/stats/summary").await;
    assert!(
        status == StatusCode::OK && summary.contains("\"nodeName\":\"node-1\""),
        "{summary}"
    );
    for (path, series) in [
        ("/metrics", "kubelet_running_pods 1"),
        ("/metrics/cadvisor", "machine_cpu_cores 16"),
        (
            "/metrics/resource",
            "pod_memory_working_set_bytes{namespace=\"shop\",pod=\"web-0\"} 0",
        ),
        ("/metrics/probes", "# TYPE prober_probe_total counter"),
    ] {
        let (status, text) = node.get(path).await;
        assert!(
            status == StatusCode::OK && text.lines().any(|line| line == series),
            "{path}: {text}"
        );
    }
    let (_, log) = node.get("/containerLogs/shop/web-0/web?tailLines=2").await;
    assert_eq!(
        log.lines().filter(|line| line.starts_with("heartbeat")).count(),
        2,
        "{log}"
    );
    for (path, status) in [
        ("/containerLogs/shop/nobody/web", StatusCode::NOT_FOUND),
        ("/containerLogs/shop/web-0/nobody", StatusCode::BAD_REQUEST),
        ("/containerLogs/shop/web-0/web?tailLines=x", StatusCode::BAD_REQUEST),
        ("/containerLogs/shop/web-0/web?previous=true", StatusCode::BAD_REQUEST),
        ("/exec/shop/web-0/web?command=ls&output=1", StatusCode::BAD_REQUEST),
        ("/nothing", StatusCode::NOT_FOUND),
    ] {
        assert_eq!(node.get(path).await.0, status, "{path}");
    }
}

#[tokio::test]
async fn only_the_api_server_is_let_in() {
    let node = Node::start().await;
    let request = || {
        Request::get("/pods")
            .header(header::HOST, "node")
            .body(Empty::new())
            .unwrap()
    };
    assert_eq!(node.request(None, request()).await.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(
        node.request(Some("stranger"), request()).await.status(),
        StatusCode::FORBIDDEN
    );
}

#[tokio::test]
async fn exec_over_spdy() {
    let node = Node::start().await;
    let path =
        "/exec/shop/web-0/web?input=1&output=1&error=1&command=sh&command=-c&command=cat%3B+echo+%24COLOR%3B+exit+3";
    let mut spdy = node.spdy(path, "v4.channel.k8s.io").await;
    for (stream, kind) in [(1, "error"), (3, "stdin"), (5, "stdout"), (7, "stderr")] {
        spdy.open(stream, &[("streamType", kind)]).await;
    }
    spdy.data(3, "typed\n", true).await;
    assert_eq!(spdy.read(5).await, "typed\nblue\n");
    let status: serde_json::Value = serde_json::from_str(&spdy.read(1).await).unwrap();
    assert_eq!(
        status["details"]["causes"][0],
        json!({"reason": "ExitCode", "message": "3"})
    );
}

#[tokio::test]
async fn exec_over_websocket() {
    let node = Node::start().await;
    let path = "/exec/shop/web-0/web?input=1&output=1&error=1&command=cat";
    let mut socket = node.websocket(path, "v5.channel.k8s.io").await;
    socket
        .send(Message::Binary(Bytes::from_static(b"\x00typed\n")))
        .await
        .unwrap();
    socket
        .send(Message::Binary(Bytes::from_static(b"\xff\x00")))
        .await
        .unwrap();
    let mut channels = std::collections::BTreeMap::<u8, Vec<u8>>::new();
    let mut end = None;
    while let Some(Ok(message)) = socket.next().await {
        match message {
            Message::Binary(data) => channels.entry(data[0]).or_default().extend(&data[1..]),
            Message::Close(frame) => end = frame.map(|frame| u16::from(frame.code)),
            _ => {}
        }
    }
    assert_eq!(end, Some(1000), "kubectl calls everything else an error");
    assert_eq!(channels[&1], b"typed\n");
    let status: serde_json::Value = serde_json::from_slice(&channels[&3]).unwrap();
    assert_eq!(status["status"], "Success");
}

#[tokio::test]
async fn attach_shows_what_comes() {
    let node = Node::start().await;
    let mut socket = node
        .websocket("/attach/shop/web-0/web?output=1", "v4.channel.k8s.io")
        .await;
    let mut seen = Vec::new();
    while !String::from_utf8_lossy(&seen).contains("heartbeat") {
        if let Some(Ok(Message::Binary(data))) = socket.next().await {
            seen.extend(&data[1..]);
        }
    }
}

/// Forwards one request to a declared port and one to a port nobody listens on.
async fn forward<T: AsyncRead + AsyncWrite>(mut spdy: Spdy<T>) {
    let pair = |id: &'static str, port: &'static str, kind: &'static str| {
        [("streamType", kind), ("port", port), ("requestID", id)]
    };
    spdy.open(1, &pair("0", "8080", "error")).await;
    spdy.open(3, &pair("0", "8080", "data")).await;
    spdy.data(3, "GET /hello HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", false)
        .await;
    let answer = spdy.read(3).await;
    assert!(
        answer.starts_with("HTTP/1.1 200 OK") && answer.contains("GET /hello"),
        "{answer}"
    );
    spdy.open(5, &pair("1", "9", "error")).await;
    spdy.open(7, &pair("1", "9", "data")).await;
    let error = spdy.read(5).await;
    assert!(error.contains("error forwarding port 9 to pod web-0"), "{error}");
}

#[tokio::test]
async fn port_forward_over_spdy() {
    let node = Node::start().await;
    forward(node.spdy("/portForward/shop/web-0", "portforward.k8s.io").await).await;
}

#[tokio::test]
async fn port_forward_over_tunnelled_spdy() {
    let node = Node::start().await;
    let socket = node
        .websocket("/portForward/shop/web-0", "SPDY/3.1+portforward.k8s.io")
        .await;
    let (near, far) = tokio::io::duplex(4096);
    let (mut sink, mut source) = socket.split();
    let (mut read, mut write) = tokio::io::split(near);
    let mut pumps = JoinSet::new();
    pumps.spawn(async move {
        let mut buffer = BytesMut::new();
        while let Ok(1..) = read.read_buf(&mut buffer).await {
            sink.send(Message::Binary(buffer.split().freeze())).await.unwrap();
        }
    });
    pumps.spawn(async move {
        while let Some(Ok(Message::Binary(data))) = source.next().await {
            write.write_all(&data).await.unwrap();
        }
    });
    forward(Spdy::new(far)).await;
}

#[tokio::test]
async fn port_forward_over_websocket_channels() {
    let node = Node::start().await;
    let mut socket = node
        .websocket("/portForward/shop/web-0?port=8080", "v4.channel.k8s.io")
        .await;
    for channel in [0u8, 1] {
        let first = socket.next().await.unwrap().unwrap().into_data();
        assert_eq!(first.as_ref(), [channel, 0x90, 0x1f]);
    }
    let request = b"\x00GET /hello HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    socket.send(Message::Binary(Bytes::from_static(request))).await.unwrap();
    let answer = socket.next().await.unwrap().unwrap().into_data();
    assert!(answer.starts_with(b"\x00HTTP/1.1 200 OK"), "{answer:?}");
}
