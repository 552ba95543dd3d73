//! The fields that the scale subresource stands for (`customResourceValidator.ValidateScaleSpec` and `ValidateScaleStatus`).

use machinery::field::{Error, ErrorList, Path};
use machinery::{meta, patch};
use serde_json::Value;

/// Where replicas and selector are, as paths that begin with a dot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scale {
    /// Of the replicas that are wanted.
    pub spec_replicas: Box<str>,
    /// Of the replicas that there are.
    pub status_replicas: Box<str>,
    /// Of the selector, as text.
    pub label_selector: Option<Box<str>>,
}

impl Scale {
    /// Reads `subresources.scale`.
    #[must_use]
    pub fn parse(scale: &Value) -> Scale {
        let text = |field| meta::str_at(scale, &[field]);
        Scale {
            spec_replicas: text("specReplicasPath").unwrap_or_default().into(),
            status_replicas: text("statusReplicasPath").unwrap_or_default().into(),
            label_selector: text("labelSelectorPath").map(Box::from),
        }
    }

    /// What is wrong with the replicas that are wanted.
    #[must_use]
    pub fn validate_spec(&self, object: &Value) -> ErrorList {
        replicas(object, &self.spec_replicas).into_iter().collect()
    }

    /// What is wrong with the replicas that there are, and with the selector.
    #[must_use]
    pub fn validate_status(&self, object: &Value) -> ErrorList {
        let mut errors: ErrorList = replicas(object, &self.status_replicas).into_iter().collect();
        if let Some(path) = &self.label_selector {
            let found = nested(object, path).and_then(|value| match value {
                None | Some(Value::String(_)) => Ok(()),
                Some(other) => Err(mistyped(path, other, "string")),
            });
            errors.extend(found.err().map(|why| Error::invalid(&Path::new(path), "", why)));
        }
        errors
    }
}

fn mistyped(path: &str, value: &Value, wanted: &str) -> String {
    let of = match value {
        Value::Null => "<nil>",
        value => patch::go_type(value),
    };
    let path = path.strip_prefix('.').unwrap_or(path);
    format!(
        ".{path} accessor error: {} is of the type {of}, expected {wanted}",
        patch::go_value(value)
    )
}

/// The value at a path (`unstructured.NestedFieldNoCopy`); an error when something above it is no object.
fn nested<'v>(object: &'v Value, path: &str) -> Result<Option<&'v Value>, String> {
    let path = path.strip_prefix('.').unwrap_or(path);
    let mut value = object;
    let mut end = 0;
    for name in path.split('.') {
        end += name.len() + 1;
        match value {
            Value::Null => return Ok(None),
            Value::Object(fields) => match fields.get(name) {
                Some(found) => value = found,
                None => return Ok(None),
            },
            other => {
                let above = path.get(..end - 1).unwrap_or(path);
                return Err(mistyped(above, other, "map[string]interface{}"));
            }
        }
    }
    Ok(Some(value))
}

fn replicas(object: &Value, path: &str) -> Option<Error> {
    let at = Path::new(path);
    let found = nested(object, path).and_then(|value| match value {
        None => Ok(0),
        Some(value) => value.as_i64().ok_or_else(|| mistyped(path, value, "int64")),
    });
    let most = i64::from(i32::MAX);
    match found {
        Err(why) => Some(Error::invalid(&at, 0, why)),
        Ok(count) if count < 0 => Some(Error::invalid(&at, count, "should be a non-negative integer")),
        Ok(count) if count > most => {
            let detail = format!("should be less than or equal to {most}");
            Some(Error::invalid(&at, count, detail))
        }
        Ok(_) => None,
    }
}
