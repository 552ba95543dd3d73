//! Pods.

mod columns;
mod gated;
mod label_keys;
mod qos;
mod resize;
mod status;
mod update;

use super::super::shared::generation;
use super::super::shared::pod_defaults;
use super::super::shared::status::{self as statuses, Status, reset_metadata};
use super::pod_template;
use crate::registry::resource::{Action, Resource};
use crate::registry::strategy::{Context, Grace, MetadataChecks, Strategy};
use machinery::field::{Error, ErrorList, Path};
use machinery::meta;
use machinery::object::Selectable;
use serde_json::{Value, json};

const TYPE: &str = "io.k8s.api.core.v1.Pod";
/// Marks what the kubelet shows of its static pods.
const MIRROR: &str = "kubernetes.io/config.mirror";

fn default(obj: &mut Value) {
    if let Some(spec) = obj.get_mut("spec") {
        pod_defaults::pod_spec(spec);
        pod_defaults::pod(spec);
        // Of pods only, not of templates (`Convert_v1_Pod_To_core_Pod`).
        if meta::i64_at(spec, &["terminationGracePeriodSeconds"]).is_some_and(|seconds| seconds < 0) {
            meta::set(spec, &["terminationGracePeriodSeconds"], 1);
        }
    }
    // The older field for the address is the first of the newer and wins over it (upstream's conversion).
    let ip = selectable(obj, &["status", "podIP"]);
    let first = meta::list_at(obj, &["status", "podIPs"])
        .first()
        .map(|first| selectable(first, &["ip"]));
    match first {
        Some(first) if ip.is_empty() && !first.is_empty() => meta::set(obj, &["status", "podIP"], first),
        first if !ip.is_empty() && first.as_ref() != Some(&ip) => {
            meta::set(obj, &["status", "podIPs"], json!([{"ip": ip}]));
        }
        _ => {}
    }
}

/// What holds for new and changed pods (`validatePodMetadataAndSpec`).
fn validate(obj: &Value) -> ErrorList {
    let mut errors = ErrorList::new();
    if let Some(mirrored) = meta::str_at(obj, &["metadata", "annotations", MIRROR])
        && selectable(obj, &["spec", "nodeName"]).is_empty()
    {
        let path = Path::new("metadata").child("annotations").key(MIRROR);
        let detail = "must set spec.nodeName if mirror pod annotation is set";
        errors.push(Error::invalid(&path, mirrored, detail));
    }
    let spec = meta::at(obj, &["spec"]).unwrap_or(&Value::Null);
    errors.extend(pod_template::validate_pod_spec(
        meta::name(obj),
        spec,
        &Path::new("spec"),
    ));
    errors.extend(tokens_of_nobody(spec));
    errors
}

/// Tokens are those of an account. Templates leave it to their pods to have one.
fn tokens_of_nobody(spec: &Value) -> ErrorList {
    let mut errors = ErrorList::new();
    if meta::str_at(spec, &["serviceAccountName"]).is_some_and(|name| !name.is_empty()) {
        return errors;
    }
    for (i, volume) in meta::list_at(spec, &["volumes"]).iter().enumerate() {
        let path = Path::new("spec").child("volumes").index(i).child("projected");
        for (j, source) in meta::list_at(volume, &["projected", "sources"]).iter().enumerate() {
            if source.get("serviceAccountToken").is_some_and(Value::is_object) {
                let path = path.child("sources").index(j).child("serviceAccountToken");
                let detail = "must not be specified when serviceAccountName is not set";
                errors.push(Error::forbidden(&path, detail));
            }
        }
    }
    errors
}

struct Pod;

impl Strategy for Pod {
    fn returns_deleted_object(&self) -> bool {
        true
    }

    fn default(&self, obj: &mut Value) {
        default(obj);
    }

