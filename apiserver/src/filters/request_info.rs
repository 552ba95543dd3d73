//! What a request is about, read from its method, path and query (k8s.io/apiserver `pkg/endpoints/request/requestinfo.go`).

use http::Method;

/// The coordinates of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestInfo {
    /// Whether it is about an API resource; else only `path` and `verb` mean something.
    pub is_resource: bool,
    /// The decoded path.
    pub path: String,
    /// The Kubernetes verb (`get`, `list`, `watch`, `create`, …), or the HTTP method in lower case without a resource.
    pub verb: String,
    /// `api` or `apis`; empty without a resource.
    pub prefix: String,
    /// The API group; empty for the core group.
    pub group: String,
    /// The API version.
    pub version: String,
    /// The namespace; empty for cluster-scoped resources and for all namespaces.
    pub namespace: String,
    /// The plural resource name.
    pub resource: String,
    /// The subresource; empty for the object itself.
    pub subresource: String,
    /// The object's name; also taken from a `metadata.name` field selector of a list or watch.
    pub name: String,
    /// The field selector of a list, watch or deletion of many.
    pub field_selector: String,
    /// The path from the resource on: resource, name, subresource and whatever follows.
    pub parts: Vec<String>,
}

/// Path prefixes in front of the resource that name a verb; `proxy` knows no subresources.
const SPECIAL_VERBS: [&str; 2] = ["proxy", "watch"];
/// Verbs that are about many objects at once.
const VERBS_WITH_SELECTORS: [&str; 3] = ["list", "watch", "deletecollection"];
/// What follows a namespace's name and is not a resource in it.
const NAMESPACE_SUBRESOURCES: [&str; 2] = ["status", "finalize"];
/// Subresources whose requests may last (kube-apiserver `cmd/kube-apiserver/app/server.go`).
const LONG_RUNNING_SUBRESOURCES: [&str; 5] = ["attach", "exec", "proxy", "log", "portforward"];

impl RequestInfo {
    /// Reads a request line. `path` is the percent-encoded path as sent.
    ///
    /// # Errors
    /// When a path names a verb but no resource.
    pub fn parse(method: &Method, path: &str, query: Option<&str>) -> Result<Self, String> {
        let decoded = percent_decode(path);
        let mut info = RequestInfo {
            verb: method.as_str().to_ascii_lowercase(),
            path: decoded.clone(),
            ..RequestInfo::default()
        };
        let trimmed = decoded.trim_matches('/');
        let mut parts: &[&str] = &trimmed.split('/').collect::<Vec<_>>();
        if parts.len() < 3 || !matches!(parts[0], "api" | "apis") {
            return Ok(info);
        }
        let (prefix, rest) = (parts[0], &parts[1..]);
        parts = rest;
        if prefix == "apis" {
            if parts.len() < 3 {
                info.prefix = prefix.to_owned();
                return Ok(info);
            }
            info.group = parts[0].to_owned();
            parts = &parts[1..];
        }
        info.prefix = prefix.to_owned();
        info.is_resource = true;
        info.version = parts[0].to_owned();
        parts = &parts[1..];

        let by_path = SPECIAL_VERBS.contains(&parts[0]);
        if by_path {
            if parts.len() < 2 {
                let query = query.map(|query| format!("?{query}")).unwrap_or_default();
                return Err(format!(
                    "unable to determine kind and namespace from url, {path}{query}"
                ));
            }
            info.verb = parts[0].to_owned();
            parts = &parts[1..];
        } else {
            info.verb = verb_of(method).to_owned();
        }
        if parts[0] == "namespaces" && parts.len() > 1 {
            info.namespace = parts[1].to_owned();
            if parts.len() > 2 && !NAMESPACE_SUBRESOURCES.contains(&parts[2]) {
                parts = &parts[2..];
            }
        }
        info.parts = parts.iter().map(|part| (*part).to_owned()).collect();
        let part = |i: usize| parts.get(i).map_or_else(String::new, |part| (*part).to_owned());
        info.resource = part(0);
        info.name = part(1);
        if info.verb != "proxy" {
            info.subresource = part(2);
        }
        let parameters: Vec<(String, String)> = query_pairs(query.unwrap_or_default()).collect();
        if info.name.is_empty() && info.verb == "get" {
            info.verb = if is_watch(&parameters) { "watch" } else { "list" }.to_owned();
            if let Some(name) = selected_name(&parameters) {
                info.name = name;
            }
        }
        if info.name.is_empty() && info.verb == "delete" {
            info.verb = "deletecollection".to_owned();
        }
        // Watches by path have selectors only for many objects, so they are not looked at.
        if !by_path && VERBS_WITH_SELECTORS.contains(&info.verb.as_str()) {
            let selector = parameters.into_iter().find(|(key, _)| key == "fieldSelector");
            info.field_selector = selector.map(|(_, value)| value).unwrap_or_default();
        }
        Ok(info)
    }

