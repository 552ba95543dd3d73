//! DefaultTolerationSeconds: pods stay five minutes on a node that is not ready or unreachable
//! (`plugin/pkg/admission/defaulttolerationseconds`).

use crate::admission::{Attributes, Lookup, Operation, Plugin};
use futures::future::BoxFuture;
use machinery::gvk::GroupResource;
use machinery::meta;
use machinery::status::Status;
use serde_json::{Value, json};

pub(super) const NAME: &str = "DefaultTolerationSeconds";

/// Upstream's defaults of `--default-not-ready-toleration-seconds` and `--default-unreachable-toleration-seconds`.
const SECONDS: i64 = 300;
const TAINTS: [&str; 2] = ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"];

pub(super) struct DefaultTolerationSeconds;

impl Plugin for DefaultTolerationSeconds {
    fn name(&self) -> &'static str {
        NAME
    }

    fn admit<'a>(
        &'a self,
        _lookup: &'a dyn Lookup,
        attributes: &'a mut Attributes<'_>,
        object: &'a mut Value,
    ) -> BoxFuture<'a, Result<(), Status>> {
        let pods = attributes.resource == GroupResource::new("", "pods") && attributes.subresource.is_empty();
        if pods && matches!(attributes.operation, Operation::Create | Operation::Update) {
            tolerate(object);
        }
        Box::pin(async { Ok(()) })
    }
}

fn tolerate(pod: &mut Value) {
    let mut tolerations = meta::list_at(pod, &["spec", "tolerations"]).to_vec();
    let before = tolerations.len();
    for taint in TAINTS {
        let text = |t: &Value, field: &str| meta::str_at(t, &[field]).unwrap_or_default().to_owned();
        let covered = tolerations.iter().any(|t| {
            (text(t, "key") == taint || text(t, "key").is_empty())
                && matches!(text(t, "effect").as_str(), "NoExecute" | "")
        });
        if !covered {
            let toleration =
                json!({"key": taint, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": SECONDS});
            tolerations.push(toleration);
        }
    }
    if tolerations.len() > before {
        meta::set(pod, &["spec", "tolerations"], tolerations);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_missing_tolerations_are_added() {
        for (tolerations, expected) in [
            (json!([]), 2),
            (json!([{"operator": "Exists"}]), 1),
            (
                json!([{"key": TAINTS[0], "operator": "Exists", "effect": "NoExecute"}]),
                2,
            ),
            (json!([{"key": "x", "operator": "Exists", "effect": "NoSchedule"}]), 3),
        ] {
            let mut pod = json!({"spec": {"tolerations": tolerations}});
            tolerate(&mut pod);
            assert_eq!(
                meta::list_at(&pod, &["spec", "tolerations"]).len(),
                expected,
                "{tolerations}"
            );
        }
    }
}
