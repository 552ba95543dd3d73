//! Loopback ports, chosen once per name and remembered, so that a restarted process keeps its address.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result, bail};

/// Below Linux' range for outgoing connections: none of those can take the port while its process restarts.
const RANGE: std::ops::Range<u16> = 20_000..32_000;

/// Ports that this process has chosen: playgrounds in it that start at the same time do not choose the same.
static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());

/// The ports of one playground.
#[derive(Debug)]
pub struct Ports {
    file: PathBuf,
    by_name: BTreeMap<String, u16>,
}

impl Ports {
    /// Opens the file that remembers them.
    ///
    /// # Errors
    /// The file exists and is not a map from names to ports.
    pub fn open(file: &Path) -> Result<Self> {
        let by_name = match fs::read_to_string(file) {
            Ok(text) => {
                serde_json::from_str(&text).with_context(|| format!("{} is not a list of ports", file.display()))?
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => BTreeMap::new(),
            Err(error) => return Err(error).with_context(|| format!("cannot read {}", file.display())),
        };
        Ok(Self {
            file: file.to_path_buf(),
            by_name,
        })
    }

    /// The port of `name`, free for TCP and UDP when it was chosen.
    ///
    /// # Errors
    /// No port is free, or the file cannot be written.
    pub fn get(&mut self, name: &str) -> Result<u16> {
        if let Some(port) = self.by_name.get(name) {
            return Ok(*port);
        }
        let mut given = GIVEN.lock().unwrap_or_else(PoisonError::into_inner);
        let taken: BTreeSet<u16> = self.by_name.values().copied().collect();
        // Playgrounds that start at the same time begin their search at different places.
        let span = u32::from(RANGE.end - RANGE.start);
        let start = std::process::id().wrapping_mul(7919) % span;
        let candidates = (0..span).map(|step| RANGE.start + ((start + step) % span) as u16);
        let free = |port: &u16| {
            !taken.contains(port)
                && !given.contains(port)
                && TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok()
                && UdpSocket::bind((Ipv4Addr::LOCALHOST, *port)).is_ok()
        };
        let Some(port) = candidates.into_iter().find(free) else {
            bail!("no port between {} and {} is free on 127.0.0.1", RANGE.start, RANGE.end);
        };
        given.insert(port);
        self.by_name.insert(name.to_string(), port);
        let text = serde_json::to_string_pretty(&self.by_name).context("cannot write the list of ports")?;
        pki::write_secret(&self.file, &text)?;
        Ok(port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_distinct_remembered_and_free() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("ports.json");
        let mut ports = Ports::open(&file).unwrap();
        let (a, b) = (ports.get("a").unwrap(), ports.get("b").unwrap());
        assert!(a != b && RANGE.contains(&a));
        let _held = TcpListener::bind((Ipv4Addr::LOCALHOST, a)).unwrap();
        assert_eq!(Ports::open(&file).unwrap().get("a").unwrap(), a);
        let other = dir.path().join("other.json");
        assert_ne!(Ports::open(&other).unwrap().get("x").unwrap(), a);
        fs::write(&file, "[]").unwrap();
        assert!(Ports::open(&file).unwrap_err().to_string().contains("ports.json"));
    }
}
