//! The service account controller: every active namespace has a ServiceAccount called `default`.

use std::sync::Arc;

use client::{Change, Informer, ObjectKey, WorkQueue};
use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use kube::api::PostParams;
use kube::{Api, Client};

use crate::context::{Context, Task};
use crate::error::{During, Result, is_already_exists, is_namespace_terminating, is_not_found};
use crate::workers::{Reconcile, run};

const NAME: &str = "serviceaccount-controller";
const ACCOUNT: &str = "default";

struct Controller {
    client: Client,
    namespaces: Informer<Namespace>,
    accounts: Informer<ServiceAccount>,
    queue: WorkQueue<ObjectKey>,
}

/// Whether the namespace takes new objects.
pub(crate) fn is_active(namespace: &Namespace) -> bool {
    let phase = namespace.status.as_ref().and_then(|status| status.phase.as_deref());
    namespace.metadata.deletion_timestamp.is_none() && phase != Some("Terminating")
}

pub(crate) fn start(context: &Arc<Context>) -> Task {
    let controller = Arc::new(Controller {
        client: context.client.clone(),
        namespaces: context.informers.namespaces(),
        accounts: context.informers.service_accounts(),
        queue: WorkQueue::new(),
    });
    let queue = controller.queue.clone();
    controller.namespaces.on_change(move |change| {
        if !matches!(change, Change::Deleted(_)) {
            queue.add(ObjectKey::of(&change.object().metadata));
        }
    });
    let queue = controller.queue.clone();
    controller.accounts.on_change(move |change| {
        if let Change::Deleted(account) = change
            && account.metadata.name.as_deref() == Some(ACCOUNT)
        {
            queue.add(ObjectKey::new(
                "",
                account.metadata.namespace.as_deref().unwrap_or_default(),
            ));
        }
    });
    run(NAME, context, 1, controller)
}

impl Reconcile for Controller {
    fn queue(&self) -> &WorkQueue<ObjectKey> {
        &self.queue
    }

    async fn sync(&self, key: ObjectKey) -> Result {
        let active = self.namespaces.get(&key).is_some_and(|namespace| is_active(&namespace));
        if !active || self.accounts.get(&ObjectKey::new(&key.name, ACCOUNT)).is_some() {
            return Ok(());
        }
        let mut account = ServiceAccount::default();
        account.metadata.name = Some(ACCOUNT.to_owned());
        account.metadata.namespace = Some(key.name.clone());
        let api: Api<ServiceAccount> = Api::namespaced(self.client.clone(), &key.name);
        match api.create(&PostParams::default(), &account).await {
            Err(error) if is_already_exists(&error) || is_namespace_terminating(&error) || is_not_found(&error) => {
                Ok(())
            }
            result => result
                .map(|_| ())
                .during(format_args!("creating the default service account of namespace {key}")),
        }
    }
}
