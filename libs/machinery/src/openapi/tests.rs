use serde_json::Value;

use super::*;
use crate::wire::raw::{Fields, Raw};

const ALL: &[&str] = &[
    "create",
    "delete",
    "deletecollection",
    "get",
    "list",
    "patch",
    "update",
    "watch",
];

fn apps() -> Vec<Resource<'static>> {
    let apps = GroupVersion::new("apps", "v1");
    let scale = GroupVersion::new("autoscaling", "v1").kind("Scale");
    vec![
        Resource::builtin(apps.kind("Deployment"), "deployments", true, ALL)
            .with("status", apps.kind("Deployment"), &["get", "patch", "update"])
            .with("scale", scale, &["get", "patch", "update"]),
    ]
}

fn core() -> Vec<Resource<'static>> {
    let core = GroupVersion::new("", "v1");
    let mut pods =
        Resource::builtin(core.kind("Pod"), "pods", true, ALL).with("binding", core.kind("Binding"), &["create"]);
    for (name, kind, verbs) in [
        ("log", "Pod", &["get"][..]),
        ("exec", "PodExecOptions", &["create", "get"]),
        ("portforward", "PodPortForwardOptions", &["get"]),
    ] {
        pods.subresources.push(Subresource {
            name,
            kind: core.kind(kind),
            verbs,
            ty: None,
        });
    }
    vec![pods, Resource::builtin(core.kind("Node"), "nodes", false, ALL)]
}

fn v3(group_version: &GroupVersion, resources: &[Resource<'_>]) -> Value {
    let mut out = Vec::new();
    Document::new(group_version, resources).write_json(&mut out).unwrap();
    serde_json::from_slice(&out).unwrap()
}

/// All references of a document.
fn references<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
    match value {
        Value::Object(map) => {
            found.extend(map.get("$ref").and_then(Value::as_str));
            map.values().for_each(|value| references(value, found));
        }
        Value::Array(items) => items.iter().for_each(|value| references(value, found)),
        _ => {}
    }
}

#[test]
fn v3_has_what_kubectl_looks_for() {
    let document = v3(&GroupVersion::new("apps", "v1"), &apps());
    let item = &document["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments/{name}"];
    assert_eq!(item["patch"]["operationId"], "patchAppsV1NamespacedDeployment");
    assert_eq!(
        item["patch"]["x-kubernetes-group-version-kind"],
        json!({"group": "apps", "version": "v1", "kind": "Deployment"})
    );
    let parameters: Vec<&str> = item["patch"]["parameters"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|p| p["name"].as_str())
        .collect();
    assert_eq!(parameters, ["dryRun", "fieldManager", "fieldValidation", "force"]);
    let list = &document["paths"]["/apis/apps/v1/deployments"];
    assert_eq!(
        list["get"].get("parameters"),
        None,
        "the path has what all its operations share"
    );
    assert_eq!(list["parameters"][0]["name"], "allowWatchBookmarks");
    let names: Vec<&str> = item["parameters"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|p| p["name"].as_str())
        .collect();
    assert_eq!(names, ["name", "namespace", "pretty"]);
    let paths = document["paths"].as_object().unwrap();
    for (path, id) in [
        ("/apis/apps/v1/", "getAppsV1APIResources"),
        ("/apis/apps/v1/deployments", "listAppsV1DeploymentForAllNamespaces"),
        (
            "/apis/apps/v1/namespaces/{namespace}/deployments",
            "listAppsV1NamespacedDeployment",
        ),
        (
            "/apis/apps/v1/namespaces/{namespace}/deployments/{name}/scale",
            "readAppsV1NamespacedDeploymentScale",
        ),
    ] {
        assert_eq!(paths[path]["get"]["operationId"], id);
    }
    let schemas = &document["components"]["schemas"];
    let spec = &schemas["io.k8s.api.apps.v1.DeploymentSpec"];
    assert_eq!(spec["required"], json!(["selector", "template"]));
    assert_eq!(
        spec["properties"]["strategy"],
        json!({"allOf": [{"$ref": "#/components/schemas/io.k8s.api.apps.v1.DeploymentStrategy"}], "default": {},
            "description": "The deployment strategy to use to replace existing pods with new ones.",
            "x-kubernetes-patch-strategy": "retainKeys"})
    );
    let pod = &schemas["io.k8s.api.core.v1.PodSpec"]["properties"];
    assert_eq!(pod["containers"]["x-kubernetes-patch-merge-key"], "name");
    assert_eq!(pod["containers"]["x-kubernetes-list-map-keys"], json!(["name"]));
    assert_eq!(pod["nodeSelector"]["x-kubernetes-map-type"], "atomic");
    let quantity = &schemas["io.k8s.apimachinery.pkg.api.resource.Quantity"];
    assert_eq!(quantity["oneOf"], json!([{"type": "string"}, {"type": "number"}]));
    assert_eq!(
        schemas["io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions"]["x-kubernetes-group-version-kind"],
        json!([{"group": "", "version": "v1", "kind": "DeleteOptions"}, {"group": "apps", "version": "v1", "kind": "DeleteOptions"}])
    );
    let mut found = Vec::new();
    references(&document, &mut found);
    for reference in found {
        let name = reference.strip_prefix("#/components/schemas/").unwrap();
        assert!(schemas.get(name).is_some(), "{reference} leads nowhere");
    }
}

