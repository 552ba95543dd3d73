//! StatefulSets.

use super::super::core::{persistentvolumeclaim, pod_template};
use super::super::shared::cells;
use super::super::shared::checks::{self, one_of};
use super::super::shared::generation;
use super::super::shared::internal;
use super::super::shared::pod_defaults::{items, set_text};
use super::super::shared::status::{self, Counts, Status};
use super::template;
use crate::registry::columns::{Column, Columns};
use crate::registry::resource::Resource;
use crate::registry::strategy::{Context, Strategy};
use machinery::field::{Error, ErrorList, Path};
use machinery::{meta, names};
use serde_json::{Value, json};

/// What may change besides metadata, in the order of upstream's message.
const MUTABLE: [&str; 7] = [
    "replicas",
    "ordinals",
    "template",
    "updateStrategy",
    "revisionHistoryLimit",
    "persistentVolumeClaimRetentionPolicy",
    "minReadySeconds",
];

static COLUMNS: Columns = Columns {
    columns: &[
        cells::NAME,
        Column::new("Ready", "string", "Number of the pod with ready state"),
        cells::AGE,
        cells::CONTAINERS,
        cells::IMAGES,
    ],
    cells: |obj, now| {
        let number = |path: &[&str]| cells::number(obj, path);
        let [names, images] = cells::template_containers(obj);
        let ready = format!(
            "{}/{}",
            number(&["status", "readyReplicas"]),
            number(&["spec", "replicas"])
        );
        vec![cells::name(obj), ready.into(), cells::age(obj, now), names, images]
    },
};

/// `ValidateStatefulSetStatus`.
static COUNTS: Counts = Counts {
    counted: &[
        "replicas",
        "readyReplicas",
        "currentReplicas",
        "updatedReplicas",
        "availableReplicas",
        "observedGeneration",
        "collisionCount",
    ],
    parts: &[
        "readyReplicas",
        "currentReplicas",
        "updatedReplicas",
        "availableReplicas",
    ],
    ready: "status.readyReplicas",
};

/// `SetDefaults_StatefulSet`.
fn default(obj: &mut Value) {
    if meta::at(obj, &["spec"]).is_none() {
        return;
    }
    set_text(obj, &["spec", "podManagementPolicy"], "OrderedReady");
    if meta::str_at(obj, &["spec", "updateStrategy", "type"])
        .unwrap_or_default()
        .is_empty()
    {
        meta::set(obj, &["spec", "updateStrategy", "type"], "RollingUpdate");
        meta::set_default(obj, &["spec", "updateStrategy", "rollingUpdate"], json!({}));
    }
    let rolling = &["spec", "updateStrategy", "rollingUpdate"];
    if meta::str_at(obj, &["spec", "updateStrategy", "type"]) == Some("RollingUpdate")
        && meta::at(obj, rolling).is_some()
    {
        meta::set_default(obj, &["spec", "updateStrategy", "rollingUpdate", "partition"], 0);
    }
    for when in ["whenDeleted", "whenScaled"] {
        set_text(obj, &["spec", "persistentVolumeClaimRetentionPolicy", when], "Retain");
    }
    meta::set_default(obj, &["spec", "replicas"], 1);
    meta::set_default(obj, &["spec", "revisionHistoryLimit"], 10);
    for claim in items(obj, &["spec", "volumeClaimTemplates"]) {
        meta::set(claim, &["apiVersion"], "v1");
        meta::set(claim, &["kind"], "PersistentVolumeClaim");
        meta::set_default(claim, &["spec", "volumeMode"], "Filesystem");
        set_text(claim, &["status", "phase"], "Pending");
    }
    template::default(obj);
}

struct StatefulSet;

impl Strategy for StatefulSet {
    fn default(&self, obj: &mut Value) {
        default(obj);
    }

    fn prepare_for_create(&self, _cx: &Context<'_>, obj: &mut Value) {
        meta::set(obj, &["status"], json!({"replicas": 0, "availableReplicas": 0}));
        generation::first(obj);
    }

    fn prepare_for_update(&self, _cx: &Context<'_>, new: &mut Value, old: &Value) {
        status::keep(new, old, &[&["spec"]]);
    }

    fn validate_name(&self, name: &str, prefix: bool) -> Vec<String> {
        names::dns1123_label_for(name, prefix)
    }

    fn validate(&self, _cx: &Context<'_>, obj: &Value) -> ErrorList {
        validate_spec(obj, true)
    }

