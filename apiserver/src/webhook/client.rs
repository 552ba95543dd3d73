//! The clients of all webhooks that are called: one per configuration, with connections that are kept.

use super::connection::{IDLE, Target, bracketed};
use super::credentials::Known;
use super::{CallError, ClientConfig, Credentials, Services, answer, trust};
use bytes::Bytes;
use chassis::{CancellationToken, Tasks};
use http::{HeaderValue, Uri};
use machinery::field::go_quote;
use rustls::pki_types::ServerName;
use serde_json::Value;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// How many webhooks are remembered (upstream `defaultCacheSize`).
const MAX_TARGETS: usize = 200;
/// How long a call may last that has no time of its own.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);
/// How old credentials get that come from files of their own (client-go's `cachingTokenSource`).
const FRESH: Duration = Duration::from_secs(60);
/// How often a webhook may ask for the same again (client-go's `maxRetries`).
const MAX_RETRIES: usize = 10;

/// Calls webhooks. Clones share their connections.
#[derive(Clone)]
pub struct Client(Arc<Shared>);

struct Shared {
    targets: Mutex<HashMap<ClientConfig, Remembered>>,
    credentials: Credentials,
    services: OnceLock<Services>,
    tasks: Tasks,
    /// Told when a connection may have been kept.
    used: Arc<Notify>,
}

/// A webhook that was called.
struct Remembered {
    target: Arc<Target>,
    used: Instant,
    /// When the files with its credentials were read.
    read: Instant,
}

impl Client {
    /// A client that shows these credentials. Its connections are owned by `tasks` and end with them.
    pub fn new(credentials: Credentials, tasks: Tasks) -> Self {
        let shared = Arc::new(Shared {
            targets: Mutex::default(),
            credentials,
            services: OnceLock::new(),
            tasks,
            used: Arc::default(),
        });
        let keeper = keep_connections(Arc::downgrade(&shared), shared.used.clone(), shared.tasks.shutdown());
        shared.tasks.spawn_finite("webhook-connections", keeper);
        Client(shared)
    }

    /// Says where Services are found; before that, only webhooks with a URL can be called.
    pub fn inform(&self, services: Services) {
        // The first who says it is right: there is one catalog.
        let _ = self.0.services.set(services);
    }

    /// Posts `body` and answers the object that the webhook returns. `timeout` bounds everything and is told to the
    /// webhook in whole seconds.
    ///
    /// # Errors
    /// In the words of client-go.
    pub async fn call(
        &self,
        config: &ClientConfig,
        timeout: Option<Duration>,
        body: impl Into<Bytes>,
    ) -> Result<Value, CallError> {
        let shared = &self.0;
        let target = shared.target(config).map_err(CallError::Config)?;
        let path = match timeout {
            Some(timeout) => format!("{}?timeout={}s", target.path, timeout.as_millis().div_ceil(1000).max(1)),
            None => target.path.clone(),
        };
        let failed = |why: &str| {
            let url = go_quote(&format!("{}{path}", target.base));
            CallError::Failed(format!("Post {url}: {why}"))
        };
        let body = body.into();
        let exchange = shared.exchange(&target, &path, &body);
        let answered = match tokio::time::timeout(timeout.unwrap_or(DEFAULT_TIMEOUT), exchange).await {
            Ok(answered) => answered.map_err(|why| failed(&why)),
            Err(_) => Err(failed("context deadline exceeded")),
        };
        shared.used.notify_one();
        let (parts, body) = answered?;
        answer::read(&parts, &body)
    }
}

impl Shared {
    async fn exchange(
        &self,
        target: &Target,
        path: &str,
        body: &Bytes,
    ) -> Result<(http::response::Parts, Bytes), String> {
        let mut retries = 0;
        loop {
            let answered = target.post(path, body, self.services.get(), &self.tasks).await?;
            match answer::asks_for_another(&answered.0) {
                Some(pause) if retries < MAX_RETRIES => {
                    retries += 1;
                    tokio::time::sleep(pause).await;
                }
                _ => return Ok(answered),
            }
        }
    }

