//! What the policies and bindings of both kinds, validating and mutating, check and show.

use super::super::core::pod_template::validate_label_selector;
use super::super::shared::cells;
use super::super::shared::checks::{complaints, one_of, required, text, unplanned};
use super::matching;
use crate::registry::columns::{Column, Columns};
use cel::Program;
use cel::kubernetes::admission::{Compiler, Options, Purpose};
use machinery::field::{Error, ErrorList, Path};
use machinery::{meta, names};
use serde_json::Value;

const ACTIONS_WITHOUT_PARAMETER: [&str; 2] = ["Deny", "Allow"];
const EXCLUSIVE: &str = "name and selector are mutually exclusive";
/// What mutating policies look at: there is nothing to change in what is deleted.
const MUTATED: [&str; 4] = ["*", "CONNECT", "CREATE", "UPDATE"];

pub(super) const PARAM_KIND: Column = Column::new(
    "ParamKind",
    "string",
    "ParamKind specifies the kind of resources used to parameterize this policy",
);

/// The table of bindings.
pub(super) static BINDING_COLUMNS: Columns = Columns {
    columns: &[
        cells::NAME,
        Column::new(
            "PolicyName",
            "string",
            "PolicyName indicates the policy definition which the policy binding binded to",
        ),
        Column::new(
            "ParamRef",
            "string",
            "ParamRef indicates the param resource which sets the configuration param",
        ),
        cells::AGE,
    ],
    cells: |obj, now| {
        vec![
            cells::name(obj),
            text(obj, &["spec", "policyName"]).into(),
            parameter(meta::at(obj, &["spec", "paramRef"])),
            cells::age(obj, now),
        ]
    },
};

fn parameter(reference: Option<&Value>) -> Value {
    let Some(reference) = reference else {
        return cells::UNSET.into();
    };
    match (text(reference, &["namespace"]), text(reference, &["name"])) {
        (_, "") if reference.get("selector").is_some() => cells::selector(reference, &["selector"]),
        (_, "") => cells::UNSET.into(),
        ("", name) => format!("*/{name}").into(),
        (namespace, name) => format!("{namespace}/{name}").into(),
    }
}

/// The cell of [`PARAM_KIND`].
pub(super) fn param_kind_cell(obj: &Value) -> Value {
    match meta::at(obj, &["spec", "paramKind"]) {
        Some(kind) => format!("{}/{}", text(kind, &["apiVersion"]), text(kind, &["kind"])).into(),
        None => cells::UNSET.into(),
    }
}

/// What a policy does unless it says otherwise.
pub(super) fn default_policy(obj: &mut Value) {
    if let Some(spec) = obj.get_mut("spec").filter(|s| s.is_object()) {
        meta::set_default(spec, &["failurePolicy"], "Fail");
        matching::default_match_resources(spec, "matchConstraints");
    }
}

/// What a binding selects unless it says otherwise.
pub(super) fn default_binding(obj: &mut Value) {
    if let Some(spec) = obj.get_mut("spec").filter(|s| s.is_object()) {
        matching::default_match_resources(spec, "matchResources");
    }
}

/// What both kinds of policies have in common, up to their variables, and what compiles the expressions that follow.
pub(super) fn policy(spec: &Value, old: Option<&Value>, mutating: bool, path: &Path) -> (ErrorList, Expressions) {
    let mut errors = ErrorList::new();
    let failure_path = path.child("failurePolicy");
    errors.extend(match meta::str_at(spec, &["failurePolicy"]) {
        None => Some(Error::required(&failure_path, "")),
        Some(failure) => one_of(failure, &matching::FAILURE_POLICIES, &failure_path),
    });
    let params = spec.get("paramKind").is_some();
    if let Some(kind) = spec.get("paramKind") {
        errors.extend(param_kind(kind, &path.child("paramKind")));
    }
    let constraints_path = path.child("matchConstraints");
    match spec.get("matchConstraints") {
        Some(constraints) => {
            errors.extend(matching::match_resources(constraints, &constraints_path));
            if meta::list_at(constraints, &["resourceRules"]).is_empty() {
                errors.push(Error::required(&constraints_path.child("resourceRules"), ""));
            }
            if mutating {
                errors.extend(mutable(constraints, &constraints_path));
            }
        }
        None => errors.push(Error::required(&constraints_path, "")),
    }
    let unchanged = |old: &Value| {
        let same = |field| old.get(field) == spec.get(field);
        same("paramKind") && same("matchConditions")
    };
    if !old.is_some_and(unchanged) {
        let conditions = meta::list_at(spec, &["matchConditions"]);
        let path = path.child("matchConditions");
        errors.extend(matching::conditions(conditions, params, &path));
    }
    let variables = meta::list_at(spec, &["variables"]);
    let compiler = if mutating || !variables.is_empty() {
        Compiler::with_variables()
    } else {
        Compiler::new()
    };
    let mut expressions = Expressions { compiler, params };
    for (i, obj) in variables.iter().enumerate() {
        errors.extend(variable(obj, &mut expressions, &path.child("variables").index(i)));
    }
    (errors, expressions)
}

