//! The environment of a container.

use k8s_openapi::api::core::v1::{Container, EnvVar, EnvVarSource, Pod};

use super::downward::field_value;
use super::hostname;
use super::objects::{Objects, Reference};

/// The objects `envFrom` names: prefix of their keys, object, whether it may be absent.
fn whole_objects(container: &Container) -> impl Iterator<Item = (&str, Reference, bool)> {
    container.env_from.iter().flatten().flat_map(|from| {
        let config_map = from.config_map_ref.as_ref();
        let config_map = config_map.map(|one| (Reference::ConfigMap(one.name.clone()), one.optional));
        let secret = from.secret_ref.as_ref();
        let secret = secret.map(|one| (Reference::Secret(one.name.clone()), one.optional));
        let prefix = from.prefix.as_deref().unwrap_or_default();
        let named = config_map.into_iter().chain(secret);
        named.map(move |(of, optional)| (prefix, of, optional == Some(true)))
    })
}

/// The key of an object that a variable shows, and whether it may be absent.
fn key_of(source: &EnvVarSource) -> Option<(Reference, &str, bool)> {
    let config_map = source.config_map_key_ref.as_ref().map(|key| {
        let of = Reference::ConfigMap(key.name.clone());
        (of, key.key.as_str(), key.optional == Some(true))
    });
    config_map.or_else(|| {
        let key = source.secret_key_ref.as_ref()?;
        let of = Reference::Secret(key.name.clone());
        Some((of, key.key.as_str(), key.optional == Some(true)))
    })
}

/// Every object that the environment takes something from.
pub(super) fn references(container: &Container) -> impl Iterator<Item = Reference> {
    let sources = container
        .env
        .iter()
        .flatten()
        .filter_map(|variable| variable.value_from.as_ref());
    let keys = sources.filter_map(key_of).map(|(of, ..)| of);
    whole_objects(container).map(|(_, of, _)| of).chain(keys)
}

/// `envFrom` first, then `env`, later definitions last; `$(NAME)` sees what was defined before.
pub(super) fn of_container(
    pod: &Pod,
    container: &Container,
    objects: &Objects,
) -> Result<Vec<(String, String)>, String> {
    let mut env = vec![
        (
            "PATH".to_string(),
            "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".to_string(),
        ),
        ("HOSTNAME".to_string(), hostname(pod)),
    ];
    for (prefix, of, optional) in whole_objects(container) {
        for (key, value) in objects.content(&of, optional)?.into_iter().flatten() {
            let value = String::from_utf8_lossy(value).into_owned();
            define(&mut env, format!("{prefix}{key}"), value);
        }
    }
    for variable in container.env.iter().flatten() {
        if let Some(value) = variable_value(pod, variable, objects, &env)? {
            define(&mut env, variable.name.clone(), value);
        }
    }
    Ok(env)
}

fn define(env: &mut Vec<(String, String)>, name: String, value: String) {
    match env.iter_mut().find(|(known, _)| *known == name) {
        Some(entry) => entry.1 = value,
        None => env.push((name, value)),
    }
}

fn variable_value(
    pod: &Pod,
    variable: &EnvVar,
    objects: &Objects,
    env: &[(String, String)],
) -> Result<Option<String>, String> {
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    let Some(source) = &variable.value_from else {
        return Ok(Some(substitute(variable.value.as_deref().unwrap_or_default(), env)));
    };
    if let Some((of, key, optional)) = key_of(source) {
        return objects.key(&of, key, optional, namespace);
    }
    source
        .field_ref
        .as_ref()
        .map(|field| field_value(pod, field))
        .transpose()
}

/// Replaces `$(NAME)` where NAME is defined; `$$` is a literal dollar sign (third_party/forked/golang/expansion).
pub(super) fn substitute(text: &str, env: &[(String, String)]) -> String {
    let mut result = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        result.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        if let Some(escaped) = after.strip_prefix('$') {
            result.push('$');
            rest = escaped;
        } else if let Some((name, tail)) = after.strip_prefix('(').and_then(|inner| inner.split_once(')')) {
            match env.iter().rev().find(|(known, _)| known == name) {
                Some((_, value)) => result.push_str(value),
                None => result.push_str(&format!("$({name})")),
            }
            rest = tail;
        } else {
            result.push('$');
            rest = after;
        }
    }
    result + rest
}
