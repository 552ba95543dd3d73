//! What the containers of a pod see: environment and files, resolved from the pod and the objects it names.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{
    ConfigMap, Container, DownwardAPIVolumeFile, EnvVar, KeyToPath, ObjectFieldSelector, Pod, Secret, Volume,
};

use super::lifecycle::Missing;
use super::shell::View;

/// A ConfigMap or Secret by name, in the pod's namespace.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reference {
    /// `configmap`
    ConfigMap(String),
    /// `secret`
    Secret(String),
}

/// The content of the objects a pod names, as far as they exist, and the tokens made for it.
#[derive(Debug, Clone, Default)]
pub struct Objects {
    content: BTreeMap<Reference, BTreeMap<String, Vec<u8>>>,
    token: Option<String>,
}

type Files = Vec<(String, Vec<u8>)>;

impl Objects {
    /// Adds a ConfigMap.
    pub fn add_config_map(&mut self, name: &str, object: &ConfigMap) {
        let text = object
            .data
            .iter()
            .flatten()
            .map(|(key, value)| (key.clone(), value.clone().into_bytes()));
        let binary = object
            .binary_data
            .iter()
            .flatten()
            .map(|(key, value)| (key.clone(), value.0.clone()));
        self.content
            .insert(Reference::ConfigMap(name.to_string()), text.chain(binary).collect());
    }

    /// Adds a Secret.
    pub fn add_secret(&mut self, name: &str, object: &Secret) {
        let data = object
            .data
            .iter()
            .flatten()
            .map(|(key, ByteString(value))| (key.clone(), value.clone()));
        self.content.insert(Reference::Secret(name.to_string()), data.collect());
    }

    /// Adds the token that projected service account volumes show.
    pub fn set_token(&mut self, token: String) {
        self.token = Some(token);
    }

    fn content(&self, reference: &Reference, optional: bool) -> Result<Option<&BTreeMap<String, Vec<u8>>>, String> {
        match self.content.get(reference) {
            Some(content) => Ok(Some(content)),
            None if optional => Ok(None),
            None => Err(match reference {
                Reference::ConfigMap(name) => format!("configmap \"{name}\" not found"),
                Reference::Secret(name) => format!("secret \"{name}\" not found"),
            }),
        }
    }

    fn key(&self, reference: &Reference, key: &str, optional: bool, namespace: &str) -> Result<Option<String>, String> {
        let Some(content) = self.content(reference, optional)? else {
            return Ok(None);
        };
        match content.get(key) {
            Some(value) => Ok(Some(String::from_utf8_lossy(value).into_owned())),
            None if optional => Ok(None),
            None => Err(match reference {
                Reference::ConfigMap(name) => format!("couldn't find key {key} in ConfigMap {namespace}/{name}"),
                Reference::Secret(name) => format!("couldn't find key {key} in Secret {namespace}/{name}"),
            }),
        }
    }
}

/// Every ConfigMap and Secret the pod's volumes and environments name.
pub fn references(pod: &Pod) -> BTreeSet<Reference> {
    let mut found = BTreeSet::new();
    for volume in volumes(pod) {
        found.extend(
            volume
                .config_map
                .as_ref()
                .map(|source| Reference::ConfigMap(source.name.clone())),
        );
        found.extend(
            volume
                .secret
                .as_ref()
                .and_then(|source| source.secret_name.clone())
                .map(Reference::Secret),
        );
        for source in volume
            .projected
            .iter()
            .flat_map(|projected| projected.sources.iter().flatten())
        {
            found.extend(
                source
                    .config_map
                    .as_ref()
                    .map(|source| Reference::ConfigMap(source.name.clone())),
            );
            found.extend(
                source
                    .secret
                    .as_ref()
                    .map(|source| Reference::Secret(source.name.clone())),
            );
        }
    }
    for container in containers(pod) {
        for from in container.env_from.iter().flatten() {
            found.extend(
                from.config_map_ref
                    .as_ref()
                    .map(|source| Reference::ConfigMap(source.name.clone())),
            );
            found.extend(
                from.secret_ref
                    .as_ref()
                    .map(|source| Reference::Secret(source.name.clone())),
            );
        }
        for source in container
            .env
            .iter()
            .flatten()
            .filter_map(|variable| variable.value_from.as_ref())
        {
            found.extend(
                source
                    .config_map_key_ref
                    .as_ref()
                    .map(|source| Reference::ConfigMap(source.name.clone())),
            );
            found.extend(
                source
                    .secret_key_ref
                    .as_ref()
                    .map(|source| Reference::Secret(source.name.clone())),
            );
        }
    }
    found
}

