//! The rules of `networking.resolveDNS`: names that resolve to something else than they would by themselves.

use std::net::IpAddr;

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::digest::safe_concat;
use crate::mappings::{halves, is_label};

/// One rule.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Value")]
pub struct Resolution {
    /// Which names.
    pub source: Source,
    /// What they stand for.
    pub target: Target,
}

/// Which names a rule is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A host name, in lower case; a `*` at its beginning or end stands for any text.
    Hostname(String),
    /// A Service of the virtual cluster.
    Service {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
    },
    /// Every Service of a namespace of the virtual cluster.
    Namespace(String),
}

/// What a name stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// Another host name, as the virtual cluster resolves it; a `*` is what that of the source stands for.
    Hostname(String),
    /// An address.
    Ip(IpAddr),
    /// A Service of the host.
    HostService {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
    },
    /// The Service of the same name in a namespace of the host.
    HostNamespace(String),
}

impl TryFrom<Value> for Resolution {
    type Error = String;

    fn try_from(value: Value) -> Result<Self, String> {
        Resolution::parse(&value)
    }
}

/// The texts of an object that may have these fields only; an empty text is none.
fn texts<'a, const N: usize>(fields: &'a Map<String, Value>, names: [&str; N]) -> Result<[Option<&'a str>; N], String> {
    if let Some(unknown) = fields.keys().find(|field| !names.contains(&field.as_str())) {
        return Err(format!(".{unknown} is not one of {}", names.join(", ")));
    }
    let mut texts = [None; N];
    for (text, name) in texts.iter_mut().zip(names) {
        *text = match fields.get(name) {
            None | Some(Value::Null) => None,
            Some(Value::String(text)) => Some(text.as_str()).filter(|text| !text.is_empty()),
            Some(_) => return Err(format!(".{name} must be a string")),
        };
    }
    Ok(texts)
}

impl Resolution {
    /// Reads a rule, as vCluster does (`pkg/config/coredns_plugin_validation.go`).
    ///
    /// # Errors
    /// Says which field is wrong, and how; the text follows the rule's index.
    pub fn parse(rule: &Value) -> Result<Self, String> {
        let mut fields = rule.as_object().cloned().ok_or(" must be a mapping of keys")?;
        let target = fields.remove("target").unwrap_or_default();
        let target = target.as_object().ok_or(".target says what the name stands for")?;
        let [hostname, service, namespace] = texts(&fields, ["hostname", "service", "namespace"])?;
        let source = match (hostname, service, namespace) {
            (Some(hostname), None, None) => {
                Source::Hostname(pattern(hostname).map_err(|why| format!(".hostname: {why}"))?)
            }
            (None, Some(service), None) => {
                let (namespace, name) = qualified(service).map_err(|why| format!(".service: {why}"))?;
                Source::Service { namespace, name }
            }
            (None, None, Some(namespace)) if is_label(namespace) => Source::Namespace(namespace.to_owned()),
            (None, None, Some(namespace)) => return Err(format!(".namespace: {namespace:?} is not a namespace")),
            _ => return Err(" must have one of hostname, service and namespace".to_owned()),
        };
        let target = Target::parse(target).map_err(|why| format!(".target{why}"))?;
        match (&source, &target) {
            (Source::Namespace(_), Target::HostNamespace(_)) => {}
            (Source::Namespace(_), _) => return Err(".target: with namespace it must be hostNamespace".to_owned()),
            (_, Target::HostNamespace(_)) => return Err(".target.hostNamespace needs namespace".to_owned()),
            (Source::Hostname(from), Target::Hostname(to)) if from.contains('*') == to.contains('*') => {}
            (Source::Hostname(from), _) if from.contains('*') => {
                return Err(".target: with a wildcard in hostname it must be a hostname with a wildcard".to_owned());
            }
            (_, Target::Hostname(to)) if to.contains('*') => {
                return Err(".target.hostname can have a wildcard only when hostname has one".to_owned());
            }
            _ => {}
        }
        Ok(Self { source, target })
    }
}

impl Target {
    fn parse(fields: &Map<String, Value>) -> Result<Self, String> {
        let names = ["hostname", "ip", "hostService", "hostNamespace", "vClusterService"];
        let of = |field: &'static str| move |why: String| format!(".{field}: {why}");
        Ok(match texts(fields, names)? {
            [Some(hostname), None, None, None, None] => Target::Hostname(pattern(hostname).map_err(of("hostname"))?),
            [None, Some(ip), None, None, None] => {
                Target::Ip(ip.parse().map_err(|_| format!(".ip: {ip:?} is not an IP address"))?)
            }
            [None, None, Some(service), None, None] => {
                let (namespace, name) = qualified(service).map_err(of("hostService"))?;
                Target::HostService { namespace, name }
            }
            [None, None, Some(service), Some(namespace), None] => {
                let service = format!("{namespace}/{service}");
                let (namespace, name) = qualified(&service).map_err(of("hostService"))?;
                Target::HostService { namespace, name }
            }
            [None, None, None, Some(namespace), None] if is_label(namespace) => {
                Target::HostNamespace(namespace.to_owned())
            }
            [None, None, None, Some(namespace), None] => {
                return Err(format!(".hostNamespace: {namespace:?} is not a namespace"));
            }
            [None, None, None, None, Some(service)] => of_another_cluster(service).map_err(of("vClusterService"))?,
            _ => return Err(format!(" must have one of {}", names.join(", "))),
        })
    }
}

