//! Logs failures on their way back.

use crate::request::{Handler, Next, Request, Served};

#[derive(Debug)]
pub(super) struct Errors;

impl Handler for Errors {
    fn name(&self) -> &'static str {
        "errors"
    }

    fn serve<'a>(&'a self, request: &'a Request, next: Next<'a>) -> Served<'a> {
        Box::pin(async move {
            let outcome = next.run(request).await;
            if let Err(failure) = &outcome {
                let (name, kind) = (request.name(), request.kind());
                tracing::error!(%name, %kind, code = %failure.code, error = %failure, "query failed");
            }
            outcome
        })
    }
}
