//! Field paths and validation errors with upstream's texts (apimachinery `pkg/util/validation/field`).

use crate::numbers;
use serde_json::{Number, Value};
use std::fmt;

/// The path of a field, such as `spec.containers[0].name` or `metadata.labels[app]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Path(String);

impl Path {
    /// A path with one field.
    pub fn new(name: &str) -> Self {
        Path(name.to_owned())
    }

    /// The empty path: errors about the whole object print as `<nil>`.
    pub fn root() -> Self {
        Path(String::new())
    }

    /// The path of a field below this one.
    #[must_use]
    pub fn child(&self, name: &str) -> Self {
        if self.0.is_empty() {
            Path(name.to_owned())
        } else {
            Path(format!("{}.{name}", self.0))
        }
    }

    /// The path of a list item below this one.
    #[must_use]
    pub fn index(&self, index: usize) -> Self {
        Path(format!("{}[{index}]", self.0))
    }

    /// The path of a map entry below this one.
    #[must_use]
    pub fn key(&self, key: &str) -> Self {
        Path(format!("{}[{key}]", self.0))
    }

    /// The path as text.
    pub fn as_str(&self) -> &str {
        if self.0.is_empty() { "<nil>" } else { &self.0 }
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What is wrong with a field; the names are those of `StatusCause.reason`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the variants are upstream's, explained by their texts below")]
pub enum ErrorType {
    NotFound,
    Required,
    Duplicate,
    Invalid,
    NotSupported,
    Forbidden,
    TooLong,
    TooMany,
    TooFew,
    Internal,
    TypeInvalid,
    TooShort,
}

impl ErrorType {
    /// The machine readable reason of a `StatusCause`.
    pub fn reason(self) -> &'static str {
        match self {
            ErrorType::NotFound => "FieldValueNotFound",
            ErrorType::Required => "FieldValueRequired",
            ErrorType::Duplicate => "FieldValueDuplicate",
            ErrorType::Invalid => "FieldValueInvalid",
            ErrorType::NotSupported => "FieldValueNotSupported",
            ErrorType::Forbidden => "FieldValueForbidden",
            ErrorType::TooLong => "FieldValueTooLong",
            ErrorType::TooMany => "FieldValueTooMany",
            ErrorType::TooFew => "FieldValueTooFew",
            ErrorType::Internal => "InternalError",
            ErrorType::TypeInvalid => "FieldValueTypeInvalid",
            ErrorType::TooShort => "FieldValueTooShort",
        }
    }

    fn text(self) -> &'static str {
        match self {
            ErrorType::NotFound => "Not found",
            ErrorType::Required => "Required value",
            ErrorType::Duplicate => "Duplicate value",
            ErrorType::Invalid | ErrorType::TypeInvalid => "Invalid value",
            ErrorType::NotSupported => "Unsupported value",
            ErrorType::Forbidden => "Forbidden",
            ErrorType::TooLong => "Too long",
            ErrorType::TooMany => "Too many",
            ErrorType::TooFew => "Too few",
            ErrorType::Internal => "Internal error",
            ErrorType::TooShort => "Too short",
        }
    }

    fn shows_value(self) -> bool {
        !matches!(
            self,
            ErrorType::Required | ErrorType::Forbidden | ErrorType::TooLong | ErrorType::TooShort | ErrorType::Internal
        )
    }
}

/// One validation error.
#[derive(Clone, Debug, PartialEq)]
pub struct Error {
    /// What is wrong.
    pub kind: ErrorType,
    /// Where.
    pub field: String,
    /// The offending value, when the text shows it.
    pub value: Option<Value>,
    /// The value as the text shows it, when that is not its JSON form.
    pub shown: Option<String>,
    /// More about it; may be empty.
    pub detail: String,
}

/// Validation errors in the order in which they were found.
pub type ErrorList = Vec<Error>;

