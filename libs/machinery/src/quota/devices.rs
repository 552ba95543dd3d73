//! What ResourceClaims ask for, by the classes of devices (`resource_claims.go`).

use super::usage::{REQUESTS, is_extended};
use crate::meta;
use crate::pod_resources::{Amounts, add};
use crate::quantity::Quantity;
use serde_json::Value;
use std::collections::BTreeMap;

/// Behind the name of a class, in that of the number of its devices.
const DEVICES: &str = ".deviceclass.resource.k8s.io/devices";
/// Before the name of a class, where it is meant as an extended resource.
const IMPLICIT: &str = "deviceclass.resource.kubernetes.io/";
/// How many devices a claim for all of them may get.
const ALL: i64 = 32;

/// The extended resources that classes of devices stand for, by the names of the classes; empty where a class stands for
/// none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeviceClasses(BTreeMap<String, String>);

impl DeviceClasses {
    /// What is to be known of DeviceClasses.
    pub fn of(classes: &[Value]) -> Self {
        let stands_for = |class| meta::str_at(class, &["spec", "extendedResourceName"]).unwrap_or_default();
        let classes = classes
            .iter()
            .map(|class| (meta::name(class).to_owned(), stands_for(class).to_owned()));
        DeviceClasses(classes.collect())
    }

    /// Whether it takes knowledge of the classes to tell what a name in a quota is about.
    pub fn matter_for(name: &str) -> bool {
        name.strip_prefix(REQUESTS)
            .is_some_and(|name| is_extended(name) || name.starts_with(IMPLICIT))
    }

    /// Whether a name in a quota is about devices.
    pub(super) fn limits(&self, name: &str) -> bool {
        let of_class = |name: &str| match name.strip_prefix(IMPLICIT) {
            Some(class) => self.0.contains_key(class),
            None => is_extended(name) && self.0.values().any(|resource| resource == name),
        };
        name.ends_with(DEVICES) || name.strip_prefix(REQUESTS).is_some_and(of_class)
    }

    /// How many devices a claim may get, by the names that quotas have for them.
    pub(super) fn usage(&self, claim: &Value) -> Amounts {
        let mut total: BTreeMap<&str, i64> = BTreeMap::new();
        for request in meta::list_at(claim, &["spec", "devices", "requests"]) {
            let mut most: BTreeMap<&str, i64> = BTreeMap::new();
            let choices = meta::list_at(request, &["firstAvailable"]);
            let exactly = request.get("exactly").filter(|exactly| exactly.is_object());
            for choice in choices.iter().chain(exactly.filter(|_| choices.is_empty())) {
                let class = most
                    .entry(meta::str_at(choice, &["deviceClassName"]).unwrap_or_default())
                    .or_default();
                *class = (*class).max(number(choice));
            }
            for (class, devices) in most {
                let class = total.entry(class).or_default();
                *class = class.saturating_add(devices);
            }
        }
        let mut usage = Amounts::new();
        for (class, devices) in total {
            let devices = Quantity::from_units(devices);
            let mut names = vec![format!("{class}{DEVICES}")];
            if devices.sign() > 0 && !class.is_empty() {
                names.push(format!("{REQUESTS}{IMPLICIT}{class}"));
                let stands_for = self.0.get(class).filter(|resource| !resource.is_empty());
                names.extend(stands_for.map(|resource| format!("{REQUESTS}{resource}")));
            }
            add(&mut usage, &names.into_iter().map(|name| (name, devices)).collect());
        }
        usage
    }
}

fn number(request: &Value) -> i64 {
    match meta::str_at(request, &["allocationMode"]) {
        Some("ExactCount") => meta::i64_at(request, &["count"]).unwrap_or_default(),
        Some("All") => ALL,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_worst_choice_counts_and_classes_have_several_names() {
        let classes = DeviceClasses::of(&[
            json!({"metadata": {"name": "gpu"}, "spec": {"extendedResourceName": "example.com/gpu"}}),
            json!({"metadata": {"name": "fpga"}, "spec": {}}),
        ]);
        let exact =
            |class: &str, count: i64| json!({"deviceClassName": class, "allocationMode": "ExactCount", "count": count});
        let claim = json!({"spec": {"devices": {"requests": [
            {"exactly": exact("gpu", 2)},
            {"firstAvailable": [exact("gpu", 1), exact("gpu", 3), {"deviceClassName": "fpga", "allocationMode": "All"}]},
        ]}}});
        let usage: Vec<String> = classes
            .usage(&claim)
            .iter()
            .map(|(name, amount)| format!("{name}={amount}"))
            .collect();
        assert_eq!(
            usage,
            [
                "fpga.deviceclass.resource.k8s.io/devices=32",
                "gpu.deviceclass.resource.k8s.io/devices=5",
                "requests.deviceclass.resource.kubernetes.io/fpga=32",
                "requests.deviceclass.resource.kubernetes.io/gpu=5",
                "requests.example.com/gpu=5",
            ]
        );
        for (name, expected) in [
            ("gpu.deviceclass.resource.k8s.io/devices", true),
            ("requests.example.com/gpu", true),
            ("requests.example.com/other", false),
            ("requests.deviceclass.resource.kubernetes.io/fpga", true),
            ("requests.deviceclass.resource.kubernetes.io/other", false),
            ("requests.cpu", false),
        ] {
            assert_eq!(classes.limits(name), expected, "{name}");
        }
    }
}
