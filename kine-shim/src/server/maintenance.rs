//! Service Maintenance.

use bytes::Bytes;
use proto::etcdserverpb::{
    AlarmMember, AlarmRequest, AlarmResponse, AlarmType, DefragmentRequest, DefragmentResponse, DowngradeInfo,
    DowngradeRequest, DowngradeResponse, HashKvRequest, HashKvResponse, HashRequest, HashResponse, MoveLeaderRequest,
    MoveLeaderResponse, SnapshotRequest, SnapshotResponse, StatusRequest, StatusResponse, alarm_request::AlarmAction,
    downgrade_request::DowngradeAction, maintenance_server::Maintenance,
};
use sha2::{Digest, Sha256};
use tokio::{fs::File, io::AsyncReadExt};
use tonic::{Request, Response, Status, async_trait};

use super::{
    Services,
    outbox::{Answers, Outbox, Unsent, outbox},
};
use crate::{error::Error, store::alarm};

/// Bytes of a snapshot in one message.
const SNAPSHOT_CHUNK: usize = 32 << 10;

/// The alarms there are, in the order of their numbers.
const ALARMS: [AlarmType; 2] = [AlarmType::Nospace, AlarmType::Corrupt];

impl Services {
    fn alarms(&self, bits: i64) -> Vec<AlarmMember> {
        let member_id = self.store.header(0).member_id;
        let on = ALARMS.into_iter().filter(|alarm| bits & alarm::bit(*alarm) != 0);
        on.map(|alarm| AlarmMember {
            member_id,
            alarm: alarm.into(),
        })
        .collect()
    }
}

#[async_trait]
impl Maintenance for Services {
    async fn alarm(&self, request: Request<AlarmRequest>) -> Result<Response<AlarmResponse>, Status> {
        let request = request.into_inner();
        let before = self.store.alarms();
        let ours = request.member_id == 0 || request.member_id == self.store.header(0).member_id;
        let (bits, revision) = match request.action() {
            AlarmAction::Get => {
                // Asking for NONE lists every alarm.
                let asked = alarm::bit(request.alarm());
                (if asked == 0 { before } else { before & asked }, self.store.revision())
            }
            action if ours => {
                let on = action == AlarmAction::Activate;
                let asked = alarm::bit(request.alarm());
                let revision = self.store.set_alarms(asked, on).await?;
                (if on { asked } else { before & asked }, revision)
            }
            _ => (0, self.store.revision()),
        };
        Ok(Response::new(AlarmResponse {
            header: Some(self.store.header(revision)),
            alarms: self.alarms(bits),
        }))
    }

    async fn status(&self, _: Request<StatusRequest>) -> Result<Response<StatusResponse>, Status> {
        let size = self.store.size().await?;
        let header = self.store.header(self.store.revision());
        let index = u64::try_from(header.revision).unwrap_or(0);
        let alarms = self.alarms(self.store.alarms());
        let error = |alarm: AlarmMember| format!("memberID:{} alarm:{} ", alarm.member_id, alarm.alarm().as_str_name());
        Ok(Response::new(StatusResponse {
            header: Some(header),
            version: self.settings.version.clone(),
            db_size: size.total,
            leader: header.member_id,
            // There is no log of requests but the revisions.
            raft_index: index,
            raft_term: header.raft_term,
            raft_applied_index: index,
            errors: alarms.into_iter().map(error).collect(),
            db_size_in_use: size.used,
            is_learner: false,
            storage_version: self.settings.storage_version(),
            db_size_quota: self.settings.limits.quota_backend_bytes,
            downgrade_info: Some(DowngradeInfo::default()),
        }))
    }

    async fn defragment(&self, _: Request<DefragmentRequest>) -> Result<Response<DefragmentResponse>, Status> {
        self.store.defragment().await?;
        Ok(Response::new(DefragmentResponse { header: None }))
    }

    async fn hash(&self, _: Request<HashRequest>) -> Result<Response<HashResponse>, Status> {
        let (hash, revision) = self.store.hash().await?;
        Ok(Response::new(HashResponse {
            header: Some(self.store.header(revision)),
            hash,
        }))
    }

