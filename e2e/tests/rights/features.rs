//! The features of vcluster.yaml that need rights on the host, and what uses them: each alone, and all that can be on together.
//! In texts, `HOST` is the host's namespace and `VC` the virtual cluster; other namespaces of the host begin with `RIGHTS`.

/// A configuration, and everything that it lets the syncer do on the host.
pub(crate) struct Feature {
    pub(crate) name: &'static str,
    pub(crate) values: &'static str,
    /// What the host has before the syncer starts.
    pub(crate) on_host: &'static str,
    /// Definitions of custom resources that the host has: group, plural, kind, and whether they lie in namespaces.
    pub(crate) definitions: &'static [(&'static str, &'static str, &'static str, bool)],
    /// What the tenant makes, changes and deletes.
    pub(crate) made: &'static str,
    /// What is done with it in between.
    pub(crate) acts: &'static [Act],
    /// Whether virtual namespaces have some of the host to themselves: `default` has `RIGHTS-own`.
    pub(crate) is_spread: bool,
}

/// Everything off that is on by default: whatever a feature needs of it, it turns on.
pub(crate) const OFF: &str = "
sync:
  toHost:
    pods: {enabled: false}
    services: {enabled: false}
    endpoints: {enabled: false}
    endpointSlices: {enabled: false}
    configMaps: {enabled: false}
    secrets: {enabled: false}
    persistentVolumeClaims: {enabled: false}
  fromHost:
    events: {enabled: false}
";

/// The feature that is tried to be emptied, too.
pub(crate) const MONITORS: &str = "monitors of nodes";

/// What somebody does with the objects, besides changing and deleting them.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Act {
    /// All that a kubelet can do is asked for pod `app`.
    Pods,
    /// The pod is bound to a node, as the virtual cluster's own scheduler does.
    Bind,
    /// A node is changed, and what it measures is read.
    Nodes,
    /// What pods and nodes use is read.
    Measurements,
    /// Service `web` gets another port.
    Ports,
    /// What kubelets tell is asked for, also where there is no right to ask the host.
    Kubelets,
    /// What the host has in namespaces of the virtual cluster is changed, and such a namespace ends.
    Namespaces,
}

const PODS: Feature = Feature {
    name: "what is on by default",
    values: "
sync:
  toHost:
    pods: {enabled: true}
    services: {enabled: true}
    endpoints: {enabled: true}
    endpointSlices: {enabled: true}
    configMaps: {enabled: true}
    secrets: {enabled: true}
    persistentVolumeClaims: {enabled: true}
  fromHost:
    events: {enabled: true}
",
    on_host: "",
    definitions: &[],
    made: "
apiVersion: v1
kind: ConfigMap
metadata: {name: settings, annotations: {vcluster.loft.sh/force-sync: 'true'}}
data: {a: b}
---
{apiVersion: v1, kind: Secret, metadata: {name: keys}, stringData: {a: b}}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data}
spec: {storageClassName: fast, accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
---
{apiVersion: v1, kind: Service, metadata: {name: web}, spec: {ports: [{port: 80}]}}
---
apiVersion: v1
kind: Endpoints
metadata: {name: web}
subsets: [{addresses: [{ip: 192.0.2.7}], ports: [{port: 80}]}]
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web-1, labels: {kubernetes.io/service-name: web, endpointslice.kubernetes.io/managed-by: me}}
addressType: IPv4
endpoints: [{addresses: [192.0.2.7]}]
ports: [{port: 80}]
---
apiVersion: v1
kind: Pod
metadata: {name: app}
spec:
  readinessGates: [{conditionType: example.com/ready}]
  containers:
    - name: c
      image: i
      envFrom: [{configMapRef: {name: settings}}, {secretRef: {name: keys}}]
      resources: {requests: {cpu: 10m}}
",
    acts: &[Act::Kubelets, Act::Pods],
    is_spread: false,
};

