//! Owners as seen through the scale subresource, and back (apimachinery `pkg/util/managedfields/scalehandler.go`).

use serde_json::Value;

use super::fieldset::{Set, fields};
use super::managed::{Managed, Owned};

const SCALE_VERSION: &str = "autoscaling/v1";

/// Where a version of an object has its replicas; `None` where it has none.
pub type Replicas<'a> = dyn Fn(&str) -> Option<Vec<&'a str>> + 'a;

/// The owners of an object's replicas as the scale subresource shows them: a Scale's managedFields.
pub fn to_scale(parent: &Managed, replicas: &Replicas<'_>) -> Managed {
    let mut scale = Managed::default();
    for (id, owned) in &parent.fields {
        let Some(path) = replicas(&owned.api_version) else {
            continue;
        };
        if owned.set.has(&fields(&path)) {
            let set = Set::of_fields(&[&["spec", "replicas"]]);
            scale.fields.insert(
                id.clone(),
                Owned {
                    set,
                    api_version: SCALE_VERSION.to_owned(),
                    applied: owned.applied,
                },
            );
            if let Some(time) = parent.times.get(id) {
                scale.times.insert(id.clone(), time.clone());
            }
        }
    }
    scale
}

/// The owners of the object after those of its scale have changed. `api_version` is the object's.
pub fn to_parent(parent: &Managed, scale: &Managed, api_version: &str, replicas: &Replicas<'_>) -> Managed {
    let mut merged = Managed::default();
    let mut rest = scale.fields.clone();
    for (id, owned) in &parent.fields {
        let path = replicas(&owned.api_version)
            .map(|path| fields(&path))
            .filter(|path| owned.set.has(path));
        let mut owned = owned.clone();
        if let Some(path) = path
            && rest.remove(id).is_none()
        {
            let mut lost = Set::default();
            lost.insert(&path);
            owned.set = owned.set.difference(&lost);
            if owned.set.is_empty() {
                continue;
            }
        }
        merged.fields.insert(id.clone(), owned);
    }
    for (id, owned) in rest {
        let Some(path) = replicas(api_version).filter(|_| owned.set.has(&fields(&["spec", "replicas"]))) else {
            continue;
        };
        let set = Set::of_fields(&[&path]);
        merged.fields.insert(
            id,
            Owned {
                set,
                api_version: api_version.to_owned(),
                applied: owned.applied,
            },
        );
    }
    // Upstream forgets the times of what the scale has changed.
    merged.times = parent
        .times
        .iter()
        .map(|(id, time)| (id.clone(), time.clone()))
        .collect();
    merged.times.retain(|id, _| merged.fields.contains_key(id));
    merged
}

/// Replaces an object's managedFields by these managers.
pub fn write(object: &mut Value, managed: &Managed) {
    managed.write(object);
}
