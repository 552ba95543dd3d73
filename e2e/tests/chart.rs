//! The Helm chart: its workload is that of deploy/kustomize, and what it says about rights and policies is, for any values,
//! what `vcluster manifests` says.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context, Result, ensure};
use config::requests::{DENIED, DeniedRequests};
use e2e::suite::{binary, tool};
use serde_json::{Map, Value, json};

const RELEASE: &str = "team-a";
const NAMESPACE: &str = "tenants";

fn deploy(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy").join(name)
}

/// What stands in deploy/kustomize, and what a template has instead.
const REPLACED: &[(&str, &str)] = &[
    (
        "metadata:\n  name: vcluster\n  labels:\n    app: vcluster\n    release: vcluster\n",
        "metadata:\n  name: {{ .Release.Name }}\n  namespace: {{ .Release.Namespace }}\n  labels:\n    \
         {{- include \"vcluster.labels\" . | nindent 4 }}\n",
    ),
    (
        "metadata:\n  name: vcluster-headless\n  labels:\n    app: vcluster\n    release: vcluster\n",
        "metadata:\n  name: {{ .Release.Name }}-headless\n  namespace: {{ .Release.Namespace }}\n  labels:\n    \
         {{- include \"vcluster.labels\" . | nindent 4 }}\n",
    ),
    (
        "  template:\n    metadata:\n",
        "  template:\n    metadata:\n      annotations:\n        # Another configuration means other Pods.\n        \
         vClusterConfigHash: {{ include \"vcluster.config\" . | sha256sum }}\n",
    ),
    ("release: vcluster\n", "release: {{ .Release.Name }}\n"),
    ("vcluster-headless", "{{ .Release.Name }}-headless"),
    ("vcluster-settings", "{{ .Release.Name }}-settings"),
    ("vcluster-corefile", "{{ .Release.Name }}-corefile"),
    ("vcluster-admission", "{{ .Release.Name }}-admission"),
    ("vc-requests-vcluster", "vc-requests-{{ .Release.Name }}"),
    ("vc-vcluster", "vc-{{ .Release.Name }}"),
    ("vc-config-vcluster", "vc-config-{{ .Release.Name }}"),
    (
        "            - --resolve-service\n",
        "            - --resolve-service\n            {{- if include \"vcluster.schedules\" . }}\n            - --scheduler\n            {{- end }}\n",
    ),
    (
        "        - name: syncer\n",
        "        {{- if include \"vcluster.schedules\" . }}\n        {{- include \"vcluster.scheduler\" . | nindent 8 }}\n        \
         {{- end }}\n        - name: syncer\n",
    ),
    ("--name=vcluster\n", "--name={{ .Release.Name }}\n"),
    ("--service=vcluster\n", "--service={{ .Release.Name }}\n"),
    ("--service-name=vcluster\n", "--service-name={{ .Release.Name }}\n"),
];

/// The template that a manifest of deploy/kustomize becomes.
fn template(file: &str) -> String {
    let text = fs::read_to_string(deploy("kustomize").join(file)).expect("a manifest");
    let text = REPLACED.iter().fold(text, |text, (from, to)| text.replace(from, to));
    let own = format!(":{}\n", chassis::VERSION);
    let lines = text
        .split_inclusive('\n')
        .map(|line| match line.split_once("image: vcluster-rs/") {
            Some((indent, image)) => {
                let name = image.strip_suffix(&own).expect("our version");
                format!("{indent}image: {{{{ include \"vcluster.image\" (list . \"{name}\") }}}}\n")
            }
            None => line.to_owned(),
        });
    format!(
        "# Generated from deploy/kustomize/{file}: UPDATE_GENERATED=1 cargo test -p e2e --test chart\n{}",
        lines.collect::<String>()
    )
}

