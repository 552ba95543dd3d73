//! The processes of a control plane and their command lines: one table for the host and for virtual clusters.

use std::collections::BTreeMap;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use chassis::tls::{Profile, Usages};

use config::Config;
use config::requests::{DENIED, MUTATING, VALIDATING};
use pki::{Pki, write_secret};

use crate::measurements;
use crate::process::{Ports, Spec};

/// Network of Service addresses, in the host and, because they are the host's, in every virtual cluster.
const SERVICE_NETWORK: &str = "10.96.0.0/16";
/// First address of it: Service `default/kubernetes`.
const FIRST_SERVICE: &str = "10.96.0.1";
const DOMAIN: &str = "cluster.local";
/// Kubeconfig of the simulated nodes.
pub const NODES: &str = "nodes.conf";
/// What the name server of a virtual cluster does; the Pod's does the same.
const COREFILE: &str = include_str!("../../deploy/kustomize/Corefile");
/// What the API server of a virtual cluster does to requests; the Pod's reads the same.
const ADMISSION: &str = include_str!("../../deploy/kustomize/AdmissionConfiguration");
const ADMISSION_FILE: &str = "AdmissionConfiguration";
/// The directory for it and the files that it names.
const REQUESTS: &str = "requests";
/// A unix socket's path has 108 bytes on Linux, the last one is zero.
const LONGEST_SOCKET: usize = 107;

/// What a control plane is for.
#[derive(Debug, Clone)]
pub enum Role {
    /// A cluster with nodes.
    Host,
    /// A cluster whose pods run in a namespace of a host.
    Virtual {
        /// Kubeconfig of the host, with rights in the namespace.
        host_kubeconfig: PathBuf,
        /// The namespace.
        host_namespace: String,
        /// The vcluster.yaml, if there is one.
        values: Option<PathBuf>,
        /// Whether it assigns its pods to nodes itself.
        scheduler: bool,
    },
}

impl Role {
    /// The Service that the host would have for the control plane `name`.
    fn service(&self, name: &str) -> Option<pki::Service> {
        match self {
            Role::Host => None,
            Role::Virtual { host_namespace, .. } => Some(pki::Service {
                name: name.to_string(),
                namespace: host_namespace.clone(),
            }),
        }
    }
}

/// A process of a control plane.
struct Service {
    binary: &'static str,
    role: fn(&Role) -> bool,
    /// Ports besides those every service has.
    ports: &'static [&'static str],
    flags: fn(&ControlPlane, &Role) -> Vec<String>,
}

const ANY: fn(&Role) -> bool = |_| true;
const SCHEDULES: fn(&Role) -> bool = |role| matches!(role, Role::Host | Role::Virtual { scheduler: true, .. });
const VIRTUAL: fn(&Role) -> bool = |role| matches!(role, Role::Virtual { .. });

/// In start order: each of the first two is waited for, the others start together.
const SERVICES: &[Service] = &[
    Service {
        binary: "kine-shim",
        role: ANY,
        ports: &[],
        flags: kine_shim,
    },
    Service {
        binary: "apiserver",
        role: ANY,
        ports: &["secure"],
        flags: apiserver,
    },
    Service {
        binary: "controller-manager",
        role: ANY,
        ports: &[],
        flags: controller_manager,
    },
    Service {
        binary: "scheduler",
        role: SCHEDULES,
        ports: &[],
        flags: scheduler,
    },
    Service {
        binary: "syncer",
        role: VIRTUAL,
        ports: &["kubelet"],
        flags: syncer,
    },
    Service {
        binary: "dns",
        role: VIRTUAL,
        ports: &["dns"],
        flags: dns,
    },
];

/// How many of the first services everything else needs.
pub const FOUNDATION: usize = 2;

/// The binaries every playground needs that are not in `dir`.
pub fn missing_binaries(dir: &Path) -> Vec<&'static str> {
    SERVICES
        .iter()
        .map(|service| service.binary)
        .filter(|binary| !dir.join(binary).is_file())
        .collect()
}

/// One control plane: its directory holds `state.db`, `kine.sock`, `pki/` and `logs/`.
#[derive(Debug)]
pub struct ControlPlane {
    /// Name; `host` for the host.
    pub name: String,
    dir: PathBuf,
    role: Role,
    ports: BTreeMap<String, u16>,
    /// Ports of the kubelets on this machine.
    kubelets: Vec<u16>,
    /// Network of Service addresses.
    host_network: String,
    /// The network that its vcluster.yaml says.
    said_network: Option<String>,
    pki: Pki,
}

