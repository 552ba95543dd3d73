//! A gRPC client that costs next to nothing, so that what is measured is the server.
//!
//! It knows just enough HTTP/2: requests are bytes made in advance, frames are looked at no closer than necessary, and
//! everything that is ready goes out in one system call. Headers of answers are not decoded: an answer without a message
//! is an error, whatever the trailers say.

use std::{
    collections::{HashMap, VecDeque},
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use prost::Message;

/// A method of etcd's API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Method {
    Put,
    Range,
    Compact,
    Watch,
}

impl Method {
    const fn path(self) -> &'static str {
        match self {
            Self::Put => "/etcdserverpb.KV/Put",
            Self::Range => "/etcdserverpb.KV/Range",
            Self::Compact => "/etcdserverpb.KV/Compact",
            Self::Watch => "/etcdserverpb.Watch/Watch",
        }
    }
}

/// What the server said.
#[derive(Debug)]
pub(crate) enum Event {
    /// A message on a stream.
    Message(u32, Vec<u8>),
    /// The stream ended.
    End(u32),
    /// Nothing came for as long as the caller wanted to wait.
    Silence,
}

/// HTTP/2 (RFC 9113): frame types, flags and settings that matter here.
mod frame {
    pub(super) const HEADER: usize = 9;
    pub(super) const DATA: u8 = 0;
    pub(super) const HEADERS: u8 = 1;
    pub(super) const RST_STREAM: u8 = 3;
    pub(super) const SETTINGS: u8 = 4;
    pub(super) const PING: u8 = 6;
    pub(super) const GOAWAY: u8 = 7;
    pub(super) const WINDOW_UPDATE: u8 = 8;
    /// END_STREAM of DATA and HEADERS, ACK of SETTINGS and PING.
    pub(super) const END_OR_ACK: u8 = 1;
    pub(super) const END_HEADERS: u8 = 4;
    pub(super) const INITIAL_WINDOW_SIZE: u16 = 4;
}

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const DEFAULT_WINDOW: usize = 65_535;
const LARGEST_WINDOW: u32 = (1 << 31) - 1;
/// Bytes received after which the server is told that it may send as many again.
const RENEW_AFTER: usize = 1 << 28;
/// Length and compression flag before each message.
const PREFIX: usize = 5;
const READ_BYTES: usize = 256 << 10;

/// One connection.
#[derive(Debug)]
pub(crate) struct Connection {
    socket: TcpStream,
    method: Method,
    headers: Vec<u8>,
    next_stream: u32,
    /// Frames to send next.
    out: Vec<u8>,
    /// Requests the server's window has no room for yet, with what they take of it.
    held: VecDeque<(Vec<u8>, usize)>,
    window: usize,
    /// Bytes received and not looked at yet: everything from `seen` on.
    input: Vec<u8>,
    seen: usize,
    /// Messages of which a part has arrived.
    partial: HashMap<u32, Vec<u8>>,
    events: VecDeque<Event>,
    received: usize,
}

impl Connection {
    /// Connects to `address` for calls of one method.
    pub(crate) fn open(address: &str, method: Method) -> Result<Self> {
        let socket = TcpStream::connect(address).with_context(|| format!("cannot connect to {address}"))?;
        socket.set_nodelay(true)?;
        let mut out = PREFACE.to_vec();
        push_frame(&mut out, frame::SETTINGS, 0, 0, &{
            let mut settings = frame::INITIAL_WINDOW_SIZE.to_be_bytes().to_vec();
            settings.extend(LARGEST_WINDOW.to_be_bytes());
            settings
        });
        let more = LARGEST_WINDOW - u32::try_from(DEFAULT_WINDOW)?;
        push_frame(&mut out, frame::WINDOW_UPDATE, 0, 0, &more.to_be_bytes());
        Ok(Self {
            socket,
            method,
            headers: first_headers(address, method),
            next_stream: 1,
            out,
            held: VecDeque::new(),
            window: DEFAULT_WINDOW,
            input: Vec::new(),
            seen: 0,
            partial: HashMap::new(),
            events: VecDeque::new(),
            received: 0,
        })
    }

    /// Starts a call with its only request. It is sent when the caller waits for the next event.
    pub(crate) fn call(&mut self, request: &impl Message) -> u32 {
        self.start(request, frame::END_OR_ACK)
    }

