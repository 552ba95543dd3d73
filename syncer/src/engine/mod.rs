//! Turns changes into writes: what changed is queued, a plan is made from what is known, and the plan is carried out.
//!
//! Everything is level-triggered: a plan looks at both sides as they are, never at what happened. The answer of every
//! write goes straight into the caches, so that the next plan sees it.

mod ending;
mod execute;
mod lag;
pub mod plan;
mod queue;
mod sweep;

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use tokio::sync::Notify;
use tokio::time::Instant;
use tracing::{debug, warn};

pub use lag::Lag;
pub use queue::{FairQueue, Laned};

use crate::clusters::{Api, Change};
use crate::kinds::{Kind, Side};
use crate::metrics::Metrics;
use crate::names::Reference;
use crate::resources;
use crate::world::World;
use execute::{Failure, Outcome, Passing};
use plan::{Awaited, Note, Place, Plan};

/// How long to wait for the watch to show what a write without an answer did.
const ECHO: Duration = Duration::from_secs(2);

/// How often both servers are asked for their version, and how soon again when they did not answer.
const VERSIONS_EVERY: Duration = Duration::from_secs(600);
const VERSIONS_RETRY: Duration = Duration::from_secs(1);

/// How long something fails that is expected to pass, before its owner is told.
const PATIENCE: Duration = Duration::from_secs(5);

impl Laned for Reference {
    fn lane(&self) -> &str {
        &self.key.namespace
    }
}

/// The engine; shared by the informers, which feed it, and the task that runs it.
pub struct Engine {
    world: Arc<World>,
    virtual_api: Api,
    host_api: Api,
    recorder: client::Recorder,
    metrics: Metrics,
    state: Mutex<State>,
    wake: Notify,
    running: AtomicBool,
    listener: OnceLock<Listener>,
}

/// Hears of changes of the virtual cluster.
type Listener = Box<dyn Fn(Kind, &Change) + Send + Sync>;

#[derive(Default)]
struct State {
    queue: FairQueue<Reference>,
    waiting: HashMap<Awaited, HashSet<Reference>>,
    /// How many changes were taken over.
    changes: u64,
    /// Virtual objects that were written to without an answer that shows them.
    echoes: HashMap<Reference, Instant>,
    lag: Lag,
    last_errors: HashMap<Kind, String>,
    /// Since when every write has failed because a server is away or busy.
    unavailable: Option<Instant>,
    /// Objects that are only looked at because it is their turn.
    swept: HashSet<Reference>,
}

/// How the work on one kind stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KindState {
    /// Objects that wait for their turn.
    pub queued: u64,
    /// Objects whose last attempt failed.
    pub retrying: u64,
    /// The age of the oldest change that is not dealt with.
    pub lag: Duration,
    /// What the last failed attempt said.
    pub last_error: String,
}

impl Engine {
    /// An engine that has seen nothing yet.
    pub fn new(
        world: Arc<World>,
        virtual_api: Api,
        host_api: Api,
        recorder: client::Recorder,
        metrics: Metrics,
    ) -> Arc<Self> {
        Arc::new(Self {
            world,
            virtual_api,
            host_api,
            recorder,
            metrics,
            state: Mutex::default(),
            wake: Notify::new(),
            running: AtomicBool::new(false),
            listener: OnceLock::new(),
        })
    }

    /// What is known.
    pub fn world(&self) -> &Arc<World> {
        &self.world
    }

    /// Tells somebody of every change of the virtual cluster, be it from the watch or our own; only the first caller's is told.
    pub fn listen(&self, listener: impl Fn(Kind, &Change) + Send + Sync + 'static) {
        // A second listener would be a mistake that its tests show.
        let _ = self.listener.set(Box::new(listener));
    }

    /// Takes over a change that a watch, or the answer to a write, reported.
    pub fn observe(&self, side: Side, kind: Kind, change: &Change) {
        if side == Side::Virtual
            && let Some(listener) = self.listener.get()
        {
            listener(kind, change);
        }
        let items = resources::affected(&self.world, side, kind, change);
        if kind == Kind::Event && side == Side::Host && items.is_empty() {
            self.release(change);
        }
        if side == Side::Host && change.new.is_none() && !kind.is_namespaced() {
            self.world.announce_outside_gone();
        }
        let place = match side {
            Side::Virtual => Place::Virtual,
            Side::Host => Place::Host,
        };
        self.wake(place, kind, change, side, items);
    }

