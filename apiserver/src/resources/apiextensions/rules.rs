//! The rules in schemas: they compile, and what they may cost together is limited (apiextensions-apiserver
//! `pkg/apis/apiextensions/validation`).

use super::super::shared::checks::text;
use cel::kubernetes::schema::{Declared, Rule};
use machinery::field::{Error, ErrorList, Path};
use machinery::meta;
use serde_json::{Value, json};

/// What one rule may cost.
const LIMIT: u64 = 10_000_000;
/// What all rules of a schema may cost together.
const TOTAL_LIMIT: u64 = 100_000_000;
/// As many of the most expensive rules are named.
const NAMED: usize = 4;
const NO_TYPES: &str = "internal error: failed to construct type information for x-kubernetes-validations rules: unable to convert structural schema to CEL declarations";
const CONTRIBUTED: &str = "contributed to estimated rule cost total exceeding cost limit for entire OpenAPIv3 schema";

/// What the rules of a schema cost, and what is wrong with them.
#[derive(Default)]
pub(super) struct Costs {
    errors: ErrorList,
    total: u64,
    /// The most expensive rules, the most expensive first.
    expensive: Vec<(Path, u64)>,
}

/// What is asked of the rules at a place.
pub(super) struct Strictness<'a> {
    /// Whether the values are whole objects, with kind and metadata.
    pub(super) whole: bool,
    /// How often such a value occurs in an object, if that is known.
    pub(super) cardinality: Option<u64>,
    /// Whether the cost of each single rule counts.
    pub(super) single_costs: bool,
    /// The place above that keeps rules from comparing with what was there before.
    pub(super) uncorrelatable: Option<&'a Path>,
}

/// How often a value within a schema occurs, if that is known (`extractMaxElements`).
pub(super) fn within(schema: &Value, cardinality: Option<u64>) -> Option<u64> {
    let most = match text(schema, &["type"]) {
        "object" if schema.get("additionalProperties").is_some() => meta::i64_at(schema, &["maxProperties"])?,
        "array" => meta::i64_at(schema, &["maxItems"])?,
        _ => 1,
    };
    Some(cardinality?.saturating_mul(u64::try_from(most).unwrap_or_default()))
}

/// Compiles the rules of one schema.
pub(super) fn compile(schema: &Value, strict: &Strictness<'_>, path: &Path, costs: &mut Costs) {
    let rules = meta::list_at(schema, &["x-kubernetes-validations"]);
    if rules.is_empty() {
        return;
    }
    let path = path.child("x-kubernetes-validations");
    let Some(declared) = Declared::of(schema, strict.whole) else {
        costs.errors.push(Error::internal(&path, NO_TYPES));
        return;
    };
    for (i, rule) in rules.iter().enumerate() {
        one(rule, &declared, strict, &path.index(i), costs);
    }
}

fn one(rule: &Value, declared: &Declared, strict: &Strictness<'_>, path: &Path, costs: &mut Costs) {
    let expression = text(rule, &["rule"]);
    let optional_old = meta::bool_at(rule, &["optionalOldSelf"]);
    let rule_path = path.child("rule");
    let compiled = match declared.rule(expression, optional_old == Some(true)) {
        Ok(compiled) => compiled,
        Err(detail) => {
            costs.errors.push(shown(rule, &rule_path, detail));
            if optional_old.is_some() {
                costs.errors.push(unused(optional_old, path));
            }
            return;
        }
    };
    let times = strict.cardinality.unwrap_or_else(|| declared.most_in_a_request());
    costs.observe(
        &rule_path,
        compiled.cost.saturating_mul(times),
        "estimated rule cost",
        strict.single_costs,
    );
    let message = text(rule, &["messageExpression"]);
    if !message.is_empty() {
        let path = path.child("messageExpression");
        match declared.message(message, optional_old == Some(true)) {
            Ok(Rule { cost, .. }) => {
                costs.observe(&path, cost, "estimated messageExpression cost", strict.single_costs);
            }
            Err(detail) => costs.errors.push(shown(rule, &path, detail)),
        }
    }
    match strict.uncorrelatable {
        Some(above) if compiled.uses_old => {
            let detail = format!(
                "oldSelf cannot be used on the uncorrelatable portion of the schema within {}",
                above.as_str()
            );
            costs.errors.push(Error::invalid(&rule_path, expression, detail));
        }
        _ if !compiled.uses_old && optional_old.is_some() => costs.errors.push(unused(optional_old, path)),
        _ => {}
    }
}

fn unused(optional_old: Option<bool>, path: &Path) -> Error {
    let detail = "may not be set if oldSelf is not used in rule";
    Error::invalid(&path.child("optionalOldSelf"), optional_old.unwrap_or_default(), detail)
}

