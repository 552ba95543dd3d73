//! Cluster IPs and node ports: what Services have is reserved, and nothing else for long; what was wrong is told in events
//! (kubernetes `pkg/registry/core/service/{ipallocator,portallocator}/controller`).

use super::{Controller, Feed, Kind, Seen};
use crate::bootstrap::writer::Writer;
use crate::endpoints::api::Api;
use crate::registry::allocators::ServiceAllocator;
use crate::registry::allocators::repair::{Finding, Leaks, Looked};
use machinery::gvk::GroupResource;
use machinery::meta;
use machinery::status::Status;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::time::Duration;

const SERVICES: Kind = ("", "services");
const ADDRESSES: Kind = ("networking.k8s.io", "ipaddresses");
const EVENTS: Kind = ("events.k8s.io", "events");
/// Who upstream says has found something about addresses and about ports.
const OF_ADDRESSES: &str = "ipallocator-repair-controller";
const OF_PORTS: &str = "portallocator-repair-controller";

/// Looks at everything at once, as a server does when it starts.
pub(crate) struct Repair<'a> {
    api: &'a Api,
    allocator: &'a ServiceAllocator,
    leaks: Leaks,
}

impl<'a> Repair<'a> {
    pub(crate) fn new(api: &'a Api, allocator: &'a ServiceAllocator) -> Self {
        Repair {
            api,
            allocator,
            leaks: Leaks::default(),
        }
    }

    /// Repairs the cluster IPs of all Services, then frees those of nobody.
    ///
    /// # Errors
    /// When the store cannot be read or written.
    pub(crate) async fn addresses(&self) -> Result<(), Status> {
        for service in Writer::new(self.api, SERVICES.0, SERVICES.1)?.all().await? {
            repair_service(self.api, self.allocator, &service).await?;
        }
        for address in Writer::new(self.api, ADDRESSES.0, ADDRESSES.1)?.all().await? {
            repair_address(self.api, self.allocator, &address).await?;
        }
        Ok(())
    }

    /// Repairs the node ports.
    ///
    /// # Errors
    /// When the store cannot be read or written.
    pub(crate) async fn ports(&mut self) -> Result<(), Status> {
        let services = Writer::new(self.api, SERVICES.0, SERVICES.1)?.all().await?;
        for (service, finding) in self.allocator.repair_ports(&services, &mut self.leaks).await? {
            report(self.api, OF_PORTS, service, &finding).await;
        }
        Ok(())
    }
}

/// Looks after the cluster IPs from then on.
pub(super) struct ClusterIps {
    allocator: ServiceAllocator,
    /// Namespace and name of the Service that was seen with an address.
    holders: HashMap<String, (String, String)>,
}

impl ClusterIps {
    pub(super) fn new(allocator: ServiceAllocator) -> Self {
        ClusterIps {
            allocator,
            holders: HashMap::new(),
        }
    }
}

impl Controller for ClusterIps {
    const NAME: &'static str = "cluster-ip-repair";
    const FOLLOWS: &'static [Kind] = &[SERVICES, ADDRESSES];

    async fn see(&mut self, api: &Api, feed: &mut Feed, seen: Seen) -> Result<(), Status> {
        let name = seen.object.index.name.to_string();
        let lookup = api.catalog.lookup();
        match (seen.kind == SERVICES, seen.gone) {
            (true, gone) => {
                let service = seen.decode(api)?;
                let place = (meta::namespace(&service).to_owned(), name);
                for address in ServiceAllocator::addresses_of(&service) {
                    if gone {
                        self.holders.remove(&address);
                    } else {
                        self.holders.insert(address, place.clone());
                    }
                }
                if gone {
                    return Ok(());
                }
                repair_service(api, &self.allocator, &service).await
            }
            // Somebody else has removed the address of a Service.
            (false, true) => {
                let Some((namespace, holder)) = self.holders.get(&name) else {
                    return Ok(());
                };
                let services = GroupResource::new(SERVICES.0, SERVICES.1);
                let service = lookup.latest(&services, namespace, holder).await?;
                let service = service.filter(|service| ServiceAllocator::addresses_of(service).contains(&name));
                match service {
                    Some(service) => repair_service(api, &self.allocator, &service).await,
                    None => {
                        self.holders.remove(&name);
                        Ok(())
                    }
                }
            }
            (false, false) => {
                let addresses = GroupResource::new(ADDRESSES.0, ADDRESSES.1);
                let Some(object) = lookup.get(&addresses, "", &name).await? else {
                    return Ok(());
                };
                if let Some(time) = repair_address(api, &self.allocator, &object).await? {
                    feed.again(seen, time);
                }
                Ok(())
            }
        }
    }
}

