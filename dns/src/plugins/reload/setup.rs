//! Reads `reload`.

use crate::corefile::{Directive, Error};
use crate::plugins::{Block, Reload, only_once};
use crate::request::Handler;
use std::sync::Arc;
use std::time::Duration;

/// CoreDNS' smallest values.
const SHORTEST_INTERVAL: Duration = Duration::from_secs(2);
const SHORTEST_JITTER: Duration = Duration::from_secs(1);

pub(crate) fn setup(directives: &[Directive], block: &mut Block<'_>) -> Result<Vec<Arc<dyn Handler>>, Error> {
    only_once(directives)?;
    for directive in directives {
        directive.no_block()?;
        if directive.args.len() > 2 {
            return Err(directive.misused("reload [INTERVAL [JITTER]]"));
        }
        let interval = match directive.args.first() {
            Some(token) => token.duration()?,
            None => Duration::from_secs(30),
        };
        let jitter = match directive.args.get(1) {
            Some(token) => token.duration()?,
            None => Duration::from_secs(15).min(interval / 2),
        };
        let too_short =
            |what: &str, least: Duration| directive.name.error(format!("{what} must be at least {least:?}"));
        if !interval.is_zero() {
            if interval < SHORTEST_INTERVAL {
                return Err(too_short("the interval", SHORTEST_INTERVAL));
            }
            if jitter < SHORTEST_JITTER {
                return Err(too_short("the jitter", SHORTEST_JITTER));
            }
            // No interval is CoreDNS' way of switching it off.
            block.plan.reload = Some(Reload {
                interval,
                jitter: jitter.min(interval / 2),
            });
        }
    }
    Ok(Vec::new())
}
