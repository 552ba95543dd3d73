//! Who controls an object, and taking over or letting go of objects that do or do not match a selector
//! (`pkg/controller/controller_ref_manager.go`).

use std::fmt::Debug;
use std::sync::Arc;

use client::{Informer, ObjectKey};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::api::{Patch, PatchParams};
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::error::{During, Result, SyncError, is_not_found};

/// The owner reference that says "controller", if there is one.
pub(crate) fn controller_of(meta: &ObjectMeta) -> Option<&OwnerReference> {
    meta.owner_references
        .iter()
        .flatten()
        .find(|owner| owner.controller == Some(true))
}

pub(crate) fn is_controlled_by(meta: &ObjectMeta, owner: &ObjectMeta) -> bool {
    owner.uid.is_some() && controller_of(meta).map(|reference| &reference.uid) == owner.uid.as_ref()
}

/// An object in messages, as in `StatefulSet shop/db`.
pub(crate) fn describe<O: Resource<DynamicType = ()>>(object: &O) -> String {
    format!("{} {}", O::kind(&()), ObjectKey::of(object.meta()))
}

/// The reference a controller puts into what it creates.
pub(crate) fn reference_to<O: Resource<DynamicType = ()>>(owner: &O) -> OwnerReference {
    OwnerReference {
        api_version: O::api_version(&()).into_owned(),
        kind: O::kind(&()).into_owned(),
        name: owner.meta().name.clone().unwrap_or_default(),
        uid: owner.meta().uid.clone().unwrap_or_default(),
        controller: Some(true),
        block_owner_deletion: Some(true),
    }
}

/// The object of kind `O` that controls `meta`, if the reference still means the object of that name.
pub(crate) fn resolve<O>(meta: &ObjectMeta, owners: &Informer<O>) -> Option<Arc<O>>
where
    O: Resource<DynamicType = ()> + Send + Sync + 'static,
{
    let reference = controller_of(meta)?;
    if reference.kind != O::kind(&()) {
        return None;
    }
    let owner = owners.get(&ObjectKey::new(
        meta.namespace.as_deref().unwrap_or_default(),
        &reference.name,
    ))?;
    (owner.meta().uid.as_deref() == Some(reference.uid.as_str())).then_some(owner)
}

/// What to do with one object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Claim {
    /// Ours, and stays so.
    Keep,
    /// An orphan that matches.
    Adopt,
    /// Ours, and matches no more.
    Release,
    /// Somebody else's, or nobody's concern.
    Ignore,
}

/// The rule of `BaseControllerRefManager.ClaimObject`.
pub(crate) fn decide(owner: &ObjectMeta, object: &ObjectMeta, matches: bool) -> Claim {
    let owner_deleting = owner.deletion_timestamp.is_some();
    match controller_of(object) {
        Some(reference) if Some(&reference.uid) != owner.uid.as_ref() => Claim::Ignore,
        Some(_) if matches => Claim::Keep,
        Some(_) if owner_deleting => Claim::Ignore,
        Some(_) => Claim::Release,
        None if owner_deleting || !matches || object.deletion_timestamp.is_some() => Claim::Ignore,
        None => Claim::Adopt,
    }
}

/// Returns the objects that belong to `owner`, after adopting matching orphans and releasing what matches no more.
pub(crate) async fn claim<O, K>(
    client: &Client,
    owner: &O,
    objects: Vec<Arc<K>>,
    matches: impl Fn(&K) -> bool,
) -> Result<Vec<Arc<K>>>
where
    O: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope> + Clone + DeserializeOwned + Debug,
    K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope> + Clone + DeserializeOwned + Debug,
{
    let mut claimed = Vec::with_capacity(objects.len());
    let mut may_adopt = false;
    for object in objects {
        match decide(owner.meta(), object.meta(), matches(&object)) {
            Claim::Keep => claimed.push(object),
            Claim::Ignore => {}
            Claim::Release => release(client, owner, object.as_ref()).await?,
            Claim::Adopt => {
                if !may_adopt {
                    check_may_adopt(client, owner).await?;
                    may_adopt = true;
                }
                if adopt(client, owner, object.as_ref()).await? {
                    claimed.push(object);
                }
            }
        }
    }
    Ok(claimed)
}

