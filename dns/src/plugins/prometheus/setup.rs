//! Reads `prometheus`.

use super::handler::Prometheus;
use crate::corefile::{Directive, Error};
use crate::plugins::{Block, Endpoint, EndpointKind, http_address, only_once};
use crate::request::Handler;
use std::sync::Arc;

pub(crate) fn setup(directives: &[Directive], block: &mut Block<'_>) -> Result<Vec<Arc<dyn Handler>>, Error> {
    only_once(directives)?;
    for directive in directives {
        directive.no_block()?;
        let address = directive
            .at_most_one("prometheus [ADDRESS]")?
            .map_or("localhost:9153", |token| &token.text);
        let address = http_address(directive, address)?;
        block.plan.http.push(Endpoint {
            kind: EndpointKind::Prometheus,
            address,
            directive: directive.clone(),
        });
    }
    let metrics = block.shared.metrics.clone();
    Ok(vec![Arc::new(Prometheus {
        metrics,
        server: block.server.to_owned(),
    })])
}
