//! SPDY/3 header blocks: length-prefixed names and values inside one zlib stream per direction.

use std::io;

use bytes::{Buf, BufMut};
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

use super::dictionary::DICTIONARY;

/// More than this in one block is an attack, not a header.
const MAX_BLOCK: usize = 64 * 1024;

/// Header names (lower case) and values in the order they were sent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Headers(Vec<(String, String)>);

impl Headers {
    /// The first value under `name`, compared without regard to case.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }
}

impl<N: Into<String>, V: Into<String>> FromIterator<(N, V)> for Headers {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(pairs: I) -> Self {
        Self(
            pairs
                .into_iter()
                .map(|(name, value)| (name.into().to_ascii_lowercase(), value.into()))
                .collect(),
        )
    }
}

/// Reads header blocks; one per connection and direction because the zlib stream never restarts.
pub(super) struct HeaderReader(Decompress);

impl HeaderReader {
    pub(super) fn new() -> Self {
        Self(Decompress::new(true))
    }

    pub(super) fn read(&mut self, block: &[u8]) -> io::Result<Headers> {
        parse(&self.inflate(block)?)
    }

    fn inflate(&mut self, block: &[u8]) -> io::Result<Vec<u8>> {
        let (mut plain, mut chunk, mut rest) = (Vec::new(), [0u8; 4096], block);
        loop {
            let (read, written) = (self.0.total_in(), self.0.total_out());
            let outcome = self.0.decompress(rest, &mut chunk, FlushDecompress::Sync);
            rest = &rest[((self.0.total_in() - read) as usize).min(rest.len())..];
            let produced = (self.0.total_out() - written) as usize;
            plain.extend_from_slice(&chunk[..produced]);
            if plain.len() > MAX_BLOCK {
                return Err(invalid("a SPDY header block is longer than 64 KiB"));
            }
            match outcome {
                Err(error) if error.needs_dictionary().is_some() => {
                    self.0
                        .set_dictionary(&DICTIONARY)
                        .map_err(|_| invalid("the SPDY header dictionary does not match"))?;
                }
                Err(_) => return Err(invalid("a SPDY header block is not a zlib stream")),
                Ok(Status::StreamEnd) => return Err(invalid("the SPDY header stream ended early")),
                // A full chunk may hide more output; otherwise everything sent has come out.
                Ok(_) if rest.is_empty() && produced < chunk.len() => return Ok(plain),
                Ok(_) if produced == 0 && self.0.total_in() == read => {
                    return Err(invalid("a SPDY header block is not a zlib stream"));
                }
                Ok(_) => {}
            }
        }
    }
}

/// Writes header blocks.
pub(super) struct HeaderWriter(Compress);

impl HeaderWriter {
    pub(super) fn new() -> io::Result<Self> {
        let mut compress = Compress::new(Compression::default(), true);
        compress
            .set_dictionary(&DICTIONARY)
            .map_err(|_| invalid("zlib refuses the SPDY header dictionary"))?;
        Ok(Self(compress))
    }

    pub(super) fn write(&mut self, headers: &Headers) -> io::Result<Vec<u8>> {
        let mut plain = Vec::new();
        plain.put_u32(headers.0.len() as u32);
        for (name, value) in &headers.0 {
            for text in [name, value] {
                plain.put_u32(text.len() as u32);
                plain.put_slice(text.as_bytes());
            }
        }
        let (mut block, mut chunk, mut rest) = (Vec::new(), [0u8; 4096], plain.as_slice());
        loop {
            let (read, written) = (self.0.total_in(), self.0.total_out());
            self.0
                .compress(rest, &mut chunk, FlushCompress::Sync)
                .map_err(|_| invalid("zlib failed on a SPDY header"))?;
            rest = &rest[((self.0.total_in() - read) as usize).min(rest.len())..];
            let produced = (self.0.total_out() - written) as usize;
            block.extend_from_slice(&chunk[..produced]);
            if rest.is_empty() && produced < chunk.len() {
                return Ok(block);
            }
        }
    }
}

fn parse(mut plain: &[u8]) -> io::Result<Headers> {
    let count = take_u32(&mut plain)?;
    let mut pairs = Vec::new();
    for _ in 0..count {
        pairs.push((take_text(&mut plain)?, take_text(&mut plain)?));
    }
    Ok(Headers(pairs))
}

fn take_u32(plain: &mut &[u8]) -> io::Result<u32> {
    plain
        .try_get_u32()
        .map_err(|_| invalid("a SPDY header block is cut short"))
}

fn take_text(plain: &mut &[u8]) -> io::Result<String> {
    let length = take_u32(plain)? as usize;
    let (text, rest) = plain
        .split_at_checked(length)
        .ok_or_else(|| invalid("a SPDY header block is cut short"))?;
    *plain = rest;
    Ok(String::from_utf8_lossy(text).into_owned())
}

pub(super) fn invalid(message: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_share_one_zlib_stream_per_direction() {
        let (mut writer, mut reader) = (HeaderWriter::new().unwrap(), HeaderReader::new());
        for round in 0..3 {
            let sent: Headers = [
                ("streamType".to_string(), "stdout".to_string()),
                ("port".to_string(), round.to_string()),
            ]
            .into_iter()
            .collect();
            let block = writer.write(&sent).unwrap();
            assert_eq!(reader.read(&block).unwrap(), sent);
        }
    }

    #[test]
    fn long_values_survive_and_endless_ones_are_refused() {
        let (mut writer, mut reader) = (HeaderWriter::new().unwrap(), HeaderReader::new());
        let noise: String = (0..20_000u32)
            .map(|i| char::from(b'a' + (i.wrapping_mul(2_654_435_761) >> 27) as u8 % 26))
            .collect();
        let sent: Headers = [("x", noise)].into_iter().collect();
        let block = writer.write(&sent).unwrap();
        assert_eq!(reader.read(&block).unwrap(), sent);
        let bomb: Headers = [("x", "a".repeat(MAX_BLOCK + 1))].into_iter().collect();
        let block = writer.write(&bomb).unwrap();
        assert!(reader.read(&block).is_err());
    }

    #[test]
    fn broken_blocks_are_errors() {
        assert!(HeaderReader::new().read(b"\xff\xff\xff\xff").is_err());
        assert!(parse(&[0, 0, 0, 1, 0, 0, 0, 9, b'x']).is_err());
        assert!(parse(&[0, 0]).is_err());
    }
}
