//! Single faults and the sentences they must produce.

use super::*;
use crate::resources::shared::pod_defaults;
use serde_json::json;

fn complaints(change: impl Fn(&mut Value)) -> Vec<String> {
    let mut spec = json!({"containers": [{"name": "c", "image": "a:1"}]});
    change(&mut spec);
    pod_defaults::pod_spec(&mut spec);
    validate_pod_spec("p", &spec, &Path::new("spec"))
        .iter()
        .map(ToString::to_string)
        .collect()
}

#[test]
fn a_minimal_spec_is_fine() {
    assert_eq!(complaints(|_| {}), Vec::<String>::new());
}

#[test]
fn each_fault_is_named() {
    let container = |field: &'static str, value: Value| {
        move |spec: &mut Value| {
            spec["containers"][0][field] = value.clone();
        }
    };
    let spec = |field: &'static str, value: Value| {
        move |spec: &mut Value| {
            spec[field] = value.clone();
        }
    };
    for (found, expected) in [
        (
            complaints(|s| s["containers"] = json!([])),
            "spec.containers: Required value",
        ),
        (
            complaints(container("image", json!(""))),
            "spec.containers[0].image: Required value",
        ),
        (
            complaints(container("image", json!(" a"))),
            "spec.containers[0].image: Invalid value: \" a\": must not have leading or trailing whitespace",
        ),
        (
            complaints(container("volumeMounts", json!([{"name": "nope", "mountPath": "/x"}]))),
            "spec.containers[0].volumeMounts[0].name: Not found: \"nope\"",
        ),
        (
            complaints(container(
                "resources",
                json!({"limits": {"cpu": "1"}, "requests": {"cpu": "2"}}),
            )),
            "spec.containers[0].resources.requests: Invalid value: \"2\": must be less than or equal to cpu limit of 1",
        ),
        (
            complaints(container("ports", json!([{"containerPort": 70000}]))),
            "spec.containers[0].ports[0].containerPort: Invalid value: 70000: must be between 1 and 65535, inclusive",
        ),
        (
            complaints(spec("restartPolicy", json!("Foo"))),
            "spec.restartPolicy: Unsupported value: \"Foo\": supported values: \"Always\", \"OnFailure\", \"Never\"",
        ),
        (
            complaints(spec("volumes", json!([{"name": "v", "hostPath": {}}]))),
            "spec.volumes[0].hostPath.path: Required value",
        ),
        (
            complaints(spec("tolerations", json!([{"operator": "Exists", "value": "x"}]))),
            "spec.tolerations[0].operator: Invalid value: \"x\": value must be empty when `operator` is 'Exists'",
        ),
        (
            complaints(spec("hostAliases", json!([{"ip": "x", "hostnames": ["a"]}]))),
            "spec.hostAliases[0].ip: Invalid value: \"x\": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)",
        ),
        (
            complaints(spec("schedulingGates", json!([{"name": "a.b/c"}, {"name": "a.b/c"}]))),
            "spec.schedulingGates[1]: Duplicate value: \"a.b/c\"",
        ),
        (
            complaints(spec(
                "volumes",
                json!([{"name": "v", "nfs": {"server": "s", "path": "rel"}}]),
            )),
            "spec.volumes[0].nfs.path: Invalid value: \"rel\": must be an absolute path",
        ),
        (
            complaints(spec("resources", json!({"limits": {"foo": "1"}}))),
            "spec.resources.limits[foo]: Invalid value: \"foo\": must be a standard resource type or fully qualified",
        ),
        (
            complaints(spec(
                "securityContext",
                json!({"seccompProfile": {"type": "Localhost"}}),
            )),
            "spec.securityContext.seccompProfile.localhostProfile: Required value: must be set when seccomp type is Localhost",
        ),
        (
            complaints(spec(
                "topologySpreadConstraints",
                json!([{"maxSkew": 1, "topologyKey": "a", "whenUnsatisfiable": "ScheduleAnyway", "minDomains": 2}]),
            )),
            "spec.topologySpreadConstraints[0].minDomains: Invalid value: 2: can only use minDomains if whenUnsatisfiable=DoNotSchedule, not ScheduleAnyway",
        ),
        (
            complaints(container("lifecycle", json!({"postStart": {}}))),
            "spec.containers[0].lifecycle.postStart: Required value: must specify a handler type",
        ),
        (
            complaints(container("resources", json!({"limits": {"hugepages-2Mi": "4Mi"}}))),
            "spec.containers[0].resources: Forbidden: HugePages require cpu or memory",
        ),
        (
            complaints(container("resources", json!({"claims": [{"name": "x"}]}))),
            "spec.containers[0].resources.claims[0]: Not found: \"x\": must be one of the names in pod.spec.resourceClaims which is empty",
        ),
        (
            complaints(container(
                "env",
                json!([{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "spec.foo"}}}]),
            )),
            "spec.containers[0].env[0].valueFrom.fieldRef.fieldPath: Invalid value: \"spec.foo\": error converting fieldPath: field label not supported: spec.foo",
        ),
        (
            complaints(container("securityContext", json!({"procMount": "Foo"}))),
            "spec.containers[0].securityContext.procMount: Unsupported value: \"Foo\": supported values: \"Default\", \"Unmasked\"",
        ),
        (
            complaints(container(
                "resizePolicy",
                json!([{"resourceName": "cpu", "restartPolicy": "NotRequired"}, {"resourceName": "cpu", "restartPolicy": "NotRequired"}]),
            )),
            "spec.containers[0].resizePolicy[1]: Duplicate value: \"cpu\"",
        ),
        (
            complaints(|s| {
                s["os"] = json!({"name": "linux"});
                s["securityContext"] = json!({"windowsOptions": {"runAsUserName": "x"}});
            }),
            "spec.securityContext.windowsOptions: Forbidden: windows options cannot be set for a linux pod",
        ),
        (
            complaints(|s| {
                s["hostUsers"] = json!(false);
                s["hostNetwork"] = json!(true);
            }),
            "spec.hostNetwork: Forbidden: when `hostUsers` is false",
        ),
        (
            complaints(|s| {
                s["shareProcessNamespace"] = json!(true);
                s["hostPID"] = json!(true);
            }),
            "spec.securityContext.shareProcessNamespace: Invalid value: true: ShareProcessNamespace and HostPID cannot both be enabled",
        ),
    ] {
        assert_eq!(found, [expected]);
    }
}

