//! From one version of a kind into another: by another name, or by asking a webhook
//! (apiextensions-apiserver `pkg/apiserver/conversion`).

use super::definition::Definition;
use crate::webhook::{Client, ClientConfig};
use machinery::meta;
use machinery::status::Status;
use serde_json::{Map, Value, json};
use std::time::Duration;

/// How long a webhook may take.
const TIMEOUT: Duration = Duration::from_secs(30);

/// What converts the objects of a kind.
pub(super) enum Converter {
    /// The versions differ in nothing but their name.
    Rename,
    /// Somebody else knows.
    Webhook(Box<Webhook>),
}

/// A webhook that converts.
pub(super) struct Webhook {
    client: Client,
    config: ClientConfig,
    /// The version of reviews that it understands; `None` when this server speaks none of them.
    review: Option<&'static str>,
}

impl Converter {
    pub(super) fn of(definition: &Definition, client: &Client) -> Self {
        let conversion = &definition.conversion;
        if meta::str_at(conversion, &["strategy"]) != Some("Webhook") {
            return Converter::Rename;
        }
        let config = meta::at(conversion, &["webhook", "clientConfig"]).unwrap_or(&Value::Null);
        let understood = meta::list_at(conversion, &["webhook", "conversionReviewVersions"]);
        let mut understood = understood.iter().filter_map(Value::as_str);
        let review = understood.find_map(|version| ["v1", "v1beta1"].into_iter().find(|known| *known == version));
        Converter::Webhook(Box::new(Webhook {
            client: client.clone(),
            config: ClientConfig::of(config),
            review,
        }))
    }

    /// The objects in the version `to`, in their order.
    ///
    /// # Errors
    /// 500 when the webhook cannot be reached or answers something else.
    pub(super) async fn convert(&self, mut objects: Vec<Value>, to: &str) -> Result<Vec<Value>, Status> {
        let is_other = |object: &Value| object["apiVersion"] != to;
        match self {
            Converter::Rename => {
                objects
                    .iter_mut()
                    .for_each(|object| meta::set(object, &["apiVersion"], to));
            }
            Converter::Webhook(webhook) => {
                let others: Vec<&Value> = objects.iter().filter(|object| is_other(object)).collect();
                let Some(first) = others.first() else {
                    return Ok(objects);
                };
                let failed = |why: String| {
                    let kind = kind_text(first);
                    Status::failure(500, "", format!("conversion webhook for {kind} failed: {why}"))
                };
                let converted = webhook.ask(&others, to).await.map_err(failed)?;
                let mut converted = converted.into_iter();
                for object in objects.iter_mut().filter(|object| is_other(object)) {
                    if let Some(new) = converted.next() {
                        *object = new;
                    }
                }
            }
        }
        Ok(objects)
    }
}

/// Group, version and kind as Go prints them.
fn kind_text(object: &Value) -> String {
    let text = |field: &str| meta::str_at(object, &[field]).unwrap_or_default();
    format!("{}, Kind={}", text("apiVersion"), text("kind"))
}

impl Webhook {
    async fn ask(&self, objects: &[&Value], to: &str) -> Result<Vec<Value>, String> {
        let Some(version) = self.review else {
            return Err("no supported conversion review versions".to_owned());
        };
        let uid = uuid::Uuid::new_v4().to_string();
        let review = json!({
            "kind": "ConversionReview",
            "apiVersion": format!("apiextensions.k8s.io/{version}"),
            "request": {"uid": uid, "desiredAPIVersion": to, "objects": objects},
        });
        let answer = self.client.call(&self.config, Some(TIMEOUT), review.to_string()).await;
        let answer = answer.map_err(|error| error.to_string())?;
        let converted = converted_objects(&answer, version, &uid)?;
        if converted.len() != objects.len() {
            return Err(format!(
                "returned {} objects, expected {}",
                converted.len(),
                objects.len()
            ));
        }
        let checked = objects.iter().zip(converted).enumerate();
        checked
            .map(|(i, (object, converted))| check(i, object, converted, to))
            .collect()
    }
}

