//! What the level `restricted` adds: only what hardened pods need.

use super::baseline::{any_proc_mount, bad_seccomp};
use super::checks::{
    Violation, Words, containers_where, has_own_users, is_for_windows, named, of_container, of_pod, plural, quoted,
    setters, text,
};
use super::policy::Version;
use crate::meta;
use serde_json::Value;

/// Sources of volumes that hold nothing of the node's.
const VOLUMES: [&str; 9] = [
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "image",
    "persistentVolumeClaim",
    "projected",
    "secret",
];

pub(super) fn privilege_escalation(pod: &Value, version: Version) -> Option<Violation> {
    if version.has(25) && is_for_windows(pod) {
        return None;
    }
    let forbidden = |c: &Value| of_container(c, &["allowPrivilegeEscalation"]) == Some(&Value::Bool(false));
    let containers = containers_where(pod, |container| !forbidden(container));
    let detail = || {
        let who = named(&containers);
        format!("{who} must set securityContext.allowPrivilegeEscalation=false")
    };
    (!containers.is_empty()).then(|| ("allowPrivilegeEscalation != false".to_owned(), detail()))
}

/// The capabilities that a container adds or drops.
fn listed<'a>(container: &'a Value, field: &str) -> &'a [Value] {
    let list = of_container(container, &["capabilities", field]).and_then(Value::as_array);
    list.map(Vec::as_slice).unwrap_or_default()
}

pub(super) fn capabilities(pod: &Value, version: Version) -> Option<Violation> {
    if version.has(25) && is_for_windows(pod) {
        return None;
    }
    let keeping = containers_where(pod, |c| !listed(c, "drop").iter().any(|one| text(one) == "ALL"));
    let mut added = Words::new();
    let adding = containers_where(pod, |container| {
        let foreign = listed(container, "add")
            .iter()
            .map(text)
            .filter(|one| *one != "NET_BIND_SERVICE");
        foreign.map(|one| added.insert(one.to_owned())).count() > 0
    });
    let mut details = Vec::new();
    if !keeping.is_empty() {
        let who = named(&keeping);
        details.push(format!("{who} must set securityContext.capabilities.drop=[\"ALL\"]"));
    }
    if !adding.is_empty() {
        let (who, what) = (named(&adding), quoted(&added));
        details.push(format!(
            "{who} must not include {what} in securityContext.capabilities.add"
        ));
    }
    (!details.is_empty()).then(|| ("unrestricted capabilities".to_owned(), details.join("; ")))
}

pub(super) fn proc_mount(pod: &Value, _: Version) -> Option<Violation> {
    any_proc_mount(pod)
}

pub(super) fn volumes(pod: &Value, _: Version) -> Option<Violation> {
    let (mut names, mut types) = (Vec::new(), Words::new());
    for volume in meta::list_at(pod, &["spec", "volumes"]) {
        let fields = volume.as_object().into_iter().flatten();
        let mut sources = fields.filter(|(field, source)| *field != "name" && !source.is_null());
        let source = sources.next().map_or("unknown", |(field, _)| field.as_str());
        if !VOLUMES.contains(&source) {
            names.push(text(&volume["name"]));
            types.insert(source.to_owned());
        }
    }
    (!names.is_empty()).then(|| {
        let detail = format!(
            "{} {} {} {} {}",
            plural("volume", "volumes", names.len()),
            quoted(&names),
            plural("uses", "use", names.len()),
            plural("restricted volume type", "restricted volume types", types.len()),
            quoted(&types)
        );
        ("restricted volume types".to_owned(), detail)
    })
}

pub(super) fn run_as_non_root(pod: &Value, version: Version) -> Option<Violation> {
    if version.has(35) && has_own_users(pod) {
        return None;
    }
    let reason = "runAsNonRoot != true".to_owned();
    let flag = |value: Option<&Value>| value.and_then(Value::as_bool);
    let of_all = flag(of_pod(pod, &["runAsNonRoot"]));
    let of_one = |container: &Value| flag(of_container(container, &["runAsNonRoot"]));
    let refusing = containers_where(pod, |container| of_one(container) == Some(false));
    if let Some(who) = setters(of_all == Some(false), &refusing) {
        return Some((reason, format!("{who} must not set securityContext.runAsNonRoot=false")));
    }
    let silent = containers_where(pod, |container| of_one(container).is_none() && of_all != Some(true));
    let detail = || format!("pod or {} must set securityContext.runAsNonRoot=true", named(&silent));
    (!silent.is_empty()).then(|| (reason, detail()))
}

pub(super) fn run_as_user(pod: &Value, version: Version) -> Option<Violation> {
    if version.has(35) && has_own_users(pod) {
        return None;
    }
    let root = |value: Option<&Value>| value.and_then(Value::as_i64) == Some(0);
    let containers = containers_where(pod, |container| root(of_container(container, &["runAsUser"])));
    let who = setters(root(of_pod(pod, &["runAsUser"])), &containers)?;
    Some(("runAsUser=0".to_owned(), format!("{who} must not set runAsUser=0")))
}

fn profile(container: &Value) -> Option<&Value> {
    of_container(container, &["seccompProfile"])
}

pub(super) fn seccomp(pod: &Value, version: Version) -> Option<Violation> {
    if version.has(25) && is_for_windows(pod) {
        return None;
    }
    let reason = "seccompProfile".to_owned();
    let mut values = Words::new();
    let of_all = of_pod(pod, &["seccompProfile"]);
    let by_pod = bad_seccomp(of_all, &mut values);
    let wrong = containers_where(pod, |container| bad_seccomp(profile(container), &mut values));
    if let Some(who) = setters(by_pod, &wrong) {
        let what = quoted(&values);
        return Some((
            reason,
            format!("{who} must not set securityContext.seccompProfile.type to {what}"),
        ));
    }
    let silent = containers_where(pod, |container| profile(container).is_none() && of_all.is_none());
    let detail = || {
        let who = named(&silent);
        format!("pod or {who} must set securityContext.seccompProfile.type to \"RuntimeDefault\" or \"Localhost\"")
    };
    (!silent.is_empty()).then(|| (reason, detail()))
}