    /// The webhook of a configuration.
    fn target(&self, config: &ClientConfig) -> Result<Arc<Target>, String> {
        let mut targets = self.targets.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = targets.get_mut(config) {
            known.used = Instant::now();
            if known.read.elapsed() >= FRESH {
                known.read = Instant::now();
                self.refresh(config, &mut known.target);
            }
            return Ok(known.target.clone());
        }
        let place = Place::of(config)?;
        let shown = self.credentials.of(&place.user())?;
        let target = Arc::new(place.open(config, shown)?);
        if targets.len() >= MAX_TARGETS {
            let oldest = targets.iter().min_by_key(|(_, known)| known.used);
            if let Some(oldest) = oldest.map(|(config, _)| config.clone()) {
                targets.remove(&oldest);
            }
        }
        let now = Instant::now();
        let remembered = Remembered {
            target: target.clone(),
            used: now,
            read: now,
        };
        targets.insert(config.clone(), remembered);
        Ok(target)
    }

    /// Reads the files with the credentials of a webhook again. As long as they cannot be used, what they said last is shown.
    fn refresh(&self, config: &ClientConfig, target: &mut Arc<Target>) {
        let renewed = Place::of(config).and_then(|place| {
            let shown = self.credentials.of(&place.user())?;
            if shown.stamp() == target.shown {
                return Ok(None);
            }
            place.open(config, shown).map(Some)
        });
        match renewed {
            Ok(Some(renewed)) => *target = Arc::new(renewed),
            Ok(None) => {}
            Err(error) => tracing::warn!(
                webhook = target.base,
                error,
                "the credentials of a webhook cannot be read again"
            ),
        }
    }

    /// Closes connections that nobody has used for so long. Answers whether some are left.
    fn close_idle(&self, longer_than: Duration) -> bool {
        let targets = self.targets.lock().unwrap_or_else(PoisonError::into_inner);
        let left = |left, known: &Remembered| known.target.close_idle(longer_than) || left;
        targets.values().fold(false, left)
    }
}

/// Where a webhook is.
struct Place {
    host: String,
    port: u16,
    base: String,
    path: String,
}

impl Place {
    fn of(config: &ClientConfig) -> Result<Self, String> {
        const HTTPS: u16 = 443;
        let (host, port, base, path) = match (&config.service, &config.url) {
            (Some(service), _) => {
                let host = format!("{}.{}.svc", service.name, service.namespace);
                let base = format!("https://{host}:{}", service.port);
                (host, service.port, base, service.path.clone())
            }
            (None, Some(url)) if !url.is_empty() => {
                let uri: Uri = url.parse().map_err(|error| format!("Unparsable URL: {error}"))?;
                let authority = uri.authority().ok_or("Unparsable URL: it has no host")?;
                let host = authority.host().trim_matches(['[', ']']).to_owned();
                let base = format!("{}://{authority}", uri.scheme_str().unwrap_or("https"));
                (host, authority.port_u16().unwrap_or(HTTPS), base, uri.path().to_owned())
            }
            _ => return Err("webhook configuration must have either service or URL".to_owned()),
        };
        Ok(Place { host, port, base, path })
    }

    /// The name that credentials have for it.
    fn user(&self) -> String {
        format!("{}:{}", bracketed(&self.host), self.port)
    }

    fn open(self, config: &ClientConfig, shown: Known) -> Result<Target, String> {
        let Place { host, port, base, path } = self;
        let authority = base.split_once("://").map_or(base.as_str(), |(_, authority)| authority);
        Ok(Target {
            path: if path.starts_with('/') {
                path
            } else {
                format!("/{path}")
            },
            authority: HeaderValue::from_str(authority).map_err(|error| error.to_string())?,
            shown: shown.stamp(),
            credentials: shown.authorization,
            server_name: ServerName::try_from(host.clone()).map_err(|error| format!("{host}: {error}"))?,
            tls: Arc::new(trust::config(
                trust::verifier(&config.ca_bundle)?,
                shown.identity.as_ref(),
            )?),
            service: config.service.clone(),
            base,
            host,
            port,
            idle: Mutex::default(),
        })
    }
}

/// Closes connections that have been idle for too long, and all of them at the end, which would wait for them.
async fn keep_connections(shared: Weak<Shared>, used: Arc<Notify>, shutdown: CancellationToken) {
    let close = |longer_than| shared.upgrade().is_some_and(|shared| shared.close_idle(longer_than));
    let work = async {
        loop {
            used.notified().await;
            while close(IDLE) {
                tokio::time::sleep(IDLE).await;
            }
        }
    };
    tokio::select! {
        () = work => {}
        () = shutdown.cancelled() => {
            close(Duration::ZERO);
        }
    }
}
