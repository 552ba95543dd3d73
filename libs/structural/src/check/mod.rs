//! Whether values fit a schema (k8s.io/kube-openapi `pkg/validation/validate`), with the field errors that
//! apiextensions-apiserver makes of its complaints (`pkg/apiserver/validation`).

mod number;
mod report;

use crate::correlate::{Correlated, Items};
use crate::formats;
use crate::node::{Additional, Kind, Limits, Node};
use cel::regex::Pattern;
use machinery::field::{Error, ErrorList, Path};
use report::{Place, Report};
use serde_json::{Map, Value};
use std::cell::RefCell;
use std::collections::BTreeMap;

/// The form in which upstream holds the schema that values are checked by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// That of kinds that are served: integers or texts are one or the other, and formats that are not known do not count.
    Served,
    /// That in which definitions are checked: neither holds.
    Defined,
}

/// All that keeps a value at `path` from fitting; with what it `was`, only what is new about that.
pub(crate) fn value(value: &Value, node: &Node, path: &Path, was: Option<Correlated<'_>>, form: Form) -> ErrorList {
    let patterns = Patterns::default();
    let checker = Checker {
        form,
        patterns: &patterns,
    };
    checker.ratcheted(value, node, &Place::root(path), was).into_errors()
}

/// The name of a value's type in OpenAPI, as Go decodes it: what is no 64-bit integer is a float.
fn type_of(value: &Value) -> Kind {
    match value {
        // There is no type for null: callers know it.
        Value::Null => Kind::Any,
        Value::Bool(_) => Kind::Boolean,
        Value::Number(number) if number.is_i64() => Kind::Integer,
        Value::Number(_) => Kind::Number,
        Value::String(_) => Kind::String,
        Value::Array(_) => Kind::Array,
        Value::Object(_) => Kind::Object,
    }
}

/// The patterns that were needed so far: an object may have many values with the same, but keeping them for ever would take
/// more memory than their schemas.
#[derive(Default)]
struct Patterns(RefCell<BTreeMap<String, Result<Pattern, String>>>);

impl Patterns {
    /// Whether a pattern is found in a text, or what is wrong with it.
    fn matches(&self, pattern: &str, text: &str) -> Result<bool, String> {
        let mut known = self.0.borrow_mut();
        if !known.contains_key(pattern) {
            known.insert(pattern.to_owned(), Pattern::new(pattern));
        }
        match known.get(pattern) {
            Some(Ok(pattern)) => Ok(pattern.matches(text)),
            Some(Err(why)) => Err(why.clone()),
            None => Ok(false),
        }
    }
}

#[derive(Clone, Copy)]
struct Checker<'p> {
    form: Form,
    patterns: &'p Patterns,
}

