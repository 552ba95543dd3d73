//! `Warning` headers (RFC 7234, section 5.5; apimachinery `util/net.NewWarningHeader`).

use crate::server::request::Warnings;
use http::{HeaderMap, HeaderValue, header};

/// No answer carries more text than this in its warnings; those beyond are cut off (`endpoints/filters/warning.go`).
const MAX_TOTAL: usize = 4 * 1024;

/// Adds a header per warning.
pub fn set(headers: &mut HeaderMap, warnings: &Warnings) {
    let mut left = MAX_TOTAL;
    for text in warnings.take() {
        if text.len() > left {
            return;
        }
        left -= text.len();
        if let Ok(value) = HeaderValue::from_bytes(line(&text).as_bytes()) {
            headers.append(header::WARNING, value);
        }
    }
}

/// 299 is a lasting warning of an unnamed agent.
fn line(text: &str) -> String {
    let plain: String = text.chars().filter(|c| !c.is_control()).collect();
    format!("299 - \"{}\"", plain.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_are_quoted_and_bounded() {
        let warnings = Warnings::default();
        for text in [
            "plain",
            "with \"quotes\" and \\",
            "line\nbreak",
            &"x".repeat(5000),
            "after",
        ] {
            warnings.add(text);
        }
        let mut headers = HeaderMap::new();
        set(&mut headers, &warnings);
        let sent: Vec<_> = headers
            .get_all(header::WARNING)
            .iter()
            .map(|v| v.to_str().unwrap())
            .collect();
        assert_eq!(
            sent,
            [
                r#"299 - "plain""#,
                r#"299 - "with \"quotes\" and \\""#,
                r#"299 - "linebreak""#
            ]
        );
    }
}
