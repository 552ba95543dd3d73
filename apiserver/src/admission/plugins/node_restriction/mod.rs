//! NodeRestriction: kubelets write only what belongs to their own node (kubernetes
//! `plugin/pkg/admission/noderestriction`).

mod objects;

use crate::admission::{Attributes, Lookup, Operation, Plugin, Rights};
use futures::future::BoxFuture;
use machinery::field::go_quote;
use machinery::gvk::GroupResource;
use machinery::names::node_of_user;
use machinery::status::Status;
use machinery::{meta, references};
use objects::{common_name, driver, filled, forbidden_labels, is_set, labels, of_one_volume, used_by};
use serde_json::Value;
use std::sync::Arc;

pub(super) const NAME: &str = "NodeRestriction";

const MIRROR: &str = "kubernetes.io/config.mirror";
const LEASES: &str = "kube-node-lease";
/// Signers whose certificates kubelets ask for.
const KUBELET_SIGNERS: [&str; 2] = [
    "kubernetes.io/kubelet-serving",
    "kubernetes.io/kube-apiserver-client-kubelet",
];
#[derive(Default)]
pub(super) struct NodeRestriction {
    rights: Option<Arc<dyn Rights>>,
}

impl Plugin for NodeRestriction {
    fn name(&self) -> &'static str {
        NAME
    }

    fn inform(&mut self, rights: &Arc<dyn Rights>) {
        self.rights = Some(rights.clone());
    }

    fn admit<'a>(
        &'a self,
        lookup: &'a dyn Lookup,
        attributes: &'a mut Attributes<'_>,
        object: &'a mut Value,
    ) -> BoxFuture<'a, Result<(), Status>> {
        Box::pin(async move {
            if attributes.operation == Operation::Connect {
                return Ok(());
            }
            let Some(node) = node_of_user(attributes.user, attributes.groups) else {
                return Ok(());
            };
            let kubelet = Kubelet {
                node,
                lookup,
                attributes,
                object,
                rights: self.rights.as_deref(),
            };
            match kubelet.check().await {
                Ok(()) => Ok(()),
                Err(Refusal::Forbidden(why)) => Err(attributes.forbidden(object, why)),
                Err(Refusal::Other(status)) => Err(*status),
            }
        })
    }
}

/// Why not.
enum Refusal {
    Forbidden(String),
    Other(Box<Status>),
}

impl From<String> for Refusal {
    fn from(why: String) -> Self {
        Refusal::Forbidden(why)
    }
}

impl From<Status> for Refusal {
    fn from(status: Status) -> Self {
        Refusal::Other(Box::new(status))
    }
}

fn forbid(why: impl Into<String>) -> Result<(), Refusal> {
    Err(Refusal::Forbidden(why.into()))
}

/// A request of a kubelet.
struct Kubelet<'a> {
    node: &'a str,
    lookup: &'a dyn Lookup,
    attributes: &'a Attributes<'a>,
    object: &'a Value,
    rights: Option<&'a dyn Rights>,
}

fn node_of(pod: &Value) -> &str {
    meta::str_at(pod, &["spec", "nodeName"]).unwrap_or_default()
}

