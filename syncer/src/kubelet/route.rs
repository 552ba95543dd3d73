//! Paths and queries of the kubelet API, and what they are called in the API of the host.

use http::HeaderMap;

/// A request that a kubelet knows (`pkg/kubelet/server/server.go` of Kubernetes).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Route {
    Healthz,
    Pods,
    RunningPods,
    Summary,
    /// Measurements in Prometheus' format, by their path on every kubelet.
    Metrics(&'static str),
    Logs(Target),
    Session(Session, Target),
    PortForward(Target),
}

/// The two ways to talk to a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Session {
    Exec,
    Attach,
}

impl Session {
    /// The subresource of a pod.
    pub(super) fn subresource(self) -> &'static str {
        match self {
            Session::Exec => "exec",
            Session::Attach => "attach",
        }
    }
}

/// A container of a virtual pod; no container is named for port forwarding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) namespace: String,
    pub(super) pod: String,
    pub(super) container: String,
}

/// What a path means. Sessions may carry the pod's uid before the container.
pub(super) fn route(path: &str) -> Option<Route> {
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let target = |namespace: &str, pod: &str, container: &str| Target {
        namespace: namespace.to_owned(),
        pod: pod.to_owned(),
        container: container.to_owned(),
    };
    Some(match parts.as_slice() {
        ["healthz"] => Route::Healthz,
        ["pods"] => Route::Pods,
        ["runningpods"] => Route::RunningPods,
        ["stats", "summary"] => Route::Summary,
        ["metrics", ..] => {
            let path = parts.join("/");
            Route::Metrics(METRICS.iter().find(|known| known[1..] == path)?)
        }
        ["containerLogs", namespace, pod, container] => Route::Logs(target(namespace, pod, container)),
        ["exec", namespace, pod, container] | ["exec", namespace, pod, _, container] => {
            Route::Session(Session::Exec, target(namespace, pod, container))
        }
        ["attach", namespace, pod, container] | ["attach", namespace, pod, _, container] => {
            Route::Session(Session::Attach, target(namespace, pod, container))
        }
        ["portForward", namespace, pod] | ["portForward", namespace, pod, _] => {
            Route::PortForward(target(namespace, pod, ""))
        }
        _ => return None,
    })
}

/// Where kubelets show measurements, now and in earlier versions.
const METRICS: [&str; 6] = [
    "/metrics",
    "/metrics/cadvisor",
    "/metrics/probes",
    "/metrics/resource",
    "/metrics/resource/v1alpha1",
    "/metrics/resource/v1beta1",
];

impl Route {
    /// The subresources of a node, of which somebody needs the right to one (`pkg/kubelet/server/auth.go`).
    pub(super) fn subresources(&self) -> &'static [&'static str] {
        match self {
            Route::Healthz => &["healthz", "proxy"],
            Route::Pods | Route::RunningPods => &["pods", "proxy"],
            Route::Summary => &["stats"],
            Route::Metrics(_) => &["metrics"],
            Route::Logs(_) | Route::Session(..) | Route::PortForward(_) => &["proxy"],
        }
    }
}

/// The parameters that a kubelet and the API name differently.
const RENAMED: [(&str, &str); 4] = [
    ("input", "stdin"),
    ("output", "stdout"),
    ("error", "stderr"),
    ("port", "ports"),
];
/// The parameters that are passed on; values stay as they are encoded.
const PASSED_ON: &[&str] = &[
    "command",
    "follow",
    "limitBytes",
    "ports",
    "previous",
    "sinceSeconds",
    "sinceTime",
    "stderr",
    "stdin",
    "stdout",
    "stream",
    "tailLines",
    "timestamps",
    "tty",
];

/// The node that the API server passes a request on to, as it says itself (apimachinery `pkg/util/proxy/transport.go`).
pub(super) fn proxied_node(headers: &HeaderMap) -> Option<String> {
    let uri = headers.get("x-forwarded-uri")?.to_str().ok()?;
    let id = uri.strip_prefix("/api/v1/nodes/")?.split_once("/proxy")?.0;
    // As in the path of the request: NAME, NAME:PORT or SCHEME:NAME:PORT.
    let name = match id.split(':').collect::<Vec<_>>().as_slice() {
        [name] | [name, _] | [_, name, _] => (*name).to_owned(),
        _ => return None,
    };
    (!name.is_empty() && !name.contains('/')).then_some(name)
}

