//! Sets of field paths and their JSON form, FieldsV1 (structured-merge-diff `fieldpath`).

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde_json::{Map, Value};

use super::value;

/// One step of a path.
#[derive(Debug, Clone)]
pub enum PathElement {
    /// A field of an object.
    Field(String),
    /// The list element whose key fields have these values, sorted by name.
    Key(Vec<(String, Value)>),
    /// The list element that is this value.
    Value(Value),
    /// The list element at this place.
    Index(i64),
}

impl PathElement {
    fn rank(&self) -> u8 {
        match self {
            PathElement::Field(_) => 0,
            PathElement::Key(_) => 1,
            PathElement::Value(_) => 2,
            PathElement::Index(_) => 3,
        }
    }

    /// The key of this element in FieldsV1, such as `f:spec` or `k:{"name":"a"}`.
    fn encode(&self) -> String {
        match self {
            PathElement::Field(name) => format!("f:{name}"),
            PathElement::Key(fields) => {
                let map: Map<String, Value> = fields.iter().cloned().collect();
                format!("k:{}", crate::schema::encode::escaped(&Value::Object(map)))
            }
            PathElement::Value(value) => format!("v:{}", crate::schema::encode::escaped(value)),
            PathElement::Index(index) => format!("i:{index}"),
        }
    }

    /// Reads a key of FieldsV1; `None` for a kind that is not known, which upstream drops.
    fn decode(text: &str) -> Result<Option<Self>, FieldsError> {
        let broken = |why: &str| FieldsError(format!("parsing key {text:?} as path element: {why}"));
        let json = |text: &str| crate::schema::json::parse(text.as_bytes()).map(|n| n.into_value());
        let Some((kind, rest)) = text.split_at_checked(2) else {
            return Err(broken("key must be 2 characters long:"));
        };
        match kind {
            "f:" => Ok(Some(PathElement::Field(rest.to_owned()))),
            "v:" => Ok(Some(PathElement::Value(
                json(rest).map_err(|e| broken(&e.to_string()))?,
            ))),
            "k:" => match json(rest).map_err(|e| broken(&e.to_string()))? {
                Value::Object(map) => Ok(Some(PathElement::Key(map.into_iter().collect()))),
                _ => Err(broken("a key must be an object")),
            },
            "i:" => rest
                .parse()
                .map(|i| Some(PathElement::Index(i)))
                .map_err(|_| broken("not an index")),
            _ if kind.ends_with(':') => Ok(None),
            _ => Err(broken("missing colon")),
        }
    }
}

impl Ord for PathElement {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (PathElement::Field(l), PathElement::Field(r)) => l.cmp(r),
            (PathElement::Key(l), PathElement::Key(r)) => {
                let unequal = l
                    .iter()
                    .zip(r)
                    .map(|(l, r)| l.0.cmp(&r.0).then_with(|| value::compare(&l.1, &r.1)));
                unequal
                    .into_iter()
                    .find(|o| o.is_ne())
                    .unwrap_or_else(|| l.len().cmp(&r.len()))
            }
            (PathElement::Value(l), PathElement::Value(r)) => value::compare(l, r),
            (PathElement::Index(l), PathElement::Index(r)) => l.cmp(r),
            _ => self.rank().cmp(&other.rank()),
        }
    }
}

impl PartialOrd for PathElement {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for PathElement {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for PathElement {}

impl fmt::Display for PathElement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PathElement::Field(name) => write!(f, ".{name}"),
            PathElement::Key(fields) => {
                let fields: Vec<String> = fields.iter().map(|(k, v)| format!("{k}={}", value::show(v))).collect();
                write!(f, "[{}]", fields.join(","))
            }
            PathElement::Value(value) => write!(f, "[={}]", value::show(value)),
            PathElement::Index(index) => write!(f, "[{index}]"),
        }
    }
}

/// A path from the root of an object.
pub type Path = Vec<PathElement>;

/// The form messages show a path in, such as `.spec.containers[name="a"].image`.
pub fn show_path(path: &[PathElement]) -> String {
    path.iter().map(PathElement::to_string).collect()
}

/// A path of plain fields.
pub fn fields(names: &[&str]) -> Path {
    names
        .iter()
        .map(|name| PathElement::Field((*name).to_owned()))
        .collect()
}