/// The copy that the host has of a Service of another virtual cluster.
fn of_another_cluster(text: &str) -> Result<Target, String> {
    let parts: Vec<&str> = text.split('/').collect();
    match parts.as_slice() {
        [host, cluster, namespace, service] if parts.iter().all(|part| is_label(part)) => Ok(Target::HostService {
            namespace: (*host).to_owned(),
            name: safe_concat(&[service, "x", namespace, "x", cluster]),
        }),
        _ => Err(format!("{text:?} is not HOST-NAMESPACE/VCLUSTER/NAMESPACE/NAME")),
    }
}

fn qualified(text: &str) -> Result<(String, String), String> {
    match halves(text) {
        Some((namespace, name)) if is_label(namespace) && is_label(name) => Ok((namespace.to_owned(), name.to_owned())),
        _ => Err(format!("{text:?} is not NAMESPACE/NAME")),
    }
}

/// A host name in lower case, with at most one `*`, which begins or ends it.
fn pattern(text: &str) -> Result<String, String> {
    let text = text.trim_end_matches('.').to_lowercase();
    let plain = text.strip_prefix('*').or(text.strip_suffix('*')).unwrap_or(&text);
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_' | '.');
    let labels = plain.trim_matches('.').split('.');
    if plain.contains('*') {
        Err(format!("{text:?} may have one wildcard, at its beginning or end"))
    } else if text.is_empty() || text.len() > 253 || !plain.chars().all(allowed) || labels.clone().any(|l| l.len() > 63)
    {
        Err(format!("{text:?} is not a host name"))
    } else {
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_form_is_read() {
        let service = |namespace: &str, name: &str| Target::HostService {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        };
        let source = Source::Service {
            namespace: "a".to_owned(),
            name: "b".to_owned(),
        };
        for (target, expected) in [
            (
                json!({"hostname": "Db.Example.com."}),
                Target::Hostname("db.example.com".to_owned()),
            ),
            (json!({"ip": "fd00::1"}), Target::Ip("fd00::1".parse().unwrap())),
            (json!({"hostService": "c/d"}), service("c", "d")),
            (json!({"hostService": "d", "hostNamespace": "c"}), service("c", "d")),
            (json!({"vClusterService": "h/vc/ns/web"}), service("h", "web-x-ns-x-vc")),
            (
                json!({"ip": "192.0.2.1", "hostname": ""}),
                Target::Ip([192, 0, 2, 1].into()),
            ),
        ] {
            let rule = Resolution::parse(&json!({"service": "a/b", "target": target})).unwrap();
            assert_eq!((rule.source, rule.target), (source.clone(), expected));
        }
        let rule = Resolution::parse(&json!({"namespace": "a", "target": {"hostNamespace": "b"}})).unwrap();
        let expected = (Source::Namespace("a".to_owned()), Target::HostNamespace("b".to_owned()));
        assert_eq!((rule.source, rule.target), expected);
        let wild = json!({"hostname": "*.example.com", "target": {"hostname": "*.svc.internal"}});
        assert!(Resolution::parse(&wild).is_ok());
    }

    #[test]
    fn mistakes_are_explained() {
        for (rule, expected) in [
            (json!("a"), " must be a mapping"),
            (json!({"hostname": "a"}), ".target says"),
            (
                json!({"target": {"ip": "192.0.2.1"}}),
                " must have one of hostname, service and namespace",
            ),
            (
                json!({"hostname": "a", "namespace": "b", "target": {"ip": "192.0.2.1"}}),
                " must have one of hostname, service and namespace",
            ),
            (json!({"host": "a", "target": {}}), ".host is not one of"),
            (json!({"hostname": "a", "target": {}}), ".target must have one of"),
            (
                json!({"hostname": "a", "target": {"ip": "b"}}),
                ".target.ip: \"b\" is not an IP address",
            ),
            (
                json!({"hostname": "a", "target": {"ip": 1}}),
                ".target.ip must be a string",
            ),
            (
                json!({"hostname": "a*b", "target": {"hostname": "*.c"}}),
                ".hostname: \"a*b\" may have one wildcard",
            ),
            (
                json!({"hostname": "*.a.*", "target": {"hostname": "*.c"}}),
                ".hostname: \"*.a.*\" may have one",
            ),
            (
                json!({"hostname": "*.a", "target": {"hostname": "c"}}),
                ".target: with a wildcard in hostname",
            ),
            (
                json!({"hostname": "a", "target": {"hostname": "*.c"}}),
                ".target.hostname can have a wildcard only",
            ),
            (
                json!({"hostname": "a b", "target": {"ip": "192.0.2.1"}}),
                ".hostname: \"a b\" is not a host name",
            ),
            (
                json!({"namespace": "a", "target": {"ip": "192.0.2.1"}}),
                ".target: with namespace",
            ),
            (
                json!({"hostname": "a", "target": {"hostNamespace": "b"}}),
                ".target.hostNamespace needs namespace",
            ),
            (
                json!({"service": "a/b", "target": {"vClusterService": "a/b/c"}}),
                ".target.vClusterService: \"a/b/c\" is not HOST-NAMESPACE",
            ),
        ] {
            let problem = Resolution::parse(&rule).unwrap_err();
            assert!(problem.starts_with(expected), "{rule}: {problem}");
        }
    }
}
