//! What ResourceQuotas limit, and what objects use of it (kubernetes `pkg/quota/v1/evaluator/core`,
//! `k8s.io/apiserver/pkg/quota/v1`).

mod devices;
mod scopes;
mod usage;

pub use devices::DeviceClasses;
pub use scopes::is_terminating;
pub use usage::{Evaluator, Kind, is_charged};

use crate::gvk::GroupResource;

/// What no quota looks at: it is not stored, or comes and goes by itself.
const IGNORED: [(&str, &str); 10] = [
    ("", "bindings"),
    ("", "componentstatuses"),
    ("", "events"),
    ("authentication.k8s.io", "selfsubjectreviews"),
    ("authentication.k8s.io", "tokenreviews"),
    ("authorization.k8s.io", "localsubjectaccessreviews"),
    ("authorization.k8s.io", "selfsubjectaccessreviews"),
    ("authorization.k8s.io", "selfsubjectrulesreviews"),
    ("authorization.k8s.io", "subjectaccessreviews"),
    ("events.k8s.io", "events"),
];
/// Before the resource in the name of a number of objects.
const COUNT: &str = "count/";

/// Whether no quota looks at a resource.
pub fn is_ignored(resource: &GroupResource) -> bool {
    IGNORED.contains(&(resource.group.as_str(), resource.resource.as_str()))
}

/// The resource whose objects are counted under a name.
pub fn counted(name: &str) -> Option<GroupResource> {
    let (resource, group) = name
        .strip_prefix(COUNT)
        .map(|name| name.split_once('.').unwrap_or((name, "")))?;
    Some(GroupResource::new(group, resource))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_counts_have_the_group_behind_the_resource() {
        assert_eq!(counted("count/pods"), Some(GroupResource::new("", "pods")));
        assert_eq!(
            counted("count/things.shop.example.com"),
            Some(GroupResource::new("shop.example.com", "things"))
        );
        assert_eq!(counted("pods"), None);
        assert!(is_ignored(&GroupResource::new("events.k8s.io", "events")));
        assert!(!is_ignored(&GroupResource::new("", "pods")));
    }
}