    /// Takes over a change of the control plane's own objects on the host.
    pub fn observe_control_plane(&self, kind: Kind, change: &Change) {
        self.world.announce_control_plane();
        self.wake(
            Place::ControlPlane,
            kind,
            change,
            Side::Host,
            resources::affected_by_control_plane(&self.world, kind),
        );
    }

    /// Takes over a change of an object of the host that is not ours.
    pub fn observe_foreign(&self, kind: Kind, change: &Change) {
        let items = resources::affected_by_foreign(&self.world, kind, change);
        self.wake(Place::Foreign, kind, change, Side::Host, items);
    }

    /// Takes over a change of an object in a namespace that can be one's of the virtual cluster.
    pub fn observe_stranger(&self, kind: Kind, change: &Change) {
        let items = resources::affected_by_stranger(&self.world, kind, change);
        self.wake(Place::Foreign, kind, change, Side::Host, items);
    }

    /// Takes over a change of a pod that belongs to somebody else.
    pub fn observe_other_pod(&self, change: &Change) {
        let items = resources::affected_by_other_pod(&self.world, change);
        self.wake(Place::Host, Kind::Pod, change, Side::Host, items);
    }

    /// Begins to work after standing by: has everything looked at that was seen until now.
    pub fn lead(&self) {
        self.world.lead();
        for (side, place) in [(Side::Virtual, Place::Virtual), (Side::Host, Place::Host)] {
            for kind in self.world.settings.kinds() {
                for object in self.world.side(side).of(kind).list() {
                    let change = Change::new(None, Some(object));
                    let items = resources::affected(&self.world, side, kind, &change);
                    self.wake(place, kind, &change, side, items);
                }
            }
        }
        let nodes = self.world.placement.nodes();
        let mut state = self.state();
        for node in nodes {
            state.queue.push(Reference::new(Kind::Node, "", &node));
        }
    }

    /// Asks for a look at every object of a kind, or of all kinds; returns how many.
    pub fn resync(&self, kind: Option<Kind>) -> usize {
        let mut items = self.everything();
        items.retain(|item| kind.is_none_or(|kind| item.kind == kind));
        let mut state = self.state();
        let count = items.len();
        items.into_iter().for_each(|item| state.queue.push(item));
        drop(state);
        self.wake.notify_one();
        count
    }

    /// Whether both clusters were read once and are being synced.
    pub fn is_running(&self) -> bool {
        self.running.load(Ordering::Relaxed)
    }

    /// How the work on one kind stands.
    pub fn state_of(&self, kind: Kind) -> KindState {
        let state = self.state();
        KindState {
            queued: state.queue.queued().filter(|item| item.kind == kind).count() as u64,
            retrying: state.queue.retrying().filter(|item| item.kind == kind).count() as u64,
            lag: state.lag.oldest(kind, Instant::now()),
            last_error: state.last_errors.get(&kind).cloned().unwrap_or_default(),
        }
    }

    /// Asks both servers for their version until they have said it. Before that, nothing may be decided: a field that a
    /// server does not know would be lost without a word.
    pub async fn learn_versions(&self) {
        let learn = async |side| {
            loop {
                match self.api(side).minor().await {
                    Ok(Some(minor)) => return self.world.versions.learn(side, minor),
                    // Who does not say it is taken for the version that this was made for.
                    Ok(None) => return,
                    Err(error) if matches!(error.code(), 401 | 403 | 404) => return,
                    Err(_) => tokio::time::sleep(VERSIONS_RETRY).await,
                }
            }
        };
        tokio::join!(learn(Side::Virtual), learn(Side::Host));
    }

    /// Asks again now and then, because clusters are upgraded while this runs.
    pub async fn follow_versions(self: Arc<Self>) {
        loop {
            tokio::time::sleep(VERSIONS_EVERY).await;
            self.learn_versions().await;
        }
    }

