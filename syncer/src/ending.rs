//! The end of a virtual cluster. The control plane's StatefulSet owns its Service, and that owns all copies: the host deletes them one
//! after the other. Copies that lie in no namespace cannot be owned like that: the control plane's ClusterRole owns them, and the
//! namespace owns that. Whoever uninstalls a release takes the rights away with the StatefulSet, but with the ClusterRole goes the
//! rest. Where it stays, the last thing this process does is to delete them.

use std::sync::Arc;
use std::time::Duration;

use chassis::CancellationToken;
use serde_json::{Value, json};
use tracing::{debug, info, warn};

use crate::clusters::{Api, ApiError, Patch};
use crate::engine::Engine;
use crate::json;
use crate::kinds::{Kind, Side};
use crate::object::Object;
use crate::resources::copied_outside;

/// Delay between attempts.
const RETRY: Duration = Duration::from_secs(5);
/// The finalizer of objects whose dependents are to stay (`k8s.io/apimachinery/pkg/apis/meta/v1`, `FinalizerOrphanDependents`).
const ORPHAN: &str = "orphan";

/// Sees to it that deleting the control plane's StatefulSet deletes everything; ends after `shutdown`.
pub async fn run(engine: Arc<Engine>, shutdown: CancellationToken) {
    let mut ending = Ending::new(engine);
    tokio::select! {
        () = shutdown.cancelled() => {}
        () = ending.keep_owner() => {}
    }
    if ending.has_come().await {
        info!("the control plane is being deleted: deleting what lies outside of its namespace");
        ending.engine.delete_outside().await;
        ending.withdraw().await;
    }
}

/// Learns which ClusterRole is ours, and has the namespace own it. It is not known any more when it is not there, or not for us.
///
/// # Errors
/// What another attempt may help with.
pub async fn find_cluster_role(engine: &Engine) -> Result<(), ApiError> {
    let world = engine.world();
    let name = world.settings.cluster_role_name();
    let Some(namespace) = world
        .control_plane
        .get(Kind::Namespace, "", world.names.host_namespace())
        .filter(|_| world.settings.set_owner && copied_outside(&world.settings).next().is_some())
    else {
        return Ok(());
    };
    let cache = world.control_plane.of(Kind::ClusterRole);
    let known = cache.get("", &name);
    match owned_by(engine.api(Side::Host), &name, &namespace).await {
        Ok(role) => {
            if let Some(known) = known.filter(|known| known.uid() != json::text(&role, &["metadata", "uid"])) {
                cache.remove(known.key(), known.uid());
            }
            cache.apply(Object::new(role));
        }
        Err(error) if error.code() == 0 || error.code() >= 429 || error.code() == 409 => return Err(error),
        Err(error) => {
            debug!(%error, name, "the ClusterRole owns nothing");
            known.map(|known| cache.remove(known.key(), known.uid()));
        }
    }
    Ok(())
}

/// The ClusterRole, which the namespace owns.
async fn owned_by(host: &Api, name: &str, namespace: &Object) -> Result<Value, ApiError> {
    let role = host.get(Kind::ClusterRole, "", name).await?;
    if is_owner(&role, namespace.uid()) {
        return Ok(role);
    }
    let own = json!({
        "apiVersion": Kind::Namespace.api_version(), "kind": Kind::Namespace.name(), "name": namespace.key().name,
        "uid": namespace.uid(),
    });
    let all: Vec<Value> = owners(&role).iter().cloned().chain([own]).collect();
    let metadata = json!({
        "ownerReferences": all, "uid": role["metadata"]["uid"], "resourceVersion": role["metadata"]["resourceVersion"],
    });
    let body = json!({"metadata": metadata});
    host.patch((Kind::ClusterRole, "", name), "", Patch::Merge, &body)
        .await?;
    Ok(role)
}

struct Ending {
    engine: Arc<Engine>,
    /// The uid of the StatefulSet, once it was seen.
    uid: Option<String>,
}

impl Ending {
    fn new(engine: Arc<Engine>) -> Self {
        Self { engine, uid: None }
    }

    fn host(&self) -> &Api {
        self.engine.api(Side::Host)
    }

    fn namespace(&self) -> &str {
        self.engine.world().names.host_namespace()
    }

    /// Keeps the StatefulSet the owner of the Service, for ever.
    async fn keep_owner(&mut self) {
        loop {
            match self.own().await {
                Ok(()) => self.changed().await,
                Err(error) if error.code() == 0 || error.code() >= 429 || error.code() == 409 => {
                    debug!(%error, "cannot make the StatefulSet the owner of the Service yet");
                    tokio::time::sleep(RETRY).await;
                }
                Err(error) => {
                    warn!(%error, "deleting the StatefulSet will not delete what belongs to the virtual cluster");
                    self.changed().await;
                }
            }
        }
    }

