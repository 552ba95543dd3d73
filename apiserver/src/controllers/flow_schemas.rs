//! FlowSchemas: whether the priority level they name exists (k8s.io/apiserver `pkg/util/flowcontrol/apf_controller.go`).

use super::conditions::Condition;
use super::{Controller, Feed, Kind, Seen};
use crate::bootstrap::writer::Writer;
use crate::endpoints::api::Api;
use machinery::field::go_quote;
use machinery::meta;
use machinery::status::Status;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

const GROUP: &str = "flowcontrol.apiserver.k8s.io";
const SCHEMAS: Kind = (GROUP, "flowschemas");
const LEVELS: Kind = (GROUP, "prioritylevelconfigurations");
/// The name under which upstream says so.
const MANAGER: &str = "api-priority-and-fairness-config-consumer-v1";
/// Levels that a server has whether or not there are objects for them.
const MANDATORY: [&str; 2] = ["exempt", "catch-all"];

/// Which levels there are, and which level the schemas name.
#[derive(Default)]
pub(super) struct FlowSchemas {
    levels: BTreeSet<String>,
    schemas: BTreeMap<String, String>,
}

impl Controller for FlowSchemas {
    const NAME: &'static str = "flowschema-status";
    const FOLLOWS: &'static [Kind] = &[LEVELS, SCHEMAS];

    async fn see(&mut self, api: &Api, _feed: &mut Feed, seen: Seen) -> Result<(), Status> {
        let name = seen.object.index.name.to_string();
        if seen.kind == LEVELS {
            let changed = if seen.gone {
                self.levels.remove(&name)
            } else {
                self.levels.insert(name.clone())
            };
            let concerned = self.schemas.iter().filter(|(_, level)| changed && **level == name);
            let concerned: Vec<String> = concerned.map(|(schema, _)| schema.clone()).collect();
            for schema in concerned {
                let found = Writer::new(api, SCHEMAS.0, SCHEMAS.1)?.get("", &schema).await?;
                if let Some(schema) = found {
                    self.judge(api, &schema).await?;
                }
            }
            return Ok(());
        }
        if seen.gone {
            self.schemas.remove(&name);
            return Ok(());
        }
        let schema = seen.decode(api)?;
        self.schemas.insert(name, level(&schema).to_owned());
        self.judge(api, &schema).await
    }
}

impl FlowSchemas {
    async fn judge(&self, api: &Api, schema: &Value) -> Result<(), Status> {
        let level = level(schema);
        let condition = dangling(level, self.levels.contains(level) || MANDATORY.contains(&level));
        if condition.is_in(schema) {
            return Ok(());
        }
        let mut config = json!({});
        condition.put(&mut config, &machinery::time::now());
        let writer = Writer::new(api, SCHEMAS.0, SCHEMAS.1)?;
        match writer.apply_status(meta::name(schema), &config, MANAGER).await {
            Err(status) if status.reason != "NotFound" => Err(status),
            _ => Ok(()),
        }
    }
}

fn level(schema: &Value) -> &str {
    meta::str_at(schema, &["spec", "priorityLevelConfiguration", "name"]).unwrap_or_default()
}

fn dangling(level: &str, exists: bool) -> Condition {
    let text = format!(
        "This FlowSchema references the PriorityLevelConfiguration object named {}",
        go_quote(level)
    );
    if exists {
        Condition::new("Dangling", "False", "Found", format!("{text} and it exists"))
    } else {
        Condition::new(
            "Dangling",
            "True",
            "NotFound",
            format!("{text} but there is no such object"),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_not_said_again() {
        for exists in [true, false] {
            let mut schema = json!({});
            let condition = dangling("l", exists);
            condition.put(&mut schema, "now");
            assert!(dangling("l", exists).is_in(&schema) && !dangling("l", !exists).is_in(&schema));
            assert_eq!(
                schema["status"]["conditions"][0]["status"],
                if exists { "False" } else { "True" }
            );
        }
    }
}