    fn validate_update(&self, _cx: &Context<'_>, new: &Value, old: &Value) -> ErrorList {
        let mut errors = validate_spec(new, false);
        let mut fixed = new.clone();
        for field in MUTABLE {
            meta::copy(&mut fixed, old, &["spec", field]);
        }
        if meta::at(&fixed, &["spec"]) != meta::at(old, &["spec"]) {
            errors.push(Error::forbidden(
                &Path::new("spec"),
                "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden",
            ));
        }
        errors
    }

    fn warnings(&self, _cx: &Context<'_>, new: &Value, old: Option<&Value>) -> Vec<String> {
        let mut warnings = pod_template::warnings::of_workload(new, old);
        for (i, claim) in meta::list_at(new, &["spec", "volumeClaimTemplates"]).iter().enumerate() {
            let path = Path::new("spec").child("volumeClaimTemplates").index(i);
            // Upstream names the field of an update in its own way.
            let path = if old.is_some() { path.child("Spec") } else { path };
            let spec = meta::at(claim, &["spec"]).unwrap_or(&Value::Null);
            warnings.extend(pod_template::warnings::of_claim(spec, &path));
        }
        if meta::i64_at(new, &["spec", "revisionHistoryLimit"]).is_some_and(|limit| limit < 0) {
            warnings.push(
                "spec.revisionHistoryLimit: a negative value retains all historical revisions; a value >= 0 is \
                 recommended"
                    .to_owned(),
            );
        }
        warnings
    }

    fn reset_fields(&self) -> &'static [&'static str] {
        &["status"]
    }
}

/// `ValidateStatefulSetSpec`; what cannot change is only checked in a new object.
fn validate_spec(obj: &Value, is_new: bool) -> ErrorList {
    let path = Path::new("spec");
    let mut errors = ErrorList::new();
    let text = |path: &[&str]| meta::str_at(obj, path).unwrap_or_default();
    match text(&["spec", "podManagementPolicy"]) {
        "" => errors.push(Error::required(&path.child("podManagementPolicy"), "")),
        "OrderedReady" | "Parallel" => {}
        other => errors.push(Error::invalid(
            &path.child("podManagementPolicy"),
            other,
            "must be 'OrderedReady' or 'Parallel'",
        )),
    }
    let strategy = path.child("updateStrategy");
    match text(&["spec", "updateStrategy", "type"]) {
        "OnDelete" if meta::at(obj, &["spec", "updateStrategy", "rollingUpdate"]).is_some() => {
            let rolling = meta::at(obj, &["spec", "updateStrategy", "rollingUpdate"]);
            let shown = internal::show("RollingUpdateStatefulSetStrategy", rolling.unwrap_or(&Value::Null));
            let detail = "only allowed for updateStrategy 'RollingUpdate'";
            errors.push(Error::invalid(&strategy.child("rollingUpdate"), rolling.cloned(), detail).showing(shown));
        }
        "" => errors.push(Error::required(&strategy, "")),
        "RollingUpdate" => {
            let partition = ["spec", "updateStrategy", "rollingUpdate", "partition"];
            let partition = meta::i64_at(obj, &partition).unwrap_or_default();
            if partition < 0 {
                errors.push(Error::invalid(
                    &strategy.child("rollingUpdate").child("partition"),
                    partition,
                    "must be greater than or equal to 0",
                ));
            }
        }
        "OnDelete" => {}
        other => {
            let whole = meta::at(obj, &["spec", "updateStrategy"]).unwrap_or(&Value::Null);
            let shown = internal::show("StatefulSetUpdateStrategy", whole);
            let detail = "must be 'RollingUpdate' or 'OnDelete'";
            errors.push(Error::invalid(&strategy, other, detail).showing(shown));
        }
    }
    if let Some(policy) = meta::at(obj, &["spec", "persistentVolumeClaimRetentionPolicy"]) {
        let path = path.child("persistentVolumeClaimRetentionPolicy");
        for when in ["whenDeleted", "whenScaled"] {
            let known = ["Retain", "Delete"];
            errors.extend(one_of(checks::text(policy, &[when]), &known, &path.child(when)));
        }
    }
    if is_new {
        for (i, claim) in meta::list_at(obj, &["spec", "volumeClaimTemplates"]).iter().enumerate() {
            let spec = meta::at(claim, &["spec"]).unwrap_or(&Value::Null);
            let path = path.child("volumeClaimTemplates").index(i).child("spec");
            errors.extend(persistentvolumeclaim::validate_spec(spec, false, &path));
        }
    }
    errors.extend(checks::non_negative(
        meta::at(obj, &["spec", "ordinals"]).unwrap_or(&Value::Null),
        "start",
        &path.child("ordinals"),
    ));
    let service = text(&["spec", "serviceName"]);
    if is_new && !service.is_empty() {
        let complaints = names::dns1123_label(service);
        let path = path.child("serviceName");
        errors.extend(complaints.into_iter().map(|e| Error::invalid(&path, service, e)));
    }
    errors.extend(template::validate(&with_claims(obj), "statefulset"));
    errors
}

