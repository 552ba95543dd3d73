//! Answers on their way from the writer's thread to those who asked.
//!
//! Waking a task of the runtime from outside costs a system call, and the runtime would go to sleep again between two of
//! them. So the writer hands over all answers of a group at once, and they are given out within the runtime.

use tokio::sync::mpsc;

use super::command::{Reply, answer};
use crate::error::Error;

/// An answer that waits for the outcome of the commit.
type Waiting = Box<dyn FnOnce(Result<(), Error>) + Send>;

/// The answers to the requests of a group.
#[derive(Default)]
pub struct Answers(Vec<Waiting>);

impl Answers {
    /// Keeps the answer to a request.
    pub fn push<T: Send + 'static>(&mut self, reply: Reply<T>, result: Result<T, Error>) {
        self.0
            .push(Box::new(move |committed| answer(reply, committed.and(result))));
    }
}

/// Answers with the outcome of their commit.
struct Settled(Answers, Result<(), Error>);

/// The end that the writer has.
#[derive(Debug)]
pub struct Sender(mpsc::UnboundedSender<Settled>);

/// The end within the runtime.
#[derive(Debug)]
pub struct WriterEnd(mpsc::UnboundedReceiver<Settled>);

/// A way for answers. There are never more of them than requests that wait.
pub fn channel() -> (Sender, WriterEnd) {
    let (sender, receiver) = mpsc::unbounded_channel();
    (Sender(sender), WriterEnd(receiver))
}

impl Sender {
    /// Gives the answers of a group, all of which share the outcome of its commit.
    pub fn send(&self, answers: Answers, committed: Result<(), Error>) {
        if !answers.0.is_empty() {
            // Nobody is left to give them out when the service has ended.
            let _ = self.0.send(Settled(answers, committed));
        }
    }
}

impl WriterEnd {
    /// Gives out answers until the writer's thread has ended, with the database closed. Can be called again after it was
    /// cancelled.
    pub async fn deliver(&mut self) {
        while let Some(Settled(answers, committed)) = self.0.recv().await {
            answers.0.into_iter().for_each(|waiting| waiting(committed));
        }
    }
}
