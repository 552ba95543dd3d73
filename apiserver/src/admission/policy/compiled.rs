//! The compiled expressions of one policy.

use cel::Program;
use cel::kubernetes::admission::{Compiler, Options, Purpose};
use machinery::meta;
use serde_json::Value;

/// An expression and what came of compiling it.
pub(super) struct Expression {
    pub(super) text: String,
    pub(super) program: Result<Program, String>,
}

/// What an object must fulfil, and what is said otherwise.
pub(super) struct Validation {
    pub(super) expression: Expression,
    pub(super) message: String,
    pub(super) message_expression: Option<Expression>,
    pub(super) reason: String,
}

/// A patch, by how it is applied.
pub(super) enum Mutation {
    JsonPatch(Expression),
    Apply(Expression),
}

/// The expressions of a policy.
pub(in crate::admission) struct Policy {
    pub(super) name: String,
    /// Whether an error counts as a refusal.
    pub(super) fails: bool,
    pub(super) spec: Value,
    pub(super) variables: Vec<(String, Expression)>,
    pub(super) conditions: Vec<Expression>,
    pub(super) validations: Vec<Validation>,
    pub(super) mutations: Vec<Mutation>,
    /// Values of audit annotations, of which only the errors are seen.
    pub(super) annotations: Vec<Expression>,
}

fn text(owner: &Value, path: &[&str]) -> String {
    meta::str_at(owner, path).unwrap_or_default().to_owned()
}

impl Policy {
    pub(in crate::admission) fn compile(object: &Value) -> Policy {
        let spec = object.get("spec").cloned().unwrap_or_default();
        let options = Options {
            params: spec.get("paramKind").is_some_and(|kind| !kind.is_null()),
            authorizer: true,
            patches: false,
        };
        let mut compiler = Compiler::with_variables();
        let mut variables = Vec::new();
        for variable in meta::list_at(&spec, &["variables"]) {
            let (name, text) = (text(variable, &["name"]), text(variable, &["expression"]));
            let program = compiler.variable(&name, &text, options);
            variables.push((name, Expression { text, program }));
        }
        let expression = |text: String, purpose: Purpose, options: Options| Expression {
            program: compiler.compile(&text, purpose, options),
            text,
        };
        let each = |field: &str| meta::list_at(&spec, &[field]).to_vec();
        let conditions = each("matchConditions");
        let condition = |owner: &Value| expression(text(owner, &["expression"]), Purpose::Condition, options);
        let patches = Options {
            patches: true,
            ..options
        };
        let validations = each("validations").into_iter().map(|owner| {
            let message = text(&owner, &["messageExpression"]);
            // Messages may not ask the authorizer.
            let quiet = Options {
                authorizer: false,
                ..options
            };
            Validation {
                expression: condition(&owner),
                message: text(&owner, &["message"]),
                message_expression: (!message.is_empty()).then(|| expression(message, Purpose::Message, quiet)),
                reason: text(&owner, &["reason"]),
            }
        });
        let mutations = each("mutations")
            .into_iter()
            .map(|owner| match text(&owner, &["patchType"]).as_str() {
                "JSONPatch" => {
                    let text = text(&owner, &["jsonPatch", "expression"]);
                    Mutation::JsonPatch(expression(text, Purpose::JsonPatch, patches))
                }
                _ => {
                    let text = text(&owner, &["applyConfiguration", "expression"]);
                    Mutation::Apply(expression(text, Purpose::Apply, patches))
                }
            });
        let annotations = each("auditAnnotations");
        let annotation = |owner: &Value| expression(text(owner, &["valueExpression"]), Purpose::Annotation, options);
        Policy {
            name: meta::name(object).to_owned(),
            fails: text(&spec, &["failurePolicy"]) != "Ignore",
            conditions: conditions.iter().map(condition).collect(),
            validations: validations.collect(),
            mutations: mutations.collect(),
            annotations: annotations.iter().map(annotation).collect(),
            variables,
            spec,
        }
    }
}
