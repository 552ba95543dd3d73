//! What requests mean: each is carried out within a transaction of a batch, without touching anything else.
//!
//! Follows etcd's `server/etcdserver/txn`: comparisons and checks see the state before the transaction, operations see
//! what the ones before them did.

use std::cmp::Ordering;

use bytes::Bytes;
use proto::etcdserverpb::{
    Compare, DeleteRangeRequest, DeleteRangeResponse, PutRequest, PutResponse, RangeRequest, RangeResponse, RequestOp,
    ResponseHeader, ResponseOp, TxnRequest, TxnResponse,
    compare::{CompareResult, CompareTarget, TargetUnion},
    request_op::Request,
    response_op::Response,
};

use super::{
    batch::{Batch, Failure, Transaction},
    index::{Keys, Version},
    range::{KeyRange, check_revision, finish, key_value, select},
};
use crate::error::Error;

/// A header that names a revision; who answers is filled in at the end.
pub fn header(revision: i64) -> Option<ResponseHeader> {
    Some(ResponseHeader {
        revision,
        ..Default::default()
    })
}

/// Carries out a put.
pub fn put(batch: &mut Batch<'_>, request: PutRequest) -> Result<PutResponse, Failure> {
    check_put(batch, &request)?;
    apply_put(&mut batch.transaction(), request)
}

/// Carries out a deletion.
pub fn delete_range(batch: &mut Batch<'_>, request: &DeleteRangeRequest) -> Result<DeleteRangeResponse, Failure> {
    apply_delete(&mut batch.transaction(), request)
}

/// Carries out a transaction.
pub fn txn(batch: &mut Batch<'_>, request: TxnRequest) -> Result<TxnResponse, Failure> {
    let plan = Plan::new(batch, request)?;
    plan.check(batch)?;
    let mut transaction = batch.transaction();
    let mut response = plan.apply(&mut transaction)?;
    response.header = header(transaction.revision());
    Ok(response)
}

/// Revokes a lease and deletes its keys.
pub fn revoke(batch: &mut Batch<'_>, id: i64) -> Result<(), Failure> {
    let keys = batch.lease_keys(id);
    let mut transaction = batch.transaction();
    for key in keys {
        transaction.delete(key)?;
    }
    Ok(())
}

/// A transaction with its branches chosen: all comparisons are made before anything is changed.
struct Plan {
    succeeded: bool,
    steps: Vec<Step>,
}

enum Step {
    Range(RangeRequest),
    Put(PutRequest),
    Delete(DeleteRangeRequest),
    Txn(Plan),
}

impl Plan {
    fn new(batch: &Batch<'_>, request: TxnRequest) -> Result<Self, Failure> {
        let mut succeeded = true;
        for compare in &request.compare {
            if !holds(batch, compare)? {
                succeeded = false;
                break;
            }
        }
        let chosen = if succeeded { request.success } else { request.failure };
        let step = |operation: RequestOp| match operation.request {
            Some(Request::RequestRange(request)) => Ok(Step::Range(request)),
            Some(Request::RequestPut(request)) => Ok(Step::Put(request)),
            Some(Request::RequestDeleteRange(request)) => Ok(Step::Delete(request)),
            Some(Request::RequestTxn(request)) => Self::new(batch, request).map(Step::Txn),
            None => Err(Failure::Refused(Error::KeyNotFound)),
        };
        Ok(Self {
            succeeded,
            steps: chosen.into_iter().map(step).collect::<Result<_, _>>()?,
        })
    }

    /// Everything that can be refused is refused here, so that nothing has to be undone.
    fn check(&self, batch: &Batch<'_>) -> Result<(), Failure> {
        self.steps.iter().try_for_each(|step| match step {
            Step::Range(request) => Ok(check_revision(
                request.revision,
                batch.revision,
                batch.state().compacted,
            )?),
            Step::Put(request) => check_put(batch, request),
            Step::Delete(_) => Ok(()),
            Step::Txn(plan) => plan.check(batch),
        })
    }

    fn apply(self, transaction: &mut Transaction<'_, '_>) -> Result<TxnResponse, Failure> {
        let mut responses = Vec::with_capacity(self.steps.len());
        for step in self.steps {
            let response = match step {
                Step::Range(request) => Response::ResponseRange(apply_range(transaction, &request)?),
                Step::Put(request) => Response::ResponsePut(apply_put(transaction, alone(request))?),
                Step::Delete(request) => Response::ResponseDeleteRange(apply_delete(transaction, &request)?),
                Step::Txn(plan) => Response::ResponseTxn(plan.apply(transaction)?),
            };
            responses.push(ResponseOp {
                response: Some(response),
            });
        }
        // etcd leaves the revision out of the header of a nested transaction.
        Ok(TxnResponse {
            header: header(0),
            succeeded: self.succeeded,
            responses,
        })
    }
}

fn check_put(batch: &Batch<'_>, request: &PutRequest) -> Result<(), Failure> {
    if request.lease != 0 && !batch.has_lease(request.lease) {
        return Err(Error::LeaseNotFound.into());
    }
    let needs_key = request.ignore_value || request.ignore_lease;
    if needs_key && batch.keys().live_at(&request.key, batch.revision).is_none() {
        return Err(Error::KeyNotFound.into());
    }
    Ok(())
}

