//! `experimental.deploy.vcluster.helm`: charts that are released in the virtual cluster.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use machinery::names::{dns1123_label, dns1123_subdomain};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// How long a release may take unless it says so.
const TIMEOUT: Duration = Duration::from_secs(180);
/// Helm takes no longer names.
const LONGEST_NAME: usize = 53;
/// Where releases are that name no namespace.
const DEFAULT_NAMESPACE: &str = "default";

/// A chart and how it is released. Written as JSON it is what vCluster makes its digest of.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct ChartRelease {
    /// Which chart.
    pub chart: Chart,
    release: ReleaseName,
    /// Its values, as YAML.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub values: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    timeout: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    bundle: String,
}

/// Where a chart comes from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Chart {
    /// Its name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// The URL of its repository, or of its registry with `oci://`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub repo: String,
    /// The repository's certificate is not checked.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub insecure: bool,
    /// Its version; empty is the newest.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub version: String,
    /// Who asks the repository for it; empty is nobody.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub username: String,
    /// That one's password.
    #[serde(skip_serializing_if = "Secret::is_empty")]
    pub password: Secret,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct ReleaseName {
    #[serde(skip_serializing_if = "String::is_empty")]
    name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    namespace: String,
}

/// A text that no log shows.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl Secret {
    /// The text.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl ChartRelease {
    /// What the release is called.
    pub fn name(&self) -> &str {
        match self.release.name.as_str() {
            "" => &self.chart.name,
            name => name,
        }
    }

    /// The namespace that it is in.
    pub fn namespace(&self) -> &str {
        match self.release.namespace.as_str() {
            "" => DEFAULT_NAMESPACE,
            namespace => namespace,
        }
    }

    /// How long it may take.
    pub fn timeout(&self) -> Duration {
        // The reader of the file refuses what is none.
        parse_duration(&self.timeout).unwrap_or(TIMEOUT)
    }

    /// The archive of the chart, when it is not to be fetched.
    pub fn bundle(&self) -> Option<Vec<u8>> {
        // The reader of the file refuses what is no base64.
        Some(STANDARD.decode(without_space(&self.bundle)).unwrap_or_default()).filter(|bundle| !bundle.is_empty())
    }

    fn check(&self) -> Result<(), String> {
        if self.bundle.is_empty() {
            for (field, text) in [("name", &self.chart.name), ("repo", &self.chart.repo)] {
                if text.is_empty() {
                    return Err(format!(".chart.{field} is needed, unless bundle is the chart"));
                }
            }
            let is_url = ["https://", "http://", "oci://"]
                .iter()
                .any(|scheme| self.chart.repo.starts_with(scheme));
            let authority = self
                .chart
                .repo
                .split("://")
                .nth(1)
                .and_then(|rest| rest.split('/').next());
            if authority.is_some_and(|authority| authority.contains('@')) {
                return Err(".chart.repo must not say who asks: set chart.username and chart.password".to_owned());
            }
            if !is_url || self.chart.repo.contains(char::is_whitespace) {
                return Err(".chart.repo is not a URL that begins with https://, http:// or oci://".to_owned());
            }
        } else if !STANDARD
            .decode(without_space(&self.bundle))
            .is_ok_and(|bundle| bundle.starts_with(&[0x1f, 0x8b]))
        {
            return Err(".bundle is not the base64 of a chart's .tgz".to_owned());
        }
        if (self.chart.username.is_empty()) != (self.chart.password.is_empty()) {
            return Err(".chart.username and .chart.password belong together: set both or none".to_owned());
        }
        let field = if self.release.name.is_empty() {
            "chart.name"
        } else {
            "release.name"
        };
        let name = self.name();
        if name.len() > LONGEST_NAME || !dns1123_subdomain(name).is_empty() {
            return Err(format!(
                ".{field}: {name:?} cannot be the name of a release: up to {LONGEST_NAME} lower-case letters, digits, '-' and '.'; \
                 set release.name"
            ));
        }
        if !dns1123_label(self.namespace()).is_empty() {
            return Err(format!(".release.namespace: {:?} is not a namespace", self.namespace()));
        }
        if !self.timeout.is_empty() && parse_duration(&self.timeout).is_none() {
            return Err(format!(
                ".timeout: {:?} is not a duration such as 180s or 5m",
                self.timeout
            ));
        }
        Ok(())
    }
}

/// Checks the value of the key.
pub(crate) fn check(value: &Value) -> Result<(), String> {
    let mut releases = BTreeSet::new();
    for (index, item) in value.as_array().into_iter().flatten().enumerate() {
        let release: ChartRelease =
            serde_json::from_value(item.clone()).map_err(|error| format!("[{index}]: {error}"))?;
        release.check().map_err(|problem| format!("[{index}]{problem}"))?;
        let (name, namespace) = (release.name(), release.namespace());
        if !releases.insert((name.to_owned(), namespace.to_owned())) {
            return Err(format!("[{index}]: there is a release {namespace}/{name} before it"));
        }
    }
    Ok(())
}