/// Whether a volume of the pod shows a token of its service account.
pub fn wants_token(pod: &Pod) -> bool {
    let sources = volumes(pod)
        .filter_map(|volume| volume.projected.as_ref())
        .flat_map(|projected| &projected.sources);
    sources.flatten().any(|source| source.service_account_token.is_some())
}

/// What keeps the pod, or single containers of it, from starting.
pub fn missing(pod: &Pod, objects: &Objects) -> Missing {
    let mounts = volumes(pod).filter_map(|volume| {
        let why = volume_files(pod, volume, objects).err()?;
        Some(format!(
            "MountVolume.SetUp failed for volume \"{}\" : {why}",
            volume.name
        ))
    });
    let environment = containers(pod).filter_map(|one| Some((one.name.clone(), environment(pod, one, objects).err()?)));
    Missing {
        volumes: mounts.collect(),
        environment: environment.collect(),
    }
}

/// What `container` sees; an error when [`missing`] has something to say about it.
pub fn view(pod: &Pod, container: &Container, objects: &Objects) -> Result<View, String> {
    let mut files = own_files(pod);
    for mount in container.volume_mounts.iter().flatten() {
        let Some(volume) = volumes(pod).find(|volume| volume.name == mount.name) else {
            continue;
        };
        let path = mount.mount_path.trim_end_matches('/');
        for (name, content) in volume_files(pod, volume, objects)? {
            match mount.sub_path.as_deref().filter(|sub_path| !sub_path.is_empty()) {
                None => files.insert(format!("{path}/{name}"), content),
                Some(sub_path) if sub_path == name => files.insert(path.to_string(), content),
                Some(_) => None,
            };
        }
    }
    let pod_security = pod.spec.as_ref().and_then(|spec| spec.security_context.as_ref());
    let security = container.security_context.as_ref();
    let user = security
        .and_then(|own| own.run_as_user)
        .or(pod_security.and_then(|pod| pod.run_as_user))
        .unwrap_or(0);
    let group = security
        .and_then(|own| own.run_as_group)
        .or(pod_security.and_then(|pod| pod.run_as_group));
    Ok(View {
        hostname: hostname(pod),
        env: environment(pod, container, objects)?,
        files,
        user: (user, group.unwrap_or(0)),
        working_dir: container.working_dir.clone().unwrap_or_else(|| "/".to_string()),
    })
}

/// The program a container runs: `command` and `args` with `$(NAME)` replaced, empty when the image decides.
pub fn command_line(container: &Container, view: &View) -> Vec<String> {
    let words = container
        .command
        .iter()
        .flatten()
        .chain(container.args.iter().flatten());
    words.map(|word| substitute(word, &view.env)).collect()
}

fn volumes(pod: &Pod) -> impl Iterator<Item = &Volume> {
    pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten())
}

/// Init containers and containers.
pub fn containers(pod: &Pod) -> impl Iterator<Item = &Container> {
    pod.spec
        .iter()
        .flat_map(|spec| spec.init_containers.iter().flatten().chain(&spec.containers))
}

fn hostname(pod: &Pod) -> String {
    let spec = pod.spec.as_ref();
    let name = spec
        .and_then(|spec| spec.hostname.clone())
        .or_else(|| pod.metadata.name.clone())
        .unwrap_or_default();
    let end = (0..=name.len().min(63))
        .rev()
        .find(|end| name.is_char_boundary(*end))
        .unwrap_or(0);
    name[..end].to_string()
}

