//! The options of requests and their validation (apimachinery `pkg/apis/meta/v1/validation`,
//! `pkg/apis/meta/internalversion/validation`).

use super::query::Query;
use crate::registry::object_meta::validate_field_manager;
use crate::registry::resource::Resource;
use crate::registry::store::options::{DeleteOptions, Propagation};
use crate::registry::store::update::malformed_resource_version;
use crate::storage::continue_token;
use crate::storage::interface::{ListOptions, Revision, Scope, WatchOptions};
use machinery::field::{Error, ErrorList, Path, go_quote};
use machinery::gvk::GroupKind;
use machinery::patch::FieldValidation;
use machinery::selector::{Selector, field, label};
use machinery::status::Status;
use serde_json::{Value, json};
use tokio::time::Instant;

/// Options as admission sees them.
#[derive(Clone, Debug, PartialEq)]
pub struct Shown {
    /// Nothing is persisted.
    pub dry_run: bool,
    /// The object, such as `CreateOptions`.
    pub value: Value,
}

impl Shown {
    fn new(kind: &str, dry_run: &[String], texts: &[(&str, &str)]) -> Shown {
        let mut value = json!({"kind": kind, "apiVersion": "meta.k8s.io/v1"});
        if !dry_run.is_empty() {
            value["dryRun"] = json!(dry_run);
        }
        for (field, text) in texts.iter().filter(|(_, text)| !text.is_empty()) {
            value[*field] = json!(text);
        }
        Shown {
            dry_run: !dry_run.is_empty(),
            value,
        }
    }
}

/// What a write's query says.
#[derive(Clone, Debug, PartialEq)]
pub struct WriteOptions {
    /// What admission sees of them.
    pub shown: Shown,
    /// Who owns the fields; may be empty.
    pub field_manager: String,
    /// What happens to unknown fields.
    pub validation: FieldValidation,
    /// Whether an apply takes fields from their owners.
    pub force: Option<bool>,
}

/// The kind of write, for its options.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteKind {
    /// `POST`.
    Create,
    /// `PUT`.
    Update,
    /// `PATCH`.
    Patch,
    /// `PATCH` with server-side apply.
    Apply,
}

impl WriteOptions {
    /// Reads and checks the options of a write.
    ///
    /// # Errors
    /// 422 on the kind of options.
    pub fn read(query: &Query, kind: WriteKind) -> Result<Self, Status> {
        let mut errors = ErrorList::new();
        let manager = query.text("fieldManager");
        let force = query.boolean("force");
        match kind {
            WriteKind::Apply if manager.is_empty() => {
                errors.push(Error::required(
                    &Path::new("fieldManager"),
                    "is required for apply patch",
                ));
            }
            WriteKind::Patch if force.is_some() => {
                errors.push(Error::forbidden(
                    &Path::new("force"),
                    "may not be specified for non-apply patch",
                ));
            }
            _ => {}
        }
        errors.extend(validate_field_manager(manager, &Path::new("fieldManager")));
        let dry_run = query.all("dryRun");
        errors.extend(validate_dry_run(&dry_run));
        let validation = match query.text("fieldValidation") {
            "" | "Warn" => FieldValidation::Warn,
            "Ignore" => FieldValidation::Ignore,
            "Strict" => FieldValidation::Strict,
            other => {
                let supported = ["", "Ignore", "Strict", "Warn"];
                errors.push(Error::not_supported(&Path::new("fieldValidation"), other, &supported));
                FieldValidation::Warn
            }
        };
        // Admission sees the options of the update that a patch comes to.
        let (name, shown) = match kind {
            WriteKind::Create => ("CreateOptions", "CreateOptions"),
            WriteKind::Update => ("UpdateOptions", "UpdateOptions"),
            WriteKind::Patch | WriteKind::Apply => ("PatchOptions", "UpdateOptions"),
        };
        refuse(name, &errors)?;
        let texts = [
            ("fieldManager", manager),
            ("fieldValidation", query.text("fieldValidation")),
        ];
        Ok(WriteOptions {
            shown: Shown::new(shown, &dry_run, &texts),
            field_manager: manager.to_owned(),
            validation,
            force,
        })
    }
}

