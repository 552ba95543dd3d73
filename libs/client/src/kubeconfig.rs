//! Reading kubeconfig files. The types are kube's, the YAML is read into one tree first: reading it straight into the types,
//! as kube does, compiles a parser for each of them into every service, which an idle one then holds in memory.

use std::path::{MAIN_SEPARATOR, Path};

use kube::config::{Kubeconfig, NamedAuthInfo, NamedCluster, NamedContext};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

type Fits = fn(&Value) -> bool;

/// Lists of a kubeconfig, and what their entries have to be.
const LISTS: [(&str, Fits); 3] = [
    ("clusters", is::<NamedCluster>),
    ("users", is::<NamedAuthInfo>),
    ("contexts", is::<NamedContext>),
];

/// Fields that hold paths: the list, and the place in an entry of it.
const PATHS: [(&str, &str); 5] = [
    ("clusters", "/cluster/certificate-authority"),
    ("users", "/user/client-certificate"),
    ("users", "/user/client-key"),
    ("users", "/user/tokenFile"),
    ("users", COMMAND),
];
/// A command without a separator is looked for where all commands are.
const COMMAND: &str = "/user/exec/command";

/// Reads a file. Relative paths in it count from its directory, as in client-go's `ResolveLocalPaths`.
///
/// # Errors
/// What is wrong with it in one line, which quotes none of its values.
pub fn read(path: &Path) -> Result<Kubeconfig, String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("it cannot be read: {error}"))?;
    let directory = path.parent().unwrap_or(Path::new(""));
    typed(trees(&text)?, |config| resolve_paths(config, directory))
}

/// Reads a kubeconfig that is no file: its paths stay as they are.
///
/// # Errors
/// What is wrong with it in one line, which quotes none of its values.
pub fn parse(text: &str) -> Result<Kubeconfig, String> {
    typed(trees(text)?, |_| ())
}

/// One tree for each document.
fn trees(text: &str) -> Result<Vec<Value>, String> {
    serde_yaml::Deserializer::from_str(text)
        .map(|document| Value::deserialize(document).map_err(|error| format!("it is no YAML: {error}")))
        .collect()
}

/// What the documents say together: of two entries of one name the first one counts.
fn typed(documents: Vec<Value>, prepare: impl Fn(&mut Value)) -> Result<Kubeconfig, String> {
    let mut all = Kubeconfig::default();
    for mut config in documents {
        if config.is_null() {
            continue;
        }
        prepare(&mut config);
        let config = serde_json::from_value(config.clone()).map_err(|_| misfit(&config))?;
        all = all.merge(config).map_err(|error| error.to_string())?;
    }
    Ok(all)
}

/// Which part has another shape than it should; serde's own words would quote it, and it can be a key.
fn misfit(config: &Value) -> String {
    for (list, fits) in LISTS {
        match config.get(list) {
            None | Some(Value::Null) => {}
            Some(Value::Array(entries)) => {
                if let Some(index) = entries.iter().position(|entry| !fits(entry)) {
                    return format!("{list}[{index}] is not what a kubeconfig has there");
                }
            }
            Some(_) => return format!("{list} is not a list"),
        }
    }
    "it is no kubeconfig".to_owned()
}

fn is<T: DeserializeOwned>(value: &Value) -> bool {
    serde_json::from_value::<T>(value.clone()).is_ok()
}

fn resolve_paths(config: &mut Value, directory: &Path) {
    for (list, place) in PATHS {
        let entries = config.get_mut(list).and_then(Value::as_array_mut);
        for field in entries
            .into_iter()
            .flatten()
            .filter_map(|entry| entry.pointer_mut(place))
        {
            let path = field.as_str().unwrap_or_default();
            let relative = !path.is_empty() && Path::new(path).is_relative();
            if relative && (place != COMMAND || path.contains(MAIN_SEPARATOR)) {
                *field = directory.join(path).to_string_lossy().into();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "
apiVersion: v1
kind: Config
current-context: here
contexts:
- {name: here, context: {cluster: one, user: me, namespace: team}}
clusters:
- {name: one, cluster: {server: 'https://10.0.0.1', certificate-authority: ca.crt}}
users:
- {name: me, user: {client-certificate: /pki/me.crt, client-key: keys/me.key, tokenFile: token}}
- {name: other, user: {exec: {apiVersion: client.authentication.k8s.io/v1, command: aws}}}
- {name: third, user: {exec: {apiVersion: client.authentication.k8s.io/v1, command: ./bin/login}}}
---
users:
- {name: me, user: {token: hidden}}
- {name: fourth, user: {token: hidden}}
";

    #[test]
    fn paths_count_from_the_file() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| Some(directory.path().join(name).to_string_lossy().into_owned());
        let file = directory.path().join("config");
        std::fs::write(&file, FILE).unwrap();
        let config = read(&file).unwrap();
        let cluster = config.clusters[0].cluster.clone().unwrap();
        assert_eq!(cluster.certificate_authority, at("ca.crt"));
        assert_eq!(config.auth_infos.len(), 4, "of two of one name the first one counts");
        let users: Vec<_> = config
            .auth_infos
            .into_iter()
            .filter_map(|user| user.auth_info)
            .collect();
        assert_eq!(users[0].client_certificate.as_deref(), Some("/pki/me.crt"));
        assert_eq!(users[0].client_key, at("keys/me.key"));
        assert_eq!(users[0].token_file, at("token"));
        assert!(users[0].token.is_none());
        assert_eq!(users[1].exec.as_ref().unwrap().command.as_deref(), Some("aws"));
        assert_eq!(users[2].exec.as_ref().unwrap().command, at("./bin/login"));
        assert_eq!(
            parse(FILE).unwrap().auth_infos[0]
                .auth_info
                .as_ref()
                .unwrap()
                .token_file
                .as_deref(),
            Some("token")
        );
    }

    #[test]
    fn kube_reads_the_same() {
        let shown = |config: Kubeconfig| serde_json::to_value(config).unwrap();
        for text in [
            FILE,
            "",
            "---\n",
            "{}",
            "users: null",
            "preferences: {colors: true}\nextra: 1",
        ] {
            assert_eq!(
                shown(parse(text).unwrap()),
                shown(Kubeconfig::from_yaml(text).unwrap()),
                "{text}"
            );
        }
    }

    #[test]
    fn errors_are_one_line_without_a_value() {
        for (text, said) in [
            ("a: [", "it is no YAML: "),
            ("hidden", "it is no kubeconfig"),
            ("users: hidden", "users is not a list"),
            ("users: [{name: me, user: hidden}]", "users[0] is not"),
            (
                "users: [{name: me}, {name: you, user: {token: [hidden]}}]",
                "users[1] is not",
            ),
            ("clusters: [{cluster: {server: hidden}}]", "clusters[0] is not"),
            ("current-context: [hidden]", "it is no kubeconfig"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.starts_with(said), "{text}: {error}");
            assert!(!error.contains("hidden") && !error.contains('\n'), "{text}: {error}");
        }
    }
}
