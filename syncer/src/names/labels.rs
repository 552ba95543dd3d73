//! Labels on their way down and up.

use super::{Names, keys};
use crate::json::Strings;

impl Names {
    /// The labels of a host object: the virtual ones plus the marks of ownership. `namespace` is `None` for
    /// cluster-scoped objects.
    pub fn labels_to_host(&self, labels: &Strings, namespace: Option<&str>) -> Strings {
        let mut host = self.label_keys_to_host(labels);
        match namespace {
            Some(namespace) => {
                host.insert(keys::MARKER.to_owned(), self.vcluster.clone());
                host.insert(keys::NAMESPACE.to_owned(), namespace.to_owned());
            }
            None => {
                host.insert(keys::MARKER.to_owned(), self.cluster_marker());
            }
        }
        host
    }

    /// The same labels under the keys they have on the host, without marks of ownership.
    pub fn label_keys_to_host(&self, labels: &Strings) -> Strings {
        labels
            .iter()
            .filter(|(key, _)| !self.is_rewritten(key))
            .map(|(key, value)| (self.label_to_host(key).into_owned(), value.clone()))
            .collect()
    }

    /// The virtual key of a host label; `None` for labels that never travel up.
    pub fn label_to_virtual<'a>(&'a self, key: &'a str) -> Option<&'a str> {
        if let Some((original, _)) = self.rewritten.iter().find(|(_, host)| host == key) {
            return Some(original);
        }
        let hidden = self.rewritten.iter().any(|(original, _)| *original == key)
            || key.starts_with(keys::NAMESPACE_LABEL_PREFIX)
            || key.starts_with(&self.hidden_prefix);
        (!hidden).then_some(key)
    }

    /// The labels of a virtual namespace as its pods carry them on the host.
    pub fn namespace_labels(&self, labels: &Strings) -> Strings {
        labels
            .iter()
            .map(|(key, value)| (self.namespace_label(key), value.clone()))
            .collect()
    }
}
