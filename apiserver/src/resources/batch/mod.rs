//! The batch group.

mod cron;
mod cronjob;
mod job;

use crate::registry::resource::Resource;

pub(super) fn all() -> Vec<Resource> {
    vec![cronjob::resource(), job::resource()]
}
