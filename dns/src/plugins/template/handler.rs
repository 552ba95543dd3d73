//! Answers with the records of the first rule that matches.

use super::text::{Template, Values};
use crate::request::{Answer, Failure, Handler, Next, Request, Served, done};
use crate::zone::{Fallthrough, matching};
use hickory_proto::op::ResponseCode;
use hickory_proto::rr::{DNSClass, Name, Record, RecordType};
use regex::bytes::Regex;

const NAME: &str = "template";

/// One `template` of the Corefile.
#[derive(Debug)]
pub(super) struct Rule {
    /// Nothing means any.
    pub(super) class: Option<DNSClass>,
    /// Nothing means any.
    pub(super) kind: Option<RecordType>,
    pub(super) zones: Vec<Name>,
    pub(super) patterns: Vec<Regex>,
    pub(super) answers: Vec<Template>,
    pub(super) additionals: Vec<Template>,
    pub(super) authorities: Vec<Template>,
    pub(super) code: ResponseCode,
    pub(super) fallthrough: Fallthrough,
}

pub(super) struct Templates {
    pub(super) rules: Vec<Rule>,
}

impl Rule {
    /// The values of the fields; nothing when no pattern matches.
    fn values(&self, request: &Request, zone: &Name) -> Option<Values> {
        let name = request.name().to_lowercase().to_ascii();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        self.patterns.iter().find_map(|pattern| {
            let captures = pattern.captures(name.as_bytes())?;
            let matches = captures
                .iter()
                .map(|group| group.map_or_else(String::new, |group| text(group.as_bytes())));
            let groups = pattern.capture_names().flatten().filter_map(|group| {
                captures
                    .name(group)
                    .map(|found| (group.to_owned(), text(found.as_bytes())))
            });
            Some(Values {
                zone: zone.to_string(),
                matches: matches.collect(),
                groups: groups.collect(),
                class: request.question.query_class.to_string(),
                kind: request.kind().to_string(),
                name: name.clone(),
            })
        })
    }
}

impl Handler for Templates {
    fn name(&self) -> &'static str {
        NAME
    }

    fn serve<'a>(&'a self, request: &'a Request, next: Next<'a>) -> Served<'a> {
        for rule in &self.rules {
            let Some(zone) = matching(&rule.zones, request.name()) else {
                continue;
            };
            let fits = rule.class.is_none_or(|class| class == request.question.query_class)
                && rule.kind.is_none_or(|kind| kind == request.kind());
            if !fits {
                continue;
            }
            let Some(values) = rule.values(request, zone) else {
                // CoreDNS ends here for names of the zone that match nothing, unless told to go on.
                if rule.fallthrough.applies(request.name()) {
                    continue;
                }
                return done(Ok(Answer {
                    message: request.reply(ResponseCode::NXDomain),
                    plugin: NAME,
                }));
            };
            let mut message = request.reply(rule.code);
            message.metadata.authoritative = true;
            let sections = [
                (&rule.answers, &mut message.answers),
                (&rule.additionals, &mut message.additionals),
                (&rule.authorities, &mut message.authorities),
            ];
            for (templates, section) in sections {
                let records: Result<Vec<Record>, String> =
                    templates.iter().map(|template| template.record(&values)).collect();
                match records {
                    Ok(records) => *section = records,
                    Err(error) => {
                        return done(Err(Failure {
                            code: ResponseCode::ServFail,
                            plugin: NAME,
                            error,
                        }));
                    }
                }
            }
            return done(Ok(Answer { message, plugin: NAME }));
        }
        next.run(request)
    }
}
