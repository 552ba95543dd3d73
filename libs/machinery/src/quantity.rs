//! `resource.Quantity`: exact decimal numbers with SI or binary suffixes (apimachinery `pkg/api/resource`).
//!
//! A quantity is kept as an integer of nano units in 128 bits: finer parts are rounded up, as upstream does, and what is
//! larger than upstream's limit of 2^63-1 is capped to it.

use std::cmp::Ordering;
use std::fmt;

const NANO: i128 = 1_000_000_000;
const LIMIT: i128 = i64::MAX as i128 * NANO;
/// How large a mantissa may grow while digits are read: thirty digits.
const MOST_DIGITS: i128 = 1_000_000_000_000_000_000_000_000_000_000;

/// How a quantity is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `12e6`.
    DecimalExponent,
    /// `64Mi`.
    BinarySi,
    /// `100m`, `5k`.
    DecimalSi,
}

/// An exact amount.
#[derive(Clone, Copy, Debug)]
pub struct Quantity {
    nanos: i128,
    format: Format,
}

impl PartialEq for Quantity {
    fn eq(&self, other: &Self) -> bool {
        self.nanos == other.nanos
    }
}

impl Eq for Quantity {}

impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Quantity {
    fn cmp(&self, other: &Self) -> Ordering {
        self.nanos.cmp(&other.nanos)
    }
}

/// Upstream's texts for what cannot be parsed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// The number is malformed.
    #[error("quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'")]
    Format,
    /// The suffix is unknown.
    #[error("unable to parse quantity's suffix")]
    Suffix,
}

const DECIMAL_SUFFIXES: [(&str, i32); 10] = [
    ("n", -9),
    ("u", -6),
    ("m", -3),
    ("", 0),
    ("k", 3),
    ("M", 6),
    ("G", 9),
    ("T", 12),
    ("P", 15),
    ("E", 18),
];
const BINARY_SUFFIXES: [(&str, u32); 6] = [("Ki", 10), ("Mi", 20), ("Gi", 30), ("Ti", 40), ("Pi", 50), ("Ei", 60)];

impl Quantity {
    /// A whole number.
    pub fn from_units(units: i64) -> Self {
        Quantity {
            nanos: i128::from(units) * NANO,
            format: Format::DecimalSi,
        }
    }

    /// Thousandths, to be written in a format.
    pub fn from_millis(millis: i64, format: Format) -> Self {
        Quantity {
            nanos: i128::from(millis) * (NANO / 1000),
            format,
        }
    }

