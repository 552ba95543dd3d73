//! Reads `loop`.

use super::handler::{Loop, probe};
use crate::corefile::{Directive, Error};
use crate::plugins::{Block, Job, only_once, random};
use crate::request::Handler;
use hickory_proto::rr::Name;
use std::sync::Arc;

pub(crate) fn setup(directives: &[Directive], block: &mut Block<'_>) -> Result<Vec<Arc<dyn Handler>>, Error> {
    only_once(directives)?;
    let mut handlers: Vec<Arc<dyn Handler>> = Vec::new();
    for directive in directives {
        directive.exactly::<0>("loop")?;
        directive.no_block()?;
        let zone = block.zones.first().cloned().unwrap_or_else(Name::root);
        // Two numbers nobody else asks for.
        let labels = [random().to_string(), random().to_string()];
        let name = Name::from_labels(labels.iter().map(|label| label.as_bytes()))
            .and_then(|name| name.append_domain(&zone))
            .map_err(|_| directive.name.error(format!("the zone {zone} is too long for a probe")))?;
        let handler = Arc::new(Loop::new(name, zone, block.shared.tasks.clone()));
        let prober = handler.clone();
        block
            .plan
            .jobs
            .push(Job::new("loop", move |context| probe(prober, context)));
        handlers.push(handler);
    }
    Ok(handlers)
}