/// The files a kubelet writes for every container.
fn own_files(pod: &Pod) -> BTreeMap<String, Vec<u8>> {
    let (spec, status) = (pod.spec.clone().unwrap_or_default(), pod.status.as_ref());
    let address = status.and_then(|status| status.pod_ip.clone()).unwrap_or_default();
    let mut hosts = format!("127.0.0.1\tlocalhost\n{address}\t{}\n", hostname(pod));
    for alias in spec.host_aliases.iter().flatten() {
        hosts.push_str(&format!(
            "{}\t{}\n",
            alias.ip,
            alias.hostnames.iter().flatten().cloned().collect::<Vec<_>>().join("\t")
        ));
    }
    let dns = spec.dns_config.unwrap_or_default();
    let mut resolver = String::new();
    if let Some(searches) = dns.searches.filter(|searches| !searches.is_empty()) {
        resolver.push_str(&format!("search {}\n", searches.join(" ")));
    }
    dns.nameservers
        .iter()
        .flatten()
        .for_each(|server| resolver.push_str(&format!("nameserver {server}\n")));
    let options: Vec<String> = dns
        .options
        .iter()
        .flatten()
        .filter_map(|option| {
            let name = option.name.clone()?;
            Some(
                option
                    .value
                    .as_ref()
                    .map_or(name.clone(), |value| format!("{name}:{value}")),
            )
        })
        .collect();
    if !options.is_empty() {
        resolver.push_str(&format!("options {}\n", options.join(" ")));
    }
    [
        ("/etc/hostname", format!("{}\n", hostname(pod))),
        ("/etc/hosts", hosts),
        ("/etc/resolv.conf", resolver),
    ]
    .map(|(path, text)| (path.to_string(), text.into_bytes()))
    .into()
}

/// The files of one volume, relative to where it is mounted.
fn volume_files(pod: &Pod, volume: &Volume, objects: &Objects) -> Result<Files, String> {
    let mut files = Vec::new();
    if let Some(source) = &volume.config_map {
        let reference = Reference::ConfigMap(source.name.clone());
        files.extend(keys(
            objects,
            reference,
            source.items.as_deref(),
            source.optional == Some(true),
        )?);
    }
    if let Some(source) = &volume.secret {
        let reference = Reference::Secret(source.secret_name.clone().unwrap_or_default());
        files.extend(keys(
            objects,
            reference,
            source.items.as_deref(),
            source.optional == Some(true),
        )?);
    }
    if let Some(source) = &volume.downward_api {
        files.extend(downward(pod, source.items.as_deref().unwrap_or_default())?);
    }
    for source in volume
        .projected
        .iter()
        .flat_map(|projected| projected.sources.iter().flatten())
    {
        if let Some(source) = &source.config_map {
            let reference = Reference::ConfigMap(source.name.clone());
            files.extend(keys(
                objects,
                reference,
                source.items.as_deref(),
                source.optional == Some(true),
            )?);
        }
        if let Some(source) = &source.secret {
            let reference = Reference::Secret(source.name.clone());
            files.extend(keys(
                objects,
                reference,
                source.items.as_deref(),
                source.optional == Some(true),
            )?);
        }
        if let Some(source) = &source.downward_api {
            files.extend(downward(pod, source.items.as_deref().unwrap_or_default())?);
        }
        if let (Some(source), Some(token)) = (&source.service_account_token, &objects.token) {
            files.push((source.path.clone(), token.clone().into_bytes()));
        }
    }
    Ok(files)
}

/// All keys as files, or only those listed, under their listed paths.
fn keys(objects: &Objects, reference: Reference, items: Option<&[KeyToPath]>, optional: bool) -> Result<Files, String> {
    let Some(content) = objects.content(&reference, optional)? else {
        return Ok(Vec::new());
    };
    let Some(items) = items.filter(|items| !items.is_empty()) else {
        return Ok(content
            .iter()
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect());
    };
    let mut files = Vec::new();
    for item in items {
        match content.get(&item.key) {
            Some(value) => files.push((item.path.clone(), value.clone())),
            None if optional => {}
            None => return Err(format!("references non-existent config key: {}", item.key)),
        }
    }
    Ok(files)
}

fn downward(pod: &Pod, items: &[DownwardAPIVolumeFile]) -> Result<Files, String> {
    let file = |item: &DownwardAPIVolumeFile| {
        let value = item
            .field_ref
            .as_ref()
            .map_or(Ok(String::new()), |field| field_value(pod, field));
        value.map(|value| (item.path.clone(), value.into_bytes()))
    };
    items.iter().map(file).collect()
}

