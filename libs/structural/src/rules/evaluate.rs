//! Evaluating rules about a value, place by place.

use super::compile::{Own, Rules};
use super::ratchet::Ratchet;
use super::{CALL_LIMIT, Findings, MAX_MESSAGE};
use crate::correlate::Keyed;
use crate::node::{Kind, Node};
use machinery::field::{Error, ErrorType, Path, go_quote};
use serde_json::Value;

const EXCEEDED: &str = "validation failed due to running out of cost budget, no further validation rules will be run";

/// The budget is spent: nothing more is evaluated.
pub(super) struct Spent;

pub(super) struct Evaluation {
    pub(super) findings: Findings,
    pub(super) budget: u64,
}

/// What a rule may name.
struct Variables {
    own: cel::Value,
    old: Option<cel::Value>,
}

impl cel::Variables for Variables {
    fn get(&self, name: &str) -> Option<cel::Value> {
        match name {
            "self" => Some(self.own.clone()),
            "oldSelf" => self.old.clone(),
            _ => None,
        }
    }
}

impl Evaluation {
    pub(super) fn new(budget: u64) -> Self {
        Evaluation {
            findings: Findings::default(),
            budget,
        }
    }

    /// Evaluates the rules about a value and about what is in it.
    pub(super) fn at<'v>(
        &mut self,
        rules: &Rules,
        node: &'v Node,
        value: &'v Value,
        old: Option<&'v Value>,
        ratchet: &Ratchet<'v>,
        path: &Path,
    ) -> Result<(), Spent> {
        // What is null has no rules: those of what is around it see it.
        if value.is_null() {
            return Ok(());
        }
        let old = old.filter(|old| !old.is_null());
        self.own(rules, node, value, old, ratchet, path)?;
        match value {
            Value::Object(fields) => {
                let before = |name: &str| old.and_then(|old| old.get(name));
                if let (Some(rules), Some(node)) = (&rules.values, node.values()) {
                    for (name, value) in fields {
                        let (old, ratchet) = (before(name), ratchet.key(name));
                        self.at(rules, node, value, old, &ratchet, &path.key(name))?;
                    }
                }
                for (name, value) in fields {
                    if let (Some(rules), Some(node)) = (rules.property(name), node.property(name)) {
                        let (old, ratchet) = (before(name), ratchet.key(name));
                        self.at(rules, node, value, old, &ratchet, &path.child(name))?;
                    }
                }
            }
            Value::Array(items) => {
                if let (Some(rules), Some(of)) = (&rules.items, node.items.as_deref()) {
                    let before = old.map(|old| Keyed::of(node, old));
                    let known = ratchet.items();
                    for (i, item) in items.iter().enumerate() {
                        let old = before.as_ref().and_then(|before| before.get(item));
                        let ratchet = ratchet.item(known.as_ref(), item);
                        self.at(rules, of, item, old, &ratchet, &path.index(i))?;
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// `validateExpressions`
    fn own(
        &mut self,
        rules: &Rules,
        node: &Node,
        value: &Value,
        old: Option<&Value>,
        ratchet: &Ratchet<'_>,
        path: &Path,
    ) -> Result<(), Spent> {
        if rules.own.is_empty() {
            return Ok(());
        }
        let named = node.kind.name();
        let Some(declared) = &rules.declared else {
            let why = "rule compiler initialization error: failed to convert to declType for CEL validation rules";
            self.findings.errors.push(Error::invalid(path, named, why));
            return Ok(());
        };
        if self.budget == 0 {
            self.findings.errors.push(Error::invalid(path, named, EXCEEDED));
            return Err(Spent);
        }
        let plain = Variables {
            own: declared.value(value),
            old: old.map(|old| declared.value(old)),
        };
        let optional = Variables {
            own: plain.own.clone(),
            old: Some(cel::Value::Optional(plain.old.clone().map(Box::new))),
        };
        // Rules about integers do not take floats, even if validation does where they have no fraction.
        let is_float = node.kind == Kind::Integer && value.is_number() && !value.is_i64();
        for rule in &rules.own {
            let compiled = match &rule.program {
                None => continue,
                Some(Ok(compiled)) => compiled,
                Some(Err(why)) => {
                    let why = format!("rule compile error: {why}");
                    self.findings.errors.push(Error::invalid(path, named, why));
                    continue;
                }
            };
            if compiled.uses_old && old.is_none() && !rule.text.optional_old {
                continue;
            }
            if is_float {
                let why = "invalid data, expected int, got float64";
                let (detail, _) = failed(why, rule.name());
                self.findings.errors.push(Error::invalid(path, named, detail));
                continue;
            }
            let variables = if rule.text.optional_old { &optional } else { &plain };
            let evaluation = compiled.program.evaluate(variables, CALL_LIMIT);
            if let Err(spent) = self.spend(evaluation.cost) {
                self.findings.errors.push(Error::invalid(path, named, EXCEEDED));
                return Err(spent);
            }
            let failure = match evaluation.result {
                Ok(cel::Value::Bool(true)) => continue,
                Ok(_) => None,
                Err(failure) => Some(failure.to_string()),
            };
            if let Some(why) = failure {
                let (detail, spent) = failed(&why, rule.name());
                self.findings.errors.push(Error::invalid(path, named, detail));
                if spent {
                    return Err(Spent);
                }
                continue;
            }
            let forgiven = !compiled.uses_old && ratchet.is_unchanged();
            let path = rule
                .field
                .as_ref()
                .map_or_else(|| path.clone(), |field| path.child(field));
            match self.message(rule, &plain) {
                Ok(detail) => self.complain(refused(rule, node, value, &path, detail), forgiven),
                Err(why) => {
                    self.complain(Error::invalid(&path, named, why), forgiven);
                    return Err(Spent);
                }
            }
        }
        Ok(())
    }

    fn spend(&mut self, cost: u64) -> Result<(), Spent> {
        self.budget = self.budget.checked_sub(cost).ok_or(Spent)?;
        Ok(())
    }

    fn complain(&mut self, error: Error, forgiven: bool) {
        if forgiven {
            self.findings.warnings.push(error.to_string());
        } else {
            self.findings.errors.push(error);
        }
    }

    /// What a rule says that is not kept: what its expression makes, or else what is written (`evalMessageExpression`).
    fn message(&mut self, rule: &Own, variables: &Variables) -> Result<String, String> {
        let written = || match &*rule.text.message {
            "" => format!("failed rule: {}", rule.name()),
            message => message.trim().to_owned(),
        };
        let Some(compiled) = &rule.message else {
            return Ok(written());
        };
        let evaluation = compiled.program.evaluate(variables, CALL_LIMIT);
        if self.spend(evaluation.cost).is_err() {
            let why = "messageExpression evaluation failed due to running out of cost budget, no further validation rules will be run";
            return Err(why.to_owned());
        }
        match evaluation.result {
            Ok(cel::Value::String(message)) => {
                let message = message.trim();
                let fine = !message.is_empty() && message.len() <= MAX_MESSAGE && !message.contains('\n');
                Ok(if fine { message.to_owned() } else { written() })
            }
            Err(failure) if is_cancelled(&failure.to_string()) => Err(format!(
                "no further validation rules will be run due to call cost exceeds limit for messageExpression: {}",
                go_quote(&rule.text.message_expression)
            )),
            _ => Ok(written()),
        }
    }
}

fn is_cancelled(why: &str) -> bool {
    why.starts_with("operation cancelled: actual cost limit exceeded")
}

/// What is said of a rule that could not be evaluated, and whether that ends the evaluation.
fn failed(why: &str, rule: &str) -> (String, bool) {
    if why.starts_with("no such overload") {
        let detail = format!(
            "'{why}': call arguments did not match a supported operator, function or macro signature for rule: {rule}"
        );
        (detail, false)
    } else if is_cancelled(why) {
        let detail =
            format!("'{why}': no further validation rules will be run due to call cost exceeds limit for rule: {rule}");
        (detail, true)
    } else {
        (format!("{why} evaluating rule: {rule}"), false)
    }
}

/// `fieldErrorForReason`
fn refused(rule: &Own, node: &Node, value: &Value, path: &Path, detail: String) -> Error {
    let shown = (!matches!(node.kind, Kind::Object | Kind::Array)).then(|| value.clone());
    let (kind, shown, detail) = match rule.text.reason.as_deref() {
        Some("FieldValueForbidden") => (ErrorType::Forbidden, None, detail),
        Some("FieldValueRequired") => (ErrorType::Required, None, detail),
        Some("FieldValueDuplicate") => (ErrorType::Duplicate, shown, String::new()),
        _ => (ErrorType::Invalid, shown, detail),
    };
    Error::new(kind, path, shown, detail)
}
