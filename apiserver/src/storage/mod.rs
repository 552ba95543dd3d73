//! Where objects are kept: one interface, implemented by the etcd v3 client and by the watch cache over it.

pub mod cacher;
mod change;
pub mod codec;
pub mod continue_token;
pub mod etcd3;
pub mod foreign;
pub mod interface;

pub use codec::Codec;
pub use foreign::Form;
pub use interface::{Error, Storage};
