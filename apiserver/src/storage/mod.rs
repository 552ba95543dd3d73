//! Where objects are kept: one interface, implemented by the etcd v3 client and by the watch cache over it.

pub mod interface;
