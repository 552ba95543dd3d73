//! Which VolumeAttributesClasses claims and volumes name.

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};

/// The classes a claim names: the one it asks for, the one it has and the one it is on its way to.
pub(crate) fn named_by_claim(claim: &PersistentVolumeClaim) -> Vec<String> {
    let wanted = claim
        .spec
        .as_ref()
        .and_then(|spec| spec.volume_attributes_class_name.clone());
    let status = claim.status.as_ref();
    let current = status.and_then(|status| status.current_volume_attributes_class_name.clone());
    let modifying = status.and_then(|status| status.modify_volume_status.as_ref());
    let target = modifying.and_then(|modifying| modifying.target_volume_attributes_class_name.clone());
    let named = [wanted, current, target].into_iter().flatten();
    named.filter(|class| !class.is_empty()).collect()
}

/// The class a volume names.
pub(crate) fn named_by_volume(volume: &PersistentVolume) -> Vec<String> {
    let class = volume
        .spec
        .as_ref()
        .and_then(|spec| spec.volume_attributes_class_name.clone());
    class.filter(|class| !class.is_empty()).into_iter().collect()
}