    fn prepare_for_create(&self, cx: &Context<'_>, obj: &mut Value) {
        generation::first(obj);
        let mut status = json!({"phase": "Pending", "qosClass": qos::class(obj)});
        if !meta::list_at(obj, &["spec", "schedulingGates"]).is_empty() {
            // upstream `applySchedulingGatedCondition`
            status["conditions"] = json!([{
                "type": "PodScheduled",
                "status": "False",
                "reason": "SchedulingGated",
                "message": "Scheduling is blocked due to non-empty scheduling gates",
                "lastTransitionTime": cx.now,
            }]);
        }
        meta::set(obj, &["status"], status);
        label_keys::apply(obj);
    }

    /// `ValidatePodCreate`.
    fn validate(&self, _cx: &Context<'_>, obj: &Value) -> ErrorList {
        let mut errors = validate(obj);
        let path = Path::new("spec");
        if !meta::list_at(obj, &["spec", "ephemeralContainers"]).is_empty() {
            errors.push(Error::forbidden(
                &path.child("ephemeralContainers"),
                "cannot be set on create",
            ));
        }
        let scheduled = !selectable(obj, &["spec", "nodeName"]).is_empty();
        if scheduled && !meta::list_at(obj, &["spec", "schedulingGates"]).is_empty() {
            let detail = "cannot be set until all schedulingGates have been cleared";
            errors.push(Error::forbidden(&path.child("nodeName"), detail));
        }
        errors
    }

    fn prepare_for_update(&self, _cx: &Context<'_>, new: &mut Value, old: &Value) {
        statuses::keep(new, old, &[&["spec"]]);
    }

    fn validate_update(&self, _cx: &Context<'_>, new: &Value, old: &Value) -> ErrorList {
        let mut errors = validate(new);
        errors.extend(update::validate(new, old));
        errors
    }

    /// People do not update pods, so upstream warns about new ones only.
    fn warnings(&self, _cx: &Context<'_>, new: &Value, old: Option<&Value>) -> Vec<String> {
        if old.is_some() {
            return Vec::new();
        }
        let name = pod_template::warnings::of_name(new, old, "the Pod's hostname");
        let mut warnings: Vec<String> = name.into_iter().collect();
        warnings.extend(pod_template::warnings::of(new, &Path::root()));
        warnings
    }

    /// `CheckGracefulDelete`: pods that never ran or are done go at once.
    fn grace(&self, obj: &Value, requested: Option<i64>) -> Grace {
        let phase = meta::str_at(obj, &["status", "phase"]).unwrap_or_default();
        let unscheduled = meta::str_at(obj, &["spec", "nodeName"]).unwrap_or_default().is_empty();
        if unscheduled || matches!(phase, "Failed" | "Succeeded") {
            return Grace::Seconds(0);
        }
        let seconds = requested.or_else(|| meta::i64_at(obj, &["spec", "terminationGracePeriodSeconds"]));
        match seconds.unwrap_or_default() {
            negative if negative < 0 => Grace::Seconds(1),
            seconds => Grace::Seconds(seconds),
        }
    }

    fn metadata_checks_on_update(&self) -> MetadataChecks {
        MetadataChecks::UpdateThenWhole
    }

    fn reset_fields(&self) -> &'static [&'static str] {
        &["status"]
    }
}

/// A status write: the QoS class stays, and what was observed of generations is not forgotten.
fn prepare_status(new: &mut Value, old: &Value) {
    meta::remove(new, &["metadata", "deletionTimestamp"]);
    meta::copy(new, old, &["metadata", "deletionTimestamp"]);
    meta::copy(new, old, &["metadata", "ownerReferences"]);
    if meta::str_at(new, &["status", "qosClass"])
        .unwrap_or_default()
        .is_empty()
    {
        meta::copy(new, old, &["status", "qosClass"]);
    }
    if meta::i64_at(new, &["status", "observedGeneration"]).unwrap_or_default() == 0 {
        meta::copy(new, old, &["status", "observedGeneration"]);
    }
}