#[test]
fn connections_and_texts_have_no_schema() {
    let document = v3(&GroupVersion::new("", "v1"), &core());
    let paths = &document["paths"];
    let pod = "/api/v1/namespaces/{namespace}/pods/{name}";
    assert_eq!(
        paths[format!("{pod}/exec")]["post"]["operationId"],
        "connectCoreV1PostNamespacedPodExec"
    );
    assert_eq!(paths[format!("{pod}/portforward")].get("post"), None);
    assert_eq!(
        paths[format!("{pod}/binding")]["post"]["operationId"],
        "createCoreV1NamespacedPodBinding"
    );
    let text = &paths[format!("{pod}/log")]["get"]["responses"]["200"]["content"]["text/plain"];
    assert_eq!(text["schema"], json!({"type": "string"}));
    assert_eq!(paths["/api/v1/nodes"]["get"]["operationId"], "listCoreV1Node");
    assert_eq!(paths.get("/api/v1/namespaces/{namespace}/nodes"), None);
}

#[test]
fn v2_is_whole_in_both_encodings() {
    let resources = [core(), apps()].concat();
    let swagger = Swagger::new(&resources);
    let mut text = Vec::new();
    swagger.write_json(&mut text).unwrap();
    let document: Value = serde_json::from_slice(&text).unwrap();
    assert_eq!(document["swagger"], "2.0");
    assert_eq!(document["security"], json!([{"BearerToken": []}]));
    let definitions = &document["definitions"];
    assert_eq!(
        definitions["io.k8s.api.apps.v1.DeploymentSpec"]["properties"]["strategy"],
        json!({"$ref": "#/definitions/io.k8s.api.apps.v1.DeploymentStrategy",
            "description": "The deployment strategy to use to replace existing pods with new ones.",
            "x-kubernetes-patch-strategy": "retainKeys"})
    );
    let mut found = Vec::new();
    references(&document, &mut found);
    for reference in found
        .into_iter()
        .filter(|reference| !reference.starts_with("#/parameters/"))
    {
        let name = reference.strip_prefix("#/definitions/").unwrap();
        assert!(definitions.get(name).is_some(), "{reference} leads nowhere");
    }

    let mut parameters = Vec::new();
    references(&document["paths"], &mut parameters);
    parameters.retain(|reference| reference.starts_with("#/parameters/"));
    assert!(!parameters.is_empty());
    for reference in parameters {
        let name = reference.strip_prefix("#/parameters/").unwrap();
        assert!(document["parameters"].get(name).is_some(), "{reference} leads nowhere");
    }

    let mut bytes = Vec::new();
    swagger.write_protobuf(&mut bytes).unwrap();
    assert_eq!(&bytes[..5], b"\x0a\x032.0");
    let sections: Vec<(u32, Raw<'_>)> = Fields::new(&bytes).collect::<Result<_, _>>().unwrap();
    for (field, entries) in [(8, &document["paths"]), (9, definitions), (10, &document["parameters"])] {
        let (_, Raw::Bytes(section)) = sections.iter().find(|(number, _)| *number == field).unwrap() else {
            panic!()
        };
        assert_eq!(Fields::new(section).count(), entries.as_object().unwrap().len());
    }
}

#[test]
fn v3_is_whole_in_both_encodings() {
    let (apps_v1, resources) = (GroupVersion::new("apps", "v1"), apps());
    let json = v3(&apps_v1, &resources);
    let mut bytes = Vec::new();
    Document::new(&apps_v1, &resources).write_protobuf(&mut bytes).unwrap();
    assert_eq!(&bytes[..7], b"\x0a\x053.0.0");
    let of = |message: &[u8], wanted: u32| -> Vec<Vec<u8>> {
        let fields: Vec<(u32, Raw<'_>)> = Fields::new(message).collect::<Result<_, _>>().unwrap();
        let found = fields.into_iter().filter(|(field, _)| *field == wanted);
        found
            .map(|(_, raw)| match raw {
                Raw::Bytes(bytes) => bytes.to_vec(),
                other => panic!("{other:?}"),
            })
            .collect()
    };
    assert_eq!(of(&of(&bytes, 4)[0], 1).len(), json["paths"].as_object().unwrap().len());
    let components = of(&bytes, 5);
    let schemas = json["components"]["schemas"].as_object().unwrap().len();
    assert_eq!(of(&of(&components[0], 1)[0], 1).len(), schemas);
    assert_eq!(of(&of(&components[1], 7)[0], 1).len(), 1, "the way to authenticate");
}

#[test]
fn types_and_fields_are_described() {
    let strategy = schema::builtin("io.k8s.api.apps.v1.DeploymentStrategy").unwrap();
    assert!(!strategy.description.is_empty());
    assert!(!strategy.property("type").unwrap().description.is_empty());
    let undescribed: Vec<&str> = schema::builtins()
        .iter()
        .filter(|ty| !ty.hidden && ty.description.is_empty() && !ty.kinds.is_empty())
        .map(|ty| &*ty.name)
        .collect();
    assert_eq!(undescribed, Vec::<&str>::new());
    let class = schema::builtin("io.k8s.api.scheduling.v1.PriorityClass").unwrap();
    assert!(class.property("apiVersion").unwrap().description.contains("version"));
    assert!(class.property("description").unwrap().description.contains("arbitrary"));
    let policy = &schema::builtin("io.k8s.api.core.v1.Container")
        .unwrap()
        .property("imagePullPolicy")
        .unwrap()
        .description;
    assert!(
        policy.ends_with("\n\nPossible enum values:\n - `\"Always\"`\n - `\"IfNotPresent\"`\n - `\"Never\"`"),
        "{policy:?}"
    );
}

/// Objects of a document that should say what they are, but do not.
fn undescribed(path: &str, value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            let is_parameter = map.contains_key("in") && map["name"] != "body";
            if (is_parameter || map.contains_key("operationId")) && !map.contains_key("description") {
                found.push(path.to_owned());
            }
            map.iter()
                .for_each(|(name, value)| undescribed(&format!("{path}/{name}"), value, found));
        }
        Value::Array(items) => {
            for (i, item) in items.iter().enumerate() {
                undescribed(&format!("{path}/{i}"), item, found);
            }
        }
        _ => {}
    }
}

