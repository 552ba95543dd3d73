//! The files of a container: its volumes' and those that a kubelet writes for every one.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{DownwardAPIVolumeFile, KeyToPath, Pod, Volume};

use super::downward::field_value;
use super::hostname;
use super::objects::{Objects, Reference};

type Files = Vec<(String, Vec<u8>)>;

/// Where files of a volume come from.
pub(super) enum Source<'a> {
    /// Keys of an object: all of them, or those listed.
    Keys {
        /// The object.
        of: Reference,
        /// The keys and their paths, when not all are shown.
        items: Option<&'a [KeyToPath]>,
        /// Whether the object and its keys may be absent.
        optional: bool,
    },
    /// Fields of the pod.
    Fields(&'a [DownwardAPIVolumeFile]),
    /// A token of the pod's service account, at this path.
    Token(&'a str),
}

impl<'a> Source<'a> {
    fn keys(of: Reference, items: Option<&'a Vec<KeyToPath>>, optional: Option<bool>) -> Self {
        Source::Keys {
            of,
            items: items.map(Vec::as_slice).filter(|items| !items.is_empty()),
            optional: optional == Some(true),
        }
    }

    fn fields(items: Option<&'a Vec<DownwardAPIVolumeFile>>) -> Self {
        Source::Fields(items.map(Vec::as_slice).unwrap_or_default())
    }
}

/// The sources of a volume, as far as this node knows them; an empty directory has none.
pub(super) fn sources(volume: &Volume) -> Vec<Source<'_>> {
    let config_map = volume.config_map.iter().map(|source| {
        let of = Reference::ConfigMap(source.name.clone());
        Source::keys(of, source.items.as_ref(), source.optional)
    });
    let secret = volume.secret.iter().map(|source| {
        let of = Reference::Secret(source.secret_name.clone().unwrap_or_default());
        Source::keys(of, source.items.as_ref(), source.optional)
    });
    let fields = volume
        .downward_api
        .iter()
        .map(|source| Source::fields(source.items.as_ref()));
    let mut found: Vec<_> = config_map.chain(secret).chain(fields).collect();
    let projected = volume.projected.iter().flat_map(|projected| &projected.sources);
    for projection in projected.flatten() {
        found.extend(projection.config_map.iter().map(|source| {
            let of = Reference::ConfigMap(source.name.clone());
            Source::keys(of, source.items.as_ref(), source.optional)
        }));
        found.extend(projection.secret.iter().map(|source| {
            let of = Reference::Secret(source.name.clone());
            Source::keys(of, source.items.as_ref(), source.optional)
        }));
        found.extend(
            projection
                .downward_api
                .iter()
                .map(|source| Source::fields(source.items.as_ref())),
        );
        found.extend(
            projection
                .service_account_token
                .iter()
                .map(|source| Source::Token(&source.path)),
        );
    }
    found
}

/// The files of one volume, relative to where it is mounted.
pub(super) fn of_volume(pod: &Pod, volume: &Volume, objects: &Objects) -> Result<Files, String> {
    let mut files = Vec::new();
    for source in sources(volume) {
        match source {
            Source::Keys { of, items, optional } => files.extend(keys(objects, &of, items, optional)?),
            Source::Fields(items) => files.extend(fields(pod, items)?),
            // It is shown as soon as there is one.
            Source::Token(path) => {
                let token = objects.token.iter();
                files.extend(token.map(|token| (path.to_string(), token.clone().into_bytes())));
            }
        }
    }
    Ok(files)
}

/// The files a kubelet writes for every container.
pub(super) fn own(pod: &Pod) -> BTreeMap<String, Vec<u8>> {
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

/// All keys as files, or only those listed, under their listed paths.
fn keys(objects: &Objects, of: &Reference, items: Option<&[KeyToPath]>, optional: bool) -> Result<Files, String> {
    let Some(content) = objects.content(of, optional)? else {
        return Ok(Vec::new());
    };
    let Some(items) = items else {
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

fn fields(pod: &Pod, items: &[DownwardAPIVolumeFile]) -> Result<Files, String> {
    let file = |item: &DownwardAPIVolumeFile| {
        let value = item
            .field_ref
            .as_ref()
            .map_or(Ok(String::new()), |field| field_value(pod, field));
        value.map(|value| (item.path.clone(), value.into_bytes()))
    };
    items.iter().map(file).collect()
}
