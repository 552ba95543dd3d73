//! One API server on its store and nothing else: what it repairs by itself, how its streams are spoken, and what it needs.
#![allow(clippy::unwrap_used)]

mod connection;
mod digest;
mod hook;
mod kwok;
mod memory;
mod repair;
mod upgrades;
mod watches;
mod webhooks;

use std::time::Duration;

use anyhow::{Context, Result};
use e2e::standalone::{Server, ServerKind, Site, Store, StoreKind};
use e2e::suite::binary;

use connection::Dialer;

/// How often something that must become true is looked at, and how long between two looks.
const LOOKS: usize = 600;
const PAUSE: Duration = Duration::from_millis(50);

/// A store and a server on it.
struct Running {
    site: Site,
    store: Store,
    server: Server,
}

impl Running {
    async fn start(flags: &[&str]) -> Result<Self> {
        chassis::tls::install_provider();
        let mut site = Site::new()?;
        let store = site.store("store", &kine_shim()?).await?;
        let server = serve(&mut site, &store, flags).await?;
        Ok(Self { site, store, server })
    }

    fn dialer(&self) -> Result<Dialer> {
        let (certificate, key) = self.site.administrator();
        Dialer::new(self.server.port, &self.site.path("pki/ca.crt"), &certificate, &key)
    }

    async fn stop(self) -> Result<()> {
        self.server.program.stop().await?;
        self.store.program.stop().await
    }
}

fn kine_shim() -> Result<StoreKind> {
    Ok(StoreKind::KineShim(binary("kine-shim")?))
}

/// Starts the server, under the address it had before if it ran before.
async fn serve(site: &mut Site, store: &Store, flags: &[&str]) -> Result<Server> {
    let ours = ServerKind::Ours(binary("apiserver")?);
    let flags: Vec<String> = flags.iter().map(ToString::to_string).collect();
    site.server("apiserver", &ours, store, &flags).await
}

/// Waits until `look` is content.
async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Result<T>) -> Result<T> {
    let mut seen = look().await;
    for _ in 0..LOOKS {
        if seen.is_ok() {
            break;
        }
        tokio::time::sleep(PAUSE).await;
        seen = look().await;
    }
    seen.with_context(|| format!("not true in time: {what}"))
}
