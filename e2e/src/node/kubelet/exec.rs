//! `exec` and `attach`: stdin, stdout, stderr and the exit status over SPDY streams or WebSocket channels
//! (k8s.io/kubelet/pkg/cri/streaming/remotecommand).

use std::collections::HashMap;
use std::io;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;
use tracing::debug;

use super::route::Query;
use super::spdy::{self, Session, Stream};
use super::upgrade::Upgrade;
use super::websocket::{self, Packet};
use crate::node::shell::Output;

/// Subprotocols of both framings, best first.
pub(super) const SPDY_PROTOCOLS: &[&str] = &["v5.channel.k8s.io", "v4.channel.k8s.io"];
pub(super) const WEBSOCKET_PROTOCOLS: &[&str] = SPDY_PROTOCOLS;

/// How long a client may take to open its streams.
const STREAM_CREATION: Duration = Duration::from_secs(30);
/// What a container runtime takes to start a process, at least. client-go up to 1.33 drops messages that come before it has
/// made its streams, so an answer without any delay is lost.
const START: Duration = Duration::from_millis(15);
const QUEUE: usize = 64;

const STDIN: u8 = 0;
const STDOUT: u8 = 1;
const STDERR: u8 = 2;
const ERROR: u8 = 3;
/// v5 only: the next byte names a channel that will carry nothing more.
const CLOSE: u8 = 255;

/// Which streams a client asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Wanted {
    stdin: bool,
    stdout: bool,
    stderr: bool,
    tty: bool,
}

impl Wanted {
    pub(super) fn parse(query: &Query) -> Result<Self, String> {
        let tty = query.flag("tty");
        // A terminal has one output.
        let wanted = Self {
            stdin: query.flag("input"),
            stdout: query.flag("output"),
            stderr: query.flag("error") && !tty,
            tty,
        };
        if wanted.stdin || wanted.stdout || wanted.stderr {
            return Ok(wanted);
        }
        Err("you must specify at least 1 of stdin, stdout, stderr".to_string())
    }

    /// The `streamType`s a SPDY client opens.
    fn streams(self) -> Vec<&'static str> {
        let all = [
            ("error", true),
            ("stdin", self.stdin),
            ("stdout", self.stdout),
            ("stderr", self.stderr),
            ("resize", self.tty),
        ];
        all.into_iter()
            .filter_map(|(name, wanted)| wanted.then_some(name))
            .collect()
    }
}

/// The two ends of a running command: what it reads and what it has to say.
pub(super) struct Terminal {
    pub(super) stdin: mpsc::Receiver<Bytes>,
    pub(super) output: mpsc::Sender<Output>,
}

/// Connects a command to an upgraded connection until either ends. `run` gets the command's side.
pub(super) async fn serve<T, F>(io: T, upgrade: &Upgrade, wanted: Wanted, run: impl FnOnce(Terminal) -> F)
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    F: Future<Output = ()>,
{
    let served = match upgrade {
        Upgrade::Spdy { .. } => over_spdy(io, wanted, run).await,
        Upgrade::WebSocket { .. } => {
            over_websocket(io, wanted, run).await;
            Ok(())
        }
    };
    if let Err(error) = served {
        debug!(%error, "a command's connection broke");
    }
}

async fn over_spdy<T, F>(io: T, wanted: Wanted, run: impl FnOnce(Terminal) -> F) -> io::Result<()>
where
    T: AsyncRead + AsyncWrite + Send + 'static,
    F: Future<Output = ()>,
{
    let (mut session, driver) = spdy::server(io)?;
    let command = async move {
        let Some(mut streams) = open_streams(&mut session, &wanted.streams()).await else {
            return;
        };
        let closed = session.closed();
        let (stdin_sender, stdin) = mpsc::channel(QUEUE);
        let (output, mut produced) = mpsc::channel(QUEUE);
        let stdin_stream = streams.remove("stdin");
        let feed = async move {
            let Some(mut stream) = stdin_stream else { return };
            while let Some(data) = stream.data.recv().await {
                if stdin_sender.send(data).await.is_err() {
                    return;
                }
            }
        };
        let deliver = async move {
            while let Some(output) = produced.recv().await {
                let (stream, data) = match output {
                    Output::Stdout(data) => ("stdout", data),
                    Output::Stderr(data) => (if wanted.tty { "stdout" } else { "stderr" }, data),
                    Output::Exit(code) => {
                        for name in ["stdout", "stderr"] {
                            if let Some(stream) = streams.get(name) {
                                stream.writer.finish().await;
                            }
                        }
                        if let Some(stream) = streams.get("error") {
                            stream.writer.send(status(code).to_string().into()).await;
                            stream.writer.finish().await;
                        }
                        return;
                    }
                };
                if let Some(stream) = streams.get(stream)
                    && !stream.writer.send(data).await
                {
                    return;
                }
            }
        };
        let finished = async {
            tokio::join!(run(Terminal { stdin, output }), deliver);
        };
        tokio::select! {
            () = finished => {}
            () = async { feed.await; std::future::pending().await } => {}
            () = closed.cancelled() => {}
        }
        session.go_away().await;
    };
    let (driven, ()) = tokio::join!(driver, command);
    driven
}

