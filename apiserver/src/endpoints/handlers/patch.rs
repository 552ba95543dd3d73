//! `PATCH` in its four forms (k8s.io/apiserver `pkg/endpoints/handlers/patch.go`).

use super::Scope;
use super::update::{check_name, strategy};
use crate::endpoints::negotiation::header_text;
use crate::endpoints::options::{Shown, WriteKind, WriteOptions};
use crate::endpoints::yaml;
use crate::registry::managers::Managers;
use crate::registry::request::Request;
use crate::registry::store::update::Update;
use crate::registry::{before, codec};
use crate::server::request::Body;
use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode, header};
use machinery::gvk::GroupVersion;
use machinery::meta;
use machinery::patch::{self, FieldValidation, Patched};
use machinery::schema::Type;
use machinery::schema::decode::{DecodeError, assign, go_kind};
use machinery::schema::yaml::warnings;
use machinery::status::{Details, Status};
use serde_json::Value;

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
    /// Reads `Content-Type`.
    ///
    /// # Errors
    /// 415 for anything else.
    pub fn read(headers: &HeaderMap) -> Result<Self, Status> {
        let content_type = header_text(headers, header::CONTENT_TYPE);
        match content_type.split(';').next().unwrap_or_default().trim() {
            "application/json-patch+json" => Ok(Kind::Json),
            "application/merge-patch+json" => Ok(Kind::Merge),
            "application/strategic-merge-patch+json" => Ok(Kind::Strategic),
            "application/apply-patch+yaml" => Ok(Kind::Apply),
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
        let kind = Kind::read(&scope.parts.headers)?;
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

    /// Whether this is server-side apply, which may create the object.
    pub fn applies(&self) -> bool {
        self.kind == Kind::Apply
    }

    /// The new state of an object of type `ty`; `default` sets its defaults.
    ///
    /// # Errors
    /// What is wrong with the patch.
    pub fn apply(
        &self,
        rq: &Request<'_>,
        managers: &Managers,
        ty: &Type,
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
            let decoded = assign(&applied.object, ty);
            let mut new = decoded.map_err(|error| unconvertible(&self.config, &error))?.value;
            default(&mut new);
            return Ok(Some(new));
        }
        let Some(current) = current else { return Ok(None) };
        let validation = self.options.validation;
        let Patched { mut value, warnings } = match self.kind {
            Kind::Json => patch::json::apply(current, &self.text, Some(ty), validation)?,
            Kind::Merge => patch::merge::apply(current, &self.text, Some(ty), validation)?,
            Kind::Strategic | Kind::Apply => patch::strategic::apply(current, &self.text, ty, validation)?,
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
    let ty = codec::type_of(&resource.gvk)?;
    let missing = || Status::not_found(&resource.group_resource(), &scope.route.name);
    let transform = |rq: &Request<'_>, current: Option<&Value>| {
        let default = |obj: &mut Value| codec::default(resource, obj);
        if current.is_none() && !scope.subresource().is_empty() {
            // A part of what is not there cannot be made.
            return Err(missing());
        }
        let mut new = patcher
            .apply(rq, &managers, ty, current, &default)?
            .ok_or_else(missing)?;
        codec::set_kind(&mut new, &resource.gvk);
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