impl ControlPlane {
    /// Prepares everything its processes need: ports, certificates, kubeconfigs, the Corefile.
    ///
    /// # Errors
    /// A file cannot be written, or no port is free.
    pub fn prepare(name: &str, dir: &Path, role: Role, ports: &mut Ports) -> Result<Self> {
        let socket = dir.join("kine.sock");
        if socket.as_os_str().len() > LONGEST_SOCKET {
            bail!(
                "{} is too long for a unix socket: choose a shorter --dir",
                socket.display()
            );
        }
        let logs = dir.join("logs");
        fs::create_dir_all(&logs).with_context(|| format!("cannot create {}", logs.display()))?;
        let mut own = BTreeMap::new();
        for service in SERVICES.iter().filter(|service| (service.role)(&role)) {
            for port in ["admin", "grpc"].iter().chain(service.ports) {
                let key = format!("{}/{port}", service.binary);
                let number = ports.get(&format!("{name}/{key}"))?;
                own.insert(key, number);
            }
        }
        let server = format!(
            "https://127.0.0.1:{}",
            own.get("apiserver/secure").copied().unwrap_or_default()
        );
        let description = pki::ControlPlane {
            name: name.to_string(),
            server,
            domain: DOMAIN.to_string(),
            service: role.service(name),
            scheduler: SCHEDULES(&role),
            names: vec![FIRST_SERVICE.to_string()],
        };
        let pki = description.prepare(&dir.join("pki"))?;
        let mut said_network = None;
        match &role {
            Role::Host => pki.kubeconfig(NODES, &description.server, name, "simulated-nodes", &["system:masters"])?,
            Role::Virtual { values, .. } => {
                let config = read_values(values.as_deref())?;
                said_network = config.service_network().map(str::to_owned);
                write_secret(&dir.join("Corefile"), COREFILE)?;
                write_requests(dir, name, &config)?;
            }
        }
        Ok(Self {
            name: name.to_string(),
            dir: dir.to_path_buf(),
            role,
            kubelets: own.get("syncer/kubelet").copied().into_iter().collect(),
            ports: own,
            host_network: SERVICE_NETWORK.to_string(),
            said_network,
            pki,
        })
    }

    /// Says where the kubelets of its nodes are.
    pub fn set_kubelets(&mut self, ports: Vec<u16>) {
        self.kubelets = ports;
    }

    /// Says from which network the host's Services get their addresses.
    pub fn set_host_network(&mut self, network: String) {
        self.host_network = network;
    }

    /// From which network Services get theirs: what its vcluster.yaml says, else the host's.
    fn service_network(&self) -> String {
        self.said_network.as_ref().unwrap_or(&self.host_network).clone()
    }

    /// The kubeconfig with which a virtual cluster comes to its host.
    pub fn host_kubeconfig(&self) -> Option<&Path> {
        match &self.role {
            Role::Host => None,
            Role::Virtual { host_kubeconfig, .. } => Some(host_kubeconfig),
        }
    }

    /// The API server's URL.
    pub fn server(&self) -> String {
        format!("https://127.0.0.1:{}", self.port("apiserver/secure"))
    }

    /// The administrator's kubeconfig.
    pub fn kubeconfig(&self) -> PathBuf {
        self.pki.path("admin.conf")
    }

    /// The directory of certificates, keys and the components' kubeconfigs.
    pub fn pki(&self) -> &Pki {
        &self.pki
    }

