//! Users in the headers by which one server tells another who asks (client-go `transport.SetAuthProxyHeaders`, apiserver
//! `authentication/request/headerrequest`).

use std::collections::BTreeMap;
use std::fmt::Write;

/// Which headers name a user, in lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    /// Where the name stands; the first one that is there counts.
    pub user: Vec<String>,
    /// Where the UID stands.
    pub uid: Vec<String>,
    /// Where the groups stand; all of them count.
    pub group: Vec<String>,
    /// What the names of headers with anything else begin with.
    pub extra_prefix: Vec<String>,
}

/// A user that headers name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RemoteUser {
    /// The name.
    pub name: String,
    /// The UID; empty when nobody knows it.
    pub uid: String,
    /// The groups.
    pub groups: Vec<String>,
    /// Anything else.
    pub extra: BTreeMap<String, Vec<String>>,
}

impl Default for Names {
    /// The usual ones, in which API servers tell servers behind APIServices who asks.
    fn default() -> Self {
        let one = |name: &str| vec![name.to_owned()];
        Names {
            user: one("x-remote-user"),
            uid: one("x-remote-uid"),
            group: one("x-remote-group"),
            extra_prefix: one("x-remote-extra-"),
        }
    }
}

impl Names {
    /// The user that headers name, if any. Names of headers are in lower case.
    pub fn user<'a>(&self, headers: impl Iterator<Item = (&'a str, &'a [u8])>) -> Option<RemoteUser> {
        let headers: Vec<(&str, &[u8])> = headers.filter(|(name, _)| self.contain(name)).collect();
        let values = |names: &[String]| -> Vec<String> {
            let of = |name| headers.iter().filter(move |(found, _)| *found == name);
            let all = names.iter().flat_map(|name| of(name.as_str()));
            let texts = all.map(|(_, value)| String::from_utf8_lossy(value).trim().to_owned());
            texts.filter(|text| !text.is_empty()).collect()
        };
        let first = |names: &[String]| values(names).into_iter().next();
        let mut user = RemoteUser {
            name: first(&self.user)?,
            uid: first(&self.uid).unwrap_or_default(),
            groups: values(&self.group),
            extra: BTreeMap::new(),
        };
        for (name, value) in &headers {
            let key = self
                .extra_prefix
                .iter()
                .find_map(|prefix| name.strip_prefix(prefix.as_str()));
            if let Some(key) = key {
                let value = String::from_utf8_lossy(value).into_owned();
                user.extra.entry(unescaped(key)).or_default().push(value);
            }
        }
        Some(user)
    }

    /// Whether a header, in lower case, says anything about a user.
    pub fn contain(&self, header: &str) -> bool {
        let named = [&self.user, &self.uid, &self.group];
        named.iter().any(|names| names.iter().any(|name| name == header))
            || self
                .extra_prefix
                .iter()
                .any(|prefix| header.starts_with(prefix.as_str()))
    }
}

impl RemoteUser {
    /// The usual headers that name this user.
    pub fn headers(&self) -> Vec<(String, &str)> {
        let mut headers = vec![("x-remote-user".to_owned(), self.name.as_str())];
        if !self.uid.is_empty() {
            headers.push(("x-remote-uid".to_owned(), &self.uid));
        }
        headers.extend(
            self.groups
                .iter()
                .map(|group| ("x-remote-group".to_owned(), group.as_str())),
        );
        for (key, values) in &self.extra {
            let name = format!("x-remote-extra-{}", escaped(key));
            headers.extend(values.iter().map(|value| (name.clone(), value.as_str())));
        }
        headers
    }
}

/// A key as part of a header's name: what may not stand there is escaped with `%`, as is `%` itself.
fn escaped(key: &str) -> String {
    let mut out = String::with_capacity(key.len());
    for byte in key.bytes() {
        if byte.is_ascii_alphanumeric() || b"!#$&'*+-.^_`|~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

/// Resolves `%2f`; what is malformed stays as it is.
fn unescaped(key: &str) -> String {
    let mut out = Vec::with_capacity(key.len());
    let mut rest = key.as_bytes();
    while let [byte, tail @ ..] = rest {
        (out, rest) = match (byte, tail) {
            (b'%', [high, low, tail @ ..]) => {
                let digit = |byte: &u8| {
                    char::from(*byte)
                        .to_digit(16)
                        .and_then(|digit| u8::try_from(digit).ok())
                };
                let Some((high, low)) = digit(high).zip(digit(low)) else {
                    return key.to_owned();
                };
                out.push(high * 16 + low);
                (out, tail)
            }
            (b'%', _) => return key.to_owned(),
            _ => {
                out.push(*byte);
                (out, tail)
            }
        };
    }
    String::from_utf8(out).unwrap_or_else(|_| key.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(headers: &[(&str, &str)]) -> Option<RemoteUser> {
        Names::default().user(headers.iter().map(|(name, value)| (*name, value.as_bytes())))
    }

    #[test]
    fn headers_name_users() {
        let user = read(&[
            ("x-remote-user", "jane"),
            ("x-remote-uid", "u-1"),
            ("x-remote-group", "dev"),
            ("accept", "*/*"),
            ("x-remote-group", "ops"),
            ("x-remote-extra-example.com%2fscopes", "view"),
            ("x-remote-extra-bad%zz", "1"),
        ])
        .unwrap();
        assert_eq!((user.name.as_str(), user.uid.as_str()), ("jane", "u-1"));
        assert_eq!(user.groups, ["dev", "ops"]);
        assert_eq!(user.extra["example.com/scopes"], ["view"]);
        assert_eq!(user.extra["bad%zz"], ["1"]);
        assert_eq!(read(&[("x-remote-group", "system:masters")]), None);
        assert_eq!(read(&[("x-remote-user", " ")]), None);
        let names = Names::default();
        assert!(names.contain("x-remote-extra-a") && names.contain("x-remote-uid") && !names.contain("x-remote"));
    }

    proptest! {
        #[test]
        fn users_survive_their_headers(
            name in "[a-z:]{1,9}", uid in "[a-z0-9-]{0,9}", groups in prop::collection::vec("[a-z:]{1,9}", 0..4),
            extra in prop::collection::btree_map("[a-z/%. é]{1,9}", prop::collection::vec("[a-z]{1,5}", 1..3), 0..4),
        ) {
            let user = RemoteUser { name, uid, groups, extra };
            let headers = user.headers();
            let sent: Vec<(String, &str)> = headers.iter().map(|(n, v)| (n.to_ascii_lowercase(), *v)).collect();
            let sent: Vec<(&str, &str)> = sent.iter().map(|(n, v)| (n.as_str(), *v)).collect();
            prop_assert_eq!(read(&sent), Some(user));
        }
    }
}
