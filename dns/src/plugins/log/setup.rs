//! Reads `log`.

use super::handler::{Class, Log, Rule};
use crate::corefile::{Directive, Error};
use crate::plugins::Block;
use crate::request::Handler;
use crate::zone;
use hickory_proto::rr::Name;
use std::sync::Arc;

/// CoreDNS' common log format.
const COMMON: &str = "{remote}:{port} - {>id} \"{type} {class} {name} {proto} {size} {>do} {>bufsize}\" {rcode} {>rflags} {rsize} {duration}";

pub(crate) fn setup(directives: &[Directive], _block: &mut Block<'_>) -> Result<Vec<Arc<dyn Handler>>, Error> {
    let rules = directives.iter().map(rule).collect::<Result<_, _>>()?;
    Ok(vec![Arc::new(Log { rules })])
}

fn rule(directive: &Directive) -> Result<Rule, Error> {
    // The last word is the format if it has a field in it.
    let (names, format) = match directive.args.split_last() {
        Some((last, names)) if last.text.contains('{') => (
            names,
            last.text.replace("{common}", COMMON).replace("{combined}", COMMON),
        ),
        _ => (directive.args.as_slice(), COMMON.to_owned()),
    };
    let zones = if names.is_empty() {
        vec![Name::root()]
    } else {
        zone::parse_all(names)?
    };
    let mut classes = Vec::new();
    for line in &directive.block {
        if line.name.text != "class" {
            return Err(line.unknown("log"));
        }
        if line.args.is_empty() {
            return Err(line.misused("class all|denial|error|success..."));
        }
        for word in &line.args {
            classes.push(Class::parse(&word.text).ok_or_else(|| line.misused("class all|denial|error|success..."))?);
        }
    }
    if classes.is_empty() {
        classes.push(Class::All);
    }
    Ok(Rule { zones, format, classes })
}
