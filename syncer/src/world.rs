//! Everything that a decision may look at: both clusters as they are known, the names, and the settings.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use serde_json::Value;
use tokio::sync::Notify;

use crate::clusters::Caches;
use crate::foreign::Foreign;
use crate::json;
use crate::kinds::{Kind, Side};
use crate::names::{Agreed, Claim, Mappings, Names, Reference, claim};
use crate::object::{Object, ObjectKey};
use crate::resources::Direction;
use crate::resources::capacities::Capacities;
use crate::resources::namespaces::is_imported;
use crate::resources::nodes::others::OtherPods;
use crate::resources::placement::Placement;
use crate::resources::volumes::Volumes;
use crate::settings::Settings;

/// Minor version of Kubernetes that this was made for.
const OWN_MINOR: u32 = 36;

/// The minor versions of both API servers, as they say themselves.
#[derive(Debug)]
pub struct Versions {
    virtual_: AtomicU32,
    host: AtomicU32,
}

impl Default for Versions {
    fn default() -> Self {
        Self {
            virtual_: AtomicU32::new(OWN_MINOR),
            host: AtomicU32::new(OWN_MINOR),
        }
    }
}

impl Versions {
    /// The version of one side; the one this was made for until it is known. A newer server is taken for that, too: what it
    /// knows beyond is not known here.
    pub fn minor(&self, side: Side) -> u32 {
        self.of(side).load(Ordering::Relaxed).min(OWN_MINOR)
    }

    /// A server has said which version it is.
    pub fn learn(&self, side: Side, minor: u32) {
        self.of(side).store(minor, Ordering::Relaxed);
    }

    fn of(&self, side: Side) -> &AtomicU32 {
        match side {
            Side::Virtual => &self.virtual_,
            Side::Host => &self.host,
        }
    }
}

/// The state of the bridge. Plans read it; only watches and the answers to our own writes change it.
#[derive(Debug)]
pub struct World {
    /// The naming rules.
    pub names: Names,
    /// What was configured.
    pub settings: Settings,
    /// The virtual cluster.
    pub virtual_side: Caches,
    /// Our objects on the host.
    pub host: Caches,
    /// The control plane's own Service and Endpoints on the host.
    pub control_plane: Caches,
    /// Objects of the host that are not ours and that the virtual cluster shows.
    pub foreign: Foreign,
    /// Objects of the host in namespaces that virtual ones have to themselves; of copies, that they are there.
    pub strangers: Caches,
    /// Which nodes run pods of this cluster.
    pub placement: Placement,
    /// What the pods of others take from nodes.
    pub other_pods: OtherPods,
    /// Which objects of the host say where there is room for volumes.
    pub capacities: Capacities,
    /// Which claims have volumes.
    pub volumes: Volumes,
    /// What both sides of pairs have had.
    pub agreed: Agreed,
    /// How new both servers are.
    pub versions: Versions,
    /// The time, which tests choose.
    pub clock: fn() -> Timestamp,
    standby: AtomicBool,
    ending: AtomicBool,
    control_plane_changed: Notify,
    outside_gone: Notify,
    mappings: Mutex<Mappings>,
    mappings_changed: Notify,
}

impl World {
    /// An empty world.
    pub fn new(settings: Settings) -> Self {
        let caches = || Caches::new(settings.kinds());
        Self {
            names: settings.names(),
            virtual_side: caches(),
            host: caches(),
            control_plane: caches(),
            strangers: caches(),
            foreign: Foreign::new(settings.kinds()),
            settings,
            placement: Placement::default(),
            other_pods: OtherPods::default(),
            capacities: Capacities::default(),
            volumes: Volumes::default(),
            agreed: Agreed::default(),
            versions: Versions::default(),
            clock: Timestamp::now,
            standby: AtomicBool::new(false),
            ending: AtomicBool::new(false),
            control_plane_changed: Notify::new(),
            outside_gone: Notify::new(),
            mappings: Mutex::default(),
            mappings_changed: Notify::new(),
        }
    }

    /// Says that another process leads: of the host, only pods are known here.
    pub fn stand_by(&self) {
        self.standby.store(true, Ordering::Relaxed);
    }

    /// Says that this process leads.
    pub fn lead(&self) {
        self.standby.store(false, Ordering::Relaxed);
    }

    /// Whether another process leads.
    pub fn stands_by(&self) -> bool {
        self.standby.load(Ordering::Relaxed)
    }

    /// The caches of one side.
    pub fn side(&self, side: Side) -> &Caches {
        match side {
            Side::Virtual => &self.virtual_side,
            Side::Host => &self.host,
        }
    }

    /// The name mappings. Held only for the moment of a look-up or change.
    pub fn mappings(&self) -> MutexGuard<'_, Mappings> {
        self.mappings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says that mappings have to be written to the store.
    pub fn announce_mappings(&self) {
        self.mappings_changed.notify_one();
    }

    /// Waits until mappings have to be written to the store.
    pub async fn mappings_changed(&self) {
        self.mappings_changed.notified().await;
    }

