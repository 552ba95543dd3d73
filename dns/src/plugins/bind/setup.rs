//! Reads `bind`.

use crate::corefile::{Directive, Error};
use crate::plugins::Block;
use crate::request::Handler;
use std::sync::Arc;

pub(crate) fn setup(directives: &[Directive], block: &mut Block<'_>) -> Result<Vec<Arc<dyn Handler>>, Error> {
    for directive in directives {
        directive.no_block()?;
        if directive.args.is_empty() {
            return Err(directive.misused("bind ADDRESS..."));
        }
        for argument in &directive.args {
            block
                .binds
                .push(argument.parse("an IP address; names of interfaces are not supported")?);
        }
    }
    Ok(Vec::new())
}
