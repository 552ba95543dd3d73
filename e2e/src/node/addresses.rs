//! Which pod has which address. Nothing listens on them: they are what a network plugin would have handed out.

use std::collections::HashMap;

/// Addresses of one node, `10.244.<index>.1` to `.254`, by pod uid.
#[derive(Debug)]
pub(super) struct Addresses {
    index: u8,
    by_uid: HashMap<String, u8>,
    last: u8,
}

impl Addresses {
    pub(super) fn new(index: u8) -> Self {
        Self {
            index,
            by_uid: HashMap::new(),
            last: 0,
        }
    }

    /// The network the node announces.
    pub(super) fn network(index: u8) -> String {
        format!("10.244.{index}.0/24")
    }

    /// Remembers what a pod already has, e.g. from before a restart of this process.
    pub(super) fn adopt(&mut self, uid: &str, address: &str) {
        let mine = address
            .strip_prefix(&format!("10.244.{}.", self.index))
            .and_then(|last| last.parse().ok());
        if let Some(last) = mine {
            self.by_uid.insert(uid.to_string(), last);
        }
    }

    /// The pod's address; `None` when all 254 are taken. Addresses are handed out in turn, so that one that has just
    /// become free is not confused with its successor.
    pub(super) fn assign(&mut self, uid: &str) -> Option<String> {
        let last = match self.by_uid.get(uid) {
            Some(last) => *last,
            None => {
                let free = (1..=254u8)
                    .map(|step| (u16::from(self.last) + u16::from(step) - 1) % 254 + 1)
                    .find_map(|last| {
                        u8::try_from(last)
                            .ok()
                            .filter(|last| !self.by_uid.values().any(|used| used == last))
                    })?;
                self.last = free;
                self.by_uid.insert(uid.to_string(), free);
                free
            }
        };
        Some(format!("10.244.{}.{last}", self.index))
    }

    pub(super) fn release(&mut self, uid: &str) {
        self.by_uid.remove(uid);
    }
}

#[cfg(test)]
mod tests {
    use super::Addresses;

    #[test]
    fn addresses_are_unique_stable_and_come_back_last() {
        let mut node = Addresses::new(3);
        node.adopt("old", "10.244.3.2");
        node.adopt("foreign", "10.244.9.9");
        let first = node.assign("a").unwrap();
        assert_eq!(first, "10.244.3.1");
        assert_eq!(node.assign("a").as_ref(), Some(&first));
        assert_eq!(node.assign("b").as_deref(), Some("10.244.3.3"));
        node.release("a");
        assert_eq!(node.assign("c").as_deref(), Some("10.244.3.4"));
        let taken = (0..300).filter(|i| node.assign(&format!("x{i}")).is_some()).count();
        assert_eq!(taken, 254 - 3);
        node.release("b");
        assert_eq!(node.assign("d").as_deref(), Some("10.244.3.3"));
    }
}
