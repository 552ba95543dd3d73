//! What several tests need: a Corefile in working form, records, and answers as text.

use crate::config::{Configuration, Listen, configure};
use crate::corefile::{Disk, parse};
use crate::metrics::Metrics;
use crate::networking::Networking;
use crate::plugins::Shared;
use crate::records::{Index, Store};
use crate::request::Transport;
use crate::router::Router;
use chassis::{CancellationToken, Health, Tasks};
use hickory_proto::op::{Edns, Message, Query};
use hickory_proto::rr::{Name, Record, RecordType};
use proto::vcluster::dns::v1 as wire;
use std::net::{IpAddr, Ipv4Addr};
use std::str::FromStr;
use std::sync::Arc;
use wire::watch_response::Event;

/// The time of every record; the serial of SOA records.
pub(crate) const NOW: u32 = 1_499_347_823;

/// A name server without sockets.
pub(crate) struct Lab {
    pub(crate) router: Arc<Router>,
    pub(crate) store: Arc<Store>,
    pub(crate) metrics: Metrics,
}

pub(crate) fn shared() -> Shared {
    Shared {
        metrics: Metrics::default(),
        records: Arc::default(),
        has_records: true,
        own_addresses: vec![IpAddr::V4(Ipv4Addr::new(10, 240, 0, 1))],
        networking: Arc::default(),
        tasks: Tasks::new(Health::default(), CancellationToken::new()),
    }
}

/// The error of a Corefile that cannot be used.
pub(crate) fn corefile_error(text: &str) -> String {
    let blocks = match parse("Corefile", text, &Disk) {
        Ok(blocks) => blocks,
        Err(error) => return error.to_string(),
    };
    let listen = Listen {
        address: Ipv4Addr::LOCALHOST.into(),
        port: None,
    };
    match configure(&blocks, listen, &shared(), &Disk) {
        Ok(_) => "no error".to_owned(),
        Err(error) => error.to_string(),
    }
}

impl Lab {
    /// Serves the only address of the Corefile with these records. Jobs are not run.
    pub(crate) fn new(text: &str, records: Vec<Event>) -> Self {
        Self::with(text, records, Networking::default())
    }

    /// The same with settings of vcluster.yaml.
    pub(crate) fn with(text: &str, records: Vec<Event>, networking: Networking) -> Self {
        let shared = Shared {
            networking: Arc::new(networking),
            ..shared()
        };
        let blocks = parse("Corefile", text, &Disk).unwrap();
        let listen = Listen {
            address: Ipv4Addr::LOCALHOST.into(),
            port: None,
        };
        let Configuration { servers, .. } = configure(&blocks, listen, &shared, &Disk).unwrap();
        let (_, (routes, _)) = servers.into_iter().next().unwrap();
        let mut index = Index::default();
        for record in records {
            index.apply(record, NOW);
        }
        shared.records.replace(index);
        Lab {
            router: Arc::new(Router::new(routes)),
            store: shared.records,
            metrics: shared.metrics,
        }
    }

    /// The answer to `NAME TYPE`.
    pub(crate) async fn message(&self, question: &str, edns: Option<Edns>) -> Message {
        let (name, kind) = question.split_once(' ').unwrap();
        let query = Query::query(Name::from_ascii(name).unwrap(), RecordType::from_str(kind).unwrap());
        let mut message = Message::query();
        message.queries = vec![query.clone()];
        message.metadata.recursion_desired = true;
        message.edns = edns;
        let from = ("10.0.0.9:5353".parse().unwrap(), Transport::Udp, 30);
        self.router.clone().serve(message, query, from).await.message
    }

    /// The answer to `NAME TYPE` as text.
    pub(crate) async fn ask(&self, question: &str) -> String {
        shown(&self.message(question, None).await)
    }
}

/// `CODE [aa]; answers; authorities; additionals`, sections without records left out, records sorted.
pub(crate) fn shown(message: &Message) -> String {
    let code = crate::plugins::code_name(message.metadata.response_code);
    let mut parts = vec![if message.metadata.authoritative {
        format!("{code} aa")
    } else {
        code
    }];
    for (name, section) in [
        ("an", &message.answers),
        ("ns", &message.authorities),
        ("ex", &message.additionals),
    ] {
        if !section.is_empty() {
            let mut records: Vec<String> = section.iter().map(Record::to_string).collect();
            records.sort();
            parts.push(format!("{name}: {}", records.join(", ")));
        }
    }
    parts.join("; ")
}

pub(crate) fn namespace(name: &str) -> Event {
    Event::Namespace(wire::Namespace { name: name.into() })
}

pub(crate) fn port(name: &str, protocol: &str, port: u32) -> wire::ServicePort {
    wire::ServicePort {
        name: name.into(),
        protocol: protocol.into(),
        port,
    }
}

/// A ready endpoint.
pub(crate) fn address(ip: &str, hostname: &str, pod: &str) -> wire::EndpointAddress {
    wire::EndpointAddress {
        ip: ip.into(),
        hostname: hostname.into(),
        ready: true,
        pod_name: pod.into(),
    }
}

/// `NAMESPACE/NAME` with cluster IPs; none makes it headless.
pub(crate) fn service(
    path: &str,
    ips: &[&str],
    ports: Vec<wire::ServicePort>,
    addresses: Vec<wire::EndpointAddress>,
) -> Event {
    let (namespace, name) = path.split_once('/').unwrap();
    Event::Service(wire::Service {
        namespace: namespace.into(),
        name: name.into(),
        cluster_ips: ips.iter().map(|ip| (*ip).to_owned()).collect(),
        headless: ips.is_empty(),
        endpoints: vec![wire::EndpointSubset {
            addresses,
            ports: ports.clone(),
        }],
        ports,
        ..Default::default()
    })
}

/// `NAMESPACE/NAME` that stands for another name.
pub(crate) fn external(path: &str, target: &str) -> Event {
    let (namespace, name) = path.split_once('/').unwrap();
    Event::Service(wire::Service {
        namespace: namespace.into(),
        name: name.into(),
        r#type: wire::ServiceType::ExternalName.into(),
        external_name: target.into(),
        ..Default::default()
    })
}
