//! The approval that CustomResourceDefinitions in the groups of the community need (apiextensions-apiserver
//! `pkg/apihelpers`).

use machinery::field::go_quote;
use machinery::meta;
use serde_json::Value;

/// The annotation with the reason why a group of the community may be extended.
pub(crate) const ANNOTATION: &str = "api-approved.kubernetes.io";
const SEE: &str = "see https://github.com/kubernetes/enhancements/pull/1111";

/// What the annotation says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Approval {
    /// Where it was approved.
    Approved,
    /// That it was not.
    Bypassed,
    /// Nothing.
    Missing,
    /// Something else.
    Invalid,
}

/// Whether definitions in a group need an approval.
pub(crate) fn is_protected(group: &str) -> bool {
    ["k8s.io", "kubernetes.io"].iter().any(|domain| {
        let rest = group.strip_suffix(domain);
        rest.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    })
}

/// What a definition says of its approval, and that in words.
pub(crate) fn state(definition: &Value) -> (Approval, String) {
    let annotation = meta::str_at(definition, &["metadata", "annotations", ANNOTATION]).unwrap_or_default();
    let is_url = annotation.split_once("://").is_some_and(|(scheme, rest)| {
        let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
        !host.is_empty() && scheme.starts_with(|c: char| c.is_ascii_alphabetic())
    });
    let needed = format!("protected groups must have approval annotation \"{ANNOTATION}\"");
    match annotation {
        "" => (Approval::Missing, format!("{needed}, {SEE}")),
        text if text.starts_with("unapproved") => (Approval::Bypassed, format!("not approved: {}", go_quote(text))),
        _ if is_url => (Approval::Approved, format!("approved in {annotation}")),
        _ => (
            Approval::Invalid,
            format!("{needed} with either a URL or a reason starting with \"unapproved\", {SEE}"),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn approvals_are_urls() {
        for (annotation, expected, message) in [
            ("", Approval::Missing, "protected groups must have approval annotation"),
            (
                "https://github.com/x",
                Approval::Approved,
                "approved in https://github.com/x",
            ),
            (
                "unapproved, a test",
                Approval::Bypassed,
                "not approved: \"unapproved, a test\"",
            ),
            (
                "nonsense",
                Approval::Invalid,
                "protected groups must have approval annotation",
            ),
        ] {
            let (found, text) = state(&json!({"metadata": {"annotations": {ANNOTATION: annotation}}}));
            assert_eq!(found, expected, "{annotation}");
            assert!(text.starts_with(message), "{text}");
        }
        assert!(is_protected("k8s.io") && is_protected("a.kubernetes.io") && !is_protected("ak8s.io"));
    }
}
