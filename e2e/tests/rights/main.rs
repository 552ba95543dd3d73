//! No more rights than needed, and no fewer: the syncer runs with the roles that `syncer rbac` prints and nothing else, every
//! feature is used, and what it asks of the host is written down. A right that nothing has used is one too many, unless
//! [`RARE`] says what it is for; a request that was refused is one too few.
#![allow(clippy::unwrap_used)]

mod features;
mod judge;

use std::collections::BTreeSet;
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, ensure};
use e2e::faulty::{Proxy, Weather};
use e2e::standalone::{Bridge, Server, ServerKind, Site, Store, StoreKind};
use e2e::suite::{Background, Kubectl, binary};
use serde_json::{Value, json};
use tokio::time::Instant;

use features::{Acts, FEATURES, Feature};
use judge::{Right, granted, refused, unused};

/// Nothing here makes service accounts, nor takes finalizers of claims away.
const ADMISSION: &str = "--disable-admission-plugins=ServiceAccount,StorageObjectInUseProtection";
/// Time within which everything that is going to be asked is asked.
const PATIENCE: Duration = Duration::from_secs(10);
/// Rights that the features below do not use: verb, group, resource, and what they are for.
const RARE: [(&str, &str, &str, &str); 10] = [
    (
        "get",
        "",
        "endpoints",
        "a name that is in use: copies exist only for Services whose copies are ours, so that only a lost answer leads there",
    ),
    (
        "get",
        "",
        "persistentvolumes",
        "a name that is in use: all volumes are watched, so that only a watch that is behind leads there",
    ),
    ("get", "snapshot.storage.k8s.io", "volumesnapshotcontents", "the same"),
    (
        "get",
        "resource.k8s.io",
        "resourceclaims",
        "a name that is in use: it is a digest, so that only a lost answer leads there",
    ),
    ("get", "resource.k8s.io", "resourceclaimtemplates", "the same"),
    (
        "get",
        "",
        "nodes/proxy",
        "measurements of kubelets, of which there are none here: e2e/tests/nodes.rs asks for them",
    ),
    (
        "get",
        "metrics.k8s.io",
        "nodes",
        "measurements, which come through the aggregation layer: e2e/tests/nodes.rs asks for them",
    ),
    ("list", "metrics.k8s.io", "nodes", "the same"),
    ("get", "metrics.k8s.io", "pods", "the same"),
    ("list", "metrics.k8s.io", "pods", "the same"),
];
/// An earlier run has published a kubeconfig that is out of date.
const PUBLISHED: &str = "
apiVersion: v1
kind: Secret
metadata: {name: vc-VC, namespace: HOST, labels: {app: vcluster, vcluster-name: VC}}
stringData: {config: old}
";
/// What the control plane runs in, which becomes the owner of its Service.
const OWNER: &str = "
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: VC, namespace: HOST}
spec:
  serviceName: VC
  selector: {matchLabels: {app: vcluster}}
  template: {metadata: {labels: {app: vcluster}}, spec: {containers: [{name: c, image: i}]}}
";
/// Kinds that lie in no namespace.
const WIDE: [&str; 4] = [
    "PriorityClass",
    "StorageClass",
    "PersistentVolume",
    "VolumeSnapshotContent",
];

#[tokio::test]
async fn every_right_is_used_and_none_is_missing() -> Result<()> {
    chassis::tls::install_provider();
    let only = std::env::var("FEATURE").unwrap_or_default();
    let mut host_site = Site::new()?;
    let (host_store, host) = start(&mut host_site, &[]).await?;
    let mut wrong = Vec::new();
    let chosen = FEATURES
        .iter()
        .enumerate()
        .filter(|(_, feature)| feature.name.contains(&only));
    for (number, feature) in chosen {
        let run = Run::new(number, feature);
        let found = run.judge(&mut host_site, &host).await;
        // Everything that is wrong is told at once: each of the runs takes a while.
        match found {
            Ok(found) => wrong.extend(found.into_iter().map(|what| format!("{}: {what}", feature.name))),
            Err(error) => wrong.push(format!("{}: {error:#}", feature.name)),
        }
        println!("{}: judged, {} wrong so far", feature.name, wrong.len());
    }
    host.program.stop().await?;
    host_store.program.stop().await?;
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

async fn start(site: &mut Site, flags: &[String]) -> Result<(Store, Server)> {
    let store = site.store("store", &StoreKind::KineShim(binary("kine-shim")?)).await?;
    let flags = [&[ADMISSION.to_string()], flags].concat();
    let server = site
        .server("apiserver", &ServerKind::Ours(binary("apiserver")?), &store, &flags)
        .await?;
    Ok((store, server))
}

/// One configuration in a namespace of its own.
struct Run<'a> {
    feature: &'a Feature,
    vcluster: String,
    namespace: String,
}

