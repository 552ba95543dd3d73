//! What expressions know about a write: the values of their variables.

use super::super::{Attributes, Rights};
use super::compiled::{Expression, Policy};
use super::{CALL_LIMIT, OUT_OF_BUDGET};
use cel::{Authorize, Authorizer, Decision, Failure, Question, Value, Variables};
use machinery::gvk::GroupResource;
use machinery::schema;
use serde_json::{Value as Json, json};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The values that are the same for all policies.
pub(in crate::admission) struct Facts {
    object: Value,
    old_object: Value,
    request: Value,
    namespace: Value,
    authorizer: Value,
    resource_authorizer: Value,
}

/// Who asks, for questions about rights.
struct Asker {
    rights: Arc<dyn Rights>,
    user: String,
    groups: Vec<String>,
}

impl Authorize for Asker {
    fn decide(&self, question: &Question) -> Decision {
        let allowed = match &question.service_account {
            Some((namespace, name)) => {
                let groups = [
                    "system:serviceaccounts".to_owned(),
                    format!("system:serviceaccounts:{namespace}"),
                    "system:authenticated".to_owned(),
                ];
                let user = format!("system:serviceaccount:{namespace}:{name}");
                self.rights.may(&user, &groups, question)
            }
            None => self.rights.may(&self.user, &self.groups, question),
        };
        Decision {
            allowed,
            ..Decision::default()
        }
    }
}

impl Facts {
    /// What is known about a write; `namespace` is the object's, if it lies in one.
    pub(in crate::admission) fn new(
        attributes: &Attributes<'_>,
        object: &Json,
        namespace: Option<&Json>,
        rights: Option<&Arc<dyn Rights>>,
    ) -> Facts {
        let asker = rights.map(|rights| {
            let asker: Arc<dyn Authorize> = Arc::new(Asker {
                rights: rights.clone(),
                user: attributes.user.to_owned(),
                groups: attributes.groups.to_vec(),
            });
            asker
        });
        let question = Question {
            group: attributes.resource.group.clone(),
            resource: attributes.resource.resource.clone(),
            subresource: attributes.subresource.to_owned(),
            namespace: attributes.namespace.to_owned(),
            name: attributes.name.to_owned(),
            ..Question::default()
        };
        let old = attributes
            .old
            .map_or(Value::Null, |old| Value::from_json(&typed(old, attributes)));
        Facts {
            object: match object {
                Json::Null => Value::Null,
                object => Value::from_json(&typed(object, attributes)),
            },
            old_object: old,
            request: Value::from_json(&request(attributes, object)),
            namespace: namespace.map_or(Value::Null, Value::from_json),
            authorizer: asker.clone().map_or(Value::Null, Authorizer::value),
            resource_authorizer: asker.map_or(Value::Null, |asker| Authorizer::for_resource(asker, question)),
        }
    }

    /// The same write after its object was changed.
    pub(super) fn with_object(&mut self, attributes: &Attributes<'_>, object: &Json) {
        self.object = Value::from_json(&typed(object, attributes));
    }
}

/// The object as it is encoded (`ConvertToUnstructured`).
pub(super) fn encoded(object: &Json, attributes: &Attributes<'_>) -> Json {
    let mut object = object.clone();
    schema::leave_out_empty(&attributes.kind, &mut object);
    object
}

/// The object as it is encoded, with its kind.
fn typed(object: &Json, attributes: &Attributes<'_>) -> Json {
    let mut object = encoded(object, attributes);
    if let Some(fields) = object.as_object_mut() {
        let version = attributes.kind.api_version();
        fields.entry("apiVersion").or_insert_with(|| version.into());
        fields
            .entry("kind")
            .or_insert_with(|| attributes.kind.kind.clone().into());
    }
    object
}

/// The AdmissionRequest (`CreateAdmissionRequest`); what is empty is left out.
pub(in crate::admission) fn request(attributes: &Attributes<'_>, object: &Json) -> Json {
    let GroupResource { group, resource } = &attributes.resource;
    let version = attributes.version;
    let kind =
        json!({"group": attributes.kind.group, "version": attributes.kind.version, "kind": attributes.kind.kind});
    let resource = json!({"group": group, "version": version, "resource": resource});
    let mut user = json!({});
    for (field, text) in [("username", attributes.user), ("uid", attributes.uid)] {
        if !text.is_empty() {
            user[field] = text.into();
        }
    }
    if !attributes.groups.is_empty() {
        user["groups"] = json!(attributes.groups);
    }
    if !attributes.extra.is_empty() {
        user["extra"] = json!(attributes.extra);
    }
    let mut request = json!({
        "uid": "",
        "kind": kind,
        "resource": resource,
        "requestKind": kind,
        "requestResource": resource,
        "operation": attributes.operation.as_str(),
        "userInfo": user,
        "object": null,
        "oldObject": null,
        "dryRun": attributes.dry_run,
        "options": attributes.options,
    });
    let given = machinery::meta::name(object);
    let name = if attributes.name.is_empty() {
        given
    } else {
        attributes.name
    };
    for (field, text) in [
        ("subResource", attributes.subresource),
        ("requestSubResource", attributes.subresource),
        ("name", name),
        ("namespace", attributes.namespace),
    ] {
        if !text.is_empty() {
            request[field] = text.into();
        }
    }
    request
}

