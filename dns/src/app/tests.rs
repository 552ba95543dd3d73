//! The whole service on loopback, with a record stream that comes and goes.

use super::{Loader, build};
use crate::config::Listen;
use crate::instance::Instance;
use crate::options::Options;
use crate::testing::{address, namespace, port, service, shared, shown};
use chassis::{BindAddress, Chassis, CommonOptions, GrpcServices, Health, Listener, Tasks};
use clap::Parser;
use hickory_proto::op::{Edns, Message, OpCode, Query, ResponseCode};
use hickory_proto::rr::{Name, RecordType};
use proto::vcluster::dns::v1 as wire;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::pin::Pin;
use std::str::FromStr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::sync::broadcast;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::BroadcastStream;
use wire::records_server::{Records, RecordsServer};
use wire::watch_response::Event;

/// How long to wait for what must happen.
const PATIENCE: Duration = Duration::from_secs(20);

const COREFILE: &str = ".:53 {
    errors
    health 127.0.0.1:0
    ready 127.0.0.1:0
    prometheus 127.0.0.1:0
    kubernetes cluster.local in-addr.arpa ip6.arpa {
        pods insecure
        fallthrough in-addr.arpa ip6.arpa
    }
    loop
    reload
    loadbalance
}
";

/// A record stream with a fixed snapshot and changes on demand.
struct Source {
    snapshot: Vec<Event>,
    changes: broadcast::Sender<Event>,
    shutdown: chassis::CancellationToken,
}

#[tonic::async_trait]
impl Records for Source {
    type WatchStream = Pin<Box<dyn futures::Stream<Item = Result<wire::WatchResponse, tonic::Status>> + Send>>;

    async fn watch(
        &self,
        _: tonic::Request<wire::WatchRequest>,
    ) -> Result<tonic::Response<Self::WatchStream>, tonic::Status> {
        let changes = BroadcastStream::new(self.changes.subscribe()).map_while(Result::ok);
        let changes = futures::StreamExt::take_until(changes, self.shutdown.clone().cancelled_owned());
        let mut first = self.snapshot.clone();
        first.push(Event::Synced(wire::Synced {}));
        let events = tokio_stream::iter(first).chain(changes);
        Ok(tonic::Response::new(Box::pin(
            events.map(|event| Ok(wire::WatchResponse { event: Some(event) })),
        )))
    }
}

/// Serves a source on a unix socket until the tasks are drained.
async fn serve(path: &Path, snapshot: Vec<Event>) -> (Tasks, broadcast::Sender<Event>) {
    let tasks = Tasks::new(Health::default(), chassis::CancellationToken::new());
    let (changes, _) = broadcast::channel(16);
    let listener = Listener::bind(&BindAddress::Unix(path.to_owned())).await.unwrap();
    let mut services = GrpcServices::default();
    let source = Source {
        snapshot,
        changes: changes.clone(),
        shutdown: tasks.shutdown(),
    };
    services.add(RecordsServer::new(source));
    services
        .serve(&tasks, "records", listener, &Health::default())
        .await
        .unwrap();
    (tasks, changes)
}

fn query(question: &str) -> Message {
    let (name, kind) = question.split_once(' ').unwrap();
    let mut message = Message::query();
    message.metadata.recursion_desired = true;
    message.queries = vec![Query::query(
        Name::from_ascii(name).unwrap(),
        RecordType::from_str(kind).unwrap(),
    )];
    message
}

async fn exchange(server: SocketAddr, bytes: &[u8]) -> Message {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.connect(server).await.unwrap();
    socket.send(bytes).await.unwrap();
    let mut buffer = vec![0; 65_535];
    let length = tokio::time::timeout(PATIENCE, socket.recv(&mut buffer))
        .await
        .unwrap()
        .unwrap();
    Message::from_vec(&buffer[..length]).unwrap()
}

async fn ask(server: SocketAddr, question: &str) -> String {
    let query = query(question);
    let answer = exchange(server, &query.to_vec().unwrap()).await;
    assert_eq!(answer.metadata.id, query.metadata.id);
    assert_eq!(answer.queries, query.queries);
    shown(&answer)
}

