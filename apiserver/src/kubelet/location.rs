//! Which kubelet, container and parameters a request means (kubernetes `pkg/registry/core/pod/strategy.go`).

use crate::filters::request_info::query_pairs;
use machinery::field::{Error, ErrorList, Path};
use machinery::gvk::GroupKind;
use machinery::meta;
use machinery::status::Status;
use serde_json::Value;

/// Where a pod lists its containers, in the order in which complaints name them.
const CONTAINER_LISTS: [&str; 3] = ["initContainers", "containers", "ephemeralContainers"];

/// The first address of a wanted type that the node has.
pub(super) fn host(node: &Value, types: &[String]) -> Result<String, String> {
    let addresses = meta::list_at(node, &["status", "addresses"]);
    let text = |address: &Value, field: &str| meta::str_at(address, &[field]).unwrap_or_default().to_owned();
    let wanted = types.iter().find_map(|wanted| {
        addresses
            .iter()
            .find(|a| text(a, "type") == *wanted)
            .map(|a| text(a, "address"))
            .filter(|a| !a.is_empty())
    });
    wanted.ok_or_else(|| {
        let known: Vec<String> = addresses
            .iter()
            .map(|a| format!("{{{} {}}}", text(a, "type"), text(a, "address")))
            .collect();
        format!("no preferred addresses found; known addresses: [{}]", known.join(" "))
    })
}

/// The port that the node's kubelet reports.
pub(super) fn port(node: &Value) -> Option<u16> {
    let port = meta::i64_at(node, &["status", "daemonEndpoints", "kubeletEndpoint", "Port"])?;
    u16::try_from(port).ok().filter(|port| *port > 0)
}

/// The node of a pod; `None` when it has none yet.
pub(super) fn node(pod: &Value) -> Option<&str> {
    meta::str_at(pod, &["spec", "nodeName"]).filter(|node| !node.is_empty())
}

/// The container that is meant: the named one, or the only one.
pub(super) fn container(pod: &Value, named: &str) -> Result<String, Status> {
    let name = meta::name(pod);
    let all = || {
        CONTAINER_LISTS
            .iter()
            .flat_map(|list| meta::list_at(pod, &["spec", list]))
    };
    let names = || all().filter_map(|container| meta::str_at(container, &["name"]));
    if !named.is_empty() {
        if names().any(|container| container == named) {
            return Ok(named.to_owned());
        }
        return Err(Status::bad_request(format!(
            "container {named} is not valid for pod {name}"
        )));
    }
    match meta::list_at(pod, &["spec", "containers"]) {
        [only] => Ok(meta::str_at(only, &["name"]).unwrap_or_default().to_owned()),
        [] => Err(Status::bad_request(format!(
            "a container name must be specified for pod {name}"
        ))),
        _ => {
            let choice = names().collect::<Vec<_>>().join(" ");
            let why = format!("a container name must be specified for pod {name}, choose one of: [{choice}]");
            Err(Status::bad_request(why))
        }
    }
}

/// The first value of a parameter; empty when it is absent.
pub(super) fn parameter(query: &str, name: &str) -> String {
    query_pairs(query)
        .find(|(key, _)| key == name)
        .map(|(_, value)| value)
        .unwrap_or_default()
}

/// A boolean parameter: present means true, except for `false` and `0` (apimachinery `conversion/queryparams`).
fn flag(query: &str, name: &str) -> bool {
    let value = query_pairs(query)
        .find(|(key, _)| key == name)
        .map(|(_, value)| value.to_ascii_lowercase());
    value.is_some_and(|value| value != "false" && value != "0")
}

/// The kubelet's parameters of a stream, from the client's.
pub(super) fn stream_parameters(subresource: &str, query: &str) -> String {
    let mut parameters = Vec::new();
    if subresource == "portforward" {
        let ports: Vec<String> = query_pairs(query)
            .filter(|(key, _)| key == "ports")
            .map(|(_, port)| port)
            .collect();
        if !ports.is_empty() {
            parameters.push(("port", ports.join(",")));
        }
    } else {
        for (client, kubelet) in [
            ("stdin", "input"),
            ("stdout", "output"),
            ("stderr", "error"),
            ("tty", "tty"),
        ] {
            if flag(query, client) {
                parameters.push((kubelet, "1".to_owned()));
            }
        }
        if subresource == "exec" {
            parameters.extend(
                query_pairs(query)
                    .filter(|(key, _)| key == "command")
                    .map(|(_, arg)| ("command", arg)),
            );
        }
    }
    encode(&parameters)
}

/// The kubelet's parameters of a log, from the client's.
///
/// # Errors
/// 400 for a value that is no number or time, 422 for one out of range.
pub(super) fn log_parameters(pod: &str, query: &str) -> Result<String, Status> {
    let mut parameters = Vec::new();
    let mut errors = ErrorList::new();
    for name in ["follow", "previous", "timestamps"] {
        if flag(query, name) {
            parameters.push((name, "true".to_owned()));
        }
    }
    for (name, least, complaint) in [
        ("sinceSeconds", 1, "must be greater than 0"),
        ("tailLines", 0, "must be greater than or equal to 0"),
        ("limitBytes", 1, "must be greater than 0"),
    ] {
        let text = parameter(query, name);
        if text.is_empty() {
            continue;
        }
        let number: i64 = text
            .parse()
            .map_err(|_| Status::bad_request(format!("strconv.ParseInt: parsing {text:?}: invalid syntax")))?;
        if number < least {
            errors.push(Error::invalid(&Path::new(name), number, complaint));
        }
        parameters.push((name, number.to_string()));
    }
    let since = parameter(query, "sinceTime");
    if !since.is_empty() {
        let time = machinery::time::parse(&since).ok_or_else(|| {
            Status::bad_request(format!(
                "parsing time {since:?} as \"2006-01-02T15:04:05Z07:00\": {}",
                unparsed(&since)
            ))
        })?;
        if parameters.iter().any(|(name, _)| *name == "sinceSeconds") {
            let why = "at most one of `sinceTime` or `sinceSeconds` may be specified";
            // Upstream names no field here.
            errors.push(Error::forbidden(&Path::new("[]"), why));
        }
        parameters.push(("sinceTime", machinery::time::format(time)));
    }
    if !parameter(query, "stream").is_empty() {
        errors.push(Error::forbidden(&Path::new("stream"), "may not be specified"));
    }
    if errors.is_empty() {
        return Ok(encode(&parameters));
    }
    Err(Status::invalid(
        &GroupKind {
            group: String::new(),
            kind: "PodLogOptions".to_owned(),
        },
        pod,
        &errors,
    ))
}

