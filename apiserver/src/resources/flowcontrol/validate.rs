//! What both kinds of flow control have in common, and the rules of flow schemas (`pkg/apis/flowcontrol/validation`).

use super::super::shared::checks::{complaints, text};
use machinery::field::{Error, ErrorList, Path};
use machinery::{meta, names};
use serde_json::Value;
use std::collections::BTreeSet;

const ALL: &str = "*";
const VERBS: [&str; 9] = [
    "create",
    "delete",
    "deletecollection",
    "get",
    "list",
    "patch",
    "proxy",
    "update",
    "watch",
];
/// The kinds of subjects, sorted, with the field that each has.
const SUBJECTS: [(&str, &str); 3] = [
    ("Group", "group"),
    ("ServiceAccount", "serviceAccount"),
    ("User", "user"),
];

/// Conditions have a type, and each type once.
pub(super) fn status(obj: &Value) -> ErrorList {
    let mut errors = ErrorList::new();
    let mut seen = BTreeSet::new();
    for (i, condition) in meta::list_at(obj, &["status", "conditions"]).iter().enumerate() {
        let path = Path::new("status").child("conditions").index(i).child("type");
        let kind = text(condition, &["type"]);
        if !seen.insert(kind) {
            errors.push(Error::duplicate(&path, kind));
        }
        if kind.is_empty() {
            errors.push(Error::required(&path, ""));
        }
    }
    errors
}

/// `ValidateFlowSchemaPolicyRulesWithSubjects`.
pub(super) fn rule(rule: &Value, path: &Path) -> ErrorList {
    let list = |field: &str| meta::list_at(rule, &[field]);
    let mut errors = ErrorList::new();
    if list("subjects").is_empty() {
        let detail = "subjects must contain at least one value";
        errors.push(Error::required(&path.child("subjects"), detail));
    }
    for (i, subject) in list("subjects").iter().enumerate() {
        errors.extend(self::subject(subject, &path.child("subjects").index(i)));
    }
    if list("resourceRules").is_empty() && list("nonResourceRules").is_empty() {
        let detail = "at least one of resourceRules and nonResourceRules has to be non-empty";
        errors.push(Error::required(path, detail));
    }
    for (i, rule) in list("resourceRules").iter().enumerate() {
        errors.extend(resource_rule(rule, &path.child("resourceRules").index(i)));
    }
    for (i, rule) in list("nonResourceRules").iter().enumerate() {
        errors.extend(non_resource_rule(rule, &path.child("nonResourceRules").index(i)));
    }
    errors
}

fn subject(subject: &Value, path: &Path) -> ErrorList {
    let kind = text(subject, &["kind"]);
    let Some((_, own)) = SUBJECTS.iter().find(|(name, _)| *name == kind) else {
        return vec![Error::not_supported(
            &path.child("kind"),
            kind,
            &SUBJECTS.map(|(name, _)| name),
        )];
    };
    let mut errors = match subject.get(*own) {
        None => {
            let detail = format!("{own} is required when subject kind is '{kind}'");
            vec![Error::required(&path.child(own), detail)]
        }
        Some(who) => named(who, kind == "ServiceAccount", &path.child(own)),
    };
    // Upstream looks at accounts before users, and at users before groups.
    for (other, field) in [SUBJECTS[1], SUBJECTS[2], SUBJECTS[0]] {
        if field != *own && subject.get(field).is_some() {
            let detail = format!("{field} is forbidden when subject kind is not '{other}'");
            errors.push(Error::forbidden(&path.child(field), detail));
        }
    }
    errors
}

fn named(who: &Value, account: bool, path: &Path) -> ErrorList {
    let (name, namespace) = (text(who, &["name"]), text(who, &["namespace"]));
    let mut errors = ErrorList::new();
    if name.is_empty() {
        errors.push(Error::required(&path.child("name"), ""));
    } else if account && name != ALL {
        errors.extend(complaints(&path.child("name"), name, names::dns1123_subdomain(name)));
    }
    if account {
        let path = path.child("namespace");
        if namespace.is_empty() {
            errors.push(Error::required(&path, "must specify namespace for service account"));
        } else {
            errors.extend(complaints(&path, namespace, names::dns1123_label(namespace)));
        }
    }
    errors
}

fn has_all(list: &[Value]) -> bool {
    list.iter().any(|item| item == ALL)
}

/// A list that has something, and where everything stands alone.
fn alone(rule: &Value, field: &str, missing: &str, others: &str, path: &Path) -> Option<Error> {
    let list = meta::list_at(rule, &[field]);
    let path = path.child(field);
    if list.is_empty() {
        return Some(Error::required(&path, missing));
    }
    let detail = format!("if '*' is present, must not specify other {others}");
    (list.len() > 1 && has_all(list)).then(|| Error::invalid(&path, list.to_vec(), detail))
}

