//! WebSocket connections: numbered channels inside binary messages, or a plain byte stream (for tunnelled SPDY).

use std::future::Future;

use bytes::{BufMut, Bytes, BytesMut};
use futures::{SinkExt, StreamExt};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream};
use tokio::sync::mpsc;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role};

const QUEUE: usize = 64;
const BUFFER: usize = 32 * 1024;

/// One message on a numbered channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Packet {
    pub(super) channel: u8,
    pub(super) data: Bytes,
}

/// A connection as two queues of packets; it is closed once the sender and its clones are dropped.
pub(super) struct Channels {
    pub(super) incoming: mpsc::Receiver<Packet>,
    pub(super) outgoing: mpsc::Sender<Packet>,
}

/// Splits a connection into channels; the future moves the messages.
pub(super) fn channels<T>(io: T) -> (Channels, impl Future<Output = ()> + Send)
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (deliver, incoming) = mpsc::channel(QUEUE);
    let (outgoing, mut queue) = mpsc::channel::<Packet>(QUEUE);
    let driver = async move {
        let mut socket = WebSocketStream::from_raw_socket(io, Role::Server, None).await;
        let mut deliver = Some(deliver);
        loop {
            tokio::select! {
                message = socket.next() => match message {
                    Some(Ok(Message::Binary(data))) => {
                        let Some((channel, _)) = data.split_first() else { continue };
                        let packet = Packet { channel: *channel, data: data.slice(1..) };
                        if let Some(queue) = &deliver && queue.send(packet).await.is_err() {
                            deliver = None;
                        }
                    }
                    // Text would be the base64 variant, which nobody has negotiated; pings are answered by the library.
                    Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                    Some(Ok(_)) => {}
                },
                packet = queue.recv() => match packet {
                    Some(Packet { channel, data }) => {
                        let mut message = BytesMut::with_capacity(1 + data.len());
                        message.put_u8(channel);
                        message.put(data);
                        if socket.send(Message::Binary(message.freeze())).await.is_err() {
                            return;
                        }
                    }
                    None => {
                        let _ = socket.close(Some(normal_end())).await;
                        return;
                    }
                },
            }
        }
    };
    (Channels { incoming, outgoing }, driver)
}

/// Clients take an end without a status for a broken connection (client-go's `readDemuxLoop`).
fn normal_end() -> CloseFrame {
    CloseFrame {
        code: CloseCode::Normal,
        reason: "".into(),
    }
}

/// Makes a byte stream of a connection whose binary messages carry nothing but bytes; the future moves them.
pub(super) fn byte_stream<T>(io: T) -> (DuplexStream, impl Future<Output = ()> + Send)
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (near, far) = tokio::io::duplex(BUFFER);
    let driver = async move {
        let mut socket = WebSocketStream::from_raw_socket(io, Role::Server, None).await;
        let (mut read, mut write) = tokio::io::split(near);
        let mut buffer = BytesMut::with_capacity(BUFFER);
        loop {
            tokio::select! {
                message = socket.next() => match message {
                    Some(Ok(Message::Binary(data))) => if write.write_all(&data).await.is_err() { return },
                    Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                    Some(Ok(_)) => {}
                },
                count = read.read_buf(&mut buffer) => match count {
                    Ok(0) | Err(_) => {
                        let _ = socket.close(Some(normal_end())).await;
                        return;
                    }
                    Ok(_) => if socket.send(Message::Binary(buffer.split().freeze())).await.is_err() { return },
                },
            }
        }
    };
    (far, driver)
}
