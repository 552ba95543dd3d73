//! What happens on the host: its nodes run pods, its controllers give addresses and volumes, and somebody meddles.

use std::collections::BTreeSet;

use anyhow::Result;
use e2e::faulty::Dice;
use serde_json::{Value, json};

use crate::client::Client;
use crate::comparer::text;
use crate::kinds::{KINDS, Kind, pods};
use crate::owner::{Key, is_ending};

/// The host's namespace with the copies.
pub(crate) const NAMESPACE: &str = "vcluster";

pub(crate) struct Host {
    pub(crate) client: Client,
    dice: Dice,
    /// Pods whose copies somebody has removed.
    pub(crate) removed: BTreeSet<Key>,
}

impl Host {
    pub(crate) fn new(client: Client, dice: Dice) -> Self {
        Self {
            client,
            dice,
            removed: BTreeSet::new(),
        }
    }

    /// What nodes and controllers would have done by now.
    ///
    /// # Errors
    /// The API server does not answer.
    pub(crate) async fn work(&mut self) -> Result<()> {
        for pod in self.client.list(&pods().path(NAMESPACE)).await? {
            let path = path(pods(), &pod);
            if is_ending(&pod) {
                let now = json!({"gracePeriodSeconds": 0, "preconditions": {"uid": pod["metadata"]["uid"]}});
                self.client.ask("DELETE", &path, &now).await;
                continue;
            }
            if pod["spec"]["nodeName"].is_null() {
                let node = ["worker-1", "worker-2"][self.dice.below(2)];
                let binding = json!({
                    "apiVersion": "v1", "kind": "Binding", "metadata": {"name": pod["metadata"]["name"]},
                    "target": {"apiVersion": "v1", "kind": "Node", "name": node},
                });
                self.client.ask("POST", &format!("{path}/binding"), &binding).await;
            }
            if pod["status"]["phase"] != "Running" {
                self.report(&path, &pod).await;
            }
        }
        for kind in &KINDS {
            if let Some(status) = achieved(kind) {
                let objects = self.client.list(&kind.path(NAMESPACE)).await?;
                for object in objects
                    .iter()
                    .filter(|object| object["status"] != status && wants(kind, object))
                {
                    let path = format!("{}/status", path(kind, object));
                    self.client.ask("PATCH", &path, &json!({"status": status})).await;
                }
            }
        }
        Ok(())
    }

    /// Says that a pod runs, under an address that it may have had or not, with some container ready or not.
    async fn report(&mut self, path: &str, pod: &Value) {
        const SINCE: &str = "2026-01-01T00:00:00Z";
        let address = format!("10.244.0.{}", 1 + self.dice.below(250));
        let is_ready = !self.dice.once_in(3);
        let ready = if is_ready { "True" } else { "False" };
        let status = json!({
            "phase": "Running", "startTime": SINCE, "hostIP": "192.0.2.1", "podIP": address, "podIPs": [{"ip": address}],
            "conditions": [{"type": "Ready", "status": ready, "lastTransitionTime": SINCE}],
            "containerStatuses": [{
                "name": "app", "image": pod["spec"]["containers"][0]["image"], "imageID": "sha256:0", "ready": is_ready,
                "started": true, "restartCount": self.dice.below(4), "state": {"running": {"startedAt": SINCE}},
            }],
        });
        self.client
            .ask("PATCH", &format!("{path}/status"), &json!({"status": status}))
            .await;
    }

    /// Somebody removes a copy, writes over it, or a node reports something new.
    ///
    /// # Errors
    /// The API server does not answer.
    pub(crate) async fn meddle(&mut self, version: u64) -> Result<()> {
        let kind = &KINDS[self.dice.below(KINDS.len())];
        let mut copies = self.client.list(&kind.path(NAMESPACE)).await?;
        copies.retain(|copy| !text(copy, "/metadata/annotations/vcluster.loft.sh~1object-name").is_empty());
        let Some(copy) = self.dice.one_of(&copies).cloned() else {
            return Ok(());
        };
        let path = path(kind, &copy);
        match self.dice.below(3) {
            0 => {
                let of =
                    |what: &str| text(&copy, &format!("/metadata/annotations/vcluster.loft.sh~1{what}")).to_owned();
                if kind.name == pods().name {
                    let key = (kind.name, of("object-namespace"), of("object-name"));
                    self.removed.insert(key);
                }
                self.client.ask("DELETE", &path, &Value::Null).await;
            }
            1 if kind.name == pods().name => self.report(&path, &copy).await,
            _ => {
                self.client.ask("PATCH", &path, &(kind.vandalism)(version)).await;
            }
        }
        Ok(())
    }
}

/// The status that the host's controllers give to every object of a kind.
fn achieved(kind: &Kind) -> Option<Value> {
    let balanced = json!({"loadBalancer": {"ingress": [{"ip": "192.0.2.80"}]}});
    match kind.name {
        "Ingress" => Some(balanced),
        "Service" => Some(json!({"loadBalancer": {"ingress": [{"ip": "192.0.2.80", "ipMode": "VIP"}]}})),
        "PersistentVolumeClaim" => Some(json!({"phase": "Lost"})),
        _ => None,
    }
}

fn wants(kind: &Kind, object: &Value) -> bool {
    kind.name != "Service" || object["spec"]["type"] == "LoadBalancer"
}

fn path(kind: &Kind, object: &Value) -> String {
    format!("{}/{}", kind.path(NAMESPACE), text(object, "/metadata/name"))
}
