//! OpenAPI 2.0, once called Swagger: one document for everything, as JSON or in gnostic's protobuf form.

use std::collections::BTreeMap;
use std::io::{self, Write};

use serde_json::{Map, Value, json};

use super::definitions::{Dialect, definition, reachable};
use super::gnostic;
use super::operations::{self, OfPath, Operation, Path};
use super::parameters::Parameter;
use super::part::{self, Part};
use super::shared;
use super::v3::reason;
use super::{CustomSchemas, Entries, Page, Resource, bearer_token, custom_schemas, info, kind_value, object};
use crate::gvk::GroupVersion;
use crate::schema::Type;

/// The document of all resources.
pub struct Swagger<'a> {
    paths: BTreeMap<String, Path<'a>>,
    types: BTreeMap<&'a str, &'a Type>,
    served: Vec<GroupVersion>,
    /// The schemas of kinds that are defined at run time.
    custom: CustomSchemas<'a>,
    /// What other servers describe.
    others: Part,
}

impl<'a> Swagger<'a> {
    /// Gathers what the document of these resources needs.
    pub fn new(resources: &'a [Resource<'a>]) -> Self {
        let builtin = resources.iter().filter(|resource| resource.custom.is_none());
        let mut served: Vec<GroupVersion> = builtin.map(Resource::group_version).collect();
        served.sort();
        served.dedup();
        let mut paths = BTreeMap::new();
        for group_version in &served {
            let path = operations::discovery(&group_version.kind(""));
            paths.insert(path.path.clone(), path);
            let path = operations::group(Some(&group_version.group));
            paths.insert(path.path.clone(), path);
        }
        let groups = operations::group(None);
        paths.insert(groups.path.clone(), groups);
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
        served.extend(registered());
        served.sort();
        served.dedup();
        Swagger {
            paths,
            types: reachable(roots),
            served,
            custom: custom_schemas(resources),
            others: Part::default(),
        }
    }

    /// Adds what another server describes. What is described already stays as it is.
    #[must_use]
    pub fn with(mut self, part: &Part) -> Self {
        let parameters = self.parameters();
        let mut other = part.beside(|section, name| match section {
            part::DEFINITIONS => self.definition(name),
            _ => parameters.get(name).cloned(),
        });
        other.paths.retain(|path, _| !self.paths.contains_key(path));
        self.others.take(other);
        self
    }

    fn paths(&self) -> impl Iterator<Item = (&str, Value)> {
        let own = self.paths.iter().map(|(name, path)| (name.as_str(), path_item(path)));
        own.chain(entries(&self.others.paths))
    }

    /// The parameters that operations refer to.
    fn parameters(&self) -> BTreeMap<String, Value> {
        let all = self.paths.values().flat_map(all_parameters);
        let own = all.filter_map(|parameter| Some((shared::name(&parameter)?, parameter)));
        let others = self.others.parameters.clone();
        others.into_iter().chain(own).collect()
    }

    fn definitions(&self) -> impl Iterator<Item = (&str, Value)> {
        let shown = self.types.iter().filter(|(_, ty)| !ty.hidden);
        let own = shown.map(|(name, ty)| (*name, self.own_definition(name, ty)));
        own.chain(entries(&self.others.definitions))
    }

    fn own_definition(&self, name: &str, ty: &Type) -> Value {
        match self.custom.get(name) {
            Some((custom, part)) => (custom.0)(*part),
            None => definition(ty, Dialect::V2, &self.served),
        }
    }

    /// What a name means, if it is there.
    fn definition(&self, name: &str) -> Option<Value> {
        let own = self.types.get(name).filter(|ty| !ty.hidden);
        let own = own.map(|ty| self.own_definition(name, ty));
        own.or_else(|| self.others.definitions.get(name).cloned())
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
        out.write_all(b"},\"parameters\":{")?;
        let mut entries = Entries::new(out);
        self.parameters()
            .iter()
            .try_for_each(|(name, parameter)| entries.add(name, parameter))?;
        out.write_all(b"}}")
    }

    /// Writes the document as `application/com.github.proto-openapi.spec.v2@v1.0+protobuf`.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn write_protobuf(&self, out: &mut dyn Write) -> io::Result<()> {
        out.write_all(&gnostic::frame_v2(&Self::frame()))?;
        out.write_all(&gnostic::section(&gnostic::PATHS_V2, self.paths()))?;
        out.write_all(&gnostic::section(&gnostic::DEFINITIONS, self.definitions()))?;
        let parameters = self.parameters();
        let parameters = parameters
            .iter()
            .map(|(name, parameter)| (name.as_str(), parameter.clone()));
        out.write_all(&gnostic::section(&gnostic::PARAMETERS, parameters))
    }
}

fn entries(map: &BTreeMap<String, Value>) -> impl Iterator<Item = (&str, Value)> {
    map.iter().map(|(name, value)| (name.as_str(), value.clone()))
}

