//! Reads `rewrite`.

use super::handler::Rewrite;
use super::rule::{Field, Matcher, Rule};
use crate::corefile::{Directive, Error, Token};
use crate::plugins::Block;
use crate::request::Handler;
use hickory_proto::rr::{DNSClass, Name, RecordType};
use std::str::FromStr;
use std::sync::Arc;

const NAME_USAGE: &str = "rewrite [continue|stop] name [exact|prefix|suffix|substring|regex] FROM TO [answer auto]";

pub(crate) fn setup(directives: &[Directive], _block: &mut Block<'_>) -> Result<Vec<Arc<dyn Handler>>, Error> {
    let rules = directives.iter().map(rule).collect::<Result<_, _>>()?;
    Ok(vec![Arc::new(Rewrite { rules })])
}

fn rule(directive: &Directive) -> Result<Rule, Error> {
    directive.no_block()?;
    let (proceed, words) = match directive.args.split_first() {
        Some((first, rest)) if first.text == "continue" => (true, rest),
        Some((first, rest)) if first.text == "stop" => (false, rest),
        _ => (false, directive.args.as_slice()),
    };
    let Some((field, words)) = words.split_first() else {
        return Err(directive.misused(NAME_USAGE));
    };
    let field = match field.text.as_str() {
        "name" => name_field(directive, words)?,
        "type" => {
            let [from, to] = pair(directive, words, "rewrite type FROM TO")?;
            Field::Type(kind(from)?, kind(to)?)
        }
        "class" => {
            let [from, to] = pair(directive, words, "rewrite class FROM TO")?;
            Field::Class(class(from)?, class(to)?)
        }
        "edns0" | "ttl" | "cname" | "rcode" => {
            return Err(field.error(format!("rewrite does not support {}", field.text)));
        }
        _ => return Err(field.error(format!("rewrite has no field {:?}", field.text))),
    };
    Ok(Rule { field, proceed })
}

fn pair<'a>(directive: &Directive, words: &'a [Token], usage: &str) -> Result<&'a [Token; 2], Error> {
    words.try_into().map_err(|_| directive.misused(usage))
}

fn kind(token: &Token) -> Result<RecordType, Error> {
    RecordType::from_str(&token.text.to_uppercase()).map_err(|_| token.error(format!("{:?} is not a type", token.text)))
}

fn class(token: &Token) -> Result<DNSClass, Error> {
    DNSClass::from_str(&token.text.to_uppercase()).map_err(|_| token.error(format!("{:?} is not a class", token.text)))
}

fn name_field(directive: &Directive, words: &[Token]) -> Result<Field, Error> {
    let how = ["exact", "prefix", "suffix", "substring", "regex"];
    let (how, words) = match words.split_first() {
        Some((first, rest)) if how.contains(&first.text.as_str()) && rest.len() >= 2 => (first.text.as_str(), rest),
        _ => ("exact", words),
    };
    let [from, to, options @ ..] = words else {
        return Err(directive.misused(NAME_USAGE));
    };
    let restore = match options {
        [] => how == "exact",
        [answer, auto] if answer.text == "answer" && auto.text == "auto" => true,
        [first, ..] => {
            return Err(first.error("of the options of rewrite name only `answer auto` is supported"));
        }
    };
    let matcher = match how {
        "exact" => Matcher::Exact(name(from)?, name(to)?),
        "prefix" => Matcher::Prefix(from.text.to_lowercase(), to.text.to_lowercase()),
        "suffix" => Matcher::Suffix(dotted(&from.text), dotted(&to.text)),
        "substring" => Matcher::Substring(from.text.to_lowercase(), to.text.to_lowercase()),
        _ => {
            let pattern = regex::bytes::RegexBuilder::new(&from.text)
                .unicode(false)
                .size_limit(1 << 20)
                .build();
            let pattern = pattern.map_err(|error| {
                let reason = error.to_string();
                let reason = reason
                    .lines()
                    .last()
                    .unwrap_or_default()
                    .trim_start_matches("error: ")
                    .to_owned();
                from.error(format!("{:?} is not a regular expression: {reason}", from.text))
            })?;
            Matcher::Regex(Box::new(pattern), to.text.clone())
        }
    };
    Ok(Field::Name { matcher, restore })
}

fn name(token: &Token) -> Result<Name, Error> {
    let mut name = Name::from_ascii(&token.text).map_err(|_| token.error(format!("{:?} is not a name", token.text)))?;
    name.set_fqdn(true);
    Ok(name)
}

/// Suffixes are compared with names that end in a dot.
fn dotted(text: &str) -> String {
    let lower = text.to_lowercase();
    if lower.ends_with('.') { lower } else { lower + "." }
}
