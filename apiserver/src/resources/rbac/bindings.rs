//! What a binding must look like, in and outside of namespaces (`pkg/apis/rbac/validation/validation.go`), and how
//! tables show it.

use super::GROUP;
use crate::registry::strategy::{Context, MetadataChecks, Strategy};
use crate::resources::shared::checks::{complaints, one_of, required, text};
use crate::resources::shared::pod_defaults::{items, set_text};
use crate::resources::shared::{cells, internal};
use machinery::field::{Error, ErrorList, Path};
use machinery::{meta, names};
use serde_json::Value;

/// The kinds of subjects, in the order in which upstream lists them.
const SUBJECTS: [&str; 3] = ["ServiceAccount", "User", "Group"];

/// The hooks of bindings.
pub(super) struct Bindings {
    /// Whether the binding is one of a namespace.
    pub(super) namespaced: bool,
}

impl Strategy for Bindings {
    /// `SetDefaults_RoleBinding`, `SetDefaults_ClusterRoleBinding` and `SetDefaults_Subject`.
    fn default(&self, obj: &mut Value) {
        if meta::at(obj, &["roleRef"]).is_some() {
            set_text(obj, &["roleRef", "apiGroup"], GROUP);
        }
        for subject in items(obj, &["subjects"]) {
            if matches!(text(subject, &["kind"]), "User" | "Group") {
                set_text(subject, &["apiGroup"], GROUP);
            }
        }
    }

    fn validate(&self, _cx: &Context<'_>, obj: &Value) -> ErrorList {
        let path = Path::new("roleRef");
        let roles: &[&str] = match self.namespaced {
            true => &["Role", "ClusterRole"],
            false => &["ClusterRole"],
        };
        let mut errors = ErrorList::new();
        errors.extend(one_of(
            text(obj, &["roleRef", "apiGroup"]),
            &[GROUP],
            &path.child("apiGroup"),
        ));
        errors.extend(one_of(text(obj, &["roleRef", "kind"]), roles, &path.child("kind")));
        let rule = |name: &str| names::path_segment(name, false);
        errors.extend(required(&path.child("name"), text(obj, &["roleRef", "name"]), rule));
        for (i, subject) in meta::list_at(obj, &["subjects"]).iter().enumerate() {
            errors.extend(validate_subject(
                subject,
                self.namespaced,
                &Path::new("subjects").index(i),
            ));
        }
        errors
    }

    fn validate_update(&self, cx: &Context<'_>, new: &Value, old: &Value) -> ErrorList {
        let mut errors = self.validate(cx, new);
        let role = |obj: &Value| meta::at(obj, &["roleRef"]).cloned().unwrap_or_default();
        if role(new) != role(old) {
            let shown = internal::show("RoleRef", &role(new));
            errors.push(Error::invalid(&Path::new("roleRef"), role(new), "cannot change roleRef").showing(shown));
        }
        errors
    }

    fn validate_name(&self, name: &str, prefix: bool) -> Vec<String> {
        names::path_segment(name, prefix)
    }

    fn metadata_checks_on_update(&self) -> MetadataChecks {
        MetadataChecks::WholeThenUpdate
    }

    fn allow_create_on_update(&self) -> bool {
        true
    }
}

/// `ValidateRoleBindingSubject`.
fn validate_subject(subject: &Value, namespaced: bool, path: &Path) -> ErrorList {
    let (kind, name, group) = (
        text(subject, &["kind"]),
        text(subject, &["name"]),
        text(subject, &["apiGroup"]),
    );
    let mut errors = ErrorList::new();
    if name.is_empty() {
        errors.push(Error::required(&path.child("name"), ""));
    }
    match kind {
        "ServiceAccount" => {
            if !name.is_empty() {
                errors.extend(complaints(&path.child("name"), name, names::dns1123_subdomain(name)));
            }
            errors.extend(one_of(group, &[""], &path.child("apiGroup")));
            if !namespaced && text(subject, &["namespace"]).is_empty() {
                errors.push(Error::required(&path.child("namespace"), ""));
            }
        }
        "User" | "Group" => errors.extend(one_of(group, &[GROUP], &path.child("apiGroup"))),
        other => errors.push(Error::not_supported(&path.child("kind"), other, &SUBJECTS)),
    }
    errors
}

/// The cells of a binding: name, role, age, users, groups and accounts.
pub(super) fn cells(obj: &Value, now: i64) -> Vec<Value> {
    let role = |field: &str| text(obj, &["roleRef", field]);
    let of_kind = |kind: &str| -> Value {
        let subjects = meta::list_at(obj, &["subjects"]).iter();
        let shown = |subject: &Value| match kind {
            "ServiceAccount" => format!("{}/{}", text(subject, &["namespace"]), text(subject, &["name"])),
            _ => text(subject, &["name"]).to_owned(),
        };
        let texts: Vec<String> = subjects.filter(|s| text(s, &["kind"]) == kind).map(shown).collect();
        texts.join(", ").into()
    };
    vec![
        cells::name(obj),
        format!("{}/{}", role("kind"), role("name")).into(),
        cells::age(obj, now),
        of_kind("User"),
        of_kind("Group"),
        of_kind("ServiceAccount"),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn accounts_of_cluster_bindings_need_a_namespace() {
        let account = json!({"kind": "ServiceAccount", "name": "a"});
        let path = Path::new("s");
        assert!(validate_subject(&account, true, &path).is_empty());
        assert_eq!(validate_subject(&account, false, &path)[0].field, "s.namespace");
        let user = json!({"kind": "User", "name": "u", "apiGroup": "x"});
        assert_eq!(validate_subject(&user, true, &path)[0].field, "s.apiGroup");
    }

    #[test]
    fn subjects_are_listed_by_kind() {
        let obj = json!({"metadata": {"name": "b"}, "roleRef": {"kind": "Role", "name": "r"}, "subjects": [
            {"kind": "User", "name": "u"}, {"kind": "User", "name": "v"}, {"kind": "ServiceAccount", "namespace": "n", "name": "s"}]});
        let cells = cells(&obj, 0);
        assert_eq!(cells[1], "Role/r");
        assert_eq!(cells[3..], [json!("u, v"), json!(""), json!("n/s")]);
    }
}
