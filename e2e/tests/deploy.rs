//! The manifests of deploy/ fit together, and fit the services that they start.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use e2e::controlplane::{ControlPlane, Role};
use e2e::process::Ports;
use e2e::suite::binary;
use serde_json::{Value, json};

/// Flags that a container has and the same service of the playground has not, or the other way round.
const DIFFERENT: [(&str, &str, &str); 1] = [(
    "syncer",
    "host-kubeconfig",
    "the Pod's own service account takes its place",
)];
/// Flags about addresses every service may have or not.
const OPERATION: [&str; 2] = ["admin-bind-address", "grpc-bind-address"];
/// What the containers may ask for together: the budget of an idle control plane.
const MEMORY_MIB: u64 = 64;

fn directory(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy").join(name)
}

fn documents(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    text.split("\n---\n")
        .map(|document| serde_yaml::from_str(document).unwrap_or_else(|error| panic!("{}: {error}", path.display())))
        .collect()
}

fn items<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
    value
        .pointer(pointer)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_else(|| panic!("{pointer} is missing in {value}"))
}

fn names(values: &[Value]) -> Vec<&str> {
    values.iter().map(|value| text(value, "/name")).collect()
}

/// Everything in deploy/kustomize.
struct Manifests {
    kustomization: Value,
    objects: Vec<Value>,
}

impl Manifests {
    fn read() -> Self {
        let dir = directory("kustomize");
        let [kustomization] = documents(&dir.join("kustomization.yaml"))
            .try_into()
            .expect("one document");
        let resources = items(&kustomization, "/resources").iter();
        let objects = resources
            .flat_map(|file| documents(&dir.join(file.as_str().expect("a file name"))))
            .collect();
        Self { kustomization, objects }
    }

    fn object(&self, kind: &str, name: &str) -> &Value {
        self.objects
            .iter()
            .find(|object| object["kind"] == kind && object["metadata"]["name"] == name)
            .unwrap_or_else(|| panic!("there is no {kind} {name}"))
    }

    fn only(&self, kind: &str) -> &Value {
        let mut found = self.objects.iter().filter(|object| object["kind"] == kind);
        let object = found.next().unwrap_or_else(|| panic!("there is no {kind}"));
        assert!(found.next().is_none(), "there are several {kind}s");
        object
    }

    fn pod(&self) -> &Value {
        &self.only("StatefulSet")["spec"]["template"]
    }

    fn services(&self) -> &[Value] {
        items(self.pod(), "/spec/containers")
    }

    /// The services and the init container.
    fn containers(&self) -> impl Iterator<Item = &Value> {
        items(self.pod(), "/spec/initContainers").iter().chain(self.services())
    }

    fn container(&self, name: &str) -> &Value {
        let mut containers = self.containers();
        let found = containers.find(|container| container["name"] == name);
        found.unwrap_or_else(|| panic!("there is no container {name}"))
    }

    /// Keys and values of a generated ConfigMap or Secret; files have their path as value.
    fn config(&self, name: &str) -> BTreeMap<String, String> {
        let generators = ["/configMapGenerator", "/secretGenerator"].map(|kind| items(&self.kustomization, kind));
        let generator = generators
            .concat()
            .into_iter()
            .find(|generator| generator["name"] == name);
        let generator = &generator.unwrap_or_else(|| panic!("there is no ConfigMap or Secret {name}"));
        let literals = items(generator, "/literals").iter().filter_map(Value::as_str);
        let literals = literals.filter_map(|pair| pair.split_once('='));
        let files = items(generator, "/files")
            .iter()
            .filter_map(Value::as_str)
            .map(|file| (file, file));
        literals
            .chain(files)
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect()
    }

