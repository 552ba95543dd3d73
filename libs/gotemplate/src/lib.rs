//! Go's text/template over JSON, as templates of vcluster.yaml are written in it: all actions and all functions that Go has
//! built in, with Go's rules of what is true, comparable and printed how. Numbers of the data are floats, as encoding/json
//! reads them.
//!
//! Three things differ: complex constants are errors, a string may not be cut within a character, and a template that nests
//! too deeply, runs too long or prints too much is an error instead of a burden.
#![warn(missing_docs)]

mod exec;
mod format;
mod functions;
mod lex;
mod literal;
mod number;
mod parse;
#[cfg(test)]
mod tests;
mod value;

use serde_json::Value as Json;

/// How deep actions, parentheses and calls of templates may nest, all together.
const DEEPEST: usize = 200;

/// A template that cannot be read or executed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {message}")]
pub struct Error {
    /// The line of the template, from 1.
    pub line: usize,
    /// What is wrong there, in a clause.
    pub message: String,
}

impl Error {
    fn new(line: usize, message: impl Into<String>) -> Self {
        Self {
            line,
            message: message.into(),
        }
    }
}

/// What the template makes of the data, which is its dot.
///
/// # Errors
/// The template is none, or it does with the data what cannot be done; the error names the line.
pub fn render(template: &str, data: &Json) -> Result<String, Error> {
    let templates = parse::parse(lex::lex(template)?)?;
    exec::execute(&templates, value::Value::from(data))
}