impl Error {
    /// An error of any kind; `value` is shown only by the kinds that show one.
    pub fn new(kind: ErrorType, field: &Path, value: Option<Value>, detail: impl Into<String>) -> Self {
        Error {
            kind,
            field: field.as_str().to_owned(),
            value,
            shown: None,
            detail: detail.into(),
        }
    }

    /// The same error, showing the value in other words.
    #[must_use]
    pub fn showing(mut self, text: String) -> Self {
        self.shown = Some(text);
        self
    }

    /// The referenced thing does not exist.
    pub fn not_found(field: &Path, value: impl Into<Value>) -> Self {
        Self::new(ErrorType::NotFound, field, Some(value.into()), "")
    }

    /// The field must be set.
    pub fn required(field: &Path, detail: impl Into<String>) -> Self {
        Self::new(ErrorType::Required, field, None, detail)
    }

    /// The value occurs twice where it must be unique.
    pub fn duplicate(field: &Path, value: impl Into<Value>) -> Self {
        Self::new(ErrorType::Duplicate, field, Some(value.into()), "")
    }

    /// The value is malformed or out of bounds.
    pub fn invalid(field: &Path, value: impl Into<Value>, detail: impl Into<String>) -> Self {
        Self::new(ErrorType::Invalid, field, Some(value.into()), detail)
    }

    /// The value is not one of `supported`, which are listed in the order given.
    pub fn not_supported(field: &Path, value: impl Into<Value>, supported: &[&str]) -> Self {
        let detail = if supported.is_empty() {
            String::new()
        } else {
            let quoted: Vec<String> = supported.iter().map(|s| go_quote(s)).collect();
            format!("supported values: {}", quoted.join(", "))
        };
        Self::new(ErrorType::NotSupported, field, Some(value.into()), detail)
    }

    /// The value is well formed but not allowed here.
    pub fn forbidden(field: &Path, detail: impl Into<String>) -> Self {
        Self::new(ErrorType::Forbidden, field, None, detail)
    }

    /// The value is longer than `max` bytes.
    pub fn too_long(field: &Path, max: usize) -> Self {
        let unit = if max == 1 { "byte" } else { "bytes" };
        Self::new(
            ErrorType::TooLong,
            field,
            None,
            format!("may not be more than {max} {unit}"),
        )
    }

    /// The list has more than `max` items.
    pub fn too_many(field: &Path, actual: usize, max: usize) -> Self {
        let unit = if max == 1 { "item" } else { "items" };
        Self::new(
            ErrorType::TooMany,
            field,
            Some(actual.into()),
            format!("must have at most {max} {unit}"),
        )
    }

    /// The type of the value does not match the schema.
    pub fn type_invalid(field: &Path, value: impl Into<Value>, detail: impl Into<String>) -> Self {
        Self::new(ErrorType::TypeInvalid, field, Some(value.into()), detail)
    }

    /// Something on the server's side went wrong.
    pub fn internal(field: &Path, detail: impl Into<String>) -> Self {
        Self::new(ErrorType::Internal, field, None, detail)
    }

    /// The text without the field name, as in `StatusCause.message`.
    pub fn body(&self) -> String {
        let mut text = self.kind.text().to_owned();
        if self.kind.shows_value()
            && let Some(value) = &self.value
        {
            text.push_str(": ");
            match (value, &self.shown) {
                (_, Some(shown)) => text.push_str(shown),
                (Value::String(s), None) => text.push_str(&go_quote(s)),
                (Value::Number(number), None) => text.push_str(&go_number(number)),
                (other, None) => {
                    let mut other = other.clone();
                    numbers::as_encoded(&mut other);
                    text.push_str(&other.to_string());
                }
            }
        }
        if !self.detail.is_empty() {
            text.push_str(": ");
            text.push_str(&self.detail);
        }
        text
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.body())
    }
}

/// Joins errors as upstream's `ErrorList.ToAggregate` prints them: repeated texts once, several in brackets.
pub fn aggregate(errors: &[Error]) -> String {
    let mut texts: Vec<String> = Vec::with_capacity(errors.len());
    for error in errors {
        let text = error.to_string();
        if !texts.contains(&text) {
            texts.push(text);
        }
    }
    match texts.len() {
        1 => texts.swap_remove(0),
        _ => format!("[{}]", texts.join(", ")),
    }
}

