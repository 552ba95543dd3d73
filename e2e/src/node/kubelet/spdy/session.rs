//! One SPDY connection: streams the peer opens, and a driver that moves their frames.

use std::collections::HashMap;
use std::future::Future;
use std::io;

use bytes::Bytes;
use futures::{SinkExt, StreamExt};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio_util::codec::{FramedRead, FramedWrite};
use tokio_util::sync::CancellationToken;

use super::frame::{Frame, FrameDecoder, FrameEncoder};
use super::headers::Headers;

/// Frames that wait for a slow reader on either side before the other one is held back.
const QUEUE: usize = 64;
/// Larger writes are cut so that one stream cannot hold the connection.
const MAX_DATA: usize = 32 * 1024;
const STATUS_INVALID_STREAM: u32 = 2;
const STATUS_CANCEL: u32 = 5;

/// The streams of one connection, in the order the peer opens them.
pub(crate) struct Session {
    incoming: mpsc::Receiver<Stream>,
    frames: mpsc::Sender<Frame>,
    closed: CancellationToken,
}

/// One stream the peer opened.
pub(crate) struct Stream {
    /// The headers of its SYN_STREAM.
    pub(crate) headers: Headers,
    /// What the peer sends; ends when the peer closes its half.
    pub(crate) data: mpsc::Receiver<Bytes>,
    /// Our half.
    pub(crate) writer: StreamWriter,
}

/// The half of a stream that we write.
#[derive(Clone)]
pub(crate) struct StreamWriter {
    stream: u32,
    frames: mpsc::Sender<Frame>,
}

/// Takes over an upgraded connection. The future moves the frames; it ends when the peer goes away or when the session
/// and all its streams were dropped, after what they wrote has been flushed.
pub(crate) fn server<T>(io: T) -> io::Result<(Session, impl Future<Output = io::Result<()>> + Send)>
where
    T: AsyncRead + AsyncWrite + Send + 'static,
{
    let encoder = FrameEncoder::new()?;
    let (read, write) = tokio::io::split(io);
    let (frames, outgoing) = mpsc::channel(QUEUE);
    let (announce, incoming) = mpsc::channel(QUEUE);
    let closed = CancellationToken::new();
    let reader = read_frames(
        FramedRead::new(read, FrameDecoder::new()),
        frames.downgrade(),
        announce,
        closed.clone(),
    );
    let writer = write_frames(FramedWrite::new(write, encoder), outgoing);
    let driver = async move {
        tokio::pin!(reader, writer);
        tokio::select! {
            written = &mut writer => written,
            // The peer is gone: nothing more can be written, but the owners of the streams notice by themselves.
            read = &mut reader => read,
        }
    };
    Ok((
        Session {
            incoming,
            frames,
            closed,
        },
        driver,
    ))
}

impl Session {
    /// The next stream, or `None` when the connection has ended.
    pub(crate) async fn accept(&mut self) -> Option<Stream> {
        self.incoming.recv().await
    }

    /// Cancelled when the peer has gone away.
    pub(crate) fn closed(&self) -> CancellationToken {
        self.closed.clone()
    }

    /// Says that no further streams are wanted.
    pub(crate) async fn go_away(&self) {
        let _ = self
            .frames
            .send(Frame::GoAway {
                last_good_stream: 0,
                status: 0,
            })
            .await;
    }
}

impl StreamWriter {
    /// Sends bytes; false when the connection is gone.
    pub(crate) async fn send(&self, mut data: Bytes) -> bool {
        while !data.is_empty() {
            let part = data.split_to(data.len().min(MAX_DATA));
            if self
                .frames
                .send(Frame::Data {
                    stream: self.stream,
                    fin: false,
                    data: part,
                })
                .await
                .is_err()
            {
                return false;
            }
        }
        true
    }

    /// Closes our half.
    pub(crate) async fn finish(&self) {
        let _ = self
            .frames
            .send(Frame::Data {
                stream: self.stream,
                fin: true,
                data: Bytes::new(),
            })
            .await;
    }

    /// Ends both halves at once.
    pub(crate) async fn reset(&self) {
        let _ = self
            .frames
            .send(Frame::RstStream {
                stream: self.stream,
                status: STATUS_CANCEL,
            })
            .await;
    }
}

async fn write_frames<W: AsyncWrite + Unpin>(
    mut sink: FramedWrite<W, FrameEncoder>,
    mut frames: mpsc::Receiver<Frame>,
) -> io::Result<()> {
    while let Some(frame) = frames.recv().await {
        sink.feed(frame).await?;
        // Flush when the queue is empty: a burst becomes few packets, a single keystroke is not held back.
        if frames.is_empty() {
            SinkExt::<Frame>::flush(&mut sink).await?;
        }
    }
    SinkExt::<Frame>::flush(&mut sink).await?;
    sink.get_mut().shutdown().await
}