#[test]
fn the_workload_is_the_one_of_the_kustomization() {
    let file = |name: &str| fs::read_to_string(deploy("kustomize").join(name)).expect("a file");
    let files = [
        ("templates/statefulset.yaml", template("statefulset.yaml")),
        ("templates/service.yaml", template("service.yaml")),
        ("files/Corefile", file("Corefile")),
        ("files/AdmissionConfiguration", file("AdmissionConfiguration")),
    ];
    for (name, wanted) in files {
        let path = deploy("helm").join(name);
        if std::env::var_os("UPDATE_GENERATED").is_some() {
            fs::write(&path, &wanted).expect("written");
        }
        let actual = fs::read_to_string(&path).unwrap_or_default();
        assert!(actual == wanted, "{} is not up to date", path.display());
    }
    let chart = fs::read_to_string(deploy("helm/Chart.yaml")).expect("a chart");
    assert!(
        chart.contains(&format!("appVersion: {}\n", chassis::VERSION)),
        "{chart}"
    );
}

/// Values that must lead to the same objects as `vcluster manifests`.
const VALUES: &[&str] = &[
    "",
    "sync: {toHost: {ingresses: {enabled: true}, priorityClasses: {enabled: true}, serviceAccounts: {enabled: true}}}",
    "sync: {toHost: {pods: {enabled: false}, services: {enabled: false}, secrets: {enabled: false}, configMaps: {enabled: false}}}",
    "sync: {toHost: {persistentVolumes: {enabled: true}, storageClasses: {enabled: true}, resourceClaims: {enabled: true}}}",
    "sync: {toHost: {volumeSnapshots: {enabled: true}}, fromHost: {volumeSnapshotClasses: {enabled: true}}}",
    "sync: {toHost: {gatewayApi: {enabled: true, tlsRoutes: {enabled: true}, referenceGrants: {enabled: true}}}}",
    "sync: {fromHost: {gateways: {enabled: true, mappings: {byName: {shared/front: default/front, 'other/*': 'more/*'}}}}}",
    "sync: {fromHost: {nodes: {enabled: true, syncBackChanges: true, selector: {all: true}}}}",
    "
sync: {fromHost: {nodes: {enabled: true, selector: {all: true}}}}
networking: {advanced: {proxyKubelets: {byHostname: false, byIP: false}}}
",
    "sync: {fromHost: {ingressClasses: {enabled: true}, storageClasses: {enabled: true}, csiNodes: {enabled: true}, events: {enabled: false}}}",
    "
sync:
  fromHost:
    configMaps: {enabled: true, mappings: {byName: {a/one: x/one, 'b/*': 'y/*', /own: z/own}}}
    secrets: {enabled: true, mappings: {byName: {'': z}}}
",
    "sync: {fromHost: {secrets: {enabled: false, mappings: {byName: {a/one: x/one}}}}}",
    "
sync:
  toHost: {customResources: {widgets.example.com: {enabled: true}, things.example.org/v2: {enabled: true}}}
  fromHost:
    customResources:
      gadgets.example.com: {enabled: true, scope: Cluster}
      tools.example.com: {enabled: true, scope: Namespaced, mappings: {byName: {shop/hammer: default/hammer}}}
      off.example.com: {enabled: false, scope: Cluster}
",
    "networking: {replicateServices: {fromHost: [{from: db/sql, to: default/sql}, {from: own, to: default/own}]}}",
    "
sync: {toHost: {services: {enabled: false}}}
networking: {replicateServices: {toHost: [{from: default/web, to: web}]}}
",
    "
exportKubeConfig: {additionalSecrets: [{name: one}, {name: two, namespace: elsewhere}, {namespace: third}]}
experimental: {syncSettings: {setOwner: false}}
",
    "exportKubeConfig: {secret: {name: mine, namespace: elsewhere}}",
    "
experimental:
  proxy:
    customResources:
      widgets.example.com/v1: {enabled: true, targetVirtualCluster: {name: other}}
      gadgets.example.com/v1: {enabled: true, targetVirtualCluster: {name: other}}
      '*.example.org/v1': {enabled: true, accessResources: all, targetVirtualCluster: {name: third, project: elsewhere}}
      off.example.net/v1: {enabled: false, targetVirtualCluster: {name: fourth}}
",
    "
sync:
  toHost:
    namespaces: {enabled: true, mappingsOnly: true, mappings: {byName: {prod: live, '${name}-a': b}}}
    persistentVolumes: {enabled: true}
    customResources: {widgets.example.com/v1: {enabled: true, scope: Namespaced}}
",
    "
sync:
  toHost:
    namespaces: {enabled: true, mappings: {byName: {'team-*': '${name}-t-*', prod: live}}}
    serviceAccounts: {enabled: true}
    endpoints: {enabled: false}
networking: {replicateServices: {toHost: [{from: default/web, to: web}]}}
experimental: {syncSettings: {setOwner: false}}
",
    "integrations: {metricsServer: {enabled: true}}",
    "experimental: {nodeMonitors: [{name: kubelet, endpoints: [{path: /metrics/cadvisor}]}]}",
    "integrations: {metricsServer: {enabled: true, nodes: false}}",
    "rbac: {role: {enabled: false}, clusterRole: {enabled: false}}",
    "
rbac:
  role: {extraRules: [{apiGroups: [apps], resources: [deployments], verbs: [get]}]}
  clusterRole: {extraRules: [{apiGroups: [''], resources: [nodes], verbs: [get, list]}]}
",
    "
rbac:
  role: {overwriteRules: [{apiGroups: [apps], resources: [deployments], verbs: [get]}]}
  clusterRole: {enabled: true}
",
    "policies: {resourceQuota: {enabled: true, labels: {team: a}, annotations: {b: c}, scopes: [NotTerminating]}}",
    "policies: {limitRange: {enabled: true, max: {cpu: '4'}}, resourceQuota: {enabled: false}}",
    "
policies:
  networkPolicy:
    enabled: true
    labels: {team: a}
    workload: {egress: [{to: [{ipBlock: {cidr: 10.1.0.0/16}}]}], publicEgress: {enabled: false}}
    controlPlane: {ingress: [{from: [{podSelector: {}}]}]}
",
    "policies: {networkPolicy: {enabled: true}}",
    "
sync: {toHost: {namespaces: {enabled: true, mappings: {byName: {prod: live}}}}}
policies: {networkPolicy: {enabled: true}, resourceQuota: {enabled: true}, podSecurityStandard: baseline}
experimental: {nodeMonitors: [{name: kubelet, endpoints: [{path: /metrics/cadvisor}]}]}
",
    "
sync: {toHost: {namespaces: {enabled: true, mappings: {byName: {'team-*': 't-*'}}}}}
experimental:
  nodeMonitors: [{name: kubelet, endpoints: [{path: /metrics/cadvisor}]}]
  syncSettings: {setOwner: false}
",
    "
experimental: {nodeMonitors: [{name: kubelet, endpoints: [{path: /metrics/cadvisor}]}]}
rbac: {role: {overwriteRules: [{apiGroups: [''], resources: [pods], verbs: [get]}]}}
",
    "
sync: {fromHost: {nodes: {enabled: true, selector: {all: true}}}}
controlPlane: {advanced: {virtualScheduler: {enabled: true}}}
",
    "
sync: {fromHost: {nodes: {enabled: true}, storageClasses: {enabled: false}}}
controlPlane: {distro: {k8s: {scheduler: {enabled: true}}}}
",
    "
policies:
  centralAdmission:
    mutatingWebhooks:
      - metadata: {name: one}
        webhooks:
          - {name: a.example.com, clientConfig: {service: {name: s, namespace: hooks}}, sideEffects: None, timeoutSeconds: 3}
          - {name: b.example.com, clientConfig: {service: {name: s, namespace: hooks, port: 8443, path: p/q}}}
          - {name: c.example.com, clientConfig: {service: {name: s, namespace: hooks, path: /p/}}}
      - {metadata: {name: two.static.k8s.io}, webhooks: [{name: d.example.com, clientConfig: {url: 'https://hooks.example.com/x'}}]}
    validatingWebhooks:
      - metadata: {name: three}
        webhooks:
          - name: e.example.com
            clientConfig: {url: 'https://hooks.example.com/x'}
            rules: [{apiGroups: [''], apiVersions: [v1], operations: [CREATE], resources: [pods]}]
            admissionReviewVersions: [v1]
",
    "
experimental:
  denyProxyRequests:
    - name: quiet
      namespaces: [a]
      rules: [{apiGroups: [''], resources: [pods/exec], scope: Namespaced, operations: [create, get]}]
      excludedUsers: [boss]
    - {name: all}
",
    "experimental: {deploy: {host: {manifests: '{apiVersion: v1, kind: ConfigMap, metadata: {name: more, namespace: tenants}}'}}}",
    r#"
experimental:
  deploy:
    host:
      manifests: '{apiVersion: v1, kind: ConfigMap, metadata: {name: more, namespace: tenants}}'
      manifestsTemplate: |
        {{- range $name, $on := .Values.networking.advanced.proxyKubelets }}
        ---
        apiVersion: v1
        kind: ServiceAccount
        metadata: {name: {{ $name | printf "%q" }}, namespace: {{ $.Release.Namespace }}, labels: {of: {{ $.Release.Name }}}}
        {{- with $.Values.exportKubeConfig.context }}{{ . }}{{ end }}
        {{- end }}
"#,
    "networking: {serviceCIDR: '10.43.0.0/16,fd00::/112'}\nexperimental: {docker: {nodes: [{image: a}]}}\n",
];