    /// Whether the request may last longer than the request timeout: watches, logs and tunnels.
    pub fn is_long_running(&self) -> bool {
        matches!(self.verb.as_str(), "watch" | "proxy")
            || (self.is_resource && LONG_RUNNING_SUBRESOURCES.contains(&self.subresource.as_str()))
    }

    /// Whether the request only reads.
    pub fn is_read_only(&self) -> bool {
        matches!(self.verb.as_str(), "get" | "list" | "watch")
    }
}

fn verb_of(method: &Method) -> &'static str {
    match method.as_str() {
        "POST" => "create",
        "GET" | "HEAD" => "get",
        "PUT" => "update",
        "PATCH" => "patch",
        "DELETE" => "delete",
        _ => "",
    }
}

/// Any value but `false` and `0` means yes, an empty one included.
fn is_watch(parameters: &[(String, String)]) -> bool {
    let value = parameters
        .iter()
        .find(|(key, _)| key == "watch")
        .map(|(_, value)| value.to_ascii_lowercase());
    value.is_some_and(|value| value != "false" && value != "0")
}

/// The name that a field selector pins down, when it can be one.
fn selected_name(parameters: &[(String, String)]) -> Option<String> {
    let selector = &parameters.iter().find(|(key, _)| key == "fieldSelector")?.1;
    let requirement = selector
        .split(',')
        .find_map(|term| term.trim().strip_prefix("metadata.name="))?;
    let name = requirement.strip_prefix('=').unwrap_or(requirement);
    let usable = !name.is_empty() && !matches!(name, "." | "..") && !name.contains(['/', '%']);
    usable.then(|| name.to_owned())
}

/// The parameters of a query string, decoded as HTML forms are.
pub fn query_pairs(query: &str) -> impl Iterator<Item = (String, String)> + '_ {
    // Go leaves out what it cannot read, and takes no semicolon for a separator any more.
    let readable = |pair: &&str| !pair.is_empty() && !pair.contains(';') && is_escaped(pair);
    query.split('&').filter(readable).map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (
            percent_decode(&key.replace('+', " ")),
            percent_decode(&value.replace('+', " ")),
        )
    })
}

/// Whether every `%` is followed by two hexadecimal digits.
fn is_escaped(text: &str) -> bool {
    let digits = |tail: &str| tail.len() >= 2 && tail.bytes().take(2).all(|byte| byte.is_ascii_hexdigit());
    text.split('%').skip(1).all(digits)
}

