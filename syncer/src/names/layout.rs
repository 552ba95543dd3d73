//! In which namespaces of the host the copies of a virtual cluster lie.

use std::borrow::Cow;
use std::collections::BTreeMap;

use machinery::names::dns1123_label;

use super::hex_digest;

/// Hex digits of each digest in a generated name.
const DIGITS: usize = 8;

/// Where copies lie.
#[derive(Clone, Debug, Default)]
pub enum Layout {
    /// All of them in the namespace of the control plane, under names that say where they come from.
    #[default]
    Single,
    /// Those of each virtual namespace in a namespace of the host of their own, under their own names.
    Mapped(NamespaceRules),
}

/// Which namespace of the host is that of a virtual one.
#[derive(Clone, Debug)]
pub struct NamespaceRules {
    /// From virtual names to those on the host.
    exact: BTreeMap<String, String>,
    /// The same the other way round.
    reverse: BTreeMap<String, String>,
    /// Beginnings of virtual names and those of the names on the host, the longest first.
    patterns: Vec<(String, String)>,
    /// Other namespaces have none on the host.
    only: bool,
    /// The namespace of the control plane, which is nobody's.
    control_plane: String,
    /// What generated names end with.
    suffix: String,
}

impl NamespaceRules {
    /// The rules of a virtual cluster; in `pairs`, both names of a pattern end in `*`.
    pub fn new(vcluster: &str, control_plane: &str, pairs: &BTreeMap<String, String>, only: bool) -> Self {
        let (mut exact, mut patterns) = (BTreeMap::new(), Vec::new());
        for (virtual_, host) in pairs {
            match (virtual_.strip_suffix('*'), host.strip_suffix('*')) {
                (Some(virtual_), Some(host)) => patterns.push((virtual_.to_owned(), host.to_owned())),
                _ => {
                    exact.insert(virtual_.clone(), host.clone());
                }
            }
        }
        patterns.sort_by_key(|(virtual_, _)| std::cmp::Reverse(virtual_.len()));
        Self {
            reverse: exact
                .iter()
                .map(|(virtual_, host)| (host.clone(), virtual_.clone()))
                .collect(),
            exact,
            patterns,
            only,
            control_plane: control_plane.to_owned(),
            suffix: digits(&format!("{control_plane}x{vcluster}")),
        }
    }

    /// The namespace of the host; `None` for one that has none, or whose name there would be another one's, too.
    pub fn target(&self, namespace: &str) -> Option<Cow<'_, str>> {
        if let Some(host) = self.exact.get(namespace) {
            let alone = self.reverse.get(host).is_some_and(|owner| owner == namespace);
            return alone.then_some(Cow::Borrowed(host));
        }
        let pattern = self.patterns.iter();
        let mut matched =
            pattern.filter_map(|(virtual_, host)| Some((host, namespace.strip_prefix(virtual_.as_str())?)));
        let host = match matched.next() {
            Some((host, rest)) => format!("{host}{rest}"),
            None if self.only || namespace.is_empty() => return None,
            None => self.generated(namespace),
        };
        let by_pattern = self.origin(&host);
        let unambiguous = by_pattern.is_none_or(|origin| origin == namespace);
        (unambiguous && host != self.control_plane && dns1123_label(&host).is_empty()).then_some(Cow::Owned(host))
    }

    /// Whether a namespace is named one by one: such a namespace may exist on the host before it is used.
    pub fn is_exact(&self, namespace: &str) -> bool {
        self.exact.contains_key(namespace)
    }

    /// As vCluster's multi-namespace mode has named them (`pkg/util/translate/multi_namespace.go` before 0.25).
    fn generated(&self, namespace: &str) -> String {
        format!("vcluster-{}-{}", digits(namespace), self.suffix)
    }

    /// The virtual namespace that a name on the host belongs to by the pairs: by its own, else by the longest pattern. This
    /// decides between rules that lead to the same name.
    fn origin(&self, host: &str) -> Option<Cow<'_, str>> {
        if let Some(virtual_) = self.reverse.get(host) {
            return Some(Cow::Borrowed(virtual_));
        }
        let matching = self.patterns.iter().filter_map(|(virtual_, prefix)| {
            let rest = host.strip_prefix(prefix.as_str())?;
            Some((prefix.len(), format!("{virtual_}{rest}")))
        });
        matching
            .max_by_key(|(length, _)| *length)
            .map(|(_, origin)| Cow::Owned(origin))
    }
}

