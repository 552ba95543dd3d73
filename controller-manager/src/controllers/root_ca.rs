//! The root CA publisher: every active namespace has a ConfigMap with the certificate authority of the API server.

use std::collections::BTreeMap;
use std::sync::Arc;

use client::{Change, Informer, ObjectKey, WorkQueue};
use futures::FutureExt;
use futures::future::join;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::api::PostParams;
use kube::runtime::watcher;
use kube::{Api, Client};
use tracing::info;

use super::serviceaccount::is_active;
use crate::context::{Context, Task};
use crate::error::{During, Result, is_already_exists, is_namespace_terminating, is_not_found};
use crate::workers::work;

const NAME: &str = "root-ca-certificate-publisher-controller";
const CONFIG_MAP: &str = "kube-root-ca.crt";
const KEY: &str = "ca.crt";
const DESCRIPTION_KEY: &str = "kubernetes.io/description";
/// The text upstream puts there; it is compared, so it has to be the same.
const DESCRIPTION: &str = "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints \
                           such as the internal service IP or kubernetes.default.svc. No other usage is guaranteed across \
                           distributions of Kubernetes clusters.";

struct Controller {
    client: Client,
    root_ca: String,
    namespaces: Informer<Namespace>,
    /// Only the config maps of this name, not all of the cluster.
    config_maps: Informer<ConfigMap>,
    queue: WorkQueue<ObjectKey>,
}

pub(crate) fn start(context: &Arc<Context>) -> Task {
    let Some(root_ca) = context.settings.root_ca.clone() else {
        info!("no --root-ca-file: {CONFIG_MAP} is not published");
        return futures::future::pending().boxed();
    };
    let controller = Arc::new(Controller {
        client: context.client.clone(),
        root_ca,
        namespaces: context.informers.namespaces(),
        config_maps: Informer::new(),
        queue: WorkQueue::new(),
    });
    let queue = controller.queue.clone();
    controller.namespaces.on_change(move |change| {
        if !matches!(change, Change::Deleted(_)) {
            queue.add(ObjectKey::of(&change.object().metadata));
        }
    });
    let queue = controller.queue.clone();
    controller.config_maps.on_change(move |change| {
        queue.add(ObjectKey::new(
            "",
            change.object().metadata.namespace.as_deref().unwrap_or_default(),
        ));
    });
    let context = context.clone();
    async move {
        let only_ours = watcher::Config::default().fields(&format!("metadata.name={CONFIG_MAP}"));
        let events = watcher(Api::<ConfigMap>::all(context.client.clone()), only_ours);
        let watch = controller
            .config_maps
            .run("ConfigMap", events, |config_map| trim(config_map, &controller.root_ca));
        let work = async {
            context.informers.synced().await;
            controller.config_maps.synced().await;
            work(NAME, &controller.queue, 1, &context.metrics, |key| controller.sync(key)).await;
        };
        join(watch, work).await;
    }
    .boxed()
}

impl Controller {
    async fn sync(&self, key: ObjectKey) -> Result {
        let namespace = self.namespaces.get(&key);
        if !namespace.is_some_and(|namespace| is_active(&namespace)) {
            return Ok(());
        }
        let current = self.config_maps.get(&ObjectKey::new(&key.name, CONFIG_MAP));
        if current.as_deref().is_some_and(is_right) {
            return Ok(());
        }
        let api: Api<ConfigMap> = Api::namespaced(self.client.clone(), &key.name);
        let wanted = corrected(current.as_deref(), &key.name, &self.root_ca);
        let written = match current {
            None => api.create(&PostParams::default(), &wanted).await,
            Some(_) => api.replace(CONFIG_MAP, &PostParams::default(), &wanted).await,
        };
        match written {
            Err(error) if is_already_exists(&error) || is_namespace_terminating(&error) || is_not_found(&error) => {
                Ok(())
            }
            written => written
                .map(|_| ())
                .during(format_args!("publishing {CONFIG_MAP} in namespace {key}")),
        }
    }
}

/// The right content need not be kept once per namespace: an empty value stands for it.
fn trim(config_map: &mut ConfigMap, root_ca: &str) {
    let value = config_map.data.as_mut().and_then(|data| data.get_mut(KEY));
    match value {
        Some(value) if *value == root_ca => value.clear(),
        Some(value) => "differs".clone_into(value),
        None => {}
    }
}

/// Whether a trimmed config map needs no write.
fn is_right(config_map: &ConfigMap) -> bool {
    let data = config_map.data.as_ref();
    let annotations = config_map.metadata.annotations.as_ref();
    data.is_some_and(|data| data.len() == 1 && data.get(KEY).is_some_and(String::is_empty))
        && annotations
            .and_then(|all| all.get(DESCRIPTION_KEY))
            .is_some_and(|text| text == DESCRIPTION)
}

fn corrected(current: Option<&ConfigMap>, namespace: &str, root_ca: &str) -> ConfigMap {
    let mut wanted = current.cloned().unwrap_or_default();
    wanted.metadata.name = Some(CONFIG_MAP.to_owned());
    wanted.metadata.namespace = Some(namespace.to_owned());
    let annotations = wanted.metadata.annotations.get_or_insert_default();
    annotations.insert(DESCRIPTION_KEY.to_owned(), DESCRIPTION.to_owned());
    wanted.data = Some(BTreeMap::from([(KEY.to_owned(), root_ca.to_owned())]));
    wanted
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    fn trimmed(mut config_map: ConfigMap) -> ConfigMap {
        trim(&mut config_map, "ca");
        config_map
    }

    /// What was written is not written again.
    pub(crate) fn rests() {
        assert!(is_right(&trimmed(corrected(None, "ns", "ca"))));
    }

    #[test]
    fn whatever_was_changed_is_put_right_and_the_rest_kept() {
        let mut foreign = corrected(None, "ns", "ca");
        foreign.metadata.labels = Some(BTreeMap::from([("team".to_owned(), "a".to_owned())]));
        let data = |key: &str, value: &str| Some(BTreeMap::from([(key.to_owned(), value.to_owned())]));
        for wrong in [None, data(KEY, "other"), data(KEY, ""), data("more", "ca")] {
            foreign.data = wrong;
            let seen = trimmed(foreign.clone());
            assert!(!is_right(&seen), "{seen:?}");
            let put_right = corrected(Some(&seen), "ns", "ca");
            assert_eq!(put_right.metadata.labels, foreign.metadata.labels);
            assert!(is_right(&trimmed(put_right)));
        }
    }
}
