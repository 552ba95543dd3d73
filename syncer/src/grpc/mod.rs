//! What the syncer serves over gRPC: DNS records for the name server, and answers about itself.

mod admin;
pub mod records;

use std::sync::Arc;

use chassis::Chassis;
use proto::vcluster::dns::v1::records_server::RecordsServer;
use proto::vcluster::syncer::v1::syncer_server::SyncerServer;

use crate::engine::Engine;

/// Adds both contracts to the process' gRPC server.
pub fn register(chassis: &mut Chassis, engine: &Arc<Engine>, records: &Arc<records::Publisher>) {
    let records = RecordsServer::new(records::Service::new(records.clone(), chassis.shutdown()));
    let admin = SyncerServer::new(admin::Admin::new(engine.clone()));
    chassis
        .grpc()
        .descriptors(proto::FILE_DESCRIPTOR_SET)
        .add(records)
        .add(admin);
}
