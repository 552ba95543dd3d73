//! The expressions of admission (k8s.io/apiserver `pkg/admission/plugin/cel`): match conditions, and those of policies.

use super::{Objects, Table, unexpected};
use crate::check::{Environment, Fields, Type};
use crate::{Program, compile};
use std::collections::BTreeMap;
use std::sync::Arc;

const OBJECTS: Table = &[
    (
        "kubernetes.AdmissionRequest",
        &[
            ("kind", "kubernetes.GroupVersionKind"),
            ("resource", "kubernetes.GroupVersionResource"),
            ("subResource", "string"),
            ("requestKind", "kubernetes.GroupVersionKind"),
            ("requestResource", "kubernetes.GroupVersionResource"),
            ("requestSubResource", "string"),
            ("name", "string"),
            ("namespace", "string"),
            ("operation", "string"),
            ("userInfo", "kubernetes.UserInfo"),
            ("dryRun", "bool"),
            ("options", "dyn"),
        ],
    ),
    (
        "kubernetes.GroupVersionKind",
        &[("group", "string"), ("version", "string"), ("kind", "string")],
    ),
    (
        "kubernetes.GroupVersionResource",
        &[("group", "string"), ("version", "string"), ("resource", "string")],
    ),
    (
        "kubernetes.UserInfo",
        &[
            ("username", "string"),
            ("uid", "string"),
            ("groups", "list(string)"),
            ("extra", "map(string, list(string))"),
        ],
    ),
    (
        "kubernetes.Namespace",
        &[
            ("metadata", "kubernetes.NamespaceMetadata"),
            ("spec", "kubernetes.NamespaceSpec"),
            ("status", "kubernetes.NamespaceStatus"),
        ],
    ),
    ("kubernetes.NamespaceSpec", &[("finalizers", "list(string)")]),
    (
        "kubernetes.NamespaceStatus",
        &[
            ("conditions", "list(kubernetes.NamespaceCondition)"),
            ("phase", "string"),
        ],
    ),
    (
        "kubernetes.NamespaceCondition",
        &[
            ("status", "string"),
            ("type", "string"),
            ("lastTransitionTime", "timestamp"),
            ("message", "string"),
            ("reason", "string"),
        ],
    ),
    (
        "kubernetes.NamespaceMetadata",
        &[
            ("name", "string"),
            ("generateName", "string"),
            ("namespace", "string"),
            ("labels", "map(string, string)"),
            ("annotations", "map(string, string)"),
            ("UID", "string"),
            ("creationTimestamp", "timestamp"),
            ("deletionGracePeriodSeconds", "int"),
            ("deletionTimestamp", "timestamp"),
            ("generation", "int"),
            ("resourceVersion", "string"),
            ("finalizers", "list(string)"),
        ],
    ),
];

/// The name of the type that variables of a policy are fields of.
const VARIABLES: &str = "kubernetes.variables";
/// What a mutation makes: objects of any shape, and JSON patches.
const OBJECT: &str = "Object";
const JSON_PATCH: &str = "JSONPatch";

/// What an expression may name beyond the object and the request.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// `params`.
    pub params: bool,
    /// `authorizer`.
    pub authorizer: bool,
    /// `Object{}` and `JSONPatch{}`.
    pub patches: bool,
}

/// What an expression is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Conditions and validations: a boolean.
    Condition,
    /// The message of a refusal.
    Message,
    /// The value of an audit annotation.
    Annotation,
    /// A variable, of any type.
    Variable,
    /// The patch of a mutation.
    JsonPatch,
    /// The configuration that a mutation applies.
    Apply,
}

impl Purpose {
    fn types(self) -> Vec<Type> {
        match self {
            Purpose::Condition => vec![Type::Bool],
            Purpose::Message => vec![Type::String],
            Purpose::Annotation => vec![Type::String, Type::Null],
            Purpose::Variable => Vec::new(),
            Purpose::JsonPatch => vec![Type::list(Type::object(JSON_PATCH))],
            Purpose::Apply => vec![Type::object(OBJECT)],
        }
    }
}

/// Compiles the expressions of one policy or webhook, variables before what uses them.
#[derive(Default)]
pub struct Compiler {
    /// The variables so far; none where there cannot be any.
    variables: Option<BTreeMap<String, Type>>,
}

impl Compiler {
    /// For expressions without variables.
    #[must_use]
    pub fn new() -> Compiler {
        Compiler::default()
    }

    /// For expressions that may use the variables of their policy.
    #[must_use]
    pub fn with_variables() -> Compiler {
        Compiler {
            variables: Some(BTreeMap::new()),
        }
    }

    /// Compiles an expression.
    ///
    /// # Errors
    /// Upstream's words for what is wrong with it.
    pub fn compile(&self, text: &str, purpose: Purpose, options: Options) -> Result<Program, String> {
        let program = compile(text, &self.environment(options), None)
            .map_err(|issues| format!("compilation failed: {issues}"))?;
        let wanted = purpose.types();
        if wanted.is_empty() || wanted.contains(program.result_type()) {
            return Ok(program);
        }
        Err(unexpected(&wanted, program.result_type()))
    }

