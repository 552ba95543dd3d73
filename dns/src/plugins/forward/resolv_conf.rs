//! The name servers of /etc/resolv.conf.

use std::net::IpAddr;

/// The addresses of the `nameserver` lines, in order.
pub(super) fn name_servers(text: &str) -> Vec<IpAddr> {
    let address = |line: &str| {
        let mut words = line.split_whitespace();
        match (words.next(), words.next()) {
            // The interface of a link-local address cannot be dialled by address alone.
            (Some("nameserver"), Some(address)) => address.split('%').next()?.parse().ok(),
            _ => None,
        }
    };
    text.lines().filter_map(address).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_name_servers_count() {
        let text = "# x\nsearch a b\nnameserver 10.0.0.10\n nameserver\tfd00::1 # y\nnameserver bad\noptions ndots:5\n";
        let expected = ["10.0.0.10", "fd00::1"].map(|text| text.parse::<IpAddr>().unwrap());
        assert_eq!(name_servers(text), expected);
    }
}
