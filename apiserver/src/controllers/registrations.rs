//! The APIServices of custom resources: one for each group and version that a definition serves, as long as it does
//! (kubernetes `pkg/controlplane/controller/crdregistration`, kube-aggregator `pkg/controllers/autoregister`).

use super::{Controller, Feed, Kind, Seen};
use crate::aggregator::local::CUSTOM;
use crate::bootstrap::apiservices::AUTO_MANAGED;
use crate::bootstrap::writer::Writer;
use crate::endpoints::api::Api;
use machinery::meta;
use machinery::status::Status;
use serde_json::{Value, json};
use std::collections::BTreeMap;

const DEFINITIONS: Kind = ("apiextensions.k8s.io", "customresourcedefinitions");
const SERVICES: Kind = ("apiregistration.k8s.io", "apiservices");
/// Kept as long as it is wanted; those of the server itself are made once, at its start.
const ALWAYS: &str = "true";

/// Group and version.
type Version = (String, String);

/// What definitions serve, by their names.
#[derive(Default)]
pub(super) struct Registrations {
    served: BTreeMap<String, Vec<Version>>,
}

impl Controller for Registrations {
    const NAME: &'static str = "custom-resource-registration";
    const FOLLOWS: &'static [Kind] = &[DEFINITIONS, SERVICES];

    async fn see(&mut self, api: &Api, _: &mut Feed, seen: Seen) -> Result<(), Status> {
        if seen.kind == SERVICES {
            let own = seen.object.index.label(AUTO_MANAGED) == Some(ALWAYS);
            let version = seen.object.index.name.split_once('.');
            // Where somebody else's APIService was, the own one comes back.
            return match version.filter(|_| own || seen.gone) {
                Some((version, group)) => self.settle(api, &(group.to_owned(), version.to_owned())).await,
                None => Ok(()),
            };
        }
        let name = seen.object.index.name.to_string();
        let new = if seen.gone {
            Vec::new()
        } else {
            versions(&seen.decode(api)?)
        };
        let old = self.served.insert(name.clone(), new.clone()).unwrap_or_default();
        if new.is_empty() {
            self.served.remove(&name);
        }
        let gone = old.into_iter().filter(|version| !new.contains(version));
        for version in new.iter().cloned().chain(gone) {
            self.settle(api, &version).await?;
        }
        Ok(())
    }
}

impl Registrations {
    /// Makes or removes the APIService of a group and version. One that somebody else has made is left alone.
    async fn settle(&self, api: &Api, version: &Version) -> Result<(), Status> {
        let writer = Writer::new(api, SERVICES.0, SERVICES.1)?;
        let wanted = object(version);
        let name = meta::name(&wanted);
        let found = writer.get("", name).await?;
        let own = |found: &Value| meta::str_at(found, &["metadata", "labels", AUTO_MANAGED]) == Some(ALWAYS);
        match found {
            None if self.is_served(version) => writer.create("", &wanted).await,
            Some(found) if own(&found) && !meta::is_deleting(&found) => {
                // What is not known here may be known to the store: definitions are not all seen at the start.
                if self.is_served(version) || is_defined(api, version).await? {
                    keep(&writer, &found, &wanted).await
                } else {
                    writer.delete("", name).await
                }
            }
            _ => Ok(()),
        }
    }

    fn is_served(&self, version: &Version) -> bool {
        self.served.values().any(|versions| versions.contains(version))
    }
}

/// Undoes what others have changed.
async fn keep(writer: &Writer<'_>, found: &Value, wanted: &Value) -> Result<(), Status> {
    if found.get("spec") == wanted.get("spec") {
        return Ok(());
    }
    let correct = |current: &mut Value| meta::copy(current, wanted, &["spec"]);
    writer.change("", meta::name(wanted), &correct).await
}

async fn is_defined(api: &Api, version: &Version) -> Result<bool, Status> {
    let definitions = Writer::new(api, DEFINITIONS.0, DEFINITIONS.1)?.all().await?;
    Ok(definitions
        .iter()
        .any(|definition| versions(definition).contains(version)))
}

/// The groups and versions that a definition serves.
fn versions(definition: &Value) -> Vec<Version> {
    let group = meta::str_at(definition, &["spec", "group"]).unwrap_or_default();
    let versions = meta::list_at(definition, &["spec", "versions"]).iter();
    let served = versions.filter(|version| version["served"] == true);
    served
        .filter_map(|version| Some((group.to_owned(), version["name"].as_str()?.to_owned())))
        .collect()
}

fn object((group, version): &Version) -> Value {
    json!({
        "metadata": {"name": format!("{version}.{group}"), "labels": {AUTO_MANAGED: ALWAYS}},
        "spec": {
            "group": group, "version": version,
            "groupPriorityMinimum": CUSTOM.0, "versionPriority": CUSTOM.1,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn served_versions_are_announced() {
        let definition = json!({"spec": {"group": "g.example.com", "versions": [
            {"name": "v1", "served": true}, {"name": "v1beta1", "served": false}, {"name": "v2", "served": true},
        ]}});
        let found = versions(&definition);
        assert_eq!(
            found,
            [
                ("g.example.com".to_owned(), "v1".to_owned()),
                ("g.example.com".to_owned(), "v2".to_owned())
            ]
        );
        let announced = object(&found[0]);
        assert_eq!(announced["metadata"]["name"], "v1.g.example.com");
        assert_eq!(announced["spec"]["groupPriorityMinimum"], 1000);
    }
}
