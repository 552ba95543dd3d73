//! A plan in real time, for `exec` and `attach`.

use bytes::Bytes;
use tokio::sync::mpsc;

use super::plan::{End, Plan, Step};

/// What a running command produces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Bytes on standard output.
    Stdout(Bytes),
    /// Bytes on standard error.
    Stderr(Bytes),
    /// It has ended with this status; nothing follows.
    Exit(i32),
}

/// Plays `plan`, reading `stdin` where it says so; returns early when nobody listens any more.
pub async fn run(plan: Plan, mut stdin: mpsc::Receiver<Bytes>, output: mpsc::Sender<Output>) {
    for step in plan.steps {
        let delivered = match step {
            Step::Stdout(bytes) => output.send(Output::Stdout(bytes.into())).await.is_ok(),
            Step::Stderr(bytes) => output.send(Output::Stderr(bytes.into())).await.is_ok(),
            Step::Sleep(time) => tokio::select! {
                () = tokio::time::sleep(time) => true,
                () = output.closed() => false,
            },
            Step::CopyStdin => copy(&mut stdin, &output).await,
        };
        if !delivered {
            return;
        }
    }
    match plan.end {
        End::Exit(status) => {
            let _ = output.send(Output::Exit(status)).await;
        }
        End::Never => output.closed().await,
    }
}

async fn copy(stdin: &mut mpsc::Receiver<Bytes>, output: &mpsc::Sender<Output>) -> bool {
    loop {
        tokio::select! {
            input = stdin.recv() => match input {
                Some(bytes) => if output.send(Output::Stdout(bytes)).await.is_err() { return false },
                None => return true,
            },
            () = output.closed() => return false,
        }
    }
}