    /// Where a process of it listens, e.g. `dns/dns`.
    pub fn address(&self, port: &str) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port(port)).into()
    }

    /// The processes in start order, from the binaries in `binaries`.
    pub fn processes(&self, binaries: &Path, playground: &Path) -> Vec<Spec> {
        let own = SERVICES.iter().filter(|service| (service.role)(&self.role));
        own.map(|service| {
            let admin = self.address(&format!("{}/admin", service.binary));
            let grpc = self.address(&format!("{}/grpc", service.binary));
            let mut arguments = (service.flags)(self, &self.role);
            arguments.extend([
                format!("--admin-bind-address={admin}"),
                format!("--grpc-bind-address={grpc}"),
            ]);
            Spec {
                name: format!("{}/{}", self.name, service.binary),
                program: binaries.join(service.binary),
                arguments,
                log: self.dir.join("logs").join(format!("{}.log", service.binary)),
                admin,
                playground: playground.to_path_buf(),
            }
        })
        .collect()
    }

    fn port(&self, key: &str) -> u16 {
        self.ports.get(key).copied().unwrap_or_default()
    }

    fn file(&self, name: &str) -> String {
        self.dir.join(name).display().to_string()
    }

    fn secret(&self, name: &str) -> String {
        self.pki.path(name).display().to_string()
    }

    /// Makes the kubeconfig with which the syncer of a virtual cluster comes to this cluster: as the service account that it
    /// has in a Pod, whose rights are those that the virtual cluster's configuration needs.
    ///
    /// # Errors
    /// It cannot be issued or written.
    pub fn tenant_kubeconfig(&self, tenant: &str, namespace: &str) -> Result<PathBuf> {
        let file = format!("tenant-{tenant}.conf");
        let user = format!("system:serviceaccount:{namespace}:vc-{tenant}");
        let of_namespace = format!("system:serviceaccounts:{namespace}");
        let groups = ["system:serviceaccounts", of_namespace.as_str()];
        self.pki.kubeconfig(&file, &self.server(), &self.name, &user, &groups)?;
        Ok(self.pki.path(&file))
    }

    /// The manifests of the rights that a virtual cluster needs in its host, as its syncer tells them.
    ///
    /// # Errors
    /// This is no virtual cluster, or the syncer cannot tell.
    pub async fn rights(&self, binaries: &Path) -> Result<String> {
        let Role::Virtual {
            host_namespace, values, ..
        } = &self.role
        else {
            bail!("{} has no host", self.name);
        };
        let mut command = tokio::process::Command::new(binaries.join("syncer"));
        command.arg("rbac");
        command.args(["--name", &self.name, "--target-namespace", host_namespace]);
        values.iter().for_each(|file| {
            command.arg("--config").arg(file);
        });
        let output = command.output().await.context("cannot start the syncer")?;
        if !output.status.success() {
            bail!("syncer rbac: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        String::from_utf8(output.stdout).context("syncer rbac prints no text")
    }

    /// Issues the serving certificate of the metrics server, and names the files it needs.
    ///
    /// # Errors
    /// It cannot be issued or written.
    pub fn metrics_server_files(&self) -> Result<measurements::Files> {
        const NAME: &str = "metrics-server";
        self.pki.issue(NAME, &Profile::server(NAME, [measurements::DNS_NAME]))?;
        Ok(measurements::Files {
            certificate: self.pki.path(&format!("{NAME}.crt")),
            key: self.pki.path(&format!("{NAME}.key")),
            authority: self.pki.path("ca.crt"),
            front_proxy: self.pki.path("front-proxy-ca.crt"),
        })
    }

    /// Issues the serving certificate of a simulated node's kubelet.
    ///
    /// # Errors
    /// It cannot be issued or written.
    pub fn node_certificate(&self, node: &str) -> Result<String> {
        let name = format!("kubelet-{node}");
        let profile = Profile {
            organizations: vec!["system:nodes".to_string()],
            usages: Usages::ServerAndClient,
            ..Profile::server(format!("system:node:{node}"), [node, "127.0.0.1"])
        };
        self.pki.issue(&name, &profile)?;
        Ok(name)
    }
}

/// The vcluster.yaml of a virtual cluster; without one, every key has its default.
fn read_values(file: Option<&Path>) -> Result<Config> {
    let Some(file) = file else {
        return Ok(Config::parse("", "")?);
    };
    let text = fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    Ok(Config::parse(&file.display().to_string(), &text)?)
}

/// Writes the files with which the API server of a virtual cluster intervenes in requests, and removes those of before.
fn write_requests(dir: &Path, name: &str, config: &Config) -> Result<()> {
    let written = config.request_files(name);
    let files: BTreeMap<_, _> = written
        .context("cannot print a file for the API server")?
        .into_iter()
        .collect();
    let requests = dir.join(REQUESTS);
    if requests.exists() {
        fs::remove_dir_all(&requests).with_context(|| format!("cannot remove {}", requests.display()))?;
    }
    for (sub, file) in [("mutating", MUTATING), ("validating", VALIDATING), ("denied", DENIED)] {
        let sub = requests.join(sub);
        fs::create_dir_all(&sub).with_context(|| format!("cannot create {}", sub.display()))?;
        if let Some(text) = files.get(file) {
            write_secret(&sub.join(file), text)?;
        }
    }
    let requests = std::path::absolute(&requests).with_context(|| format!("{}", requests.display()))?;
    let admission = ADMISSION.replace("/etc/vcluster", &requests.display().to_string());
    write_secret(&requests.join(ADMISSION_FILE), &admission)
}

fn flags(pairs: &[(&str, String)]) -> Vec<String> {
    pairs.iter().map(|(name, value)| format!("--{name}={value}")).collect()
}

fn kine_shim(plane: &ControlPlane, _: &Role) -> Vec<String> {
    flags(&[
        ("endpoint", format!("sqlite://{}", plane.file("state.db"))),
        ("listen-address", format!("unix://{}", plane.file("kine.sock"))),
    ])
}

fn apiserver(plane: &ControlPlane, role: &Role) -> Vec<String> {
    let kubelets = match role {
        Role::Host => "InternalIP,Hostname",
        // The syncer runs beside the API server; the other addresses of a node lead to it through the host's network.
        Role::Virtual { .. } => "VirtualKubelet,InternalIP,Hostname",
    };
    let mut command = flags(&[
        ("etcd-servers", format!("unix://{}", plane.file("kine.sock"))),
        ("bind-address", "127.0.0.1".to_string()),
        ("advertise-address", "127.0.0.1".to_string()),
        ("secure-port", plane.port("apiserver/secure").to_string()),
        ("tls-cert-file", plane.secret("apiserver.crt")),
        ("tls-private-key-file", plane.secret("apiserver.key")),
        ("client-ca-file", plane.secret("ca.crt")),
        ("service-account-key-file", plane.secret("sa.pub")),
        ("service-account-signing-key-file", plane.secret("sa.key")),
        (
            "service-account-issuer",
            format!("https://kubernetes.default.svc.{DOMAIN}"),
        ),
        ("service-cluster-ip-range", plane.service_network()),
        (
            "kubelet-client-certificate",
            plane.secret("apiserver-kubelet-client.crt"),
        ),
        ("kubelet-client-key", plane.secret("apiserver-kubelet-client.key")),
        ("kubelet-certificate-authority", plane.secret("ca.crt")),
        ("kubelet-preferred-address-types", kubelets.to_string()),
    ]);
    command.extend(flags(&[
        ("proxy-client-cert-file", plane.secret("front-proxy-client.crt")),
        ("proxy-client-key-file", plane.secret("front-proxy-client.key")),
        ("requestheader-client-ca-file", plane.secret("front-proxy-ca.crt")),
        ("requestheader-allowed-names", "front-proxy-client".to_string()),
        ("requestheader-username-headers", "X-Remote-User".to_string()),
        ("requestheader-uid-headers", "X-Remote-Uid".to_string()),
        ("requestheader-group-headers", "X-Remote-Group".to_string()),
        ("requestheader-extra-headers-prefix", "X-Remote-Extra-".to_string()),
    ]));
    if matches!(role, Role::Virtual { .. }) {
        let requests = |name: &str| plane.file(&format!("{REQUESTS}/{name}"));
        command.extend(flags(&[
            ("admission-control-config-file", requests(ADMISSION_FILE)),
            ("denied-requests-dir", requests("denied")),
        ]));
    }
    let ports: Vec<String> = plane.kubelets.iter().map(u16::to_string).collect();
    if !ports.is_empty() {
        command.extend(flags(&[("loopback-kubelet-ports", ports.join(","))]));
    }
    command
}

fn controller_manager(plane: &ControlPlane, _: &Role) -> Vec<String> {
    flags(&[
        ("kubeconfig", plane.secret("controller-manager.conf")),
        ("service-account-private-key-file", plane.secret("sa.key")),
        ("root-ca-file", plane.secret("ca.crt")),
        ("controllers", "*".to_string()),
        // There is one; after a crash the next one need not wait for its predecessor's lease.
        ("leader-elect", "false".to_string()),
    ])
}

fn scheduler(plane: &ControlPlane, _: &Role) -> Vec<String> {
    flags(&[
        ("kubeconfig", plane.secret("scheduler.conf")),
        ("leader-elect", "false".to_string()),
    ])
}

fn syncer(plane: &ControlPlane, role: &Role) -> Vec<String> {
    let Role::Virtual {
        host_kubeconfig,
        host_namespace,
        ..
    } = role
    else {
        return Vec::new();
    };
    let mut command = flags(&[
        ("kubeconfig", plane.secret("syncer.conf")),
        ("host-kubeconfig", host_kubeconfig.display().to_string()),
        ("export-kubeconfig", plane.secret("admin.conf")),
        ("name", plane.name.clone()),
        ("target-namespace", host_namespace.clone()),
        ("service-name", plane.name.clone()),
        ("kubelet-address", "127.0.0.1".to_string()),
        ("kubelet-port", plane.port("syncer/kubelet").to_string()),
        ("tls-signing-cert-file", plane.secret("ca.crt")),
        ("tls-signing-key-file", plane.secret("ca.key")),
        ("client-ca-file", plane.secret("ca.crt")),
        ("requestheader-client-ca-file", plane.secret("front-proxy-ca.crt")),
        ("requestheader-allowed-names", "front-proxy-client".to_string()),
        ("etcd-servers", format!("unix://{}", plane.file("kine.sock"))),
        ("leader-elect", "false".to_string()),
    ]);
    command.extend(helm().map(|program| format!("--helm-binary={}", program.display())));
    command.extend(config(role));
    command
}

/// Helm, beside this program as in the image of the syncer, or where commands are.
fn helm() -> Option<PathBuf> {
    let own = std::env::current_exe().ok();
    let beside = own.iter().filter_map(|own| own.parent()).map(Path::to_path_buf);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut places = beside
        .chain(std::env::split_paths(&path))
        .map(|place| place.join("helm"));
    places.find(|program| program.is_file())
}

/// The flag that names the vcluster.yaml.
fn config(role: &Role) -> Vec<String> {
    match role {
        Role::Virtual { values: Some(file), .. } => flags(&[("config", file.display().to_string())]),
        _ => Vec::new(),
    }
}

fn dns(plane: &ControlPlane, role: &Role) -> Vec<String> {
    let mut command = flags(&[
        ("conf", plane.file("Corefile")),
        ("bind-address", "127.0.0.1".to_string()),
        ("dns-port", plane.port("dns/dns").to_string()),
        ("records-endpoint", format!("http://{}", plane.address("syncer/grpc"))),
    ]);
    command.extend(config(role));
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prepare(dir: &Path, role: Role) -> ControlPlane {
        let mut ports = Ports::open(&dir.join("ports.json")).unwrap();
        ControlPlane::prepare("vc-1", &dir.join("vc-1"), role, &mut ports).unwrap()
    }

    #[test]
    fn a_second_preparation_gives_the_same_command_lines() {
        let dir = tempfile::tempdir().unwrap();
        let role = Role::Virtual {
            host_kubeconfig: "/h".into(),
            host_namespace: "vcluster-vc-1".to_string(),
            values: None,
            scheduler: false,
        };
        let lines = || {
            let specs = prepare(dir.path(), role.clone()).processes(Path::new("/bin"), dir.path());
            specs
                .into_iter()
                .map(|spec| (spec.name, spec.arguments))
                .collect::<Vec<_>>()
        };
        let first = lines();
        assert_eq!(lines(), first);
        let names: Vec<_> = first.iter().map(|(name, _)| name.as_str()).collect();
        let expected =
            ["kine-shim", "apiserver", "controller-manager", "syncer", "dns"].map(|name| format!("vc-1/{name}"));
        assert_eq!(names, expected);
        let all: Vec<&String> = first.iter().flat_map(|(_, arguments)| arguments).collect();
        assert!(
            all.iter()
                .all(|argument| argument.starts_with("--") && !argument.ends_with('=')),
            "{all:?}"
        );
        assert!(dir.path().join("vc-1/Corefile").exists());
    }

    #[test]
    fn the_host_has_a_scheduler_and_no_syncer() {
        let dir = tempfile::tempdir().unwrap();
        let specs = prepare(dir.path(), Role::Host).processes(Path::new("/bin"), dir.path());
        let programs: Vec<_> = specs.iter().map(|spec| spec.program.display().to_string()).collect();
        assert_eq!(
            programs,
            [
                "/bin/kine-shim",
                "/bin/apiserver",
                "/bin/controller-manager",
                "/bin/scheduler"
            ]
        );
    }

    #[test]
    fn a_directory_too_deep_for_a_socket_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let deep = dir.path().join("d".repeat(120));
        let mut ports = Ports::open(&dir.path().join("ports.json")).unwrap();
        let error = ControlPlane::prepare("host", &deep, Role::Host, &mut ports)
            .unwrap_err()
            .to_string();
        assert!(error.contains("shorter --dir"), "{error}");
    }
}
