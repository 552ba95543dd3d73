//! Request bodies: which kind they hold, decoding against the schema, and upstream's words for what is wrong
//! (k8s.io/apiserver `pkg/endpoints/handlers/{create,rest}.go`, apimachinery `pkg/runtime/serializer/json`).

use super::negotiation::Format;
use super::yaml;
use crate::registry::codec;
use crate::registry::resource::Resource;
use crate::registry::structure::Structure;
use bytes::Bytes;
use machinery::field::go_quote;
use machinery::gvk::{GroupVersion, GroupVersionKind};
use machinery::patch::FieldValidation;
use machinery::schema;
use machinery::schema::decode::{DecodeError, Decoded, decode, decode_untyped};
use machinery::schema::json::{Node, parse};
use machinery::schema::yaml::warnings;
use machinery::status::Status;
use machinery::wire::{self, Envelope};
use serde_json::Value;
use std::fmt::Write;

/// What is wrong with a version that has more than two parts.
const BAD_VERSION: &str = "unexpected GroupVersion string";
/// How much of a body that cannot be understood is quoted.
const SUMMARY_MAX: usize = 30;
/// What kinds that are defined at run time cannot be sent as.
const NO_PROTOBUF: &str = "object *unstructured.Unstructured does not implement the protobuf marshalling interface and \
                           cannot be encoded to a protobuf message";
/// What upstream's scheme for API objects calls itself.
const SCHEME: &str = "pkg/api/legacyscheme/scheme.go:30";
/// What upstream's scheme for options calls itself.
const OPTIONS_SCHEME: &str = "k8s.io/apimachinery/pkg/apis/meta/internalversion/scheme/register.go:27";

/// Decodes an object of a resource. Unknown fields are reported through `warn` or refused.
///
/// # Errors
/// 400 in upstream's words.
pub fn object_of(
    resource: &Resource,
    body: &Bytes,
    format: Format,
    validation: FieldValidation,
    warn: &dyn Fn(String),
) -> Result<Value, Status> {
    match resource.structure() {
        Some(structure) => custom_object(structure, body, format, &resource.gvk, validation, warn),
        None => object(body, format, &resource.gvk, validation, warn),
    }
}

/// Decodes an object of a kind that is defined at run time. One that says that it is another kind is refused later.
fn custom_object(
    structure: &dyn Structure,
    body: &Bytes,
    format: Format,
    kind: &GroupVersionKind,
    validation: FieldValidation,
    warn: &dyn Fn(String),
) -> Result<Value, Status> {
    let unrecognized = |why: &str| {
        Status::bad_request(format!(
            "the object provided is unrecognized (must be of type {}): {why} ({})",
            kind.kind,
            summary(body)
        ))
    };
    let (text, mut strict) = match format {
        Format::Protobuf => return Err(unfit(kind, kind, &NO_PROTOBUF)),
        Format::Json => (body.clone(), Vec::new()),
        Format::Yaml => yaml::to_json(body).map_err(|why| unrecognized(&why))?,
    };
    kind_of(&text, kind).map_err(|why| unrecognized(&without_kind(&why)))?;
    let decoded = decode_untyped(&text).map_err(|error| match error {
        DecodeError::Syntax(error) => unrecognized(&error.to_string()),
        DecodeError::Type(why) => unfit(kind, kind, &why),
    })?;
    let said = |field: &str| decoded.value.get(field).and_then(Value::as_str).unwrap_or_default();
    let sent = GroupVersion::parse(said("apiVersion"))
        .unwrap_or_default()
        .kind(said("kind"));
    if sent.kind.is_empty() {
        let text = String::from_utf8_lossy(&text);
        return Err(unrecognized(&format!("Object 'Kind' is missing in '{text}'")));
    }
    strict.extend(decoded.strict);
    let decoded = structure.decode(decoded.value);
    let decoded = decoded.map_err(|why| unfit(&sent, &sent, &why))?;
    strict.extend(decoded.strict);
    report_strict(&strict, validation, warn).map_err(|why| unfit(&sent, &sent, &why))?;
    if sent.group_version() != kind.group_version() {
        return Err(wrong_version(&sent, kind));
    }
    Ok(decoded.value)
}

