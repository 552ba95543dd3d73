//! Forwarding to name servers on loopback.

use super::handler::{Forward, Policy, Settings};
use super::upstream::{HealthCheck, Upstream};
use crate::request::{Handler, Next, Outcome, Request, Transport, record};
use crate::router::Router;
use crate::testing::{corefile_error, shared, shown};
use hickory_proto::op::{Edns, Message, MessageType, Query, ResponseCode};
use hickory_proto::rr::rdata::A;
use hickory_proto::rr::{Name, RData, RecordType};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};
use tokio::task::AbortHandle;

/// A name server that answers every A query: cut over UDP if told to, whole over TCP.
struct Server {
    address: SocketAddr,
    tasks: [AbortHandle; 2],
}

impl Drop for Server {
    fn drop(&mut self) {
        self.tasks.iter().for_each(AbortHandle::abort);
    }
}

fn reply(bytes: &[u8], last: u8, cut: bool) -> Vec<u8> {
    let query = Message::from_vec(bytes).unwrap();
    let mut reply = query.clone();
    reply.metadata.message_type = MessageType::Response;
    reply.metadata.truncation = cut;
    if !cut {
        reply.answers = vec![record(
            query.queries[0].name.clone(),
            60,
            RData::A(A::new(192, 0, 2, last)),
        )];
    }
    reply.to_vec().unwrap()
}

/// Sockets on a port that is free for both protocols: that of the one may be taken on the other.
async fn sockets() -> (UdpSocket, TcpListener) {
    loop {
        let udp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        match TcpListener::bind(udp.local_addr().unwrap()).await {
            Ok(tcp) => return (udp, tcp),
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::AddrInUse),
        }
    }
}

async fn server(last: u8, cut: bool) -> Server {
    let (udp, tcp) = sockets().await;
    let address = udp.local_addr().unwrap();
    let over_udp = tokio::spawn(async move {
        let mut buffer = [0; 1500];
        loop {
            let (length, peer) = udp.recv_from(&mut buffer).await.unwrap();
            // Something that is no answer comes first; it must be passed over.
            udp.send_to(b"nonsense", peer).await.unwrap();
            udp.send_to(&reply(&buffer[..length], last, cut), peer).await.unwrap();
        }
    });
    let over_tcp = tokio::spawn(async move {
        loop {
            let (mut stream, _) = tcp.accept().await.unwrap();
            let mut query = vec![0; usize::from(stream.read_u16().await.unwrap())];
            stream.read_exact(&mut query).await.unwrap();
            let reply = reply(&query, last, false);
            stream.write_u16(reply.len() as u16).await.unwrap();
            stream.write_all(&reply).await.unwrap();
        }
    });
    Server {
        address,
        tasks: [over_udp.abort_handle(), over_tcp.abort_handle()],
    }
}

