//! What a request asks for, in the words of rules (upstream `pkg/endpoints/request/requestinfo.go`).

/// A sort of request, and how it was answered.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Asked {
    /// The verb of a rule.
    pub verb: String,
    /// API group; empty for the first one, and for what is no resource.
    pub group: String,
    /// The resource, with the subresource behind a slash; the whole path of what is no resource.
    pub resource: String,
    /// The namespace; empty for all, and for what lies in none.
    pub namespace: String,
    /// The name of the only object that is asked for; empty otherwise.
    pub name: String,
    /// Status code of the answer; 0 when there was none.
    pub code: u16,
}

impl Asked {
    /// What a method and a path, with its query, ask for.
    pub fn new(method: &str, path: &str) -> Self {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        let (group, rest) = match parts.as_slice() {
            ["api", _, rest @ ..] if !rest.is_empty() => ("", rest),
            ["apis", group, _, rest @ ..] if !rest.is_empty() => (*group, rest),
            _ => return Self::other(method, path),
        };
        let (namespace, rest) = match rest {
            ["namespaces", namespace, rest @ ..] if !rest.is_empty() => (*namespace, rest),
            rest => ("", rest),
        };
        let subresource = rest.get(2).map_or(String::new(), |name| format!("/{name}"));
        let name = rest.get(1).map_or_else(|| selected(query), |name| (*name).to_owned());
        let is_single = rest.len() > 1;
        let watches = query.split('&').any(|pair| matches!(pair, "watch=true" | "watch=1"));
        let verb = match (method, is_single) {
            ("GET", true) => "get",
            ("GET", false) if watches => "watch",
            ("GET", false) => "list",
            ("POST", _) => "create",
            ("PUT", _) => "update",
            ("PATCH", _) => "patch",
            ("DELETE", true) => "delete",
            ("DELETE", false) => "deletecollection",
            _ => method,
        };
        let resource = rest.first().copied().unwrap_or_default();
        // A namespace lies in itself.
        let namespace = if resource == "namespaces" {
            name.as_str()
        } else {
            namespace
        };
        Self {
            verb: verb.to_owned(),
            group: group.to_owned(),
            resource: format!("{resource}{subresource}"),
            namespace: namespace.to_owned(),
            name,
            code: 0,
        }
    }

    fn other(method: &str, path: &str) -> Self {
        Self {
            verb: method.to_ascii_lowercase(),
            group: String::new(),
            resource: path.to_owned(),
            namespace: String::new(),
            name: String::new(),
            code: 0,
        }
    }

    /// Where objects of this sort are created.
    pub fn collection(&self) -> String {
        format!("{}/{}/{}", self.namespace, self.group, self.resource)
    }
}

/// The name that a field selector demands, as it is encoded.
fn selected(query: &str) -> String {
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let selectors = pairs.filter(|(key, _)| *key == "fieldSelector");
    let mut names = selectors.filter_map(|(_, value)| {
        let value = value.replace("%3D", "=");
        value.strip_prefix("metadata.name=").map(str::to_owned)
    });
    names.next_back().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_named_as_rules_name_them() {
        let cases = [
            ("GET", "/api/v1/pods", "list  pods  "),
            ("GET", "/api/v1/namespaces/a/pods?watch=true&x=y", "watch  pods a "),
            ("GET", "/api/v1/namespaces/a", "get  namespaces a a"),
            (
                "GET",
                "/api/v1/namespaces/a/services?fieldSelector=metadata.name%3Dvc",
                "list  services a vc",
            ),
            ("PATCH", "/api/v1/namespaces/a/pods/p/status", "patch  pods/status a p"),
            (
                "POST",
                "/apis/apps/v1/namespaces/a/deployments",
                "create apps deployments a ",
            ),
            (
                "DELETE",
                "/apis/apps/v1/namespaces/a/deployments/d",
                "delete apps deployments a d",
            ),
            ("GET", "/version", "get  /version  "),
            ("GET", "/apis/apps/v1", "get  /apis/apps/v1  "),
        ];
        for (method, path, expected) in cases {
            let Asked {
                verb,
                group,
                resource,
                namespace,
                name,
                ..
            } = Asked::new(method, path);
            assert_eq!(format!("{verb} {group} {resource} {namespace} {name}"), expected);
        }
    }
}