    /// Starts a call that further requests may follow.
    pub(crate) fn stream(&mut self, request: &impl Message) -> u32 {
        self.start(request, 0)
    }

    /// Sends a further request on a stream.
    pub(crate) fn send(&mut self, stream: u32, request: &impl Message) {
        let mut bytes = Vec::with_capacity(request.encoded_len() + frame::HEADER + PREFIX);
        let cost = push_message(&mut bytes, stream, 0, request);
        self.queue(bytes, cost);
    }

    fn start(&mut self, request: &impl Message, flags: u8) -> u32 {
        let stream = self.next_stream;
        self.next_stream += 2;
        let mut bytes = Vec::with_capacity(request.encoded_len() + 256);
        push_frame(&mut bytes, frame::HEADERS, frame::END_HEADERS, stream, &self.headers);
        if stream == 1 {
            self.headers = later_headers();
        }
        let cost = push_message(&mut bytes, stream, flags, request);
        self.queue(bytes, cost);
        stream
    }

    fn queue(&mut self, bytes: Vec<u8>, cost: usize) {
        if self.held.is_empty() && cost <= self.window {
            self.window -= cost;
            self.out.extend(bytes);
        } else {
            self.held.push_back((bytes, cost));
        }
    }

    /// The next thing the server says, waiting for it for `patience` at most.
    pub(crate) fn next(&mut self, patience: Duration) -> Result<Event> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Ok(event);
            }
            self.flush()?;
            if !self.receive(patience)? {
                return Ok(Event::Silence);
            }
            self.take_apart()?;
        }
    }

    /// One call from beginning to end; fails when the server refuses it.
    pub(crate) fn unary<R: Message + Default>(&mut self, request: &impl Message, patience: Duration) -> Result<R> {
        let call = self.call(request);
        let mut answer = None;
        loop {
            match self.next(patience)? {
                Event::Message(stream, message) if stream == call => answer = Some(R::decode(message.as_slice())?),
                Event::End(stream) if stream == call => {
                    return answer.with_context(|| format!("{} was refused", self.method.path()));
                }
                Event::Silence => bail!("{} was not answered", self.method.path()),
                Event::Message(..) | Event::End(_) => {}
            }
        }
    }

    fn flush(&mut self) -> Result<()> {
        if !self.out.is_empty() {
            self.socket
                .write_all(&self.out)
                .context("the server does not listen any more")?;
            self.out.clear();
        }
        Ok(())
    }

    /// Reads what has arrived; false when nothing has.
    fn receive(&mut self, patience: Duration) -> Result<bool> {
        self.input.drain(..self.seen);
        self.seen = 0;
        let old = self.input.len();
        self.input.resize(old + READ_BYTES, 0);
        self.socket.set_read_timeout(Some(patience))?;
        let read = match self.socket.read(&mut self.input[old..]) {
            Ok(0) => bail!("the server closed the connection"),
            Ok(read) => read,
            Err(error)
                if matches!(
                    error.kind(),
                    std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut
                ) =>
            {
                0
            }
            Err(error) => return Err(error).context("the connection broke"),
        };
        self.input.truncate(old + read);
        Ok(read > 0)
    }

    fn take_apart(&mut self) -> Result<()> {
        let input = std::mem::take(&mut self.input);
        while let Some(head) = input.get(self.seen..self.seen + frame::HEADER) {
            let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
            let (kind, flags) = (head[3], head[4]);
            let stream = u32::from_be_bytes([head[5] & 0x7f, head[6], head[7], head[8]]);
            let start = self.seen + frame::HEADER;
            let Some(payload) = input.get(start..start + length) else {
                break;
            };
            self.seen = start + length;
            self.handle(kind, flags, stream, payload)?;
        }
        self.input = input;
        Ok(())
    }

    fn handle(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Result<()> {
        let end_or_ack = flags & frame::END_OR_ACK != 0;
        match kind {
            frame::DATA => {
                self.received += payload.len();
                self.renew_window();
                self.collect(stream, payload)?;
                if end_or_ack {
                    self.end(stream);
                }
            }
            frame::HEADERS if end_or_ack => self.end(stream),
            frame::RST_STREAM => self.end(stream),
            frame::SETTINGS if !end_or_ack => push_frame(&mut self.out, frame::SETTINGS, frame::END_OR_ACK, 0, &[]),
            frame::PING if !end_or_ack => push_frame(&mut self.out, frame::PING, frame::END_OR_ACK, 0, payload),
            frame::WINDOW_UPDATE if stream == 0 => {
                let more = u32::from_be_bytes(payload.try_into().context("a window update of a wrong length")?);
                self.window += usize::try_from(more)?;
                self.release();
            }
            frame::GOAWAY => bail!("the server goes away"),
            _ => {}
        }
        Ok(())
    }

    fn end(&mut self, stream: u32) {
        self.partial.remove(&stream);
        self.events.push_back(Event::End(stream));
    }

    fn release(&mut self) {
        while let Some((bytes, cost)) = self.held.pop_front_if(|(_, cost)| *cost <= self.window) {
            self.window -= cost;
            self.out.extend(bytes);
        }
    }

    fn renew_window(&mut self) {
        if self.received >= RENEW_AFTER
            && let Ok(more) = u32::try_from(self.received)
        {
            push_frame(&mut self.out, frame::WINDOW_UPDATE, 0, 0, &more.to_be_bytes());
            self.received = 0;
        }
    }

    /// Puts messages together from the frames they came in.
    fn collect(&mut self, stream: u32, payload: &[u8]) -> Result<()> {
        let mut rest = self.partial.remove(&stream).unwrap_or_default();
        let mut payload = payload;
        if rest.is_empty() {
            while let Some(length) = message_length(payload)? {
                let Some(message) = payload.get(PREFIX..PREFIX + length) else {
                    break;
                };
                self.events.push_back(Event::Message(stream, message.to_vec()));
                payload = &payload[PREFIX + length..];
            }
            rest.extend(payload);
        } else {
            rest.extend(payload);
            while let Some(length) = message_length(&rest)? {
                if rest.len() < PREFIX + length {
                    break;
                }
                let after = rest.split_off(PREFIX + length);
                let message = std::mem::replace(&mut rest, after).split_off(PREFIX);
                self.events.push_back(Event::Message(stream, message));
            }
        }
        if !rest.is_empty() {
            self.partial.insert(stream, rest);
        }
        Ok(())
    }
}

