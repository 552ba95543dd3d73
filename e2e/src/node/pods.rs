//! The pods of all simulated nodes: one watch, one queue, a few workers that apply [`lifecycle::advance`].

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use client::events::{Recorder, Severity};
use client::informer::{Change, Informer, ObjectKey};
use client::queue::WorkQueue;
use k8s_openapi::api::authentication::v1::{BoundObjectReference, TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{ConfigMap, Pod, PodStatus, Secret, ServiceAccount};
use k8s_openapi::jiff::Timestamp;
use kube::api::{DeleteParams, PostParams, Preconditions};
use kube::runtime::watcher;
use kube::{Api, Client, Error, Resource};
use tracing::{debug, warn};

use super::addresses::Addresses;
use super::lifecycle::{self, Missing, Notice, Program, Step, Surroundings};
use super::registration::NodeIdentity;
use super::sandbox::{self, Objects, Reference};
use super::shell::{End, Plan, Unknown, View, plan};

/// Status writes that may be under way at once.
const WORKERS: usize = 16;

/// The pods of the simulated nodes; clones share them.
#[derive(Clone)]
pub struct Pods(Arc<Shared>);

struct Shared {
    client: Client,
    nodes: BTreeMap<String, NodeIdentity>,
    pods: Informer<Pod>,
    config_maps: Informer<ConfigMap>,
    secrets: Informer<Secret>,
    queue: WorkQueue<ObjectKey>,
    recorder: Recorder,
    memory: Mutex<Memory>,
}

/// What is known beyond the pods' own statuses; all of it can be lost.
#[derive(Default)]
struct Memory {
    addresses: HashMap<String, Addresses>,
    /// Pods as the API server returned them after our last write, until the watch has caught up.
    written: HashMap<String, Pod>,
    /// Pods that wait for a ConfigMap or Secret.
    waiting: BTreeSet<ObjectKey>,
    /// Warnings already given about the pods that wait.
    warned: HashSet<(String, String)>,
}

impl Pods {
    /// The pods of `nodes` on the host behind `client`; nothing happens before [`Pods::run`].
    pub fn new(client: Client, nodes: &[NodeIdentity], recorder: Recorder) -> Self {
        let memory = Memory {
            addresses: nodes
                .iter()
                .map(|node| (node.name.clone(), Addresses::new(node.index)))
                .collect(),
            ..Memory::default()
        };
        Self(Arc::new(Shared {
            client,
            nodes: nodes.iter().map(|node| (node.name.clone(), node.clone())).collect(),
            pods: Informer::new(),
            config_maps: Informer::new(),
            secrets: Informer::new(),
            queue: WorkQueue::new(),
            recorder,
            memory: Mutex::new(memory),
        }))
    }

    /// Watches and works until it is dropped.
    pub async fn run(&self) {
        let shared = &self.0;
        let (handler, queue) = (Arc::downgrade(shared), shared.queue.clone());
        shared.pods.on_change(move |change| {
            let Some(shared) = handler.upgrade() else { return };
            match change {
                Change::Deleted(pod) => shared.forget(pod),
                Change::Added(pod) => shared.adopt(pod),
                Change::Updated { .. } => {}
            }
            queue.add(ObjectKey::of(&change.object().metadata));
        });
        let handler = Arc::downgrade(shared);
        let retry = move |namespace: Option<&String>| {
            if let (Some(shared), Some(namespace)) = (handler.upgrade(), namespace) {
                let waiting = shared.memory().waiting.clone();
                waiting
                    .into_iter()
                    .filter(|key| key.namespace == *namespace)
                    .for_each(|key| shared.queue.add(key));
            }
        };
        let retry_secrets = retry.clone();
        shared
            .config_maps
            .on_change(move |change| retry(change.object().metadata.namespace.as_ref()));
        shared
            .secrets
            .on_change(move |change| retry_secrets(change.object().metadata.namespace.as_ref()));
        let config = watcher::Config::default;
        let pods = watcher(Api::<Pod>::all(shared.client.clone()), config());
        let config_maps = watcher(Api::<ConfigMap>::all(shared.client.clone()), config());
        let secrets = watcher(Api::<Secret>::all(shared.client.clone()), config());
        let workers = futures::future::join_all((0..WORKERS).map(|_| self.work()));
        tokio::join!(
            shared.pods.run("pods", pods, |pod| pod.metadata.managed_fields = None),
            shared
                .config_maps
                .run("configmaps", config_maps, |object| object.metadata.managed_fields =
                    None),
            shared
                .secrets
                .run("secrets", secrets, |object| object.metadata.managed_fields = None),
            workers,
        );
    }

    /// The pod of that name if it is on `node`.
    pub fn find(&self, node: &str, namespace: &str, name: &str) -> Option<Arc<Pod>> {
        self.0
            .pods
            .get(&ObjectKey::new(namespace, name))
            .filter(|pod| node_name(pod) == Some(node))
    }

    /// All pods on `node`.
    pub fn on(&self, node: &str) -> Vec<Arc<Pod>> {
        self.0
            .pods
            .list()
            .into_iter()
            .filter(|pod| node_name(pod) == Some(node))
            .collect()
    }

    /// What a container of the pod sees now, and its main program.
    ///
    /// # Errors
    /// The container does not exist, or something its environment needs does not.
    pub async fn container(&self, pod: &Pod, container: &str) -> Result<(View, Plan), String> {
        let spec = sandbox::containers(pod)
            .find(|one| one.name == container)
            .ok_or_else(|| {
                format!(
                    "container {container} is not valid for pod {}",
                    pod.metadata.name.as_deref().unwrap_or_default()
                )
            })?;
        let mut objects = self.0.objects(pod).await.map_err(|error| error.to_string())?;
        if sandbox::wants_token(pod)
            && let Some(token) = self.0.token(pod).await
        {
            objects.set_token(token);
        }
        let view = sandbox::view(pod, spec, &objects)?;
        let program = main_program(pod, container, &sandbox::command_line(spec, &view), &view);
        Ok((view, program))
    }

    async fn work(&self) {
        loop {
            let key = self.0.queue.next().await;
            match self.0.step(&key).await {
                Ok(wake) => {
                    self.0.queue.forget(&key);
                    if let Some(wake) = wake {
                        self.0.queue.add_after(key.clone(), wake);
                    }
                }
                Err(error) => {
                    debug!(pod = %key, %error, "will try again");
                    self.0.queue.add_rate_limited(key.clone());
                }
            }
            self.0.queue.done(&key);
        }
    }
}

impl Shared {
    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A pod seen for the first time keeps the address it has.
    fn adopt(&self, pod: &Pod) {
        let address = pod.status.as_ref().and_then(|status| status.pod_ip.as_deref());
        if let (Some(node), Some(uid), Some(address)) = (node_name(pod), pod.metadata.uid.as_deref(), address)
            && let Some(addresses) = self.memory().addresses.get_mut(node)
        {
            addresses.adopt(uid, address);
        }
    }

    fn forget(&self, pod: &Pod) {
        let Some(uid) = pod.metadata.uid.as_deref() else { return };
        let mut memory = self.memory();
        if let Some(addresses) = node_name(pod).and_then(|node| memory.addresses.get_mut(node)) {
            addresses.release(uid);
        }
        memory.written.remove(uid);
        memory.warned.retain(|(warned, _)| warned != uid);
        memory.waiting.remove(&ObjectKey::of(&pod.metadata));
    }

    /// The pod as the watch or our own last write shows it, whichever is newer.
    fn current(&self, key: &ObjectKey) -> Option<Pod> {
        let seen = self.pods.get(key)?;
        let uid = seen.metadata.uid.clone()?;
        let mut memory = self.memory();
        match memory.written.get(&uid) {
            Some(written) if version(written) > version(&seen) => Some(written.clone()),
            _ => {
                memory.written.remove(&uid);
                Some((*seen).clone())
            }
        }
    }

    /// Takes the next step of one pod; returns when to look at it again.
    async fn step(&self, key: &ObjectKey) -> Result<Option<Duration>, Error> {
        let Some(pod) = self.current(key) else { return Ok(None) };
        let Some(node) = node_name(&pod).and_then(|name| self.nodes.get(name)) else {
            return Ok(None);
        };
        let host_ip = node.address.ip().to_string();
        let Some(pod_ip) = self.address(&pod, node, &host_ip) else {
            warn!(pod = %key, node = node.name, "all addresses of the node are taken");
            return Ok(Some(Duration::from_secs(5)));
        };
        let objects = self.objects(&pod).await?;
        let missing = sandbox::missing(&pod, &objects);
        let programs = programs(&pod, &objects);
        let around = Surroundings {
            host_ip: &host_ip,
            pod_ip: &pod_ip,
            missing: &missing,
            programs: &programs,
            now: Timestamp::now(),
        };
        let advance = lifecycle::advance(&pod, &around);
        match advance.step {
            Step::Keep => {}
            Step::Write(status) => self.write(&pod, *status).await?,
            Step::Remove => return self.remove(&pod).await.map(|()| None),
        }
        self.tell(&pod, node, &missing, advance.notices);
        Ok(advance.wake)
    }

    fn address(&self, pod: &Pod, node: &NodeIdentity, host_ip: &str) -> Option<String> {
        if pod.spec.as_ref().and_then(|spec| spec.host_network) == Some(true) {
            return Some(host_ip.to_string());
        }
        let uid = pod.metadata.uid.as_deref()?;
        self.memory().addresses.get_mut(&node.name)?.assign(uid)
    }

    async fn write(&self, pod: &Pod, status: PodStatus) -> Result<(), Error> {
        let name = pod.metadata.name.as_deref().unwrap_or_default();
        let mut next = pod.clone();
        next.status = Some(status);
        match self
            .api::<Pod>(pod)
            .replace_status(name, &PostParams::default(), &next)
            .await
        {
            Ok(written) => {
                if let Some(uid) = written.metadata.uid.clone() {
                    self.memory().written.insert(uid, written);
                }
                Ok(())
            }
            Err(Error::Api(status)) if status.code == 404 => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn remove(&self, pod: &Pod) -> Result<(), Error> {
        let name = pod.metadata.name.as_deref().unwrap_or_default();
        let preconditions = Preconditions {
            uid: pod.metadata.uid.clone(),
            resource_version: None,
        };
        let now = DeleteParams {
            preconditions: Some(preconditions),
            ..DeleteParams::default()
        }
        .grace_period(0);
        match self.api::<Pod>(pod).delete(name, &now).await {
            // Gone already, or replaced by another pod of that name.
            Err(Error::Api(status)) if status.code == 404 || status.code == 409 => Ok(()),
            other => other.map(|_| ()),
        }
    }

    /// Records events; warnings about a pod that waits are given once, not in every round.
    fn tell(&self, pod: &Pod, node: &NodeIdentity, missing: &Missing, notices: Vec<Notice>) {
        let key = ObjectKey::of(&pod.metadata);
        let uid = pod.metadata.uid.clone().unwrap_or_default();
        let mut memory = self.memory();
        if *missing == Missing::default() {
            memory.waiting.remove(&key);
        } else {
            memory.waiting.insert(key);
        }
        for notice in notices {
            if notice.warning && !memory.warned.insert((uid.clone(), notice.message.clone())) {
                continue;
            }
            let severity = if notice.warning {
                Severity::Warning
            } else {
                Severity::Normal
            };
            let mut about = pod.object_ref(&());
            about.field_path = notice.field;
            debug!(
                node = node.name,
                reason = notice.reason,
                message = notice.message,
                "event"
            );
            self.recorder
                .on_node(&node.name)
                .event_about(about, severity, notice.reason, notice.message);
        }
    }

    /// What the pod names, from the watches; what they do not show yet is asked for.
    async fn objects(&self, pod: &Pod) -> Result<Objects, Error> {
        let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
        let mut objects = Objects::default();
        for reference in sandbox::references(pod) {
            match &reference {
                Reference::ConfigMap(name) => {
                    let known = self.config_maps.get(&ObjectKey::new(namespace, name));
                    let object = match known {
                        Some(object) => Some(object),
                        None => self.api::<ConfigMap>(pod).get_opt(name).await?.map(Arc::new),
                    };
                    object.inspect(|object| objects.add_config_map(name, object));
                }
                Reference::Secret(name) => {
                    let known = self.secrets.get(&ObjectKey::new(namespace, name));
                    let object = match known {
                        Some(object) => Some(object),
                        None => self.api::<Secret>(pod).get_opt(name).await?.map(Arc::new),
                    };
                    object.inspect(|object| objects.add_secret(name, object));
                }
            }
        }
        Ok(objects)
    }

    /// A token bound to the pod, as its kubelet would request it; `None` when the API server refuses.
    async fn token(&self, pod: &Pod) -> Option<String> {
        let account = pod
            .spec
            .as_ref()
            .and_then(|spec| spec.service_account_name.as_deref())
            .unwrap_or("default");
        let request = TokenRequest {
            spec: Some(TokenRequestSpec {
                bound_object_ref: Some(BoundObjectReference {
                    api_version: Some("v1".to_string()),
                    kind: Some("Pod".to_string()),
                    name: pod.metadata.name.clone(),
                    uid: pod.metadata.uid.clone(),
                }),
                expiration_seconds: Some(3607),
                ..TokenRequestSpec::default()
            }),
            ..TokenRequest::default()
        };
        let accounts = self.api::<ServiceAccount>(pod);
        match accounts
            .create_token_request(account, &PostParams::default(), &request)
            .await
        {
            Ok(answer) => answer.status.and_then(|status| status.token),
            Err(error) => {
                warn!(account, %error, "no token for a pod");
                None
            }
        }
    }

    fn api<K>(&self, pod: &Pod) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>,
    {
        Api::namespaced(
            self.client.clone(),
            pod.metadata.namespace.as_deref().unwrap_or_default(),
        )
    }
}

fn node_name(pod: &Pod) -> Option<&str> {
    pod.spec.as_ref()?.node_name.as_deref()
}

/// Resource versions of one API server are comparable numbers (KEP-5504).
fn version(pod: &Pod) -> u64 {
    pod.metadata
        .resource_version
        .as_deref()
        .and_then(|version| version.parse().ok())
        .unwrap_or(0)
}

fn programs(pod: &Pod, objects: &Objects) -> BTreeMap<String, Program> {
    let program = |container: &k8s_openapi::api::core::v1::Container| {
        let view = sandbox::view(pod, container, objects).ok()?;
        let plan = main_program(pod, &container.name, &sandbox::command_line(container, &view), &view);
        Some((
            container.name.clone(),
            Program {
                duration: plan.duration(),
                end: plan.end,
            },
        ))
    };
    sandbox::containers(pod).filter_map(program).collect()
}

/// What a container runs when it starts; without a command the image decides, and images are servers.
fn main_program(pod: &Pod, name: &str, command: &[String], view: &View) -> Plan {
    let inits = pod.spec.iter().flat_map(|spec| spec.init_containers.iter().flatten());
    let init = inits
        .filter(|init| init.restart_policy.as_deref() != Some("Always"))
        .any(|init| init.name == name);
    match command {
        [] if init => Plan {
            steps: Vec::new(),
            end: End::Exit(0),
        },
        [] => Plan {
            steps: Vec::new(),
            end: End::Never,
        },
        command => plan(
            command,
            view,
            if init { Unknown::Succeeds } else { Unknown::RunsForEver },
        ),
    }
}