/// The set as its pods will be: with a volume for every claim, and without the names that the controller gives them.
fn with_claims(obj: &Value) -> Value {
    let mut set = obj.clone();
    let spec = ["spec", "template", "spec"];
    for name in ["subdomain", "hostname"] {
        meta::remove(&mut set, &["spec", "template", "spec", name]);
    }
    let claims = meta::list_at(obj, &["spec", "volumeClaimTemplates"]);
    let names: Vec<&str> = claims
        .iter()
        .map(|claim| checks::text(claim, &["metadata", "name"]))
        .collect();
    if meta::at(&set, &spec).is_none() || names.is_empty() {
        return set;
    }
    let mut volumes: Vec<Value> = names
        .iter()
        .enumerate()
        .filter(|(i, name)| !names[..*i].contains(name))
        .map(|(_, name)| json!({"name": name, "persistentVolumeClaim": {"claimName": name}}))
        .collect();
    let own = meta::list_at(&set, &["spec", "template", "spec", "volumes"]);
    let kept = |volume: &&Value| !names.contains(&checks::text(volume, &["name"]));
    volumes.extend(own.iter().filter(kept).cloned());
    meta::set(&mut set, &["spec", "template", "spec", "volumes"], volumes);
    set
}

pub(super) fn resource() -> Resource {
    let set = Resource {
        short_names: ["sts"].into(),
        categories: ["all"].into(),
        ..Resource::namespaced_kind(
            ("apps", "v1", "StatefulSet"),
            ("statefulsets", "statefulset"),
            "io.k8s.api.apps.v1.StatefulSet",
            StatefulSet,
            &COLUMNS,
        )
    };
    set.with_scale(&template::SCALE).with_object_subresource(
        "status",
        Status {
            validate: |new, old| status::count(&COUNTS, new, old),
            ..Status::plain(default)
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claims_are_volumes_of_the_template() {
        let mut set = json!({"metadata": {"name": "s"}, "spec": {"selector": {"matchLabels": {"a": "b"}},
            "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i:1",
                "volumeMounts": [{"name": "data", "mountPath": "/d"}]}]}},
            "volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": {"accessModes": ["ReadWriteOnce"],
                "resources": {"requests": {"storage": "1Gi"}}}}]}});
        default(&mut set);
        let texts = |set: &Value| {
            validate_spec(set, true)
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
        };
        assert_eq!(texts(&set), Vec::<String>::new());
        set["spec"]["volumeClaimTemplates"][0]["spec"]["accessModes"] = json!([]);
        set["spec"]["persistentVolumeClaimRetentionPolicy"]["whenScaled"] = json!("Keep");
        assert_eq!(
            texts(&set),
            [
                "spec.persistentVolumeClaimRetentionPolicy.whenScaled: Unsupported value: \"Keep\": supported values: \"Retain\", \"Delete\"",
                "spec.volumeClaimTemplates[0].spec.accessModes: Required value: at least 1 access mode is required",
            ]
        );
    }

    #[test]
    fn statuses_count() {
        let set = |status: Value| json!({"status": status});
        let found = status::count(
            &COUNTS,
            &set(json!({"replicas": 1, "readyReplicas": 2, "availableReplicas": 3})),
            &set(json!({"collisionCount": 1})),
        );
        let found: Vec<String> = found.iter().map(ToString::to_string).collect();
        assert_eq!(
            found,
            [
                "status.readyReplicas: Invalid value: 2: cannot be greater than status.replicas",
                "status.availableReplicas: Invalid value: 3: cannot be greater than status.replicas",
                "status.availableReplicas: Invalid value: 3: cannot be greater than status.readyReplicas",
                "status.collisionCount: Invalid value: 0: cannot be decremented",
            ]
        );
    }
}
