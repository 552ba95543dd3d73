//! The checker (cel-go `checker/checker.go`). It also settles names: what turns out to be one name with dots becomes one node.

use super::declarations::Overload;
use super::environment::Environment;
use super::types::{Mapping, Type, most_general};
use crate::ast::{Call, Expr, Kind, Literal, Loop, Struct, operators as op};
use crate::parse::Issue;
use std::collections::HashMap;

/// The types of all nodes of an expression, and which overloads its calls may mean.
pub(crate) struct Types {
    known: HashMap<u32, Type>,
    calls: HashMap<u32, Vec<Overload>>,
}

impl Types {
    pub(crate) fn of(&self, expr: &Expr) -> &Type {
        self.known.get(&expr.id).unwrap_or(&Type::Dyn)
    }

    pub(super) fn overloads(&self, expr: &Expr) -> &[Overload] {
        self.calls.get(&expr.id).map_or(&[], Vec::as_slice)
    }
}

/// The types in an expression, or what is wrong with it.
pub(crate) fn check(expr: &mut Expr, environment: &Environment) -> Result<Types, Vec<Issue>> {
    let mut checker = Checker {
        environment,
        scopes: Vec::new(),
        mapping: Mapping::default(),
        unknown: 0,
        known: HashMap::new(),
        calls: HashMap::new(),
        issues: Vec::new(),
    };
    checker.check(expr);
    if !checker.issues.is_empty() {
        return Err(checker.issues);
    }
    let mapping = checker.mapping;
    let settled = checker.known.into_iter().map(|(id, of)| (id, mapping.apply(&of, true)));
    Ok(Types {
        known: settled.collect(),
        calls: checker.calls,
    })
}

/// The number of a node and where it stands.
type Place = (u32, usize);

struct Checker<'e> {
    environment: &'e Environment,
    /// The variables of the loops around, the innermost last.
    scopes: Vec<(String, Type)>,
    mapping: Mapping,
    unknown: usize,
    known: HashMap<u32, Type>,
    calls: HashMap<u32, Vec<Overload>>,
    issues: Vec<Issue>,
}

/// A name with dots, if the node is one.
fn qualified(expr: &Expr) -> Option<String> {
    match &expr.kind {
        Kind::Ident(name) => Some(name.clone()),
        Kind::Select(select) if !select.test => Some(format!("{}.{}", qualified(&select.operand)?, select.field)),
        _ => None,
    }
}

