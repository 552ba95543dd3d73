//! Volumes stay while they are bound to a claim (`pkg/controller/volume/pvprotection`).

use std::sync::Arc;

use client::{Change, Informer, ObjectKey, WorkQueue};
use k8s_openapi::api::core::v1::PersistentVolume;
use kube::{Api, Client};

use super::{Duty, duty, write};
use crate::context::{Context, Task};
use crate::error::Result;
use crate::workers::{Reconcile, run};

const NAME: &str = "persistentvolume-protection-controller";
const FINALIZER: &str = "kubernetes.io/pv-protection";

struct Controller {
    client: Client,
    volumes: Informer<PersistentVolume>,
    queue: WorkQueue<ObjectKey>,
}

pub(crate) fn start(context: &Arc<Context>) -> Task {
    let controller = Arc::new(Controller {
        client: context.client.clone(),
        volumes: context.informers.volumes(),
        queue: WorkQueue::new(),
    });
    let queue = controller.queue.clone();
    controller.volumes.on_change(move |change| {
        let meta = &change.object().metadata;
        if !matches!(change, Change::Deleted(_)) && duty(meta, FINALIZER) != Duty::None {
            queue.add(ObjectKey::of(meta));
        }
    });
    run(NAME, context, 1, controller)
}

/// By its status, which the controller that binds volumes writes.
fn is_bound(volume: &PersistentVolume) -> bool {
    let status = volume.status.as_ref();
    status.and_then(|status| status.phase.as_deref()) == Some("Bound")
}

impl Reconcile for Controller {
    fn queue(&self) -> &WorkQueue<ObjectKey> {
        &self.queue
    }

    async fn sync(&self, key: ObjectKey) -> Result {
        let Some(volume) = self.volumes.get(&key) else {
            return Ok(());
        };
        let set = match duty(&volume.metadata, FINALIZER) {
            Duty::Set => true,
            Duty::Release if !is_bound(&volume) => false,
            _ => return Ok(()),
        };
        write(&Api::all(self.client.clone()), volume.as_ref(), FINALIZER, set).await
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_bound_volumes_are_in_use() {
        for (status, expected) in [
            (json!({}), false),
            (json!({"phase": "Available"}), false),
            (json!({"phase": "Bound"}), true),
            (json!({"phase": "Released"}), false),
        ] {
            let volume = serde_json::from_value(json!({"metadata": {}, "status": status})).unwrap();
            assert_eq!(is_bound(&volume), expected, "{status}");
        }
    }
}
