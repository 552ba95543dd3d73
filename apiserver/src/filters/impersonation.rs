//! Acting as somebody else: `kubectl --as` (k8s.io/apiserver `endpoints/filters/impersonation`).

use super::Refusal;
use super::authorization::attributes;
use super::request_info::{RequestInfo, percent_decode};
use crate::authentication::User;
use crate::authentication::user::{ANONYMOUS, AUTHENTICATED, UNAUTHENTICATED};
use crate::authorization::{Attributes, Authorizer, forbidden};
use http::HeaderMap;
use machinery::field::go_quote;
use machinery::status::Status;
use std::collections::BTreeMap;

const USER: &str = "impersonate-user";
const UID: &str = "impersonate-uid";
const GROUP: &str = "impersonate-group";
const EXTRA_PREFIX: &str = "impersonate-extra-";

/// The user on whose behalf the request is made: the one who makes it, unless headers name another.
///
/// # Errors
/// 403 when the user may not impersonate the other one, 400 when the headers name no user.
pub fn filter(
    authorizer: &dyn Authorizer,
    user: User,
    headers: &HeaderMap,
    info: &RequestInfo,
) -> Result<User, Refusal> {
    let Some(wanted) = wanted(headers) else { return Ok(user) };
    if wanted.name.is_empty() {
        return Err(Status::bad_request(nameless(&wanted)).into());
    }
    let verb = format!("impersonate-on:user-info:{}", info.verb);
    let may = |resource: &str, name: &str| {
        authorizer.allows(&Attributes {
            user: &user.name,
            groups: &user.groups,
            verb: "impersonate",
            is_resource: true,
            resource,
            name,
            ..Attributes::default()
        })
    };
    let allowed = may("users", &wanted.name)
        && wanted.groups.iter().all(|group| may("groups", group))
        && (wanted.uid.is_empty() || may("uids", &wanted.uid))
        && wanted.extra.keys().all(|key| may("userextras", key));
    if !allowed {
        let attributes = Attributes {
            verb: &verb,
            ..attributes(&user, info)
        };
        return Err(Refusal::Forbidden(Box::new(forbidden(&attributes, ""))));
    }
    tracing::debug!(user = user.name, wanted = wanted.name, "acting as another user");
    Ok(with_implied_groups(wanted))
}

fn wanted(headers: &HeaderMap) -> Option<User> {
    let all = |name: &str| -> Vec<String> {
        headers
            .get_all(name)
            .iter()
            .filter_map(|value| value.to_str().ok().map(str::to_owned))
            .collect()
    };
    let mut extra: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for name in headers.keys() {
        if let Some(key) = name.as_str().strip_prefix(EXTRA_PREFIX) {
            extra.insert(percent_decode(key), all(name.as_str()));
        }
    }
    let first = |name: &str| all(name).into_iter().next().unwrap_or_default();
    let user = User {
        name: first(USER),
        uid: first(UID),
        groups: all(GROUP),
        extra,
    };
    (user != User::default()).then_some(user)
}

/// The groups that authentication would have added.
fn with_implied_groups(mut user: User) -> User {
    if user.groups.is_empty() {
        let account = user
            .name
            .strip_prefix("system:serviceaccount:")
            .and_then(|rest| rest.split_once(':'));
        if let Some((namespace, name)) = account {
            user.groups = User::service_account(namespace, name, "").groups;
        }
    }
    if user.name == ANONYMOUS {
        if !user.in_group(UNAUTHENTICATED) {
            user.groups.push(UNAUTHENTICATED.to_owned());
        }
    } else if !user.in_group(AUTHENTICATED) && !user.in_group(UNAUTHENTICATED) {
        user.groups.push(AUTHENTICATED.to_owned());
    }
    user
}

/// Upstream prints Go's form of the incomplete user.
fn nameless(user: &User) -> String {
    let list = |items: &[String]| {
        let quoted: Vec<String> = items.iter().map(|item| go_quote(item).to_string()).collect();
        if items.is_empty() {
            "[]string(nil)".to_owned()
        } else {
            format!("[]string{{{}}}", quoted.join(", "))
        }
    };
    let extra: Vec<String> = user
        .extra
        .iter()
        .map(|(key, values)| format!("{}:{}", go_quote(key), list(values)))
        .collect();
    let extra = if extra.is_empty() {
        "map[string][]string(nil)".to_owned()
    } else {
        format!("map[string][]string{{{}}}", extra.join(", "))
    };
    format!(
        "requested &user.DefaultInfo{{Name:\"\", UID:{}, Groups:{}, Extra:{extra}}} without impersonating a user name",
        go_quote(&user.uid),
        list(&user.groups)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authorization::control_plane::ControlPlane;
    use http::{HeaderName, Method};

    fn acting(user: &str, group: &str, headers: &[(&str, &str)]) -> Result<User, String> {
        let headers: HeaderMap = headers
            .iter()
            .map(|(k, v)| (k.parse::<HeaderName>().unwrap(), v.parse().unwrap()))
            .collect();
        let info = RequestInfo::parse(&Method::GET, "/api/v1/namespaces/n/pods", None).unwrap();
        filter(&ControlPlane, User::new(user, &[group]), &headers, &info).map_err(|refusal| match refusal {
            Refusal::Status(status) | Refusal::Forbidden(status) => status.message,
            other => format!("{other:?}"),
        })
    }

    #[test]
    fn masters_act_as_anybody() {
        let admin = |headers: &[(&str, &str)]| acting("admin", "system:masters", headers);
        assert_eq!(admin(&[]).unwrap().name, "admin");
        let bob = admin(&[
            ("Impersonate-User", "bob"),
            ("Impersonate-Group", "g1"),
            ("Impersonate-Group", "g2"),
        ])
        .unwrap();
        assert_eq!(
            (bob.name.as_str(), bob.groups),
            ("bob", ["g1", "g2", "system:authenticated"].map(String::from).into())
        );
        let account = admin(&[("Impersonate-User", "system:serviceaccount:n:a")]).unwrap();
        let groups = [
            "system:serviceaccounts",
            "system:serviceaccounts:n",
            "system:authenticated",
        ];
        assert_eq!(account.groups, groups);
        let extra = admin(&[("Impersonate-User", "u"), ("Impersonate-Extra-example.com%2fkey", "v")])
            .unwrap()
            .extra;
        assert_eq!(extra["example.com/key"], ["v"]);
        assert_eq!(
            admin(&[("Impersonate-User", "system:anonymous")]).unwrap().groups,
            ["system:unauthenticated"]
        );
    }

    #[test]
    fn others_do_not() {
        assert_eq!(
            acting("jane", "system:authenticated", &[("Impersonate-User", "bob")]).unwrap_err(),
            "pods is forbidden: User \"jane\" cannot impersonate-on:user-info:list resource \"pods\" in API group \"\" in \
             the namespace \"n\""
        );
        assert_eq!(
            acting("admin", "system:masters", &[("Impersonate-Group", "g1")]).unwrap_err(),
            "requested &user.DefaultInfo{Name:\"\", UID:\"\", Groups:[]string{\"g1\"}, Extra:map[string][]string(nil)} \
             without impersonating a user name"
        );
    }
}
