//! Counts requests and responses.

use crate::metrics::{Metrics, RequestLabels, ResponseLabels, ServerLabels, SizeLabels};
use crate::plugins::log::code_name;
use crate::request::{Handler, Next, Request, Served};
use hickory_proto::rr::RecordType;
use hickory_proto::serialize::binary::BinEncodable;
use std::time::Instant;

pub(super) struct Prometheus {
    pub(super) metrics: Metrics,
    pub(super) server: String,
}

impl Handler for Prometheus {
    fn name(&self) -> &'static str {
        "prometheus"
    }

    fn serve<'a>(&'a self, request: &'a Request, next: Next<'a>) -> Served<'a> {
        Box::pin(async move {
            let started = Instant::now();
            let outcome = next.run(request).await;
            let (server, zone) = (self.server.clone(), request.zone.to_string());
            let proto = request.transport.name();
            let family = if request.peer.ip().to_canonical().is_ipv4() {
                "1"
            } else {
                "2"
            };
            let labels = RequestLabels {
                server: server.clone(),
                zone: zone.clone(),
                view: "",
                proto,
                family,
                r#type: kind_label(request.kind()),
            };
            self.metrics.requests.get_or_create(&labels).inc();
            let labels = ServerLabels {
                server: server.clone(),
                zone: zone.clone(),
                view: "",
            };
            self.metrics
                .request_seconds
                .get_or_create(&labels)
                .observe(started.elapsed().as_secs_f64());
            let labels = SizeLabels {
                server: server.clone(),
                zone: zone.clone(),
                view: "",
                proto,
            };
            self.metrics
                .request_bytes
                .get_or_create(&labels)
                .observe(request.size as f64);
            let (code, plugin) = match &outcome {
                Ok(answer) => {
                    let size = answer.message.to_bytes().map_or(0, |bytes| bytes.len());
                    self.metrics.response_bytes.get_or_create(&labels).observe(size as f64);
                    (answer.message.metadata.response_code, answer.plugin)
                }
                Err(failure) => (failure.code, failure.plugin),
            };
            let labels = ResponseLabels {
                server,
                zone,
                view: "",
                rcode: code_name(code),
                plugin,
            };
            self.metrics.responses.get_or_create(&labels).inc();
            outcome
        })
    }
}

/// The types CoreDNS counts one by one (`plugin/metrics/vars/monitor.go`), so that clients cannot make labels.
fn kind_label(kind: RecordType) -> String {
    match kind {
        RecordType::A
        | RecordType::AAAA
        | RecordType::CNAME
        | RecordType::DNSKEY
        | RecordType::DS
        | RecordType::HTTPS
        | RecordType::MX
        | RecordType::NS
        | RecordType::NSEC
        | RecordType::NSEC3
        | RecordType::PTR
        | RecordType::RRSIG
        | RecordType::SOA
        | RecordType::SRV
        | RecordType::SVCB
        | RecordType::TXT
        | RecordType::ANY => kind.to_string(),
        _ => "other".to_owned(),
    }
}