/// Warns of what strict validation has found.
///
/// # Errors
/// What has to be refused.
fn report_strict(strict: &[String], validation: FieldValidation, warn: &dyn Fn(String)) -> Result<(), String> {
    match validation {
        FieldValidation::Strict if !strict.is_empty() => Err(format!("strict decoding error: {}", strict.join(", "))),
        FieldValidation::Warn => {
            let lines = strict.iter().flat_map(|finding| warnings(finding));
            lines.map(str::to_owned).for_each(warn);
            Ok(())
        }
        FieldValidation::Strict | FieldValidation::Ignore => Ok(()),
    }
}

/// Decodes an object that has to be of a built-in kind. Unknown fields are reported through `warn` or refused.
///
/// # Errors
/// 400 in upstream's words.
pub fn object(
    body: &Bytes,
    format: Format,
    kind: &GroupVersionKind,
    validation: FieldValidation,
    warn: &dyn Fn(String),
) -> Result<Value, Status> {
    let unrecognized = |why: &str| {
        Status::bad_request(format!(
            "the object provided is unrecognized (must be of type {}): {why} ({})",
            kind.kind,
            summary(body)
        ))
    };
    let (text, yaml_findings) = match format {
        Format::Protobuf => return protobuf_object(body, kind, &unrecognized),
        Format::Json => (body.clone(), Vec::new()),
        Format::Yaml => yaml::to_json(body).map_err(|why| unrecognized(&why))?,
    };
    let sent = kind_of(&text, kind).map_err(|why| unrecognized(&without_kind(&why)))?;
    let ty = codec::type_of(kind)?;
    if sent != *kind {
        return Err(mismatch(&sent, kind).unwrap_or_else(|why| unfit(&sent, kind, &why)));
    }
    let Decoded { mut value, mut strict } = decode(&text, ty).map_err(|error| match error {
        DecodeError::Syntax(error) => unrecognized(&format!("couldn't get version/kind; json parse error: {error}")),
        DecodeError::Type(why) => unfit(&sent, kind, &why),
    })?;
    strict.splice(0..0, yaml_findings);
    report_strict(&strict, validation, warn).map_err(|why| unfit(&sent, kind, &why))?;
    codec::set_kind(&mut value, kind);
    Ok(value)
}

/// Why nobody knows what an object is.
fn without_kind(why: &str) -> String {
    if why.starts_with(BAD_VERSION) {
        return why.to_owned();
    }
    format!("couldn't get version/kind; json parse error: {why}")
}

/// An object that cannot be taken for the kind that is wanted.
fn unfit(sent: &GroupVersionKind, wanted: &GroupVersionKind, why: &dyn std::fmt::Display) -> Status {
    Status::bad_request(format!(
        "{} in version {} cannot be handled as a {}: {why}",
        sent.kind,
        go_quote(&sent.version),
        wanted.kind
    ))
}

/// Decodes an object in protobuf, which has no unknown fields to speak of.
fn protobuf_object(
    body: &Bytes,
    kind: &GroupVersionKind,
    unrecognized: &dyn Fn(&str) -> Status,
) -> Result<Value, Status> {
    let nothing = match body.as_ref() {
        b"" => Some("empty data"),
        magic if magic == wire::MAGIC => Some("empty body"),
        _ => None,
    };
    if let Some(why) = nothing {
        return Err(unrecognized(why));
    }
    let mut envelope = Envelope::parse(body).map_err(|error| unrecognized(&error.to_string()))?;
    // What an envelope does not say is taken from what is wanted.
    if envelope.api_version.is_empty() {
        envelope.api_version = kind.api_version().into();
    }
    if envelope.kind.is_empty() {
        envelope.kind = kind.kind.clone().into();
    }
    let version = GroupVersion::parse(&envelope.api_version)
        .ok_or_else(|| unrecognized(&format!("unexpected GroupVersion string: {}", envelope.api_version)))?;
    let sent = version.kind(envelope.kind.as_ref());
    if sent != *kind {
        return Err(mismatch(&sent, kind).unwrap_or_else(|why| unfit(&sent, kind, &why)));
    }
    let decoded = wire::decode(&envelope, codec::type_of(kind)?);
    let mut value = decoded.map_err(|error| unfit(&sent, kind, &error))?;
    codec::set_kind(&mut value, kind);
    Ok(value)
}

