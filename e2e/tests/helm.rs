//! Helm, a client of client-go's that speaks protobuf, with a chart of what every virtual cluster has: it installs, upgrades,
//! rolls back and removes, and waits for what it has made.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Output};

use anyhow::{Context, Result, ensure};
use e2e::suite::{Case, Kubectl, World, eventually, main as run, tool};
use serde_json::Value;
use tempfile::TempDir;

const CASES: &[Case] = &[
    ("a_release_lives_and_ends", |world| with_helm(world, release)),
    ("a_refused_upgrade_leaves_the_release_alone", |world| {
        with_helm(world, refused_upgrade)
    }),
    ("templates_are_checked_against_the_server", |world| {
        with_helm(world, template)
    }),
    ("our_own_chart_is_installed_and_removed", own_chart),
];

fn main() -> ExitCode {
    run("helm", 1, CASES)
}

/// The chart: name of a file and its text.
const CHART: [(&str, &str); 6] = [
    (
        "Chart.yaml",
        "{apiVersion: v2, name: web, version: 1.0.0, kubeVersion: '>=1.36.0-0'}",
    ),
    ("values.yaml", "{message: one, replicas: 2}"),
    (
        "templates/config.yaml",
        r"
apiVersion: v1
kind: ConfigMap
metadata: {name: {{ .Release.Name }}}
data: {message: {{ .Values.message }}}
",
    ),
    (
        "templates/service.yaml",
        r"
apiVersion: v1
kind: Service
metadata: {name: {{ .Release.Name }}}
spec: {selector: {app: {{ .Release.Name }}}, ports: [{port: 80}]}
",
    ),
    (
        "templates/deployment.yaml",
        r"
{{- if not (.Capabilities.APIVersions.Has `apps/v1/Deployment`) }}{{ fail `no Deployments` }}{{ end }}
apiVersion: apps/v1
kind: Deployment
metadata: {name: {{ .Release.Name }}}
spec:
  replicas: {{ .Values.replicas }}
  selector: {matchLabels: {app: {{ .Release.Name }}}}
  template:
    metadata: {labels: {app: {{ .Release.Name }}}, annotations: {message: {{ .Values.message }}}}
    spec: {containers: [{name: web, image: nginx, envFrom: [{configMapRef: {name: {{ .Release.Name }}}}]}]}
",
    ),
    (
        "templates/job.yaml",
        r"
apiVersion: batch/v1
kind: Job
metadata:
  name: {{ .Release.Name }}-hook
  annotations: {helm.sh/hook: 'post-install,post-upgrade', helm.sh/hook-delete-policy: before-hook-creation}
spec:
  template:
    spec: {restartPolicy: Never, containers: [{name: c, image: i, command: [sh, -c, 'echo {{ .Values.message }}']}]}
",
    ),
];

/// Helm with a kubeconfig and a home of its own.
struct Helm {
    program: PathBuf,
    kubeconfig: PathBuf,
    home: TempDir,
    kubectl: Kubectl,
}

impl Helm {
    fn output(&self, command: &str) -> Result<Output> {
        let output = Command::new(&self.program)
            .args(command.split_whitespace())
            .current_dir(self.home.path())
            .env("HOME", self.home.path())
            .env("KUBECONFIG", &self.kubeconfig)
            .output();
        output.with_context(|| format!("cannot start {}", self.program.display()))
    }

    /// What a command says that must succeed.
    fn run(&self, command: &str) -> Result<String> {
        let output = self.output(command)?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let error = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "helm {command}: {said}{error}");
        Ok(said)
    }

    /// What a command says that must fail.
    fn fails(&self, command: &str) -> Result<String> {
        let output = self.output(command)?;
        ensure!(!output.status.success(), "helm {command} should fail");
        Ok(String::from_utf8_lossy(&output.stderr).into_owned())
    }

    fn message(&self, namespace: &str) -> Result<String> {
        let path = ["-o", "jsonpath={.data.message}"];
        self.kubectl
            .run(&[&["-n", namespace, "get", "configmap", "web"], &path[..]].concat())
    }

    /// The states of all revisions of the release, oldest first.
    fn history(&self, namespace: &str) -> Result<Vec<String>> {
        let history: Value = serde_json::from_str(&self.run(&format!("history web -n {namespace} -o json"))?)?;
        let revisions = history.as_array().context("no history")?.iter();
        Ok(revisions
            .map(|revision| revision["status"].as_str().unwrap_or_default().to_string())
            .collect())
    }
}

