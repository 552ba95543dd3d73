//! What kubelets may do (kubernetes `plugin/pkg/auth/authorizer/node`): what belongs to their node, and for everything else
//! what the rules of nodes say.
//!
//! The authorizer knows the objects as it was told last; whoever follows them tells it.

pub mod graph;

use super::{Attributes, Authorizer, Decision};
use graph::{Graph, Kind, Target, Vertex};
use machinery::field::go_quote;
use machinery::names::node_of_user;
use machinery::rbac::Rule;
use machinery::selector::field::Selector;
use machinery::{meta, references};
use serde_json::Value;
use std::sync::{PoisonError, RwLock};

/// Where kubelets keep their leases.
const LEASES: &str = "kube-node-lease";
/// Marks a pod that stands for one that the kubelet runs by itself.
const MIRROR: &str = "kubernetes.io/config.mirror";

/// Decides about kubelets.
#[derive(Debug)]
pub struct Node {
    graph: RwLock<Graph>,
    rules: Vec<Rule>,
}

/// Why not; empty when there is nothing to say.
type Refusal = String;

impl Node {
    /// `rules` say what all kubelets may do.
    pub fn new(rules: Vec<Rule>) -> Self {
        Node {
            graph: RwLock::default(),
            rules,
        }
    }

    /// Forgets all objects.
    pub fn clear(&self) {
        *self.write() = Graph::default();
    }

    /// Takes note of a pod, or of its end.
    pub fn set_pod(&self, namespace: &str, name: &str, pod: Option<&Value>) {
        let vertex = Vertex::new(Kind::Pod, namespace, name);
        let node = pod.and_then(|pod| Some((pod, meta::str_at(pod, &["spec", "nodeName"])?)));
        match node {
            Some((pod, node)) if !node.is_empty() => {
                let used = used_by(namespace, pod);
                self.write().set(vertex, Target::Node(node.to_owned()), used);
            }
            _ => self.write().remove(&vertex),
        }
    }

    /// Takes note of a persistent volume, or of its end.
    pub fn set_volume(&self, name: &str, volume: Option<&Value>) {
        let vertex = Vertex::new(Kind::Volume, "", name);
        let claimed = volume.and_then(|volume| Some((volume, meta::at(volume, &["spec", "claimRef"])?)));
        match claimed {
            Some((volume, claim)) if claim.is_object() => {
                let part = |field: &str| meta::str_at(claim, &[field]).unwrap_or_default();
                let claim = Vertex::new(Kind::Claim, part("namespace"), part("name"));
                let secrets = references::volume_secrets(volume).into_iter();
                let secrets = secrets.map(|(namespace, name)| Vertex::new(Kind::Secret, namespace, name));
                self.write().set(vertex, Target::Vertex(claim), secrets.collect());
            }
            _ => self.write().remove(&vertex),
        }
    }

