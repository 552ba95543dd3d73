//! Finalizers that keep an object as long as somebody uses it. The API server's StorageObjectInUseProtection sets them; the
//! controllers here take them away, and set them on what is older than that plugin
//! (`pkg/controller/volume/{pvcprotection,pvprotection,vacprotection}`).

pub(super) mod claims;
pub(super) mod classes;
pub(super) mod volumes;

use std::fmt::Debug;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{Patch, PatchParams};
use kube::{Api, Resource};
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::common::ownership::describe;
use crate::error::{During, Result, ignore_not_found};

/// What has to be done about a finalizer (`pkg/controller/volume/protectionutil`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Duty {
    /// Nothing: it is where it belongs, or the object is on its way out without it.
    None,
    /// Set it: nobody did when the object was made.
    Set,
    /// Take it away as soon as nobody uses the object.
    Release,
}

fn duty(meta: &ObjectMeta, finalizer: &str) -> Duty {
    let is_set = meta.finalizers.iter().flatten().any(|one| one == finalizer);
    match (is_set, meta.deletion_timestamp.is_some()) {
        (true, true) => Duty::Release,
        (false, false) => Duty::Set,
        _ => Duty::None,
    }
}

/// The finalizers with that one set or taken away.
fn finalizers(meta: &ObjectMeta, finalizer: &str, set: bool) -> Vec<String> {
    let others = meta.finalizers.iter().flatten().filter(|one| *one != finalizer);
    others.cloned().chain(set.then(|| finalizer.to_owned())).collect()
}

/// Sets a finalizer or takes it away, unless the object changed meanwhile.
async fn write<K>(api: &Api<K>, object: &K, finalizer: &str, set: bool) -> Result
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned,
{
    let meta = object.meta();
    let patch = json!({ "metadata": {
        "uid": meta.uid,
        "resourceVersion": meta.resource_version,
        "finalizers": finalizers(meta, finalizer, set),
    }});
    let name = meta.name.as_deref().unwrap_or_default();
    let written = api.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await;
    let what = if set { "protecting" } else { "releasing" };
    ignore_not_found(written).during(format_args!("{what} {}", describe(object)))
}

#[cfg(test)]
pub(super) mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    use super::*;

    const OURS: &str = "kubernetes.io/pvc-protection";

    fn meta(finalizers: &[&str], deleting: bool) -> ObjectMeta {
        ObjectMeta {
            finalizers: Some(finalizers.iter().map(|one| (*one).to_owned()).collect()),
            deletion_timestamp: deleting.then_some(Time(jiff::Timestamp::UNIX_EPOCH)),
            ..ObjectMeta::default()
        }
    }

    /// What was written is not written again.
    pub(crate) fn rests() {
        for (set, deleting) in [(true, false), (false, true)] {
            let mut object = meta(if set { &[] } else { &[OURS] }, deleting);
            object.finalizers = Some(finalizers(&object, OURS, set));
            assert_eq!(duty(&object, OURS), Duty::None);
        }
    }

    #[test]
    fn who_is_protected_and_who_released() {
        for (given, deleting, expected) in [
            (&[][..], false, Duty::Set),
            (&["a/b"], false, Duty::Set),
            (&[OURS], false, Duty::None),
            (&["a/b", OURS], true, Duty::Release),
            (&["a/b"], true, Duty::None),
        ] {
            assert_eq!(duty(&meta(given, deleting), OURS), expected, "{given:?} {deleting}");
        }
        let both = meta(&[OURS, "a/b"], true);
        assert_eq!(finalizers(&both, OURS, false), ["a/b"]);
        assert_eq!(finalizers(&meta(&["a/b"], false), OURS, true), ["a/b", OURS]);
    }
}
