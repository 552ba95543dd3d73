//! The bodies of answers, whole or not.

use bytes::Bytes;
use futures::stream;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};

use super::Fault;
use super::held::{Held, Resource};

/// What ends a stream that is cut off; the server resets it, or closes the connection.
pub(super) type BoxError = Box<dyn std::error::Error + Send + Sync>;
/// The body of an answer.
pub(super) type Body = UnsyncBoxBody<Bytes, BoxError>;

/// A body that is there whole.
pub(super) fn whole(bytes: Bytes) -> Body {
    Full::new(bytes).map_err(|never| match never {}).boxed_unsync()
}

/// The server's body as the fault lets it through.
pub(super) fn carried(answer: Incoming, fault: Option<Fault>) -> Body {
    match fault {
        Some(Fault::BrokenOff(after)) => broken_off(answer, after),
        Some(Fault::Frozen(after)) => frozen(answer, after),
        _ => answer.map_err(BoxError::from).boxed_unsync(),
    }
}

/// A watch that shows nothing while its resource is held.
pub(super) fn held_back(answer: Incoming, resource: Resource, held: Held) -> Body {
    let frames = stream::unfold((answer, resource, held), async |(mut answer, resource, held)| {
        let frame = answer.frame().await?.map_err(BoxError::from);
        held.free(&resource).await;
        Some((frame, (answer, resource, held)))
    });
    StreamBody::new(frames).boxed_unsync()
}

fn broken_off(answer: Incoming, after: usize) -> Body {
    let frames = stream::unfold(Some((answer, after)), async |state| {
        let (mut answer, left) = state?;
        let data = match answer.frame().await {
            Some(Ok(frame)) => frame.into_data().unwrap_or_default(),
            _ => Bytes::new(),
        };
        if left == 0 || data.is_empty() {
            return Some((Err(BoxError::from("broken off")), None));
        }
        let shown = data.slice(..left.min(data.len()));
        let left = left - shown.len();
        Some((Ok(Frame::data(shown)), Some((answer, left))))
    });
    StreamBody::new(frames).boxed_unsync()
}

fn frozen(answer: Incoming, after: usize) -> Body {
    let frames = stream::unfold((Some(answer), after), async |(mut answer, left)| {
        if left == 0 {
            // The server need not keep events for a stream that shows none.
            drop(answer.take());
            std::future::pending::<()>().await;
        }
        let frame = answer.as_mut()?.frame().await?.map_err(BoxError::from);
        Some((frame, (answer, left - 1)))
    });
    StreamBody::new(frames).boxed_unsync()
}