fn apply_range(transaction: &Transaction<'_, '_>, request: &RangeRequest) -> Result<RangeResponse, Failure> {
    let batch = transaction.batch();
    let revision = transaction.revision();
    let selection = select(&batch.keys(), request, revision, batch.state().compacted)?;
    let mut kvs = Vec::with_capacity(selection.keys.len());
    for (key, version) in selection.keys {
        let value = if selection.values_needed {
            batch.value(&version)?
        } else {
            Bytes::new()
        };
        kvs.push(key_value(key, &version, value));
    }
    let (kvs, more) = finish(request, kvs, selection.more);
    Ok(RangeResponse {
        header: header(revision),
        kvs,
        more,
        count: selection.count,
    })
}

fn apply_put(transaction: &mut Transaction<'_, '_>, request: PutRequest) -> Result<PutResponse, Failure> {
    let needs_before = request.prev_kv || request.ignore_value || request.ignore_lease;
    let before = if needs_before {
        transaction.get(&request.key)
    } else {
        None
    };
    let before_value = match &before {
        Some(before) if request.prev_kv || request.ignore_value => Some(transaction.batch().value(before)?),
        _ => None,
    };
    let prev_kv = match (&before, &before_value) {
        (Some(before), Some(value)) if request.prev_kv => Some(key_value(request.key.clone(), before, value.clone())),
        _ => None,
    };
    let value = if request.ignore_value {
        before_value.unwrap_or_default()
    } else {
        request.value
    };
    let lease = if request.ignore_lease {
        before.map_or(0, |before| before.lease)
    } else {
        request.lease
    };
    transaction.put(request.key, value, lease)?;
    Ok(PutResponse {
        header: header(transaction.revision()),
        prev_kv,
    })
}

/// A put of a transaction in buffers of its own: what is written outlives the request, which may be much larger.
fn alone(put: PutRequest) -> PutRequest {
    PutRequest {
        key: Bytes::copy_from_slice(&put.key),
        value: Bytes::copy_from_slice(&put.value),
        ..put
    }
}

fn apply_delete(
    transaction: &mut Transaction<'_, '_>,
    request: &DeleteRangeRequest,
) -> Result<DeleteRangeResponse, Failure> {
    let range = KeyRange::new(&request.key, &request.range_end);
    let mut found: Vec<(Bytes, Version)> = Vec::new();
    transaction
        .batch()
        .keys()
        .visit(&range, transaction.revision(), &mut |key, version| {
            found.push((Bytes::copy_from_slice(key), *version));
        });
    let deleted = i64::try_from(found.len()).unwrap_or(i64::MAX);
    let mut prev_kvs = Vec::new();
    for (key, version) in found {
        if request.prev_kv {
            let value = transaction.batch().value(&version)?;
            prev_kvs.push(key_value(key.clone(), &version, value));
        }
        transaction.delete(key)?;
    }
    Ok(DeleteRangeResponse {
        header: header(transaction.revision()),
        deleted,
        prev_kvs,
    })
}

/// Whether a comparison holds for every key of its range; a range without keys is compared as one key of zeros.
fn holds(batch: &Batch<'_>, compare: &Compare) -> Result<bool, Failure> {
    let range = KeyRange::new(&compare.key, &compare.range_end);
    let mut found = Vec::new();
    batch
        .keys()
        .visit(&range, batch.revision, &mut |_, version| found.push(*version));
    let target = CompareTarget::try_from(compare.target);
    if found.is_empty() {
        // A missing value cannot be told from an empty one on the wire, so it compares as false.
        let nothing = Version::tombstone(0, 0);
        return Ok(target != Ok(CompareTarget::Value) && matches(compare, order(compare, &nothing, &[])));
    }
    for version in found {
        let value = if target == Ok(CompareTarget::Value) {
            batch.value(&version)?
        } else {
            Bytes::new()
        };
        if !matches(compare, order(compare, &version, &value)) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// How a version relates to what it is compared with; what the request leaves out counts as zero.
fn order(compare: &Compare, version: &Version, value: &[u8]) -> Ordering {
    let wanted = |pick: fn(&TargetUnion) -> Option<i64>| compare.target_union.as_ref().and_then(pick).unwrap_or(0);
    match CompareTarget::try_from(compare.target) {
        Ok(CompareTarget::Version) => version.version.cmp(&wanted(|union| match union {
            TargetUnion::Version(wanted) => Some(*wanted),
            _ => None,
        })),
        Ok(CompareTarget::Create) => version.create_revision.cmp(&wanted(|union| match union {
            TargetUnion::CreateRevision(wanted) => Some(*wanted),
            _ => None,
        })),
        Ok(CompareTarget::Mod) => version.revision.cmp(&wanted(|union| match union {
            TargetUnion::ModRevision(wanted) => Some(*wanted),
            _ => None,
        })),
        Ok(CompareTarget::Lease) => version.lease.cmp(&wanted(|union| match union {
            TargetUnion::Lease(wanted) => Some(*wanted),
            _ => None,
        })),
        Ok(CompareTarget::Value) => match &compare.target_union {
            Some(TargetUnion::Value(wanted)) => value.cmp(wanted),
            _ => value.cmp(&[]),
        },
        Err(_) => Ordering::Equal,
    }
}

/// Whether the relation is the one wanted; a relation etcd does not know always holds (`compareKV`).
fn matches(compare: &Compare, ordering: Ordering) -> bool {
    match CompareResult::try_from(compare.result) {
        Ok(CompareResult::Equal) => ordering == Ordering::Equal,
        Ok(CompareResult::NotEqual) => ordering != Ordering::Equal,
        Ok(CompareResult::Greater) => ordering == Ordering::Greater,
        Ok(CompareResult::Less) => ordering == Ordering::Less,
        Err(_) => true,
    }
}
