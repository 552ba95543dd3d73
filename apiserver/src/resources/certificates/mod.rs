//! The certificates group.

mod certificatesigningrequest;
pub(super) mod pair;
mod pem;
mod validate;

use crate::registry::resource::Resource;

pub(super) fn all() -> Vec<Resource> {
    vec![certificatesigningrequest::resource()]
}
