//! In which namespaces of the host the copies of a virtual cluster lie.

use std::borrow::Cow;
use std::collections::BTreeMap;

use machinery::names::dns1123_label;

/// Where copies lie.
#[derive(Clone, Debug, Default)]
pub enum Layout {
    /// All of them in the namespace of the control plane, under names that say where they come from.
    #[default]
    Single,
    /// Those of some virtual namespaces in a namespace of the host of their own, under their own names; all others as before.
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
    /// The namespace of the control plane, which is nobody's.
    control_plane: String,
}

impl NamespaceRules {
    /// The rules of a virtual cluster; in `pairs`, both names of a pattern end in `*`.
    pub fn new(control_plane: &str, pairs: &BTreeMap<String, String>) -> Self {
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
            control_plane: control_plane.to_owned(),
        }
    }

    /// The namespace of the host that a virtual one has to itself; `None` for one without a mapping, or whose name there would
    /// be another one's, too.
    pub fn own(&self, namespace: &str) -> Option<Cow<'_, str>> {
        if let Some(host) = self.exact.get(namespace) {
            let alone = self.reverse.get(host).is_some_and(|owner| owner == namespace);
            return alone.then_some(Cow::Borrowed(host));
        }
        let pattern = self.patterns.iter();
        let mut matched =
            pattern.filter_map(|(virtual_, host)| Some((host, namespace.strip_prefix(virtual_.as_str())?)));
        let (host, rest) = matched.next()?;
        let host = format!("{host}{rest}");
        let unambiguous = self.origin(&host).is_some_and(|origin| origin == namespace);
        (unambiguous && host != self.control_plane && dns1123_label(&host).is_empty()).then_some(Cow::Owned(host))
    }

    /// The virtual namespace that has a namespace of the host to itself, if there is one of its name.
    pub fn virtual_of(&self, host: &str) -> Option<String> {
        let origin = self.origin(host)?;
        let fits = self.own(&origin).as_deref() == Some(host) && dns1123_label(&origin).is_empty();
        fits.then(|| origin.into_owned())
    }

    /// The namespaces of the host that can be meant, where all of them are named one by one.
    pub fn all_on_host(&self) -> Option<Vec<&str>> {
        let named = self.reverse.keys().map(String::as_str);
        self.patterns.is_empty().then(|| named.collect())
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rules(pairs: &[(&str, &str)]) -> NamespaceRules {
        let pairs = pairs
            .iter()
            .map(|(virtual_, host)| ((*virtual_).to_owned(), (*host).to_owned()));
        NamespaceRules::new("control-plane", &pairs.collect())
    }

    #[test]
    fn names_go_before_patterns_and_longer_patterns_before_shorter_ones() {
        let rules = rules(&[
            ("team-*", "h-*"),
            ("team-a-*", "x-*"),
            ("team-a-1", "one"),
            ("prod", "live"),
        ]);
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
            assert_eq!(rules.own(virtual_).as_deref(), host, "{virtual_}");
            let back = host.and_then(|host| rules.virtual_of(host));
            assert_eq!(back.as_deref(), host.map(|_| virtual_));
        }
        for host in ["other", "x-", "control-plane", "h-"] {
            assert_eq!(rules.virtual_of(host), None, "{host}");
        }
        assert_eq!(
            rules.virtual_of("x-1"),
            None,
            "team-a-1 is another namespace of the host"
        );
        let long = format!("team-{}", "a".repeat(58));
        assert_eq!(rules.own(&long).as_deref().map(str::len), Some(60));
        let wide = self::rules(&[("t*", "a-long-beginning-*")]);
        assert_eq!(wide.own(&long), None, "no name of a namespace is that long");
    }

    #[test]
    fn rules_that_lead_to_one_name_leave_it_to_one_namespace() {
        let rules = rules(&[("one", "h-x"), ("a-*", "h-*"), ("b-*", "h-y-*")]);
        let table = [
            ("one", Some("h-x")),
            ("a-x", None),
            ("a-y-1", None),
            ("b-1", Some("h-y-1")),
            ("a-z", Some("h-z")),
        ];
        for (virtual_, host) in table {
            assert_eq!(rules.own(virtual_).as_deref(), host, "{virtual_}");
        }
    }

    #[test]
    fn nothing_gets_between_the_objects_of_the_control_plane() {
        let rules = rules(&[("a", "b"), ("x-*", "control-*")]);
        assert_eq!(rules.own("x-plane"), None);
    }

    #[test]
    fn only_names_are_known_one_by_one() {
        assert_eq!(rules(&[("a", "x"), ("b", "w")]).all_on_host(), Some(vec!["w", "x"]));
        assert_eq!(rules(&[("a", "x"), ("b-*", "w-*")]).all_on_host(), None);
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
        /// No two namespaces share one of the host, none is outside of what the pairs allow, and each is found again.
        #[test]
        fn every_namespace_has_its_own(pairs in prop::collection::btree_map(pair().prop_map(|pair| pair.0), pair().prop_map(|pair| pair.1), 1..5), names in prop::collection::btree_set(name(), 2..30)) {
            let pairs: BTreeMap<String, String> = pairs.into_iter().filter(|(virtual_, host)| virtual_.ends_with('*') == host.ends_with('*')).collect();
            let rules = NamespaceRules::new("host", &pairs);
            let mut taken = BTreeMap::new();
            for name in names {
                let Some(host) = rules.own(&name) else { continue };
                let allowed = pairs.iter().any(|(virtual_, to)| match (virtual_.strip_suffix('*'), to.strip_suffix('*')) {
                    (Some(from), Some(to)) => name.strip_prefix(from).is_some_and(|rest| host == format!("{to}{rest}")),
                    _ => *virtual_ == name && *to == host,
                });
                prop_assert!(allowed, "{} -> {}", name, host);
                prop_assert_eq!(rules.virtual_of(&host), Some(name.clone()));
                let earlier = taken.insert(host.into_owned(), name.clone());
                prop_assert_eq!(earlier, None, "{} is not alone", name);
            }
        }
    }
}