fn validate_dry_run(values: &[String]) -> ErrorList {
    if values.iter().all(|value| value == "All") {
        return ErrorList::new();
    }
    vec![Error::not_supported(
        &Path::new("dryRun"),
        Value::from(values.to_vec()),
        &["All"],
    )]
}

fn refuse(kind: &str, errors: &[Error]) -> Result<(), Status> {
    if errors.is_empty() {
        return Ok(());
    }
    let kind = GroupKind {
        group: "meta.k8s.io".to_owned(),
        kind: kind.to_owned(),
    };
    Err(Status::invalid(&kind, "", errors))
}

/// The options of a deletion as sent, in the query or in the body.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SentDeleteOptions {
    /// `gracePeriodSeconds`.
    pub grace_period_seconds: Option<i64>,
    /// `preconditions.uid`.
    pub uid: Option<String>,
    /// `preconditions.resourceVersion`.
    pub resource_version: Option<String>,
    /// `orphanDependents`.
    pub orphan_dependents: Option<bool>,
    /// `propagationPolicy`.
    pub propagation_policy: Option<String>,
    /// `dryRun`.
    pub dry_run: Vec<String>,
}

impl SentDeleteOptions {
    /// Reads the query of a deletion without a body.
    ///
    /// # Errors
    /// 400 for a malformed number.
    pub fn from_query(query: &Query) -> Result<Self, Status> {
        Ok(SentDeleteOptions {
            grace_period_seconds: query.integer("gracePeriodSeconds")?,
            orphan_dependents: query.boolean("orphanDependents"),
            propagation_policy: query.get("propagationPolicy").map(str::to_owned),
            dry_run: query.all("dryRun"),
            uid: some_text(query, "uid"),
            resource_version: some_text(query, "resourceVersion"),
        })
    }

    /// Reads a decoded `DeleteOptions` object.
    pub fn from_object(options: &Value) -> Self {
        let text = |path: &[&str]| machinery::meta::str_at(options, path).map(str::to_owned);
        SentDeleteOptions {
            grace_period_seconds: machinery::meta::i64_at(options, &["gracePeriodSeconds"]),
            uid: text(&["preconditions", "uid"]),
            resource_version: text(&["preconditions", "resourceVersion"]),
            orphan_dependents: machinery::meta::bool_at(options, &["orphanDependents"]),
            propagation_policy: text(&["propagationPolicy"]),
            dry_run: machinery::meta::list_at(options, &["dryRun"])
                .iter()
                .filter_map(|v| v.as_str().map(str::to_owned))
                .collect(),
        }
    }

    /// Checks the options; answers them with what admission sees of them.
    ///
    /// # Errors
    /// 422 on `DeleteOptions`.
    pub fn validate(self) -> Result<(DeleteOptions, Shown), Status> {
        let path = Path::new("propagationPolicy");
        let mut errors = ErrorList::new();
        if let Some(policy) = &self.propagation_policy {
            if self.orphan_dependents.is_some() {
                let detail = "orphanDependents and deletionPropagation cannot be both set";
                errors.push(Error::invalid(&path, policy.clone(), detail));
            }
            if Propagation::parse(policy).is_none() {
                let supported = ["Foreground", "Background", "Orphan", "nil"];
                errors.push(Error::not_supported(&path, policy.clone(), &supported));
            }
        }
        errors.extend(validate_dry_run(&self.dry_run));
        refuse("DeleteOptions", &errors)?;
        Ok(self.unchecked())
    }

    /// The options as they are, for requests that upstream does not check, with what admission sees of them.
    pub fn unchecked(self) -> (DeleteOptions, Shown) {
        let policy = self.propagation_policy.as_deref().unwrap_or_default();
        let mut shown = Shown::new("DeleteOptions", &self.dry_run, &[("propagationPolicy", policy)]);
        let conditions = [("uid", &self.uid), ("resourceVersion", &self.resource_version)];
        for (field, text) in conditions {
            if let Some(text) = text {
                machinery::meta::set(&mut shown.value, &["preconditions", field], text.as_str());
            }
        }
        if let Some(seconds) = self.grace_period_seconds {
            shown.value["gracePeriodSeconds"] = json!(seconds);
        }
        if let Some(orphan) = self.orphan_dependents {
            shown.value["orphanDependents"] = json!(orphan);
        }
        let options = DeleteOptions {
            grace_period_seconds: self.grace_period_seconds,
            uid: self.uid,
            resource_version: self.resource_version,
            orphan_dependents: self.orphan_dependents,
            propagation: self.propagation_policy.as_deref().and_then(Propagation::parse),
            unnamed: false,
        };
        (options, shown)
    }
}