/// Where Go gives up reading a time.
fn unparsed(text: &str) -> String {
    const LAYOUT: [(&str, usize); 11] = [
        ("2006", 4),
        ("-", 0),
        ("01", 2),
        ("-", 0),
        ("02", 2),
        ("T", 0),
        ("15", 2),
        (":", 0),
        ("04", 2),
        (":", 0),
        ("05", 2),
    ];
    let mut rest = text;
    for (element, digits) in LAYOUT {
        let next = match digits {
            0 => rest.strip_prefix(element),
            digits => rest
                .get(..digits)
                .filter(|number| number.bytes().all(|byte| byte.is_ascii_digit()))
                .map(|_| &rest[digits..]),
        };
        match next {
            Some(next) => rest = next,
            None => return format!("cannot parse {rest:?} as {element:?}"),
        }
    }
    format!("cannot parse {rest:?} as \"Z07:00\"")
}

/// A query string.
fn encode(parameters: &[(&str, String)]) -> String {
    let pairs: Vec<String> = parameters
        .iter()
        .map(|(key, value)| format!("{key}={}", escape(value)))
        .collect();
    pairs.join("&")
}

/// Escapes everything but letters, digits and `-._~`.
pub(super) fn escape(text: &str) -> String {
    use std::fmt::Write;
    text.bytes().fold(String::with_capacity(text.len()), |mut out, byte| {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            // Writing to a String cannot fail.
            _ => drop(write!(out, "%{byte:02X}")),
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn kubelets_are_found_by_preferred_address() {
        let node = json!({"status": {"addresses": [{"type": "Hostname", "address": "h"},
            {"type": "InternalIP", "address": "10.0.0.1"}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": 7}}}});
        let types = |list: &[&str]| list.iter().map(|t| (*t).to_owned()).collect::<Vec<_>>();
        assert_eq!(
            host(&node, &types(&["ExternalIP", "InternalIP", "Hostname"])).unwrap(),
            "10.0.0.1"
        );
        assert_eq!(
            host(&node, &types(&["ExternalIP"])).unwrap_err(),
            "no preferred addresses found; known addresses: [{Hostname h} {InternalIP 10.0.0.1}]"
        );
        assert_eq!(port(&node), Some(7));
        assert_eq!(port(&json!({})), None);
    }

    #[test]
    fn containers_are_chosen_as_upstream_does() {
        let pod = |containers: &[&str], init: &[&str]| {
            let list = |names: &[&str]| names.iter().map(|name| json!({"name": name})).collect::<Vec<_>>();
            json!({"metadata": {"name": "p"}, "spec": {"containers": list(containers), "initContainers": list(init)}})
        };
        assert_eq!(container(&pod(&["a"], &[]), "").unwrap(), "a");
        assert_eq!(container(&pod(&["a", "b"], &["i"]), "i").unwrap(), "i");
        for (pod, name, expected) in [
            (
                pod(&["a", "b"], &["i"]),
                "",
                "a container name must be specified for pod p, choose one of: [i a b]",
            ),
            (pod(&["a"], &[]), "z", "container z is not valid for pod p"),
            (pod(&[], &[]), "", "a container name must be specified for pod p"),
        ] {
            assert_eq!(container(&pod, name).unwrap_err().message, expected);
        }
    }

    #[test]
    fn parameters_are_translated() {
        let exec = "command=sh&command=-c&command=echo+a%26b&stdin=true&stdout=1&tty=false&stderr=&container=c";
        assert_eq!(
            stream_parameters("exec", exec),
            "input=1&output=1&error=1&command=sh&command=-c&command=echo%20a%26b"
        );
        assert_eq!(stream_parameters("attach", exec), "input=1&output=1&error=1");
        assert_eq!(stream_parameters("portforward", "ports=80&ports=443"), "port=80%2C443");
        assert_eq!(
            log_parameters(
                "p",
                "follow=true&tailLines=5&container=c&sinceTime=2026-01-02T03:04:05%2B01:00"
            )
            .unwrap(),
            "follow=true&tailLines=5&sinceTime=2026-01-02T02%3A04%3A05Z"
        );
        let bad = log_parameters("p", "tailLines=-1&limitBytes=0").unwrap_err();
        assert_eq!((bad.code, bad.details.unwrap().causes.len()), (422, 2));
        assert_eq!(log_parameters("p", "tailLines=many").unwrap_err().code, 400);
        assert_eq!(
            log_parameters("p", "sinceSeconds=1&sinceTime=2026-01-02T03:04:05Z")
                .unwrap_err()
                .code,
            422
        );
    }
}
