//! DNS over UDP: one socket, one task, a bounded number of queries at work.

use super::Server;
use crate::request::Transport;
use chassis::CancellationToken;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::UdpSocket;

/// Queries at work at once; more wait in the socket's buffer, and are dropped there when it is full.
const MOST_QUERIES: usize = 1024;
/// Larger than any query over UDP should be; longer ones are cut and then malformed.
const LARGEST_QUERY: usize = 4096;
/// How long queries at work may take after the end of service.
const GRACE: Duration = Duration::from_secs(2);

pub(super) async fn serve(socket: UdpSocket, server: Arc<Server>, stop: CancellationToken) {
    let mut buffer = vec![0; LARGEST_QUERY];
    let mut at_work = FuturesUnordered::new();
    loop {
        tokio::select! {
            received = socket.recv_from(&mut buffer), if at_work.len() < MOST_QUERIES => match received {
                Ok((length, peer)) => {
                    let query = buffer[..length].to_vec();
                    let (server, socket) = (&server, &socket);
                    at_work.push(async move {
                        if let Some(answer) = server.answer(&query, peer, Transport::Udp).await
                            && let Err(error) = socket.send_to(&answer, peer).await
                        {
                            tracing::debug!(%peer, %error, "an answer could not be sent");
                        }
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot receive queries over UDP");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            },
            Some(()) = at_work.next(), if !at_work.is_empty() => {}
            () = stop.cancelled() => break,
        }
    }
    let rest = async { while at_work.next().await.is_some() {} };
    if tokio::time::timeout(GRACE, rest).await.is_err() {
        tracing::debug!("queries were left unanswered at the end");
    }
}
