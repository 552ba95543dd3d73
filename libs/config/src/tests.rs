//! Files as they occur, and as they should not.

use crate::keys::{self, Content, Kind, Support};
use crate::{Config, toleration};
use proptest::prelude::*;
use serde_json::{Value, json};

fn error(text: &str) -> String {
    Config::parse("vcluster.yaml", text).unwrap_err().to_string()
}

fn defaults() -> Config {
    Config::parse("vcluster.yaml", "").unwrap()
}

#[test]
fn without_a_file_the_defaults_hold() {
    let config = defaults();
    assert_eq!(config.networking.advanced.cluster_domain, "cluster.local");
    assert!(config.sync.from_host.events.enabled && !config.sync.from_host.nodes.enabled);
    assert!(!config.sync.to_host.config_maps.all && !config.sync.to_host.secrets.all);
    let hosts = &config.sync.to_host.pods.rewrite_hosts;
    assert_eq!(hosts.init_container.image.0, "mirror.gcr.io/library/alpine:3.20");
    assert_eq!(hosts.init_container.resources["limits"]["cpu"], "30m");
    for text in [
        "# only a comment\n\n",
        "{}",
        "sync:\n",
        "sync: {}\n",
        "sync:\n  toHost:\n    pods:\n      enabled: true\n",
    ] {
        assert_eq!(Config::parse("f", text).unwrap(), config, "{text:?}");
    }
}