/// What there is in namespaces of their own: one that comes and goes, and one that the host has already, with something in it.
const OF_NAMESPACES: Feature = Feature {
    on_host: "
{apiVersion: v1, kind: Namespace, metadata: {name: RIGHTS-late}}
---
{apiVersion: v1, kind: ConfigMap, metadata: {name: theirs, namespace: RIGHTS-late}, data: {a: b}}
---
{apiVersion: v1, kind: Secret, metadata: {name: theirs, namespace: RIGHTS-late}, stringData: {a: b}}
---
{apiVersion: v1, kind: Service, metadata: {name: theirs, namespace: RIGHTS-late}, spec: {ports: [{port: 80}]}}
---
apiVersion: v1
kind: Pod
metadata: {name: theirs, namespace: RIGHTS-late}
spec: {automountServiceAccountToken: false, containers: [{name: c, image: i}]}
",
    made: "{apiVersion: v1, kind: Namespace, metadata: {name: fresh}}",
    acts: &[Act::Namespaces],
    is_spread: true,
    ..QUIET
};

const NAMED: Feature = Feature {
    name: "namespaces of their own that are named one by one, and no others",
    values: "
sync:
  toHost:
    namespaces:
      enabled: true
      mappingsOnly: true
      mappings: {byName: {default: RIGHTS-own, fresh: RIGHTS-fresh, late: RIGHTS-late}}
      extraLabels: {cost: '42'}
",
    ..OF_NAMESPACES
};

const FITTING: Feature = Feature {
    name: "namespaces of their own that fit patterns",
    values: "
sync:
  toHost:
    namespaces:
      enabled: true
      mappings: {byName: {'default*': 'RIGHTS-own*', 'fresh*': 'RIGHTS-fresh*', late: RIGHTS-late}}
",
    ..OF_NAMESPACES
};

const QUIET: Feature = Feature {
    name: "",
    values: "",
    on_host: "",
    definitions: &[],
    made: "",
    acts: &[],
    is_spread: false,
};

