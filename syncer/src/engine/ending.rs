//! The last work of an engine: what the host does not delete by itself.

use std::collections::BTreeSet;

use futures::StreamExt;
use tracing::{info, warn};

use super::Engine;
use super::plan::Step;
use crate::kinds::{Kind, Side};
use crate::resources;

/// Deletions at the same time.
const AT_ONCE: usize = 16;

impl Engine {
    /// Deletes the copies that lie outside of the control plane's namespace, because nothing is left that would do so later.
    /// Namespaces that were there before lose their marks.
    pub async fn delete_outside(&self) {
        self.world.end();
        let kinds: BTreeSet<Kind> = resources::copied_outside(&self.world.settings).collect();
        let mut items = self.everything();
        items.retain(|item| kinds.contains(&item.kind));
        let steps = items
            .iter()
            .flat_map(|item| resources::plan(&self.world, item).steps)
            .collect::<Vec<Step>>();
        let released: Vec<_> = steps
            .iter()
            .filter_map(|step| match step {
                Step::Patch {
                    side: Side::Host,
                    kind,
                    key,
                    patch,
                    body,
                    ..
                } => Some((*kind, key.clone(), *patch, body.clone())),
                _ => None,
            })
            .collect();
        let deletions = steps.into_iter().filter_map(|step| match step {
            Step::Delete {
                side: Side::Host,
                kind,
                key,
                uid,
                grace,
            } => Some(async move {
                let deleted = self
                    .host_api
                    .delete((kind, &key.namespace, &key.name), &uid, grace)
                    .await;
                match deleted {
                    Ok(_) => info!(%kind, %key, "deleted with the control plane"),
                    Err(error) if error.code() == 404 => {}
                    Err(error) => warn!(%kind, %key, %error, "is left on the host"),
                }
            }),
            _ => None,
        });
        let released = released.into_iter().map(|(kind, key, patch, body)| async move {
            let target = (kind, key.namespace.as_str(), key.name.as_str());
            match self.host_api.patch(target, "", patch, &body).await {
                Ok(_) => info!(%kind, %key, "is no longer used"),
                Err(error) => warn!(%kind, %key, %error, "keeps the marks of the virtual cluster"),
            }
        });
        futures::stream::iter(released)
            .buffer_unordered(AT_ONCE)
            .collect::<()>()
            .await;
        futures::stream::iter(deletions)
            .buffer_unordered(AT_ONCE)
            .collect::<()>()
            .await;
    }
}