/// `pods/ephemeralcontainers`: only that list changes.
struct EphemeralContainers;

impl Strategy for EphemeralContainers {
    fn default(&self, obj: &mut Value) {
        default(obj);
    }

    fn prepare_for_update(&self, _cx: &Context<'_>, new: &mut Value, old: &Value) {
        keep_all_but(new, old, &[&["spec", "ephemeralContainers"]]);
    }

    fn validate_update(&self, _cx: &Context<'_>, new: &Value, old: &Value) -> ErrorList {
        let mut errors = validate(new);
        errors.extend(update::validate_ephemeral(new, old));
        errors
    }
}

/// Keeps everything of `old` except the named parts and what of metadata a status write may change, and counts the generation.
fn keep_all_but(new: &mut Value, old: &Value, parts: &[&[&str]]) {
    let mut kept = old.clone();
    for path in parts {
        meta::copy(&mut kept, new, path);
    }
    meta::copy(&mut kept, new, &["metadata"]);
    reset_metadata(&mut kept, old);
    generation::follow(&mut kept, old, &[&["spec"]]);
    *new = kept;
}

fn selectable(obj: &Value, path: &[&str]) -> String {
    meta::str_at(obj, path).unwrap_or_default().to_owned()
}

pub(super) fn resource() -> Resource {
    let pod = Resource {
        short_names: ["po"].into(),
        categories: ["all"].into(),
        selectable_fields: Selectable::Builtin(&[
            ("spec.nodeName", |o| selectable(o, &["spec", "nodeName"])),
            ("spec.restartPolicy", |o| selectable(o, &["spec", "restartPolicy"])),
            ("spec.schedulerName", |o| selectable(o, &["spec", "schedulerName"])),
            ("spec.serviceAccountName", |o| {
                selectable(o, &["spec", "serviceAccountName"])
            }),
            ("spec.hostNetwork", |o| {
                meta::bool_at(o, &["spec", "hostNetwork"])
                    .unwrap_or_default()
                    .to_string()
            }),
            ("status.phase", |o| selectable(o, &["status", "phase"])),
            ("status.podIPs", |o| {
                let address = |ip| meta::str_at(ip, &["ip"]);
                let addresses: Vec<&str> = meta::list_at(o, &["status", "podIPs"])
                    .iter()
                    .filter_map(address)
                    .collect();
                addresses.join(",")
            }),
            ("status.podIP", |o| selectable(o, &["status", "podIP"])),
            ("status.nominatedNodeName", |o| {
                selectable(o, &["status", "nominatedNodeName"])
            }),
        ]),
        ..Resource::namespaced_kind(("", "v1", "Pod"), ("pods", "pod"), TYPE, Pod, &columns::COLUMNS)
    };
    let status_hooks = Status {
        keeps: &["spec", "metadata.deletionTimestamp", "metadata.ownerReferences"],
        prepare: prepare_status,
        validate: status::validate,
        ..Status::plain(default)
    };
    const CONNECT: &[&str] = &["create", "get"];
    pod.with_subresource("attach", ("", "v1", "PodAttachOptions"), CONNECT, Action::Connect)
        .with_subresource("binding", ("", "v1", "Binding"), &["create"], Action::Binding)
        .with_object_subresource("ephemeralcontainers", EphemeralContainers)
        .with_subresource("eviction", ("policy", "v1", "Eviction"), &["create"], Action::Eviction)
        .with_subresource("exec", ("", "v1", "PodExecOptions"), CONNECT, Action::Connect)
        .with_subresource("log", ("", "v1", "Pod"), &["get"], Action::Log)
        .with_subresource(
            "portforward",
            ("", "v1", "PodPortForwardOptions"),
            CONNECT,
            Action::Connect,
        )
        .with_proxy("PodProxyOptions")
        .with_object_subresource("resize", resize::Resize)
        .with_object_subresource("status", status_hooks)
}
