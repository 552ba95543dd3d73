//! The TTL-after-finished controller: deletes jobs some time after they finished (`pkg/controller/ttlafterfinished`).

use std::sync::Arc;
use std::time::Duration;

use client::{Change, Informer, ObjectKey, WorkQueue};
use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use kube::api::DeleteParams;
use kube::{Api, Client};
use tracing::info;

use crate::common::{conditions, deletion};
use crate::context::{Context, Task};
use crate::error::{During, Result, ignore_not_found};
use crate::workers::{Reconcile, run};

const NAME: &str = "ttl-after-finished-controller";

struct Controller {
    client: Client,
    jobs: Informer<Job>,
    queue: WorkQueue<ObjectKey>,
}

pub(crate) fn start(context: &Arc<Context>) -> Task {
    let controller = Arc::new(Controller {
        client: context.client.clone(),
        jobs: context.informers.jobs(),
        queue: WorkQueue::new(),
    });
    let queue = controller.queue.clone();
    controller.jobs.on_change(move |change| {
        let job = change.object();
        if !matches!(change, Change::Deleted(_)) && expires_in(job, Timestamp::now()).is_some() {
            queue.add(ObjectKey::of(&job.metadata));
        }
    });
    run(NAME, context, 1, controller)
}

/// How long the job is still kept; nothing when it has not finished or is kept for ever.
fn expires_in(job: &Job, now: Timestamp) -> Option<Duration> {
    let ttl = job.spec.as_ref()?.ttl_seconds_after_finished?;
    if job.metadata.deletion_timestamp.is_some() {
        return None;
    }
    let conditions = &job.status.as_ref()?.conditions;
    let ended = ["Complete", "Failed"]
        .into_iter()
        .find_map(|kind| conditions::find(conditions, kind).filter(|condition| condition.status == "True"))?;
    let since = ended.last_transition_time.as_ref()?.0;
    let end = since
        .as_millisecond()
        .saturating_add(i64::from(ttl).saturating_mul(1000));
    Some(Duration::from_millis(
        u64::try_from(end - now.as_millisecond()).unwrap_or(0),
    ))
}

impl Reconcile for Controller {
    fn queue(&self) -> &WorkQueue<ObjectKey> {
        &self.queue
    }

    async fn sync(&self, key: ObjectKey) -> Result {
        let Some(wait) = self.jobs.get(&key).and_then(|job| expires_in(&job, Timestamp::now())) else {
            return Ok(());
        };
        if !wait.is_zero() {
            self.queue.add_after(key, wait);
            return Ok(());
        }
        // The TTL may have been raised a moment ago: what counts is the API server's word.
        let api: Api<Job> = Api::namespaced(self.client.clone(), &key.namespace);
        let Some(job) = api
            .get_opt(&key.name)
            .await
            .during(format_args!("looking at job {key}"))?
        else {
            return Ok(());
        };
        match expires_in(&job, Timestamp::now()) {
            None => Ok(()),
            Some(wait) if !wait.is_zero() => {
                self.queue.add_after(key, wait);
                Ok(())
            }
            Some(_) => {
                info!(job = %key, "its time after finishing is over: deleting");
                let params = deletion::only(&job.metadata, DeleteParams::foreground());
                ignore_not_found(api.delete(&key.name, &params).await).during(format_args!("deleting job {key}"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn when_a_job_expires() {
        let now: Timestamp = "2026-01-01T00:01:00Z".parse().unwrap();
        let job = |ttl: Value, kind: &str, status: &str| -> Job {
            serde_json::from_value(json!({
                "metadata": {},
                "spec": { "ttlSecondsAfterFinished": ttl, "template": {} },
                "status": { "conditions": [{ "type": kind, "status": status, "lastTransitionTime": "2026-01-01T00:00:00Z" }] },
            }))
            .unwrap()
        };
        let table = [
            (job(json!(100), "Complete", "True"), Some(40)),
            (job(json!(100), "Failed", "True"), Some(40)),
            (job(json!(10), "Complete", "True"), Some(0)),
            (job(Value::Null, "Complete", "True"), None),
            (job(json!(10), "Complete", "False"), None),
            (job(json!(10), "SuccessCriteriaMet", "True"), None),
        ];
        for (job, seconds) in table {
            assert_eq!(expires_in(&job, now), seconds.map(Duration::from_secs), "{job:?}");
        }
    }
}
