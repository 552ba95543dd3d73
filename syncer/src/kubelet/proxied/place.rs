//! What of another virtual cluster a request is about.

use http::Method;
use machinery::selector::field;

use crate::kubelet::authorization::ObjectAction;
use crate::settings::Proxied;

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::kubelet) enum Asked {
    /// Which OpenAPI documents there are.
    Index,
    /// The OpenAPI document of the version with this number.
    Description(usize),
    /// The resources of a version.
    Resources(usize),
    /// Objects of a version.
    Objects(usize, Place),
    /// Nothing that there is.
    Nothing,
}

/// Where objects are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::kubelet) struct Place {
    /// Empty for all namespaces, and for what lies in none.
    pub(super) namespace: String,
    /// The plural name.
    pub(super) resource: String,
    /// Empty for all of them.
    pub(super) name: String,
    /// Empty for the object itself.
    pub(super) subresource: String,
}

/// What somebody wants to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    Get,
    List,
    Watch,
    Create,
    Update,
    Patch,
    Delete,
    DeleteCollection,
}

impl Verb {
    /// As `RequestInfoFactory` finds it (k8s.io/apiserver `pkg/endpoints/request/requestinfo.go`).
    pub(super) fn of(method: &Method, place: &Place, parameters: &[(String, String)]) -> Option<Self> {
        let watches = || {
            let mut found = parameters.iter().filter(|(name, _)| name == "watch");
            found.any(|(_, value)| !matches!(value.as_str(), "false" | "0"))
        };
        Some(match (method.as_str(), place.name.is_empty()) {
            ("GET" | "HEAD", false) => Verb::Get,
            ("GET" | "HEAD", true) if watches() => Verb::Watch,
            ("GET" | "HEAD", true) => Verb::List,
            ("POST", _) => Verb::Create,
            ("PUT", false) => Verb::Update,
            ("PATCH", false) => Verb::Patch,
            ("DELETE", false) => Verb::Delete,
            ("DELETE", true) => Verb::DeleteCollection,
            _ => return None,
        })
    }

    /// The word that rules of roles have for it.
    fn word(self) -> &'static str {
        match self {
            Verb::Get => "get",
            Verb::List => "list",
            Verb::Watch => "watch",
            Verb::Create => "create",
            Verb::Update => "update",
            Verb::Patch => "patch",
            Verb::Delete => "delete",
            Verb::DeleteCollection => "deletecollection",
        }
    }
}

impl Place {
    /// What somebody has to be allowed to do. Who lists one object by its name needs the right to that one.
    pub(super) fn action(&self, version: &Proxied, verb: Verb, parameters: &[(String, String)]) -> ObjectAction {
        let selected = || {
            let selector = parameters.iter().find(|(name, _)| name == "fieldSelector")?;
            let selector = field::Selector::parse(&selector.1).ok()?;
            selector.required("metadata.name").map(str::to_owned)
        };
        let name = match verb {
            Verb::List | Verb::Watch | Verb::DeleteCollection => selected().unwrap_or_default(),
            _ => self.name.clone(),
        };
        ObjectAction {
            verb: verb.word(),
            group: version.group.clone(),
            version: version.version.clone(),
            resource: self.resource.clone(),
            subresource: self.subresource.clone(),
            namespace: self.namespace.clone(),
            name,
        }
    }

    /// The path in the other cluster.
    pub(super) fn path(&self, version: &Proxied) -> String {
        let mut path = format!("/apis/{}/{}", version.group, version.version);
        if !self.namespace.is_empty() {
            path += &format!("/namespaces/{}", self.namespace);
        }
        for part in [&self.resource, &self.name, &self.subresource] {
            if !part.is_empty() {
                path += &format!("/{part}");
            }
        }
        path
    }

    /// The object that a subresource belongs to.
    pub(super) fn object(&self) -> Self {
        Self {
            subresource: String::new(),
            ..self.clone()
        }
    }
}

/// What a path means; `None` when it is none of these versions'.
pub(super) fn asked(versions: &[Proxied], path: &str) -> Option<Asked> {
    let parts: Vec<&str> = path.strip_prefix('/')?.trim_end_matches('/').split('/').collect();
    let (describes, rest) = match parts.as_slice() {
        ["openapi", "v3"] => return (!versions.is_empty()).then_some(Asked::Index),
        ["openapi", "v3", "apis", rest @ ..] => (true, rest),
        ["apis", rest @ ..] => (false, rest),
        _ => return None,
    };
    let [group, version, rest @ ..] = rest else {
        return None;
    };
    let number = versions
        .iter()
        .position(|known| known.group == *group && known.version == *version)?;
    if !rest.iter().all(|part| is_plain(part)) {
        return Some(Asked::Nothing);
    }
    let own = |text: &&str| (*text).to_owned();
    let place = match (describes, rest) {
        (true, []) => return Some(Asked::Description(number)),
        (false, []) => return Some(Asked::Resources(number)),
        (false, ["namespaces", namespace, resource, rest @ ..]) => Place {
            namespace: own(namespace),
            resource: own(resource),
            name: rest.first().map(own).unwrap_or_default(),
            subresource: rest.get(1..).unwrap_or_default().join("/"),
        },
        (false, [resource, rest @ ..]) if *resource != "watch" => Place {
            namespace: String::new(),
            resource: own(resource),
            name: rest.first().map(own).unwrap_or_default(),
            subresource: rest.get(1..).unwrap_or_default().join("/"),
        },
        _ => return Some(Asked::Nothing),
    };
    let resources = &versions[number].resources;
    if resources.is_empty() || resources.contains(&place.resource) {
        Some(Asked::Objects(number, place))
    } else {
        Some(Asked::Nothing)
    }
}

