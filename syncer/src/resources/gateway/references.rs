//! What one object names: whether it may (virtual ReferenceGrants say so where namespaces differ), and what it is called on
//! the host. What is refused is explained with its place in the object.

use serde_json::Value;

use super::names;
use crate::engine::plan::Note;
use crate::json;
use crate::kinds::{GATEWAY_API, Kind};
use crate::names::Reference;
use crate::object::ObjectKey;
use crate::world::World;

/// Why an object does not get to the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The virtual cluster does not permit something that it names.
    Denied(String),
    /// It names something that never gets to the host.
    Unsupported(String),
    /// Something else, which may pass.
    Failed(String),
}

impl Refusal {
    /// The same with where it happened.
    pub(super) fn at(self, place: &str) -> Self {
        let text = |text: String| format!("{place}: {text}");
        match self {
            Refusal::Denied(why) => Refusal::Denied(text(why)),
            Refusal::Unsupported(why) => Refusal::Unsupported(text(why)),
            Refusal::Failed(why) => Refusal::Failed(text(why)),
        }
    }

    /// Whether only a change of the virtual cluster's own objects helps.
    pub(super) fn is_final(&self) -> bool {
        !matches!(self, Refusal::Failed(_))
    }

    /// The event that tells it.
    pub(super) fn note(&self) -> Note {
        match self {
            Refusal::Denied(why) => Note {
                reason: "RefNotPermitted",
                text: format!("Gateway API reference not permitted: {why}"),
            },
            Refusal::Unsupported(why) => Note {
                reason: "UnsupportedReference",
                text: format!("Gateway API reference kind is not supported and will not be synced to the host: {why}"),
            },
            Refusal::Failed(why) => Note::error(format!("Error syncing: {why}")),
        }
    }
}

/// An object that another one names.
#[derive(Clone, Debug)]
pub(super) struct Named {
    /// Where.
    pub at: String,
    /// The virtual object.
    pub item: Reference,
    /// Its name on the host.
    pub host: ObjectKey,
}

/// The translation of one object, and what it was found to name.
pub(super) struct Translation<'a> {
    pub world: &'a World,
    /// The kind of the object.
    pub kind: Kind,
    /// Its virtual namespace.
    pub namespace: &'a str,
    pub references: Vec<Named>,
}

/// How a kind of references is spelt.
struct Form {
    /// What it is called in messages.
    word: &'static str,
    /// Group and kind where it states none; `None` where it has to.
    default: Option<&'static str>,
    /// The kinds that it may name, all of the core group.
    kinds: &'static [Kind],
    /// Whether it may name any custom resource of which the host has copies.
    custom: bool,
}

const BACKEND: Form = Form {
    word: "backendRef",
    default: Some("Service"),
    kinds: &[Kind::Service],
    custom: false,
};
const SECRET: Form = Form {
    word: "secretRef",
    default: Some("Secret"),
    kinds: &[Kind::Secret],
    custom: false,
};
const LOCAL: Form = Form {
    word: "localObjectRef",
    default: None,
    kinds: &[Kind::ConfigMap, Kind::Secret],
    custom: false,
};
const TARGET: Form = Form {
    word: "targetRef",
    default: None,
    kinds: &[Kind::Service],
    custom: false,
};
const GRANTED: Form = Form {
    word: "referenceGrant to",
    default: None,
    kinds: &[Kind::Service, Kind::Secret, Kind::ConfigMap],
    custom: false,
};
const PARAMETERS: Form = Form {
    word: "parametersRef",
    default: None,
    kinds: &[Kind::ConfigMap, Kind::Secret],
    custom: true,
};
const EXTENSION: Form = Form {
    word: "extensionRef",
    default: None,
    kinds: &[],
    custom: true,
};

impl<'a> Translation<'a> {
    pub(super) fn new(world: &'a World, item: &'a Reference) -> Self {
        Self {
            world,
            kind: item.kind,
            namespace: &item.key.namespace,
            references: Vec::new(),
        }
    }

    /// A `backendRef`; `checked` and `translated` are the places that messages name.
    pub(super) fn backend(&mut self, reference: &mut Value, checked: &str, translated: &str) -> Result<(), Refusal> {
        self.granted(reference, "Service")
            .map_err(|refusal| refusal.at(checked))?;
        self.named(reference, &BACKEND, translated)
    }

    /// The reference to the Secret with a certificate.
    pub(super) fn certificate(&mut self, reference: &mut Value, place: &str) -> Result<(), Refusal> {
        self.granted(reference, "Secret")
            .map_err(|refusal| refusal.at(&format!("authorize {place}")))?;
        self.named(reference, &SECRET, &format!("translate {place}"))
    }

    /// The reference to a ConfigMap or Secret with authorities.
    pub(super) fn authority(&mut self, reference: &mut Value, place: &str) -> Result<(), Refusal> {
        self.granted(reference, "ConfigMap")
            .map_err(|refusal| refusal.at(&format!("authorize {place}")))?;
        self.named(reference, &LOCAL, &format!("translate {place}"))
    }

