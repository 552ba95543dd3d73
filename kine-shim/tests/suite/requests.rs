//! Requests nobody meant to send: random and damaged messages to every method of a running service. Each call ends with a
//! gRPC status, nothing panics, memory stays bounded, and the service goes on.

use std::{collections::BTreeMap, time::Duration};

use bytes::{Buf, BufMut, Bytes};
use prost::Message;
use prost_types::FileDescriptorSet;
use proto::etcdserverpb::{
    AlarmRequest, AlarmType, CompactionRequest, Compare, DeleteRangeRequest, HashKvRequest, LeaseGrantRequest,
    LeaseKeepAliveRequest, LeaseRevokeRequest, LeaseTimeToLiveRequest, MemberAddRequest, PutRequest, RangeRequest,
    RequestOp, TxnRequest, WatchCreateRequest, WatchRequest, alarm_request::AlarmAction, compare::TargetUnion,
    request_op::Request, watch_request::RequestUnion,
};
use tonic::{
    Status,
    client::Grpc,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
    codegen::http::uri::PathAndQuery,
    transport::Channel,
};

use crate::{
    databases::Database,
    random::{Random, rounds},
    support::{PATIENCE, Server, bytes},
};

/// Calls of one test, and how many of them are under way at the same time.
const CALLS: (usize, usize) = (3_000, 300_000);
const CONCURRENT: usize = 16;
/// How long an answer is waited for on streams that stay open until the client closes them.
const GLANCE: Duration = Duration::from_millis(20);

/// Sends and takes messages as they are.
#[derive(Debug, Clone, Copy)]
struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        *self
    }

    fn decoder(&mut self) -> Self {
        *self
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, target: &mut EncodeBuf<'_>) -> Result<(), Status> {
        target.put(item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, source: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(source.copy_to_bytes(source.remaining())))
    }
}

/// Paths of all methods, and whether the server may keep the stream open.
fn methods() -> Vec<(PathAndQuery, bool)> {
    let set = FileDescriptorSet::decode(proto::FILE_DESCRIPTOR_SET).expect("descriptors");
    let mut methods = BTreeMap::new();
    for file in set.file.iter().filter(|file| file.package() == "etcdserverpb") {
        for service in &file.service {
            for method in &service.method {
                let path = format!("/{}.{}/{}", file.package(), service.name(), method.name());
                methods.insert(path, method.server_streaming());
            }
        }
    }
    assert!(methods.len() > 40, "{methods:?}");
    let path = |path: String| path.parse().expect("path");
    methods
        .into_iter()
        .map(|(method, streams)| (path(method), streams))
        .collect()
}

/// Requests as they are meant to be, to be damaged.
fn meant() -> Vec<Bytes> {
    let put = PutRequest {
        key: bytes("a"),
        value: bytes("1"),
        lease: 7,
        prev_kv: true,
        ..Default::default()
    };
    let range = RangeRequest {
        key: bytes("a"),
        range_end: bytes("z"),
        limit: 3,
        revision: 2,
        min_mod_revision: 1,
        ..Default::default()
    };
    let delete = DeleteRangeRequest {
        key: bytes("a"),
        range_end: bytes("b"),
        prev_kv: true,
    };
    let op = |request: Request| RequestOp { request: Some(request) };
    let txn = TxnRequest {
        compare: vec![Compare {
            key: bytes("a"),
            range_end: bytes("b"),
            target_union: Some(TargetUnion::Value(bytes("1"))),
            ..Default::default()
        }],
        success: vec![
            op(Request::RequestPut(put.clone())),
            op(Request::RequestRange(range.clone())),
        ],
        failure: vec![op(Request::RequestTxn(TxnRequest {
            success: vec![op(Request::RequestDeleteRange(delete.clone()))],
            ..Default::default()
        }))],
    };
    let watch = |request: RequestUnion| WatchRequest {
        request_union: Some(request),
    };
    let create = WatchCreateRequest {
        key: bytes("a"),
        range_end: bytes("b"),
        start_revision: 2,
        progress_notify: true,
        fragment: true,
        ..Default::default()
    };
    let messages: [&dyn Encoded; 14] = [
        &put,
        &range,
        &delete,
        &txn,
        &CompactionRequest {
            revision: 2,
            physical: true,
        },
        &watch(RequestUnion::CreateRequest(create)),
        &watch(RequestUnion::CancelRequest(Default::default())),
        &watch(RequestUnion::ProgressRequest(Default::default())),
        &LeaseGrantRequest { ttl: 5, id: 7 },
        &LeaseRevokeRequest { id: 7 },
        &LeaseKeepAliveRequest { id: 7 },
        &LeaseTimeToLiveRequest { id: 7, keys: true },
        &HashKvRequest { revision: 2 },
        &MemberAddRequest {
            peer_ur_ls: vec!["http://127.0.0.1:1".into()],
            is_learner: true,
        },
    ];
    messages.iter().map(|message| message.bytes()).collect()
}

/// A message of any type.
trait Encoded {
    fn bytes(&self) -> Bytes;
}

impl<M: Message> Encoded for M {
    fn bytes(&self) -> Bytes {
        self.encode_to_vec().into()
    }
}

