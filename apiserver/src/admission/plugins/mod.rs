//! The built-in admission plugins: one file each, one line each, in upstream's order
//! (`pkg/kubeapiserver/options/plugins.go`).

mod default_toleration_seconds;
mod namespace_lifecycle;
mod priority;
mod service_account;

use super::{Chain, Plugin};

/// A plugin's name, whether it is on unless told otherwise, and how it is made.
type Entry = (&'static str, bool, fn() -> Box<dyn Plugin>);

const PLUGINS: [Entry; 4] = [
    (namespace_lifecycle::NAME, true, || {
        Box::new(namespace_lifecycle::NamespaceLifecycle)
    }),
    (service_account::NAME, true, || {
        Box::new(service_account::ServiceAccount)
    }),
    (priority::NAME, true, || Box::new(priority::Priority)),
    (default_toleration_seconds::NAME, true, || {
        Box::new(default_toleration_seconds::DefaultTolerationSeconds)
    }),
];

/// The chain that results from `--enable-admission-plugins` and `--disable-admission-plugins`.
///
/// # Errors
/// A sentence that names the flag and the plugin that is not known or is both enabled and disabled.
pub fn chain(enable: &[String], disable: &[String]) -> Result<Chain, String> {
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
        let names = |chain: Chain| chain.iter().map(|p| p.name()).collect::<Vec<_>>();
        let text = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
        assert_eq!(names(chain(&[], &[]).unwrap()).len(), PLUGINS.len());
        let without = names(chain(&[], &text(&["Priority"])).unwrap());
        assert!(!without.contains(&"Priority") && without.len() == PLUGINS.len() - 1);
        assert!(
            chain(&text(&["Nope"]), &[])
                .err()
                .unwrap()
                .contains("--enable-admission-plugins")
        );
        assert!(chain(&text(&["Priority"]), &text(&["Priority"])).is_err());
    }
}
