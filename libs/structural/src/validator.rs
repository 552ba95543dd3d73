//! All that is checked about an object of a kind that is defined at run time, in upstream's order
//! (apiextensions-apiserver `pkg/registry/customresource/strategy.go` and `status_strategy.go`).

use crate::rules::{self, Findings, Rules, Write};
use crate::{MetadataRules, Scale, Structural};
use machinery::field::{ErrorList, Path};
use machinery::meta;
use serde_json::Value;

/// The checks of one version of a kind. Metadata and type are checked by the caller: `found` is what was found so far, which
/// the answers begin with.
#[derive(Debug)]
pub struct Validator {
    schema: Structural,
    status: Option<Structural>,
    scale: Option<Scale>,
    rules: Option<Rules>,
}

impl Validator {
    /// Compiles the checks of a version: `written` is its `openAPIV3Schema`, `schema` what was read from it, `subresources`
    /// its subresources.
    #[must_use]
    pub fn new(written: &Value, schema: Structural, subresources: Option<&Value>) -> Validator {
        let at = |path: &[&str]| subresources.and_then(|subresources| meta::at(subresources, path));
        Validator {
            status: at(&["status"]).and_then(|_| schema.property("status")),
            scale: at(&["scale"]).map(Scale::parse),
            rules: Rules::compile(written, &schema, true),
            schema,
        }
    }

    /// What is wrong with a new object.
    #[must_use]
    pub fn create(&self, object: &Value, metadata: MetadataRules<'_>, found: ErrorList) -> Findings {
        let mut errors = found;
        errors.extend(self.schema.validate(object, &Path::root()));
        if let Some(scale) = &self.scale {
            errors.extend(scale.validate_spec(object));
            errors.extend(scale.validate_status(object));
        }
        errors.extend(self.schema.validate_embedded(object, metadata));
        errors.extend(self.schema.validate_lists(object));
        self.with_rules(Write::Create(object), errors)
    }

    /// What is wrong with an object that was `old` before; what did not change counts less.
    #[must_use]
    pub fn update(&self, new: &Value, old: &Value, metadata: MetadataRules<'_>, found: ErrorList) -> Findings {
        let mut errors = found;
        errors.extend(self.schema.validate_update(new, old, &Path::root()));
        if let Some(scale) = &self.scale {
            errors.extend(scale.validate_spec(new));
            errors.extend(scale.validate_status(new));
        }
        errors.extend(self.schema.validate_embedded(new, metadata));
        errors.extend(self.changed_lists(new, old));
        self.with_rules(Write::Update(new, old), errors)
    }

    /// The same through the status subresource, where nothing but the status can change.
    #[must_use]
    pub fn update_status(&self, new: &Value, old: &Value, found: ErrorList) -> Findings {
        let mut errors = found;
        if let (Some(schema), Some(status)) = (&self.status, new.get("status")) {
            let before = old.get("status").unwrap_or(&Value::Null);
            errors.extend(schema.validate_update(status, before, &Path::new("status")));
        }
        if let Some(scale) = &self.scale {
            errors.extend(scale.validate_status(new));
        }
        errors.extend(self.changed_lists(new, old));
        self.with_rules(Write::Update(new, old), errors)
    }

    /// What is wrong with an object by rules, but was before and did not change: what clients are warned of.
    #[must_use]
    pub fn warnings(&self, new: &Value, old: &Value) -> Vec<String> {
        let rules = self.rules.as_ref();
        let found = rules.map(|rules| rules.validate(Write::Update(new, old), &Path::root(), rules::BUDGET));
        found.map(|(findings, _)| findings.warnings).unwrap_or_default()
    }

    /// Items that occur twice, unless some did before.
    fn changed_lists(&self, new: &Value, old: &Value) -> ErrorList {
        if self.schema.validate_lists(old).is_empty() {
            return self.schema.validate_lists(new);
        }
        ErrorList::new()
    }

    fn with_rules(&self, write: Write<'_>, mut errors: ErrorList) -> Findings {
        let Some(rules) = &self.rules else {
            return Findings {
                errors,
                warnings: Vec::new(),
            };
        };
        if let Some(blocking) = rules::blocking(&errors) {
            errors.push(blocking);
            return Findings {
                errors,
                warnings: Vec::new(),
            };
        }
        let (mut findings, _) = rules.validate(write, &Path::root(), rules::BUDGET);
        errors.append(&mut findings.errors);
        findings.errors = errors;
        findings
    }
}
