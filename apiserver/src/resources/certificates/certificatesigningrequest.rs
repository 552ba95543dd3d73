//! CertificateSigningRequests: who asks is recorded, the request stays as it is, and approval and certificate have a
//! subresource each.

use super::super::shared::cells;
use super::super::shared::checks::text;
use super::validate::{self, May};
use crate::registry::columns::{Column, Columns};
use crate::registry::request::Requester;
use crate::registry::resource::Resource;
use crate::registry::strategy::{Context, MetadataChecks, Strategy};
use machinery::field::ErrorList;
use machinery::object::Selectable;
use machinery::{meta, names, time};
use serde_json::{Value, json};

const SPEC: &str = "io.k8s.api.certificates.v1.CertificateSigningRequestSpec";
/// Upstream still shows the words of the beta version.
const SIGNER: &str = "Requested signer for the request. It is a qualified name in the form: `scope-hostname.io/name`. If empty, it will be defaulted:\n 1. If it's a kubelet client certificate, it is assigned\n    \"kubernetes.io/kube-apiserver-client-kubelet\".\n 2. If it's a kubelet serving certificate, it is assigned\n    \"kubernetes.io/kubelet-serving\".\n 3. Otherwise, it is assigned \"kubernetes.io/legacy-unknown\".\nDistribution of trust for signers happens out of band. You can select on this field using `spec.signerName`.";

static COLUMNS: Columns = Columns {
    columns: &[
        cells::NAME,
        cells::AGE,
        Column::new("SignerName", "string", SIGNER),
        Column::new("Requestor", "string", "Base64-encoded PKCS#10 CSR data"),
        Column::of_field("RequestedDuration", "string", SPEC, "expirationSeconds"),
        Column::new(
            "Condition",
            "string",
            "Conditions applied to the request, such as approval or denial.",
        ),
    ],
    cells: |obj, now| {
        let duration = meta::i64_at(obj, &["spec", "expirationSeconds"]);
        vec![
            cells::name(obj),
            cells::age(obj, now),
            text(obj, &["spec", "signerName"]).into(),
            text(obj, &["spec", "username"]).into(),
            duration
                .map_or_else(|| cells::NONE.to_owned(), time::human_duration)
                .into(),
            condition(obj).into(),
        ]
    },
};

fn condition(obj: &Value) -> String {
    let conditions = meta::list_at(obj, &["status", "conditions"]);
    let has = |kind: &str| conditions.iter().any(|condition| condition["type"] == kind);
    let mut state = if has("Denied") {
        "Denied"
    } else if has("Approved") {
        "Approved"
    } else {
        "Pending"
    }
    .to_owned();
    if has("Failed") {
        state.push_str(",Failed");
    }
    if !text(obj, &["status", "certificate"]).is_empty() {
        state.push_str(",Issued");
    }
    state
}

struct SigningRequest;

impl Strategy for SigningRequest {
    fn record_requester(&self, who: &Requester<'_>, obj: &mut Value) {
        for (field, value) in [("username", who.name), ("uid", who.uid)] {
            meta::remove(obj, &["spec", field]);
            if !value.is_empty() {
                meta::set(obj, &["spec", field], value);
            }
        }
        meta::set(obj, &["spec", "groups"], who.groups.to_vec());
        meta::remove(obj, &["spec", "extra"]);
        if !who.extra.is_empty() {
            meta::set(obj, &["spec", "extra"], json!(who.extra));
        }
    }

    fn prepare_for_create(&self, _cx: &Context<'_>, obj: &mut Value) {
        meta::set(obj, &["status"], json!({}));
    }

    fn prepare_for_update(&self, _cx: &Context<'_>, new: &mut Value, old: &Value) {
        meta::copy(new, old, &["spec"]);
        meta::copy(new, old, &["status"]);
    }

    fn validate(&self, _cx: &Context<'_>, obj: &Value) -> ErrorList {
        validate::whole(obj)
    }

    fn validate_update(&self, _cx: &Context<'_>, new: &Value, old: &Value) -> ErrorList {
        validate::update(new, old, May::Nothing)
    }

    fn validate_name(&self, name: &str, prefix: bool) -> Vec<String> {
        names::path_segment(name, prefix)
    }

    fn metadata_checks_on_update(&self) -> MetadataChecks {
        MetadataChecks::WholeThenUpdate
    }

    fn reset_fields(&self) -> &'static [&'static str] {
        &["spec", "status"]
    }
}

/// The hooks of the subresources.
struct Part {
    may: May,
    resets: &'static [&'static str],
}

