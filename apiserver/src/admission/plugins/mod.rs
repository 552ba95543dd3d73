//! The built-in admission plugins: one file each, one line each, in upstream's order
//! (`pkg/kubeapiserver/options/plugins.go`).

mod default_class;
mod default_toleration_seconds;
mod limit_ranger;
mod namespace_lifecycle;
mod node_restriction;
mod persistent_volume_claim_resize;
mod pod_security;
mod priority;
mod resource_quota;
mod runtime_class;
mod service_account;
mod storage_object_in_use_protection;
mod taint_nodes_by_condition;

use super::{Plugin, policy, webhook};

/// A plugin's name, whether it is on unless told otherwise, and how it is made.
type Entry = (&'static str, bool, fn() -> Box<dyn Plugin>);

const PLUGINS: [Entry; 18] = [
    (namespace_lifecycle::NAME, true, || {
        Box::new(namespace_lifecycle::NamespaceLifecycle)
    }),
    (limit_ranger::NAME, true, || Box::new(limit_ranger::LimitRanger)),
    (service_account::NAME, true, || {
        Box::new(service_account::ServiceAccount)
    }),
    (node_restriction::NAME, false, || {
        Box::new(node_restriction::NodeRestriction::default())
    }),
    (taint_nodes_by_condition::NAME, true, || {
        Box::new(taint_nodes_by_condition::TaintNodesByCondition)
    }),
    (pod_security::NAME, true, || Box::new(pod_security::PodSecurity)),
    (priority::NAME, true, || Box::new(priority::Priority)),
    (default_toleration_seconds::NAME, true, || {
        Box::new(default_toleration_seconds::DefaultTolerationSeconds)
    }),
    (default_class::STORAGE.name, true, || Box::new(default_class::STORAGE)),
    (storage_object_in_use_protection::NAME, true, || {
        Box::new(storage_object_in_use_protection::StorageObjectInUseProtection)
    }),
    (persistent_volume_claim_resize::NAME, true, || {
        Box::new(persistent_volume_claim_resize::PersistentVolumeClaimResize)
    }),
    (runtime_class::NAME, true, || Box::new(runtime_class::RuntimeClass)),
    (default_class::INGRESS.name, true, || Box::new(default_class::INGRESS)),
    (policy::MUTATING, true, || Box::new(policy::Mutating::default())),
    (webhook::MUTATING, true, || Box::new(webhook::Mutating::default())),
    (policy::VALIDATING, true, || Box::new(policy::Validating::default())),
    (webhook::VALIDATING, true, || Box::new(webhook::Validating::default())),
    (resource_quota::NAME, true, || Box::new(resource_quota::ResourceQuota)),
];

/// The chain that results from `--enable-admission-plugins` and `--disable-admission-plugins`.
///
/// # Errors
/// A sentence that names the flag and the plugin that is not known or is both enabled and disabled.
pub fn chain(enable: &[String], disable: &[String]) -> Result<Vec<Box<dyn Plugin>>, String> {
    let known = |name: &String| PLUGINS.iter().any(|(plugin, ..)| plugin == name);
    for (flag, names) in [
        ("--enable-admission-plugins", enable),
        ("--disable-admission-plugins", disable),
    ] {
        if let Some(name) = names.iter().find(|name| !known(name)) {
            let all: Vec<&str> = PLUGINS.iter().map(|(plugin, ..)| *plugin).collect();
            return Err(format!(
                "{flag}: there is no admission plugin {name:?}; the plugins are {}",
                all.join(", ")
            ));
        }
    }
    if let Some(both) = enable.iter().find(|name| disable.contains(name)) {
        return Err(format!(
            "--disable-admission-plugins: {both} is also in --enable-admission-plugins; name it only once"
        ));
    }
    let wanted =
        |name: &str, default: bool| enable.iter().any(|n| n == name) || (default && !disable.iter().any(|n| n == name));
    Ok(PLUGINS
        .iter()
        .filter(|(name, default, _)| wanted(name, *default))
        .map(|(_, _, make)| make())
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_choose_plugins() {
        let names = |chain: Vec<Box<dyn Plugin>>| chain.iter().map(|p| p.name()).collect::<Vec<_>>();
        let text = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
        let usual = names(chain(&[], &[]).unwrap());
        assert_eq!(usual.len(), PLUGINS.iter().filter(|(_, on, _)| *on).count());
        let without = names(chain(&[], &text(&["Priority"])).unwrap());
        assert!(!without.contains(&"Priority") && without.len() == usual.len() - 1);
        let named = names(chain(&text(&["Priority"]), &[]).unwrap());
        assert_eq!(named, usual);
        let restricted = names(chain(&text(&["NodeRestriction"]), &[]).unwrap());
        assert_eq!(restricted.len(), usual.len() + 1);
        assert!(
            chain(&text(&["Nope"]), &[])
                .err()
                .unwrap()
                .contains("--enable-admission-plugins")
        );
        assert!(chain(&text(&["Priority"]), &text(&["Priority"])).is_err());
    }
}