    /// The host name of a virtual object: the recorded one, so that a pair never changes its names, else the computed one.
    pub fn host_key(&self, kind: Kind, namespace: &str, name: &str) -> ObjectKey {
        let reference = Reference::new(kind, namespace, name);
        if let Some(recorded) = self.mappings().host_name(&reference) {
            return recorded.clone();
        }
        if self.is_mirrored(kind) {
            ObjectKey::new("", name)
        } else {
            self.names.place(kind, namespace, name)
        }
    }

    /// Whether a namespace of the host is one in which copies lie.
    pub fn holds_copies(&self, host_namespace: &str) -> bool {
        host_namespace == self.names.host_namespace() || self.virtual_namespace(host_namespace).is_some()
    }

    /// The virtual namespace whose objects lie in a namespace of the host that is ours alone.
    pub fn virtual_namespace(&self, host_namespace: &str) -> Option<String> {
        let named = self.names.virtual_of(host_namespace)?;
        let host = self.host.get(Kind::Namespace, "", host_namespace)?.value();
        match claim(&self.names, &Kind::Namespace.gvk(), &host) {
            Claim::Ours { name, .. } if name == named => Some(name),
            _ => None,
        }
    }

    /// The namespaces of the host in which copies lie.
    pub fn host_namespaces(&self) -> Vec<String> {
        let all = self.host.of(Kind::Namespace).list();
        let names = all.iter().map(|namespace| namespace.key().name.clone());
        let own = std::iter::once(self.names.host_namespace().to_owned());
        let mut found: Vec<String> = own
            .chain(names.filter(|name| self.virtual_namespace(name).is_some()))
            .collect();
        found.sort();
        found
    }

    /// Whether objects of a kind have the same names on both sides, because they come from the host.
    pub fn is_mirrored(&self, kind: Kind) -> bool {
        let custom = &self.settings.custom;
        !kind.is_namespaced()
            && (kind == Kind::Node
                || self.settings.from_host.contains_key(&kind)
                || custom
                    .iter()
                    .any(|line| line.kind == kind && line.direction == Direction::FromHost))
    }

    /// The host name alone.
    pub fn host_name(&self, kind: Kind, namespace: &str, name: &str) -> String {
        self.host_key(kind, namespace, name).name
    }

    /// The control plane's Service on the host.
    pub fn control_plane_service(&self) -> Option<Arc<Object>> {
        self.control_plane
            .get(Kind::Service, self.names.host_namespace(), &self.settings.service_name)
    }

    /// The cluster IP of the control plane's Service.
    pub fn control_plane_address(&self) -> Option<String> {
        let address = json::text(&self.control_plane_service()?.value(), &["spec", "clusterIP"]).to_owned();
        (!address.is_empty() && address != "None").then_some(address)
    }

    /// Whether the virtual cluster is being taken away: with its Service, the host deletes all of its objects that lie in the
    /// namespace. The others are left to us.
    pub fn is_ending(&self) -> bool {
        let gone =
            self.settings.set_owner && !self.settings.service_name.is_empty() && self.control_plane_service().is_none();
        gone || self.ending.load(Ordering::Relaxed)
    }

    /// Says that the virtual cluster is being taken away, whatever is still there of it.
    pub fn end(&self) {
        self.ending.store(true, Ordering::Relaxed);
    }

    /// Says that the control plane's own objects on the host have changed.
    pub fn announce_control_plane(&self) {
        self.control_plane_changed.notify_one();
    }

    /// Waits until the control plane's own objects on the host have changed.
    pub async fn control_plane_changed(&self) {
        self.control_plane_changed.notified().await;
    }

    /// Says that the host has lost a copy that lay in no namespace.
    pub fn announce_outside_gone(&self) {
        self.outside_gone.notify_one();
    }

    /// Waits until the host has lost a copy that lay in no namespace.
    pub async fn outside_gone(&self) {
        self.outside_gone.notified().await;
    }

    /// The owner reference that makes the host delete an object that lies in no namespace together with ours: the ClusterRole,
    /// which goes with a release; where there is none, the namespace.
    pub fn reference_outside(&self) -> Option<Value> {
        if !self.settings.set_owner {
            return None;
        }
        let role = self.settings.cluster_role_name();
        let owners = [
            (Kind::ClusterRole, role.as_str()),
            (Kind::Namespace, self.names.host_namespace()),
        ];
        let mut known = owners
            .into_iter()
            .filter_map(|(kind, name)| Some((kind, self.control_plane.get(kind, "", name)?)));
        let (kind, owner) = known.next()?;
        let (name, uid) = (&owner.key().name, owner.uid());
        Some(serde_json::json!([{
            "apiVersion": kind.api_version(), "kind": kind.name(), "name": name, "uid": uid,
        }]))
    }

    /// The owner reference that makes the host delete an object together with the control plane. A namespace of ours takes along
    /// what is in it, but one that was there before stays.
    pub fn owner_reference(&self, host_namespace: &str, controlled: bool) -> Option<Value> {
        if !self.settings.set_owner {
            return None;
        }
        if host_namespace != self.names.host_namespace() {
            let namespace = self.host.get(Kind::Namespace, "", host_namespace)?;
            return is_imported(&namespace.value())
                .then(|| self.reference_outside())
                .flatten();
        }
        let service = self.control_plane_service()?;
        Some(serde_json::json!([{
            "apiVersion": "v1", "kind": "Service", "name": service.key().name, "uid": service.uid(), "controller": controlled,
        }]))
    }
}