/// Why a FieldsV1 tree cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldsError(String);

impl fmt::Display for FieldsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for FieldsError {}

/// A set of paths.
///
/// A path may be a member although longer paths below it are members too, and the other way round.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Set {
    pub(super) members: BTreeSet<PathElement>,
    pub(super) children: BTreeMap<PathElement, Set>,
}

/// The set without members.
static EMPTY: Set = Set {
    members: BTreeSet::new(),
    children: BTreeMap::new(),
};

impl Set {
    /// A set of these paths of plain fields.
    pub fn of_fields(paths: &[&[&str]]) -> Self {
        let mut set = Set::default();
        for path in paths {
            set.insert(&fields(path));
        }
        set
    }

    /// Adds a path; the empty path cannot be a member.
    pub fn insert(&mut self, path: &[PathElement]) {
        match path {
            [] => {}
            [last] => {
                self.members.insert(last.clone());
            }
            [first, rest @ ..] => self.children.entry(first.clone()).or_default().insert(rest),
        }
    }

    /// Whether the path is a member.
    pub fn has(&self, path: &[PathElement]) -> bool {
        match path {
            [] => false,
            [last] => self.members.contains(last),
            [first, rest @ ..] => self.children.get(first).is_some_and(|child| child.has(rest)),
        }
    }

