//! SPDY/3.1 frames on the wire, as a tokio codec.

use std::io;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use tokio_util::codec::{Decoder, Encoder};

use super::headers::{HeaderReader, HeaderWriter, Headers, invalid};

const VERSION: u16 = 3;
const FLAG_FIN: u8 = 1;
/// Frames may carry 16 MiB; nobody on this path sends more than a few KiB, so a larger one is refused.
const MAX_FRAME: usize = 1 << 20;

const SYN_STREAM: u16 = 1;
const SYN_REPLY: u16 = 2;
const RST_STREAM: u16 = 3;
const SETTINGS: u16 = 4;
const PING: u16 = 6;
const GOAWAY: u16 = 7;
const HEADERS: u16 = 8;
const WINDOW_UPDATE: u16 = 9;

/// One frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Frame {
    SynStream {
        stream: u32,
        fin: bool,
        headers: Headers,
    },
    SynReply {
        stream: u32,
        fin: bool,
        headers: Headers,
    },
    RstStream {
        stream: u32,
        status: u32,
    },
    Settings,
    Ping {
        id: u32,
    },
    GoAway {
        last_good_stream: u32,
        status: u32,
    },
    Headers {
        stream: u32,
        fin: bool,
        headers: Headers,
    },
    WindowUpdate {
        stream: u32,
        delta: u32,
    },
    Data {
        stream: u32,
        fin: bool,
        data: Bytes,
    },
    /// A control frame of a type this version does not define; the draft says to ignore it.
    Unknown {
        kind: u16,
    },
}

/// Reads frames.
pub(crate) struct FrameDecoder(HeaderReader);

impl FrameDecoder {
    pub(crate) fn new() -> Self {
        Self(HeaderReader::new())
    }

    fn control(&mut self, kind: u16, flags: u8, mut body: &[u8]) -> io::Result<Frame> {
        let fin = flags & FLAG_FIN != 0;
        Ok(match kind {
            SYN_STREAM => {
                let stream = take_id(&mut body)?;
                // The associated stream, the priority and the credential slot mean nothing to us.
                let block = body.get(6..).ok_or_else(cut_short)?;
                Frame::SynStream {
                    stream,
                    fin,
                    headers: self.0.read(block)?,
                }
            }
            SYN_REPLY => Frame::SynReply {
                stream: take_id(&mut body)?,
                fin,
                headers: self.0.read(body)?,
            },
            RST_STREAM => Frame::RstStream {
                stream: take_id(&mut body)?,
                status: take_u32(&mut body)?,
            },
            SETTINGS => Frame::Settings,
            PING => Frame::Ping {
                id: take_u32(&mut body)?,
            },
            GOAWAY => Frame::GoAway {
                last_good_stream: take_id(&mut body)?,
                status: take_u32(&mut body)?,
            },
            HEADERS => Frame::Headers {
                stream: take_id(&mut body)?,
                fin,
                headers: self.0.read(body)?,
            },
            WINDOW_UPDATE => Frame::WindowUpdate {
                stream: take_id(&mut body)?,
                delta: take_id(&mut body)?,
            },
            kind => Frame::Unknown { kind },
        })
    }
}

impl Decoder for FrameDecoder {
    type Item = Frame;
    type Error = io::Error;

    fn decode(&mut self, source: &mut BytesMut) -> io::Result<Option<Frame>> {
        let Some(head) = source.first_chunk::<8>() else {
            return Ok(None);
        };
        let word = u32::from_be_bytes([head[0], head[1], head[2], head[3]]);
        let flags = head[4];
        let length = u32::from_be_bytes([0, head[5], head[6], head[7]]) as usize;
        if length > MAX_FRAME {
            return Err(invalid("a SPDY frame is longer than 1 MiB"));
        }
        if source.len() < 8 + length {
            source.reserve(8 + length - source.len());
            return Ok(None);
        }
        source.advance(8);
        let body = source.split_to(length).freeze();
        if word & 0x8000_0000 == 0 {
            return Ok(Some(Frame::Data {
                stream: word,
                fin: flags & FLAG_FIN != 0,
                data: body,
            }));
        }
        let (version, kind) = ((word >> 16) as u16 & 0x7fff, word as u16);
        if version != VERSION {
            return Err(invalid("the peer speaks another version of SPDY than 3"));
        }
        self.control(kind, flags, &body).map(Some)
    }
}

/// Writes frames.
pub(crate) struct FrameEncoder(HeaderWriter);

impl FrameEncoder {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self(HeaderWriter::new()?))
    }
}

