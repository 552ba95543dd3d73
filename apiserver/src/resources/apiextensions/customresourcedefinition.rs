//! CustomResourceDefinitions (apiextensions-apiserver `pkg/registry/customresourcedefinition`).

use super::super::shared::checks::text;
use super::super::shared::{cells, generation, webhooks};
use super::approval::{self, Approval};
use super::{internal, names, schema, v1beta1, versions};
use crate::registry::resource::Resource;
use crate::registry::strategy::{Context, ControlledDeletion, MetadataChecks, Strategy};
use crate::resources::shared::checks::immutable;
use crate::resources::shared::status::Status;
use machinery::field::{Error, ErrorList, Path, go_quote};
use machinery::meta;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use structural::formats;

/// The finalizer that the server itself removes, when no custom resources are left.
pub(crate) const CLEANUP: &str = "customresourcecleanup.apiextensions.k8s.io";

fn default(obj: &mut Value) {
    if obj.get("spec").is_some_and(Value::is_object) {
        let kind = text(obj, &["spec", "names", "kind"]).to_owned();
        for (field, name) in [("singular", kind.to_lowercase()), ("listKind", format!("{kind}List"))] {
            if !kind.is_empty() && text(obj, &["spec", "names", field]).is_empty() {
                meta::set(obj, &["spec", "names", field], name);
            }
        }
        meta::set_default(obj, &["spec", "conversion"], json!({"strategy": "None"}));
        if let Some(client) = obj.pointer_mut("/spec/conversion/webhook/clientConfig") {
            webhooks::default_client(client);
        }
    }
    if meta::list_at(obj, &["status", "storedVersions"]).is_empty() {
        store_versions(obj);
    }
}

/// The version that is stored from now on is one of those that are found in the store.
fn store_versions(obj: &mut Value) {
    let versions = meta::list_at(obj, &["spec", "versions"]);
    let Some(stored) = versions.iter().find(|version| version["storage"] == true) else {
        return;
    };
    let name = stored["name"].clone();
    let mut stored = meta::list_at(obj, &["status", "storedVersions"]).to_vec();
    if !stored.contains(&name) {
        stored.push(name);
        meta::set(obj, &["status", "storedVersions"], stored);
    }
}

/// A definition goes after its custom resources.
fn begin_deletion(obj: &mut Value, now: &str) {
    let mut finalizers = meta::list_at(obj, &["metadata", "finalizers"]).to_vec();
    if !finalizers.iter().any(|finalizer| finalizer == CLEANUP) {
        finalizers.push(CLEANUP.into());
        meta::set(obj, &["metadata", "finalizers"], finalizers);
    }
    let mut conditions = meta::list_at(obj, &["status", "conditions"]).to_vec();
    conditions.retain(|condition| condition["type"] != "Terminating");
    conditions.push(json!({
        "type": "Terminating",
        "status": "True",
        "reason": "InstanceDeletionPending",
        "message": "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon",
        "lastTransitionTime": now,
    }));
    meta::set(obj, &["status", "conditions"], conditions);
}

struct CustomResourceDefinition;

impl Strategy for CustomResourceDefinition {
    fn default(&self, obj: &mut Value) {
        default(obj);
    }

    fn prepare_for_create(&self, _cx: &Context<'_>, obj: &mut Value) {
        let status = json!({"acceptedNames": {"plural": "", "kind": ""}, "conditions": null, "storedVersions": []});
        meta::set(obj, &["status"], status);
        store_versions(obj);
        generation::first(obj);
    }

    fn prepare_for_update(&self, _cx: &Context<'_>, new: &mut Value, old: &Value) {
        meta::copy(new, old, &["status"]);
        store_versions(new);
        generation::follow(new, old, &[&["spec"]]);
    }

    fn validate(&self, _cx: &Context<'_>, obj: &Value) -> ErrorList {
        validate(obj, None)
    }

    fn validate_update(&self, _cx: &Context<'_>, new: &Value, old: &Value) -> ErrorList {
        validate(new, Some(old))
    }

    fn warnings(&self, _cx: &Context<'_>, new: &Value, old: Option<&Value>) -> Vec<String> {
        let old: BTreeSet<String> = old.into_iter().flat_map(warnings).collect();
        let mut new = warnings(new);
        new.retain(|warning| !old.contains(warning));
        new
    }

    fn metadata_checks_on_update(&self) -> MetadataChecks {
        MetadataChecks::Update
    }

    fn allow_unconditional_update(&self) -> bool {
        false
    }

    fn controlled_deletion(&self) -> Option<ControlledDeletion> {
        Some(ControlledDeletion {
            mark: begin_deletion,
            notes_propagation: false,
        })
    }

    fn reset_fields(&self) -> &'static [&'static str] {
        &["status"]
    }
}

