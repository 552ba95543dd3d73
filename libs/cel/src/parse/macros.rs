//! Macros: calls that are rewritten before types are checked.

use super::grammar::Parser;
use super::source::Issue;
use crate::ast::{Call, Expr, Kind, List, Literal, Loop, Select, operators as op};

/// The name of what a loop gathers, which no expression can spell.
const RESULT: &str = "@result";
const OLD_RESULT: &str = "__result__";
const OVERWRITES: &str = "iteration variable overwrites accumulator variable";
const NOT_A_NAME: &str = "argument must be a simple name";
const NOT_AN_IDENTIFIER: &str = "argument is not an identifier";

pub(super) enum Expansion {
    Done(Expr),
    Wrong(Issue),
    /// No macro: the parts of the call are handed back.
    None(Option<Expr>, Vec<Expr>),
}

#[derive(Clone, Copy)]
enum Macro {
    Has,
    All,
    Exists,
    ExistsOne,
    Map,
    Filter,
    TransformMap,
    TransformMapEntry,
    OptMap,
    OptFlatMap,
    Bind,
    SortBy,
}

pub(super) fn expand(
    parser: &mut Parser<'_>,
    at: usize,
    function: &str,
    target: Option<Expr>,
    args: Vec<Expr>,
) -> Expansion {
    // The second number says how many variables the macro names.
    let (known, variables) = match (function, args.len(), target.is_some()) {
        ("has", 1, false) => (Macro::Has, 0),
        ("all", 2, true) => (Macro::All, 1),
        ("exists", 2, true) => (Macro::Exists, 1),
        ("exists_one" | "existsOne", 2, true) => (Macro::ExistsOne, 1),
        ("map", 2 | 3, true) => (Macro::Map, 1),
        ("filter", 2, true) => (Macro::Filter, 1),
        ("all", 3, true) => (Macro::All, 2),
        ("exists", 3, true) => (Macro::Exists, 2),
        ("exists_one" | "existsOne", 3, true) => (Macro::ExistsOne, 2),
        ("transformList", 3 | 4, true) => (Macro::Map, 2),
        ("transformMap", 3 | 4, true) => (Macro::TransformMap, 2),
        ("transformMapEntry", 3 | 4, true) => (Macro::TransformMapEntry, 2),
        ("optMap", 2, true) => (Macro::OptMap, 0),
        ("optFlatMap", 2, true) => (Macro::OptFlatMap, 0),
        ("sortBy", 2, true) => (Macro::SortBy, 1),
        ("bind", 3, true) if parser.syntax.bindings && is_ident(target.as_ref(), "cel") => (Macro::Bind, 0),
        _ => return Expansion::None(target, args),
    };
    let expanded = Expander { parser, at }.expand(known, variables, target, args);
    expanded.map_or_else(Expansion::Wrong, Expansion::Done)
}

fn is_ident(expr: Option<&Expr>, name: &str) -> bool {
    matches!(expr.map(|expr| &expr.kind), Some(Kind::Ident(found)) if found == name)
}

/// The name an argument is.
fn name_of(expr: &Expr, complaint: &str) -> Result<String, Issue> {
    match &expr.kind {
        Kind::Ident(name) => Ok(name.clone()),
        _ => Err(Issue::new(expr.at, complaint)),
    }
}

/// Makes nodes that stand where the macro was called.
struct Expander<'p, 'a> {
    parser: &'p mut Parser<'a>,
    at: usize,
}

impl Expander<'_, '_> {
    fn node(&mut self, kind: Kind) -> Expr {
        self.parser.node(self.at, kind)
    }

    fn literal(&mut self, literal: Literal) -> Expr {
        self.node(Kind::Literal(literal))
    }

    fn result(&mut self) -> Expr {
        self.node(Kind::Ident(RESULT.to_owned()))
    }

    fn list(&mut self, elements: Vec<Expr>) -> Expr {
        let optional = Vec::new();
        self.node(Kind::List(List { elements, optional }))
    }

    fn call(&mut self, function: &str, args: Vec<Expr>) -> Expr {
        self.parser.call(self.at, function, args)
    }

    fn member(&mut self, target: Expr, function: &str) -> Expr {
        let call = Call {
            target: Some(Box::new(target)),
            function: function.to_owned(),
            args: Vec::new(),
        };
        self.node(Kind::Call(call))
    }

    /// A copy of a tree with numbers of its own.
    fn copy(&mut self, expr: &Expr) -> Expr {
        let mut copy = expr.clone();
        self.renumber(&mut copy);
        copy
    }