impl Encoder<Frame> for FrameEncoder {
    type Error = io::Error;

    fn encode(&mut self, frame: Frame, target: &mut BytesMut) -> io::Result<()> {
        let mut body = BytesMut::new();
        let (kind, fin) = match frame {
            Frame::Data { stream, fin, data } => {
                target.put_u32(stream & 0x7fff_ffff);
                target.put_u32((u32::from(fin) << 24) | data.len() as u32);
                target.put_slice(&data);
                return Ok(());
            }
            Frame::SynStream { stream, fin, headers } => {
                body.put_u32(stream);
                body.put_bytes(0, 6);
                body.put_slice(&self.0.write(&headers)?);
                (SYN_STREAM, fin)
            }
            Frame::SynReply { stream, fin, headers } => {
                body.put_u32(stream);
                body.put_slice(&self.0.write(&headers)?);
                (SYN_REPLY, fin)
            }
            Frame::Headers { stream, fin, headers } => {
                body.put_u32(stream);
                body.put_slice(&self.0.write(&headers)?);
                (HEADERS, fin)
            }
            Frame::RstStream { stream, status } => {
                body.put_u32(stream);
                body.put_u32(status);
                (RST_STREAM, false)
            }
            Frame::Settings => {
                body.put_u32(0);
                (SETTINGS, false)
            }
            Frame::Ping { id } => {
                body.put_u32(id);
                (PING, false)
            }
            Frame::GoAway {
                last_good_stream,
                status,
            } => {
                body.put_u32(last_good_stream);
                body.put_u32(status);
                (GOAWAY, false)
            }
            Frame::WindowUpdate { stream, delta } => {
                body.put_u32(stream);
                body.put_u32(delta);
                (WINDOW_UPDATE, false)
            }
            Frame::Unknown { kind } => (kind, false),
        };
        target.put_u16(0x8000 | VERSION);
        target.put_u16(kind);
        target.put_u32((u32::from(fin) << 24) | body.len() as u32);
        target.put_slice(&body);
        Ok(())
    }
}

fn take_u32(body: &mut &[u8]) -> io::Result<u32> {
    body.try_get_u32().map_err(|_| cut_short())
}

/// A stream id or window delta: the top bit is reserved.
fn take_id(body: &mut &[u8]) -> io::Result<u32> {
    take_u32(body).map(|value| value & 0x7fff_ffff)
}

fn cut_short() -> io::Error {
    invalid("a SPDY control frame is cut short")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_frame_survives_the_wire() {
        let headers: Headers = [("streamtype", "error")].into_iter().collect();
        let frames = [
            Frame::SynStream {
                stream: 1,
                fin: false,
                headers: headers.clone(),
            },
            Frame::SynReply {
                stream: 1,
                fin: true,
                headers: headers.clone(),
            },
            Frame::Headers {
                stream: 3,
                fin: false,
                headers,
            },
            Frame::RstStream { stream: 5, status: 5 },
            Frame::Settings,
            Frame::Ping { id: 7 },
            Frame::GoAway {
                last_good_stream: 9,
                status: 0,
            },
            Frame::WindowUpdate {
                stream: 9,
                delta: 65536,
            },
            Frame::Data {
                stream: 9,
                fin: true,
                data: Bytes::from_static(b"bye"),
            },
            Frame::Unknown { kind: 10 },
        ];
        let (mut encoder, mut decoder) = (FrameEncoder::new().unwrap(), FrameDecoder::new());
        let mut wire = BytesMut::new();
        frames
            .iter()
            .for_each(|frame| encoder.encode(frame.clone(), &mut wire).unwrap());
        // One byte at a time: a frame is complete exactly when its last byte has come.
        let mut seen = Vec::new();
        let mut buffer = BytesMut::new();
        for byte in wire {
            buffer.put_u8(byte);
            seen.extend(decoder.decode(&mut buffer).unwrap());
        }
        assert_eq!(seen, frames);
    }

    #[test]
    fn foreign_bytes_are_refused() {
        let mut http = BytesMut::from(&b"\x80\x02\x00\x01\x00\x00\x00\x00"[..]);
        assert!(FrameDecoder::new().decode(&mut http).is_err());
        let mut huge = BytesMut::from(&b"\x00\x00\x00\x01\x00\xff\xff\xff"[..]);
        assert!(FrameDecoder::new().decode(&mut huge).is_err());
        let mut short = BytesMut::from(&b"\x80\x03\x00\x06\x00\x00\x00\x00"[..]);
        assert!(FrameDecoder::new().decode(&mut short).is_err());
    }
}
