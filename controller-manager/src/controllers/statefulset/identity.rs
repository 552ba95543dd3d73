//! Names and identities: the n-th pod of a set is always called the same and always has the same claims
//! (`pkg/controller/statefulset/stateful_set_utils.go`).

use k8s_openapi::api::apps::v1::{StatefulSet, StatefulSetPersistentVolumeClaimRetentionPolicy};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, PersistentVolumeClaimVolumeSource, Pod, Volume};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;

use crate::common::history::REVISION_LABEL;
use crate::common::ownership::{is_controlled_by, reference_to};
use crate::common::pod_control::pod_from_template;

pub(crate) const POD_NAME_LABEL: &str = "statefulset.kubernetes.io/pod-name";
pub(crate) const POD_INDEX_LABEL: &str = "apps.kubernetes.io/pod-index";

pub(crate) fn set_name(set: &StatefulSet) -> &str {
    set.metadata.name.as_deref().unwrap_or_default()
}

pub(crate) fn start_ordinal(set: &StatefulSet) -> i32 {
    let ordinals = set.spec.as_ref().and_then(|spec| spec.ordinals.as_ref());
    ordinals.and_then(|ordinals| ordinals.start).unwrap_or(0)
}

pub(crate) fn replicas(set: &StatefulSet) -> i32 {
    set.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1)
}

pub(crate) fn pod_name(set: &StatefulSet, ordinal: i32) -> String {
    format!("{}-{ordinal}", set_name(set))
}

/// The ordinal in the name of one of the set's pods.
pub(crate) fn ordinal(set: &StatefulSet, pod: &Pod) -> Option<i32> {
    let digits = pod
        .metadata
        .name
        .as_deref()?
        .strip_prefix(set_name(set))?
        .strip_prefix('-')?;
    let canonical = digits.len() == 1 || !digits.starts_with('0');
    digits
        .parse()
        .ok()
        .filter(|_| canonical && digits.bytes().all(|byte| byte.is_ascii_digit()))
}

pub(crate) fn claim_name(set: &StatefulSet, template: &PersistentVolumeClaim, ordinal: i32) -> String {
    format!(
        "{}-{}-{ordinal}",
        template.metadata.name.as_deref().unwrap_or_default(),
        set_name(set)
    )
}

fn claim_templates(set: &StatefulSet) -> &[PersistentVolumeClaim] {
    set.spec
        .as_ref()
        .and_then(|spec| spec.volume_claim_templates.as_deref())
        .unwrap_or_default()
}

/// The claims of one pod.
pub(crate) fn claims(set: &StatefulSet, ordinal: i32) -> Vec<PersistentVolumeClaim> {
    let selector = set
        .spec
        .as_ref()
        .and_then(|spec| spec.selector.match_labels.clone())
        .unwrap_or_default();
    let of = |template: &PersistentVolumeClaim| {
        let mut claim = template.clone();
        claim.metadata.name = Some(claim_name(set, template, ordinal));
        claim.metadata.namespace = set.metadata.namespace.clone();
        claim.metadata.labels.get_or_insert_default().extend(selector.clone());
        claim.metadata.creation_timestamp = None;
        claim.status = None;
        claim
    };
    claim_templates(set).iter().map(of).collect()
}

/// The pod of an ordinal from the set's template.
pub(crate) fn new_pod(set: &StatefulSet, ordinal: i32, revision: &str) -> Pod {
    let spec = set.spec.clone().unwrap_or_default();
    let mut pod = pod_from_template(set.metadata.namespace.as_deref().unwrap_or_default(), &spec.template);
    let name = pod_name(set, ordinal);
    let labels = pod.metadata.labels.get_or_insert_default();
    labels.insert(POD_NAME_LABEL.to_owned(), name.clone());
    labels.insert(POD_INDEX_LABEL.to_owned(), ordinal.to_string());
    labels.insert(REVISION_LABEL.to_owned(), revision.to_owned());
    pod.metadata.name = Some(name.clone());
    pod.metadata.owner_references = Some(vec![reference_to(set)]);
    let pod_spec = pod.spec.get_or_insert_default();
    pod_spec.hostname = Some(name);
    pod_spec.subdomain = spec.service_name.filter(|service| !service.is_empty());
    let templates = claim_templates(set);
    let volumes = pod_spec.volumes.get_or_insert_default();
    volumes.retain(|volume| {
        !templates
            .iter()
            .any(|template| template.metadata.name.as_ref() == Some(&volume.name))
    });
    volumes.extend(templates.iter().map(|template| Volume {
        name: template.metadata.name.clone().unwrap_or_default(),
        persistent_volume_claim: Some(PersistentVolumeClaimVolumeSource {
            claim_name: claim_name(set, template, ordinal),
            read_only: None,
        }),
        ..Volume::default()
    }));
    if volumes.is_empty() {
        pod_spec.volumes = None;
    }
    pod
}

pub(crate) fn revision(pod: &Pod) -> &str {
    pod.metadata
        .labels
        .as_ref()
        .and_then(|labels| labels.get(REVISION_LABEL))
        .map(String::as_str)
        .unwrap_or_default()
}

fn deletes(policy: Option<&String>) -> bool {
    policy.is_some_and(|policy| policy == "Delete")
}

fn retention(set: &StatefulSet) -> StatefulSetPersistentVolumeClaimRetentionPolicy {
    let spec = set.spec.as_ref();
    spec.and_then(|spec| spec.persistent_volume_claim_retention_policy.clone())
        .unwrap_or_default()
}

/// The owner a claim should have by the retention policy: the set, the pod that is scaled away, or nobody.
pub(crate) fn claim_owner(set: &StatefulSet, pod: Option<&Pod>, condemned: bool) -> Option<OwnerReference> {
    let policy = retention(set);
    if condemned && deletes(policy.when_scaled.as_ref()) {
        return pod.map(|pod| OwnerReference {
            controller: None,
            block_owner_deletion: None,
            ..reference_to(pod)
        });
    }
    deletes(policy.when_deleted.as_ref()).then(|| reference_to(set))
}

/// The owner references of a claim after the policy is applied, unless they are right already. References of others stay.
pub(crate) fn corrected_owners(
    set: &StatefulSet,
    pod: Option<&Pod>,
    claim: &PersistentVolumeClaim,
    condemned: bool,
) -> Option<Vec<OwnerReference>> {
    let current = claim.metadata.owner_references.clone().unwrap_or_default();
    let foreign_controller =
        current.iter().any(|owner| owner.controller == Some(true)) && !is_controlled_by(&claim.metadata, &set.metadata);
    let wanted = claim_owner(set, pod, condemned);
    let is_ours = |owner: &OwnerReference| {
        Some(&owner.uid) == set.metadata.uid.as_ref()
            || (owner.kind == "Pod" && owner.name == pod.and_then(|pod| pod.metadata.name.clone()).unwrap_or_default())
    };
    if foreign_controller {
        return None;
    }
    let mut updated: Vec<OwnerReference> = current.iter().filter(|owner| !is_ours(owner)).cloned().collect();
    let kept = current
        .iter()
        .find(|owner| wanted.as_ref().is_some_and(|wanted| wanted.uid == owner.uid))
        .cloned();
    updated.extend(kept.or(wanted));
    (updated != current).then_some(updated)
}