pub(crate) const FEATURES: &[Feature] = &[
    PODS,
    Feature {
        name: "kinds that are copied to the host",
        values: "
sync:
  toHost:
    serviceAccounts: {enabled: true}
    ingresses: {enabled: true}
    networkPolicies: {enabled: true}
    podDisruptionBudgets: {enabled: true}
    priorityClasses: {enabled: true}
    storageClasses: {enabled: true}
    persistentVolumes: {enabled: true}
    resourceClaims: {enabled: true}
    resourceClaimTemplates: {enabled: true}
",
        made: "
{apiVersion: v1, kind: ServiceAccount, metadata: {name: robot}}
---
{apiVersion: v1, kind: ServiceAccount, metadata: {name: default}}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: web}
spec: {rules: [{host: example.com}]}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: deny}
spec: {podSelector: {}, policyTypes: [Ingress]}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: two}
spec: {minAvailable: 2, selector: {matchLabels: {app: web}}}
---
{apiVersion: scheduling.k8s.io/v1, kind: PriorityClass, metadata: {name: high}, value: 1000}
---
{apiVersion: storage.k8s.io/v1, kind: StorageClass, metadata: {name: slow}, provisioner: example.com/disk}
---
apiVersion: v1
kind: PersistentVolume
metadata: {name: share}
spec: {capacity: {storage: 1Gi}, accessModes: [ReadWriteMany], storageClassName: manual, nfs: {server: 192.0.2.1, path: /}}
---
apiVersion: resource.k8s.io/v1
kind: ResourceClaim
metadata: {name: gpu}
spec: {devices: {requests: [{name: one, exactly: {deviceClassName: gpus}}]}}
---
apiVersion: resource.k8s.io/v1
kind: ResourceClaimTemplate
metadata: {name: gpu}
spec: {spec: {devices: {requests: [{name: one, exactly: {deviceClassName: gpus}}]}}}
",
        ..QUIET
    },
    Feature {
        name: "kinds of the host that are shown",
        values: "
sync:
  fromHost:
    ingressClasses: {enabled: true}
    runtimeClasses: {enabled: true}
    priorityClasses: {enabled: true}
    storageClasses: {enabled: true}
    csiNodes: {enabled: true}
    csiDrivers: {enabled: true}
    csiStorageCapacities: {enabled: true}
    deviceClasses: {enabled: true}
",
        ..QUIET
    },
    Feature {
        name: "nodes of the host, measurements, and a scheduler",
        values: "
sync:
  toHost: {pods: {enabled: true}, secrets: {enabled: true}}
  fromHost: {nodes: {enabled: true, syncBackChanges: true, selector: {all: true}}}
controlPlane: {advanced: {virtualScheduler: {enabled: true}}}
integrations: {metricsServer: {enabled: true}}
",
        made: "
{apiVersion: v1, kind: Secret, metadata: {name: keys}, stringData: {a: b}}
---
apiVersion: v1
kind: Pod
metadata: {name: app}
spec:
  # There is no Service for the name server.
  dnsPolicy: Default
  readinessGates: [{conditionType: example.com/ready}]
  containers: [{name: c, image: i, envFrom: [{secretRef: {name: keys}}], resources: {requests: {cpu: 10m}}}]
",
        acts: &[Act::Bind, Act::Pods, Act::Nodes, Act::Measurements],
        ..QUIET
    },
    Feature {
        name: "volume snapshots",
        values: "
sync:
  toHost:
    volumeSnapshots: {enabled: true}
    volumeSnapshotContents: {enabled: true}
  fromHost:
    volumeSnapshotClasses: {enabled: true}
",
        definitions: &[
            ("snapshot.storage.k8s.io", "volumesnapshots", "VolumeSnapshot", true),
            ("snapshot.storage.k8s.io", "volumesnapshotcontents", "VolumeSnapshotContent", false),
            ("snapshot.storage.k8s.io", "volumesnapshotclasses", "VolumeSnapshotClass", false),
        ],
        made: "
apiVersion: snapshot.storage.k8s.io/v1
kind: VolumeSnapshot
metadata: {name: now}
spec: {source: {persistentVolumeClaimName: data}}
---
apiVersion: snapshot.storage.k8s.io/v1
kind: VolumeSnapshotContent
metadata: {name: kept}
spec:
  driver: example.com
  deletionPolicy: Retain
  source: {snapshotHandle: h}
  volumeSnapshotRef: {namespace: default, name: now}
",
        ..QUIET
    },
    Feature {
        name: "the Gateway API",
        values: "
sync:
  toHost:
    services: {enabled: true}
    configMaps: {enabled: true}
    gatewayApi:
      enabled: true
      tlsRoutes: {enabled: true}
      backendTLSPolicies: {enabled: true}
      referenceGrants: {enabled: true}
  fromHost:
    gateways:
      enabled: true
      mappings: {byName: {RIGHTS-shared/front: default/front}}
",
        definitions: &[
            ("gateway.networking.k8s.io", "gatewayclasses", "GatewayClass", false),
            ("gateway.networking.k8s.io", "gateways", "Gateway", true),
            ("gateway.networking.k8s.io", "httproutes", "HTTPRoute", true),
            ("gateway.networking.k8s.io", "tlsroutes", "TLSRoute", true),
            ("gateway.networking.k8s.io", "backendtlspolicies", "BackendTLSPolicy", true),
            ("gateway.networking.k8s.io", "referencegrants", "ReferenceGrant", true),
        ],
        on_host: "
{apiVersion: v1, kind: Namespace, metadata: {name: RIGHTS-shared}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: public}
spec: {controllerName: example.com/gateways}
",
        made: "
{apiVersion: v1, kind: Service, metadata: {name: web}, spec: {ports: [{port: 80}]}}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: authorities, annotations: {vcluster.loft.sh/force-sync: 'true'}}
data: {ca.crt: x}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: own}
spec:
  gatewayClassName: public
  listeners:
    - {name: http, port: 80, protocol: HTTP}
    - {name: tls, port: 443, protocol: TLS, tls: {mode: Passthrough}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: web}
