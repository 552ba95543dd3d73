//! Definitions of custom resources: read from the host before anything else starts, since only they say which kinds there
//! are, and given to the virtual cluster.

use std::time::Duration;

use serde_json::{Value, json};
use tracing::{info, warn};

use super::api::{Api, ApiError, Patch};
use crate::json;
use crate::kinds::Kind;

/// Delays between attempts.
const RETRY: std::ops::RangeInclusive<Duration> = Duration::from_millis(200)..=Duration::from_secs(5);

/// Reads one definition, as soon as the host answers; the problem is a clause.
pub async fn read(host: &Api, name: &str) -> Result<Value, String> {
    find(host, name)
        .await?
        .ok_or_else(|| format!("the host has no CustomResourceDefinition {name}: install it there first"))
}

/// Reads one definition, as soon as the host answers, if there is one; the problem is a clause.
pub async fn find(host: &Api, name: &str) -> Result<Option<Value>, String> {
    let mut delay = *RETRY.start();
    loop {
        match host.get(Kind::CustomResourceDefinition, "", name).await {
            Ok(definition) => return Ok(Some(definition)),
            Err(ApiError::Refused { code: 404, .. }) => return Ok(None),
            Err(ApiError::Refused { code: 403, message, .. }) => {
                return Err(format!("the host does not let its definition be read: {message}"));
            }
            Err(error) => {
                warn!(definition = name, %error, ?delay, "cannot read a definition");
                tokio::time::sleep(delay).await;
                delay = (delay * 2).min(*RETRY.end());
            }
        }
    }
}

/// Makes the definitions in the virtual cluster, or brings those that are there up to date.
pub async fn install(virtual_: &Api, definitions: &[Value]) {
    for definition in definitions {
        let name = json::text(definition, &["metadata", "name"]);
        let mut delay = *RETRY.start();
        while let Err(error) = put(virtual_, name, definition).await {
            warn!(definition = name, %error, ?delay, "cannot give the virtual cluster a definition");
            tokio::time::sleep(delay).await;
            delay = (delay * 2).min(*RETRY.end());
        }
        info!(definition = name, "the virtual cluster has the definition");
    }
}

async fn put(virtual_: &Api, name: &str, definition: &Value) -> Result<(), ApiError> {
    match virtual_.create(Kind::CustomResourceDefinition, "", definition).await {
        Err(error) if error.reason() == "AlreadyExists" => {
            let body = json!({"spec": definition["spec"]});
            let target = (Kind::CustomResourceDefinition, "", name);
            virtual_.patch(target, "", Patch::Merge, &body).await.map(drop)
        }
        made => made.map(drop),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinds::Side;
    use crate::testing::fake::Fake;

    const NAME: &str = "databases.db.example.com";

    fn definition(versions: &[&str]) -> Value {
        let versions: Vec<Value> = versions.iter().map(|name| json!({"name": name})).collect();
        json!({
            "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": NAME},
            "spec": {"group": "db.example.com", "versions": versions},
        })
    }

    #[tokio::test(start_paused = true)]
    async fn definitions_are_waited_for_and_missing_ones_are_told() {
        let host = Fake::new();
        let api = Api::new(Side::Host, host.client(), Default::default());
        let problem = read(&api, NAME).await.unwrap_err();
        assert!(
            problem.starts_with("the host has no CustomResourceDefinition databases.db.example.com"),
            "{problem}"
        );
        host.put(Kind::CustomResourceDefinition, definition(&["v1"]));
        let mut failures = 3;
        host.set_faults(Some(Box::new(move |_, _| {
            failures -= 1;
            (failures >= 0).then_some(503)
        })));
        assert_eq!(
            read(&api, NAME).await.map(|found| found["spec"].clone()),
            Ok(definition(&["v1"])["spec"].clone())
        );
        host.set_faults(Some(Box::new(|_, _| Some(403))));
        assert!(
            read(&api, NAME)
                .await
                .unwrap_err()
                .starts_with("the host does not let its definition be read")
        );
    }

    #[tokio::test(start_paused = true)]
    async fn the_virtual_cluster_gets_definitions_and_their_changes() {
        let virtual_ = Fake::new();
        let api = Api::new(Side::Virtual, virtual_.client(), Default::default());
        for versions in [&["v1"][..], &["v1", "v2"]] {
            install(&api, &[definition(versions)]).await;
            let there = virtual_
                .get(Kind::CustomResourceDefinition, "", NAME)
                .expect("it is there");
            assert_eq!(there["spec"], definition(versions)["spec"]);
        }
    }
}
