//! The storage.k8s.io group.

mod class;
mod csidriver;
mod csinode;
mod csistoragecapacity;
mod storageclass;
mod volumeattachment;
mod volumeattributesclass;

use crate::registry::resource::Resource;

/// The group's name.
const GROUP: &str = "storage.k8s.io";

pub(super) fn all() -> Vec<Resource> {
    vec![
        csidriver::resource(),
        csinode::resource(),
        csistoragecapacity::resource(),
        storageclass::resource(),
        volumeattachment::resource(),
        volumeattributesclass::resource(),
    ]
}
