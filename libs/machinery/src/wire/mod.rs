//! `application/vnd.kubernetes.protobuf`: built-in objects between their JSON form and protobuf, driven by the schema
//! (apimachinery `pkg/runtime/serializer/protobuf` and the generated.proto files).

mod decode;
mod encode;
mod envelope;
mod list;
pub(crate) mod raw;

use std::fmt;

use serde_json::Value;

use crate::gvk::GroupVersion;
use crate::schema::Type;

pub use envelope::{Envelope, MAGIC, watch_frame};
pub use list::{encode_item, encode_list};

/// Why an object has no protobuf form, or bytes are none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// The type has no protobuf form.
    Unsupported(String),
    /// The bytes are not what they should be.
    Malformed(String),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Unsupported(name) => {
                write!(
                    f,
                    "object {name} does not implement the protobuf marshalling interface and cannot be encoded to a protobuf message"
                )
            }
            Error::Malformed(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for Error {}

impl From<raw::Malformed> for Error {
    fn from(error: raw::Malformed) -> Self {
        Error::Malformed(error.to_string())
    }
}

/// Encodes an object of type `ty` with its envelope. `object` is decoded, that is in its canonical form.
///
/// # Errors
/// When the type has no protobuf form.
pub fn encode(object: &Value, ty: &Type) -> Result<Vec<u8>, Error> {
    let version = object.get("apiVersion").and_then(Value::as_str).unwrap_or_default();
    envelope(object, version, ty)
}

/// The same for an object that may leave its version to the reader.
///
/// # Errors
/// When the type has no protobuf form.
pub fn encode_as(object: &Value, version: &GroupVersion, ty: &Type) -> Result<Vec<u8>, Error> {
    envelope(object, &version.to_string(), ty)
}

fn envelope(object: &Value, version: &str, ty: &Type) -> Result<Vec<u8>, Error> {
    supported(ty)?;
    let kind = object.get("kind").and_then(Value::as_str).unwrap_or_default();
    let message = encode::message(object, ty);
    Ok(Envelope {
        api_version: version.into(),
        kind: kind.into(),
        raw: message.into(),
    }
    .to_bytes())
}

/// Refuses types that have no protobuf form.
fn supported(ty: &Type) -> Result<(), Error> {
    if ty.message {
        Ok(())
    } else {
        Err(Error::Unsupported(ty.go_type().to_owned()))
    }
}

/// Decodes the message in an envelope as type `ty`, to the same form as JSON is decoded to. The envelope's version and
/// kind are put into the object.
///
/// # Errors
/// When the type has no protobuf form or the bytes are no message of it.
pub fn decode(envelope: &Envelope<'_>, ty: &Type) -> Result<Value, Error> {
    supported(ty)?;
    let mut object = decode::message(&envelope.raw, ty)?;
    for (name, value) in [("apiVersion", &envelope.api_version), ("kind", &envelope.kind)] {
        if ty.property(name).is_some() && !value.is_empty() {
            object[name] = Value::from(&**value);
        }
    }
    match crate::schema::decode::decode_value(&object, ty) {
        Ok(decoded) => Ok(decoded.value),
        Err(error) => Err(Error::Malformed(error.to_string())),
    }
}

#[cfg(test)]
mod tests;
