//! Policies of both kinds, applied to the creation of a ConfigMap.

use super::{Mutating, Validating};
use crate::admission::testing::{Objects, attributes};
use crate::admission::{Change, Equivalent, Lookup, ObjectRef, Operation, Plugin};
use futures::future::BoxFuture;
use machinery::gvk::{GroupResource, GroupVersionKind};
use machinery::status::Status;
use serde_json::{Value, json};

const RULES: &str =
    r#"[{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["configmaps"]}]"#;

/// A policy named `p` with these fields in its spec, and a binding with those.
fn objects(kind: &str, spec: Value, binding: Value) -> Objects {
    let mut policy = json!({"metadata": {"name": "p", "resourceVersion": "1"}, "spec": spec});
    policy["spec"]["matchConstraints"] = json!({"resourceRules": serde_json::from_str::<Value>(RULES).unwrap()});
    let mut bound = json!({"metadata": {"name": "b"}, "spec": binding});
    bound["spec"]["policyName"] = json!("p");
    let namespace = json!({"metadata": {"name": "n", "labels": {"env": "prod"}}});
    let (policies, bindings) = match kind {
        "validating" => ("validatingadmissionpolicies", "validatingadmissionpolicybindings"),
        _ => ("mutatingadmissionpolicies", "mutatingadmissionpolicybindings"),
    };
    Objects::of(&[(policies, policy), (bindings, bound), ("namespaces", namespace)])
}

fn config_map() -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "n"}, "data": {"k": "v"}})
}

async fn validate(spec: Value, actions: Value) -> (Result<(), Status>, Vec<String>) {
    let objects = objects("validating", spec, json!({"validationActions": actions}));
    let mut warnings = Vec::new();
    let mut attributes = attributes(Operation::Create, "configmaps", "n", "a", &mut warnings);
    attributes.kind = GroupVersionKind::new("", "v1", "ConfigMap");
    let object = config_map();
    let result = Validating::default().validate(&objects, &mut attributes, &object).await;
    (result, warnings)
}

#[tokio::test]
async fn validations_refuse_in_upstreams_words() {
    let rule = |expression: &str| json!([{"expression": expression}]);
    for (spec, expected) in [
        (json!({"validations": rule("object.data.k == 'v'")}), None),
        (
            json!({"validations": rule("object.data.k == 'x'")}),
            Some((422, "failed expression: object.data.k == 'x'")),
        ),
        (
            json!({"validations": [{"expression": "false", "message": "no", "reason": "Forbidden"}]}),
            Some((403, "no")),
        ),
        (
            json!({"validations": [{"expression": "false", "message": "no",
                "messageExpression": "request.operation + ' ' + request.namespace"}]}),
            Some((422, "CREATE n")),
        ),
        (
            json!({"validations": [{"expression": "false", "message": "no", "messageExpression": "object.data.nope"}]}),
            Some((422, "no")),
        ),
        (
            json!({"validations": rule("object.data.nope == 'x'")}),
            Some((
                422,
                "expression 'object.data.nope == 'x'' resulted in error: no such key: nope",
            )),
        ),
        (
            json!({"validations": rule("object.data.nope == 'x'"), "failurePolicy": "Ignore"}),
            None,
        ),
        (
            json!({"validations": rule("false"), "matchConditions": rule("object.data.k != 'v'")}),
            None,
        ),
        (
            json!({"validations": rule("variables.n > 1"), "variables": [{"name": "n", "expression": "size(object.data)"}]}),
            Some((422, "failed expression: variables.n > 1")),
        ),
        (
            json!({"validations": rule("namespaceObject.metadata.labels.env == 'test'")}),
            Some((422, "failed expression: namespaceObject.metadata.labels.env == 'test'")),
        ),
        (
            json!({"validations": rule("true"), "paramKind": {"apiVersion": "x.io/v1", "kind": "X"}}),
            Some((
                422,
                "failed to configure policy: failed to find resource referenced by paramKind: 'x.io/v1, Kind=X'",
            )),
        ),
    ] {
        let (result, _) = validate(spec.clone(), json!(["Deny"])).await;
        let found = result.err().map(|status| (status.code, status.message));
        assert_eq!(found.is_some(), expected.is_some(), "{spec}");
        if let (Some((code, message)), Some((wanted, end))) = (found, expected) {
            assert_eq!(code, wanted, "{message}");
            assert!(message.ends_with(&format!("denied request: {end}")), "{message}");
        }
    }
}

