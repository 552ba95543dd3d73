//! Checks of requests that need no state, in etcd's order (`server/etcdserver/api/v3rpc/key.go`).

use std::collections::BTreeSet;

use bytes::Bytes;
use proto::etcdserverpb::{DeleteRangeRequest, PutRequest, RequestOp, TxnRequest, request_op::Request};

use super::range::check_request;
use crate::error::Error;

/// Refuses a malformed put.
pub fn check_put(request: &PutRequest) -> Result<(), Error> {
    if request.key.is_empty() {
        Err(Error::EmptyKey)
    } else if request.ignore_value && !request.value.is_empty() {
        Err(Error::ValueProvided)
    } else if request.ignore_lease && request.lease != 0 {
        Err(Error::LeaseProvided)
    } else {
        Ok(())
    }
}

/// Refuses a malformed deletion.
pub fn check_delete(request: &DeleteRangeRequest) -> Result<(), Error> {
    if request.key.is_empty() {
        Err(Error::EmptyKey)
    } else {
        Ok(())
    }
}

/// Refuses a malformed transaction: more than `max_operations` comparisons or operations, nested ones counted along their
/// branch, a malformed operation, or one key changed twice.
pub fn check_txn(request: &TxnRequest, max_operations: usize) -> Result<(), Error> {
    check_operations(request, max_operations)?;
    check_intervals(&request.success)?;
    check_intervals(&request.failure)?;
    Ok(())
}

fn check_operations(request: &TxnRequest, allowed: usize) -> Result<(), Error> {
    let count = request
        .compare
        .len()
        .max(request.success.len())
        .max(request.failure.len());
    let left = allowed.checked_sub(count).ok_or(Error::TooManyOperations)?;
    if request.compare.iter().any(|compare| compare.key.is_empty()) {
        return Err(Error::EmptyKey);
    }
    request
        .success
        .iter()
        .chain(&request.failure)
        .try_for_each(|operation| match &operation.request {
            Some(Request::RequestRange(range)) => check_request(range),
            Some(Request::RequestPut(put)) => check_put(put),
            Some(Request::RequestDeleteRange(delete)) => check_delete(delete),
            Some(Request::RequestTxn(txn)) => check_operations(txn, left),
            None => Err(Error::KeyNotFound),
        })
}

/// A deletion as the overlap check sees it. It takes the end of the range literally, so that a range without an end
/// overlaps nothing; etcd's interval tree does the same.
struct Deletion<'a> {
    key: &'a Bytes,
    range_end: &'a Bytes,
}

impl Deletion<'_> {
    fn covers(&self, key: &Bytes) -> bool {
        if self.range_end.is_empty() {
            self.key == key
        } else {
            self.key <= key && key < self.range_end
        }
    }
}

#[derive(Default)]
struct Intervals<'a> {
    puts: BTreeSet<&'a Bytes>,
    deletions: Vec<Deletion<'a>>,
}

impl Intervals<'_> {
    fn deletes(&self, key: &Bytes) -> bool {
        self.deletions.iter().any(|deletion| deletion.covers(key))
    }
}

fn check_intervals(operations: &[RequestOp]) -> Result<Intervals<'_>, Error> {
    let mut here = Intervals::default();
    for operation in operations {
        if let Some(Request::RequestDeleteRange(delete)) = &operation.request {
            here.deletions.push(Deletion {
                key: &delete.key,
                range_end: &delete.range_end,
            });
        }
    }
    for operation in operations {
        let Some(Request::RequestTxn(txn)) = &operation.request else {
            continue;
        };
        let then = check_intervals(&txn.success)?;
        let otherwise = check_intervals(&txn.failure)?;
        if then.puts.iter().any(|key| here.puts.contains(key) || here.deletes(key)) {
            return Err(Error::DuplicateKey);
        }
        // Only one of the two branches runs, so both may write the same key.
        let clashes = |key: &&Bytes| (here.puts.contains(key) && !then.puts.contains(key)) || here.deletes(key);
        if otherwise.puts.iter().any(clashes) {
            return Err(Error::DuplicateKey);
        }
        here.puts.extend(then.puts);
        here.puts.extend(otherwise.puts);
        here.deletions.extend(then.deletions);
        here.deletions.extend(otherwise.deletions);
    }
    for operation in operations {
        let Some(Request::RequestPut(put)) = &operation.request else {
            continue;
        };
        if here.deletes(&put.key) || !here.puts.insert(&put.key) {
            return Err(Error::DuplicateKey);
        }
    }
    Ok(here)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(key: &'static str) -> RequestOp {
        let request = PutRequest {
            key: Bytes::from(key),
            ..Default::default()
        };
        RequestOp {
            request: Some(Request::RequestPut(request)),
        }
    }

    fn delete(key: &'static str, range_end: &'static str) -> RequestOp {
        let request = DeleteRangeRequest {
            key: key.into(),
            range_end: range_end.into(),
            prev_kv: false,
        };
        RequestOp {
            request: Some(Request::RequestDeleteRange(request)),
        }
    }

    fn nested(success: Vec<RequestOp>, failure: Vec<RequestOp>) -> RequestOp {
        RequestOp {
            request: Some(Request::RequestTxn(TxnRequest {
                compare: vec![],
                success,
                failure,
            })),
        }
    }

    const LIMIT: usize = 128;

    fn check(success: Vec<RequestOp>) -> Result<(), Error> {
        let request = TxnRequest {
            compare: vec![],
            success,
            failure: vec![],
        };
        check_txn(&request, LIMIT)
    }

    #[test]
    fn one_key_may_change_once() {
        assert_eq!(check(vec![put("a"), put("b")]), Ok(()));
        assert_eq!(check(vec![put("a"), put("a")]), Err(Error::DuplicateKey));
        assert_eq!(check(vec![put("b"), delete("a", "c")]), Err(Error::DuplicateKey));
        assert_eq!(check(vec![put("c"), delete("a", "c")]), Ok(()));
        assert_eq!(check(vec![put("a"), delete("a", "")]), Err(Error::DuplicateKey));
        assert_eq!(check(vec![delete("a", "c"), delete("b", "d")]), Ok(()));
    }

    #[test]
    fn branches_exclude_each_other() {
        assert_eq!(check(vec![nested(vec![put("a")], vec![put("a")])]), Ok(()));
        assert_eq!(
            check(vec![nested(vec![put("a")], vec![]), put("a")]),
            Err(Error::DuplicateKey)
        );
        assert_eq!(
            check(vec![nested(vec![put("a")], vec![]), nested(vec![], vec![put("a")])]),
            Err(Error::DuplicateKey)
        );
        assert_eq!(
            check(vec![nested(vec![delete("a", "")], vec![]), put("a")]),
            Err(Error::DuplicateKey)
        );
    }

    #[test]
    fn operations_are_limited_along_a_branch() {
        let many = |count: usize| (0..count).map(|_| delete("a", "")).collect::<Vec<_>>();
        assert_eq!(check(many(LIMIT)), Ok(()));
        assert_eq!(check(many(LIMIT + 1)), Err(Error::TooManyOperations));
        assert_eq!(check(vec![nested(many(LIMIT - 1), vec![])]), Ok(()));
        assert_eq!(check(vec![nested(many(LIMIT), vec![])]), Err(Error::TooManyOperations));
        assert_eq!(check(vec![RequestOp { request: None }]), Err(Error::KeyNotFound));
    }
}
