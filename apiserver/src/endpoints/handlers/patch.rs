//! `PATCH` in its four forms (k8s.io/apiserver `pkg/endpoints/handlers/patch.go`).

use super::Scope;
use super::update::{check_name, strategy};
use crate::endpoints::negotiation::header_text;
use crate::endpoints::options::{Shown, WriteKind, WriteOptions};
use crate::endpoints::yaml;
use crate::registry::managers::Managers;
use crate::registry::request::Request;
use crate::registry::resource::Resource;
use crate::registry::store::update::Update;
use crate::registry::structure::Structure;
use crate::registry::{before, codec};
use crate::server::request::Body;
use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode, header};
use machinery::gvk::GroupVersion;
use machinery::meta;
use machinery::patch::{self, FieldValidation, Patched, Target};
use machinery::schema::Type;
use machinery::schema::decode::{DecodeError, assign, go_kind};
use machinery::schema::yaml::warnings;
use machinery::status::{Details, Status};
use serde_json::Value;

/// The refusal of a patch that kinds without built-in types do not understand.
const CUSTOM_TYPES: &str = "the body of the request was in an unknown format - accepted media types include: \
                            application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml";

/// What a patched object has to be.
#[derive(Clone, Copy)]
pub enum Form<'a> {
    /// Of a built-in type.
    Type(&'a Type),
    /// As a definition says.
    Structure(&'a dyn Structure),
}

impl<'a> Form<'a> {
    /// What the objects of a resource are.
    ///
    /// # Errors
    /// 500 for a kind that has no schema.
    pub fn of(resource: &'a Resource) -> Result<Self, Status> {
        match resource.structure() {
            Some(structure) => Ok(Form::Structure(structure)),
            None => resource.ty().map(Form::Type),
        }
    }
}

/// How a patch is to be understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// RFC 6902.
    Json,
    /// RFC 7386.
    Merge,
    /// Kubernetes' own, which merges lists by key.
    Strategic,
    /// Server-side apply.
    Apply,
}

impl Kind {
    /// Reads `Content-Type` of a patch to an object of this resource.
    ///
    /// # Errors
    /// 415 for anything else.
    pub fn read(headers: &HeaderMap, resource: &Resource) -> Result<Self, Status> {
        let content_type = header_text(headers, header::CONTENT_TYPE);
        let custom = resource.custom.is_some();
        match content_type.split(';').next().unwrap_or_default().trim() {
            "application/json-patch+json" => Ok(Kind::Json),
            "application/merge-patch+json" => Ok(Kind::Merge),
            "application/strategic-merge-patch+json" if !custom => Ok(Kind::Strategic),
            "application/apply-patch+yaml" => Ok(Kind::Apply),
            _ if custom => Err(Status::failure(415, "UnsupportedMediaType", CUSTOM_TYPES)),
            _ => Err(
                Status::failure(415, "UnsupportedMediaType", "415: Unsupported Media Type")
                    .with_details(Details::default()),
            ),
        }
    }

    fn options(self) -> WriteKind {
        if self == Kind::Apply {
            WriteKind::Apply
        } else {
            WriteKind::Patch
        }
    }
}

/// A patch that can be applied to any state of an object.
pub struct Patcher {
    kind: Kind,
    text: Bytes,
    /// The configuration of an apply.
    config: Value,
    /// Which keys are repeated in it.
    repeated: Vec<String>,
    options: WriteOptions,
    manager: String,
}

impl Patcher {
    /// Reads a patch request.
    ///
    /// # Errors
    /// 415, 422 on `PatchOptions`, 400 for a patch that is no JSON or YAML.
    pub fn read(scope: &Scope, sent: &Bytes) -> Result<Self, Status> {
        let kind = Kind::read(&scope.parts.headers, scope.resource())?;
        let options = WriteOptions::read(&scope.query, kind.options())?;
        let manager = scope.field_manager(&options.field_manager);
        let mut patcher = Patcher {
            kind,
            text: sent.clone(),
            config: Value::Null,
            repeated: Vec::new(),
            options,
            manager,
        };
        if kind == Kind::Apply {
            let malformed =
                |why: String| Status::bad_request(format!("error decoding YAML: error converting YAML to JSON: {why}"));
            let (json, repeated) = yaml::to_json(sent).map_err(malformed)?;
            patcher.config = serde_json::from_slice(&json).map_err(|error| malformed(error.to_string()))?;
            if !(patcher.config.is_object() || patcher.config.is_null()) {
                return Err(Status::bad_request(format!(
                    "error decoding YAML: error unmarshaling JSON: while decoding JSON: json: cannot unmarshal {} into Go value of type map[string]interface {{}}",
                    go_kind(&patcher.config)
                )));
            }
            patcher.repeated = repeated;
        }
        Ok(patcher)
    }

