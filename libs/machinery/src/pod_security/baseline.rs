//! The rules of the level `baseline`: nothing that is known to lead out of the pod.

use super::checks::{
    Violation, Words, containers_where, has_own_users, named, of_container, of_pod, plural, quoted, setters, text,
};
use super::policy::Version;
use crate::field::go_quote;
use crate::meta;
use serde_json::Value;

const CAPABILITIES: [&str; 13] = [
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];
/// Kernel parameters that concern the pod alone, and since which minor version they are known to.
const SYSCTLS: [(&str, u32); 12] = [
    ("kernel.shm_rmid_forced", 0),
    ("net.ipv4.ip_local_port_range", 0),
    ("net.ipv4.tcp_syncookies", 0),
    ("net.ipv4.ping_group_range", 0),
    ("net.ipv4.ip_unprivileged_port_start", 0),
    ("net.ipv4.ip_local_reserved_ports", 27),
    ("net.ipv4.tcp_keepalive_time", 29),
    ("net.ipv4.tcp_fin_timeout", 29),
    ("net.ipv4.tcp_keepalive_intvl", 29),
    ("net.ipv4.tcp_keepalive_probes", 29),
    ("net.ipv4.tcp_rmem", 32),
    ("net.ipv4.tcp_wmem", 32),
];
const SE_LINUX_TYPES: [(&str, u32); 5] = [
    ("", 0),
    ("container_t", 0),
    ("container_init_t", 0),
    ("container_kvm_t", 0),
    ("container_engine_t", 31),
];
const APP_ARMOR: &str = "container.apparmor.security.beta.kubernetes.io/";
const SECCOMP_POD: &str = "seccomp.security.alpha.kubernetes.io/pod";
const SECCOMP_CONTAINER: &str = "container.seccomp.security.alpha.kubernetes.io/";

pub(super) fn app_armor(pod: &Value, _: Version) -> Option<Violation> {
    let allowed = |profile: &Value| ["RuntimeDefault", "Localhost"].contains(&text(&profile["type"]));
    let mut values = Words::new();
    let mut bad = |profile: Option<&Value>| match profile {
        Some(profile) if !allowed(profile) => {
            values.insert(text(&profile["type"]).to_owned());
            true
        }
        _ => false,
    };
    let by_pod = bad(of_pod(pod, &["appArmorProfile"]));
    let containers = containers_where(pod, |c| bad(of_container(c, &["appArmorProfile"])));
    let annotations = meta::map_at(pod, &["metadata", "annotations"]).into_iter().flatten();
    let fine = |value: &str| value.is_empty() || value == "runtime/default" || value.starts_with("localhost/");
    let annotations: Words = annotations
        .filter(|(key, value)| key.starts_with(APP_ARMOR) && !fine(text(value)))
        .map(|(key, value)| format!("{key}={}", go_quote(text(value))))
        .collect();
    let annotated =
        (!annotations.is_empty()).then(|| plural("annotation", "annotations", annotations.len()).to_owned());
    let who: Vec<String> = setters(by_pod, &containers).into_iter().chain(annotated).collect();
    let values: Vec<String> = values.into_iter().chain(annotations).collect();
    (!who.is_empty()).then(|| {
        let reason = plural(
            "forbidden AppArmor profile",
            "forbidden AppArmor profiles",
            values.len(),
        );
        let detail = format!(
            "{} must not set AppArmor profile type to {}",
            who.join(" and "),
            quoted(&values)
        );
        (reason.to_owned(), detail)
    })
}

pub(super) fn capabilities(pod: &Value, _: Version) -> Option<Violation> {
    let mut added = Words::new();
    let containers = containers_where(pod, |container| {
        let add = of_container(container, &["capabilities", "add"]).and_then(Value::as_array);
        let foreign = add
            .into_iter()
            .flatten()
            .map(text)
            .filter(|one| !CAPABILITIES.contains(one));
        let before = foreign.map(|one| added.insert(one.to_owned())).count();
        before > 0
    });
    (!containers.is_empty()).then(|| {
        let detail = format!(
            "{} must not include {} in securityContext.capabilities.add",
            named(&containers),
            quoted(&added)
        );
        ("non-default capabilities".to_owned(), detail)
    })
}

