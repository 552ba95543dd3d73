//! Numbers: ranges of types, bounds and factors (`numberValidator`). Go keeps integers and floats apart, and so do the rules.

use super::report::{Complaint, Place, Report};
use crate::node::{Kind, Limits, Node};
use machinery::field::go_number;
use serde_json::{Number, Value};
use std::cmp::Ordering;

/// The largest float up to which every integer is one.
const MAX_EXACT: f64 = 9_007_199_254_740_991.0;
/// How far from an integer a float may be.
const EPSILON: f64 = 1e-9;

/// Whether a float is an integer, or as good as one (swag `IsFloat64AJSONInteger`).
pub(super) fn is_whole(number: f64) -> bool {
    if !(-MAX_EXACT..=MAX_EXACT).contains(&number) {
        return false;
    }
    if number == number.trunc() {
        return true;
    }
    // Go converts through an unsigned integer, which keeps only numbers above zero close to themselves.
    let near = if number > 0.0 {
        number.trunc()
    } else {
        (number as i64 as u64) as f64
    };
    let apart = (number - near).abs();
    near != 0.0 && apart / (number.abs() + near.abs()).min(f64::MAX) < EPSILON
}

/// What is wrong with a number.
pub(super) fn check(given: &Number, node: &Node, place: &Place) -> Report {
    let mut report = Report::default();
    let range = Range::of(node);
    range.check(given, "Checked", place, &mut report);
    if let Some(limits) = node.limits.as_deref() {
        bounds(given, limits, range, place, &mut report);
    }
    report.matched();
    report
}

/// What numbers of a type can be.
#[derive(Clone, Copy)]
struct Range<'n> {
    kind: Kind,
    format: &'n str,
}

impl<'n> Range<'n> {
    fn of(node: &'n Node) -> Self {
        let format = node.format();
        match node.kind {
            _ if node.int_or_string => Range {
                kind: Kind::Any,
                format: "",
            },
            Kind::Integer if ["int32", "int64"].contains(&format) => Range {
                kind: Kind::Integer,
                format,
            },
            Kind::Number if ["float", "double"].contains(&format) => Range {
                kind: Kind::Number,
                format,
            },
            kind @ (Kind::Integer | Kind::Number) => Range { kind, format: "" },
            _ => Range {
                kind: Kind::Any,
                format: "",
            },
        }
    }

    /// Whether a number can be one of the type (`IsValueValidAgainstRange`); complains if not.
    fn check(self, number: &Number, what: &str, place: &Place, report: &mut Report) -> bool {
        let whole = || match (number.as_i64(), number.as_f64()) {
            (Some(whole), _) => Some(whole),
            // The bound of 64 bits is exact as a float, and no integer itself.
            (None, Some(float)) if float.fract() == 0.0 && float.abs() < 9_223_372_036_854_775_808.0 => {
                Some(float as i64)
            }
            _ => None,
        };
        let fits = match (self.kind, self.format) {
            (Kind::Integer, "int32") => whole().is_some_and(|whole| i32::try_from(whole).is_ok()),
            (Kind::Integer, _) => whole().is_some(),
            (_, "float") => number.as_f64().is_some_and(|float| (float as f32).is_finite()),
            _ => true,
        };
        if !fits {
            let kind = self.kind.name();
            let format = match self.format {
                "" => "(default format)".to_owned(),
                format => format!("with format {format}"),
            };
            let name = place.name();
            report.add(place.general(format!("{what} value must be of type {kind} {format} in {name}")));
        }
        fits
    }
}

/// A number that takes part in a comparison.
#[derive(Clone, Copy)]
enum Native {
    Int(i64),
    Float(f64),
}

impl Native {
    /// Both as integers if the value is one and the limit can be, else both as floats.
    fn both(value: &Number, limit: &Number, exact: bool) -> (Native, Native) {
        let float = limit.as_f64().unwrap_or_default();
        match value.as_i64().filter(|_| exact) {
            Some(value) => (Native::Int(value), Native::Int(limit.as_i64().unwrap_or(float as i64))),
            None => (Native::Float(value.as_f64().unwrap_or_default()), Native::Float(float)),
        }
    }

    fn float(self) -> f64 {
        match self {
            Native::Int(number) => number as f64,
            Native::Float(number) => number,
        }
    }

    fn order(self, other: Native) -> Option<Ordering> {
        match (self, other) {
            (Native::Int(own), Native::Int(other)) => Some(own.cmp(&other)),
            (own, other) => own.float().partial_cmp(&other.float()),
        }
    }

    fn shown(self) -> String {
        match self {
            Native::Int(number) => number.to_string(),
            Native::Float(number) => Number::from_f64(number).map_or_else(|| "NaN".to_owned(), |n| go_number(&n)),
        }
    }

    fn json(self) -> Value {
        match self {
            Native::Int(number) => number.into(),
            Native::Float(number) => number.into(),
        }
    }
}

fn bounds(given: &Number, limits: &Limits, range: Range<'_>, place: &Place, report: &mut Report) {
    if let Some(factor) = &limits.multiple_of {
        let exact = range.check(factor, "MultipleOf", place, report);
        let (value, factor) = Native::both(given, factor, exact);
        if let Some(complaint) = multiple(value, factor, place) {
            report.add(complaint);
        }
    }
    for (limit, exclusive, wrong, what) in [
        (
            &limits.minimum,
            limits.exclusive_minimum,
            Ordering::Less,
            "Minimum boundary",
        ),
        (
            &limits.maximum,
            limits.exclusive_maximum,
            Ordering::Greater,
            "Maximum boundary",
        ),
    ] {
        let Some(limit) = limit else { continue };
        let exact = range.check(limit, what, place, report);
        let (value, limit) = Native::both(given, limit, exact);
        let order = value.order(limit);
        if order == Some(wrong) || exclusive && order == Some(Ordering::Equal) {
            let side = if wrong.is_lt() { "greater" } else { "less" };
            report.add(beyond(value, side, exclusive, limit, place));
        }
    }
}

fn beyond(value: Native, side: &str, exclusive: bool, limit: Native, place: &Place) -> Complaint {
    let or_equal = if exclusive { "" } else { " or equal to" };
    place.invalid(
        value.json(),
        &format!("should be {side} than{or_equal} {}", limit.shown()),
    )
}

fn multiple(value: Native, factor: Native, place: &Place) -> Option<Complaint> {
    let is_multiple = match (value, factor) {
        (_, Native::Int(..=0)) => None,
        (_, Native::Float(by)) if by <= 0.0 => None,
        (Native::Int(value), Native::Int(by)) => Some(value % by == 0),
        (value, factor) => {
            let (value, by) = (value.float(), factor.float());
            Some(is_whole(if by < 1.0 { 1.0 / by * value } else { value / by }))
        }
    };
    match is_multiple {
        Some(true) => None,
        Some(false) => Some(place.invalid(value.json(), &format!("should be a multiple of {}", factor.shown()))),
        None => {
            let (name, by) = (place.name(), factor.shown());
            let text = format!("factor MultipleOf declared for {name} must be positive: {by}");
            Some(place.with_text(factor.json(), text))
        }
    }
}