/// Asks until the answer is the expected one.
async fn becomes(server: SocketAddr, question: &str, expected: &str) {
    let asking = async {
        while ask(server, question).await != expected {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    assert!(
        tokio::time::timeout(PATIENCE, asking).await.is_ok(),
        "{question} does not become {expected}"
    );
}

async fn over_tcp(server: SocketAddr, questions: &[Message]) -> Vec<Message> {
    let mut stream = TcpStream::connect(server).await.unwrap();
    for question in questions {
        let bytes = question.to_vec().unwrap();
        stream.write_u16(bytes.len() as u16).await.unwrap();
        stream.write_all(&bytes).await.unwrap();
    }
    let mut answers = Vec::new();
    for _ in questions {
        let mut bytes = vec![0; usize::from(stream.read_u16().await.unwrap())];
        stream.read_exact(&mut bytes).await.unwrap();
        answers.push(Message::from_vec(&bytes).unwrap());
    }
    answers
}

async fn http(server: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(server).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let status = answer.split(' ').nth(1).unwrap().to_owned();
    format!("{status} {}", answer.split_once("\r\n\r\n").unwrap().1)
}

fn options(directory: &Path, corefile: &str) -> Options {
    let conf = directory.join("Corefile");
    std::fs::write(&conf, corefile).unwrap();
    let records = format!("unix://{}", directory.join("records.sock").display());
    let mut options = Options::parse_from([
        "dns",
        "--dns-port=0",
        "--bind-address=127.0.0.1",
        &format!("--conf={}", conf.display()),
        &format!("--records-endpoint={records}"),
    ]);
    options.common = CommonOptions::quiet();
    options
}

fn one_service(ip: &str) -> Vec<Event> {
    vec![
        namespace("a"),
        service("a/s", &[ip], vec![port("http", "TCP", 80)], vec![]),
    ]
}

#[tokio::test]
async fn the_last_good_records_answer_while_the_stream_is_away() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("records.sock");
    let mut chassis = Chassis::start(&CommonOptions::quiet()).await.unwrap();
    build(options(directory.path(), COREFILE), &mut chassis).await.unwrap();
    chassis.serve().await.unwrap();
    let [dns, ready, health, prometheus] =
        ["dns", "ready", "health", "prometheus"].map(|name| chassis.addresses().tcp(name).unwrap());

    // Nothing is known yet.
    assert_eq!(http(ready, "/ready").await, "503 kubernetes");
    assert_eq!(http(health, "/health").await, "200 OK");
    assert_eq!(http(health, "/other").await, "404 404 page not found\n");
    assert!(!chassis.health().is_ready());
    assert!(ask(dns, "s.a.svc.cluster.local. A").await.starts_with("SERVFAIL"));

    let (source, changes) = serve(&socket, one_service("10.0.0.1")).await;
    tokio::time::timeout(PATIENCE, chassis.health().wait_ready())
        .await
        .unwrap();
    assert_eq!(http(ready, "/ready").await, "200 OK");
    let answer = |ip: &str| format!("NOERROR aa; an: s.a.svc.cluster.local. 5 IN A {ip}");
    assert_eq!(ask(dns, "s.a.svc.cluster.local. A").await, answer("10.0.0.1"));
    changes
        .send(service("a/s", &["10.0.0.2"], vec![port("http", "TCP", 80)], vec![]))
        .unwrap();
    becomes(dns, "s.a.svc.cluster.local. A", &answer("10.0.0.2")).await;
    let gone = wire::Removed {
        kind: wire::RecordKind::Service.into(),
        namespace: "a".into(),
        name: "s".into(),
    };
    changes
        .send(service("a/t", &["10.0.0.3"], vec![port("http", "TCP", 80)], vec![]))
        .unwrap();
    changes.send(Event::Removed(gone)).unwrap();
    let asking = async {
        while !ask(dns, "s.a.svc.cluster.local. A").await.starts_with("NXDOMAIN") {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, asking).await.unwrap();

    source.drain(Duration::from_secs(5)).await.unwrap();
    assert!(ask(dns, "t.a.svc.cluster.local. A").await.contains("10.0.0.3"));
    assert!(
        chassis.health().is_ready(),
        "a stream that is away is no reason to stop answering"
    );
    let (source, _changes) = serve(&socket, one_service("10.0.0.4")).await;
    becomes(dns, "s.a.svc.cluster.local. A", &answer("10.0.0.4")).await;
    assert!(
        ask(dns, "t.a.svc.cluster.local. A").await.starts_with("NXDOMAIN"),
        "what the snapshot lacks is gone"
    );

    let metrics = http(prometheus, "/metrics").await;
    for sample in [
        "coredns_dns_requests_total{server=\"dns://:0\",zone=\".\",view=\"\",proto=\"udp\",family=\"1\",type=\"A\"}",
        "coredns_dns_responses_total{server=\"dns://:0\",zone=\".\",view=\"\",rcode=\"NXDOMAIN\",plugin=\"kubernetes\"}",
        "coredns_plugin_enabled{server=\"dns://:0\",zone=\".\",view=\"\",name=\"kubernetes\"} 1",
        "dns_records 2",
    ] {
        assert!(metrics.contains(sample), "{sample} is missing in {metrics}");
    }
    source.drain(Duration::from_secs(5)).await.unwrap();
    chassis.drain().await.unwrap();
}

#[tokio::test]
async fn the_wire_is_served_by_the_book() {
    let directory = tempfile::tempdir().unwrap();
    let addresses = (0..100).map(|n| address(&format!("172.0.0.{n}"), "", "")).collect();
    let mut records = one_service("10.0.0.1");
    records.push(service("a/many", &[], vec![port("http", "TCP", 80)], addresses));
    let (source, _changes) = serve(&directory.path().join("records.sock"), records).await;
    let mut chassis = Chassis::start(&CommonOptions::quiet()).await.unwrap();
    build(options(directory.path(), COREFILE), &mut chassis).await.unwrap();
    chassis.serve().await.unwrap();
    chassis.health().wait_ready().await;
    let dns = chassis.addresses().tcp("dns").unwrap();

    // UDP without EDNS holds 512 bytes, and says that there is more.
    let many = query("many.a.svc.cluster.local. A");
    let cut = exchange(dns, &many.to_vec().unwrap()).await;
    assert!(cut.metadata.truncation && cut.edns.is_none());
    assert!(!cut.answers.is_empty() && cut.to_vec().unwrap().len() <= 512);
    let mut edns = Edns::new();
    edns.set_max_payload(4096);
    let mut with_edns = many.clone();
    with_edns.edns = Some(edns);
    let whole = exchange(dns, &with_edns.to_vec().unwrap()).await;
    assert_eq!((whole.answers.len(), whole.metadata.truncation), (100, false));
    assert_eq!(whole.edns.map(|edns| edns.max_payload()), Some(4096));

    // TCP holds everything, and takes several queries at once.
    let questions = [
        many.clone(),
        query("s.a.svc.cluster.local. A"),
        query("1.0.0.10.in-addr.arpa. PTR"),
    ];
    let answers = over_tcp(dns, &questions).await;
    for question in &questions {
        let answer = answers
            .iter()
            .find(|answer| answer.metadata.id == question.metadata.id)
            .unwrap();
        assert_eq!(
            answer.answers.len(),
            if question.queries == many.queries { 100 } else { 1 }
        );
    }

    // What is not a query is told so, or not answered at all.
    let mut update = query("a. A");
    update.metadata.op_code = OpCode::Update;
    assert_eq!(
        exchange(dns, &update.to_vec().unwrap()).await.metadata.response_code,
        ResponseCode::NotImp
    );
    let mut two = query("a. A");
    two.queries.push(two.queries[0].clone());
    assert_eq!(
        exchange(dns, &two.to_vec().unwrap()).await.metadata.response_code,
        ResponseCode::FormErr
    );
    let mut newer = query("a. A");
    let mut edns = Edns::new();
    edns.set_version(1);
    newer.edns = Some(edns);
    let refused = exchange(dns, &newer.to_vec().unwrap()).await;
    // BADVERS and BADSIG are the same number; what it means depends on the record it comes with.
    assert_eq!(u16::from(refused.metadata.response_code), 16);
    assert_eq!(refused.edns.map(|edns| edns.version()), Some(0));
    let half = &many.to_vec().unwrap()[..20];
    assert_eq!(exchange(dns, half).await.metadata.response_code, ResponseCode::FormErr);

    source.drain(Duration::from_secs(5)).await.unwrap();
    chassis.drain().await.unwrap();
}

#[tokio::test]
async fn a_changed_corefile_is_used_and_a_wrong_one_is_not() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("Corefile");
    let answer = |ip: &str| {
        format!(".:53 {{\n template IN A {{\n answer \"{{{{ .Name }}}} 60 IN A {ip}\"\n }}\n health 127.0.0.1:0\n}}\n")
    };
    std::fs::write(&file, answer("192.0.2.1")).unwrap();
    let chassis = Chassis::start(&CommonOptions::quiet()).await.unwrap();
    let listen = Listen {
        address: IpAddr::V4(Ipv4Addr::LOCALHOST),
        port: Some(0),
    };
    let shared = crate::plugins::Shared {
        tasks: chassis.tasks().clone(),
        ..shared()
    };
    let mut loader = Loader {
        file: file.clone(),
        listen,
        shared,
        blocks: Vec::new(),
    };
    let mut instance = Instance::new(chassis.tasks(), chassis.addresses(), chassis.metrics());
    loader.load(&mut instance).await.unwrap();
    let [dns, health] = ["dns", "health"].map(|name| chassis.addresses().tcp(name).unwrap());
    assert_eq!(
        ask(dns, "a.example. A").await,
        "NOERROR aa; an: a.example. 60 IN A 192.0.2.1"
    );

    std::fs::write(&file, answer("192.0.2.2")).unwrap();
    loader.load(&mut instance).await.unwrap();
    assert_eq!(
        ask(dns, "a.example. A").await,
        "NOERROR aa; an: a.example. 60 IN A 192.0.2.2",
        "on the same socket"
    );
    assert_eq!(http(health, "/health").await, "200 OK");

    std::fs::write(&file, ".:53 {\n nonsense\n}\n").unwrap();
    let error = loader.load(&mut instance).await.unwrap_err().to_string();
    assert!(
        error.ends_with(
            "Corefile:2: there is no plugin \"nonsense\", only reload, bind, ready, health, prometheus, \
        errors, log, loadbalance, cache, rewrite, template, hosts, kubernetes, loop, forward"
        ),
        "{error}"
    );
    assert_eq!(
        ask(dns, "a.example. A").await,
        "NOERROR aa; an: a.example. 60 IN A 192.0.2.2"
    );

    std::fs::write(
        &file,
        ".:53 {\n template IN A {\n answer \"{{ .Name }} 60 IN A 192.0.2.3\"\n }\n}\n",
    )
    .unwrap();
    loader.load(&mut instance).await.unwrap();
    let gone = async {
        while TcpStream::connect(health).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, gone)
        .await
        .expect("an endpoint that is no longer asked for goes away");
    chassis.drain().await.unwrap();
}

#[tokio::test]
async fn what_cannot_be_used_is_said_in_one_sentence() {
    let directory = tempfile::tempdir().unwrap();
    for (corefile, expected) in [
        ("", "Corefile: there is no server block in it"),
        (".:53 {\n cache x y z\n", "Corefile:2: the file ends before the {"),
        (
            "tls://.:53 {\n errors\n}\n",
            "Corefile:1: the address \"tls://.:53\" asks for tls; only dns is served",
        ),
        (
            ".:53 . {\n errors\n}\n",
            "Corefile:1: the zone . is served on 127.0.0.1:0 already",
        ),
        (
            ".:53 {\n health nowhere\n}\n",
            "Corefile:2: \"nowhere\" is not an address such as :8080 or 127.0.0.1:8080",
        ),
    ] {
        let mut chassis = Chassis::start(&CommonOptions::quiet()).await.unwrap();
        let error = format!(
            "{:#}",
            build(options(directory.path(), corefile), &mut chassis)
                .await
                .unwrap_err()
        );
        assert!(error.contains(expected), "{error}");
        chassis.drain().await.unwrap();
    }
    let mut chassis = Chassis::start(&CommonOptions::quiet()).await.unwrap();
    let mut options = options(directory.path(), COREFILE);
    options.records_endpoint = Some("nowhere".to_owned());
    let error = build(options, &mut chassis).await.unwrap_err().to_string();
    assert_eq!(
        error,
        "--records-endpoint: \"nowhere\" is neither http://HOST:PORT nor unix:///path"
    );
    chassis.drain().await.unwrap();
}