impl<'a> Run<'a> {
    fn new(number: usize, feature: &'a Feature) -> Self {
        Self {
            feature,
            vcluster: format!("vc-{number}"),
            namespace: format!("rights-{number}"),
        }
    }

    /// A text of the feature with the names of this run.
    fn named(&self, text: &str) -> String {
        // What begins with a brace is taken for JSON.
        format!("---\n{text}")
            .replace("HOST", &self.namespace)
            .replace("RIGHTS", &self.namespace)
            .replace("VC", &self.vcluster)
    }

    /// What is wrong with the rights of the feature.
    async fn judge(&self, host_site: &mut Site, host: &Server) -> Result<Vec<String>> {
        let mut site = Site::new()?;
        let flags = site.kubelet_flags()?;
        let (store, server) = start(&mut site, &flags).await?;
        let values = site.path("vcluster.yaml");
        let mut configured: Value = serde_yaml::from_str(features::OFF)?;
        merge(&mut configured, serde_yaml::from_str(&self.named(self.feature.values))?);
        std::fs::write(&values, configured.to_string())?;
        let name = [
            format!("--name={}", self.vcluster),
            format!("--target-namespace={}", self.namespace),
        ];
        let config = format!("--config={}", values.display());
        let printed = Command::new(binary("syncer")?)
            .arg("rbac")
            .args(&name)
            .arg(&config)
            .output()?;
        ensure!(
            printed.status.success(),
            "syncer rbac: {}",
            String::from_utf8_lossy(&printed.stderr)
        );
        let manifests = String::from_utf8(printed.stdout)?;
        let granted = granted(&manifests)?;

        let (on_host, tenant) = (Kubectl::new(&host.kubeconfig), Kubectl::new(&server.kubeconfig));
        self.prepare(&on_host, &manifests)?;
        let (made, twins) = self.made()?;
        if !twins.is_empty() {
            on_host.with_input(&["create", "-f", "-"], &twins)?;
        }
        let user = format!("system:serviceaccount:{}:vc-{}", self.namespace, self.vcluster);
        let of_namespace = format!("system:serviceaccounts:{}", self.namespace);
        let groups = ["system:serviceaccounts", "system:authenticated", of_namespace.as_str()];
        let proxy = host_site.proxy_as(host, &user, &groups).await?;
        // So that it has to find out what has become of what it created.
        proxy.set_weather(Weather::forgetful());
        let extra = [
            config,
            "--workload-service-account=".to_string(),
            "--compare-interval=5".to_string(),
            format!("--export-kubeconfig={}", server.kubeconfig.display()),
        ];
        let mut bridge = Bridge::start(
            &mut site,
            &binary("syncer")?,
            &self.vcluster,
            (&server.kubeconfig, &store),
            (&proxy.kubeconfig, &self.namespace),
            &extra,
        )?;
        bridge.ready().await?;

        let left = self.exercise(&tenant, &on_host, &proxy, (&granted, &made)).await?;
        bridge.program.stop().await?;
        server.program.stop().await?;
        store.program.stop().await?;
        let asked = proxy.asked();
        let too_few = refused(&asked)
            .into_iter()
            .map(|asked| format!("there is no right to {asked:?}"));
        let too_many = left.iter().map(|right| format!("nothing needs the right to {right:?}"));
        Ok(too_few.chain(too_many).collect())
    }

    /// What the host has before the virtual cluster comes.
    fn prepare(&self, on_host: &Kubectl, manifests: &str) -> Result<()> {
        on_host.run(&["create", "namespace", &self.namespace])?;
        let service =
            "{apiVersion: v1, kind: Service, metadata: {name: VC, namespace: HOST}, spec: {ports: [{port: 443}]}}";
        on_host.apply(&self.named(service))?;
        on_host.apply(&self.named(PUBLISHED))?;
        on_host.apply(&self.named(OWNER))?;
        for (group, plural, kind, namespaced) in self.feature.definitions {
            on_host.apply(&definition(group, plural, kind, *namespaced))?;
        }
        if !self.feature.definitions.is_empty() {
            on_host.run(&["wait", "--for=condition=Established", "crd", "--all", "--timeout=60s"])?;
        }
        for text in [self.feature.on_host, manifests] {
            if !text.is_empty() {
                on_host.apply(&self.named(text))?;
            }
        }
        Ok(())
    }

