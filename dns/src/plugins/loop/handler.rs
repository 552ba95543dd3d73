//! Counts how often the probe passes; three times is a loop (CoreDNS' `plugin/loop`).

use crate::plugins::JobContext;
use crate::request::{Handler, Next, Request, Served};
use chassis::Tasks;
use hickory_proto::op::{Message, Query};
use hickory_proto::rr::{Name, RecordType};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;
use tokio::net::UdpSocket;

const ATTEMPTS: usize = 15;
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);
const MOST_PASSES: u32 = 2;

pub(super) struct Loop {
    name: Name,
    zone: Name,
    tasks: Tasks,
    passes: AtomicU32,
    /// The probe has been answered: nothing to look for any more.
    over: AtomicBool,
}

impl Loop {
    pub(super) fn new(name: Name, zone: Name, tasks: Tasks) -> Self {
        Loop {
            name,
            zone,
            tasks,
            passes: AtomicU32::new(0),
            over: AtomicBool::new(false),
        }
    }
}

impl Handler for Loop {
    fn name(&self) -> &'static str {
        "loop"
    }

    fn serve<'a>(&'a self, request: &'a Request, next: Next<'a>) -> Served<'a> {
        let is_probe = request.kind() == RecordType::HINFO && *request.name() == self.name;
        if is_probe
            && !self.over.load(Ordering::Relaxed)
            && self.passes.fetch_add(1, Ordering::Relaxed) + 1 > MOST_PASSES
        {
            self.tasks.fail(anyhow::anyhow!(
                "queries for the zone {} that are forwarded come back to this name server: forward to another one, for \
                 example by naming it in the Corefile instead of a resolv.conf that names this machine",
                self.zone
            ));
        }
        next.run(request)
    }
}

/// Asks this name server for the probe until there is an answer.
pub(super) async fn probe(handler: Arc<Loop>, context: JobContext) {
    let asking = async {
        for _ in 0..ATTEMPTS {
            match ask(&handler.name, context.address).await {
                Ok(()) => return,
                Err(error) => tracing::debug!(%error, "the loop probe was not answered"),
            }
        }
    };
    tokio::select! {
        () = asking => handler.over.store(true, Ordering::Relaxed),
        () = context.stop.cancelled() => {}
    }
}

async fn ask(name: &Name, server: SocketAddr) -> anyhow::Result<()> {
    let any: IpAddr = if server.is_ipv4() {
        Ipv4Addr::UNSPECIFIED.into()
    } else {
        Ipv6Addr::UNSPECIFIED.into()
    };
    let socket = UdpSocket::bind(SocketAddr::new(any, 0)).await?;
    socket.connect(server).await?;
    let mut query = Message::query();
    query.metadata.recursion_desired = true;
    query.queries = vec![Query::query(name.clone(), RecordType::HINFO)];
    socket.send(&query.to_vec()?).await?;
    let mut answer = [0; 512];
    tokio::time::timeout(ANSWER_TIMEOUT, socket.recv(&mut answer)).await??;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Lab;
    use chassis::{CancellationToken, Health};
    use futures::FutureExt;

    #[tokio::test]
    async fn a_probe_that_passes_three_times_ends_the_process() {
        let lab = Lab::new(". {\n template IN HINFO {\n rcode NXDOMAIN\n }\n}", Vec::new());
        let tasks = Tasks::new(Health::default(), CancellationToken::new());
        let name = Name::from_ascii("1.2.").unwrap();
        let plugin = Arc::new(Loop::new(name, Name::root(), tasks.clone()));
        let pass = async |question: &str| {
            let message = lab.message(question, None).await;
            let (name, kind) = question.split_once(' ').unwrap();
            let question = Query::query(Name::from_ascii(name).unwrap(), kind.parse().unwrap());
            let request = Request {
                message,
                question,
                peer: "127.0.0.1:53".parse().unwrap(),
                transport: crate::request::Transport::Udp,
                size: 0,
                zone: Name::root(),
                router: lab.router.clone(),
                depth: 0,
            };
            assert!(
                plugin.serve(&request, Next(&[])).await.is_err(),
                "handed on, and nobody is there"
            );
        };
        for _ in 0..5 {
            pass("1.2. A").await;
            pass("1.3. HINFO").await;
        }
        pass("1.2. HINFO").await;
        pass("1.2. HINFO").await;
        assert!(tasks.failed().now_or_never().is_none());
        pass("1.2. HINFO").await;
        assert!(
            tasks
                .failed()
                .await
                .to_string()
                .starts_with("queries for the zone . that are forwarded come back")
        );
    }
}