    /// A container's arguments, with variables replaced as the kubelet does.
    fn arguments(&self, container: &Value) -> Vec<String> {
        let variables = items(container, "/env").iter().map(|variable| {
            let value = match variable.pointer("/valueFrom/configMapKeyRef") {
                Some(reference) => self.config(text(reference, "/name"))[text(reference, "/key")].clone(),
                None => match text(variable, "/valueFrom/fieldRef/fieldPath") {
                    "metadata.namespace" => text(&self.kustomization, "/namespace").to_owned(),
                    "spec.nodeName" => "node".to_owned(),
                    other => panic!("{other} is not known"),
                },
            };
            (format!("$({})", text(variable, "/name")), value)
        });
        let variables: Vec<(String, String)> = variables.collect();
        let arguments = items(container, "/args").iter().map(|argument| {
            let mut argument = argument.as_str().expect("an argument is a string").to_owned();
            for (variable, value) in &variables {
                argument = argument.replace(variable, value);
            }
            assert!(!argument.contains("$("), "{argument} has an unknown variable");
            argument
        });
        arguments.collect()
    }

    fn flag(&self, container: &str, flag: &str) -> String {
        let start = format!("--{flag}=");
        let arguments = self.arguments(self.container(container));
        let mut values = arguments.iter().filter_map(|argument| argument.strip_prefix(&start));
        values
            .next()
            .unwrap_or_else(|| panic!("{container} lacks --{flag}"))
            .to_owned()
    }
}

fn flag_names(arguments: &[String]) -> BTreeSet<&str> {
    arguments
        .iter()
        .filter_map(|argument| argument.strip_prefix("--")?.split('=').next())
        .filter(|name| !OPERATION.contains(name))
        .collect()
}

fn port_of(address: &str) -> u64 {
    let port = address.rsplit(':').next().and_then(|port| port.parse().ok());
    port.unwrap_or_else(|| panic!("{address} has no port"))
}

