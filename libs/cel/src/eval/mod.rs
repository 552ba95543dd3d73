//! Evaluation: trees are walked as they are. Errors are values until nothing absorbs them, as in cel-go's interpreter.

mod convert;
mod functions;
mod hosts;
mod identity;
mod lists;
mod network;
mod numbers;
mod strings;
mod template;
pub(crate) mod url;
mod value;

pub use hosts::{Authorize, Authorizer, Decision, Question, Variables};
pub use identity::{Identity, List};
pub use value::{Key, Semver, Url, Value};

use crate::ast::{self, Call, Expr, Kind, Literal, Loop, Select, operators as op};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use value::entry;

/// Why an expression has no value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    message: String,
    /// Whether nothing may absorb it: the evaluation was stopped.
    fatal: bool,
}

impl Failure {
    /// A failure in cel-go's words.
    #[must_use]
    pub fn new(message: impl Into<String>) -> Failure {
        Failure {
            message: message.into(),
            fatal: false,
        }
    }

    fn no_such_key(key: impl fmt::Display) -> Failure {
        Failure::new(format!("no such key: {key}"))
    }

    fn no_such_overload() -> Failure {
        Failure::new("no such overload")
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

type Outcome = Result<Value, Failure>;

/// A value and what finding it cost.
#[derive(Debug)]
pub struct Evaluation {
    /// The value, or why there is none.
    pub result: Result<Value, Failure>,
    /// Units of cost.
    pub cost: u64,
}

/// Finds the value of an expression, unless that costs more than `limit`.
pub(crate) fn evaluate(expr: &Expr, variables: &dyn Variables, limit: u64) -> Evaluation {
    let mut interpreter = Interpreter {
        variables,
        locals: Vec::new(),
        cost: 0,
        limit,
    };
    let result = interpreter.value(expr);
    Evaluation {
        result,
        cost: interpreter.cost,
    }
}

struct Interpreter<'v> {
    variables: &'v dyn Variables,
    locals: Vec<(String, Outcome)>,
    cost: u64,
    limit: u64,
}

impl Interpreter<'_> {
    fn spend(&mut self, units: u64) -> Result<(), Failure> {
        self.cost = self.cost.saturating_add(units);
        if self.cost > self.limit {
            return Err(Failure {
                message: "operation cancelled: actual cost limit exceeded".to_owned(),
                fatal: true,
            });
        }
        Ok(())
    }

    fn value(&mut self, expr: &Expr) -> Outcome {
        match &expr.kind {
            Kind::Literal(literal) => Ok(of_literal(literal)),
            Kind::Ident(name) => self.ident(name),
            Kind::Select(select) => self.select(select),
            Kind::Call(call) => self.call(call),
            Kind::List(list) => self.list(list),
            Kind::Map(entries) => {
                self.spend(30)?;
                let mut map = BTreeMap::new();
                for each in entries {
                    let key = self.value(&each.key)?;
                    let value = self.value(&each.value)?;
                    let value = match (each.optional, value) {
                        (true, Value::Optional(None)) => continue,
                        (true, Value::Optional(Some(value))) => *value,
                        (_, value) => value,
                    };
                    let key = Key::of(&key).ok_or_else(|| Failure::new("unsupported key type"))?;
                    map.insert(key, value);
                }
                Ok(Value::Map(Arc::new(map)))
            }
            Kind::Struct(message) => {
                self.spend(40)?;
                let mut fields = BTreeMap::new();
                for field in &message.fields {
                    let value = match (field.optional, self.value(&field.value)?) {
                        (true, Value::Optional(None)) => continue,
                        (true, Value::Optional(Some(value))) => *value,
                        (_, value) => value,
                    };
                    fields.insert(field.name.clone(), value);
                }
                match message.name.as_str() {
                    "google.protobuf.Timestamp" => Ok(Value::Timestamp(0)),
                    "google.protobuf.Duration" => Ok(Value::Duration(0)),
                    name => Ok(Value::Object(Arc::new((name.to_owned(), fields)))),
                }
            }
            Kind::Loop(fold) => self.fold(fold),
            Kind::Broken => Err(Failure::new("the expression could not be read")),
        }
    }

