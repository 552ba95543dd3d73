//! What a cluster has from the first moment on: its system namespaces and the Service that clients inside find the API
//! server by (kubernetes `pkg/controlplane/controller/{systemnamespaces,kubernetesservice}`).

use crate::endpoints::api::Api;
use crate::endpoints::handlers::managers::Managers;
use crate::registry::allocators::ServiceAllocator;
use crate::registry::codec;
use crate::registry::request::Request;
use crate::registry::store::Store;
use crate::registry::store::update::Update;
use crate::storage::interface::{ListOptions, Revision, Scope};
use chassis::{CancellationToken, Gate};
use machinery::status::Status;
use serde_json::{Value, json};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

/// The name under which the server writes and owns fields.
const MANAGER: &str = "kube-apiserver";
/// Namespaces that are made when they are missing.
const NAMESPACES: [&str; 4] = ["kube-system", "kube-public", "kube-node-lease", "default"];
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
}

impl Bootstrap {
    /// Makes what is missing, as soon as the store lets it, opens the gate and waits for the end.
    pub async fn run(self, gate: Gate, shutdown: CancellationToken) {
        while let Err(status) = self.once().await {
            gate.not_ready(&status.message);
            tracing::warn!(error = %status, "cannot set up the cluster's own objects yet");
            tokio::select! {
                () = tokio::time::sleep(RETRY) => {}
                () = shutdown.cancelled() => return,
            }
        }
        gate.ready();
        shutdown.cancelled().await;
    }

    /// Repairs reservations and makes what is missing.
    ///
    /// # Errors
    /// When the store cannot be read or written; a retry may help.
    pub async fn once(&self) -> Result<(), Status> {
        let services = self.store("", "services")?;
        let stored = services.list(everything()).await?;
        let objects: Vec<Value> = stored
            .items
            .iter()
            .map(|s| codec::decode(&services.resource, s))
            .collect::<Result<_, _>>()?;
        self.allocator
            .repair(&objects, jiff::Timestamp::now().as_second())
            .await?;
        for name in NAMESPACES {
            self.ensure("", "namespaces", "", name, &json!({"metadata": {"name": name}}))
                .await?;
        }
        self.ensure("", "services", "default", "kubernetes", &self.service()?)
            .await?;
        if self.advertised.ip().is_loopback() {
            // Endpoints may not lie in the loopback range: nobody else would reach them.
            tracing::info!(address = %self.advertised, "not publishing endpoints: set --advertise-address to do so");
            return Ok(());
        }
        self.ensure("", "endpoints", "default", "kubernetes", &self.endpoints())
            .await?;
        self.ensure(
            "discovery.k8s.io",
            "endpointslices",
            "default",
            "kubernetes",
            &self.endpoint_slice(),
        )
        .await
    }

    fn store(&self, group: &str, plural: &str) -> Result<&Arc<Store>, Status> {
        let store = self.api.catalog.store(group, "v1", plural);
        store.ok_or_else(|| Status::internal(format!("{plural} are not served")))
    }

    /// Makes an object unless there is one of the name; where endpoints differ, they are corrected.
    async fn ensure(
        &self,
        group: &str,
        plural: &str,
        namespace: &str,
        name: &str,
        wanted: &Value,
    ) -> Result<(), Status> {
        let store = self.store(group, plural)?;
        let managers = Managers::of(store, "")?;
        let mut wanted = wanted.clone();
        codec::set_kind(&mut wanted, &store.resource.gvk);
        codec::default(&store.resource, &mut wanted);
        let warn = |_: String| {};
        let rq = Request {
            namespace,
            user: MANAGER,
            groups: &[],
            now: jiff::Timestamp::now(),
            dry_run: false,
            warn: &warn,
        };
        let mut new = wanted.clone();
        managers.update(&rq, None, &mut new, MANAGER);
        // Looked up first: a Service that is there holds its address, which another creation could not reserve.
        match store.get(namespace, name, Revision::Latest).await {
            Ok(_) => {}
            Err(status) if status.reason == "NotFound" => match store.create(&rq, new).await {
                Ok(_) => return Ok(()),
                // Another server was faster.
                Err(status) if status.reason == "AlreadyExists" => {}
                Err(status) => return Err(status),
            },
            Err(status) => return Err(status),
        }
        let part = match plural {
            "endpoints" => "subsets",
            "endpointslices" => "endpoints",
            _ => return Ok(()),
        };
        let transform = |rq: &Request<'_>, current: Option<&Value>| {
            let mut new = current.cloned().unwrap_or_default();
            for field in [part, "ports"] {
                machinery::meta::copy(&mut new, &wanted, &[field]);
            }
            managers.update(rq, current, &mut new, MANAGER);
            Ok(new)
        };
        let update = Update {
            name,
            subresource: "",
            kind: &store.resource.gvk,
            strategy: store.resource.strategy.as_ref(),
            uid: None,
            transform: &transform,
            force_create: false,
        };
        store.update(&rq, &update).await.map(drop)
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

fn everything() -> ListOptions {
    ListOptions {
        scope: Scope::default(),
        revision: Revision::Latest,
        limit: 0,
        continue_token: String::new(),
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
