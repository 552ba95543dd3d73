//! The syntax rules of names, label keys and values and their like (apimachinery `pkg/util/validation` and
//! `pkg/api/validate/content`). Each check answers its complaints in upstream's words; none means that the text is fine.

const DNS1123_LABEL: &str = "[a-z0-9]([-a-z0-9]*[a-z0-9])?";
const DNS1123_SUBDOMAIN: &str = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*";
const QUALIFIED_NAME: &str = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]";
const LABEL_VALUE: &str = "(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?";

/// The longest DNS label.
pub const DNS1123_LABEL_MAX: usize = 63;
/// The longest DNS subdomain.
pub const DNS1123_SUBDOMAIN_MAX: usize = 253;

/// `must be no more than N bytes`: labels.
pub fn max_bytes(max: usize) -> String {
    format!("must be no more than {max} bytes")
}

/// `must be no more than N characters`: everything else.
pub fn max_characters(max: usize) -> String {
    format!("must be no more than {max} characters")
}

/// `must be between LOW and HIGH, inclusive`.
pub fn inclusive_range(low: i64, high: i64) -> String {
    format!("must be between {low} and {high}, inclusive")
}

/// Upstream's `RegexError`: the rule in words, examples, and the expression.
pub fn regex_error(rule: &str, expression: &str, examples: &[&str]) -> String {
    if examples.is_empty() {
        return format!("{rule} (regex used for validation is '{expression}')");
    }
    let examples: Vec<String> = examples.iter().map(|e| format!("'{e}', ")).collect();
    format!(
        "{rule} (e.g. {}regex used for validation is '{expression}')",
        examples.join(" or ")
    )
}

fn is_lower_alnum(b: u8) -> bool {
    b.is_ascii_lowercase() || b.is_ascii_digit()
}

fn matches_dns_label(text: &str) -> bool {
    let bytes = text.as_bytes();
    match (bytes.first(), bytes.last()) {
        (Some(&first), Some(&last)) => {
            is_lower_alnum(first) && is_lower_alnum(last) && bytes.iter().all(|&b| is_lower_alnum(b) || b == b'-')
        }
        _ => false,
    }
}

fn matches_dns_subdomain(text: &str) -> bool {
    text.split('.').all(matches_dns_label)
}

fn matches_qualified_part(text: &str) -> bool {
    let bytes = text.as_bytes();
    match (bytes.first(), bytes.last()) {
        (Some(first), Some(last)) => {
            first.is_ascii_alphanumeric()
                && last.is_ascii_alphanumeric()
                && bytes.iter().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(b))
        }
        _ => false,
    }
}

/// A lowercase RFC 1123 label: most names that become part of a host name.
pub fn dns1123_label(text: &str) -> Vec<String> {
    let mut errors = Vec::new();
    if text.len() > DNS1123_LABEL_MAX {
        errors.push(max_characters(DNS1123_LABEL_MAX));
    }
    if !matches_dns_label(text) {
        if matches_dns_subdomain(text) {
            errors.push("must not contain dots".to_owned());
        } else {
            errors.push(regex_error(
                "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character",
                DNS1123_LABEL,
                &["my-name", "123-abc"],
            ));
        }
    }
    errors
}

/// A lowercase RFC 1123 subdomain: most object names.
pub fn dns1123_subdomain(text: &str) -> Vec<String> {
    let mut errors = Vec::new();
    if text.len() > DNS1123_SUBDOMAIN_MAX {
        errors.push(max_characters(DNS1123_SUBDOMAIN_MAX));
    }
    if !matches_dns_subdomain(text) {
        errors.push(subdomain_rule());
    }
    errors
}

fn subdomain_rule() -> String {
    regex_error(
        "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character",
        DNS1123_SUBDOMAIN,
        &["example.com"],
    )
}

/// A subdomain whose labels may have underscores: the search domains of pods.
pub fn dns1123_subdomain_with_underscores(text: &str) -> Vec<String> {
    let mut errors = Vec::new();
    if text.len() > DNS1123_SUBDOMAIN_MAX {
        errors.push(max_characters(DNS1123_SUBDOMAIN_MAX));
    }
    let outer = |b: Option<&u8>| b.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_');
    let label = |label: &str| {
        let label = label.strip_prefix('_').unwrap_or(label).as_bytes();
        outer(label.first()) && outer(label.last()) && label.iter().copied().all(inner)
    };
    if !text.split('.').all(label) {
        errors.push(regex_error(
            "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '_', '-' or '.', and must start and end with an alphanumeric character",
            r"_?[a-z0-9]([-_a-z0-9]*[a-z0-9])?(\._?[a-z0-9]([-_a-z0-9]*[a-z0-9])?)*",
            &["example.com"],
        ));
    }
    errors
}