#[test]
fn volumes_have_one_source_each() {
    let volumes = |value: Value| complaints(|s| s["volumes"] = value.clone());
    for (found, expected) in [
        (
            volumes(json!([{"name": "v", "secret": {"secretName": "s"}, "configMap": {"name": "c"}}])),
            vec!["spec.volumes[0].configMap: Forbidden: may not specify more than 1 volume type"],
        ),
        (
            volumes(json!([{"name": "v", "iscsi": {"targetPortal": "p", "iqn": "x"}}])),
            vec![
                "spec.volumes[0].iscsi.iqn: Invalid value: \"x\": must be valid format starting with iqn, eui, or naa",
            ],
        ),
        (
            volumes(json!([{"name": "v", "fc": {"targetWWNs": ["a"]}}])),
            vec!["spec.volumes[0].fc.lun: Required value: lun is required if targetWWNs is specified"],
        ),
        (
            volumes(json!([{"name": "v", "projected": {"sources": [
                {"secret": {"name": "s", "items": [{"key": "a", "path": "x"}]}},
                {"configMap": {"name": "c", "items": [{"key": "a", "path": "x"}]}, "secret": {"name": "s"}},
            ]}}])),
            vec![
                "spec.volumes[0].projected: Invalid value: \"c\": conflicting duplicate paths",
                "spec.volumes[0].projected.sources[1]: Forbidden: may not specify more than 1 volume type per source",
            ],
        ),
        (
            volumes(
                json!([{"name": "v", "ephemeral": {}}, {"name": "w", "persistentVolumeClaim": {"claimName": "p-v"}}]),
            ),
            vec![
                "spec.volumes[0].ephemeral.volumeClaimTemplate: Required value",
                "spec.volumes[1].persistentVolumeClaim.claimName: Invalid value: \"p-v\": must not reference a PVC that gets created for an ephemeral volume",
            ],
        ),
    ] {
        assert_eq!(found, expected);
    }
}