/// Kinds that the chart has besides: the control plane itself.
const OWN: [&str; 4] = ["StatefulSet", "Service", "Secret", "ConfigMap"];
/// Those of these kinds that come with values all the same.
const FOR_VALUES: [&str; 2] = ["more", "vc-requests-team-a"];

struct Helm {
    program: PathBuf,
    dir: tempfile::TempDir,
}

impl Helm {
    /// None where it is not installed, which is said.
    fn find() -> Result<Option<Self>> {
        let Some(program) = tool("go-clients/helm", "hack/go-clients.sh", "go")? else {
            return Ok(None);
        };
        let dir = tempfile::tempdir()?;
        Ok(Some(Self { program, dir }))
    }

    fn values(&self, text: &str) -> Result<PathBuf> {
        let file = self.dir.path().join("vcluster.yaml");
        fs::write(&file, text)?;
        Ok(file)
    }

    fn template(&self, values: &str) -> Result<Output> {
        Command::new(&self.program)
            .args(["template", RELEASE])
            .arg(deploy("helm"))
            .args(["--namespace", NAMESPACE, "--kube-version", "1.36.0", "--values"])
            .arg(self.values(values)?)
            .env("HOME", self.dir.path())
            .output()
            .context("cannot start helm")
    }
}

fn documents(text: &str) -> Result<Vec<Value>> {
    let read = serde_yaml::Deserializer::from_str(text).map(serde::Deserialize::deserialize);
    let mut documents: Vec<Value> = read.collect::<Result<_, _>>()?;
    documents.retain(|document| !document.is_null());
    Ok(documents)
}

