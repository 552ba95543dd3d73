//! Service Election: whoever is first in a queue is the leader (etcd: `server/etcdserver/api/v3election`).

use proto::v3electionpb::{
    CampaignRequest, CampaignResponse, LeaderKey, LeaderRequest, LeaderResponse, ProclaimRequest, ProclaimResponse,
    ResignRequest, ResignResponse, election_server::Election,
};
use tonic::{Request, Response, Status, async_trait};

use super::{
    Services,
    outbox::{Answers, Outbox, Unsent, outbox},
    queue::{Place, Queue, told},
};
use crate::error::Error;

/// The place a client says it has.
fn place(leader: Option<LeaderKey>) -> Result<Place, Status> {
    let LeaderKey { key, rev, lease, .. } =
        leader.ok_or_else(|| Status::unknown("\"leader\" field must be provided"))?;
    Ok(Place {
        key,
        revision: rev,
        lease,
    })
}

fn not_leader() -> Status {
    Status::unknown("election: not leader")
}

#[async_trait]
impl Election for Services {
    async fn campaign(&self, request: Request<CampaignRequest>) -> Result<Response<CampaignResponse>, Status> {
        let CampaignRequest { name, lease, value } = request.into_inner();
        let queue = Queue::new(&name);
        let lease = self.lease_for_queue(lease).await.map_err(told)?;
        let (waiting, place, header, said) = self.line_up(&queue, lease, &value).await.map_err(told)?;
        if said != value && self.announce(&place, &value).await.map_err(told)?.is_none() {
            return Err(not_leader());
        }
        self.wait_for_turn(&queue, place.revision).await.map_err(told)?;
        waiting.keep();
        Ok(Response::new(CampaignResponse {
            header: Some(header),
            leader: Some(LeaderKey {
                name,
                key: place.key,
                rev: place.revision,
                lease: place.lease,
            }),
        }))
    }

    async fn proclaim(&self, request: Request<ProclaimRequest>) -> Result<Response<ProclaimResponse>, Status> {
        let ProclaimRequest { leader, value } = request.into_inner();
        let header = self.announce(&place(leader)?, &value).await.map_err(told)?;
        header
            .ok_or_else(not_leader)
            .map(|header| Response::new(ProclaimResponse { header: Some(header) }))
    }

    async fn leader(&self, request: Request<LeaderRequest>) -> Result<Response<LeaderResponse>, Status> {
        let queue = Queue::new(&request.into_inner().name);
        let (kv, header) = self
            .head(&queue)
            .await
            .map_err(told)?
            .ok_or_else(|| Status::unknown("election: no leader"))?;
        Ok(Response::new(LeaderResponse {
            header: Some(header),
            kv: Some(kv),
        }))
    }

    type ObserveStream = Answers<LeaderResponse>;

    async fn observe(&self, request: Request<LeaderRequest>) -> Result<Response<Self::ObserveStream>, Status> {
        let queue = Queue::new(&request.into_inner().name);
        let (leaders, answers) = outbox(self.settings.limits.slow_watcher_timeout);
        let (services, shutdown) = (self.clone(), self.tasks.shutdown());
        self.tasks.spawn_finite("election", async move {
            let ended = tokio::select! {
                () = leaders.closed() => None,
                () = shutdown.cancelled() => Some(Error::Stopped.into()),
                ended = services.tell_leaders(&queue, &leaders) => ended,
            };
            if let Some(status) = ended {
                leaders.end(status);
            }
        });
        Ok(Response::new(answers))
    }

    async fn resign(&self, request: Request<ResignRequest>) -> Result<Response<ResignResponse>, Status> {
        let header = self.leave(&place(request.into_inner().leader)?).await.map_err(told)?;
        Ok(Response::new(ResignResponse { header }))
    }
}

impl Services {
    /// Sends every new leader, and every change of what it says, though not each of several in a moment. Returns why that
    /// ends, `None` when the client has gone.
    async fn tell_leaders(&self, queue: &Queue, leaders: &Outbox<LeaderResponse>) -> Option<Status> {
        let mut last = 0;
        loop {
            let (_watcher, changed) = self.watch_queue(queue.range());
            match self.head(queue).await {
                Ok(Some((kv, header))) if kv.mod_revision != last => {
                    last = kv.mod_revision;
                    let leader = LeaderResponse {
                        header: Some(header),
                        kv: Some(kv),
                    };
                    match leaders.send(leader).await {
                        Ok(()) => {}
                        Err(Unsent::Gone) => return None,
                        Err(Unsent::Stalled) => {
                            return Some(Status::unavailable("leaders were left unread for too long"));
                        }
                    }
                }
                Ok(_) => {}
                Err(error) => return Some(told(error)),
            }
            changed.notified().await;
        }
    }
}
