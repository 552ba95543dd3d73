//! Reads `loadbalance`.

use super::handler::LoadBalance;
use crate::corefile::{Directive, Error};
use crate::plugins::{Block, only_once};
use crate::request::Handler;
use std::sync::Arc;

pub(crate) fn setup(directives: &[Directive], _block: &mut Block<'_>) -> Result<Vec<Arc<dyn Handler>>, Error> {
    only_once(directives)?;
    for directive in directives {
        directive.no_block()?;
        match directive.at_most_one("loadbalance [round_robin]")? {
            Some(policy) if policy.text != "round_robin" => {
                return Err(policy.error(format!("loadbalance has no policy {:?}, only round_robin", policy.text)));
            }
            _ => {}
        }
    }
    Ok(vec![Arc::new(LoadBalance)])
}
