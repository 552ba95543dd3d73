//! The stream of DNS records: everything there is, `synced`, then every change.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use chassis::CancellationToken;
use futures::Stream;
use proto::vcluster::dns::v1::records_server::Records;
use proto::vcluster::dns::v1::watch_response::Event;
use proto::vcluster::dns::v1::{
    EndpointAddress, EndpointSubset, Namespace, Pod, RecordKind, Removed, Service as ServiceRecord, ServicePort,
    ServiceType, Synced, WatchRequest, WatchResponse,
};
use serde_json::Value;
use tokio::sync::{Notify, mpsc, watch};
use tonic::{Request, Response, Status};

use crate::clusters::Change;
use crate::json;
use crate::kinds::Kind;
use crate::object::ObjectKey;
use crate::resources::address;
use crate::world::World;

/// Messages that wait for a slow client; when they are too many the stream ends, and the client starts anew.
const BUFFER: usize = 1024;
/// Label of an EndpointSlice with the name of its Service.
const SERVICE_NAME: &str = "kubernetes.io/service-name";

/// A record's kind and name.
type RecordKey = (RecordKind, ObjectKey);

/// Computes records from what is known of the virtual cluster and hands them to every client.
pub struct Publisher {
    world: Arc<World>,
    changed: Mutex<BTreeSet<RecordKey>>,
    wake: Notify,
    clients: Mutex<Vec<Client>>,
    complete: watch::Sender<bool>,
}

struct Client {
    pods: bool,
    sender: mpsc::Sender<Result<WatchResponse, Status>>,
    /// What this client was sent, to tell a change from an echo.
    sent: BTreeMap<RecordKey, Event>,
}

impl Publisher {
    /// A publisher without clients.
    pub fn new(world: Arc<World>) -> Arc<Self> {
        Arc::new(Self {
            world,
            changed: Mutex::default(),
            wake: Notify::new(),
            clients: Mutex::default(),
            complete: watch::Sender::new(false),
        })
    }

    /// Says that the virtual cluster has been read once; before that no client is told that it knows everything.
    pub fn complete(&self) {
        self.complete.send_replace(true);
    }

    /// Takes over a change of the virtual cluster.
    pub fn observe(&self, kind: Kind, change: &Change) {
        let versions = [
            change.old.as_ref().zip(change.old_value()),
            change.new.as_ref().zip(change.new_value()),
        ];
        let keys: Vec<RecordKey> = versions
            .into_iter()
            .flatten()
            .filter_map(|(object, value)| match kind {
                Kind::Namespace => Some((RecordKind::Namespace, object.key().clone())),
                Kind::Service => Some((RecordKind::Service, object.key().clone())),
                Kind::Pod => Some((RecordKind::Pod, object.key().clone())),
                Kind::EndpointSlice => Some((RecordKind::Service, service_of(value)?)),
                _ => None,
            })
            .collect();
        if !keys.is_empty() {
            self.changed.lock().unwrap_or_else(PoisonError::into_inner).extend(keys);
            self.wake.notify_one();
        }
    }

    /// Sends changes to clients, for ever.
    pub async fn run(self: Arc<Self>) {
        loop {
            self.wake.notified().await;
            let changed = std::mem::take(&mut *self.changed.lock().unwrap_or_else(PoisonError::into_inner));
            let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
            if clients.is_empty() {
                continue;
            }
            for key in changed {
                let record = self.record(&key);
                clients.retain_mut(|client| client.update(&key, record.as_ref()));
            }
        }
    }

    fn subscribe(&self, pods: bool) -> mpsc::Receiver<Result<WatchResponse, Status>> {
        let everything = self.everything(pods);
        let (sender, receiver) = mpsc::channel(BUFFER + everything.len());
        let mut client = Client {
            pods,
            sender,
            sent: BTreeMap::new(),
        };
        for key in everything {
            let record = self.record(&key);
            client.update(&key, record.as_ref());
        }
        client.send(Event::Synced(Synced {}));
        self.clients.lock().unwrap_or_else(PoisonError::into_inner).push(client);
        receiver
    }

    fn everything(&self, pods: bool) -> Vec<RecordKey> {
        let kinds = [
            (RecordKind::Namespace, Kind::Namespace, true),
            (RecordKind::Service, Kind::Service, true),
            (RecordKind::Pod, Kind::Pod, pods),
        ];
        kinds
            .into_iter()
            .filter(|(_, _, wanted)| *wanted)
            .flat_map(|(record, kind, _)| {
                let objects = self.world.virtual_side.of(kind).list();
                objects.into_iter().map(move |object| (record, object.key().clone()))
            })
            .collect()
    }