/// The objects of an answer (`getConvertedObjectsFromResponse`).
fn converted_objects(answer: &Value, version: &str, uid: &str) -> Result<Vec<Value>, String> {
    let text = |path: &[&str]| meta::str_at(answer, path).unwrap_or_default();
    let wanted = format!("apiextensions.k8s.io/{version}");
    if version == "v1" && (text(&["kind"]), text(&["apiVersion"])) != ("ConversionReview", wanted.as_str()) {
        let found = kind_text(answer);
        return Err(format!(
            "expected webhook response of {wanted}, Kind=ConversionReview, got {found}"
        ));
    }
    if !answer.get("response").is_some_and(Value::is_object) {
        return Err("no response provided".to_owned());
    }
    let answered = text(&["response", "uid"]);
    if version == "v1" && answered != uid {
        return Err(format!("expected response.uid=\"{uid}\", got \"{answered}\""));
    }
    let status = text(&["response", "result", "status"]);
    if status != "Success" {
        return Err(match text(&["response", "result", "message"]) {
            "" => format!("response.result.status was '{status}', not 'Success'"),
            message => message.to_owned(),
        });
    }
    Ok(meta::list_at(answer, &["response", "convertedObjects"]).to_vec())
}

/// A converted object, with the metadata of the original but for labels and annotations (`restoreObjectMeta`).
fn check(i: usize, original: &Value, mut converted: Value, to: &str) -> Result<Value, String> {
    let text = |object: &Value, field: &str| meta::str_at(object, &[field]).unwrap_or_default().to_owned();
    let invalid = |why: String| Err(format!("returned invalid converted object at index {i}: {why}"));
    let (version, kind) = (text(&converted, "apiVersion"), text(&converted, "kind"));
    if version != to {
        return invalid(format!("invalid groupVersion (expected {to}, received {version})"));
    }
    let wanted = text(original, "kind");
    if kind != wanted {
        return invalid(format!("invalid kind (expected {wanted}, received {kind})"));
    }
    let mut metadata = original.get("metadata").cloned().unwrap_or_default();
    for field in ["labels", "annotations"] {
        let given = meta::at(&converted, &["metadata", field]).filter(|given| !given.is_null());
        match given {
            Some(Value::Object(given)) if given.values().all(Value::is_string) => {
                meta::set(&mut metadata, &[field], Value::Object(Map::clone(given)));
            }
            Some(_) => return invalid(format!("invalid metadata.{field}: expected a map of strings")),
            None => drop(meta::remove(&mut metadata, &[field])),
        }
    }
    meta::set(&mut converted, &["metadata"], metadata);
    Ok(converted)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(change: impl Fn(&mut Value)) -> Value {
        let mut answer = json!({"kind": "ConversionReview", "apiVersion": "apiextensions.k8s.io/v1", "response": {
            "uid": "u", "result": {"status": "Success"}, "convertedObjects": [{"kind": "A"}]}});
        change(&mut answer);
        answer
    }

    #[test]
    fn answers_have_to_be_meant() {
        assert_eq!(converted_objects(&answer(|_| {}), "v1", "u").unwrap().len(), 1);
        for (answer, why) in [
            (
                answer(|a| a["kind"] = json!("Other")),
                "expected webhook response of apiextensions.k8s.io/v1, Kind=ConversionReview, got apiextensions.k8s.io/v1, Kind=Other",
            ),
            (answer(|a| a["response"] = json!(null)), "no response provided"),
            (
                answer(|a| a["response"]["uid"] = json!("x")),
                r#"expected response.uid="u", got "x""#,
            ),
            (
                answer(|a| a["response"]["result"] = json!({"status": "Failure", "message": "no"})),
                "no",
            ),
            (
                answer(|a| a["response"]["result"] = json!({})),
                "response.result.status was '', not 'Success'",
            ),
        ] {
            assert_eq!(converted_objects(&answer, "v1", "u").unwrap_err(), why);
        }
        let former = answer(|a| a["response"]["uid"] = json!(""));
        assert!(converted_objects(&former, "v1beta1", "u").is_ok());
    }

    #[test]
    fn a_webhook_changes_no_more_metadata_than_labels_and_annotations() {
        let original = json!({"apiVersion": "g/v1", "kind": "A", "metadata": {"name": "n", "labels": {"a": "1"}, "annotations": {"x": "y"}}});
        let converted =
            json!({"apiVersion": "g/v2", "kind": "A", "metadata": {"name": "other", "labels": {"a": "2"}}, "spec": 1});
        assert_eq!(
            check(0, &original, converted.clone(), "g/v2").unwrap(),
            json!({"apiVersion": "g/v2", "kind": "A", "metadata": {"name": "n", "labels": {"a": "2"}}, "spec": 1})
        );
        assert!(
            check(0, &original, converted.clone(), "g/v3")
                .unwrap_err()
                .contains("invalid groupVersion")
        );
        let mut other = converted;
        other["kind"] = json!("B");
        assert!(
            check(0, &original, other, "g/v2")
                .unwrap_err()
                .contains("invalid kind (expected A, received B)")
        );
    }
}