/// `getNonScalarListTypeSetWarnings`, `getUnrecognizedFormatsInCRD`.
fn warnings(obj: &Value) -> Vec<String> {
    let mut found = BTreeSet::new();
    for version in meta::list_at(obj, &["spec", "versions"]) {
        let Some(root) = meta::at(version, &["schema", "openAPIV3Schema"]) else {
            continue;
        };
        schema::each(root, &mut |schema| {
            let (kind, format) = (text(schema, &["type"]), text(schema, &["format"]));
            if !format.is_empty() && !formats::is_known(kind, format) {
                found.insert(format!("unrecognized format {}", go_quote(format)));
            }
            let item = text(schema, &["items", "type"]);
            if text(schema, &["x-kubernetes-list-type"]) == "set" && ["array", "object"].contains(&item) {
                found.insert(format!(
                    "x-kubernetes-list-type: set for items of type \"{item}\" is not supported by server-side apply or CEL validation rules"
                ));
            }
        });
    }
    found.into_iter().collect()
}

/// `ValidateCustomResourceDefinition`, `ValidateCustomResourceDefinitionUpdate`.
fn validate(new: &Value, old: Option<&Value>) -> ErrorList {
    let path = Path::new("spec");
    let spec = meta::at(new, &["spec"]).unwrap_or(&Value::Null);
    let mut errors = ErrorList::new();
    let wanted = format!("{}.{}", text(spec, &["names", "plural"]), text(spec, &["group"]));
    if old.is_none() && meta::name(new) != wanted {
        let detail = r#"must be spec.names.plural+"."+spec.group"#;
        errors.push(Error::invalid(
            &Path::new("metadata").child("name"),
            meta::name(new),
            detail,
        ));
    }
    let old_spec = old.and_then(|old| old.get("spec"));
    let established = old.is_some_and(|old| condition_holds(old, "Established"));
    let (new_form, old_form) = (internal::spec(spec), old_spec.map(internal::spec));
    errors.extend(versions::validate(&new_form, old_form.as_ref(), &path));
    if let Some(old) = old_spec {
        let fixed: &[&[&str]] = if established {
            &[&["scope"], &["names", "kind"], &["group"], &["names", "plural"]]
        } else {
            &[&["group"], &["names", "plural"]]
        };
        for field in fixed {
            let path = field.iter().fold(path.clone(), |path, part| path.child(part));
            errors.extend(immutable(meta::at(spec, field), meta::at(old, field), &path));
        }
    }
    errors.extend(validate_status(new));
    errors.extend(stored_versions(new));
    errors.extend(approve(new, old));
    let preserves = |spec: &Value| meta::bool_at(spec, &["preserveUnknownFields"]) == Some(true);
    if preserves(spec) && !old_spec.is_some_and(preserves) {
        let detail =
            "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead";
        errors.push(Error::invalid(&path.child("preserveUnknownFields"), true, detail));
    }
    errors
}

fn condition_holds(obj: &Value, kind: &str) -> bool {
    let conditions = meta::list_at(obj, &["status", "conditions"]);
    conditions.iter().any(|c| c["type"] == kind && c["status"] == "True")
}

/// `ValidateCustomResourceDefinitionStatus`.
fn validate_status(obj: &Value) -> ErrorList {
    let accepted = meta::at(obj, &["status", "acceptedNames"]).unwrap_or(&Value::Null);
    names::validate(accepted, &Path::new("status").child("acceptedNames"))
}

/// `ValidateCustomResourceDefinitionStoredVersions`.
fn stored_versions(obj: &Value) -> ErrorList {
    let path = Path::new("status").child("storedVersions");
    let stored = meta::list_at(obj, &["status", "storedVersions"]);
    if stored.is_empty() {
        return vec![Error::invalid(
            &path,
            Value::Null,
            "must have at least one stored version",
        )];
    }
    let versions = meta::list_at(obj, &["spec", "versions"]);
    let mut errors = ErrorList::new();
    for version in versions.iter().filter(|version| version["storage"] == true) {
        if !stored.contains(&version["name"]) {
            let detail = format!("must have the storage version {}", text(version, &["name"]));
            errors.push(Error::invalid(&path, stored.to_vec(), detail));
        }
    }
    for (i, name) in stored.iter().enumerate() {
        if !versions.iter().any(|version| version["name"] == *name) {
            let shown = name.as_str().unwrap_or_default();
            let detail = format!(
                "missing from spec.versions; {shown} was previously a storage version, and must remain in spec.versions until a storage migration ensures no data remains persisted in {shown} and removes {shown} from status.storedVersions"
            );
            errors.push(Error::invalid(&path.index(i), name.clone(), detail));
        }
    }
    errors
}

