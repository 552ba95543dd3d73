//! What comes over the wire besides HTTP, and what is in databases.

use kine_shim::backend::names;
use prost::Message;
use proto::etcdserverpb::{
    CompactionRequest, DeleteRangeRequest, LeaseGrantRequest, PutRequest, RangeRequest, TxnRequest, WatchRequest,
};

use crate::Target;

/// Requests of the etcd API. What has been read can be written again.
pub(crate) const ETCD_REQUEST: Target = Target {
    name: "etcd_request",
    run: |input| {
        again::<RangeRequest>(input);
        again::<PutRequest>(input);
        again::<DeleteRangeRequest>(input);
        again::<TxnRequest>(input);
        again::<CompactionRequest>(input);
        again::<WatchRequest>(input);
        again::<LeaseGrantRequest>(input);
    },
    seeds: || {
        use proto::etcdserverpb::{Compare, RequestOp, compare, request_op};
        let put = PutRequest {
            key: "/registry/pods/default/web".into(),
            value: "{}".into(),
            lease: 7,
            ..Default::default()
        };
        let compare = Compare {
            key: put.key.clone(),
            target: compare::CompareTarget::Mod.into(),
            target_union: Some(compare::TargetUnion::ModRevision(5)),
            ..Default::default()
        };
        let operation = RequestOp {
            request: Some(request_op::Request::RequestPut(put.clone())),
        };
        let txn = TxnRequest {
            compare: vec![compare],
            success: vec![operation],
            ..Default::default()
        };
        vec![put.encode_to_vec(), txn.encode_to_vec()]
    },
};

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

fn again<M: Message + Default + PartialEq>(input: &[u8]) {
    if let Ok(message) = M::decode(input) {
        let again = M::decode(message.encode_to_vec().as_slice());
        assert!(
            again.is_ok_and(|again| again == message),
            "it reads otherwise the second time"
        );
    }
}
