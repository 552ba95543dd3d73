//! The rules in schemas (`x-kubernetes-validations`; apiextensions-apiserver `pkg/apiserver/schema/cel/validation.go`),
//! compiled once and evaluated with every write.

mod compile;
mod evaluate;
mod ratchet;

use crate::Structural;
use crate::correlate::Correlated;
use compile::Rules as Tree;
use machinery::field::{Error, ErrorList, Path};
use ratchet::Ratchet;
use serde_json::Value;

/// What evaluating the rules of an object may cost, all together.
pub const BUDGET: u64 = 10_000_000;
/// What evaluating one rule may cost.
const CALL_LIMIT: u64 = 1_000_000;
/// The longest message that an expression makes, in bytes.
const MAX_MESSAGE: usize = 5 * 1024;
const NOT_CHECKED: &str = "some validation rules were not checked because the object was invalid; correct the existing errors to complete validation";

/// The rules of a schema, compiled.
#[derive(Debug)]
pub struct Rules {
    schema: Structural,
    tree: Tree,
}

/// What rules have to say.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Findings {
    /// What is wrong.
    pub errors: ErrorList,
    /// What is wrong, but was before and did not change: what clients are warned of.
    pub warnings: Vec<String>,
}

/// What rules are evaluated about.
#[derive(Debug, Clone, Copy)]
pub enum Write<'a> {
    /// A value that nothing was before.
    Create(&'a Value),
    /// A value, and what it was before. What did not change is only warned of.
    Update(&'a Value, &'a Value),
    /// A value, and what it was before, as if all had changed.
    Replace(&'a Value, &'a Value),
}

impl Rules {
    /// Compiles the rules of a schema, as it is written in a definition; none if there are none. `whole` values have a kind
    /// and metadata.
    #[must_use]
    pub fn compile(written: &Value, schema: &Structural, whole: bool) -> Option<Rules> {
        if !schema.root().has_rules() {
            return None;
        }
        Some(Rules {
            schema: schema.clone(),
            tree: Tree::of(written, schema.root(), whole)?,
        })
    }

    /// What the rules have against a value at `path`. Not more than `budget` is spent; what is left of it is answered, none
    /// when it was exceeded.
    #[must_use]
    pub fn validate(&self, write: Write<'_>, path: &Path, budget: u64) -> (Findings, Option<u64>) {
        let root = self.schema.root();
        let (new, old, ratchet) = match write {
            Write::Create(new) => (new, None, Ratchet::default()),
            Write::Replace(new, old) => (new, Some(old), Ratchet::default()),
            Write::Update(new, old) => (new, Some(old), Ratchet::of(Correlated::new(new, old, root))),
        };
        let mut evaluation = evaluate::Evaluation::new(budget);
        let finished = evaluation.at(&self.tree, root, new, old, &ratchet, path);
        let left = finished.ok().map(|()| evaluation.budget);
        (evaluation.findings, left)
    }
}

/// Whether errors were found that keep rules from being evaluated, and the error that says so (`hasBlockingErr`).
#[must_use]
pub fn blocking(errors: &[Error]) -> Option<Error> {
    use machinery::field::ErrorType::{NotSupported, Required, TooLong, TooMany, TypeInvalid};
    let blocks = |error: &Error| matches!(error.kind, NotSupported | Required | TooLong | TooMany | TypeInvalid);
    let error = || Error::invalid(&Path::root(), Value::Null, NOT_CHECKED);
    errors.iter().any(blocks).then(error)
}

#[cfg(test)]
mod tests;
