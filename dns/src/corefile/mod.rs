//! The Corefile: CoreDNS' configuration language (the Caddyfile syntax of github.com/coredns/caddy `caddyfile`).

mod lexer;
mod parser;
mod sources;
#[cfg(test)]
mod tests;
mod values;

pub(crate) use parser::{Directive, ServerBlock, parse};
pub(crate) use sources::{Disk, Sources};

use std::fmt;
use std::sync::Arc;

/// A line of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Position {
    pub(crate) file: Arc<str>,
    pub(crate) line: u32,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

/// One word of a Corefile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) text: String,
    pub(crate) at: Position,
    /// Written in quotes: never a brace or a keyword.
    pub(crate) quoted: bool,
    /// How many imports it came through.
    depth: u8,
    /// Which import it came through last; two imports of one file have different ones.
    import: u32,
}

impl Token {
    fn is(&self, word: &str) -> bool {
        !self.quoted && self.text == word
    }

    /// Whether both words stand on the same line of the same import.
    fn same_line(&self, other: &Token) -> bool {
        self.at == other.at && self.import == other.import
    }

    /// An error about this word.
    pub(crate) fn error(&self, message: impl Into<String>) -> Error {
        Error {
            at: self.at.clone(),
            message: message.into(),
        }
    }
}

/// A Corefile that cannot be used, with the line at fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{at}: {message}")]
pub(crate) struct Error {
    pub(crate) at: Position,
    pub(crate) message: String,
}
