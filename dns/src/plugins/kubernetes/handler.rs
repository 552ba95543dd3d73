//! Answers from the records, as CoreDNS' `plugin/kubernetes/handler.go`.

use super::answer::{Addresses, Records};
use super::lookup::{NoSuchName, Settings};
use crate::records::Store;
use crate::request::{Answer, Failure, Handler, Next, Outcome, Request, Served, done};
use crate::zone::{Fallthrough, matching};
use hickory_proto::op::ResponseCode;
use hickory_proto::rr::rdata::CNAME;
use hickory_proto::rr::{Name, RData, RecordType};
use std::sync::Arc;

pub(super) const NAME: &str = "kubernetes";
/// Aliases of aliases within the zone.
const LONGEST_CHAIN: usize = 8;

pub(super) struct Kubernetes {
    pub(super) settings: Settings,
    pub(super) fallthrough: Fallthrough,
    pub(super) records: Arc<Store>,
}

impl Handler for Kubernetes {
    fn name(&self) -> &'static str {
        NAME
    }

    fn serve<'a>(&'a self, request: &'a Request, next: Next<'a>) -> Served<'a> {
        let Some(zone) = matching(&self.settings.zones, request.name()) else {
            return next.run(request);
        };
        // Answers repeat the case of the question.
        let zone = request.name().trim_to(usize::from(zone.num_labels()));
        match request.kind() {
            RecordType::AXFR | RecordType::IXFR => {
                let error = "zone transfers are not supported".to_owned();
                done(Err(Failure {
                    code: ResponseCode::Refused,
                    plugin: NAME,
                    error,
                }))
            }
            RecordType::A | RecordType::AAAA => Box::pin(async move {
                match self.follow_aliases(request, &zone).await {
                    Ok((records, truncated)) => self.answer(request, &zone, records, truncated),
                    Err(NoSuchName) => self.no_such_name(request, &zone, next).await,
                }
            }),
            kind => {
                let found = self.settings.answer(&self.records.read(), request.name(), &zone, kind);
                match found {
                    Ok(records) => done(self.answer(request, &zone, records, false)),
                    Err(NoSuchName) => Box::pin(async move { self.no_such_name(request, &zone, next).await }),
                }
            }
        }
    }
}

impl Kubernetes {
    /// The addresses of the name, through external names, which may lead out of the zone.
    async fn follow_aliases(&self, request: &Request, zone: &Name) -> Result<(Records, bool), NoSuchName> {
        let mut answers = Vec::new();
        let mut name = request.name().clone();
        for step in 0..LONGEST_CHAIN {
            let found = self
                .settings
                .addresses(&self.records.read(), &name, zone, request.kind());
            let target = match found {
                Err(NoSuchName) if step == 0 => return Err(NoSuchName),
                // An alias to nothing is left out altogether.
                Err(NoSuchName) => break,
                Ok(Addresses::Records(records)) if records.is_empty() => break,
                Ok(Addresses::Records(records)) => {
                    answers.extend(records);
                    return Ok((answers.into(), false));
                }
                Ok(Addresses::Alias(target)) => target,
            };
            if target == name {
                break;
            }
            answers.push(self.settings.record(&name, RData::CNAME(CNAME(target.clone()))));
            if zone.zone_of(&target) {
                name = target;
                continue;
            }
            let mut truncated = false;
            if let Some(message) = request.router.lookup(request, target, request.kind()).await {
                truncated = message.metadata.truncation;
                answers.extend(message.answers);
            }
            return Ok((answers.into(), truncated));
        }
        Ok((Records::default(), false))
    }

    fn answer(&self, request: &Request, zone: &Name, records: Records, truncated: bool) -> Outcome {
        if records.answers.is_empty() {
            return self.negative(request, zone, ResponseCode::NoError);
        }
        let mut message = request.reply(ResponseCode::NoError);
        message.metadata.authoritative = true;
        message.metadata.truncation = truncated;
        message.answers = records.answers;
        message.additionals = records.additionals;
        Ok(Answer { message, plugin: NAME })
    }

    async fn no_such_name(&self, request: &Request, zone: &Name, next: Next<'_>) -> Outcome {
        if self.fallthrough.applies(request.name()) {
            return next.run(request).await;
        }
        // Before all records are known, nobody can say that one does not exist.
        let code = if self.records.is_synced() {
            ResponseCode::NXDomain
        } else {
            ResponseCode::ServFail
        };
        self.negative(request, zone, code)
    }

    fn negative(&self, request: &Request, zone: &Name, code: ResponseCode) -> Outcome {
        let mut message = request.reply(code);
        message.metadata.authoritative = true;
        message.authorities = vec![self.settings.soa(&self.records.read(), zone)];
        Ok(Answer { message, plugin: NAME })
    }
}
