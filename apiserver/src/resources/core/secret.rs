//! Secrets.

use super::super::certificates::pair;
use super::super::shared::cells;
use super::super::shared::pod_defaults::set_text;
use super::configmap::{MAX_BYTES, immutable_data};
use crate::registry::columns::{Column, Columns};
use crate::registry::resource::Resource;
use crate::registry::strategy::{Context, MetadataChecks, Strategy};
use machinery::field::{Error, ErrorList, Path};
use machinery::object::Selectable;
use machinery::schema::json::{Node, parse};
use machinery::{meta, names};
use serde_json::Value;

const TYPE: &str = "io.k8s.api.core.v1.Secret";
const SERVICE_ACCOUNT_NAME: &str = "kubernetes.io/service-account.name";

static COLUMNS: Columns = Columns {
    columns: &[
        cells::NAME,
        Column::of_field("Type", "string", TYPE, "type"),
        Column::of_field("Data", "string", TYPE, "data"),
        cells::AGE,
    ],
    cells: |obj, now| {
        let kind = meta::str_at(obj, &["type"]).unwrap_or_default();
        let count = meta::map_at(obj, &["data"]).map_or(0, serde_json::Map::len);
        vec![cells::name(obj), kind.into(), count.into(), cells::age(obj, now)]
    },
};

struct Secret;

/// Moves `stringData`, which is write-only, into `data` (upstream's conversion).
fn fold_string_data(obj: &mut Value) {
    use base64::Engine;
    if let Some(Value::Object(strings)) = obj.as_object_mut().and_then(|o| o.remove("stringData")) {
        let data = meta::map_mut(obj, &["data"]);
        for (key, value) in strings {
            let text = value.as_str().unwrap_or_default();
            data.insert(key, base64::engine::general_purpose::STANDARD.encode(text).into());
        }
    }
}

impl Strategy for Secret {
    fn default(&self, obj: &mut Value) {
        fold_string_data(obj);
        set_text(obj, &["type"], "Opaque");
    }

    fn validate(&self, _cx: &Context<'_>, obj: &Value) -> ErrorList {
        let mut errors = ErrorList::new();
        let data = meta::map_at(obj, &["data"]);
        let path = Path::new("data");
        let mut size = 0;
        for (key, value) in data.into_iter().flatten() {
            let complaints = names::config_map_key(key);
            errors.extend(
                complaints
                    .into_iter()
                    .map(|e| Error::invalid(&path.key(key), key.clone(), e)),
            );
            size += value.as_str().map_or(0, |text| text.len() / 4 * 3);
        }
        if size > MAX_BYTES {
            errors.push(Error::too_long(&path, MAX_BYTES));
        }
        errors.extend(validate_type(obj));
        errors
    }

    fn validate_update(&self, cx: &Context<'_>, new: &Value, old: &Value) -> ErrorList {
        let mut errors = ErrorList::new();
        if meta::at(new, &["type"]) != meta::at(old, &["type"]) {
            let value = meta::at(new, &["type"]).cloned().unwrap_or_default();
            errors.push(Error::invalid(&Path::new("type"), value, "field is immutable"));
        }
        errors.extend(immutable_data(new, old, &["data"]));
        errors.extend(self.validate(cx, new));
        errors
    }

    fn prepare_for_update(&self, _cx: &Context<'_>, new: &mut Value, old: &Value) {
        if meta::str_at(new, &["type"]).unwrap_or_default().is_empty() {
            meta::copy(new, old, &["type"]);
        }
    }

    fn metadata_checks_on_update(&self) -> MetadataChecks {
        MetadataChecks::UpdateThenWhole
    }

    fn warnings(&self, _cx: &Context<'_>, new: &Value, _old: Option<&Value>) -> Vec<String> {
        if meta::str_at(new, &["type"]) != Some("kubernetes.io/tls") {
            return Vec::new();
        }
        let [certificate, key] = ["tls.crt", "tls.key"].map(|name| decoded(new, name));
        pair::check(&certificate, &key).err().into_iter().collect()
    }
}

/// A value of the secret as text.
fn decoded(obj: &Value, key: &str) -> String {
    use base64::Engine;
    let encoded = meta::str_at(obj, &["data", key]).unwrap_or_default();
    let bytes = base64::engine::general_purpose::STANDARD
        .decode(encoded)
        .unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// What the well-known types demand (`ValidateSecret`).
fn validate_type(obj: &Value) -> ErrorList {
    use base64::Engine;
    let data = Path::new("data");
    let value = |key: &str| meta::str_at(obj, &["data", key]);
    let required = |keys: &[&str]| -> ErrorList {
        keys.iter()
            .filter(|k| value(k).is_none())
            .map(|k| Error::required(&data.key(k), ""))
            .collect()
    };
    let json = |key: &str| -> ErrorList {
        let Some(text) = value(key) else {
            return vec![Error::required(&data.key(key), "")];
        };
        let decoded = base64::engine::general_purpose::STANDARD
            .decode(text)
            .unwrap_or_default();
        let why = match parse(&decoded) {
            Ok(Node::Object(_) | Node::Null) => return ErrorList::new(),
            Ok(other) => format!(
                "json: cannot unmarshal {} into Go value of type map[string]interface {{}}",
                other.kind()
            ),
            Err(error) => error.to_string(),
        };
        vec![Error::invalid(&data.key(key), "<secret contents redacted>", why)]
    };
    match meta::str_at(obj, &["type"]).unwrap_or_default() {
        "kubernetes.io/service-account-token" => {
            let account = meta::str_at(obj, &["metadata", "annotations", SERVICE_ACCOUNT_NAME]).unwrap_or_default();
            if account.is_empty() {
                let path = Path::new("metadata").child("annotations").key(SERVICE_ACCOUNT_NAME);
                return vec![Error::required(&path, "")];
            }
            ErrorList::new()
        }
        "kubernetes.io/dockercfg" => json(".dockercfg"),
        "kubernetes.io/dockerconfigjson" => json(".dockerconfigjson"),
        "kubernetes.io/basic-auth" if value("username").is_none() && value("password").is_none() => {
            required(&["username", "password"])
        }
        "kubernetes.io/ssh-auth" if value("ssh-privatekey").is_some_and(str::is_empty) => {
            vec![Error::required(&data.key("ssh-privatekey"), "")]
        }
        "kubernetes.io/ssh-auth" => required(&["ssh-privatekey"]),
        "kubernetes.io/tls" => required(&["tls.crt", "tls.key"]),
        _ => ErrorList::new(),
    }
}

pub(super) fn resource() -> Resource {
    Resource {
        selectable_fields: Selectable::Builtin(&[("type", |obj| {
            meta::str_at(obj, &["type"]).unwrap_or_default().to_owned()
        })]),
        ..Resource::namespaced_kind(("", "v1", "Secret"), ("secrets", "secret"), TYPE, Secret, &COLUMNS)
    }
}
