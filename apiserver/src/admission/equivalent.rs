//! Writes as those see them who expect another form of the resource (upstream `EquivalentResourceMapper`,
//! `VersionedAttributes`).

use super::{Attributes, Lookup, rules};
use machinery::gvk::{GroupResource, GroupVersionKind};
use serde_json::Value;

/// A form in which the objects of a resource are served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Equivalent {
    /// The resource.
    pub resource: GroupResource,
    /// Its version.
    pub version: String,
    /// The kind of the object or the subresource that was asked for.
    pub kind: GroupVersionKind,
}

impl Equivalent {
    /// The form in which something is written.
    pub(super) fn own(attributes: &Attributes<'_>) -> Self {
        Equivalent {
            resource: attributes.resource.clone(),
            version: attributes.version.to_owned(),
            kind: attributes.kind.clone(),
        }
    }

    /// The form of a write that rules cover, of those rules that `named` agrees to: the own one if there is a rule for it.
    /// Otherwise the earliest rule decides, if forms are `exchangeable`.
    pub(super) fn covered(
        rules: &[Value],
        attributes: &Attributes<'_>,
        lookup: &dyn Lookup,
        exchangeable: bool,
        named: impl Fn(&Value) -> bool,
    ) -> Option<Self> {
        let covers = |rule: &Value, form: &Equivalent| {
            rules::covers(rule, attributes, &form.resource, &form.version) && named(rule)
        };
        let own = Equivalent::own(attributes);
        if rules.iter().any(|rule| covers(rule, &own)) {
            return Some(own);
        }
        if !exchangeable || rules.is_empty() {
            return None;
        }
        let others = lookup.equivalents(&attributes.resource, attributes.version, attributes.subresource);
        let mut each = rules
            .iter()
            .flat_map(|rule| others.iter().map(move |other| (rule, other)));
        each.find(|(rule, other)| covers(rule, other))
            .map(|(_, other)| other.clone())
    }
}

/// What is written, and what it replaces, in one version.
pub(super) struct Versioned {
    /// Null for deletions.
    pub(super) object: Value,
    pub(super) old: Option<Value>,
}

impl Versioned {
    /// Both as objects of a kind; an error says why they cannot be converted.
    pub(super) async fn new(
        lookup: &dyn Lookup,
        attributes: &Attributes<'_>,
        object: &Value,
        kind: &GroupVersionKind,
    ) -> Result<Self, String> {
        let convert = async |object: &Value| match object {
            Value::Null => Ok(Value::Null),
            object if *kind == attributes.kind => Ok(object.clone()),
            object => lookup.convert(object.clone(), &attributes.kind, kind).await,
        };
        let old = match attributes.old {
            Some(old) => Some(convert(old).await?),
            None => None,
        };
        Ok(Versioned {
            object: convert(object).await?,
            old,
        })
    }
}
