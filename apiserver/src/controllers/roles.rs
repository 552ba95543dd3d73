//! Roles and bindings: the authorizer is told of them.

use super::{Controller, Feed, Kind, Seen};
use crate::authorization::rbac::{GROUP, Rbac};
use crate::endpoints::api::Api;
use machinery::status::Status;
use std::sync::Arc;

const ROLES: [Kind; 2] = [(GROUP, "clusterroles"), (GROUP, "roles")];
const BINDINGS: [Kind; 2] = [(GROUP, "clusterrolebindings"), (GROUP, "rolebindings")];

pub(super) struct Roles(Arc<Rbac>);

impl Roles {
    /// Begins with nothing: what ended while nobody was looking must allow nothing.
    pub(super) fn new(rbac: Arc<Rbac>) -> Self {
        rbac.clear();
        Roles(rbac)
    }
}

impl Controller for Roles {
    const NAME: &'static str = "roles";
    const FOLLOWS: &'static [Kind] = &[ROLES[0], ROLES[1], BINDINGS[0], BINDINGS[1]];

    async fn see(&mut self, api: &Api, _feed: &mut Feed, seen: Seen) -> Result<(), Status> {
        let object = if seen.gone { None } else { Some(seen.decode(api)?) };
        let (namespace, name) = (&seen.object.index.namespace, &seen.object.index.name);
        if ROLES.contains(&seen.kind) {
            self.0.set_role(namespace, name, object.as_ref());
        } else {
            self.0.set_binding(namespace, name, object.as_ref());
        }
        Ok(())
    }
}
