//! `port-forward`: pairs of data and error streams per connection (k8s.io/kubelet/pkg/cri/streaming/portforward).

use std::collections::HashMap;
use std::future::Future;
use std::io;

use bytes::{BufMut, Bytes, BytesMut};
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream};
use tokio::sync::mpsc;
use tracing::debug;

use super::route::Query;
use super::spdy::{self, Session, Stream};
use super::upgrade::Upgrade;
use super::websocket::{self, Packet};

/// The SPDY subprotocol, and its tunnelled form in WebSocket messages.
pub(super) const SPDY_PROTOCOLS: &[&str] = &["portforward.k8s.io"];
const TUNNEL: &str = "SPDY/3.1+portforward.k8s.io";
pub(super) const WEBSOCKET_PROTOCOLS: &[&str] = &[TUNNEL, "v4.channel.k8s.io"];

const BUFFER: usize = 32 * 1024;

/// Opens a connection to a port of the pod, or says why that is impossible.
pub(super) trait Dial {
    /// The pod's end is served by the returned future.
    fn dial(&self, port: u16, io: DuplexStream) -> Result<impl Future<Output = ()> + Send, String>;
}

/// Serves all forwards of one upgraded connection.
pub(super) async fn serve<T, D>(io: T, upgrade: &Upgrade, query: &Query, pod: &D)
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    D: Dial,
{
    let served = match upgrade {
        Upgrade::Spdy { .. } => over_spdy(io, pod).await,
        Upgrade::WebSocket { protocol, .. } if protocol == TUNNEL => {
            let (stream, driver) = websocket::byte_stream(io);
            tokio::join!(over_spdy(stream, pod), driver).0
        }
        Upgrade::WebSocket { .. } => {
            let ports = query
                .all("port")
                .iter()
                .flat_map(|ports| ports.split(','))
                .filter_map(|port| port.parse().ok());
            over_websocket(io, ports.collect(), pod).await;
            Ok(())
        }
    };
    if let Err(error) = served {
        debug!(%error, "a port-forward connection broke");
    }
}

async fn over_spdy<T, D>(io: T, pod: &D) -> io::Result<()>
where
    T: AsyncRead + AsyncWrite + Send + 'static,
    D: Dial,
{
    let (session, driver) = spdy::server(io)?;
    let (driven, ()) = tokio::join!(driver, pairs(session, pod));
    driven
}

/// Matches error and data streams by their `requestID` and serves every pair.
async fn pairs<D: Dial>(mut session: Session, pod: &D) {
    let mut half: HashMap<String, Stream> = HashMap::new();
    let mut forwards = FuturesUnordered::new();
    loop {
        tokio::select! {
            stream = session.accept() => {
                let Some(stream) = stream else { break };
                let id = stream.headers.get("requestID").or(stream.headers.get("port")).unwrap_or_default().to_string();
                let Some(other) = half.remove(&id) else {
                    half.insert(id, stream);
                    continue;
                };
                let (data, error) = match stream.headers.get("streamType") {
                    Some("error") => (other, stream),
                    _ => (stream, other),
                };
                forwards.push(forward(data, error, pod));
            }
            Some(()) = forwards.next(), if !forwards.is_empty() => {}
        }
    }
}

async fn forward<D: Dial>(data: Stream, error: Stream, pod: &D) {
    let port = data.headers.get("port").and_then(|port| port.parse::<u16>().ok());
    let (near, far) = tokio::io::duplex(BUFFER);
    let dialled = port
        .ok_or_else(|| "the port header is not a port number".to_string())
        .and_then(|port| pod.dial(port, far));
    match dialled {
        Ok(serving) => {
            let Stream {
                data: mut incoming,
                writer,
                ..
            } = data;
            let (mut read, mut write) = tokio::io::split(near);
            let upwards = async move {
                while let Some(bytes) = incoming.recv().await {
                    if write.write_all(&bytes).await.is_err() {
                        return;
                    }
                }
                let _ = write.shutdown().await;
                // The pod may still have something to say.
                std::future::pending::<()>().await;
            };
            let downwards = async {
                let mut buffer = BytesMut::with_capacity(BUFFER);
                while let Ok(1..) = read.read_buf(&mut buffer).await {
                    if !writer.send(buffer.split().freeze()).await {
                        return;
                    }
                }
                writer.finish().await;
            };
            // Once the pod is done so is the connection: clients wait for that before they close their end.
            tokio::select! {
                () = upwards => {}
                ((), ()) = async { tokio::join!(downwards, serving) } => {}
            }
        }
        Err(why) => {
            error.writer.send(why.into()).await;
            data.writer.finish().await;
        }
    }
    error.writer.finish().await;
}

/// The WebSocket form: two channels per port of the query, data and error, that start with the port as two bytes.
async fn over_websocket<T, D>(io: T, ports: Vec<u16>, pod: &D)
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    D: Dial,
{
    let (mut channels, driver) = websocket::channels(io);
    let forwarding = async move {
        let mut senders = Vec::new();
        let mut forwards = FuturesUnordered::new();
        for (index, port) in ports.iter().enumerate().take(127) {
            let data_channel = index as u8 * 2;
            for channel in [data_channel, data_channel + 1] {
                let data = Bytes::copy_from_slice(&port.to_le_bytes());
                if channels.outgoing.send(Packet { channel, data }).await.is_err() {
                    return;
                }
            }
            let (sender, incoming) = mpsc::channel(64);
            senders.push(sender);
            forwards.push(forward_channel(
                data_channel,
                *port,
                incoming,
                channels.outgoing.clone(),
                pod,
            ));
        }
        drop(channels.outgoing);
        let route = async move {
            while let Some(Packet { channel, data }) = channels.incoming.recv().await {
                // Clients write to data channels only.
                if let (0, Some(sender)) = (channel % 2, senders.get(usize::from(channel / 2))) {
                    let _ = sender.send(data).await;
                }
            }
        };
        tokio::select! {
            () = route => {}
            () = async { while forwards.next().await.is_some() {} } => {}
        }
    };
    tokio::join!(driver, forwarding);
}

async fn forward_channel<D: Dial>(
    channel: u8,
    port: u16,
    mut incoming: mpsc::Receiver<Bytes>,
    outgoing: mpsc::Sender<Packet>,
    pod: &D,
) {
    let (near, far) = tokio::io::duplex(BUFFER);
    let serving = match pod.dial(port, far) {
        Ok(serving) => serving,
        Err(why) => {
            let mut data = BytesMut::new();
            data.put_slice(why.as_bytes());
            let _ = outgoing
                .send(Packet {
                    channel: channel + 1,
                    data: data.freeze(),
                })
                .await;
            return;
        }
    };
    let (mut read, mut write) = tokio::io::split(near);
    let upwards = async move {
        while let Some(bytes) = incoming.recv().await {
            if write.write_all(&bytes).await.is_err() {
                return;
            }
        }
    };
    let downwards = async move {
        let mut buffer = BytesMut::with_capacity(BUFFER);
        while let Ok(1..) = read.read_buf(&mut buffer).await {
            if outgoing
                .send(Packet {
                    channel,
                    data: buffer.split().freeze(),
                })
                .await
                .is_err()
            {
                return;
            }
        }
    };
    tokio::select! {
        () = downwards => {}
        () = async { tokio::join!(upwards, serving); } => {}
    }
}