/// Whether a part of a path is a name that stands for nothing else: no step up, and nothing encoded.
fn is_plain(part: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._:".contains(c);
    !matches!(part, "" | "." | "..") && part.chars().all(plain)
}

#[cfg(test)]
mod tests {
    use super::super::tests::versions;
    use super::*;

    #[test]
    fn paths() {
        let place = |namespace: &str, resource: &str, name: &str, subresource: &str| {
            let own = |text: &str| text.to_owned();
            Place {
                namespace: own(namespace),
                resource: own(resource),
                name: own(name),
                subresource: own(subresource),
            }
        };
        let widgets =
            |namespace, name, subresource| Some(Asked::Objects(0, place(namespace, "widgets", name, subresource)));
        let known = versions();
        for (path, expected) in [
            ("/openapi/v3", Some(Asked::Index)),
            ("/openapi/v3/apis/example.com/v1", Some(Asked::Description(0))),
            ("/openapi/v3/apis/apps/v1", None),
            ("/openapi/v2", None),
            ("/apis", None),
            ("/apis/example.com", None),
            ("/apis/example.com/v1", Some(Asked::Resources(0))),
            ("/apis/example.com/v1/", Some(Asked::Resources(0))),
            ("/apis/example.com/v2", None),
            ("/apis/example.com/v1/widgets", widgets("", "", "")),
            ("/apis/example.com/v1/widgets/w", widgets("", "w", "")),
            ("/apis/example.com/v1/namespaces/n/widgets", widgets("n", "", "")),
            ("/apis/example.com/v1/namespaces/n/widgets/w.x", widgets("n", "w.x", "")),
            (
                "/apis/example.com/v1/namespaces/n/widgets/w/status",
                widgets("n", "w", "status"),
            ),
            ("/apis/example.com/v1/gadgets", Some(Asked::Nothing)),
            ("/apis/example.com/v1/namespaces/n", Some(Asked::Nothing)),
            ("/apis/example.com/v1/watch/widgets", Some(Asked::Nothing)),
            ("/apis/example.com/v1/widgets/../../apps", Some(Asked::Nothing)),
            ("/apis/example.com/v1/namespaces/%2e%2e/widgets", Some(Asked::Nothing)),
            ("/apis/example.com/v1/widgets//x", Some(Asked::Nothing)),
            (
                "/apis/all.io/v1/things",
                Some(Asked::Objects(1, place("", "things", "", ""))),
            ),
        ] {
            assert_eq!(asked(&known, path), expected, "{path}");
        }
        assert_eq!(asked(&[], "/openapi/v3"), None);
    }

    #[test]
    fn verbs_and_what_they_take() {
        let known = versions();
        let pair = |name: &str, value: &str| vec![(name.to_owned(), value.to_owned())];
        let (many, one) = (
            Place {
                resource: "widgets".into(),
                namespace: "n".into(),
                ..Place::default()
            },
            Place {
                resource: "widgets".into(),
                namespace: "n".into(),
                name: "w".into(),
                ..Place::default()
            },
        );
        for (method, place, parameters, expected) in [
            ("GET", &many, vec![], Some(("list", ""))),
            ("GET", &many, pair("watch", "1"), Some(("watch", ""))),
            ("GET", &many, pair("watch", "false"), Some(("list", ""))),
            (
                "GET",
                &many,
                pair("fieldSelector", "metadata.name=w"),
                Some(("list", "w")),
            ),
            ("GET", &one, pair("watch", "1"), Some(("get", "w"))),
            ("POST", &many, vec![], Some(("create", ""))),
            ("PUT", &one, vec![], Some(("update", "w"))),
            ("PATCH", &one, vec![], Some(("patch", "w"))),
            ("DELETE", &one, vec![], Some(("delete", "w"))),
            ("DELETE", &many, vec![], Some(("deletecollection", ""))),
            ("PUT", &many, vec![], None),
            ("OPTIONS", &many, vec![], None),
        ] {
            let method: Method = method.parse().expect("a method");
            let action = Verb::of(&method, place, &parameters).map(|verb| place.action(&known[0], verb, &parameters));
            let found = action.as_ref().map(|action| (action.verb, action.name.as_str()));
            assert_eq!(found, expected, "{method} {parameters:?}");
        }
    }
}
