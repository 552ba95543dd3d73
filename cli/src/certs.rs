//! `vcluster certs create`.

use std::collections::{BTreeMap, BTreeSet};
use std::net::ToSocketAddrs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use pki::{ControlPlane, Service};

use crate::options::CreateCerts;

/// Makes what is missing and says what was made.
pub(crate) fn create(options: CreateCerts) -> Result<()> {
    let dir = options.dir;
    if dir.exists() && !dir.is_dir() {
        bail!("--dir: {} is no directory", dir.display());
    }
    let service = Service {
        name: options.service.unwrap_or_else(|| options.name.clone()),
        namespace: options.namespace,
    };
    let mut names = options.names;
    if options.resolve_service {
        names.extend(addresses(&format!("{}.{}.svc", service.name, service.namespace))?);
    }
    let plane = ControlPlane {
        service: Some(service),
        scheduler: options.scheduler,
        name: options.name,
        server: options.server,
        domain: options.cluster_domain,
        names,
    };
    let files = plane.files();
    let before = contents(&dir, &files);
    plane.prepare(&dir)?;
    let after = contents(&dir, &files);
    let made: Vec<&str> = after
        .into_iter()
        .filter(|(name, text)| before.get(name) != Some(text))
        .map(|(name, _)| name)
        .collect();
    match made.as_slice() {
        [] => println!("{}: all {} files are there", dir.display(), files.len()),
        made => println!("{}: made {}", dir.display(), made.join(", ")),
    }
    Ok(())
}

/// The addresses of a DNS name, sorted.
fn addresses(name: &str) -> Result<BTreeSet<String>> {
    let found = (name, 443).to_socket_addrs();
    let found =
        found.with_context(|| format!("--resolve-service: {name} is not in DNS (yet): create the Service first"))?;
    Ok(found.map(|address| address.ip().to_string()).collect())
}

fn contents<'a>(dir: &Path, files: &'a [String]) -> BTreeMap<&'a str, Vec<u8>> {
    let read = |name: &'a String| Some((name.as_str(), std::fs::read(dir.join(name)).ok()?));
    files.iter().filter_map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_run_changes_nothing_and_a_file_in_the_way_is_named() {
        let parent = tempfile::tempdir().unwrap();
        let dir = parent.path().join("data/pki");
        let options = |dir: &Path| CreateCerts {
            dir: dir.to_owned(),
            name: "vc".to_owned(),
            namespace: "team-a".to_owned(),
            service: None,
            resolve_service: false,
            scheduler: false,
            names: vec!["10.0.0.1".to_owned()],
            server: "https://127.0.0.1:8443".to_owned(),
            cluster_domain: "cluster.local".to_owned(),
        };
        create(options(&dir)).unwrap();
        let files = ["ca.crt", "apiserver.crt", "sa.key", "admin.conf"].map(str::to_owned);
        let first = contents(&dir, &files);
        assert_eq!(first.len(), files.len());
        create(options(&dir)).unwrap();
        assert_eq!(contents(&dir, &files), first);
        assert!(!dir.join("scheduler.conf").exists(), "nobody asked for it");
        create(CreateCerts {
            scheduler: true,
            ..options(&dir)
        })
        .unwrap();
        assert!(dir.join("scheduler.conf").exists());
        assert_eq!(contents(&dir, &files), first);

        let error = create(options(&dir.join("ca.crt"))).unwrap_err().to_string();
        assert!(
            error.contains("--dir") && error.contains("ca.crt is no directory"),
            "{error}"
        );
    }

    #[test]
    fn names_are_looked_up_and_unknown_ones_are_explained() {
        assert!(addresses("localhost").unwrap().contains("127.0.0.1"));
        let error = format!("{:#}", addresses("vc.team-a.invalid").unwrap_err());
        assert!(
            error.contains("--resolve-service") && error.contains("vc.team-a.invalid"),
            "{error}"
        );
    }
}