/// An object in a form in which two that mean the same are the same: without the labels of charts, and with rules taken apart.
fn essence(mut object: Value) -> Value {
    if let Some(labels) = object.pointer_mut("/metadata/labels").and_then(Value::as_object_mut) {
        labels.retain(|label, _| !["app", "chart", "release", "heritage"].contains(&label.as_str()));
    }
    if let Some(metadata) = object["metadata"].as_object_mut() {
        metadata.retain(|_, value| value != &json!({}) && !value.is_null());
    }
    if object["kind"] == "ConfigMap" {
        let files = object["data"].as_object_mut().into_iter().flatten();
        files.for_each(|(file, text)| *text = content(file, text.as_str().unwrap_or_default()));
    }
    if object["rules"].is_array() {
        object["rules"] = rights(&object["rules"]);
    }
    object
}

/// What a file for the API server says, however it is written.
fn content(file: &str, text: &str) -> Value {
    if file == DENIED {
        return json!(DeniedRequests::parse(text).expect("rules about requests"));
    }
    json!(documents(text).expect("a file in YAML"))
}

/// Every single right of some rules; those to single objects only where there is none to all of them.
fn rights(rules: &Value) -> Value {
    let words = |rule: &Value, field: &str| -> Vec<String> {
        let words = rule[field].as_array().into_iter().flatten();
        words.filter_map(|word| word.as_str().map(str::to_owned)).collect()
    };
    let mut rights: BTreeSet<(String, String, String, String)> = BTreeSet::new();
    for rule in rules.as_array().into_iter().flatten() {
        let names = Some(words(rule, "resourceNames")).filter(|names| !names.is_empty());
        for name in names.unwrap_or_else(|| vec![String::new()]) {
            for group in words(rule, "apiGroups") {
                for resource in words(rule, "resources") {
                    let verbs = words(rule, "verbs").into_iter();
                    rights.extend(verbs.map(|verb| (group.clone(), resource.clone(), verb, name.clone())));
                }
            }
        }
    }
    let all = rights.clone();
    rights.retain(|(group, resource, verb, name)| {
        name.is_empty() || !all.contains(&(group.clone(), resource.clone(), verb.clone(), String::new()))
    });
    json!(rights)
}

