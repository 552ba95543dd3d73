//! The rules for node ports (kubernetes `portallocator/controller/repair.go`).

use super::Finding;
use crate::registry::allocators::Failure;
use crate::registry::allocators::ports::{Bitmap, Ports};
use machinery::meta;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// How often a port that nobody has must be seen before it is given up.
const LOOKS: u8 = 3;

/// Ports that are reserved for nobody, and how often they may still be seen so.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Leaks(BTreeMap<u16, u8>);

/// What the bitmap has to be, and what was wrong with ports of Services, by their number.
struct Plan {
    bitmap: Bitmap,
    faults: Vec<(usize, Finding)>,
    leaks: Leaks,
}

impl Ports {
    pub(super) async fn repair<'a>(
        &self,
        services: &'a [Value],
        leaks: &mut Leaks,
    ) -> Result<Vec<(&'a Value, Finding)>, Failure> {
        let claims: Vec<(usize, u16)> = services
            .iter()
            .enumerate()
            .flat_map(|(i, service)| claims(service).into_iter().map(move |port| (i, port)))
            .collect();
        let (before, planned) = (leaks.clone(), Mutex::new(None));
        let rebuild = |bitmap: &mut Bitmap| {
            let plan = self.plan(bitmap, &claims, &before);
            *bitmap = plan.bitmap.clone();
            *planned.lock().unwrap_or_else(PoisonError::into_inner) = Some(plan);
            true
        };
        self.change(&rebuild).await?;
        let Some(plan) = planned.into_inner().unwrap_or_else(PoisonError::into_inner) else {
            return Ok(Vec::new());
        };
        *leaks = plan.leaks;
        let faults = plan.faults.into_iter();
        Ok(faults
            .filter_map(|(i, finding)| Some((services.get(i)?, finding)))
            .collect())
    }

    fn plan(&self, stored: &Bitmap, claims: &[(usize, u16)], leaks: &Leaks) -> Plan {
        let mut plan = Plan {
            bitmap: self.none(),
            faults: Vec::new(),
            leaks: Leaks::default(),
        };
        for (service, port) in claims {
            let fault = match self.offset(*port) {
                None => Some((
                    "PortOutOfRange",
                    format!(
                        "Port {port} is not within the port range {}; please recreate service",
                        self.range()
                    ),
                )),
                Some(offset) if plan.bitmap.has(offset) => Some((
                    "PortAlreadyAllocated",
                    format!("Port {port} was assigned to multiple services; please recreate service"),
                )),
                Some(offset) => {
                    plan.bitmap.set(offset, true);
                    let known = stored.has(offset);
                    (!known).then(|| ("PortNotAllocated", format!("Port {port} is not allocated; repairing")))
                }
            };
            plan.faults.extend(fault.map(|(reason, note)| {
                let action = "PortAllocation";
                (*service, Finding { reason, action, note })
            }));
        }
        for (port, offset) in self.all().filter(|(_, offset)| stored.has(*offset)) {
            if plan.bitmap.has(offset) {
                continue;
            }
            let looks = leaks.0.get(&port).copied().unwrap_or(LOOKS - 1);
            if looks == 0 {
                tracing::warn!(port, "a node port has leaked; giving it up");
                continue;
            }
            plan.leaks.0.insert(port, looks - 1);
            plan.bitmap.set(offset, true);
        }
        plan
    }
}

/// The node ports of a Service. Ports of different protocols may share one.
fn claims(service: &Value) -> Vec<u16> {
    let mut seen: Vec<(u16, &str)> = Vec::new();
    let mut claims = Vec::new();
    let number = |value: &Value, field| meta::i64_at(value, &[field]).and_then(|n| u16::try_from(n).ok());
    for port in meta::list_at(service, &["spec", "ports"]) {
        let Some(node_port) = number(port, "nodePort").filter(|port| *port > 0) else {
            continue;
        };
        let protocol = meta::str_at(port, &["protocol"]).unwrap_or("TCP");
        let shared = seen.iter().any(|(n, _)| *n == node_port) && !seen.contains(&(node_port, protocol));
        if !shared {
            claims.push(node_port);
        }
        seen.push((node_port, protocol));
    }
    let of_health = service.get("spec").and_then(|spec| number(spec, "healthCheckNodePort"));
    let of_health = of_health.filter(|port| {
        let mut same = seen.iter().filter(|(n, _)| n == port).peekable();
        *port > 0 && (same.peek().is_none() || same.any(|(_, protocol)| *protocol == "TCP"))
    });
    claims.extend(of_health);
    claims
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::unstored::Unstored;
    use serde_json::json;
    use std::sync::Arc;

    fn ports() -> Ports {
        Ports::new(30000, 30009, Arc::new(Unstored))
    }

    fn bitmap(ports: &Ports, taken: &[u16]) -> Bitmap {
        let mut bitmap = ports.none();
        taken
            .iter()
            .for_each(|port| bitmap.set(ports.offset(*port).unwrap(), true));
        bitmap
    }

    #[test]
    fn ports_are_those_of_services() {
        let ports = ports();
        let stored = bitmap(&ports, &[30001, 30002]);
        let claims = [(0, 30001), (1, 30001), (1, 30003), (2, 29999)];
        let plan = ports.plan(&stored, &claims, &Leaks::default());
        let faults: Vec<(usize, &str)> = plan.faults.iter().map(|(i, finding)| (*i, finding.reason)).collect();
        assert_eq!(
            faults,
            [
                (1, "PortAlreadyAllocated"),
                (1, "PortNotAllocated"),
                (2, "PortOutOfRange")
            ]
        );
        assert_eq!(
            plan.faults[2].1.note,
            "Port 29999 is not within the port range 30000-30009; please recreate service"
        );
        assert_eq!(
            plan.bitmap,
            bitmap(&ports, &[30001, 30002, 30003]),
            "30002 may be somebody's soon"
        );
    }

    #[test]
    fn leaks_are_given_up_when_seen_three_times() {
        let ports = ports();
        let (mut stored, mut leaks) = (bitmap(&ports, &[30002]), Leaks::default());
        for kept in [true, true, false] {
            let plan = ports.plan(&stored, &[], &leaks);
            (stored, leaks) = (plan.bitmap, plan.leaks);
            assert_eq!(stored.has(2), kept);
        }
        assert_eq!(leaks, Leaks::default());
        let first = ports.plan(&bitmap(&ports, &[30002]), &[], &Leaks::default());
        let claimed = ports.plan(&first.bitmap, &[(0, 30002)], &first.leaks);
        assert!(
            claimed.leaks == Leaks::default() && claimed.faults.is_empty(),
            "its Service has come"
        );
    }

    #[test]
    fn protocols_share_ports_and_nothing_else_does() {
        let service = json!({"spec": {"healthCheckNodePort": 30003, "ports": [
            {"nodePort": 30001}, {"nodePort": 30001, "protocol": "UDP"}, {"nodePort": 30002}, {"nodePort": 30002}, {}]}});
        assert_eq!(claims(&service), [30001, 30002, 30002, 30003]);
        let shared = json!({"spec": {"healthCheckNodePort": 30001, "ports": [{"nodePort": 30001, "protocol": "UDP"}]}});
        assert_eq!(claims(&shared), [30001]);
    }
}