/// A subdomain below any label: hosts of Ingresses.
pub fn wildcard_dns1123_subdomain(text: &str) -> Vec<String> {
    let mut errors = Vec::new();
    if text.len() > DNS1123_SUBDOMAIN_MAX {
        errors.push(max_characters(DNS1123_SUBDOMAIN_MAX));
    }
    if !text.strip_prefix("*.").is_some_and(matches_dns_subdomain) {
        errors.push(regex_error(
            "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must consist of lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character",
            &format!(r"\*\.{DNS1123_SUBDOMAIN}"),
            &["*.example.com"],
        ));
    }
    errors
}

/// An RFC 1035 label: Service names.
pub fn dns1035_label(text: &str) -> Vec<String> {
    let mut errors = Vec::new();
    if text.len() > DNS1123_LABEL_MAX {
        errors.push(max_characters(DNS1123_LABEL_MAX));
    }
    if !(matches_dns_label(text) && text.starts_with(|c: char| c.is_ascii_lowercase())) {
        errors.push(regex_error(
            "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character",
            "[a-z]([-a-z0-9]*[a-z0-9])?",
            &["my-name", "abc-123"],
        ));
    }
    errors
}

/// Whether a name prefix is checked as if it were whole: a trailing dash is what generated names put behind it
/// (apimachinery `maskTrailingDash`).
fn masked(name: &str, prefix: bool) -> std::borrow::Cow<'_, str> {
    match name.strip_suffix('-') {
        Some(head) if prefix && !head.is_empty() => format!("{head}a").into(),
        _ => name.into(),
    }
}

/// [`dns1123_subdomain`] for a name or, when `prefix`, for a generateName.
pub fn dns1123_subdomain_for(name: &str, prefix: bool) -> Vec<String> {
    dns1123_subdomain(&masked(name, prefix))
}

/// [`dns1123_label`] for a name or, when `prefix`, for a generateName.
pub fn dns1123_label_for(name: &str, prefix: bool) -> Vec<String> {
    dns1123_label(&masked(name, prefix))
}

/// [`dns1035_label`] for a name or, when `prefix`, for a generateName.
pub fn dns1035_label_for(name: &str, prefix: bool) -> Vec<String> {
    dns1035_label(&masked(name, prefix))
}

/// A name that can be one segment of a URL path.
pub fn path_segment(name: &str, prefix: bool) -> Vec<String> {
    if !prefix {
        for reserved in [".", ".."] {
            if name == reserved {
                return vec![format!("may not be '{reserved}'")];
            }
        }
    }
    ["/", "%"]
        .iter()
        .filter(|c| name.contains(**c))
        .map(|c| format!("may not contain '{c}'"))
        .collect()
}

/// A label or annotation key: an optional DNS prefix and a name.
pub fn qualified_name(text: &str) -> Vec<String> {
    const RULE: &str = "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character";
    const EXAMPLES: [&str; 3] = ["MyName", "my.name", "123-abc"];
    let mut errors = Vec::new();
    let parts: Vec<&str> = text.split('/').collect();
    let name = match parts[..] {
        [name] => name,
        [prefix, name] => {
            if prefix.is_empty() {
                errors.push("prefix part must be non-empty".to_owned());
            } else {
                // Keys count bytes where names count characters.
                if prefix.len() > DNS1123_SUBDOMAIN_MAX {
                    errors.push(format!("prefix part {}", max_bytes(DNS1123_SUBDOMAIN_MAX)));
                }
                if !matches_dns_subdomain(prefix) {
                    errors.push(format!("prefix part {}", subdomain_rule()));
                }
            }
            name
        }
        _ => {
            errors.push(format!(
                "a valid label key {} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')",
                regex_error(RULE, QUALIFIED_NAME, &EXAMPLES)
            ));
            return errors;
        }
    };
    if name.is_empty() {
        errors.push("name part must be non-empty".to_owned());
    } else if name.len() > 63 {
        errors.push(format!("name part {}", max_bytes(63)));
    }
    if !matches_qualified_part(name) {
        errors.push(format!("name part {}", regex_error(RULE, QUALIFIED_NAME, &EXAMPLES)));
    }
    errors
}

/// A label value.
pub fn label_value(text: &str) -> Vec<String> {
    let mut errors = Vec::new();
    if text.len() > 63 {
        errors.push(max_bytes(63));
    }
    if !text.is_empty() && !matches_qualified_part(text) {
        errors.push(regex_error(
            "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character",
            LABEL_VALUE,
            &["MyValue", "my_value", "12345"],
        ));
    }
    errors
}

