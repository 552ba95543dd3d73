//! Follows the record stream: a snapshot goes into a new index that replaces the old one when it is complete; what comes
//! after it changes the index in place. A broken stream is opened again with growing pauses, and the last good state
//! goes on answering.

use super::{Index, Store};
use crate::metrics::Metrics;
use anyhow::{Context, Result, bail};
use chassis::{CancellationToken, Gate};
use proto::vcluster::dns::v1 as wire;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tonic::transport::Channel;
use wire::records_client::RecordsClient;
use wire::watch_response::Event;

const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// Follows the stream until `shutdown`. `gate` opens with the first complete state.
pub(crate) async fn follow(
    store: Arc<Store>,
    channel: Channel,
    metrics: Metrics,
    gate: Gate,
    shutdown: CancellationToken,
) {
    let mut client = RecordsClient::new(channel);
    let mut pause = FIRST_PAUSE;
    loop {
        let mut synced = false;
        let result = tokio::select! {
            result = one_stream(&store, &mut client, &metrics, &gate, &mut synced) => result,
            () = shutdown.cancelled() => return,
        };
        let Err(error) = result else { continue };
        if synced {
            pause = FIRST_PAUSE;
        }
        metrics.stream_restarts.inc();
        let error = format!("{error:#}");
        if store.is_synced() {
            tracing::warn!(
                error,
                retry_in_ms = pause.as_millis() as u64,
                "answering from the last known records"
            );
        } else {
            gate.not_ready(error);
        }
        tokio::select! {
            () = tokio::time::sleep(pause) => pause = (pause * 2).min(LONGEST_PAUSE),
            () = shutdown.cancelled() => return,
        }
    }
}

/// Follows one stream to its end. Ends without an error when another kind of stream is wanted.
async fn one_stream(
    store: &Store,
    client: &mut RecordsClient<Channel>,
    metrics: &Metrics,
    gate: &Gate,
    synced: &mut bool,
) -> Result<()> {
    let mut wanted = store.include_pods.subscribe();
    let include_pods = *wanted.borrow_and_update();
    let request = wire::WatchRequest { include_pods };
    let response = client
        .watch(request)
        .await
        .context("the record stream cannot be opened")?;
    let mut events = response.into_inner();
    let mut snapshot = Some(Index::default());
    loop {
        let message = tokio::select! {
            message = events.message() => message.context("the record stream broke")?,
            changed = wanted.changed() => {
                changed.context("the records are gone")?;
                return Ok(());
            }
        };
        let Some(wire::WatchResponse { event }) = message else {
            bail!("the record stream ended")
        };
        // A kind of event this version does not know.
        let Some(event) = event else { continue };
        match (&mut snapshot, event) {
            (Some(_), Event::Synced(_)) => {
                let mut index = snapshot.take().unwrap_or_default();
                index.shrink();
                tracing::info!(records = index.len(), "all records are known");
                store.replace(index);
                *synced = true;
                gate.ready();
            }
            (Some(index), event) => index.apply(event, now()),
            (None, event) => store.update(|index| index.apply(event, now())),
        }
        if *synced {
            metrics.records.set(store.read().len() as i64);
        }
    }
}

/// Seconds since the epoch.
fn now() -> u32 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |elapsed| elapsed.as_secs() as u32)
}