/// Decodes `DeleteOptions`, which any group may call its own.
///
/// # Errors
/// 400 in upstream's words.
pub fn delete_options(body: &Bytes, format: Format) -> Result<Value, Status> {
    let default = GroupVersionKind::new("meta.k8s.io", "v1", "DeleteOptions");
    let text = match format {
        Format::Protobuf => {
            let envelope = Envelope::parse(body).map_err(|error| Status::bad_request(error.to_string()))?;
            if envelope.kind != "DeleteOptions" {
                let version = GroupVersion::parse(&envelope.api_version).unwrap_or_default();
                return Err(Status::bad_request(not_registered(
                    &version.kind(envelope.kind.as_ref()),
                    OPTIONS_SCHEME,
                )));
            }
            let ty = codec::type_of(&default)?;
            return wire::decode(&envelope, ty).map_err(|error| Status::bad_request(error.to_string()));
        }
        Format::Json => body.clone(),
        Format::Yaml => yaml::to_json(body).map_err(Status::bad_request)?.0,
    };
    let sent = kind_of(&text, &default).map_err(|why| Status::bad_request(without_kind(&why)))?;
    if sent.kind != "DeleteOptions" {
        return Err(Status::bad_request(not_registered(&sent, OPTIONS_SCHEME)));
    }
    let ty = codec::type_of(&default)?;
    decode(&text, ty)
        .map(|decoded| decoded.value)
        .map_err(|error| Status::bad_request(error.to_string()))
}

/// A body whose `apiVersion` is replaced when it is `old`: the same kind under its former version.
pub fn with_version(body: &Bytes, old: &str, new: &str) -> Bytes {
    match serde_json::from_slice::<Value>(body) {
        Ok(mut object) if object.get("apiVersion").is_some_and(|version| version == old) => {
            machinery::meta::set(&mut object, &["apiVersion"], new);
            codec::to_bytes(&object)
        }
        _ => body.clone(),
    }
}

/// Group, version and kind of an object; what it does not say is taken from `default`.
fn kind_of(text: &[u8], default: &GroupVersionKind) -> Result<GroupVersionKind, String> {
    const TARGET: &str = "struct { APIVersion string \"json:\\\"apiVersion,omitempty\\\"\"; Kind string \"json:\\\"kind,omitempty\\\"\" }";
    let fields = match parse(text).map_err(|error| error.to_string())? {
        Node::Object(fields) => fields,
        Node::Null => Vec::new(),
        other => {
            return Err(format!(
                "json: cannot unmarshal {} into Go value of type {TARGET}",
                other.kind()
            ));
        }
    };
    let (mut api_version, mut kind) = (String::new(), String::new());
    for (key, value) in fields {
        let target = match &*key {
            "apiVersion" => &mut api_version,
            "kind" => &mut kind,
            _ => continue,
        };
        match value {
            Node::String(text) => *target = text.into_owned(),
            Node::Null => {}
            other => {
                return Err(format!(
                    "json: cannot unmarshal {} into Go struct field .{key} of type string",
                    other.kind()
                ));
            }
        }
    }
    let version = match api_version.as_str() {
        "" => default.group_version(),
        text => GroupVersion::parse(text).ok_or_else(|| format!("{BAD_VERSION}: {text}"))?,
    };
    Ok(version.kind(if kind.is_empty() { default.kind.clone() } else { kind }))
}

/// Why an object of another kind or version cannot be taken: the reason within a sentence, or a whole answer.
fn mismatch(sent: &GroupVersionKind, wanted: &GroupVersionKind) -> Result<Status, String> {
    if schema::by_gvk(&sent.group, &sent.version, &sent.kind).is_none() {
        return Err(not_registered(sent, SCHEME));
    }
    if sent.kind == wanted.kind && internal_package(sent) == internal_package(wanted) {
        return Ok(wrong_version(sent, wanted));
    }
    Err(format!(
        "converting ({}.{}) to ({}.{}): unknown conversion",
        sent.version,
        sent.kind,
        internal_package(wanted),
        wanted.kind
    ))
}

fn wrong_version(sent: &GroupVersionKind, wanted: &GroupVersionKind) -> Status {
    Status::bad_request(format!(
        "the API version in the data ({}) does not match the expected API version ({})",
        sent.api_version(),
        wanted.api_version()
    ))
}