/// The length of the message that `bytes` begin with, once its prefix is there.
fn message_length(bytes: &[u8]) -> Result<Option<usize>> {
    match bytes {
        [compressed, a, b, c, d, ..] => {
            ensure!(*compressed == 0, "the server compresses its answers");
            Ok(Some(usize::try_from(u32::from_be_bytes([*a, *b, *c, *d]))?))
        }
        _ => Ok(None),
    }
}

fn push_frame(out: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    push_frame_head(out, kind, flags, stream, payload.len());
    out.extend(payload);
}

fn push_frame_head(out: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, length: usize) {
    let [.., a, b, c] = length.to_be_bytes();
    out.extend([a, b, c, kind, flags]);
    out.extend(stream.to_be_bytes());
}

/// Adds a message as one DATA frame and returns what it takes of the server's window.
fn push_message(out: &mut Vec<u8>, stream: u32, flags: u8, message: &impl Message) -> usize {
    let length = message.encoded_len();
    push_frame_head(out, frame::DATA, flags, stream, PREFIX + length);
    out.push(0);
    let [.., a, b, c, d] = length.to_be_bytes();
    out.extend([a, b, c, d]);
    message.encode_raw(out);
    PREFIX + length
}

/// HPACK (RFC 7541): the headers of the first request, four of which the server shall remember.
fn first_headers(authority: &str, method: Method) -> Vec<u8> {
    // POST and http are in the static table, as are the names of :path (4), :authority (1) and content-type (31).
    let mut block = vec![0x83, 0x86];
    for (name, value) in [(4, method.path()), (1, authority), (31, "application/grpc")] {
        block.push(0x40 | name);
        push_text(&mut block, value);
    }
    block.push(0x40);
    push_text(&mut block, "te");
    push_text(&mut block, "trailers");
    block
}

/// The same headers once the server remembers them: the newest one has index 62.
fn later_headers() -> Vec<u8> {
    let mut block = vec![0x83, 0x86];
    block.extend((62..=65).rev().map(|index| 0x80 | index));
    block
}

fn push_text(block: &mut Vec<u8>, text: &str) {
    // None of the texts is longer than the 126 bytes that fit into one length byte.
    block.push(u8::try_from(text.len()).unwrap_or(126));
    block.extend(text.as_bytes());
}
