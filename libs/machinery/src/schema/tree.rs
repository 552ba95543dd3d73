//! A JSON tree that keeps how numbers are spelled: upstream's patch library moves values without reading them.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use serde_json::Value;

use super::json::{self, Node, SyntaxError};

/// A JSON value with its numbers as they were written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Tree {
    /// `null`
    #[default]
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number, as it is spelled.
    Number(String),
    /// A string.
    String(String),
    /// An array.
    Array(Vec<Tree>),
    /// An object; the last of repeated keys has won.
    Object(BTreeMap<String, Tree>),
}

impl Tree {
    /// Reads one JSON text.
    ///
    /// # Errors
    /// Says what Go's scanner says about the first bad byte.
    pub fn parse(text: &[u8]) -> Result<Tree, SyntaxError> {
        json::parse(text).map(Tree::from)
    }

    /// The member of an object; `None` for anything else.
    pub fn get(&self, name: &str) -> Option<&Tree> {
        match self {
            Tree::Object(fields) => fields.get(name),
            _ => None,
        }
    }

    /// The text of a string.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Tree::String(text) => Some(text),
            _ => None,
        }
    }

    /// The word Go's error messages use for this kind of value.
    pub fn kind(&self) -> &'static str {
        Node::from(self).kind()
    }
}

impl From<Node<'_>> for Tree {
    fn from(node: Node<'_>) -> Self {
        match node {
            Node::Null => Tree::Null,
            Node::Bool(value) => Tree::Bool(value),
            Node::Number(text) => Tree::Number(text.into_owned()),
            Node::String(text) => Tree::String(text.into_owned()),
            Node::Array(items) => Tree::Array(items.into_iter().map(Tree::from).collect()),
            Node::Object(fields) => {
                let fields = fields.into_iter().map(|(key, node)| (key.into_owned(), node.into()));
                Tree::Object(fields.collect())
            }
        }
    }
}

impl From<&Value> for Tree {
    fn from(value: &Value) -> Self {
        Node::from(value).into()
    }
}

impl<'a> From<&'a Tree> for Node<'a> {
    fn from(tree: &'a Tree) -> Self {
        match tree {
            Tree::Null => Node::Null,
            Tree::Bool(value) => Node::Bool(*value),
            Tree::Number(text) => Node::Number(Cow::Borrowed(text)),
            Tree::String(text) => Node::String(Cow::Borrowed(text)),
            Tree::Array(items) => Node::Array(items.iter().map(Node::from).collect()),
            Tree::Object(fields) => {
                let fields = fields
                    .iter()
                    .map(|(key, tree)| (Cow::Borrowed(key.as_str()), tree.into()));
                Node::Object(fields.collect())
            }
        }
    }
}

/// Compact JSON text with sorted keys and with the characters escaped that Go escapes for the sake of HTML.
impl fmt::Display for Tree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Tree::Null => f.write_str("null"),
            Tree::Bool(value) => value.fmt(f),
            Tree::Number(text) => f.write_str(text),
            Tree::String(text) => write_string(text, f),
            Tree::Array(items) => {
                f.write_str("[")?;
                for (i, item) in items.iter().enumerate() {
                    if i > 0 {
                        f.write_str(",")?;
                    }
                    item.fmt(f)?;
                }
                f.write_str("]")
            }
            Tree::Object(fields) => {
                f.write_str("{")?;
                for (i, (key, value)) in fields.iter().enumerate() {
                    if i > 0 {
                        f.write_str(",")?;
                    }
                    write_string(key, f)?;
                    f.write_str(":")?;
                    value.fmt(f)?;
                }
                f.write_str("}")
            }
        }
    }
}

fn write_string(text: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let quoted = serde_json::to_string(text).map_err(|_| fmt::Error)?;
    if !quoted.contains(['<', '>', '&', '\u{2028}', '\u{2029}']) {
        return f.write_str(&quoted);
    }
    for c in quoted.chars() {
        match c {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => write!(f, "\\u{:04x}", c as u32)?,
            c => fmt::Write::write_char(f, c)?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn numbers_keep_their_spelling() {
        for (text, expected) in [
            (
                r#"{"b": 1000.0, "a": [1E2, -0, 18446744073709551616]}"#,
                r#"{"a":[1E2,-0,18446744073709551616],"b":1000.0}"#,
            ),
            (r#"{"a":1,"a":"<\u0026"}"#, r#"{"a":"\u003c\u0026"}"#),
            ("[true,null]", "[true,null]"),
        ] {
            assert_eq!(Tree::parse(text.as_bytes()).unwrap().to_string(), expected);
        }
        assert!(Tree::parse(b"{").is_err());
    }

    proptest! {
        #[test]
        fn values_pass_unchanged(key in "[a-c<]{0,3}", number: i64, float in proptest::num::f64::NORMAL, text in ".{0,8}") {
            let value = serde_json::json!({key: [number, float, text], "n": null});
            let tree = Tree::from(&value);
            prop_assert_eq!(Node::from(&tree).into_value(), Node::from(&value).into_value());
            prop_assert_eq!(Tree::parse(tree.to_string().as_bytes()).unwrap(), tree);
        }
    }
}
