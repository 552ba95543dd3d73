//! A control plane's `pki/` directory: made once, and kept.

use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context, Result};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use chassis::tls::{Authority, Profile};
use serde_json::{Value, json};

use crate::validity::serves;

/// Files of the authority that signs every certificate.
pub(crate) const AUTHORITY: &str = "ca";
/// Files of the authority that signs the certificate of the API server towards servers behind APIServices.
pub(crate) const FRONT_PROXY: &str = "front-proxy-ca";
/// Files of the key that signs service account tokens.
pub(crate) const SERVICE_ACCOUNTS: &str = "sa";

/// A control plane's `pki/` directory.
#[derive(Debug)]
pub struct Pki {
    dir: PathBuf,
    authority: Authority,
    front_proxy: Authority,
}

impl Pki {
    /// Opens the directory; makes the authorities (`ca.crt`, `ca.key`, `front-proxy-ca.crt`, `front-proxy-ca.key`) and the
    /// service account keys (`sa.key`, `sa.pub`) if they are missing.
    ///
    /// # Errors
    /// A file cannot be read or written, or is not what its name says.
    pub fn open(dir: &Path, common_name: &str) -> Result<Self> {
        fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
        let file = |name: &str, end: &str| dir.join(format!("{name}.{end}"));
        let authority = |name: &str, common_name: &str| -> Result<Authority> {
            let (certificate, key) = (file(name, "crt"), file(name, "key"));
            if certificate.exists() {
                return Authority::from_pem(&read(&certificate)?, &read(&key)?)
                    .with_context(|| certificate.display().to_string());
            }
            let authority = Authority::generate(common_name)?;
            write_secret(&key, authority.key().as_str())?;
            write_secret(&certificate, authority.certificate())?;
            Ok(authority)
        };
        let (authority, front_proxy) = (authority(AUTHORITY, common_name)?, authority(FRONT_PROXY, FRONT_PROXY)?);
        service_account_keys(&file(SERVICE_ACCOUNTS, "key"), &file(SERVICE_ACCOUNTS, "pub"))?;
        Ok(Self {
            dir: dir.to_path_buf(),
            authority,
            front_proxy,
        })
    }

    /// A file of the directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Makes `<name>.crt` and `<name>.key` unless they exist and serve.
    ///
    /// # Errors
    /// The certificate cannot be issued or written.
    pub fn issue(&self, name: &str, profile: &Profile) -> Result<()> {
        self.issue_by(&self.authority, name, profile)
    }

    /// The same by the authority of those who say in headers who asks.
    ///
    /// # Errors
    /// The certificate cannot be issued or written.
    pub fn issue_front_proxy(&self, name: &str, profile: &Profile) -> Result<()> {
        self.issue_by(&self.front_proxy, name, profile)
    }

    fn issue_by(&self, authority: &Authority, name: &str, profile: &Profile) -> Result<()> {
        let (certificate, key) = (self.path(&format!("{name}.crt")), self.path(&format!("{name}.key")));
        if certificate.exists() && key.exists() && serves(&read(&certificate)?, profile, SystemTime::now()) {
            return Ok(());
        }
        let pem = authority.issue(profile)?;
        write_secret(&key, pem.key.as_str())?;
        write_secret(&certificate, &pem.certificate)
    }

    /// Writes a kubeconfig with everything inside, for the API server at `server`. One that exists is left alone until the
    /// certificate in it no longer serves.
    ///
    /// # Errors
    /// The client certificate cannot be issued, or the file cannot be written.
    pub fn kubeconfig(&self, name: &str, server: &str, cluster: &str, user: &str, groups: &[&str]) -> Result<()> {
        let file = self.path(name);
        let profile = Profile::client(user, groups.iter().copied());
        if file.exists()
            && client_certificate(&read(&file)?).is_none_or(|pem| serves(&pem, &profile, SystemTime::now()))
        {
            return Ok(());
        }
        let pem = self.authority.issue(&profile)?;
        let data = |text: &str| BASE64_STANDARD.encode(text);
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
        write_secret(&file, &text)
    }
}

fn service_account_keys(private: &Path, public: &Path) -> Result<()> {
    if private.exists() && public.exists() {
        return Ok(());
    }
    let key = if private.exists() {
        rcgen::KeyPair::from_pem(&read(private)?)
            .with_context(|| format!("{} is no private key in PEM, PKCS#8", private.display()))?
    } else {
        rcgen::KeyPair::generate().context("cannot make the service account key")?
    };
    write_secret(public, &key.public_key_pem())?;
    if private.exists() {
        return Ok(());
    }
    write_secret(private, &key.serialize_pem())
}

/// The certificate inside a kubeconfig as [`Pki::kubeconfig`] writes it; none in one that somebody else has put there.
fn client_certificate(kubeconfig: &str) -> Option<String> {
    let config: Value = serde_yaml::from_str(kubeconfig).ok()?;
    let data = config.pointer("/users/0/user/client-certificate-data")?.as_str()?;
    String::from_utf8(BASE64_STANDARD.decode(data).ok()?).ok()
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

/// Writes a file only its owner can read, whole or not at all.
///
/// # Errors
/// It cannot be written; the error names it.
pub fn write_secret(path: &Path, text: &str) -> Result<()> {
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
            pki.kubeconfig("admin.conf", "https://127.0.0.1:1", "c", "admin", &["system:masters"])
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
        assert_eq!(first.len(), 9);
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

    #[test]
    fn what_is_missing_is_made_from_what_is_there() {
        let dir = tempfile::tempdir().unwrap();
        let text = |name: &str| fs::read_to_string(dir.path().join(name)).unwrap();
        let pki = Pki::open(dir.path(), "test").unwrap();
        pki.issue("kubelet", &Profile::server("kubelet", ["localhost"]))
            .unwrap();
        let (private, public, certificate) = (text("sa.key"), text("sa.pub"), text("kubelet.crt"));
        fs::remove_file(dir.path().join("sa.pub")).unwrap();
        fs::remove_file(dir.path().join("kubelet.key")).unwrap();
        fs::write(dir.path().join("admin.conf"), "users: [{name: me, user: {token: t}}]").unwrap();

        let pki = Pki::open(dir.path(), "test").unwrap();
        pki.issue("kubelet", &Profile::server("kubelet", ["localhost"]))
            .unwrap();
        pki.kubeconfig("admin.conf", "https://127.0.0.1:1", "c", "admin", &[])
            .unwrap();
        assert_eq!((text("sa.key"), text("sa.pub")), (private, public));
        assert_ne!(
            text("kubelet.crt"),
            certificate,
            "a certificate without its key is worth nothing"
        );
        assert!(text("admin.conf").contains("token: t"), "somebody else's kubeconfig");
    }
}
