use super::*;
use crate::admission::testing::{Objects, attributes};
use machinery::gvk::GroupVersionKind;
use machinery::pod_security::Version;
use serde_json::json;

fn violations(level: Level, version: Version, spec: Value) -> String {
    Violations::of(&json!({"metadata": {}, "spec": spec}), Standard { level, version }).to_string()
}

fn container(context: Value) -> Value {
    json!([{"name": "c", "image": "i", "securityContext": context}])
}

/// A pod to which nothing can be said.
fn hardened() -> Value {
    container(json!({
        "allowPrivilegeEscalation": false,
        "capabilities": {"drop": ["ALL"]},
        "runAsNonRoot": true,
        "seccompProfile": {"type": "RuntimeDefault"},
    }))
}

#[test]
fn what_leads_out_of_the_pod_is_named() {
    for (spec, expected) in [
        (json!({"containers": container(json!({}))}), ""),
        (
            json!({"hostNetwork": true, "hostIPC": true, "containers": []}),
            "host namespaces (hostNetwork=true, hostIPC=true)",
        ),
        (
            json!({"containers": container(json!({"privileged": true, "capabilities": {"add": ["SYS_ADMIN", "CHOWN"]}}))}),
            "non-default capabilities (container \"c\" must not include \"SYS_ADMIN\" in securityContext.capabilities.add), \
             privileged (container \"c\" must not set securityContext.privileged=true)",
        ),
        (
            json!({"volumes": [{"name": "v", "hostPath": {"path": "/x"}}, {"name": "w", "emptyDir": {}}]}),
            "hostPath volumes (volume \"v\")",
        ),
        (
            json!({"containers": [
                {"name": "c", "ports": [{"containerPort": 1, "hostPort": 80}]},
                {"name": "d", "ports": [{"containerPort": 1, "hostPort": 81}]},
            ]}),
            "hostPort (containers \"c\", \"d\" use hostPorts 80, 81)",
        ),
        (
            json!({"securityContext": {"seLinuxOptions": {"type": "foo_t", "user": "u"}}, "containers": []}),
            "seLinuxOptions (pod set forbidden securityContext.seLinuxOptions: type \"foo_t\"; user may not be set)",
        ),
        (
            json!({"securityContext": {"appArmorProfile": {"type": "Unconfined"}, "sysctls": [{"name": "kernel.msgmax"}]}}),
            "forbidden AppArmor profile (pod must not set AppArmor profile type to \"Unconfined\"), \
             forbidden sysctls (kernel.msgmax)",
        ),
        (
            json!({"containers": [{"name": "c", "livenessProbe": {"httpGet": {"port": 80, "host": "1.2.3.4"}}}]}),
            "probe or lifecycle host (container \"c\" uses probe or lifecycle host \"1.2.3.4\")",
        ),
        (
            json!({"hostUsers": false, "containers": container(json!({"procMount": "Unmasked"}))}),
            "",
        ),
    ] {
        assert_eq!(
            violations(Level::Baseline, Version::Latest, spec.clone()),
            expected,
            "{spec}"
        );
        assert_eq!(violations(Level::Privileged, Version::Latest, spec), "");
    }
}

#[test]
fn only_hardened_pods_are_restricted() {
    assert_eq!(
        violations(Level::Restricted, Version::Latest, json!({"containers": hardened()})),
        ""
    );
    let plain = violations(
        Level::Restricted,
        Version::Latest,
        json!({"containers": container(json!({}))}),
    );
    assert_eq!(
        plain,
        "allowPrivilegeEscalation != false (container \"c\" must set securityContext.allowPrivilegeEscalation=false), \
         unrestricted capabilities (container \"c\" must set securityContext.capabilities.drop=[\"ALL\"]), \
         runAsNonRoot != true (pod or container \"c\" must set securityContext.runAsNonRoot=true), \
         seccompProfile (pod or container \"c\" must set securityContext.seccompProfile.type to \"RuntimeDefault\" or \
         \"Localhost\")"
    );
    let volume =
        json!({"containers": hardened(), "volumes": [{"name": "v", "nfs": {}}, {"name": "h", "hostPath": {}}]});
    assert_eq!(
        violations(Level::Restricted, Version::Latest, volume),
        "restricted volume types (volumes \"v\", \"h\" use restricted volume types \"hostPath\", \"nfs\")"
    );
    let root = json!({"containers": hardened(), "securityContext": {"runAsUser": 0}});
    assert_eq!(
        violations(Level::Restricted, Version::Latest, root.clone()),
        "runAsUser=0 (pod must not set runAsUser=0)"
    );
    assert_eq!(violations(Level::Restricted, Version::Minor(22), root), "");
}