/// Helm for a cluster; none where it is not installed, which is said.
fn helm_for(world: &World, cluster: &str) -> Result<Option<Helm>> {
    let Some(program) = tool("go-clients/helm", "hack/go-clients.sh", "go")? else {
        return Ok(None);
    };
    Ok(Some(Helm {
        program,
        kubeconfig: world.access(cluster)?.kubeconfig,
        home: tempfile::tempdir()?,
        kubectl: world.kubectl(cluster)?,
    }))
}

fn with_helm(world: &World, case: fn(&Helm) -> Result<()>) -> Result<()> {
    let Some(helm) = helm_for(world, "vc-1")? else {
        return Ok(());
    };
    write_chart(&helm.home.path().join("chart"))?;
    case(&helm)
}

/// What the release copies out of all namespaces.
const CLASS: &str = "apiVersion: scheduling.k8s.io/v1\nkind: PriorityClass\nmetadata: {name: gold}\nvalue: 7\n";

/// The syncer of the release, with nothing but the rights that the release gives it; its virtual cluster is a borrowed one.
struct Syncer(Child);

impl Syncer {
    fn of_release(world: &World, helm: &Helm) -> Result<Self> {
        let token = helm.kubectl.run(&["-n", "tenants", "create", "token", "vc-team-a"])?;
        let host: Value = serde_json::from_str(&helm.kubectl.run(&["config", "view", "--raw", "-o", "json"])?)?;
        let access = serde_json::json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "host",
            "clusters": [{"name": "host", "cluster": host["clusters"][0]["cluster"]}],
            "users": [{"name": "syncer", "user": {"token": token.trim()}}],
            "contexts": [{"name": "host", "context": {"cluster": "host", "user": "syncer"}}],
        });
        let file = |name: &str| helm.home.path().join(name);
        fs::write(file("syncer.conf"), access.to_string())?;
        let (program, arguments) = world.command_line("vc-1/syncer")?;
        let own = [
            ("name", "team-a".to_owned()),
            ("target-namespace", "tenants".to_owned()),
            ("service-name", "team-a".to_owned()),
            ("host-kubeconfig", file("syncer.conf").display().to_string()),
            ("config", file("vcluster.yaml").display().to_string()),
            ("kubelet-port", "0".to_owned()),
            ("admin-bind-address", "127.0.0.1:0".to_owned()),
            ("grpc-bind-address", "127.0.0.1:0".to_owned()),
        ];
        let is_other = |argument: &&String| {
            let flag = argument.trim_start_matches("--").split('=').next();
            own.iter().all(|(name, _)| flag != Some(name))
        };
        let log = fs::File::create(file("syncer.log"))?;
        let started = Command::new(&program)
            .args(arguments.iter().filter(is_other))
            .args(own.iter().map(|(flag, value)| format!("--{flag}={value}")))
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn();
        Ok(Self(
            started.with_context(|| format!("cannot start {}", program.display()))?,
        ))
    }
}

impl Drop for Syncer {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What the host has of the release's virtual cluster, by labels: kinds, and kinds of owners.
fn copies(host: &Kubectl) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for (kinds, label) in [
        (
            "pods,services,endpoints,configmaps,serviceaccounts",
            "vcluster.loft.sh/managed-by=team-a",
        ),
        ("secrets", "vcluster-name=team-a"),
        (
            "priorityclasses,storageclasses,persistentvolumes",
            "vcluster.loft.sh/managed-by=tenants-x-team-a",
        ),
    ] {
        let list = host.json(&["-n", "tenants", "get", kinds, "-l", label])?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let items = list["items"].as_array().context("no list")?.iter();
        found.extend(items.map(|item| {
            let owner = &item["metadata"]["ownerReferences"][0]["kind"];
            format!("{} of {}", text(&item["kind"]), text(owner))
        }));
    }
    Ok(found)
}

