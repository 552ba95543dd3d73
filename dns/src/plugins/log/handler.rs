//! Writes the line once the answer is known.

use crate::request::{Handler, Next, Outcome, Request, Served};
use crate::zone::matching;
use hickory_proto::op::ResponseCode;
use hickory_proto::rr::Name;
use hickory_proto::serialize::binary::BinEncodable;
use std::time::{Duration, Instant};

/// Kinds of answers (CoreDNS' `plugin/pkg/response`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    All,
    Success,
    Denial,
    Error,
}

impl Class {
    pub(super) fn parse(text: &str) -> Option<Self> {
        match text {
            "all" => Some(Class::All),
            "success" => Some(Class::Success),
            "denial" => Some(Class::Denial),
            "error" => Some(Class::Error),
            _ => None,
        }
    }

    fn of(outcome: &Outcome) -> Self {
        match outcome {
            Err(_) => Class::Error,
            Ok(answer) => match answer.message.metadata.response_code {
                ResponseCode::NoError if answer.message.answers.is_empty() => Class::Denial,
                ResponseCode::NoError => Class::Success,
                ResponseCode::NXDomain => Class::Denial,
                _ => Class::Error,
            },
        }
    }
}

/// Which names and answers are logged, and how.
#[derive(Debug)]
pub(super) struct Rule {
    pub(super) zones: Vec<Name>,
    pub(super) format: String,
    pub(super) classes: Vec<Class>,
}

#[derive(Debug)]
pub(super) struct Log {
    pub(super) rules: Vec<Rule>,
}

impl Handler for Log {
    fn name(&self) -> &'static str {
        "log"
    }

    fn serve<'a>(&'a self, request: &'a Request, next: Next<'a>) -> Served<'a> {
        let Some(rule) = self
            .rules
            .iter()
            .find(|rule| matching(&rule.zones, request.name()).is_some())
        else {
            return next.run(request);
        };
        Box::pin(async move {
            let started = Instant::now();
            let outcome = next.run(request).await;
            let class = Class::of(&outcome);
            if rule
                .classes
                .iter()
                .any(|wanted| *wanted == Class::All || *wanted == class)
            {
                tracing::info!("{}", line(&rule.format, request, &outcome, started.elapsed()));
            }
            outcome
        })
    }
}

/// The format with its fields replaced, as CoreDNS' `plugin/pkg/replacer` does.
fn line(format: &str, request: &Request, outcome: &Outcome, took: Duration) -> String {
    let mut text = String::with_capacity(format.len() * 2);
    let mut rest = format;
    while let Some((before, after)) = rest.split_once('{') {
        let Some((field, tail)) = after.split_once('}') else {
            break;
        };
        text.push_str(before);
        match value(field, request, outcome, took) {
            Some(value) => text.push_str(&value),
            None => {
                text.push('{');
                text.push_str(field);
                text.push('}');
            }
        }
        rest = tail;
    }
    text.push_str(rest);
    text
}

fn value(field: &str, request: &Request, outcome: &Outcome, took: Duration) -> Option<String> {
    let edns = request.message.edns.as_ref();
    let answer = outcome.as_ref().ok().map(|answer| &answer.message);
    Some(match field {
        "remote" => request.peer.ip().to_canonical().to_string(),
        "port" => request.peer.port().to_string(),
        "type" => request.kind().to_string(),
        "class" => request.question.query_class.to_string(),
        "name" => request.name().to_lowercase().to_string(),
        "proto" => request.transport.name().to_owned(),
        "size" => request.size.to_string(),
        "rsize" => answer
            .and_then(|message| message.to_bytes().ok())
            .map_or(0, |bytes| bytes.len())
            .to_string(),
        "rcode" => match outcome {
            Ok(answer) => code_name(answer.message.metadata.response_code),
            Err(failure) => code_name(failure.code),
        },
        "duration" => format!("{:.9}s", took.as_secs_f64()),
        ">id" => request.message.metadata.id.to_string(),
        ">do" => request.dnssec_ok().to_string(),
        ">bufsize" => edns.map_or(512, |edns| edns.max_payload()).to_string(),
        ">rflags" => answer.map_or_else(|| "-".to_owned(), flags),
        _ => return None,
    })
}

fn flags(message: &hickory_proto::op::Message) -> String {
    let metadata = &message.metadata;
    let set = [
        ("qr", true),
        ("aa", metadata.authoritative),
        ("tc", metadata.truncation),
        ("rd", metadata.recursion_desired),
        ("ra", metadata.recursion_available),
        ("ad", metadata.authentic_data),
        ("cd", metadata.checking_disabled),
    ];
    set.into_iter()
        .filter(|(_, is_set)| *is_set)
        .map(|(name, _)| name)
        .collect::<Vec<_>>()
        .join(",")
}

/// The code as miekg/dns writes it.
pub(crate) fn code_name(code: ResponseCode) -> String {
    match code {
        ResponseCode::NoError => "NOERROR",
        ResponseCode::FormErr => "FORMERR",
        ResponseCode::ServFail => "SERVFAIL",
        ResponseCode::NXDomain => "NXDOMAIN",
        ResponseCode::NotImp => "NOTIMP",
        ResponseCode::Refused => "REFUSED",
        other => return u16::from(other).to_string(),
    }
    .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::{Answer, Transport};
    use crate::testing::Lab;
    use hickory_proto::op::{Message, Query};

    #[test]
    fn fields_are_replaced_and_unknown_ones_stay() {
        let lab = Lab::new(". {\n errors\n}", Vec::new());
        let question = Query::query(
            Name::from_ascii("A.Example.").unwrap(),
            hickory_proto::rr::RecordType::A,
        );
        let mut message = Message::query();
        message.metadata.id = 7;
        message.metadata.recursion_desired = true;
        message.queries = vec![question.clone()];
        let request = Request {
            message,
            question,
            peer: "[::ffff:10.0.0.9]:5353".parse().unwrap(),
            transport: Transport::Udp,
            size: 30,
            zone: Name::root(),
            router: lab.router,
            depth: 0,
        };
        let outcome = Ok(Answer {
            message: request.reply(ResponseCode::NXDomain),
            plugin: "test",
        });
        let took = Duration::from_micros(1500);
        let format = "{remote}:{port} {>id} \"{type} {class} {name} {proto} {size} {>do} {>bufsize}\" {rcode} {>rflags} {rsize} {duration} {odd} {";
        assert_eq!(
            line(format, &request, &outcome, took),
            "10.0.0.9:5353 7 \"A IN a.example. udp 30 false 512\" NXDOMAIN qr,rd 27 0.001500000s {odd} {"
        );
        assert_eq!(Class::of(&outcome), Class::Denial);
    }
}
