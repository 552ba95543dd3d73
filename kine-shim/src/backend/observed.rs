//! A database whose calls are counted and timed under the names of kine's metrics, and logged when they are slow.

use std::{
    fs::File,
    ops::ControlFlow,
    time::{Duration, Instant},
};

use bytes::Bytes;

use super::{
    Backend, Fault, Item, LeaseRow, Payload, Row, Size, StoredRow,
    driver::{Begun, Changes, Purpose, Readers, Wish, Writer},
};
use crate::metrics::SqlMetrics;

/// From when on a call is logged as slow.
#[derive(Debug, Clone, Copy)]
pub struct SlowCalls {
    /// As a remark; zero logs none.
    pub info: Duration,
    /// As a warning.
    pub warn: Duration,
}

/// Counts, times and logs calls.
#[derive(Debug, Clone)]
pub struct Observer {
    /// Where calls are counted.
    pub metrics: SqlMetrics,
    /// Which ones are logged.
    pub slow: SlowCalls,
}

impl Observer {
    /// `backend` with its calls observed.
    pub fn wrap(&self, backend: Backend) -> Backend {
        let observer = || self.clone();
        Backend {
            writer: Box::new(Observed {
                inner: backend.writer,
                observer: observer(),
            }),
            readers: Box::new(Observed {
                inner: backend.readers,
                observer: observer(),
            }),
            peers: backend.peers,
        }
    }

    fn note<T>(&self, name: &'static str, began: Instant, done: Result<T, Fault>) -> Result<T, Fault> {
        let took = began.elapsed();
        self.metrics.observe(name, done.as_ref().err(), took);
        if self.slow.info.is_zero() || took < self.slow.info {
            return done;
        }
        if took < self.slow.warn {
            tracing::info!(name, duration = ?took, "slow SQL");
        } else {
            tracing::warn!(name, duration = ?took, "slow SQL");
        }
        done
    }
}

#[derive(Debug)]
struct Observed<T> {
    inner: T,
    observer: Observer,
}

impl Writer for Observed<Box<dyn Writer>> {
    fn load(&mut self, each: &mut dyn FnMut(Item<Row>)) -> Result<(), Fault> {
        let began = Instant::now();
        let done = self.inner.load(each);
        self.observer.note("load", began, done)
    }

    fn begin(&mut self, purpose: Purpose, wish: &Wish) -> Result<Option<Begun>, Fault> {
        let began = Instant::now();
        let done = self.inner.begin(purpose, wish);
        self.observer.note("begin", began, done)
    }

    fn news(&mut self, after: i64, each: &mut dyn FnMut(StoredRow)) -> Result<(), Fault> {
        let began = Instant::now();
        let done = self.inner.news(after, each);
        self.observer.note("after", began, done)
    }

    fn leases(&mut self) -> Result<Vec<LeaseRow>, Fault> {
        let began = Instant::now();
        let done = self.inner.leases();
        self.observer.note("leases", began, done)
    }

    fn value(&self, id: i64) -> Result<Option<Bytes>, Fault> {
        let began = Instant::now();
        let done = self.inner.value(id);
        self.observer.note("value", began, done)
    }

    fn commit(&mut self, changes: &Changes<'_>) -> Result<(), Fault> {
        let began = Instant::now();
        let done = self.inner.commit(changes);
        if done.is_ok() {
            self.observer.metrics.written(changes.rows.len(), changes.removed.len());
        }
        self.observer.note("commit", began, done)
    }

    fn rollback(&mut self) {
        self.inner.rollback();
    }

    fn defragment(&mut self) -> Result<(), Fault> {
        let began = Instant::now();
        let done = self.inner.defragment();
        self.observer.note("defragment", began, done)
    }

    fn tend_log(&mut self) -> Result<bool, Fault> {
        let began = Instant::now();
        match self.inner.tend_log() {
            Ok(false) => Ok(false),
            done => self.observer.note("checkpoint", began, done),
        }
    }

    fn checkpoint(&mut self) -> Result<(), Fault> {
        let began = Instant::now();
        let done = self.inner.checkpoint();
        self.observer.note("checkpoint", began, done)
    }

    fn reclaim(&mut self) -> Result<bool, Fault> {
        let began = Instant::now();
        let done = self.inner.reclaim();
        self.observer.note("reclaim", began, done)
    }
}

impl Readers for Observed<Box<dyn Readers>> {
    fn values(&self, ids: &[i64], each: &mut dyn FnMut(usize, Bytes)) -> Result<bool, Fault> {
        let began = Instant::now();
        let done = self.inner.values(ids, each);
        self.observer.note("list", began, done)
    }

    fn payloads(&self, from: i64, to: i64, each: &mut dyn FnMut(Payload) -> ControlFlow<()>) -> Result<(), Fault> {
        let began = Instant::now();
        let done = self.inner.payloads(from, to, each);
        self.observer.note("history", began, done)
    }

    fn dump(&self, each: &mut dyn FnMut(Item<StoredRow>) -> Result<(), Fault>) -> Result<(), Fault> {
        let began = Instant::now();
        let done = self.inner.dump(each);
        self.observer.note("dump", began, done)
    }

    fn size(&self) -> Result<Size, Fault> {
        let began = Instant::now();
        let done = self.inner.size();
        self.observer.note("size", began, done)
    }

    fn copy(&self) -> Result<File, Fault> {
        let began = Instant::now();
        let done = self.inner.copy();
        self.observer.note("copy", began, done)
    }

    fn log_bytes(&self) -> i64 {
        self.inner.log_bytes()
    }

    fn epoch(&self) -> Result<i64, Fault> {
        let began = Instant::now();
        let done = self.inner.epoch();
        self.observer.note("epoch", began, done)
    }

    fn lease_left(&self, id: i64) -> Result<Option<i64>, Fault> {
        let began = Instant::now();
        let done = self.inner.lease_left(id);
        self.observer.note("lease", began, done)
    }
}
