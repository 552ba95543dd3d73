//! Name translation: a pure function of the virtual cluster's name, its host namespace and the virtual object.

use std::borrow::Cow;

mod agreed;
mod fixed;
mod identity;
mod labels;
mod layout;
mod mappings;
mod metadata;
mod retold;
mod selectors;
mod store;

use config::digest;
use serde_json::{Value, json};

use crate::kinds::Kind;
use crate::object::ObjectKey;

pub use agreed::{Agreed, Known, Newer};
pub use config::digest::{hex_digest, safe_concat, short_digest};
pub use fixed::Fixed;
pub use identity::{Claim, claim};
pub use layout::{Layout, NamespaceRules};
pub use mappings::{Mapping, Mappings, Reference};
pub use metadata::{MetadataChange, Source, host_metadata, reconcile_metadata};
pub use selectors::merge_selectors;
pub use store::MappingStore;

/// Keys that the syncer itself writes; `docs` of the product name the same strings.
pub mod keys {
    /// Label with the owning virtual cluster on every synced host object.
    pub const MARKER: &str = "vcluster.loft.sh/managed-by";
    /// Label with the virtual namespace of a synced host object.
    pub const NAMESPACE: &str = "vcluster.loft.sh/namespace";
    /// Label of objects that another controller of the product owns.
    pub const CONTROLLED_BY: &str = "vcluster.loft.sh/controlled-by";
    /// Annotation with the virtual name.
    pub const OBJECT_NAME: &str = "vcluster.loft.sh/object-name";
    /// Annotation with the virtual namespace.
    pub const OBJECT_NAMESPACE: &str = "vcluster.loft.sh/object-namespace";
    /// Annotation with the virtual uid.
    pub const OBJECT_UID: &str = "vcluster.loft.sh/object-uid";
    /// Annotation with the kind, written as `<group>/<version>, Kind=<Kind>`.
    pub const OBJECT_KIND: &str = "vcluster.loft.sh/object-kind";
    /// Annotation with the host name.
    pub const OBJECT_HOST_NAME: &str = "vcluster.loft.sh/object-host-name";
    /// Annotation with the host namespace.
    pub const OBJECT_HOST_NAMESPACE: &str = "vcluster.loft.sh/object-host-namespace";
    /// Annotation of copies outside of the control plane's namespace with the virtual cluster's name; a label of namespaces.
    pub const VCLUSTER_NAME: &str = "vcluster.loft.sh/vcluster-name";
    /// The same with the virtual cluster's host namespace.
    pub const VCLUSTER_NAMESPACE: &str = "vcluster.loft.sh/vcluster-namespace";
    /// Annotation that lists the annotation keys which the virtual side owns.
    pub const MANAGED_ANNOTATIONS: &str = "vcluster.loft.sh/managed-annotations";
    /// Annotation that lists the label keys which the virtual side owns.
    pub const MANAGED_LABELS: &str = "vcluster.loft.sh/managed-labels";
    /// Annotation with a digest of the virtual content that a copy of a custom resource was last made from.
    pub const APPLIED: &str = "vcluster.loft.sh/applied-digest";
    /// Annotation of a namespace of the host, or of an object in it, that was there before its virtual one.
    pub const IMPORTED: &str = "vcluster.loft.sh/object-imported";
    /// Annotation of a virtual object that was made for one of the host in a namespace of ours: its full name there, and its uid.
    pub const MADE_FOR: &str = "vcluster.loft.sh/made-for-host-object";
    /// Annotation of a ConfigMap or Secret that is synced although no pod uses it.
    pub const FORCE_SYNC: &str = "vcluster.loft.sh/force-sync";
    /// Annotation of a virtual copy with the host object it was made of, as `<namespace>/<name>`.
    pub const IMPORTED_FROM: &str = "vcluster.loft.sh/imported-from";
    /// Label of a Gateway of the host in the virtual cluster, and of a namespace that was made for one.
    pub const IMPORTED_GATEWAY: &str = "vcluster.loft.sh/imported-gateway";
    /// Annotation of such a Gateway with the name that it has on the host, as `<namespace>/<name>`.
    pub const SOURCE_GATEWAY: &str = "vcluster.loft.sh/source-gateway";
    /// Option of a listener whose certificates are not shown; without any, it would not be valid.
    pub const HIDDEN_CERTIFICATES: &str = "vcluster.loft.sh/certificate-refs-sanitized";
    /// Annotation of a host HTTPRoute whose filters of the type RequestMirror stay.
    pub const KEEP_MIRROR_FILTERS: &str = "vcluster.loft.sh/preserve-request-mirror-filters";
    /// Annotation of a host HTTPRoute with the name of a rule that stays.
    pub const KEEP_RULE: &str = "vcluster.loft.sh/preserve-host-rule";
    /// Annotation of host objects that have no virtual object of their own.
    pub const SKIP_BACKSYNC: &str = "vcluster.loft.sh/skip-backsync";
    /// Annotation of a claim whose class goes to the host as it is.
    pub const SKIP_TRANSLATE: &str = "vcluster.loft.sh/skip-translate";
    /// Annotation of a virtual Service that is between two addresses: what it was, as a merge patch.
    pub const SERVICE_BETWEEN: &str = "vcluster.loft.sh/service-between-addresses";
    /// Label of an object of another virtual cluster with the one through which it was made.
    pub const PROXY_OWNER: &str = "vcluster.loft.sh/proxy-owner";
    /// Everything under this prefix belongs to the product.
    pub const PREFIX: &str = "vcluster.loft.sh/";
    /// Annotation of a host pod with the owners of the virtual one, as JSON.
    pub const OWNER_REFERENCES: &str = "vcluster.loft.sh/owner-references";
    /// Annotation of a host pod with the kind of the workload controller behind the virtual one.
    pub const OWNER_SET_KIND: &str = "vcluster.loft.sh/owner-set-kind";
    /// Prefix of the host labels that carry the labels of a pod's virtual namespace.
    pub const NAMESPACE_LABEL_PREFIX: &str = "vcluster.loft.sh/ns-label";
}

