//! The hooks of custom resources (apiextensions-apiserver `pkg/registry/customresource/{strategy,status_strategy,validator}.go`).

use super::kind::Kind;
use crate::registry::object_meta::{self, strings};
use crate::registry::strategy::{Context, MetadataChecks, Strategy};
use machinery::field::{Error, ErrorList, Path, go_quote};
use machinery::gvk::GroupVersionKind;
use machinery::{meta, names};
use serde_json::Value;
use std::collections::BTreeSet;
use std::sync::Arc;
use structural::Validator;

/// Finalizers that need not say whose they are.
const STANDARD_FINALIZERS: [&str; 3] = ["orphan", "foregroundDeletion", "kubernetes"];

/// The hooks of one version.
#[derive(Clone)]
pub(super) struct CustomResource {
    pub(super) kind: Arc<Kind>,
    pub(super) place: usize,
    pub(super) gvk: GroupVersionKind,
    pub(super) namespaced: bool,
    /// Whether the status has a subresource of its own.
    pub(super) has_status: bool,
}

/// The hooks of its status.
pub(super) struct Status(pub(super) CustomResource);

impl CustomResource {
    fn check_kind(&self, obj: &Value) -> ErrorList {
        let wanted = [("kind", self.gvk.kind.clone()), ("apiVersion", self.gvk.api_version())];
        let wrong = wanted.into_iter().filter_map(|(field, wanted)| {
            let given = meta::str_at(obj, &[field]).unwrap_or_default();
            (given != wanted).then(|| Error::invalid(&Path::new(field), given, format!("must be {wanted}")))
        });
        wrong.collect()
    }

    /// What rules have against the object, but had before.
    fn forgiven(&self, new: &Value, old: Option<&Value>) -> Vec<String> {
        let compiled = self.kind.compiled(self.place);
        let found = compiled
            .zip(old)
            .map(|(compiled, old)| compiled.validator.warnings(new, old));
        found.unwrap_or_default()
    }

    /// What `check` finds besides what is wrong with the metadata, which it has to know.
    fn besides(
        &self,
        metadata: ErrorList,
        check: impl FnOnce(&Validator, ErrorList) -> structural::Findings,
    ) -> ErrorList {
        let Some(compiled) = self.kind.compiled(self.place) else {
            return ErrorList::new();
        };
        let known = metadata.len();
        let mut errors = check(&compiled.validator, metadata).errors;
        errors.drain(..known.min(errors.len()));
        errors
    }
}

/// What is wrong with the metadata of objects within objects.
fn embedded_metadata(object: &Value, namespaced: bool) -> ErrorList {
    object_meta::validate(object, namespaced, &names::path_segment)
}

impl Strategy for CustomResource {
    fn default(&self, obj: &mut Value) {
        self.kind.default(obj);
    }

    fn check_kind(&self, obj: &Value) -> ErrorList {
        self.check_kind(obj)
    }

    fn prepare_for_create(&self, _cx: &Context<'_>, obj: &mut Value) {
        if self.has_status {
            meta::remove(obj, &["status"]);
        }
        meta::set(obj, &["metadata", "generation"], 1);
    }

    fn prepare_for_update(&self, _cx: &Context<'_>, new: &mut Value, old: &Value) {
        if self.has_status {
            meta::copy(new, old, &["status"]);
        }
        if !same_but_for_metadata(new, old) {
            let generation = meta::i64_at(old, &["metadata", "generation"]).unwrap_or_default();
            meta::set(new, &["metadata", "generation"], generation + 1);
        }
    }

    fn validate(&self, _cx: &Context<'_>, obj: &Value) -> ErrorList {
        let metadata = object_meta::validate(obj, self.namespaced, &names::dns1123_subdomain_for);
        self.besides(metadata, |validator, found| {
            validator.create(obj, &embedded_metadata, found)
        })
    }

    fn validate_update(&self, _cx: &Context<'_>, new: &Value, old: &Value) -> ErrorList {
        let metadata = object_meta::validate_update(new, old);
        self.besides(metadata, |validator, found| {
            validator.update(new, old, &embedded_metadata, found)
        })
    }

    fn metadata_checks_on_update(&self) -> MetadataChecks {
        MetadataChecks::Update
    }

