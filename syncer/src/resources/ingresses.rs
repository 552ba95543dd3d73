//! Ingresses, to the host: its ingress controllers serve them. Names of Services and Secrets are translated wherever they
//! stand, in annotations of two widespread controllers too.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::copied::{self, BARE, Copied, Fields};
use super::{mirrored, usable};
use crate::engine::plan::{Note, Plan};
use crate::json::{self, Strings};
use crate::kinds::Kind;
use crate::names::Reference;
use crate::world::World;

/// Annotations with the name of an object, or its namespace and name (`internal/ingress/annotations` of ingress-nginx).
const NAMING_ANNOTATIONS: [(&str, Kind); 7] = [
    ("nginx.ingress.kubernetes.io/auth-secret", Kind::Secret),
    ("nginx.ingress.kubernetes.io/auth-tls-secret", Kind::Secret),
    ("nginx.ingress.kubernetes.io/proxy-ssl-secret", Kind::Secret),
    ("nginx.ingress.kubernetes.io/auth-proxy-set-headers", Kind::ConfigMap),
    ("nginx.ingress.kubernetes.io/custom-headers", Kind::ConfigMap),
    ("nginx.ingress.kubernetes.io/fastcgi-params-configmap", Kind::ConfigMap),
    ("nginx.ingress.kubernetes.io/default-backend", Kind::Service),
];
/// What comes before the name of a Service in the keys of annotations.
const ALB_ACTIONS: &str = "alb.ingress.kubernetes.io/actions.";
const ALB_CONDITIONS: &str = "alb.ingress.kubernetes.io/conditions.";

/// How a class was named before `spec.ingressClassName`; controllers still go by it.
const CLASS_ANNOTATION: &str = "kubernetes.io/ingress.class";

/// Annotations that are not copied as they are.
const EXCLUDED: &[&str] = &["field.cattle.io/publicEndpoints"];

pub(super) fn plan(world: &World, item: &Reference) -> Plan {
    let copied = Copied {
        excluded: EXCLUDED,
        annotations,
        wanted: |world, object, host| {
            let mut spec = host_spec(world, object);
            if spec.get("ingressClassName").is_none() {
                // The host's default class, given when the copy was made.
                let given = host.and_then(|host| host["spec"].get("ingressClassName"));
                json::put(&mut spec, "ingressClassName", given.cloned());
            }
            Fields::from_iter([("spec".to_owned(), spec)])
        },
        actual: |host| copied::fields(host, &["spec"]),
        up: |_, object, host| {
            let class = host["spec"].get("ingressClassName")?;
            let unknown = object["spec"].get("ingressClassName").is_none();
            unknown.then(|| json!({"spec": {"ingressClassName": class}}))
        },
        status: Some(copied::whole_status),
        references,
        refusal: |world, object| {
            let name = json::text(object, &["metadata", "name"]);
            let classes = [
                json::text(object, &["spec", "ingressClassName"]),
                json::text(object, &["metadata", "annotations", CLASS_ANNOTATION]),
            ];
            let limit = |class| mirrored::limit(world, "ingress", name, Kind::IngressClass, "ingress class", class);
            let of_class = classes.into_iter().find_map(limit);
            of_class.or_else(|| ambiguous_backend(world, object))
        },
        ..BARE
    };
    copied::plan(world, item, &copied)
}

fn host_spec(world: &World, object: &Value) -> Value {
    let namespace = json::text(object, &["metadata", "namespace"]);
    let mut spec = object["spec"].clone();
    if let Some(backend) = spec.get_mut("defaultBackend") {
        translate_backend(world, namespace, backend);
    }
    for rule in json::items_mut(&mut spec, "rules") {
        let Some(http) = rule.get_mut("http") else { continue };
        for path in json::items_mut(http, "paths") {
            if let Some(backend) = path.get_mut("backend") {
                translate_backend(world, namespace, backend);
            }
        }
    }
    for tls in json::items_mut(&mut spec, "tls") {
        rename(tls, "secretName", |name| world.host_name(Kind::Secret, namespace, name));
    }
    spec
}

