//! What an autoscaler remembers: recommendations and what it has scaled, and how both hold the next step back
//! (`horizontal.go`: stabilization, behaviors, limits).

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::autoscaling::v2::HPAScalingRules;

/// Without a behavior, at most this factor and at least so many more at once.
const UP_FACTOR: f64 = 2.0;
const UP_MINIMUM: f64 = 4.0;

/// What one autoscaler has seen and done.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct History {
    /// Recommendations before anything held them back.
    recommendations: Vec<(i32, Timestamp)>,
    /// By how much it has scaled up, and down.
    ups: Vec<(i32, Timestamp)>,
    downs: Vec<(i32, Timestamp)>,
}

/// How many there may be and are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Range {
    pub(super) current: i32,
    pub(super) least: i32,
    pub(super) most: i32,
}

/// Replicas, and the reason and sentence of the condition that says so.
pub(super) type Limited = (i32, &'static str, &'static str);

const WITHIN: (&str, &str) = ("DesiredWithinRange", "the desired count is within the acceptable range");
const TOO_MANY: (&str, &str) = (
    "TooManyReplicas",
    "the desired replica count is more than the maximum replica count",
);
const TOO_FEW: (&str, &str) = (
    "TooFewReplicas",
    "the desired replica count is less than the minimum replica count",
);
const UP_LIMIT: (&str, &str) = (
    "ScaleUpLimit",
    "the desired replica count is increasing faster than the maximum scale rate",
);
const DOWN_LIMIT: (&str, &str) = (
    "ScaleDownLimit",
    "the desired replica count is decreasing faster than the maximum scale rate",
);
pub(super) const UP_STABILIZED: (&str, &str) = (
    "ScaleUpStabilized",
    "recent recommendations were lower than current one, applying the lowest recent recommendation",
);
pub(super) const DOWN_STABILIZED: (&str, &str) = (
    "ScaleDownStabilized",
    "recent recommendations were higher than current one, applying the highest recent recommendation",
);

fn before(now: Timestamp, window: Duration) -> Timestamp {
    let window = SignedDuration::try_from(window).unwrap_or(SignedDuration::MAX);
    now.saturating_sub(window).unwrap_or(Timestamp::MIN)
}

fn seconds(count: i32) -> Duration {
    Duration::from_secs(u64::try_from(count).unwrap_or_default())
}

impl History {
    /// The first recommendation is what there is.
    pub(super) fn begin(&mut self, current: i32, now: Timestamp) {
        if self.recommendations.is_empty() {
            self.recommendations.push((current, now));
        }
    }

    /// Notes a recommendation, in the place of one that no longer counts where there is one.
    fn note(&mut self, desired: i32, outdated: impl Fn(Timestamp) -> bool, now: Timestamp) {
        match self.recommendations.iter_mut().rev().find(|(_, at)| outdated(*at)) {
            Some(old) => *old = (desired, now),
            None => self.recommendations.push((desired, now)),
        }
    }

    /// The highest recommendation of a window of time (`stabilizeRecommendation`).
    pub(super) fn stabilize(&mut self, desired: i32, window: Duration, now: Timestamp) -> i32 {
        let cutoff = before(now, window);
        let recent = self.recommendations.iter().filter(|(_, at)| *at >= cutoff);
        let highest = recent.map(|(recommended, _)| *recommended).fold(desired, i32::max);
        self.note(desired, |at| at < cutoff, now);
        highest
    }

    /// What lies between the lowest recommendation of one window and the highest of another
    /// (`stabilizeRecommendationWithBehaviors`).
    pub(super) fn stabilize_between(
        &mut self,
        current: i32,
        desired: i32,
        (up, down): (Duration, Duration),
        now: Timestamp,
    ) -> i32 {
        let (up, down) = (before(now, up), before(now, down));
        let since = |cutoff: Timestamp| {
            self.recommendations
                .iter()
                .filter(move |(_, at)| *at > cutoff)
                .map(|(r, _)| *r)
        };
        let lowest = since(up).fold(desired, i32::min);
        let highest = since(down).fold(desired, i32::max);
        self.note(desired, |at| at < up && at < down, now);
        current.max(lowest).min(highest)
    }