/// A parameter that says something.
fn some_text(query: &Query, name: &str) -> Option<String> {
    query.get(name).filter(|text| !text.is_empty()).map(str::to_owned)
}

/// `ListOptions` after conversion and validation.
#[derive(Clone, Debug)]
pub struct ReadOptions {
    /// Whether this is a watch.
    pub watch: bool,
    /// What is selected.
    pub selector: Selector,
    /// The name that a `metadata.name` selector or the path pins down; may be empty.
    pub name: String,
    /// How long a watch lasts at most.
    pub timeout_seconds: Option<i64>,
    resource_version: String,
    version_match: String,
    limit: i64,
    continue_token: String,
    bookmarks: bool,
    initial_events: Option<bool>,
}

impl ReadOptions {
    /// Reads the options of a list, watch or deletecollection. `name` is the name in the path of a watch of one object;
    /// `forced` says that the path asks for a watch.
    ///
    /// # Errors
    /// 400 for what cannot be parsed, 422 on `ListOptions` for what does not fit together.
    pub fn read(query: &Query, resource: &Resource, name: &str, forced: bool) -> Result<Self, Status> {
        // Selectors are texts at first: they are read after all numbers.
        let timeout_seconds = query.integer("timeoutSeconds")?;
        let limit = query.integer("limit")?.unwrap_or_default();
        let labels = label::Selector::parse(query.text("labelSelector")).map_err(Status::bad_request)?;
        let fields = field::Selector::parse(query.text("fieldSelector")).map_err(Status::bad_request)?;
        let mut options = ReadOptions {
            watch: query.boolean("watch").unwrap_or_default(),
            selector: Selector { labels, fields },
            name: String::new(),
            timeout_seconds,
            resource_version: query.text("resourceVersion").to_owned(),
            version_match: query.text("resourceVersionMatch").to_owned(),
            limit,
            continue_token: query.text("continue").to_owned(),
            bookmarks: query.boolean("allowWatchBookmarks").unwrap_or_default(),
            initial_events: query.boolean("sendInitialEvents"),
        };
        let from_the_start = matches!(options.resource_version.as_str(), "" | "0");
        if options.watch && from_the_start && options.initial_events.is_none() && options.version_match.is_empty() {
            options.initial_events = Some(true);
            options.version_match = "NotOlderThan".to_owned();
        }
        refuse("ListOptions", &options.errors())?;
        check_fields(resource, &mut options.selector.fields)?;
        if name.is_empty() {
            options.name = options
                .selector
                .fields
                .required("metadata.name")
                .unwrap_or_default()
                .to_owned();
        } else {
            options.pin_name(name)?;
        }
        options.watch |= forced;
        Ok(options)
    }

    /// A watch of one object: a selector may only repeat its name.
    fn pin_name(&mut self, name: &str) -> Result<(), Status> {
        let fields = &self.selector.fields;
        if !fields.is_empty() && fields.required("metadata.name") != Some(name) {
            return Err(Status::bad_request(
                "fieldSelector metadata.name doesn't match requested name",
            ));
        }
        self.name = name.to_owned();
        if fields.is_empty() {
            // A name that cannot be written in a selector names no object.
            self.selector.fields = field::Selector {
                terms: vec![field::Term {
                    path: "metadata.name".into(),
                    value: name.into(),
                    equals: true,
                }],
            };
        }
        Ok(())
    }

