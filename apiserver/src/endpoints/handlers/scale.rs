//! The `scale` subresource: `autoscaling/v1.Scale` as a view of an object with replicas
//! (kubernetes `pkg/registry/apps/*/storage`).

use super::patch::{Form, Patcher};
use super::scope::Scope;
use super::update::check_name;
use crate::endpoints::body;
use crate::endpoints::negotiation::body_format;
use crate::endpoints::options::{Shown, WriteKind, WriteOptions, get_revision};
use crate::registry::columns::{Column, Columns};
use crate::registry::managers::Managers;
use crate::registry::request::Request;
use crate::registry::resource::{Action, Resource, ScalePaths};
use crate::registry::store::update::{Transform, Update, View};
use crate::registry::{before, codec, object_meta};
use crate::server::request::Body;
use bytes::Bytes;
use http::{Response, StatusCode};
use machinery::apply::managed::Managed;
use machinery::apply::scale::{to_parent, to_scale, write};
use machinery::field::{Error, Path, go_quote};
use machinery::gvk::GroupVersionKind;
use machinery::object::Stored;
use machinery::schema::decode::encoded_form;
use machinery::selector::label;
use machinery::status::Status;
use machinery::{meta, names, time};
use serde_json::{Value, json};
use std::sync::Arc;

const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";
const SPEC: &str = "io.k8s.api.autoscaling.v1.ScaleSpec";
const STATUS: &str = "io.k8s.api.autoscaling.v1.ScaleStatus";
/// Where a Scale and every built-in kind with replicas have the wanted number.
const REPLICAS: &[&str] = &["spec", "replicas"];

static COLUMNS: Columns = Columns {
    columns: &[
        Column::of_field("Name", "string", META, "name"),
        Column::of_field("Desired", "integer", SPEC, "replicas"),
        Column::of_field("Available", "integer", STATUS, "replicas"),
        Column::of_field("Age", "string", META, "creationTimestamp"),
    ],
    cells: |scale, now| {
        let number = |path: &[&str]| json!(meta::i64_at(scale, path).unwrap_or_default());
        let created = meta::str_at(scale, &["metadata", "creationTimestamp"]).and_then(time::parse);
        let age = created.map_or_else(|| "<unknown>".to_owned(), |t| time::human_duration(now - t.as_second()));
        vec![
            json!(meta::name(scale)),
            number(REPLICAS),
            number(&["status", "replicas"]),
            json!(age),
        ]
    },
};

/// The columns of the scales of kinds that are defined at run time (apiextensions-apiserver `getScaleColumnsForVersion`).
static CUSTOM_COLUMNS: Columns = Columns {
    columns: &[
        Column::of_field("Name", "string", META, "name").named(),
        Column::new("Desired", "integer", "Number of desired replicas"),
        Column::new("Available", "integer", "Number of actual replicas"),
        Column::of_field("Age", "date", META, "creationTimestamp"),
    ],
    cells: COLUMNS.cells,
};

/// The wanted number of an object that has none, which a client has to replace (upstream `invalidSpecReplicas`).
const UNSET: i64 = i32::MIN as i64;

fn kind() -> GroupVersionKind {
    GroupVersionKind::new("autoscaling", "v1", "Scale")
}

/// Reads the scale of an object.
///
/// # Errors
/// 404 when there is no object.
pub async fn get(scope: &Scope, paths: &ScalePaths) -> Result<Response<Body>, Status> {
    let revision = get_revision(&scope.query)?;
    let stored = scope
        .store()
        .get(&scope.route.namespace, &scope.route.name, revision)
        .await?;
    if scope.resource().custom.is_some() {
        let object = codec::decode(scope.resource(), &stored)?;
        if meta::at(&object, &split(&paths.spec_replicas)).is_none() {
            let path = go_quote(&format!(".{}", &*paths.spec_replicas));
            return Err(Status::internal(format!(
                "the spec replicas field {path} does not exist"
            )));
        }
    }
    respond(scope, paths, &stored)
}