#[tokio::test]
async fn bindings_may_only_warn() {
    let spec = json!({"validations": [{"expression": "false", "message": "no"}]});
    let (result, warnings) = validate(spec, json!(["Warn", "Audit"])).await;
    assert!(result.is_ok());
    assert_eq!(
        warnings,
        ["Validation failed for ValidatingAdmissionPolicy 'p' with binding 'b': no"]
    );
}

async fn mutate(mutation: Value) -> Result<Value, String> {
    let objects = objects("mutating", json!({"mutations": [mutation]}), json!({}));
    let mut warnings = Vec::new();
    let mut attributes = attributes(Operation::Create, "configmaps", "n", "a", &mut warnings);
    attributes.kind = GroupVersionKind::new("", "v1", "ConfigMap");
    let mut object = config_map();
    let result = Mutating::default().admit(&objects, &mut attributes, &mut object).await;
    result.map(|()| object).map_err(|status| status.message)
}

#[tokio::test]
async fn mutations_patch_and_apply() {
    let patch = |expression: &str| json!({"patchType": "JSONPatch", "jsonPatch": {"expression": expression}});
    let apply =
        |expression: &str| json!({"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": expression}});
    let refused = |why: &str| Err(format!("policy 'p' with binding 'b' denied request: {why}"));
    for (mutation, expected) in [
        (
            patch("[JSONPatch{op: 'add', path: '/data/' + jsonpatch.escapeKey('x/y'), value: object.data.k}]"),
            Ok(json!({"k": "v", "x/y": "v"})),
        ),
        (
            patch("[JSONPatch{op: 'test', path: '/data/k', value: 'other'}, JSONPatch{op: 'remove', path: '/data/k'}]"),
            Ok(json!({"k": "v"})),
        ),
        (
            patch("[JSONPatch{op: 'remove', path: '/data/nope'}]"),
            refused(
                "JSON Patch: error in remove for path: '/data/nope': Unable to remove nonexistent key: nope: missing value",
            ),
        ),
        (
            apply("Object{data: {'x': request.name}}"),
            Ok(json!({"k": "v", "x": "a"})),
        ),
        (
            apply("Object{nope: 1}"),
            refused(
                "error applying patch: failed to convert patch object to typed object: .nope: field not declared in schema",
            ),
        ),
        (
            apply("Object{metadata: Object.spec{labels: {}}}"),
            refused(
                "type mismatch: unexpected type name \"Object.spec\", expected \"Object.metadata\", which matches field name path from root Object type",
            ),
        ),
    ] {
        let found = mutate(mutation.clone()).await.map(|object| object["data"].clone());
        assert_eq!(found, expected, "{mutation}");
    }
}