    /// Waits until the control plane's own objects have changed. When copies that lie in no namespace go meanwhile, another
    /// ClusterRole may have taken the place of the one that owned them.
    async fn changed(&self) {
        let world = self.engine.world();
        loop {
            tokio::select! {
                () = world.control_plane_changed() => return,
                () = world.outside_gone() => {}
            }
            if let Err(error) = find_cluster_role(&self.engine).await {
                debug!(%error, "cannot tell whether the ClusterRole is still the same");
            }
        }
    }

    /// Makes the StatefulSet an owner of the Service, if both are there.
    async fn own(&mut self) -> Result<(), ApiError> {
        let world = self.engine.world();
        let (Some(name), Some(service)) = (world.settings.owner_of_service(), world.control_plane_service()) else {
            return Ok(());
        };
        let service = service.value();
        if self.uid.as_ref().is_some_and(|uid| is_owner(&service, uid)) {
            return Ok(());
        }
        let set = match self.host().get(Kind::StatefulSet, self.namespace(), name).await {
            // It runs without one.
            Err(error) if error.code() == 404 => return Ok(()),
            set => set?,
        };
        let uid = json::text(&set, &["metadata", "uid"]).to_owned();
        if is_going(&set) {
            return Ok(());
        }
        if !is_owner(&service, &uid) {
            // Others stay, but an earlier one of the same name would have the host delete everything.
            let kept = owners(&service)
                .iter()
                .filter(|owner| owner["kind"] != Kind::StatefulSet.name() || owner["name"] != name);
            let own = json!({
                "apiVersion": Kind::StatefulSet.api_version(), "kind": Kind::StatefulSet.name(), "name": name, "uid": uid,
            });
            let all: Vec<Value> = kept.cloned().chain([own]).collect();
            let metadata = json!({
                "ownerReferences": all, "uid": service["metadata"]["uid"], "resourceVersion": service["metadata"]["resourceVersion"],
            });
            let target = (Kind::Service, self.namespace(), world.settings.service_name.as_str());
            self.host()
                .patch(target, "", Patch::Merge, &json!({"metadata": metadata}))
                .await?;
        }
        self.uid = Some(uid);
        Ok(())
    }

    /// Whether the control plane is being deleted, and everything with it.
    async fn has_come(&self) -> bool {
        let world = self.engine.world();
        let (Some(name), Some(uid)) = (world.settings.owner_of_service(), &self.uid) else {
            return false;
        };
        let settings = &world.settings;
        if copied_outside(settings).next().is_none() && settings.exports_elsewhere().next().is_none() {
            return false;
        }
        let set = self.host().get(Kind::StatefulSet, self.namespace(), name).await;
        let going = match &set {
            Ok(set) if json::text(set, &["metadata", "uid"]) == uid => {
                let finalizers = json::items(set, &["metadata", "finalizers"]);
                is_going(set) && !finalizers.iter().any(|finalizer| finalizer == ORPHAN)
            }
            // Another one has taken its place.
            Ok(_) => false,
            Err(error) => error.code() == 404,
        };
        if !going {
            return false;
        }
        let service = self
            .host()
            .get(Kind::Service, self.namespace(), &world.settings.service_name)
            .await;
        match service {
            // What is left without its owner on purpose no longer names it.
            Ok(service) => is_going(&service) || is_owner(&service, uid),
            Err(error) => error.code() == 404,
        }
    }

    /// Deletes the kubeconfigs of the virtual cluster in other namespaces.
    async fn withdraw(&self) {
        let settings = &self.engine.world().settings;
        for secret in settings.exports_elsewhere() {
            let (namespace, name) = (secret.namespace.as_str(), secret.name.as_str());
            let gone = async {
                let found = self.host().get(Kind::Secret, namespace, name).await?;
                let labels = &found["metadata"]["labels"];
                if labels["app"] == "vcluster" && labels["vcluster-name"] == settings.vcluster.as_str() {
                    let uid = json::text(&found, &["metadata", "uid"]);
                    self.host().delete((Kind::Secret, namespace, name), uid, None).await?;
                }
                Ok::<_, ApiError>(())
            };
            match gone.await {
                Err(error) if error.code() != 404 => {
                    warn!(%error, namespace, name, "the Secret with the kubeconfig is left on the host");
                }
                _ => {}
            }
        }
    }
}

fn owners(object: &Value) -> &[Value] {
    json::items(object, &["metadata", "ownerReferences"])
}

fn is_owner(object: &Value, uid: &str) -> bool {
    owners(object).iter().any(|owner| owner["uid"] == uid)
}

fn is_going(object: &Value) -> bool {
    !json::text(object, &["metadata", "deletionTimestamp"]).is_empty()
}

#[cfg(test)]
mod tests;