/// The informer may lag behind a deletion, so the owner is asked for freshly before it adopts anything.
async fn check_may_adopt<O>(client: &Client, owner: &O) -> Result
where
    O: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope> + Clone + DeserializeOwned + Debug,
{
    let key = ObjectKey::of(owner.meta());
    let kind = O::kind(&());
    let api: Api<O> = Api::namespaced(client.clone(), &key.namespace);
    let fresh = api
        .get_metadata(&key.name)
        .await
        .during(format_args!("looking at {kind} {key} before adopting"))?;
    if fresh.metadata.uid != owner.meta().uid {
        return Err(SyncError::Invalid(format!(
            "{kind} {key} was replaced by another object of that name"
        )));
    }
    if fresh.metadata.deletion_timestamp.is_some() {
        return Err(SyncError::Invalid(format!("{kind} {key} has just been deleted")));
    }
    Ok(())
}

async fn adopt<O, K>(client: &Client, owner: &O, object: &K) -> Result<bool>
where
    O: Resource<DynamicType = ()>,
    K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope> + Clone + DeserializeOwned + Debug,
{
    let patch = json!({ "metadata": { "uid": object.meta().uid, "ownerReferences": [reference_to(owner)] } });
    patch_metadata(client, object, patch, "adopting").await
}

async fn release<O, K>(client: &Client, owner: &O, object: &K) -> Result
where
    O: Resource<DynamicType = ()>,
    K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope> + Clone + DeserializeOwned + Debug,
{
    let gone = json!([{ "$patch": "delete", "uid": owner.meta().uid }]);
    let patch = json!({ "metadata": { "uid": object.meta().uid, "ownerReferences": gone } });
    patch_metadata(client, object, patch, "releasing").await.map(|_| ())
}

/// Returns whether the object was still there.
async fn patch_metadata<K>(client: &Client, object: &K, patch: serde_json::Value, action: &str) -> Result<bool>
where
    K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope> + Clone + DeserializeOwned + Debug,
{
    let key = ObjectKey::of(object.meta());
    let api: Api<K> = Api::namespaced(client.clone(), &key.namespace);
    match api
        .patch_metadata(&key.name, &PatchParams::default(), &Patch::Strategic(patch))
        .await
    {
        Ok(_) => Ok(true),
        Err(error) if is_not_found(&error) => Ok(false),
        Err(error) => Err(error).during(format_args!("{action} {} {key}", K::kind(&()))),
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    use super::*;

    fn meta(uid: &str, deleting: bool, controller: Option<&str>) -> ObjectMeta {
        ObjectMeta {
            uid: Some(uid.to_owned()),
            deletion_timestamp: deleting.then_some(Time(Timestamp::UNIX_EPOCH)),
            owner_references: controller.map(|uid| {
                vec![OwnerReference {
                    uid: uid.to_owned(),
                    controller: Some(true),
                    ..OwnerReference::default()
                }]
            }),
            ..ObjectMeta::default()
        }
    }

    #[test]
    fn who_takes_what() {
        let table = [
            // owner deleting, object's controller, object deleting, matches
            (false, Some("me"), false, true, Claim::Keep),
            (true, Some("me"), false, true, Claim::Keep),
            (false, Some("me"), false, false, Claim::Release),
            (true, Some("me"), false, false, Claim::Ignore),
            (false, Some("other"), false, true, Claim::Ignore),
            (false, None, false, true, Claim::Adopt),
            (false, None, false, false, Claim::Ignore),
            (true, None, false, true, Claim::Ignore),
            (false, None, true, true, Claim::Ignore),
        ];
        for (owner_deleting, controller, object_deleting, matches, expected) in table {
            let owner = meta("me", owner_deleting, None);
            let object = meta("object", object_deleting, controller);
            assert_eq!(
                decide(&owner, &object, matches),
                expected,
                "{controller:?} {object_deleting} {matches}"
            );
        }
    }
}