    /// What an implementation of the API is to know besides, in the same namespace.
    pub(super) fn parameters(&mut self, reference: &mut Value, place: &str) -> Result<(), Refusal> {
        self.named(reference, &PARAMETERS, place)
    }

    /// A filter that an implementation of the API defines, in the same namespace.
    pub(super) fn extension(&mut self, reference: &mut Value, place: &str) -> Result<(), Refusal> {
        self.named(reference, &EXTENSION, place)
    }

    /// A reference to a ConfigMap or Secret of the same namespace.
    pub(super) fn local(&mut self, reference: &mut Value, place: &str) -> Result<(), Refusal> {
        self.named(reference, &LOCAL, place)
    }

    /// A reference to the Service of the same namespace that a policy is for.
    pub(super) fn target(&mut self, reference: &mut Value, place: &str) -> Result<(), Refusal> {
        self.named(reference, &TARGET, place)
    }

    /// What a grant lets others name; without a name it is everything of its kind.
    pub(super) fn grantee(&mut self, reference: &mut Value, place: &str) -> Result<(), Refusal> {
        match json::text(reference, &["name"]) {
            "" => Ok(()),
            _ => self.named(reference, &GRANTED, place),
        }
    }

    fn named(&mut self, reference: &mut Value, form: &Form, place: &str) -> Result<(), Refusal> {
        let (group, name) = (
            said(reference, "group", ""),
            said(reference, "kind", form.default.unwrap_or("")),
        );
        let kind = form
            .kinds
            .iter()
            .find(|kind| kind.group() == group && kind.name() == name)
            .copied();
        let custom = || {
            let kind = self.world.settings.kind(group, name).filter(|_| form.custom)?;
            (matches!(kind, Kind::Custom(_)) && self.world.settings.is_copied(kind)).then_some(kind)
        };
        match kind.or_else(custom) {
            Some(kind) => self.rename(reference, kind, place),
            None => {
                let why = format!("{} group {group:?} kind {name:?} is not supported", form.word);
                Err(Refusal::Unsupported(why).at(place))
            }
        }
    }

    /// Gives a reference the names that its object has on the host.
    pub(super) fn rename(&mut self, reference: &mut Value, kind: Kind, place: &str) -> Result<(), Refusal> {
        let key = ObjectKey::new(self.namespace_of(reference), json::text(reference, &["name"]));
        let Some(host) = names::to_host(self.world, kind, &key) else {
            let why = format!("could not translate virtual {kind} {:?} to host", key.name);
            return Err(Refusal::Failed(why).at(place));
        };
        json::put(reference, "name", Some(host.name.as_str().into()));
        // What states no namespace means the one of the copy.
        let stated = reference.get("namespace").is_some_and(|namespace| !namespace.is_null());
        let of_copy = self.world.names.target(self.namespace);
        if stated || of_copy != host.namespace {
            json::put(reference, "namespace", Some(host.namespace.as_str().into()));
        }
        self.references.push(Named {
            at: place.to_owned(),
            item: Reference { kind, key },
            host,
        });
        Ok(())
    }

    /// The virtual namespace that a reference means.
    pub(super) fn namespace_of<'v>(&'v self, reference: &'v Value) -> &'v str {
        match json::text(reference, &["namespace"]) {
            "" => self.namespace,
            namespace => namespace,
        }
    }

    /// Whether a ReferenceGrant lets the object name something in another namespace.
    fn granted(&self, reference: &Value, default: &str) -> Result<(), Refusal> {
        let namespace = self.namespace_of(reference);
        if namespace == self.namespace {
            return Ok(());
        }
        let (group, kind) = (said(reference, "group", ""), said(reference, "kind", default));
        let name = json::text(reference, &["name"]);
        let from = |entry: &Value| {
            said(entry, "group", "") == GATEWAY_API
                && json::text(entry, &["kind"]) == self.kind.name()
                && json::text(entry, &["namespace"]) == self.namespace
        };
        let to = |entry: &Value| {
            let only = json::text(entry, &["name"]);
            said(entry, "group", "") == group
                && json::text(entry, &["kind"]) == kind
                && (only.is_empty() || only == name)
        };
        let grants = self.world.virtual_side.of(Kind::ReferenceGrant).list_in(namespace);
        let granted = grants.iter().map(|grant| grant.value()).any(|grant| {
            json::text(&grant, &["metadata", "deletionTimestamp"]).is_empty()
                && json::items(&grant, &["spec", "from"]).iter().any(from)
                && json::items(&grant, &["spec", "to"]).iter().any(to)
        });
        if granted {
            return Ok(());
        }
        Err(Refusal::Denied(format!(
            "no matching virtual ReferenceGrant in namespace {namespace:?} permits {} in namespace {:?} to reference {kind} \
             {name:?} in namespace {namespace:?}",
            self.kind, self.namespace
        )))
    }
}

/// What a field says, or what it means when it is not there. An empty group is the core group.
pub(super) fn said<'v>(reference: &'v Value, field: &str, default: &'v str) -> &'v str {
    reference.get(field).and_then(Value::as_str).unwrap_or(default)
}
