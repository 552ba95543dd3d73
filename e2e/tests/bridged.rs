//! What vcluster.yaml lets through between the host and a virtual cluster besides synced objects: ConfigMaps and Secrets by
//! name, replicas of Services, names.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::{SocketAddr, UdpSocket};
use std::process::{Child, Command, ExitCode, Stdio};

use anyhow::{Context, Result, ensure};
use e2e::suite::{Case, Kubectl, World, configured, eventually};
use serde_json::Value;
use tempfile::NamedTempFile;

const HOST_NAMESPACE: &str = "vcluster-vc-1";

const VALUES: &str = "
sync:
  fromHost:
    configMaps:
      enabled: true
      mappings:
        byName:
          default/settings: imported/*
          /own: imported/renamed
    secrets:
      enabled: true
      mappings:
        byName: {default/password: imported/secret}
exportKubeConfig:
  additionalSecrets:
  - {name: login, namespace: default, context: mine, serviceAccount: {name: reader, clusterRole: view}}
networking:
  replicateServices:
    fromHost: [{from: default/db, to: imported/database}]
    toHost: [{from: default/web, to: shop}]
  resolveDNS:
  - {hostname: fixed.example.com, target: {ip: 192.0.2.9}}
  - {hostname: '*.web.example.com', target: {hostname: '*.default.svc.cluster.local'}}
  - {service: default/api, target: {hostService: backend, hostNamespace: infra}}
  - {namespace: shared, target: {hostNamespace: infra}}
  - {hostname: '*.legacy.example.com', target: {hostname: '*.shared.svc.cluster.local'}}
  - {hostname: peer.example.com, target: {vClusterService: vcluster-vc-1/vc-1/default/own}}
";

const CASES: &[Case] = &[
    ("objects_of_the_host_are_copied", objects_of_the_host_are_copied),
    ("services_have_replicas", services_have_replicas),
    ("kubeconfigs_are_published", kubeconfigs_are_published),
    (
        "names_have_the_meaning_of_the_rules",
        names_have_the_meaning_of_the_rules,
    ),
    ("names_lead_to_services_of_the_host", names_lead_to_services_of_the_host),
    ("rights_are_enough", World::rights_are_enough),
];

fn main() -> ExitCode {
    configured("bridged", 1, VALUES, CASES)
}

fn objects_of_the_host_are_copied(world: &World) -> Result<()> {
    let (virtual_, host) = (world.kubectl("vc-1")?, world.kubectl("host")?);
    host.run(&["-n", "default", "create", "configmap", "settings", "--from-literal=a=1"])?;
    host.run(&[
        "-n",
        "default",
        "create",
        "secret",
        "generic",
        "password",
        "--from-literal=b=2",
    ])?;
    host.run(&["-n", HOST_NAMESPACE, "create", "configmap", "own", "--from-literal=c=3"])?;
    let data = |kind: &'static str, name: &'static str, expected: &'static str| {
        let wanted: serde_json::Value = serde_json::from_str(expected)?;
        eventually(&format!("{kind} {name} holds {expected}"), || {
            let object = virtual_.json(&["-n", "imported", "get", kind, name])?;
            Ok((object["data"] == wanted).then_some(object))
        })
    };
    data("configmap", "settings", r#"{"a":"1"}"#)?;
    data("configmap", "renamed", r#"{"c":"3"}"#)?;
    data("secret", "secret", r#"{"b":"Mg=="}"#)?;

    let change = r#"{"data":{"a":"tenant"}}"#;
    virtual_.run(&[
        "-n",
        "imported",
        "patch",
        "configmap",
        "settings",
        "--type=merge",
        "-p",
        change,
    ])?;
    data("configmap", "settings", r#"{"a":"1"}"#)?;
    virtual_.run(&["-n", "imported", "delete", "configmap", "settings"])?;
    data("configmap", "settings", r#"{"a":"1"}"#)?;
    let change = r#"{"data":{"a":"host"}}"#;
    host.run(&[
        "-n",
        "default",
        "patch",
        "configmap",
        "settings",
        "--type=merge",
        "-p",
        change,
    ])?;
    data("configmap", "settings", r#"{"a":"host"}"#)?;
    host.run(&["-n", "default", "delete", "configmap", "settings"])?;
    eventually("a copy goes with the object", || {
        let left = virtual_.names(&["-n", "imported", "get", "configmaps"])?;
        Ok((!left.iter().any(|name| name.ends_with("/settings"))).then_some(()))
    })
}

fn services_have_replicas(world: &World) -> Result<()> {
    let (virtual_, host) = (world.kubectl("vc-1")?, world.kubectl("host")?);
    host.run(&["-n", "default", "create", "service", "clusterip", "db", "--tcp=5432"])?;
    let service = host.json(&["-n", "default", "get", "service", "db"])?;
    let endpoints = eventually("the replica leads to the host's Service", || {
        let shown = virtual_.json(&["-n", "imported", "get", "endpoints", "database"])?;
        let address = &shown["subsets"][0]["addresses"][0]["ip"];
        Ok((*address == service["spec"]["clusterIP"]).then_some(shown))
    })?;
    ensure!(endpoints["subsets"][0]["ports"][0]["port"] == 5432, "{endpoints}");
    let replica = virtual_.json(&["-n", "imported", "get", "service", "database"])?;
    ensure!(replica["spec"]["clusterIP"] == "None", "{replica}");
    host.run(&["-n", "default", "delete", "service", "db"])?;
    eventually("the replica goes with the Service", || {
        Ok(virtual_
            .names(&["-n", "imported", "get", "services,endpoints"])?
            .is_empty()
            .then_some(()))
    })?;

    virtual_.run(&["create", "service", "clusterip", "web", "--tcp=80"])?;
    let replica = eventually("the host has a replica", || {
        Ok(host.json(&["-n", HOST_NAMESPACE, "get", "service", "shop"]).ok())
    })?;
    let selector = replica["spec"]["selector"].to_string();
    let expected = r#"{"app":"web","vcluster.loft.sh/managed-by":"vc-1","vcluster.loft.sh/namespace":"default"}"#;
    ensure!(selector == expected, "it selects {selector}");
    ensure!(replica["metadata"]["ownerReferences"][0]["name"] == "vc-1", "{replica}");
    Ok(())
}

fn kubeconfigs_are_published(world: &World) -> Result<()> {
    let host = world.kubectl("host")?;
    let published = |namespace: &str, name: &str| -> Result<NamedTempFile> {
        let secret = eventually(&format!("the host has Secret {name}"), || {
            Ok(host.json(&["-n", namespace, "get", "secret", name]).ok())
        })?;
        ensure!(
            secret["metadata"]["labels"]["vcluster-name"] == "vc-1",
            "{name} is not marked"
        );
        let template = "go-template={{.data.config | base64decode}}";
        let text = host.run(&["-n", namespace, "get", "secret", name, "-o", template])?;
        let file = NamedTempFile::new()?;
        std::fs::write(&file, text)?;
        Ok(file)
    };
    let admin = published(HOST_NAMESPACE, "vc-vc-1")?;
    Kubectl::new(admin.path()).run(&["auth", "can-i", "create", "secrets", "--all-namespaces"])?;
    let reader = published("default", "login")?;
    let reader = Kubectl::new(reader.path());
    ensure!(
        reader.run(&["config", "current-context"])?.trim() == "mine",
        "the context is not renamed"
    );
    let who = reader.json(&["auth", "whoami"])?;
    let user = &who["status"]["userInfo"]["username"];
    ensure!(
        *user == "system:serviceaccount:kube-system:reader",
        "it is {user} who logs in"
    );
    reader.run(&["get", "pods", "--all-namespaces"])?;
    ensure!(
        reader.run(&["get", "secrets"]).is_err(),
        "who may only view reads secrets"
    );
    Ok(())
}

fn names_have_the_meaning_of_the_rules(world: &World) -> Result<()> {
    let virtual_ = world.kubectl("vc-1")?;
    let service = virtual_.json(&["get", "service", "web"])?;
    let address = service["spec"]["clusterIP"].as_str().context("no address")?;
    for (name, expected) in [("fixed.example.com", "192.0.2.9"), ("web.web.example.com", address)] {
        eventually(&format!("{name} is {expected}"), || {
            Ok((ask(world, name)?.trim() == expected).then_some(()))
        })?;
    }
    virtual_.run(&["delete", "service", "web"])?;
    let host = world.kubectl("host")?;
    eventually("the replica goes with the Service", || {
        let left = host.names(&["-n", HOST_NAMESPACE, "get", "services"])?;
        Ok((!left.iter().any(|name| name.ends_with("/shop"))).then_some(()))
    })
}

/// A name server that ends with the test.
struct NameServer {
    process: Child,
    port: u16,
}

impl Drop for NameServer {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl NameServer {
    /// Starts the one of the virtual cluster with another Corefile and more flags.
    fn start(world: &World, corefile: &NamedTempFile, more: &[&str]) -> Result<Self> {
        let (program, mut arguments) = world.command_line("vc-1/dns")?;
        let other = [
            "--conf=",
            "--dns-port=",
            "--admin-bind-address=",
            "--grpc-bind-address=",
        ];
        arguments.retain(|argument| !other.iter().any(|flag| argument.starts_with(flag)));
        let port = UdpSocket::bind(("127.0.0.1", 0))?.local_addr()?.port();
        arguments.extend([
            format!("--conf={}", corefile.path().display()),
            format!("--dns-port={port}"),
        ]);
        let process = Command::new(program)
            .args(&arguments)
            .args(more)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("the name server does not start")?;
        Ok(Self { process, port })
    }
}

fn names_lead_to_services_of_the_host(world: &World) -> Result<()> {
    let (virtual_, host) = (world.kubectl("vc-1")?, world.kubectl("host")?);
    host.run(&["create", "namespace", "infra"])?;
    for name in ["backend", "cache"] {
        host.run(&["-n", "infra", "create", "service", "clusterip", name, "--tcp=80"])?;
    }
    virtual_.run(&["create", "service", "clusterip", "own", "--tcp=80"])?;
    eventually("the host has a copy", || {
        Ok(host
            .run(&["-n", HOST_NAMESPACE, "get", "service", "own-x-default-x-vc-1"])
            .ok())
    })?;
    // The embedded host has no name server: this one knows its Services as a real one would.
    let services = host.json(&["get", "services", "--all-namespaces"])?;
    let mut hosts = String::new();
    let mut addresses = BTreeMap::new();
    for service in services["items"].as_array().into_iter().flatten() {
        let text = |pointer: &str| service.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let (namespace, name, address) = (
            text("/metadata/namespace"),
            text("/metadata/name"),
            text("/spec/clusterIP"),
        );
        if address.parse::<std::net::IpAddr>().is_ok() {
            writeln!(hosts, "        {address} {name}.{namespace}.svc.host.internal")?;
            addresses.insert(format!("{namespace}/{name}"), address.to_owned());
        }
    }
    let file = |text: &str| -> Result<NamedTempFile> {
        let file = NamedTempFile::new()?;
        std::fs::write(&file, text)?;
        Ok(file)
    };
    let of_host = file(&format!(". {{\n    hosts {{\n{hosts}    }}\n}}\n"))?;
    let of_host = NameServer::start(world, &of_host, &[])?;
    let corefile = include_str!("../../deploy/kustomize/Corefile");
    let corefile = file(&corefile.replace("/etc/resolv.conf", &format!("127.0.0.1:{}", of_host.port)))?;
    let server = NameServer::start(world, &corefile, &["--host-cluster-domain=host.internal"])?;
    for (name, service) in [
        ("api.default.svc.cluster.local", "infra/backend"),
        ("cache.shared.svc.cluster.local", "infra/cache"),
        ("cache.legacy.example.com", "infra/cache"),
        ("peer.example.com", "vcluster-vc-1/own-x-default-x-vc-1"),
        ("backend.infra.svc.host.internal", "infra/backend"),
    ] {
        let expected = addresses
            .get(service)
            .with_context(|| format!("the host has no {service}"))?;
        eventually(&format!("{name} is {service}"), || {
            let said = dig(SocketAddr::from(([127, 0, 0, 1], server.port)), name)?;
            ensure!(said.trim() == expected, "{name} is {said:?}, not {expected}");
            Ok(Some(()))
        })?;
    }
    let unknown = dig(
        SocketAddr::from(([127, 0, 0, 1], server.port)),
        "none.shared.svc.cluster.local",
    )?;
    ensure!(unknown.trim().is_empty(), "{unknown}");
    host.run(&["delete", "namespace", "infra", "--wait=false"])?;
    virtual_.run(&["delete", "service", "own"])?;
    Ok(())
}

/// The addresses that the virtual cluster's name server knows of a name.
fn ask(world: &World, name: &str) -> Result<String> {
    dig(world.access("vc-1")?.dns.context("vc-1 has no DNS")?, name)
}

/// The addresses that a name server knows of a name.
fn dig(dns: SocketAddr, name: &str) -> Result<String> {
    let output = Command::new("dig")
        .args([&format!("@{}", dns.ip()), "-p", &dns.port().to_string(), "+short", name])
        .output()
        .context("cannot start dig")?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