/// `validateAPIApproval`: the groups of the community are not extended by accident.
fn approve(new: &Value, old: Option<&Value>) -> Option<Error> {
    let (state, reason) = approval::state(new);
    if !approval::is_protected(text(new, &["spec", "group"])) || old.is_some_and(|old| approval::state(old).0 == state)
    {
        return None;
    }
    let path = Path::new("metadata").child("annotations").key(approval::ANNOTATION);
    match state {
        Approval::Approved | Approval::Bypassed => None,
        Approval::Missing => Some(Error::required(&path, reason)),
        Approval::Invalid => {
            let given = text(new, &["metadata", "annotations", approval::ANNOTATION]);
            Some(Error::invalid(&path, given, reason))
        }
    }
}

pub(super) fn resource() -> Resource {
    let status = Status {
        validate: |new, _| validate_status(new),
        ..Status::plain(default)
    };
    let kind = Resource::cluster_kind(
        ("apiextensions.k8s.io", "v1", "CustomResourceDefinition"),
        ("customresourcedefinitions", "customresourcedefinition"),
        "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinition",
        CustomResourceDefinition,
        &cells::NAME_AND_CREATION,
    );
    Resource {
        short_names: ["crd", "crds"].into(),
        categories: ["api-extensions"].into(),
        storage_key: "apiextensions.k8s.io/customresourcedefinitions".into(),
        foreign: &[("v1beta1", v1beta1::to_v1)],
        ..kind.with_plain_status(status)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn definition(change: impl Fn(&mut Value)) -> Value {
        let mut obj = json!({"metadata": {"name": "widgets.example.com"}, "spec": {
            "group": "example.com",
            "scope": "Namespaced",
            "names": {"plural": "widgets", "kind": "Widget"},
            "versions": [{"name": "v1", "served": true, "storage": true,
                "schema": {"openAPIV3Schema": {"type": "object"}}}],
        }});
        change(&mut obj);
        default(&mut obj);
        obj
    }

    fn texts(obj: &Value) -> Vec<String> {
        validate(obj, None).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn names_follow_from_the_kind() {
        let obj = definition(|_| {});
        assert_eq!(obj["spec"]["names"]["singular"], "widget");
        assert_eq!(obj["spec"]["names"]["listKind"], "WidgetList");
        assert_eq!(obj["spec"]["conversion"], json!({"strategy": "None"}));
        assert_eq!(obj["status"]["storedVersions"], json!(["v1"]));
        assert_eq!(texts(&obj), Vec::<String>::new());
    }

    #[test]
    fn what_is_wrong_with_a_definition_is_said_in_upstreams_words() {
        for (obj, expected) in [
            (
                definition(|obj| obj["metadata"]["name"] = json!("x")),
                vec![r#"metadata.name: Invalid value: "x": must be spec.names.plural+"."+spec.group"#],
            ),
            (
                definition(|obj| obj["spec"]["preserveUnknownFields"] = json!(true)),
                vec![
                    "spec.preserveUnknownFields: Invalid value: true: cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead",
                ],
            ),
            (
                definition(|obj| {
                    obj["spec"]["versions"][0].as_object_mut().unwrap().remove("schema");
                }),
                vec!["spec.versions[0].schema.openAPIV3Schema: Required value"],
            ),
            (
                definition(|obj| {
                    obj["spec"]["group"] = json!("x.k8s.io");
                    obj["metadata"]["name"] = json!("widgets.x.k8s.io");
                }),
                vec![
                    "metadata.annotations[api-approved.kubernetes.io]: Required value: protected groups must have approval annotation \"api-approved.kubernetes.io\", see https://github.com/kubernetes/enhancements/pull/1111",
                ],
            ),
        ] {
            assert_eq!(texts(&obj), expected, "{obj}");
        }
    }

    #[test]
    fn a_definition_stays_until_its_custom_resources_are_gone() {
        let mut obj = definition(|_| {});
        begin_deletion(&mut obj, "t");
        let once = obj.clone();
        begin_deletion(&mut obj, "t");
        assert_eq!(obj, once);
        assert_eq!(obj["metadata"]["finalizers"], json!([CLEANUP]));
        assert_eq!(obj["status"]["conditions"][0]["reason"], "InstanceDeletionPending");
    }

    #[test]
    fn group_and_names_stay() {
        let old = definition(|_| {});
        let mut new = old.clone();
        new["spec"]["names"]["plural"] = json!("others");
        let errors = validate(&new, Some(&old));
        assert_eq!(
            errors[0].to_string(),
            r#"spec.names.plural: Invalid value: "others": field is immutable"#
        );
    }

    #[test]
    fn versions_that_were_stored_stay() {
        let mut obj = definition(|_| {});
        obj["status"]["storedVersions"] = json!(["v0", "v1"]);
        assert!(texts(&obj)[0].starts_with("status.storedVersions[0]: Invalid value: \"v0\": missing from"));
    }
}