    fn ident(&mut self, name: &str) -> Outcome {
        self.spend(1)?;
        let name = name.strip_prefix('.').unwrap_or(name);
        if let Some((_, found)) = self.locals.iter().rev().find(|(local, _)| local == name) {
            return found.clone();
        }
        if let Some(found) = self.variables.get(name) {
            return Ok(found);
        }
        if crate::check::is_type_name(name) {
            return Ok(Value::Type(name.into()));
        }
        Err(Failure::new(format!("no such attribute(s): {name}")))
    }

    fn select(&mut self, select: &Select) -> Outcome {
        if let Kind::Ident(name) = &select.operand.kind
            && let Some(found) = self.variables.field(name, &select.field)
        {
            self.spend(1)?;
            if select.test {
                return Ok(Value::Bool(found.is_ok()));
            }
            return found;
        }
        let operand = self.value(&select.operand)?;
        if select.test {
            return Ok(Value::Bool(field(&operand, &select.field).is_some()));
        }
        self.spend(1)?;
        if let Value::Optional(inner) = &operand {
            let found = inner.as_ref().and_then(|inner| field(inner, &select.field));
            return Ok(Value::optional(found));
        }
        field(&operand, &select.field).ok_or_else(|| Failure::no_such_key(&select.field))
    }

    fn list(&mut self, list: &ast::List) -> Outcome {
        self.spend(10)?;
        let mut values = Vec::with_capacity(list.elements.len());
        for (i, element) in list.elements.iter().enumerate() {
            let value = self.value(element)?;
            match value {
                Value::Optional(inner) if list.optional.contains(&i) => values.extend(inner.map(|inner| *inner)),
                value => values.push(value),
            }
        }
        Ok(Value::list(values))
    }

    fn truth(&mut self, expr: &Expr) -> Result<bool, Failure> {
        match self.value(expr)? {
            Value::Bool(truth) => Ok(truth),
            _ => Err(Failure::no_such_overload()),
        }
    }

    fn call(&mut self, call: &Call) -> Outcome {
        match (call.function.as_str(), call.args.as_slice()) {
            (op::AND, [left, right]) => return self.either(left, right, false),
            (op::OR, [left, right]) => return self.either(left, right, true),
            (op::CONDITIONAL, [condition, yes, no]) => {
                return if self.truth(condition)? {
                    self.value(yes)
                } else {
                    self.value(no)
                };
            }
            (op::NOT_STRICTLY_FALSE, [arg]) => {
                return match self.value(arg) {
                    Err(failure) if failure.fatal => Err(failure),
                    Ok(Value::Bool(false)) => Ok(Value::Bool(false)),
                    _ => Ok(Value::Bool(true)),
                };
            }
            (op::OPTIONAL_SELECT, [operand, name]) => {
                let Kind::Literal(Literal::String(name)) = &name.kind else {
                    return Err(Failure::no_such_overload());
                };
                let operand = self.value(operand)?;
                self.spend(1)?;
                let inside = match &operand {
                    Value::Optional(None) => return Ok(operand),
                    Value::Optional(Some(inner)) => inner,
                    other => other,
                };
                return Ok(Value::optional(field(inside, name)));
            }
            ("or" | "orValue", [other]) if call.target.is_some() => {
                let target = call.target.as_deref().map(|target| self.value(target)).transpose()?;
                return match (target, call.function.as_str()) {
                    (Some(Value::Optional(Some(value))), "orValue") => Ok(*value),
                    (Some(found @ Value::Optional(Some(_))), _) => Ok(found),
                    (Some(Value::Optional(None)), _) => self.value(other),
                    _ => Err(Failure::no_such_overload()),
                };
            }
            _ => {}
        }
        let mut args = Vec::with_capacity(call.args.len() + 1);
        if let Some(target) = &call.target {
            args.push(self.value(target)?);
        }
        for arg in &call.args {
            args.push(self.value(arg)?);
        }
        self.spend(functions::cost(&call.function, &args))?;
        functions::call(&call.function, &args)
    }