fn translate_backend(world: &World, namespace: &str, backend: &mut Value) {
    if let Some(service) = backend.get_mut("service") {
        rename(service, "name", |name| world.host_name(Kind::Service, namespace, name));
    }
    if let Some(resource) = backend.get_mut("resource") {
        rename(resource, "name", |name| world.names.host_name(name, namespace));
    }
}

fn rename(holder: &mut Value, field: &str, translate: impl Fn(&str) -> String) {
    if let Some(name) = holder
        .get(field)
        .and_then(Value::as_str)
        .filter(|name| !name.is_empty())
    {
        let name = translate(name);
        json::put(holder, field, Some(json!(name)));
    }
}

/// The namespace and name of the object that an annotation names.
fn named<'a>(namespace: &'a str, value: &'a str) -> (&'a str, &'a str) {
    value.split_once('/').unwrap_or((namespace, value))
}

fn references(_: &World, object: &Value) -> BTreeSet<Reference> {
    let namespace = json::text(object, &["metadata", "namespace"]);
    let tls = json::items(object, &["spec", "tls"])
        .iter()
        .map(|tls| (Kind::Secret, namespace, json::text(tls, &["secretName"])));
    let annotated = NAMING_ANNOTATIONS.iter().map(|(key, kind)| {
        let (namespace, name) = named(namespace, json::text(object, &["metadata", "annotations", key]));
        (*kind, namespace, name)
    });
    let backends = services(object).map(|name| (Kind::Service, namespace, name));
    tls.chain(annotated)
        .chain(backends)
        .filter(|(_, _, name)| !name.is_empty())
        .map(|(kind, namespace, name)| Reference::new(kind, namespace, name))
        .collect()
}

/// The Services behind an ingress.
fn services(object: &Value) -> impl Iterator<Item = &str> {
    backends(object).map(|backend| json::text(backend, &["service", "name"]))
}

/// Everything behind an ingress.
fn backends(object: &Value) -> impl Iterator<Item = &Value> {
    let paths = json::items(object, &["spec", "rules"])
        .iter()
        .flat_map(|rule| json::items(rule, &["http", "paths"]));
    let backends = paths.filter_map(|path| path.get("backend"));
    backends.chain(json::at(object, &["spec", "defaultBackend"]))
}

/// Why an ingress does not lead to an object of another kind.
fn ambiguous_backend(world: &World, object: &Value) -> Option<Note> {
    let namespace = json::text(object, &["metadata", "namespace"]);
    let mut others = backends(object).filter_map(|backend| backend.get("resource"));
    others.find_map(|other| {
        let (kind, name) = (json::text(other, &["kind"]), json::text(other, &["name"]));
        usable::ambiguous(world, kind, namespace, name)
    })
}

fn annotations(world: &World, object: &Value, annotations: &mut Strings) {
    let namespace = json::text(object, &["metadata", "namespace"]);
    let service = |name: &str| world.host_name(Kind::Service, namespace, name);
    for (key, kind) in NAMING_ANNOTATIONS {
        if let Some(value) = annotations.get_mut(key) {
            let (of, name) = named(namespace, value);
            let host = world.host_key(kind, of, name);
            *value = if value.contains('/') {
                host.to_string()
            } else {
                host.name
            };
        }
    }
    *annotations = std::mem::take(annotations)
        .into_iter()
        .map(|(key, value)| {
            if let Some(name) = key.strip_prefix(ALB_ACTIONS) {
                (
                    format!("{ALB_ACTIONS}{}", service(name)),
                    forwarded(world, namespace, &value),
                )
            } else if let Some(name) = key.strip_prefix(ALB_CONDITIONS) {
                (format!("{ALB_CONDITIONS}{}", service(name)), value)
            } else {
                (key, value)
            }
        })
        .collect();
}

/// The action with the names of the Services that it forwards to; one that cannot be read stays as it is.
fn forwarded(world: &World, namespace: &str, action: &str) -> String {
    let Ok(mut action) = serde_json::from_str::<Value>(action) else {
        return action.to_owned();
    };
    if let Some(forward) = action.get_mut("forwardConfig") {
        for group in json::items_mut(forward, "targetGroups") {
            rename(group, "serviceName", |name| {
                world.host_name(Kind::Service, namespace, name)
            });
        }
    }
    action.to_string()
}
