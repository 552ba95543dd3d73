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

fn single() -> Status {
    Status::unimplemented("the store has one member and cannot change its membership")
}

#[async_trait]
impl Cluster for Services {
    async fn member_add(&self, _: Request<MemberAddRequest>) -> Result<Response<MemberAddResponse>, Status> {
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
        let header = Some(self.store.header(self.store.revision()));
        Ok(Response::new(MemberListResponse {
            header,
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
