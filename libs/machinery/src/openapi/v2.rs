//! OpenAPI 2.0, once called Swagger: one document for everything, as JSON or in gnostic's protobuf form.

use std::collections::BTreeMap;
use std::io::{self, Write};

use serde_json::{Map, Value, json};

use super::definitions::{Dialect, definition, reachable};
use super::gnostic;
use super::operations::{self, Operation, Parameter, Path};
use super::v3::reason;
use super::{Entries, Page, Resource, bearer_token, info, kind_value, object};
use crate::gvk::GroupVersion;
use crate::schema::Type;

/// The document of all resources.
pub struct Swagger<'a> {
    paths: BTreeMap<String, Path<'a>>,
    types: BTreeMap<&'a str, &'a Type>,
    served: Vec<GroupVersion>,
}

impl<'a> Swagger<'a> {
    /// Gathers what the document of these resources needs.
    pub fn new(resources: &'a [Resource<'a>]) -> Self {
        let mut served: Vec<GroupVersion> = resources.iter().map(Resource::group_version).collect();
        served.sort();
        served.dedup();
        let mut paths = BTreeMap::new();
        for group_version in &served {
            let path = operations::discovery(&group_version.kind(""));
            paths.insert(path.path.clone(), path);
        }
        let pages = Page::ALL.into_iter().map(operations::page);
        paths.extend(pages.map(|path| (path.path.clone(), path)));
        for path in resources.iter().flat_map(operations::paths) {
            paths.insert(path.path.clone(), path);
        }
        let mut roots: Vec<&Type> = Vec::new();
        for operation in paths.values().flat_map(|path| &path.operations) {
            roots.extend(operation.answer);
            roots.extend(operation.body.map(|(ty, _)| ty));
        }
        roots.extend(crate::schema::builtin(
            "io.k8s.apimachinery.pkg.apis.meta.v1.WatchEvent",
        ));
        Swagger {
            paths,
            types: reachable(roots),
            served,
        }
    }

    fn paths(&self) -> impl Iterator<Item = (&str, Value)> {
        self.paths.iter().map(|(name, path)| (name.as_str(), path_item(path)))
    }

    fn definitions(&self) -> impl Iterator<Item = (&str, Value)> {
        let shown = self.types.iter().filter(|(_, ty)| !ty.hidden);
        shown.map(|(name, ty)| (*name, definition(ty, Dialect::V2, &self.served)))
    }

    /// Everything but paths and definitions.
    fn frame() -> Value {
        json!({
            "swagger": "2.0",
            "info": info(),
            "securityDefinitions": {"BearerToken": bearer_token()},
            "security": [{"BearerToken": []}],
        })
    }

    /// Writes the document as JSON.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn write_json(&self, out: &mut dyn Write) -> io::Result<()> {
        let frame = Self::frame().to_string();
        let frame = frame.strip_suffix('}').unwrap_or(&frame);
        out.write_all(frame.as_bytes())?;
        out.write_all(b",\"paths\":{")?;
        let mut entries = Entries::new(out);
        self.paths().try_for_each(|(name, item)| entries.add(name, &item))?;
        out.write_all(b"},\"definitions\":{")?;
        let mut entries = Entries::new(out);
        self.definitions()
            .try_for_each(|(name, schema)| entries.add(name, &schema))?;
        out.write_all(b"}}")
    }

    /// Writes the document as `application/com.github.proto-openapi.spec.v2@v1.0+protobuf`.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn write_protobuf(&self, out: &mut dyn Write) -> io::Result<()> {
        out.write_all(&gnostic::frame_v2(&Self::frame()))?;
        out.write_all(&gnostic::section(&gnostic::PATHS_V2, self.paths()))?;
        out.write_all(&gnostic::section(&gnostic::DEFINITIONS, self.definitions()))
    }
}

fn path_item(path: &Path<'_>) -> Value {
    let mut item = Map::new();
    for operation in &path.operations {
        item.insert(operation.method.to_owned(), render(operation));
    }
    let parameters = path.parameters();
    if !parameters.is_empty() {
        let parameters = parameters.iter().map(|(name, ty)| match ty {
            Some(ty) => query(&(name, ty)),
            None => json!({"name": name, "in": "path", "type": "string", "required": true, "uniqueItems": true}),
        });
        item.insert("parameters".to_owned(), parameters.collect());
    }
    Value::Object(item)
}

fn query((name, ty): &Parameter) -> Value {
    json!({"name": name, "in": "query", "type": ty, "uniqueItems": true})
}

fn schema(ty: Option<&Type>) -> Value {
    match ty {
        Some(ty) => json!({"$ref": Dialect::V2.reference(&ty.name)}),
        None => json!({"type": "string"}),
    }
}

fn render(operation: &Operation<'_>) -> Value {
    let mut responses = Map::new();
    for code in operation.codes {
        let answer = json!({"description": reason(*code), "schema": schema(operation.answer)});
        responses.insert(code.to_string(), answer);
    }
    responses.insert("401".to_owned(), json!({"description": reason(401)}));
    let body = operation.body.map(|(ty, required)| {
        object([
            ("name", Some(json!("body"))),
            ("in", Some(json!("body"))),
            ("required", required.then_some(json!(true))),
            ("schema", Some(schema(Some(ty)))),
        ])
    });
    let parameters: Vec<Value> = body.into_iter().chain(operation.parameters.iter().map(query)).collect();
    object([
        ("tags", Some(json!([operation.tag]))),
        ("description", Some(json!(operation.description))),
        ("operationId", Some(json!(operation.id))),
        (
            "consumes",
            (!operation.consumes.is_empty()).then(|| json!(operation.consumes)),
        ),
        ("produces", Some(json!(operation.produces))),
        ("schemes", Some(json!(["https"]))),
        (
            "parameters",
            (!parameters.is_empty()).then_some(Value::Array(parameters)),
        ),
        ("responses", Some(Value::Object(responses))),
        ("x-kubernetes-action", operation.action.map(Value::from)),
        ("x-kubernetes-group-version-kind", operation.kind.map(kind_value)),
    ])
}