async fn read_frames<R: AsyncRead + Unpin>(
    mut source: FramedRead<R, FrameDecoder>,
    frames: mpsc::WeakSender<Frame>,
    announce: mpsc::Sender<Stream>,
    closed: CancellationToken,
) -> io::Result<()> {
    let _closed = closed.drop_guard();
    let mut open: HashMap<u32, mpsc::Sender<Bytes>> = HashMap::new();
    while let Some(frame) = source.next().await {
        let Some(reply) = frames.upgrade() else { return Ok(()) };
        match frame? {
            Frame::SynStream { stream, fin, headers } => {
                if stream == 0 || open.contains_key(&stream) {
                    let _ = reply
                        .send(Frame::RstStream {
                            stream,
                            status: STATUS_INVALID_STREAM,
                        })
                        .await;
                    continue;
                }
                let (sender, data) = mpsc::channel(QUEUE);
                let _ = reply
                    .send(Frame::SynReply {
                        stream,
                        fin: false,
                        headers: Headers::default(),
                    })
                    .await;
                if !fin {
                    open.insert(stream, sender);
                }
                let writer = StreamWriter { stream, frames: reply };
                let _ = announce.send(Stream { headers, data, writer }).await;
            }
            Frame::Data { stream, fin, data } => {
                if let Some(sender) = open.get(&stream)
                    && !data.is_empty()
                {
                    // A reader that has lost interest drops its receiver; what is still under way is discarded.
                    let _ = sender.send(data).await;
                }
                if fin {
                    open.remove(&stream);
                }
            }
            Frame::RstStream { stream, .. } | Frame::Headers { stream, fin: true, .. } => {
                open.remove(&stream);
            }
            Frame::Ping { id } => {
                let _ = reply.send(Frame::Ping { id }).await;
            }
            Frame::Headers { .. }
            | Frame::SynReply { .. }
            | Frame::Settings
            | Frame::GoAway { .. }
            | Frame::WindowUpdate { .. }
            | Frame::Unknown { .. } => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Client<T> {
        source: FramedRead<tokio::io::ReadHalf<T>, FrameDecoder>,
        sink: FramedWrite<tokio::io::WriteHalf<T>, FrameEncoder>,
    }

    impl<T: AsyncRead + AsyncWrite> Client<T> {
        fn new(io: T) -> Self {
            let (read, write) = tokio::io::split(io);
            Self {
                source: FramedRead::new(read, FrameDecoder::new()),
                sink: FramedWrite::new(write, FrameEncoder::new().unwrap()),
            }
        }
        async fn send(&mut self, frame: Frame) {
            self.sink.send(frame).await.unwrap();
        }
        async fn next(&mut self) -> Option<Frame> {
            self.source.next().await.map(Result::unwrap)
        }
    }

    #[tokio::test]
    async fn a_stream_echoes_and_both_sides_end() {
        let (near, far) = tokio::io::duplex(1024);
        let (mut session, driver) = server(far).unwrap();
        let serve = async move {
            let mut stream = session.accept().await.unwrap();
            assert_eq!(stream.headers.get("streamType"), Some("data"));
            while let Some(data) = stream.data.recv().await {
                stream.writer.send(data).await;
            }
            stream.writer.finish().await;
        };
        let client = async move {
            let mut client = Client::new(near);
            let headers: Headers = [("streamtype", "data")].into_iter().collect();
            client
                .send(Frame::SynStream {
                    stream: 1,
                    fin: false,
                    headers,
                })
                .await;
            assert!(matches!(client.next().await, Some(Frame::SynReply { stream: 1, .. })));
            client.send(Frame::Ping { id: 5 }).await;
            assert_eq!(client.next().await, Some(Frame::Ping { id: 5 }));
            client
                .send(Frame::Data {
                    stream: 1,
                    fin: true,
                    data: Bytes::from_static(b"hello"),
                })
                .await;
            let echo = Frame::Data {
                stream: 1,
                fin: false,
                data: Bytes::from_static(b"hello"),
            };
            assert_eq!(client.next().await, Some(echo));
            assert_eq!(
                client.next().await,
                Some(Frame::Data {
                    stream: 1,
                    fin: true,
                    data: Bytes::new()
                })
            );
            assert_eq!(client.next().await, None);
        };
        let (driven, (), ()) = tokio::join!(driver, serve, client);
        driven.unwrap();
    }

    #[tokio::test]
    async fn a_reused_stream_id_is_reset_and_a_vanished_peer_ends_everything() {
        let (near, far) = tokio::io::duplex(1024);
        let (mut session, driver) = server(far).unwrap();
        let closed = session.closed();
        let serve = async move {
            let mut stream = session.accept().await.unwrap();
            assert!(stream.data.recv().await.is_none());
            assert!(session.accept().await.is_none());
        };
        let client = async move {
            let mut client = Client::new(near);
            for _ in 0..2 {
                client
                    .send(Frame::SynStream {
                        stream: 1,
                        fin: false,
                        headers: Headers::default(),
                    })
                    .await;
            }
            assert!(matches!(client.next().await, Some(Frame::SynReply { .. })));
            assert_eq!(
                client.next().await,
                Some(Frame::RstStream {
                    stream: 1,
                    status: STATUS_INVALID_STREAM
                })
            );
        };
        let (driven, (), ()) = tokio::join!(driver, serve, client);
        driven.unwrap();
        assert!(closed.is_cancelled());
    }
}