/// Waits for the streams the client has announced in its query.
async fn open_streams(session: &mut Session, names: &[&'static str]) -> Option<HashMap<&'static str, Stream>> {
    let collect = async {
        let mut streams = HashMap::new();
        while streams.len() < names.len() {
            let stream = session.accept().await?;
            let kind = stream.headers.get("streamType").unwrap_or_default();
            match names.iter().find(|name| **name == kind) {
                Some(name) => drop(streams.insert(*name, stream)),
                None => stream.writer.reset().await,
            }
        }
        Some(streams)
    };
    tokio::time::timeout(STREAM_CREATION, collect).await.ok().flatten()
}

async fn over_websocket<T, F>(io: T, wanted: Wanted, run: impl FnOnce(Terminal) -> F)
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    F: Future<Output = ()>,
{
    let (mut channels, driver) = websocket::channels(io);
    let command = async move {
        let (stdin_sender, stdin) = mpsc::channel(QUEUE);
        let (output, mut produced) = mpsc::channel(QUEUE);
        let outgoing = channels.outgoing;
        tokio::time::sleep(START).await;
        // An empty message on the first channel we write tells the client that the command is running.
        let first = if wanted.stdout {
            STDOUT
        } else if wanted.stderr {
            STDERR
        } else {
            ERROR
        };
        if outgoing
            .send(Packet {
                channel: first,
                data: Bytes::new(),
            })
            .await
            .is_err()
        {
            return;
        }
        let feed = async move {
            let mut stdin = wanted.stdin.then_some(stdin_sender);
            while let Some(Packet { channel, data }) = channels.incoming.recv().await {
                let over = match (channel, &stdin) {
                    (STDIN, Some(sender)) => sender.send(data).await.is_err(),
                    (CLOSE, Some(_)) => data.first() == Some(&STDIN),
                    _ => false,
                };
                if over {
                    stdin = None;
                }
            }
        };
        let deliver = async move {
            while let Some(output) = produced.recv().await {
                let (channel, data) = match output {
                    Output::Stdout(data) => (STDOUT, data),
                    Output::Stderr(data) => (if wanted.tty { STDOUT } else { STDERR }, data),
                    Output::Exit(code) => {
                        let data = status(code).to_string().into();
                        let _ = outgoing.send(Packet { channel: ERROR, data }).await;
                        return;
                    }
                };
                let shown = match channel {
                    STDOUT => wanted.stdout,
                    _ => wanted.stderr,
                };
                if shown && outgoing.send(Packet { channel, data }).await.is_err() {
                    return;
                }
            }
        };
        let finished = async {
            tokio::join!(run(Terminal { stdin, output }), deliver);
        };
        tokio::select! {
            () = finished => {}
            // The client has gone away.
            () = feed => {}
        }
    };
    tokio::join!(driver, command);
}

/// The metav1.Status that tells a client how its command ended (v4 and later).
fn status(code: i32) -> Value {
    if code == 0 {
        return json!({"metadata": {}, "status": "Success"});
    }
    json!({
        "metadata": {},
        "status": "Failure",
        "message": format!("command terminated with non-zero exit code: exit status {code}"),
        "reason": "NonZeroExitCode",
        "details": {"causes": [{"reason": "ExitCode", "message": code.to_string()}]},
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_has_no_stderr() {
        let wanted = Wanted::parse(&Query::parse("input=1&output=1&error=1&tty=1")).unwrap();
        assert_eq!(wanted.streams(), ["error", "stdin", "stdout", "resize"]);
        let plain = Wanted::parse(&Query::parse("output=1&error=1")).unwrap();
        assert_eq!(plain.streams(), ["error", "stdout", "stderr"]);
        assert!(Wanted::parse(&Query::parse("stdin=1")).is_err());
    }

    #[test]
    fn statuses() {
        assert_eq!(status(0)["status"], "Success");
        assert_eq!(status(7)["details"]["causes"][0]["message"], "7");
    }
}
