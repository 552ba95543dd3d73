//! The rules of each place of a schema, as programs.

use crate::field_path;
use crate::node::{Node, RuleText};
use cel::kubernetes::schema::{Declared, Rule, escape};
use serde_json::Value;

/// The rules at a place and below it.
#[derive(Debug)]
pub(super) struct Rules {
    /// What is known about values here; none where nothing is.
    pub(super) declared: Option<Declared>,
    pub(super) own: Vec<Own>,
    pub(super) items: Option<Box<Rules>>,
    pub(super) values: Option<Box<Rules>>,
    properties: Vec<(Box<str>, Rules)>,
}

/// A rule of a place.
#[derive(Debug)]
pub(super) struct Own {
    pub(super) text: RuleText,
    /// The program, or why there is none. Definitions are checked: there always is one. An empty rule has neither.
    pub(super) program: Option<Result<Rule, String>>,
    pub(super) message: Option<Rule>,
    /// The path of the field that is complained about, below this place.
    pub(super) field: Option<String>,
}

impl Rules {
    pub(super) fn of(written: &Value, node: &Node, whole: bool) -> Option<Rules> {
        Self::declared(written, node, Declared::of(written, whole))
    }

    fn declared(written: &Value, node: &Node, declared: Option<Declared>) -> Option<Rules> {
        if !node.has_rules() {
            return None;
        }
        let elements = declared.as_ref().and_then(Declared::elements);
        let items = match (written.get("items"), &node.items) {
            (Some(written), Some(node)) => Self::declared(written, node, elements.clone()).map(Box::new),
            _ => None,
        };
        let values = match (written.get("additionalProperties"), node.values()) {
            (Some(written), Some(node)) => Self::declared(written, node, elements).map(Box::new),
            _ => None,
        };
        let properties = node.properties().filter_map(|(name, node)| {
            let written = written.get("properties")?.get(name)?;
            let declared = if escape(name).is_some() {
                declared.as_ref()?.property(name)?
            } else {
                Declared::of(written, node.embedded)?
            };
            Some((name.into(), Self::declared(written, node, Some(declared))?))
        });
        let properties = properties.collect();
        let own = node.rules.iter().map(|text| Own::of(text, written, declared.as_ref()));
        Some(Rules {
            own: own.collect(),
            declared,
            items,
            values,
            properties,
        })
    }

    pub(super) fn property(&self, name: &str) -> Option<&Rules> {
        let found = self
            .properties
            .binary_search_by(|(known, _)| (**known).cmp(name))
            .ok()?;
        self.properties.get(found).map(|(_, rules)| rules)
    }
}

impl Own {
    fn of(text: &RuleText, written: &Value, declared: Option<&Declared>) -> Own {
        let program = declared.filter(|_| !text.rule.trim().is_empty());
        let program = program.map(|declared| declared.rule(&text.rule, text.optional_old));
        let message = declared.filter(|_| !text.message_expression.is_empty());
        let message = message.and_then(|declared| declared.message(&text.message_expression, text.optional_old).ok());
        let field = (!text.field_path.is_empty()).then(|| field_path::follow(&text.field_path, written, true).ok());
        Own {
            text: text.clone(),
            program,
            message,
            field: field.flatten().map(|found| found.path),
        }
    }

    /// What the rule is called in messages.
    pub(super) fn name(&self) -> &str {
        match self.text.message.trim() {
            "" if self.text.message.is_empty() => self.text.rule.trim(),
            message => message,
        }
    }
}