impl Checker<'_> {
    fn complain(&mut self, at: usize, message: String) {
        self.issues.push(Issue::new(at, message));
    }

    fn undeclared(&mut self, at: usize, name: &str) -> Type {
        self.complain(at, format!("undeclared reference to '{name}' (in container '')"));
        Type::Error
    }

    fn mismatch(&mut self, at: usize, expected: &Type, actual: &Type) {
        self.complain(at, format!("expected type '{expected}' but found '{actual}'"));
    }

    fn settle(&self, of: &Type) -> Type {
        self.mapping.apply(of, false)
    }

    fn new_type(&mut self) -> Type {
        self.unknown += 1;
        Type::Param(format!("_var{}", self.unknown - 1).into())
    }

    fn fit(&mut self, wanted: &[Type], given: &[Type]) -> bool {
        match self.mapping.fitting(wanted, given) {
            Some(mapping) => {
                self.mapping = mapping;
                true
            }
            None => false,
        }
    }

    fn fits(&mut self, wanted: &Type, given: &Type) -> bool {
        self.fit(std::slice::from_ref(wanted), std::slice::from_ref(given))
    }

    fn lookup(&self, name: &str) -> Option<Type> {
        let name = name.strip_prefix('.').unwrap_or(name);
        match self.scopes.iter().rev().find(|(known, _)| known == name) {
            Some((_, of)) => Some(of.clone()),
            None => self.environment.name(name),
        }
    }

    fn check(&mut self, expr: &mut Expr) -> Type {
        let found = self.type_of(expr);
        self.known.insert(expr.id, found.clone());
        found
    }

    fn type_of(&mut self, expr: &mut Expr) -> Type {
        let at = expr.at;
        if let Kind::Select(select) = &expr.kind
            && !select.test
            && let Some(name) = qualified(expr)
            && let Some(of) = self.lookup(&name)
        {
            expr.kind = Kind::Ident(name);
            return of;
        }
        match &mut expr.kind {
            Kind::Broken => Type::Error,
            Kind::Literal(literal) => of_literal(literal),
            Kind::Ident(name) => match self.lookup(name) {
                Some(of) => of,
                None => {
                    let name = name.clone();
                    self.undeclared(at, &name)
                }
            },
            Kind::Select(select) => {
                let found = self.field(at, &mut select.operand, &select.field, false);
                if select.test { Type::Bool } else { self.settle(&found) }
            }
            Kind::Call(call) => self.call((expr.id, at), call),
            Kind::List(list) => {
                let mut joined = None;
                for (i, element) in list.elements.iter_mut().enumerate() {
                    let found = self.element(element, list.optional.contains(&i));
                    joined = Some(self.join(joined, found));
                }
                Type::list(joined.unwrap_or_else(|| self.new_type()))
            }
            Kind::Map(entries) => {
                let mut joined = None;
                for entry in entries {
                    let key = self.check(&mut entry.key);
                    let (keys, values) = joined.map_or((None, None), |(keys, values)| (Some(keys), Some(values)));
                    let keys = self.join(keys, key);
                    let value = self.element(&mut entry.value, entry.optional);
                    joined = Some((keys, self.join(values, value)));
                }
                let (keys, values) = joined.unwrap_or_else(|| (self.new_type(), self.new_type()));
                Type::map(keys, values)
            }
            Kind::Struct(message) => self.message(at, message),
            Kind::Loop(fold) => self.fold(fold),
        }
    }

    /// The type of an element, of which an optional one is unwrapped.
    fn element(&mut self, expr: &mut Expr, optional: bool) -> Type {
        let found = self.check(expr);
        if !optional {
            return found;
        }
        match found.unwrap_optional() {
            Some(of) => of.clone(),
            None => {
                if !found.is_dyn() {
                    self.mismatch(expr.at, &Type::optional(found.clone()), &found);
                }
                found
            }
        }
    }

    /// The type of a collection with values of both types. That they differ is complained about later.
    fn join(&mut self, previous: Option<Type>, current: Type) -> Type {
        match previous {
            None => current,
            Some(previous) if self.fits(&previous, &current) => most_general(&previous, &current).clone(),
            Some(_) => Type::Dyn,
        }
    }

    fn field(&mut self, at: usize, operand: &mut Expr, field: &str, optional: bool) -> Type {
        let operand = self.check(operand);
        let operand = self.settle(&operand);
        let (target, wrapped) = match operand.unwrap_optional() {
            Some(of) => (of.clone(), true),
            None => (operand, optional),
        };
        let found = match &target {
            Type::Map(entry) => entry.1.clone(),
            Type::Struct(object) => self.field_of(at, object, field),
            Type::Param(_) => {
                self.fits(&Type::Dyn, &target);
                Type::Dyn
            }
            _ => {
                if !target.is_dyn_or_error() {
                    self.complain(at, format!("type '{target}' does not support field selection"));
                }
                Type::Dyn
            }
        };
        if wrapped { Type::optional(found) } else { found }
    }

    fn field_of(&mut self, at: usize, object: &str, field: &str) -> Type {
        if !self.environment.has_object(object) {
            self.complain(at, format!("unexpected failed resolution of '{object}'"));
            return Type::Error;
        }
        match self.environment.field(object, field) {
            Some(of) => of,
            None => {
                self.complain(at, format!("undefined field '{field}'"));
                Type::Error
            }
        }
    }

    fn call(&mut self, place: Place, call: &mut Call) -> Type {
        let (_, at) = place;
        if call.function == op::OPTIONAL_SELECT && call.target.is_none() {
            let [operand, field] = call.args.as_mut_slice() else {
                let count = call.args.len();
                self.complain(
                    at,
                    format!("unsupported optional field selection: incorrect signature. argument count: {count}"),
                );
                return Type::Error;
            };
            let Kind::Literal(Literal::String(name)) = &field.kind else {
                self.complain(field.at, "unsupported optional field selection".to_owned());
                return Type::Error;
            };
            let name = name.clone();
            self.calls
                .insert(place.0, self.environment.function(op::OPTIONAL_SELECT));
            let found = self.field(at, operand, &name, true);
            return self.settle(&found);
        }
        let args: Vec<Type> = call.args.iter_mut().map(|arg| self.check(arg)).collect();
        let places: Vec<usize> = call.args.iter().map(|arg| arg.at).collect();
        if let Some(target) = &mut call.target {
            if let Some(prefix) = qualified(target) {
                let name = format!("{prefix}.{}", call.function);
                let name = name.strip_prefix('.').unwrap_or(&name);
                if !self.environment.function(name).is_empty() {
                    call.function = name.to_owned();
                    call.target = None;
                    return self.resolve(place, name, false, args, &places);
                }
            }
            let target = self.check(target);
            let given = std::iter::once(target).chain(args).collect();
            return self.resolve(place, &call.function, true, given, &places);
        }
        if let Some(name) = call.function.strip_prefix('.') {
            if self.environment.function(name).is_empty() {
                return self.undeclared(at, &call.function);
            }
            call.function = name.to_owned();
        }
        self.resolve(place, &call.function, false, args, &places)
    }

    /// The result of the overloads that take what is given.
    fn resolve(&mut self, (id, at): Place, function: &str, member: bool, given: Vec<Type>, places: &[usize]) -> Type {
        let overloads = self.environment.function(function);
        if overloads.is_empty() {
            return self.undeclared(at, function);
        }
        if function == op::AND || function == op::OR {
            self.calls.insert(id, overloads);
            let mut result = Type::Bool;
            for (given, at) in given.iter().zip(places) {
                if !self.fits(given, &Type::Bool) {
                    self.mismatch(*at, &Type::Bool, given);
                    result = Type::Error;
                }
            }
            return result;
        }
        let mut result: Option<Type> = None;
        let mut meant = Vec::new();
        for overload in overloads.into_iter().filter(|overload| overload.member == member) {
            let mut fresh = Mapping::default();
            for of in overload.args.iter().chain([&overload.result]) {
                self.freshen(of, &mut fresh);
            }
            let wanted: Vec<Type> = overload.args.iter().map(|of| fresh.apply(of, false)).collect();
            if self.fit(&given, &wanted) {
                let found = self.settle(&fresh.apply(&overload.result, false));
                result = Some(match result {
                    None => found,
                    Some(Type::Dyn | Type::Any) => Type::Dyn,
                    Some(before) if before == found => before,
                    Some(_) => Type::Dyn,
                });
                meant.push(overload);
            }
        }
        self.calls.insert(id, meant);
        result.unwrap_or_else(|| {
            let shown: Vec<String> = given
                .iter()
                .map(|of| self.mapping.apply(of, true).to_string())
                .collect();
            let signature = match shown.split_first() {
                Some((target, args)) if member => format!("{target}.({})", args.join(", ")),
                _ => format!("({})", shown.join(", ")),
            };
            self.complain(
                at,
                format!("found no matching overload for '{function}' applied to '{signature}'"),
            );
            Type::Error
        })
    }

    /// Gives the unknown types of a signature names that are used nowhere else.
    fn freshen(&mut self, of: &Type, fresh: &mut Mapping) {
        match of {
            Type::Param(_) => {
                if fresh.apply(of, false) == *of {
                    let new = self.new_type();
                    fresh.learn(of, &new);
                }
            }
            _ => of.parts().into_iter().for_each(|part| self.freshen(part, fresh)),
        }
    }

    fn message(&mut self, at: usize, message: &mut Struct) -> Type {
        let Some(named) = self.lookup(&message.name) else {
            let name = message.name.clone();
            return self.undeclared(at, &name);
        };
        if let Some(name) = message.name.strip_prefix('.') {
            message.name = name.to_owned();
        }
        let result = match &named {
            Type::Type(Some(of)) => match &**of {
                Type::Struct(_) | Type::Timestamp | Type::Duration | Type::Any => (**of).clone(),
                other => {
                    self.complain(at, format!("'{}' is not a message type", other.name()));
                    Type::Error
                }
            },
            Type::Error => Type::Error,
            other => {
                self.complain(at, format!("'{}' is not a type", other.name()));
                Type::Error
            }
        };
        let object = message.name.clone();
        for field in &mut message.fields {
            let value = self.check(&mut field.value);
            let wanted = self.field_of(field.at, &object, &field.name);
            let given = match value.unwrap_optional() {
                Some(of) if field.optional => of.clone(),
                _ if field.optional && !value.is_dyn() => {
                    self.mismatch(field.value.at, &Type::optional(value.clone()), &value);
                    value
                }
                _ => value,
            };
            if !self.fits(&wanted, &given) {
                self.complain(
                    field.at,
                    format!(
                        "expected type of field '{}' is '{wanted}' but provided type is '{given}'",
                        field.name
                    ),
                );
            }
        }
        result
    }

    fn fold(&mut self, fold: &mut Loop) -> Type {
        let range = self.check(&mut fold.range);
        let gathered = self.check(&mut fold.init);
        let range = self.settle(&range);
        let outer = self.scopes.len();
        self.scopes.push((fold.result_name.clone(), gathered.clone()));
        let (first, second) = match &range {
            Type::List(of) if fold.second.is_some() => (Type::Int, (**of).clone()),
            Type::List(of) => ((**of).clone(), Type::Dyn),
            Type::Map(entry) => (entry.0.clone(), entry.1.clone()),
            Type::Dyn | Type::Any | Type::Error | Type::Param(_) => {
                self.fits(&Type::Dyn, &range);
                (Type::Dyn, Type::Dyn)
            }
            _ => {
                self.complain(
                    fold.range.at,
                    format!(
                        "expression of type '{range}' cannot be range of a comprehension (must be list, map, or dynamic)"
                    ),
                );
                (Type::Error, Type::Error)
            }
        };
        let inner = self.scopes.len();
        self.scopes.push((fold.variable.clone(), first));
        if let Some(name) = &fold.second {
            self.scopes.push((name.clone(), second));
        }
        for (part, wanted) in [(&mut fold.condition, &Type::Bool), (&mut fold.step, &gathered)] {
            let found = self.check(part);
            if !self.fits(wanted, &found) {
                self.mismatch(part.at, wanted, &found);
            }
        }
        self.scopes.truncate(inner);
        let result = self.check(&mut fold.result);
        self.scopes.truncate(outer);
        self.settle(&result)
    }
}

fn of_literal(literal: &Literal) -> Type {
    match literal {
        Literal::Null => Type::Null,
        Literal::Bool(_) => Type::Bool,
        Literal::Int(_) => Type::Int,
        Literal::Uint(_) => Type::Uint,
        Literal::Double(_) => Type::Double,
        Literal::String(_) => Type::String,
        Literal::Bytes(_) => Type::Bytes,
    }
}
