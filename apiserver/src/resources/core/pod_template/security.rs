//! Security contexts (`validatePodSpecSecurityContext`, `ValidateSecurityContext`).

use super::complaints;
use super::paths::descending;
use crate::resources::shared::internal;
use machinery::field::{Error, ErrorList, Path};
use machinery::{meta, names};
use serde_json::Value;
use std::collections::BTreeSet;

const SYSCTL_RULE: &str = r"must have at most 253 characters and match regex ^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$";
const SYSCTL_MAX: usize = 253;
const PROFILE_MAX: usize = 4095;
const PROFILES: [&str; 3] = ["Localhost", "RuntimeDefault", "Unconfined"];
/// Sysctls that belong to a namespace a pod may share with its host, by prefix (`utilsysctl.GetNamespace`).
const NETWORK_SYSCTLS: &str = "net.";
const IPC_SYSCTLS: [&str; 3] = ["kernel.shm", "kernel.msg", "fs.mqueue."];

/// Checks the security context of a pod. Fields of the pod that upstream's internal type keeps in the security context
/// are reported there.
pub(super) fn validate_pod(spec: &Value, path: &Path) -> ErrorList {
    let Some(context) = meta::at(spec, &["securityContext"]) else {
        return ErrorList::new();
    };
    let path = path.child("securityContext");
    let mut errors = ErrorList::new();
    for field in ["fsGroup", "runAsUser", "runAsGroup"] {
        errors.extend(validate_id(meta::i64_at(context, &[field]), &path.child(field)));
    }
    for (i, id) in meta::list_at(context, &["supplementalGroups"]).iter().enumerate() {
        errors.extend(validate_id(id.as_i64(), &path.child("supplementalGroups").index(i)));
    }
    let flag = |field: &str| meta::bool_at(spec, &[field]) == Some(true);
    if flag("shareProcessNamespace") && flag("hostPID") {
        let detail = "ShareProcessNamespace and HostPID cannot both be enabled";
        errors.push(Error::invalid(&path.child("shareProcessNamespace"), true, detail));
    }
    errors.extend(validate_sysctls(spec, context, &path.child("sysctls")));
    errors.extend(one_of(
        context,
        "fsGroupChangePolicy",
        &["Always", "OnRootMismatch"],
        &path,
    ));
    errors.extend(validate_profiles(context, &path));
    errors.extend(one_of(context, "supplementalGroupsPolicy", &["Merge", "Strict"], &path));
    // The other policy, MountOption, waits for a feature that is off.
    errors.extend(one_of(context, "seLinuxChangePolicy", &["Recursive"], &path));
    errors
}

/// Checks the security context of a container; `host_users` tells whether it shares the users of its host.
pub(super) fn validate_container(container: &Value, host_users: bool, path: &Path) -> ErrorList {
    let Some(context) = meta::at(container, &["securityContext"]) else {
        return ErrorList::new();
    };
    let path = path.child("securityContext");
    let mut errors = ErrorList::new();
    for field in ["runAsUser", "runAsGroup"] {
        errors.extend(validate_id(meta::i64_at(context, &[field]), &path.child(field)));
    }
    errors.extend(one_of(context, "procMount", &["Default", "Unmasked"], &path));
    if host_users && meta::str_at(context, &["procMount"]) == Some("Unmasked") {
        let detail = "`hostUsers` must be false to use `Unmasked`";
        errors.push(Error::invalid(&path.child("procMount"), "Unmasked", detail));
    }
    if meta::bool_at(context, &["allowPrivilegeEscalation"]) == Some(false) {
        let added = meta::list_at(context, &["capabilities", "add"]);
        let privileged = meta::bool_at(context, &["privileged"]) == Some(true);
        for (wrong, what) in [
            (privileged, "`privileged` to true"),
            (
                added.iter().any(|c| c == "CAP_SYS_ADMIN"),
                "`capabilities.Add` CAP_SYS_ADMIN",
            ),
        ] {
            if wrong {
                let detail = format!("cannot set `allowPrivilegeEscalation` to false and {what}");
                let shown = internal::show("SecurityContext", context);
                errors.push(Error::invalid(&path, context.clone(), detail).showing(shown));
            }
        }
    }
    errors.extend(validate_profiles(context, &path));
    errors
}

fn validate_id(id: Option<i64>, path: &Path) -> Option<Error> {
    let id = id?;
    let max = i64::from(i32::MAX);
    (!(0..=max).contains(&id)).then(|| Error::invalid(path, id, names::inclusive_range(0, max)))
}

fn one_of(context: &Value, field: &str, known: &[&str], path: &Path) -> Option<Error> {
    let value = meta::str_at(context, &[field])?;
    (!known.contains(&value)).then(|| Error::not_supported(&path.child(field), value, known))
}

fn is_sysctl(name: &str) -> bool {
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_');
    let outer = |b: Option<&u8>| b.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    let segment = |s: &str| outer(s.as_bytes().first()) && outer(s.as_bytes().last()) && s.bytes().all(inner);
    name.len() <= SYSCTL_MAX && name.split(['.', '/']).all(segment)
}

