//! A world for tests, filled by hand; and two API servers in memory for tests of the whole engine.

pub(crate) mod fake;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use machinery::selector::label::Selector;
use serde_json::{Value, json};

use crate::clusters::Api;
use crate::engine::Engine;
use crate::engine::plan::{Plan, Step};
use crate::kinds::{Kind, Side};
use crate::metrics::Metrics;
use crate::names::{Fixed, NamespaceRules, Reference};
use crate::object::Object;
use crate::patches::Patches;
use crate::resources;
use crate::settings::{MetricsSettings, NamespaceSettings, NodeSettings, PodSettings, Settings};
use crate::world::World;

/// Virtual cluster `vc` in host namespace `host`, with its control plane's Service.
pub(crate) fn world() -> World {
    world_of(settings())
}

/// The same with other settings.
pub(crate) fn world_of(settings: Settings) -> World {
    let mut world = World::new(settings);
    world.clock = || Timestamp::UNIX_EPOCH;
    let service = json!({
        "metadata": {"namespace": "host", "name": "vc", "uid": "cp", "resourceVersion": "1"},
        "spec": {
            "clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1"], "ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack",
            "selector": {"app": "vcluster", "release": "vc"},
            "ports": [
                {"name": "https", "port": 443, "protocol": "TCP", "targetPort": 8443, "nodePort": 30443},
                {"name": "kubelet", "port": 10250, "protocol": "TCP", "targetPort": 8443},
            ],
        },
    });
    world.control_plane.of(Kind::Service).apply(Object::new(service));
    world
}

/// An engine that knows this world, between two empty clusters.
pub(crate) fn engine(world: World) -> Arc<Engine> {
    let (virtual_, host) = (fake::Fake::new(), fake::Fake::new());
    let metrics = Metrics::new(&Default::default());
    let api = |side, fake: &fake::Fake| Api::new(side, fake.client(), metrics.clusters.clone());
    let (recorder, _) = client::Recorder::new(virtual_.client(), "syncer");
    let (virtual_api, host_api) = (api(Side::Virtual, &virtual_), api(Side::Host, &host));
    Engine::new(Arc::new(world), virtual_api, host_api, recorder, metrics)
}

/// The settings of that world.
pub(crate) fn settings() -> Settings {
    Settings {
        vcluster: "vc".into(),
        host_namespace: "host".into(),
        service_name: "vc".into(),
        stateful_set: "vc".into(),
        cluster_domain: "cluster.local".into(),
        cluster_dns: None,
        dns_service: true,
        workload_service_account: "vc-workload-vc".into(),
        set_owner: true,
        all_config_maps: false,
        all_secrets: false,
        to_host: BTreeSet::from([
            Kind::Pod,
            Kind::Service,
            Kind::Endpoints,
            Kind::EndpointSlice,
            Kind::ConfigMap,
            Kind::Secret,
            Kind::PersistentVolumeClaim,
        ]),
        from_host: BTreeMap::from([(Kind::Event, Selector::default())]),
        imports: BTreeMap::new(),
        namespaces: None,
        gateways: Default::default(),
        replicas: Default::default(),
        custom: Vec::new(),
        patches: Patches::default(),
        exports: vec![config::KubeConfigSecret {
            name: "vc-vc".into(),
            namespace: "host".into(),
            ..Default::default()
        }],
        metrics_addresses: Vec::new(),
        compare_every: Duration::from_secs(600),
        pod_security: None,
        pods: PodSettings::default(),
        nodes: NodeSettings {
            kubelet_address: "10.9.9.9".into(),
            kubelet_port: 10250,
            version: "v1.36.0".into(),
            ..NodeSettings::default()
        },
        metrics: MetricsSettings::default(),
        monitors: Vec::new(),
        proxied: Vec::new(),
    }
}

/// The same where virtual namespaces have some of the host to themselves.
pub(crate) fn with_namespaces(pairs: &[(&str, &str)]) -> Settings {
    let pairs: BTreeMap<_, _> = pairs
        .iter()
        .map(|(virtual_, host)| ((*virtual_).to_owned(), (*host).to_owned()))
        .collect();
    let mut settings = settings();
    settings.to_host.insert(Kind::Namespace);
    settings.namespaces = Some(NamespaceSettings {
        rules: NamespaceRules::new("host", &pairs),
        extra_labels: [("cost".to_owned(), "42".to_owned())].into(),
        fixed: Fixed::default(),
    });
    (settings.all_config_maps, settings.all_secrets) = (true, true);
    settings
}

