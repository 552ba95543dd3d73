//! What is around a message: the magic number and `runtime.Unknown`, which tells version and kind.

use std::borrow::Cow;

use super::Error;
use super::raw::{Fields, Raw, put_bytes};

/// What every protobuf body begins with.
pub const MAGIC: &[u8; 4] = b"k8s\0";

/// The field that holds the message.
pub(super) const RAW: u32 = 2;

/// An encoded object with its version and kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope<'a> {
    /// Group and version.
    pub api_version: Cow<'a, str>,
    /// The kind.
    pub kind: Cow<'a, str>,
    /// The message.
    pub raw: Cow<'a, [u8]>,
}

impl<'a> Envelope<'a> {
    /// Reads an envelope.
    ///
    /// # Errors
    /// When the bytes do not begin with the magic number or are no `runtime.Unknown`.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Error> {
        let Some(body) = bytes.strip_prefix(MAGIC) else {
            let expected = "provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]";
            return Err(Error::Malformed(expected.to_owned()));
        };
        let mut envelope = Envelope {
            api_version: "".into(),
            kind: "".into(),
            raw: Cow::Borrowed(&[]),
        };
        for field in Fields::new(body) {
            match field? {
                (1, Raw::Bytes(meta)) => {
                    for field in Fields::new(meta) {
                        match field? {
                            (1, Raw::Bytes(text)) => envelope.api_version = String::from_utf8_lossy(text),
                            (2, Raw::Bytes(text)) => envelope.kind = String::from_utf8_lossy(text),
                            _ => {}
                        }
                    }
                }
                (2, Raw::Bytes(raw)) => envelope.raw = Cow::Borrowed(raw),
                _ => {}
            }
        }
        Ok(envelope)
    }

    /// The envelope as it is sent.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = self.opening();
        put_bytes(&mut out, RAW, &self.raw);
        out.append(&mut Self::closing());
        out
    }

    /// What stands before the message.
    pub(super) fn opening(&self) -> Vec<u8> {
        let mut meta = Vec::new();
        put_bytes(&mut meta, 1, self.api_version.as_bytes());
        put_bytes(&mut meta, 2, self.kind.as_bytes());
        let mut out = MAGIC.to_vec();
        put_bytes(&mut out, 1, &meta);
        out
    }

    /// What stands behind it: upstream writes its empty contentEncoding and contentType too.
    pub(super) fn closing() -> Vec<u8> {
        let mut out = Vec::new();
        put_bytes(&mut out, 3, b"");
        put_bytes(&mut out, 4, b"");
        out
    }
}

/// A frame of a watch stream: a WatchEvent without envelope around an object with one, behind its length.
pub fn watch_frame(event: &str, object: &[u8]) -> Vec<u8> {
    let mut raw = Vec::with_capacity(object.len() + 8);
    put_bytes(&mut raw, 1, object);
    let mut message = Vec::with_capacity(raw.len() + event.len() + 16);
    put_bytes(&mut message, 1, event.as_bytes());
    put_bytes(&mut message, 2, &raw);
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX);
    let mut frame = length.to_be_bytes().to_vec();
    frame.append(&mut message);
    frame
}
