//! URLs, as Go's `url.ParseRequestURI` reads them.

use super::{Failure, Key, Outcome, Url, Value};
use machinery::field::go_quote;
use std::collections::BTreeMap;
use std::sync::Arc;

pub(super) fn call(function: &str, args: &[Value]) -> Option<Outcome> {
    let url = match (function, args) {
        ("url", [Value::String(text)]) => {
            let parsed = parse(text).map(|url| Value::Url(Arc::new(url)));
            return Some(parsed.map_err(|why| {
                Failure::new(format!(
                    "URL parse error during conversion from string: parse {}: {why}",
                    go_quote(text)
                ))
            }));
        }
        ("isURL", [Value::String(text)]) => return Some(Ok(Value::Bool(parse(text).is_ok()))),
        (_, [Value::Url(url)]) => url,
        _ => return None,
    };
    let port = url.host.rsplit_once(':').filter(|(_, port)| !port.contains(']'));
    let found = match function {
        "getScheme" => &url.scheme,
        "getHost" => &url.host,
        "getHostname" => port
            .map_or(url.host.as_str(), |(name, _)| name)
            .trim_matches(['[', ']']),
        "getPort" => port.map_or("", |(_, port)| port),
        "getEscapedPath" => &url.path,
        "getQuery" => return Some(Ok(query(&url.query))),
        _ => return None,
    };
    Some(Ok(Value::text(found)))
}

/// The parts of a URL, if it is an absolute one or a path.
///
/// # Errors
/// Go's words for what is wrong with it.
pub(crate) fn parse(text: &str) -> Result<Url, String> {
    if text.bytes().any(|byte| byte < b' ' || byte == 0x7f) {
        return Err("net/url: invalid control character in URL".to_owned());
    }
    if text.is_empty() {
        return Err("empty url".to_owned());
    }
    let mut url = Url {
        text: text.to_owned(),
        scheme: String::new(),
        host: String::new(),
        path: text.to_owned(),
        query: String::new(),
    };
    if text == "*" {
        return Ok(url);
    }
    let (scheme, rest) = scheme(text).ok_or("missing protocol scheme")?;
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    url.scheme = scheme.to_ascii_lowercase();
    url.query = query.to_owned();
    if !rest.starts_with('/') {
        if scheme.is_empty() {
            return Err("invalid URI for request".to_owned());
        }
        // What follows a scheme without a slash is not looked into.
        url.path = String::new();
        return Ok(url);
    }
    let path = match rest.strip_prefix("//").filter(|_| !scheme.is_empty()) {
        Some(rest) => {
            let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
            url.host = host(authority)?.to_owned();
            path
        }
        None => rest,
    };
    escapes(path)?;
    url.path = path.to_owned();
    Ok(url)
}

/// The scheme, empty for none, and the rest; none when the scheme is missing before its colon.
fn scheme(text: &str) -> Option<(&str, &str)> {
    for (i, c) in text.char_indices() {
        match c {
            'a'..='z' | 'A'..='Z' => {}
            '0'..='9' | '+' | '-' | '.' if i > 0 => {}
            ':' if i == 0 => return None,
            ':' => return Some((&text[..i], &text[i + 1..])),
            _ => break,
        }
    }
    Some(("", text))
}

/// Complains about a percent sign that begins no escaped byte.
fn escapes(text: &str) -> Result<(), String> {
    for part in text.split('%').skip(1) {
        let digits = part.bytes().take(2).take_while(u8::is_ascii_hexdigit).count();
        if digits < 2 {
            let shown: String = part.chars().take(2).collect();
            return Err(format!("invalid URL escape {}", go_quote(&format!("%{shown}"))));
        }
    }
    Ok(())
}

/// The host of an authority, with its port.
fn host(authority: &str) -> Result<&str, String> {
    let (user, host) = authority.rsplit_once('@').unwrap_or(("", authority));
    let in_user = |c: char| c.is_ascii_alphanumeric() || "-._:~!$&'()*+,;=%@".contains(c);
    if !user.chars().all(in_user) {
        return Err("net/url: invalid userinfo".to_owned());
    }
    escapes(user)?;
    let port = match host.strip_prefix('[') {
        Some(inner) => inner.rsplit_once(']').ok_or("missing ']' in host")?.1,
        None => host.find(':').map_or("", |at| &host[at..]),
    };
    let digits = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit());
    if !(port.is_empty() || port.strip_prefix(':').is_some_and(digits)) {
        return Err(format!("invalid port {} after host", go_quote(port)));
    }
    let in_host = |c: &char| !c.is_ascii() || c.is_ascii_alphanumeric() || "-_.~!$&'()*+,;=:[]<>\"%".contains(*c);
    if let Some(c) = host.chars().find(|c| !in_host(c)) {
        return Err(format!("invalid character {} in host name", go_quote(&c.to_string())));
    }
    escapes(host)?;
    // Only what is no ASCII is escaped in hosts, but for the percent sign.
    let allowed = |part: &&str| part.starts_with("25") || !part.starts_with(|c: char| matches!(c, '0'..='7'));
    if let Some(part) = host.split('%').skip(1).find(|part| !allowed(part)) {
        let shown: String = part.chars().take(2).collect();
        return Err(format!("invalid URL escape {}", go_quote(&format!("%{shown}"))));
    }
    Ok(host)
}

fn query(text: &str) -> Value {
    let mut found: BTreeMap<Key, Vec<Value>> = BTreeMap::new();
    for pair in text.split('&').filter(|pair| !pair.is_empty() && !pair.contains(';')) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        if let (Some(name), Some(value)) = (unescape(name), unescape(value)) {
            found
                .entry(Key::String(name.into()))
                .or_default()
                .push(Value::text(&value));
        }
    }
    Value::Map(Arc::new(
        found
            .into_iter()
            .map(|(name, values)| (name, Value::list(values)))
            .collect(),
    ))
}

fn unescape(text: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digits = [rest.next()?, rest.next()?];
                u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
            }
            byte => byte,
        });
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_have_a_scheme_or_a_path() {
        for (text, expected) in [
            ("http://x", Ok(("http", "x", ""))),
            ("HTTPS://u:p@h:1/a b?c=%", Ok(("https", "h:1", "/a b"))),
            ("/path", Ok(("", "", "/path"))),
            ("mailto:a@b", Ok(("mailto", "", ""))),
            ("http://[::1]:80/", Ok(("http", "[::1]:80", "/"))),
            ("", Err("empty url")),
            ("x", Err("invalid URI for request")),
            (":x", Err("missing protocol scheme")),
            ("http://::1", Err("invalid port \"::1\" after host")),
            ("http://[::1", Err("missing ']' in host")),
            ("http://a b/", Err("invalid character \" \" in host name")),
            ("http://a%41/", Err("invalid URL escape \"%41\"")),
            ("/%zz", Err("invalid URL escape \"%zz\"")),
            ("http://a b@c/", Err("net/url: invalid userinfo")),
        ] {
            let found = parse(text);
            let found = found.as_ref().map(|url| (&*url.scheme, &*url.host, &*url.path));
            assert_eq!(found.map_err(|why| why.as_str()), expected, "{text}");
        }
    }
}
