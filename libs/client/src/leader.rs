//! Leader election on a Lease, with the protocol and the timing of client-go's `leaderelection`.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::PostParams;
use kube::{Api, Client};
use tokio::time::{Instant, sleep};
use tracing::{debug, info, warn};

/// Timing of the control plane's components in upstream.
const LEASE_DURATION: Duration = Duration::from_secs(15);
const RENEW_DEADLINE: Duration = Duration::from_secs(10);
const RETRY_PERIOD: Duration = Duration::from_secs(2);

/// A candidate for one lease in `kube-system`.
pub struct Candidate {
    leases: Api<Lease>,
    name: String,
    identity: String,
    observed: Option<Observed>,
}

/// What the lease looked like when it last changed, and when that was by our own clock: other clocks are not trusted.
struct Observed {
    spec: LeaseSpec,
    at: Instant,
}

/// What one look at the lease asks for.
#[derive(Debug, PartialEq)]
enum Step {
    /// Somebody else leads and is alive.
    Wait,
    /// Write this spec; it makes or keeps us the leader.
    Write(LeaseSpec),
}

impl Candidate {
    /// A candidate called `<host name>_<random>`, so that two processes of one host never share an identity.
    #[must_use]
    pub fn new(client: Client, name: &str) -> Self {
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let identity = format!("{}_{}", host.trim(), uuid::Uuid::new_v4());
        Self {
            leases: Api::namespaced(client, "kube-system"),
            name: name.to_owned(),
            identity,
            observed: None,
        }
    }

    /// Waits until this process leads; an unreachable API server only makes it wait longer.
    pub async fn acquire(&mut self) {
        info!(lease = %self.name, identity = %self.identity, "waiting for the lease");
        loop {
            match self.attempt().await {
                Ok(true) => break,
                Ok(false) => {}
                Err(error) => debug!(lease = %self.name, %error, "cannot look at the lease"),
            }
            sleep(RETRY_PERIOD).await;
        }
        info!(lease = %self.name, "leading");
    }

    /// Renews the lease; returns when leadership is lost, which has to end the process: another one may act already.
    pub async fn hold(&mut self) {
        let mut renewed = Instant::now();
        loop {
            sleep(RETRY_PERIOD).await;
            match tokio::time::timeout(RENEW_DEADLINE, self.attempt()).await {
                Ok(Ok(true)) => renewed = Instant::now(),
                Ok(Ok(false)) => return warn!(lease = %self.name, "another process took the lease"),
                Ok(Err(error)) => debug!(lease = %self.name, %error, "cannot renew the lease"),
                Err(_) => debug!(lease = %self.name, "renewing the lease takes too long"),
            }
            if renewed.elapsed() >= RENEW_DEADLINE {
                return warn!(lease = %self.name, "the lease could not be renewed in time");
            }
        }
    }

    async fn attempt(&mut self) -> Result<bool, kube::Error> {
        let Some(mut lease) = self.leases.get_opt(&self.name).await? else {
            let Step::Write(spec) = decide(&self.identity, None, Timestamp::now()) else {
                return Ok(false);
            };
            let mut lease = Lease {
                spec: Some(spec),
                ..Lease::default()
            };
            lease.metadata.name = Some(self.name.clone());
            return lost_race(self.leases.create(&PostParams::default(), &lease).await);
        };
        let spec = lease.spec.clone().unwrap_or_default();
        if self.observed.as_ref().is_none_or(|observed| observed.spec != spec) {
            self.observed = Some(Observed {
                spec: spec.clone(),
                at: Instant::now(),
            });
        }
        let age = self
            .observed
            .as_ref()
            .map_or(Duration::ZERO, |observed| observed.at.elapsed());
        match decide(&self.identity, Some((&spec, age)), Timestamp::now()) {
            Step::Wait => Ok(false),
            Step::Write(spec) => {
                lease.spec = Some(spec);
                lost_race(self.leases.replace(&self.name, &PostParams::default(), &lease).await)
            }
        }
    }
}

/// A conflict means that another candidate was faster, which is an answer and not a failure.
fn lost_race(written: Result<Lease, kube::Error>) -> Result<bool, kube::Error> {
    match written {
        Ok(_) => Ok(true),
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(false),
        Err(error) => Err(error),
    }
}

/// What to do about a lease that has looked like `current` for the given time.
fn decide(identity: &str, current: Option<(&LeaseSpec, Duration)>, now: Timestamp) -> Step {
    let fresh = |transitions| LeaseSpec {
        holder_identity: Some(identity.to_owned()),
        lease_duration_seconds: i32::try_from(LEASE_DURATION.as_secs()).ok(),
        acquire_time: Some(MicroTime(now)),
        renew_time: Some(MicroTime(now)),
        lease_transitions: Some(transitions),
        ..LeaseSpec::default()
    };
    let Some((spec, unchanged_for)) = current else {
        return Step::Write(fresh(0));
    };
    let holder = spec.holder_identity.as_deref().unwrap_or_default();
    if holder == identity {
        return Step::Write(LeaseSpec {
            renew_time: Some(MicroTime(now)),
            ..spec.clone()
        });
    }
    let valid_for = spec
        .lease_duration_seconds
        .and_then(|seconds| u64::try_from(seconds).ok());
    let valid_for = valid_for.map_or(LEASE_DURATION, Duration::from_secs);
    if !holder.is_empty() && unchanged_for < valid_for {
        return Step::Wait;
    }
    Step::Write(fresh(spec.lease_transitions.unwrap_or(0).saturating_add(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held_by(holder: &str) -> LeaseSpec {
        LeaseSpec {
            holder_identity: Some(holder.to_owned()),
            lease_duration_seconds: Some(15),
            lease_transitions: Some(3),
            acquire_time: Some(MicroTime(Timestamp::UNIX_EPOCH)),
            ..LeaseSpec::default()
        }
    }

    #[test]
    fn who_may_write() {
        let now = Timestamp::from_second(100).unwrap();
        let table = [
            ("nobody ever held it", None, Some(0)),
            ("ours", Some((held_by("me"), 1)), Some(3)),
            ("another's, alive", Some((held_by("you"), 14)), None),
            ("another's, expired", Some((held_by("you"), 15)), Some(4)),
            ("released", Some((held_by(""), 0)), Some(4)),
        ];
        for (case, current, transitions) in table {
            let current = current.as_ref().map(|(spec, age)| (spec, Duration::from_secs(*age)));
            match (decide("me", current, now), transitions) {
                (Step::Wait, None) => {}
                (Step::Write(spec), Some(transitions)) => {
                    assert_eq!(spec.holder_identity.as_deref(), Some("me"), "{case}");
                    assert_eq!(spec.lease_transitions, Some(transitions), "{case}");
                    assert_eq!(spec.renew_time, Some(MicroTime(now)), "{case}");
                }
                (step, _) => panic!("{case}: {step:?}"),
            }
        }
    }

    #[test]
    fn renewing_keeps_the_time_of_acquisition() {
        let Step::Write(spec) = decide("me", Some((&held_by("me"), Duration::ZERO)), Timestamp::now()) else {
            panic!("the holder renews");
        };
        assert_eq!(spec.acquire_time, Some(MicroTime(Timestamp::UNIX_EPOCH)));
    }
}
