//! What an expression may cost when it is evaluated (cel-go `checker/cost.go`).

use super::checker::Types;
use super::declarations::Overload;
use super::types::Type;
use crate::ast::{Call, Expr, Kind, Literal, Loop, operators as op};
use std::collections::HashMap;

/// The least and the most of something: units of cost, or elements, characters and bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cost {
    /// At least this much.
    pub min: u64,
    /// At most this much.
    pub max: u64,
}

/// The cost of passing over one character or byte.
pub(super) const PER_CHARACTER: f64 = 0.1;
/// The cost of one character of a regular expression.
pub(super) const PER_REGEX_CHARACTER: f64 = 0.25;
pub(super) const LIST: u64 = 10;
const MAP: u64 = 30;
pub(super) const OBJECT: u64 = 40;
impl Cost {
    /// Exactly so much.
    #[must_use]
    pub fn fixed(units: u64) -> Cost {
        Cost { min: units, max: units }
    }

    pub(super) fn unknown() -> Cost {
        Cost { min: 0, max: u64::MAX }
    }

    pub(super) fn plus(self, other: Cost) -> Cost {
        Cost {
            min: self.min.saturating_add(other.min),
            max: self.max.saturating_add(other.max),
        }
    }

    pub(super) fn times(self, other: Cost) -> Cost {
        Cost {
            min: self.min.saturating_mul(other.min),
            max: self.max.saturating_mul(other.max),
        }
    }

    pub(super) fn scaled(self, factor: f64) -> Cost {
        // Numbers that do not fit become the largest that do.
        let scale = |units: u64| (units as f64 * factor).ceil() as u64;
        Cost {
            min: scale(self.min),
            max: scale(self.max),
        }
    }

    fn or(self, other: Cost) -> Cost {
        Cost {
            min: self.min.min(other.min),
            max: self.max.max(other.max),
        }
    }
}

/// What is known about the sizes of variables.
pub trait Sizes {
    /// The size of the value at a path, which starts with a variable and goes on with fields, `@items`, `@keys` and `@values`.
    fn size(&self, path: &[String]) -> Option<Cost>;
}

/// The cost of a checked expression.
pub(crate) fn estimate(expr: &Expr, types: &Types, sizes: &dyn Sizes) -> Cost {
    let mut coster = Coster {
        types,
        sizes,
        paths: HashMap::new(),
        locals: Vec::new(),
        known: HashMap::new(),
        entries: HashMap::new(),
    };
    coster.cost(expr)
}

/// The sizes of what is in a list or map.
#[derive(Clone, Copy)]
struct Entries {
    is_list: bool,
    key: Cost,
    value: Cost,
}

impl Entries {
    fn or(self, other: Entries) -> Entries {
        Entries {
            is_list: self.is_list,
            key: self.key.or(other.key),
            value: self.value.or(other.value),
        }
    }
}

struct Local {
    name: String,
    path: Vec<String>,
    size: Option<Cost>,
    entries: Option<Entries>,
}

pub(super) struct Coster<'a> {
    pub(super) types: &'a Types,
    pub(super) sizes: &'a dyn Sizes,
    paths: HashMap<u32, Vec<String>>,
    locals: Vec<Local>,
    known: HashMap<u32, Cost>,
    entries: HashMap<u32, Entries>,
}

