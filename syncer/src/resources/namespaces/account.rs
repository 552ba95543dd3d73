//! The account of the host that pods run as, in every namespace that a virtual one has to itself; in the control plane's own, an
//! installation brings it. Where accounts of the virtual cluster have copies, pods run as these.

use serde_json::{Value, json};

use crate::engine::plan::{Awaited, Place, Step};
use crate::json;
use crate::kinds::{Kind, Side};
use crate::names::keys;
use crate::object::ObjectKey;
use crate::resources::{HostRule, cluster_rule, pair};
use crate::settings::Settings;
use crate::world::World;

/// What is asked of the host besides: an account that does not exist yet cannot be named.
const CREATE: HostRule = cluster_rule("", "serviceaccounts", &["create"]);
/// The same of the one of its name.
const ONE: HostRule = cluster_rule("", "serviceaccounts", &["delete", "get", "list", "watch"]);

/// Whether there is one in every such namespace.
pub fn is_needed(settings: &Settings) -> bool {
    settings.namespaces.is_some()
        && !settings.to_host.contains(&Kind::ServiceAccount)
        && !settings.workload_service_account.is_empty()
}

/// What it takes on the host: rights, and whether they are to the one name only.
pub fn host_rules(settings: &Settings) -> impl Iterator<Item = (&'static HostRule, bool)> {
    let needed = is_needed(settings);
    [(&CREATE, false), (&ONE, true)].into_iter().filter(move |_| needed)
}

fn key(world: &World, host_namespace: &str) -> ObjectKey {
    ObjectKey::new(host_namespace, &world.settings.workload_service_account)
}

fn existing(world: &World, key: &ObjectKey) -> Option<Value> {
    let account = world.host.get(Kind::ServiceAccount, &key.namespace, &key.name)?;
    Some(account.value())
}

/// Makes it where there is none. Somebody's of its name is as good.
pub(super) fn step(world: &World, host_namespace: &str) -> Option<Step> {
    let key = key(world, host_namespace);
    if !is_needed(&world.settings) || existing(world, &key).is_some() {
        return None;
    }
    let labels = json!({"app": "vcluster", keys::MARKER: world.names.vcluster()});
    let mut metadata = json!({"namespace": key.namespace, "name": key.name, "labels": labels});
    // A namespace that was there before stays, and nobody may be left to take this away.
    json::put(
        &mut metadata,
        "ownerReferences",
        world.owner_reference(host_namespace, false),
    );
    Some(Step::Create {
        side: Side::Host,
        kind: Kind::ServiceAccount,
        object: json!({
            "apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata, "automountServiceAccountToken": false,
        }),
    })
}

/// Takes it away again, if it is ours.
pub(super) fn removal(world: &World, host_namespace: &str) -> Option<Step> {
    let key = key(world, host_namespace);
    let account = existing(world, &key)?;
    let ours = json::text(&account, &["metadata", "labels", keys::MARKER]) == world.names.vcluster();
    (ours && is_needed(&world.settings)).then(|| Step::Delete {
        side: Side::Host,
        kind: Kind::ServiceAccount,
        uid: json::text(&account, &["metadata", "uid"]).to_owned(),
        key: pair::key_of(&account),
        grace: None,
    })
}

/// What a new pod of a virtual namespace has to wait for.
pub(in crate::resources) fn awaited(world: &World, namespace: &str) -> Option<Awaited> {
    let host_namespace = world.names.own(namespace).filter(|_| is_needed(&world.settings))?;
    let key = key(world, &host_namespace);
    existing(world, &key).is_none().then_some(Awaited {
        place: Place::Host,
        kind: Kind::ServiceAccount,
        key,
    })
}
