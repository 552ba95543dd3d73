//! The gRPC contracts between the services, generated from the `.proto` files of this crate: one module per protobuf
//! package, with messages, clients and servers.

// Generated code follows protobuf's names and its own style.
#[allow(clippy::all, clippy::pedantic)]
mod contracts {
    include!(concat!(env!("OUT_DIR"), "/contracts.rs"));
}

pub use contracts::*;

/// Descriptors of every contract, encoded as a `google.protobuf.FileDescriptorSet`, for gRPC server reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