/// Fields as protobuf writes them, with numbers, lengths and nesting at random.
fn fields(random: &mut Random, depth: usize) -> Vec<u8> {
    const NUMBERS: [u64; 10] = [0, 1, 2, 3, 7, 127, 1 << 31, 1 << 32, 1 << 63, u64::MAX];
    let mut message = Vec::new();
    for _ in 0..random.below(6) {
        let field = random.below(16) as u64 + 1;
        match random.below(6) {
            0 | 1 => {
                prost::encoding::encode_varint(field << 3, &mut message);
                prost::encoding::encode_varint(*random.pick(&NUMBERS), &mut message);
            }
            2 => {
                prost::encoding::encode_varint(field << 3 | 5, &mut message);
                message.put_u32_le(random.next() as u32);
            }
            kind => {
                let content = match kind {
                    3 if depth > 0 => fields(random, depth - 1),
                    4 => vec![random.next() as u8; random.below(300)],
                    _ => random.pick(&["a", "b", "\0", "z", ""]).as_bytes().to_vec(),
                };
                prost::encoding::encode_varint(field << 3 | 2, &mut message);
                // Now and then a length that is not there.
                let lie = if random.once_in(40) {
                    random.next() >> random.below(64)
                } else {
                    0
                };
                prost::encoding::encode_varint((content.len() as u64).wrapping_add(lie), &mut message);
                message.extend_from_slice(&content);
            }
        }
    }
    message
}

/// `message` with a few bytes changed, left out, doubled or put in.
fn damaged(random: &mut Random, message: &[u8]) -> Vec<u8> {
    let mut message = message.to_vec();
    for _ in 0..random.below(4) {
        let at = random.below(message.len() + 1);
        match random.below(4) {
            0 => message.truncate(at),
            1 => message.insert(at, random.next() as u8),
            2 => message.extend_from_within(at..),
            _ => {
                if let Some(byte) = message.get_mut(at) {
                    *byte ^= 1 << random.below(8);
                }
            }
        }
    }
    message
}

fn message(random: &mut Random, meant: &[Bytes]) -> Bytes {
    match random.below(4) {
        0 => {
            let mut noise = vec![0; random.below(200)];
            noise.fill_with(|| random.next() as u8);
            noise.into()
        }
        1 => fields(random, 6).into(),
        _ => {
            let message = random.pick(meant).clone();
            damaged(random, &message).into()
        }
    }
}

/// Makes one call and reads its answers. A status is as good as an answer; what is not is no end at all.
async fn call(channel: Channel, path: PathAndQuery, streams: bool, messages: Vec<Bytes>) {
    let mut grpc = Grpc::new(channel).max_decoding_message_size(64 << 20);
    grpc.ready().await.expect("connection");
    let name = path.to_string();
    let answers = async {
        let request = tonic::Request::new(tokio_stream::iter(messages));
        let mut answers = match grpc.streaming(request, path, Raw).await {
            Ok(answers) => answers.into_inner(),
            Err(status) => return Some(status),
        };
        loop {
            match answers.message().await {
                Ok(Some(_)) => {}
                Ok(None) => return None,
                Err(status) => return Some(status),
            }
        }
    };
    let patience = if streams { GLANCE } else { PATIENCE };
    match tokio::time::timeout(patience, answers).await {
        // What tonic makes up when the server does not say how it went.
        Ok(Some(status)) => {
            let broken = status.message().contains("h2 protocol error") || status.message().contains("transport error");
            assert!(!broken, "{name}: {status:?}");
        }
        Ok(None) => {}
        Err(_) => assert!(streams, "{name}: no answer"),
    }
}

/// Turns alarms off that a request has raised, so that the next ones get further than to them.
async fn calm(server: &Server) {
    let member_id = server.member_id().await;
    for alarm in [AlarmType::Nospace, AlarmType::Corrupt] {
        let request = AlarmRequest {
            action: AlarmAction::Deactivate.into(),
            member_id,
            alarm: alarm.into(),
        };
        server.client.maintenance.clone().alarm(request).await.expect("alarm");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_method_survives_any_request() {
    let mut random = Random::new("every_method_survives_any_request");
    let database = Database::file();
    let server = Server::start(&database, &["--compact-interval=0"]).await;
    let (methods, meant) = (methods(), meant());
    let channel = Channel::from_shared(format!("http://{}", server.address)).expect("url");
    let channel = channel.connect().await.expect("connection");
    let before = server.resident_kib();
    for _ in 0..rounds(CALLS.0, CALLS.1) / CONCURRENT {
        let calls = (0..CONCURRENT).map(|_| {
            let (path, streams) = random.pick(&methods).clone();
            let messages = (0..=random.below(3)).map(|_| message(&mut random, &meant)).collect();
            call(channel.clone(), path, streams, messages)
        });
        futures::future::join_all(calls.collect::<Vec<_>>()).await;
        if random.once_in(8) {
            calm(&server).await;
        }
    }
    calm(&server).await;
    server.client.set("after", "all").await;
    assert_eq!(server.client.get("after").await.as_deref(), Some("all"));
    let grown = server.resident_kib() - before;
    assert!(grown < 128 << 10, "{grown} KiB more than before");
    assert_eq!(server.complaints(), "");
}