    /// What the tenant makes: every object twice, the second time under a name of which the host has somebody else's object. Then
    /// those objects of others.
    fn made(&self) -> Result<(String, String)> {
        let (mut made, mut twins) = (Vec::new(), Vec::new());
        for document in serde_yaml::Deserializer::from_str(&self.named(self.feature.made)) {
            let object: Value = serde::Deserialize::deserialize(document)?;
            if object.is_null() {
                continue;
            }
            let is_wide = WIDE.iter().any(|kind| object["kind"] == *kind);
            let mut second = object.clone();
            second["metadata"]["name"] = json!("taken");
            let mut twin = second.clone();
            twin["metadata"]["name"] = json!(if is_wide {
                format!("vcluster-taken-x-{}-x-{}", self.namespace, self.vcluster)
            } else {
                format!("taken-x-default-x-{}", self.vcluster)
            });
            if !is_wide {
                twin["metadata"]["namespace"] = json!(self.namespace);
            }
            made.extend([object.to_string(), second.to_string()]);
            twins.push(twin.to_string());
        }
        Ok((listed(&made), listed(&twins)))
    }

    /// Uses the feature; which rights that has not needed.
    async fn exercise(
        &self,
        tenant: &Kubectl,
        on_host: &Kubectl,
        proxy: &Proxy,
        (granted, made): (&BTreeSet<Right>, &str),
    ) -> Result<BTreeSet<Right>> {
        let until_used = async |verbs: &[&str]| {
            let deadline = Instant::now() + PATIENCE;
            loop {
                let mut left = unused(granted, &proxy.asked());
                left.retain(|right| !is_rare(right));
                if !left.iter().any(|right| verbs.contains(&right.verb.as_str())) || Instant::now() > deadline {
                    return left;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        if !self.feature.made.is_empty() {
            until(|| tenant.with_input(&["create", "-n", "default", "-f", "-"], made)).await?;
        }
        until_used(&["list", "watch", "create"]).await;
        let mut sessions = Vec::new();
        match self.feature.acts {
            Acts::None => {}
            Acts::Pods => sessions = self.use_pod(tenant, on_host).await?,
            Acts::Nodes => self.use_node(tenant).await?,
            Acts::Ports => {
                let other = r#"{"spec":{"ports":[{"port":81}]}}"#;
                tenant.run(&["-n", "default", "patch", "service", "web", "--type=merge", "-p", other])?;
            }
        }
        if !self.feature.made.is_empty() {
            tenant.with_input(
                &["label", "--overwrite", "-n", "default", "-f", "-", "touched=yes"],
                made,
            )?;
            until_used(&["patch", "create"]).await;
            drop(sessions);
            tenant.with_input(&["delete", "-n", "default", "--wait=false", "-f", "-"], made)?;
        }
        Ok(until_used(&["get", "patch", "delete", "create", "list", "watch"]).await)
    }

    /// Everything that can be asked of a pod; some of it goes on until what is returned is dropped.
    async fn use_pod(&self, tenant: &Kubectl, on_host: &Kubectl) -> Result<Vec<Background>> {
        let copy = format!("app-x-default-x-{}", self.vcluster);
        let collection = format!("/api/v1/namespaces/{}/pods/{copy}", self.namespace);
        let binding = format!(
            r#"{{"apiVersion":"v1","kind":"Binding","metadata":{{"name":"{copy}"}},"target":{{"kind":"Node","name":"worker-1"}}}}"#
        );
        until(|| {
            on_host.with_input(
                &["create", "--raw", &format!("{collection}/binding"), "-f", "-"],
                &binding,
            )
        })
        .await?;
        let running = r#"{"status":{"phase":"Running","startTime":"2026-01-01T00:00:00Z","containerStatuses":[{"name":"c","image":"i",
            "imageID":"","ready":true,"restartCount":0,"resources":{"requests":{"cpu":"10m"}},"state":{"running":{"startedAt":"2026-01-01T00:00:00Z"}}}]}}"#;
        let patch = |kubectl: &Kubectl, namespace: &str, pod: &str, part: &str, patch: &str| {
            let subresource = format!("--subresource={part}");
            kubectl.run(&[
                "-n",
                namespace,
                "patch",
                "pod",
                pod,
                &subresource,
                "--type=strategic",
                "-p",
                patch,
            ])
        };
        patch(on_host, &self.namespace, &copy, "status", running)?;
        until(|| {
            let pod = tenant.json(&["-n", "default", "get", "pod", "app"])?;
            ensure!(
                pod["status"]["phase"] == "Running" && pod["spec"]["nodeName"] == "worker-1",
                "{pod}"
            );
            Ok(())
        })
        .await?;
        patch(
            tenant,
            "default",
            "app",
            "status",
            r#"{"status":{"conditions":[{"type":"example.com/ready","status":"True"}]}}"#,
        )?;
        let larger = r#"{"spec":{"containers":[{"name":"c","resources":{"requests":{"cpu":"20m"}}}]}}"#;
        patch(tenant, "default", "app", "resize", larger)?;
        tenant.run(&["-n", "default", "debug", "app", "--image=i", "--target=c", "--quiet"])?;
        // There is no kubelet behind the host's API server; it is asked all the same, in both protocols.
        let spdy = tenant
            .clone()
            .with_environment("KUBECTL_REMOTE_COMMAND_WEBSOCKETS", "false")
            .with_environment("KUBECTL_PORT_FORWARD_WEBSOCKETS", "false");
        let commands = [
            &["logs", "app", "-c", "c"][..],
            &["exec", "app", "-c", "c", "--", "true"],
            &["attach", "app", "-c", "c"],
            &["port-forward", "pod/app", ":80"],
        ];
        let all = [tenant, &spdy]
            .into_iter()
            .flat_map(|kubectl| commands.map(|command| (kubectl, command)));
        all.map(|(kubectl, command)| kubectl.background(&[&["-n", "default"], command].concat()))
            .collect()
    }

    /// What can be asked of a node of the host.
    async fn use_node(&self, tenant: &Kubectl) -> Result<()> {
        until(|| tenant.run(&["label", "--overwrite", "node", "worker-1", "mine=yes"])).await?;
        for path in [
            "metrics/resource",
            "metrics/cadvisor",
            "metrics/probes",
            "stats/summary",
        ] {
            // Nobody listens there; it is asked for all the same.
            let path = format!("/api/v1/nodes/worker-1/proxy/{path}");
            let _ = tenant.run(&["get", "--request-timeout=3s", "--raw", &path]);
        }
        Ok(())
    }
}

