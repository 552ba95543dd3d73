//! From what was found to records, as CoreDNS' `plugin/backend_lookup.go`.

use super::lookup::{Found, NoSuchName, Settings, Target};
use crate::records::Index;
use crate::request::record;
use crate::zone::address_of_reverse;
use hickory_proto::rr::rdata::{A, AAAA, CNAME, NS, PTR, SOA, SRV, TXT};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use std::collections::HashSet;
use std::net::IpAddr;

/// The version of the schema, which `dns-version.ZONE` tells.
const SCHEMA_VERSION: &str = "1.1.0";
const SCHEMA_TTL: u32 = 28800;
const LARGEST_SOA_TTL: u32 = 300;

/// Records of the answer and additional sections; none of them means that the name has no records of the type.
#[derive(Debug, Default)]
pub(super) struct Records {
    pub(super) answers: Vec<Record>,
    pub(super) additionals: Vec<Record>,
}

impl From<Vec<Record>> for Records {
    fn from(answers: Vec<Record>) -> Self {
        Records {
            answers,
            additionals: Vec::new(),
        }
    }
}

/// What a name has of one family of addresses.
#[derive(Debug)]
pub(super) enum Addresses {
    /// Possibly none.
    Records(Vec<Record>),
    /// The name is an alias.
    Alias(Name),
}

impl Settings {
    /// The records of every type but addresses.
    pub(super) fn answer(
        &self,
        index: &Index,
        name: &Name,
        zone: &Name,
        kind: RecordType,
    ) -> Result<Records, NoSuchName> {
        match kind {
            RecordType::TXT => self.txt(index, name, zone),
            RecordType::CNAME => {
                let found = self.lookup(index, name, zone, false)?;
                let alias = found.into_iter().find_map(|found| match found.target {
                    Target::Name(target) => Some(self.record(name, RData::CNAME(CNAME(target)))),
                    Target::Address(_) => None,
                });
                Ok(Vec::from_iter(alias).into())
            }
            RecordType::PTR => match address_of_reverse(name) {
                None => self.lookup(index, name, zone, false).map(|_| Records::default()),
                Some(ip) => match self.reverse(index, ip) {
                    names if names.is_empty() => Err(NoSuchName),
                    names => {
                        let records = names
                            .into_iter()
                            .map(|target| self.record(name, RData::PTR(PTR(target))));
                        Ok(records.collect::<Vec<_>>().into())
                    }
                },
            },
            RecordType::SRV => self.lookup(index, name, zone, true).map(|found| self.srv(name, found)),
            // CoreDNS answers for names below the zone without looking whether they exist.
            RecordType::SOA if name != zone => Ok(Records::default()),
            RecordType::SOA => Ok(vec![self.soa(index, zone)].into()),
            RecordType::NS if name == zone => Ok(self.ns(name, self.name_servers(index, zone))),
            // Nothing is known of other types, but whether the name exists is.
            _ => self.lookup(index, name, zone, false).map(|_| Records::default()),
        }
    }

    /// The A or AAAA records of a name.
    pub(super) fn addresses(
        &self,
        index: &Index,
        name: &Name,
        zone: &Name,
        kind: RecordType,
    ) -> Result<Addresses, NoSuchName> {
        let mut seen = HashSet::new();
        let mut records = Vec::new();
        for found in self.lookup(index, name, zone, false)? {
            match found.target {
                Target::Name(target) => return Ok(Addresses::Alias(target)),
                Target::Address(ip) if seen.insert(ip) && address_kind(ip) == kind => {
                    records.push(self.record(name, address_data(ip)));
                }
                Target::Address(_) => {}
            }
        }
        Ok(Addresses::Records(records))
    }

    fn txt(&self, index: &Index, name: &Name, zone: &Name) -> Result<Records, NoSuchName> {
        let is_version = name.num_labels() == zone.num_labels() + 1
            && name
                .iter()
                .next()
                .is_some_and(|label| label.eq_ignore_ascii_case(b"dns-version"));
        if is_version {
            let text = RData::TXT(TXT::new(vec![SCHEMA_VERSION.to_owned()]));
            return Ok(vec![record(name.clone(), SCHEMA_TTL, text)].into());
        }
        match self.lookup(index, name, zone, false) {
            // CoreDNS tells names without records from names with some here, and only here.
            Ok(found) if !found.is_empty() => Ok(Records::default()),
            _ => Err(NoSuchName),
        }
    }

    /// Equal weights that add up to 100.
    fn srv(&self, name: &Name, found: Vec<Found>) -> Records {
        let found: Vec<Found> = found
            .into_iter()
            .filter(|one| matches!(one.target, Target::Address(_)))
            .collect();
        let weight = u16::try_from(100 / found.len().max(1)).unwrap_or(1).max(1);
        let mut records = Records::default();
        let mut targets = HashSet::new();
        let mut addresses = HashSet::new();
        for one in found {
            let (Target::Address(ip), Some(port), Some(owner)) = (one.target, one.port, one.owner) else {
                continue;
            };
            if targets.insert((owner.clone(), port)) {
                let data = RData::SRV(SRV::new(0, weight, port, owner.clone()));
                records.answers.push(self.record(name, data));
            }
            if addresses.insert((owner.clone(), ip)) {
                records.additionals.push(self.record(&owner, address_data(ip)));
            }
        }
        records
    }

    fn ns(&self, name: &Name, servers: Vec<Found>) -> Records {
        let mut records = Records::default();
        let mut seen = HashSet::new();
        for server in servers {
            let (Target::Address(ip), Some(owner)) = (server.target, server.owner) else {
                continue;
            };
            records.additionals.push(self.record(&owner, address_data(ip)));
            if seen.insert(owner.clone()) {
                records.answers.push(self.record(name, RData::NS(NS(owner))));
            }
        }
        records
    }

    /// The record that tells how long a negative answer holds.
    pub(super) fn soa(&self, index: &Index, zone: &Name) -> Record {
        let below = |labels: &[&str]| {
            let name = Name::from_labels(labels.iter().map(|label| label.as_bytes()));
            name.and_then(|name| name.append_domain(zone))
                .unwrap_or_else(|_| zone.clone())
        };
        let (server, contact) = (below(&["ns", "dns"]), below(&["hostmaster"]));
        let soa = SOA::new(server, contact, index.serial(), 7200, 1800, 86400, self.ttl);
        record(zone.clone(), self.ttl.min(LARGEST_SOA_TTL), RData::SOA(soa))
    }

    pub(super) fn record(&self, name: &Name, data: RData) -> Record {
        record(name.clone(), self.ttl, data)
    }
}

fn address_kind(ip: IpAddr) -> RecordType {
    if ip.is_ipv4() { RecordType::A } else { RecordType::AAAA }
}

fn address_data(ip: IpAddr) -> RData {
    match ip {
        IpAddr::V4(ip) => RData::A(A(ip)),
        IpAddr::V6(ip) => RData::AAAA(AAAA(ip)),
    }
}
