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
    pub async fn delete_outside(&self) {
        self.world.end();
        let kinds: BTreeSet<Kind> = resources::copied_outside(&self.world.settings).collect();
        // Where every virtual namespace has one to itself, what is in them has no owner.
        let is_spread = self.world.settings.namespaces.is_some();
        let mut items = self.everything();
        items.retain(|item| kinds.contains(&item.kind) || (is_spread && item.kind.is_namespaced()));
        let steps = items
            .iter()
            .flat_map(|item| resources::plan(&self.world, item).steps)
            .collect::<Vec<Step>>();
        futures::stream::iter(steps)
            .for_each_concurrent(AT_ONCE, |step| self.finish(step))
            .await;
    }

    /// Carries out a step that leaves less on the host; others have no meaning any more.
    async fn finish(&self, step: Step) {
        let (kind, key, done) = match step {
            Step::Delete {
                side: Side::Host,
                kind,
                key,
                uid,
                grace,
            } => {
                let target = (kind, key.namespace.as_str(), key.name.as_str());
                let done = self.host_api.delete(target, &uid, grace).await;
                (kind, key, done)
            }
            // What was there before loses our marks.
            Step::Patch {
                side: Side::Host,
                kind,
                key,
                subresource,
                patch,
                body,
            } => {
                let target = (kind, key.namespace.as_str(), key.name.as_str());
                let done = self.host_api.patch(target, subresource, patch, &body).await;
                (kind, key, done)
            }
            _ => return,
        };
        match done {
            Ok(_) => info!(%kind, %key, "gone with the control plane"),
            Err(error) if error.code() == 404 => {}
            Err(error) => warn!(%kind, %key, %error, "is left on the host"),
        }
    }
}
