//! What the containers of a pod see: environment and files, resolved from the pod and the objects it names.

mod downward;
mod environment;
mod files;
mod objects;
#[cfg(test)]
mod tests;

pub use objects::{Objects, Reference};

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{Container, Pod, Volume};

use super::lifecycle::Missing;
use super::shell::View;
use files::Source;

/// Every ConfigMap and Secret the pod's volumes and environments name.
pub fn references(pod: &Pod) -> BTreeSet<Reference> {
    let mounted = volumes(pod).flat_map(files::sources).filter_map(|source| match source {
        Source::Keys { of, .. } => Some(of),
        Source::Fields(_) | Source::Token(_) => None,
    });
    mounted
        .chain(containers(pod).flat_map(environment::references))
        .collect()
}

/// Whether a volume of the pod shows a token of its service account.
pub fn wants_token(pod: &Pod) -> bool {
    let mut sources = volumes(pod).flat_map(files::sources);
    sources.any(|source| matches!(source, Source::Token(_)))
}

/// What keeps the pod, or single containers of it, from starting.
pub fn missing(pod: &Pod, objects: &Objects) -> Missing {
    let mounts = volumes(pod).filter_map(|volume| {
        let why = files::of_volume(pod, volume, objects).err()?;
        Some(format!(
            "MountVolume.SetUp failed for volume \"{}\" : {why}",
            volume.name
        ))
    });
    let environment =
        containers(pod).filter_map(|one| Some((one.name.clone(), environment::of_container(pod, one, objects).err()?)));
    Missing {
        volumes: mounts.collect(),
        environment: environment.collect(),
    }
}

/// What `container` sees; an error when [`missing`] has something to say about it.
pub fn view(pod: &Pod, container: &Container, objects: &Objects) -> Result<View, String> {
    let mut files = files::own(pod);
    for mount in container.volume_mounts.iter().flatten() {
        let Some(volume) = volumes(pod).find(|volume| volume.name == mount.name) else {
            continue;
        };
        let path = mount.mount_path.trim_end_matches('/');
        for (name, content) in files::of_volume(pod, volume, objects)? {
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
        env: environment::of_container(pod, container, objects)?,
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
    words.map(|word| environment::substitute(word, &view.env)).collect()
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