/// The chart of virtual clusters, on the host. Its nodes are simulated, so that the control plane itself does not run.
fn own_chart(world: &World) -> Result<()> {
    let Some(helm) = helm_for(world, "host")? else {
        return Ok(());
    };
    let chart = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/helm");
    let values = "
sync: {toHost: {priorityClasses: {enabled: true}}}
policies: {resourceQuota: {enabled: true}}
experimental: {nodeMonitors: [{name: kubelet, endpoints: [{path: /metrics/cadvisor}]}]}
";
    fs::write(helm.home.path().join("vcluster.yaml"), values)?;
    helm.run(&format!(
        "install team-a {chart} -n tenants --create-namespace -f vcluster.yaml"
    ))?;
    let inventory = |kinds: &str| {
        let label = ["-n", "tenants", "-l", "release=team-a"];
        helm.kubectl.names(&[&["get", kinds], &label[..]].concat())
    };
    const NAMESPACED: &str =
        "statefulsets,services,serviceaccounts,configmaps,roles,rolebindings,resourcequotas,limitranges,pods";
    const WIDE: &str = "clusterroles,clusterrolebindings";
    eventually("the control plane has its pod", || {
        Ok(inventory("pods")?.contains(&"team-a-0".to_owned()).then_some(()))
    })?;
    let config = helm
        .kubectl
        .json(&["-n", "tenants", "get", "secret", "vc-config-team-a"])?;
    ensure!(config["data"]["config.yaml"].is_string(), "{config}");
    ensure!(inventory(WIDE)? == ["vc-team-a-v-tenants"; 2], "{:?}", inventory(WIDE)?);
    let service = helm.kubectl.json(&["-n", "tenants", "get", "service", "team-a"])?;
    ensure!(
        service["metadata"]["labels"]["vcluster.loft.sh/service"] == "true",
        "{service}"
    );
    // The network of the host's Services is the one that the host tells.
    let settings = helm
        .kubectl
        .json(&["-n", "tenants", "get", "configmap", "team-a-settings"])?;
    ensure!(settings["data"]["serviceNetwork"] == "10.96.0.0/16", "{settings}");

    let before = inventory("pods")?;
    // With this Role, the host deletes what it owns.
    let of_monitors = || Ok::<_, anyhow::Error>(inventory("roles")?.contains(&"vc-team-a:node-monitors".to_owned()));
    ensure!(of_monitors()?, "{:?}", inventory("roles")?);
    helm.run(&format!(
        "upgrade team-a {chart} -n tenants -f vcluster.yaml --set policies.resourceQuota.enabled=false \
         --set-json experimental.nodeMonitors=[]"
    ))?;
    ensure!(inventory("resourcequotas")?.is_empty(), "the quota stays");
    ensure!(!of_monitors()?, "the right to monitors of nodes stays");
    let refused = helm.fails(&format!(
        "upgrade team-a {chart} -n tenants --set sleep.auto.timezone=UTC"
    ))?;
    ensure!(
        refused.contains("sleep.auto.timezone is not supported by this version"),
        "{refused}"
    );
    ensure!(inventory("pods")? == before, "the control plane has another pod");

    let syncer = Syncer::of_release(world, &helm)?;
    world.kubectl("vc-1")?.apply(CLASS)?;
    eventually("its copy lies in no namespace of the host", || {
        let expected = ["PriorityClass of ClusterRole", "Secret of Service"];
        let found = copies(&helm.kubectl)?;
        let missing = expected
            .into_iter()
            .find(|copy| !found.iter().any(|found| found == copy));
        ensure!(missing.is_none(), "{missing:?} is not among {found:?}");
        Ok(Some(()))
    })?;
    helm.run("uninstall team-a -n tenants --wait --timeout 60s")?;
    eventually("nothing of the release is left", || {
        let left = [
            inventory(NAMESPACED)?,
            inventory("secrets")?,
            inventory(WIDE)?,
            copies(&helm.kubectl)?,
        ]
        .concat();
        ensure!(left.is_empty(), "{left:?}");
        Ok(Some(()))
    })?;
    drop(syncer);
    // Its data stays until somebody wants it gone, as with any StatefulSet.
    let claims = helm
        .kubectl
        .names(&["-n", "tenants", "get", "persistentvolumeclaims"])?;
    ensure!(claims == ["data-team-a-0"], "{claims:?}");
    helm.kubectl
        .run(&["delete", "namespace", "tenants", "--timeout=60s"])
        .map(drop)
}