/// What compiles the expressions of a policy behind its variables.
pub(super) struct Expressions {
    compiler: Compiler,
    params: bool,
}

impl Expressions {
    /// Those of a policy without variables and parameters.
    #[cfg(test)]
    pub(super) fn plain() -> Expressions {
        Expressions {
            compiler: Compiler::new(),
            params: false,
        }
    }

    fn options(&self, authorizer: bool) -> Options {
        Options {
            params: self.params,
            authorizer,
            patches: false,
        }
    }

    /// What is wrong with an expression, which is shown as it was written.
    pub(super) fn check(&self, text: &str, purpose: Purpose, path: &Path) -> Option<Error> {
        // Messages may not ask the authorizer.
        let options = self.options(purpose != Purpose::Message);
        let compiled = self.compiler.compile(text, purpose, options);
        complaint(compiled, text, path)
    }

    /// The same for the patches of mutations.
    pub(super) fn check_patch(&self, text: &str, purpose: Purpose, path: &Path) -> Option<Error> {
        let options = Options {
            patches: true,
            ..self.options(true)
        };
        complaint(self.compiler.compile(text, purpose, options), text, path)
    }
}

/// What is wrong with an expression that was compiled.
pub(super) fn complaint(compiled: Result<Program, String>, text: &str, path: &Path) -> Option<Error> {
    match compiled {
        Err(detail) => Some(Error::invalid(path, text, detail)),
        Ok(program) => unplanned(&program, path),
    }
}

/// The operations that a mutating policy may name.
fn mutable(resources: &Value, path: &Path) -> ErrorList {
    let path = path.child("resourceRules").child("operations");
    meta::list_at(resources, &["resourceRules"])
        .iter()
        .flat_map(|rule| meta::list_at(rule, &["operations"]))
        .filter_map(|operation| one_of(operation.as_str().unwrap_or_default(), &MUTATED, &path))
        .collect()
}

/// `validateParamKind`.
fn param_kind(kind: &Value, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let api_version = text(kind, &["apiVersion"]);
    let version_path = path.child("apiVersion");
    let mut check = |value: &str, found: Vec<String>| {
        if !found.is_empty() {
            errors.push(Error::invalid(&version_path, value, found.join(",")));
        }
    };
    match api_version.split('/').collect::<Vec<_>>()[..] {
        [""] => errors.push(Error::required(&version_path, "")),
        ["", ""] | [_, ""] => check(api_version, vec!["version must be specified".to_owned()]),
        [version] | ["", version] => check(version, names::dns1035_label(version)),
        [group, version] => {
            check(group, names::dns1123_subdomain(group));
            check(version, names::dns1035_label(version));
        }
        _ => {
            let detail = format!("unexpected GroupVersion string: {api_version}");
            check(api_version, vec![detail]);
        }
    }
    let name = text(kind, &["kind"]);
    let found = names::dns1035_label(&name.to_lowercase());
    if name.is_empty() {
        errors.push(Error::required(&path.child("kind"), ""));
    } else if !found.is_empty() {
        let detail = format!("may have mixed case, but should otherwise match: {}", found.join(","));
        errors.push(Error::invalid(&path.child("kind"), name, detail));
    }
    errors
}

fn variable(variable: &Value, expressions: &mut Expressions, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let name = text(variable, &["name"]);
    if name.trim().is_empty() {
        errors.push(Error::required(&path.child("name"), "name is not specified"));
    } else if !is_identifier(name) {
        errors.push(Error::invalid(
            &path.child("name"),
            name,
            "must be a valid CEL identifier",
        ));
    }
    let missing = expression(variable, "expression", path);
    if missing.is_none() {
        let text = text(variable, &["expression"]);
        let options = expressions.options(true);
        let compiled = expressions.compiler.variable(name, text, options);
        errors.extend(complaint(compiled, text, &path.child("expression")));
    }
    errors.extend(missing);
    errors
}