async fn repair_service(api: &Api, allocator: &ServiceAllocator, service: &Value) -> Result<(), Status> {
    for finding in allocator.repair_service(api.catalog.lookup().as_ref(), service).await? {
        report(api, OF_ADDRESSES, service, &finding).await;
    }
    Ok(())
}

/// Answers when to look again.
async fn repair_address(api: &Api, allocator: &ServiceAllocator, object: &Value) -> Result<Option<Duration>, Status> {
    let now = jiff::Timestamp::now().as_second();
    let lookup = api.catalog.lookup().as_ref();
    Ok(match allocator.repair_address(lookup, object, now).await? {
        Looked::Fine => None,
        Looked::Again(time) => Some(time),
        Looked::Freed(finding) => {
            report(api, OF_ADDRESSES, object, &finding).await;
            None
        }
    })
}

/// Tells about a finding. That this fails is no reason not to repair.
async fn report(api: &Api, controller: &str, object: &Value, finding: &Finding) {
    let (namespace, name) = (meta::namespace(object), meta::name(object));
    tracing::warn!(namespace, name, "{}", finding.note);
    let event = event(controller, object, finding, jiff::Timestamp::now());
    let written = async {
        let writer = Writer::new(api, EVENTS.0, EVENTS.1)?;
        writer.create(meta::namespace(&event), &event).await
    };
    if let Err(error) = written.await {
        tracing::debug!(namespace, name, %error, "cannot write an event");
    }
}

/// The event about a finding (client-go `tools/events/event_recorder.go`).
fn event(controller: &str, object: &Value, finding: &Finding, now: jiff::Timestamp) -> Value {
    let text = |path: &[&str]| meta::str_at(object, path).unwrap_or_default();
    let (namespace, name) = (meta::namespace(object), meta::name(object));
    let mut regarding = json!({
        "kind": text(&["kind"]),
        "apiVersion": text(&["apiVersion"]),
        "name": name,
        "uid": text(&["metadata", "uid"]),
        "resourceVersion": text(&["metadata", "resourceVersion"]),
    });
    if !namespace.is_empty() {
        meta::set(&mut regarding, &["namespace"], namespace);
    }
    json!({
        "metadata": {
            "name": format!("{name}.{:x}", now.as_nanosecond()),
            // Events about what lies in no namespace lie in this one.
            "namespace": if namespace.is_empty() { "default" } else { namespace },
        },
        "eventTime": machinery::time::format_micro(now),
        "reportingController": controller,
        "reportingInstance": format!("{controller}-{}", host()),
        "action": finding.action,
        "reason": finding.reason,
        "regarding": regarding,
        "note": finding.note,
        "type": "Warning",
    })
}

/// The name of this machine, as far as it tells.
fn host() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    name.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_lie_beside_what_they_are_about() {
        let finding = Finding {
            reason: "R",
            action: "A",
            note: "n".to_owned(),
        };
        let now: jiff::Timestamp = "2026-01-01T00:00:00.5Z".parse().unwrap();
        let service =
            json!({"kind": "Service", "apiVersion": "v1", "metadata": {"namespace": "n", "name": "s", "uid": "u"}});
        let found = event(OF_PORTS, &service, &finding, now);
        assert_eq!(
            found["metadata"],
            json!({"namespace": "n", "name": "s.188672520bc76500"})
        );
        assert_eq!(found["regarding"]["namespace"], "n");
        assert_eq!(found["eventTime"], "2026-01-01T00:00:00.500000Z");
        let address =
            json!({"kind": "IPAddress", "apiVersion": "networking.k8s.io/v1", "metadata": {"name": "10.0.0.1"}});
        let found = event(OF_ADDRESSES, &address, &finding, now);
        assert_eq!(found["metadata"]["namespace"], "default");
        assert!(found["regarding"].get("namespace").is_none());
    }
}
