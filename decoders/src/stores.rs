//! What comes over the wire besides HTTP, and what is in databases.

use kine_shim::backend::names;
use kine_shim::store::check::{check_delete, check_put, check_txn};
use kine_shim::store::index::{Index, Version};
use kine_shim::store::range::{check_request, finish, select};
use prost::Message;
use proto::etcdserverpb::request_op::Request;
use proto::etcdserverpb::{
    CompactionRequest, Compare, DeleteRangeRequest, LeaseGrantRequest, PutRequest, RangeRequest, RequestOp, TxnRequest,
    WatchRequest, compare,
};
use proto::mvccpb::KeyValue;

use crate::Target;

/// Requests of the etcd API, with the checks that need no store. What has been read can be written again.
pub(crate) const ETCD_REQUEST: Target = Target {
    name: "etcd_request",
    run: |input| {
        if let Some(range) = again::<RangeRequest>(input) {
            choose(&range);
        }
        let _ = again::<PutRequest>(input).map(|put| check_put(&put));
        let _ = again::<DeleteRangeRequest>(input).map(|delete| check_delete(&delete));
        let _ = again::<TxnRequest>(input).map(|txn| check_txn(&txn, 128));
        again::<CompactionRequest>(input);
        again::<WatchRequest>(input);
        again::<LeaseGrantRequest>(input);
    },
    seeds: requests,
};

/// Chooses keys from a small store.
fn choose(request: &RangeRequest) {
    let mut index = Index::default();
    for (id, key) in (1..).zip(["a", "b", "c"]) {
        let version = Version {
            create_revision: id,
            version: 1,
            ..Version::tombstone(id, id)
        };
        index.push(key.as_bytes(), version);
    }
    if check_request(request).is_err() {
        return;
    }
    if let Ok(selection) = select(&index, request, 3, 1) {
        let value = |(key, version): (bytes::Bytes, Version)| KeyValue {
            value: key.clone(),
            key,
            mod_revision: version.revision,
            ..KeyValue::default()
        };
        let _ = finish(request, selection.keys.into_iter().map(value).collect(), selection.more);
    }
}

fn requests() -> Vec<Vec<u8>> {
    let put = PutRequest {
        key: "/registry/pods/default/web".into(),
        value: "{}".into(),
        lease: 7,
        ..PutRequest::default()
    };
    let range = RangeRequest {
        key: "a".into(),
        range_end: "c".into(),
        limit: 2,
        revision: 3,
        sort_order: 2,
        sort_target: 4,
        ..RangeRequest::default()
    };
    let compare = Compare {
        key: put.key.clone(),
        target: compare::CompareTarget::Mod.into(),
        target_union: Some(compare::TargetUnion::ModRevision(5)),
        ..Compare::default()
    };
    let operation = |request| RequestOp { request: Some(request) };
    let txn = |operations| TxnRequest {
        compare: vec![compare.clone()],
        success: operations,
        failure: vec![operation(Request::RequestRange(range.clone()))],
    };
    let inner = txn(vec![operation(Request::RequestPut(put.clone()))]);
    let outer = txn(vec![operation(Request::RequestTxn(inner.clone()))]);
    vec![
        put.encode_to_vec(),
        range.encode_to_vec(),
        inner.encode_to_vec(),
        outer.encode_to_vec(),
    ]
}

/// Keys and values as rows of a database hold them.
pub(crate) const STORED_NAME: Target = Target {
    name: "stored_name",
    run: |input| {
        assert_eq!(names::decode(names::encode(input)), Some(input));
        for fits in [true, false] {
            let (name, raw) = names::encode_text(input, |_| fits);
            assert_eq!(names::decode_text(&name, raw), Some(input));
        }
        let _ = names::decode_text(&String::from_utf8_lossy(input), None);
        let _ = names::decode_text("gap", Some(input));
        let _ = names::unpack(input);
    },
    seeds: || crate::texts(&["/registry/pods/default/web", "compact_rev_key", "\u{0}\u{7f}"]),
};

/// DNS messages.
pub(crate) const DNS_PACKET: Target = Target {
    name: "dns_packet",
    run: |input| drop(dns::decoders::packet(input)),
    seeds: || {
        vec![
            b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x03web\x07default\x03svc\x07cluster\x05local\x00\x00\x01\x00\x01".to_vec(),
            b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x01\x01a\x00\x00\x1c\x00\x01\x00\x00\x29\x10\x00\x00\x00\x80\x00\x00\x04\x00\x0a\x00\x00".to_vec(),
            b"\x00\x01\x20\x00\x00\x01\x00\x00\x00\x00\x00\x00\xc0\x0c\x00\x06\x00\x01".to_vec(),
        ]
    },
};

fn again<M: Message + Default + PartialEq>(input: &[u8]) -> Option<M> {
    let message = M::decode(input).ok()?;
    let again = M::decode(message.encode_to_vec().as_slice());
    assert!(
        again.is_ok_and(|again| again == message),
        "it reads otherwise the second time"
    );
    Some(message)
}