fn write_chart(directory: &Path) -> Result<()> {
    fs::create_dir_all(directory.join("templates"))?;
    for (name, text) in CHART {
        fs::write(directory.join(name), text).with_context(|| format!("cannot write {name}"))?;
    }
    Ok(())
}

fn release(helm: &Helm) -> Result<()> {
    const WAIT: &str = "--wait --timeout 60s";
    helm.run(&format!("install web chart -n released --create-namespace {WAIT}"))?;
    ensure!(helm.message("released")? == "one", "the chart's values are not used");
    let job = helm.kubectl.json(&["-n", "released", "get", "job", "web-hook"])?;
    ensure!(
        job["status"]["succeeded"] == 1,
        "helm did not wait for the hook: {}",
        job["status"]
    );
    let ready = |expected: u64| -> Result<()> {
        let deployment = helm.kubectl.json(&["-n", "released", "get", "deployment", "web"])?;
        ensure!(
            deployment["status"]["readyReplicas"] == expected,
            "{}",
            deployment["status"]
        );
        Ok(())
    };
    ready(2)?;
    helm.run(&format!(
        "upgrade web chart -n released --set message=two,replicas=3 {WAIT} --wait-for-jobs"
    ))?;
    ensure!(helm.message("released")? == "two", "the upgrade changes nothing");
    ready(3)?;
    helm.run(&format!("rollback web 1 -n released {WAIT}"))?;
    ensure!(helm.message("released")? == "one", "the rollback changes nothing");
    let states = helm.history("released")?;
    ensure!(states == ["superseded", "superseded", "deployed"], "{states:?}");
    let status: Value = serde_json::from_str(&helm.run("status web -n released -o json")?)?;
    ensure!(
        status["info"]["status"] == "deployed" && status["version"] == 3,
        "{status}"
    );
    let listed = helm.run("list -A -o json")?;
    ensure!(listed.contains("web-1.0.0"), "{listed}");
    let manifest = helm.run("get manifest web -n released")?;
    ensure!(manifest.contains("kind: Deployment"), "{manifest}");
    helm.run(&format!("uninstall web -n released {WAIT}"))?;
    let left = helm
        .kubectl
        .names(&["-n", "released", "get", "deployments,services,secrets"])?;
    ensure!(left.is_empty(), "left behind: {left:?}");
    helm.kubectl
        .run(&["delete", "namespace", "released", "--timeout=60s"])
        .map(|_| ())
}

fn refused_upgrade(helm: &Helm) -> Result<()> {
    helm.run("install web chart -n refused --create-namespace --no-hooks")?;
    let said = helm.fails("upgrade web chart -n refused --set replicas=-1,message=two --no-hooks")?;
    let why = "spec.replicas: Invalid value: -1: must be greater than or equal to 0";
    ensure!(said.contains(why), "{said}");
    let states = helm.history("refused")?;
    ensure!(states == ["deployed", "failed"], "{states:?}");
    helm.run("rollback web 1 -n refused --no-hooks")?;
    ensure!(helm.message("refused")? == "one", "the rollback does not repair");
    helm.run("uninstall web -n refused --no-hooks")?;
    helm.kubectl
        .run(&["delete", "namespace", "refused", "--timeout=60s"])
        .map(|_| ())
}

fn template(helm: &Helm) -> Result<()> {
    let shown = helm.run("template web chart --validate --is-upgrade --no-hooks")?;
    ensure!(shown.matches("kind:").count() == 3, "{shown}");
    let unknown = "apiVersion: apps/v1beta1\nkind: Deployment\nmetadata: {name: old}\n";
    fs::write(helm.home.path().join("chart/templates/unknown.yaml"), unknown)?;
    let said = helm.fails("template web chart --validate")?;
    ensure!(
        said.contains("no matches for kind \"Deployment\" in version \"apps/v1beta1\""),
        "{said}"
    );
    Ok(())
}