/// A complaint about an expression that is absent or blank.
pub(super) fn expression(owner: &Value, field: &str, path: &Path) -> Option<Error> {
    let blank = text(owner, &[field]).trim().is_empty();
    blank.then(|| Error::required(&path.child(field), format!("{field} is not specified")))
}

fn is_identifier(name: &str) -> bool {
    let letter = |b: u8| b == b'_' || b.is_ascii_alphabetic();
    name.bytes().next().is_some_and(letter)
        && name.bytes().all(|b| letter(b) || b.is_ascii_digit())
        && !cel::RESERVED.contains(&name)
}

/// What both kinds of bindings have in common.
pub(super) fn binding(spec: &Value, mutating: bool, path: &Path) -> ErrorList {
    let policy = text(spec, &["policyName"]);
    let mut errors = required(&path.child("policyName"), policy, names::dns1123_subdomain);
    if let Some(reference) = spec.get("paramRef") {
        errors.extend(param_ref(reference, &path.child("paramRef")));
    }
    if let Some(resources) = spec.get("matchResources") {
        let path = path.child("matchResources");
        errors.extend(matching::match_resources(resources, &path));
        if mutating {
            errors.extend(mutable(resources, &path));
        }
    }
    errors
}

/// `validateParamRef`.
fn param_ref(reference: &Value, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let name = text(reference, &["name"]);
    let selector = reference.get("selector");
    errors.extend(complaints(&path.child("name"), name, names::path_segment(name, false)));
    let both = !name.is_empty() && selector.is_some();
    if both {
        errors.push(Error::forbidden(&path.child("name"), EXCLUSIVE));
    }
    if let Some(selector) = selector {
        errors.extend(validate_label_selector(selector, &path.child("selector")));
    }
    if both {
        errors.push(Error::forbidden(&path.child("selector"), EXCLUSIVE));
    }
    if name.is_empty() && selector.is_none() {
        errors.push(Error::required(path, "one of name or selector must be specified"));
    }
    let path = path.child("parameterNotFoundAction");
    match text(reference, &["parameterNotFoundAction"]) {
        "" => errors.push(Error::required(&path, "")),
        action => errors.extend(one_of(action, &ACTIONS_WITHOUT_PARAMETER, &path)),
    }
    errors
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn kinds_of_parameters_are_named_in_full() {
        for (kind, expected) in [
            (json!({"apiVersion": "v1", "kind": "ConfigMap"}), vec![]),
            (json!({"kind": "x"}), vec!["p.apiVersion: Required value"]),
            (
                json!({"apiVersion": "a/b/c"}),
                vec![
                    "p.apiVersion: Invalid value: \"a/b/c\": unexpected GroupVersion string: a/b/c",
                    "p.kind: Required value",
                ],
            ),
            (
                json!({"apiVersion": "a/", "kind": "X"}),
                vec!["p.apiVersion: Invalid value: \"a/\": version must be specified"],
            ),
        ] {
            let found = param_kind(&kind, &Path::new("p"));
            let texts: Vec<String> = found.iter().map(ToString::to_string).collect();
            assert_eq!(texts, expected, "{kind}");
        }
    }

    #[test]
    fn parameters_are_named_or_selected() {
        let reference = json!({"name": "n", "selector": {}, "parameterNotFoundAction": "x"});
        let found = param_ref(&reference, &Path::new("r"));
        let texts: Vec<String> = found.iter().map(ToString::to_string).collect();
        assert_eq!(
            texts,
            [
                "r.name: Forbidden: name and selector are mutually exclusive",
                "r.selector: Forbidden: name and selector are mutually exclusive",
                r#"r.parameterNotFoundAction: Unsupported value: "x": supported values: "Deny", "Allow""#,
            ]
        );
        assert_eq!(parameter(None), "<unset>");
        assert_eq!(parameter(Some(&json!({"name": "n"}))), "*/n");
        assert!(is_identifier("_a1") && !is_identifier("1x") && !is_identifier("for"));
    }
}
