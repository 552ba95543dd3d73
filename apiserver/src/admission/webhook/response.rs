//! What webhooks answer: decoding in Go's words, and what an answer has to hold (`VerifyAdmissionResponse`,
//! `errors/statuserror.go`).

use super::call::Failure;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use machinery::field::go_quote;
use machinery::gvk::{GroupVersion, GroupVersionKind};
use machinery::meta;
use machinery::schema::decode::go_kind;
use machinery::status::Status;
use serde_json::{Map, Value};

const GROUP: &str = "admission.k8s.io";
const KIND: &str = "AdmissionReview";
/// What upstream's scheme of reviews calls itself.
pub(super) const SCHEME: &str = "pkg/runtime/scheme.go:111";
/// The one kind of patches.
pub(super) const JSON_PATCH: &str = "JSONPatch";

/// The fields of a response: their types in JSON and in Go.
const FIELDS: [(&str, &str, &str); 7] = [
    ("uid", "string", "types.UID"),
    ("allowed", "bool", "bool"),
    ("status", "object", "v1.Status"),
    ("patch", "string", "[]uint8"),
    ("patchType", "string", "v1.PatchType"),
    ("auditAnnotations", "object", "map[string]string"),
    ("warnings", "array", "[]string"),
];

/// What a webhook has decided.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Response {
    pub(super) allowed: bool,
    /// What it says of that.
    pub(super) status: Option<Value>,
    /// Empty for none.
    pub(super) patch: Vec<u8>,
    pub(super) patch_type: String,
    pub(super) warnings: Vec<String>,
}

/// Reads the answer to a review of this version and uid.
pub(super) fn read(review: &Value, version: &str, uid: &str, mutating: bool) -> Result<Response, Failure> {
    let undecodable = |why: String| Failure::call(format!("failed to call webhook: {why}"), 503);
    let invalid = |why: String| Failure::call(format!("received invalid webhook response: {why}"), 503);
    let sent = kind_of(review, version).map_err(undecodable)?;
    let Some(fields) = review.get("response").filter(|response| !response.is_null()) else {
        return Err(invalid("webhook response was absent".to_owned()));
    };
    let fields = fields.as_object().ok_or_else(|| {
        let found = go_kind(fields);
        undecodable(format!(
            "json: cannot unmarshal {found} into Go struct field {KIND}.response of type {version}.AdmissionResponse"
        ))
    })?;
    check_types(fields).map_err(undecodable)?;
    let text = |field: &str| fields.get(field).and_then(Value::as_str);
    let patch = decode_base64(text("patch").unwrap_or_default()).map_err(undecodable)?;
    let mut patch_type = text("patchType").unwrap_or_default().to_owned();
    if version == "v1" {
        check_v1(&sent, uid, fields, !patch.is_empty(), mutating).map_err(invalid)?;
    } else if !patch.is_empty() {
        // Other types were never looked at in the first version.
        JSON_PATCH.clone_into(&mut patch_type);
    }
    let warnings = fields.get("warnings").and_then(Value::as_array);
    Ok(Response {
        allowed: fields.get("allowed") == Some(&Value::Bool(true)),
        status: fields.get("status").filter(|status| status.is_object()).cloned(),
        patch: if mutating { patch } else { Vec::new() },
        patch_type,
        warnings: warnings
            .into_iter()
            .flatten()
            .filter_map(|warning| warning.as_str().map(str::to_owned))
            .collect(),
    })
}

/// What a review calls itself, when it can be taken for one of this version.
fn kind_of(review: &Value, version: &str) -> Result<GroupVersionKind, String> {
    let text = |field: &str| meta::str_at(review, &[field]).unwrap_or_default();
    let (api_version, kind) = (text("apiVersion"), text("kind"));
    let sent = GroupVersion::parse(api_version)
        .ok_or_else(|| format!("unexpected GroupVersion string: {api_version}"))?
        .kind(kind);
    let of_reviews = sent.group == GROUP && matches!(sent.version.as_str(), "v1" | "v1beta1");
    let is_wanted = sent.group == GROUP && sent.version == version;
    match kind {
        "" | KIND if api_version.is_empty() || is_wanted => Ok(sent),
        "" | KIND if of_reviews => Err(no_conversion(&sent.version, KIND, version)),
        "Status" if api_version == "v1" => Err(no_conversion("v1", kind, version)),
        _ => Err(not_registered(
            kind,
            if api_version.is_empty() { version } else { api_version },
        )),
    }
}