/// Objects by kind, namespace and name.
fn by_name(documents: Vec<Value>) -> Map<String, Value> {
    let named = documents.into_iter().map(|object| {
        let of = |pointer: &str| {
            object
                .pointer(pointer)
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned()
        };
        let name = format!("{} {}/{}", of("/kind"), of("/metadata/namespace"), of("/metadata/name"));
        (name, essence(object))
    });
    named.collect()
}

#[test]
fn the_chart_says_what_the_command_says() -> Result<()> {
    let Some(helm) = Helm::find()? else {
        return Ok(());
    };
    for values in VALUES {
        let printed = Command::new(binary("vcluster")?)
            .args(["manifests", "--name", RELEASE, "--namespace", NAMESPACE, "-f"])
            .arg(helm.values(values)?)
            .output()?;
        let said = |output: &Output| String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(printed.status.success(), "{values}: {}", said(&printed));
        let rendered = helm.template(values)?;
        ensure!(rendered.status.success(), "{values}: {}", said(&rendered));
        let wanted = by_name(documents(&String::from_utf8(printed.stdout)?)?);
        let mut made = documents(&String::from_utf8(rendered.stdout)?)?;
        made.retain(|object| {
            let kind = object["kind"].as_str().unwrap_or_default();
            !OWN.contains(&kind) || FOR_VALUES.iter().any(|name| object["metadata"]["name"] == *name)
        });
        let made = by_name(made);
        let names = |objects: &Map<String, Value>| objects.keys().cloned().collect::<BTreeSet<_>>();
        ensure!(
            names(&made) == names(&wanted),
            "{values}: {:?} instead of {:?}",
            names(&made),
            names(&wanted)
        );
        for (name, wanted) in &wanted {
            ensure!(
                made[name] == *wanted,
                "{values}: {name}\n is {}\nnot {wanted}",
                made[name]
            );
        }
    }
    Ok(())
}

#[test]
fn what_is_not_supported_is_refused_in_a_sentence() -> Result<()> {
    let Some(helm) = Helm::find()? else {
        return Ok(());
    };
    let cases = [
        (
            "sleep: {auto: {afterInactivity: 1h}}",
            "sleep.auto.afterInactivity is not supported by this version: leave it out, it must be \"\"",
        ),
        (
            "controlPlane: {advanced: {virtualScheduler: {enabled: true}}}",
            "sync.fromHost.nodes.enabled is false, but required if using hybrid scheduling or virtual scheduler",
        ),
        (
            "policies: {centralAdmission: {mutatingWebhooks: [{metadata: {}}]}}",
            "policies.centralAdmission.mutatingWebhooks[0] must have a metadata.name",
        ),
        (
            "policies: {centralAdmission: {mutatingWebhooks: [{metadata: {name: a}, webhooks: [{clientConfig: {service: {name: s}}}]}]}}",
            "policies.centralAdmission.mutatingWebhooks[0] has a service without a name or a namespace",
        ),
        (
            "{serviceCIDR: 10.43.0.0/16, networking: {serviceCIDR: 10.44.0.0/16}}",
            "serviceCIDR and networking.serviceCIDR are different: set networking.serviceCIDR only",
        ),
        ("sync: {toHost: {pod: {enabled: true}}}", "'pod' not allowed"),
        ("sync: {toHost: {pods: {enabled: 1}}}", "want boolean"),
    ];
    for (values, sentence) in cases {
        let output = helm.template(values)?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(!output.status.success() && said.contains(sentence), "{values}: {said}");
    }
    Ok(())
}