/// Long texts are wrapped.
fn without_space(text: &str) -> String {
    text.split_whitespace().collect()
}

/// A duration as Go writes it, of more than nothing and less than a year.
fn parse_duration(text: &str) -> Option<Duration> {
    const LONGEST: f64 = 365.0 * 24.0 * 3600.0;
    let mut seconds = 0.0;
    let mut rest = text;
    while !rest.is_empty() {
        let is_number = |c: char| c.is_ascii_digit() || c == '.';
        let (number, after) = rest.split_at(rest.find(|c| !is_number(c))?);
        let (unit, after) = after.split_at(after.find(is_number).unwrap_or(after.len()));
        let scale = match unit {
            "h" => 3600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 1e-3,
            "us" | "µs" | "μs" => 1e-6,
            "ns" => 1e-9,
            _ => return None,
        };
        seconds += number.parse::<f64>().ok()? * scale;
        rest = after;
    }
    (seconds > 0.0 && seconds < LONGEST).then(|| Duration::from_secs_f64(seconds))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn release(value: Value) -> ChartRelease {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn a_release_has_defaults() {
        let plain = release(json!({"chart": {"name": "web", "repo": "https://charts.example.com"}}));
        assert_eq!((plain.name(), plain.namespace()), ("web", "default"));
        assert_eq!((plain.timeout(), plain.bundle()), (Duration::from_secs(180), None));
        let full = release(json!({
            "chart": {"name": "web", "password": "swordfish"}, "release": {"name": "shop", "namespace": "ns"},
            "timeout": "1m30.5s", "bundle": "H4sI\n AAAA",
        }));
        assert_eq!((full.name(), full.namespace()), ("shop", "ns"));
        assert_eq!(full.timeout(), Duration::from_millis(90_500));
        assert_eq!(full.bundle().unwrap()[..2], [0x1f, 0x8b]);
        assert!(!format!("{full:?}").contains("swordfish"));
    }

    #[test]
    fn its_json_is_that_of_vcluster() {
        let entry = release(json!({
            "values": "a: b", "release": {"namespace": "ns"}, "timeout": "",
            "chart": {"version": "1", "name": "web", "repo": "r", "insecure": true, "username": "u", "password": "p"},
        }));
        assert_eq!(
            serde_json::to_string(&entry).unwrap(),
            r#"{"chart":{"name":"web","repo":"r","insecure":true,"version":"1","username":"u","password":"p"},"release":{"namespace":"ns"},"values":"a: b"}"#
        );
        assert_eq!(
            serde_json::to_string(&ChartRelease::default()).unwrap(),
            r#"{"chart":{},"release":{}}"#
        );
    }

    #[test]
    fn mistakes_are_explained() {
        let chart = json!({"name": "web", "repo": "https://charts.example.com"});
        for (item, expected) in [
            (json!({"chart": {"repo": "https://a"}}), "[0].chart.name is needed"),
            (json!({"chart": {"name": "a"}}), "[0].chart.repo is needed"),
            (
                json!({"chart": {"name": "a", "repo": "ftp://a"}}),
                "[0].chart.repo is not a URL",
            ),
            (
                json!({"chart": {"name": "a", "repo": "https://u:p@a/b"}}),
                "[0].chart.repo must not say who asks",
            ),
            (json!({"bundle": "aGVsbG8="}), "[0].bundle is not the base64 of a chart"),
            (json!({"bundle": "%"}), "[0].bundle is not the base64 of a chart"),
            (
                json!({"bundle": "H4sIAAAA"}),
                "[0].chart.name: \"\" cannot be the name of a release",
            ),
            (
                json!({"chart": chart, "release": {"name": "A"}}),
                "[0].release.name: \"A\" cannot be",
            ),
            (
                json!({"chart": chart, "release": {"name": "a".repeat(54)}}),
                "[0].release.name: ",
            ),
            (
                json!({"chart": chart, "release": {"namespace": "a.b"}}),
                "[0].release.namespace: ",
            ),
            (
                json!({"chart": chart, "timeout": "3"}),
                "[0].timeout: \"3\" is not a duration",
            ),
            (json!({"chart": chart, "timeout": "0s"}), "[0].timeout: \"0s\" is not"),
            (json!({"chart": chart, "value": "a"}), "[0]: unknown field `value`"),
            (json!({"chart": chart, "values": {"a": 1}}), "[0]: invalid type: map"),
            (
                json!({"chart": {"name": "a", "repo": "https://a", "username": "u"}}),
                "[0].chart.username and .chart.password belong together",
            ),
        ] {
            let problem = check(&json!([item])).unwrap_err();
            assert!(problem.starts_with(expected), "{item}: {problem}");
        }
        let twice = json!([{"chart": chart}, {"chart": chart}]);
        assert_eq!(
            check(&twice),
            Err("[1]: there is a release default/web before it".to_owned())
        );
        assert_eq!(
            check(&json!([{"chart": chart}, {"chart": chart, "release": {"name": "b"}}])),
            Ok(())
        );
    }
}