fn no_conversion(from: &str, kind: &str, version: &str) -> String {
    format!("converting ({from}.{kind}) to ({version}.{KIND}): unknown conversion")
}

/// A kind that upstream's scheme does not know.
pub(super) fn not_registered(kind: &str, api_version: &str) -> String {
    let (kind, version) = (go_quote(kind), go_quote(api_version));
    format!(
        "no kind {kind} is registered for version {version} in scheme {}",
        go_quote(SCHEME)
    )
}

fn check_types(fields: &Map<String, Value>) -> Result<(), String> {
    for (name, json, go) in FIELDS {
        if let Some(value) = fields
            .get(name)
            .filter(|value| !value.is_null() && go_kind(value) != json)
        {
            let found = go_kind(value);
            return Err(format!(
                "json: cannot unmarshal {found} into Go struct field AdmissionResponse.response.{name} of type {go}"
            ));
        }
    }
    Ok(())
}

/// Go's base64 decoder tells where it stopped.
fn decode_base64(text: &str) -> Result<Vec<u8>, String> {
    STANDARD.decode(text).map_err(|_| {
        let legal = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/');
        let at = text.bytes().position(|b| !legal(&b)).unwrap_or(text.len());
        format!("illegal base64 data at input byte {at}")
    })
}

/// What the first stable version asks of an answer.
fn check_v1(
    sent: &GroupVersionKind,
    uid: &str,
    fields: &Map<String, Value>,
    has_patch: bool,
    mutating: bool,
) -> Result<(), String> {
    let text = |field: &str| fields.get(field).and_then(Value::as_str);
    let found = text("uid").unwrap_or_default();
    if found != uid {
        return Err(format!(
            "expected response.uid={}, got {}",
            go_quote(uid),
            go_quote(found)
        ));
    }
    let wanted = GroupVersionKind::new(GROUP, "v1", KIND);
    if *sent != wanted {
        return Err(format!("expected webhook response of {wanted}, got {sent}"));
    }
    let complaint = match (mutating, has_patch, text("patchType")) {
        (true, true, None) => "webhook returned response.patch but not response.patchType",
        (true, false, Some(_)) => "webhook returned response.patchType but not response.patch",
        (true, _, Some("")) => "webhook returned invalid response.patchType of \"\"",
        (false, true, _) => "validating webhook may not return response.patch",
        (false, _, Some(_)) => "validating webhook may not return response.patchType",
        _ => return Ok(()),
    };
    Err(complaint.to_owned())
}

impl Response {
    /// The refusal, in the webhook's own words (`ToStatusErr`).
    pub(super) fn refusal(&self, name: &str) -> Status {
        let denied = format!("admission webhook {} denied the request", go_quote(name));
        let mut fields = self.status.clone().unwrap_or_else(|| Value::Object(Map::new()));
        meta::set(&mut fields, &["kind"], "Status");
        meta::set(&mut fields, &["apiVersion"], "v1");
        // What is no Status explains nothing.
        let mut status = serde_json::from_value(fields).unwrap_or_else(|_| Status::failure(400, "", ""));
        status.code = match status.code {
            0..400 => 400,
            1000.. => 500,
            code => code,
        };
        status.message = match (status.message.as_str(), status.reason.as_str()) {
            ("", "") => format!("{denied} without explanation"),
            ("", why) | (why, _) => format!("{denied}: {why}"),
        };
        if matches!(status.status.as_str(), "" | "Success") {
            "Failure".clone_into(&mut status.status);
        }
        status
    }
}