pub(super) fn host_namespaces(pod: &Value, _: Version) -> Option<Violation> {
    let shared = ["hostNetwork", "hostPID", "hostIPC"].into_iter();
    let shared = shared.filter(|field| meta::bool_at(pod, &["spec", field]) == Some(true));
    let shared: Vec<String> = shared.map(|field| format!("{field}=true")).collect();
    (!shared.is_empty()).then(|| ("host namespaces".to_owned(), shared.join(", ")))
}

pub(super) fn host_path_volumes(pod: &Value, _: Version) -> Option<Violation> {
    let volumes = meta::list_at(pod, &["spec", "volumes"]).iter();
    let volumes: Vec<&str> = volumes
        .filter(|volume| volume.get("hostPath").is_some_and(|source| !source.is_null()))
        .map(|volume| text(&volume["name"]))
        .collect();
    let word = plural("volume", "volumes", volumes.len());
    (!volumes.is_empty()).then(|| ("hostPath volumes".to_owned(), format!("{word} {}", quoted(&volumes))))
}

pub(super) fn host_ports(pod: &Value, _: Version) -> Option<Violation> {
    let mut ports = Words::new();
    let containers = containers_where(pod, |container| {
        let used = meta::list_at(container, &["ports"]).iter();
        let used = used
            .filter_map(|port| port["hostPort"].as_i64())
            .filter(|port| *port != 0);
        used.map(|port| ports.insert(port.to_string())).count() > 0
    });
    (!containers.is_empty()).then(|| {
        let detail = format!(
            "{} {} {} {}",
            named(&containers),
            plural("uses", "use", containers.len()),
            plural("hostPort", "hostPorts", ports.len()),
            ports.into_iter().collect::<Vec<_>>().join(", ")
        );
        ("hostPort".to_owned(), detail)
    })
}

pub(super) fn probe_hosts(pod: &Value, _: Version) -> Option<Violation> {
    let mut hosts = Words::new();
    let handlers: [&[&str]; 5] = [
        &["livenessProbe"],
        &["readinessProbe"],
        &["startupProbe"],
        &["lifecycle", "postStart"],
        &["lifecycle", "preStop"],
    ];
    let containers = containers_where(pod, |container| {
        let handlers = handlers.iter().filter_map(|path| meta::at(container, path));
        let named = handlers.flat_map(|handler| ["httpGet", "tcpSocket"].map(|kind| text(&handler[kind]["host"])));
        named
            .filter(|host| !host.is_empty())
            .map(|host| hosts.insert(host.to_owned()))
            .count()
            > 0
    });
    let containers: std::collections::BTreeSet<&str> = containers.into_iter().collect();
    let containers: Vec<&str> = containers.into_iter().collect();
    (!containers.is_empty()).then(|| {
        let detail = format!(
            "{} {} {} {}",
            named(&containers),
            plural("uses", "use", containers.len()),
            plural("probe or lifecycle host", "probe or lifecycle hosts", hosts.len()),
            quoted(&hosts)
        );
        ("probe or lifecycle host".to_owned(), detail)
    })
}

pub(super) fn privileged(pod: &Value, _: Version) -> Option<Violation> {
    let containers = containers_where(pod, |c| of_container(c, &["privileged"]) == Some(&Value::Bool(true)));
    let detail = || format!("{} must not set securityContext.privileged=true", named(&containers));
    (!containers.is_empty()).then(|| ("privileged".to_owned(), detail()))
}

pub(super) fn proc_mount(pod: &Value, version: Version) -> Option<Violation> {
    if version.has(35) && has_own_users(pod) {
        return None;
    }
    any_proc_mount(pod)
}

/// The rule without the exception for pods with users of their own.
pub(super) fn any_proc_mount(pod: &Value) -> Option<Violation> {
    let mut types = Words::new();
    let containers = containers_where(pod, |container| {
        let kind = of_container(container, &["procMount"]).map(text);
        let kind = kind.filter(|kind| *kind != "Default");
        kind.map(|kind| types.insert(kind.to_owned())).is_some()
    });
    (!containers.is_empty()).then(|| {
        let detail = format!(
            "{} must not set securityContext.procMount to {}",
            named(&containers),
            quoted(&types)
        );
        ("procMount".to_owned(), detail)
    })
}