    /// Takes note of a cluster-scoped object whose spec names its node, or of its end.
    pub fn set_of_node(&self, kind: Kind, name: &str, object: Option<&Value>) {
        let vertex = Vertex::new(kind, "", name);
        match object.and_then(|object| meta::str_at(object, &["spec", "nodeName"])) {
            Some(node) if !node.is_empty() => self.write().set(vertex, Target::Node(node.to_owned()), Vec::new()),
            _ => self.write().remove(&vertex),
        }
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, Graph> {
        self.graph.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a kubelet may do something.
    fn check(&self, node: &str, asked: &Attributes<'_>) -> Result<(), Refusal> {
        if asked.is_resource {
            let related = |kind| self.related(node, kind, asked);
            match (asked.group, asked.resource) {
                ("", "secrets") => return read(asked).and_then(|()| related(Kind::Secret)),
                ("", "configmaps") => return read(asked).and_then(|()| related(Kind::ConfigMap)),
                ("", "persistentvolumeclaims") if asked.subresource == "status" => {
                    only(asked, &["update", "patch"], "can only get/update/patch this type")?;
                    return related(Kind::Claim);
                }
                ("", "persistentvolumeclaims") => return get(asked).and_then(|()| related(Kind::Claim)),
                ("", "persistentvolumes") => return get(asked).and_then(|()| related(Kind::Volume)),
                ("resource.k8s.io", "resourceclaims") => return get(asked).and_then(|()| related(Kind::ResourceClaim)),
                ("storage.k8s.io", "volumeattachments") => {
                    return get(asked).and_then(|()| related(Kind::VolumeAttachment));
                }
                ("", "serviceaccounts") => return self.service_account(node, asked),
                ("coordination.k8s.io", "leases") => return lease(node, asked),
                ("storage.k8s.io", "csinodes") => return csi_node(node, asked),
                ("resource.k8s.io", "resourceslices") => return self.resource_slice(node, asked),
                ("", "nodes") => return own_node(node, asked),
                ("", "pods") => return self.pod(node, asked),
                // Upstream serves them behind a feature gate that is off.
                ("certificates.k8s.io", "podcertificaterequests") => return Err(Refusal::new()),
                _ => {}
            }
        }
        let Attributes {
            verb,
            group,
            resource,
            subresource,
            name,
            path,
            ..
        } = asked;
        let allows = |rule: &Rule| match asked.is_resource {
            true => rule.allows_resource(verb, group, resource, subresource, name),
            false => rule.allows_path(verb, path),
        };
        match self.rules.iter().any(allows) {
            true => Ok(()),
            false => Err(Refusal::new()),
        }
    }

    fn related(&self, node: &str, kind: Kind, asked: &Attributes<'_>) -> Result<(), Refusal> {
        if asked.name.is_empty() {
            return Err("No Object name found".to_owned());
        }
        self.leads(node, kind, asked)
    }

    fn leads(&self, node: &str, kind: Kind, asked: &Attributes<'_>) -> Result<(), Refusal> {
        let graph = self.graph.read().unwrap_or_else(PoisonError::into_inner);
        let leads = graph.leads_to(&Vertex::new(kind, asked.namespace, asked.name), node);
        let unrelated = || format!("no relationship found between node '{node}' and this object");
        leads.then_some(()).ok_or_else(unrelated)
    }

    fn service_account(&self, node: &str, asked: &Attributes<'_>) -> Result<(), Refusal> {
        if asked.verb == "get" && asked.subresource.is_empty() {
            return read(asked).and_then(|()| self.related(node, Kind::ServiceAccount, asked));
        }
        if asked.verb != "create" || asked.name.is_empty() {
            return refuse("can only create tokens for individual service accounts");
        }
        if asked.subresource != "token" {
            return refuse("can only create token subresource of serviceaccount");
        }
        self.leads(node, Kind::ServiceAccount, asked)
    }

    fn resource_slice(&self, node: &str, asked: &Attributes<'_>) -> Result<(), Refusal> {
        if !asked.subresource.is_empty() {
            return refuse("cannot authorize ResourceSlice subresources");
        }
        match asked.verb {
            // Admission sees whose it is.
            "create" => Ok(()),
            "get" | "update" | "patch" | "delete" => self.related(node, Kind::ResourceSlice, asked),
            "watch" | "list" | "deletecollection" if selects(asked, node) => Ok(()),
            "watch" | "list" | "deletecollection" => {
                refuse("can only list/watch/deletecollection resourceslices with nodeName field selector")
            }
            _ => refuse(
                "only the following verbs are allowed for a ResourceSlice: get, watch, list, create, update, patch, delete, deletecollection",
            ),
        }
    }

    fn pod(&self, node: &str, asked: &Attributes<'_>) -> Result<(), Refusal> {
        match (asked.subresource, asked.verb) {
            ("", "get") => self.related(node, Kind::Pod, asked),
            ("", "list" | "watch") if selects(asked, node) => Ok(()),
            ("", "list" | "watch") if !asked.name.is_empty() => self.related(node, Kind::Pod, asked),
            ("", "list" | "watch") => refuse("can only list/watch pods with spec.nodeName field selector"),
            ("", "create" | "delete") | ("status", "update" | "patch") | ("eviction", "create") => Ok(()),
            _ => Err(Refusal::new()),
        }
    }
}

impl Authorizer for Node {
    fn decide(&self, attributes: &Attributes<'_>) -> Decision {
        let checked = match node_of_user(attributes.user, attributes.groups) {
            None => Err(Refusal::new()),
            Some("") => Err(format!("unknown node for user {}", go_quote(attributes.user))),
            Some(node) => self.check(node, attributes),
        };
        match checked {
            Ok(()) => Decision::allow(""),
            Err(why) => Decision::no_opinion(why),
        }
    }
}

fn refuse(why: &str) -> Result<(), Refusal> {
    Err(why.to_owned())
}

fn only(asked: &Attributes<'_>, verbs: &[&str], why: &str) -> Result<(), Refusal> {
    if verbs.contains(&asked.verb) {
        return Ok(());
    }
    refuse(why)
}

/// One object of a namespace, also by a list or watch of just that one.
fn read(asked: &Attributes<'_>) -> Result<(), Refusal> {
    only(asked, &["get", "list", "watch"], "can only read resources of this type")?;
    match (asked.subresource, asked.namespace) {
        ("", "") => refuse("can only read namespaced object of this type"),
        ("", _) => Ok(()),
        _ => refuse("cannot read subresource"),
    }
}

fn get(asked: &Attributes<'_>) -> Result<(), Refusal> {
    only(asked, &["get"], "can only get individual resources of this type")?;
    match asked.subresource {
        "" => Ok(()),
        _ => refuse("cannot get subresource"),
    }
}

/// The verbs for what has the name of its node.
const OWN: [&str; 5] = ["get", "create", "update", "patch", "delete"];

fn lease(node: &str, asked: &Attributes<'_>) -> Result<(), Refusal> {
    only(
        asked,
        &OWN,
        "can only get, create, update, patch, or delete a node lease",
    )?;
    if asked.namespace != LEASES {
        return Err(format!(
            "can only access leases in the {} system namespace",
            go_quote(LEASES)
        ));
    }
    own_name(
        node,
        asked,
        "can only access node lease with the same name as the requesting node",
    )
}

fn csi_node(node: &str, asked: &Attributes<'_>) -> Result<(), Refusal> {
    only(asked, &OWN, "can only get, create, update, patch, or delete a CSINode")?;
    if !asked.subresource.is_empty() {
        return refuse("cannot authorize CSINode subresources");
    }
    own_name(
        node,
        asked,
        "can only access CSINode with the same name as the requesting node",
    )
}

/// Names of new objects are not known yet; admission looks at them.
fn own_name(node: &str, asked: &Attributes<'_>, why: &str) -> Result<(), Refusal> {
    if asked.verb == "create" || asked.name == node {
        return Ok(());
    }
    refuse(why)
}

fn own_node(node: &str, asked: &Attributes<'_>) -> Result<(), Refusal> {
    match (asked.subresource, asked.verb) {
        ("", "create" | "update" | "patch") | ("status", "update" | "patch") => Ok(()),
        ("", "get" | "list" | "watch") => match asked.name {
            name if name == node => Ok(()),
            "" => Err(format!("node '{node}' cannot read all nodes, only its own Node object")),
            name => Err(format!("node '{node}' cannot read '{name}', only its own Node object")),
        },
        _ => Err(Refusal::new()),
    }
}

/// Whether only objects of the node are asked for.
fn selects(asked: &Attributes<'_>, node: &str) -> bool {
    let selector = Selector::parse(asked.field_selector).unwrap_or_default();
    let mut terms = selector.terms.iter();
    terms.any(|term| term.equals && term.path == "spec.nodeName" && term.value == node)
}

/// What leads to a pod. Nobody but its kubelet vouches for a mirror pod, so nothing does.
fn used_by(namespace: &str, pod: &Value) -> Vec<Vertex> {
    if meta::str_at(pod, &["metadata", "annotations", MIRROR]).is_some() {
        return Vec::new();
    }
    let of = |kind: Kind| move |name: &str| Vertex::new(kind, namespace, name);
    let account = meta::str_at(pod, &["spec", "serviceAccountName"]).filter(|name| !name.is_empty());
    let mut used: Vec<Vertex> = account.into_iter().map(of(Kind::ServiceAccount)).collect();
    used.extend(references::pod_secrets(pod).into_iter().map(of(Kind::Secret)));
    used.extend(references::pod_config_maps(pod).into_iter().map(of(Kind::ConfigMap)));
    let claims = references::pod_volume_claims(pod);
    used.extend(claims.iter().map(|name| Vertex::new(Kind::Claim, namespace, name)));
    let claims = references::pod_resource_claims(pod).into_iter();
    used.extend(claims.map(of(Kind::ResourceClaim)));
    used
}

#[cfg(test)]
mod tests;