    /// The record as it is now; `None` when there is none (any more).
    fn record(&self, (kind, key): &RecordKey) -> Option<Event> {
        let object = |kind| {
            self.world
                .virtual_side
                .get(kind, &key.namespace, &key.name)
                .map(|object| object.value())
        };
        match kind {
            RecordKind::Namespace => {
                object(Kind::Namespace).map(|_| Event::Namespace(Namespace { name: key.name.clone() }))
            }
            RecordKind::Service => {
                let slices: Vec<Value> = self
                    .world
                    .virtual_side
                    .of(Kind::EndpointSlice)
                    .list_in(&key.namespace)
                    .iter()
                    .map(|slice| slice.value())
                    .filter(|slice| json::text(slice, &["metadata", "labels", SERVICE_NAME]) == key.name)
                    .collect();
                object(Kind::Service)
                    .map(address::meant)
                    .map(|service| Event::Service(service_record(key, &service, &slices)))
            }
            RecordKind::Pod => object(Kind::Pod)
                .as_ref()
                .and_then(|pod| pod_record(key, pod))
                .map(Event::Pod),
            RecordKind::Unspecified => None,
        }
    }
}

impl Client {
    /// Tells the client about a record if that is news; false ends its stream.
    fn update(&mut self, key: &RecordKey, record: Option<&Event>) -> bool {
        if key.0 == RecordKind::Pod && !self.pods {
            return true;
        }
        match record {
            Some(record) if self.sent.get(key) == Some(record) => true,
            Some(record) => {
                self.sent.insert(key.clone(), record.clone());
                self.send(record.clone())
            }
            None if self.sent.remove(key).is_some() => {
                let (kind, ObjectKey { namespace, name }) = key.clone();
                self.send(Event::Removed(Removed {
                    kind: kind.into(),
                    namespace,
                    name,
                }))
            }
            None => true,
        }
    }

    fn send(&self, event: Event) -> bool {
        self.sender.try_send(Ok(WatchResponse { event: Some(event) })).is_ok()
    }
}

fn service_of(slice: &Value) -> Option<ObjectKey> {
    let name = json::text(slice, &["metadata", "labels", SERVICE_NAME]);
    (!name.is_empty()).then(|| ObjectKey::new(json::text(slice, &["metadata", "namespace"]), name))
}

fn service_record(key: &ObjectKey, service: &Value, slices: &[Value]) -> ServiceRecord {
    let spec = &service["spec"];
    let cluster_ip = json::text(spec, &["clusterIP"]);
    let kind = match json::text(spec, &["type"]) {
        "NodePort" => ServiceType::NodePort,
        "LoadBalancer" => ServiceType::LoadBalancer,
        "ExternalName" => ServiceType::ExternalName,
        _ => ServiceType::ClusterIp,
    };
    let mut cluster_ips = texts(spec, "clusterIPs");
    if cluster_ips.is_empty() && !cluster_ip.is_empty() {
        cluster_ips.push(cluster_ip.to_owned());
    }
    cluster_ips.retain(|address| address != "None");
    ServiceRecord {
        namespace: key.namespace.clone(),
        name: key.name.clone(),
        r#type: kind.into(),
        cluster_ips,
        external_name: json::text(spec, &["externalName"]).to_owned(),
        ports: ports(spec),
        headless: cluster_ip == "None",
        publish_not_ready: json::flag(spec, &["publishNotReadyAddresses"]) == Some(true),
        endpoints: slices.iter().map(subset).collect(),
    }
}

fn subset(slice: &Value) -> EndpointSubset {
    let addresses = json::items(slice, &["endpoints"]).iter().flat_map(|endpoint| {
        // An absent condition means ready (discovery/v1 EndpointConditions).
        let ready = json::flag(endpoint, &["conditions", "ready"]).unwrap_or(true);
        let pod = if endpoint["targetRef"]["kind"] == "Pod" {
            json::text(endpoint, &["targetRef", "name"])
        } else {
            ""
        };
        texts(endpoint, "addresses").into_iter().map(move |ip| EndpointAddress {
            ip,
            hostname: json::text(endpoint, &["hostname"]).to_owned(),
            ready,
            pod_name: pod.to_owned(),
        })
    });
    EndpointSubset {
        addresses: addresses.collect(),
        ports: ports(slice),
    }
}

fn ports(holder: &Value) -> Vec<ServicePort> {
    let port = |port: &Value| ServicePort {
        name: json::text(port, &["name"]).to_owned(),
        protocol: json::text(port, &["protocol"]).to_owned(),
        port: json::integer(port, &["port"])
            .and_then(|port| u32::try_from(port).ok())
            .unwrap_or_default(),
    };
    json::items(holder, &["ports"]).iter().map(port).collect()
}

fn pod_record(key: &ObjectKey, pod: &Value) -> Option<Pod> {
    let mut ips: Vec<String> = json::items(pod, &["status", "podIPs"])
        .iter()
        .map(|ip| json::text(ip, &["ip"]).to_owned())
        .collect();
    let ip = json::text(pod, &["status", "podIP"]);
    if ips.is_empty() && !ip.is_empty() {
        ips.push(ip.to_owned());
    }
    (!ips.is_empty()).then(|| Pod {
        namespace: key.namespace.clone(),
        name: key.name.clone(),
        ips,
    })
}