/// The naming rules of one virtual cluster.
#[derive(Clone, Debug)]
pub struct Names {
    vcluster: String,
    host_namespace: String,
    layout: Layout,
    /// What virtual namespaces have on the host besides copies, where these have one to themselves.
    reserved: Option<(Kind, String)>,
    rewritten: Vec<(&'static str, String)>,
    /// What all keys begin with behind which labels are hidden.
    hidden_prefix: String,
}

/// Prefix of the keys behind which labels are hidden.
const HIDDEN_LABEL_PREFIX: &str = "vcluster.loft.sh/label";

/// Label that the control plane's Service selects its pods by.
const RELEASE: &str = "release";

/// Label keys that are hidden behind a hashed key on the host, because they mean something there.
const REWRITTEN_LABELS: [&str; 4] = [RELEASE, keys::NAMESPACE, keys::MARKER, keys::CONTROLLED_BY];

/// Where the virtual cluster's DNS Service is.
pub const DNS_NAMESPACE: &str = "kube-system";
/// Its name.
pub const DNS_NAME: &str = "kube-dns";

/// The label with which an API server says the name of a namespace.
pub const METADATA_NAME: &str = "kubernetes.io/metadata.name";

/// What the host makes in every namespace by itself. Copies of the virtual cluster's own have another name.
const MADE_BY_HOST: [(Kind, &str); 2] = [(Kind::ConfigMap, "kube-root-ca.crt"), (Kind::ServiceAccount, "default")];

/// The kind of Services, as annotations state it.
const SERVICE: &str = "/v1, Kind=Service";

impl Names {
    /// The rules for virtual cluster `vcluster` whose control plane, and with it every object, lies in `host_namespace`.
    pub fn new(vcluster: &str, host_namespace: &str) -> Self {
        let rewritten = REWRITTEN_LABELS
            .iter()
            .map(|key| (*key, hashed_key(HIDDEN_LABEL_PREFIX, vcluster, key)))
            .collect();
        let mut hidden_prefix = format!("{HIDDEN_LABEL_PREFIX}-{vcluster}-x-");
        // Longer keys are cut there before their digest is added.
        hidden_prefix.truncate(digest::KEPT);
        Self {
            vcluster: vcluster.to_owned(),
            host_namespace: host_namespace.to_owned(),
            layout: Layout::Single,
            reserved: None,
            rewritten,
            hidden_prefix,
        }
    }

