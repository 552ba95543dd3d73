//! `experimental.docker`: containers of a virtual cluster that runs in Docker. A control plane in a Pod has none.

use serde_json::Value;

/// Fields of a node that are strings.
const TEXTS: [&str; 2] = ["image", "name"];
/// Fields of a container that are lists of strings.
const LISTS: [&str; 4] = ["args", "env", "ports", "volumes"];

/// Checks the value of a key of the section.
pub(crate) fn check(name: &str, value: &Value) -> Result<(), String> {
    if LISTS.contains(&name) {
        return check_texts(value);
    }
    let nodes = value.as_array().filter(|_| name == "nodes").into_iter().flatten();
    for (index, node) in nodes.enumerate() {
        let fields = node
            .as_object()
            .ok_or_else(|| format!("[{index}]: {node} is not a mapping of keys"))?;
        for (name, value) in fields {
            let field = format!("[{index}].{name}");
            match name.as_str() {
                name if LISTS.contains(&name) => check_texts(value).map_err(|problem| format!("{field}: {problem}"))?,
                name if !TEXTS.contains(&name) => {
                    return Err(format!(
                        "{field} is not one of {}, {}",
                        TEXTS.join(", "),
                        LISTS.join(", ")
                    ));
                }
                _ if value.is_string() => {}
                _ => return Err(format!("{field} must be a string")),
            }
        }
    }
    Ok(())
}

fn check_texts(value: &Value) -> Result<(), String> {
    let items = value
        .as_array()
        .ok_or_else(|| format!("{value} is not a list of strings"))?;
    match items.iter().position(|item| !item.is_string()) {
        Some(index) => Err(format!("[{index}] must be a string")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use crate::Config;

    #[test]
    fn the_section_is_checked_and_has_no_effect_in_a_pod() {
        for (text, expected) in [
            ("{ports: [80]}", "f:1: experimental.docker.ports: [0] must be a string"),
            (
                "{nodes: [a]}",
                "f:1: experimental.docker.nodes: [0]: \"a\" is not a mapping of keys",
            ),
            (
                "{nodes: [{}, {image: 1}]}",
                "f:1: experimental.docker.nodes: [1].image must be a string",
            ),
            (
                "{nodes: [{env: A=b}]}",
                "f:1: experimental.docker.nodes: [0].env: \"A=b\" is not a list of strings",
            ),
            (
                "{nodes: [{network: n}]}",
                "f:1: experimental.docker.nodes: [0].network is not one of image, name, args, env, ports, volumes",
            ),
            (
                "{registry: {}}",
                "f:1: experimental.docker.registry is not a key of vcluster.yaml",
            ),
            (
                "{enabled: maybe}",
                "f:1: experimental.docker.enabled must be true or false",
            ),
        ] {
            let error = Config::parse("f", &format!("experimental: {{docker: {text}}}")).unwrap_err();
            assert_eq!(error.to_string(), expected);
        }
        let config = |text: &str| Config::parse("f", &format!("experimental: {{docker: {text}}}")).unwrap();
        let full = "{enabled: true, image: i, ports: ['80:80'], network: n, nodes: [{name: a, args: [-t]}], \
                    loadBalancer: {forwardPorts: false}}";
        let said = config(full).without_effect();
        assert!(
            said.len() == 1 && said[0].starts_with("experimental.docker has no effect"),
            "{said:?}"
        );
        assert!(config("{}").without_effect().is_empty());
    }
}
