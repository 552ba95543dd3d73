//! Where a webhook is called: by URL or through a Service (apiserver `pkg/util/webhook`).

use super::cells;
use super::checks::text;
use machinery::field::{Error, ErrorList, Path};
use machinery::{meta, names};
use serde_json::Value;

const FORM: &str = "; desired format: https://host[/path]";
/// The port of a Service that names none.
const DEFAULT_PORT: i64 = 443;

/// Sets the port of a Service that names none.
pub(crate) fn default_client(client: &mut Value) {
    if client.get("service").is_some_and(Value::is_object) {
        meta::set_default(client, &["service", "port"], DEFAULT_PORT);
    }
}

/// Exactly one of `url` and `service`, well formed.
pub(crate) fn validate_client(client: &Value, path: &Path) -> ErrorList {
    let part = |name: &str| client.get(name).filter(|v| !v.is_null());
    match (part("url"), part("service")) {
        (Some(url), None) => validate_url(url.as_str().unwrap_or_default(), &path.child("url")),
        (None, Some(service)) => validate_service(service, &path.child("service")),
        _ => vec![Error::required(path, "exactly one of url or service is required")],
    }
}

/// `ValidateWebhookURL`.
fn validate_url(url: &str, path: &Path) -> ErrorList {
    let url = Url::split(url);
    let mut errors = ErrorList::new();
    if url.scheme != "https" {
        let detail = format!("'https' is the only allowed URL scheme{FORM}");
        errors.push(Error::invalid(path, url.scheme.to_lowercase(), detail));
    }
    if url.host.is_empty() {
        errors.push(Error::invalid(path, "", format!("host must be specified{FORM}")));
    }
    if let Some(user) = url.user {
        let detail = "user information is not permitted in the URL";
        errors.push(Error::invalid(path, user, detail));
    }
    for (part, what) in [(url.fragment, "fragments"), (url.query, "query parameters")] {
        if !part.is_empty() {
            let detail = format!("{what} are not permitted in the URL");
            errors.push(Error::invalid(path, part, detail));
        }
    }
    errors
}

/// The parts of a URL that matter here.
struct Url<'a> {
    scheme: &'a str,
    user: Option<&'a str>,
    host: &'a str,
    query: &'a str,
    fragment: &'a str,
}

impl<'a> Url<'a> {
    fn split(text: &'a str) -> Self {
        let (text, fragment) = text.split_once('#').unwrap_or((text, ""));
        let (text, query) = text.split_once('?').unwrap_or((text, ""));
        let is_scheme = |s: &str| {
            s.starts_with(|c: char| c.is_ascii_alphabetic())
                && s.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b))
        };
        let (scheme, rest) = text
            .split_once(':')
            .filter(|(scheme, _)| is_scheme(scheme))
            .unwrap_or(("", text));
        let authority = rest.strip_prefix("//").unwrap_or_default();
        let authority = authority.split_once('/').map_or(authority, |(authority, _)| authority);
        let (user, host) = match authority.rsplit_once('@') {
            Some((user, host)) => (Some(user), host),
            None => (None, authority),
        };
        Url {
            scheme,
            user,
            host,
            query,
            fragment,
        }
    }
}

/// `ValidateWebhookService`, whose callers hand it name and namespace in the wrong order.
fn validate_service(service: &Value, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    for (field, shown) in [("namespace", "name"), ("name", "namespace")] {
        if text(service, &[field]).is_empty() {
            errors.push(Error::required(&path.child(shown), ""));
        }
    }
    let port = cells::number(service, &["port"]);
    let complaints = names::port_number(port);
    if !complaints.is_empty() {
        let detail = format!("port is not valid: {}", complaints.join(", "));
        errors.push(Error::invalid(&path.child("port"), port, detail));
    }
    let url_path = text(service, &["path"]);
    for detail in path_complaints(url_path) {
        errors.push(Error::invalid(&path.child("path"), url_path, detail));
    }
    errors
}

fn path_complaints(path: &str) -> Vec<String> {
    let mut complaints = Vec::new();
    match path {
        "" | "/" => return complaints,
        "//" => return vec!["segment[0] may not be empty".to_owned()],
        _ => {}
    }
    if !path.starts_with('/') {
        complaints.push("must start with a '/'".to_owned());
    }
    let mut rest = path.chars();
    rest.next();
    let rest = rest.as_str();
    for (i, segment) in rest.strip_suffix('/').unwrap_or(rest).split('/').enumerate() {
        if segment.is_empty() {
            complaints.push(format!("segment[{i}] may not be empty"));
        } else {
            let found = names::dns1123_subdomain(segment).into_iter();
            complaints.extend(found.map(|why| format!("segment[{i}]: {why}")));
        }
    }
    complaints
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn urls_and_services_are_checked() {
        for (client, expected) in [
            (
                json!({}),
                vec!["c: Required value: exactly one of url or service is required"],
            ),
            (json!({"url": "https://a.b/c"}), vec![]),
            (
                json!({"url": "http://u@h?x#y"}),
                vec![
                    "c.url: Invalid value: \"http\": 'https' is the only allowed URL scheme; desired format: https://host[/path]",
                    "c.url: Invalid value: \"u\": user information is not permitted in the URL",
                    "c.url: Invalid value: \"y\": fragments are not permitted in the URL",
                    "c.url: Invalid value: \"x\": query parameters are not permitted in the URL",
                ],
            ),
            (
                json!({"url": "https:///p"}),
                vec!["c.url: Invalid value: \"\": host must be specified; desired format: https://host[/path]"],
            ),
            (
                json!({"service": {"name": "b", "namespace": "a", "path": "x", "port": 0}}),
                vec![
                    "c.service.port: Invalid value: 0: port is not valid: must be between 1 and 65535, inclusive",
                    "c.service.path: Invalid value: \"x\": must start with a '/'",
                    "c.service.path: Invalid value: \"x\": segment[0] may not be empty",
                ],
            ),
            (
                json!({"service": {"name": "b", "port": 1, "path": "/a//b/"}}),
                vec![
                    "c.service.name: Required value",
                    "c.service.path: Invalid value: \"/a//b/\": segment[1] may not be empty",
                ],
            ),
        ] {
            let found = validate_client(&client, &Path::new("c"));
            let texts: Vec<String> = found.iter().map(ToString::to_string).collect();
            assert_eq!(texts, expected, "{client}");
        }
    }
}
