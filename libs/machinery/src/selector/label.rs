//! Label selectors: the text form of query parameters and the structured form of `metav1.LabelSelector`
//! (apimachinery `pkg/labels`).

use crate::field::{self, Path};
use crate::names;
use serde_json::Value;

/// Requirements that must all hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selector {
    /// Whether nothing matches at all: the selector of an absent `metav1.LabelSelector`.
    pub nothing: bool,
    /// The requirements, sorted by key as upstream prints them.
    pub requirements: Vec<Requirement>,
}

/// One requirement on one label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requirement {
    /// The label's key.
    pub key: String,
    /// How it is compared.
    pub operator: Operator,
    /// With what; sorted.
    pub values: Vec<String>,
}

/// How a label is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the variants are upstream's operators")]
pub enum Operator {
    Equals,
    DoubleEquals,
    NotEquals,
    In,
    NotIn,
    Exists,
    DoesNotExist,
    GreaterThan,
    LessThan,
}

impl Requirement {
    fn matches(&self, value: Option<&str>) -> bool {
        let listed = |v: &str| self.values.iter().any(|x| x == v);
        match self.operator {
            Operator::In | Operator::Equals | Operator::DoubleEquals => value.is_some_and(listed),
            Operator::NotIn | Operator::NotEquals => !value.is_some_and(listed),
            Operator::Exists => value.is_some(),
            Operator::DoesNotExist => value.is_none(),
            Operator::GreaterThan | Operator::LessThan => {
                let number = |s: &str| s.parse::<i64>().ok();
                match (value.and_then(number), self.values.first().and_then(|v| number(v))) {
                    (Some(have), Some(limit)) if self.operator == Operator::GreaterThan => have > limit,
                    (Some(have), Some(limit)) => have < limit,
                    _ => false,
                }
            }
        }
    }

    fn validate(&self) -> Vec<field::Error> {
        let mut errors = Vec::new();
        let complaints = names::qualified_name(&self.key);
        if !complaints.is_empty() {
            errors.push(field::Error::invalid(
                &Path::root(),
                self.key.clone(),
                complaints.join("; "),
            ));
        }
        let values = Path::new("values");
        let listed = || Value::from(self.values.clone());
        match self.operator {
            Operator::In | Operator::NotIn if self.values.is_empty() => errors.push(field::Error::invalid(
                &values,
                listed(),
                "for 'in', 'notin' operators, values set can't be empty",
            )),
            Operator::GreaterThan | Operator::LessThan if self.values[0].parse::<i64>().is_err() => {
                errors.push(field::Error::invalid(
                    &values.index(0),
                    self.values[0].clone(),
                    "for 'Gt', 'Lt' operators, the value must be an integer",
                ));
            }
            _ => {}
        }
        for (i, value) in self.values.iter().enumerate() {
            let complaints = names::label_value(value);
            if !complaints.is_empty() {
                errors.push(field::Error::invalid(
                    &values.index(i).key(&self.key),
                    value.clone(),
                    complaints.join("; "),
                ));
            }
        }
        errors
    }
}

impl std::fmt::Display for Requirement {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (key, values) = (&self.key, self.values.join(","));
        match self.operator {
            Operator::Equals => write!(f, "{key}={values}"),
            Operator::DoubleEquals => write!(f, "{key}=={values}"),
            Operator::NotEquals => write!(f, "{key}!={values}"),
            Operator::In => write!(f, "{key} in ({values})"),
            Operator::NotIn => write!(f, "{key} notin ({values})"),
            Operator::Exists => write!(f, "{key}"),
            Operator::DoesNotExist => write!(f, "!{key}"),
            Operator::GreaterThan => write!(f, "{key}>{values}"),
            Operator::LessThan => write!(f, "{key}<{values}"),
        }
    }
}

/// Upstream's canonical text: requirements by key, separated by commas.
impl std::fmt::Display for Selector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let texts: Vec<String> = self.requirements.iter().map(ToString::to_string).collect();
        f.write_str(&texts.join(","))
    }
}