    async fn hash_kv(&self, request: Request<HashKvRequest>) -> Result<Response<HashKvResponse>, Status> {
        let hash = self.store.hash_kv(request.into_inner().revision).await?;
        Ok(Response::new(HashKvResponse {
            header: Some(self.store.header(hash.revision)),
            hash: hash.hash,
            compact_revision: hash.compact_revision,
            hash_revision: hash.hash_revision,
        }))
    }

    type SnapshotStream = Answers<SnapshotResponse>;

    /// Sends the SQLite file, followed by its SHA-256 sum as etcd does with its own.
    async fn snapshot(&self, _: Request<SnapshotRequest>) -> Result<Response<Self::SnapshotStream>, Status> {
        let snapshot = self.store.snapshot().await?;
        let (messages, answers) = outbox(self.settings.limits.slow_watcher_timeout);
        let version = self.settings.storage_version();
        self.tasks.spawn_finite("snapshot", async move {
            match send_snapshot(File::from_std(snapshot), &messages, &version).await {
                Ok(()) | Err(Interrupted::By(Unsent::Gone)) => {}
                Err(Interrupted::By(Unsent::Stalled)) => {
                    tracing::warn!("a snapshot was given up: its client does not read it");
                    messages.end(Status::aborted("the snapshot was left unread for too long"));
                }
                Err(Interrupted::Unreadable(error)) => {
                    tracing::error!(%error, "a snapshot was not sent");
                    messages.end(Error::Unhealthy.into());
                }
            }
        });
        Ok(Response::new(answers))
    }

    async fn move_leader(&self, request: Request<MoveLeaderRequest>) -> Result<Response<MoveLeaderResponse>, Status> {
        if request.get_ref().target_id == self.store.header(0).member_id {
            return Ok(Response::new(MoveLeaderResponse { header: None }));
        }
        Err(Error::BadLeaderTransferee.into())
    }

    /// Answers as an etcd that has no version to go back to.
    async fn downgrade(&self, request: Request<DowngradeRequest>) -> Result<Response<DowngradeResponse>, Status> {
        let request = request.get_ref();
        Err(match request.action() {
            DowngradeAction::Cancel => Error::NoDowngrade,
            DowngradeAction::Validate | DowngradeAction::Enable if is_version(&request.version) => {
                Error::InvalidDowngradeTarget
            }
            DowngradeAction::Validate | DowngradeAction::Enable => Error::WrongDowngradeFormat,
        }
        .into())
    }
}

/// Whether it is a version as etcd takes it for a target, `3.5` or `3.5.0`.
fn is_version(text: &str) -> bool {
    let numbers: Vec<_> = text.split('.').map(str::parse::<u32>).collect();
    (2..=3).contains(&numbers.len()) && numbers.iter().all(Result::is_ok)
}

/// Why a snapshot was not sent to its end.
enum Interrupted {
    By(Unsent),
    Unreadable(std::io::Error),
}

async fn send_snapshot(mut file: File, messages: &Outbox<SnapshotResponse>, version: &str) -> Result<(), Interrupted> {
    let message = |remaining_bytes: u64, blob: Bytes| SnapshotResponse {
        header: None,
        remaining_bytes,
        blob,
        version: version.to_owned(),
    };
    let mut remaining = file.metadata().await.map_err(Interrupted::Unreadable)?.len();
    let mut sum = Sha256::new();
    let mut buffer = vec![0; SNAPSHOT_CHUNK];
    loop {
        let read = file.read(&mut buffer).await.map_err(Interrupted::Unreadable)?;
        if read == 0 {
            break;
        }
        let chunk = &buffer[..read];
        sum.update(chunk);
        remaining = remaining.saturating_sub(u64::try_from(read).unwrap_or(u64::MAX));
        let part = message(remaining, Bytes::copy_from_slice(chunk));
        messages.send(part).await.map_err(Interrupted::By)?;
    }
    let sum = message(0, Bytes::copy_from_slice(&sum.finalize()));
    messages.send(sum).await.map_err(Interrupted::By)
}