    /// Parses a quantity.
    ///
    /// # Errors
    /// When the number or its suffix is malformed.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        let (negative, unsigned) = match text.as_bytes().first() {
            None => return Err(ParseError::Format),
            Some(b'-') => (true, &text[1..]),
            Some(b'+') => (false, &text[1..]),
            Some(_) => (false, text),
        };
        let number_end = unsigned
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(unsigned.len());
        let (number, suffix) = unsigned.split_at(number_end);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if fraction.contains('.') || (whole.is_empty() && fraction.is_empty()) {
            return Err(ParseError::Format);
        }
        let (scale, format) = parse_suffix(suffix)?;
        let nanos = scaled(whole, fraction, scale).min(LIMIT);
        Ok(Quantity {
            nanos: if negative { -nanos } else { nanos },
            format,
        })
    }

    /// The amount in thousandths, rounded up: `MilliValue` of upstream.
    pub fn millis(&self) -> i64 {
        clamp(ceil_div(self.nanos, NANO / 1000))
    }

    /// The amount in whole units, rounded up: `Value` of upstream.
    pub fn units(&self) -> i64 {
        clamp(ceil_div(self.nanos, NANO))
    }

    /// The amount, as near as a float comes to it.
    pub fn approximately(&self) -> f64 {
        self.nanos as f64 / NANO as f64
    }

    /// The amount with nothing finer than a thousandth, rounded up.
    #[must_use]
    pub fn rounded_up_to_millis(&self) -> Self {
        const MILLI: i128 = NANO / 1000;
        Quantity {
            nanos: ceil_div(self.nanos, MILLI) * MILLI,
            format: self.format,
        }
    }

    /// The amount in whole units, rounded up.
    #[must_use]
    pub fn rounded_up(&self) -> Self {
        Quantity {
            nanos: ceil_div(self.nanos, NANO) * NANO,
            format: self.format,
        }
    }

    /// -1, 0 or 1.
    pub fn sign(&self) -> i32 {
        match self.nanos.cmp(&0) {
            Ordering::Less => -1,
            Ordering::Equal => 0,
            Ordering::Greater => 1,
        }
    }

    /// The sum, in the format of `self` unless that is zero.
    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        let format = if self.nanos == 0 { other.format } else { self.format };
        Quantity {
            nanos: self.nanos.saturating_add(other.nanos).clamp(-LIMIT, LIMIT),
            format,
        }
    }

    /// The difference, in the format of `self` unless that is zero.
    #[must_use]
    pub fn minus(&self, other: &Self) -> Self {
        self.plus(&Quantity {
            nanos: -other.nanos,
            format: other.format,
        })
    }

    fn canonical_decimal(&self, suffix: impl Fn(i32) -> String) -> String {
        // The largest suffix that leaves no fraction; nano always does.
        let mut exponent = -9;
        let mut mantissa = self.nanos;
        while mantissa % 1000 == 0 && exponent < 18 {
            mantissa /= 1000;
            exponent += 3;
        }
        format!("{mantissa}{}", suffix(exponent))
    }

    fn canonical_binary(&self) -> String {
        let mut mantissa = self.nanos / NANO;
        let mut suffix = "";
        for (name, _) in BINARY_SUFFIXES {
            if mantissa % 1024 != 0 {
                break;
            }
            mantissa /= 1024;
            suffix = name;
        }
        format!("{mantissa}{suffix}")
    }
}

/// Upstream's canonical form.
impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.nanos == 0 {
            return f.write_str("0");
        }
        // Below 1024, or with a fraction, binary quantities are written as decimal ones.
        let binary = self.format == Format::BinarySi && self.nanos.abs() >= 1024 * NANO && self.nanos % NANO == 0;
        let text = if binary {
            self.canonical_binary()
        } else if self.format == Format::DecimalExponent {
            self.canonical_decimal(|e| if e == 0 { String::new() } else { format!("e{e}") })
        } else {
            self.canonical_decimal(|e| {
                DECIMAL_SUFFIXES
                    .iter()
                    .find(|(_, x)| *x == e)
                    .map_or_else(String::new, |(s, _)| (*s).to_owned())
            })
        };
        f.write_str(&text)
    }
}

enum Scale {
    Ten(i32),
    Two(u32),
}

fn parse_suffix(suffix: &str) -> Result<(Scale, Format), ParseError> {
    if let Some((_, power)) = BINARY_SUFFIXES.iter().find(|(s, _)| *s == suffix) {
        return Ok((Scale::Two(*power), Format::BinarySi));
    }
    if let Some((_, power)) = DECIMAL_SUFFIXES.iter().find(|(s, _)| *s == suffix) {
        return Ok((Scale::Ten(*power), Format::DecimalSi));
    }
    if let Some(exponent) = suffix.strip_prefix(['e', 'E'])
        && let Ok(power) = exponent.parse::<i32>()
    {
        return Ok((Scale::Ten(power), Format::DecimalExponent));
    }
    Err(if suffix.chars().all(|c| "eEinumkKMGTP+-0123456789".contains(c)) {
        ParseError::Suffix
    } else {
        ParseError::Format
    })
}