/// A key of a ConfigMap or Secret.
pub fn config_map_key(text: &str) -> Vec<String> {
    let mut errors = Vec::new();
    if text.len() > DNS1123_SUBDOMAIN_MAX {
        errors.push(max_characters(DNS1123_SUBDOMAIN_MAX));
    }
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b)) {
        errors.push(regex_error(
            "a valid config key must consist of alphanumeric characters, '-', '_' or '.'",
            "[-._a-zA-Z0-9]+",
            &["key.name", "KEY_NAME", "key-name"],
        ));
    }
    errors.extend(parent_directory(text));
    errors
}

fn parent_directory(text: &str) -> Option<String> {
    match text {
        "." => Some("must not be '.'".to_owned()),
        ".." => Some("must not be '..'".to_owned()),
        _ if text.starts_with("..") => Some("must not start with '..'".to_owned()),
        _ => None,
    }
}

/// The name of an environment variable: printable ASCII without `=`.
pub fn env_var_name(text: &str) -> Vec<String> {
    if text.is_empty() {
        vec!["environment variable name must be non-empty".to_owned()]
    } else if text.bytes().any(|b| !(0x20..0x7f).contains(&b) || b == b'=') {
        vec![
            "a valid environment variable name must consist only of printable ASCII characters other than '='"
                .to_owned(),
        ]
    } else {
        Vec::new()
    }
}

/// The name of a port (RFC 6335, lower case only).
pub fn port_name(text: &str) -> Vec<String> {
    let mut errors = Vec::new();
    if text.len() > 15 {
        errors.push(max_characters(15));
    }
    if text.is_empty() || !text.bytes().all(|b| is_lower_alnum(b) || b == b'-') {
        errors.push("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)".to_owned());
    }
    if !text.bytes().any(|b| b.is_ascii_lowercase()) {
        errors.push("must contain at least one letter (a-z)".to_owned());
    }
    if text.contains("--") {
        errors.push("must not contain consecutive hyphens".to_owned());
    }
    if text.starts_with('-') || text.ends_with('-') {
        errors.push("must not begin or end with a hyphen".to_owned());
    }
    errors
}

/// A port number.
pub fn port_number(port: i64) -> Vec<String> {
    if (1..=65535).contains(&port) {
        Vec::new()
    } else {
        vec![inclusive_range(1, 65535)]
    }
}

/// The characters of generated name parts: no vowels and nothing that looks like another character, so that no word
/// appears by chance (apimachinery `pkg/util/rand`).
pub const GENERATED_ALPHABET: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";

/// A name part made of random bytes, one character each.
pub fn generated(random: &[u8]) -> String {
    random
        .iter()
        .map(|b| char::from(GENERATED_ALPHABET[usize::from(*b) % GENERATED_ALPHABET.len()]))
        .collect()
}

/// The node that somebody is the kubelet of; empty for a kubelet without a name (kubernetes `pkg/auth/nodeidentifier`).
pub fn node_of_user<'a>(user: &'a str, groups: &[String]) -> Option<&'a str> {
    let node = user.strip_prefix("system:node:")?;
    groups.iter().any(|group| group == "system:nodes").then_some(node)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_pass_or_fail_as_upstream() {
        let long = "a".repeat(64);
        for (check, good, bad) in [
            (
                dns1123_label as fn(&str) -> Vec<String>,
                vec!["a", "a-1", "0"],
                vec!["", "-a", "a-", "A", "a.b", &long],
            ),
            (
                dns1123_subdomain,
                vec!["a", "a.b-c.d"],
                vec!["", ".", "a..b", "a_b", "A"],
            ),
            (dns1035_label, vec!["a", "a1-b"], vec!["1a", "", "a."]),
            (
                qualified_name,
                vec!["a", "A_b.c", "x.y/Z"],
                vec!["", "/a", "a/", "a/b/c", "a b", "X/y"],
            ),
            (label_value, vec!["", "a", "A_b.c"], vec!["-a", "a b", &long]),
            (config_map_key, vec!["a", "A_b.c", "-"], vec!["", "..", "..a", "a/b"]),
            (
                port_name,
                vec!["http", "a-1"],
                vec!["", "1", "a--b", "-a", "A", "sixteen-letters1"],
            ),
        ] {
            for text in good {
                assert_eq!(check(text), Vec::<String>::new(), "{text}");
            }
            for text in bad {
                assert!(!check(text).is_empty(), "{text}");
            }
        }
    }

    #[test]
    fn prefixes_may_end_with_a_dash() {
        assert!(dns1123_label_for("web-", true).is_empty());
        assert!(!dns1123_label_for("web-", false).is_empty());
        assert!(!dns1123_label_for("-", true).is_empty());
    }

    #[test]
    fn complaints_are_worded_as_upstream() {
        assert_eq!(
            dns1123_subdomain("A")[0],
            "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
        );
        assert!(dns1123_label("A")[0].contains("(e.g. 'my-name',  or '123-abc', regex used for validation is '"));
    }
}
