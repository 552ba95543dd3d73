//! Paths and queries of the kubelet API (pkg/kubelet/server/server.go).

use std::collections::HashMap;

/// A request the kubelet knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Route {
    Healthz,
    Pods,
    StatsSummary,
    Metrics(Measured),
    Logs(Target),
    Exec(Target),
    Attach(Target),
    PortForward { namespace: String, pod: String },
}

/// Where measurements are shown in Prometheus' format, and which.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Measured {
    /// `/metrics`: the kubelet itself.
    Kubelet,
    /// `/metrics/cadvisor`: containers.
    Containers,
    /// `/metrics/resource`: what a metrics server reads.
    Resources,
    /// `/metrics/probes`: probes, which simulated pods do not have.
    Probes,
}

/// A container of a pod on this node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) namespace: String,
    pub(super) pod: String,
    pub(super) container: String,
}

pub(super) fn route(path: &str) -> Option<Route> {
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let target = |namespace: &str, pod: &str, container: &str| Target {
        namespace: namespace.to_string(),
        pod: pod.to_string(),
        container: container.to_string(),
    };
    // exec, attach and portForward may carry the pod's uid before the container.
    Some(match parts.as_slice() {
        ["healthz"] => Route::Healthz,
        ["pods"] | ["runningpods"] => Route::Pods,
        ["stats", "summary"] => Route::StatsSummary,
        ["metrics"] => Route::Metrics(Measured::Kubelet),
        ["metrics", "cadvisor"] => Route::Metrics(Measured::Containers),
        ["metrics", "resource"] => Route::Metrics(Measured::Resources),
        ["metrics", "probes"] => Route::Metrics(Measured::Probes),
        ["containerLogs", namespace, pod, container] => Route::Logs(target(namespace, pod, container)),
        ["exec", namespace, pod, container] | ["exec", namespace, pod, _, container] => {
            Route::Exec(target(namespace, pod, container))
        }
        ["attach", namespace, pod, container] | ["attach", namespace, pod, _, container] => {
            Route::Attach(target(namespace, pod, container))
        }
        ["portForward", namespace, pod] | ["portForward", namespace, pod, _] => Route::PortForward {
            namespace: namespace.to_string(),
            pod: pod.to_string(),
        },
        _ => return None,
    })
}

/// The query of a request, decoded; a name can come several times.
#[derive(Debug, Default)]
pub(crate) struct Query(HashMap<String, Vec<String>>);

impl Query {
    pub(crate) fn parse(query: &str) -> Self {
        let mut values: HashMap<String, Vec<String>> = HashMap::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            values.entry(decode(name)).or_default().push(decode(value));
        }
        Self(values)
    }

    pub(super) fn all(&self, name: &str) -> &[String] {
        self.0.get(name).map(Vec::as_slice).unwrap_or_default()
    }

    pub(crate) fn first(&self, name: &str) -> Option<&str> {
        self.all(name).first().map(String::as_str)
    }

    pub(super) fn flag(&self, name: &str) -> bool {
        self.first(name).is_some_and(|value| matches!(value, "1" | "true"))
    }

    /// A number, an error that names the parameter, or nothing.
    pub(super) fn number<T: std::str::FromStr>(&self, name: &str) -> Result<Option<T>, String> {
        let parse = |value: &str| {
            value
                .parse()
                .map_err(|_| format!("{name}={value:?} is not a valid number"))
        };
        self.first(name).map(parse).transpose()
    }
}

fn decode(text: &str) -> String {
    let (mut bytes, mut rest) = (Vec::with_capacity(text.len()), text.as_bytes());
    while let Some((first, tail)) = rest.split_first() {
        rest = tail;
        match (first, tail.first_chunk::<2>()) {
            (b'+', _) => bytes.push(b' '),
            (b'%', Some(hex)) => match std::str::from_utf8(hex)
                .ok()
                .and_then(|hex| u8::from_str_radix(hex, 16).ok())
            {
                Some(byte) => {
                    bytes.push(byte);
                    rest = &tail[2..];
                }
                None => bytes.push(b'%'),
            },
            (other, _) => bytes.push(*other),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths() {
        let target = Target {
            namespace: "n".into(),
            pod: "p".into(),
            container: "c".into(),
        };
        assert_eq!(route("/containerLogs/n/p/c"), Some(Route::Logs(target.clone())));
        assert_eq!(route("/exec/n/p/uid/c"), Some(Route::Exec(target.clone())));
        assert_eq!(route("/attach/n/p/c/"), Some(Route::Attach(target)));
        assert_eq!(
            route("/portForward/n/p"),
            Some(Route::PortForward {
                namespace: "n".into(),
                pod: "p".into()
            })
        );
        assert_eq!(route("/run/n/p/c"), None);
    }

    #[test]
    fn queries() {
        let query = Query::parse("command=sh&command=-c&command=echo+a%2Bb%zz&tty=1&tailLines=x&follow");
        assert_eq!(query.all("command"), ["sh", "-c", "echo a+b%zz"]);
        assert!(query.flag("tty") && !query.flag("follow") && !query.flag("stdin"));
        assert!(query.number::<u64>("tailLines").unwrap_err().contains("tailLines"));
        assert_eq!(query.number::<u64>("limitBytes"), Ok(None));
    }
}