impl Checker<'_> {
    /// Complaints about what did not change are none (`RatchetingSchemaValidator`).
    fn ratcheted<'v>(self, value: &'v Value, node: &'v Node, place: &Place, was: Option<Correlated<'v>>) -> Report {
        let mut report = self.check(value, node, place, was);
        if !report.is_valid() && was.is_some_and(|was| was.is_unchanged()) {
            report.forgive();
        }
        report
    }

    /// The whole of `SchemaValidator.Validate`, in its order. Matches are counted as it does, since they decide which
    /// alternative's complaints are shown.
    fn check<'v>(self, value: &'v Value, node: &'v Node, place: &Place, was: Option<Correlated<'v>>) -> Report {
        let mut report = Report::default();
        let limits = node.limits.as_deref();
        if value.is_null() {
            report.merge(self.null(node, place));
            report.merge(
                limits
                    .map(|limits| enumerated(value, limits, place))
                    .unwrap_or_default(),
            );
            return report;
        }
        if node.kind != Kind::Any || self.is_either(node) || !self.format(node).is_empty() {
            report.merge(self.typed(value, node, place));
            report.matched();
        }
        report.merge(limits.map_or_else(Report::one, |limits| self.junctors(value, limits, place)));
        report.matched();
        match value {
            Value::String(text) => {
                report.merge(
                    limits
                        .map(|limits| self.string(text, limits, place))
                        .unwrap_or_default(),
                );
                report.matched();
                if formats::is_registered(self.format(node)) {
                    report.merge(self.formatted(text, node, place));
                    report.matched();
                }
            }
            Value::Number(given) => {
                report.merge(number::check(given, node, place));
                report.matched();
            }
            Value::Array(items) => {
                report.merge(self.list(items, node, place, was));
                report.matched();
            }
            _ => {}
        }
        report.merge(
            limits
                .map(|limits| enumerated(value, limits, place))
                .unwrap_or_default(),
        );
        report.matched();
        if let Value::Object(fields) = value {
            report.merge(self.object(fields, node, place, was));
            report.matched();
        }
        report.matched();
        report
    }

    fn format(self, node: &Node) -> &str {
        match &node.limits {
            Some(limits) if limits.format_known || self.form == Form::Defined => &limits.format,
            _ => "",
        }
    }

    /// Whether values are integers or texts.
    fn is_either(self, node: &Node) -> bool {
        node.int_or_string && self.form == Form::Served
    }

    /// The names of the types that are wanted.
    fn wanted(self, node: &Node) -> &'static str {
        if self.is_either(node) {
            "integer,string"
        } else {
            node.kind.name()
        }
    }

    fn null(self, node: &Node, place: &Place) -> Report {
        let wanted = self.wanted(node);
        if wanted.is_empty() || node.nullable {
            return Report::one();
        }
        Report::of(place.wrong_type("null", wanted, "null"))
    }

    /// `typeValidator`
    fn typed(self, value: &Value, node: &Node, place: &Place) -> Report {
        let (format, actual) = (self.format(node), type_of(value));
        let wants = |kind: Kind| match self.is_either(node) {
            true => matches!(kind, Kind::Integer | Kind::String),
            false => node.kind == kind,
        };
        let whole = actual == Kind::Number && wants(Kind::Integer) && value.as_f64().is_some_and(number::is_whole);
        let fits = wants(actual) || whole || actual == Kind::Integer && wants(Kind::Number);
        if !format.is_empty() {
            let own = match actual {
                Kind::Integer => "int64",
                Kind::Number => "float64",
                _ => "",
            };
            let plain = !matches!(actual, Kind::String | Kind::Array);
            if plain && !fits && own != format {
                return Report::of(place.wrong_type(own, format, own));
            }
            // Texts and lists are left to their formats.
            if !plain && !wants(Kind::Number) && !wants(Kind::Integer) {
                return Report::one();
            }
        }
        if fits {
            return Report::one();
        }
        Report::of(place.wrong_type(actual.name(), self.wanted(node), actual.name()))
    }

    fn formatted(self, text: &str, node: &Node, place: &Place) -> Report {
        let format = self.format(node);
        if formats::fits(format, text) {
            return Report::default();
        }
        Report::of(place.wrong_type(text, format, text))
    }

    /// `stringValidator`: only the first complaint counts.
    fn string(self, value: &str, limits: &Limits, place: &Place) -> Report {
        let length = i64::try_from(value.chars().count()).unwrap_or(i64::MAX);
        if let Some(max) = limits.max_length.filter(|max| length > *max) {
            return Report::of(place.too_long(max));
        }
        if let Some(min) = limits.min_length.filter(|min| length < *min) {
            return Report::of(place.invalid(value, &format!("should be at least {min} chars long")));
        }
        let pattern = &*limits.pattern;
        if pattern.is_empty() {
            return Report::default();
        }
        let wrong = match self.patterns.matches(pattern, value) {
            Ok(true) => return Report::default(),
            Ok(false) => String::new(),
            Err(why) => format!(", but pattern is invalid: {why}"),
        };
        Report::of(place.invalid(value, &format!("should match '{pattern}{wrong}'")))
    }

    /// `allOf`, `anyOf`, `oneOf` and `not`; of alternatives that all fail, the one that matches best says why.
    fn junctors(self, value: &Value, limits: &Limits, place: &Place) -> Report {
        let mut report = Report::default();
        let check = |node: &Node| self.check(value, node, place, None);
        let name = place.quoted();
        if !limits.any_of.is_empty() {
            let (mut best, mut fits) = (None, None);
            for alternative in &limits.any_of {
                let found = check(alternative);
                if found.is_valid() {
                    fits = Some(found);
                    break;
                }
                Report::keep_better(&mut best, found);
            }
            match fits {
                Some(found) => report.merge(found),
                None => {
                    report.add(place.general(format!("{name} must validate at least one schema (anyOf)")));
                    report.merge(best.unwrap_or_default());
                }
            }
        }
        if !limits.one_of.is_empty() {
            let (mut best, mut fits, mut fitting) = (None, None, 0);
            for alternative in &limits.one_of {
                let found = check(alternative);
                if found.is_valid() {
                    fitting += 1;
                    best = None;
                    fits.get_or_insert(found);
                } else if fitting == 0 {
                    Report::keep_better(&mut best, found);
                }
            }
            if fitting == 1 {
                report.merge(fits.unwrap_or_default());
            } else {
                let count = match fitting {
                    0 => "Found none valid".to_owned(),
                    count => format!("Found {count} valid alternatives"),
                };
                let what = format!("{name} must validate one and only one schema (oneOf). {count}");
                report.add(place.general(what));
                report.merge(best.unwrap_or_default());
            }
        }
        let mut fitting = 0;
        for part in &limits.all_of {
            let found = check(part);
            fitting += usize::from(found.is_valid());
            report.merge(found);
        }
        if fitting != limits.all_of.len() {
            let none = if fitting == 0 { ". None validated" } else { "" };
            report.add(place.general(format!("{name} must validate all the schemas (allOf){none}")));
        }
        if limits.not.as_ref().is_some_and(|not| check(not).is_valid()) {
            report.add(place.general(format!("{name} must not validate the schema (not)")));
        }
        report.matched();
        report
    }

    fn list<'v>(self, items: &'v [Value], node: &'v Node, place: &Place, was: Option<Correlated<'v>>) -> Report {
        let mut report = Report::default();
        if let Some(of) = node.items.as_deref() {
            let before: Option<Items<'_>> = was.map(|was| was.items());
            for (i, item) in items.iter().enumerate() {
                let was = before.as_ref().and_then(|before| before.get(item));
                report.merge(self.ratcheted(item, of, &place.index(i), was));
            }
        }
        if let Some(limits) = node.limits.as_deref() {
            let size = i64::try_from(items.len()).unwrap_or(i64::MAX);
            if let Some(min) = limits.min_items.filter(|min| size < *min) {
                report.add(place.invalid(size, &format!("should have at least {min} items")));
            }
            if let Some(max) = limits.max_items.filter(|max| size > *max) {
                report.add(place.too_many(size, max, "items"));
            }
            let repeats = || items.iter().enumerate().any(|(i, item)| items[..i].contains(item));
            if limits.unique_items && repeats() {
                report.add(place.invalid("", "shouldn't contain duplicates"));
            }
        }
        report.matched();
        report
    }

    fn object<'v>(
        self,
        fields: &'v Map<String, Value>,
        node: &'v Node,
        place: &Place,
        was: Option<Correlated<'v>>,
    ) -> Report {
        let mut report = Report::default();
        let limits = node.limits.as_deref();
        let count = i64::try_from(fields.len()).unwrap_or(i64::MAX);
        if let Some(min) = limits
            .and_then(|limits| limits.min_properties)
            .filter(|min| count < *min)
        {
            report.add(place.invalid(count, &format!("should have at least {min} properties")));
        }
        if let Some(max) = limits
            .and_then(|limits| limits.max_properties)
            .filter(|max| count > *max)
        {
            report.add(place.too_many(count, max, "properties"));
        }
        // Every object has a kind and a version, which may be written in other words than they are kept in.
        let before = |name: &str| {
            let of_type = place.is_root() && matches!(name, "kind" | "apiVersion");
            was.filter(|_| !of_type).and_then(|was| was.key(name))
        };
        let others = fields.iter().filter(|(name, _)| node.property(name).is_none());
        match &node.additional {
            Additional::None => {
                for (name, _) in others {
                    report.add(place.forbidden_property(name));
                }
            }
            Additional::Schema(of) => {
                for (name, value) in others {
                    report.merge(self.ratcheted(value, of, &place.entry(name), before(name)));
                }
            }
            Additional::Unset | Additional::Any => {}
        }
        for (name, property) in node.properties() {
            if let Some(value) = fields.get(name) {
                report.merge(self.ratcheted(value, property, &place.field(name), before(name)));
            }
        }
        let required = limits.map_or(&[][..], |limits| &limits.required);
        for name in required.iter().filter(|name| !fields.contains_key(&***name)) {
            report.add(place.entry(name).required());
        }
        report
    }
}

