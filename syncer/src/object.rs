//! An object as the caches keep it: the bytes of its JSON and the few fields that every decision needs.

use machinery::tree;
use serde_json::Value;

use crate::json;

/// Namespace and name; the namespace is empty for cluster-scoped objects.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectKey {
    /// Namespace, or empty.
    pub namespace: String,
    /// Name.
    pub name: String,
}

impl ObjectKey {
    /// A key from its parts.
    pub fn new(namespace: &str, name: &str) -> Self {
        Self {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        }
    }
}

impl std::fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.namespace.is_empty() {
            f.write_str(&self.name)
        } else {
            write!(f, "{}/{}", self.namespace, self.name)
        }
    }
}

/// One version of an object. A parsed tree takes about ten times the memory of its text, so the text is what is kept and
/// the tree is made when somebody looks.
#[derive(Debug)]
pub struct Object {
    key: ObjectKey,
    uid: Box<str>,
    version: u64,
    text: Box<[u8]>,
}

impl Object {
    /// Takes over an object as the API server sent it.
    pub fn new(value: Value) -> Self {
        Self::with_value(value).0
    }

    /// The same, with the tree that is kept of it. Field ownership is dropped: nothing here reads it.
    pub fn with_value(mut value: Value) -> (Self, Value) {
        if let Some(metadata) = value.get_mut("metadata") {
            json::remove(metadata, &["managedFields"]);
        }
        let metadata = &value["metadata"];
        let object = Self {
            key: ObjectKey::new(json::text(metadata, &["namespace"]), json::text(metadata, &["name"])),
            uid: json::text(metadata, &["uid"]).into(),
            version: Self::version_of(&value),
            text: tree::write(&value).into(),
        };
        (object, value)
    }

    /// The resource version that an object states. Those of one resource type are comparable integers since Kubernetes 1.35.
    pub fn version_of(value: &Value) -> u64 {
        json::text(value, &["metadata", "resourceVersion"])
            .parse()
            .unwrap_or_default()
    }

    /// The same version without its content.
    pub fn hollow(&self) -> Self {
        Self {
            key: self.key.clone(),
            uid: self.uid.clone(),
            version: self.version,
            text: Box::default(),
        }
    }

    /// Namespace and name.
    pub fn key(&self) -> &ObjectKey {
        &self.key
    }

    /// The uid.
    pub fn uid(&self) -> &str {
        &self.uid
    }

    /// The resource version; 0 when it is not a number.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The parsed object.
    pub fn value(&self) -> Value {
        // The text was written from a tree by `new`, so it reads back.
        tree::parse(&self.text).unwrap_or_default()
    }
}
