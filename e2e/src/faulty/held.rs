//! Resources of which watches show nothing for a while: whoever wants to know of their objects has to ask.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chassis::lock;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::Asked;

/// For how long at most. Nobody asks for an object that is not created again.
const LONGEST: Duration = Duration::from_secs(5);

/// A group and a resource, in whatever namespace.
pub(super) type Resource = (String, String);

/// The resources that are held, and until when.
#[derive(Debug, Clone, Default)]
pub(super) struct Held(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    until: Mutex<BTreeMap<Resource, Instant>>,
    freed: Notify,
}

/// What a request is about.
pub(super) fn resource(asked: &Asked) -> Resource {
    (asked.group.clone(), asked.resource.clone())
}

impl Held {
    /// Holds a resource until somebody asks for one object of it, or for [`LONGEST`].
    pub(super) fn hold(&self, resource: Resource) {
        lock(&self.0.until).insert(resource, Instant::now() + LONGEST);
    }

    /// Lets a resource go.
    pub(super) fn release(&self, resource: &Resource) {
        if lock(&self.0.until).remove(resource).is_some() {
            self.0.freed.notify_waiters();
        }
    }

    /// Waits until a resource is not held.
    pub(super) async fn free(&self, resource: &Resource) {
        loop {
            let freed = self.0.freed.notified();
            let until = lock(&self.0.until).get(resource).copied();
            let Some(until) = until.filter(|until| Instant::now() < *until) else {
                return;
            };
            // Whether it was released or the time is over is seen on the next look.
            let _ = tokio::time::timeout_at(until, freed).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_is_held_is_free_when_it_is_asked_for_or_the_time_is_over() {
        let held = Held::default();
        let pods = resource(&Asked::new("GET", "/api/v1/pods"));
        held.free(&pods).await;
        held.hold(pods.clone());
        let began = Instant::now();
        let asked = async {
            tokio::time::sleep(Duration::from_millis(10)).await;
            held.release(&pods);
        };
        tokio::join!(held.free(&pods), asked);
        assert_eq!(began.elapsed(), Duration::from_millis(10));
        held.hold(pods.clone());
        held.free(&resource(&Asked::new("GET", "/api/v1/nodes"))).await;
        held.free(&pods).await;
        assert_eq!(began.elapsed(), Duration::from_millis(10) + LONGEST);
    }
}