    fn errors(&self) -> ErrorList {
        let field = Path::new("resourceVersionMatch");
        let mut errors = ErrorList::new();
        let matched = self.version_match.as_str();
        if self.watch {
            if self.initial_events.is_some() && matched != "NotOlderThan" {
                let detail = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan";
                errors.push(Error::forbidden(&field, detail));
            }
            if matched.is_empty() {
                return errors;
            }
            if self.initial_events.is_none() {
                let detail = "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided";
                errors.push(Error::forbidden(&field, detail));
            }
            if matched != "NotOlderThan" {
                errors.push(Error::not_supported(&field, matched, &["NotOlderThan"]));
            }
            if !self.continue_token.is_empty() {
                let detail = "resourceVersionMatch is forbidden when continue is provided";
                errors.push(Error::forbidden(&field, detail));
            }
            return errors;
        }
        if !matched.is_empty() {
            if self.resource_version.is_empty() {
                let detail = "resourceVersionMatch is forbidden unless resourceVersion is provided";
                errors.push(Error::forbidden(&field, detail));
            }
            if !self.continue_token.is_empty() {
                let detail = "resourceVersionMatch is forbidden when continue is provided";
                errors.push(Error::forbidden(&field, detail));
            }
            if !matches!(matched, "Exact" | "NotOlderThan") {
                errors.push(Error::not_supported(&field, matched, &["Exact", "NotOlderThan", ""]));
            }
            if matched == "Exact" && self.resource_version == "0" {
                let detail = "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"";
                errors.push(Error::forbidden(&field, detail));
            }
        }
        if self.initial_events.is_some() {
            let detail = "sendInitialEvents is forbidden for list";
            errors.push(Error::forbidden(&Path::new("sendInitialEvents"), detail));
        }
        errors
    }

    fn scope(&self, namespace: &str) -> Scope {
        Scope {
            namespace: namespace.to_owned(),
            name: self.name.clone(),
            selector: self.selector.clone(),
        }
    }

    /// The list that is asked for.
    ///
    /// # Errors
    /// 400 for a resourceVersion that is no number or does not go with a continue token.
    pub fn list(&self, namespace: &str) -> Result<ListOptions, Status> {
        let from_anywhere = self.resource_version == "0";
        if !self.continue_token.is_empty() {
            continue_token::decode(&self.continue_token, "").map_err(|error| Status::bad_request(error.to_string()))?;
            if !self.resource_version.is_empty() && !from_anywhere {
                return Err(Status::bad_request(
                    "specifying resource version is not allowed when using continue",
                ));
            }
        }
        let version = parse_version(&self.resource_version)
            .map_err(|status| Status::bad_request(format!("invalid resource version: {}", status.message)))?;
        // Who takes what the cache has gets all of it.
        let limit = if from_anywhere {
            0
        } else {
            usize::try_from(self.limit).unwrap_or_default()
        };
        let revision = match (version, self.version_match.as_str()) {
            (None, _) => Revision::Latest,
            (Some(0), _) => Revision::Any,
            (Some(version), "Exact") => Revision::Exact(version),
            // Without a match rule, a limit asks for the first page as of that version.
            (Some(version), "") if limit > 0 => Revision::Exact(version),
            (Some(version), _) => Revision::NotOlderThan(version),
        };
        Ok(ListOptions {
            scope: self.scope(namespace),
            revision,
            limit,
            continue_token: self.continue_token.clone(),
        })
    }

    /// The watch that is asked for, which will end at `deadline`.
    ///
    /// # Errors
    /// 500 for a resourceVersion that is no number.
    pub fn watch(&self, namespace: &str, deadline: Instant) -> Result<WatchOptions, Status> {
        let revision = match parse_version(&self.resource_version)? {
            None => Revision::Latest,
            Some(0) => Revision::Any,
            Some(version) => Revision::NotOlderThan(version),
        };
        Ok(WatchOptions {
            scope: self.scope(namespace),
            revision,
            bookmarks: self.bookmarks,
            initial_events: self.initial_events,
            deadline: Some(deadline),
        })
    }
}

/// The revision of a read of one object.
///
/// # Errors
/// 500 for a resourceVersion that is no number.
pub fn get_revision(query: &Query) -> Result<Revision, Status> {
    Ok(match parse_version(query.text("resourceVersion"))? {
        None => Revision::Latest,
        Some(0) => Revision::Any,
        Some(version) => Revision::NotOlderThan(version),
    })
}

fn parse_version(text: &str) -> Result<Option<u64>, Status> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    match text.parse::<u64>() {
        _ if text.is_empty() => Ok(None),
        Ok(version) if digits => Ok(Some(version)),
        _ => Err(malformed_resource_version(text)),
    }
}

