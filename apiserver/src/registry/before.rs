//! What happens to every object on its way into the store, whatever its kind
//! (k8s.io/apiserver `pkg/registry/rest/{create,update,meta}.go`).

use super::request::Request;
use super::resource::Resource;
use super::strategy::{MetadataChecks, Strategy};
use super::{gates, object_meta};
use machinery::field::ErrorList;
use machinery::gvk::{GroupVersion, GroupVersionKind};
use machinery::meta;
use machinery::status::Status;
use serde_json::Value;

/// How many random characters follow a `generateName`.
const SUFFIX_LENGTH: usize = 5;
/// The longest part of a `generateName` that is kept (upstream `names.MaxGeneratedNameLength`).
const GENERATED_PREFIX_MAX: usize = 63 - SUFFIX_LENGTH;
/// The characters of generated names: no vowels and nothing that looks like another (apimachinery `rand.SafeEncode`).
const ALPHABET: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";

/// A name from a prefix, not yet known to be free.
pub fn generate_name(prefix: &str) -> String {
    let mut end = prefix.len().min(GENERATED_PREFIX_MAX);
    while !prefix.is_char_boundary(end) {
        end -= 1;
    }
    let mut name = prefix[..end].to_owned();
    let random = uuid::Uuid::new_v4();
    name.extend(
        random.as_bytes()[..SUFFIX_LENGTH]
            .iter()
            .map(|b| char::from(ALPHABET[usize::from(*b) % ALPHABET.len()])),
    );
    name
}

/// Removes what only the server decides from an object sent for creation (upstream `WipeObjectMetaSystemFields`).
pub fn wipe_system_fields(obj: &mut Value) {
    let metadata = meta::map_mut(obj, &["metadata"]);
    for field in [
        "creationTimestamp",
        "uid",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "selfLink",
    ] {
        metadata.remove(field);
    }
}

/// Gives an object its identity.
pub fn fill_system_fields(rq: &Request<'_>, obj: &mut Value) {
    meta::set(obj, &["metadata", "creationTimestamp"], rq.now_text());
    meta::set(obj, &["metadata", "uid"], uuid::Uuid::new_v4().to_string());
}

/// Puts the namespace of the request into the object: none where the request has none, as for cluster-scoped kinds
/// (apiserver `rest.EnsureObjectNamespaceMatchesRequestNamespace`).
///
/// # Errors
/// When the object names another one.
pub fn match_namespace(resource: &Resource, namespace: &str, obj: &mut Value) -> Result<(), Status> {
    let own = meta::namespace(obj);
    let wanted = if resource.namespaced() { namespace } else { "" };
    if own == wanted {
        return Ok(());
    }
    if wanted.is_empty() {
        meta::remove(obj, &["metadata", "namespace"]);
        return Ok(());
    }
    if own.is_empty() {
        meta::set(obj, &["metadata", "namespace"], wanted);
        return Ok(());
    }
    Err(Status::bad_request(
        "the namespace of the provided object does not match the namespace sent on the request",
    ))
}

/// What names an object of a namespaced kind without a namespace is told so (apiserver `NamespaceKeyFunc`).
pub fn namespace_required() -> Status {
    Status::bad_request("Namespace parameter required.")
}

/// Drops repeated owner references with a warning (apiserver `dedupOwnerReferencesAndAddWarning`).
pub fn dedup_owner_references(rq: &Request<'_>, obj: &mut Value, after_admission: bool) {
    let Some(Value::Array(references)) = obj.pointer_mut("/metadata/ownerReferences") else {
        return;
    };
    let mut seen: Vec<Value> = Vec::with_capacity(references.len());
    let mut repeated: Vec<String> = Vec::new();
    for reference in references.drain(..) {
        if seen.contains(&reference) {
            let uid = meta::str_at(&reference, &["uid"]).unwrap_or_default().to_owned();
            if !repeated.contains(&uid) {
                repeated.push(uid);
            }
        } else {
            seen.push(reference);
        }
    }
    *references = seen;
    if repeated.is_empty() {
        return;
    }
    let when = if after_admission {
        " after mutating admission happens"
    } else {
        ""
    };
    (rq.warn)(format!(
        ".metadata.ownerReferences contains duplicate entries{when}; API server dedups owner references in 1.20+, and may reject such requests as early as 1.24; please fix your requests; duplicate UID(s) observed: {}",
        repeated.join(", ")
    ));
}

