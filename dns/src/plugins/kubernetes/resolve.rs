//! Names that `networking.resolveDNS` of vcluster.yaml gives another meaning.
//!
//! A name of the host is resolved by what follows the plugin, which forwards to the host's name server. The answer names what
//! was asked for, not what it was resolved by: the same name may be another one in the domain of the virtual cluster.

use super::handler::NAME;
use crate::networking::{Meaning, Rules};
use crate::request::{Answer, Failure, Handler, Next, Outcome, Request, Served, done, record};
use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, CNAME};
use hickory_proto::rr::{Name, RData, RecordType};
use std::net::IpAddr;
use std::sync::Arc;

/// How long an address of a rule may be remembered, in seconds.
const TTL: u32 = 30;

pub(super) struct Resolve {
    pub(super) rules: Arc<Rules>,
}

impl Handler for Resolve {
    fn name(&self) -> &'static str {
        NAME
    }

    fn serve<'a>(&'a self, request: &'a Request, next: Next<'a>) -> Served<'a> {
        match self.rules.meaning(request.name()) {
            None => next.run(request),
            Some(Meaning::Address(ip)) => done(Ok(address(request, ip))),
            Some(Meaning::Name(name)) => Box::pin(async move {
                match request.router.lookup(request, name.clone(), request.kind()).await {
                    Some(message) => Ok(renamed(message, &name, request)),
                    None => Err(Failure {
                        code: ResponseCode::ServFail,
                        plugin: NAME,
                        error: format!("the rules of networking.resolveDNS lead from {name} to ever more names"),
                    }),
                }
            }),
            Some(Meaning::HostName(name)) => Box::pin(on_host(request, name, next)),
        }
    }
}

fn address(request: &Request, ip: IpAddr) -> Answer {
    let data = match (ip, request.kind()) {
        (IpAddr::V4(ip), RecordType::A) => Some(RData::A(A(ip))),
        (IpAddr::V6(ip), RecordType::AAAA) => Some(RData::AAAA(AAAA(ip))),
        _ => None,
    };
    let mut message = request.reply(ResponseCode::NoError);
    message.metadata.authoritative = true;
    message.answers = data
        .map(|data| record(request.name().clone(), TTL, data))
        .into_iter()
        .collect();
    Answer { message, plugin: NAME }
}

/// Asks what follows the plugin, of which a block may have several lines.
async fn on_host(request: &Request, name: Name, next: Next<'_>) -> Outcome {
    let own = next.0.iter().take_while(|handler| handler.name() == NAME).count();
    let question = request.with_question(name.clone(), request.kind());
    let answer = Next(&next.0[own..]).run(&question).await?;
    Ok(renamed(answer.message, &name, request))
}

