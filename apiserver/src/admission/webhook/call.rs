//! One call of one webhook.

use super::matching::Invocation;
use super::metrics::Kind;
use super::response::{self, Response};
use super::{Webhooks, review};
use crate::admission::equivalent::Versioned;
use crate::admission::{Attributes, Operation};
use crate::webhook::CallError;
use machinery::field::go_quote;
use machinery::status::Status;
use std::time::Instant;

/// Why a webhook stands in the way of a write.
#[derive(Debug)]
pub(super) enum Failure {
    /// It could not be asked, which its failure policy decides about.
    Call {
        /// What went wrong.
        why: String,
        /// The HTTP status that stands for it.
        code: u16,
    },
    /// It refused.
    Denied(Box<Status>),
    /// It is not allowed to do what it did, or not asked at all.
    Refused(Box<Status>),
}

impl Failure {
    pub(super) fn call(why: String, code: u16) -> Self {
        Failure::Call { why, code }
    }

    /// What the client is told, unless the failure is passed over.
    pub(super) fn into_status(self, hook: &str) -> Status {
        match self {
            Failure::Call { why, .. } => Status::internal(format!("failed calling webhook {}: {why}", go_quote(hook))),
            Failure::Denied(status) | Failure::Refused(status) => *status,
        }
    }
}

impl Webhooks {
    /// Asks a webhook about a write.
    pub(super) async fn ask(
        &self,
        kind: Kind,
        invocation: &Invocation,
        attributes: &Attributes<'_>,
        versions: &Versioned,
    ) -> Result<Response, Failure> {
        let Invocation { hook, target } = invocation;
        if attributes.dry_run && !matches!(hook.side_effects.as_str(), "None" | "NoneOnDryRun") {
            if hook.side_effects.is_empty() {
                return Err(Failure::call("Webhook SideEffects is nil".to_owned(), 400));
            }
            let why = format!("admission webhook {} does not support dry run", go_quote(&hook.name));
            return Err(Failure::Refused(Box::new(Status::bad_request(why))));
        }
        let version = review::version(&hook.versions).ok_or_else(|| {
            let why = "webhook does not accept known AdmissionReview versions (v1, v1beta1)";
            Failure::call(format!("could not create admission objects: {why}"), 400)
        })?;
        let uid = uuid::Uuid::new_v4().to_string();
        let body = review::of(&uid, version, attributes, target, versions).to_string();
        let answered = self.client(kind).call(&hook.client, hook.timeout, body).await;
        let answered = answered.map_err(|error| {
            let phase = match &error {
                CallError::Config(_) => "could not get REST client",
                CallError::Failed(_) | CallError::Refused(_) => "failed to call webhook",
            };
            Failure::call(format!("{phase}: {error}"), error.code())
        })?;
        response::read(&answered, version, &uid, kind == Kind::Mutating)
    }

    /// Counts how a call ended, and logs one that is passed over. Answers the failure that stands.
    pub(super) fn account<T>(
        &self,
        kind: Kind,
        invocation: &Invocation,
        operation: Operation,
        since: Instant,
        outcome: Result<T, Failure>,
    ) -> Result<Option<T>, Status> {
        let hook = &invocation.hook;
        let calls = self.metrics.of(kind, &hook.name, operation);
        let failure = match outcome {
            Ok(done) => {
                calls.ended(since.elapsed(), 200, false);
                return Ok(Some(done));
            }
            Err(failure) => failure,
        };
        let passed_over = matches!(failure, Failure::Call { .. }) && !hook.fails;
        let (code, error_type) = match &failure {
            Failure::Call { code, .. } => (*code, "calling_webhook_error"),
            Failure::Denied(status) => (status.code, "no_error"),
            Failure::Refused(_) => (0, "apiserver_internal_error"),
        };
        calls.ended(since.elapsed(), code, !passed_over);
        let (webhook, status) = (hook.name.as_str(), failure.into_status(&hook.name));
        if passed_over {
            calls.passed_over();
            tracing::warn!(
                webhook,
                error = status.message,
                "a webhook cannot be called, which it allows"
            );
            return Ok(None);
        }
        calls.refused(code, error_type);
        tracing::info!(webhook, error = status.message, "a webhook refuses a request");
        Err(status)
    }
}