impl Selector {
    /// Parses the text of a query parameter.
    ///
    /// # Errors
    /// Upstream's sentence about what cannot be understood.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut parser = Parser {
            tokens: tokens(text),
            at: 0,
        };
        let mut requirements = parser.requirements()?;
        requirements.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(Selector {
            nothing: false,
            requirements,
        })
    }

    /// The selector of a structured `metav1.LabelSelector`: absent selects nothing, empty selects everything.
    /// Requirements with unknown operators never match.
    pub fn of(selector: Option<&Value>) -> Self {
        let Some(selector) = selector.filter(|s| !s.is_null()) else {
            return Selector {
                nothing: true,
                requirements: Vec::new(),
            };
        };
        let mut result = Self::of_labels(selector.get("matchLabels"));
        for expression in selector
            .get("matchExpressions")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
        {
            let text = |name: &str| expression.get(name).and_then(Value::as_str).unwrap_or_default();
            let operator = match text("operator") {
                "In" => Operator::In,
                "NotIn" => Operator::NotIn,
                "Exists" => Operator::Exists,
                "DoesNotExist" => Operator::DoesNotExist,
                _ => {
                    result.nothing = true;
                    continue;
                }
            };
            let mut values: Vec<String> = expression
                .get("values")
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
                .filter_map(|v| v.as_str().map(str::to_owned))
                .collect();
            values.sort();
            result.requirements.push(Requirement {
                key: text("key").to_owned(),
                operator,
                values,
            });
        }
        result.requirements.sort_by(|a, b| a.key.cmp(&b.key));
        result
    }

    /// The selector of a plain map of labels, such as a Service's; empty selects everything.
    pub fn of_labels(labels: Option<&Value>) -> Self {
        let mut requirements: Vec<Requirement> = labels
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
            .map(|(key, value)| Requirement {
                key: key.clone(),
                operator: Operator::Equals,
                values: vec![value.as_str().unwrap_or_default().to_owned()],
            })
            .collect();
        requirements.sort_by(|a, b| a.key.cmp(&b.key));
        Selector {
            nothing: false,
            requirements,
        }
    }

    /// Whether everything matches.
    pub fn is_empty(&self) -> bool {
        !self.nothing && self.requirements.is_empty()
    }

    /// Whether labels, read through `label`, match.
    pub fn matches<'a>(&self, label: impl Fn(&str) -> Option<&'a str>) -> bool {
        !self.nothing && self.requirements.iter().all(|r| r.matches(label(&r.key)))
    }

    /// Whether a JSON map of labels matches.
    pub fn matches_labels(&self, labels: Option<&Value>) -> bool {
        self.matches(|key| labels.and_then(|l| l.get(key)).and_then(Value::as_str))
    }
}

/// What stands between tokens.
const BLANK: [char; 4] = [' ', '\t', '\r', '\n'];

/// Splits into operators, brackets, commas and words, up to a NUL.
fn tokens(text: &str) -> Vec<&str> {
    const SPECIAL: &str = "=!(),<>";
    let text = text.split('\0').next().unwrap_or_default();
    let (mut out, mut rest) = (Vec::new(), text);
    loop {
        rest = rest.trim_start_matches(BLANK);
        let Some(first) = rest.chars().next() else { return out };
        let length = if let Some(two) = ["==", "!="].iter().find(|o| rest.starts_with(**o)) {
            two.len()
        } else if SPECIAL.contains(first) {
            1
        } else {
            rest.find(|c: char| BLANK.contains(&c) || SPECIAL.contains(c))
                .unwrap_or(rest.len())
        };
        out.push(&rest[..length]);
        rest = &rest[length..];
    }
}

struct Parser<'a> {
    tokens: Vec<&'a str>,
    at: usize,
}

fn is_word(token: &str) -> bool {
    !token.is_empty() && !matches!(token, "=" | "==" | "!=" | "!" | "(" | ")" | "," | "<" | ">")
}