fn is_rare(right: &Right) -> bool {
    let own = (right.verb.as_str(), right.group.as_str(), right.resource.as_str());
    RARE.iter()
        .any(|(verb, group, resource, _)| (*verb, *group, *resource) == own)
}

/// Several objects as one; nothing when there are none.
fn listed(objects: &[String]) -> String {
    if objects.is_empty() {
        return String::new();
    }
    format!(r#"{{"apiVersion":"v1","kind":"List","items":[{}]}}"#, objects.join(","))
}

/// Puts the keys of a vcluster.yaml over those of another one.
fn merge(under: &mut Value, over: Value) {
    match (under, over) {
        (Value::Object(under), Value::Object(over)) => {
            for (key, value) in over {
                merge(under.entry(key).or_insert(Value::Null), value);
            }
        }
        (_, Value::Null) => {}
        (under, over) => *under = over,
    }
}

/// The definition of a custom resource that may have any content.
fn definition(group: &str, plural: &str, kind: &str, namespaced: bool) -> String {
    let scope = if namespaced { "Namespaced" } else { "Cluster" };
    format!(
        "
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {{name: {plural}.{group}, annotations: {{api-approved.kubernetes.io: 'https://example.com/'}}}}
spec:
  group: {group}
  scope: {scope}
  names: {{plural: {plural}, kind: {kind}}}
  versions:
    - name: v1
      served: true
      storage: true
      subresources: {{status: {{}}}}
      schema: {{openAPIV3Schema: {{type: object, x-kubernetes-preserve-unknown-fields: true}}}}
"
    )
}

/// Waits until `look` succeeds.
async fn until<T>(mut look: impl FnMut() -> Result<T>) -> Result<T> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match look() {
            Err(_) if Instant::now() < deadline => tokio::time::sleep(Duration::from_millis(100)).await,
            seen => return seen,
        }
    }
}
