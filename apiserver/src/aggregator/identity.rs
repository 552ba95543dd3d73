//! Tells backends who asks.

use crate::authentication::User;
use http::{HeaderMap, HeaderName, HeaderValue};
use machinery::remote_user::{Names, RemoteUser};

/// Replaces whatever headers say of a user. What no header can hold is left out.
pub(super) fn set(headers: &mut HeaderMap, user: &User) {
    let names = Names::default();
    let said = headers.keys().filter(|name| names.contain(name.as_str()));
    let said: Vec<HeaderName> = said.cloned().collect();
    for name in said {
        headers.remove(name);
    }
    let user = RemoteUser {
        name: user.name.clone(),
        uid: user.uid.clone(),
        groups: user.groups.clone(),
        extra: user.extra.clone(),
    };
    for (name, value) in user.headers() {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::from_bytes(value.as_bytes())) {
            headers.append(name, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_told_in_headers_and_nothing_else_is_left() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("x-remote-user", "admin"),
            ("x-remote-group", "system:masters"),
            ("x-remote-extra-scopes", "all"),
            ("accept", "*/*"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        let user = User {
            uid: "u-1".to_owned(),
            extra: [("example.com/a b%".to_owned(), vec!["1".to_owned(), "2".to_owned()])].into(),
            ..User::new("jane", &["dev", "ops"])
        };
        set(&mut headers, &user);
        let all = |name: &str| -> Vec<&str> { headers.get_all(name).iter().map(|v| v.to_str().unwrap()).collect() };
        assert_eq!(all("x-remote-user"), ["jane"]);
        assert_eq!(all("x-remote-uid"), ["u-1"]);
        assert_eq!(all("x-remote-group"), ["dev", "ops"]);
        assert_eq!(all("x-remote-extra-example.com%2fa%20b%25"), ["1", "2"]);
        assert_eq!(all("accept"), ["*/*"]);
        assert!(headers.get("x-remote-extra-scopes").is_none());
    }
}