    /// Notes that it was scaled, for the rules that count it.
    pub(super) fn scaled(&mut self, from: i32, to: i32, rules: Option<&HPAScalingRules>, now: Timestamp) {
        let periods = rules.into_iter().flat_map(|rules| rules.policies.iter().flatten());
        let longest = periods.map(|policy| policy.period_seconds).max().unwrap_or_default();
        let cutoff = before(now, seconds(longest));
        let (events, change) = if to > from {
            (&mut self.ups, to.saturating_sub(from))
        } else {
            (&mut self.downs, from.saturating_sub(to))
        };
        match events.iter_mut().rev().find(|(_, at)| *at < cutoff) {
            Some(old) => *old = (change, now),
            None => events.push((change, now)),
        }
    }

    /// How many there were at the start of a period.
    fn at_start(&self, current: i32, period: i32, now: Timestamp) -> i32 {
        let cutoff = before(now, seconds(period));
        let sum = |events: &[(i32, Timestamp)]| {
            let within = events.iter().filter(|(_, at)| *at > cutoff);
            within.fold(0_i32, |sum, (change, _)| sum.saturating_add(*change))
        };
        current.saturating_sub(sum(&self.ups)).saturating_add(sum(&self.downs))
    }

    /// How far the rules let it go up, or down (`calculateScale{Up,Down}Limit…`).
    fn limit(&self, current: i32, rules: &HPAScalingRules, up: bool, now: Timestamp) -> i32 {
        let select = rules.select_policy.as_deref().unwrap_or("Max");
        if select == "Disabled" {
            return current;
        }
        let proposals = rules.policies.iter().flatten().map(|policy| {
            let start = self.at_start(current, policy.period_seconds, now);
            let sign = if up { 1 } else { -1 };
            if policy.type_ == "Pods" {
                return start.saturating_add(policy.value.saturating_mul(sign));
            }
            let part = f64::from(start) * (1.0 + f64::from(sign) * f64::from(policy.value) / 100.0);
            // Upwards a part of a replica is one, or a few replicas would never become more.
            (if up { part.ceil() } else { part.trunc() }) as i32
        });
        // The least change is the lowest limit upwards and the highest downwards.
        let lowest = (select == "Min") == up;
        if lowest {
            proposals.fold(i32::MAX, i32::min)
        } else {
            proposals.fold(i32::MIN, i32::max)
        }
    }

    /// What the rules make of a wish (`convertDesiredReplicasWithBehaviorRate`).
    pub(super) fn within_rules(
        &self,
        range: Range,
        desired: i32,
        (up, down): (&HPAScalingRules, &HPAScalingRules),
        now: Timestamp,
    ) -> Limited {
        let Range { current, least, most } = range;
        if desired > current {
            let limit = self.limit(current, up, true, now).max(current);
            let (allowed, why) = if most > limit {
                (limit, UP_LIMIT)
            } else {
                (most, TOO_MANY)
            };
            if desired > allowed {
                return (allowed, why.0, why.1);
            }
        } else if desired < current {
            let limit = self.limit(current, down, false, now).min(current);
            let (allowed, why) = if least < limit {
                (limit, DOWN_LIMIT)
            } else {
                (least, TOO_FEW)
            };
            if desired < allowed {
                return (allowed, why.0, why.1);
            }
        }
        (desired, WITHIN.0, WITHIN.1)
    }
}

/// What becomes of a wish without rules (`convertDesiredReplicasWithRules`).
pub(super) fn within(range: Range, desired: i32) -> Limited {
    let limit = (UP_FACTOR * f64::from(range.current)).max(UP_MINIMUM) as i32;
    let (allowed, why) = if range.most > limit {
        (limit, UP_LIMIT)
    } else {
        (range.most, TOO_MANY)
    };
    if desired < range.least {
        (range.least, TOO_FEW.0, TOO_FEW.1)
    } else if desired > allowed {
        (allowed, why.0, why.1)
    } else {
        (desired, WITHIN.0, WITHIN.1)
    }
}
