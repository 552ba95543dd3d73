//! The tools: what they find, what they copy, what they refuse, and what they make of damage.

mod check;
mod copies;
mod fuzz;
mod servers;

use std::path::{Path, PathBuf};

use kine_shim::{
    backend::{endpoint::DatastoreOptions, sqlite::Contents},
    tools::{check::check, stores, survey::Survey},
};
use proto::etcdserverpb::{DeleteRangeRequest, PutRequest, RequestOp, TxnRequest, request_op::Request};

use crate::{
    databases::Database,
    random::Random,
    support::{Shim, bytes},
};

fn put(key: &str, value: &str, lease: i64) -> PutRequest {
    PutRequest {
        key: bytes(key),
        value: bytes(value),
        lease,
        ..Default::default()
    }
}

fn delete(key: &str) -> DeleteRangeRequest {
    DeleteRangeRequest {
        key: bytes(key),
        ..Default::default()
    }
}

fn txn(operations: impl IntoIterator<Item = Request>) -> TxnRequest {
    TxnRequest {
        success: operations
            .into_iter()
            .map(|request| RequestOp { request: Some(request) })
            .collect(),
        ..Default::default()
    }
}

/// Fills a store with something of everything: several keys at one revision, deletions, keys made anew, leases,
/// keys that are no text, a compaction. What it holds depends on `seed`.
async fn fill(database: &Database, seed: u64) {
    let mut random = Random::from_seed(seed);
    let shim = Shim::start(database).await;
    let store = &shim.app.store;
    store.grant(7, 1000).await.expect("grant");
    store.grant(8, 2000).await.expect("grant");
    store.put(put("compact_rev_key", "1", 0)).await.expect("put");
    let raw = PutRequest {
        key: bytes::Bytes::from_static(b"\xff\x00raw"),
        ..Default::default()
    };
    store.put(raw).await.expect("put");
    for count in 0..80 {
        let key = |random: &mut Random| format!("/registry/k{}", random.below(12));
        let value = format!("value {count} {}", "x".repeat(random.below(200)));
        match random.below(6) {
            0 => drop(store.delete_range(delete(&key(&mut random))).await.expect("delete")),
            1 => {
                let operations = [
                    Request::RequestPut(put(&format!("/registry/a{}", random.below(4)), &value, 0)),
                    Request::RequestPut(put(&format!("/registry/b{}", random.below(4)), &value, 7)),
                    Request::RequestDeleteRange(delete(&key(&mut random))),
                ];
                store.txn(txn(operations), 128).await.expect("txn");
            }
            2 => drop(store.put(put(&key(&mut random), &value, 8)).await.expect("put")),
            _ => drop(store.put(put(&key(&mut random), &value, 0)).await.expect("put")),
        }
        if count == 40 {
            let revision = store.revision() - 5;
            store.compact(revision, true).await.expect("compact");
        }
    }
    shim.stop().await;
}

/// A store in a file of its own.
async fn sample(seed: u64) -> (Database, PathBuf) {
    let database = Database::file();
    fill(&database, seed).await;
    let path = database.path();
    (database, path)
}

/// What `check` says about a file, one line per finding; `None` when the file cannot be opened at all.
fn findings(path: &Path) -> Option<Vec<String>> {
    let mut contents = Contents::open(path).ok()?;
    Some(match check(&mut contents) {
        Ok((findings, _, _)) => findings.iter().map(ToString::to_string).collect(),
        Err(fault) => vec![fault.to_string()],
    })
}

/// What `check` says about a store that can be opened.
fn findings_at(url: &str) -> Vec<String> {
    apart(|| crate::crash::findings(url))
}

/// The digest of a store.
pub(crate) fn digest(url: &str) -> String {
    apart(|| {
        let endpoint = url.parse().expect("endpoint");
        let mut source = stores::open(&endpoint, &DatastoreOptions::default()).expect("open");
        Survey::of(source.as_mut()).expect("survey").summary.digest
    })
}

/// Runs what blocks on a thread that may.
fn apart<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| scope.spawn(work).join().expect("done"))
}

fn url(path: &Path) -> String {
    format!("sqlite://{}", path.display())
}
