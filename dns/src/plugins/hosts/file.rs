//! The format of /etc/hosts.

use hickory_proto::rr::Name;
use std::collections::HashMap;
use std::net::IpAddr;

/// Names and addresses, both ways.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Hosts {
    addresses: HashMap<Name, Vec<IpAddr>>,
    names: HashMap<IpAddr, Vec<Name>>,
}

impl Hosts {
    /// Adds the lines of a file. Lines that make no sense are passed over, as the C library does.
    pub(super) fn add(&mut self, text: &str, reverse: bool) {
        for line in text.lines() {
            let line = line.split('#').next().unwrap_or_default();
            let mut words = line.split_whitespace();
            // An IPv6 address may carry an interface after a percent sign.
            let address = words
                .next()
                .and_then(|word| word.split('%').next())
                .and_then(|word| word.parse().ok());
            let Some(address) = address else { continue };
            for word in words {
                let Ok(mut name) = Name::from_ascii(word) else { continue };
                name.set_fqdn(true);
                let name = name.to_lowercase();
                let addresses = self.addresses.entry(name.clone()).or_default();
                if !addresses.contains(&address) {
                    addresses.push(address);
                }
                if reverse {
                    let names = self.names.entry(address).or_default();
                    if !names.contains(&name) {
                        names.push(name);
                    }
                }
            }
        }
    }

    /// The addresses of a name, both families.
    pub(super) fn addresses(&self, name: &Name) -> &[IpAddr] {
        self.addresses.get(name).map_or(&[], Vec::as_slice)
    }

    /// The names of an address.
    pub(super) fn names(&self, address: IpAddr) -> &[Name] {
        self.names.get(&address).map_or(&[], Vec::as_slice)
    }

    /// Entries of both directions.
    pub(super) fn len(&self) -> usize {
        self.addresses.values().map(Vec::len).sum::<usize>() + self.names.values().map(Vec::len).sum::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_and_nonsense_is_passed_over() {
        let mut hosts = Hosts::default();
        hosts.add(
            "# comment\n10.0.0.1 Node-1 node-1.local # x\n\nnonsense a\n::1%lo b\n10.0.0.2\tnode-1\n",
            true,
        );
        let name = |text: &str| Name::from_ascii(text).unwrap();
        assert_eq!(
            hosts.addresses(&name("NODE-1.")),
            ["10.0.0.1", "10.0.0.2"].map(|text| text.parse::<IpAddr>().unwrap())
        );
        assert_eq!(hosts.addresses(&name("b.")), ["::1".parse::<IpAddr>().unwrap()]);
        assert_eq!(
            hosts.names("10.0.0.1".parse().unwrap()),
            [name("node-1."), name("node-1.local.")]
        );
        assert!(hosts.addresses(&name("a.")).is_empty());
        assert_eq!(hosts.len(), 8);
    }
}