#[test]
fn parts_that_came_later_are_checked_too() {
    let container = |value: Value| {
        complaints(|s| {
            s["restartPolicy"] = json!("Never");
            let map = s["containers"][0].as_object_mut().unwrap();
            map.extend(value.as_object().unwrap().clone());
        })
    };
    let spec = |field: &'static str, value: Value| complaints(|s| s[field] = value.clone());
    let rule = json!([{"action": "Restart", "exitCodes": {"operator": "Foo", "values": [1]}}]);
    let file = json!([{"name": "A", "valueFrom": {"fileKeyRef": {"volumeName": "v", "path": "../x", "key": "K"}}}]);
    let selector = json!({"matchLabels": {"a": "b"}});
    for (found, expected) in [
        (
            container(json!({"restartPolicyRules": rule})),
            vec![
                "spec.containers[0].restartPolicy: Required value: must specify restartPolicy when restart rules are used",
                "spec.containers[0].restartPolicyRules[0].exitCodes.operator: Unsupported value: \"Foo\": supported values: \"In\", \"NotIn\"",
            ],
        ),
        (
            container(json!({"env": file})),
            vec![
                "spec.containers[0].env[0].valueFrom.fileKeyRef.path: Invalid value: \"../x\": must not contain '..'",
                "spec.containers[0].env[0].valueFrom.fileKeyRef.volumeName: Not found: \"v\"",
            ],
        ),
        (
            spec("resourceClaims", json!([{"name": "r"}])),
            vec![
                "spec.resourceClaims[0]: Invalid value: {\"Name\":\"r\",\"ResourceClaimName\":null,\"ResourceClaimTemplateName\":null}: must specify one of: `resourceClaimName`, `resourceClaimTemplateName`",
            ],
        ),
        (
            spec("hostnameOverride", json!("A")),
            vec![
                "spec.hostnameOverride: Invalid value: \"A\": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')",
            ],
        ),
        (
            complaints(|s| {
                s["resources"] = json!({"requests": {"cpu": "1"}, "limits": {"cpu": "1"}});
                s["containers"][0]["resources"] = json!({"requests": {"cpu": "2"}, "limits": {"cpu": "2"}});
            }),
            vec![
                "spec.resources.requests[cpu]: Invalid value: \"1\": must be greater than or equal to aggregate container requests of 2",
                "spec.resources.containers[0][cpu].limits: Invalid value: \"2\": must be less than or equal to pod limits of 1",
            ],
        ),
        (
            spec(
                "affinity",
                json!({"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{"topologyKey": "z",
                    "labelSelector": selector, "matchLabelKeys": ["x"], "mismatchLabelKeys": ["x"]}]}}),
            ),
            vec![
                "spec.affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution[0].matchLabelKeys[0]: Invalid value: \"x\": exists in both matchLabelKeys and mismatchLabelKeys",
            ],
        ),
    ] {
        assert_eq!(found, expected);
    }
}

#[test]
fn what_is_deprecated_is_warned_of() {
    let pod = json!({"spec": {
        "nodeSelector": {"beta.kubernetes.io/os": "linux"},
        "imagePullSecrets": [{}],
        "volumes": [{"name": "v", "rbd": {}}],
        "topologySpreadConstraints": [{"topologyKey": "a"}],
        "containers": [{"name": "c", "env": [{"name": "A", "value": "1"}, {"name": "A", "value": "2"}],
            "ports": [{"containerPort": 1, "protocol": "TCP", "hostIP": "x"}]}],
    }});
    assert_eq!(
        warnings::of(&pod, &Path::root()),
        [
            r#"spec.nodeSelector[beta.kubernetes.io/os]: deprecated since v1.14; use "kubernetes.io/os" instead"#,
            "spec.topologySpreadConstraints[0].labelSelector: a null labelSelector results in matching no pod",
            "spec.volumes[0].rbd: deprecated in v1.28, non-functional in v1.31+",
            r#"spec.imagePullSecrets[0].name: invalid empty name """#,
            r#"spec.containers[0].env[1]: hides previous definition of "A", which may be dropped when using apply"#,
            "spec.containers[0].ports[0]: hostIP set without hostPort: {Name: HostPort:0 ContainerPort:1 Protocol:TCP HostIP:x}",
        ]
    );
}
