//! The ConfigMap by which servers behind APIServices know this one: whoever removes or changes it, it is there again
//! (kubernetes `pkg/controlplane/controller/clusterauthenticationtrust`).

use super::{Controller, Feed, Kind, Seen};
use crate::bootstrap::ClusterTrust;
use crate::endpoints::api::Api;
use machinery::status::Status;

pub(super) struct Published(pub(super) ClusterTrust);

impl Controller for Published {
    const NAME: &'static str = "cluster-trust";
    const FOLLOWS: &'static [Kind] = &[("", "configmaps")];

    async fn see(&mut self, api: &Api, _: &mut Feed, seen: Seen) -> Result<(), Status> {
        let index = &seen.object.index;
        if ClusterTrust::is_published_as(&index.namespace, &index.name) {
            self.0.ensure(api).await?;
        }
        Ok(())
    }
}