/// Credentials of the host are in the syncer's container and in no other one, also not in those that only some values bring;
/// and nobody's account brings them by itself.
#[test]
fn credentials_of_the_host_are_the_syncers_alone() {
    let templates = fs::read_dir(deploy("helm/templates")).expect("templates");
    for template in templates {
        let path = template.expect("a template").path();
        let text = fs::read_to_string(&path).expect("a text");
        let name = path.file_name().and_then(|name| name.to_str()).expect("a name");
        // The volume, and the one place where it is mounted.
        let is_workload = name == "statefulset.yaml";
        assert_eq!(
            text.matches("name: host-access\n").count(),
            if is_workload { 2 } else { 0 },
            "{name}"
        );
        assert_eq!(
            text.matches("serviceAccountToken:").count(),
            usize::from(is_workload),
            "{name}"
        );
        assert!(!text.contains("automountServiceAccountToken: true"), "{name}");
        let accounts = text.matches("kind: ServiceAccount\nmetadata:").count();
        assert_eq!(
            text.matches("automountServiceAccountToken: false\n").count(),
            accounts + usize::from(is_workload),
            "{name}"
        );
        if is_workload {
            let (_, syncer) = text.split_once("        - name: syncer\n").expect("a syncer");
            let own = syncer.split("\n        - name: ").next().expect("a container");
            assert!(own.contains("name: host-access\n"), "{own}");
        }
    }
}

/// The scheduler is a container like the others, with credentials of its own.
#[test]
fn a_scheduler_comes_with_the_values_that_want_one() -> Result<()> {
    let Some(helm) = Helm::find()? else {
        return Ok(());
    };
    let pod = |values: &str| -> Result<Value> {
        let output = helm.template(values)?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let mut objects = documents(&String::from_utf8(output.stdout)?)?.into_iter();
        let set = objects.find(|object| object["kind"] == "StatefulSet");
        Ok(set.context("no StatefulSet")?["spec"]["template"]["spec"].clone())
    };
    let arguments = |container: &Value| -> BTreeSet<String> {
        let arguments = container["args"].as_array().into_iter().flatten();
        arguments
            .filter_map(|argument| argument.as_str().map(str::to_owned))
            .collect()
    };
    let names = |pod: &Value| -> Vec<String> {
        let containers = pod["containers"].as_array().into_iter().flatten();
        containers
            .filter_map(|container| container["name"].as_str().map(str::to_owned))
            .collect()
    };
    let plain = pod("")?;
    ensure!(!names(&plain).contains(&"scheduler".to_owned()), "{plain}");
    let made = arguments(&plain["initContainers"][0]);
    for key in [
        "advanced: {virtualScheduler: {enabled: true}}",
        "distro: {k8s: {scheduler: {enabled: true}}}",
    ] {
        let scheduled = pod(&format!(
            "sync: {{fromHost: {{nodes: {{enabled: true}}}}}}\ncontrolPlane: {{{key}}}\n"
        ))?;
        let expected = [
            "kine-shim",
            "apiserver",
            "controller-manager",
            "scheduler",
            "syncer",
            "dns",
        ];
        ensure!(names(&scheduled) == expected, "{:?}", names(&scheduled));
        let asked = arguments(&scheduled["initContainers"][0]);
        ensure!(asked.difference(&made).eq(["--scheduler"]), "{asked:?}");
        // But for its own program, flags and ports it is the controller manager's.
        let (scheduler, manager) = (&scheduled["containers"][3], &scheduled["containers"][2]);
        for field in ["securityContext", "volumeMounts"] {
            ensure!(
                scheduler[field] == manager[field] && !manager[field].is_null(),
                "{field}"
            );
        }
        let understood = Command::new(binary("scheduler")?)
            .args(arguments(scheduler))
            .arg("--help")
            .output()?;
        ensure!(
            understood.status.success(),
            "{}",
            String::from_utf8_lossy(&understood.stderr)
        );
        for probe in ["startupProbe", "livenessProbe", "readinessProbe"] {
            let port = &scheduler[probe]["httpGet"]["port"];
            ensure!(*port == scheduler["ports"][0]["name"] && port.is_string(), "{probe}");
        }
    }
    Ok(())
}