/// Evaluates the expressions of a policy for one parameter.
pub(in crate::admission) struct Evaluator<'a> {
    policy: &'a Policy,
    facts: &'a Facts,
    parameter: Value,
    /// The variables that were asked for already.
    found: RefCell<BTreeMap<String, Result<Value, Failure>>>,
    /// What is left to spend.
    budget: RefCell<u64>,
    with_namespace: bool,
}

impl<'a> Evaluator<'a> {
    pub(in crate::admission) fn new(
        policy: &'a Policy,
        facts: &'a Facts,
        parameter: Option<&Json>,
        budget: u64,
    ) -> Self {
        Evaluator {
            policy,
            facts,
            parameter: parameter.map_or(Value::Null, Value::from_json),
            found: RefCell::default(),
            budget: RefCell::new(budget),
            with_namespace: true,
        }
    }

    /// For match conditions, which do not see the namespace.
    pub(in crate::admission) fn without_namespace(self) -> Self {
        Evaluator {
            with_namespace: false,
            ..self
        }
    }

    /// The value of an expression, in upstream's words if there is none. The outer error ends the policy.
    pub(super) fn evaluate(&self, expression: &Expression) -> Result<Result<Value, String>, String> {
        let program = match &expression.program {
            Ok(program) => program,
            Err(error) => return Ok(Err(format!("compilation error: {error}"))),
        };
        let evaluation = program.evaluate(self, CALL_LIMIT);
        self.spend(evaluation.cost)?;
        let text = &expression.text;
        let failed = |failure| format!("expression '{text}' resulted in error: {failure}");
        Ok(evaluation.result.map_err(failed))
    }

    fn spend(&self, cost: u64) -> Result<(), String> {
        let mut budget = self.budget.borrow_mut();
        *budget = budget.checked_sub(cost).ok_or_else(|| OUT_OF_BUDGET.to_owned())?;
        Ok(())
    }

    fn find(&self, name: &str) -> Option<Result<Value, Failure>> {
        if let Some(found) = self.found.borrow().get(name) {
            return Some(found.clone());
        }
        let (_, expression) = self.policy.variables.iter().find(|(known, _)| known == name)?;
        let found = match &expression.program {
            Err(error) => Err(Failure::new(format!(
                "composited variable \"{name}\" fails to compile: {error}"
            ))),
            Ok(program) => {
                let evaluation = program.evaluate(self, CALL_LIMIT);
                let failed =
                    |why: String| Failure::new(format!("composited variable \"{name}\" fails to evaluate: {why}"));
                let result = evaluation.result.map_err(|failure| failed(failure.to_string()));
                self.spend(evaluation.cost).map_err(failed).and(result)
            }
        };
        self.found.borrow_mut().insert(name.to_owned(), found.clone());
        Some(found)
    }
}

impl Variables for Evaluator<'_> {
    fn get(&self, name: &str) -> Option<Value> {
        let facts = self.facts;
        Some(match name {
            "object" => facts.object.clone(),
            "oldObject" => facts.old_object.clone(),
            "request" => facts.request.clone(),
            "params" => self.parameter.clone(),
            "namespaceObject" if self.with_namespace => facts.namespace.clone(),
            "namespaceObject" => Value::Null,
            "authorizer" => facts.authorizer.clone(),
            "authorizer.requestResource" => facts.resource_authorizer.clone(),
            _ => return None,
        })
    }

    fn field(&self, name: &str, field: &str) -> Option<Result<Value, Failure>> {
        (name == "variables").then(|| self.find(field)).flatten()
    }
}

/// Whether the conditions of a policy let it apply (`matchconditions.Match`); an error if that cannot be told.
pub(in crate::admission) fn conditions_hold(evaluator: &Evaluator<'_>) -> Result<bool, String> {
    let mut errors = Vec::new();
    for condition in &evaluator.policy.conditions {
        match evaluator.evaluate(condition)? {
            Ok(Value::Bool(false)) => return Ok(false),
            Ok(_) => {}
            Err(error) => errors.push(error),
        }
    }
    match errors.as_slice() {
        [] => Ok(true),
        _ if !evaluator.policy.fails => Ok(false),
        [error] => Err(error.clone()),
        errors => Err(format!("[{}]", errors.join(", "))),
    }
}