    fn warnings(&self, _cx: &Context<'_>, new: &Value, old: Option<&Value>) -> Vec<String> {
        let before: BTreeSet<&str> = old
            .map(|old| strings(old, "finalizers"))
            .unwrap_or_default()
            .into_iter()
            .collect();
        let now: BTreeSet<&str> = strings(new, "finalizers").into_iter().collect();
        let added = now.difference(&before);
        let finalizers = added.flat_map(|finalizer| finalizer_warnings(finalizer));
        self.forgiven(new, old).into_iter().chain(finalizers).collect()
    }

    fn allow_unconditional_update(&self) -> bool {
        false
    }

    fn reset_fields(&self) -> &'static [&'static str] {
        if self.has_status { &["status"] } else { &[] }
    }
}

impl Strategy for Status {
    fn default(&self, obj: &mut Value) {
        self.0.kind.default(obj);
    }

    fn check_kind(&self, obj: &Value) -> ErrorList {
        self.0.check_kind(obj)
    }

    /// Nothing but the status and the owners of its fields changes.
    fn prepare_for_update(&self, _cx: &Context<'_>, new: &mut Value, old: &Value) {
        let sent = std::mem::replace(new, old.clone());
        for path in [&["status"][..], &["metadata", "managedFields"]] {
            match meta::at(&sent, path) {
                Some(_) => meta::copy(new, &sent, path),
                None => drop(meta::remove(new, path)),
            }
        }
    }

    fn validate_update(&self, _cx: &Context<'_>, new: &Value, old: &Value) -> ErrorList {
        let metadata = object_meta::validate_update(new, old);
        self.0
            .besides(metadata, |validator, found| validator.update_status(new, old, found))
    }

    fn warnings(&self, _cx: &Context<'_>, new: &Value, old: Option<&Value>) -> Vec<String> {
        self.0.forgiven(new, old)
    }

    fn metadata_checks_on_update(&self) -> MetadataChecks {
        MetadataChecks::Update
    }

    fn allow_unconditional_update(&self) -> bool {
        false
    }

    fn reset_fields(&self) -> &'static [&'static str] {
        &["metadata", "spec"]
    }
}

fn same_but_for_metadata(new: &Value, old: &Value) -> bool {
    let fields = |object: &Value| {
        object
            .as_object()
            .map_or(0, |fields| fields.keys().filter(|key| *key != "metadata").count())
    };
    let same = |(key, value): (&String, &Value)| key == "metadata" || old.get(key) == Some(value);
    fields(new) == fields(old) && new.as_object().is_some_and(|new| new.iter().all(same))
}

/// `validateKubeFinalizerName`.
fn finalizer_warnings(finalizer: &str) -> Vec<String> {
    let quoted = go_quote(finalizer);
    let mut warnings: Vec<String> = names::qualified_name(finalizer)
        .into_iter()
        .map(|why| format!("metadata.finalizers: {quoted}: {why}"))
        .collect();
    if !finalizer.contains('/') && !STANDARD_FINALIZERS.contains(&finalizer) {
        let path = if finalizer.contains('.') {
            " including a path (/)"
        } else {
            ""
        };
        warnings.push(format!(
            "metadata.finalizers: {quoted}: prefer a domain-qualified finalizer name{path} to avoid accidental conflicts with \
             other finalizer writers"
        ));
    }
    warnings
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn finalizers_should_say_whose_they_are() {
        for (finalizer, warned) in [
            ("example.com/hold", 0),
            ("orphan", 0),
            ("hold", 1),
            ("hold.example.com", 1),
            ("not a name", 2),
        ] {
            assert_eq!(finalizer_warnings(finalizer).len(), warned, "{finalizer}");
        }
        assert!(finalizer_warnings("hold.example.com")[0].contains("including a path (/)"));
    }

    #[test]
    fn metadata_does_not_count_as_a_change() {
        let old = json!({"kind": "A", "metadata": {"labels": {"a": "b"}}, "spec": {"x": 1}});
        for (new, same) in [
            (json!({"kind": "A", "spec": {"x": 1}}), true),
            (json!({"kind": "A", "metadata": {}, "spec": {"x": 2}}), false),
            (json!({"kind": "A", "metadata": {}}), false),
            (
                json!({"kind": "A", "metadata": {}, "spec": {"x": 1}, "other": null}),
                false,
            ),
        ] {
            assert_eq!(same_but_for_metadata(&new, &old), same, "{new}");
        }
    }
}
