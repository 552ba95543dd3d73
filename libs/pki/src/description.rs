//! Which certificates and kubeconfigs a control plane needs: one description for every way to run one.

use std::path::Path;

use anyhow::Result;
use chassis::tls::Profile;

use crate::directory::{AUTHORITY, FRONT_PROXY, Pki, SERVICE_ACCOUNTS};

/// What is known of a control plane before it runs.
#[derive(Debug, Clone)]
pub struct ControlPlane {
    /// Its name.
    pub name: String,
    /// The API server's URL for the other parts and the administrator.
    pub server: String,
    /// The DNS domain of its Services.
    pub domain: String,
    /// The Service of the host that leads to it; none for a cluster with nodes of its own.
    pub service: Option<Service>,
    /// Whether it has a scheduler.
    pub scheduler: bool,
    /// DNS names and addresses of the API server that do not follow from the rest.
    pub names: Vec<String>,
}

/// A Service of the host.
#[derive(Debug, Clone)]
pub struct Service {
    /// Its name.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
}

/// A user of the API server that has a kubeconfig.
struct Identity {
    file: &'static str,
    user: &'static str,
    groups: &'static [&'static str],
    of: fn(&ControlPlane) -> bool,
}

/// Files of the certificate that the API server shows to servers behind APIServices, and the name in it.
const FRONT_PROXY_CLIENT: &str = "front-proxy-client";
const ADMINISTRATORS: &[&str] = &["system:masters"];
const EVERY: fn(&ControlPlane) -> bool = |_| true;
const SCHEDULING: fn(&ControlPlane) -> bool = |plane| plane.scheduler;

const IDENTITIES: [Identity; 4] = [
    Identity {
        file: "admin.conf",
        user: "kubernetes-admin",
        groups: ADMINISTRATORS,
        of: EVERY,
    },
    Identity {
        file: "controller-manager.conf",
        user: "system:kube-controller-manager",
        groups: &[],
        of: EVERY,
    },
    Identity {
        file: "scheduler.conf",
        user: "system:kube-scheduler",
        groups: &[],
        of: SCHEDULING,
    },
    Identity {
        file: "syncer.conf",
        user: "system:vcluster-syncer",
        groups: ADMINISTRATORS,
        of: EVERY,
    },
];

impl ControlPlane {
    /// Makes in `dir` what is missing and renews certificates that no longer serve; everything else is left as it is.
    ///
    /// # Errors
    /// A file cannot be read, written or used; the error names it.
    pub fn prepare(&self, dir: &Path) -> Result<Pki> {
        let pki = Pki::open(dir, &format!("{}-ca", self.name))?;
        for (name, profile) in self.certificates() {
            pki.issue(name, &profile)?;
        }
        pki.issue_front_proxy(FRONT_PROXY_CLIENT, &Profile::client(FRONT_PROXY_CLIENT, [""; 0]))?;
        for identity in self.identities() {
            pki.kubeconfig(identity.file, &self.server, &self.name, identity.user, identity.groups)?;
        }
        Ok(pki)
    }

    /// The names of all files that [`Self::prepare`] makes.
    pub fn files(&self) -> Vec<String> {
        let pair = |name: &str, ends: [&str; 2]| ends.map(|end| format!("{name}.{end}"));
        let mut files: Vec<String> = Vec::new();
        for name in [AUTHORITY, FRONT_PROXY, FRONT_PROXY_CLIENT] {
            files.extend(pair(name, ["crt", "key"]));
        }
        files.extend(pair(SERVICE_ACCOUNTS, ["pub", "key"]));
        for (name, _) in self.certificates() {
            files.extend(pair(name, ["crt", "key"]));
        }
        files.extend(self.identities().map(|identity| identity.file.to_string()));
        files
    }

    fn certificates(&self) -> Vec<(&'static str, Profile)> {
        let local = ["localhost", "127.0.0.1"].map(str::to_string);
        let of_service = |name: &str, namespace: &str| {
            [
                name.to_string(),
                format!("{name}.{namespace}"),
                format!("{name}.{namespace}.svc"),
                format!("{name}.{namespace}.svc.{}", self.domain),
            ]
        };
        let in_front: Vec<String> = self
            .service
            .iter()
            .flat_map(|service| of_service(&service.name, &service.namespace))
            .collect();
        let own = of_service("kubernetes", "default");
        let server = local.iter().chain(&own).chain(&in_front).chain(&self.names).cloned();
        // The syncer issues its certificate as the kubelet of all nodes itself: it names their addresses.
        vec![
            ("apiserver", Profile::server("kube-apiserver", server)),
            (
                "apiserver-kubelet-client",
                Profile::client("kube-apiserver-kubelet-client", ADMINISTRATORS.iter().copied()),
            ),
        ]
    }

    fn identities(&self) -> impl Iterator<Item = &'static Identity> {
        IDENTITIES.iter().filter(|identity| (identity.of)(self))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::fs;

    fn plane(service: Option<Service>) -> ControlPlane {
        ControlPlane {
            scheduler: service.is_none(),
            name: "team".to_string(),
            server: "https://127.0.0.1:8443".to_string(),
            domain: "cluster.local".to_string(),
            service,
            names: vec!["10.0.0.9".to_string()],
        }
    }

    fn virtual_plane() -> ControlPlane {
        plane(Some(Service {
            name: "front".to_string(),
            namespace: "team-a".to_string(),
        }))
    }

    #[test]
    fn exactly_the_listed_files_are_made() {
        for plane in [plane(None), virtual_plane()] {
            let dir = tempfile::tempdir().unwrap();
            plane.prepare(dir.path()).unwrap();
            let made: BTreeSet<String> = fs::read_dir(dir.path())
                .unwrap()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect();
            assert_eq!(made, plane.files().into_iter().collect());
            assert_eq!(made.contains("scheduler.conf"), plane.scheduler);
        }
    }

    #[test]
    fn only_what_no_longer_serves_is_made_anew() {
        let dir = tempfile::tempdir().unwrap();
        let read = || {
            let files = virtual_plane().files();
            files
                .into_iter()
                .map(|file| (fs::read_to_string(dir.path().join(&file)).unwrap(), file))
                .collect::<BTreeSet<_>>()
        };
        virtual_plane().prepare(dir.path()).unwrap();
        let first = read();
        virtual_plane().prepare(dir.path()).unwrap();
        assert_eq!(read(), first);

        let moved = ControlPlane {
            names: vec!["10.0.0.10".to_string()],
            ..virtual_plane()
        };
        moved.prepare(dir.path()).unwrap();
        let second = read();
        let changed: Vec<&str> = second.difference(&first).map(|(_, file)| file.as_str()).collect();
        assert_eq!(
            BTreeSet::from_iter(changed),
            BTreeSet::from(["apiserver.crt", "apiserver.key"])
        );
    }
}