#[tokio::test]
async fn subresources_and_connections_are_seen_with_their_own_kinds() {
    let policy = json!({"metadata": {"name": "p", "resourceVersion": "1"}, "spec": {
        "matchConstraints": {"resourceRules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE", "CONNECT"],
            "resources": ["pods/*"]}]},
        "validations": [{"expression": "false", "messageExpression":
            "request.operation + ' ' + request.kind.group + '/' + request.kind.kind + ' ' + request.subResource + ' ' + \
             object.kind + ' ' + string(request.options == null) + ' ' + request.userInfo.uid"}]}});
    let binding = json!({"metadata": {"name": "b"}, "spec": {"policyName": "p", "validationActions": ["Deny"]}});
    let objects = Objects::of(&[
        ("validatingadmissionpolicies", policy),
        ("validatingadmissionpolicybindings", binding),
        ("namespaces", json!({"metadata": {"name": "n"}})),
    ]);
    let options = json!({"kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1"});
    for (operation, kind, subresource, options, expected) in [
        (
            Operation::Create,
            GroupVersionKind::new("policy", "v1", "Eviction"),
            "eviction",
            &options,
            Some("CREATE policy/Eviction eviction Eviction false u"),
        ),
        (
            Operation::Connect,
            GroupVersionKind::new("", "v1", "PodExecOptions"),
            "exec",
            &Value::Null,
            Some("CONNECT /PodExecOptions exec PodExecOptions true u"),
        ),
        (
            Operation::Delete,
            GroupVersionKind::new("", "v1", "Pod"),
            "",
            &options,
            None,
        ),
    ] {
        let mut warnings = Vec::new();
        let mut asked = attributes(operation, "pods", "n", "a", &mut warnings);
        asked.kind = kind;
        asked.subresource = subresource;
        asked.options = options;
        asked.uid = "u";
        let result = Validating::default().validate(&objects, &mut asked, &json!({})).await;
        let message = result.err().map(|status| status.message);
        let said = message
            .as_deref()
            .and_then(|message| message.split_once("denied request: "));
        assert_eq!(said.map(|(_, said)| said), expected, "{operation:?} {subresource}");
    }
}

#[tokio::test]
async fn policies_see_the_changes_of_others_if_they_want() {
    let policy = |name: &str, again: &str, expression: &str| {
        let spec = json!({
            "matchConstraints": {"resourceRules": serde_json::from_str::<Value>(RULES).unwrap()},
            "reinvocationPolicy": again,
            "mutations": [{"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": expression}}],
        });
        (
            "mutatingadmissionpolicies",
            json!({"metadata": {"name": name, "resourceVersion": "1"}, "spec": spec}),
        )
    };
    let binding = |name: &str| {
        let object = json!({"metadata": {"name": name}, "spec": {"policyName": name}});
        ("mutatingadmissionpolicybindings", object)
    };
    let count = "Object{data: {'n': string(size(object.data))}}";
    for (first, second, expected) in [
        ("IfNeeded", "Never", json!({"k": "v", "n": "3", "x": "y"})),
        ("Never", "Never", json!({"k": "v", "n": "1", "x": "y"})),
    ] {
        let objects = Objects::of(&[
            policy("a", first, count),
            policy("b", second, "Object{data: {'x': 'y'}}"),
            binding("a"),
            binding("b"),
            ("namespaces", json!({"metadata": {"name": "n"}})),
        ]);
        let mut warnings = Vec::new();
        let mut attributes = attributes(Operation::Create, "configmaps", "n", "a", &mut warnings);
        attributes.kind = GroupVersionKind::new("", "v1", "ConfigMap");
        let mut object = config_map();
        let plugin = Mutating::default();
        plugin.admit(&objects, &mut attributes, &mut object).await.unwrap();
        assert!(attributes.reinvocation.wanted, "{first}");
        attributes.reinvocation.again = true;
        plugin.admit(&objects, &mut attributes, &mut object).await.unwrap();
        assert_eq!(object["data"], expected, "{first}");
    }
}

#[tokio::test]
async fn a_policy_needs_the_namespace_that_it_looks_into() {
    let rule = |resource: &str| {
        json!({"matchConstraints": {"resourceRules": [{"apiGroups": [""], "apiVersions": ["v1"],
        "operations": ["CONNECT"], "resources": [resource]}]}, "validations": [{"expression": "true"}]})
    };
    for (resource, expected) in [
        ("pods/exec", Some("namespaces \"gone\" not found")),
        ("pods/attach", None),
    ] {
        let policy = json!({"metadata": {"name": "p", "resourceVersion": "1"}, "spec": rule(resource)});
        let binding = json!({"metadata": {"name": "b"}, "spec": {"policyName": "p", "validationActions": ["Deny"]}});
        let objects = Objects::of(&[
            ("validatingadmissionpolicies", policy),
            ("validatingadmissionpolicybindings", binding),
        ]);
        let mut warnings = Vec::new();
        let mut asked = attributes(Operation::Connect, "pods", "gone", "a", &mut warnings);
        asked.subresource = "exec";
        let result = Validating::default().validate(&objects, &mut asked, &json!({})).await;
        assert_eq!(
            result.err().map(|status| status.message).as_deref(),
            expected,
            "{resource}"
        );
    }
}

