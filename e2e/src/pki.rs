//! The certificates, keys and kubeconfigs of one control plane, made once and kept in its `pki/` directory.

use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use chassis::tls::{Authority, Profile};
use k8s_openapi::ByteString;
use serde_json::json;

/// A control plane's `pki/` directory.
#[derive(Debug)]
pub struct Pki {
    dir: PathBuf,
    authority: Authority,
}

impl Pki {
    /// Opens the directory; makes the authority (`ca.crt`, `ca.key`) and the service account keys (`sa.key`, `sa.pub`) if
    /// they are missing.
    ///
    /// # Errors
    /// A file cannot be read or written, or is not what its name says.
    pub fn open(dir: &Path, common_name: &str) -> Result<Self> {
        fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
        let (certificate, key) = (dir.join("ca.crt"), dir.join("ca.key"));
        let authority = if certificate.exists() {
            Authority::from_pem(&read(&certificate)?, &read(&key)?)
                .with_context(|| certificate.display().to_string())?
        } else {
            let authority = Authority::generate(common_name)?;
            write_secret(&key, authority.key().as_str())?;
            write_secret(&certificate, authority.certificate())?;
            authority
        };
        let pki = Self {
            dir: dir.to_path_buf(),
            authority,
        };
        if !pki.path("sa.key").exists() {
            let key = rcgen::KeyPair::generate().context("cannot make the service account key")?;
            write_secret(&pki.path("sa.pub"), &key.public_key_pem())?;
            write_secret(&pki.path("sa.key"), &key.serialize_pem())?;
        }
        Ok(pki)
    }

    /// A file of the directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Makes `<name>.crt` and `<name>.key` unless they exist.
    ///
    /// # Errors
    /// The certificate cannot be issued or written.
    pub fn issue(&self, name: &str, profile: &Profile) -> Result<()> {
        let certificate = self.path(&format!("{name}.crt"));
        if certificate.exists() {
            return Ok(());
        }
        let pem = self.authority.issue(profile)?;
        write_secret(&self.path(&format!("{name}.key")), pem.key.as_str())?;
        write_secret(&certificate, &pem.certificate)
    }

    /// Writes a kubeconfig with everything inside, for the API server at `server`.
    ///
    /// # Errors
    /// The client certificate cannot be issued, or the file cannot be written.
    pub fn kubeconfig(&self, file: &Path, server: &str, cluster: &str, user: &str, groups: &[&str]) -> Result<()> {
        if file.exists() {
            return Ok(());
        }
        let pem = self.authority.issue(&Profile::client(user, groups.iter().copied()))?;
        let data = |text: &str| ByteString(text.as_bytes().to_vec());
        let config = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": cluster, "cluster": {
                "server": server,
                "certificate-authority-data": data(self.authority.certificate()),
            }}],
            "users": [{"name": user, "user": {
                "client-certificate-data": data(&pem.certificate),
                "client-key-data": data(pem.key.as_str()),
            }}],
            "contexts": [{"name": cluster, "context": {"cluster": cluster, "user": user}}],
            "current-context": cluster,
        });
        let text = serde_yaml::to_string(&config).with_context(|| format!("cannot write {}", file.display()))?;
        write_secret(file, &text)
    }
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

/// Writes a file only its owner can read, whole or not at all.
pub(crate) fn write_secret(path: &Path, text: &str) -> Result<()> {
    let partial = path.with_extension("partial");
    let write = || {
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&partial)?;
        file.write_all(text.as_bytes())?;
        fs::rename(&partial, path)
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn files_are_private_and_made_once() {
        let dir = tempfile::tempdir().unwrap();
        let open = || Pki::open(dir.path(), "test").unwrap();
        let make = |pki: &Pki| {
            pki.issue(
                "apiserver",
                &Profile::server("kube-apiserver", ["localhost", "127.0.0.1"]),
            )
            .unwrap();
            let file = pki.path("admin.conf");
            pki.kubeconfig(&file, "https://127.0.0.1:1", "c", "admin", &["system:masters"])
                .unwrap();
        };
        let pki = open();
        make(&pki);
        let snapshot = || {
            let mut files: Vec<_> = fs::read_dir(dir.path())
                .unwrap()
                .map(|entry| entry.unwrap().path())
                .map(|path| (path.clone(), fs::read_to_string(&path).unwrap()))
                .collect();
            files.sort();
            files
        };
        let first = snapshot();
        assert_eq!(first.len(), 7);
        for (path, _) in &first {
            assert_eq!(
                fs::metadata(path).unwrap().permissions().mode() & 0o777,
                0o600,
                "{}",
                path.display()
            );
        }
        make(&open());
        assert_eq!(snapshot(), first);
        assert!(
            fs::read_to_string(pki.path("sa.key"))
                .unwrap()
                .starts_with("-----BEGIN PRIVATE KEY-----")
        );
    }

    #[test]
    fn a_broken_authority_names_its_file() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("ca.crt"), "x").unwrap();
        fs::write(dir.path().join("ca.key"), "y").unwrap();
        let error = format!("{:#}", Pki::open(dir.path(), "test").unwrap_err());
        assert!(error.contains("ca.crt"), "{error}");
    }
}
