//! What a request for a certificate must look like (`pkg/apis/certificates/validation`).

use super::super::shared::checks::{complaints, text};
use super::pem;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use machinery::field::{Error, ErrorList, Path, go_quote};
use machinery::{meta, names};
use serde_json::Value;
use std::collections::BTreeSet;

const USAGES: [&str; 23] = [
    "any",
    "cert sign",
    "client auth",
    "code signing",
    "content commitment",
    "crl sign",
    "data encipherment",
    "decipher only",
    "digital signature",
    "email protection",
    "encipher only",
    "ipsec end system",
    "ipsec tunnel",
    "ipsec user",
    "key agreement",
    "key encipherment",
    "microsoft sgc",
    "netscape sgc",
    "ocsp signing",
    "s/mime",
    "server auth",
    "signing",
    "timestamping",
];
const APPROVED: &str = "Approved";
const DENIED: &str = "Denied";
const FAILED: &str = "Failed";
const LEGACY_SIGNER: &str = "kubernetes.io/legacy-unknown";
const MIN_SECONDS: i64 = 600;
/// Two subdomains, a label and what separates them.
const SIGNER_MAX: usize = 571;

/// What an update may do besides changing metadata.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum May {
    /// Nothing.
    Nothing,
    /// Approve or deny.
    Approve,
    /// Set the certificate, or say that it cannot be had.
    Issue,
}

/// `ValidateCertificateSigningRequestCreate`.
pub(super) fn whole(obj: &Value) -> ErrorList {
    let path = Path::new("spec");
    let mut errors = ErrorList::new();
    let request = text(obj, &["spec", "request"]);
    if let Err(why) = decoded(request).and_then(|text| pem::check_request(&text)) {
        let given = meta::at(obj, &["spec", "request"]).cloned().unwrap_or_default();
        errors.push(Error::invalid(&path.child("request"), given, why));
    }
    errors.extend(usages(obj, &path.child("usages")));
    let signer = text(obj, &["spec", "signerName"]);
    if signer == LEGACY_SIGNER {
        let detail = "the legacy signerName is not allowed via this API version";
        errors.push(Error::invalid(&path.child("signerName"), signer, detail));
    } else {
        errors.extend(signer_name(signer, &path.child("signerName")));
    }
    if let Some(seconds) = meta::i64_at(obj, &["spec", "expirationSeconds"]).filter(|s| *s < MIN_SECONDS) {
        let detail = format!("may not specify a duration less than {MIN_SECONDS} seconds (10 minutes)");
        errors.push(Error::invalid(&path.child("expirationSeconds"), seconds, detail));
    }
    errors.extend(status(obj));
    errors
}

/// `ValidateCertificateSigningRequestUpdate` and its siblings; the spec cannot have changed. What was wrong before may
/// stay.
pub(super) fn update(new: &Value, old: &Value, may: May) -> ErrorList {
    let mut errors = if status(old).is_empty() {
        status(new)
    } else {
        ErrorList::new()
    };
    let path = Path::new("status");
    let of_kind = |obj, kind: &str| -> Vec<Value> {
        let conditions = meta::list_at(obj, &["status", "conditions"]).iter();
        conditions
            .filter(|condition| condition["type"] == kind)
            .cloned()
            .collect()
    };
    let refused = |verb: &str, kind: &str| {
        let detail = format!("updates may not {verb} a condition of type {}", go_quote(kind));
        Error::forbidden(&path.child("conditions"), detail)
    };
    for kind in [APPROVED, DENIED, FAILED] {
        if of_kind(new, kind).len() < of_kind(old, kind).len() {
            errors.push(refused("remove", kind));
        }
    }
    for kind in [APPROVED, DENIED].into_iter().filter(|_| may != May::Approve) {
        let (before, after) = (of_kind(old, kind), of_kind(new, kind));
        match after.len().cmp(&before.len()) {
            std::cmp::Ordering::Greater => errors.push(refused("add", kind)),
            std::cmp::Ordering::Equal if before != after => errors.push(refused("modify", kind)),
            _ => {}
        }
    }
    let certificate = |obj| text(obj, &["status", "certificate"]).to_owned();
    if certificate(new) != certificate(old) {
        let detail = if may != May::Issue {
            Some("updates may not set certificate content")
        } else if !certificate(old).is_empty() {
            Some("updates may not modify existing certificate content")
        } else {
            None
        };
        errors.extend(detail.map(|detail| Error::forbidden(&path.child("certificate"), detail)));
    }
    errors
}