fn validate_sysctls(spec: &Value, context: &Value, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let mut seen = BTreeSet::new();
    let host = |field: &str| meta::bool_at(spec, &[field]) == Some(true);
    for (i, sysctl) in meta::list_at(context, &["sysctls"]).iter().enumerate() {
        let name = meta::str_at(sysctl, &["name"]).unwrap_or_default();
        let path = path.index(i).child("name");
        if name.is_empty() {
            errors.push(Error::required(&path, ""));
        } else if !is_sysctl(name) {
            errors.push(Error::invalid(&path, name, SYSCTL_RULE));
        } else if seen.contains(name) {
            errors.push(Error::duplicate(&path, name));
        }
        let dotted = name.replace('/', ".");
        if host("hostNetwork") && dotted.starts_with(NETWORK_SYSCTLS) {
            let detail = "may not be specified when 'hostNetwork' is true";
            errors.push(Error::invalid(&path, name, detail));
        } else if host("hostIPC") && IPC_SYSCTLS.iter().any(|p| dotted.starts_with(p)) {
            errors.push(Error::invalid(
                &path,
                name,
                "may not be specified when 'hostIPC' is true",
            ));
        }
        seen.insert(name);
    }
    errors
}

/// The seccomp, Windows and AppArmor parts, which pods and containers have in common, in upstream's order.
fn validate_profiles(context: &Value, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    if let Some(profile) = meta::at(context, &["seccompProfile"]) {
        errors.extend(validate_seccomp(profile, &path.child("seccompProfile")));
    }
    if let Some(options) = meta::at(context, &["windowsOptions"]) {
        errors.extend(validate_windows(options, &path.child("windowsOptions")));
    }
    if let Some(profile) = meta::at(context, &["appArmorProfile"]) {
        errors.extend(validate_app_armor(profile, &path.child("appArmorProfile")));
    }
    errors
}

fn validate_profile_type(kind: &str, field: &str, path: &Path) -> Option<Error> {
    match kind {
        "" => Some(Error::required(path, format!("type is required when {field} is set"))),
        kind if PROFILES.contains(&kind) => None,
        other => Some(Error::not_supported(path, other, &PROFILES)),
    }
}

fn validate_seccomp(profile: &Value, path: &Path) -> ErrorList {
    let kind = meta::str_at(profile, &["type"]).unwrap_or_default();
    let mut errors = ErrorList::new();
    errors.extend(validate_profile_type(kind, "seccompProfile", &path.child("type")));
    let path = path.child("localhostProfile");
    match (kind, meta::str_at(profile, &["localhostProfile"])) {
        ("Localhost", None) => errors.push(Error::required(&path, "must be set when seccomp type is Localhost")),
        ("Localhost", Some(file)) => errors.extend(descending(file, &path)),
        (_, Some(_)) => {
            let shown = internal::show("SeccompProfile", profile);
            let detail = "can only be set when seccomp type is Localhost";
            errors.push(Error::invalid(&path, profile.clone(), detail).showing(shown));
        }
        (_, None) => {}
    }
    errors
}

fn validate_app_armor(profile: &Value, path: &Path) -> ErrorList {
    let kind = meta::str_at(profile, &["type"]).unwrap_or_default();
    let mut errors = ErrorList::new();
    errors.extend(validate_profile_type(kind, "appArmorProfile", &path.child("type")));
    let path = path.child("localhostProfile");
    match (kind, meta::str_at(profile, &["localhostProfile"])) {
        ("Localhost", None | Some("")) => {
            errors.push(Error::required(&path, "must be set when AppArmor type is Localhost"));
        }
        ("Localhost", Some(name)) => {
            if name.trim() != name {
                errors.push(Error::invalid(&path, name, "must not be padded with whitespace"));
            }
            if name.len() > PROFILE_MAX {
                errors.push(Error::too_long(&path, PROFILE_MAX));
            }
        }
        ("RuntimeDefault" | "Unconfined", Some(name)) => {
            let detail = "can only be set when AppArmor type is Localhost";
            errors.push(Error::invalid(&path, name, detail));
        }
        _ => {}
    }
    errors
}

/// `validateWindowsSecurityContextOptions`.
fn validate_windows(options: &Value, path: &Path) -> ErrorList {
    const SPEC_MAX: usize = 64 * 1024;
    let mut errors = ErrorList::new();
    if let Some(name) = meta::str_at(options, &["gmsaCredentialSpecName"]) {
        let path = path.child("gmsaCredentialSpecName");
        errors.extend(complaints(&path, name, names::dns1123_subdomain(name)));
    }
    if let Some(spec) = meta::str_at(options, &["gmsaCredentialSpec"]) {
        let path = path.child("gmsaCredentialSpec");
        if spec.is_empty() {
            errors.push(Error::invalid(
                &path,
                spec,
                "gmsaCredentialSpec cannot be an empty string",
            ));
        } else if spec.len() > SPEC_MAX {
            let detail = format!("gmsaCredentialSpec size must be under {} KiB", SPEC_MAX / 1024);
            errors.push(Error::invalid(&path, spec, detail));
        }
    }
    if let Some(user) = meta::str_at(options, &["runAsUserName"]) {
        let path = path.child("runAsUserName");
        if user.is_empty() {
            errors.push(Error::invalid(&path, user, "runAsUserName cannot be an empty string"));
        } else if user.chars().any(char::is_control) {
            let detail = "runAsUserName cannot contain control characters";
            errors.push(Error::invalid(&path, user, detail));
        }
    }
    errors
}
