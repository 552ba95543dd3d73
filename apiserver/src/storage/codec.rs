//! Between stored values and served objects: keys, the resourceVersion that is never stored, and the index that
//! selectors work on.

use super::foreign::Form;
use super::interface::{Error, Preconditions};
use machinery::object::{Index, Selectable, Stored, with_resource_version};
use serde::Deserialize;
use serde_json::Value;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Changes an object after it was read: conversion from the stored version, defaults that newer versions added.
pub type Transform = Arc<dyn Fn(Value) -> Value + Send + Sync>;

/// Where and how the objects of one resource are stored.
#[derive(Clone)]
pub struct Codec {
    /// What all keys start with, such as `/registry/pods/`.
    prefix: Box<str>,
    namespaced: bool,
    selectable: Selectable,
    transform: Option<Transform>,
    form: Option<Arc<Form>>,
}

impl Codec {
    /// The codec of a resource. `etcd_prefix` is `--etcd-prefix`, `storage_key` upstream's key below it (`pods`,
    /// `services/specs`), `selectable` the fields besides `metadata.name` and `metadata.namespace` that selectors may
    /// use. `transform` is applied to every object that is read; without one, objects are served in the very bytes that
    /// are stored.
    pub fn new(
        etcd_prefix: &str,
        storage_key: &str,
        namespaced: bool,
        selectable: Selectable,
        transform: Option<Transform>,
    ) -> Self {
        let root = etcd_prefix.trim_matches('/');
        let root = if root.is_empty() {
            String::new()
        } else {
            format!("/{root}")
        };
        let prefix = format!("{root}/{}/", storage_key.trim_matches('/')).into_boxed_str();
        Codec {
            prefix,
            namespaced,
            selectable,
            transform,
            form: None,
        }
    }

    /// The same codec for values of one built-in kind: what other API servers have stored, as protobuf or in another
    /// version, is read as if this one had written it.
    #[must_use]
    pub fn of_kind(mut self, form: Form) -> Self {
        self.form = Some(Arc::new(form));
        self
    }

    /// What all keys start with.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The key of one object.
    ///
    /// # Errors
    /// When name or namespace are empty or could lead out of the prefix (k8s.io/apiserver `storage.PrepareKey`).
    pub fn key(&self, namespace: &str, name: &str) -> Result<String, Error> {
        let key = if self.namespaced && !namespace.is_empty() {
            segment(namespace)?;
            format!("{}{namespace}/{name}", self.prefix)
        } else {
            format!("{}{name}", self.prefix)
        };
        segment(name)?;
        Ok(key)
    }

    /// What the keys of a namespace's objects start with, or of all objects when it is empty.
    ///
    /// # Errors
    /// When the namespace could lead out of the prefix.
    pub fn list_prefix(&self, namespace: &str) -> Result<String, Error> {
        if !self.namespaced || namespace.is_empty() {
            return Ok(self.prefix.to_string());
        }
        segment(namespace)?;
        Ok(format!("{}{namespace}/", self.prefix))
    }

    /// A stored value as the object that is served.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when the value is no object with metadata.
    pub fn decode(&self, key: &str, value: &[u8], revision: u64) -> Result<Stored, Error> {
        let damaged = |why: String| Error::Corrupt {
            key: key.to_owned(),
            why,
        };
        let adopted = match &self.form {
            Some(form) => form.adopt(value).map_err(damaged)?,
            None => None,
        };
        let value = adopted.as_deref().unwrap_or(value);
        let plain = self.transform.is_none() && self.selectable.is_empty();
        let (bytes, index) = if plain {
            let head: Head<'_> = serde_json::from_slice(value).map_err(|e| damaged(e.to_string()))?;
            (Cow::Borrowed(value), head.metadata.into_index())
        } else {
            let object: Value = serde_json::from_slice(value).map_err(|e| damaged(e.to_string()))?;
            match &self.transform {
                None => (Cow::Borrowed(value), Index::of(&object, &self.selectable)),
                Some(transform) => {
                    let changed = transform(object.clone());
                    let index = Index::of(&changed, &self.selectable);
                    let same = changed == object;
                    // Serialising a tree of plain values cannot fail.
                    let bytes = if same {
                        Cow::Borrowed(value)
                    } else {
                        Cow::Owned(changed.to_string().into_bytes())
                    };
                    (bytes, index)
                }
            }
        };
        let bytes =
            with_resource_version(&bytes, revision).ok_or_else(|| damaged("it has no metadata object".to_owned()))?;
        Ok(Stored {
            bytes,
            revision,
            index: Arc::new(index),
        })
    }
}

impl std::fmt::Debug for Codec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Codec")
            .field("prefix", &self.prefix)
            .finish_non_exhaustive()
    }
}

/// A name that is exactly one path segment.
fn segment(name: &str) -> Result<(), Error> {
    if name.is_empty() || name.contains(['/', '%']) || matches!(name, "." | "..") {
        return Err(Error::Invalid(match name {
            "." | ".." => format!("Name parameter invalid: {name:?}: may not be '{name}'"),
            _ if name.contains('%') => format!("Name parameter invalid: {name:?}: may not contain '%'"),
            _ => format!("invalid key: {name:?}"),
        }));
    }
    Ok(())
}

/// The part of an object that a kind without selectable fields needs; the rest is skipped unread.
#[derive(Deserialize)]
struct Head<'a> {
    #[serde(borrow)]
    metadata: Metadata<'a>,
}

#[derive(Deserialize)]
struct Metadata<'a> {
    #[serde(borrow, default)]
    namespace: Cow<'a, str>,
    #[serde(borrow, default)]
    name: Cow<'a, str>,
    #[serde(borrow, default)]
    uid: Cow<'a, str>,
    #[serde(default)]
    labels: Option<BTreeMap<Box<str>, Box<str>>>,
}

