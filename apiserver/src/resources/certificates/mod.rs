//! The certificates group.

mod certificatesigningrequest;
mod pem;
mod validate;

use crate::registry::resource::Resource;

pub(super) fn all() -> Vec<Resource> {
    vec![certificatesigningrequest::resource()]
}