/// An address nobody listens on.
async fn nobody() -> SocketAddr {
    UdpSocket::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

fn settings(upstreams: &[SocketAddr]) -> Settings {
    Settings {
        from: vec![Name::root()],
        upstreams: upstreams
            .iter()
            .map(|address| Arc::new(Upstream::new(*address)))
            .collect(),
        except: vec![Name::from_ascii("except.example.").unwrap()],
        policy: Policy::Sequential,
        force_tcp: false,
        prefer_udp: false,
        max_fails: 2,
        max_concurrent: None,
        fail_fast: false,
        check: HealthCheck {
            interval: Duration::from_millis(5),
            recursion_desired: true,
            domain: Name::root(),
        },
    }
}

fn request(name: &str, transport: Transport) -> Request {
    let question = Query::query(Name::from_ascii(name).unwrap(), RecordType::A);
    let mut message = Message::query();
    message.queries = vec![question.clone()];
    message.edns = Some(Edns::new());
    let (peer, router) = ("10.0.0.9:53".parse().unwrap(), Arc::new(Router::new(Vec::new())));
    Request {
        message,
        question,
        peer,
        transport,
        size: 0,
        zone: Name::root(),
        router,
        depth: 0,
    }
}

async fn ask(settings: Settings, request: Request) -> (Arc<Forward>, Outcome) {
    let shared = shared();
    let forward = Arc::new(Forward::new(settings, shared.metrics, shared.tasks));
    let outcome = forward.serve(&request, Next(&[])).await;
    if let Ok(answer) = &outcome {
        assert_eq!(answer.message.metadata.id, request.message.metadata.id);
    }
    (forward, outcome)
}

fn text(outcome: &Outcome) -> String {
    match outcome {
        Ok(answer) => shown(&answer.message),
        Err(failure) => format!("{} {failure}", failure.code),
    }
}

#[tokio::test]
async fn queries_go_on_over_the_protocol_they_came_by() {
    let server = server(1, true).await;
    let (_, outcome) = ask(settings(&[server.address]), request("a.example.", Transport::Udp)).await;
    assert!(
        outcome.unwrap().message.metadata.truncation,
        "the client comes back over TCP"
    );
    let whole = "NOERROR; an: a.example. 60 IN A 192.0.2.1";
    let (_, outcome) = ask(settings(&[server.address]), request("a.example.", Transport::Tcp)).await;
    assert_eq!(text(&outcome), whole);
    let prefer = Settings {
        prefer_udp: true,
        ..settings(&[server.address])
    };
    assert_eq!(text(&ask(prefer, request("a.example.", Transport::Udp)).await.1), whole);
    let force = Settings {
        force_tcp: true,
        ..settings(&[server.address])
    };
    assert_eq!(text(&ask(force, request("a.example.", Transport::Udp)).await.1), whole);
}

#[tokio::test]
async fn the_next_upstream_answers_for_one_that_does_not() {
    let server = server(2, false).await;
    let settings = settings(&[nobody().await, server.address]);
    let dead = settings.upstreams[0].clone();
    let (forward, outcome) = ask(settings, request("a.example.", Transport::Udp)).await;
    assert_eq!(text(&outcome), "NOERROR; an: a.example. 60 IN A 192.0.2.2");
    let down = async {
        while !dead.is_down(2) {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), down)
        .await
        .expect("health checks find it down");
    forward.stop_token().cancel();
}

#[tokio::test]
async fn when_nobody_answers_the_query_fails() {
    let fail_fast = Settings {
        fail_fast: true,
        ..settings(&[nobody().await])
    };
    let (forward, outcome) = ask(fail_fast, request("a.example.", Transport::Udp)).await;
    assert_eq!(outcome.unwrap_err().code, ResponseCode::ServFail);
    forward.stop_token().cancel();
}

#[tokio::test]
async fn exceptions_and_limits_are_kept() {
    let (_, outcome) = ask(
        settings(&[nobody().await]),
        request("a.except.example.", Transport::Udp),
    )
    .await;
    assert_eq!(outcome.unwrap_err().plugin, "", "handed on, and nobody is there");
    let full = Settings {
        max_concurrent: Some(0),
        ..settings(&[nobody().await])
    };
    let (_, outcome) = ask(full, request("a.example.", Transport::Udp)).await;
    assert_eq!(outcome.unwrap_err().code, ResponseCode::Refused);
}

#[test]
fn mistakes_name_the_line() {
    for (line, expected) in [
        (
            "forward .",
            "Corefile:2: forward must have the form: forward FROM TO...",
        ),
        (
            "forward . tls://9.9.9.9",
            "Corefile:2: forward does not support tls upstreams, only dns",
        ),
        (
            "forward . /does/not/exist",
            "Corefile:2: the upstream \"/does/not/exist\" is neither an address nor a readable file such as /etc/resolv.conf",
        ),
        (
            "forward . 9.9.9.9 {\n policy best\n }",
            "Corefile:3: policy must have the form: policy random|round_robin|sequential",
        ),
        (
            "forward . 9.9.9.9 {\n max_fails many\n }",
            "Corefile:3: \"many\" is not a number",
        ),
        (
            "forward . 9.9.9.9 {\n nonsense\n }",
            "Corefile:3: forward has no property \"nonsense\"",
        ),
        ("forward . 9.9.9.9:53 [::1]:53 ::1 dns://1.1.1.1", "no error"),
    ] {
        assert_eq!(corefile_error(&format!(".:53 {{\n {line}\n}}")), expected, "{line}");
    }
}
