//! How many requests run at once (k8s.io/apiserver `server/filters/maxinflight.go`).

use super::Refusal;
use super::request_info::RequestInfo;
use crate::authentication::User;
use crate::authentication::user::MASTERS;
use prometheus_client::metrics::gauge::Gauge;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

const BUSY: &str = "Too many requests, please try again later.\n";
const RETRY_AFTER_SECONDS: u32 = 1;

/// Counts running requests that are not long-running, reading and writing ones apart.
pub struct MaxInFlight {
    reading: Lane,
    writing: Lane,
}

struct Lane {
    /// `None` for no limit.
    slots: Option<Arc<Semaphore>>,
    running: Gauge,
}

/// A running request.
pub struct Slot {
    running: Option<Gauge>,
    _permit: Option<OwnedSemaphorePermit>,
}

impl Drop for Slot {
    fn drop(&mut self) {
        if let Some(running) = &self.running {
            running.dec();
        }
    }
}

impl MaxInFlight {
    /// Limits of 0 mean none. The gauges show what is running.
    pub fn new((reading, reading_gauge): (usize, Gauge), (writing, writing_gauge): (usize, Gauge)) -> Self {
        let lane = |limit: usize, running| Lane {
            slots: (limit > 0).then(|| Arc::new(Semaphore::new(limit))),
            running,
        };
        MaxInFlight {
            reading: lane(reading, reading_gauge),
            writing: lane(writing, writing_gauge),
        }
    }

    /// A place for the request. Administrators always get one.
    ///
    /// # Errors
    /// 429 when too many requests run.
    pub fn enter(&self, info: &RequestInfo, user: &User) -> Result<Slot, Refusal> {
        if info.is_long_running() {
            return Ok(Slot {
                running: None,
                _permit: None,
            });
        }
        let lane = if info.is_read_only() {
            &self.reading
        } else {
            &self.writing
        };
        let permit = match &lane.slots {
            None => None,
            Some(slots) => match slots.clone().try_acquire_owned() {
                Ok(permit) => Some(permit),
                Err(_) if user.in_group(MASTERS) => None,
                Err(_) => return Err(Refusal::Busy(BUSY, RETRY_AFTER_SECONDS)),
            },
        };
        lane.running.inc();
        Ok(Slot {
            running: Some(lane.running.clone()),
            _permit: permit,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Method;

    #[test]
    fn full_lanes_refuse_all_but_administrators() {
        let gauge = Gauge::default();
        let limits = MaxInFlight::new((1, gauge.clone()), (0, Gauge::default()));
        let list = RequestInfo::parse(&Method::GET, "/api/v1/pods", None).unwrap();
        let watch = RequestInfo::parse(&Method::GET, "/api/v1/pods", Some("watch=1")).unwrap();
        let write = RequestInfo::parse(&Method::POST, "/api/v1/pods", None).unwrap();
        let (jane, admin) = (User::new("jane", &[]), User::new("admin", &[MASTERS]));
        let first = limits.enter(&list, &jane).ok().unwrap();
        assert!(limits.enter(&list, &jane).is_err());
        assert!(limits.enter(&watch, &jane).is_ok());
        assert!(limits.enter(&write, &jane).is_ok());
        let second = limits.enter(&list, &admin).ok().unwrap();
        assert_eq!(gauge.get(), 2);
        drop((first, second));
        assert_eq!(gauge.get(), 0);
        assert!(limits.enter(&list, &jane).is_ok());
    }
}