/// The parameters of a query, decoded.
pub(super) fn parameters(query: &str) -> Vec<(String, String)> {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(name, value)| (decoded(name), decoded(value)))
        .collect()
}

/// Parameters as the query that [`parameters`] reads.
pub(super) fn query(parameters: &[(String, String)]) -> String {
    let pairs = parameters.iter();
    let pairs = pairs.map(|(name, value)| format!("{}={}", encoded(name), encoded(value)));
    pairs.collect::<Vec<_>>().join("&")
}

fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            other => out.push_str(&format!("%{other:02X}")),
        }
    }
    out
}

fn decoded(text: &str) -> String {
    let (mut bytes, mut rest) = (Vec::with_capacity(text.len()), text.as_bytes());
    while let Some((first, tail)) = rest.split_first() {
        rest = tail;
        let hex = tail.get(..2).and_then(|hex| std::str::from_utf8(hex).ok());
        match (first, hex.and_then(|hex| u8::from_str_radix(hex, 16).ok())) {
            (b'+', _) => bytes.push(b' '),
            (b'%', Some(byte)) => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            (other, _) => bytes.push(*other),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The query for the host: renamed, known parameters, and the container if there is one.
pub(super) fn host_query(query: &str, container: &str) -> String {
    let mut parameters: Vec<String> = Vec::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let name = RENAMED
            .iter()
            .find(|(kubelet, _)| *kubelet == name)
            .map_or(name, |(_, api)| api);
        if !PASSED_ON.contains(&name) {
            continue;
        }
        // A kubelet reads 1 where the API reads true.
        let value = if matches!(name, "stdin" | "stdout" | "stderr" | "tty") && value == "1" {
            "true"
        } else {
            value
        };
        parameters.push(format!("{name}={value}"));
    }
    if !container.is_empty() {
        parameters.push(format!("container={container}"));
    }
    parameters.join("&")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn paths() {
        let target = |container: &str| Target {
            namespace: "team".into(),
            pod: "web".into(),
            container: container.into(),
        };
        let table = [
            ("/healthz", Some(Route::Healthz)),
            ("/runningpods/", Some(Route::RunningPods)),
            ("/metrics", Some(Route::Metrics("/metrics"))),
            ("/metrics/cadvisor/", Some(Route::Metrics("/metrics/cadvisor"))),
            (
                "/metrics/resource/v1beta1",
                Some(Route::Metrics("/metrics/resource/v1beta1")),
            ),
            ("/metrics/slis", None),
            ("/configz", None),
            ("/checkpoint/team/web/app", None),
            ("/logs/kubelet.log", None),
            ("/stats/summary", Some(Route::Summary)),
            ("/containerLogs/team/web/app", Some(Route::Logs(target("app")))),
            ("/exec/team/web/app", Some(Route::Session(Session::Exec, target("app")))),
            (
                "/attach/team/web/uid/app",
                Some(Route::Session(Session::Attach, target("app"))),
            ),
            ("/portForward/team/web", Some(Route::PortForward(target("")))),
            ("/run/team/web/app", None),
            ("/", None),
        ];
        for (path, expected) in table {
            assert_eq!(route(path), expected, "{path}");
        }
    }

    #[test]
    fn queries_are_translated() {
        assert_eq!(
            host_query(
                "command=sh&command=-c&input=1&output=1&error=0&tty=1&container=other&evil=1",
                "app"
            ),
            "command=sh&command=-c&stdin=true&stdout=true&stderr=0&tty=true&container=app"
        );
        assert_eq!(
            host_query("follow=true&tailLines=5", "app"),
            "follow=true&tailLines=5&container=app"
        );
        assert_eq!(host_query("port=80", ""), "ports=80");
    }

    #[test]
    fn parameters_are_decoded() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(
            parameters("labelSelector=a%3Db%2Cc+d&x&y=%zz"),
            [pair("labelSelector", "a=b,c d"), pair("x", ""), pair("y", "%zz")]
        );
    }

    proptest! {
        #[test]
        fn nothing_panics(path in ".{0,60}", query in ".{0,60}") {
            route(&path);
            host_query(&query, "app");
            parameters(&query);
        }

        #[test]
        fn a_query_is_read_as_it_was_written(pairs in prop::collection::vec((".{1,9}", ".{0,20}"), 0..4)) {
            prop_assert_eq!(parameters(&super::query(&pairs)), pairs);
        }
    }
}
