//! What a cluster has from the first moment on: its system namespaces and the Service that clients inside find the API
//! server by (kubernetes `pkg/controlplane/controller/{systemnamespaces,kubernetesservice}`).

pub(crate) mod apiservices;
mod cluster_trust;
mod flowcontrol;
mod policy;
pub(crate) mod writer;

use crate::controllers::allocations::Repair;
use crate::controllers::definitions;
use crate::endpoints::api::Api;
use crate::registry::allocators::ServiceAllocator;
use chassis::{CancellationToken, Gate};
pub use cluster_trust::ClusterTrust;
use futures::{StreamExt, TryStreamExt, stream};
use machinery::meta;
use machinery::status::Status;
pub use policy::node_rules;
use policy::{Plan, Wanted};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use writer::Writer;

/// Namespaces that are made when they are missing.
const NAMESPACES: [&str; 4] = ["kube-system", "kube-public", "kube-node-lease", "default"];
/// The classes of pods that a cluster cannot do without: name, value and what they are for.
const PRIORITY_CLASSES: [(&str, i64, &str); 2] = [
    (
        "system-node-critical",
        2_000_001_000,
        "Used for system critical pods that must not be moved from their current node.",
    ),
    (
        "system-cluster-critical",
        2_000_000_000,
        "Used for system critical pods that must run in the cluster, but can be moved to another node if necessary.",
    ),
];
/// The ServiceCIDR with the networks of `--service-cluster-ip-range`.
const DEFAULT_SERVICE_CIDR: &str = "kubernetes";
/// How many objects are written at the same time.
const AT_A_TIME: usize = 32;
/// The port of the `kubernetes` Service.
const HTTPS: u16 = 443;
/// How long to wait for the store before another attempt.
const RETRY: Duration = Duration::from_millis(500);

/// Makes what is missing.
pub struct Bootstrap {
    /// The API through whose resources it is made.
    pub api: Arc<Api>,
    /// The addresses of Services.
    pub allocator: ServiceAllocator,
    /// Where clients reach this server.
    pub advertised: SocketAddr,
    /// `--service-allocation-repair-interval`.
    pub repair_interval: Duration,
    /// What servers behind APIServices are told.
    pub trust: ClusterTrust,
}

impl Bootstrap {
    /// Makes what is missing, as soon as the store lets it, opens the gate and waits for the end.
    pub async fn run(self, gate: Gate, shutdown: CancellationToken) {
        let mut repair = Repair::new(&self.api, &self.allocator);
        while let Err(status) = self.once(&mut repair).await {
            gate.not_ready(&status.message);
            tracing::warn!(error = %status, "cannot set up the cluster's own objects yet");
            tokio::select! {
                () = tokio::time::sleep(RETRY) => {}
                () = shutdown.cancelled() => return,
            }
        }
        gate.ready();
        // Now and then for good: a request that ends early, or finds no store, leaves ports reserved for nobody.
        loop {
            tokio::select! {
                () = tokio::time::sleep(self.repair_interval) => {}
                () = shutdown.cancelled() => return,
            }
            if let Err(status) = repair.ports().await {
                tracing::warn!(error = %status, "cannot repair node ports");
            }
        }
    }

    /// Repairs reservations and makes what is missing.
    ///
    /// # Errors
    /// When the store cannot be read or written; a retry may help.
    async fn once(&self, repair: &mut Repair<'_>) -> Result<(), Status> {
        definitions::load(&self.api).await?;
        repair.addresses().await?;
        repair.ports().await?;
        for name in NAMESPACES {
            self.ensure("", "namespaces", "", &json!({"metadata": {"name": name}}))
                .await?;
        }
        for (name, value, description) in PRIORITY_CLASSES {
            let class = json!({"metadata": {"name": name}, "value": value, "description": description});
            self.ensure("scheduling.k8s.io", "priorityclasses", "", &class).await?;
        }
        self.ensure_policy().await?;
        self.trust.ensure(&self.api).await?;
        flowcontrol::ensure(&self.api).await?;
        apiservices::ensure(&self.api).await?;
        self.ensure_service_cidr().await?;
        self.ensure("", "services", "default", &self.service()?).await?;
        if self.advertised.ip().is_loopback() {
            // Endpoints may not lie in the loopback range: nobody else would reach them.
            tracing::info!(address = %self.advertised, "not publishing endpoints: set --advertise-address to do so");
            return Ok(());
        }
        self.publish("", "endpoints", "subsets", &self.endpoints()).await?;
        let slice = self.endpoint_slice();
        self.publish("discovery.k8s.io", "endpointslices", "endpoints", &slice)
            .await
    }

