//! What `os.name` rules out (`validateOS`, `validateLinux`, `validateWindows`).

use machinery::field::{Error, ErrorList, Path};
use machinery::meta;
use serde_json::Value;

const NAMES: [&str; 2] = ["linux", "windows"];
const CONTAINERS: [&str; 3] = ["initContainers", "containers", "ephemeralContainers"];
const NOT_ON_WINDOWS: &str = "cannot be set for a windows pod";
const NOT_ON_LINUX: &str = "windows options cannot be set for a linux pod";

/// What a Windows pod cannot have, in upstream's order: below `securityContext` or directly in the spec.
const POD_FIELDS: [&[&str]; 15] = [
    &["securityContext", "appArmorProfile"],
    &["securityContext", "seLinuxOptions"],
    &["hostUsers"],
    &["hostPID"],
    &["hostIPC"],
    &["securityContext", "seccompProfile"],
    &["securityContext", "fsGroup"],
    &["securityContext", "fsGroupChangePolicy"],
    &["securityContext", "sysctls"],
    &["shareProcessNamespace"],
    &["securityContext", "runAsUser"],
    &["securityContext", "runAsGroup"],
    &["securityContext", "supplementalGroups"],
    &["securityContext", "supplementalGroupsPolicy"],
    &["securityContext", "seLinuxChangePolicy"],
];
/// What the security context of a container on Windows cannot have.
const CONTAINER_FIELDS: [&str; 10] = [
    "appArmorProfile",
    "seLinuxOptions",
    "seccompProfile",
    "capabilities",
    "readOnlyRootFilesystem",
    "privileged",
    "allowPrivilegeEscalation",
    "procMount",
    "runAsUser",
    "runAsGroup",
];

/// Checks a spec that names its operating system.
pub(super) fn validate(spec: &Value, path: &Path) -> ErrorList {
    if meta::at(spec, &["os"]).is_none() {
        return ErrorList::new();
    }
    match meta::str_at(spec, &["os", "name"]).unwrap_or_default() {
        "" => vec![Error::required(&path.child("os").child("name"), "")],
        "linux" => forbid(
            spec,
            &[&["securityContext", "windowsOptions"]],
            &["windowsOptions"],
            NOT_ON_LINUX,
            path,
        ),
        "windows" => forbid(spec, &POD_FIELDS, &CONTAINER_FIELDS, NOT_ON_WINDOWS, path),
        other => vec![Error::not_supported(&path.child("os"), other, &NAMES)],
    }
}

/// Processes of the host on Windows: all containers or none, in the network of the host
/// (`validateWindowsHostProcessPod`).
pub(super) fn validate_host_process(spec: &Value, path: &Path) -> ErrorList {
    const FIELD: [&str; 3] = ["securityContext", "windowsOptions", "hostProcess"];
    let mut errors = ErrorList::new();
    let of_pod = meta::bool_at(spec, &FIELD);
    let (mut all, mut of_host) = (0, 0);
    for list in CONTAINERS {
        for (i, container) in meta::list_at(spec, &[list]).iter().enumerate() {
            let own = meta::bool_at(container, &FIELD);
            if let (Some(pod), Some(own)) = (of_pod, own)
                && pod != own
            {
                let path = FIELD
                    .iter()
                    .fold(path.child(list).index(i), |path, part| path.child(part));
                let detail = format!("pod hostProcess value must be identical if both are specified, was {pod}");
                errors.push(Error::invalid(&path, own, detail));
            }
            all += 1;
            of_host += usize::from(own.or(of_pod) == Some(true));
        }
    }
    if of_host > 0 && of_host != all {
        let detail = "If pod contains any hostProcess containers then all containers must be HostProcess containers";
        errors.push(Error::invalid(path, "", detail));
    }
    if of_host > 0 && meta::bool_at(spec, &["hostNetwork"]) != Some(true) {
        let detail = "hostNetwork must be true if pod contains any hostProcess containers";
        errors.push(Error::invalid(&path.child("hostNetwork"), false, detail));
    }
    errors
}

fn forbid(spec: &Value, pod_fields: &[&[&str]], container_fields: &[&str], why: &str, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    for field in pod_fields {
        let plain = matches!(field, ["hostPID" | "hostIPC"]);
        if meta::at(spec, field).is_some_and(|v| is_set(v) && !(plain && *v == false)) {
            let path = field.iter().fold(path.clone(), |path, part| path.child(part));
            errors.push(Error::forbidden(&path, why));
        }
    }
    for list in CONTAINERS {
        for (i, container) in meta::list_at(spec, &[list]).iter().enumerate() {
            for field in container_fields {
                if meta::at(container, &["securityContext", field]).is_some_and(is_set) {
                    let path = path.child(list).index(i).child("securityContext").child(field);
                    errors.push(Error::forbidden(&path, why));
                }
            }
        }
    }
    errors
}

/// Empty lists are as good as absent.
fn is_set(value: &Value) -> bool {
    !value.is_null() && *value != Value::Array(Vec::new())
}
