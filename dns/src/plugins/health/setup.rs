//! Reads `health`.

use crate::corefile::{Directive, Error};
use crate::plugins::{Block, Endpoint, EndpointKind, http_address, only_once};
use crate::request::Handler;
use std::sync::Arc;

pub(crate) fn setup(directives: &[Directive], block: &mut Block<'_>) -> Result<Vec<Arc<dyn Handler>>, Error> {
    only_once(directives)?;
    for directive in directives {
        let address = directive
            .at_most_one("health [ADDRESS]")?
            .map_or(":8080", |token| &token.text);
        let address = http_address(directive, address)?;
        for line in &directive.block {
            match line.name.text.as_str() {
                "lameduck" => block.plan.lameduck = line.exactly::<1>("lameduck DURATION")?[0].duration()?,
                _ => return Err(line.unknown("health")),
            }
        }
        block.plan.http.push(Endpoint {
            kind: EndpointKind::Health,
            address,
            directive: directive.clone(),
        });
    }
    Ok(Vec::new())
}
