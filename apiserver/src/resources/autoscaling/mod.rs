//! The autoscaling group: one kind in two versions, stored in the newer.

mod annotations;
mod conversion;
mod v1;
mod v2;
mod validate;

use crate::registry::resource::Resource;

pub(super) fn all() -> Vec<Resource> {
    vec![v2::resource(), v1::resource()]
}
