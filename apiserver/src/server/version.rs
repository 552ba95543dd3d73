//! `/version`: what clients take this server for.

use serde_json::{Value, json};

/// The Kubernetes release whose API this is.
pub const KUBERNETES: &str = "v1.36.2";
const MAJOR: &str = "1";
const MINOR: &str = "36";
const OLDEST_COMPATIBLE_MINOR: &str = "35";

/// What `/version` says.
pub fn document() -> Value {
    json!({
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
    })
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
    fn clients_learn_which_kubernetes_this_is() {
        let document = document();
        let version = document["gitVersion"].as_str().unwrap();
        assert!(version.starts_with(KUBERNETES), "{version}");
        assert_eq!((&document["major"], &document["minor"]), (&MAJOR.into(), &MINOR.into()));
    }
}
