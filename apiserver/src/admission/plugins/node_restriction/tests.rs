use super::*;
use crate::admission::testing::{Objects, attributes};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::json;

struct Nobody;

impl Rights for Nobody {
    fn may(&self, _: &str, _: &[String], question: &cel::Question) -> bool {
        question.verb == "request-serviceaccounts-token-audience" && question.resource == "granted"
    }
}

/// A write of the kubelet of node `n` to a resource, with the object before it and the new one.
struct Asked {
    operation: Operation,
    resource: (&'static str, &'static str, &'static str),
    name: &'static str,
    old: Value,
    new: Value,
}

async fn ask(asked: Asked) -> Option<String> {
    let pod = |name: &str, node: &str, volumes: Value| {
        let spec = json!({"nodeName": node, "volumes": volumes});
        (
            "pods",
            json!({"metadata": {"name": name, "namespace": "ns", "uid": "1"}, "spec": spec}),
        )
    };
    let token = json!({"projected": {"sources": [{"serviceAccountToken": {"audience": "projected"}}]}});
    let claim = json!({"persistentVolumeClaim": {"claimName": "c"}});
    let lookup = Objects::of(&[
        pod("mine", "n", json!([token, claim])),
        pod("other", "m", Value::Null),
        pod("broken", "n", json!([{"csi": {"driver": "gone"}}])),
        ("nodes", json!({"metadata": {"name": "n", "uid": "u"}})),
        (
            "persistentvolumeclaims",
            json!({"metadata": {"name": "c", "namespace": "ns"}, "spec": {"volumeName": "v"}}),
        ),
        (
            "persistentvolumes",
            json!({"metadata": {"name": "v"}, "spec": {"gcePersistentDisk": {"pdName": "d"}}}),
        ),
        (
            "csidrivers",
            json!({"metadata": {"name": "pd.csi.storage.gke.io"}, "spec": {"tokenRequests": [{"audience": "driver"}]}}),
        ),
    ]);
    let mut plugin = NodeRestriction::default();
    let rights: Arc<dyn Rights> = Arc::new(Nobody);
    plugin.inform(&rights);
    let mut warnings = Vec::new();
    let groups = ["system:nodes".to_owned()];
    let (group, plural, subresource) = asked.resource;
    let mut given = attributes(asked.operation, plural, "ns", asked.name, &mut warnings);
    given.resource = GroupResource::new(group, plural);
    given.subresource = subresource;
    given.user = "system:node:n";
    given.groups = &groups;
    given.old = Some(&asked.old).filter(|old| !old.is_null());
    let mut new = asked.new;
    let refused = plugin.admit(&lookup, &mut given, &mut new).await.err()?;
    let text = refused.message;
    let said = text.split_once("is forbidden: ").map(|(_, said)| said.to_owned());
    Some(said.unwrap_or(text))
}

/// Operation, group with resource and subresource, the object before and after, and what is said against it.
type Row<'a> = (
    Operation,
    (&'static str, &'static str, &'static str),
    Value,
    Value,
    &'a str,
);

async fn table(rows: Vec<Row<'_>>) {
    for (operation, resource, old, new, expected) in rows {
        let shown = format!("{operation:?} {resource:?} {old} {new}");
        let name = match resource.1 {
            "nodes" | "csinodes" => "n",
            _ if old["metadata"]["name"] == "other" => "other",
            _ => "mine",
        };
        let refused = ask(Asked {
            operation,
            resource,
            name,
            old,
            new,
        });
        assert_eq!(refused.await.unwrap_or_default(), expected, "{shown}");
    }
}

fn mirror(change: impl FnOnce(&mut Value)) -> Value {
    let mut pod = json!({
        "metadata": {"name": "p", "annotations": {MIRROR: "x"}, "ownerReferences": [
            {"apiVersion": "v1", "kind": "Node", "name": "n", "uid": "u", "controller": true}]},
        "spec": {"nodeName": "n", "volumes": [{"name": "v", "hostPath": {"path": "/"}}]},
    });
    change(&mut pod);
    pod
}

#[tokio::test]
async fn kubelets_make_mirror_pods_of_their_own() {
    const PODS: (&str, &str, &str) = ("", "pods", "");
    let create = |new: Value, expected| (Operation::Create, PODS, Value::Null, new, expected);
    table(vec![
        create(mirror(|_| {}), ""),
        create(
            mirror(|pod| pod["metadata"]["annotations"] = Value::Null),
            "pod does not have \"kubernetes.io/config.mirror\" annotation, node \"n\" can only create mirror pods",
        ),
        create(
            mirror(|pod| pod["spec"]["nodeName"] = json!("m")),
            "node \"n\" can only create pods with spec.nodeName set to itself",
        ),
        create(
            mirror(|pod| pod["metadata"]["ownerReferences"] = json!([])),
            "node \"n\" can only create pods with an owner reference set to itself",
        ),
        create(
            mirror(|pod| pod["metadata"]["ownerReferences"][0]["controller"] = json!(false)),
            "node \"n\" can only create pods with a controller owner reference set to itself",
        ),
        create(
            mirror(|pod| pod["metadata"]["ownerReferences"][0]["blockOwnerDeletion"] = json!(true)),
            "node \"n\" must not set blockOwnerDeletion on an owner reference",
        ),
        create(
            mirror(|pod| pod["metadata"]["ownerReferences"][0]["uid"] = json!("w")),
            "node n UID mismatch: expected w got u",
        ),
        create(
            mirror(|pod| pod["spec"]["serviceAccountName"] = json!("s")),
            "node \"n\" can not create pods that reference serviceaccounts",
        ),
        create(
            mirror(|pod| pod["spec"]["volumes"][0] = json!({"name": "v", "csi": {"driver": "d"}})),
            "node \"n\" can not create pods that reference csidrivers (via CSI volumes)",
        ),
        create(
            mirror(|pod| {
                pod["spec"]["volumes"][0] = json!({"name": "v", "projected": {"sources": [{"podCertificate": {}}]}})
            }),
            "node \"n\" can not create pods that reference podcertificates",
        ),
        create(
            mirror(|pod| pod["spec"]["volumes"][0] = json!({"name": "v"})),
            "error checking mirror pod for API references: unknown volume type for volume  \"v\"",
        ),
        (
            Operation::Update,
            PODS,
            json!({}),
            json!({}),
            "unexpected operation \"UPDATE\", node \"n\" can only create and delete mirror pods",
        ),
        (
            Operation::Delete,
            PODS,
            json!({"metadata": {"name": "mine"}}),
            Value::Null,
            "",
        ),
        (
            Operation::Delete,
            PODS,
            json!({"metadata": {"name": "other"}}),
            Value::Null,
            "node \"n\" can only delete pods with spec.nodeName set to itself",
        ),
        (
            Operation::Create,
            ("", "pods", "binding"),
            Value::Null,
            json!({}),
            "unexpected pod subresource \"binding\", only 'status' and 'eviction' are allowed",
        ),
        (Operation::Connect, ("", "pods", "exec"), Value::Null, json!({}), ""),
        (Operation::Create, ("", "pods", "eviction"), Value::Null, json!({}), ""),
    ])
    .await;
}

#[tokio::test]
async fn kubelets_report_only_what_is_theirs() {
    const STATUS: (&str, &str, &str) = ("", "pods", "status");
    const CLAIM: (&str, &str, &str) = ("", "persistentvolumeclaims", "status");
    let pod =
        |extra: Value| json!({"metadata": {"labels": extra["labels"]}, "spec": {"nodeName": "n"}, "status": extra});
    let claim = |status: Value, labels: Value| json!({"metadata": {"labels": labels}, "status": status});
    table(vec![
        (
            Operation::Update,
            STATUS,
            pod(json!({})),
            pod(json!({"phase": "Running"})),
            "",
        ),
        (
            Operation::Update,
            STATUS,
            json!({"spec": {"nodeName": "m"}}),
            json!({}),
            "node \"n\" can only update pod status for pods with spec.nodeName set to itself",
        ),
        (
            Operation::Update,
            STATUS,
            pod(json!({})),
            pod(json!({"labels": {"a": "b"}})),
            "node \"n\" cannot update labels through pod status",
        ),
        (
            Operation::Update,
            STATUS,
            pod(json!({})),
            pod(json!({"resourceClaimStatuses": [{"name": "c"}]})),
            "node \"n\" cannot update resource claim statues",
        ),
        (
            Operation::Update,
            CLAIM,
            claim(json!({"capacity": {}}), Value::Null),
            claim(json!({"conditions": []}), Value::Null),
            "",
        ),
        (
            Operation::Update,
            CLAIM,
            claim(json!({}), Value::Null),
            claim(json!({}), json!({"a": "b"})),
            "node \"n\" is not allowed to update fields other than status.quantity and status.conditions",
        ),
        (
            Operation::Update,
            ("", "persistentvolumeclaims", ""),
            json!({}),
            json!({}),
            "may only update PVC status",
        ),
    ])
    .await;
}

#[tokio::test]
async fn kubelets_keep_to_their_own_node() {
    const NODES: (&str, &str, &str) = ("", "nodes", "");
    let node = |labels: Value, spec: Value| json!({"metadata": {"name": "n", "labels": labels}, "spec": spec});
    let plain = || node(Value::Null, json!({}));
    table(vec![
        (
            Operation::Create,
            NODES,
            Value::Null,
            node(
                json!({"kubernetes.io/os": "linux", "a.node.kubernetes.io/x": "", "mine": ""}),
                json!({}),
            ),
            "",
        ),
        (
            Operation::Create,
            NODES,
            Value::Null,
            node(
                json!({"z.k8s.io/x": "", "node-restriction.kubernetes.io/a": "", "notk8s.io/x": ""}),
                json!({}),
            ),
            "node \"n\" is not allowed to set the following labels: node-restriction.kubernetes.io/a, z.k8s.io/x",
        ),
        (
            Operation::Create,
            NODES,
            Value::Null,
            node(Value::Null, json!({"configSource": {"configMap": {}}})),
            "node \"n\" is not allowed to create pods with a non-nil configSource",
        ),
        (
            Operation::Update,
            NODES,
            plain(),
            node(Value::Null, json!({"taints": [{"key": "k"}]})),
            "node \"n\" is not allowed to modify taints",
        ),
        (
            Operation::Update,
            NODES,
            node(json!({"kubernetes.io/role": "a"}), json!({})),
            plain(),
            "is not allowed to modify labels: kubernetes.io/role",
        ),
        (
            Operation::Create,
            ("coordination.k8s.io", "leases", ""),
            Value::Null,
            json!({"metadata": {"name": "n"}}),
            "can only access leases in the \"kube-node-lease\" system namespace",
        ),
        (
            Operation::Create,
            ("storage.k8s.io", "csinodes", ""),
            Value::Null,
            json!({"metadata": {"name": "m"}}),
            "can only access CSINode with the same name as the requesting node",
        ),
        (
            Operation::Update,
            ("storage.k8s.io", "csinodes", ""),
            json!({}),
            json!({}),
            "",
        ),
        (
            Operation::Delete,
            ("resource.k8s.io", "resourceslices", ""),
            json!({"spec": {"nodeName": "m"}}),
            Value::Null,
            "can only delete ResourceSlice with the same NodeName as the requesting node",
        ),
        (
            Operation::Create,
            ("resource.k8s.io", "resourceslices", ""),
            Value::Null,
            json!({"spec": {"nodeName": "n"}}),
            "",
        ),
    ])
    .await;
}

#[tokio::test]
async fn tokens_are_for_the_pods_of_the_node() {
    let request = |pod: &str, uid: &str, audiences: Value| {
        let reference = json!({"apiVersion": "v1", "kind": "Pod", "name": pod, "uid": uid});
        let spec = json!({"boundObjectRef": reference, "audiences": audiences});
        (
            Operation::Create,
            ("", "serviceaccounts", "token"),
            Value::Null,
            json!({"spec": spec}),
        )
    };
    let rows = [
        (request("mine", "1", json!(["projected"])), ""),
        (request("mine", "1", json!(["driver"])), ""),
        (request("mine", "1", json!(["granted"])), ""),
        (
            request("mine", "1", json!(["x"])),
            "audience \"x\" not found in pod spec volume, system:node:n is not authorized to request tokens for this audience",
        ),
        (
            request("broken", "1", json!([])),
            "error validating audience \"\": csidriver.storage.k8s.io \"gone\" not found",
        ),
        (
            request("mine", "1", json!(["a", "b"])),
            "node may only request 0 or 1 audiences",
        ),
        (request("", "1", json!([])), "node requested token not bound to a pod"),
        (
            request("mine", "", json!([])),
            "node requested token with a pod binding without a uid",
        ),
        (
            request("mine", "2", json!([])),
            "the UID in the bound object reference (2) does not match the UID in record. The object might have been deleted and then recreated",
        ),
        (
            request("other", "1", json!([])),
            "node requested token bound to a pod scheduled on a different node",
        ),
        (request("none", "1", json!([])), "pod \"none\" not found"),
    ];
    let rows = rows.map(|((operation, resource, old, new), expected)| (operation, resource, old, new, expected));
    table(rows.into()).await;
}

#[tokio::test]
async fn certificates_name_the_node() {
    let request = |name: &str, signer: &str| {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut parameters = rcgen::CertificateParams::default();
        parameters.distinguished_name.push(rcgen::DnType::CommonName, name);
        let pem = parameters.serialize_request(&key).unwrap().pem().unwrap();
        json!({"spec": {"signerName": signer, "request": BASE64_STANDARD.encode(pem)}})
    };
    let create = |new: Value, expected| {
        (
            Operation::Create,
            ("certificates.k8s.io", "certificatesigningrequests", ""),
            Value::Null,
            new,
            expected,
        )
    };
    table(vec![
        create(request("system:node:n", KUBELET_SIGNERS[0]), ""),
        create(
            request("system:node:m", KUBELET_SIGNERS[1]),
            "can only create a node CSR with CN=system:node:n",
        ),
        create(request("anybody", "example.com/signer"), ""),
        create(
            json!({"spec": {"signerName": KUBELET_SIGNERS[0], "request": "eA=="}}),
            "unable to parse csr: PEM block type must be CERTIFICATE REQUEST",
        ),
    ])
    .await;
}

#[tokio::test]
async fn others_are_not_concerned_and_nameless_kubelets_are_refused() {
    let lookup = Objects::of(&[]);
    let plugin = NodeRestriction::default();
    for (user, group, expected) in [
        (
            "system:node:",
            "system:nodes",
            Some("could not determine node from user \"system:node:\""),
        ),
        ("system:node:n", "others", None),
        ("me", "system:nodes", None),
    ] {
        let mut warnings = Vec::new();
        let groups = [group.to_owned()];
        let mut given = attributes(Operation::Update, "pods", "ns", "p", &mut warnings);
        given.user = user;
        given.groups = &groups;
        let refused = plugin.admit(&lookup, &mut given, &mut json!({})).await.err();
        let said = refused.map(|status| status.message);
        let said = said
            .as_deref()
            .and_then(|text| text.split_once("is forbidden: "))
            .map(|(_, said)| said);
        assert_eq!(said, expected, "{user}");
    }
}
