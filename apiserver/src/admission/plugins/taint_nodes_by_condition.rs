//! TaintNodesByCondition: new nodes take no pods until the controller that turns conditions into taints has seen that they
//! are ready (`plugin/pkg/admission/nodetaint`).

use crate::admission::{Attributes, Lookup, Operation, Plugin};
use futures::future::BoxFuture;
use machinery::gvk::GroupResource;
use machinery::meta;
use machinery::status::Status;
use serde_json::{Value, json};

pub(super) const NAME: &str = "TaintNodesByCondition";

const NOT_READY: &str = "node.kubernetes.io/not-ready";
const EFFECT: &str = "NoSchedule";

pub(super) struct TaintNodesByCondition;

impl Plugin for TaintNodesByCondition {
    fn name(&self) -> &'static str {
        NAME
    }

    fn admit<'a>(
        &'a self,
        _lookup: &'a dyn Lookup,
        attributes: &'a mut Attributes<'_>,
        object: &'a mut Value,
    ) -> BoxFuture<'a, Result<(), Status>> {
        let node = attributes.resource == GroupResource::new("", "nodes") && attributes.subresource.is_empty();
        if node && attributes.operation == Operation::Create {
            taint(object);
        }
        Box::pin(async { Ok(()) })
    }
}

/// Adds the taint unless one of this key and effect is there, whatever its value.
fn taint(node: &mut Value) {
    let mut taints = meta::list_at(node, &["spec", "taints"]).to_vec();
    if !taints.iter().any(|t| t["key"] == NOT_READY && t["effect"] == EFFECT) {
        taints.push(json!({"key": NOT_READY, "effect": EFFECT}));
        meta::set(node, &["spec", "taints"], taints);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admission::testing::{Objects, attributes};

    #[tokio::test]
    async fn new_nodes_take_no_pods() {
        let ours = json!({"key": NOT_READY, "effect": EFFECT});
        let with_value = json!({"key": NOT_READY, "value": "x", "effect": EFFECT});
        let evicting = json!({"key": NOT_READY, "effect": "NoExecute"});
        for (operation, plural, given, expected) in [
            (Operation::Create, "nodes", json!([]), json!([ours])),
            (Operation::Create, "nodes", json!([ours]), json!([ours])),
            (Operation::Create, "nodes", json!([with_value]), json!([with_value])),
            (Operation::Create, "nodes", json!([evicting]), json!([evicting, ours])),
            (Operation::Update, "nodes", json!([]), json!([])),
            (Operation::Create, "pods", json!([]), json!([])),
        ] {
            let mut object = json!({"spec": {"taints": given}});
            let mut warnings = Vec::new();
            let mut attributes = attributes(operation, plural, "", "n", &mut warnings);
            let admitted = TaintNodesByCondition
                .admit(&Objects::of(&[]), &mut attributes, &mut object)
                .await;
            admitted.unwrap();
            assert_eq!(object["spec"]["taints"], expected, "{operation:?} {plural}");
        }
    }
}
