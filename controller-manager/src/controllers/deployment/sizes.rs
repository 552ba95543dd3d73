//! The arithmetic of a rolling update (`pkg/controller/deployment/util/deployment_util.go`).

use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};

use crate::common::intstr::scaled;

pub(crate) fn replicas(deployment: &Deployment) -> i32 {
    deployment.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1)
}

pub(crate) fn size(rs: &ReplicaSet) -> i32 {
    rs.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1)
}

pub(crate) fn available(rs: &ReplicaSet) -> i32 {
    rs.status
        .as_ref()
        .and_then(|status| status.available_replicas)
        .unwrap_or(0)
}

pub(crate) fn actual(rs: &ReplicaSet) -> i32 {
    rs.status.as_ref().map_or(0, |status| status.replicas)
}

pub(crate) fn is_rolling(deployment: &Deployment) -> bool {
    let strategy = deployment.spec.as_ref().and_then(|spec| spec.strategy.as_ref());
    strategy.and_then(|strategy| strategy.type_.as_deref()) != Some("Recreate")
}

/// Surge and unavailability in pods; at least one of them is positive, else nothing could ever move (`ResolveFenceposts`).
fn fence_posts(deployment: &Deployment) -> (i32, i32) {
    let strategy = deployment.spec.as_ref().and_then(|spec| spec.strategy.as_ref());
    let rolling = strategy.and_then(|strategy| strategy.rolling_update.as_ref());
    let resolve = |value: Option<_>, round_up| value.map_or(0, |value| scaled(value, replicas(deployment), round_up));
    let surge = resolve(rolling.and_then(|rolling| rolling.max_surge.as_ref()), true);
    let unavailable = resolve(rolling.and_then(|rolling| rolling.max_unavailable.as_ref()), false);
    if surge == 0 && unavailable == 0 {
        (0, 1)
    } else {
        (surge, unavailable)
    }
}

pub(crate) fn max_surge(deployment: &Deployment) -> i32 {
    if is_rolling(deployment) {
        fence_posts(deployment).0
    } else {
        0
    }
}

pub(crate) fn max_unavailable(deployment: &Deployment) -> i32 {
    if !is_rolling(deployment) || replicas(deployment) == 0 {
        return 0;
    }
    fence_posts(deployment).1.min(replicas(deployment))
}

/// How large the new replica set may become now, given the size of all replica sets together (`NewRSNewReplicas`).
pub(crate) fn new_size(deployment: &Deployment, total: i32, current: i32) -> i32 {
    let wanted = replicas(deployment);
    if !is_rolling(deployment) {
        return wanted;
    }
    let most = wanted + max_surge(deployment);
    if total >= most {
        return current;
    }
    current + (most - total).min(wanted - current)
}

/// A replica set and the size it should get.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Resize {
    pub(crate) index: usize,
    pub(crate) to: i32,
}

/// What the old replica sets lose in this step: first pods that are not available anyway, then as many available ones as
/// `maxUnavailable` leaves room for. `old` is ordered oldest first (`reconcileOldReplicaSets`).
pub(crate) fn shrink_old(deployment: &Deployment, new: Option<&ReplicaSet>, old: &[&ReplicaSet]) -> Vec<Resize> {
    let mut sizes: Vec<i32> = old.iter().map(|rs| size(rs)).collect();
    let old_pods: i32 = sizes.iter().sum();
    if old_pods == 0 {
        return Vec::new();
    }
    let minimum = replicas(deployment) - max_unavailable(deployment);
    let new_unavailable = new.map_or(0, |rs| size(rs) - available(rs));
    let most = old_pods + new.map_or(0, size) - minimum - new_unavailable;
    if most <= 0 {
        return Vec::new();
    }
    let mut removed = 0;
    for (size, rs) in sizes.iter_mut().zip(old) {
        let unhealthy = *size - available(rs);
        if removed < most && *size > 0 && unhealthy > 0 {
            let step = unhealthy.min(most - removed);
            *size -= step;
            removed += step;
        }
    }
    let all_available: i32 = old.iter().map(|rs| available(rs)).sum::<i32>() + new.map_or(0, available);
    let mut excess = all_available - minimum;
    for size in &mut sizes {
        if excess <= 0 {
            break;
        }
        let step = (*size).min(excess);
        *size -= step;
        excess -= step;
    }
    let changed = sizes
        .into_iter()
        .enumerate()
        .filter(|(index, to)| *to != size(old[*index]));
    changed.map(|(index, to)| Resize { index, to }).collect()
}

/// Distributes a change of the deployment's size over several active replica sets in proportion to their sizes; `sets` is
/// ordered as upstream orders them, the first one takes what rounding leaves (`scale` in `sync.go`).
pub(crate) fn proportional(deployment: &Deployment, sets: &[(&ReplicaSet, Option<i32>)]) -> Vec<Resize> {
    let wanted = replicas(deployment);
    let allowed = if wanted > 0 { wanted + max_surge(deployment) } else { 0 };
    let to_add = allowed - sets.iter().map(|(rs, _)| size(rs)).sum::<i32>();
    let mut added = 0;
    let mut sizes = Vec::with_capacity(sets.len());
    for (rs, annotated) in sets {
        let share = if to_add == 0 {
            0
        } else {
            proportion(deployment, rs, *annotated, to_add, added)
        };
        added += share;
        sizes.push(size(rs) + share);
    }
    if to_add != 0
        && let Some(first) = sizes.first_mut()
    {
        *first = (*first + to_add - added).max(0);
    }
    sizes
        .into_iter()
        .enumerate()
        .map(|(index, to)| Resize { index, to })
        .collect()
}

fn proportion(deployment: &Deployment, rs: &ReplicaSet, annotated: Option<i32>, to_add: i32, added: i32) -> i32 {
    if size(rs) == 0 || to_add == added {
        return 0;
    }
    let fraction = fraction(deployment, rs, annotated);
    let allowed = to_add - added;
    if to_add > 0 {
        fraction.min(allowed)
    } else {
        fraction.max(allowed)
    }
}

/// How far the replica set is from the size it should have (`getReplicaSetFraction`).
fn fraction(deployment: &Deployment, rs: &ReplicaSet, annotated: Option<i32>) -> i32 {
    if replicas(deployment) == 0 {
        return -size(rs);
    }
    let status = deployment
        .status
        .as_ref()
        .and_then(|status| status.replicas)
        .unwrap_or(0);
    let before = annotated.filter(|annotated| *annotated > 0).unwrap_or(status);
    if before == 0 {
        return 0;
    }
    let after = f64::from(replicas(deployment) + max_surge(deployment));
    let target = f64::from(size(rs)) * after / f64::from(before);
    // The product of two 32-bit sizes and a ratio near one stays far below the limit; the cast saturates beyond it.
    target.round() as i32 - size(rs)
}
