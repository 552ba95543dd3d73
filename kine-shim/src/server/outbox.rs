//! Answers on their way to one client. Few enough wait that a client that does not read costs little, and one that does not
//! read for long is given up.

use std::{
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll},
    time::Duration,
};

use futures::Stream;
use prost::Message;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tonic::Status;

/// Most answers waiting.
const ANSWERS: usize = 16;
/// Most bytes of answers waiting, in KiB; a single larger answer may wait alone.
const KIB: usize = 1024;

/// Why an answer was not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unsent {
    /// The client has gone.
    Gone,
    /// The client has not read for too long.
    Stalled,
}

type Waiting<T> = (T, OwnedSemaphorePermit);

/// The server's end.
#[derive(Debug)]
pub(super) struct Outbox<T> {
    queue: mpsc::Sender<Waiting<T>>,
    room: Arc<Semaphore>,
    verdict: Arc<OnceLock<Status>>,
    patience: Option<Duration>,
}

/// The client's end: the answers, and then why there are no more, unless that is as it should be.
#[derive(Debug)]
pub struct Answers<T> {
    queue: mpsc::Receiver<Waiting<T>>,
    verdict: Option<Arc<OnceLock<Status>>>,
}

/// Both ends of a stream of answers whose client may leave them unread for `patience`, for ever if that is zero.
pub(super) fn outbox<T>(patience: Duration) -> (Outbox<T>, Answers<T>) {
    let (sender, receiver) = mpsc::channel(ANSWERS);
    let verdict = Arc::<OnceLock<Status>>::default();
    let outbox = Outbox {
        queue: sender,
        room: Arc::new(Semaphore::new(KIB)),
        verdict: Arc::clone(&verdict),
        patience: (!patience.is_zero()).then_some(patience),
    };
    let answers = Answers {
        queue: receiver,
        verdict: Some(verdict),
    };
    (outbox, answers)
}

impl<T: Message> Outbox<T> {
    /// Puts an answer on its way once there is room for it.
    pub(super) async fn send(&self, answer: T) -> Result<(), Unsent> {
        let kib = (answer.encoded_len() >> 10).clamp(1, KIB);
        let kib = u32::try_from(kib).unwrap_or(u32::MAX);
        let enqueue = async {
            let room = Arc::clone(&self.room).acquire_many_owned(kib);
            let room = tokio::select! {
                biased;
                room = room => room.map_err(|_| Unsent::Gone)?,
                () = self.queue.closed() => return Err(Unsent::Gone),
            };
            self.queue.send((answer, room)).await.map_err(|_| Unsent::Gone)
        };
        match self.patience {
            None => enqueue.await,
            Some(patience) => match tokio::time::timeout(patience, enqueue).await {
                Ok(sent) => sent,
                Err(_) => Err(Unsent::Stalled),
            },
        }
    }

    /// Returns once the client has gone.
    pub(super) async fn closed(&self) {
        self.queue.closed().await;
    }

    /// Ends the stream: after the answers on their way, the client is told `status`.
    pub(super) fn end(self, status: Status) {
        // The first reason is the one that counts.
        let _ = self.verdict.set(status);
    }
}

impl<T> Stream for Answers<T> {
    type Item = Result<T, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        match std::task::ready!(self.queue.poll_recv(cx)) {
            Some((answer, _room)) => Poll::Ready(Some(Ok(answer))),
            None => {
                let verdict = self.verdict.take();
                Poll::Ready(verdict.and_then(|verdict| verdict.get().cloned()).map(Err))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::StreamExt;
    use proto::etcdserverpb::SnapshotResponse;

    use super::*;

    fn answer(bytes: usize) -> SnapshotResponse {
        SnapshotResponse {
            blob: vec![0; bytes].into(),
            ..Default::default()
        }
    }

    #[tokio::test]
    async fn who_does_not_read_is_given_up_and_told_why() {
        for (bytes, expected) in [(10, ANSWERS), (400 << 10, 2), (8 << 20, 1)] {
            let (outbox, mut answers) = outbox(Duration::from_millis(20));
            let mut sent = 0;
            let unsent = loop {
                match outbox.send(answer(bytes)).await {
                    Ok(()) => sent += 1,
                    Err(unsent) => break unsent,
                }
            };
            assert_eq!((sent, unsent), (expected, Unsent::Stalled), "{bytes}");
            outbox.end(Status::unavailable("too slow"));
            for _ in 0..sent {
                assert!(answers.next().await.is_some_and(|answer| answer.is_ok()));
            }
            let verdict = answers.next().await.expect("a verdict").expect_err("too slow");
            assert_eq!(verdict.message(), "too slow");
            assert!(answers.next().await.is_none());
        }
    }

    #[tokio::test]
    async fn who_has_gone_is_noticed() {
        let (outbox, answers) = outbox(Duration::ZERO);
        for _ in 0..2 {
            outbox.send(answer(500 << 10)).await.expect("room");
        }
        drop(answers);
        outbox.closed().await;
        assert_eq!(outbox.send(answer(500 << 10)).await, Err(Unsent::Gone));
    }
}
