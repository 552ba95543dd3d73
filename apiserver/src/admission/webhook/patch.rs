//! What mutating webhooks change: JSON patches of the object as it was sent, in the words of the library that upstream
//! applies them with.

use super::call::Failure;
use super::response::{JSON_PATCH, Response, not_registered};
use super::review::encoded;
use machinery::field::go_quote;
use machinery::gvk::{GroupVersion, GroupVersionKind};
use machinery::meta;
use machinery::patch::{self, FieldValidation};
use machinery::schema;
use machinery::schema::decode::go_kind;
use machinery::schema::json;
use machinery::status::Status;
use serde_json::Value;

/// The object that a response makes of another one; `None` when it changes nothing.
pub(super) fn apply(
    response: &Response,
    hook: &str,
    object: &Value,
    kind: &GroupVersionKind,
) -> Result<Option<Value>, Failure> {
    if response.patch.is_empty() {
        return Ok(None);
    }
    let operations = operations(&response.patch).map_err(|why| {
        let why = format!("received undecodable patch in webhook response: {why}");
        Failure::call(why, 503)
    })?;
    if operations.is_empty() {
        return Ok(None);
    }
    if object.is_null() {
        return Err(Failure::Refused(Box::new(Status::internal(format!(
            "admission webhook {} attempted to modify the object, which is not supported for this operation",
            go_quote(hook)
        )))));
    }
    if response.patch_type != JSON_PATCH {
        let code = response.refusal(hook).code;
        let why = format!("unsupported patch type {}", go_quote(&response.patch_type));
        return Err(Failure::call(why, code));
    }
    let failed = |why: String| Failure::Refused(Box::new(Status::internal(why)));
    if let Some(pathless) = operations.iter().find(|operation| operation.get("path").is_none()) {
        let name = meta::str_at(pathless, &["op"]).unwrap_or_default();
        return Err(failed(format!("{name} operation failed to decode path: missing value")));
    }
    let ty = schema::by_gvk(&kind.group, &kind.version, &kind.kind);
    let shown = encoded(object, kind);
    // The kind of the result is judged before its fields are.
    let patched = patch::json::apply(&shown, &response.patch, None, FieldValidation::Ignore)
        .map_err(|error| failed(words(&error)))?
        .value;
    check_kind(&patched, kind).map_err(failed)?;
    if ty.is_none() {
        return Ok(Some(patched));
    }
    match patch::json::apply(&shown, &response.patch, ty, FieldValidation::Ignore) {
        Ok(patched) => Ok(Some(patched.value)),
        Err(error) => Err(failed(words(&error))),
    }
}

fn words(error: &patch::Error) -> String {
    match error {
        patch::Error::Rejected(why) if why.starts_with("testing value ") => format!("{why}: test failed"),
        error => error.to_string(),
    }
}

fn operations(text: &[u8]) -> Result<Vec<Value>, String> {
    let unfit = |value: &Value, wanted: &str| {
        let found = go_kind(value);
        format!("json: cannot unmarshal {found} into Go value of type {wanted}")
    };
    match json::parse(text).map_err(|error| error.to_string())?.into_value() {
        Value::Null => Ok(Vec::new()),
        Value::Array(operations) => match operations.iter().find(|each| !each.is_object() && !each.is_null()) {
            Some(other) => Err(unfit(other, "jsonpatch.Operation")),
            None => Ok(operations),
        },
        other => Err(unfit(&other, "jsonpatch.Patch")),
    }
}

/// Objects stay what they are.
fn check_kind(patched: &Value, kind: &GroupVersionKind) -> Result<(), String> {
    let text = |field: &str| meta::str_at(patched, &[field]).unwrap_or_default();
    let (api_version, name) = (text("apiVersion"), text("kind"));
    if (api_version.is_empty() || api_version == kind.api_version()) && (name.is_empty() || name == kind.kind) {
        return Ok(());
    }
    let made = GroupVersion::parse(api_version).unwrap_or_default().kind(name);
    if schema::by_gvk(&made.group, &made.version, &made.kind).is_none() {
        return Err(not_registered(name, api_version));
    }
    Err(format!(
        "converting ({}.{}) to ({}.{}): unknown conversion",
        made.version, made.kind, kind.version, kind.kind
    ))
}
