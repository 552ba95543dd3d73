//! Brings reservations in line with the Services that are there, whoever has changed one of them
//! (kubernetes `pkg/registry/core/service/{ipallocator,portallocator}/controller`).

mod addresses;
mod ports;

use super::addresses::is_own;
use super::families::family_of;
use super::{Failure, ServiceAllocator, cluster_ips};
use crate::admission::Lookup;
use addresses::{Remedy, Verdict};
use machinery::gvk::GroupResource;
use machinery::meta;
use machinery::status::Status;
use serde_json::Value;
use std::net::IpAddr;
use std::time::Duration;

pub use ports::Leaks;

/// Something that was wrong with an object, in the words of the event that tells about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The event's reason.
    pub reason: &'static str,
    /// The event's action.
    pub action: &'static str,
    /// The event's note.
    pub note: String,
}

/// What became of an address that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Looked {
    /// It is right, or nobody's business.
    Fine,
    /// It may belong to a Service that is just being written: look again after this time.
    Again(Duration),
    /// It was freed.
    Freed(Finding),
}

impl ServiceAllocator {
    /// The cluster IPs of a Service.
    pub fn addresses_of(service: &Value) -> Vec<String> {
        let wanted = |ip: &String| !ip.is_empty() && ip != "None";
        cluster_ips(service).into_iter().filter(wanted).collect()
    }

    /// Makes sure that every cluster IP of a Service is reserved for it.
    ///
    /// # Errors
    /// When the store cannot be read or written.
    pub async fn repair_service(&self, lookup: &dyn Lookup, service: &Value) -> Result<Vec<Finding>, Status> {
        let mut findings = Vec::new();
        for text in Self::addresses_of(service) {
            let Ok(address) = text.parse::<IpAddr>() else {
                findings.push(addresses::not_valid());
                continue;
            };
            let address = address.to_string();
            let family = family_of(&address).unwrap_or_default();
            if !self.addresses().contains(&address).await.map_err(status)? {
                findings.push(addresses::out_of_range(family, &address));
                continue;
            }
            let object = lookup.find(&ip_addresses(), "", &address).await?;
            let referenced = match object
                .as_ref()
                .and_then(|object| addresses::other_parent(object, service))
            {
                Some((namespace, name)) => lookup.find(&services(), namespace, name).await?,
                None => None,
            };
            let (remedy, finding) =
                addresses::of_service(service, family, &address, object.as_ref(), referenced.as_ref());
            findings.extend(finding);
            if remedy == Remedy::Recreate {
                self.addresses().free(&address).await;
            }
            if remedy != Remedy::None {
                let parent = (meta::namespace(service), meta::name(service));
                self.addresses().take(&address, parent).await.map_err(status)?;
            }
        }
        Ok(findings)
    }

    /// Frees an address that the allocator has reserved and no Service has. `now` is in seconds.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn repair_address(&self, lookup: &dyn Lookup, object: &Value, now: i64) -> Result<Looked, Status> {
        if !is_own(object) {
            return Ok(Looked::Fine);
        }
        let (namespace, name) = addresses::parent(object);
        let mut service = lookup.get(&services(), namespace, name).await?;
        let mut verdict = addresses::of_address(object, service.as_ref(), now);
        if matches!(verdict, Verdict::Free(_)) {
            // The cache may be a moment behind: what is freed must be nobody's right now.
            service = lookup.latest(&services(), namespace, name).await?;
            verdict = addresses::of_address(object, service.as_ref(), now);
        }
        Ok(match verdict {
            Verdict::Keep => Looked::Fine,
            Verdict::Wait(time) => Looked::Again(time),
            Verdict::Free(finding) => {
                self.addresses().free(meta::name(object)).await;
                Looked::Freed(finding)
            }
        })
    }

    /// Makes the node ports that are reserved those of `services`. What nobody has is given up only after it has been
    /// seen several times, which `leaks` remembers: another server may be about to write its Service. Says which Services
    /// have something wrong.
    ///
    /// # Errors
    /// When the store cannot be read or written.
    pub async fn repair_ports<'a>(
        &self,
        services: &'a [Value],
        leaks: &mut Leaks,
    ) -> Result<Vec<(&'a Value, Finding)>, Status> {
        self.ports().repair(services, leaks).await.map_err(status)
    }
}

fn services() -> GroupResource {
    GroupResource::new("", "services")
}

fn ip_addresses() -> GroupResource {
    GroupResource::new("networking.k8s.io", "ipaddresses")
}

fn status(failure: Failure) -> Status {
    match failure {
        Failure::Store(status) => *status,
        Failure::Refused(why) => Status::internal(why),
    }
}
