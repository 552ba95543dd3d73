//! The APIs that measure: `metrics.k8s.io`, `custom.metrics.k8s.io` and `external.metrics.k8s.io`
//! (`pkg/controller/podautoscaler/metrics/client.go`).

use std::time::Duration;

use jiff::Timestamp;
use kube::Client;
use machinery::quantity::Quantity;
use serde_json::Value;

use super::calculator::{Measured, Metrics};
use crate::options::parse_duration_or_zero;

const RESOURCES: &str = "/apis/metrics.k8s.io/v1beta1";
const CUSTOM: &str = "/apis/custom.metrics.k8s.io";
/// The versions of custom metrics, best first.
const CUSTOM_VERSIONS: [&str; 2] = ["v1beta2", "v1beta1"];
const EXTERNAL: &str = "/apis/external.metrics.k8s.io/v1beta1";
/// The time that custom measurements are taken over when they do not say.
const WINDOW: Duration = Duration::from_secs(60);

/// Asks them.
pub(super) struct Sources(pub(super) Client);

impl Sources {
    /// The usage of a resource by the pods of a namespace that have these labels; of one container where it is named.
    pub(super) async fn resource(
        &self,
        (resource, container): (&str, &str),
        namespace: &str,
        labels: &str,
    ) -> Result<Metrics, String> {
        let path = format!("{RESOURCES}/namespaces/{namespace}/pods");
        let list = self
            .get(&path, &[("labelSelector", labels)], "pods.metrics.k8s.io", "")
            .await;
        let list = list.map_err(|why| format!("unable to fetch metrics from resource metrics API: {why}"))?;
        let items = items(&list);
        if items.is_empty() {
            return Err("no metrics returned from resource metrics API".to_owned());
        }
        Ok(items.iter().filter_map(|pod| usage(pod, resource, container)).collect())
    }

    /// A custom measurement of the pods of a namespace that have these labels.
    pub(super) async fn pods(
        &self,
        (metric, metric_labels): (&str, &str),
        namespace: &str,
        labels: &str,
    ) -> Result<Metrics, String> {
        let path = format!("namespaces/{namespace}/pods/*/{metric}");
        let list = self.custom(&path, labels, metric_labels, metric).await?;
        let items = items(&list);
        if items.is_empty() {
            return Err("no metrics returned from custom metrics API".to_owned());
        }
        let of = |item: &Value| {
            let window = item["windowSeconds"].as_u64().map_or(WINDOW, Duration::from_secs);
            let measured = Measured {
                value: millis(&item["value"])?,
                at: time(item),
                window,
            };
            Some((item["describedObject"]["name"].as_str()?.to_owned(), measured))
        };
        Ok(items.iter().filter_map(of).collect())
    }

    /// A custom measurement of one object; `resource` is its plural name with its group, none for a namespace.
    pub(super) async fn object(
        &self,
        (metric, metric_labels): (&str, &str),
        namespace: &str,
        object: Option<(&str, &str)>,
    ) -> Result<i64, String> {
        let path = match object {
            Some((resource, name)) => format!("namespaces/{namespace}/{resource}/{name}/{metric}"),
            None => format!("namespaces/{namespace}/metrics/{metric}"),
        };
        let list = self.custom(&path, "", metric_labels, metric).await?;
        match items(&list) {
            [item] => Ok(millis(&item["value"]).unwrap_or_default()),
            [] => Err(
                "unable to fetch metrics from custom metrics API: the custom metrics API server returned no results \
                       when we asked for exactly one result"
                    .to_owned(),
            ),
            many => Err(format!(
                "unable to fetch metrics from custom metrics API: the custom metrics API server returned {} results when \
                 we asked for exactly one",
                many.len()
            )),
        }
    }

    /// All values of an external measurement.
    pub(super) async fn external(&self, metric: &str, labels: &str, namespace: &str) -> Result<Vec<i64>, String> {
        let path = format!("{EXTERNAL}/namespaces/{namespace}/{metric}");
        let list = self
            .get(
                &path,
                &[("labelSelector", labels)],
                &format!("{metric}.external.metrics.k8s.io"),
                "",
            )
            .await;
        let list = list.map_err(|why| format!("unable to fetch metrics from external metrics API: {why}"))?;
        let items = items(&list);
        if items.is_empty() {
            return Err("no metrics returned from external metrics API".to_owned());
        }
        Ok(items.iter().filter_map(|item| millis(&item["value"])).collect())
    }

    async fn custom(&self, path: &str, labels: &str, metric_labels: &str, metric: &str) -> Result<Value, String> {
        let failed = |why: String| format!("unable to fetch metrics from custom metrics API: {why}");
        let group = self.get(CUSTOM, &[], "", "").await.map_err(failed)?;
        let served = |version: &&&str| {
            group["versions"]
                .as_array()
                .is_some_and(|all| all.iter().any(|v| v["version"] == **version))
        };
        let version = CUSTOM_VERSIONS
            .iter()
            .find(served)
            .ok_or_else(|| failed("no known available metric versions found".to_owned()))?;
        let query = [("labelSelector", labels), ("metricLabelSelector", metric_labels)];
        let resource = "pods.custom.metrics.k8s.io";
        self.get(&format!("{CUSTOM}/{version}/{path}"), &query, resource, metric)
            .await
            .map_err(failed)
    }

