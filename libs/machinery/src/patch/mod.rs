//! The three patch formats that change an object in place, with upstream's results and error texts
//! (k8s.io/apiserver `pkg/endpoints/handlers/patch.go`). Server-side apply has its own module.

mod gofmt;
pub mod json;
mod kind;
pub mod merge;
mod order;
pub mod strategic;

use serde_json::{Map, Value};
use std::fmt;

pub use gofmt::{type_of as go_type, value as go_value};

use crate::field::{self, Path};
use crate::gvk::GroupKind;
use crate::schema::Type;
use crate::schema::decode::{self, DecodeError, Decoded};
use crate::schema::json::Node;
use crate::schema::tree::Tree;
use crate::status::{Details, Status};

/// What a patched object has to be.
#[derive(Clone, Copy)]
pub enum Target<'a> {
    /// Nothing in particular: the result stays as it is.
    Anything,
    /// An object of a type.
    Type(&'a Type),
    /// What a function makes of it.
    Custom(&'a Custom<'a>),
}

/// Decodes an object of a kind that is defined at run time, or says what is wrong with it.
pub type Custom<'a> = dyn Fn(Value) -> Result<Decoded, String> + 'a;

impl<'a> Target<'a> {
    fn ty(self) -> Option<&'a Type> {
        match self {
            Target::Type(ty) => Some(ty),
            Target::Anything | Target::Custom(_) => None,
        }
    }
}

impl<'a> From<Option<&'a Type>> for Target<'a> {
    fn from(ty: Option<&'a Type>) -> Self {
        ty.map_or(Target::Anything, Target::Type)
    }
}

/// What to do about unknown and repeated fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FieldValidation {
    /// Drop them without a word.
    Ignore,
    /// Drop them and say so.
    #[default]
    Warn,
    /// Refuse the request.
    Strict,
}

/// A patched object, decoded as its type.
#[derive(Debug, Clone, PartialEq)]
pub struct Patched {
    /// The object.
    pub value: Value,
    /// What to warn about.
    pub warnings: Vec<String>,
}

/// Why a patch was not applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// The patch cannot be understood.
    Malformed(String),
    /// It has too many operations.
    TooLarge(String),
    /// It does not fit the object; upstream does not tell why.
    Rejected(String),
    /// It makes an object that is none of its type.
    Invalid {
        /// What upstream shows: the patched object or the patch.
        shown: String,
        /// What is wrong with it.
        detail: String,
    },
    /// It contradicts itself, which upstream answers as if the server were to blame.
    Failed(String),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Malformed(text) | Error::TooLarge(text) | Error::Rejected(text) | Error::Failed(text) => {
                f.write_str(text)
            }
            Error::Invalid { detail, .. } => f.write_str(detail),
        }
    }
}

impl std::error::Error for Error {}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        match error {
            Error::Malformed(text) => Status::bad_request(text),
            Error::TooLarge(text) => Status::request_entity_too_large(text),
            Error::Rejected(_) => {
                let message = "the server rejected our request due to an error in our request";
                Status::failure(422, "Invalid", message).with_details(Details::default())
            }
            Error::Invalid { shown, detail } => {
                let error = field::Error::invalid(&Path::new("patch"), shown, detail);
                Status::invalid(&GroupKind::default(), "", &[error])
            }
            Error::Failed(text) => Status::failure(500, "", text),
        }
    }
}

/// Reads a patch that has to be a JSON object; repeated fields are reported.
fn read_object(patch: &[u8]) -> Result<(Map<String, Value>, Vec<String>), String> {
    let Decoded { value, strict } = decode::decode_untyped(patch).map_err(|e| e.to_string())?;
    match value {
        Value::Object(map) => Ok((map, strict)),
        Value::Null => Ok((Map::new(), strict)),
        other => Err(format!(
            "json: cannot unmarshal {} into Go value of type map[string]interface {{}}",
            decode::go_kind(&other)
        )),
    }
}

/// Decodes what a JSON or merge patch made. `found` is what strict validation already has to say about the patch; `shown` is
/// the text of the result in messages.
fn finish(
    live: &Value,
    patched: Tree,
    target: Target<'_>,
    found: Vec<String>,
    validation: FieldValidation,
    shown: &dyn Fn(&Tree) -> String,
) -> Result<Patched, Error> {
    let outcome = match target {
        Target::Anything | Target::Custom(_) => kind::Outcome::Same,
        Target::Type(_) => kind::check(live, &patched).map_err(|detail| Error::Invalid {
            shown: shown(&patched),
            detail,
        })?,
    };
    let (value, strict) = match target {
        _ if outcome == kind::Outcome::Unversioned => {
            let Decoded { value, strict } = kind::unversioned(live, &patched);
            (value, strict)
        }
        Target::Anything => (Node::from(&patched).into_value(), Vec::new()),
        Target::Custom(decode) => match decode(Node::from(&patched).into_exact_value()) {
            Ok(Decoded { value, strict }) => (value, strict),
            Err(detail) => {
                return Err(Error::Invalid {
                    shown: shown(&patched),
                    detail,
                });
            }
        },
        Target::Type(ty) => match decode::decode_tree(&patched, ty) {
            Ok(Decoded { value, strict }) => (value, strict),
            Err(DecodeError::Syntax(error)) => return Err(Error::Malformed(error.to_string())),
            Err(DecodeError::Type(detail)) => {
                return Err(Error::Invalid {
                    shown: shown(&patched),
                    detail,
                });
            }
        },
    };
    conclude(value, found, strict, validation, || shown(&patched))
}

/// Turns findings of strict validation into warnings or an error.
fn conclude(
    value: Value,
    mut found: Vec<String>,
    more: Vec<String>,
    validation: FieldValidation,
    shown: impl FnOnce() -> String,
) -> Result<Patched, Error> {
    found.extend(more);
    match validation {
        FieldValidation::Ignore => Ok(Patched {
            value,
            warnings: Vec::new(),
        }),
        FieldValidation::Strict if !found.is_empty() => Err(Error::Invalid {
            shown: shown(),
            detail: format!("strict decoding error: {}", found.join(", ")),
        }),
        FieldValidation::Warn | FieldValidation::Strict => Ok(Patched { value, warnings: found }),
    }
}