impl<'a> Parser<'a> {
    fn peek(&self) -> &'a str {
        self.tokens.get(self.at).copied().unwrap_or("")
    }

    fn next(&mut self) -> &'a str {
        let token = self.peek();
        self.at += 1;
        token
    }

    fn requirements(&mut self) -> Result<Vec<Requirement>, String> {
        let mut out = Vec::new();
        if self.tokens.is_empty() {
            return Ok(out);
        }
        loop {
            let token = self.peek();
            if !is_word(token) && token != "!" {
                return Err(format!("found '{token}', expected: !, identifier, or 'end of string'"));
            }
            let requirement = self.requirement().and_then(|requirement| {
                let errors = requirement.validate();
                if errors.is_empty() {
                    Ok(requirement)
                } else {
                    Err(field::aggregate(&errors))
                }
            });
            out.push(requirement.map_err(|e| format!("unable to parse requirement: {e}"))?);
            match self.next() {
                "" => return Ok(out),
                "," if is_word(self.peek()) || self.peek() == "!" => {}
                "," => return Err(format!("found '{}', expected: identifier after ','", self.peek())),
                other => return Err(format!("found '{other}', expected: ',' or 'end of string'")),
            }
        }
    }

    fn requirement(&mut self) -> Result<Requirement, String> {
        if self.peek() == "!" {
            self.next();
            let key = self.word()?;
            return Ok(Requirement {
                key,
                operator: Operator::DoesNotExist,
                values: Vec::new(),
            });
        }
        let key = self.word()?;
        let operator = match self.peek() {
            "" | "," => {
                return Ok(Requirement {
                    key,
                    operator: Operator::Exists,
                    values: Vec::new(),
                });
            }
            "=" => Operator::Equals,
            "==" => Operator::DoubleEquals,
            "!=" => Operator::NotEquals,
            ">" => Operator::GreaterThan,
            "<" => Operator::LessThan,
            "in" => Operator::In,
            "notin" => Operator::NotIn,
            other => return Err(format!("found '{other}', expected: in, notin, =, ==, !=, gt, lt")),
        };
        self.next();
        let mut values = match operator {
            Operator::In | Operator::NotIn => self.values()?,
            _ => vec![self.exact_value()?],
        };
        values.sort();
        values.dedup();
        Ok(Requirement { key, operator, values })
    }

    fn word(&mut self) -> Result<String, String> {
        match self.next() {
            token if is_word(token) => Ok(token.to_owned()),
            token => Err(format!("found '{token}', expected: identifier")),
        }
    }

    /// What an exact match compares with; nothing at all is the empty value.
    fn exact_value(&mut self) -> Result<String, String> {
        if matches!(self.peek(), "" | ",") {
            return Ok(String::new());
        }
        self.word()
    }

    /// `(a,b,)`: an empty place between commas is the empty value.
    fn values(&mut self) -> Result<Vec<String>, String> {
        match self.next() {
            "(" => {}
            other => return Err(format!("found '{other}' expected: '('")),
        }
        match self.peek() {
            ")" => {
                self.next();
                return Ok(vec![String::new()]);
            }
            token if token == "," || is_word(token) => {}
            other => return Err(format!("found '{other}', expected: ',', ')' or identifier")),
        }
        let mut values = Vec::new();
        loop {
            match self.next() {
                "," => {
                    if values.is_empty() || matches!(self.peek(), "," | ")") {
                        values.push(String::new());
                    }
                    if self.peek() == ")" {
                        self.next();
                        return Ok(values);
                    }
                }
                token if is_word(token) => {
                    values.push(token.to_owned());
                    match self.peek() {
                        "," => {}
                        ")" => {
                            self.next();
                            return Ok(values);
                        }
                        other => return Err(format!("found '{other}', expected: ',' or ')'")),
                    }
                }
                other => return Err(format!("found '{other}', expected: ',', or identifier")),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn text_selectors_match() {
        let labels = json!({"app": "web", "tier": "front", "n": "5"});
        for (text, expected) in [
            ("", true),
            ("app", true),
            ("!app", false),
            ("!other", true),
            ("app=web", true),
            ("app == web,tier!=back", true),
            ("app in (web, api)", true),
            ("app notin (web)", false),
            ("other notin (web)", true),
            ("other!=x", true),
            ("n>4,n<6", true),
            ("n>5", false),
            ("app=", false),
        ] {
            assert_eq!(
                Selector::parse(text).unwrap().matches_labels(Some(&labels)),
                expected,
                "{text}"
            );
        }
        for bad in [
            "a b", "a,", ",a", "a in web", "a in (", "=x", "a=b=c", "a>x", "!", "-a=x", "a==!",
        ] {
            assert!(Selector::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn mistakes_are_named_as_upstream_does() {
        for (text, expected) in [
            (
                "a in (",
                "unable to parse requirement: found '', expected: ',', ')' or identifier",
            ),
            (
                "a in ((b))",
                "unable to parse requirement: found '(', expected: ',', ')' or identifier",
            ),
            (
                "a in (b,",
                "unable to parse requirement: found '', expected: ',', or identifier",
            ),
            (
                "a in (b c)",
                "unable to parse requirement: found 'c', expected: ',' or ')'",
            ),
            ("a in b", "unable to parse requirement: found 'b' expected: '('"),
            ("a>=1", "unable to parse requirement: found '=', expected: identifier"),
            ("a=(b)", "unable to parse requirement: found '(', expected: identifier"),
            ("a=b c", "found 'c', expected: ',' or 'end of string'"),
            ("a,", "found '', expected: identifier after ','"),
            ("(a)", "found '(', expected: !, identifier, or 'end of string'"),
        ] {
            assert_eq!(Selector::parse(text).unwrap_err(), expected, "{text}");
        }
        // What follows a NUL is not read.
        assert_eq!(Selector::parse("a\0 b").unwrap().to_string(), "a");
        for (text, values) in [
            ("a in ()", vec![""]),
            ("a in (,b)", vec!["", "b"]),
            ("a in (b,,c,)", vec!["", "b", "c"]),
        ] {
            assert_eq!(Selector::parse(text).unwrap().requirements[0].values, values, "{text}");
        }
    }

    #[test]
    fn structured_selectors_match() {
        let labels = json!({"app": "web"});
        for (selector, expected) in [
            (None, false),
            (Some(json!({})), true),
            (Some(json!({"matchLabels": {"app": "web"}})), true),
            (
                Some(json!({"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["web"]}]})),
                false,
            ),
            (
                Some(json!({"matchExpressions": [{"key": "app", "operator": "Exists"}]})),
                true,
            ),
            (
                Some(json!({"matchExpressions": [{"key": "app", "operator": "Huh"}]})),
                false,
            ),
        ] {
            assert_eq!(
                Selector::of(selector.as_ref()).matches_labels(Some(&labels)),
                expected,
                "{selector:?}"
            );
        }
    }

    #[test]
    fn selectors_print_in_order_of_keys() {
        let selector = Selector::parse("b in (y,x),a=1,!c").unwrap();
        assert_eq!(selector.to_string(), "a=1,b in (x,y),!c");
    }
}
