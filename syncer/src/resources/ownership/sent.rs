//! What the virtual cluster's owners write and the host may be too old for.

use serde_json::Value;

use crate::engine::plan::Note;
use crate::json;
use crate::kinds::{Kind, Side};
use crate::resources::copied::Fields;
use crate::world::World;

/// What becomes of an object that uses a field which the host does not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Without {
    /// It does what it should all the same; servers set it by themselves.
    Nothing,
    /// It lacks something that its owner should know of.
    Warning,
    /// It would be another object.
    Refusal,
}

/// A field of a spec that the virtual cluster's owner writes; of a kind without a spec, of the object.
struct Sent {
    kind: Kind,
    path: &'static str,
    since: u32,
    without: Without,
}

const fn field(kind: Kind, path: &'static str, since: u32, without: Without) -> Sent {
    Sent {
        kind,
        path,
        since,
        without,
    }
}

/// What not every host knows. Keys of labels that select (`matchLabelKeys`) are missing on purpose: no host hears of them.
#[rustfmt::skip]
const TABLE: &[Sent] = &[
    field(Kind::Pod, "topologySpreadConstraints[].nodeAffinityPolicy", 26, Without::Warning),
    field(Kind::Pod, "topologySpreadConstraints[].nodeTaintsPolicy", 26, Without::Warning),
    field(Kind::Pod, "topologySpreadConstraints[].minDomains", 27, Without::Warning),
    field(Kind::Pod, "schedulingGates", 27, Without::Refusal),
    field(Kind::Pod, "initContainers[].restartPolicy", 29, Without::Refusal),
    field(Kind::Pod, "*ontainers[].lifecycle.preStop.sleep", 30, Without::Warning),
    field(Kind::Pod, "*ontainers[].lifecycle.postStart.sleep", 30, Without::Warning),
    field(Kind::Pod, "securityContext.appArmorProfile", 30, Without::Refusal),
    field(Kind::Pod, "*ontainers[].securityContext.appArmorProfile", 30, Without::Refusal),
    field(Kind::Pod, "*ontainers[].volumeMounts[].recursiveReadOnly", 31, Without::Refusal),
    field(Kind::Pod, "hostUsers", 33, Without::Refusal),
    field(Kind::Pod, "*ontainers[].securityContext.procMount", 33, Without::Warning),
    field(Kind::Pod, "securityContext.supplementalGroupsPolicy", 33, Without::Warning),
    field(Kind::Pod, "securityContext.seLinuxChangePolicy", 33, Without::Warning),
    field(Kind::Pod, "*ontainers[].resizePolicy", 33, Without::Nothing),
    field(Kind::Pod, "resources", 34, Without::Warning),
    field(Kind::Pod, "resourceClaims", 34, Without::Refusal),
    field(Kind::Pod, "*ontainers[].resources.claims", 34, Without::Refusal),
    field(Kind::Pod, "hostnameOverride", 35, Without::Refusal),
    field(Kind::Pod, "containers[].restartPolicy", 35, Without::Refusal),
    field(Kind::Pod, "*ontainers[].restartPolicyRules", 35, Without::Refusal),
    field(Kind::Pod, "*ontainers[].env[].valueFrom.fileKeyRef", 35, Without::Refusal),
    field(Kind::Pod, "volumes[].image", 35, Without::Refusal),
    field(Kind::Service, "trafficDistribution", 31, Without::Warning),
    field(Kind::PodDisruptionBudget, "unhealthyPodEvictionPolicy", 27, Without::Warning),
    field(Kind::PersistentVolumeClaim, "volumeAttributesClassName", 34, Without::Warning),
    field(Kind::PersistentVolume, "volumeAttributesClassName", 34, Without::Warning),
    field(Kind::EndpointSlice, "endpoints[].hints.forNodes", 34, Without::Nothing),
];

/// Lists of containers, which have the same fields: `*ontainers` above.
const CONTAINERS: [&str; 3] = ["initContainers", "containers", "ephemeralContainers"];

/// Takes what the host does not know out of a spec, and says what that means.
pub(in crate::resources) fn fit(world: &World, kind: Kind, spec: &mut Value) -> Vec<Note> {
    let minor = world.versions.minor(Side::Host);
    let mut notes = Vec::new();
    for field in TABLE.iter().filter(|field| field.kind == kind && field.since > minor) {
        let lists: &[&str] = if field.path.starts_with('*') {
            &CONTAINERS
        } else {
            &[""]
        };
        for list in lists {
            let path = field.path.replace("*ontainers", list);
            let parts: Vec<&str> = path.split('.').collect();
            if !take(spec, &parts) {
                continue;
            }
            let cause = format!(
                "the host runs Kubernetes 1.{minor}, which does not know spec.{path}: it takes 1.{}",
                field.since
            );
            match field.without {
                Without::Nothing => {}
                Without::Warning => notes.push(Note::warning(format!("{cause}; the field is left out"))),
                Without::Refusal => notes.push(Note::error(format!("Error syncing to host cluster: {cause}"))),
            }
        }
    }
    notes
}

/// The same for the top-level fields of an object.
pub(in crate::resources) fn fit_fields(world: &World, kind: Kind, fields: &mut Fields) -> Vec<Note> {
    match fields.get_mut("spec") {
        Some(spec) => fit(world, kind, spec),
        None => {
            let mut whole = Value::Object(std::mem::take(fields));
            let notes = fit(world, kind, &mut whole);
            if let Value::Object(whole) = whole {
                *fields = whole;
            }
            notes
        }
    }
}

/// Removes a field; `name[]` stands for all elements of a list. Returns whether it was there.
fn take(value: &mut Value, path: &[&str]) -> bool {
    match path {
        [] => false,
        [last] => value.as_object_mut().is_some_and(|map| map.remove(*last).is_some()),
        [first, rest @ ..] => match first.strip_suffix("[]") {
            // Of all of them, not only until the first that has it.
            Some(list) => {
                json::items_mut(value, list)
                    .map(|item| take(item, rest))
                    .filter(|taken| *taken)
                    .count()
                    > 0
            }
            None => value.get_mut(*first).is_some_and(|inner| take(inner, rest)),
        },
    }
}