    /// Compiles a variable, which those that follow may use.
    ///
    /// # Errors
    /// Upstream's words for what is wrong with it.
    pub fn variable(&mut self, name: &str, text: &str, options: Options) -> Result<Program, String> {
        let compiled = self.compile(text, Purpose::Variable, options);
        let of = compiled
            .as_ref()
            .map_or(Type::Error, |program| program.result_type().clone());
        self.variables.get_or_insert_default().insert(name.to_owned(), of);
        compiled
    }

    fn environment(&self, options: Options) -> Environment {
        let mut environment = Environment::new()
            .variable("object", Type::Dyn)
            .variable("oldObject", Type::Dyn)
            .variable("namespaceObject", Type::object("kubernetes.Namespace"))
            .variable("request", Type::object("kubernetes.AdmissionRequest"))
            .objects(Arc::new(Objects { table: OBJECTS }));
        if options.params {
            environment = environment.variable("params", Type::Dyn);
        }
        if options.authorizer {
            environment = environment
                .variable("authorizer", Type::object("kubernetes.authorization.Authorizer"))
                .variable(
                    "authorizer.requestResource",
                    Type::object("kubernetes.authorization.ResourceCheck"),
                );
        }
        if options.patches {
            environment = environment
                .objects(Arc::new(Patches))
                .functions(&["jsonpatch.escapeKey(string): string"]);
        }
        if let Some(variables) = &self.variables {
            environment = environment
                .variable("variables", Type::object(VARIABLES))
                .objects(Arc::new(Variables(variables.clone())));
        }
        environment
    }
}

struct Variables(BTreeMap<String, Type>);

impl Fields for Variables {
    fn has(&self, object: &str) -> bool {
        object == VARIABLES
    }

    fn field(&self, object: &str, field: &str) -> Option<Type> {
        self.0.get(field).filter(|_| object == VARIABLES).cloned()
    }
}

struct Patches;

impl Fields for Patches {
    fn has(&self, object: &str) -> bool {
        object == JSON_PATCH
            || object == OBJECT
            || object.strip_prefix(OBJECT).is_some_and(|rest| rest.starts_with('.'))
    }

    fn field(&self, object: &str, field: &str) -> Option<Type> {
        if !self.has(object) {
            return None;
        }
        Some(match (object, field) {
            (JSON_PATCH, "op" | "path" | "from") => Type::String,
            (JSON_PATCH, "value") => Type::Dyn,
            // Nothing fits a field that does not exist.
            (JSON_PATCH, _) => Type::opaque(""),
            _ => Type::Dyn,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_purpose_has_its_types_and_variables() {
        let all = Options {
            params: true,
            authorizer: true,
            patches: true,
        };
        let none = Options::default();
        for (text, purpose, options, expected) in [
            ("object.x == oldObject.x", Purpose::Condition, none, None),
            (
                "request.kind.group == '' && request.userInfo.groups.size() > 1",
                Purpose::Condition,
                none,
                None,
            ),
            (
                "namespaceObject.metadata.labels['a'] == 'b'",
                Purpose::Condition,
                none,
                None,
            ),
            (
                "params.x && authorizer.path('/x').check('get').allowed()",
                Purpose::Condition,
                all,
                None,
            ),
            ("1", Purpose::Condition, none, Some("must evaluate to bool but got int")),
            ("1", Purpose::Message, none, Some("must evaluate to string but got int")),
            (
                "1",
                Purpose::Annotation,
                none,
                Some("must evaluate to one of [string null_type] but got int"),
            ),
            ("Object{spec: Object.spec{a: 1}}", Purpose::Apply, all, None),
            (
                "[JSONPatch{op: 'add', path: jsonpatch.escapeKey('a'), value: 1}]",
                Purpose::JsonPatch,
                all,
                None,
            ),
            (
                "JSONPatch{nope: 1}",
                Purpose::JsonPatch,
                all,
                Some(
                    "compilation failed: ERROR: <input>:1:15: expected type of field 'nope' is '' but provided type is 'int'\n | JSONPatch{nope: 1}\n | ..............^",
                ),
            ),
            (
                "params",
                Purpose::Condition,
                none,
                Some(
                    "compilation failed: ERROR: <input>:1:1: undeclared reference to 'params' (in container '')\n | params\n | ^",
                ),
            ),
        ] {
            let found = Compiler::new().compile(text, purpose, options);
            assert_eq!(found.err().as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn variables_are_known_to_what_follows() {
        let mut compiler = Compiler::with_variables();
        let options = Options::default();
        assert!(compiler.variable("a", "1", options).is_ok());
        assert!(compiler.variable("b", "variables.a + 1", options).is_ok());
        assert!(
            compiler
                .compile("variables.b == 2", Purpose::Condition, options)
                .is_ok()
        );
        assert!(
            compiler
                .compile("variables.b == 'x'", Purpose::Condition, options)
                .is_err()
        );
        assert!(compiler.compile("variables.c", Purpose::Condition, options).is_err());
    }
}