/// `basicCommonValidator`
fn enumerated(value: &Value, limits: &Limits, place: &Place) -> Report {
    if limits.known.is_empty() || limits.known.iter().any(|known| is_known(value, known)) {
        return Report::default();
    }
    let shown: Vec<String> = limits
        .known
        .iter()
        .map(|known| known.as_str().map_or_else(|| known.to_string(), str::to_owned))
        .collect();
    let names: Vec<&str> = shown.iter().map(String::as_str).collect();
    let listed: Vec<String> = limits.known.iter().map(machinery::patch::go_value).collect();
    let text = format!("{} in body should be one of [{}]", place.name(), listed.join(" "));
    Report::of((text, Error::not_supported(&place.path(), value.clone(), &names)))
}

/// Whether a value is one that is known, once it is converted as Go converts values: numbers to each other, and integers to
/// the text of the character that they stand for. Null is never known.
fn is_known(value: &Value, known: &Value) -> bool {
    match (value, known) {
        (Value::Null, _) | (_, Value::Null) => false,
        (Value::Number(given), Value::Number(known)) => match (given.as_i64(), known.as_i64()) {
            (Some(given), Some(known)) => given == known,
            (None, Some(known)) => given.as_f64().is_some_and(|given| given as i64 == known),
            _ => given.as_f64() == known.as_f64(),
        },
        (Value::Number(given), Value::String(known)) => {
            let code = given
                .as_i64()
                .map(|code| u32::try_from(code).ok().and_then(char::from_u32));
            code.is_some_and(|code| {
                let mut of = [0; 4];
                code.unwrap_or(char::REPLACEMENT_CHARACTER).encode_utf8(&mut of) == known.as_str()
            })
        }
        _ => value == known,
    }
}
