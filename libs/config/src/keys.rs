//! The table of all keys, read from `keys.txt`.

use serde_json::{Map, Value};
use std::sync::LazyLock;

static ROOT: LazyLock<Key> = LazyLock::new(|| parse(include_str!("keys.txt")));

/// The whole document, as a section.
pub fn root() -> &'static Key {
    &ROOT
}

/// A key of vcluster.yaml.
#[derive(Debug, Clone, PartialEq)]
pub struct Key {
    /// Its name within its section.
    pub name: String,
    /// What stands under it.
    pub content: Content,
}

/// What stands under a key.
#[derive(Debug, Clone, PartialEq)]
pub enum Content {
    /// More keys.
    Section(Vec<Key>),
    /// A value.
    Leaf {
        /// Its type.
        kind: Kind,
        /// What it is when the file does not say.
        default: Value,
        /// What this version does with it.
        support: Support,
    },
}

/// The type of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// true or false.
    Bool,
    /// true, false or auto.
    Auto,
    /// A whole number.
    Int,
    /// A string.
    Text,
    /// A sequence of anything.
    List,
    /// A mapping of anything.
    Map,
    /// Anything.
    Any,
}

/// What this version does with a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Support {
    /// Acts on it.
    Honoured,
    /// Accepts it: there is nothing to act on.
    Accepted,
    /// Accepts its default only.
    DefaultOnly,
}

impl Key {
    /// The key of this name in the section; nothing when there is none or this is a value.
    pub fn child(&self, name: &str) -> Option<&Key> {
        match &self.content {
            Content::Section(keys) => keys.iter().find(|key| key.name == name),
            Content::Leaf { .. } => None,
        }
    }

    /// The defaults of everything under the key.
    pub fn defaults(&self) -> Value {
        match &self.content {
            Content::Section(keys) => Value::Object(
                keys.iter()
                    .map(|key| (key.name.clone(), key.defaults()))
                    .collect::<Map<_, _>>(),
            ),
            Content::Leaf { default, .. } => default.clone(),
        }
    }

    /// Calls `visit` with the path of every value under the key and what the table says about it.
    pub fn walk(&self, path: &str, visit: &mut impl FnMut(&str, &Key)) {
        match &self.content {
            Content::Leaf { .. } => visit(path, self),
            Content::Section(keys) => {
                for key in keys {
                    let path = if path.is_empty() {
                        key.name.clone()
                    } else {
                        format!("{path}.{}", key.name)
                    };
                    key.walk(&path, visit);
                }
            }
        }
    }
}

/// Reads the outline. The file is part of the program; a test reads every line of it strictly.
fn parse(text: &str) -> Key {
    let mut lines = text
        .lines()
        .filter(|line| !line.starts_with('#') && !line.trim().is_empty())
        .peekable();
    let keys = section(&mut lines, 0);
    Key {
        name: String::new(),
        content: Content::Section(keys),
    }
}

fn section<'a>(lines: &mut std::iter::Peekable<impl Iterator<Item = &'a str>>, depth: usize) -> Vec<Key> {
    let mut keys = Vec::new();
    while let Some(line) = lines.next_if(|line| indentation(line) == depth) {
        let mut words = line.trim().splitn(3, ' ');
        let name = words.next().unwrap_or_default().to_owned();
        let content = match (words.next().and_then(kind), words.next()) {
            (Some(kind), Some(rest)) => leaf(kind, rest),
            _ => Content::Section(section(lines, depth + 1)),
        };
        keys.push(Key { name, content });
    }
    keys
}

fn indentation(line: &str) -> usize {
    (line.len() - line.trim_start().len()) / 2
}

fn leaf(kind: Kind, rest: &str) -> Content {
    let (default, support) = match rest.rsplit_once(' ') {
        Some((default, "!")) => (default, Support::Honoured),
        Some((default, "-")) => (default, Support::Accepted),
        _ => (rest, Support::DefaultOnly),
    };
    Content::Leaf {
        kind,
        default: serde_json::from_str(default).unwrap_or(Value::Null),
        support,
    }
}

fn kind(word: &str) -> Option<Kind> {
    Some(match word {
        "bool" => Kind::Bool,
        "auto" => Kind::Auto,
        "int" => Kind::Int,
        "text" => Kind::Text,
        "list" => Kind::List,
        "map" => Kind::Map,
        "any" => Kind::Any,
        _ => return None,
    })
}

impl Kind {
    /// Whether a value is of this type; null is of every type, and means the default.
    pub fn fits(self, value: &Value) -> bool {
        match (self, value) {
            (_, Value::Null) | (Kind::Any, _) => true,
            (Kind::Bool | Kind::Auto, Value::Bool(_)) => true,
            (Kind::Auto, Value::String(text)) => matches!(text.as_str(), "auto" | "true" | "false"),
            (Kind::Int, Value::Number(number)) => !number.is_f64(),
            (Kind::Text, Value::String(_)) => true,
            (Kind::List, Value::Array(_)) => true,
            (Kind::Map, Value::Object(_)) => true,
            _ => false,
        }
    }

    /// The type in words.
    pub fn words(self) -> &'static str {
        match self {
            Kind::Bool => "true or false",
            Kind::Auto => "true, false or auto",
            Kind::Int => "a whole number",
            Kind::Text => "a string (in quotes if it looks like a number)",
            Kind::List => "a list",
            Kind::Map => "a mapping",
            Kind::Any => "a value",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_of_the_table_is_a_section_or_a_value_of_its_kind() {
        let lines: Vec<&str> = include_str!("keys.txt")
            .lines()
            .filter(|line| !line.starts_with('#'))
            .collect();
        let mut values = 0;
        for (index, line) in lines.iter().enumerate() {
            assert_eq!(
                line.len() - line.trim_start().len(),
                indentation(line) * 2,
                "{line:?} is indented by two"
            );
            let words: Vec<&str> = line.trim().splitn(3, ' ').collect();
            if words.len() == 1 {
                let below = lines.get(index + 1).map_or(0, |next| indentation(next));
                assert_eq!(below, indentation(line) + 1, "the section {line:?} is empty");
                continue;
            }
            let kind = kind(words[1]).unwrap_or_else(|| panic!("{line:?} has no kind"));
            let rest = words[2]
                .strip_suffix(" !")
                .or(words[2].strip_suffix(" -"))
                .unwrap_or(words[2]);
            let default: Value = serde_json::from_str(rest).unwrap_or_else(|_| panic!("{line:?} has no default"));
            assert!(kind.fits(&default), "{line:?} has a default of another kind");
            values += 1;
        }
        let mut walked = 0;
        root().walk("", &mut |_, _| walked += 1);
        assert_eq!(walked, values, "every value is reached");
    }

    #[test]
    fn no_section_names_a_key_twice() {
        fn check(key: &Key) {
            let Content::Section(keys) = &key.content else { return };
            for (index, one) in keys.iter().enumerate() {
                assert!(
                    keys[..index].iter().all(|other| other.name != one.name),
                    "{} is there twice",
                    one.name
                );
                check(one);
            }
        }
        check(root());
    }
}