impl Coster<'_> {
    fn local(&self, expr: &Expr) -> Option<&Local> {
        match &expr.kind {
            Kind::Ident(name) => self.locals.iter().rev().find(|local| local.name == *name),
            _ => None,
        }
    }

    fn path(&self, expr: &Expr) -> Vec<String> {
        match self.local(expr) {
            Some(local) => local.path.clone(),
            None => self.paths.get(&expr.id).cloned().unwrap_or_default(),
        }
    }

    pub(super) fn path_to(&self, expr: &Expr, part: &str) -> Vec<String> {
        let mut path = self.path(expr);
        path.push(part.to_owned());
        path
    }

    pub(super) fn size(&mut self, expr: &Expr) -> Option<Cost> {
        if let Some(size) = self.known.get(&expr.id) {
            return Some(*size);
        }
        let own = match &expr.kind {
            Kind::Literal(Literal::String(text)) => Some(text.chars().count()),
            Kind::Literal(Literal::Bytes(bytes)) => Some(bytes.len()),
            Kind::Literal(_) => Some(1),
            Kind::List(list) => Some(list.elements.len()),
            Kind::Map(entries) => Some(entries.len()),
            _ => None,
        };
        if let Some(size) = own {
            return Some(Cost::fixed(size as u64));
        }
        if let Some(size) = self.sizes.size(&self.path(expr)) {
            self.known.insert(expr.id, size);
            return Some(size);
        }
        if is_scalar(self.types.of(expr)) {
            return Some(Cost::fixed(1));
        }
        self.local(expr).and_then(|local| local.size)
    }

    pub(super) fn size_or_unknown(&mut self, expr: &Expr) -> Cost {
        self.size(expr).unwrap_or_else(Cost::unknown)
    }

    fn entries(&self, expr: &Expr) -> Option<Entries> {
        let known = self.entries.get(&expr.id).copied();
        known.or_else(|| self.local(expr).and_then(|local| local.entries))
    }

    fn set_size(&mut self, expr: &Expr, size: Option<Cost>) {
        if let Some(size) = size {
            self.known.insert(expr.id, size);
        }
    }

    fn set_entries(&mut self, expr: &Expr, entries: Option<Entries>) {
        if let Some(entries) = entries {
            self.entries.insert(expr.id, entries);
        }
    }

    fn cost(&mut self, expr: &Expr) -> Cost {
        match &expr.kind {
            Kind::Literal(_) | Kind::Broken => Cost::fixed(0),
            Kind::Ident(name) => {
                let path = match self.local(expr) {
                    Some(local) => local.path.clone(),
                    None => vec![name.clone()],
                };
                self.paths.insert(expr.id, path);
                Cost::fixed(1)
            }
            Kind::Select(select) => {
                let operand = self.cost(&select.operand);
                if select.test {
                    return operand;
                }
                let path = self.path_to(&select.operand, &select.field);
                self.paths.insert(expr.id, path);
                match self.types.of(&select.operand) {
                    Type::Map(_) | Type::Struct(_) | Type::Param(_) => operand.plus(Cost::fixed(1)),
                    _ => operand,
                }
            }
            Kind::Call(call) => self.call(expr, call),
            Kind::List(list) => {
                let mut sum = Cost::fixed(LIST);
                let mut value = nothing(list.elements.is_empty());
                for element in &list.elements {
                    sum = sum.plus(self.cost(element));
                    value = value.or(self.size_or_unknown(element));
                }
                let key = Cost::fixed(1);
                let is_list = true;
                self.entries.insert(expr.id, Entries { is_list, key, value });
                sum
            }
            Kind::Map(entries) => {
                let mut sum = Cost::fixed(MAP);
                let (mut key, mut value) = (nothing(entries.is_empty()), nothing(entries.is_empty()));
                for entry in entries {
                    sum = sum.plus(self.cost(&entry.key)).plus(self.cost(&entry.value));
                    key = key.or(self.size_or_unknown(&entry.key));
                    value = value.or(self.size_or_unknown(&entry.value));
                }
                let is_list = false;
                self.entries.insert(expr.id, Entries { is_list, key, value });
                sum
            }
            Kind::Struct(message) => {
                let fields = message.fields.iter().map(|field| &field.value);
                fields.fold(Cost::fixed(OBJECT), |sum, value| sum.plus(self.cost(value)))
            }
            Kind::Loop(fold) => self.fold(expr, fold),
        }
    }

    fn fold(&mut self, expr: &Expr, fold: &Loop) -> Cost {
        let mut sum = self.cost(&fold.range).plus(self.cost(&fold.init));
        let gathered = Local {
            name: fold.result_name.clone(),
            path: self.path(&fold.init),
            size: self.size(&fold.init),
            entries: self.entries(&fold.init),
        };
        self.locals.push(gathered);
        let never = matches!(fold.condition.kind, Kind::Literal(Literal::Bool(false)));
        if never && matches!(&fold.range.kind, Kind::List(list) if list.elements.is_empty()) {
            sum = sum.plus(self.cost(&fold.result));
            self.locals.pop();
            let (size, entries) = (self.size(&fold.result), self.entries(&fold.result));
            self.set_size(expr, size);
            self.set_entries(expr, entries);
            return sum;
        }
        let entries = self.entries(&fold.range);
        let is_list = entries.map_or(matches!(self.types.of(&fold.range), Type::List(_)), |entries| {
            entries.is_list
        });
        let (keys, values) = if is_list {
            ("@indices", "@items")
        } else {
            ("@keys", "@values")
        };
        let (key_size, value_size) = (entries.map(|e| e.key), entries.map(|e| e.value));
        let by_value = is_list && fold.second.is_none();
        let first = if by_value {
            (values, value_size)
        } else {
            (keys, key_size)
        };
        let second = fold.second.as_ref().map(|name| (name, (values, value_size)));
        for (name, (part, size)) in std::iter::once((&fold.variable, first)).chain(second) {
            let path = self.path_to(&fold.range, part);
            self.locals.push(Local {
                name: name.clone(),
                path,
                size,
                entries: None,
            });
        }
        let each = self.cost(&fold.condition).plus(self.cost(&fold.step));
        let step_entries = self.entries(&fold.step);
        self.locals
            .truncate(self.locals.len() - 1 - usize::from(fold.second.is_some()));
        sum = sum.plus(self.cost(&fold.result));
        self.locals.pop();
        let count = self.size_or_unknown(&fold.range);
        sum = sum.plus(count.times(each));
        match &fold.init.kind {
            Kind::Literal(_) => {
                let size = self.size(&fold.init);
                self.set_size(expr, size);
            }
            Kind::List(_) | Kind::Map(_) => {
                self.set_size(expr, Some(count));
                self.set_entries(expr, step_entries);
            }
            _ => {}
        }
        sum
    }

    fn call(&mut self, expr: &Expr, call: &Call) -> Cost {
        if call.function == "dyn"
            && let [arg] = call.args.as_slice()
        {
            let cost = self.cost(arg);
            let (size, entries) = (self.size(arg), self.entries(arg));
            self.set_size(expr, size);
            self.set_entries(expr, entries);
            return cost.plus(Cost::fixed(1));
        }
        let costs: Vec<Cost> = call.args.iter().map(|arg| self.cost(arg)).collect();
        let target_cost = call.target.as_ref().map_or(Cost::fixed(0), |target| self.cost(target));
        let overloads = self.types.overloads(expr);
        let mut sum = Cost { min: u64::MAX, max: 0 };
        let mut result = None;
        for overload in overloads {
            let (cost, size) = self.overload(expr, call, overload, &costs);
            sum = sum.or(cost);
            result = match (result, size) {
                (Some(before), Some(size)) => Some(Cost::or(before, size)),
                (before, size) => before.or(size),
            };
            if call.function == op::INDEX
                && let Some(collection) = call.args.first()
                && let Some(part) = match overload.args.first() {
                    Some(Type::List(_)) => Some("@items"),
                    Some(Type::Map(_)) => Some("@values"),
                    _ => None,
                }
            {
                result = self.entries(collection).map(|entries| entries.value);
                let path = self.path_to(collection, part);
                self.paths.insert(expr.id, path);
            }
            if result.is_none() {
                result = self.size(expr);
            }
        }
        if overloads.is_empty() {
            return Cost::fixed(0);
        }
        self.set_size(expr, result);
        target_cost.plus(sum)
    }

    /// The cost of one overload with its arguments, and the size of its result.
    fn overload(&mut self, expr: &Expr, call: &Call, overload: &Overload, costs: &[Cost]) -> (Cost, Option<Cost>) {
        let args = costs.iter().fold(Cost::fixed(0), |sum, cost| sum.plus(*cost));
        if let Some((cost, size)) = self.library(call, overload) {
            return (cost.plus(args), size);
        }
        let on = overload.args.first();
        let (cost, size) = match (call.function.as_str(), call.target.as_deref(), call.args.as_slice()) {
            ("format", Some(target), _) => (self.size_or_unknown(target).scaled(PER_CHARACTER), None),
            ("bytes", None, [arg]) if on == Some(&Type::String) => {
                let size = self.size_or_unknown(arg);
                let result = Cost {
                    min: size.min,
                    max: size.max.wrapping_mul(4),
                };
                (size.scaled(PER_CHARACTER), Some(result))
            }
            ("string", None, [arg]) if on == Some(&Type::Bytes) => {
                let size = self.size_or_unknown(arg);
                let result = Cost {
                    min: size.min / 4,
                    max: size.max,
                };
                (size.scaled(PER_CHARACTER), Some(result))
            }
            ("strings.quote", None, [arg]) => {
                let size = self.size_or_unknown(arg);
                let result = Cost {
                    min: size.min.wrapping_add(2),
                    max: size.max.wrapping_mul(2).wrapping_add(2),
                };
                (size.scaled(PER_CHARACTER), Some(result))
            }
            ("startsWith" | "endsWith", Some(_), [arg]) => (self.size_or_unknown(arg).scaled(PER_CHARACTER), None),
            (op::IN, None, [_, list]) if matches!(overload.args.get(1), Some(Type::List(_))) => {
                (self.size_or_unknown(list), None)
            }
            ("matches", Some(target), [regex]) => {
                let text = self.size_or_unknown(target).plus(Cost::fixed(1)).scaled(PER_CHARACTER);
                let regex = self.size_or_unknown(regex).scaled(PER_REGEX_CHARACTER);
                (text.times(regex), None)
            }
            ("contains", Some(target), [part]) => {
                let text = self.size_or_unknown(target).scaled(PER_CHARACTER);
                (text.times(self.size_or_unknown(part).scaled(PER_CHARACTER)), None)
            }
            (op::AND | op::OR, None, _) => {
                let min = costs.first().map_or(0, |cost| cost.min);
                return (Cost { min, max: args.max }, None);
            }
            (op::CONDITIONAL, None, [_, yes, no]) => {
                let size = self.size_or_unknown(yes).or(self.size_or_unknown(no));
                let entries = self.entries(yes).zip(self.entries(no)).map(|(yes, no)| yes.or(no));
                self.set_entries(expr, entries);
                let [condition, yes, no] = costs else {
                    return (args, Some(size));
                };
                return (condition.plus(yes.or(*no)), Some(size));
            }
            (op::ADD, None, [left, right]) if matches!(on, Some(Type::String | Type::Bytes | Type::List(_))) => {
                let size = self.size_or_unknown(left).plus(self.size_or_unknown(right));
                let entries = self
                    .entries(left)
                    .zip(self.entries(right))
                    .map(|(left, right)| left.or(right));
                self.set_entries(expr, entries);
                let cost = match on {
                    Some(Type::List(_)) => Cost::fixed(1),
                    _ => size.scaled(PER_CHARACTER),
                };
                (cost, Some(size))
            }
            (function, None, [left, right]) if compares_all(function, on) => {
                let most = self.size_or_unknown(left).max.min(self.size_or_unknown(right).max);
                let compared = Cost {
                    min: u64::from(most > 0),
                    max: most,
                };
                (compared.scaled(PER_CHARACTER), None)
            }
            _ => (Cost::fixed(1), None),
        };
        (cost.plus(args), size)
    }
}

/// What the sizes of elements start from: if there are none, they have no size.
fn nothing(empty: bool) -> Cost {
    Cost {
        min: if empty { 0 } else { u64::MAX },
        max: 0,
    }
}

/// Whether a comparison looks at all of both sides.
fn compares_all(function: &str, on: Option<&Type>) -> bool {
    match function {
        op::EQUALS | op::NOT_EQUALS => true,
        op::LESS | op::LESS_EQUALS | op::GREATER | op::GREATER_EQUALS => matches!(on, Some(Type::String | Type::Bytes)),
        _ => false,
    }
}

fn is_scalar(of: &Type) -> bool {
    match of {
        Type::Bool | Type::Double | Type::Duration | Type::Int | Type::Timestamp | Type::Uint => true,
        _ => of.unwrap_optional().is_some_and(is_scalar),
    }
}
