//! VolumeAttributesClasses stay while a volume or claim names them (`pkg/controller/volume/vacprotection`).

use std::sync::Arc;

use client::{Change, Informer, ObjectKey, WorkQueue};
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::api::storage::v1::VolumeAttributesClass;
use kube::{Api, Client};

use super::{Duty, duty, write};
use crate::common::attribute_classes::{named_by_claim, named_by_volume};
use crate::context::{Context, Task};
use crate::error::Result;
use crate::informers::Informers;
use crate::workers::{Reconcile, run};

const NAME: &str = "volumeattributesclass-protection-controller";
const FINALIZER: &str = "kubernetes.io/vac-protection";

struct Controller {
    client: Client,
    informers: Arc<Informers>,
    classes: Informer<VolumeAttributesClass>,
    volumes: Informer<PersistentVolume>,
    claims: Informer<PersistentVolumeClaim>,
    queue: WorkQueue<ObjectKey>,
}

/// The classes that were named before and are not any more.
fn let_go<K>(change: &Change<'_, K>, named: fn(&K) -> Vec<String>) -> Vec<String> {
    match change {
        Change::Added(_) => Vec::new(),
        Change::Deleted(last) => named(last),
        Change::Updated { old, new } => {
            let still = named(new);
            named(old).into_iter().filter(|class| !still.contains(class)).collect()
        }
    }
}

pub(crate) fn start(context: &Arc<Context>) -> Task {
    let controller = Arc::new(Controller {
        client: context.client.clone(),
        informers: context.informers.clone(),
        classes: context.informers.attribute_classes(),
        volumes: context.informers.volumes(),
        claims: context.informers.claims(),
        queue: WorkQueue::new(),
    });
    let queue = controller.queue.clone();
    controller.classes.on_change(move |change| {
        let meta = &change.object().metadata;
        if !matches!(change, Change::Deleted(_)) && duty(meta, FINALIZER) != Duty::None {
            queue.add(ObjectKey::of(meta));
        }
    });
    let queue = controller.queue.clone();
    controller.volumes.on_change(move |change| {
        for class in let_go(change, named_by_volume) {
            queue.add(ObjectKey::new("", &class));
        }
    });
    let queue = controller.queue.clone();
    controller.claims.on_change(move |change| {
        for class in let_go(change, named_by_claim) {
            queue.add(ObjectKey::new("", &class));
        }
    });
    run(NAME, context, 1, controller)
}

impl Reconcile for Controller {
    fn queue(&self) -> &WorkQueue<ObjectKey> {
        &self.queue
    }

    async fn sync(&self, key: ObjectKey) -> Result {
        let Some(class) = self.classes.get(&key) else {
            return Ok(());
        };
        let set = match duty(&class.metadata, FINALIZER) {
            Duty::Set => true,
            Duty::Release if !self.is_used(&key.name) => false,
            _ => return Ok(()),
        };
        write(&Api::all(self.client.clone()), class.as_ref(), FINALIZER, set).await
    }
}

impl Controller {
    fn is_used(&self, class: &str) -> bool {
        let volumes = self.volumes.by_index(self.informers.volumes_by_attributes_class, class);
        !volumes.is_empty()
            || !self
                .claims
                .by_index(self.informers.claims_by_attributes_class, class)
                .is_empty()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn claim(spec: Value, status: Value) -> Arc<PersistentVolumeClaim> {
        Arc::new(serde_json::from_value(json!({"metadata": {}, "spec": spec, "status": status})).unwrap())
    }

    #[test]
    fn a_claim_lets_go_of_what_it_names_no_more() {
        let status = json!({
            "currentVolumeAttributesClassName": "a",
            "modifyVolumeStatus": {"targetVolumeAttributesClassName": "b", "status": "InProgress"},
        });
        let moving = claim(json!({"volumeAttributesClassName": "b"}), status);
        assert_eq!(named_by_claim(&moving), ["b", "a", "b"]);
        let arrived = claim(
            json!({"volumeAttributesClassName": "b"}),
            json!({"currentVolumeAttributesClassName": "b"}),
        );
        let (old, new) = (&moving, &arrived);
        assert_eq!(let_go(&Change::Updated { old, new }, named_by_claim), ["a"]);
        assert_eq!(let_go(&Change::Added(old), named_by_claim), [""; 0]);
        assert_eq!(let_go(&Change::Deleted(new), named_by_claim), ["b", "b"]);
        assert!(named_by_claim(&claim(json!({"volumeAttributesClassName": ""}), json!({}))).is_empty());
    }
}
