//! Service Cluster: one member, which stays the only one.

use proto::etcdserverpb::{
    Member, MemberAddRequest, MemberAddResponse, MemberListRequest, MemberListResponse, MemberPromoteRequest,
    MemberPromoteResponse, MemberRemoveRequest, MemberRemoveResponse, MemberUpdateRequest, MemberUpdateResponse,
    cluster_server::Cluster,
};
use tonic::{Request, Response, Status, async_trait};

use super::Services;
use crate::error::Error;

impl Services {
    fn member_id(&self) -> u64 {
        self.store.header(0).member_id
    }

    /// Refuses what is asked of a member there is not; `known` is the answer for the one there is.
    fn refuse_member(&self, id: u64, known: Status) -> Status {
        if id == self.member_id() {
            known
        } else {
            Error::MemberNotFound.into()
        }
    }
}

/// Whether etcd takes it for the address of a peer (`client/pkg/types/urls.go`).
fn is_peer_url(url: &str) -> bool {
    match url.trim().split_once("://") {
        Some(("unix" | "unixs", _)) => true,
        Some(("http" | "https", host)) => {
            let host_and_port = host.rsplit_once(':');
            !host.contains('/') && host_and_port.is_some_and(|(_, port)| port.chars().all(|c| c.is_ascii_digit()))
        }
        _ => false,
    }
}

fn single() -> Status {
    Status::unimplemented("the store has one member and cannot change its membership")
}

#[async_trait]
impl Cluster for Services {
    async fn member_add(&self, request: Request<MemberAddRequest>) -> Result<Response<MemberAddResponse>, Status> {
        let urls = &request.get_ref().peer_ur_ls;
        if urls.is_empty() || !urls.iter().all(|url| is_peer_url(url)) {
            return Err(Error::MemberBadUrls.into());
        }
        Err(single())
    }

    async fn member_remove(
        &self,
        request: Request<MemberRemoveRequest>,
    ) -> Result<Response<MemberRemoveResponse>, Status> {
        Err(self.refuse_member(request.get_ref().id, single()))
    }

    async fn member_update(
        &self,
        request: Request<MemberUpdateRequest>,
    ) -> Result<Response<MemberUpdateResponse>, Status> {
        Err(self.refuse_member(request.get_ref().id, single()))
    }

    async fn member_list(&self, _: Request<MemberListRequest>) -> Result<Response<MemberListResponse>, Status> {
        let member = Member {
            id: self.member_id(),
            name: "default".into(),
            peer_ur_ls: Vec::new(),
            client_ur_ls: self.settings.client_urls.clone(),
            is_learner: false,
        };
        Ok(Response::new(MemberListResponse {
            // Membership has no revision.
            header: Some(self.store.header(0)),
            members: vec![member],
        }))
    }

    async fn member_promote(
        &self,
        request: Request<MemberPromoteRequest>,
    ) -> Result<Response<MemberPromoteResponse>, Status> {
        Err(self.refuse_member(request.get_ref().id, Error::MemberNotLearner.into()))
    }
}
