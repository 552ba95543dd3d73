//! `/version`: what clients take this server for.

use super::request::{Body, full};
use http::{HeaderValue, Response, header};
use serde_json::json;

/// The Kubernetes release whose API this is.
pub const KUBERNETES: &str = "v1.36.2";
const MAJOR: &str = "1";
const MINOR: &str = "36";
const OLDEST_COMPATIBLE_MINOR: &str = "35";

/// The answer for `/version`; `None` for other paths.
pub fn answer(path: &str) -> Option<Response<Body>> {
    if path.trim_end_matches('/') != "/version" {
        return None;
    }
    let version = json!({
        "major": MAJOR,
        "minor": MINOR,
        "emulationMajor": MAJOR,
        "emulationMinor": MINOR,
        "minCompatibilityMajor": MAJOR,
        "minCompatibilityMinor": OLDEST_COMPATIBLE_MINOR,
        "gitVersion": format!("{KUBERNETES}+vcluster-rs.{}", chassis::VERSION),
        "gitCommit": "",
        "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z",
        // Fields of upstream's form that mean something only for Go; clients expect them to be there.
        "goVersion": "none",
        "compiler": "rustc",
        "platform": format!("{}/{}", std::env::consts::OS, platform()),
    });
    // Upstream indents this answer and no other.
    let mut response = Response::new(full(format!("{version:#}")));
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Some(response)
}

/// Go's name of the architecture.
fn platform() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_version_is_answered() {
        assert!(answer("/version").is_some());
        assert!(answer("/version/").is_some());
        assert!(answer("/versions").is_none());
    }
}