/// Replaces the scale of an object.
///
/// # Errors
/// 422 for a negative number, 409 for a wrong UID or resourceVersion.
pub async fn update(scope: &Scope, paths: &ScalePaths, sent: &Bytes) -> Result<Response<Body>, Status> {
    let options = WriteOptions::read(&scope.query, WriteKind::Update)?;
    let warn = |text: String| scope.cx.warnings.add(text);
    let format = body_format(&scope.parts.headers)?;
    let mut sent = body::object(sent, format, &kind(), options.validation, &warn)?;
    before::match_namespace(scope.resource(), &scope.route.namespace, &mut sent)?;
    check_name(scope, &sent)?;
    let uid = Some(meta::uid(&sent)).filter(|uid| !uid.is_empty()).map(str::to_owned);
    let managers = Managers::of_view(&kind(), scope.subresource())?;
    let manager = scope.field_manager(&options.field_manager);
    let change = |rq: &Request<'_>, current: Option<&Value>| {
        let current = current.ok_or_else(|| missing(scope))?;
        let mut new = sent.clone();
        managers.update(rq, Some(current), &mut new, &manager);
        Ok(new)
    };
    write_scale(scope, paths, (&options.shown, uid), &change).await
}

/// Patches the scale of an object.
///
/// # Errors
/// What is wrong with the patch or with its result.
pub async fn patch(scope: &Scope, paths: &ScalePaths, sent: &Bytes) -> Result<Response<Body>, Status> {
    let patcher = Patcher::read(scope, sent)?;
    if scope.resource().custom.is_some() && patcher.applies() {
        // Upstream takes the Scale for one of the custom resource's versions then.
        let (namespace, name) = (meta::namespace(patcher.config()), meta::name(patcher.config()));
        let message = format!(
            "failed to convert new object ({namespace}/{name}; {}) to proper version: request to convert CR to an invalid \
             group/version: autoscaling/v1",
            kind()
        );
        return Err(Status::failure(500, "", message));
    }
    let managers = Managers::of_view(&kind(), scope.subresource())?;
    let form = Form::Type(codec::type_of(&kind())?);
    let change = |rq: &Request<'_>, current: Option<&Value>| {
        let current = current.ok_or_else(|| missing(scope))?;
        let patched = patcher.apply(rq, &managers, form, Some(current), &|_| {})?;
        let mut new = patched.ok_or_else(|| missing(scope))?;
        before::match_namespace(scope.resource(), &scope.route.namespace, &mut new)?;
        check_name(scope, &new)?;
        Ok(new)
    };
    write_scale(scope, paths, (patcher.shown(), None), &change).await
}

fn missing(scope: &Scope) -> Status {
    Status::not_found(&scope.resource().group_resource(), &scope.route.name)
}

/// The scale of the objects of one resource.
struct Scaled<'a> {
    kind: GroupVersionKind,
    resource: &'a Resource,
    versions: &'a [Arc<Resource>],
    paths: &'a ScalePaths,
}

impl Scaled<'_> {
    /// Where a version of the object's kind has the wanted number; other groups do not own it.
    fn replicas(&self, api_version: &str) -> Option<Vec<&str>> {
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        if group != self.resource.gvk.group {
            return None;
        }
        if self.resource.custom.is_none() {
            return Some(REPLICAS.to_vec());
        }
        let served = self.versions.iter().find(|served| served.gvk.version == version)?;
        match served.subresource("scale").map(|subresource| &subresource.action) {
            Some(Action::Scale(paths)) => Some(split(&paths.spec_replicas)),
            _ => None,
        }
    }

    fn view(&self, object: &Value) -> Result<Value, Status> {
        view(self.resource, object, self.paths)
    }
}

impl View for Scaled<'_> {
    fn kind(&self) -> &GroupVersionKind {
        &self.kind
    }

    fn of(&self, object: &Value, owners: bool) -> Result<Value, Status> {
        let mut scale = self.view(object)?;
        if owners {
            if self.resource.custom.is_some() && meta::at(object, &split(&self.paths.spec_replicas)).is_none() {
                meta::set(&mut scale, REPLICAS, UNSET);
            }
            let owners = Managed::decode(object).unwrap_or_default();
            write(&mut scale, &to_scale(&owners, &|version| self.replicas(version)));
        }
        Ok(scale)
    }

    fn put(&self, object: &Value, scale: &Value) -> Result<Value, Status> {
        let wanted = meta::i64_at(scale, REPLICAS).unwrap_or_default();
        if self.resource.custom.is_none() {
            validate(object, scale)?;
        } else if wanted == UNSET {
            let path = go_quote(&format!(".{}", &*self.paths.spec_replicas));
            return Err(Status::bad_request(format!(
                "the spec replicas field {path} cannot be empty"
            )));
        }
        let mut new = object.clone();
        meta::set(&mut new, &split(&self.paths.spec_replicas), wanted);
        let version = meta::str_at(scale, &["metadata", "resourceVersion"]).unwrap_or_default();
        if self.resource.custom.is_none() || !version.is_empty() {
            meta::copy(&mut new, scale, &["metadata", "resourceVersion"]);
        }
        let owners = Managed::decode(object).unwrap_or_default();
        let scale_owners = Managed::decode(scale).unwrap_or_default();
        let version = self.resource.gvk.api_version();
        let owners = to_parent(&owners, &scale_owners, &version, &|version| self.replicas(version));
        write(&mut new, &owners);
        Ok(new)
    }
}