    /// Complains about repeated keys of a configuration, which is done after it was applied.
    fn report_repeated(&self, rq: &Request<'_>) -> Result<(), Status> {
        match self.options.validation {
            FieldValidation::Strict if !self.repeated.is_empty() => Err(Status::bad_request(format!(
                "error strict decoding YAML: error converting YAML to JSON: {}",
                self.repeated.join(", ")
            ))),
            FieldValidation::Warn => {
                let lines = self.repeated.iter().flat_map(|finding| warnings(finding));
                lines.map(str::to_owned).for_each(rq.warn);
                Ok(())
            }
            FieldValidation::Strict | FieldValidation::Ignore => Ok(()),
        }
    }

    /// The options as admission sees them.
    pub fn shown(&self) -> &Shown {
        &self.options.shown
    }

    /// The configuration of an apply.
    pub fn config(&self) -> &Value {
        &self.config
    }

    /// Whether this is server-side apply, which may create the object.
    pub fn applies(&self) -> bool {
        self.kind == Kind::Apply
    }

    /// The new state of an object of this form; `default` sets its defaults.
    ///
    /// # Errors
    /// What is wrong with the patch.
    pub fn apply(
        &self,
        rq: &Request<'_>,
        managers: &Managers,
        form: Form<'_>,
        current: Option<&Value>,
        default: &dyn Fn(&mut Value),
    ) -> Result<Option<Value>, Status> {
        if self.kind == Kind::Apply {
            let force = self.options.force.unwrap_or_default();
            let applied = managers.apply(rq, current, &self.config, &self.manager, force)?;
            self.report_repeated(rq)?;
            if !applied.changed {
                return Ok(Some(applied.object));
            }
            let mut new = match form {
                Form::Type(ty) => {
                    let decoded = assign(&applied.object, ty);
                    decoded.map_err(|error| unconvertible(&self.config, &error))?.value
                }
                Form::Structure(_) => applied.object,
            };
            default(&mut new);
            return Ok(Some(new));
        }
        let Some(current) = current else { return Ok(None) };
        let validation = self.options.validation;
        let decode = |object: Value| match form {
            Form::Structure(structure) => structure.decode(object),
            Form::Type(_) => Err("built-in types are decoded by their schema".to_owned()),
        };
        let target = match form {
            Form::Type(ty) => Target::Type(ty),
            Form::Structure(_) => Target::Custom(&decode),
        };
        let Patched { mut value, warnings } = match (self.kind, form) {
            (Kind::Json, _) => patch::json::apply_as(current, &self.text, target, validation)?,
            (Kind::Strategic, Form::Type(ty)) => patch::strategic::apply(current, &self.text, ty, validation)?,
            _ => patch::merge::apply_as(current, &self.text, target, validation)?,
        };
        warnings.into_iter().for_each(rq.warn);
        default(&mut value);
        managers.update(rq, Some(current), &mut value, &self.manager);
        Ok(Some(value))
    }
}

/// A configuration that makes an object which is none of its kind (apimachinery `pkg/util/managedfields/internal/structuredmerge.go`).
fn unconvertible(config: &Value, why: &DecodeError) -> Status {
    let text = |field: &str| meta::str_at(config, &[field]).unwrap_or_default();
    let version = GroupVersion::parse(text("apiVersion")).unwrap_or_default();
    let kind = version.kind(text("kind"));
    let (namespace, name) = (meta::namespace(config), meta::name(config));
    let message = format!(
        "failed to convert new object ({namespace}/{name}; {kind}) to proper version: unable to convert unstructured object \
         to {kind}: {why}"
    );
    Status::failure(500, "", message)
}

/// Changes an object, or the part of it that a subresource changes.
///
/// # Errors
/// Whatever the patch, admission, validation or the store says.
pub async fn patch(scope: &Scope, sent: &Bytes) -> Result<Response<Body>, Status> {
    let patcher = Patcher::read(scope, sent)?;
    let managers = scope.managers()?;
    let resource = scope.resource();
    let form = Form::of(resource)?;
    let missing = || Status::not_found(&resource.group_resource(), &scope.route.name);
    let transform = |rq: &Request<'_>, current: Option<&Value>| {
        let default = |obj: &mut Value| codec::default(resource, obj);
        if current.is_none() && !scope.subresource().is_empty() {
            // A part of what is not there cannot be made.
            return Err(missing());
        }
        let mut new = patcher
            .apply(rq, &managers, form, current, &default)?
            .ok_or_else(missing)?;
        if resource.custom.is_none() {
            codec::set_kind(&mut new, &resource.gvk);
        }
        if current.is_none() && !meta::uid(&new).is_empty() {
            let why = format!(
                "uid mismatch: the provided object specified uid {}, and no existing object was found",
                meta::uid(&new)
            );
            return Err(Status::conflict(&resource.group_resource(), &scope.route.name, why));
        }
        before::match_namespace(resource, &scope.route.namespace, &mut new)?;
        check_name(scope, &new)?;
        Ok(new)
    };
    let update = Update {
        name: &scope.route.name,
        subresource: scope.subresource(),
        kind: &resource.gvk,
        view: None,
        strategy: strategy(scope),
        uid: None,
        transform: &transform,
        force_create: patcher.applies(),
    };
    let updated = scope
        .registry(patcher.shown(), async |rq| scope.store().update(rq, &update).await)
        .await?;
    let code = if updated.created {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    scope.object(code, &updated.object)
}