/// Objects of one kind in two versions, which differ in their names.
struct Versions(Objects);

impl Lookup for Versions {
    fn get<'a>(
        &'a self,
        r: &'a GroupResource,
        namespace: &'a str,
        name: &'a str,
    ) -> BoxFuture<'a, Result<Option<Value>, Status>> {
        self.0.get(r, namespace, name)
    }

    fn latest<'a>(
        &'a self,
        r: &'a GroupResource,
        namespace: &'a str,
        name: &'a str,
    ) -> BoxFuture<'a, Result<Option<Value>, Status>> {
        self.0.latest(r, namespace, name)
    }

    fn list<'a>(&'a self, r: &'a GroupResource, namespace: &'a str) -> BoxFuture<'a, Result<Vec<Value>, Status>> {
        self.0.list(r, namespace)
    }

    fn change_status<'a>(
        &'a self,
        object: ObjectRef<'a>,
        dry_run: bool,
        change: Change<'a>,
    ) -> BoxFuture<'a, Result<(), Status>> {
        self.0.change_status(object, dry_run, change)
    }

    fn equivalents(&self, resource: &GroupResource, _version: &str, _subresource: &str) -> Vec<Equivalent> {
        let version = |version: &str| Equivalent {
            resource: resource.clone(),
            version: version.to_owned(),
            kind: GroupVersionKind::new("", version, "ConfigMap"),
        };
        vec![version("v2"), version("v3")]
    }

    fn convert<'a>(
        &'a self,
        mut object: Value,
        _from: &'a GroupVersionKind,
        to: &'a GroupVersionKind,
    ) -> BoxFuture<'a, Result<Value, String>> {
        Box::pin(async move {
            if to.version == "v3" {
                return Err("no way".to_owned());
            }
            object["apiVersion"] = to.api_version().into();
            Ok(object)
        })
    }
}

#[tokio::test]
async fn versions_are_equivalent_where_the_policy_says_so() {
    let shown = "object.apiVersion + ' ' + request.kind.version + ' ' + request.requestKind.version";
    let condition = "request.resource.version == 'v1' && request.kind.version == 'v2'";
    for (version, policy, condition, expected) in [
        ("v2", "Equivalent", "true", Some("v2 v2 v1")),
        ("v2", "Equivalent", condition, Some("v2 v2 v1")),
        ("v2", "Exact", "true", None),
        ("v4", "Equivalent", "true", None),
        (
            "v3",
            "Equivalent",
            "true",
            Some("failed to configure binding: failed to convert object version: no way"),
        ),
    ] {
        let spec = json!({"validations": [{"expression": "false", "messageExpression": shown}],
            "matchConditions": [{"name": "c", "expression": condition}]});
        let objects = objects("validating", spec, json!({"validationActions": ["Deny"]}));
        let mut policy_object = objects.in_namespace("validatingadmissionpolicies", "").remove(0);
        let constraints = &mut policy_object["spec"]["matchConstraints"];
        constraints["matchPolicy"] = json!(policy);
        constraints["resourceRules"][0]["apiVersions"] = json!([version]);
        let binding = objects.in_namespace("validatingadmissionpolicybindings", "").remove(0);
        let namespace = objects.in_namespace("namespaces", "").remove(0);
        let lookup = Versions(Objects::of(&[
            ("validatingadmissionpolicies", policy_object),
            ("validatingadmissionpolicybindings", binding),
            ("namespaces", namespace),
        ]));
        let mut warnings = Vec::new();
        let mut asked = attributes(Operation::Create, "configmaps", "n", "a", &mut warnings);
        asked.kind = GroupVersionKind::new("", "v1", "ConfigMap");
        let result = Validating::default().validate(&lookup, &mut asked, &config_map()).await;
        let message = result.err().map(|status| status.message);
        let said = message.as_deref().and_then(|text| text.split_once("denied request: "));
        assert_eq!(said.map(|(_, said)| said), expected, "{version} {policy}");
    }
}
