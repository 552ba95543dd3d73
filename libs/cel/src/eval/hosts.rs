//! What expressions ask their surroundings: variables, and who may do what.

use super::{Failure, Value};
use std::fmt;
use std::sync::Arc;

/// Where the variables of an expression come from.
pub trait Variables {
    /// The value of a variable; none if there is no such variable.
    fn get(&self, name: &str) -> Option<Value>;

    /// The value of a field of a variable, for variables that are found out only when they are asked for.
    fn field(&self, _name: &str, _field: &str) -> Option<Result<Value, Failure>> {
        None
    }
}

/// A question about somebody's rights.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Question {
    /// The name and namespace of the service account that is meant instead of who asks.
    pub service_account: Option<(String, String)>,
    /// The path, where no resource is meant.
    pub path: Option<String>,
    /// What would be done.
    pub verb: String,
    /// The group of the resource.
    pub group: String,
    /// The resource.
    pub resource: String,
    /// The subresource; may be empty.
    pub subresource: String,
    /// The namespace; may be empty.
    pub namespace: String,
    /// The name; may be empty.
    pub name: String,
}

/// Decides about rights.
pub trait Authorize: Send + Sync {
    /// Whether it is allowed, and why.
    fn decide(&self, question: &Question) -> Decision;
}

/// An answer about rights.
#[derive(Debug, Clone, Default)]
pub struct Decision {
    /// Whether it is allowed.
    pub allowed: bool,
    /// Why.
    pub reason: String,
    /// What kept from finding out; empty if nothing did.
    pub error: String,
}

/// A question that is being put together.
#[derive(Clone)]
pub struct Authorizer {
    host: Arc<dyn Authorize>,
    question: Question,
    stage: Stage,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Authorizer,
    Path,
    Group,
    Resource,
}

impl fmt::Debug for Authorizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authorizer")
            .field("question", &self.question)
            .finish_non_exhaustive()
    }
}

impl Authorizer {
    /// The `authorizer` of an expression.
    #[must_use]
    pub fn value(host: Arc<dyn Authorize>) -> Value {
        Value::Authorizer(Arc::new(Authorizer {
            host,
            question: Question::default(),
            stage: Stage::Authorizer,
        }))
    }

    /// The `authorizer.requestResource` of an expression.
    #[must_use]
    pub fn for_resource(host: Arc<dyn Authorize>, question: Question) -> Value {
        Value::Authorizer(Arc::new(Authorizer {
            host,
            question,
            stage: Stage::Resource,
        }))
    }

    pub(super) fn type_name(&self) -> &'static str {
        match self.stage {
            Stage::Authorizer => "kubernetes.authorization.Authorizer",
            Stage::Path => "kubernetes.authorization.PathCheck",
            Stage::Group => "kubernetes.authorization.GroupCheck",
            Stage::Resource => "kubernetes.authorization.ResourceCheck",
        }
    }

    /// The question with one more part, or its answer.
    pub(super) fn call(&self, function: &str, args: &[Value]) -> Option<Value> {
        let mut texts = args.iter().map(|arg| match arg {
            Value::String(text) => Some(text.to_string()),
            _ => None,
        });
        let first = texts.next()??;
        let mut next = self.clone();
        match (self.stage, function) {
            (Stage::Authorizer, "serviceAccount") => next.question.service_account = Some((first, texts.next()??)),
            (Stage::Authorizer, "path") => {
                next.question.path = Some(first);
                next.stage = Stage::Path;
            }
            (Stage::Authorizer, "group") => {
                next.question.group = first;
                next.stage = Stage::Group;
            }
            (Stage::Group, "resource") => {
                next.question.resource = first;
                next.stage = Stage::Resource;
            }
            (Stage::Resource, "subresource") => next.question.subresource = first,
            (Stage::Resource, "namespace") => next.question.namespace = first,
            (Stage::Resource, "name") => next.question.name = first,
            // Rights do not depend on selectors here.
            (Stage::Resource, "fieldSelector" | "labelSelector") => {}
            (Stage::Resource | Stage::Path, "check") => {
                next.question.verb = first;
                return Some(Value::Decision(Arc::new(self.host.decide(&next.question))));
            }
            _ => return None,
        }
        Some(Value::Authorizer(Arc::new(next)))
    }
}