    /// The same for objects that lie elsewhere, too.
    pub fn with_layout(self, layout: Layout) -> Self {
        Self { layout, ..self }
    }

    /// The same with an object that every namespace of a virtual one has besides what the host makes there.
    pub fn with_reserved(mut self, kind: Kind, name: &str) -> Self {
        self.reserved = Some((kind, name.to_owned()));
        self
    }

    /// The name of the virtual cluster.
    pub fn vcluster(&self) -> &str {
        &self.vcluster
    }

    /// The namespace of the host in which the control plane lies.
    pub fn host_namespace(&self) -> &str {
        &self.host_namespace
    }

    /// The namespace of the host in which the objects of a virtual one lie.
    pub fn target(&self, namespace: &str) -> Cow<'_, str> {
        self.own(namespace).unwrap_or(Cow::Borrowed(&self.host_namespace))
    }

    /// The namespace of the host that a virtual one has to itself, where its objects keep their names.
    pub fn own(&self, namespace: &str) -> Option<Cow<'_, str>> {
        match &self.layout {
            Layout::Single => None,
            Layout::Mapped(rules) => rules.own(namespace),
        }
    }

    /// The virtual namespace that has a namespace of the host to itself, whether there is one of its name or not.
    pub fn virtual_of(&self, host_namespace: &str) -> Option<String> {
        match &self.layout {
            Layout::Single => None,
            Layout::Mapped(rules) => rules.virtual_of(host_namespace),
        }
    }

    /// The one namespace of the host in which all copies lie; `None` when virtual namespaces can have their own.
    pub fn single_namespace(&self) -> Option<&str> {
        match &self.layout {
            Layout::Single => Some(&self.host_namespace),
            Layout::Mapped(_) => None,
        }
    }

    /// The namespaces of the host that virtual ones can have to themselves, where all of them are named one by one.
    pub fn all_on_host(&self) -> Option<Vec<&str>> {
        match &self.layout {
            Layout::Single => None,
            Layout::Mapped(rules) => rules.all_on_host(),
        }
    }

    /// Selects the namespaces of the host that virtual ones have to themselves, when they can have that.
    pub fn namespaces_on_host(&self) -> Option<Value> {
        match &self.layout {
            Layout::Single => None,
            Layout::Mapped(_) => Some(json!({"matchLabels": {keys::MARKER: self.cluster_marker()}})),
        }
    }

    /// Where the copy of a virtual object lies. A Namespace without one of the host to itself has no copy, and no name there.
    pub fn place(&self, kind: Kind, namespace: &str, name: &str) -> ObjectKey {
        if kind == Kind::Namespace {
            return ObjectKey::new("", self.own(name).as_deref().unwrap_or_default());
        }
        if !kind.is_namespaced() {
            return ObjectKey::new("", &self.cluster_host_name(name));
        }
        let host_namespace = self.namespace_of(&kind.gvk(), namespace, name);
        let host_name = match kind {
            _ if host_namespace == self.host_namespace => match kind {
                Kind::ResourceClaim | Kind::ResourceClaimTemplate => self.short_host_name(name, namespace),
                _ => self.host_name(name, namespace),
            },
            _ if self.is_reserved(kind, name) => safe_concat(&["vcluster", name, "x", &self.vcluster]),
            _ => name.to_owned(),
        };
        ObjectKey::new(&host_namespace, &host_name)
    }

    /// Whether a namespace of a virtual one has an object of this name that is no copy.
    fn is_reserved(&self, kind: Kind, name: &str) -> bool {
        let reserved = self.reserved.as_ref().map(|(kind, name)| (*kind, name.as_str()));
        MADE_BY_HOST.contains(&(kind, name)) || reserved == Some((kind, name))
    }

    /// Whether this can be the name of an object's copy, as far as namespaces go.
    fn can_be(&self, object: &Reference, host: &ObjectKey) -> bool {
        let ObjectKey { namespace, name } = &object.key;
        match object.kind {
            Kind::Namespace => self.place(object.kind, namespace, name) == *host,
            kind if !kind.is_namespaced() => true,
            kind => self.namespace_of(&kind.gvk(), namespace, name) == host.namespace,
        }
    }

    /// The namespace of the host in which the copy of an object lies.
    fn namespace_of(&self, kind: &str, namespace: &str, name: &str) -> Cow<'_, str> {
        // What selects the control plane lies with it.
        if kind == SERVICE && namespace == DNS_NAMESPACE && name == DNS_NAME {
            return Cow::Borrowed(&self.host_namespace);
        }
        self.target(namespace)
    }

    /// The name of an object among those of other namespaces; an empty name stays empty.
    pub fn host_name(&self, name: &str, namespace: &str) -> String {
        if name.is_empty() {
            return String::new();
        }
        safe_concat(&[name, "x", namespace, "x", &self.vcluster])
    }

    /// The host name of a namespaced object whose kind needs short names.
    pub fn short_host_name(&self, name: &str, namespace: &str) -> String {
        short_digest(&[name, "x", namespace, "x", &self.vcluster])
    }

    /// The host name of a cluster-scoped object.
    pub fn cluster_host_name(&self, name: &str) -> String {
        if name.is_empty() {
            return String::new();
        }
        safe_concat(&["vcluster", name, "x", &self.host_namespace, "x", &self.vcluster])
    }

    /// The value of the marker label on cluster-scoped host objects.
    pub fn cluster_marker(&self) -> String {
        safe_concat(&[&self.host_namespace, "x", &self.vcluster])
    }

    /// The name of the Service that makes the kubelet of one virtual node reachable by address.
    pub fn node_service(&self, node: &str) -> String {
        safe_concat(&[&self.vcluster, "node", &node.replace('.', "-")])
    }

    /// The host label key that carries a label of the virtual namespace.
    pub fn namespace_label(&self, key: &str) -> String {
        hashed_key(keys::NAMESPACE_LABEL_PREFIX, &self.vcluster, key)
    }

    /// The label key on the host for a label key of a virtual object.
    ///
    /// Keys that look like those which say something there about namespaces or hidden labels are hidden too: a tenant who
    /// wrote them could pass for a pod of another namespace. A virtual cluster inside this one has such keys rightly.
    pub fn label_to_host<'a>(&'a self, key: &'a str) -> Cow<'a, str> {
        if let Some((_, host)) = self.rewritten.iter().find(|(virtual_key, _)| *virtual_key == key) {
            return Cow::Borrowed(host);
        }
        if key.starts_with(keys::NAMESPACE_LABEL_PREFIX) || key.starts_with(&self.hidden_prefix) {
            return Cow::Owned(hashed_key(HIDDEN_LABEL_PREFIX, &self.vcluster, key));
        }
        Cow::Borrowed(key)
    }

    /// Whether the host name of an object can be nobody else's: its parts can be told from it, and nothing was cut off.
    /// Otherwise another virtual cluster of the namespace may have an object whose host name is the same.
    pub fn is_exclusive(&self, name: &str, namespace: &str) -> bool {
        if self.own(namespace).is_some() {
            // The host's own controllers make objects there, under any name.
            return false;
        }
        let joined = [name, "x", namespace, "x", &self.vcluster].join("-");
        let separators = joined.as_bytes().windows(3).filter(|window| *window == b"-x-");
        joined.len() <= digest::MAX_LENGTH && separators.count() == 2
    }

    /// Whether a host label says something about the virtual namespace of a pod.
    fn is_namespace_label(key: &str) -> bool {
        key.starts_with(keys::NAMESPACE_LABEL_PREFIX)
    }

    /// Whether a virtual label key is one of the host's rewritten keys and therefore stays away from the host.
    fn is_rewritten(&self, key: &str) -> bool {
        self.rewritten.iter().any(|(_, host)| host == key)
    }

    /// Which name a host message means: the host name of `name` and our own suffix become virtual again.
    pub fn sanitise(&self, message: &str, name: &str, namespace: &str) -> String {
        let message = message.replace(&self.host_name(name, namespace), name);
        let suffix = format!("-x-{namespace}-x-{}", self.vcluster);
        if namespace.is_empty() || name.ends_with(&suffix) {
            message
        } else {
            message.replace(&suffix, "")
        }
    }
}

fn hashed_key(prefix: &str, vcluster: &str, key: &str) -> String {
    let digest = hex_digest(key.as_bytes());
    safe_concat(&[prefix, vcluster, "x", &digest[..10]])
}

#[cfg(test)]
mod tests;
