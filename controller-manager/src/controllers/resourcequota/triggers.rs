//! Which changes of pods, services and claims free what a quota limits (`pkg/quota/v1/install/update_filter.go`). What they
//! use more is charged when they are written.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{ContainerStatus, PersistentVolumeClaim, Pod, Service};

use crate::common::pods;

pub(super) fn pod(old: &Pod, new: &Pod) -> bool {
    let now = Timestamp::now();
    resources_differ(old, new)
        || is_terminating(old) != is_terminating(new)
        || (is_charged(old, now) && !is_charged(new, now))
}

/// Whether any container that both know has got other resources.
fn resources_differ(old: &Pod, new: &Pod) -> bool {
    let differs = |before: &ContainerStatus| {
        let now = pods::container_statuses(new).find(|now| now.name == before.name);
        now.is_some_and(|now| now.resources != before.resources)
    };
    pods::container_statuses(old).any(differs)
}

fn is_terminating(pod: &Pod) -> bool {
    let deadline = pod.spec.as_ref().and_then(|spec| spec.active_deadline_seconds);
    deadline.is_some_and(|seconds| seconds >= 0)
}

fn is_charged(pod: &Pod, now: Timestamp) -> bool {
    let deleted = pod.metadata.deletion_timestamp.as_ref().map(|deleted| deleted.0);
    let grace = pod
        .metadata
        .deletion_grace_period_seconds
        .map(SignedDuration::from_secs);
    let end = deleted
        .zip(grace)
        .and_then(|(deleted, grace)| deleted.checked_add(grace).ok());
    !pods::is_terminal(pod) && end.is_none_or(|end| now <= end)
}

pub(super) fn service(old: &Service, new: &Service) -> bool {
    let limited = |service: &Service| -> Option<String> {
        let kind = service.spec.as_ref().and_then(|spec| spec.type_.clone());
        kind.filter(|kind| matches!(kind.as_str(), "NodePort" | "LoadBalancer"))
    };
    limited(old) != limited(new)
}

pub(super) fn claim(old: &PersistentVolumeClaim, new: &PersistentVolumeClaim) -> bool {
    let about = |claim: &PersistentVolumeClaim| {
        let status = claim.status.as_ref();
        (
            status.and_then(|status| status.allocated_resources.clone()),
            claim
                .spec
                .as_ref()
                .and_then(|spec| spec.volume_attributes_class_name.clone()),
            status.and_then(|status| status.current_volume_attributes_class_name.clone()),
            status.and_then(|status| status.modify_volume_status.clone()),
        )
    };
    about(old) != about(new)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn of<T: serde::de::DeserializeOwned>(object: Value) -> T {
        serde_json::from_value(object).unwrap()
    }

    #[test]
    fn what_frees_something() {
        let running = json!({"status": {"phase": "Running"}});
        for (new, expected) in [
            (json!({"status": {"phase": "Running", "podIP": "10.0.0.1"}}), false),
            (json!({"status": {"phase": "Succeeded"}}), true),
            (
                json!({"spec": {"containers": [], "activeDeadlineSeconds": 1}, "status": {"phase": "Running"}}),
                true,
            ),
            (
                json!({"metadata": {"deletionTimestamp": "2020-01-01T00:00:00Z", "deletionGracePeriodSeconds": 30}}),
                true,
            ),
        ] {
            assert_eq!(pod(&of(running.clone()), &of(new.clone())), expected, "{new}");
        }
        let status = |cpu: &str| {
            json!({"status": {"containerStatuses": [{"name": "c", "image": "", "imageID": "", "ready": true, "restartCount": 0,
                "resources": {"requests": {"cpu": cpu}}}]}})
        };
        assert!(pod(&of(status("1")), &of(status("2"))));
        assert!(!pod(&of(status("1")), &of(status("1"))));
        let of_type = |kind: &str| of(json!({"spec": {"type": kind}}));
        assert!(service(&of_type("NodePort"), &of_type("ClusterIP")));
        assert!(!service(&of_type("ExternalName"), &of_type("ClusterIP")));
        let allocated = |size: &str| of(json!({"status": {"allocatedResources": {"storage": size}}}));
        assert!(claim(&allocated("1Gi"), &allocated("2Gi")));
        assert!(!claim(&allocated("1Gi"), &allocated("1Gi")));
    }
}