/// The number in nano units, rounded up.
fn scaled(whole: &str, fraction: &str, scale: Scale) -> i128 {
    // All digits as one integer and how many of them stand behind the point; digits too small to matter only round up.
    let mut mantissa: i128 = 0;
    let mut behind: i32 = 0;
    let mut lost = false;
    for (i, digit) in whole.bytes().chain(fraction.bytes()).enumerate() {
        let digit = i128::from(digit - b'0');
        let in_fraction = i >= whole.len();
        if mantissa < MOST_DIGITS {
            mantissa = mantissa * 10 + digit;
            behind += i32::from(in_fraction);
        } else if in_fraction {
            lost |= digit != 0;
        } else {
            return LIMIT; // more than thirty digits before the point are beyond the limit even in nano units
        }
    }
    let ten = |mut value: i128, mut power: i32, lost: bool| -> i128 {
        let mut lost = lost;
        while power > 0 && value != 0 {
            if value > LIMIT {
                return LIMIT;
            }
            value = value.saturating_mul(10);
            power -= 1;
        }
        while power < 0 && value != 0 {
            lost |= value % 10 != 0;
            value /= 10;
            power += 1;
        }
        value.saturating_add(i128::from(lost))
    };
    match scale {
        Scale::Ten(power) => ten(mantissa, power.saturating_add(9).saturating_sub(behind), lost),
        Scale::Two(power) => {
            let factor = 1i128 << power;
            while mantissa > i128::MAX / factor && behind > 0 {
                lost |= mantissa % 10 != 0;
                mantissa /= 10;
                behind -= 1;
            }
            mantissa
                .checked_mul(factor)
                .map_or(LIMIT, |multiplied| ten(multiplied, 9 - behind, lost))
        }
    }
}

fn ceil_div(value: i128, by: i128) -> i128 {
    value.div_euclid(by) + i128::from(value.rem_euclid(by) != 0)
}

fn clamp(value: i128) -> i64 {
    i64::try_from(value).unwrap_or(if value < 0 { i64::MIN } else { i64::MAX })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn canonical_forms_are_upstreams() {
        for (text, expected) in [
            ("0", "0"),
            ("100m", "100m"),
            ("0.1", "100m"),
            ("1000m", "1"),
            ("1.5", "1500m"),
            ("1500", "1500"),
            ("2000", "2k"),
            ("1Gi", "1Gi"),
            ("1024Mi", "1Gi"),
            ("0.5Gi", "512Mi"),
            ("1.5Gi", "1536Mi"),
            ("1000Ki", "1000Ki"),
            ("1Ki", "1Ki"),
            ("512Ki", "512Ki"),
            ("0.5Ki", "512"),
            ("12e6", "12e6"),
            ("1E", "1E"),
            ("1e3", "1e3"),
            ("100n", "100n"),
            ("0.1n", "1n"),
            ("+5", "5"),
            ("-5", "-5"),
            (".5", "500m"),
            ("5.", "5"),
            ("100E", "9223372036854775807"),
        ] {
            assert_eq!(Quantity::parse(text).unwrap().to_string(), expected, "{text}");
        }
        for bad in ["", "a", "1.2.3", "1 Gi", "Mi", "1KiB", "--1", "1e", "."] {
            assert!(Quantity::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn arithmetic_is_exact() {
        let q = |text: &str| Quantity::parse(text).unwrap();
        assert_eq!(q("100m").plus(&q("0.2")).to_string(), "300m");
        assert_eq!(q("1Gi").minus(&q("512Mi")).to_string(), "512Mi");
        assert!(q("1Gi") > q("1G"));
        assert_eq!(q("1.2").units(), 2);
        assert_eq!(q("0.0011").millis(), 2);
    }

    proptest! {
        #[test]
        fn canonical_text_parses_to_the_same_amount(whole in 0i64..1_000_000, fraction in 0u32..1000, suffix in 0usize..16) {
            let suffixes: Vec<&str> =
                DECIMAL_SUFFIXES.iter().map(|(s, _)| *s).chain(BINARY_SUFFIXES.iter().map(|(s, _)| *s)).collect();
            let quantity = Quantity::parse(&format!("{whole}.{fraction:03}{}", suffixes[suffix])).unwrap();
            prop_assert_eq!(Quantity::parse(&quantity.to_string()).unwrap(), quantity);
        }

        #[test]
        fn nothing_panics(text in ".{0,40}") {
            let _ = Quantity::parse(&text);
        }
    }
}