#[test]
fn labels_are_read_as_upstream_reads_them() {
    let of = |labels: Value| Policy::of(&json!({"metadata": {"labels": labels}}));
    let (policy, problems) = of(json!({"pod-security.kubernetes.io/enforce": "baseline"}));
    assert_eq!(
        (policy.enforce.to_string(), policy.warn.to_string()),
        ("baseline:latest".into(), "baseline:latest".into())
    );
    assert!(problems.is_empty());
    let labels = json!({
        "pod-security.kubernetes.io/enforce": "bogus",
        "pod-security.kubernetes.io/warn": "restricted",
        "pod-security.kubernetes.io/warn-version": "v1.25",
        "pod-security.kubernetes.io/audit-version": "v99x",
    });
    let (policy, problems) = of(labels);
    assert_eq!(
        (policy.enforce.level, policy.warn.to_string()),
        (Level::Restricted, "restricted:v1.25".into())
    );
    let texts: Vec<String> = problems.iter().map(ToString::to_string).collect();
    assert_eq!(
        texts,
        [
            "metadata.labels[pod-security.kubernetes.io/enforce]: Invalid value: \"bogus\": must be one of privileged, baseline, restricted",
            "metadata.labels[pod-security.kubernetes.io/audit-version]: Invalid value: \"v99x\": must be \"latest\" or \"v1.x\"",
        ]
    );
}

#[tokio::test]
async fn pods_are_refused_and_their_makers_warned() {
    let labels = json!({"pod-security.kubernetes.io/enforce": "baseline"});
    let lookup = Objects::of(&[("namespaces", json!({"metadata": {"name": "n", "labels": labels}}))]);
    let pod = json!({"metadata": {"name": "p"}, "spec": {"hostPID": true, "containers": []}});
    let mut warnings = Vec::new();
    let mut asked = attributes(Operation::Create, "pods", "n", "p", &mut warnings);
    let refused = judge(&lookup, &mut asked, &pod).await.unwrap_err();
    assert_eq!(
        refused.message,
        "pods \"p\" is forbidden: violates PodSecurity \"baseline:latest\": host namespaces (hostPID=true)"
    );
    let mut updated = Attributes {
        old: Some(&pod),
        operation: Operation::Update,
        ..asked
    };
    judge(&lookup, &mut updated, &pod).await.unwrap();
    let maker = json!({"metadata": {"name": "d"}, "spec": {"template": pod}});
    let mut asked = Attributes {
        resource: GroupResource::new("apps", "deployments"),
        ..attributes(Operation::Create, "deployments", "n", "d", &mut warnings)
    };
    judge(&lookup, &mut asked, &maker).await.unwrap();
    assert_eq!(
        warnings,
        ["would violate PodSecurity \"baseline:latest\": host namespaces (hostPID=true)"]
    );
}

#[tokio::test]
async fn stricter_namespaces_warn_of_their_pods() {
    let pod = |name: &str| {
        (
            "pods",
            json!({"metadata": {"name": name, "namespace": "n"}, "spec": {"hostPID": true}}),
        )
    };
    let lookup = Objects::of(&[pod("b"), pod("a")]);
    let namespace =
        |level: &str| json!({"metadata": {"name": "n", "labels": {"pod-security.kubernetes.io/enforce": level}}});
    let (old, new) = (namespace("privileged"), namespace("baseline"));
    let mut warnings = Vec::new();
    let mut asked = Attributes {
        old: Some(&old),
        kind: GroupVersionKind::new("", "v1", "Namespace"),
        ..attributes(Operation::Update, "namespaces", "", "n", &mut warnings)
    };
    judge(&lookup, &mut asked, &new).await.unwrap();
    let wrong = judge(&lookup, &mut asked, &namespace("nope")).await.unwrap_err();
    assert_eq!(wrong.code, 422);
    assert_eq!(
        warnings,
        [
            "existing pods in namespace \"n\" violate the new PodSecurity enforce level \"baseline:latest\"",
            "a (and 1 other pod): host namespaces",
        ]
    );
}
