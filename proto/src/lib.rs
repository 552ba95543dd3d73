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

#[cfg(test)]
mod tests {
    use super::FILE_DESCRIPTOR_SET;
    use prost::Message;

    #[test]
    fn reflection_describes_every_contract() {
        let set = prost_types::FileDescriptorSet::decode(FILE_DESCRIPTOR_SET).unwrap();
        let services: Vec<String> = set
            .file
            .iter()
            .flat_map(|file| {
                file.service
                    .iter()
                    .map(|service| format!("{}.{}", file.package(), service.name()))
            })
            .collect();
        for name in [
            "etcdserverpb.KV",
            "vcluster.apiserver.v1.State",
            "vcluster.dns.v1.Records",
            "vcluster.syncer.v1.Syncer",
        ] {
            assert!(
                services.iter().any(|service| service == name),
                "{name} is missing in {services:?}"
            );
        }
    }
}