fn verbs(rule: &Value, path: &Path) -> Option<Error> {
    let list = meta::list_at(rule, &["verbs"]);
    let known = has_all(list) || list.iter().all(|verb| VERBS.iter().any(|known| verb == known));
    alone(rule, "verbs", "verbs must contain at least one value", "verbs", path)
        .or_else(|| (!known).then(|| Error::not_supported(&path.child("verbs"), list.to_vec(), &VERBS)))
}

fn resource_rule(rule: &Value, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    errors.extend(verbs(rule, path));
    for (field, one, others) in [
        ("apiGroups", "api group", "api groups"),
        ("resources", "resource", "resources"),
    ] {
        let missing = format!("resource rules must supply at least one {one}");
        errors.extend(alone(rule, field, &missing, others, path));
    }
    let namespaces = meta::list_at(rule, &["namespaces"]);
    if namespaces.is_empty() && meta::bool_at(rule, &["clusterScope"]) == Some(true) {
        return errors;
    }
    let missing = "resource rules that are not cluster scoped must supply at least one namespace";
    errors.extend(alone(rule, "namespaces", missing, "namespaces", path));
    if !has_all(namespaces) {
        for (i, namespace) in namespaces.iter().enumerate() {
            let namespace = namespace.as_str().unwrap_or_default();
            let path = path.child("namespaces").index(i);
            errors.extend(complaints(&path, namespace, names::dns1123_label(namespace)));
        }
    }
    errors
}

fn non_resource_rule(rule: &Value, path: &Path) -> ErrorList {
    const FIELD: &str = "nonResourceURLs";
    let mut errors = ErrorList::new();
    errors.extend(verbs(rule, path));
    let missing = "nonResourceURLs must contain at least one value";
    errors.extend(alone(rule, FIELD, missing, "non-resource URLs", path));
    let urls = meta::list_at(rule, &[FIELD]);
    if !has_all(urls) {
        for (i, url) in urls.iter().enumerate() {
            errors.extend(url_path(url.as_str().unwrap_or_default(), &path.child(FIELD).index(i)));
        }
    }
    errors
}

/// `ValidateNonResourceURLPath`.
fn url_path(url: &str, path: &Path) -> Option<Error> {
    let stars = url.matches('*').count();
    let detail = match url {
        "/" => return None,
        "" => "must not be empty",
        _ if !url.starts_with('/') => "must start with slash",
        _ if url.contains(' ') => "must not contain white-space",
        _ if url.contains("//") => "must not contain double slash",
        _ if stars > 1 || (stars == 1 && !url.ends_with("/*")) => "wildcard can only do suffix matching",
        _ => return None,
    };
    Some(Error::invalid(path, url, detail))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn subjects_are_of_their_kind() {
        for (given, expected) in [
            (json!({"kind": "User", "user": {"name": "u"}}), vec![]),
            (
                json!({"kind": "Foo"}),
                vec!["s.kind: Unsupported value: \"Foo\": supported values: \"Group\", \"ServiceAccount\", \"User\""],
            ),
            (
                json!({"kind": "Group", "user": {"name": "u"}}),
                vec![
                    "s.group: Required value: group is required when subject kind is 'Group'",
                    "s.user: Forbidden: user is forbidden when subject kind is not 'User'",
                ],
            ),
            (
                json!({"kind": "ServiceAccount", "serviceAccount": {"name": "*"}}),
                vec!["s.serviceAccount.namespace: Required value: must specify namespace for service account"],
            ),
        ] {
            let texts: Vec<String> = subject(&given, &Path::new("s"))
                .iter()
                .map(ToString::to_string)
                .collect();
            assert_eq!(texts, expected);
        }
    }

    #[test]
    fn rules_are_about_something() {
        let rule = json!({"verbs": ["*", "get"], "apiGroups": [], "resources": ["pods"], "namespaces": ["Bad"]});
        let errors = resource_rule(&rule, &Path::new("r"));
        let fields: Vec<&str> = errors.iter().map(|e| e.field.as_str()).collect();
        assert_eq!(fields, ["r.verbs", "r.apiGroups", "r.namespaces[0]"]);
        for (url, fine) in [
            ("/", true),
            ("/a/*", true),
            ("a", false),
            ("/a*", false),
            ("//a", false),
        ] {
            assert_eq!(url_path(url, &Path::new("u")).is_none(), fine, "{url}");
        }
    }
}