    fn renumber(&mut self, expr: &mut Expr) {
        expr.id = self.parser.node(0, Kind::Broken).id;
        match &mut expr.kind {
            Kind::Literal(_) | Kind::Ident(_) | Kind::Broken => {}
            Kind::Select(select) => self.renumber(&mut select.operand),
            Kind::Call(call) => {
                call.target.iter_mut().for_each(|target| self.renumber(target));
                call.args.iter_mut().for_each(|arg| self.renumber(arg));
            }
            Kind::List(list) => list.elements.iter_mut().for_each(|element| self.renumber(element)),
            Kind::Map(entries) => {
                for entry in entries {
                    self.renumber(&mut entry.key);
                    self.renumber(&mut entry.value);
                }
            }
            Kind::Struct(message) => message
                .fields
                .iter_mut()
                .for_each(|field| self.renumber(&mut field.value)),
            Kind::Loop(fold) => {
                let parts = [
                    &mut fold.range,
                    &mut fold.init,
                    &mut fold.condition,
                    &mut fold.step,
                    &mut fold.result,
                ];
                parts.into_iter().for_each(|part| self.renumber(part));
            }
        }
    }

    fn expand(&mut self, known: Macro, variables: usize, target: Option<Expr>, args: Vec<Expr>) -> Result<Expr, Issue> {
        let mut args = args.into_iter();
        let Some(first) = args.next() else {
            return Err(Issue::new(self.at, NOT_A_NAME));
        };
        let Some(target) = target else {
            return self.presence(first);
        };
        match known {
            Macro::OptMap | Macro::OptFlatMap => self.optional(known, target, &first, args.next()),
            Macro::SortBy => self.sort_by(target, first, args.next()),
            Macro::Bind => self.bind(&first, args.next(), args.next()),
            _ => {
                let second = if variables == 2 { args.next() } else { None };
                let names = names(known, &first, second.as_ref())?;
                self.fold(known, target, first, names, args.collect())
            }
        }
    }

    /// `has(a.b)`.
    fn presence(&mut self, arg: Expr) -> Result<Expr, Issue> {
        match arg.kind {
            Kind::Select(select) => Ok(self.node(Kind::Select(Select { test: true, ..select }))),
            _ => Err(Issue::new(arg.at, "invalid argument to has() macro")),
        }
    }

    fn fold(
        &mut self,
        known: Macro,
        range: Expr,
        first: Expr,
        (variable, second): (String, Option<String>),
        mut args: Vec<Expr>,
    ) -> Result<Expr, Issue> {
        let Some(body) = args.pop() else {
            return Err(Issue::new(self.at, NOT_A_NAME));
        };
        let filter = args.pop();
        let gathered = self.result();
        let (init, condition, step, result) = match known {
            Macro::All => {
                let init = self.literal(Literal::Bool(true));
                let so_far = self.result();
                let condition = self.call(op::NOT_STRICTLY_FALSE, vec![so_far]);
                let step = self.call(op::AND, vec![gathered, body]);
                (init, condition, step, self.result())
            }
            Macro::Exists => {
                let init = self.literal(Literal::Bool(false));
                let so_far = self.result();
                let not_yet = self.call(op::NOT, vec![so_far]);
                let condition = self.call(op::NOT_STRICTLY_FALSE, vec![not_yet]);
                let step = self.call(op::OR, vec![gathered, body]);
                (init, condition, step, self.result())
            }
            Macro::ExistsOne => {
                let init = self.literal(Literal::Int(0));
                let condition = self.literal(Literal::Bool(true));
                let one = self.literal(Literal::Int(1));
                let more = self.call(op::ADD, vec![gathered, one]);
                let same = self.result();
                let step = self.call(op::CONDITIONAL, vec![body, more, same]);
                let (count, one) = (self.result(), self.literal(Literal::Int(1)));
                (init, condition, step, self.call(op::EQUALS, vec![count, one]))
            }
            _ => {
                let (filter, added) = match known {
                    Macro::Filter => (Some(body), first),
                    _ => (filter, body),
                };
                let maps = matches!(known, Macro::TransformMap | Macro::TransformMapEntry);
                let init = if maps {
                    self.node(Kind::Map(Vec::new()))
                } else {
                    self.list(Vec::new())
                };
                let condition = self.literal(Literal::Bool(true));
                let more = match known {
                    Macro::TransformMap => {
                        let key = self.node(Kind::Ident(variable.clone()));
                        self.call(op::INSERT, vec![gathered, key, added])
                    }
                    Macro::TransformMapEntry => self.call(op::INSERT, vec![gathered, added]),
                    _ => {
                        let added = self.list(vec![added]);
                        self.call(op::ADD, vec![gathered, added])
                    }
                };
                let step = match filter {
                    Some(filter) => {
                        let same = self.result();
                        self.call(op::CONDITIONAL, vec![filter, more, same])
                    }
                    None => more,
                };
                (init, condition, step, self.result())
            }
        };
        let result_name = RESULT.to_owned();
        Ok(self.node(Kind::Loop(Box::new(Loop {
            range,
            variable,
            second,
            result_name,
            init,
            condition,
            step,
            result,
        }))))
    }