fn texts(holder: &Value, field: &str) -> Vec<String> {
    json::items(holder, &[field])
        .iter()
        .filter_map(|item| item.as_str().map(str::to_owned))
        .collect()
}

/// The gRPC service.
pub struct Service {
    publisher: Arc<Publisher>,
    shutdown: CancellationToken,
}

impl Service {
    /// Serves what the publisher knows, until shutdown.
    pub fn new(publisher: Arc<Publisher>, shutdown: CancellationToken) -> Self {
        Self { publisher, shutdown }
    }
}

#[tonic::async_trait]
impl Records for Service {
    type WatchStream = Pin<Box<dyn Stream<Item = Result<WatchResponse, Status>> + Send>>;

    async fn watch(&self, request: Request<WatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let pods = request.into_inner().include_pods;
        let publisher = self.publisher.clone();
        let shutdown = self.shutdown.clone();
        let stream = records_stream(publisher, pods, shutdown);
        Ok(Response::new(Box::pin(stream)))
    }
}

/// Waits until the virtual cluster is known, then passes on what the publisher sends.
fn records_stream(
    publisher: Arc<Publisher>,
    pods: bool,
    shutdown: CancellationToken,
) -> impl Stream<Item = Result<WatchResponse, Status>> + Send {
    let receiver: Option<mpsc::Receiver<Result<WatchResponse, Status>>> = None;
    futures::stream::unfold(
        (publisher, receiver, shutdown),
        move |(publisher, receiver, shutdown)| async move {
            let mut receiver = match receiver {
                Some(receiver) => receiver,
                None => {
                    let mut complete = publisher.complete.subscribe();
                    tokio::select! {
                        () = shutdown.cancelled() => return None,
                        known = complete.wait_for(|complete| *complete) => known.is_ok().then_some(())?,
                    }
                    publisher.subscribe(pods)
                }
            };
            let item = tokio::select! {
                () = shutdown.cancelled() => None,
                item = receiver.recv() => item,
            }?;
            Some((item, (publisher, Some(receiver), shutdown)))
        },
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::kinds::Side;
    use crate::object::Object;
    use crate::testing::world;

    fn change(publisher: &Publisher, kind: Kind, object: Value) {
        if let Some(change) = publisher.world.virtual_side.of(kind).apply(Object::new(object)) {
            publisher.observe(kind, &change);
        }
    }

    fn next(receiver: &mut mpsc::Receiver<Result<WatchResponse, Status>>) -> Option<Event> {
        receiver.try_recv().ok()?.expect("no error").event
    }

    #[tokio::test]
    async fn a_client_gets_everything_then_changes() {
        let world = Arc::new(world());
        let publisher = Publisher::new(world.clone());
        let service = json!({
            "metadata": {"namespace": "team", "name": "db", "uid": "1", "resourceVersion": "1"},
            "spec": {"clusterIP": "None", "ports": [{"name": "sql", "port": 5432, "protocol": "TCP"}]},
        });
        change(&publisher, Kind::Service, service);
        change(
            &publisher,
            Kind::Pod,
            json!({
                "metadata": {"namespace": "team", "name": "db-0", "uid": "2", "resourceVersion": "2"}, "status": {"podIP": "10.1.0.1"},
            }),
        );
        let mut receiver = publisher.subscribe(false);
        let Some(Event::Service(first)) = next(&mut receiver) else {
            panic!("the service")
        };
        assert!(first.headless && first.cluster_ips.is_empty() && first.endpoints.is_empty());
        assert!(matches!(next(&mut receiver), Some(Event::Synced(_))));
        assert_eq!(next(&mut receiver), None);

        let running = tokio::spawn(publisher.clone().run());
        change(
            &publisher,
            Kind::EndpointSlice,
            json!({
                "metadata": {"namespace": "team", "name": "db-x", "uid": "3", "resourceVersion": "3", "labels": {SERVICE_NAME: "db"}},
                "ports": [{"name": "sql", "port": 5432}],
                "endpoints": [{
                    "addresses": ["10.1.0.1"], "hostname": "db-0", "conditions": {"ready": false},
                    "targetRef": {"kind": "Pod", "name": "db-0"},
                }],
            }),
        );
        let event = receiver.recv().await.expect("an event").expect("no error").event;
        let Some(Event::Service(second)) = event else {
            panic!("the service: {event:?}")
        };
        let address = &second.endpoints[0].addresses[0];
        assert_eq!(
            (address.ip.as_str(), address.hostname.as_str(), address.ready),
            ("10.1.0.1", "db-0", false)
        );

        let removed = world
            .virtual_side
            .of(Kind::Service)
            .remove(&ObjectKey::new("team", "db"), "1")
            .expect("removed");
        publisher.observe(Kind::Service, &removed);
        let event = receiver.recv().await.expect("an event").expect("no error").event;
        assert!(
            matches!(event, Some(Event::Removed(Removed { ref name, .. })) if name == "db"),
            "{event:?}"
        );
        running.abort();
        assert!(world.side(Side::Virtual).get(Kind::Service, "team", "db").is_none());
    }
}
