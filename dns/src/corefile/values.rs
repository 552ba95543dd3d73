//! Reading the values of directives, with errors that name the line.

use super::{Directive, Error, Token};
use std::str::FromStr;
use std::time::Duration;

impl Token {
    /// The word as a number or another simple value; `what` says what was expected.
    pub(crate) fn parse<T: FromStr>(&self, what: &str) -> Result<T, Error> {
        self.text
            .parse()
            .map_err(|_| self.error(format!("{:?} is not {what}", self.text)))
    }

    /// The word as a Go duration (`1m30s`, `500ms`) or, as CoreDNS allows in places, a number of seconds.
    pub(crate) fn duration(&self) -> Result<Duration, Error> {
        duration(&self.text)
            .ok_or_else(|| self.error(format!("{:?} is not a duration such as 30s or 1m30s", self.text)))
    }
}

impl Directive {
    /// The arguments, which must be exactly `N`; `usage` shows the right form.
    pub(crate) fn exactly<const N: usize>(&self, usage: &str) -> Result<&[Token; N], Error> {
        self.args.as_slice().try_into().map_err(|_| self.misused(usage))
    }

    /// The only argument, if there is one.
    pub(crate) fn at_most_one(&self, usage: &str) -> Result<Option<&Token>, Error> {
        match self.args.as_slice() {
            [] => Ok(None),
            [one] => Ok(Some(one)),
            _ => Err(self.misused(usage)),
        }
    }

    /// An error that shows the right form.
    pub(crate) fn misused(&self, usage: &str) -> Error {
        self.name
            .error(format!("{} must have the form: {usage}", self.name.text))
    }

    /// An error about a word in the block of `plugin` that it does not know.
    pub(crate) fn unknown(&self, plugin: &str) -> Error {
        self.name
            .error(format!("{plugin} has no property {:?}", self.name.text))
    }

    /// Refuses a block after a directive that takes none.
    pub(crate) fn no_block(&self) -> Result<(), Error> {
        match self.block.first() {
            Some(line) => Err(line.name.error(format!("{} takes no block", self.name.text))),
            None => Ok(()),
        }
    }
}

/// A Go duration, without a sign; plain digits are seconds.
pub(super) fn duration(text: &str) -> Option<Duration> {
    if let Ok(seconds) = text.parse::<u32>() {
        return Some(Duration::from_secs(seconds.into()));
    }
    let mut total = Duration::ZERO;
    let mut rest = text;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|character: char| !character.is_ascii_digit() && character != '.')?;
        let number: f64 = rest[..digits].parse().ok()?;
        let unit_length = rest[digits..].find(|character: char| character.is_ascii_digit());
        let unit_end = unit_length.map_or(rest.len(), |length| digits + length);
        let unit = match &rest[digits..unit_end] {
            "ns" => 1e-9,
            "us" | "µs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return None,
        };
        total = total.checked_add(Duration::try_from_secs_f64(number * unit).ok()?)?;
        rest = &rest[unit_end..];
    }
    Some(total)
}
