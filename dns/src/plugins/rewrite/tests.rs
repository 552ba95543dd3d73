//! Names before and after.

use super::rule::Matcher;
use hickory_proto::rr::Name;

fn name(text: &str) -> Name {
    Name::from_ascii(text).unwrap()
}

#[test]
fn names_are_rewritten_as_coredns_does() {
    let pair = |from: &str, to: &str| (from.to_owned(), to.to_owned());
    let regex = |from: &str, to: &str| {
        let pattern = regex::bytes::RegexBuilder::new(from).unicode(false).build().unwrap();
        Matcher::Regex(Box::new(pattern), to.to_owned())
    };
    let (prefix, suffix, substring) = (pair("a-", "b-"), pair(".one.", ".two."), pair("x", "yy"));
    for (matcher, from, to) in [
        (Matcher::Exact(name("a.org."), name("b.org.")), "A.org.", Some("b.org.")),
        (Matcher::Exact(name("a.org."), name("b.org.")), "c.org.", None),
        (
            Matcher::Prefix(prefix.0.clone(), prefix.1.clone()),
            "a-c.org.",
            Some("b-c.org."),
        ),
        (Matcher::Prefix(prefix.0, prefix.1), "c.org.", None),
        (Matcher::Suffix(suffix.0, suffix.1), "c.one.", Some("c.two.")),
        (
            Matcher::Substring(substring.0, substring.1),
            "axbx.org.",
            Some("ayybyy.org."),
        ),
        (
            regex(r".*\.nodes\.vcluster\.com", "kubernetes.default.svc.cluster.local"),
            "node-1.nodes.vcluster.com.",
            Some("kubernetes.default.svc.cluster.local."),
        ),
        (
            regex(r"^(\w+)\.(\w+)\.old\.$", "{2}.{1}.new"),
            "a.b.old.",
            Some("b.a.new."),
        ),
        (regex(r"^never$", "x"), "a.org.", None),
        (regex(r".*", "not..a..name"), "a.org.", None),
    ] {
        assert_eq!(
            matcher.rewrite(&name(from)).map(|name| name.to_string()).as_deref(),
            to,
            "{matcher:?}"
        );
    }
}
