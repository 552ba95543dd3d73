//! Lists whose items are told apart by something else than their place, as schemas declare them (k8s.io/apiserver
//! `pkg/cel/common/valuesunstructured.go`).

use super::value::{Value, entry};
use std::ops::Deref;
use std::sync::Arc;

/// A list.
#[derive(Debug, Clone, Default)]
pub struct List {
    values: Arc<Vec<Value>>,
    by: Identity,
}

/// What tells the items of a list apart.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Identity {
    /// Their place.
    #[default]
    Place,
    /// They themselves: the list is a set.
    Value,
    /// The values of these fields: the list is a map.
    Keys(Arc<[String]>),
}

impl From<Vec<Value>> for List {
    fn from(values: Vec<Value>) -> Self {
        List::new(values, Identity::Place)
    }
}

impl Deref for List {
    type Target = Vec<Value>;

    fn deref(&self) -> &Vec<Value> {
        &self.values
    }
}

impl List {
    /// A list whose items are told apart in this way.
    #[must_use]
    pub fn new(values: Vec<Value>, by: Identity) -> List {
        List {
            values: Arc::new(values),
            by,
        }
    }

    pub(super) fn push(&mut self, value: Value) {
        Arc::make_mut(&mut self.values).push(value);
    }

    /// Whether two lists have the same items: in the same order, if that tells the items of this one apart.
    pub(super) fn equals(&self, other: &List) -> bool {
        let counterpart = |(place, item): (usize, &Value)| match &self.by {
            Identity::Place => self.get(place).is_some_and(|own| own.equals(item)),
            by => self.iter().any(|own| by.is_same(own, item) && own.equals(item)),
        };
        self.len() == other.len() && other.iter().enumerate().all(counterpart)
    }

    /// Both lists one after the other. An item that is in both of two sets is there once; in maps, the later one takes the
    /// place of the earlier.
    pub(super) fn joined(&self, other: &List) -> List {
        let mut values = (*self.values).clone();
        for item in other.iter() {
            let known = match &self.by {
                Identity::Place => None,
                by => values.iter().position(|own| by.is_same(own, item)),
            };
            match known.and_then(|place| values.get_mut(place)) {
                Some(own) => *own = item.clone(),
                None => values.push(item.clone()),
            }
        }
        List::new(values, self.by.clone())
    }
}

impl Identity {
    /// Whether two items are the same one.
    fn is_same(&self, a: &Value, b: &Value) -> bool {
        match self {
            Identity::Place => false,
            Identity::Value => a.equals(b),
            Identity::Keys(keys) => keys.iter().all(|key| match (field(a, key), field(b, key)) {
                (Some(a), Some(b)) => a.equals(b),
                (a, b) => a.is_none() && b.is_none(),
            }),
        }
    }
}

fn field<'v>(value: &'v Value, name: &str) -> Option<&'v Value> {
    match value {
        Value::Map(fields) => entry(fields, &Value::text(name)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn list(json: serde_json::Value, by: &Identity) -> List {
        match Value::from_json(&json) {
            Value::List(list) => List::new(list.to_vec(), by.clone()),
            other => panic!("{other:?} is no list"),
        }
    }

    #[test]
    fn sets_and_maps_have_no_order() {
        let keys = Identity::Keys(["k".to_owned()].into());
        for (by, a, b, equal, joined) in [
            (
                &Identity::Place,
                json!([1, 2]),
                json!([2, 1]),
                false,
                json!([1, 2, 2, 1]),
            ),
            (&Identity::Value, json!([1, 2]), json!([2, 1]), true, json!([1, 2])),
            (&Identity::Value, json!([1]), json!([2, 1]), false, json!([1, 2])),
            (
                &keys,
                json!([{"k": 1, "v": 1}, {"k": 2}]),
                json!([{"k": 2}, {"k": 1, "v": 1}]),
                true,
                json!([{"k": 1, "v": 1}, {"k": 2}]),
            ),
            (
                &keys,
                json!([{"k": 1, "v": 1}]),
                json!([{"k": 1, "v": 2}]),
                false,
                json!([{"k": 1, "v": 2}]),
            ),
        ] {
            let (left, right) = (list(a.clone(), by), list(b.clone(), by));
            assert_eq!(left.equals(&right), equal, "{a} {b}");
            assert_eq!(Value::List(left.joined(&right)).to_json(), Some(joined), "{a} {b}");
        }
    }
}
