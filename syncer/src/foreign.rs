//! Objects of the host that are not ours and that the virtual cluster shows nevertheless: which of them are watched, and
//! what is known of them. They are read only.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use crate::clusters::{Caches, Selection};
use crate::kinds::Kind;
use crate::names::keys;
use crate::object::ObjectKey;
use crate::settings::Settings;

/// Some objects of a kind: the smallest selection that has to be watched, and may be read.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Scope {
    /// Their kind.
    pub kind: Kind,
    /// Their namespace.
    pub namespace: String,
    /// The name of the only one; `None` is every object of the namespace.
    pub name: Option<String>,
}

impl Scope {
    /// What is asked of the API server. Content that came from a virtual cluster is not even sent.
    pub fn selection(&self) -> Selection {
        let name = self.name.as_ref().map(|name| format!("metadata.name={name}"));
        let copies = matches!(self.kind, Kind::ConfigMap | Kind::Secret).then(|| format!("!{}", keys::MARKER));
        Selection {
            namespace: self.namespace.clone(),
            labels: copies.unwrap_or_default(),
            fields: name.unwrap_or_default(),
        }
    }

    fn covers(&self, kind: Kind, key: &ObjectKey) -> bool {
        self.kind == kind && self.namespace == key.namespace && self.name.as_ref().is_none_or(|name| *name == key.name)
    }
}

/// Everything that has to be watched with these settings.
pub fn scopes(settings: &Settings) -> BTreeSet<Scope> {
    let imported = settings.imports.iter().flat_map(|(kind, mappings)| {
        mappings.iter().map(|mapping| Scope {
            kind: *kind,
            namespace: mapping
                .from_namespace
                .clone()
                .unwrap_or_else(|| settings.host_namespace.clone()),
            name: mapping.from_name.clone(),
        })
    });
    let replicated = settings.replicas.from_host.iter().flat_map(|replica| {
        [Kind::Service, Kind::Endpoints].map(|kind| Scope {
            kind,
            namespace: replica.from.namespace.clone(),
            name: Some(replica.from.name.clone()),
        })
    });
    let all: BTreeSet<Scope> = imported.chain(replicated).collect();
    let whole = |scope: &Scope| Scope {
        name: None,
        ..scope.clone()
    };
    all.iter()
        .filter(|scope| scope.name.is_none() || !all.contains(&whole(scope)))
        .cloned()
        .collect()
}

/// What is known of them.
#[derive(Debug)]
pub struct Foreign {
    /// The objects.
    pub caches: Caches,
    known: Mutex<BTreeSet<Scope>>,
}

impl Foreign {
    /// Nothing is known yet; objects of these kinds may be.
    pub fn new(kinds: impl Iterator<Item = Kind>) -> Self {
        Self {
            caches: Caches::new(kinds),
            known: Mutex::default(),
        }
    }

    /// Says that a scope was read once: what is not in the cache does not exist.
    pub fn complete(&self, scope: &Scope) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert(scope.clone());
    }

    /// Whether an object that is not in the cache does not exist.
    pub fn is_known(&self, kind: Kind, key: &ObjectKey) -> bool {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.iter().any(|scope| scope.covers(kind, key))
    }
}

#[cfg(test)]
mod tests {
    use config::ObjectMapping;

    use super::*;

    #[test]
    fn a_name_in_a_watched_namespace_is_not_watched_again() {
        let mut settings = crate::testing::settings();
        let mappings = [("a/*", "x/*"), ("a/one", "y/*"), ("b/one", "y/*"), ("/own", "y/z")];
        let mappings = mappings.map(|(from, to)| ObjectMapping::parse(from, to).expect("valid"));
        settings.imports.insert(Kind::Secret, mappings.to_vec());
        let shown: Vec<String> = scopes(&settings)
            .iter()
            .map(|scope| format!("{}/{}", scope.namespace, scope.name.as_deref().unwrap_or("*")))
            .collect();
        assert_eq!(shown, ["a/*", "b/one", "host/own"]);
    }
}
