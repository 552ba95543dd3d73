//! The AdmissionReviews that webhooks are sent (`request/admissionreview.go`).

use super::super::equivalent::Versioned;
use super::super::policy::facts;
use super::super::{Attributes, Equivalent};
use machinery::gvk::GroupVersionKind;
use machinery::schema;
use serde_json::{Value, json};

/// The versions of AdmissionReview that the server speaks.
const VERSIONS: [&str; 2] = ["v1", "v1beta1"];

/// The first version that both sides speak.
pub(super) fn version(offered: &[String]) -> Option<&'static str> {
    let known = |offered: &String| VERSIONS.into_iter().find(|version| version == offered);
    offered.iter().find_map(known)
}

/// What a webhook is sent about a write.
pub(super) fn of(
    uid: &str,
    version: &str,
    attributes: &Attributes<'_>,
    target: &Equivalent,
    versions: &Versioned,
) -> Value {
    let mut request = facts::request(attributes, target, &Value::Null);
    request["uid"] = uid.into();
    request["object"] = encoded(&versions.object, &target.kind);
    request["oldObject"] = versions
        .old
        .as_ref()
        .map_or(Value::Null, |old| encoded(old, &target.kind));
    json!({"kind": "AdmissionReview", "apiVersion": format!("admission.k8s.io/{version}"), "request": request})
}

/// An object as it is encoded, with its kind.
pub(super) fn encoded(object: &Value, kind: &GroupVersionKind) -> Value {
    let mut object = object.clone();
    schema::leave_out_empty(kind, &mut object);
    if let Some(fields) = object.as_object_mut() {
        fields.insert("apiVersion".to_owned(), kind.api_version().into());
        fields.insert("kind".to_owned(), kind.kind.clone().into());
    }
    object
}