async fn write_scale(
    scope: &Scope,
    paths: &ScalePaths,
    (shown, uid): (&Shown, Option<String>),
    change: &dyn Transform,
) -> Result<Response<Body>, Status> {
    let resource = scope.resource();
    let scaled = Scaled {
        kind: kind(),
        resource,
        versions: &scope.store().versions,
        paths,
    };
    let update = Update {
        name: &scope.route.name,
        subresource: scope.subresource(),
        kind: &resource.gvk,
        view: Some(&scaled),
        strategy: resource.strategy.as_ref(),
        uid,
        transform: change,
        force_create: false,
    };
    let updated = scope
        .registry(shown, async |rq| scope.store().update(rq, &update).await)
        .await?;
    respond(scope, paths, &updated.object)
}

fn validate(object: &Value, scale: &Value) -> Result<(), Status> {
    let mut errors = object_meta::validate(scale, true, &names::dns1123_subdomain_for);
    if let Some(replicas) = meta::i64_at(scale, REPLICAS).filter(|replicas| *replicas < 0) {
        let field = Path::new("spec").child("replicas");
        errors.push(Error::invalid(&field, replicas, "must be greater than or equal to 0"));
    }
    if !errors.is_empty() {
        return Err(Status::invalid(&kind().group_kind(), meta::name(object), &errors));
    }
    Ok(())
}

fn respond(scope: &Scope, paths: &ScalePaths, stored: &Stored) -> Result<Response<Body>, Status> {
    let resource = scope.resource();
    let object = codec::decode(resource, stored)?;
    let columns = if resource.custom.is_some() {
        &CUSTOM_COLUMNS
    } else {
        &COLUMNS
    };
    scope.value(StatusCode::OK, view(resource, &object, paths)?, columns)
}

fn split(path: &str) -> Vec<&str> {
    path.split('.').collect()
}

/// The Scale of an object.
fn view(resource: &Resource, object: &Value, paths: &ScalePaths) -> Result<Value, Status> {
    let selector = meta::at(object, &split(&paths.selector)).filter(|_| !paths.selector.is_empty());
    let (replicas, observed, selector) = if resource.custom.is_some() {
        let number = |path: &str| number_at(object, path).map_err(Status::internal);
        let selector = match selector {
            None => String::new(),
            Some(Value::String(text)) => text.clone(),
            Some(other) => return Err(Status::internal(accessor_error(&paths.selector, other, "string"))),
        };
        (number(&paths.spec_replicas)?, number(&paths.status_replicas)?, selector)
    } else {
        let number = |path: &str| meta::i64_at(object, &split(path));
        let (replicas, observed) = (number(&paths.spec_replicas), number(&paths.status_replicas));
        (replicas, observed, selector_text(selector))
    };
    let mut scale = json!({
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {},
        "spec": {"replicas": replicas.unwrap_or_default()},
        "status": {"replicas": observed.unwrap_or_default(), "selector": selector},
    });
    for field in ["name", "namespace", "uid", "resourceVersion", "creationTimestamp"] {
        meta::copy(&mut scale, object, &["metadata", field]);
    }
    let ty = codec::type_of(&kind())?;
    encoded_form(&scale, ty).map_err(Status::internal)
}

/// A number of an object whose type nobody has checked (apimachinery `unstructured.NestedInt64`).
fn number_at(object: &Value, path: &str) -> Result<Option<i64>, String> {
    match meta::at(object, &split(path)) {
        None => Ok(None),
        Some(value) => value
            .as_i64()
            .map(Some)
            .ok_or_else(|| accessor_error(path, value, "int64")),
    }
}

fn accessor_error(path: &str, value: &Value, wanted: &str) -> String {
    let shown = machinery::patch::go_value(value);
    let found = machinery::patch::go_type(value);
    format!(".{path} accessor error: {shown} is of the type {found}, expected {wanted}")
}

/// A label selector in the form of a query parameter. The plain maps of older kinds have no `matchLabels`.
fn selector_text(selector: Option<&Value>) -> String {
    let plain = selector
        .and_then(Value::as_object)
        .is_some_and(|map| map.values().all(Value::is_string));
    let selector = if plain {
        label::Selector::of_labels(selector)
    } else {
        label::Selector::of(selector)
    };
    selector.to_string()
}
