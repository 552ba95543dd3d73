//! Reads `errors`.

use super::handler::Errors;
use crate::corefile::{Directive, Error};
use crate::plugins::{Block, only_once};
use crate::request::Handler;
use std::sync::Arc;

pub(crate) fn setup(directives: &[Directive], _block: &mut Block<'_>) -> Result<Vec<Arc<dyn Handler>>, Error> {
    only_once(directives)?;
    for directive in directives {
        directive.exactly::<0>("errors")?;
        if let Some(line) = directive.block.first() {
            return Err(line.unknown("errors"));
        }
    }
    Ok(vec![Arc::new(Errors)])
}