/// `envFrom` first, then `env`, later definitions last; `$(NAME)` sees what was defined before.
fn environment(pod: &Pod, container: &Container, objects: &Objects) -> Result<Vec<(String, String)>, String> {
    let mut env = vec![
        (
            "PATH".to_string(),
            "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".to_string(),
        ),
        ("HOSTNAME".to_string(), hostname(pod)),
    ];
    for from in container.env_from.iter().flatten() {
        let prefix = from.prefix.as_deref().unwrap_or_default();
        let config_map = from
            .config_map_ref
            .as_ref()
            .map(|one| (Reference::ConfigMap(one.name.clone()), one.optional));
        let secret = from
            .secret_ref
            .as_ref()
            .map(|one| (Reference::Secret(one.name.clone()), one.optional));
        for (reference, optional) in config_map.into_iter().chain(secret) {
            for (key, value) in objects
                .content(&reference, optional == Some(true))?
                .into_iter()
                .flatten()
            {
                define(
                    &mut env,
                    format!("{prefix}{key}"),
                    String::from_utf8_lossy(value).into_owned(),
                );
            }
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
    if let Some(key) = &source.config_map_key_ref {
        return objects.key(
            &Reference::ConfigMap(key.name.clone()),
            &key.key,
            key.optional == Some(true),
            namespace,
        );
    }
    if let Some(key) = &source.secret_key_ref {
        return objects.key(
            &Reference::Secret(key.name.clone()),
            &key.key,
            key.optional == Some(true),
            namespace,
        );
    }
    source
        .field_ref
        .as_ref()
        .map(|field| field_value(pod, field))
        .transpose()
}

/// A field of the pod as the downward API shows it (pkg/fieldpath/fieldpath.go).
fn field_value(pod: &Pod, field: &ObjectFieldSelector) -> Result<String, String> {
    let (meta, spec, status) = (&pod.metadata, pod.spec.as_ref(), pod.status.as_ref());
    let owned = |value: Option<&String>| Ok(value.cloned().unwrap_or_default());
    let path = field.field_path.as_str();
    if let Some((map, key)) = path.strip_suffix("']").and_then(|path| path.split_once("['")) {
        return match map {
            "metadata.labels" => owned(meta.labels.as_ref().and_then(|labels| labels.get(key))),
            "metadata.annotations" => owned(meta.annotations.as_ref().and_then(|annotations| annotations.get(key))),
            _ => Err(format!("unsupported fieldPath: {path}")),
        };
    }
    match path {
        "metadata.name" => owned(meta.name.as_ref()),
        "metadata.namespace" => owned(meta.namespace.as_ref()),
        "metadata.uid" => owned(meta.uid.as_ref()),
        "metadata.labels" => Ok(lines(meta.labels.as_ref())),
        "metadata.annotations" => Ok(lines(meta.annotations.as_ref())),
        "spec.nodeName" => owned(spec.and_then(|spec| spec.node_name.as_ref())),
        "spec.serviceAccountName" => owned(spec.and_then(|spec| spec.service_account_name.as_ref())),
        "status.hostIP" | "status.hostIPs" => owned(status.and_then(|status| status.host_ip.as_ref())),
        "status.podIP" | "status.podIPs" => owned(status.and_then(|status| status.pod_ip.as_ref())),
        _ => Err(format!("unsupported fieldPath: {path}")),
    }
}

fn lines(map: Option<&BTreeMap<String, String>>) -> String {
    map.into_iter()
        .flatten()
        .map(|(key, value)| format!("{key}={value:?}"))
        .collect::<Vec<_>>()
        .join("\n")
}

/// Replaces `$(NAME)` where NAME is defined; `$$` is a literal dollar sign (third_party/forked/golang/expansion).
fn substitute(text: &str, env: &[(String, String)]) -> String {
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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod() -> Pod {
        serde_json::from_value(json!({
            "metadata": {"name": "web-0", "namespace": "ns", "uid": "u1", "labels": {"app": "web"}},
            "spec": {
                "nodeName": "node-1",
                "hostAliases": [{"ip": "10.0.0.1", "hostnames": ["kubernetes"]}],
                "dnsConfig": {"nameservers": ["10.96.0.10"], "searches": ["ns.svc.cluster.local"], "options": [{"name": "ndots", "value": "5"}]},
                "volumes": [
                    {"name": "config", "configMap": {"name": "settings"}},
                    {"name": "one", "secret": {"secretName": "keys", "items": [{"key": "password", "path": "db/pw"}]}},
                    {"name": "info", "projected": {"sources": [
                        {"downwardAPI": {"items": [{"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]}},
                        {"serviceAccountToken": {"path": "token"}}]}}],
                "containers": [{"name": "web", "image": "nginx", "args": ["serve", "$(WHO)", "$$(WHO)", "$(NOPE)"],
                    "volumeMounts": [{"name": "config", "mountPath": "/etc/config"}, {"name": "one", "mountPath": "/keys"},
                        {"name": "config", "mountPath": "/single", "subPath": "a"}, {"name": "info", "mountPath": "/info/"}],
                    "envFrom": [{"prefix": "S_", "configMapRef": {"name": "settings"}}],
                    "env": [{"name": "WHO", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
                        {"name": "PW", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "password"}}},
                        {"name": "BOTH", "value": "$(WHO)-$(PW)"},
                        {"name": "MAYBE", "valueFrom": {"configMapKeyRef": {"name": "absent", "key": "x", "optional": true}}}]}]}
        }))
        .unwrap()
    }

    fn objects() -> Objects {
        let mut objects = Objects::default();
        objects.add_config_map(
            "settings",
            &serde_json::from_value(json!({"data": {"a": "1"}})).unwrap(),
        );
        objects.add_secret(
            "keys",
            &serde_json::from_value(json!({"data": {"password": "cHc="}})).unwrap(),
        );
        objects.set_token("jwt".to_string());
        objects
    }

    #[test]
    fn environment_and_files() {
        let pod = pod();
        let container = containers(&pod).next().unwrap();
        let view = view(&pod, container, &objects()).unwrap();
        let env = |name: &str| {
            view.env
                .iter()
                .find(|(key, _)| key == name)
                .map(|(_, value)| value.as_str())
        };
        assert_eq!(
            [env("S_a"), env("WHO"), env("BOTH"), env("MAYBE")],
            [Some("1"), Some("web-0"), Some("web-0-pw"), None]
        );
        let file = |path: &str| {
            view.files
                .get(path)
                .map(|content| String::from_utf8(content.clone()).unwrap())
        };
        for (path, content) in [
            ("/etc/config/a", "1"),
            ("/single", "1"),
            ("/keys/db/pw", "pw"),
            ("/info/labels", "app=\"web\""),
            ("/info/token", "jwt"),
            ("/etc/hostname", "web-0\n"),
            (
                "/etc/resolv.conf",
                "search ns.svc.cluster.local\nnameserver 10.96.0.10\noptions ndots:5\n",
            ),
        ] {
            assert_eq!(file(path).as_deref(), Some(content), "{path}");
        }
        assert!(file("/etc/hosts").unwrap().contains("10.0.0.1\tkubernetes\n"));
        assert_eq!(command_line(container, &view), ["serve", "web-0", "$(WHO)", "$(NOPE)"]);
        assert_eq!(missing(&pod, &objects()), Missing::default());
        assert!(wants_token(&pod));
    }

    #[test]
    fn what_is_missing_is_named() {
        let pod = pod();
        let names = ["absent", "settings"].map(|name| Reference::ConfigMap(name.to_string()));
        assert_eq!(
            references(&pod),
            names
                .into_iter()
                .chain([Reference::Secret("keys".to_string())])
                .collect()
        );
        let nothing = missing(&pod, &Objects::default());
        let mounts = ["config", "one"].map(|name| format!("MountVolume.SetUp failed for volume \"{name}\" : "));
        assert!(
            nothing
                .volumes
                .iter()
                .zip(&mounts)
                .all(|(found, start)| found.starts_with(start)),
            "{nothing:?}"
        );
        assert_eq!(nothing.environment["web"], "configmap \"settings\" not found");
        let mut objects = objects();
        objects.add_secret("keys", &Secret::default());
        assert_eq!(
            missing(&pod, &objects).environment["web"],
            "couldn't find key password in Secret ns/keys"
        );
    }
}