impl World {
    /// Puts an object on one side, as a watch would.
    pub(crate) fn put(&self, side: Side, kind: Kind, object: Value) -> Vec<Reference> {
        match self.side(side).of(kind).apply(Object::new(object)) {
            Some(change) => resources::affected(self, side, kind, &change),
            None => Vec::new(),
        }
    }

    /// Takes an object away again.
    pub(crate) fn take(&self, side: Side, kind: Kind, namespace: &str, name: &str) -> Vec<Reference> {
        let key = crate::object::ObjectKey::new(namespace, name);
        match self.side(side).of(kind).remove(&key, "") {
            Some(change) => resources::affected(self, side, kind, &change),
            None => Vec::new(),
        }
    }

    /// The plan for one object, with its names recorded as the engine records them.
    pub(crate) fn plan(&self, kind: Kind, namespace: &str, name: &str) -> Plan {
        let item = Reference::new(kind, namespace, name);
        let plan = resources::plan(self, &item);
        if let Some(mapping) = &plan.mapping {
            self.mappings().record(&item, mapping.clone());
        } else if plan.forget {
            self.mappings().forget(&item);
        }
        plan
    }

    /// Carries out the creations of a plan on the caches, with the next uid.
    pub(crate) fn create(&self, plan: &Plan, uid: &str) -> Value {
        let mut created = Value::Null;
        for step in &plan.steps {
            if let Step::Create { side, kind, object } = step {
                let mut object = object.clone();
                object["metadata"]["uid"] = json!(uid);
                object["metadata"]["resourceVersion"] = json!("100");
                self.put(*side, *kind, object.clone());
                created = object;
            }
        }
        created
    }

    /// The host's copy of a new virtual object, after which there is nothing left to do.
    pub(crate) fn copied(&self, kind: Kind, object: Value) -> Value {
        let text = |field| crate::json::text(&object, &["metadata", field]).to_owned();
        let (namespace, name) = (text("namespace"), text("name"));
        self.put(Side::Virtual, kind, object);
        let created = self.create(&self.plan(kind, &namespace, &name), "h1");
        let plan = self.plan(kind, &namespace, &name);
        assert_eq!(summary(&plan), Vec::<String>::new(), "a new copy is up to date");
        created
    }
}

/// A virtual object of namespace `team` with more than its metadata.
pub(crate) fn object(name: &str, more: Value) -> Value {
    let mut object = json!({"metadata": {"namespace": "team", "name": name, "uid": "v1", "resourceVersion": "5"}});
    crate::json::merge(&mut object, &more);
    object
}

/// The steps of a plan, in words.
pub(crate) fn summary(plan: &Plan) -> Vec<String> {
    plan.steps
        .iter()
        .map(|step| match step {
            Step::Create { side, kind, object } => {
                format!("create {} {kind} {}", side.as_str(), json_name(object))
            }
            Step::Upsert { kind, object } => format!("upsert {kind} {}", json_name(object)),
            Step::Patch {
                side,
                kind,
                key,
                subresource,
                body,
                ..
            } => {
                let mut body = body.clone();
                if let Some(metadata) = body.get_mut("metadata").and_then(Value::as_object_mut) {
                    metadata.remove("uid");
                }
                format!("patch {} {kind} {key} {subresource}{body}", side.as_str())
            }
            Step::Delete {
                side,
                kind,
                key,
                uid,
                grace,
            } => {
                let grace = grace.map(|seconds| format!(" in {seconds}s")).unwrap_or_default();
                format!("delete {} {kind} {key} {uid}{grace}", side.as_str())
            }
            Step::Bind { key, node, .. } => format!("bind {key} to {node}"),
            Step::TryAddresses { namespace, spec } => format!("try addresses in {namespace} {spec}"),
            Step::Tokens(tokens) => format!("tokens for {} as {}", tokens.pod, tokens.account),
        })
        .collect()
}

fn json_name(object: &Value) -> String {
    resources::pair::key_of(object).to_string()
}
