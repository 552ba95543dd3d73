//! OpenAPI 3.0: one document for each group and version.

use std::collections::BTreeMap;
use std::io::{self, Write};

use serde_json::{Map, Value, json};

use super::definitions::{Dialect, definition, reachable};
use super::gnostic;
use super::operations::{self, OfPath, Operation, Path};
use super::parameters::Parameter;
use super::v2::known_to_extensions;
use super::{CustomSchemas, Entries, Page, Resource, bearer_token, custom_info, custom_schemas, info, object};
use crate::gvk::GroupVersion;
use crate::schema::Type;

/// The version of OpenAPI.
const VERSION: &str = "3.0.0";

/// The document of one group and version.
pub struct Document<'a> {
    paths: BTreeMap<String, Path<'a>>,
    types: BTreeMap<&'a str, &'a Type>,
    served: Vec<GroupVersion>,
    /// The schemas of kinds that are defined at run time; none in documents about others.
    custom: CustomSchemas<'a>,
}

impl<'a> Document<'a> {
    /// The document about a group, or without a name about all of them.
    pub fn of_group(group: Option<&str>) -> Self {
        Self::of(operations::group(group))
    }

    /// The document about a page.
    pub fn of_page(page: Page) -> Self {
        Self::of(operations::page(page))
    }

    fn of(path: Path<'a>) -> Self {
        let roots: Vec<&Type> = path
            .operations
            .iter()
            .filter_map(|operation| operation.answer)
            .collect();
        Document {
            paths: BTreeMap::from([(path.path.clone(), path)]),
            types: reachable(roots),
            served: Vec::new(),
            custom: BTreeMap::new(),
        }
    }

    /// Gathers what the document needs; `resources` are all resources of the group and version.
    pub fn new(group_version: &GroupVersion, resources: &'a [Resource<'a>]) -> Self {
        let mut paths: BTreeMap<String, Path<'_>> = BTreeMap::new();
        let custom = custom_schemas(resources);
        if custom.is_empty() {
            let discovery = operations::discovery(&group_version.kind(""));
            paths.insert(discovery.path.clone(), discovery);
        }
        for path in resources.iter().flat_map(operations::paths) {
            paths.insert(path.path.clone(), path);
        }
        let mut roots: Vec<&Type> = Vec::new();
        for operation in paths.values().flat_map(|path| &path.operations) {
            roots.extend(operation.answer);
            roots.extend(operation.body.map(|(ty, _)| ty));
        }
        let watched = crate::schema::builtin("io.k8s.apimachinery.pkg.apis.meta.v1.WatchEvent");
        if custom.is_empty() && resources.iter().any(|resource| resource.verbs.contains(&"watch")) {
            roots.extend(watched);
        }
        let mut served = vec![GroupVersion::new("", "v1"), group_version.clone()];
        served.dedup();
        if !custom.is_empty() {
            served = known_to_extensions();
        }
        Document {
            paths,
            types: reachable(roots),
            served,
            custom,
        }
    }

    fn paths(&self) -> impl Iterator<Item = (&str, Value)> {
        self.paths.iter().map(|(name, path)| (name.as_str(), path_item(path)))
    }

    fn schemas(&self) -> impl Iterator<Item = (&str, Value)> {
        let shown = self.types.iter().filter(|(_, ty)| !ty.hidden);
        shown.map(|(name, ty)| match self.custom.get(name) {
            Some((custom, part)) => (*name, (custom.0)(*part)),
            None => (*name, definition(ty, Dialect::V3, &self.served)),
        })
    }

    fn info(&self) -> Value {
        if self.custom.is_empty() { info() } else { custom_info() }
    }

    /// Writes the document as JSON.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn write_json(&self, out: &mut dyn Write) -> io::Result<()> {
        let info = self.info();
        write!(out, "{{\"openapi\":\"{VERSION}\",\"info\":{info},\"paths\":{{")?;
        let mut entries = Entries::new(out);
        self.paths().try_for_each(|(name, item)| entries.add(name, &item))?;
        out.write_all(b"},\"components\":{")?;
        if !self.types.is_empty() {
            out.write_all(b"\"schemas\":{")?;
            let mut entries = Entries::new(out);
            self.schemas()
                .try_for_each(|(name, schema)| entries.add(name, &schema))?;
            if !self.custom.is_empty() {
                return out.write_all(b"}}}");
            }
            out.write_all(b"},")?;
        }
        write!(out, "\"securitySchemes\":{}}}}}", security_schemes())
    }

    /// Writes the document as `application/com.github.proto-openapi.spec.v3@v1.0+protobuf`.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn write_protobuf(&self, out: &mut dyn Write) -> io::Result<()> {
        out.write_all(&gnostic::head_v3(&json!({"openapi": VERSION, "info": self.info()})))?;
        out.write_all(&gnostic::section(&gnostic::PATHS_V3, self.paths()))?;
        out.write_all(&gnostic::section(&gnostic::SCHEMAS, self.schemas()))?;
        if !self.custom.is_empty() {
            return Ok(());
        }
        let tail = json!({"components": {"securitySchemes": security_schemes()}});
        out.write_all(&gnostic::tail_v3(&tail))
    }
}

fn security_schemes() -> Value {
    json!({"BearerToken": bearer_token()})
}

fn path_item(path: &Path<'_>) -> Value {
    let mut item = Map::new();
    for operation in &path.operations {
        item.insert(operation.method.to_owned(), render(operation));
    }
    let parameters = path.parameters();
    if !parameters.is_empty() {
        let parameters = parameters.iter().map(|parameter| match parameter {
            OfPath::Query(parameter) => query(parameter),
            OfPath::Part(name, description) => json!({
                "name": name,
                "in": "path",
                "description": description,
                "required": true,
                "schema": {"type": "string", "uniqueItems": true},
            }),
        });
        item.insert("parameters".to_owned(), parameters.collect());
    }
    Value::Object(item)
}

fn query(parameter: &Parameter) -> Value {
    json!({
        "name": parameter.name,
        "in": "query",
        "description": parameter.description(),
        "schema": {"type": parameter.ty, "uniqueItems": true},
    })
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