fn path_item(path: &Path<'_>) -> Value {
    let mut item = Map::new();
    for operation in &path.operations {
        item.insert(operation.method.to_owned(), render(operation));
    }
    let parameters: Vec<Value> = of_path(path).map(shared::refer).collect();
    if !parameters.is_empty() {
        item.insert("parameters".to_owned(), Value::Array(parameters));
    }
    Value::Object(item)
}

/// The parameters of a path and of its operations.
fn all_parameters(path: &Path<'_>) -> impl Iterator<Item = Value> {
    of_path(path).chain(path.operations.iter().flat_map(of_operation))
}

fn of_path(path: &Path<'_>) -> impl Iterator<Item = Value> + use<> {
    path.parameters().into_iter().map(|parameter| match parameter {
        OfPath::Query(parameter) => query(&parameter),
        OfPath::Part(name, description) => json!({
            "name": name,
            "in": "path",
            "description": description,
            "type": "string",
            "required": true,
            "uniqueItems": true,
        }),
    })
}

fn of_operation(operation: &Operation<'_>) -> Vec<Value> {
    let body = operation.body.map(|(ty, required)| {
        object([
            ("name", Some(json!("body"))),
            ("in", Some(json!("body"))),
            ("required", required.then_some(json!(true))),
            ("schema", Some(schema(Some(ty)))),
        ])
    });
    body.into_iter().chain(operation.parameters.iter().map(query)).collect()
}

fn query(parameter: &Parameter) -> Value {
    json!({
        "name": parameter.name,
        "in": "query",
        "description": parameter.description(),
        "type": parameter.ty,
        "uniqueItems": true,
    })
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
    let parameters: Vec<Value> = of_operation(operation).into_iter().map(shared::refer).collect();
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

/// Groups and versions that upstream knows without serving them, at least by default. Types that are part of every version are
/// listed under these too.
const REGISTERED: &[(&str, &[&str])] = &[
    ("admission.k8s.io", &["v1", "v1beta1"]),
    ("admissionregistration.k8s.io", &["v1alpha1", "v1beta1"]),
    ("apiextensions.k8s.io", &["v1beta1"]),
    ("apiregistration.k8s.io", &["v1beta1"]),
    ("apps", &["v1beta1", "v1beta2"]),
    ("authentication.k8s.io", &["v1alpha1", "v1beta1"]),
    ("authorization.k8s.io", &["v1beta1"]),
    ("batch", &["v1beta1"]),
    ("certificates.k8s.io", &["v1alpha1", "v1beta1"]),
    ("coordination.k8s.io", &["v1alpha2", "v1beta1"]),
    ("discovery.k8s.io", &["v1beta1"]),
    ("events.k8s.io", &["v1beta1"]),
    ("extensions", &["v1beta1"]),
    ("flowcontrol.apiserver.k8s.io", &["v1beta1", "v1beta2", "v1beta3"]),
    ("imagepolicy.k8s.io", &["v1alpha1"]),
    ("internal.apiserver.k8s.io", &["v1alpha1"]),
    ("networking.k8s.io", &["v1beta1"]),
    ("node.k8s.io", &["v1alpha1", "v1beta1"]),
    ("policy", &["v1beta1"]),
    ("rbac.authorization.k8s.io", &["v1alpha1", "v1beta1"]),
    ("resource.k8s.io", &["v1alpha3", "v1beta1", "v1beta2"]),
    ("scheduling.k8s.io", &["v1alpha2", "v1beta1"]),
    ("storage.k8s.io", &["v1alpha1", "v1beta1"]),
    ("storagemigration.k8s.io", &["v1beta1"]),
];

/// Groups that the server of custom resources knows nothing of, or that are no groups of resources.
const UNKNOWN_TO_EXTENSIONS: [&str; 6] = [
    "admission.k8s.io",
    "apidiscovery.k8s.io",
    "apiextensions.k8s.io",
    "apiregistration.k8s.io",
    "imagepolicy.k8s.io",
    "meta.k8s.io",
];

/// The groups and versions under which the types of every version are listed where custom resources are described.
pub(super) fn known_to_extensions() -> Vec<GroupVersion> {
    let kinds = crate::schema::builtins().iter().flat_map(|ty| ty.kinds.iter());
    let builtin = kinds.map(|kind| GroupVersion::new(&*kind.group, &*kind.version));
    let mut known: Vec<GroupVersion> = builtin.chain(registered()).collect();
    known.retain(|version| !UNKNOWN_TO_EXTENSIONS.contains(&version.group.as_str()));
    known.sort();
    known.dedup();
    known
}

fn registered() -> impl Iterator<Item = GroupVersion> {
    let of_group = |(group, versions): &(&'static str, &'static [&'static str])| {
        let group = *group;
        versions.iter().map(move |version| GroupVersion::new(group, *version))
    };
    REGISTERED.iter().flat_map(of_group)
}
