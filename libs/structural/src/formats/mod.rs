//! The formats of texts in schemas (k8s.io/kube-openapi `pkg/validation/strfmt`).

mod addresses;
mod numbers;
mod times;

use machinery::names;

type Check = fn(&str) -> bool;

/// Those that are known, without their hyphens, and which texts are of them.
const TEXTS: [(&str, Check); 26] = [
    ("bsonobjectid", |text| matches("^[0-9a-fA-F]{24}$", text)),
    ("uri", cel::is_url),
    ("email", addresses::is_email),
    ("hostname", addresses::is_hostname),
    ("ipv4", addresses::is_ipv4),
    ("ipv6", addresses::is_ipv6),
    ("cidr", addresses::is_cidr),
    ("mac", addresses::is_mac),
    ("uuid", |text| numbers::is_uuid(text, None)),
    ("uuid3", |text| numbers::is_uuid(text, Some('3'))),
    ("uuid4", |text| numbers::is_uuid(text, Some('4'))),
    ("uuid5", |text| numbers::is_uuid(text, Some('5'))),
    ("isbn", |text| numbers::is_isbn10(text) || numbers::is_isbn13(text)),
    ("isbn10", numbers::is_isbn10),
    ("isbn13", numbers::is_isbn13),
    ("creditcard", numbers::is_credit_card),
    ("ssn", |text| matches(r"^\d{3}[- ]\d{2}[- ]\d{4}$", text)),
    ("hexcolor", |text| matches("^#?([0-9a-fA-F]{3}|[0-9a-fA-F]{6})$", text)),
    ("rgbcolor", numbers::is_rgb),
    ("byte", numbers::is_base64),
    ("password", |_| true),
    ("date", times::is_date),
    ("duration", times::is_duration),
    ("datetime", times::is_date_time),
    ("k8sshortname", |text| names::dns1123_label(text).is_empty()),
    ("k8slongname", |text| names::dns1123_subdomain(text).is_empty()),
];

fn matches(pattern: &str, text: &str) -> bool {
    cel::regex::matches(pattern, text)
}

fn find(format: &str) -> Option<Check> {
    let normal = format.replace('-', "");
    let found = TEXTS.iter().find(|(name, _)| *name == normal);
    found.map(|(_, check)| *check)
}

/// Whether texts can be of this format.
pub(crate) fn is_registered(format: &str) -> bool {
    !format.is_empty() && find(format).is_some()
}

/// Whether a schema's type has a format (`StripUnsupportedFormatsPostProcessorForVersion`).
#[must_use]
pub fn is_known(kind: &str, format: &str) -> bool {
    match kind {
        "" | "string" => is_registered(format),
        "integer" => ["int32", "int64"].contains(&format),
        "number" => ["float", "double"].contains(&format),
        _ => false,
    }
}

/// Whether a text is of a format; all are of one that is not known.
#[must_use]
pub fn fits(format: &str, text: &str) -> bool {
    find(format).is_none_or(|check| check(text))
}

#[cfg(test)]
mod tests;
