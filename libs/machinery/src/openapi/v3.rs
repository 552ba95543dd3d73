//! OpenAPI 3.0: one document for each group and version.

use std::collections::BTreeMap;
use std::io::{self, Write};

use serde_json::{Map, Value, json};

use super::definitions::{Dialect, definition, reachable};
use super::operations::{self, Operation, Parameter, Path};
use super::{Entries, Resource, bearer_token, info, object};
use crate::gvk::GroupVersion;
use crate::schema::Type;

/// Writes the document of one group and version, of which `resources` are all resources.
///
/// # Errors
/// Those of the writer.
pub fn write_v3(group_version: &GroupVersion, resources: &[Resource<'_>], out: &mut dyn Write) -> io::Result<()> {
    write!(out, "{{\"openapi\":\"3.0.0\",\"info\":{},\"paths\":{{", info())?;
    let mut paths: BTreeMap<String, Path<'_>> = BTreeMap::new();
    let discovery = operations::discovery(&group_version.kind(""));
    paths.insert(discovery.path.clone(), discovery);
    for path in resources.iter().flat_map(operations::paths) {
        paths.insert(path.path.clone(), path);
    }
    let mut roots: Vec<&Type> = Vec::new();
    let mut entries = Entries::new(out);
    for path in paths.values() {
        entries.add(&path.path, &path_item(path))?;
        for operation in &path.operations {
            roots.extend(operation.answer);
            roots.extend(operation.body.map(|(ty, _)| ty));
        }
    }
    let watched = crate::schema::builtin("io.k8s.apimachinery.pkg.apis.meta.v1.WatchEvent");
    if resources.iter().any(|resource| resource.verbs.contains(&"watch")) {
        roots.extend(watched);
    }
    out.write_all(b"},\"components\":{\"schemas\":{")?;
    let served = if *group_version == GroupVersion::new("", "v1") {
        vec![group_version.clone()]
    } else {
        vec![GroupVersion::new("", "v1"), group_version.clone()]
    };
    let mut entries = Entries::new(out);
    for (name, ty) in reachable(roots).into_iter().filter(|(_, ty)| !ty.hidden) {
        entries.add(name, &definition(ty, Dialect::V3, &served))?;
    }
    let tail = json!({"BearerToken": bearer_token()});
    write!(out, "}},\"securitySchemes\":{tail}}}}}")
}

fn path_item(path: &Path<'_>) -> Value {
    let mut item = Map::new();
    for operation in &path.operations {
        item.insert(operation.method.to_owned(), render(operation));
    }
    if !path.in_path.is_empty() {
        let parameters = path.in_path.iter().map(|name| match *name {
            "pretty" => query(&("pretty", "string")),
            name => {
                json!({"name": name, "in": "path", "required": true, "schema": {"type": "string", "uniqueItems": true}})
            }
        });
        item.insert("parameters".to_owned(), parameters.collect());
    }
    Value::Object(item)
}

fn query((name, ty): &Parameter) -> Value {
    json!({"name": name, "in": "query", "schema": {"type": ty, "uniqueItems": true}})
}

fn schema(ty: Option<&Type>) -> Value {
    match ty {
        Some(ty) => json!({"$ref": Dialect::V3.reference(&ty.name)}),
        None => json!({"type": "string"}),
    }
}

/// The same schema for each of the media types.
fn content(media_types: &[&str], ty: Option<&Type>) -> Value {
    let content = media_types
        .iter()
        .map(|media| ((*media).to_owned(), json!({"schema": schema(ty)})));
    Value::Object(content.collect())
}

fn render(operation: &Operation<'_>) -> Value {
    let mut responses = Map::new();
    for code in operation.codes {
        let answer = json!({"description": reason(*code), "content": content(operation.produces, operation.answer)});
        responses.insert(code.to_string(), answer);
    }
    responses.insert("401".to_owned(), json!({"description": reason(401)}));
    let body = operation.body.map(|(ty, required)| {
        let content = content(operation.consumes, Some(ty));
        object([
            ("content", Some(content)),
            ("required", required.then_some(json!(true))),
        ])
    });
    object([
        ("tags", Some(json!([operation.tag]))),
        ("description", Some(json!(operation.description))),
        ("operationId", Some(json!(operation.id))),
        (
            "parameters",
            (!operation.parameters.is_empty()).then(|| operation.parameters.iter().map(query).collect()),
        ),
        ("requestBody", body),
        ("responses", Some(Value::Object(responses))),
        ("x-kubernetes-action", operation.action.map(Value::from)),
        ("x-kubernetes-group-version-kind", operation.kind.map(super::kind_value)),
    ])
}

/// The reason phrase of a status code.
pub(super) fn reason(code: u16) -> &'static str {
    match code {
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        _ => "Unauthorized",
    }
}
