//! Names of different objects differ, and lead back to them.

use super::*;

/// Random names, quickly: what is wanted is very many, not the best dice.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }

    /// A DNS label of a length within bounds.
    fn label(&mut self, (shortest, longest): (u64, u64)) -> String {
        const CHARACTERS: &[u8] = b"abcdefghijklmnopqrstuvwxyz0123456789";
        let length = shortest + self.roll(longest - shortest + 1);
        (0..length)
            .map(|_| char::from(CHARACTERS[self.roll(CHARACTERS.len() as u64) as usize]))
            .collect()
    }
}

/// Counts names that are not the first of their kind.
fn repeated(names: impl Iterator<Item = String>) -> usize {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let digest = |name: &str, seed: u8| {
        let mut hasher = DefaultHasher::new();
        (seed, name).hash(&mut hasher);
        hasher.finish()
    };
    // 128 bits of each take less room than all the names, and do as well.
    let mut seen: Vec<(u64, u64)> = names.map(|name| (digest(&name, 0), digest(&name, 1))).collect();
    let count = seen.len();
    seen.sort_unstable();
    seen.dedup();
    count - seen.len()
}

type Translate = fn(&Names, &str, &str) -> String;

/// Millions of random names: joined ones, ones that are cut and end in a digest of 40 bits, and short ones of 67 bits.
#[test]
fn names_do_not_collide() {
    let names = Names::new("vc", "host");
    let table: [(&str, usize, (u64, u64), Translate); 4] = [
        ("joined", 1_500_000, (8, 20), |names, name, namespace| {
            names.host_name(name, namespace)
        }),
        ("cut", 300_000, (50, 120), |names, name, namespace| {
            names.host_name(name, namespace)
        }),
        ("short", 150_000, (8, 20), |names, name, namespace| {
            names.short_host_name(name, namespace)
        }),
        ("cluster", 100_000, (40, 120), |names, name, _| {
            names.cluster_host_name(name)
        }),
    ];
    for (what, count, bounds, translate) in table {
        let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
        let host = (0..count).map(|_| {
            let (name, namespace) = (dice.label(bounds), dice.label((3, 12)));
            translate(&names, &name, &namespace)
        });
        assert_eq!(repeated(host), 0, "{what}");
    }
}

/// Long names that differ only where they are cut away: the digest alone keeps them apart.
#[test]
fn long_names_that_begin_alike_do_not_collide() {
    let names = Names::new("vc", "host");
    let beginning = "a".repeat(60);
    let host = (0..200_000).map(|number| names.host_name(&format!("{beginning}-{number}"), "team"));
    assert_eq!(repeated(host), 0);
}

/// Names can be chosen so that two objects would have the same copy, as with every rule that joins parts by what may be in
/// them. Then the copy is the one's that was first; the other one is told, and touches nothing.
#[test]
fn names_that_are_chosen_to_collide_are_told_apart() {
    let names = Names::new("vc", "host");
    let host_name = names.host_name("a-x-b", "c");
    assert_eq!(host_name, names.host_name("a", "b-x-c"));
    let object = json!({"metadata": {"name": "a-x-b", "namespace": "c", "uid": "u1"}});
    let metadata = host_metadata(&Source {
        host_name: &host_name,
        ..source(&names, &object)
    });
    let found = claim(&names, "/v1, Kind=Pod", &json!({"metadata": metadata}));
    let first = Claim::Ours {
        namespace: "c".into(),
        name: "a-x-b".into(),
        uid: "u1".into(),
    };
    assert_eq!(found, first);
}

proptest! {
    /// What is recorded of an object leads back to it, however long its name is.
    #[test]
    fn host_objects_lead_back_to_their_virtual_ones(
        name in dns_subdomain(), namespace in dns_label(), vcluster in "[a-z][a-z0-9-]{0,40}[a-z0-9]",
    ) {
        let names = Names::new(&vcluster, "host");
        let object = json!({"metadata": {"name": name, "namespace": namespace, "uid": "u"}});
        let host_name = names.host_name(&name, &namespace);
        let metadata = host_metadata(&Source { host_name: &host_name, ..source(&names, &object) });
        let found = claim(&names, "/v1, Kind=Pod", &json!({"metadata": metadata}));
        prop_assert_eq!(found, Claim::Ours { namespace, name, uid: "u".to_owned() });
    }
}
