//! Asks whether the user may (k8s.io/apiserver `endpoints/filters/authorization.go`).

use super::Refusal;
use super::request_info::RequestInfo;
use crate::authentication::User;
use crate::authorization::{Attributes, Authorizer, forbidden};

/// What the request wants, for an authorizer.
pub fn attributes<'a>(user: &'a User, info: &'a RequestInfo) -> Attributes<'a> {
    Attributes {
        user: &user.name,
        groups: &user.groups,
        verb: &info.verb,
        is_resource: info.is_resource,
        group: &info.group,
        resource: &info.resource,
        subresource: &info.subresource,
        namespace: &info.namespace,
        name: &info.name,
        path: &info.path,
        field_selector: &info.field_selector,
    }
}

/// Lets the request pass.
///
/// # Errors
/// 403 when the user may not.
pub fn filter(authorizer: &dyn Authorizer, user: &User, info: &RequestInfo) -> Result<(), Refusal> {
    let attributes = attributes(user, info);
    let decision = authorizer.decide(&attributes);
    if decision.allowed {
        return Ok(());
    }
    Err(Refusal::Forbidden(Box::new(forbidden(&attributes, &decision.reason))))
}