    /// `&&` and `||`: one side that decides is enough, whatever the other is.
    fn either(&mut self, left: &Expr, right: &Expr, decides: bool) -> Outcome {
        let first = self.truth(left);
        match first {
            Ok(truth) if truth == decides => return Ok(Value::Bool(decides)),
            Err(failure) if failure.fatal => return Err(failure),
            _ => {}
        }
        let second = self.truth(right);
        match (first, second) {
            (_, Ok(truth)) if truth == decides => Ok(Value::Bool(decides)),
            (_, Err(failure)) if failure.fatal => Err(failure),
            (Err(failure), _) | (Ok(_), Err(failure)) => Err(failure),
            (Ok(_), Ok(_)) => Ok(Value::Bool(!decides)),
        }
    }

    fn fold(&mut self, fold: &Loop) -> Outcome {
        let range = self.value(&fold.range)?;
        let pairs: Vec<(Value, Value)> = match &range {
            Value::List(values) => (0_i64..).map(Value::Int).zip(values.iter().cloned()).collect(),
            Value::Map(entries) => entries
                .iter()
                .map(|(key, value)| (key.value(), value.clone()))
                .collect(),
            _ => return Err(Failure::no_such_overload()),
        };
        let init = self.value(&fold.init);
        let outer = self.locals.len();
        self.locals.push((fold.result_name.clone(), init));
        let mut stopped = None;
        for (first, second) in pairs {
            let inner = self.locals.len();
            if let Some(name) = &fold.second {
                self.locals.push((fold.variable.clone(), Ok(first)));
                self.locals.push((name.clone(), Ok(second)));
            } else {
                let value = if matches!(range, Value::List(_)) { second } else { first };
                self.locals.push((fold.variable.clone(), Ok(value)));
            }
            let go_on = self.value(&fold.condition);
            let go_on = match go_on {
                Ok(Value::Bool(go_on)) => go_on,
                Err(failure) => {
                    stopped = Some(failure);
                    break;
                }
                Ok(_) => false,
            };
            if !go_on {
                self.locals.truncate(inner);
                break;
            }
            let next = self.step(&fold.step, outer);
            self.locals.truncate(inner);
            if let Err(failure) = &next
                && failure.fatal
            {
                stopped = Some(failure.clone());
                break;
            }
            self.locals[outer].1 = next;
        }
        let result = match stopped {
            Some(failure) => Err(failure),
            None => self.value(&fold.result),
        };
        self.locals.truncate(outer);
        result
    }

    /// The next value of what a loop gathers. A list grows in place: copying it each time would cost its square.
    fn step(&mut self, step: &Expr, gathered: usize) -> Outcome {
        if let Kind::Call(call) = &step.kind {
            if call.function == op::CONDITIONAL
                && let [condition, yes, no] = call.args.as_slice()
            {
                return if self.truth(condition)? {
                    self.step(yes, gathered)
                } else {
                    self.step(no, gathered)
                };
            }
            let name = &self.locals[gathered].0;
            if call.function == op::ADD
                && let [left, right] = call.args.as_slice()
                && matches!(&left.kind, Kind::Ident(ident) if ident == name)
                && let Kind::List(list) = &right.kind
                && let ([element], true) = (list.elements.as_slice(), list.optional.is_empty())
            {
                let element = self.value(element)?;
                self.spend(12)?;
                let so_far = std::mem::replace(&mut self.locals[gathered].1, Ok(Value::Null))?;
                let Value::List(mut values) = so_far else {
                    return Err(Failure::no_such_overload());
                };
                values.push(element);
                return Ok(Value::List(values));
            }
        }
        self.value(step)
    }
}

fn of_literal(literal: &Literal) -> Value {
    match literal {
        Literal::Null => Value::Null,
        Literal::Bool(value) => Value::Bool(*value),
        Literal::Int(value) => Value::Int(*value),
        Literal::Uint(value) => Value::Uint(*value),
        Literal::Double(value) => Value::Double(*value),
        Literal::String(value) => Value::text(value),
        Literal::Bytes(value) => Value::Bytes(value.as_slice().into()),
    }
}

/// A field of a value; none if it has no such field.
fn field(value: &Value, name: &str) -> Option<Value> {
    match value {
        Value::Map(entries) => entry(entries, &Value::text(name)).cloned(),
        Value::Object(object) => object.1.get(name).cloned(),
        Value::Optional(inner) => field(inner.as_deref()?, name),
        _ => None,
    }
}
