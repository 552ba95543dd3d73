//! Looks at every object again now and then, whether something happened to it or not: what should never be needed finds what
//! should never happen.

use std::sync::Arc;
use std::time::Duration;

use tracing::warn;

use super::Engine;
use super::plan::Plan;
use crate::clusters::{Caches, Change};
use crate::kinds::Kind;
use crate::names::Reference;
use crate::object::ObjectKey;
use crate::resources;

/// Objects that are looked at in one go when there are very many.
const SHORTEST_PAUSE: Duration = Duration::from_millis(5);

/// Where to look.
pub(super) enum Spot {
    Item(Reference),
    /// Our object on the host; whose it is is found out when it is its turn.
    Host(Kind, ObjectKey),
    /// An object on the host that is not ours.
    Foreign(Kind, ObjectKey),
}

impl Engine {
    /// Looks at everything once per `every`, evenly spread, for ever; never when that is zero.
    pub async fn sweep(self: Arc<Self>, every: Duration) {
        if every.is_zero() {
            return;
        }
        loop {
            let spots = self.spots();
            let count = u32::try_from(spots.len()).unwrap_or(u32::MAX);
            let pause = every.checked_div(count).unwrap_or(every);
            let mut unslept = Duration::ZERO;
            for spot in spots {
                unslept += pause;
                if unslept >= SHORTEST_PAUSE {
                    tokio::time::sleep(std::mem::take(&mut unslept)).await;
                }
                self.look(&spot);
            }
            if count == 0 {
                tokio::time::sleep(every).await;
            }
        }
    }

    /// Everything that is known, in names only: objects that change until it is their turn are not kept for that.
    pub(super) fn spots(&self) -> Vec<Spot> {
        let mut spots: Vec<Spot> = resources::at_start(&self.world).into_iter().map(Spot::Item).collect();
        for resource in resources::enabled(&self.world.settings) {
            let kind = resource.kind;
            let keys = |caches: &Caches| caches.of(kind).versions().into_keys();
            spots.extend(keys(&self.world.virtual_side).map(|key| Spot::Item(Reference { kind, key })));
            spots.extend(keys(&self.world.host).map(|key| Spot::Host(kind, key)));
        }
        for kind in Kind::ALL {
            let keys = self.world.foreign.caches.of(kind).versions().into_keys();
            spots.extend(keys.map(|key| Spot::Foreign(kind, key)));
        }
        // Names that were recorded for objects that vanished while nobody watched.
        let recorded: Vec<Reference> = self.world.mappings().iter().map(|(item, _)| item.clone()).collect();
        spots.extend(recorded.into_iter().map(Spot::Item));
        spots
    }

    pub(super) fn items_at(&self, spot: &Spot) -> Vec<Reference> {
        let change =
            |caches: &Caches, kind, key: &ObjectKey| Change::new(None, caches.get(kind, &key.namespace, &key.name));
        match spot {
            Spot::Item(item) => vec![item.clone()],
            Spot::Host(kind, key) => resources::counterparts(&self.world, *kind, &change(&self.world.host, *kind, key)),
            Spot::Foreign(kind, key) => {
                let change = change(&self.world.foreign.caches, *kind, key);
                resources::affected_by_foreign(&self.world, *kind, &change)
            }
        }
    }

    fn look(&self, spot: &Spot) {
        let mut items = self.items_at(spot);
        if matches!(spot, Spot::Host(..)) {
            // The others have their own turn. Events are shown once.
            let is_there = |Reference { kind, key }: &Reference| {
                *kind == Kind::Event || self.world.virtual_side.get(*kind, &key.namespace, &key.name).is_some()
            };
            items.retain(|item| !is_there(item));
        }
        let mut state = self.state();
        for item in items {
            // What waits for another attempt has its time.
            if !state.queue.is_waiting(&item) {
                state.swept.insert(item.clone());
                state.queue.push(item);
            }
        }
        drop(state);
        self.wake.notify_one();
    }

    /// An object whose turn it was, to which nothing had happened, and that needs something all the same.
    pub(super) fn note_divergence(&self, item: &Reference, plan: &Plan) {
        let mut state = self.state();
        if !state.swept.remove(item) || state.lag.is_noticed(item) || plan.steps.is_empty() {
            return;
        }
        drop(state);
        warn!(%item, "differs although nothing happened to it");
        self.metrics.divergences.get_or_create(&item.kind.into()).inc();
    }
}