/// What vcluster.yaml says goes before what is only the chart's, and that before what the host says.
#[test]
fn the_network_of_services_is_the_one_that_the_values_say() -> Result<()> {
    let Some(helm) = Helm::find()? else {
        return Ok(());
    };
    for (values, expected) in [
        ("", "10.96.0.0/12"),
        ("global: {serviceNetwork: 10.1.0.0/16}", "10.1.0.0/16"),
        (
            "{global: {serviceNetwork: 10.1.0.0/16}, serviceCIDR: 10.2.0.0/16}",
            "10.2.0.0/16",
        ),
        (
            "networking: {serviceCIDR: '10.3.0.0/16,fd00::/112'}",
            "10.3.0.0/16,fd00::/112",
        ),
    ] {
        let output = helm.template(values)?;
        let mut objects = documents(&String::from_utf8(output.stdout)?)?.into_iter();
        let settings = objects.find(|object| object["metadata"]["name"] == "team-a-settings");
        let settings = settings.context("no settings")?;
        ensure!(settings["data"]["serviceNetwork"] == expected, "{values}: {settings}");
    }
    Ok(())
}

/// The whole pod of the release, and its configuration.
#[test]
fn the_control_plane_is_named_after_the_release() -> Result<()> {
    let Some(helm) = Helm::find()? else {
        return Ok(());
    };
    let values = "{global: {imageRegistry: registry.example.com, serviceNetwork: 10.43.0.0/16}, policies: {podSecurityStandard: baseline}}";
    let output = helm.template(values)?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout)?;
    for image in [
        "apiserver",
        "syncer",
        "kine-shim",
        "dns",
        "controller-manager",
        "vcluster",
    ] {
        let image = format!("image: registry.example.com/vcluster-rs/{image}:{}\n", chassis::VERSION);
        ensure!(text.contains(&image), "{image} is missing in {text}");
    }
    let objects = documents(&text)?;
    let find = |kind: &str, name: &str| {
        let mut found = objects.iter().filter(|object| object["kind"] == kind);
        let object = found.find(|object| object["metadata"]["name"] == name);
        object.with_context(|| format!("there is no {kind} {name}"))
    };
    for object in &objects {
        let labels = &object["metadata"]["labels"];
        ensure!(labels["app"] == "vcluster" && labels["release"] == RELEASE, "{object}");
        ensure!(object["metadata"]["namespace"] == NAMESPACE, "{object}");
        ensure!(labels["heritage"] == "Helm", "{object}");
    }
    ensure!(find("Service", RELEASE)?["metadata"]["labels"]["vcluster.loft.sh/service"] == "true");
    find("Service", "team-a-headless")?;
    let spec = &find("StatefulSet", RELEASE)?["spec"];
    ensure!(spec["serviceName"] == "team-a-headless" && spec["template"]["spec"]["serviceAccountName"] == "vc-team-a");
    ensure!(find("ConfigMap", "team-a-settings")?["data"]["serviceNetwork"] == "10.43.0.0/16");
    ensure!(!text.contains("name: vcluster\n"), "{text}");
    let config = find("Secret", "vc-config-team-a")?["stringData"]["config.yaml"]
        .as_str()
        .context("no text")?;
    let config: Value = serde_yaml::from_str(config)?;
    ensure!(
        config["policies"]["podSecurityStandard"] == "baseline" && config["global"].is_null(),
        "{config}"
    );
    // The services read it as it is.
    let parsed = config::Config::parse("config.yaml", &serde_yaml::to_string(&config)?);
    ensure!(parsed.is_ok(), "{parsed:?}");
    Ok(())
}