fn not_registered(sent: &GroupVersionKind, scheme: &str) -> String {
    format!(
        "no kind {} is registered for version {} in scheme {}",
        go_quote(&sent.kind),
        go_quote(&sent.api_version()),
        go_quote(scheme)
    )
}

/// The package of a kind's internal version upstream: the first label of the group.
fn internal_package(kind: &GroupVersionKind) -> &str {
    match kind.group.as_str() {
        "" | "events.k8s.io" => "core",
        group => group.split('.').next().unwrap_or_default(),
    }
}

/// The beginning of a body: as text when it looks like JSON, else in hexadecimal.
fn summary(body: &[u8]) -> String {
    let (head, more) = if body.len() > SUMMARY_MAX {
        (&body[..SUMMARY_MAX], " ...")
    } else {
        (body, "")
    };
    match body.first() {
        None => "<empty>".to_owned(),
        Some(b'{') => format!("{}{more}", String::from_utf8_lossy(head)),
        Some(_) => {
            let mut text = String::with_capacity(head.len() * 2 + more.len());
            for byte in head {
                // Writing to a string cannot fail.
                let _ = write!(text, "{byte:02x}");
            }
            text + more
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config_map(text: &'static str) -> Result<Value, String> {
        let kind = GroupVersionKind::new("", "v1", "ConfigMap");
        let body = Bytes::from_static(text.as_bytes());
        object(&body, Format::Json, &kind, FieldValidation::Strict, &|_| {}).map_err(|status| status.message)
    }

    #[test]
    fn kinds_must_fit_and_may_be_left_out() {
        assert_eq!(config_map(r#"{"metadata":{"name":"a"}}"#).unwrap()["kind"], "ConfigMap");
        for (text, message) in [
            (
                r#"{"apiVersion":"v1","kind":"Secret"}"#,
                "Secret in version \"v1\" cannot be handled as a ConfigMap: converting (v1.Secret) to (core.ConfigMap): unknown conversion",
            ),
            (
                r#"{"apiVersion":"v2","kind":"ConfigMap"}"#,
                "ConfigMap in version \"v2\" cannot be handled as a ConfigMap: no kind \"ConfigMap\" is registered for version \"v2\" in scheme \"pkg/api/legacyscheme/scheme.go:30\"",
            ),
            (
                "",
                "the object provided is unrecognized (must be of type ConfigMap): couldn't get version/kind; json parse error: unexpected end of JSON input (<empty>)",
            ),
            (
                "[1,2]",
                "the object provided is unrecognized (must be of type ConfigMap): couldn't get version/kind; json parse error: json: cannot unmarshal array into Go value of type struct { APIVersion string \"json:\\\"apiVersion,omitempty\\\"\"; Kind string \"json:\\\"kind,omitempty\\\"\" } (5b312c325d)",
            ),
            (
                r#"{"data":{"a":1}}"#,
                "ConfigMap in version \"v1\" cannot be handled as a ConfigMap: json: cannot unmarshal number into Go struct field ConfigMap.data of type string",
            ),
            (
                r#"{"foo":1,"bar":{}}"#,
                "ConfigMap in version \"v1\" cannot be handled as a ConfigMap: strict decoding error: unknown field \"foo\", unknown field \"bar\"",
            ),
        ] {
            assert_eq!(config_map(text).unwrap_err(), message);
        }
    }

    #[test]
    fn options_belong_to_every_group() {
        let options = |text: &'static str| {
            delete_options(&Bytes::from_static(text.as_bytes()), Format::Json).map_err(|status| status.message)
        };
        assert_eq!(
            options(r#"{"apiVersion":"apps/v1","kind":"DeleteOptions","gracePeriodSeconds":3}"#).unwrap()["gracePeriodSeconds"],
            3
        );
        assert_eq!(
            options(r#"{"kind":"Pod","apiVersion":"v1"}"#).unwrap_err(),
            "no kind \"Pod\" is registered for version \"v1\" in scheme \"k8s.io/apimachinery/pkg/apis/meta/internalversion/scheme/register.go:27\""
        );
        assert_eq!(
            options(r#"{"gracePeriodSeconds":"x"}"#).unwrap_err(),
            "json: cannot unmarshal string into Go struct field DeleteOptions.gracePeriodSeconds of type int64"
        );
    }
}
