//! One virtual cluster with the rights of its configuration.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use e2e::faulty::{Proxy, Weather};
use e2e::standalone::{Bridge, Server, ServerKind, Site, Store, StoreKind};
use e2e::suite::{Kubectl, binary};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::features::{self, Act, Configuration};
use crate::judge::{Right, granted, refused, unused};
use crate::{Host, until};

/// Nothing makes service accounts in the virtual cluster, nor takes finalizers of claims away: it has no controllers.
const ADMISSION: &str = "--disable-admission-plugins=ServiceAccount,StorageObjectInUseProtection";
/// Time within which everything that is going to be asked is asked, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
/// An earlier run has published a kubeconfig that is out of date.
const PUBLISHED: &str = "
apiVersion: v1
kind: Secret
metadata: {name: vc-VC, namespace: HOST, labels: {app: vcluster, vcluster-name: VC}}
stringData: {config: old}
";
/// What the control plane runs in, which becomes the owner of its Service, and who its pods are.
const OWNER: &str = "
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: VC, namespace: HOST}
spec:
  replicas: 0
  serviceName: VC
  selector: {matchLabels: {app: vcluster}}
  template: {metadata: {labels: {app: vcluster}}, spec: {containers: [{name: c, image: i}]}}
---
{apiVersion: v1, kind: ServiceAccount, metadata: {name: vc-workload-VC, namespace: HOST}}
---
{apiVersion: v1, kind: Service, metadata: {name: VC, namespace: HOST}, spec: {ports: [{port: 443}]}}
";
/// Kinds that lie in no namespace.
const WIDE: [&str; 4] = [
    "PriorityClass",
    "StorageClass",
    "PersistentVolume",
    "VolumeSnapshotContent",
];

/// One configuration in a namespace of its own.
pub(crate) struct Run {
    pub(crate) configuration: Configuration,
    pub(crate) vcluster: String,
    pub(crate) namespace: String,
}

/// A running virtual cluster.
pub(crate) struct Cluster {
    pub(crate) tenant: Kubectl,
    pub(crate) on_host: Kubectl,
    /// The roles, as they are printed.
    pub(crate) manifests: String,
    /// What the tenant makes.
    pub(crate) made: String,
    pub(crate) bridge: Bridge,
    granted: BTreeSet<Right>,
    proxy: Proxy,
    server: Server,
    store: Store,
    site: Site,
}

