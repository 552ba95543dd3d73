//! Brings reservations in line with the Services that are there, after a crash between the two
//! (kubernetes `pkg/registry/core/service/{ipallocator,portallocator}/controller`).

use super::addresses::is_own;
use super::{Failure, ServiceAllocator, cluster_ips, node_ports};
use machinery::status::Status;
use machinery::{meta, time};
use serde_json::Value;

/// A reservation younger than this may belong to a Service that another API server is about to write.
const GRACE_SECONDS: i64 = 60;

impl ServiceAllocator {
    /// Reserves what Services have and frees what none has.
    ///
    /// # Errors
    /// When the store cannot be read or written.
    pub async fn repair(&self, services: &[Value], now: i64) -> Result<(), Status> {
        self.repair_unworded(services, now)
            .await
            .map_err(|failure| match failure {
                Failure::Store(status) => *status,
                Failure::Refused(why) => Status::internal(why),
            })
    }

    async fn repair_unworded(&self, services: &[Value], now: i64) -> Result<(), Failure> {
        let mut wanted: Vec<String> = Vec::new();
        for service in services {
            for address in cluster_ips(service).into_iter().filter(|ip| ip != "None") {
                self.addresses()
                    .take(&address, (meta::namespace(service), meta::name(service)), false)
                    .await?;
                wanted.push(address);
            }
        }
        for object in self.addresses().all().await?.into_iter().filter(is_own) {
            let address = meta::name(&object);
            let created = meta::str_at(&object, &["metadata", "creationTimestamp"]).and_then(time::parse);
            let settled = created.is_none_or(|t| now - t.as_second() > GRACE_SECONDS);
            if settled && !wanted.iter().any(|ip| ip == address) {
                self.addresses().free(address).await;
            }
        }
        let ports: Vec<u16> = services.iter().flat_map(node_ports).collect();
        self.ports().reset(&ports).await
    }
}