#[test]
fn every_file_is_part_of_it() {
    let manifests = Manifests::read();
    let listed: BTreeSet<String> = items(&manifests.kustomization, "/resources")
        .iter()
        .map(|file| file.as_str().expect("a file name").to_owned())
        .collect();
    let present: BTreeSet<String> = fs::read_dir(directory("kustomize"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|file| file.ends_with(".yaml") && file != "kustomization.yaml")
        .collect();
    assert_eq!(listed, present);
    assert!(
        directory("kustomize")
            .join(&manifests.config("vcluster-corefile")["Corefile"])
            .is_file()
    );
}

#[test]
fn the_containers_are_the_services_of_the_playground() {
    let dir = tempfile::tempdir().unwrap();
    let mut ports = Ports::open(&dir.path().join("ports.json")).unwrap();
    let values = dir.path().join("vcluster.yaml");
    fs::write(&values, &Manifests::read().config("vc-config-vcluster")["config.yaml"]).unwrap();
    let role = Role::Virtual {
        host_kubeconfig: "/host".into(),
        host_namespace: "vcluster".to_owned(),
        values: Some(values),
        scheduler: false,
    };
    let plane = ControlPlane::prepare("vc", &dir.path().join("vc"), role, &mut ports).unwrap();
    let processes = plane.processes(Path::new("/"), dir.path());

    let manifests = Manifests::read();
    let expected: Vec<&str> = processes
        .iter()
        .map(|process| {
            process
                .name
                .strip_prefix("vc/")
                .expect("the cluster's name comes first")
        })
        .collect();
    assert_eq!(names(manifests.services()), expected);
    for (process, container) in processes.iter().zip(manifests.services()) {
        let name = text(container, "/name");
        let arguments = manifests.arguments(container);
        let (here, there) = (flag_names(&arguments), flag_names(&process.arguments));
        let odd: BTreeSet<&str> = here.symmetric_difference(&there).copied().collect();
        let known = DIFFERENT
            .iter()
            .filter(|(service, ..)| *service == name)
            .map(|(_, flag, _)| *flag);
        assert_eq!(
            odd,
            known.collect(),
            "{name}: flags that only one of playground and Pod has"
        );
    }
}

#[test]
fn every_argument_is_understood() {
    let manifests = Manifests::read();
    let understands = |program: &str, arguments: &[String]| {
        // Help is printed when the parser gets that far: everything before it has been accepted.
        let program = binary(program).expect("it is built");
        let output = Command::new(program).args(arguments).arg("--help").output().unwrap();
        (
            output.status.success(),
            String::from_utf8_lossy(&output.stderr).into_owned(),
        )
    };
    for container in manifests.containers() {
        let program = program(container);
        let arguments = manifests.arguments(container);
        let (understood, error) = understands(program, &arguments);
        assert!(understood, "{program} {arguments:?}: {error}");
        let wrong = [arguments, vec!["--no-such-flag=1".to_owned()]].concat();
        assert!(!understands(program, &wrong).0, "{program} takes anything");
    }
    let bad = ["--secure-port=many".to_owned()];
    assert!(!understands("apiserver", &bad).0, "values are not looked at");
}

/// The binary in a container's image.
fn program(container: &Value) -> &str {
    let image = text(container, "/image")
        .strip_prefix("vcluster-rs/")
        .expect("our image");
    image
        .strip_suffix(&format!(":{}", chassis::VERSION))
        .expect("our version")
}

#[test]
fn images_are_built() {
    let dockerfile = fs::read_to_string(directory("images/Dockerfile")).unwrap();
    let readme = fs::read_to_string(directory("images/README.md")).unwrap();
    let tags = format!("--tag vcluster-rs/$image:{} .", chassis::VERSION);
    assert!(readme.contains(&tags), "deploy/images/README.md builds other tags");
    let built = readme
        .lines()
        .find_map(|line| line.strip_prefix("for image in ")?.strip_suffix("; do"));
    let built: BTreeSet<&str> = built.expect("a loop over images").split(' ').collect();
    let manifests = Manifests::read();
    let used: BTreeSet<&str> = manifests.containers().map(program).collect();
    assert_eq!(built, used);
    for name in used {
        let stage =
            format!("FROM runtime AS {name}\nCOPY --from=build /out/{name} /{name}\nENTRYPOINT [\"/{name}\"]\n");
        assert!(dockerfile.contains(&stage), "the Dockerfile lacks:\n{stage}");
        for build in [format!("--bin {name}"), format!("target/release/{name}")] {
            assert!(dockerfile.contains(&build), "the Dockerfile lacks {build}");
        }
    }
}

#[test]
fn files_and_sockets_are_where_the_arguments_say() {
    let manifests = Manifests::read();
    let plane = pki::ControlPlane {
        name: "vcluster".to_owned(),
        server: String::new(),
        domain: String::new(),
        service: Some(pki::Service {
            name: "vcluster".to_owned(),
            namespace: "vcluster".to_owned(),
        }),
        scheduler: false,
        names: Vec::new(),
    };
    let made = plane.files();
    assert_eq!(manifests.flag("certs", "dir"), "/data/pki");
    for container in manifests.services() {
        let name = text(container, "/name");
        let mounts = items(container, "/volumeMounts");
        let mounted = |path: &str| mounts.iter().find(|mount| mount["mountPath"] == path);
        let mut wants_pki = false;
        for argument in manifests.arguments(container) {
            let value = argument.split_once('=').map_or("", |(_, value)| value);
            if let Some(file) = value.strip_prefix("/data/pki/") {
                assert!(made.iter().any(|made| made == file), "{name}: nobody makes {value}");
                wants_pki = true;
            } else if let Some(socket) = value.strip_prefix("unix://") {
                assert_eq!(socket, "/run/vcluster/kine.sock", "{name}");
                assert_eq!(mounted("/run/vcluster").expect(name)["name"], "run", "{name}");
            } else if let Some(mount) = mounted(value) {
                // A directory whose files the administrator may or may not give.
                let volumes = items(manifests.pod(), "/spec/volumes");
                let volume = volumes
                    .iter()
                    .find(|known| known["name"] == mount["name"])
                    .expect("a volume");
                assert_eq!(
                    text(volume, "/configMap/name"),
                    "vc-requests-vcluster",
                    "{name}: {value}"
                );
                assert_eq!(volume["configMap"]["optional"], true, "{name}: {value}");
            } else if value.starts_with('/') {
                let dir = Path::new(value).parent().unwrap().to_str().unwrap();
                let volume = text(
                    mounted(dir).unwrap_or_else(|| panic!("{name}: {value} is not mounted")),
                    "/name",
                );
                let volumes = items(manifests.pod(), "/spec/volumes");
                let volume = volumes.iter().find(|known| known["name"] == volume).expect("a volume");
                let name_of = ["/configMap/name", "/secret/secretName"].map(|path| volume.pointer(path));
                let config = name_of.into_iter().flatten().next().and_then(Value::as_str);
                let config = manifests.config(config.unwrap_or_else(|| panic!("{name}: {value} is in no volume")));
                let file = Path::new(value).file_name().unwrap().to_str().unwrap();
                assert!(config.contains_key(file), "{name}: {value} is in no ConfigMap");
            }
        }
        let keys = mounted("/data/pki");
        assert_eq!(keys.is_some(), wants_pki, "{name}: keys go to those who use them");
        if let Some(mount) = keys {
            let expected = json!({"name": "data", "mountPath": "/data/pki", "subPath": "pki", "readOnly": true});
            assert_eq!(*mount, expected, "{name}");
        }
    }
    assert_eq!(manifests.flag("kine-shim", "endpoint"), "sqlite:///data/state.db");
    let store = items(manifests.container("kine-shim"), "/volumeMounts")
        .first()
        .expect("a mount");
    assert_eq!(
        *store,
        json!({"name": "data", "mountPath": "/data", "subPath": "store"})
    );
}

#[test]
fn volumes_are_there_and_used() {
    let manifests = Manifests::read();
    let claims = items(manifests.only("StatefulSet"), "/spec/volumeClaimTemplates");
    let volumes = items(manifests.pod(), "/spec/volumes");
    let known: BTreeSet<&str> = claims
        .iter()
        .map(|claim| text(claim, "/metadata/name"))
        .chain(names(volumes))
        .collect();
    assert_eq!(known.len(), claims.len() + volumes.len(), "two volumes have one name");
    let used: BTreeSet<&str> = manifests
        .containers()
        .flat_map(|container| names(items(container, "/volumeMounts")))
        .collect();
    assert_eq!(used, known);
}

#[test]
fn ports_lead_to_listeners() {
    let manifests = Manifests::read();
    let mut by_number = BTreeMap::new();
    let mut by_name = BTreeMap::new();
    for container in manifests.services() {
        let service = text(container, "/name");
        let mut own = BTreeMap::new();
        for port in items(container, "/ports") {
            let (name, number) = (text(port, "/name"), port["containerPort"].as_u64().expect("a number"));
            let protocol = port.get("protocol").and_then(Value::as_str).unwrap_or("TCP");
            assert!(
                by_number.insert((number, protocol), service).is_none(),
                "{number} is taken twice"
            );
            assert!(by_name.insert(name, number).is_none(), "{name} is used twice");
            own.insert(name, number);
        }
        for (probe, path) in [
            ("startupProbe", "/livez"),
            ("livenessProbe", "/livez"),
            ("readinessProbe", "/readyz"),
        ] {
            let get = container.pointer(&format!("/{probe}/httpGet"));
            let get = get.unwrap_or_else(|| panic!("{service} has no {probe}"));
            assert_eq!(text(get, "/path"), path, "{service}");
            let admin = manifests.flag(service, "admin-bind-address");
            // A probe comes from outside the Pod.
            assert!(admin.starts_with("0.0.0.0:"), "{service}: nobody reaches {admin}");
            assert_eq!(
                own.get(text(get, "/port")),
                Some(&port_of(&admin)),
                "{service}: {probe}"
            );
        }
    }
    for (container, flag, port) in [
        ("apiserver", "secure-port", "https"),
        ("syncer", "kubelet-port", "kubelet"),
        ("dns", "dns-port", "dns"),
        ("dns", "dns-port", "dns-tcp"),
    ] {
        assert_eq!(
            manifests.flag(container, flag),
            by_name[port].to_string(),
            "{container} --{flag}"
        );
    }
    let records = manifests.flag("dns", "records-endpoint");
    assert_eq!(
        records,
        format!("http://{}", manifests.flag("syncer", "grpc-bind-address"))
    );

    let labels = manifests.pod()["metadata"]["labels"].as_object().expect("labels");
    let selects = |selector: &Value| {
        let selector = selector.as_object().expect("a selector");
        !selector.is_empty() && selector.iter().all(|(key, value)| labels.get(key) == Some(value))
    };
    for service in manifests.objects.iter().filter(|object| object["kind"] == "Service") {
        let name = text(service, "/metadata/name");
        assert!(selects(&service["spec"]["selector"]), "{name} selects no Pod");
        for port in items(service, "/spec/ports") {
            assert_eq!(
                port["targetPort"].as_u64(),
                by_name.get(text(port, "/name")).copied(),
                "{name}"
            );
        }
    }
    let set = &manifests.only("StatefulSet")["spec"];
    assert!(
        selects(&set["selector"]["matchLabels"]),
        "the set does not know its Pods"
    );
    assert_eq!(
        manifests.object("Service", text(set, "/serviceName"))["spec"]["clusterIP"],
        "None"
    );
}

#[test]
fn names_agree() {
    let manifests = Manifests::read();
    let name = manifests.flag("certs", "name");
    assert_eq!(manifests.flag("syncer", "name"), name);
    let service = manifests.flag("certs", "service");
    assert_eq!(manifests.flag("syncer", "service-name"), service);
    let ports = names(items(manifests.object("Service", &service), "/spec/ports"));
    assert_eq!(
        ports,
        ["https", "kubelet"],
        "each further one would be shown in default/kubernetes"
    );
    let namespace = text(&manifests.kustomization, "/namespace");
    for (container, flag) in [("certs", "namespace"), ("syncer", "target-namespace")] {
        assert_eq!(manifests.flag(container, flag), namespace);
    }

    let account = format!("vc-{name}");
    assert_eq!(manifests.pod()["spec"]["serviceAccountName"], account);
    manifests.object("ServiceAccount", &account);
    manifests.object("ServiceAccount", &format!("vc-workload-{name}"));
    let binding = manifests.only("RoleBinding");
    manifests.object("Role", text(binding, "/roleRef/name"));
    assert_eq!(
        binding["subjects"],
        json!([{"kind": "ServiceAccount", "name": account}])
    );
}

#[test]
fn an_overlay_moves_everything_to_its_namespace() {
    let overlay = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    // Kustomize wants relative paths, which only hold between real ones.
    let dir = overlay.path().canonicalize().unwrap();
    let up = "../".repeat(dir.components().count() - 1);
    let base = directory("kustomize").canonicalize().unwrap();
    let kustomization = json!({
        "namespace": "team-a",
        "resources": [format!("{up}{}", base.strip_prefix("/").unwrap().display())],
        "configMapGenerator": [
            {"name": "vcluster-settings", "behavior": "merge", "literals": ["serviceNetwork=10.43.0.0/16"]},
        ],
        "secretGenerator": [
            {"name": "vc-config-vcluster", "behavior": "replace", "files": ["config.yaml=vcluster.yaml"]},
        ],
        "images": [{"name": "vcluster-rs/apiserver", "newName": "registry.example/apiserver"}],
    });
    fs::write(dir.join("vcluster.yaml"), "pro: true\n").unwrap();
    fs::write(dir.join("kustomization.yaml"), kustomization.to_string()).unwrap();
    let kubectl = std::env::var_os("KUBECTL").unwrap_or_else(|| "kubectl".into());
    let output = Command::new(kubectl).arg("kustomize").arg(&dir).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let built = String::from_utf8(output.stdout).unwrap();
    let mut kinds = BTreeSet::new();
    for document in built.split("\n---\n") {
        let object: Value = serde_yaml::from_str(document).unwrap();
        assert_eq!(object["metadata"]["namespace"], "team-a", "{document}");
        if let Some(subject) = object.pointer("/subjects/0/namespace") {
            assert_eq!(subject, "team-a", "{document}");
        }
        kinds.insert(text(&object, "/kind").to_owned());
    }
    let expected = [
        "ConfigMap",
        "Role",
        "RoleBinding",
        "Secret",
        "Service",
        "ServiceAccount",
        "StatefulSet",
    ];
    assert_eq!(kinds.iter().map(String::as_str).collect::<Vec<_>>(), expected);
    let wanted = [
        "serviceNetwork: 10.43.0.0/16",
        "image: registry.example/apiserver:",
        "config.yaml: cHJvOiB0cnVlCg==",
    ];
    for wanted in wanted {
        assert!(built.contains(wanted), "{wanted} is missing in {built}");
    }
    assert_eq!(
        built.matches("namespace: team-a").count(),
        built.matches("namespace: ").count()
    );
}

#[test]
fn only_the_syncer_can_speak_to_the_host() {
    let manifests = Manifests::read();
    let spec = &manifests.pod()["spec"];
    assert_eq!(spec["automountServiceAccountToken"], false);
    for account in manifests
        .objects
        .iter()
        .filter(|object| object["kind"] == "ServiceAccount")
    {
        assert_eq!(account["automountServiceAccountToken"], false, "{account}");
    }
    let volumes = items(spec, "/volumes").iter();
    let tokens: Vec<&str> = volumes
        .filter(|volume| {
            items(volume, "/projected/sources")
                .iter()
                .any(|source| source.get("serviceAccountToken").is_some())
        })
        .map(|volume| text(volume, "/name"))
        .collect();
    assert_eq!(tokens, ["host-access"]);
    let holders: Vec<&str> = manifests
        .containers()
        .filter(|container| names(items(container, "/volumeMounts")).contains(&"host-access"))
        .map(|container| text(container, "/name"))
        .collect();
    assert_eq!(holders, ["syncer"]);
}

#[test]
fn containers_may_do_nothing_they_need_not() {
    let manifests = Manifests::read();
    let pod = &manifests.pod()["spec"];
    let context = &pod["securityContext"];
    assert_eq!(context["runAsNonRoot"], true);
    assert_eq!(context["seccompProfile"]["type"], "RuntimeDefault");
    for id in ["runAsUser", "runAsGroup", "fsGroup"] {
        assert_eq!(context[id], 65532, "{id}: the user of the images");
    }
    for shared in ["hostNetwork", "hostPID", "hostIPC"] {
        assert!(pod.get(shared).is_none(), "{shared}");
    }
    let hardened = json!({
        "allowPrivilegeEscalation": false,
        "readOnlyRootFilesystem": true,
        "capabilities": {"drop": ["ALL"]},
    });
    let mut requested = 0;
    for container in manifests.containers() {
        let name = text(container, "/name");
        assert_eq!(container["securityContext"], hardened, "{name}");
        assert!(
            container.pointer("/resources/limits/memory").is_some(),
            "{name} has no memory limit"
        );
        let memory = text(container, "/resources/requests/memory").strip_suffix("Mi");
        let memory: u64 = memory.and_then(|number| number.parse().ok()).expect("a number of Mi");
        if manifests.services().contains(container) {
            requested += memory;
        }
    }
    assert!(requested <= MEMORY_MIB, "{requested} MiB for all");
}