/// Field selectors name only fields that the kind makes selectable. Kinds with fields of their own word the refusal
/// differently (kubernetes `pkg/apis/*/v1/conversion.go`).
fn check_fields(resource: &Resource, selector: &mut field::Selector) -> Result<(), Status> {
    for term in &mut selector.terms {
        let path = term.path.as_str();
        // Kinds of the cluster that have fields of their own do not list their namespace among them.
        let own = resource.custom.is_some() || !resource.selectable_fields.is_empty();
        let namespace = path == "metadata.namespace" && (!own || resource.namespaced());
        if path == "metadata.name" || namespace {
            continue;
        }
        let named = resource.field_names.iter().find(|(name, _)| *name == path);
        if let Some((_, field)) = named {
            term.path = (*field).to_owned();
            continue;
        }
        if resource.field_names.is_empty() && resource.selectable_fields.contains(path) {
            continue;
        }
        return Err(Status::bad_request(unsupported_field(resource, path)));
    }
    Ok(())
}

fn unsupported_field(resource: &Resource, path: &str) -> String {
    let quoted = go_quote(path);
    match resource.gvk.kind.as_str() {
        _ if resource.custom.is_some() => format!("field label not supported: {path}"),
        _ if resource.selectable_fields.is_empty() => {
            format!("{quoted} is not a known field selector: only \"metadata.name\", \"metadata.namespace\"")
        }
        "Job" => format!("field label {quoted} not supported for Job"),
        "ResourceSlice" => format!("field label not supported for {}: {path}", resource.gvk),
        _ => format!("field label not supported: {path}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(text: &str) -> Query {
        Query::parse(Some(text))
    }

    #[test]
    fn write_options_are_checked() {
        let options = WriteOptions::read(
            &query("dryRun=All&fieldManager=me&fieldValidation=Strict"),
            WriteKind::Create,
        );
        assert_eq!(
            options.unwrap(),
            WriteOptions {
                shown: Shown {
                    dry_run: true,
                    value: json!({"kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1", "dryRun": ["All"], "fieldManager": "me",
                        "fieldValidation": "Strict"}),
                },
                field_manager: "me".into(),
                validation: FieldValidation::Strict,
                force: None
            }
        );
        for (text, kind, message) in [
            (
                "dryRun=Some",
                WriteKind::Create,
                r#"CreateOptions.meta.k8s.io "" is invalid: dryRun: Unsupported value: ["Some"]: supported values: "All""#,
            ),
            (
                "dryRun=",
                WriteKind::Update,
                r#"UpdateOptions.meta.k8s.io "" is invalid: dryRun: Unsupported value: [""]: supported values: "All""#,
            ),
            (
                "fieldValidation=Foo",
                WriteKind::Create,
                r#"CreateOptions.meta.k8s.io "" is invalid: fieldValidation: Unsupported value: "Foo": supported values: "", "Ignore", "Strict", "Warn""#,
            ),
            (
                "",
                WriteKind::Apply,
                r#"PatchOptions.meta.k8s.io "" is invalid: fieldManager: Required value: is required for apply patch"#,
            ),
            (
                "force=true",
                WriteKind::Patch,
                r#"PatchOptions.meta.k8s.io "" is invalid: force: Forbidden: may not be specified for non-apply patch"#,
            ),
        ] {
            assert_eq!(WriteOptions::read(&query(text), kind).unwrap_err().message, message);
        }
    }

    #[test]
    fn delete_options_exclude_each_other() {
        let sent = SentDeleteOptions {
            orphan_dependents: Some(true),
            propagation_policy: Some("Orphan".into()),
            ..SentDeleteOptions::default()
        };
        assert_eq!(
            sent.validate().unwrap_err().message,
            "DeleteOptions.meta.k8s.io \"\" is invalid: propagationPolicy: Invalid value: \"Orphan\": orphanDependents and deletionPropagation cannot be both set"
        );
        let (options, shown) =
            SentDeleteOptions::from_query(&query("gracePeriodSeconds=3&propagationPolicy=Background"))
                .unwrap()
                .validate()
                .unwrap();
        assert_eq!(
            (options.grace_period_seconds, options.propagation, shown.dry_run),
            (Some(3), Some(Propagation::Background), false)
        );
        assert_eq!(
            shown.value,
            json!({"kind": "DeleteOptions", "apiVersion": "meta.k8s.io/v1", "gracePeriodSeconds": 3,
                "propagationPolicy": "Background"})
        );
    }
}