fn digits(text: &str) -> String {
    let mut digest = hex_digest(text.as_bytes());
    digest.truncate(DIGITS);
    digest
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rules(pairs: &[(&str, &str)], only: bool) -> NamespaceRules {
        let pairs = pairs
            .iter()
            .map(|(virtual_, host)| ((*virtual_).to_owned(), (*host).to_owned()));
        NamespaceRules::new("my-vc", "control-plane", &pairs.collect(), only)
    }

    #[test]
    fn names_go_before_patterns_and_longer_patterns_before_shorter_ones() {
        let rules = rules(
            &[
                ("team-*", "h-*"),
                ("team-a-*", "x-*"),
                ("team-a-1", "one"),
                ("prod", "live"),
            ],
            true,
        );
        let table = [
            ("prod", Some("live")),
            ("team-b", Some("h-b")),
            ("team-a-2", Some("x-2")),
            ("team-a-1", Some("one")),
            ("team-", None),
            ("default", None),
            ("", None),
        ];
        for (virtual_, host) in table {
            assert_eq!(rules.target(virtual_).as_deref(), host, "{virtual_}");
        }
        let long = format!("team-{}", "a".repeat(58));
        assert_eq!(rules.target(&long).as_deref().map(str::len), Some(60));
        let wide = self::rules(&[("t*", "a-long-beginning-*")], true);
        assert_eq!(wide.target(&long), None, "no name of a namespace is that long");
    }

    #[test]
    fn rules_that_lead_to_one_name_leave_it_to_one_namespace() {
        let rules = rules(
            &[("one", "h-x"), ("a-*", "h-*"), ("b-*", "h-y-*"), ("v-*", "vcluster-*")],
            false,
        );
        let table = [
            ("one", Some("h-x")),
            ("a-x", None),
            ("a-y-1", None),
            ("b-1", Some("h-y-1")),
            ("a-z", Some("h-z")),
            // Generated names begin as one of the patterns does.
            ("other", None),
        ];
        for (virtual_, host) in table {
            assert_eq!(rules.target(virtual_).as_deref(), host, "{virtual_}");
        }
    }

    /// The digests are the beginnings of SHA-256 of `default` and of `control-planexmy-vc`.
    #[test]
    fn other_namespaces_get_a_generated_name() {
        let rules = rules(&[("prod", "live")], false);
        let digest = |text: &str| hex_digest(text.as_bytes())[..8].to_owned();
        assert_eq!(digest("default"), "37a8eec1");
        let expected = format!("vcluster-37a8eec1-{}", digest("control-planexmy-vc"));
        assert_eq!(rules.target("default"), Some(Cow::Owned(expected)));
    }

    #[test]
    fn nothing_gets_between_the_objects_of_the_control_plane() {
        let rules = rules(&[("a", "b"), ("x-*", "control-*")], false);
        assert_eq!(rules.target("x-plane"), None);
    }

    fn name() -> impl Strategy<Value = String> {
        "[ab]{1,3}(-[ab]{1,2}){0,2}"
    }

    fn pair() -> impl Strategy<Value = (String, String)> {
        prop_oneof![
            (name(), name()),
            (name(), name()).prop_map(|(virtual_, host)| (format!("{virtual_}*"), format!("{host}*"))),
        ]
    }

    proptest! {
        /// No two namespaces share one of the host, and none is outside of what the pairs allow.
        #[test]
        fn every_namespace_has_its_own(pairs in prop::collection::btree_map(pair().prop_map(|pair| pair.0), pair().prop_map(|pair| pair.1), 1..5), names in prop::collection::btree_set(name(), 2..30), only: bool) {
            let pairs: BTreeMap<String, String> = pairs.into_iter().filter(|(virtual_, host)| virtual_.ends_with('*') == host.ends_with('*')).collect();
            let rules = NamespaceRules::new("vc", "host", &pairs, only);
            let mut taken = BTreeMap::new();
            for name in names {
                let Some(host) = rules.target(&name) else { continue };
                let allowed = pairs.iter().any(|(virtual_, to)| match (virtual_.strip_suffix('*'), to.strip_suffix('*')) {
                    (Some(from), Some(to)) => name.strip_prefix(from).is_some_and(|rest| host == format!("{to}{rest}")),
                    _ => *virtual_ == name && *to == host,
                });
                prop_assert!(allowed || (!only && host.starts_with("vcluster-")), "{} -> {}", name, host);
                let earlier = taken.insert(host.into_owned(), name.clone());
                prop_assert_eq!(earlier, None, "{} is not alone", name);
            }
        }
    }
}
