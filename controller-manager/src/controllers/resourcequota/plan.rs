//! What has to be counted for a quota, and what becomes of its status. Pure.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use machinery::gvk::GroupResource;
use machinery::meta;
use machinery::pod_resources::{Amounts, add, amounts};
use machinery::quantity::Quantity;
use machinery::quota::{DeviceClasses, Evaluator, counted, is_ignored};
use serde_json::Value;

/// Objects that have to be counted for a quota, and under which of its names.
pub(super) struct Need {
    pub(super) resource: GroupResource,
    pub(super) names: Vec<String>,
    evaluator: Evaluator,
}

impl Need {
    /// Whether it takes whole objects, rather than their number, to count them.
    pub(super) fn looks_inside(&self, quota: &Value) -> bool {
        has_scopes(quota) || !self.names.iter().all(|name| self.evaluator.only_counts(name))
    }

    /// Adds what an object uses to a total.
    pub(super) fn count(&self, quota: &Value, object: &Value, now: Timestamp, total: &mut Amounts) {
        if self.evaluator.within_scopes(quota, object) {
            let mut usage = self.evaluator.usage(object, now);
            usage.retain(|name, _| self.names.contains(name));
            add(total, &usage);
        }
    }

    /// The total before anything is counted.
    pub(super) fn nothing(&self) -> Amounts {
        let zero = Quantity::from_units(0);
        self.names.iter().map(|name| (name.clone(), zero)).collect()
    }
}

/// The names that a quota limits.
pub(super) fn names(quota: &Value) -> impl Iterator<Item = &str> {
    let hard = meta::map_at(quota, &["spec", "hard"]);
    hard.into_iter().flat_map(|hard| hard.keys().map(String::as_str))
}

fn has_scopes(quota: &Value) -> bool {
    let of = |path: &[&str]| !meta::list_at(quota, path).is_empty();
    of(&["spec", "scopes"]) || of(&["spec", "scopeSelector", "matchExpressions"])
}

/// All that has to be counted for a quota (`CalculateUsage`). Of other resources than those with names of their own, only
/// the number can be limited.
pub(super) fn needs(quota: &Value, classes: &DeviceClasses) -> Vec<Need> {
    let mut own = BTreeSet::new();
    let mut needs: Vec<Need> = Vec::new();
    for (resource, evaluator) in Evaluator::with_own_names(classes) {
        let limited = names(quota).filter(|name| evaluator.limits(name));
        needs.push(Need {
            names: limited.map(str::to_owned).collect(),
            resource: resource.clone(),
            evaluator,
        });
        own.insert(resource);
    }
    for name in names(quota) {
        if let Some(resource) = counted(name).filter(|resource| !own.contains(resource) && !is_ignored(resource)) {
            needs.push(Need {
                names: vec![name.to_owned()],
                evaluator: Evaluator::of(&resource, DeviceClasses::default()),
                resource,
            });
        }
    }
    needs.retain(|need| !need.names.is_empty());
    needs
}

/// Limits and usage as a status has them.
#[derive(Debug, PartialEq)]
pub(super) struct Status {
    pub(super) hard: BTreeMap<String, String>,
    pub(super) used: BTreeMap<String, String>,
}

/// The status that a quota should have; `None` when it has it already. What was not measured stays what it was.
pub(super) fn status(quota: &Value, measured: &Amounts) -> Option<Status> {
    let (hard, known) = (amounts(quota, &["spec", "hard"]), amounts(quota, &["status", "hard"]));
    let before = amounts(quota, &["status", "used"]);
    let mut used = before.clone();
    used.extend(measured.clone());
    used.retain(|name, _| hard.contains_key(name));
    let is_complete = ["hard", "used"]
        .iter()
        .all(|field| hard.is_empty() || meta::map_at(quota, &["status", field]).is_some());
    if is_complete && hard == known && used == before {
        return None;
    }
    let texts = |amounts: Amounts| {
        amounts
            .into_iter()
            .map(|(name, amount)| (name, amount.to_string()))
            .collect()
    };
    Some(Status {
        hard: texts(hard),
        used: texts(used),
    })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use serde_json::json;

    fn measured(of: &[(&str, &str)]) -> Amounts {
        let each = of
            .iter()
            .map(|(name, amount)| ((*name).to_owned(), Quantity::parse(amount).unwrap()));
        each.collect()
    }

    /// A status that was written is not written again.
    pub(crate) fn rests() {
        for (hard, measured) in [
            (
                json!({"pods": "3", "requests.memory": "1024Mi"}),
                measured(&[("pods", "1")]),
            ),
            (json!({"count/things.example.com": "3"}), Amounts::new()),
            (json!({}), Amounts::new()),
        ] {
            let mut quota = json!({"spec": {"hard": hard}});
            if let Some(status) = status(&quota, &measured) {
                quota["status"] = json!({"hard": status.hard, "used": status.used});
            }
            assert_eq!(status(&quota, &measured), None, "{quota}");
        }
    }

    #[test]
    fn a_status_repeats_the_limits_and_keeps_what_could_not_be_measured() {
        let quota = json!({
            "spec": {"hard": {"pods": "3", "secrets": "1", "count/things.example.com": "5"}},
            "status": {"hard": {"pods": "4"}, "used": {"pods": "2", "secrets": "1", "services": "9"}},
        });
        let found = status(&quota, &measured(&[("pods", "0")])).unwrap();
        let used: Vec<(&str, &str)> = found.used.iter().map(|(name, amount)| (&**name, &**amount)).collect();
        assert_eq!(used, [("pods", "0"), ("secrets", "1")]);
        assert_eq!(found.hard["count/things.example.com"], "5");
    }

    #[test]
    fn what_is_needed_follows_from_the_names() {
        let quota = |spec: Value| json!({"spec": spec});
        let needed = |spec: Value| -> Vec<String> {
            let quota = quota(spec);
            let needs = needs(&quota, &DeviceClasses::default());
            let each = needs.iter().map(|need| {
                let inside = if need.looks_inside(&quota) { " inside" } else { "" };
                format!("{} {}{inside}", need.resource, need.names.join(" "))
            });
            each.collect()
        };
        assert_eq!(
            needed(
                json!({"hard": {"cpu": "1", "count/pods": "2", "secrets": "1", "count/things.example.com": "1",
                "count/events": "1", "nonsense": "1"}})
            ),
            [
                "pods count/pods cpu inside",
                "secrets secrets",
                "things.example.com count/things.example.com"
            ]
        );
        assert_eq!(needed(json!({"hard": {"count/pods": "2"}})), ["pods count/pods"]);
        assert_eq!(
            needed(json!({"hard": {"count/pods": "2"}, "scopes": ["Terminating"]})),
            ["pods count/pods inside"]
        );
    }

    #[test]
    fn only_what_is_within_the_scopes_counts() {
        let quota = json!({"spec": {"hard": {"pods": "2", "requests.cpu": "1"}, "scopes": ["NotBestEffort"]}});
        let needs = needs(&quota, &DeviceClasses::default());
        let pod = |class: &str| json!({"spec": {"containers": [{"resources": {"requests": {"cpu": "300m"}}}]}, "status": {"qosClass": class}});
        let mut total = needs[0].nothing();
        for class in ["Burstable", "BestEffort", "Guaranteed"] {
            needs[0].count(&quota, &pod(class), Timestamp::UNIX_EPOCH, &mut total);
        }
        assert_eq!(total, measured(&[("pods", "2"), ("requests.cpu", "600m")]));
    }
}
