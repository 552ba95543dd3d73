//! DNS over TCP (RFC 7766): pipelined queries, answers in the order they are ready, idle connections closed.

use super::Server;
use crate::request::Transport;
use bytes::Bytes;
use chassis::CancellationToken;
use futures::stream::FuturesUnordered;
use futures::{SinkExt, StreamExt};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::codec::{Framed, LengthDelimitedCodec};

const MOST_CONNECTIONS: usize = 256;
/// Queries of one connection at work at once; more are read later.
const MOST_QUERIES: usize = 64;
/// CoreDNS' idle timeout.
const IDLE: Duration = Duration::from_secs(10);
/// How long a client may take to accept an answer.
const WRITE_TIMEOUT: Duration = Duration::from_secs(5);

pub(super) async fn serve(listener: TcpListener, server: Arc<Server>, stop: CancellationToken) {
    let mut connections = FuturesUnordered::new();
    loop {
        tokio::select! {
            accepted = listener.accept(), if connections.len() < MOST_CONNECTIONS => match accepted {
                Ok((stream, peer)) => connections.push(connection(stream, peer, &server, &stop)),
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            },
            Some(()) = connections.next(), if !connections.is_empty() => {}
            () = stop.cancelled() => break,
        }
    }
    // Connections watch for the end themselves and finish the queries they have.
    while connections.next().await.is_some() {}
}

async fn connection(stream: TcpStream, peer: SocketAddr, server: &Server, stop: &CancellationToken) {
    // Answers are small and wait for nothing.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%peer, %error, "cannot set TCP_NODELAY");
    }
    let codec = LengthDelimitedCodec::builder()
        .length_field_length(2)
        .max_frame_length(usize::from(u16::MAX))
        .new_codec();
    let mut frames = Framed::with_capacity(stream, codec, 1024);
    let mut at_work = FuturesUnordered::new();
    let mut reading = true;
    while reading || !at_work.is_empty() {
        tokio::select! {
            frame = frames.next(), if reading && at_work.len() < MOST_QUERIES => match frame {
                Some(Ok(query)) => at_work.push(async move { server.answer(&query, peer, Transport::Tcp).await }),
                Some(Err(error)) => {
                    tracing::debug!(%peer, %error, "connection broke");
                    return;
                }
                None => reading = false,
            },
            Some(answer) = at_work.next(), if !at_work.is_empty() => {
                let Some(answer) = answer else { continue };
                match tokio::time::timeout(WRITE_TIMEOUT, frames.send(Bytes::from(answer))).await {
                    Ok(Ok(())) => {}
                    _ => {
                        tracing::debug!(%peer, "an answer could not be sent");
                        return;
                    }
                }
            }
            () = tokio::time::sleep(IDLE), if at_work.is_empty() => return,
            () = stop.cancelled(), if reading => reading = false,
        }
    }
}