/// Go's `%v` for a number: floats in the fewest digits, from a million on with an exponent.
pub fn go_number(number: &Number) -> String {
    let Some(float) = number.as_f64().filter(|_| number.is_f64()) else {
        return number.to_string();
    };
    // Rust writes the same digits, and always an exponent.
    let shortest = format!("{float:e}");
    let Some((digits, exponent)) = shortest.split_once('e') else {
        return shortest;
    };
    let Ok(exponent) = exponent.parse::<i32>() else {
        return shortest;
    };
    if (-4..6).contains(&exponent) {
        return float.to_string();
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{digits}e{sign}{:02}", exponent.abs())
}

/// Go's `%q` for a string.
pub fn go_quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{b}' => out.push_str("\\v"),
            '\u{c}' => out.push_str("\\f"),
            c if (c as u32) < 0x20 || c as u32 == 0x7f => out.push_str(&format!("\\x{:02x}", c as u32)),
            c if (0x80..0xa0).contains(&(c as u32)) => out.push_str(&format!("\\u{:04x}", c as u32)),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn texts_are_upstreams() {
        let path = Path::new("spec").child("containers").index(0).child("name");
        for (error, expected) in [
            (Error::required(&path, ""), "spec.containers[0].name: Required value"),
            (
                Error::invalid(&path, "A\"b", "no"),
                r#"spec.containers[0].name: Invalid value: "A\"b": no"#,
            ),
            (
                Error::invalid(&path, 5, "no"),
                "spec.containers[0].name: Invalid value: 5: no",
            ),
            (
                Error::invalid(&path, 2.0, "no"),
                "spec.containers[0].name: Invalid value: 2: no",
            ),
            (
                Error::invalid(&path, json!({"a": 1}), ""),
                r#"spec.containers[0].name: Invalid value: {"a":1}"#,
            ),
            (
                Error::invalid(&path, json!({"a": 1}), "no").showing("{A}".to_owned()),
                "spec.containers[0].name: Invalid value: {A}: no",
            ),
            (
                Error::not_supported(&path, "x", &["A", "B"]),
                r#"spec.containers[0].name: Unsupported value: "x": supported values: "A", "B""#,
            ),
            (
                Error::too_long(&path, 63),
                "spec.containers[0].name: Too long: may not be more than 63 bytes",
            ),
            (
                Error::too_many(&path, 3, 1),
                "spec.containers[0].name: Too many: 3: must have at most 1 item",
            ),
            (Error::forbidden(&Path::root(), "no"), "<nil>: Forbidden: no"),
            (
                Error::duplicate(&Path::new("m").key("k"), "v"),
                r#"m[k]: Duplicate value: "v""#,
            ),
        ] {
            assert_eq!(error.to_string(), expected);
        }
    }

    #[test]
    fn numbers_are_shown_as_go_shows_them() {
        for (number, expected) in [
            (json!(5), "5"),
            (json!(-0.5), "-0.5"),
            (json!(2.0), "2"),
            (json!(123456.5), "123456.5"),
            (json!(1000000.0), "1e+06"),
            (json!(1234567.5), "1.2345675e+06"),
            (json!(0.0001), "0.0001"),
            (json!(0.00001), "1e-05"),
            (json!(1e100), "1e+100"),
        ] {
            assert_eq!(go_number(number.as_number().unwrap()), expected, "{number}");
        }
    }

    #[test]
    fn aggregates_drop_repeats() {
        let one = Error::required(&Path::new("a"), "");
        let two = Error::required(&Path::new("b"), "");
        assert_eq!(aggregate(&[one.clone(), one.clone()]), "a: Required value");
        assert_eq!(aggregate(&[one, two]), "[a: Required value, b: Required value]");
    }
}