spec: {parentRefs: [{name: own}], rules: [{backendRefs: [{name: web, port: 80}]}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: TLSRoute
metadata: {name: web}
spec: {parentRefs: [{name: own}], hostnames: [example.com], rules: [{backendRefs: [{name: web, port: 80}]}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: BackendTLSPolicy
metadata: {name: web}
spec:
  targetRefs: [{group: '', kind: Service, name: web}]
  validation: {hostname: example.com, caCertificateRefs: [{group: '', kind: ConfigMap, name: authorities}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: ReferenceGrant
metadata: {name: allowed}
spec:
  from: [{group: gateway.networking.k8s.io, kind: HTTPRoute, namespace: default}]
  to: [{group: '', kind: Service}]
",
        ..QUIET
    },
    Feature {
        name: "custom resources",
        values: "
sync:
  toHost:
    customResources: {widgets.example.com: {enabled: true}}
  fromHost:
    customResources:
      gadgets.example.com: {enabled: true, scope: Cluster}
",
        definitions: &[
            ("example.com", "widgets", "Widget", true),
            ("example.com", "gadgets", "Gadget", false),
        ],
        made: "{apiVersion: example.com/v1, kind: Widget, metadata: {name: one}, spec: {a: 1}}",
        ..QUIET
    },
    Feature {
        name: "objects of other namespaces, by name and all of them",
        values: "
sync:
  fromHost:
    configMaps: {enabled: true, mappings: {byName: {RIGHTS-shared/settings: default/settings, /own: default/own}}}
    secrets: {enabled: true, mappings: {byName: {'RIGHTS-shared/*': 'shared/*'}}}
networking:
  replicateServices:
    fromHost: [{from: RIGHTS-shared/db, to: default/db}]
    toHost: [{from: default/web, to: web}]
exportKubeConfig:
  additionalSecrets: [{name: published, namespace: RIGHTS-shared}]
",
        on_host: "
{apiVersion: v1, kind: Namespace, metadata: {name: RIGHTS-shared}}
---
apiVersion: v1
kind: Secret
metadata: {name: published, namespace: RIGHTS-shared, labels: {app: vcluster, vcluster-name: VC}}
stringData: {config: old}
",
        made: "{apiVersion: v1, kind: Service, metadata: {name: web}, spec: {ports: [{port: 80}]}}",
        acts: &[Act::Ports],
        ..QUIET
    },
    Feature {
        name: "custom resources that another virtual cluster answers for",
        values: "
experimental:
  proxy:
    customResources:
      things.example.net/v1: {enabled: true, targetVirtualCluster: {name: other}}
",
        // It is asked for, and leads nowhere.
        on_host: "
{apiVersion: v1, kind: Namespace, metadata: {name: vcluster-other}}
---
{apiVersion: v1, kind: Secret, metadata: {name: vc-other, namespace: vcluster-other}, stringData: {config: none}}
",
        ..QUIET
    },
    Feature {
        name: MONITORS,
        values: "
sync: {fromHost: {nodes: {enabled: true, syncBackChanges: true, selector: {all: true}}}}
experimental:
  nodeMonitors:
    - {name: kubelet, endpoints: [{path: /metrics/cadvisor}]}
    - {name: probes, endpoints: [{path: /metrics/probes}]}
",
        definitions: &[("monitoring.coreos.com", "servicemonitors", "ServiceMonitor", true)],
        // One that says something else, and one of a node that is gone.
        on_host: "
apiVersion: monitoring.coreos.com/v1
kind: ServiceMonitor
metadata:
  name: kubelet-node-1
  namespace: HOST
  labels: {app: vcluster, vcluster-name: VC, vcluster.loft.sh/node-monitor: kubelet}
spec: {jobLabel: old}
---
apiVersion: monitoring.coreos.com/v1
kind: ServiceMonitor
metadata:
  name: kubelet-node-9
  namespace: HOST
  labels: {app: vcluster, vcluster-name: VC, vcluster.loft.sh/node-monitor: kubelet}
spec: {}
",
        acts: &[Act::Nodes],
        ..QUIET
    },
    Feature {
        name: "nothing but the control plane's own",
        values: "",
        ..QUIET
    },
];

/// What one virtual cluster is configured with, and what uses it. Later values come over earlier ones.
#[derive(Clone)]
pub(crate) struct Configuration {
    pub(crate) name: &'static str,
    pub(crate) values: Vec<&'static str>,
    pub(crate) on_host: Vec<&'static str>,
    pub(crate) definitions: Vec<(&'static str, &'static str, &'static str, bool)>,
    pub(crate) made: Vec<&'static str>,
    pub(crate) acts: Vec<Act>,
    /// Kinds that the tenant does not make, because they come from the host.
    pub(crate) shown: &'static [&'static str],
    /// Whether virtual namespaces have some of the host to themselves.
    pub(crate) is_spread: bool,
    /// Whether everything is on that can be on together, and its end is looked at.
    pub(crate) is_whole: bool,
}

/// Of what excludes each other, what goes to the host.
const TOWARDS_THE_HOST: &str = "
sync: {fromHost: {priorityClasses: {enabled: false}, storageClasses: {enabled: auto}}}
";
/// Of what excludes each other, what comes from it.
const FROM_THE_HOST: &str = "
sync:
  toHost:
    priorityClasses: {enabled: false}
    storageClasses: {enabled: false}
    pods: {hybridScheduling: {enabled: true, hostSchedulers: [default-scheduler]}}
controlPlane: {advanced: {virtualScheduler: {enabled: false}}}
exportKubeConfig: {additionalSecrets: [], secret: {name: published, namespace: RIGHTS-shared}}
";

/// Every feature alone, and some that have on what can be on together; in the control plane's namespace and in others.
pub(crate) fn configurations() -> Vec<Configuration> {
    let mut all: Vec<Configuration> = FEATURES.iter().map(|feature| Configuration::of(&[feature])).collect();
    all.extend([&NAMED, &FITTING].map(|layout| Configuration::of(&[layout, &PODS])));
    let whole = |name, layout: Option<&'static Feature>, values| {
        let features: Vec<&Feature> = FEATURES.iter().chain(layout).collect();
        let mut whole = Configuration::of(&features);
        whole.name = name;
        whole.values.push(values);
        whole
    };
    let towards = |name, layout| Configuration {
        is_whole: true,
        ..whole(name, layout, TOWARDS_THE_HOST)
    };
    let from = |name, layout| {
        let mut from = whole(name, layout, FROM_THE_HOST);
        from.acts.retain(|act| *act != Act::Bind);
        from.shown = &["PriorityClass", "StorageClass"];
        from
    };
    all.push(towards("everything towards the host", None));
    all.push(Configuration {
        is_whole: true,
        ..from("everything from the host", None)
    });
    all.push(towards(
        "everything towards the host, in namespaces of their own",
        Some(&NAMED),
    ));
    all.push(from(
        "everything from the host, in namespaces that fit patterns",
        Some(&FITTING),
    ));
    all
}

impl Configuration {
    fn of(features: &[&Feature]) -> Self {
        let texts = |text: fn(&Feature) -> &'static str| {
            let texts = features.iter().map(|feature| text(feature));
            texts.filter(|text| !text.is_empty()).collect()
        };
        let mut acts: Vec<Act> = Vec::new();
        for act in features.iter().flat_map(|feature| feature.acts) {
            if !acts.contains(act) {
                acts.push(*act);
            }
        }
        Self {
            name: features.first().map_or("", |feature| feature.name),
            values: texts(|feature| feature.values),
            on_host: texts(|feature| feature.on_host),
            definitions: features
                .iter()
                .flat_map(|feature| feature.definitions)
                .copied()
                .collect(),
            made: texts(|feature| feature.made),
            acts,
            shown: &[],
            is_spread: features.iter().any(|feature| feature.is_spread),
            is_whole: false,
        }
    }
}