/// Makes an object ready for what is reserved for it, or says why nothing can be.
///
/// # Errors
/// 422 with upstream's causes.
pub fn before_reservation(
    rq: &Request<'_>,
    resource: &Resource,
    strategy: &dyn Strategy,
    new: &mut Value,
    old: Option<&Value>,
) -> Result<(), Status> {
    let now = rq.now_text();
    let errors = strategy.prepare_reservation(&rq.context(&now), new, old);
    refuse(resource, &resource.gvk, new, &errors)
}

/// Makes a new object ready for the store, or says why it is refused; `missing` are privileges that it wants in vain.
///
/// # Errors
/// 422 with upstream's causes.
pub fn before_create(
    rq: &Request<'_>,
    resource: &Resource,
    kind: &GroupVersionKind,
    strategy: &dyn Strategy,
    obj: &mut Value,
    missing: ErrorList,
) -> Result<(), Status> {
    match_namespace(resource, rq.namespace, obj)?;
    let now = rq.now_text();
    let cx = rq.context(&now);
    strategy.record_requester(&rq.requester(), obj);
    gates::drop_disabled(resource, obj, None);
    strategy.prepare_for_create(&cx, obj);
    refuse(resource, kind, obj, &strategy.check_kind(obj))?;
    let name_rule = |name: &str, prefix: bool| strategy.validate_name(name, prefix);
    let mut errors = missing;
    errors.extend(object_meta::validate(obj, resource.namespaced(), &name_rule));
    errors.extend(strategy.validate(&cx, obj));
    if errors.is_empty() {
        errors = object_meta::validate(obj, resource.namespaced(), &machinery::names::path_segment);
    }
    refuse(resource, kind, obj, &errors)?;
    strategy.warnings(&cx, obj, None).into_iter().for_each(rq.warn);
    Ok(())
}

/// Makes a changed object ready for the store, or says why it is refused; `missing` are privileges that it wants in vain.
///
/// # Errors
/// 422 with upstream's causes.
pub fn before_update(
    rq: &Request<'_>,
    resource: &Resource,
    kind: &GroupVersionKind,
    strategy: &dyn Strategy,
    new: &mut Value,
    old: &Value,
    missing: ErrorList,
) -> Result<(), Status> {
    match_namespace(resource, rq.namespace, new)?;
    meta::copy(new, old, &["metadata", "generation"]);
    let now = rq.now_text();
    let cx = rq.context(&now);
    if !strategy.prepares_with_gated_fields() {
        gates::drop_disabled(resource, new, Some(old));
    }
    strategy.prepare_for_update(&cx, new, old);
    gates::drop_disabled(resource, new, Some(old));
    if meta::uid(new).is_empty() {
        meta::copy(new, old, &["metadata", "uid"]);
    }
    for field in ["creationTimestamp", "deletionTimestamp"] {
        if meta::at(old, &["metadata", field]).is_some_and(|v| !v.is_null()) {
            meta::copy(new, old, &["metadata", field]);
        }
    }
    let grace = ["metadata", "deletionGracePeriodSeconds"];
    if meta::at(new, &grace).is_none_or(Value::is_null) {
        meta::copy(new, old, &grace);
    }
    let errors = update_errors(rq, resource, strategy, (new, old), missing);
    refuse(resource, kind, new, &errors)?;
    strategy.warnings(&cx, new, Some(old)).into_iter().for_each(rq.warn);
    Ok(())
}