pub(super) fn se_linux(pod: &Value, version: Version) -> Option<Violation> {
    let allowed = |kind: &str| {
        SE_LINUX_TYPES
            .iter()
            .any(|(known, since)| *known == kind && version.has(*since))
    };
    let (mut types, mut user, mut role) = (Words::new(), false, false);
    let mut bad = |options: Option<&Value>| {
        let Some(options) = options else { return false };
        let kind = text(&options["type"]);
        let (sets_user, sets_role) = (!text(&options["user"]).is_empty(), !text(&options["role"]).is_empty());
        if !allowed(kind) {
            types.insert(kind.to_owned());
        }
        user |= sets_user;
        role |= sets_role;
        !allowed(kind) || sets_user || sets_role
    };
    let by_pod = bad(of_pod(pod, &["seLinuxOptions"]));
    let containers = containers_where(pod, |c| bad(of_container(c, &["seLinuxOptions"])));
    let who = setters(by_pod, &containers)?;
    let mut what = Vec::new();
    if !types.is_empty() {
        what.push(format!("{} {}", plural("type", "types", types.len()), quoted(&types)));
    }
    what.extend(user.then(|| "user may not be set".to_owned()));
    what.extend(role.then(|| "role may not be set".to_owned()));
    let detail = format!(
        "{who} set forbidden securityContext.seLinuxOptions: {}",
        what.join("; ")
    );
    Some(("seLinuxOptions".to_owned(), detail))
}

pub(super) fn seccomp(pod: &Value, version: Version) -> Option<Violation> {
    if !version.has(19) {
        return seccomp_annotations(pod);
    }
    let mut values = Words::new();
    let mut bad = |profile: Option<&Value>| bad_seccomp(profile, &mut values);
    let by_pod = bad(of_pod(pod, &["seccompProfile"]));
    let containers = containers_where(pod, |c| bad(of_container(c, &["seccompProfile"])));
    let who = setters(by_pod, &containers)?;
    let detail = format!(
        "{who} must not set securityContext.seccompProfile.type to {}",
        quoted(&values)
    );
    Some(("seccompProfile".to_owned(), detail))
}

/// Whether a profile is one that the level forbids; its type goes into `values`.
pub(super) fn bad_seccomp(profile: Option<&Value>, values: &mut Words) -> bool {
    let kind = profile.map(|profile| text(&profile["type"]));
    match kind.filter(|kind| !["Localhost", "RuntimeDefault"].contains(kind)) {
        Some(kind) => {
            values.insert(kind.to_owned());
            true
        }
        None => false,
    }
}

fn seccomp_annotations(pod: &Value) -> Option<Violation> {
    let keys = super::checks::containers(pod).map(|c| format!("{SECCOMP_CONTAINER}{}", text(&c["name"])));
    let fine = |value: &str| ["runtime/default", "docker/default"].contains(&value) || value.starts_with("localhost/");
    let forbidden: Words = std::iter::once(SECCOMP_POD.to_owned())
        .chain(keys)
        .filter_map(|key| {
            let value = meta::str_at(pod, &["metadata", "annotations", &key])?;
            (!fine(value)).then(|| format!("{key}={}", go_quote(value)))
        })
        .collect();
    let word = plural("annotation", "annotations", forbidden.len());
    let list = || forbidden.iter().cloned().collect::<Vec<_>>().join(", ");
    (!forbidden.is_empty()).then(|| ("seccompProfile".to_owned(), format!("forbidden {word} {}", list())))
}

pub(super) fn sysctls(pod: &Value, version: Version) -> Option<Violation> {
    let allowed = |name: &str| {
        SYSCTLS
            .iter()
            .any(|(known, since)| *known == name && version.has(*since))
    };
    let set = meta::list_at(pod, &["spec", "securityContext", "sysctls"]).iter();
    let forbidden: Vec<&str> = set
        .map(|sysctl| text(&sysctl["name"]))
        .filter(|name| !allowed(name))
        .collect();
    (!forbidden.is_empty()).then(|| ("forbidden sysctls".to_owned(), forbidden.join(", ")))
}

pub(super) fn windows_host_process(pod: &Value, _: Version) -> Option<Violation> {
    const PATH: [&str; 2] = ["windowsOptions", "hostProcess"];
    let yes = |value: Option<&Value>| value == Some(&Value::Bool(true));
    let containers = containers_where(pod, |c| yes(of_container(c, &PATH)));
    let who = setters(yes(of_pod(pod, &PATH)), &containers)?;
    let detail = format!("{who} must not set securityContext.windowsOptions.hostProcess=true");
    Some(("hostProcess".to_owned(), detail))
}
