//! Reads `cache`.

use super::handler::{Cache, Limits, Settings};
use crate::corefile::{Directive, Error, Token};
use crate::plugins::{Block, only_once};
use crate::request::Handler;
use crate::zone;
use hickory_proto::rr::Name;
use std::sync::Arc;
use std::time::Duration;

/// CoreDNS' defaults.
const CAPACITY: usize = 9984;
const LONGEST_SUCCESS: u32 = 3600;
const LONGEST_DENIAL: u32 = 1800;
const SHORTEST: u32 = 5;
const LONGEST_SERVFAIL: Duration = Duration::from_secs(300);

pub(crate) fn setup(directives: &[Directive], block: &mut Block<'_>) -> Result<Vec<Arc<dyn Handler>>, Error> {
    only_once(directives)?;
    let mut handlers: Vec<Arc<dyn Handler>> = Vec::new();
    for directive in directives {
        handlers.push(Arc::new(Cache::new(settings(directive, block)?, block)));
    }
    Ok(handlers)
}

fn settings(directive: &Directive, block: &Block<'_>) -> Result<Settings, Error> {
    let mut success = Limits {
        capacity: CAPACITY,
        longest: LONGEST_SUCCESS,
        shortest: SHORTEST,
    };
    let mut denial = Limits {
        capacity: CAPACITY,
        longest: LONGEST_DENIAL,
        shortest: SHORTEST,
    };
    let mut zones = directive.args.as_slice();
    if let Some((first, rest)) = zones.split_first()
        && let Ok(ttl) = first.text.parse::<u32>()
    {
        if ttl == 0 {
            return Err(first.error("the ttl of the cache must not be 0"));
        }
        (success.longest, denial.longest) = (ttl, ttl);
        zones = rest;
    }
    let mut settings = Settings {
        zones: if zones.is_empty() {
            block.zones.to_vec()
        } else {
            zone::parse_all(zones)?
        },
        success,
        denial,
        servfail: Duration::from_secs(5),
        keep_ttl: false,
        no_success: Vec::new(),
        no_denial: Vec::new(),
    };
    for line in &directive.block {
        match line.name.text.as_str() {
            "success" => limits(line, &mut settings.success)?,
            "denial" => limits(line, &mut settings.denial)?,
            "servfail" => {
                let token = &line.exactly::<1>("servfail DURATION")?[0];
                settings.servfail = token.duration()?;
                if settings.servfail > LONGEST_SERVFAIL {
                    return Err(token.error("server failures may be kept for 5m at most"));
                }
            }
            "keepttl" => {
                line.exactly::<0>("keepttl")?;
                settings.keep_ttl = true;
            }
            "disable" => disable(line, &mut settings)?,
            "prefetch" | "serve_stale" => {
                return Err(line.name.error(format!("cache does not support {}", line.name.text)));
            }
            _ => return Err(line.unknown("cache")),
        }
    }
    Ok(settings)
}

/// `CAPACITY [TTL] [MINTTL]`.
fn limits(line: &Directive, limits: &mut Limits) -> Result<(), Error> {
    let usage = || line.misused(&format!("{} CAPACITY [TTL] [MINTTL]", line.name.text));
    let number = |token: &Token| token.parse::<u32>("a number of seconds");
    let [capacity, rest @ ..] = line.args.as_slice() else {
        return Err(usage());
    };
    limits.capacity = capacity.parse("a number of messages")?;
    match rest {
        [] => {}
        [longest] => limits.longest = number(longest)?,
        [longest, shortest] => (limits.longest, limits.shortest) = (number(longest)?, number(shortest)?),
        _ => return Err(usage()),
    }
    if limits.longest == 0 || limits.capacity == 0 {
        return Err(line.name.error("the capacity and the ttl must not be 0"));
    }
    Ok(())
}

/// `disable success|denial [ZONES...]`.
fn disable(line: &Directive, settings: &mut Settings) -> Result<(), Error> {
    let usage = "disable success|denial [ZONES...]";
    let Some((kind, zones)) = line.args.split_first() else {
        return Err(line.misused(usage));
    };
    let zones = if zones.is_empty() {
        vec![Name::root()]
    } else {
        zone::parse_all(zones)?
    };
    match kind.text.as_str() {
        "success" => settings.no_success = zones,
        "denial" => settings.no_denial = zones,
        _ => return Err(line.misused(usage)),
    }
    Ok(())
}