/// Resolves `%41`; what is not a valid escape stays as it is, and what is no UTF-8 is replaced.
pub fn percent_decode(text: &str) -> String {
    let bytes = text.as_bytes();
    if !bytes.contains(&b'%') {
        return text.to_owned();
    }
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let mut out = Vec::with_capacity(bytes.len());
    let mut i = 0;
    while i < bytes.len() {
        let escaped = match &bytes[i..] {
            [b'%', high, low, ..] => digit(*high).zip(digit(*low)),
            _ => None,
        };
        match escaped {
            Some((high, low)) => {
                // Two hexadecimal digits fit a byte.
                out.push((high * 16 + low) as u8);
                i += 3;
            }
            None => {
                out.push(bytes[i]);
                i += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Path and query; verb, group, version, namespace, resource, subresource, name.
    type Row = (&'static str, &'static str, [&'static str; 7]);

    const RESOURCES: &[Row] = &[
        (
            "GET",
            "/api/v1/namespaces",
            ["list", "", "v1", "", "namespaces", "", ""],
        ),
        (
            "GET",
            "/api/v1/namespaces/other",
            ["get", "", "v1", "other", "namespaces", "", "other"],
        ),
        (
            "PUT",
            "/api/v1/namespaces/x/finalize",
            ["update", "", "v1", "x", "namespaces", "finalize", "x"],
        ),
        (
            "GET",
            "/api/v1/namespaces/x/pods",
            ["list", "", "v1", "x", "pods", "", ""],
        ),
        (
            "GET",
            "/api/v1/namespaces/x/pods/p",
            ["get", "", "v1", "x", "pods", "", "p"],
        ),
        (
            "HEAD",
            "/api/v1/namespaces/x/pods/p",
            ["get", "", "v1", "x", "pods", "", "p"],
        ),
        ("GET", "/api/v1/pods", ["list", "", "v1", "", "pods", "", ""]),
        ("GET", "/api/v1/pods?watch=", ["watch", "", "v1", "", "pods", "", ""]),
        ("GET", "/api/v1/pods?watch=0", ["list", "", "v1", "", "pods", "", ""]),
        (
            "GET",
            "/api/v1/pods?watch=False",
            ["list", "", "v1", "", "pods", "", ""],
        ),
        ("GET", "/api/v1/watch/pods", ["watch", "", "v1", "", "pods", "", ""]),
        (
            "GET",
            "/api/v1/watch/namespaces/x/pods/p",
            ["watch", "", "v1", "x", "pods", "", "p"],
        ),
        (
            "GET",
            "/api/v1/namespaces/x/pods?fieldSelector=metadata.name%3Dp",
            ["list", "", "v1", "x", "pods", "", "p"],
        ),
        (
            "GET",
            "/api/v1/pods?fieldSelector=metadata.name==p,spec.nodeName=n",
            ["list", "", "v1", "", "pods", "", "p"],
        ),
        (
            "DELETE",
            "/api/v1/namespaces/x/pods",
            ["deletecollection", "", "v1", "x", "pods", "", ""],
        ),
        (
            "DELETE",
            "/api/v1/namespaces/x/pods/p",
            ["delete", "", "v1", "x", "pods", "", "p"],
        ),
        (
            "POST",
            "/api/v1/namespaces/x/pods/p/exec",
            ["create", "", "v1", "x", "pods", "exec", "p"],
        ),
        (
            "PATCH",
            "/apis/apps/v1/namespaces/x/deployments/d/scale",
            ["patch", "apps", "v1", "x", "deployments", "scale", "d"],
        ),
        (
            "GET",
            "/apis/apps/v1/deployments",
            ["list", "apps", "v1", "", "deployments", "", ""],
        ),
        ("OPTIONS", "/api/v1/pods", ["", "", "v1", "", "pods", "", ""]),
    ];

    fn parse(method: &str, target: &str) -> Result<RequestInfo, String> {
        let (path, query) = target
            .split_once('?')
            .map_or((target, None), |(path, query)| (path, Some(query)));
        RequestInfo::parse(&method.parse().unwrap(), path, query)
    }

    #[test]
    fn resource_requests_are_taken_apart() {
        for (method, target, expected) in RESOURCES {
            let info = parse(method, target).unwrap();
            assert!(info.is_resource, "{target}");
            let got = [
                &info.verb,
                &info.group,
                &info.version,
                &info.namespace,
                &info.resource,
                &info.subresource,
                &info.name,
            ];
            assert_eq!(got, *expected, "{method} {target}");
        }
    }

    #[test]
    fn other_requests_keep_their_path() {
        for path in [
            "/",
            "/api",
            "/api/",
            "/api/v1",
            "/apis",
            "/apis/apps",
            "/apis/apps/v1",
            "/healthz",
            "/openapi/v3/api/v1",
        ] {
            let info = parse("GET", path).unwrap();
            assert!(!info.is_resource, "{path}");
            assert_eq!((info.path.as_str(), info.verb.as_str()), (path, "get"));
        }
        assert!(parse("GET", "/api/v1/watch").is_err());
    }

    #[test]
    fn watches_logs_and_tunnels_may_last() {
        for (method, target, lasting) in [
            ("GET", "/api/v1/pods?watch=1", true),
            ("GET", "/api/v1/namespaces/x/pods/p/log", true),
            ("POST", "/api/v1/namespaces/x/pods/p/exec", true),
            ("GET", "/api/v1/pods", false),
            ("GET", "/healthz", false),
        ] {
            assert_eq!(parse(method, target).unwrap().is_long_running(), lasting, "{target}");
        }
    }

    #[test]
    fn escapes_are_resolved() {
        for (text, expected) in [
            ("a%2Fb", "a/b"),
            ("%zz", "%zz"),
            ("%4", "%4"),
            ("%41%", "A%"),
            ("a+b", "a+b"),
        ] {
            assert_eq!(percent_decode(text), expected);
        }
        assert_eq!(query_pairs("a=%zz&b=1;c=2&d%4=1&e=%").count(), 0);
        let pairs: Vec<_> = query_pairs("a=1&b=x+y%26&c&=&a=2").collect();
        let expected = [("a", "1"), ("b", "x y&"), ("c", ""), ("", ""), ("a", "2")];
        assert_eq!(pairs, expected.map(|(key, value)| (key.to_owned(), value.to_owned())));
    }

    proptest! {
        #[test]
        fn no_path_panics(path in "(/(api|apis|v1|watch|namespaces|%2F|[a-z]{0,3}|\\PC{0,3})){0,7}", query in "\\PC{0,30}") {
            let _ = RequestInfo::parse(&Method::GET, &path, Some(&query));
        }
    }
}