    /// Whether there are no members.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty() && self.children.values().all(Set::is_empty)
    }

    /// The part of the set below an element.
    pub(super) fn below(&self, element: &PathElement) -> &Set {
        self.children.get(element).unwrap_or(&EMPTY)
    }

    /// The members of either set.
    #[must_use]
    pub fn union(&self, other: &Set) -> Set {
        let mut all = self.clone();
        all.extend(other);
        all
    }

    /// Adds all members of another set.
    pub fn extend(&mut self, other: &Set) {
        self.members.extend(other.members.iter().cloned());
        for (element, child) in &other.children {
            self.children.entry(element.clone()).or_default().extend(child);
        }
    }

    /// The members of both sets.
    #[must_use]
    pub fn intersection(&self, other: &Set) -> Set {
        let members = self.members.intersection(&other.members).cloned().collect();
        let children = self.children.iter().filter_map(|(element, child)| {
            let both = child.intersection(other.children.get(element)?);
            (!both.is_empty()).then(|| (element.clone(), both))
        });
        Set {
            members,
            children: children.collect(),
        }
    }

    /// The members that are not in the other set.
    #[must_use]
    pub fn difference(&self, other: &Set) -> Set {
        self.without(other, false)
    }

    /// The members that are neither in the other set nor below one of its members.
    #[must_use]
    pub fn recursive_difference(&self, other: &Set) -> Set {
        self.without(other, true)
    }

    fn without(&self, other: &Set, recursive: bool) -> Set {
        let members = self.members.difference(&other.members).cloned().collect();
        let children = self.children.iter().filter_map(|(element, child)| {
            if recursive && other.members.contains(element) {
                return None;
            }
            let rest = match other.children.get(element) {
                Some(other) => child.without(other, recursive),
                None => child.clone(),
            };
            (!rest.is_empty()).then(|| (element.clone(), rest))
        });
        Set {
            members,
            children: children.collect(),
        }
    }

    /// Calls `visit` with every member, those of a level before those below it.
    pub fn each(&self, visit: &mut dyn FnMut(&[PathElement])) {
        self.each_below(&mut Vec::new(), visit);
    }

    fn each_below(&self, path: &mut Path, visit: &mut dyn FnMut(&[PathElement])) {
        for member in &self.members {
            path.push(member.clone());
            visit(path);
            path.pop();
        }
        for (element, child) in &self.children {
            path.push(element.clone());
            child.each_below(path, visit);
            path.pop();
        }
    }

    /// The FieldsV1 form.
    pub fn to_json(&self) -> Value {
        Value::Object(self.encode(false))
    }

    fn encode(&self, is_member: bool) -> Map<String, Value> {
        let mut out = Map::new();
        if is_member && !(self.members.is_empty() && self.children.is_empty()) {
            out.insert(".".to_owned(), Value::Object(Map::new()));
        }
        for member in self.members.iter().filter(|member| !self.children.contains_key(member)) {
            out.insert(member.encode(), Value::Object(Map::new()));
        }
        for (element, child) in &self.children {
            out.insert(
                element.encode(),
                Value::Object(child.encode(self.members.contains(element))),
            );
        }
        out
    }

    /// Reads the FieldsV1 form.
    ///
    /// # Errors
    /// When a key is no path element or a value no object.
    pub fn from_json(value: &Value) -> Result<Self, FieldsError> {
        Ok(Self::decode(value)?.0.unwrap_or_default())
    }

    /// What is below, and whether the place itself is a member.
    fn decode(value: &Value) -> Result<(Option<Set>, bool), FieldsError> {
        let map = match value {
            Value::Object(map) => map,
            Value::Null => return Ok((None, true)),
            other => return Err(FieldsError(format!("expected an object, got {other}"))),
        };
        let mut set: Option<Set> = None;
        let mut is_member = false;
        for (key, value) in map {
            if key == "." {
                is_member = true;
                continue;
            }
            let Some(element) = PathElement::decode(key)? else {
                continue;
            };
            let (below, child_is_member) = Self::decode(value)?;
            let set = set.get_or_insert_default();
            if child_is_member {
                set.members.insert(element.clone());
            }
            if let Some(below) = below {
                set.children.insert(element, below);
            }
        }
        let is_member = is_member || set.is_none();
        Ok((set, is_member))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn recorded_forms_read_and_write() {
        let text = json!({"f:metadata": {"f:labels": {".": {}, "f:a": {}}, "f:finalizers": {".": {}, "v:\"x/y\"": {}}},
            "f:spec": {"f:ports": {".": {}, "k:{\"port\":80,\"protocol\":\"TCP\"}": {".": {}, "f:port": {}, "f:protocol": {}}}},
            "i:3": {}});
        let set = Set::from_json(&text).unwrap();
        assert_eq!(set.to_json(), text);
        let mut shown = Vec::new();
        set.each(&mut |path| shown.push(show_path(path)));
        assert!(
            shown.contains(&r#".spec.ports[port=80,protocol="TCP"].port"#.to_owned()),
            "{shown:?}"
        );
        assert!(
            shown.contains(&r#".metadata.finalizers[="x/y"]"#.to_owned()),
            "{shown:?}"
        );
        assert!(set.has(&fields(&["metadata", "labels"])) && !set.has(&fields(&["spec", "nope"])));
    }

    #[test]
    fn malformed_forms_are_refused() {
        for text in [
            json!({"x": {}}),
            json!({"fx": {}}),
            json!({"k:[]": {}}),
            json!({"k:{": {}}),
            json!({"i:x": {}}),
            json!(3),
        ] {
            assert!(Set::from_json(&text).is_err(), "{text}");
        }
        assert_eq!(
            Set::from_json(&json!({"z:new": {}, "f:a": {}})).unwrap(),
            Set::of_fields(&[&["a"]])
        );
        assert_eq!(Set::from_json(&json!({})).unwrap(), Set::default());
    }

    fn element() -> impl Strategy<Value = PathElement> {
        prop_oneof![
            "[a-c<]{1,2}".prop_map(PathElement::Field),
            "[a-c\"]".prop_map(|name| PathElement::Key(vec![("name".to_owned(), json!(name))])),
            (0..3).prop_map(|n| PathElement::Value(json!(n))),
            (0..3_i64).prop_map(PathElement::Index),
        ]
    }

    fn set() -> impl Strategy<Value = Set> {
        proptest::collection::vec(proptest::collection::vec(element(), 1..4), 0..8).prop_map(|paths| {
            let mut set = Set::default();
            paths.iter().for_each(|path| set.insert(path));
            set
        })
    }

    proptest! {
        #[test]
        fn json_keeps_a_set(set in set()) {
            prop_assert_eq!(Set::from_json(&set.to_json()), Ok(set));
        }

        #[test]
        fn sets_obey_their_laws(a in set(), b in set()) {
            let both = a.intersection(&b);
            prop_assert_eq!(a.difference(&b).union(&both), a.clone());
            prop_assert!(a.difference(&a).is_empty());
            prop_assert!(a.recursive_difference(&b).difference(&a.difference(&b)).is_empty());
            prop_assert_eq!(a.union(&b), b.union(&a));
            b.each(&mut |path| assert!(a.union(&b).has(path) && !a.difference(&b).has(path)));
        }
    }
}