#[test]
fn what_the_file_says_is_read() {
    let text = "
sync:
  toHost:
    pods:
      translateImage:
        a: b
      enforceTolerations: [\"*\", dedicated=gpu:NoSchedule]
      runtimeClassName: gvisor
      rewriteHosts:
        initContainer:
          image: busybox
          resources: {limits: {cpu: 50m}}
    secrets: {all: true}
  fromHost:
    events:
      enabled: false
networking:
  advanced:
    clusterDomain: example.internal
telemetry:
  enabled: false
global: {anything: [1, 2]}
";
    let config = Config::parse("f", text).unwrap();
    let pods = &config.sync.to_host.pods;
    assert_eq!(pods.translate_image["a"], "b");
    assert_eq!(pods.enforce_tolerations, ["*", "dedicated=gpu:NoSchedule"]);
    assert_eq!(pods.runtime_class_name, "gvisor");
    assert_eq!(pods.rewrite_hosts.init_container.image.0, "busybox");
    assert_eq!(
        pods.rewrite_hosts.init_container.resources,
        json!({"limits": {"cpu": "50m", "memory": "64Mi"}, "requests": {"cpu": "30m", "memory": "64Mi"}})
    );
    assert!(config.sync.to_host.secrets.all && !config.sync.from_host.events.enabled);
    assert_eq!(config.networking.advanced.cluster_domain, "example.internal");
}

#[test]
fn mistakes_name_the_key_and_its_line() {
    for (text, expected) in [
        (
            "sync:\n  toHost:\n    pod: {}\n",
            "vcluster.yaml:3: sync.toHost.pod is not a key of vcluster.yaml; is pods meant?",
        ),
        (
            "nonsense: 1\n",
            "vcluster.yaml:1: nonsense is not a key of vcluster.yaml",
        ),
        (
            "privateNodes:\n  enabled: true\n",
            "vcluster.yaml:2: privateNodes.enabled is not supported yet: remove it or set it to false",
        ),
        (
            "sync:\n  toHost:\n    priorityClasses: {enabled: true}\n  fromHost:\n    priorityClasses: {enabled: true}\n",
            "vcluster.yaml: sync.toHost.priorityClasses.enabled and sync.fromHost.priorityClasses.enabled cannot both be \
             true: set one of them to false",
        ),
        (
            "sync:\n  fromHost:\n    storageClasses:\n      selector:\n        matchLabels: {a: 1}\n",
            "vcluster.yaml:5: sync.fromHost.storageClasses.selector.matchLabels: every entry must map a label to a value",
        ),
        (
            "sync:\n  fromHost:\n    storageClasses:\n      selector:\n        matchExpressions: [{key: a, operator: In}]\n",
            "vcluster.yaml:5: sync.fromHost.storageClasses.selector.matchExpressions: {\"key\":\"a\",\"operator\":\"In\"} is not \
             a requirement: key, operator (In, NotIn, Exists or DoesNotExist) and values (with In and NotIn only)",
        ),
        (
            "controlPlane:\n  coredns:\n    overwriteConfig: x\n",
            "vcluster.yaml:3: controlPlane.coredns.overwriteConfig is not supported yet: remove it",
        ),
        (
            "sync:\n  fromHost:\n    events:\n\n      enabled: maybe\n",
            "vcluster.yaml:5: sync.fromHost.events.enabled must be true or false",
        ),
        (
            "sync:\n  toHost: [1]\n",
            "vcluster.yaml:2: sync.toHost must be a mapping of keys",
        ),
        ("just text\n", "vcluster.yaml:1: the file must be a mapping of keys"),
        (
            "networking:\n  advanced:\n    clusterDomain: Cluster_Local\n",
            "vcluster.yaml:3: networking.advanced.clusterDomain: \"Cluster_Local\" is not a DNS domain in lower case, \
             such as cluster.local",
        ),
        (
            "networking:\n  advanced:\n    clusterDomain: 7\n",
            "vcluster.yaml:3: networking.advanced.clusterDomain must be a string (in quotes if it looks like a number)",
        ),
        (
            "sync:\n  toHost:\n    pods:\n      enforceTolerations: [a:Never]\n",
            "vcluster.yaml:4: sync.toHost.pods.enforceTolerations: \"a:Never\" is not *, KEY, KEY=VALUE or KEY[=VALUE]:EFFECT",
        ),
        (
            "controlPlane:\n  advanced:\n    virtualScheduler: {enabled: true}\n",
            "vcluster.yaml: sync.fromHost.nodes.enabled is false, but required if using hybrid scheduling or virtual scheduler",
        ),
        (
            "sync:\n  toHost:\n    pods:\n      hybridScheduling: {enabled: true, hostSchedulers: [mine]}\n",
            "vcluster.yaml: sync.fromHost.nodes.enabled is false, but required if using hybrid scheduling or virtual scheduler",
        ),
        (
            "sync:\n  toHost:\n    pods:\n      hybridScheduling: {enabled: true, hostSchedulers: ['']}\n",
            "vcluster.yaml:4: sync.toHost.pods.hybridScheduling.hostSchedulers: a scheduler must have a name",
        ),
        (
            "sync:\n  toHost:\n    pods:\n      hybridScheduling: {enabled: true, hostSchedulers: [default-scheduler]}\n  \
             fromHost: {nodes: {enabled: true}}\ncontrolPlane: {advanced: {virtualScheduler: {enabled: true}}}\n",
            "vcluster.yaml: sync.toHost.pods.hybridScheduling.hostSchedulers: default-scheduler is the virtual cluster's own \
             scheduler: remove it, or switch that scheduler off",
        ),
        (
            "sync:\n  fromHost:\n    nodes:\n      selector:\n        labels: {a: 1}\n",
            "vcluster.yaml:5: sync.fromHost.nodes.selector.labels: every entry must map a label to a value",
        ),
        (
            "policies:\n  networkPolicy: {fallbackDns: dns.example.com}\n",
            "vcluster.yaml:2: policies.networkPolicy.fallbackDns: \"dns.example.com\" is not an address such as 8.8.8.8 or \
             8.8.8.8:53",
        ),
        (
            "experimental:\n  virtualClusterKubeConfig: {serverCACert: /pki/ca.crt}\n",
            "vcluster.yaml: experimental.virtualClusterKubeConfig.serverCACert and .serverCAKey belong together: set both or \
             none",
        ),
        ("sync: {}\nsync: {}\n", "vcluster.yaml:2: sync is there twice"),
        (
            "networking:\n  replicateServices:\n    toHost: [{from: a, to: b}]\n",
            "vcluster.yaml:3: networking.replicateServices.toHost: a=b: invalid service mapping, please use \
             namespace1/service1=service2",
        ),
        (
            "networking:\n  replicateServices:\n    fromHost: [{from: a, to: b/c}, {from: d, to: b/c}]\n",
            "vcluster.yaml:3: networking.replicateServices.fromHost: b/c cannot be the replica of two Services",
        ),
        (
            "networking:\n  resolveDNS:\n  - {hostname: a, target: {ip: 192.0.2.1}}\n  - {service: b, target: {ip: 192.0.2.1}}\n",
            "vcluster.yaml:3: networking.resolveDNS: [1].service: \"b\" is not NAMESPACE/NAME",
        ),
        (
            "exportKubeConfig:\n  server: example.com\n",
            "vcluster.yaml:2: exportKubeConfig.server: \"example.com\" is not a URL that begins with https:// or http://",
        ),
        (
            "exportKubeConfig:\n  additionalSecrets: [{context: a}]\n",
            "vcluster.yaml:2: exportKubeConfig.additionalSecrets: [0] must have a name or a namespace",
        ),
        (
            "exportKubeConfig:\n  additionalSecrets: [{name: a, sever: b}]\n",
            "vcluster.yaml:2: exportKubeConfig.additionalSecrets: [0]: unknown field `sever`, expected one of `name`, \
             `namespace`, `context`, `server`, `insecure`, `serviceAccount`",
        ),
        (
            "exportKubeConfig:\n  secret: {name: a}\n  additionalSecrets: [{name: b}]\n",
            "vcluster.yaml: exportKubeConfig.secret and exportKubeConfig.additionalSecrets cannot both be set: add the Secret to \
             the list",
        ),
        (
            "experimental:\n  syncSettings: {hostMetricsBindAddress: example.com}\n",
            "vcluster.yaml:2: experimental.syncSettings.hostMetricsBindAddress: \"example.com\" is not an address such as \
             :8080 or 127.0.0.1:8080",
        ),
        (
            "networking:\n  replicateServices:\n    toHost: [{from: a/b}]\n",
            "vcluster.yaml:3: networking.replicateServices.toHost: {\"from\":\"a/b\"} must have the form {from: SERVICE, to: \
             SERVICE}",
        ),
        (
            "sync:\n  fromHost:\n    secrets:\n      mappings:\n        byName: {a/*: b/c}\n",
            "vcluster.yaml:5: sync.fromHost.secrets.mappings.byName: \"a/*\": \"b/c\": many objects cannot have one name: \
             the virtual side must end in /*",
        ),
        (
            "sync:\n  fromHost:\n    configMaps: {enabled: true}\n",
            "vcluster.yaml: sync.fromHost.configMaps.mappings.byName is empty: say which objects are synced, or set \
             sync.fromHost.configMaps.enabled to false",
        ),
        (
            "sync:\n  toHost:\n    ingresses:\n      patches: [{path: spec}]\n",
            "vcluster.yaml:4: sync.toHost.ingresses.patches: patch 0: it needs one of expression, reverseExpression, labels \
             and reference",
        ),
        (
            "sync:\n  toHost:\n    customResources: {databases: {enabled: true}}\n",
            "vcluster.yaml:3: sync.toHost.customResources: \"databases\" is not the name of a resource: PLURAL.GROUP or \
             PLURAL.GROUP/VERSION",
        ),
        (
            "sync:\n  toHost:\n    customResources: {a.b: {enabled: true, scope: Cluster}}\n",
            "vcluster.yaml:3: sync.toHost.customResources: a.b: scope must be Namespaced: objects without a namespace are \
             not synced to the host",
        ),
        (
            "sync:\n  fromHost:\n    customResources: {a.b: {enabled: true}}\n",
            "vcluster.yaml:3: sync.fromHost.customResources: a.b: mappings.byName is empty: say which objects are synced, or \
             set scope to Cluster",
        ),
        (
            "sync:\n  toHost:\n    customResources: {a.b: {mappings: {byName: {c/d: e/f}}}}\n",
            "vcluster.yaml:3: sync.toHost.customResources: a.b: only objects that come from namespaces of the host have \
             mappings: remove them",
        ),
        (
            "sync:\n  toHost:\n    customResources: {a.b: {enabled: true}}\n  fromHost:\n    customResources: {a.b/v2: \
             {enabled: true, scope: Cluster}}\n",
            "vcluster.yaml: sync.toHost.customResources and sync.fromHost.customResources both name a.b: a resource is \
             synced one way only",
        ),
    ] {
        assert_eq!(error(text), expected, "{text}");
    }
    let broken = error("sync:\n  toHost: [\n");
    assert!(broken.starts_with("vcluster.yaml"), "{broken}");
}

/// Sections that cannot be switched on without saying what they are about.
const IMPORTED: [&str; 3] = [
    "sync.fromHost.configMaps",
    "sync.fromHost.secrets",
    "sync.fromHost.gateways",
];

#[test]
fn rules_and_standards_are_checked() {
    for (text, expected) in [
        (
            "rbac: {role: {extraRules: [{resources: [pods], verbs: [get]}]}}\n",
            "vcluster.yaml:1: rbac.role.extraRules: {\"resources\":[\"pods\"],\"verbs\":[\"get\"]} is not a rule: apiGroups, \
             resources and verbs, each a list of texts",
        ),
        (
            "policies: {podSecurityStandard: strict}\n",
            "vcluster.yaml:1: policies.podSecurityStandard: \"strict\" is none of privileged, baseline and restricted",
        ),
    ] {
        assert_eq!(error(text), expected, "{text}");
    }
}

/// Every key that is said to be honoured is in the model: another value makes another configuration.
#[test]
fn honoured_keys_reach_the_model() {
    keys::root().walk("", &mut |path, key| {
        let Content::Leaf {
            kind,
            default,
            support: Support::Honoured,
        } = &key.content
        else {
            return;
        };
        let other = match (kind, path) {
            (Kind::Bool, _) => json!(!default.as_bool().unwrap()),
            (Kind::List, path) if path.ends_with("matchExpressions") => json!([{"key": "other", "operator": "Exists"}]),
            (Kind::List, "networking.replicateServices.toHost") => json!([{"from": "a/b", "to": "c"}]),
            (Kind::List, "networking.replicateServices.fromHost") => json!([{"from": "a/b", "to": "c/d"}]),
            (Kind::List, path) if path.ends_with(".patches") => json!([{"path": "spec", "expression": "value"}]),
            (Kind::Text, "exportKubeConfig.server") => json!("https://other"),
            (Kind::Text, path) if path.ends_with("MetricsBindAddress") => json!(":8080"),
            (Kind::List, "exportKubeConfig.additionalSecrets") => json!([{"name": "other"}]),
            (Kind::List, "networking.resolveDNS") => json!([{"hostname": "a", "target": {"ip": "192.0.2.1"}}]),
            (Kind::Text, "policies.networkPolicy.fallbackDns") => json!("192.0.2.1"),
            (Kind::Text, "policies.podSecurityStandard") => json!("baseline"),
            (Kind::List, path) if path.ends_with("allowedRoutes.overrides") => json!([{"name": "other"}]),
            (Kind::Text, path) if path.ends_with("serviceCIDR") => json!("10.0.0.0/8"),
            (Kind::List, "experimental.deploy.vcluster.helm") => {
                json!([{"chart": {"name": "other", "repo": "https://other"}}])
            }
            (Kind::List, "experimental.nodeMonitors") => {
                json!([{"name": "other", "endpoints": [{"path": "/metrics"}]}])
            }
            (Kind::Text, _) => json!("other"),
            (Kind::List, path) if path.starts_with("rbac.") => {
                json!([{"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["get"]}])
            }
            (Kind::List, path) if path.ends_with("Webhooks") => json!([{"metadata": {"name": "other"}}]),
            (Kind::List, "experimental.denyProxyRequests") => json!([{"name": "other"}]),
            (Kind::List, _) => json!(["other"]),
            (Kind::Any, _) => json!("other"),
            (Kind::Map, "experimental.proxy.customResources") => {
                json!({"others.example.com/v1": {"targetVirtualCluster": {"name": "other"}}})
            }
            (Kind::Map, path) if path.ends_with("customResources") => json!({"others.example.com": {"enabled": false}}),
            (Kind::Map, path) if path.ends_with("byName") => json!({"other/*": "other/*"}),
            (Kind::Map, _) => json!({"other": "1"}),
            (Kind::Auto, _) => json!(true),
            (Kind::Int, _) => panic!("{path}: no other value is known"),
        };
        let parsed = |value: &Value| {
            let mut document = path.rsplit('.').fold(value.clone(), |value, name| json!({name: value}));
            if let Some(section) = path
                .strip_suffix(".enabled")
                .filter(|section| IMPORTED.contains(section))
            {
                let pointer = format!("/{}", section.replace('.', "/"));
                document.pointer_mut(&pointer).unwrap()["mappings"] = json!({"byName": {"other/*": "other/*"}});
            }
            if path.ends_with("cheduler.enabled") || path.ends_with("hybridScheduling.enabled") {
                // Who schedules has to know the nodes.
                document["sync"]["fromHost"] = json!({"nodes": {"enabled": true}});
            }
            for (half, other) in [("serverCACert", "serverCAKey"), ("serverCAKey", "serverCACert")] {
                if path.ends_with(half) {
                    document["experimental"]["virtualClusterKubeConfig"][other] = value.clone();
                }
            }
            Config::parse("f", &document.to_string()).unwrap()
        };
        assert_ne!(parsed(&other), parsed(default), "{path} changes nothing");
    });
}

/// The defaults, written out in full, are accepted and change nothing.
#[test]
fn defaults_may_be_written_out() {
    let document: Value = keys::root().defaults();
    assert_eq!(Config::parse("f", &document.to_string()).unwrap(), defaults());
}

#[test]
fn tolerations_are_read_as_vcluster_reads_them() {
    for (text, expected) in [
        ("*", Some(json!({"operator": "Exists"}))),
        ("k", Some(json!({"key": "k"}))),
        ("k=v", Some(json!({"key": "k", "value": "v"}))),
        (
            "k:NoExecute",
            Some(json!({"key": "k", "effect": "NoExecute", "operator": "Exists"})),
        ),
        (
            "k=v:NoSchedule",
            Some(json!({"key": "k", "value": "v", "effect": "NoSchedule", "operator": "Equal"})),
        ),
        ("k:Other", None),
        ("", None),
        ("=v", None),
    ] {
        assert_eq!(toleration(text), expected, "{text}");
    }
}

proptest! {
    #[test]
    fn no_text_panics(text in "[a-z:{}\\[\\] \n\"'&*!|>%-]{0,80}") {
        if let Err(error) = Config::parse("f", &text) {
            prop_assert!(error.to_string().starts_with('f'));
        }
    }
}

#[test]
fn rules_say_what_they_allow() {
    let rules = |texts: &[&str]| -> Vec<serde_json::Value> {
        let parsed = texts.iter().map(|text| serde_yaml::from_str(text));
        parsed.collect::<Result<_, _>>().unwrap()
    };
    let allow = |extra: &[&str], overwrite: &[&str]| {
        let (extra_rules, overwrite_rules) = (rules(extra), rules(overwrite));
        let rules = crate::Rules {
            extra_rules,
            overwrite_rules,
        };
        rules.allow("", "nodes/proxy", "get")
    };
    let table = [
        ("{apiGroups: [''], resources: [nodes/proxy], verbs: [get]}", true),
        (
            "{apiGroups: ['', apps], resources: [pods, '*/proxy'], verbs: [list, get]}",
            true,
        ),
        ("{apiGroups: ['*'], resources: ['*'], verbs: ['*']}", true),
        ("{apiGroups: [apps], resources: [nodes/proxy], verbs: [get]}", false),
        ("{apiGroups: [''], resources: [nodes], verbs: [get]}", false),
        ("{apiGroups: [''], resources: ['nodes/*'], verbs: [get]}", false),
        ("{apiGroups: [''], resources: [nodes/proxy], verbs: [create]}", false),
        (
            "{apiGroups: [''], resources: [nodes/proxy], verbs: [get], resourceNames: [a]}",
            false,
        ),
        ("{nonResourceURLs: ['*'], verbs: [get]}", false),
    ];
    for (rule, allowed) in table {
        assert_eq!(allow(&[rule], &[]), allowed, "{rule}");
        assert_eq!(allow(&[], &[rule]), allowed, "{rule}");
    }
    assert!(!allow(&[table[0].0], &[table[3].0]), "the others are replaced");
}
