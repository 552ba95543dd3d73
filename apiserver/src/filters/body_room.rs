//! How much of request bodies is in memory at once. A decoded body takes many times its size, so large ones take turns:
//! however many clients send them, the memory they need together is bounded.

use super::Refusal;
use super::request_info::RequestInfo;
use crate::server::request::MAX_REQUEST_BYTES;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// What all bodies that are being worked on may have together.
const ROOM: usize = 8 * 1024 * 1024;
/// Bodies up to this size do not count; how many requests run at once bounds them.
const SMALL: usize = 16 * 1024;
/// What room is counted in.
const UNIT: usize = 1024;
/// How long a large body waits for its turn before the client is told to come back.
const PATIENCE: Duration = Duration::from_secs(20);
const BUSY: &str = "Too many requests, please try again later.\n";
const RETRY_AFTER_SECONDS: u32 = 1;

/// Room for bodies.
pub struct BodyRoom {
    room: Arc<Semaphore>,
    /// How long a request waits.
    patience: Duration,
}

/// A part of it, for as long as a request is worked on.
pub struct Taken {
    _permit: Option<OwnedSemaphorePermit>,
}

impl Default for BodyRoom {
    fn default() -> Self {
        BodyRoom {
            room: Arc::new(Semaphore::new(ROOM / UNIT)),
            patience: PATIENCE,
        }
    }
}

impl BodyRoom {
    /// Waits for room for a body of a size; `None` when the client does not say it. Long-running requests do not keep
    /// their bodies and need none.
    ///
    /// # Errors
    /// 429 when there is none for a long time.
    pub async fn enter(&self, info: &RequestInfo, size: Option<u64>) -> Result<Taken, Refusal> {
        let units = match units(size) {
            Some(units) if !info.is_long_running() => units,
            _ => return Ok(Taken { _permit: None }),
        };
        match tokio::time::timeout(self.patience, self.room.clone().acquire_many_owned(units)).await {
            Ok(Ok(permit)) => Ok(Taken { _permit: Some(permit) }),
            _ => Err(Refusal::Busy(BUSY, RETRY_AFTER_SECONDS)),
        }
    }
}

/// The units that a body takes; `None` for small ones. Longer ones than are allowed are not read to their end.
fn units(size: Option<u64>) -> Option<u32> {
    let size = size.and_then(|size| usize::try_from(size).ok()).unwrap_or(usize::MAX);
    (size > SMALL).then(|| u32::try_from(size.min(MAX_REQUEST_BYTES).div_ceil(UNIT)).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Method;

    #[tokio::test]
    async fn large_bodies_take_turns_and_small_ones_do_not_wait() {
        let write = RequestInfo::parse(&Method::POST, "/api/v1/namespaces/n/configmaps", None).unwrap();
        let mut room = BodyRoom {
            patience: Duration::ZERO,
            ..BodyRoom::default()
        };
        let largest = Some(MAX_REQUEST_BYTES as u64);
        let first = room.enter(&write, largest).await.ok().unwrap();
        let _second = room.enter(&write, None).await.ok().unwrap();
        assert!(
            room.enter(&write, Some(u64::MAX)).await.is_err(),
            "there is no room for a third"
        );
        for small in [0, SMALL as u64] {
            assert!(room.enter(&write, Some(small)).await.is_ok());
        }
        let exec = RequestInfo::parse(&Method::POST, "/api/v1/namespaces/n/pods/p/exec", None).unwrap();
        assert!(room.enter(&exec, None).await.is_ok());
        room.patience = PATIENCE;
        let (third, ()) = tokio::join!(room.enter(&write, largest), async { drop(first) });
        assert!(third.is_ok(), "the first has made room");
    }
}