/// Upstream checks the metadata of an update once in general and again in most kinds' own validation; the causes of a
/// refusal show it, so the repetition is part of the contract.
fn update_errors(
    rq: &Request<'_>,
    resource: &Resource,
    strategy: &dyn Strategy,
    (new, old): (&Value, &Value),
    missing: ErrorList,
) -> ErrorList {
    let whole = |rule: object_meta::NameRule<'_>| object_meta::validate(new, resource.namespaced(), rule);
    let own_rule = |name: &str, prefix: bool| strategy.validate_name(name, prefix);
    let mut errors = whole(&machinery::names::path_segment);
    errors.extend(object_meta::validate_update(new, old));
    errors.extend(missing);
    let kind_errors = strategy.check_kind(new);
    if !kind_errors.is_empty() {
        errors.extend(kind_errors);
        return errors;
    }
    match strategy.metadata_checks_on_update() {
        MetadataChecks::None => {}
        MetadataChecks::Update => errors.extend(object_meta::validate_update(new, old)),
        MetadataChecks::Whole => errors.extend(whole(&own_rule)),
        MetadataChecks::UpdateThenWhole => {
            errors.extend(object_meta::validate_update(new, old));
            errors.extend(whole(&own_rule));
        }
        MetadataChecks::WholeThenUpdate => {
            errors.extend(whole(&own_rule));
            errors.extend(object_meta::validate_update(new, old));
        }
    }
    let now = rq.now_text();
    errors.extend(strategy.validate_update(&rq.context(&now), new, old));
    errors
}

/// Kinds that are stored as another are refused under the name of that one: upstream validates its internal type.
fn refuse(resource: &Resource, kind: &GroupVersionKind, obj: &Value, errors: &ErrorList) -> Result<(), Status> {
    let kind = if *kind == resource.gvk {
        resource.storage_gvk()
    } else {
        kind
    };
    if errors.is_empty() {
        return Ok(());
    }
    let mut kind = kind.group_kind();
    if resource.custom.is_some() {
        // What is defined at run time is what it says it is.
        let text = |field: &str| meta::str_at(obj, &[field]).unwrap_or_default();
        text("kind").clone_into(&mut kind.kind);
        kind.group = GroupVersion::parse(text("apiVersion")).unwrap_or_default().group;
    }
    Err(Status::invalid(&kind, meta::name(obj), errors))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::sync::Mutex;

    #[test]
    fn generated_names_keep_their_prefix_and_fit() {
        let name = generate_name("web-");
        assert!(name.starts_with("web-") && name.len() == 9, "{name}");
        assert!(name[4..].bytes().all(|b| ALPHABET.contains(&b)), "{name}");
        assert_eq!(generate_name(&"x".repeat(300)).len(), 63);
        assert!(generate_name(&"é".repeat(60)).chars().count() > 20);
    }

    #[test]
    fn repeated_owners_are_dropped_with_one_warning() {
        let warnings = Mutex::new(Vec::new());
        let warn = |text: String| warnings.lock().unwrap().push(text);
        let rq = Request {
            namespace: "",
            user: "",
            uid: "",
            groups: &[],
            extra: &crate::registry::request::NO_EXTRA,
            now: jiff::Timestamp::UNIX_EPOCH,
            dry_run: false,
            options: &crate::registry::request::NO_OPTIONS,
            warn: &warn,
        };
        let owner = |uid: &str| json!({"uid": uid});
        let mut obj = json!({"metadata": {"ownerReferences": [owner("a"), owner("b"), owner("a"), owner("a")]}});
        dedup_owner_references(&rq, &mut obj, false);
        assert_eq!(obj["metadata"]["ownerReferences"], json!([owner("a"), owner("b")]));
        let warnings = warnings.lock().unwrap();
        assert_eq!(warnings.len(), 1);
        assert!(warnings[0].ends_with("duplicate UID(s) observed: a"), "{warnings:?}");
    }
}