/// A complaint that shows the whole rule, as upstream's structure of it.
fn shown(rule: &Value, path: &Path, detail: String) -> Error {
    // As Go's JSON writes texts.
    let escape = |text: String| {
        text.replace('&', "\\u0026")
            .replace('<', "\\u003c")
            .replace('>', "\\u003e")
    };
    let field = |name: &str| escape(Value::from(text(rule, &[name])).to_string());
    let or_null = |name: &str| rule.get(name).cloned().unwrap_or_default();
    let shown = format!(
        r#"{{"Rule":{},"Message":{},"MessageExpression":{},"Reason":{},"FieldPath":{},"OptionalOldSelf":{}}}"#,
        field("rule"),
        field("message"),
        field("messageExpression"),
        or_null("reason"),
        field("fieldPath"),
        or_null("optionalOldSelf"),
    );
    Error {
        shown: Some(shown),
        ..Error::invalid(path, json!({}), detail)
    }
}

impl Costs {
    fn observe(&mut self, path: &Path, cost: u64, what: &str, limited: bool) {
        if limited && cost > LIMIT {
            self.errors.push(Error::forbidden(path, exceeds(what, cost, LIMIT)));
        }
        self.total = self.total.saturating_add(cost);
        if cost < TOTAL_LIMIT / 100 {
            return;
        }
        self.expensive.push((path.clone(), cost));
        self.expensive.sort_by_key(|(_, cost)| std::cmp::Reverse(*cost));
        self.expensive.truncate(NAMED);
    }

    /// All that is wrong, and whether the rules cost too much together.
    pub(super) fn finish(self, path: &Path) -> ErrorList {
        let mut errors = self.errors;
        if self.total > TOTAL_LIMIT {
            errors.extend(
                self.expensive
                    .iter()
                    .map(|(path, _)| Error::forbidden(path, CONTRIBUTED)),
            );
            let what = "x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema";
            errors.push(Error::forbidden(path, exceeds(what, self.total, TOTAL_LIMIT)));
        }
        errors
    }
}

/// `getCostErrorMessage`.
fn exceeds(what: &str, cost: u64, limit: u64) -> String {
    let factor = cost as f64 / limit as f64;
    let factor = if factor > 100.0 {
        "more than 100x".to_owned()
    } else if factor < 1.5 {
        format!("{factor:.6}x")
    } else {
        format!("{factor:.1}x")
    };
    format!(
        "{what} exceeds budget by factor of {factor} (try simplifying the rule, or adding maxItems, maxProperties, and maxLength where arrays, maps, and strings are declared)"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(schema: &Value) -> Vec<String> {
        let mut costs = Costs::default();
        let strict = Strictness {
            whole: false,
            cardinality: Some(1),
            single_costs: true,
            uncorrelatable: None,
        };
        compile(schema, &strict, &Path::new("s"), &mut costs);
        costs.finish(&Path::new("s")).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn rules_compile_and_do_not_cost_too_much() {
        let schema = |of: Value, rule: Value| {
            let mut of = of;
            of["x-kubernetes-validations"] = json!([rule]);
            of
        };
        for (schema, expected) in [
            (schema(json!({"type": "integer"}), json!({"rule": "self > 0"})), vec![]),
            (
                schema(json!({"type": "integer"}), json!({"rule": "self > 'a'"})),
                vec![
                    r#"s.x-kubernetes-validations[0].rule: Invalid value: {"Rule":"self \u003e 'a'","Message":"","MessageExpression":"","Reason":null,"FieldPath":"","OptionalOldSelf":null}: compilation failed: ERROR: <input>:1:6: found no matching overload for '_>_' applied to '(int, string)'
 | self > 'a'
 | .....^"#,
                ],
            ),
            (
                schema(
                    json!({"type": "integer"}),
                    json!({"rule": "self > 0", "optionalOldSelf": true}),
                ),
                vec![
                    "s.x-kubernetes-validations[0].optionalOldSelf: Invalid value: true: may not be set if oldSelf is not used in rule",
                ],
            ),
            (
                schema(
                    json!({"type": "array", "maxItems": 100, "items": {"type": "string", "maxLength": 1000}}),
                    json!({"rule": "self.all(x, self.all(y, self.all(z, x == y)))"}),
                ),
                vec![
                    "s.x-kubernetes-validations[0].rule: Forbidden: estimated rule cost exceeds budget by factor of 40.5x (try simplifying the rule, or adding maxItems, maxProperties, and maxLength where arrays, maps, and strings are declared)",
                    "s.x-kubernetes-validations[0].rule: Forbidden: contributed to estimated rule cost total exceeding cost limit for entire OpenAPIv3 schema",
                    "s: Forbidden: x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema exceeds budget by factor of 4.1x (try simplifying the rule, or adding maxItems, maxProperties, and maxLength where arrays, maps, and strings are declared)",
                ],
            ),
        ] {
            assert_eq!(texts(&schema), expected, "{schema}");
        }
    }

    #[test]
    fn values_occur_as_often_as_their_lists_are_long() {
        for (schema, expected) in [
            (json!({"type": "object"}), Some(3)),
            (json!({"type": "array"}), None),
            (json!({"type": "array", "maxItems": 2}), Some(6)),
            (
                json!({"type": "object", "additionalProperties": {}, "maxProperties": 5}),
                Some(15),
            ),
        ] {
            assert_eq!(within(&schema, Some(3)), expected, "{schema}");
        }
    }
}