impl Strategy for Part {
    fn prepare_for_update(&self, cx: &Context<'_>, new: &mut Value, old: &Value) {
        meta::copy(new, old, &["spec"]);
        if self.may == May::Approve {
            meta::copy(new, old, &["status", "certificate"]);
        } else {
            keep_decisions(new, old);
        }
        date_conditions(new, old, cx.now);
    }

    fn validate_update(&self, _cx: &Context<'_>, new: &Value, old: &Value) -> ErrorList {
        validate::update(new, old, self.may)
    }

    fn validate_name(&self, name: &str, prefix: bool) -> Vec<String> {
        names::path_segment(name, prefix)
    }

    fn metadata_checks_on_update(&self) -> MetadataChecks {
        MetadataChecks::WholeThenUpdate
    }

    fn reset_fields(&self) -> &'static [&'static str] {
        self.resets
    }
}

/// Conditions that only approvers decide on stay what they were, unless their number changes, which is an error
/// (`preserveConditionInstances`).
fn keep_decisions(new: &mut Value, old: &Value) {
    for decision in ["Approved", "Denied"] {
        let of = |condition: &&Value| condition["type"] == decision;
        let before: Vec<Value> = meta::list_at(old, &["status", "conditions"])
            .iter()
            .filter(of)
            .cloned()
            .collect();
        let conditions = new.pointer_mut("/status/conditions").and_then(Value::as_array_mut);
        let now: Vec<&mut Value> = conditions
            .into_iter()
            .flatten()
            .filter(|condition| condition["type"] == decision)
            .collect();
        if now.len() == before.len() {
            now.into_iter().zip(before).for_each(|(now, before)| *now = before);
        }
    }
}

/// Notes when conditions have changed, unless the client does (`populateConditionTimestamps`).
fn date_conditions(new: &mut Value, old: &Value, now: &str) {
    let before = meta::list_at(old, &["status", "conditions"]);
    let conditions = new.pointer_mut("/status/conditions").and_then(Value::as_array_mut);
    for condition in conditions.into_iter().flatten() {
        let same = before
            .iter()
            .find(|old| old["type"] == condition["type"] && old["status"] == condition["status"]);
        let since = same
            .and_then(|old| meta::str_at(old, &["lastTransitionTime"]))
            .unwrap_or(now);
        meta::set_default(condition, &["lastTransitionTime"], since);
        meta::set_default(condition, &["lastUpdateTime"], now);
    }
}

pub(super) fn resource() -> Resource {
    let request = Resource {
        short_names: ["csr"].into(),
        selectable_fields: Selectable::Builtin(&[("spec.signerName", |obj| {
            text(obj, &["spec", "signerName"]).to_owned()
        })]),
        ..Resource::cluster_kind(
            ("certificates.k8s.io", "v1", "CertificateSigningRequest"),
            ("certificatesigningrequests", "certificatesigningrequest"),
            "io.k8s.api.certificates.v1.CertificateSigningRequest",
            SigningRequest,
            &COLUMNS,
        )
    };
    request
        .with_object_subresource(
            "approval",
            Part {
                may: May::Approve,
                resets: &["spec", "status.certificate"],
            },
        )
        .with_object_subresource(
            "status",
            Part {
                may: May::Issue,
                resets: &["spec", "status.conditions"],
            },
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asks_is_recorded_whatever_the_client_says() {
        let extra = [("k".to_owned(), vec!["v".to_owned()])].into();
        let groups = ["g".to_owned()];
        let who = Requester {
            name: "jane",
            uid: "",
            groups: &groups,
            extra: &extra,
        };
        let mut obj = json!({"spec": {"username": "root", "uid": "0", "groups": ["system:masters"]}});
        SigningRequest.record_requester(&who, &mut obj);
        assert_eq!(
            obj["spec"],
            json!({"username": "jane", "groups": ["g"], "extra": {"k": ["v"]}})
        );
    }

    #[test]
    fn conditions_are_dated_when_they_change() {
        let old = json!({"status": {"conditions": [{"type": "A", "status": "True", "lastTransitionTime": "t0"}]}});
        let mut new =
            json!({"status": {"conditions": [{"type": "A", "status": "True"}, {"type": "B", "status": "True"}]}});
        date_conditions(&mut new, &old, "now");
        let conditions = &new["status"]["conditions"];
        assert_eq!(
            (&conditions[0]["lastTransitionTime"], &conditions[0]["lastUpdateTime"]),
            (&json!("t0"), &json!("now"))
        );
        assert_eq!(conditions[1]["lastTransitionTime"], "now");
        assert_eq!(
            condition(&json!({"status": {"conditions": [{"type": "Approved"}], "certificate": "x"}})),
            "Approved,Issued"
        );
    }
}