    /// The document at a path, or why there is none in client-go's words.
    async fn get(&self, path: &str, query: &[(&str, &str)], resource: &str, name: &str) -> Result<Value, String> {
        let query: Vec<String> = query
            .iter()
            .filter(|(_, value)| !value.is_empty())
            .map(|(key, value)| format!("{key}={}", encoded(value)))
            .collect();
        let uri = if query.is_empty() {
            path.to_owned()
        } else {
            format!("{path}?{}", query.join("&"))
        };
        let request = http::Request::get(uri)
            .header(http::header::ACCEPT, "application/json")
            .body(Vec::new())
            .map_err(|error| error.to_string())?;
        match self.0.request(request).await {
            Ok(document) => Ok(document),
            Err(kube::Error::Api(status)) if status.reason == "Failed to parse error data" => {
                Err(generic(status.code, &status.message, resource, name))
            }
            Err(error) => Err(crate::error::message(&error)),
        }
    }
}

/// What client-go says of an answer that is no Status (apimachinery `NewGenericServerResponse`).
fn generic(code: u16, text: &str, resource: &str, name: &str) -> String {
    let said = match code {
        401 => "the server has asked for the client to provide credentials".to_owned(),
        403 => text.to_owned(),
        404 => "the server could not find the requested resource".to_owned(),
        429 => "the server has received too many requests and has asked us to try again later".to_owned(),
        503 => "the server is currently unable to handle the request".to_owned(),
        504 => {
            "the server was unable to return a response in the time allotted, but may still be processing the request"
                .to_owned()
        }
        code if code >= 500 => format!("an error on the server ({text:?}) has prevented the request from succeeding"),
        code => format!("the server responded with the status code {code} but did not return more information"),
    };
    match (resource, name) {
        ("", _) => said,
        (resource, "") => format!("{said} (get {resource})"),
        (resource, name) => format!("{said} (get {resource} {name})"),
    }
}

fn encoded(value: &str) -> String {
    use std::fmt::Write;
    let mut out = String::with_capacity(value.len());
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

fn items(list: &Value) -> &[Value] {
    list["items"].as_array().map(Vec::as_slice).unwrap_or_default()
}

fn millis(value: &Value) -> Option<i64> {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        _ => return None,
    };
    Quantity::parse(&text).ok().map(|quantity| quantity.millis())
}

fn time(item: &Value) -> Option<Timestamp> {
    item["timestamp"].as_str()?.parse().ok()
}

/// The usage of a pod, or of its container, when all of it is known.
fn usage(pod: &Value, resource: &str, container: &str) -> Option<(String, Measured)> {
    let containers = pod["containers"].as_array()?;
    let wanted = |one: &&Value| container.is_empty() || one["name"] == container;
    let mut used: Option<i64> = None;
    for one in containers.iter().filter(wanted) {
        let value = millis(&one["usage"][resource])?;
        used = Some(used.unwrap_or_default().saturating_add(value));
    }
    let window = pod["window"]
        .as_str()
        .and_then(|text| parse_duration_or_zero(text).ok());
    let measured = Measured {
        value: used?,
        at: time(pod),
        window: window.unwrap_or_default(),
    };
    Some((pod["metadata"]["name"].as_str()?.to_owned(), measured))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn usage_is_that_of_all_containers_or_of_one() {
        let pod = json!({
            "metadata": {"name": "p"}, "timestamp": "2026-01-01T00:00:00Z", "window": "15s",
            "containers": [
                {"name": "a", "usage": {"cpu": "5m", "memory": "1Mi"}}, {"name": "b", "usage": {"cpu": "7000001n"}},
            ],
        });
        let (name, measured) = usage(&pod, "cpu", "").unwrap();
        assert_eq!(
            (name.as_str(), measured.value, measured.window),
            ("p", 13, Duration::from_secs(15))
        );
        assert_eq!(usage(&pod, "cpu", "a").unwrap().1.value, 5);
        assert!(usage(&pod, "memory", "").is_none(), "that of b is not known");
        assert!(usage(&pod, "cpu", "c").is_none() && usage(&json!({"containers": []}), "cpu", "").is_none());
    }

    #[test]
    fn refusals_are_told_as_by_client_go() {
        assert_eq!(
            generic(404, "404 page not found\n", "pods.metrics.k8s.io", ""),
            "the server could not find the requested resource (get pods.metrics.k8s.io)"
        );
        assert_eq!(
            generic(503, "service unavailable\n", "q.external.metrics.k8s.io", "x"),
            "the server is currently unable to handle the request (get q.external.metrics.k8s.io x)"
        );
        assert_eq!(encoded("app=web,tier in (a,b)"), "app%3Dweb%2Ctier%20in%20%28a%2Cb%29");
    }
}
