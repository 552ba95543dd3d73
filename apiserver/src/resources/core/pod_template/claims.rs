//! Claims for resources that a pod refers to (`validatePodResourceClaims`).

use super::complaints;
use crate::resources::shared::checks::text;
use crate::resources::shared::internal;
use machinery::field::{Error, ErrorList, Path};
use machinery::{meta, names};
use serde_json::Value;
use std::collections::BTreeSet;

const SOURCES: [&str; 2] = ["resourceClaimName", "resourceClaimTemplateName"];

/// The names by which containers can refer to claims.
pub(super) fn names(spec: &Value) -> BTreeSet<&str> {
    let claims = meta::list_at(spec, &["resourceClaims"]).iter();
    claims.filter_map(|claim| meta::str_at(claim, &["name"])).collect()
}

/// Checks `resourceClaims` of a pod spec.
pub(super) fn validate(spec: &Value, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let mut seen = BTreeSet::new();
    for (i, claim) in meta::list_at(spec, &["resourceClaims"]).iter().enumerate() {
        let path = path.index(i);
        let (name, name_path) = (text(claim, &["name"]), path.child("name"));
        if name.is_empty() {
            errors.push(Error::required(&name_path, ""));
        } else if seen.insert(name) {
            errors.extend(complaints(&name_path, name, names::dns1123_label(name)));
        } else {
            errors.push(Error::duplicate(&name_path, name));
        }
        let detail = match SOURCES.iter().filter(|source| claim.get(**source).is_some()).count() {
            0 => Some("must specify one of: `resourceClaimName`, `resourceClaimTemplateName`"),
            1 => None,
            _ => Some("at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified"),
        };
        if let Some(detail) = detail {
            let shown = internal::show("PodResourceClaim", claim);
            errors.push(Error::invalid(&path, claim.clone(), detail).showing(shown));
        }
        for source in SOURCES {
            if let Some(name) = meta::str_at(claim, &[source]) {
                errors.extend(complaints(&path.child(source), name, names::dns1123_subdomain(name)));
            }
        }
    }
    errors
}
