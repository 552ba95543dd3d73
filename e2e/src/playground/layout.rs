//! Where a playground keeps its files.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// Everything a playground puts into its directory; nothing else there is ever touched.
const OWN: &[&str] = &[
    "host",
    "clusters",
    "vcluster.yaml",
    "ports.json",
    "playground.json",
    "playground.log",
];

/// The directory of one playground.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    dir: PathBuf,
}

impl Layout {
    /// The playground in `dir`, which need not exist yet.
    ///
    /// # Errors
    /// The directory cannot be created or resolved.
    pub fn create(dir: &Path) -> Result<Self> {
        fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
        let dir = fs::canonicalize(dir).with_context(|| format!("cannot use {}", dir.display()))?;
        Ok(Self { dir })
    }

    /// The playground in `dir` if the directory exists.
    pub fn find(dir: &Path) -> Option<Self> {
        fs::canonicalize(dir).ok().map(|dir| Self { dir })
    }

    /// The directory itself, absolute.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// What is known of the playground, see [`super::State`].
    pub fn state(&self) -> PathBuf {
        self.dir.join("playground.json")
    }

    /// The log of its supervisor.
    pub fn log(&self) -> PathBuf {
        self.dir.join("playground.log")
    }

    /// The ports in use.
    pub fn ports(&self) -> PathBuf {
        self.dir.join("ports.json")
    }

    /// The configuration of all virtual clusters, if they have one.
    pub fn values(&self) -> PathBuf {
        self.dir.join("vcluster.yaml")
    }

    /// The host's control plane.
    pub fn host(&self) -> PathBuf {
        self.dir.join("host")
    }

    /// A virtual cluster's control plane.
    pub fn cluster(&self, name: &str) -> PathBuf {
        self.dir.join("clusters").join(name)
    }

    /// Whether any file of a playground is there.
    pub fn has_files(&self) -> bool {
        OWN.iter().any(|name| self.dir.join(name).exists())
    }
}

/// Removes a playground's files, and its directory when nothing else is in it.
///
/// # Errors
/// A file cannot be removed.
pub fn remove(layout: &Layout) -> Result<()> {
    for name in OWN {
        let path = layout.dir.join(name);
        let removed = if path.is_dir() {
            fs::remove_dir_all(&path)
        } else {
            fs::remove_file(&path)
        };
        match removed {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                bail!("cannot remove {}: {error}", path.display())
            }
            _ => {}
        }
    }
    // Fails when somebody keeps other files there, which is their right.
    let _ = fs::remove_dir(&layout.dir);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_own_files_are_removed() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::create(&dir.path().join("p")).unwrap();
        assert!(!layout.has_files());
        fs::create_dir_all(layout.cluster("vc-1")).unwrap();
        fs::write(layout.dir().join("mine.txt"), "x").unwrap();
        assert!(layout.has_files());
        remove(&layout).unwrap();
        assert!(!layout.has_files() && layout.dir().join("mine.txt").exists());
        fs::remove_file(layout.dir().join("mine.txt")).unwrap();
        remove(&layout).unwrap();
        assert!(!layout.dir().exists());
    }
}