impl Kubelet<'_> {
    async fn check(&self) -> Result<(), Refusal> {
        let Attributes {
            resource, subresource, ..
        } = self.attributes;
        if self.node.is_empty() {
            let user = go_quote(self.attributes.user);
            return forbid(format!("could not determine node from user {user}"));
        }
        match (resource.group.as_str(), resource.resource.as_str(), *subresource) {
            ("", "pods", "") => self.pod().await,
            ("", "pods", "status") => self.pod_status(),
            ("", "pods", "eviction") => self.eviction().await,
            ("", "pods", other) => forbid(format!(
                "unexpected pod subresource {}, only 'status' and 'eviction' are allowed",
                go_quote(other)
            )),
            ("", "nodes", _) => self.own_node(),
            ("", "persistentvolumeclaims", "status") => self.claim_status(),
            ("", "persistentvolumeclaims", _) => forbid("may only update PVC status"),
            ("", "serviceaccounts", "token") => self.token().await,
            ("coordination.k8s.io", "leases", _) => self.lease(),
            ("storage.k8s.io", "csinodes", _) if self.named() != self.node => {
                forbid("can only access CSINode with the same name as the requesting node")
            }
            ("resource.k8s.io", "resourceslices", _) => self.slice(),
            ("certificates.k8s.io", "certificatesigningrequests", _) => self.signing_request(),
            _ => Ok(()),
        }
    }

    /// The name of the object, also when it is new.
    fn named(&self) -> &str {
        match self.attributes.operation {
            Operation::Create => meta::name(self.object),
            _ => self.attributes.name,
        }
    }

    fn unexpected(&self) -> Result<(), Refusal> {
        let operation = go_quote(self.attributes.operation.as_str());
        forbid(format!("unexpected operation {operation}"))
    }

    /// Reads an object from the cache; what is missing is reported by its singular name.
    async fn read(&self, resource: (&str, &str, &str), namespace: &str, name: &str) -> Result<Value, Status> {
        let (group, plural, singular) = resource;
        let found = self
            .lookup
            .get(&GroupResource::new(group, plural), namespace, name)
            .await?;
        found.ok_or_else(|| Status::not_found(&GroupResource::new(group, singular), name))
    }

    async fn existing_pod(&self, name: &str) -> Result<Value, Refusal> {
        let found = self.read(("", "pods", "pod"), self.attributes.namespace, name).await;
        Ok(found?)
    }

    async fn pod(&self) -> Result<(), Refusal> {
        let node = go_quote(self.node);
        match self.attributes.operation {
            Operation::Create => self.mirror_pod().await,
            Operation::Delete => {
                let pod = self.existing_pod(self.attributes.name).await?;
                if node_of(&pod) != self.node {
                    return forbid(format!(
                        "node {node} can only delete pods with spec.nodeName set to itself"
                    ));
                }
                Ok(())
            }
            operation => forbid(format!(
                "unexpected operation {}, node {node} can only create and delete mirror pods",
                go_quote(operation.as_str())
            )),
        }
    }

    async fn mirror_pod(&self) -> Result<(), Refusal> {
        let (node, pod) = (go_quote(self.node), self.object);
        if meta::at(pod, &["metadata", "annotations", MIRROR]).is_none() {
            return forbid(format!(
                "pod does not have \"{MIRROR}\" annotation, node {node} can only create mirror pods"
            ));
        }
        if node_of(pod) != self.node {
            return forbid(format!(
                "node {node} can only create pods with spec.nodeName set to itself"
            ));
        }
        let owner = match meta::list_at(pod, &["metadata", "ownerReferences"]) {
            [owner] => owner,
            [] => {
                return forbid(format!(
                    "node {node} can only create pods with an owner reference set to itself"
                ));
            }
            _ => {
                let why = format!("node {node} can only create pods with a single owner reference set to itself");
                return forbid(why);
            }
        };
        let text = |field: &str| meta::str_at(owner, &[field]).unwrap_or_default();
        if (text("apiVersion"), text("kind"), text("name")) != ("v1", "Node", self.node) {
            return forbid(format!(
                "node {node} can only create pods with an owner reference set to itself"
            ));
        }
        if meta::bool_at(owner, &["controller"]) != Some(true) {
            return forbid(format!(
                "node {node} can only create pods with a controller owner reference set to itself"
            ));
        }
        if meta::bool_at(owner, &["blockOwnerDeletion"]) == Some(true) {
            return forbid(format!(
                "node {node} must not set blockOwnerDeletion on an owner reference"
            ));
        }
        let own = self.read(("", "nodes", "node"), "", self.node).await;
        let own = own?;
        let (given, uid) = (text("uid"), meta::uid(&own));
        if given != uid {
            return forbid(format!("node {} UID mismatch: expected {given} got {uid}", self.node));
        }
        match used_by(pod).map_err(|why| format!("error checking mirror pod for API references: {why}"))? {
            Some(resource) => forbid(format!("node {node} can not create pods that reference {resource}")),
            None => Ok(()),
        }
    }

    fn pod_status(&self) -> Result<(), Refusal> {
        let node = go_quote(self.node);
        let Some(old) = self
            .attributes
            .old
            .filter(|_| self.attributes.operation == Operation::Update)
        else {
            return self.unexpected();
        };
        if node_of(old) != self.node {
            return forbid(format!(
                "node {node} can only update pod status for pods with spec.nodeName set to itself"
            ));
        }
        if labels(old) != labels(self.object) {
            return forbid(format!("node {node} cannot update labels through pod status"));
        }
        let differ = |field: &str| filled(old, &["status", field]) != filled(self.object, &["status", field]);
        if differ("resourceClaimStatuses") {
            return forbid(format!("node {node} cannot update resource claim statues"));
        }
        if differ("extendedResourceClaimStatus") {
            return forbid(format!("node {node} cannot update extended resource claim status"));
        }
        Ok(())
    }

    async fn eviction(&self) -> Result<(), Refusal> {
        if self.attributes.operation != Operation::Create {
            let operation = self.attributes.operation.as_str();
            return forbid(format!("unexpected operation {operation}"));
        }
        let name = match self.attributes.name {
            "" => meta::name(self.object),
            name => name,
        };
        if name.is_empty() {
            return forbid("could not determine pod from request data");
        }
        if node_of(&self.existing_pod(name).await?) != self.node {
            return forbid(format!(
                "node {} can only evict pods with spec.nodeName set to itself",
                self.node
            ));
        }
        Ok(())
    }

    /// Upstream appends a comparison of Go's structs to its refusal.
    fn claim_status(&self) -> Result<(), Refusal> {
        let Some(old) = self
            .attributes
            .old
            .filter(|_| self.attributes.operation == Operation::Update)
        else {
            return self.unexpected();
        };
        let rest = |claim: &Value| {
            let mut rest = claim.clone();
            for (part, fields) in [
                ("metadata", &["resourceVersion", "managedFields"][..]),
                (
                    "status",
                    &[
                        "capacity",
                        "conditions",
                        "allocatedResourceStatuses",
                        "allocatedResources",
                    ][..],
                ),
            ] {
                if let Some(part) = rest.get_mut(part).and_then(Value::as_object_mut) {
                    fields.iter().for_each(|field| drop(part.remove(*field)));
                }
            }
            rest
        };
        if rest(old) != rest(self.object) {
            return forbid(format!(
                "node {} is not allowed to update fields other than status.quantity and status.conditions",
                go_quote(self.node)
            ));
        }
        Ok(())
    }

    fn own_node(&self) -> Result<(), Refusal> {
        let (node, name) = (go_quote(self.node), self.attributes.name);
        if name != self.node {
            return forbid(format!("node {node} is not allowed to modify node {}", go_quote(name)));
        }
        let source = |node| filled(node, &["spec", "configSource"]);
        match (self.attributes.operation, self.attributes.old) {
            (Operation::Create, _) => {
                if source(self.object).is_some() {
                    return forbid(format!(
                        "node {node} is not allowed to create pods with a non-nil configSource"
                    ));
                }
                match forbidden_labels(None, labels(self.object)) {
                    Some(list) => forbid(format!(
                        "node {node} is not allowed to set the following labels: {list}"
                    )),
                    None => Ok(()),
                }
            }
            (Operation::Update, Some(old)) => {
                if source(self.object).is_some() && source(self.object) != source(old) {
                    return forbid(format!(
                        "node {node} is not allowed to update configSource to a new non-nil configSource"
                    ));
                }
                let differ = |path: &[&str]| filled(old, path) != filled(self.object, path);
                if differ(&["spec", "taints"]) {
                    return forbid(format!("node {node} is not allowed to modify taints"));
                }
                if differ(&["metadata", "ownerReferences"]) {
                    return forbid(format!("node {node} is not allowed to modify ownerReferences"));
                }
                match forbidden_labels(labels(old), labels(self.object)) {
                    Some(list) => forbid(format!("is not allowed to modify labels: {list}")),
                    None => Ok(()),
                }
            }
            _ => Ok(()),
        }
    }

    async fn token(&self) -> Result<(), Refusal> {
        if self.attributes.operation != Operation::Create {
            return Ok(());
        }
        let reference = |field: &str| meta::str_at(self.object, &["spec", "boundObjectRef", field]).unwrap_or_default();
        let (name, uid) = (reference("name"), reference("uid"));
        if (reference("apiVersion"), reference("kind")) != ("v1", "Pod") || name.is_empty() {
            return forbid("node requested token not bound to a pod");
        }
        if uid.is_empty() {
            return forbid("node requested token with a pod binding without a uid");
        }
        let pod = self.existing_pod(name).await?;
        if uid != meta::uid(&pod) {
            return forbid(format!(
                "the UID in the bound object reference ({uid}) does not match the UID in record. The object might have been deleted and then recreated"
            ));
        }
        if node_of(&pod) != self.node {
            return forbid("node requested token bound to a pod scheduled on a different node");
        }
        let audience = match meta::list_at(self.object, &["spec", "audiences"]) {
            [] => "",
            [audience] => audience.as_str().unwrap_or_default(),
            _ => return forbid("node may only request 0 or 1 audiences"),
        };
        let quoted = go_quote(audience);
        if self
            .uses_audience(&pod, audience)
            .await
            .map_err(|why| format!("error validating audience {quoted}: {why}"))?
        {
            return Ok(());
        }
        let question = cel::Question {
            verb: "request-serviceaccounts-token-audience".to_owned(),
            resource: audience.to_owned(),
            namespace: self.attributes.namespace.to_owned(),
            name: self.attributes.name.to_owned(),
            ..cel::Question::default()
        };
        let Attributes { user, groups, .. } = self.attributes;
        if self.rights.is_some_and(|rights| rights.may(user, groups, &question)) {
            return Ok(());
        }
        forbid(format!(
            "audience {quoted} not found in pod spec volume, {user} is not authorized to request tokens for this audience"
        ))
    }

    /// Whether a volume of a pod hands out tokens for an audience, by itself or through its driver.
    async fn uses_audience(&self, pod: &Value, audience: &str) -> Result<bool, String> {
        let mut errors = Vec::new();
        for volume in meta::list_at(pod, &["spec", "volumes"]) {
            let projected = meta::list_at(volume, &["projected", "sources"]).iter();
            let mut tokens = projected.filter(|source| is_set(source, "serviceAccountToken"));
            let audience_of = |source: &Value| {
                let text = meta::str_at(source, &["serviceAccountToken", "audience"]);
                text.unwrap_or_default() == audience
            };
            if tokens.any(audience_of) {
                return Ok(true);
            }
            match self.driver_hands_out(pod, volume, audience).await {
                Ok(true) => return Ok(true),
                Ok(false) => {}
                Err(status) => errors.push(status.message),
            }
        }
        match errors.as_slice() {
            [] => Ok(false),
            [error] => Err(error.clone()),
            _ => Err(format!("[{}]", errors.join(", "))),
        }
    }

    async fn driver_hands_out(&self, pod: &Value, volume: &Value, audience: &str) -> Result<bool, Status> {
        let claims = references::pod_volume_claims(&of_one_volume(pod, volume));
        let driver = match claims.first() {
            Some(claim) => self.driver_of_claim(meta::namespace(pod), claim).await?,
            None => driver(volume),
        };
        if driver.is_empty() {
            return Ok(false);
        }
        let driver = self
            .read(("storage.k8s.io", "csidrivers", "csidriver"), "", &driver)
            .await?;
        let requests = meta::list_at(&driver, &["spec", "tokenRequests"]);
        Ok(requests.iter().any(|request| request["audience"] == audience))
    }

    async fn driver_of_claim(&self, namespace: &str, name: &str) -> Result<String, Status> {
        let claims = ("", "persistentvolumeclaims", "persistentvolumeclaim");
        let claim = self.read(claims, namespace, name).await?;
        let name = meta::str_at(&claim, &["spec", "volumeName"]).unwrap_or_default();
        let volumes = ("", "persistentvolumes", "persistentvolume");
        let volume = self.read(volumes, "", name).await?;
        Ok(volume.get("spec").map(driver).unwrap_or_default())
    }

    fn lease(&self) -> Result<(), Refusal> {
        if self.attributes.namespace != LEASES {
            return forbid(format!("can only access leases in the \"{LEASES}\" system namespace"));
        }
        if self.named() != self.node {
            return forbid("can only access node lease with the same name as the requesting node");
        }
        Ok(())
    }

    fn slice(&self) -> Result<(), Refusal> {
        let own = |slice: &Value| node_of(slice) == self.node;
        match (self.attributes.operation, self.attributes.old) {
            (Operation::Create, _) if !own(self.object) => {
                forbid("can only create ResourceSlice with the same NodeName as the requesting node")
            }
            (Operation::Delete, Some(old)) if !own(old) => {
                forbid("can only delete ResourceSlice with the same NodeName as the requesting node")
            }
            _ => Ok(()),
        }
    }

    fn signing_request(&self) -> Result<(), Refusal> {
        let signer = meta::str_at(self.object, &["spec", "signerName"]).unwrap_or_default();
        if self.attributes.operation != Operation::Create || !KUBELET_SIGNERS.contains(&signer) {
            return Ok(());
        }
        let request = meta::str_at(self.object, &["spec", "request"]).unwrap_or_default();
        let name = common_name(request).map_err(|why| format!("unable to parse csr: {why}"))?;
        let wanted = format!("system:node:{}", self.node);
        if name != wanted {
            return forbid(format!("can only create a node CSR with CN={wanted}"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
