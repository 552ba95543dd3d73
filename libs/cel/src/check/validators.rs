//! What is checked once types are known: literals of times and regular expressions, and that collections hold one type.

use super::checker::Types;
use super::types::Type;
use crate::ast::{Expr, Kind, Literal};
use crate::parse::Issue;
use crate::regex;
use crate::time;
use std::collections::BTreeSet;

/// All that is wrong with the literals and collections in an expression.
pub(crate) fn validate(expr: &Expr, types: &Types) -> Vec<Issue> {
    let mut issues = Vec::new();
    for (function, fails) in [
        (
            "duration",
            (|text| time::parse_duration(text).is_none()) as fn(&str) -> bool,
        ),
        ("timestamp", |text| time::parse_timestamp(text).is_none()),
        ("matches", |text| regex::compile(text).is_err()),
    ] {
        each(expr, &mut |node| {
            if let Kind::Call(call) = &node.kind
                && call.function == function
                && let Some(arg) = call.args.first()
                && match &arg.kind {
                    Kind::Literal(Literal::String(text)) => fails(text),
                    // Numbers are declared to be lengths of time and yet cannot be made ones.
                    Kind::Literal(Literal::Int(_)) => function == "duration",
                    _ => false,
                }
            {
                issues.push(Issue::new(arg.at, format!("invalid {function} argument")));
            }
        });
    }
    each(expr, &mut |node| {
        if let Kind::Call(call) = &node.kind
            && call.function == "format"
            && let Some(Kind::Literal(Literal::String(template))) = call.target.as_ref().map(|target| &target.kind)
            && let [arg] = call.args.as_slice()
            && let Kind::List(list) = &arg.kind
        {
            issues.extend(template_issue(template, node.at, &list.elements, types));
        }
    });
    let mut exempt = BTreeSet::new();
    each(expr, &mut |node| {
        if matches!(&node.kind, Kind::Call(call) if call.function == "format") {
            each(node, &mut |part| {
                exempt.insert(part.id);
            });
        }
    });
    each(expr, &mut |node| match &node.kind {
        _ if exempt.contains(&node.id) => {}
        Kind::List(list) => {
            let parts = list.elements.iter().enumerate();
            let parts = parts.map(|(i, element)| (element, list.optional.contains(&i)));
            issues.extend(same(types, parts).into_iter().take(1));
        }
        Kind::Map(entries) => {
            issues.extend(same(types, entries.iter().map(|entry| (&entry.key, false))));
            issues.extend(same(types, entries.iter().map(|entry| (&entry.value, entry.optional))));
        }
        _ => {}
    });
    issues
}

/// What is wrong with a template and the values for it, the first of several (cel-go `ext/formatting.go`).
fn template_issue(template: &str, at: usize, values: &[Expr], types: &Types) -> Option<Issue> {
    let mut chars = template.chars().peekable();
    let mut used = 0;
    while let Some(c) = chars.next() {
        if c != '%' || chars.next_if_eq(&'%').is_some() {
            continue;
        }
        let precise = chars.next_if_eq(&'.').is_some();
        while precise && chars.next_if(char::is_ascii_digit).is_some() {}
        let Some(value) = values.get(used) else {
            return Some(Issue::new(at, format!("index {used} out of range")));
        };
        used += 1;
        let (wanted, takes): (&str, fn(&Type) -> bool) = match chars.next() {
            Some('s') => continue,
            Some('d') => ("decimal clause can only be used on integers", |of| {
                matches!(of, Type::Int | Type::Uint)
            }),
            Some('o') => ("octal clause can only be used on integers", |of| {
                matches!(of, Type::Int | Type::Uint)
            }),
            Some('f') => ("fixed-point clause can only be used on doubles", |of| {
                *of == Type::Double
            }),
            Some('e') => ("scientific clause can only be used on doubles", |of| {
                *of == Type::Double
            }),
            Some('b') => ("only integers and bools can be formatted as binary", |of| {
                matches!(of, Type::Int | Type::Uint | Type::Bool)
            }),
            Some('x' | 'X') => (
                "only integers, byte buffers, and strings can be formatted as hex",
                |of| matches!(of, Type::Int | Type::Uint | Type::String | Type::Bytes),
            ),
            Some(clause) => {
                let why = format!("could not parse formatting clause: unrecognized formatting clause \"{clause}\"");
                return Some(Issue::new(at, why));
            }
            None => {
                return Some(Issue::new(
                    at,
                    "could not parse formatting clause: unexpected end of string",
                ));
            }
        };
        let of = types.of(value);
        if !takes(of) && !of.is_dyn_or_error() {
            return Some(Issue::new(
                value.at,
                format!("error during formatting: {wanted}, was given {of}"),
            ));
        }
    }
    let count = values.len();
    let too_many = || format!("too many arguments supplied to string.format (expected {used}, got {count})");
    (used < count).then(|| Issue::new(at, too_many()))
}

/// Complaints about parts of another type than the first.
fn same<'e>(types: &Types, parts: impl Iterator<Item = (&'e Expr, bool)>) -> Vec<Issue> {
    let mut first: Option<Type> = None;
    let mut issues = Vec::new();
    for (part, optional) in parts {
        let of = types.of(part);
        let of = of.unwrap_optional().filter(|_| optional).unwrap_or(of);
        match &first {
            None => first = Some(of.clone()),
            Some(first) if first == of => {}
            Some(first) => issues.push(Issue::new(part.at, format!("expected type '{first}' but found '{of}'"))),
        }
    }
    issues
}

/// Shows the conversions in an expression whose argument is a literal or another such conversion.
pub(crate) fn each_conversion(expr: &Expr, show: &mut impl FnMut(&Expr)) {
    each(expr, &mut |node| {
        if is_constant(node) && !matches!(node.kind, Kind::Literal(_)) {
            show(node);
        }
    });
}

fn is_constant(expr: &Expr) -> bool {
    const CONVERSIONS: [&str; 10] = [
        "bool",
        "bytes",
        "double",
        "duration",
        "dyn",
        "int",
        "string",
        "timestamp",
        "type",
        "uint",
    ];
    match &expr.kind {
        Kind::Literal(_) => true,
        Kind::Call(call) => {
            CONVERSIONS.iter().any(|name| call.function == *name)
                && call.target.is_none()
                && matches!(call.args.as_slice(), [arg] if is_constant(arg))
        }
        _ => false,
    }
}

/// Whether an expression names a variable.
pub(crate) fn mentions(expr: &Expr, name: &str) -> bool {
    let mut found = false;
    each(expr, &mut |node| {
        found |= matches!(&node.kind, Kind::Ident(ident) if ident == name)
    });
    found
}

/// Shows every node, parents first.
fn each(expr: &Expr, show: &mut impl FnMut(&Expr)) {
    show(expr);
    match &expr.kind {
        Kind::Literal(_) | Kind::Ident(_) | Kind::Broken => {}
        Kind::Select(select) => each(&select.operand, show),
        Kind::Call(call) => call
            .target
            .iter()
            .map(|target| &**target)
            .chain(&call.args)
            .for_each(|part| each(part, show)),
        Kind::List(list) => list.elements.iter().for_each(|element| each(element, show)),
        Kind::Map(entries) => entries
            .iter()
            .flat_map(|entry| [&entry.key, &entry.value])
            .for_each(|part| each(part, show)),
        Kind::Struct(message) => message.fields.iter().for_each(|field| each(&field.value, show)),
        Kind::Loop(fold) => {
            let parts = [&fold.range, &fold.init, &fold.condition, &fold.step, &fold.result];
            parts.into_iter().for_each(|part| each(part, show));
        }
    }
}