#[test]
fn operations_and_parameters_are_described() {
    let document = v3(&GroupVersion::new("", "v1"), &core());
    let mut found = Vec::new();
    undescribed("", &document, &mut found);
    assert_eq!(found, Vec::<String>::new());
    let paths = &document["paths"];
    let pods = "/api/v1/namespaces/{namespace}/pods";
    for (path, method, expected) in [
        (pods.to_owned(), "get", "list or watch objects of kind Pod"),
        (pods.to_owned(), "delete", "delete collection of Pod"),
        (
            format!("{pods}/{{name}}"),
            "patch",
            "partially update the specified Pod",
        ),
        (format!("{pods}/{{name}}/binding"), "post", "create binding of a Pod"),
        (
            format!("{pods}/{{name}}/exec"),
            "get",
            "connect GET requests to exec of Pod",
        ),
    ] {
        assert_eq!(paths[path][method]["description"], expected);
    }
    let named = &paths[format!("{pods}/{{name}}")];
    assert_eq!(named["parameters"][0]["description"], "name of the Pod");
    let manager = |method: &str| {
        let parameters = named[method]["parameters"].as_array().unwrap();
        let manager = parameters.iter().find(|parameter| parameter["name"] == "fieldManager");
        manager.unwrap()["description"].clone()
    };
    assert_ne!(manager("patch"), manager("put"), "only one of them can do without");
}

#[test]
fn articles_go_with_the_kind() {
    let networking = GroupVersion::new("networking.k8s.io", "v1");
    let resources = [
        Resource::builtin(networking.kind("Ingress"), "ingresses", true, ALL),
        Resource::builtin(GroupVersion::new("", "v1").kind("Endpoints"), "endpoints", true, ALL),
    ];
    let mut text = Vec::new();
    Swagger::new(&resources).write_json(&mut text).unwrap();
    let document: Value = serde_json::from_slice(&text).unwrap();
    let create = |path: &str| document["paths"][path]["post"]["description"].clone();
    let ingresses = "/apis/networking.k8s.io/v1/namespaces/{namespace}/ingresses";
    assert_eq!(create(ingresses), "create an Ingress");
    assert_eq!(create("/api/v1/namespaces/{namespace}/endpoints"), "create Endpoints");
}