    fn writer(&self, group: &str, plural: &str) -> Result<Writer<'_>, Status> {
        Writer::new(&self.api, group, plural)
    }

    /// Makes an object unless there is one of the name. Looked up first: a Service that is there holds its address,
    /// which another creation could not reserve.
    async fn ensure(&self, group: &str, plural: &str, namespace: &str, wanted: &Value) -> Result<(), Status> {
        let writer = self.writer(group, plural)?;
        match writer.get(namespace, meta::name(wanted)).await? {
            Some(_) => Ok(()),
            None => writer.create(namespace, wanted).await,
        }
    }

    /// Makes or corrects where the API server is reached; `part` is what holds the addresses.
    async fn publish(&self, group: &str, plural: &str, part: &str, wanted: &Value) -> Result<(), Status> {
        let (namespace, name) = ("default", meta::name(wanted));
        let writer = self.writer(group, plural)?;
        if writer.get(namespace, name).await?.is_none() {
            return writer.create(namespace, wanted).await;
        }
        let correct = |object: &mut Value| {
            for field in [part, "ports"] {
                meta::copy(object, wanted, &[field]);
            }
        };
        writer.change(namespace, name, &correct).await
    }

    /// Makes the ServiceCIDR that the flags ask for, and says that it is ready when nobody has said anything about it
    /// (kubernetes `pkg/controlplane/controller/defaultservicecidr`).
    async fn ensure_service_cidr(&self) -> Result<(), Status> {
        let writer = self.writer("networking.k8s.io", "servicecidrs")?;
        let wanted = json!({
            "metadata": {"name": DEFAULT_SERVICE_CIDR},
            "spec": {"cidrs": self.allocator.addresses().networks()},
        });
        let found = match writer.get("", DEFAULT_SERVICE_CIDR).await? {
            Some(found) => found,
            None => {
                writer.create("", &wanted).await?;
                wanted.clone()
            }
        };
        let conditions = meta::list_at(&found, &["status", "conditions"]);
        let judged = conditions.iter().any(|condition| condition["type"] == "Ready");
        if judged || meta::is_deleting(&found) || found.get("spec") != wanted.get("spec") {
            return Ok(());
        }
        let ready = json!({
            "metadata": {"name": DEFAULT_SERVICE_CIDR},
            "status": {"conditions": [{
                "type": "Ready",
                "status": "True",
                "message": "Kubernetes default Service CIDR is ready",
                "lastTransitionTime": machinery::time::now(),
            }]},
        });
        writer
            .apply_status(DEFAULT_SERVICE_CIDR, &ready, "kubernetes-service-cidr-controller")
            .await
    }

    /// Makes the roles and bindings that are missing and completes the others.
    async fn ensure_policy(&self) -> Result<(), Status> {
        let mut writers = HashMap::new();
        let mut existing = HashMap::new();
        for plural in policy::RESOURCES {
            let writer = self.writer(policy::GROUP, plural)?;
            for object in writer.all().await? {
                let key = (
                    plural,
                    meta::namespace(&object).to_owned(),
                    meta::name(&object).to_owned(),
                );
                existing.insert(key, object);
            }
            writers.insert(plural, writer);
        }
        let (writers, existing) = (&writers, &existing);
        let write = |wanted: Wanted| async move {
            let object = &wanted.object;
            let (namespace, name) = (meta::namespace(object), meta::name(object));
            let Some(writer) = writers.get(wanted.plural) else {
                return Ok(());
            };
            let Some(found) = existing.get(&(wanted.plural, namespace.to_owned(), name.to_owned())) else {
                return writer.create(namespace, object).await;
            };
            match policy::plan(found, object) {
                Plan::Keep => Ok(()),
                Plan::Update(_) => {
                    let complete = |current: &mut Value| {
                        if let Plan::Update(new) = policy::plan(current, object) {
                            *current = new;
                        }
                    };
                    writer.change(namespace, name, &complete).await
                }
                Plan::Replace => {
                    writer.delete(namespace, name).await?;
                    writer.create(namespace, object).await
                }
            }
        };
        // Many at a time: the store makes what comes together durable at once.
        stream::iter(policy::wanted()?)
            .map(write)
            .buffer_unordered(AT_A_TIME)
            .try_collect()
            .await
    }

    fn service(&self) -> Result<Value, Status> {
        let address = self.allocator.addresses().first();
        let address = address.ok_or_else(|| Status::internal("there are no addresses for Services"))?;
        Ok(json!({
            "metadata": {
                "name": "kubernetes",
                "namespace": "default",
                "labels": {"provider": "kubernetes", "component": "apiserver"},
            },
            "spec": {
                "clusterIP": address.to_string(),
                "ipFamilyPolicy": "SingleStack",
                "ports": [{"name": "https", "port": HTTPS, "protocol": "TCP", "targetPort": self.advertised.port()}],
                "sessionAffinity": "None",
                "type": "ClusterIP",
            },
        }))
    }

    fn endpoints(&self) -> Value {
        json!({
            "metadata": {
                "name": "kubernetes",
                "namespace": "default",
                "labels": {"endpointslice.kubernetes.io/skip-mirror": "true"},
            },
            "subsets": [{
                "addresses": [{"ip": self.advertised.ip().to_string()}],
                "ports": [{"name": "https", "port": self.advertised.port(), "protocol": "TCP"}],
            }],
        })
    }

    fn endpoint_slice(&self) -> Value {
        json!({
            "metadata": {
                "name": "kubernetes",
                "namespace": "default",
                "labels": {"kubernetes.io/service-name": "kubernetes"},
            },
            "addressType": if self.advertised.is_ipv4() { "IPv4" } else { "IPv6" },
            "endpoints": [{"addresses": [self.advertised.ip().to_string()], "conditions": {"ready": true}}],
            "ports": [{"name": "https", "port": self.advertised.port(), "protocol": "TCP"}],
        })
    }
}

/// Where a server that listens on an address is reached from its own machine.
pub fn loopback(bound: IpAddr) -> IpAddr {
    match bound {
        IpAddr::V4(address) if address.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(address) if address.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        address => address,
    }
}

/// The address to advertise when nobody said: the one a packet to the outside would leave from.
pub fn own_address(bound: IpAddr) -> IpAddr {
    if !bound.is_unspecified() {
        return bound;
    }
    let any = if bound.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    // A documentation address: connecting a datagram socket sends nothing.
    let outside = if bound.is_ipv4() {
        "192.0.2.1:9"
    } else {
        "[2001:db8::1]:9"
    };
    let found = std::net::UdpSocket::bind(any).and_then(|socket| {
        socket.connect(outside)?;
        socket.local_addr()
    });
    found.map_or_else(|_| IpAddr::from([127, 0, 0, 1]), |address| address.ip())
}
