//! The batch group.

mod cron;
mod cronjob;
mod indexes;
mod job;
mod policies;
mod status;

use crate::registry::resource::Resource;

pub(super) fn all() -> Vec<Resource> {
    vec![cronjob::resource(), job::resource()]
}
