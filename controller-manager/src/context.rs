//! What every controller gets: the client, the shared informers, the event recorder and the settings.

use std::sync::Arc;

use client::Recorder;
use futures::future::BoxFuture;
use kube::Client;

use crate::informers::Informers;
use crate::metrics::Metrics;
use crate::options::Settings;

pub(crate) struct Context {
    pub(crate) client: Client,
    pub(crate) informers: Arc<Informers>,
    pub(crate) recorder: Recorder,
    pub(crate) settings: Settings,
    pub(crate) metrics: Metrics,
}

/// The work of one controller; it never ends.
pub(crate) type Task = BoxFuture<'static, ()>;
