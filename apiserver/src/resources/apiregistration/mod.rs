//! The apiregistration group: which server answers for which group and version.

mod apiservice;

use crate::registry::resource::Resource;

pub(super) fn all() -> Vec<Resource> {
    vec![apiservice::resource()]
}