impl Cluster {
    /// Waits until the rights that matter have been used.
    async fn used(&self, matters: impl Fn(&Right) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        let is_waiting = || unused(&self.granted, &self.proxy.asked()).iter().any(&matters);
        while is_waiting() && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

impl Run {
    pub(crate) fn new(number: usize, configuration: Configuration) -> Self {
        Self {
            configuration,
            vcluster: format!("vc-{number}"),
            namespace: format!("rights-{number}"),
        }
    }

    /// A text of the configuration with the names of this run.
    fn named(&self, text: &str) -> String {
        // What begins with a brace is taken for JSON.
        format!("---\n{text}")
            .replace("HOST", &self.namespace)
            .replace("RIGHTS", &self.namespace)
            .replace("VC", &self.vcluster)
    }

    /// What is wrong with the rights of the configuration.
    pub(crate) async fn judge(&self, host: &Host) -> Result<Vec<String>> {
        // So that it has to find out what has become of what it created.
        let cluster = self.start(host, Weather::forgetful()).await?;
        let used = self.exercise(&cluster).await;
        used.with_context(|| said(&cluster.site))?;
        // Some rights are for the last act.
        cluster
            .on_host
            .run(&["-n", &self.namespace, "delete", "statefulset", &self.vcluster])?;
        let mistaken = mistaken(&cluster.site);
        let Cluster {
            bridge,
            proxy,
            server,
            store,
            granted,
            ..
        } = cluster;
        bridge.program.stop().await?;
        server.program.stop().await?;
        store.program.stop().await?;
        let asked = proxy.asked();
        let left = unused(&granted, &asked);
        enforced(&Kubectl::new(&proxy.kubeconfig))?;
        let too_few = refused(&asked)
            .into_iter()
            .map(|asked| format!("there is no right to {asked:?}"));
        let too_many = left.iter().map(|right| format!("nothing needs the right to {right:?}"));
        Ok(too_few.chain(too_many).chain(mistaken).collect())
    }

    /// Starts the virtual cluster with the rights that it asks for; its way to the host has a weather.
    pub(crate) async fn start(&self, host: &Host, weather: Weather) -> Result<Cluster> {
        let mut site = Site::new()?;
        let (mut flags, believed) = site.front_proxy_flags()?;
        flags.extend(site.kubelet_flags()?);
        flags.push(ADMISSION.to_string());
        let store = site.store("store", &StoreKind::KineShim(binary("kine-shim")?)).await?;
        let kind = ServerKind::Ours(binary("apiserver")?);
        let server = site.server("apiserver", &kind, &store, &flags).await?;
        let values = site.path("vcluster.yaml");
        std::fs::write(&values, self.configured()?.to_string())?;
        let config = format!("--config={}", values.display());
        let manifests = self.printed(&values)?;

        let (on_host, tenant) = (host.kubectl(), Kubectl::new(&server.kubeconfig));
        self.prepare(&on_host, &manifests).await?;
        let (made, twins) = self.made()?;
        let user = format!("system:serviceaccount:{}:vc-{}", self.namespace, self.vcluster);
        let of_namespace = format!("system:serviceaccounts:{}", self.namespace);
        let groups = ["system:serviceaccounts", "system:authenticated", of_namespace.as_str()];
        let proxy = site.proxy_to((&host.keys, host.port), &user, &groups).await?;
        proxy.set_weather(weather);
        let extra = [
            config,
            format!("--workload-service-account=vc-workload-{}", self.vcluster),
            "--compare-interval=5".to_string(),
            format!("--export-kubeconfig={}", server.kubeconfig.display()),
        ];
        let bridge = Bridge::start(
            &mut site,
            &binary("syncer")?,
            &self.vcluster,
            (&server.kubeconfig, &store),
            (&proxy.kubeconfig, &self.namespace),
            &[&extra[..], &believed].concat(),
        )?;
        let mut cluster = Cluster {
            granted: granted(&manifests)?,
            manifests,
            made,
            site,
            tenant,
            on_host,
            proxy,
            bridge,
            server,
            store,
        };
        cluster.bridge.ready().await?;
        if !twins.is_empty() {
            // Namespaces of their own come with the syncer.
            until(|| cluster.on_host.apply(&twins)).await?;
        }
        Ok(cluster)
    }

    /// The vcluster.yaml.
    pub(crate) fn configured(&self) -> Result<Value> {
        let mut configured: Value = serde_yaml::from_str(features::OFF)?;
        for text in &self.configuration.values {
            merge(&mut configured, serde_yaml::from_str(&self.named(text))?);
        }
        Ok(configured)
    }

    /// What `syncer rbac` says about a vcluster.yaml.
    pub(crate) fn printed(&self, values: &Path) -> Result<String> {
        let printed = Command::new(binary("syncer")?)
            .args(["rbac", &format!("--config={}", values.display())])
            .arg(format!("--name={}", self.vcluster))
            .arg(format!("--target-namespace={}", self.namespace))
            .output()?;
        let said = String::from_utf8_lossy(&printed.stderr);
        ensure!(printed.status.success(), "syncer rbac: {said}");
        Ok(String::from_utf8(printed.stdout)?)
    }

    /// What the host has before the virtual cluster comes.
    async fn prepare(&self, on_host: &Kubectl, manifests: &str) -> Result<()> {
        on_host.run(&["create", "namespace", &self.namespace])?;
        let definitions = self.configuration.definitions.iter();
        let definitions: Vec<String> = definitions
            .map(|(group, plural, kind, namespaced)| definition(group, plural, kind, *namespaced))
            .collect();
        if !definitions.is_empty() {
            let all = definitions.join("---");
            // Others may be making the same at this moment.
            until(|| on_host.apply(&all)).await?;
            on_host.run(&["wait", "--for=condition=Established", "crd", "--all", "--timeout=60s"])?;
        }
        let of_configuration = self.configuration.on_host.iter().copied();
        for text in [OWNER, PUBLISHED].into_iter().chain(of_configuration) {
            let text = self.named(text);
            until(|| on_host.apply(&text)).await?;
        }
        on_host.apply(manifests).map(drop)
    }

    /// What the tenant makes: every object twice, the second time under a name of which the host has somebody else's object. Then
    /// those objects of others.
    fn made(&self) -> Result<(String, String)> {
        let (mut made, mut twins) = (Vec::new(), Vec::new());
        let mut names = BTreeSet::new();
        let text: String = self
            .configuration
            .made
            .iter()
            .map(|text| self.named(text) + "\n")
            .collect();
        for document in serde_yaml::Deserializer::from_str(&text) {
            let object: Value = serde::Deserialize::deserialize(document)?;
            let kind = object["kind"].as_str().unwrap_or_default();
            let is_known = !names.insert((kind.to_owned(), object["metadata"]["name"].to_string()));
            if object.is_null() || is_known || self.configuration.shown.contains(&kind) {
                continue;
            }
            made.push(object.to_string());
            if kind == "Namespace" || !names.insert((format!("{kind} taken"), String::new())) {
                continue;
            }
            let mut second = object.clone();
            second["metadata"]["name"] = json!("taken");
            made.push(second.to_string());
            let mut twin = second;
            if WIDE.contains(&kind) {
                twin["metadata"]["name"] = json!(format!("vcluster-taken-x-{}-x-{}", self.namespace, self.vcluster));
            } else if self.configuration.is_spread {
                twin["metadata"]["namespace"] = json!(format!("{}-own", self.namespace));
                // What is nobody's there would be shown.
                twin["metadata"]["labels"]["vcluster.loft.sh/managed-by"] = json!("somebody");
            } else {
                twin["metadata"]["name"] = json!(format!("taken-x-default-x-{}", self.vcluster));
                twin["metadata"]["namespace"] = json!(self.namespace);
            }
            twins.push(twin.to_string());
        }
        Ok((listed(&made), listed(&twins)))
    }

    /// Uses the configuration, until all rights have been used but those to the end.
    async fn exercise(&self, cluster: &Cluster) -> Result<()> {
        let (tenant, made) = (&cluster.tenant, cluster.made.as_str());
        let acts = &self.configuration.acts;
        if !made.is_empty() {
            until(|| tenant.with_input(&["apply", "-n", "default", "-f", "-"], made)).await?;
        }
        if acts.contains(&Act::Bind) {
            self.bind(tenant).await?;
        }
        let of_copies = |right: &Right| !right.resource.contains('/') && right.group != "metrics.k8s.io";
        cluster
            .used(|right| of_copies(right) && ["list", "watch", "create"].contains(&right.verb.as_str()))
            .await;
        let sessions = self.act(cluster).await?;
        if !made.is_empty() {
            let change = ["label", "--overwrite", "-n", "default", "-f", "-", "touched=yes"];
            tenant.with_input(&change, made)?;
            cluster
                .used(|right| right.verb == "patch" || right.verb == "create")
                .await;
            drop(sessions);
            let delete = ["delete", "-n", "default", "--wait=false", "-f", "-"];
            tenant.with_input(&delete, made)?;
        }
        if acts.contains(&Act::Namespaces) {
            self.end_namespace(tenant)?;
        }
        let at_the_end = |right: &Right| right.verb == "delete" && !right.name.is_empty();
        cluster.used(|right| !at_the_end(right)).await;
        Ok(())
    }
}

/// The host lets nobody do what no rule allows: otherwise its answers would prove nothing.
fn enforced(syncer: &Kubectl) -> Result<()> {
    let (_, said) = syncer.fails(&["get", "deployments", "--all-namespaces"])?;
    ensure!(said.contains("is forbidden"), "{said}");
    Ok(())
}

/// What the syncer takes for somebody else's although it has made it, and nobody has told it so.
fn mistaken(site: &Site) -> Vec<String> {
    let log = std::fs::read_to_string(site.path("syncer.log")).unwrap_or_default();
    let refusals = log
        .lines()
        .filter(|line| line.contains("does not belong to") && !line.contains("taken"));
    refusals.map(str::to_owned).collect()
}

/// What the syncer has to say about what did not work.
fn said(site: &Site) -> String {
    let log = std::fs::read_to_string(site.path("syncer.log")).unwrap_or_default();
    // Without the time, so that what is said again and again is told once.
    let complaints: BTreeSet<&str> = log
        .lines()
        .filter_map(|line| line.split_once(" WARN ").or_else(|| line.split_once(" ERROR ")))
        .map(|(_, complaint)| complaint)
        .collect();
    let complaints: Vec<&str> = complaints.into_iter().collect();
    format!("the syncer says:\n{}", complaints.join("\n"))
}

/// Several objects as one; nothing when there are none.
pub(crate) fn listed(objects: &[String]) -> String {
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
