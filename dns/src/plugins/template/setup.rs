//! Reads `template`.

use super::handler::{Rule, Templates};
use super::text::Template;
use crate::corefile::{Directive, Error, Token};
use crate::plugins::Block;
use crate::request::Handler;
use crate::zone::{self, Fallthrough};
use hickory_proto::op::ResponseCode;
use hickory_proto::rr::{DNSClass, RecordType};
use std::str::FromStr;
use std::sync::Arc;

pub(crate) fn setup(directives: &[Directive], block: &mut Block<'_>) -> Result<Vec<Arc<dyn Handler>>, Error> {
    let rules = directives
        .iter()
        .map(|directive| rule(directive, block))
        .collect::<Result<_, _>>()?;
    Ok(vec![Arc::new(Templates { rules })])
}

fn rule(directive: &Directive, block: &Block<'_>) -> Result<Rule, Error> {
    let [class, kind, zones @ ..] = directive.args.as_slice() else {
        return Err(directive.misused("template CLASS TYPE [ZONES...]"));
    };
    let mut rule = Rule {
        class: optional(class, DNSClass::from_str, "a class")?,
        kind: optional(kind, RecordType::from_str, "a type")?,
        zones: if zones.is_empty() {
            block.zones.to_vec()
        } else {
            zone::parse_all(zones)?
        },
        patterns: Vec::new(),
        answers: Vec::new(),
        additionals: Vec::new(),
        authorities: Vec::new(),
        code: ResponseCode::NoError,
        fallthrough: Fallthrough::default(),
    };
    for line in &directive.block {
        match line.name.text.as_str() {
            "match" => {
                if line.args.is_empty() {
                    return Err(line.misused("match REGEX..."));
                }
                for token in &line.args {
                    rule.patterns.push(pattern(token)?);
                }
            }
            "answer" => rule.answers.extend(templates(line)?),
            "additional" => rule.additionals.extend(templates(line)?),
            "authority" => rule.authorities.extend(templates(line)?),
            "rcode" => {
                let token = &line.exactly::<1>("rcode CODE")?[0];
                rule.code = code(&token.text).ok_or_else(|| token.error(format!("{:?} is not a code", token.text)))?;
            }
            "fallthrough" => rule.fallthrough = Fallthrough::parse(&line.args)?,
            "ederror" | "upstream" => {
                return Err(line.name.error(format!("template does not support {}", line.name.text)));
            }
            _ => return Err(line.unknown("template")),
        }
    }
    if rule.patterns.is_empty() {
        rule.patterns
            .push(regex::bytes::Regex::new(".*").map_err(|error| directive.name.error(error.to_string()))?);
    }
    Ok(rule)
}

/// `ANY` is everything.
fn optional<T, E>(token: &Token, parse: impl Fn(&str) -> Result<T, E>, what: &str) -> Result<Option<T>, Error> {
    match token.text.to_uppercase().as_str() {
        "ANY" => Ok(None),
        text => parse(text)
            .map(Some)
            .map_err(|_| token.error(format!("{:?} is not {what}", token.text))),
    }
}

fn pattern(token: &Token) -> Result<regex::bytes::Regex, Error> {
    let built = regex::bytes::RegexBuilder::new(&token.text)
        .unicode(false)
        .size_limit(1 << 20)
        .build();
    built.map_err(|_| token.error(format!("{:?} is not a regular expression", token.text)))
}

fn templates(line: &Directive) -> Result<Vec<Template>, Error> {
    if line.args.is_empty() {
        return Err(line.misused(&format!("{} \"RECORD\"...", line.name.text)));
    }
    let read = |token: &Token| Template::parse(&token.text).map_err(|why| token.error(format!("the template {why}")));
    line.args.iter().map(read).collect()
}

fn code(text: &str) -> Option<ResponseCode> {
    Some(match text.to_uppercase().as_str() {
        "NOERROR" => ResponseCode::NoError,
        "FORMERR" => ResponseCode::FormErr,
        "SERVFAIL" => ResponseCode::ServFail,
        "NXDOMAIN" => ResponseCode::NXDomain,
        "NOTIMP" => ResponseCode::NotImp,
        "REFUSED" => ResponseCode::Refused,
        _ => return None,
    })
}