/// Text that is base64 in JSON.
fn decoded(encoded: &str) -> Result<String, String> {
    let bytes = BASE64_STANDARD.decode(encoded).unwrap_or_default();
    // PEM is ASCII; anything else is no block.
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn usages(obj: &Value, path: &Path) -> ErrorList {
    let usages = meta::list_at(obj, &["spec", "usages"]);
    let mut errors = ErrorList::new();
    if usages.is_empty() {
        errors.push(Error::required(path, ""));
    }
    let all = || {
        usages
            .iter()
            .enumerate()
            .map(|(i, usage)| (i, usage.as_str().unwrap_or_default()))
    };
    for (i, usage) in all().filter(|(_, usage)| !USAGES.contains(usage)) {
        errors.push(Error::not_supported(&path.index(i), usage, &USAGES));
    }
    let mut seen = BTreeSet::new();
    for (i, usage) in all() {
        if !seen.insert(usage) {
            errors.push(Error::duplicate(&path.index(i), usage));
        }
    }
    errors
}

/// `ValidateSignerName`.
fn signer_name(name: &str, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    if name.is_empty() {
        return vec![Error::required(path, "")];
    }
    let [domain, rest] = name.split('/').collect::<Vec<_>>()[..] else {
        let detail = "must be a fully qualified domain and path of the form 'example.com/signer-name'";
        errors.push(Error::invalid(path, name, detail));
        return errors;
    };
    if domain.len() > names::DNS1123_SUBDOMAIN_MAX {
        errors.push(Error::too_long(path, names::DNS1123_SUBDOMAIN_MAX));
    }
    let parts = |segment: &str, rule: fn(&str) -> Vec<String>| -> ErrorList {
        let labels = segment.split('.');
        labels
            .flat_map(|label| {
                let found = rule(label).into_iter();
                let named = found
                    .map(|why| format!("validating label {}: {why}", go_quote(label)))
                    .collect();
                complaints(path, segment, named)
            })
            .collect()
    };
    errors.extend(parts(domain, names::dns1123_label));
    if !domain.contains('.') {
        let detail = "should be a domain with at least two segments separated by dots";
        errors.push(Error::invalid(path, domain, detail));
    }
    errors.extend(parts(rest, names::dns1123_subdomain));
    if name.len() > SIGNER_MAX {
        errors.push(Error::too_long(path, SIGNER_MAX));
    }
    errors
}

fn status(obj: &Value) -> ErrorList {
    let path = Path::new("status");
    let mut errors = ErrorList::new();
    let mut seen = BTreeSet::new();
    for (i, condition) in meta::list_at(obj, &["status", "conditions"]).iter().enumerate() {
        let path = path.child("conditions").index(i);
        let (kind, value) = (text(condition, &["type"]), text(condition, &["status"]));
        if kind.is_empty() {
            errors.push(Error::required(&path.child("type"), ""));
        }
        let allowed: &[&str] = match kind {
            APPROVED | DENIED | FAILED => &["True"],
            _ => &["False", "True", "Unknown"],
        };
        if value.is_empty() {
            errors.push(Error::required(&path.child("status"), ""));
        } else if !allowed.contains(&value) {
            errors.push(Error::not_supported(&path.child("status"), value, allowed));
        }
        let opposite = match kind {
            APPROVED => seen.contains(DENIED),
            DENIED => seen.contains(APPROVED),
            _ => false,
        };
        if opposite {
            let detail = "Approved and Denied conditions are mutually exclusive";
            errors.push(Error::invalid(&Path::new("status").child("conditions"), kind, detail));
        }
        if !seen.insert(kind) {
            errors.push(Error::duplicate(&path.child("type"), kind));
        }
    }
    let certificate = text(obj, &["status", "certificate"]);
    if !certificate.is_empty()
        && let Err(why) = decoded(certificate).and_then(|text| pem::check_certificates(&text))
    {
        errors.push(Error::invalid(&path.child("certificate"), "<certificate data>", why));
    }
    errors
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn signers_have_a_domain_and_a_path() {
        for (name, count) in [
            ("example.com/signer", 0),
            ("kubernetes.io/kube-apiserver-client", 0),
            ("", 1),
            ("example/signer", 1),
            ("Example.com/signer", 1),
            ("example.com/a/b", 1),
        ] {
            let errors = signer_name(name, &Path::new("spec"));
            assert_eq!(errors.len(), count, "{name}: {errors:?}");
        }
    }

    #[test]
    fn approval_is_for_good_and_only_through_its_subresource() {
        let approved = json!({"status": {"conditions": [{"type": "Approved", "status": "True"}]}});
        for (new, old, may, expected) in [
            (&approved, json!({}), May::Approve, ""),
            (
                &approved,
                json!({}),
                May::Issue,
                "status.conditions: Forbidden: updates may not add a condition of type \"Approved\"",
            ),
            (
                &json!({}),
                approved.clone(),
                May::Approve,
                "status.conditions: Forbidden: updates may not remove a condition of type \"Approved\"",
            ),
            (
                &json!({"status": {"certificate": "bm90YWNlcnQ="}}),
                json!({}),
                May::Issue,
                "status.certificate: Invalid value: \"<certificate data>\": must contain at least one CERTIFICATE PEM block",
            ),
        ] {
            let texts: Vec<String> = update(new, &old, may).iter().map(ToString::to_string).collect();
            assert_eq!(texts.join(", "), expected);
        }
    }

    #[test]
    fn updates_change_only_what_their_subresource_may() {
        let of = |status: Value| json!({"status": status});
        let conditions = |list: Value| of(json!({"conditions": list}));
        let condition = |kind: &str, value: &str| json!({"type": kind, "status": value});
        let approved = conditions(json!([condition("Approved", "True")]));
        for (may, new, old, expected) in [
            (
                May::Approve,
                conditions(json!([condition("Approved", "False")])),
                of(json!({})),
                "status.conditions[0].status: Unsupported value: \"False\": supported values: \"True\"",
            ),
            (
                May::Approve,
                conditions(json!([condition("Approved", "True"), condition("Denied", "True")])),
                of(json!({})),
                "status.conditions: Invalid value: \"Denied\": Approved and Denied conditions are mutually exclusive",
            ),
            (
                May::Approve,
                conditions(json!([condition("", "True")])),
                of(json!({})),
                "status.conditions[0].type: Required value",
            ),
            (
                May::Issue,
                approved.clone(),
                of(json!({})),
                "status.conditions: Forbidden: updates may not add a condition of type \"Approved\"",
            ),
            (
                May::Approve,
                conditions(json!([])),
                approved.clone(),
                "status.conditions: Forbidden: updates may not remove a condition of type \"Approved\"",
            ),
            (
                May::Issue,
                approved.clone(),
                conditions(json!([condition("Approved", "True"), condition("Failed", "True")])),
                "status.conditions: Forbidden: updates may not remove a condition of type \"Failed\"",
            ),
            (
                May::Approve,
                conditions(json!([{"type": "Approved", "status": "True", "reason": "other"}])),
                approved.clone(),
                "",
            ),
            (
                May::Issue,
                of(json!({"certificate": "eA=="})),
                of(json!({})),
                "status.certificate: Invalid value: \"<certificate data>\": must contain at least one CERTIFICATE PEM block",
            ),
            (
                May::Issue,
                of(json!({"certificate": BASE64_STANDARD.encode("-----BEGIN X-----\nAAAA\n-----END X-----\n")})),
                of(json!({})),
                "status.certificate: Invalid value: \"<certificate data>\": only CERTIFICATE PEM blocks are allowed, found \"X\"",
            ),
            (
                May::Issue,
                conditions(json!([condition("Approved", "True"), condition("Failed", "True")])),
                approved.clone(),
                "",
            ),
        ] {
            let found = update(&new, &old, may)
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>();
            assert_eq!(found.join(", "), expected, "{new}");
        }
    }
}
