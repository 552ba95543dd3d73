//! What belongs to nodes: the authorizer of kubelets is told of it.

use super::{Controller, Feed, Kind, Seen};
use crate::authorization::node::{Node, graph};
use crate::endpoints::api::Api;
use machinery::status::Status;
use std::sync::Arc;

const PODS: Kind = ("", "pods");
const VOLUMES: Kind = ("", "persistentvolumes");
const ATTACHMENTS: Kind = ("storage.k8s.io", "volumeattachments");
const SLICES: Kind = ("resource.k8s.io", "resourceslices");

pub(super) struct NodeObjects(Arc<Node>);

impl NodeObjects {
    /// Begins with nothing: what ended while nobody was looking must allow nothing.
    pub(super) fn new(node: Arc<Node>) -> Self {
        node.clear();
        NodeObjects(node)
    }
}

impl Controller for NodeObjects {
    const NAME: &'static str = "node-objects";
    const FOLLOWS: &'static [Kind] = &[PODS, VOLUMES, ATTACHMENTS, SLICES];

    async fn see(&mut self, api: &Api, _feed: &mut Feed, seen: Seen) -> Result<(), Status> {
        let index = &seen.object.index;
        // Most pods are seen often before they are somewhere.
        let unplaced = seen.kind == PODS && index.field("spec.nodeName").is_some_and(str::is_empty);
        let object = if seen.gone || unplaced {
            None
        } else {
            Some(seen.decode(api)?)
        };
        let (namespace, name, object) = (&index.namespace, &index.name, object.as_ref());
        match seen.kind {
            PODS => self.0.set_pod(namespace, name, object),
            VOLUMES => self.0.set_volume(name, object),
            ATTACHMENTS => self.0.set_of_node(graph::Kind::VolumeAttachment, name, object),
            _ => self.0.set_of_node(graph::Kind::ResourceSlice, name, object),
        }
        Ok(())
    }
}