    /// Runs for ever.
    pub async fn run(self: Arc<Self>) {
        self.resync(None);
        self.running.store(true, Ordering::Relaxed);
        let mut running = FuturesUnordered::new();
        loop {
            let paused = self.paused();
            let has_room = paused.is_none() && running.len() < self.limit();
            let next = if has_room {
                self.state().queue.pop(Instant::now())
            } else {
                None
            };
            if let Some(item) = next {
                running.push(self.work(item));
                continue;
            }
            let due = paused.or_else(|| self.state().queue.next_due());
            let timer = async {
                match due {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                Some(()) = running.next(), if !running.is_empty() => {}
                () = self.wake.notified() => {}
                () = timer, if has_room || paused.is_some() => {}
            }
        }
    }

    /// How many plans may be carried out at the same time: as many as both servers let.
    fn limit(&self) -> usize {
        self.host_api.flow().limit().min(self.virtual_api.flow().limit())
    }

    /// Until when a server wants to be left alone.
    fn paused(&self) -> Option<Instant> {
        let now = Instant::now();
        self.host_api
            .flow()
            .paused(now)
            .max(self.virtual_api.flow().paused(now))
    }

    async fn work(&self, item: Reference) {
        // Plans without writes never wait; the other tasks of the process must have their turn all the same.
        tokio::task::yield_now().await;
        self.reconcile(&item).await;
        let mut state = self.state();
        state.queue.done(&item);
        let length = state.queue.len();
        drop(state);
        self.metrics.queue_length.set(i64::try_from(length).unwrap_or(i64::MAX));
    }

    async fn reconcile(&self, item: &Reference) {
        if self.waits_for_echo(item) {
            return;
        }
        let planned_for = self.virtual_version(item);
        let changes = self.state().changes;
        let plan = resources::plan(&self.world, item);
        self.note_divergence(item, &plan);
        self.await_all(item, &plan.waits, changes);
        self.record_names(item, &plan);
        let names_error = plan.notes.iter().any(Note::is_error);
        for note in &plan.notes {
            self.tell(item, note);
        }
        if plan.release {
            self.release_key(item);
        }
        let written = !plan.steps.is_empty();
        let mut outcome = Outcome::Done;
        for step in plan.steps {
            outcome = self.execute(item, step).await;
            if !matches!(outcome, Outcome::Done) {
                break;
            }
        }
        let mut state = self.state();
        match outcome {
            Outcome::Done => {
                if written {
                    state.unavailable = None;
                }
                if !names_error {
                    state.queue.succeed(item);
                }
                if let Some(after) = plan.again_after {
                    state.queue.push_at(item.clone(), Instant::now() + after);
                }
                if let Some((side, delay)) = state.lag.finished(item, Instant::now())
                    && written
                {
                    self.metrics.observe_lag(side, item.kind, delay);
                }
            }
            Outcome::Echo => {
                state.queue.succeed(item);
                // The watch may have been faster than the answer.
                if self.virtual_version(item) == planned_for {
                    state.echoes.insert(item.clone(), Instant::now());
                    state.queue.push_at(item.clone(), Instant::now() + ECHO);
                }
                if let Some((side, delay)) = state.lag.finished(item, Instant::now()) {
                    self.metrics.observe_lag(side, item.kind, delay);
                }
            }
            Outcome::Failed(failure) => {
                drop(state);
                self.failed(item, &failure);
            }
        }
    }

    fn failed(&self, item: &Reference, failure: &Failure) {
        let now = Instant::now();
        let mut state = self.state();
        state.last_errors.insert(item.kind, failure.cause.clone());
        let failing = state.queue.push_failed(item.clone(), failure.again_after, now);
        let lasting = match failure.passing {
            Passing::No => true,
            Passing::Contended => failing >= PATIENCE,
            // With very many objects, each of them is tried rarely: what the others met counts, too.
            Passing::Unavailable => failing.max(now - *state.unavailable.get_or_insert(now)) >= PATIENCE,
        };
        drop(state);
        if let Some(text) = failure.note.as_ref().filter(|_| lasting) {
            self.tell(item, &Note::error(text.clone()));
        }
        self.metrics.failures.get_or_create(&item.kind.into()).inc();
        debug!(%item, cause = %failure.cause, "will be tried again");
    }

    fn record_names(&self, item: &Reference, plan: &Plan) {
        let changed = match &plan.mapping {
            Some(mapping) => self.world.mappings().record(item, mapping.clone()),
            None if plan.forget => self.world.mappings().forget(item),
            None => return,
        };
        self.world.announce_mappings();
        let mut state = self.state();
        changed.into_iter().for_each(|item| state.queue.push(item));
        drop(state);
        self.wake.notify_one();
    }

    /// Records an event on the virtual object.
    fn tell(&self, item: &Reference, note: &Note) {
        warn!(%item, reason = note.reason, "{}", note.text);
        let object = self
            .world
            .virtual_side
            .get(item.kind, &item.key.namespace, &item.key.name);
        let Some(object) = object else { return };
        let regarding = k8s_openapi::api::core::v1::ObjectReference {
            api_version: Some(item.kind.api_version()),
            kind: Some(item.kind.name().to_owned()),
            namespace: Some(item.key.namespace.clone()).filter(|namespace| !namespace.is_empty()),
            name: Some(item.key.name.clone()),
            uid: Some(object.uid().to_owned()),
            resource_version: Some(object.version().to_string()),
            field_path: None,
        };
        // Names of some kinds are joined otherwise than those of most.
        let host_name = self.world.host_name(item.kind, &item.key.namespace, &item.key.name);
        let text = match host_name.as_str() {
            "" => note.text.clone(),
            host_name => note.text.replace(host_name, &item.key.name),
        };
        let text = self.world.names.sanitise(&text, &item.key.name, &item.key.namespace);
        let who = (item.kind.reporter(), format!("Sync{}", item.kind.name()));
        let severity = client::events::Severity::Warning;
        self.recorder
            .event_of_action(who, regarding, severity, note.reason, text);
    }

    fn wake(&self, place: Place, kind: Kind, change: &Change, side: Side, items: Vec<Reference>) {
        if self.world.stands_by() {
            // Nobody would ever take it from the queue.
            return;
        }
        let now = Instant::now();
        let mut state = self.state();
        state.changes += 1;
        if let Some(object) = change.object() {
            let awaited = Awaited {
                place,
                kind,
                key: object.key().clone(),
            };
            for item in state.waiting.remove(&awaited).unwrap_or_default() {
                state.queue.push(item);
            }
        }
        for item in items {
            if side == Side::Virtual && item.kind == kind {
                state.echoes.remove(&item);
            }
            state.lag.noticed(&item, side, now);
            state.queue.push(item);
        }
        drop(state);
        self.wake.notify_one();
    }

    fn waits_for_echo(&self, item: &Reference) -> bool {
        let mut state = self.state();
        let Some(since) = state.echoes.get(item).copied() else {
            return false;
        };
        if since.elapsed() < ECHO {
            state.queue.push_at(item.clone(), since + ECHO);
            return true;
        }
        state.echoes.remove(item);
        false
    }

    fn virtual_version(&self, item: &Reference) -> Option<u64> {
        let object = self
            .world
            .virtual_side
            .get(item.kind, &item.key.namespace, &item.key.name);
        object.map(|object| object.version())
    }

    /// Has the item looked at again when something that it waits for changes.
    fn await_all(&self, item: &Reference, waits: &[Awaited], planned_at: u64) {
        if waits.is_empty() {
            return;
        }
        let mut state = self.state();
        if state.changes != planned_at {
            // What is awaited may have come while the plan was made.
            state.queue.push(item.clone());
        }
        for awaited in waits {
            state.waiting.entry(awaited.clone()).or_default().insert(item.clone());
        }
    }

    fn everything(&self) -> Vec<Reference> {
        let spots = self.spots();
        let mut items: Vec<Reference> = spots.iter().flat_map(|spot| self.items_at(spot)).collect();
        items.sort();
        items.dedup();
        items
    }

    fn release(&self, change: &Change) {
        if let Some(object) = &change.new {
            self.world.host.of(Kind::Event).release(object.key());
        }
    }

    fn release_key(&self, item: &Reference) {
        let namespace = self.world.names.target(&item.key.namespace);
        let key = crate::object::ObjectKey::new(&namespace, &item.key.name);
        self.world.host.of(Kind::Event).release(&key);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