    /// A loop over nothing: its start is a name for a value.
    fn named(&mut self, name: String, value: Expr, body: Expr) -> Expr {
        let range = self.list(Vec::new());
        let condition = self.literal(Literal::Bool(false));
        let step = self.node(Kind::Ident(name.clone()));
        self.node(Kind::Loop(Box::new(Loop {
            range,
            variable: "#unused".to_owned(),
            second: None,
            result_name: name,
            init: value,
            condition,
            step,
            result: body,
        })))
    }

    /// The list gets a name, by which its keys are found and it is sorted.
    fn sort_by(&mut self, target: Expr, variable: Expr, key: Option<Expr>) -> Result<Expr, Issue> {
        const INPUT: &str = "@__sortBy_input__";
        if matches!(target.kind, Kind::Literal(_) | Kind::Map(_) | Kind::Struct(_)) {
            let why = "sortBy can only be applied to a list, identifier, comprehension, call or select expression";
            return Err(Issue::new(target.at, why));
        }
        let names = names(Macro::Map, &variable, None)?;
        let (input, sorted) = (Kind::Ident(INPUT.to_owned()), Kind::Ident(INPUT.to_owned()));
        let (input, sorted) = (self.node(input), self.node(sorted));
        let keys = self.fold(Macro::Map, input, variable, names, key.into_iter().collect())?;
        let call = Call {
            target: Some(Box::new(sorted)),
            function: "@sortByAssociatedKeys".to_owned(),
            args: vec![keys],
        };
        let call = self.node(Kind::Call(call));
        Ok(self.named(INPUT.to_owned(), target, call))
    }

    fn bind(&mut self, name: &Expr, value: Option<Expr>, body: Option<Expr>) -> Result<Expr, Issue> {
        let name = name_of(name, "cel.bind() variable names must be simple identifiers")?;
        match (value, body) {
            (Some(value), Some(body)) => Ok(self.named(name, value, body)),
            _ => Err(Issue::new(self.at, NOT_A_NAME)),
        }
    }

    fn optional(&mut self, known: Macro, target: Expr, name: &Expr, body: Option<Expr>) -> Result<Expr, Issue> {
        let flat = matches!(known, Macro::OptFlatMap);
        let called = if flat { "optFlatMap" } else { "optMap" };
        let name = name_of(name, &format!("{called}() variable name must be a simple identifier"))?;
        let Some(body) = body else {
            return Err(Issue::new(self.at, NOT_A_NAME));
        };
        let copy = self.copy(&target);
        let present = self.member(target, "hasValue");
        let value = self.member(copy, "value");
        let mut mapped = self.named(name, value, body);
        if !flat {
            mapped = self.call("optional.of", vec![mapped]);
        }
        let none = self.call("optional.none", Vec::new());
        Ok(self.call(op::CONDITIONAL, vec![present, mapped, none]))
    }
}

/// The variables of a loop.
fn names(known: Macro, first: &Expr, second: Option<&Expr>) -> Result<(String, Option<String>), Issue> {
    let taken = |name: &str| name == RESULT || name == OLD_RESULT;
    let Some(second) = second else {
        let complaint = match known {
            Macro::Map | Macro::Filter => NOT_AN_IDENTIFIER,
            _ => NOT_A_NAME,
        };
        let name = name_of(first, complaint)?;
        if taken(&name) {
            return Err(Issue::new(first.at, OVERWRITES));
        }
        return Ok((name, None));
    };
    let (one, two) = (name_of(first, NOT_A_NAME)?, name_of(second, NOT_A_NAME)?);
    if one == two {
        return Err(Issue::new(second.at, format!("duplicate variable name: {one}")));
    }
    for (name, expr) in [(&one, first), (&two, second)] {
        if taken(name) {
            return Err(Issue::new(expr.at, OVERWRITES));
        }
    }
    Ok((one, Some(two)))
}