/// The answer with the name that was asked for in place of the one that it was resolved by.
fn renamed(mut message: Message, resolved: &Name, request: &Request) -> Answer {
    message.queries = vec![request.question.clone()];
    let records = message.answers.iter_mut().chain(&mut message.additionals);
    for record in records {
        if record.name == *resolved {
            record.name = request.name().clone();
        }
        match &mut record.data {
            RData::CNAME(CNAME(target)) if target == resolved => *target = request.name().clone(),
            _ => {}
        }
    }
    Answer { message, plugin: NAME }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::networking::Networking;
    use crate::testing::{Lab, namespace, service};
    use config::Resolution;
    use hickory_proto::op::MessageType;
    use serde_json::{Value, json};
    use std::net::SocketAddr;
    use tokio::net::UdpSocket;

    /// The host's name server: knows one name, which has an alias.
    async fn host() -> SocketAddr {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        tokio::spawn(async move {
            let known = Name::from_ascii("web.infra.svc.host.internal.").unwrap();
            let mut buffer = [0; 1500];
            loop {
                let (length, peer) = socket.recv_from(&mut buffer).await.unwrap();
                let mut reply = Message::from_vec(&buffer[..length]).unwrap();
                reply.metadata.message_type = MessageType::Response;
                let name = reply.queries[0].name.clone();
                if name == known {
                    reply.answers = vec![record(name, 60, RData::A(A::new(192, 0, 2, 7)))];
                } else {
                    reply.metadata.response_code = ResponseCode::NXDomain;
                }
                socket.send_to(&reply.to_vec().unwrap(), peer).await.unwrap();
            }
        });
        address
    }

    async fn lab(rules: Value, fallback_host_cluster: bool) -> Lab {
        let rules: Vec<Resolution> = serde_json::from_value(rules).unwrap();
        let networking = Networking {
            domain: Some(Name::from_ascii("own.internal.").unwrap()),
            fallback_host_cluster,
            fallback_dns: String::new(),
            rules: Arc::new(Rules::new(&rules, "own.internal", "host.internal")),
        };
        let corefile = format!(
            ".:53 {{\n kubernetes cluster.local in-addr.arpa ip6.arpa {{\n pods insecure\n fallthrough in-addr.arpa ip6.arpa\n }}\n \
             forward . {}\n}}",
            host().await
        );
        let records = vec![namespace("team"), service("team/db", &["10.0.0.1"], vec![], vec![])];
        Lab::with(&corefile, records, networking)
    }

    #[tokio::test]
    async fn names_have_the_meaning_of_the_rules() {
        let rules = json!([
            {"hostname": "db.example.com", "target": {"hostname": "db.team.svc.own.internal"}},
            {"hostname": "fixed.example.com", "target": {"ip": "192.0.2.9"}},
            {"hostname": "loop.example.com", "target": {"hostname": "loop.example.com"}},
            {"namespace": "shared", "target": {"hostNamespace": "infra"}},
            {"service": "team/db", "target": {"hostService": "infra/web"}},
        ]);
        let lab = lab(rules, false).await;
        for (question, expected) in [
            (
                "fixed.example.com. A",
                "NOERROR aa; an: fixed.example.com. 30 IN A 192.0.2.9",
            ),
            ("fixed.example.com. AAAA", "NOERROR aa"),
            ("loop.example.com. A", "SERVFAIL"),
            (
                "web.shared.svc.own.internal. A",
                "NOERROR; an: web.shared.svc.own.internal. 60 IN A 192.0.2.7",
            ),
            (
                "web.shared.svc.cluster.local. A",
                "NOERROR; an: web.shared.svc.cluster.local. 60 IN A 192.0.2.7",
            ),
            ("other.shared.svc.own.internal. A", "NXDOMAIN"),
            // A rule counts for what the virtual cluster has, too, and for the target of another one.
            (
                "db.team.svc.own.internal. A",
                "NOERROR; an: db.team.svc.own.internal. 60 IN A 192.0.2.7",
            ),
            ("db.example.com. A", "NOERROR; an: db.example.com. 60 IN A 192.0.2.7"),
        ] {
            assert_eq!(lab.ask(question).await, expected, "{question}");
        }
        let message = lab.message("DB.example.com. A", None).await;
        assert_eq!(message.queries[0].name.to_string(), "DB.example.com.");
    }

    #[tokio::test]
    async fn what_the_domain_does_not_have_is_the_hosts_only_if_that_is_wanted() {
        let name = "web.infra.svc.host.internal. A";
        let host = "NOERROR; an: web.infra.svc.host.internal. 60 IN A 192.0.2.7";
        assert_eq!(lab(json!([]), false).await.ask(name).await, host, "not in our domain");
        let missing = "gone.team.svc.own.internal. A";
        assert!(
            lab(json!([]), false)
                .await
                .ask(missing)
                .await
                .starts_with("NXDOMAIN aa")
        );
        assert_eq!(
            lab(json!([]), true).await.ask(missing).await,
            "NXDOMAIN",
            "the host's answer"
        );
        let own = "NOERROR aa; an: db.team.svc.own.internal. 5 IN A 10.0.0.1";
        assert_eq!(lab(json!([]), true).await.ask("db.team.svc.own.internal. A").await, own);
    }
}