impl Metadata<'_> {
    fn into_index(self) -> Index {
        Index {
            namespace: self.namespace.into(),
            name: self.name.into(),
            uid: self.uid.into(),
            labels: self.labels.unwrap_or_default().into_iter().collect(),
            fields: Box::default(),
        }
    }
}

/// Checks preconditions with upstream's texts (k8s.io/apiserver `storage.Preconditions.Check`).
///
/// # Errors
/// [`Error::Precondition`] naming the first one that does not hold.
pub fn check(preconditions: &Preconditions, key: &str, current: &Stored) -> Result<(), Error> {
    let failed = |field: &str, wanted: &dyn std::fmt::Display, found: &dyn std::fmt::Display| Error::Precondition {
        key: key.to_owned(),
        reason: format!(
            "StorageError: invalid object, Code: 4, Key: {key}, ResourceVersion: 0, AdditionalErrorMsg: \
             Precondition failed: {field} in precondition: {wanted}, {field} in object meta: {found}"
        ),
    };
    if let Some(uid) = preconditions.uid.as_deref().filter(|uid| **uid != *current.index.uid) {
        return Err(failed("UID", &uid, &current.index.uid));
    }
    if let Some(revision) = preconditions
        .resource_version
        .filter(|revision| *revision != current.revision)
    {
        return Err(failed("ResourceVersion", &revision, &current.revision));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use machinery::object::FieldReader;

    fn pods(transform: Option<Transform>) -> Codec {
        const FIELDS: &[(&str, FieldReader)] = &[("status.phase", |pod| {
            let phase = machinery::meta::str_at(pod, &["status", "phase"]);
            phase.unwrap_or_default().to_owned()
        })];
        Codec::new("/registry", "pods", true, Selectable::Builtin(FIELDS), transform)
    }

    #[test]
    fn keys_are_upstreams() {
        let nodes = Codec::new("registry/", "minions", false, Selectable::NONE, None);
        assert_eq!(nodes.key("", "n1").unwrap(), "/registry/minions/n1");
        assert_eq!(pods(None).key("ns", "p").unwrap(), "/registry/pods/ns/p");
        assert_eq!(pods(None).list_prefix("ns").unwrap(), "/registry/pods/ns/");
        assert_eq!(pods(None).list_prefix("").unwrap(), "/registry/pods/");
        for (namespace, name) in [("ns", ""), ("ns", "a/b"), ("..", "p"), ("ns", "."), ("a/b", "p")] {
            assert!(pods(None).key(namespace, name).is_err(), "{namespace} {name}");
        }
    }

    #[test]
    fn unchanged_objects_keep_their_bytes() {
        let value =
            br#"{"kind":"Pod", "metadata":{"name":"p","labels":{"b":"1","a":"2"}},"status":{"phase":"Running"}}"#;
        for transform in [None, Some(Arc::new(|v| v) as Transform)] {
            let pod = pods(transform).decode("k", value, 7).unwrap();
            let text = std::str::from_utf8(&pod.bytes).unwrap();
            assert!(
                text.starts_with(r#"{"kind":"Pod", "metadata":{"resourceVersion":"7","name":"p""#),
                "{text}"
            );
            assert_eq!(pod.index.field("status.phase"), Some("Running"));
        }
        let config = Codec::new("/registry", "configmaps", true, Selectable::NONE, None)
            .decode("k", value, 7)
            .unwrap();
        assert_eq!(config.index.label("a"), Some("2"));
        assert_eq!(*config.index.name, *"p");
    }

    #[test]
    fn a_transform_changes_what_is_served() {
        let upgrade: Transform = Arc::new(|mut v| {
            machinery::meta::set(&mut v, &["status", "phase"], "Pending");
            v
        });
        let pod = pods(Some(upgrade))
            .decode("k", br#"{"metadata":{"name":"p"}}"#, 7)
            .unwrap();
        assert_eq!(pod.index.field("status.phase"), Some("Pending"));
        assert_eq!(
            &pod.bytes[..],
            br#"{"metadata":{"resourceVersion":"7","name":"p"},"status":{"phase":"Pending"}}"#
        );
    }

    #[test]
    fn damaged_values_say_what_is_wrong() {
        for (value, expected) in [
            (&b"{"[..], "EOF"),
            (b"{}", "it has no metadata object"),
            (br#"{"metadata":1}"#, "it has no metadata object"),
        ] {
            let error = pods(None)
                .decode("/registry/pods/ns/p", value, 1)
                .unwrap_err()
                .to_string();
            assert!(
                error.contains(expected) && error.contains("/registry/pods/ns/p"),
                "{error}"
            );
        }
    }

    #[test]
    fn preconditions_are_reported_as_upstream_does() {
        let mut object = pods(None)
            .decode("k", br#"{"metadata":{"name":"p","uid":"u"}}"#, 7)
            .unwrap();
        let with = |uid: Option<&str>, resource_version| Preconditions {
            uid: uid.map(str::to_owned),
            resource_version,
        };
        assert!(check(&with(Some("u"), Some(7)), "k", &object).is_ok());
        let error = check(&with(Some("v"), None), "/registry/pods/ns/p", &object).unwrap_err();
        assert_eq!(
            error.to_string(),
            "StorageError: invalid object, Code: 4, Key: /registry/pods/ns/p, ResourceVersion: 0, AdditionalErrorMsg: \
             Precondition failed: UID in precondition: v, UID in object meta: u"
        );
        object.revision = 8;
        assert!(
            check(&with(None, Some(7)), "k", &object)
                .unwrap_err()
                .to_string()
                .ends_with("in object meta: 8")
        );
    }
}
