//! Objects as clients send them and as they are stored, and what happens to those that can be read.

use std::sync::{Arc, LazyLock};

use apiserver::endpoints::body;
use apiserver::endpoints::negotiation::Format;
use apiserver::endpoints::table::{Include, Style, table};
use apiserver::endpoints::yaml;
use apiserver::registry::before::{before_create, before_reservation, before_update};
use apiserver::registry::codec;
use apiserver::registry::request::{NO_EXTRA, Request};
use apiserver::registry::resource::{Action, Resource};
use apiserver::registry::strategy::Strategy;
use apiserver::resources;
use apiserver::storage::codec::Codec;
use apiserver::storage::foreign::Form;
use bytes::Bytes;
use machinery::gvk::GroupVersionKind;
use machinery::object::Index;
use machinery::patch::FieldValidation;
use machinery::schema::decode::{decode_list, decode_untyped};
use machinery::schema::{Type, by_gvk};
use machinery::wire::{self, Envelope};
use serde_json::Value;

use crate::{Target, halves, sample};

/// Objects as JSON.
pub(crate) const JSON: Target = Target {
    name: "json",
    run: |input| {
        let kind = kind_of(input);
        read(input, Format::Json, &kind);
        let _ = decode_untyped(input);
        if let Some(ty) = type_of(&kind) {
            let _ = decode_list(input, ty);
        }
        let _ = body::delete_options(&Bytes::copy_from_slice(input), Format::Json);
    },
    seeds: sample::texts,
};

/// Objects as YAML.
pub(crate) const YAML: Target = Target {
    name: "yaml",
    run: |input| {
        let json = yaml::to_json(input).map_or_else(|_| Bytes::new(), |(json, _)| json);
        read(input, Format::Yaml, &kind_of(&json));
        // What can be read can be written, and read again.
        if let Ok(value) = serde_json::from_slice::<Value>(&json) {
            let again = yaml::to_json(&yaml::from_json(&value));
            assert!(again.is_ok(), "{value} cannot be read again: {again:?}");
        }
    },
    seeds: || {
        let objects = sample::all().map(|(_, object)| yaml::from_json(&object).to_vec());
        objects
            .chain([b"a: &x [1, 0x1F, ~, !!str 2]\nb: *x\n<<: {c: |\n  d}\n".to_vec()])
            .collect()
    },
};

/// Objects as protobuf.
pub(crate) const PROTOBUF: Target = Target {
    name: "protobuf",
    run: |input| {
        let Ok(envelope) = Envelope::parse(input) else { return };
        let version = machinery::gvk::GroupVersion::parse(&envelope.api_version).unwrap_or_default();
        read(input, Format::Protobuf, &version.kind(&*envelope.kind));
    },
    seeds: protobuf,
};

/// Values that another API server may have stored.
pub(crate) const STORED: Target = Target {
    name: "stored",
    run: |input| {
        let kind = match Envelope::parse(input) {
            Ok(envelope) => {
                let version = machinery::gvk::GroupVersion::parse(&envelope.api_version).unwrap_or_default();
                version.kind(&*envelope.kind)
            }
            Err(_) => kind_of(input),
        };
        let Some(resource) = resource_of(&kind) else { return };
        let codec = Codec::new(
            "/registry",
            &resource.storage_key,
            resource.namespaced(),
            resource.selectable_fields.clone(),
            None,
        )
        .of_kind(Form::new(resource.storage_gvk().clone()));
        if let Ok(stored) = codec.decode("/registry/a/b", input, 1) {
            let _ = codec::decode(resource, &stored);
            let _ = codec::served(resource, &stored);
        }
    },
    seeds: || [sample::texts(), protobuf()].concat(),
};

/// New objects of every kind: defaults, checks, warnings, tables.
pub(crate) const CREATION: Target = Target {
    name: "creation",
    run: |input| {
        let Some((resource, object)) = object_of(input) else {
            return;
        };
        create(resource, object);
    },
    seeds: sample::texts,
};

/// Changed objects of every kind, through each path that changes them.
pub(crate) const UPDATE: Target = Target {
    name: "update",
    run: |input| {
        let (old, new) = halves(input);
        let (Some((resource, old)), Some((other, new))) = (object_of(old), object_of(new)) else {
            return;
        };
        if resource.gvk == other.gvk {
            update(resource, &old, &new);
        }
    },
    seeds: || {
        let pairs = sample::all().map(|(_, object)| {
            let mut changed = object.clone();
            changed["metadata"]["labels"] = serde_json::json!({"tier": "front"});
            [object.to_string().as_bytes(), &[0], changed.to_string().as_bytes()].concat()
        });
        pairs.collect()
    },
};

fn protobuf() -> Vec<Vec<u8>> {
    sample::all()
        .filter_map(|(ty, object)| wire::encode(&object, ty).ok())
        .collect()
}

/// Group, version and kind that an object says it has; that of a pod when it does not.
pub(crate) fn kind_of(text: &[u8]) -> GroupVersionKind {
    let object: Value = serde_json::from_slice(text).unwrap_or_default();
    let text = |field: &str| object[field].as_str().unwrap_or_default();
    match machinery::gvk::GroupVersion::parse(text("apiVersion")) {
        Some(version) if !text("kind").is_empty() => version.kind(text("kind")),
        _ => GroupVersionKind::new("", "v1", "Pod"),
    }
}

pub(crate) fn type_of(kind: &GroupVersionKind) -> Option<&'static Type> {
    by_gvk(&kind.group, &kind.version, &kind.kind)
}

/// Reads a body, strictly and not; what has been read has a form in all encodings.
fn read(input: &[u8], format: Format, kind: &GroupVersionKind) {
    let input = Bytes::copy_from_slice(input);
    let _ = body::object(&input, format, kind, FieldValidation::Strict, &|_| {});
    let Ok(object) = body::object(&input, format, kind, FieldValidation::Warn, &|_| {}) else {
        return;
    };
    let _ = yaml::from_json(&object);
    if let Some(ty) = type_of(kind)
        && let Ok(bytes) = wire::encode(&object, ty)
    {
        let again = Envelope::parse(&bytes).and_then(|envelope| wire::decode(&envelope, ty));
        assert!(again.is_ok(), "{object} cannot be read again: {again:?}");
    }
}

static RESOURCES: LazyLock<Vec<Arc<Resource>>> = LazyLock::new(|| resources::all().into_iter().map(Arc::new).collect());

pub(crate) fn resource_of(kind: &GroupVersionKind) -> Option<&'static Arc<Resource>> {
    RESOURCES.iter().find(|resource| resource.gvk == *kind)
}

/// The object of a JSON body whose kind is served.
fn object_of(input: &[u8]) -> Option<(&'static Resource, Value)> {
    let kind = kind_of(input);
    let resource = resource_of(&kind)?;
    let input = Bytes::copy_from_slice(input);
    let object = body::object(&input, Format::Json, &kind, FieldValidation::Ignore, &|_| {}).ok()?;
    Some((resource, object))
}

/// A request of nobody in particular, in the namespace of an object.
fn request<'a>(object: &'a Value) -> Request<'a> {
    Request {
        namespace: object
            .pointer("/metadata/namespace")
            .and_then(Value::as_str)
            .unwrap_or_default(),
        user: "somebody",
        uid: "",
        groups: &[],
        extra: &NO_EXTRA,
        now: jiff::Timestamp::UNIX_EPOCH,
        dry_run: false,
        options: &Value::Null,
        warn: &|_| {},
    }
}

fn create(resource: &Resource, mut object: Value) {
    let like = object.clone();
    let strategy: &dyn Strategy = resource.strategy.as_ref();
    strategy.anticipate(&mut object);
    codec::default(resource, &mut object);
    let request = request(&like);
    let _ = before_reservation(&request, resource, strategy, &mut object, None);
    let _ = before_create(&request, resource, &resource.gvk, strategy, &mut object, Vec::new());
    show(resource, &object);
    show(resource, &like);
}

/// What answers and stores make of an object.
fn show(resource: &Resource, object: &Value) {
    let _ = Index::of(object, &resource.selectable_fields);
    let style = Style {
        version: "v1",
        include: Include::Metadata,
        headings: true,
        hidden: resource.internal_annotations,
        now: 0,
    };
    let _ = table(&*resource.columns, [Ok(object.clone())], Value::Null, style);
    let _ = codec::to_storage(resource, object.clone());
}

fn update(resource: &Resource, old: &Value, new: &Value) {
    let request = request(new);
    let through = resource
        .subresources
        .iter()
        .filter_map(|subresource| match &subresource.action {
            Action::Object(strategy) => Some(strategy),
            _ => None,
        });
    for strategy in std::iter::once(&resource.strategy).chain(through) {
        let (mut old, mut new) = (old.clone(), new.clone());
        strategy.default(&mut old);
        strategy.default(&mut new);
        let _ = before_reservation(&request, resource, strategy.as_ref(), &mut new, Some(&old));
        let _ = before_update(
            &request,
            resource,
            &resource.gvk,
            strategy.as_ref(),
            &mut new,
            &old,
            Vec::new(),
        );
    }
}
