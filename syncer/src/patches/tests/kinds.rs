//! Every key `patches` of vcluster.yaml, from the file to what is written.

use std::collections::BTreeSet;

use config::keys::{self, Content, Support};
use serde_json::{Value, json};

use crate::engine::plan::Step;
use crate::foreign::Scope;
use crate::json;
use crate::kinds::{Kind, Side};
use crate::names::{self, Reference};
use crate::object::{Object, ObjectKey};
use crate::options::Options;
use crate::resources::{self, pair};
use crate::testing::{summary, world_of};
use crate::world::World;

/// Where an object of the host is known that is not ours.
enum Place {
    Virtual,
    Host,
    Foreign,
}

/// One key.
struct Row {
    /// Its section.
    section: &'static str,
    /// What stands beside the patches, besides `enabled`.
    beside: Value,
    /// Other sections that it takes.
    more: Value,
    /// What there has to be before.
    prepare: fn(&World),
    kind: Kind,
    /// The object that is carried, without the name and the label that is patched.
    place: Place,
    object: Value,
    /// The virtual name of what comes of it, if it is not its own.
    name: Option<(&'static str, &'static str)>,
}

fn row(section: &'static str, kind: Kind, object: Value) -> Row {
    let to_host = section.starts_with("sync.toHost");
    Row {
        section,
        beside: json!({}),
        more: json!({}),
        prepare: |_| (),
        kind,
        place: if to_host { Place::Virtual } else { Place::Host },
        object,
        name: None,
    }
}

/// The names of an object: of those in namespaces, in one of them.
fn named(kind: Kind, namespace: &str, object: Value) -> Value {
    let mut metadata = json!({"name": "web", "uid": "u1", "resourceVersion": "5", "labels": {"patched": "x"}});
    if kind.is_namespaced() {
        metadata["namespace"] = json!(namespace);
    }
    let mut whole = json!({"metadata": metadata});
    json::merge(&mut whole, &object);
    whole
}

/// An object on both sides, as it is when it is synced.
fn synced(world: &World, kind: Kind, namespace: &str, name: &str) {
    let virtual_ = json!({"metadata": {"namespace": namespace, "name": name, "uid": name, "resourceVersion": "5"}});
    let host_name = world.host_name(kind, namespace, name);
    let mut metadata = names::host_metadata(&pair::source(world, &kind.gvk(), &host_name, &virtual_, &[]));
    metadata["uid"] = json!(format!("h-{name}"));
    metadata["resourceVersion"] = json!("5");
    world.put(Side::Virtual, kind, virtual_);
    world.put(Side::Host, kind, json!({"metadata": metadata}));
}

/// A Gateway that lets every route in, on both sides.
fn with_gateway(world: &World) {
    synced(world, Kind::Gateway, "team", "edge");
    let listeners = ["HTTP", "TLS"].map(|protocol| {
        json!({"name": protocol.to_lowercase(), "port": 80, "protocol": protocol, "allowedRoutes": {"namespaces": {"from": "All"}}})
    });
    let gateway = json!({
        "metadata": {"namespace": "team", "name": "edge", "uid": "edge", "resourceVersion": "6"},
        "spec": {"gatewayClassName": "fake", "listeners": listeners},
    });
    world.put(Side::Virtual, Kind::Gateway, gateway);
}

fn with_gateway_class(world: &World) {
    world.put(
        Side::Virtual,
        Kind::GatewayClass,
        json!({"metadata": {"name": "fake", "uid": "c"}}),
    );
}

fn with_service(world: &World) {
    synced(world, Kind::Service, "team", "app");
}

/// The Service whose Endpoints are the tenant's own.
fn with_service_of_the_same_name(world: &World) {
    synced(world, Kind::Service, "team", "web");
}

fn with_dns(world: &World) {
    let dns = json!({
        "metadata": {"namespace": "host", "name": "kube-dns-x-kube-system-x-vc", "uid": "d"}, "spec": {"clusterIP": "10.0.0.53"},
    });
    world.put(Side::Host, Kind::Service, dns);
}

fn rows() -> Vec<Row> {
    let parents = || json!({"spec": {"parentRefs": [{"name": "edge"}]}});
    let tls_route = || json!({"spec": {"parentRefs": [{"name": "edge"}], "hostnames": ["a.example.com"], "rules": []}});
    let gateway = || json!({"spec": {"gatewayClassName": "fake", "listeners": []}});
    let with_gateways = || json!({"sync": {"toHost": {"gatewayApi": {"gateways": {"enabled": true}}}}});
    let all = || json!({"all": true});
    let claim = || json!({"spec": {"resources": {"requests": {"storage": "1Gi"}}}});
    let by_name = || json!({"mappings": {"byName": {"shop/web": "team/web"}}});
    let imported = |section, kind, object| Row {
        beside: by_name(),
        place: Place::Foreign,
        ..row(section, kind, object)
    };
    vec![
        Row {
            prepare: with_dns,
            ..row(
                "sync.toHost.pods",
                Kind::Pod,
                json!({"spec": {"containers": [{"name": "c", "image": "i"}]}}),
            )
        },
        Row {
            beside: all(),
            ..row("sync.toHost.secrets", Kind::Secret, json!({"data": {}}))
        },
        Row {
            beside: all(),
            ..row("sync.toHost.configMaps", Kind::ConfigMap, json!({"data": {}}))
        },
        row("sync.toHost.ingresses", Kind::Ingress, json!({"spec": {}})),
        Row {
            beside: json!({"gateways": {"enabled": true}}),
            prepare: with_gateway_class,
            ..row("sync.toHost.gatewayApi", Kind::Gateway, gateway())
        },
        Row {
            more: with_gateways(),
            prepare: with_gateway,
            ..row("sync.toHost.gatewayApi.httpRoutes", Kind::HttpRoute, parents())
        },
        Row {
            prepare: with_gateway_class,
            ..row("sync.toHost.gatewayApi.gateways", Kind::Gateway, gateway())
        },
        Row {
            more: with_gateways(),
            prepare: with_gateway,
            ..row("sync.toHost.gatewayApi.tlsRoutes", Kind::TlsRoute, tls_route())
        },
        Row {
            prepare: with_service,
            ..row(
                "sync.toHost.gatewayApi.backendTLSPolicies",
                Kind::BackendTlsPolicy,
                json!({"spec": {"targetRefs": [{"group": "", "kind": "Service", "name": "app"}], "validation": {"hostname": "h"}}}),
            )
        },
        Row {
            prepare: with_service,
            ..row(
                "sync.toHost.gatewayApi.referenceGrants",
                Kind::ReferenceGrant,
                json!({"spec": {
                    "from": [{"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "namespace": "team"}],
                    "to": [{"group": "", "kind": "Service", "name": "app"}],
                }}),
            )
        },
        row(
            "sync.toHost.services",
            Kind::Service,
            json!({"spec": {"clusterIP": "None", "selector": {"a": "b"}, "ports": [{"port": 80}]}}),
        ),
        Row {
            prepare: with_service_of_the_same_name,
            ..row("sync.toHost.endpoints", Kind::Endpoints, json!({"subsets": []}))
        },
        Row {
            prepare: with_service,
            ..row(
                "sync.toHost.endpointSlices",
                Kind::EndpointSlice,
                json!({"metadata": {"labels": {"kubernetes.io/service-name": "app"}}, "addressType": "IPv4", "endpoints": []}),
            )
        },
        row(
            "sync.toHost.networkPolicies",
            Kind::NetworkPolicy,
            json!({"spec": {"podSelector": {}}}),
        ),
        row(
            "sync.toHost.persistentVolumeClaims",
            Kind::PersistentVolumeClaim,
            claim(),
        ),
        row(
            "sync.toHost.persistentVolumes",
            Kind::PersistentVolume,
            json!({"spec": {"capacity": {"storage": "1Gi"}, "csi": {"driver": "d", "volumeHandle": "h"}}}),
        ),
        row(
            "sync.toHost.volumeSnapshots",
            Kind::VolumeSnapshot,
            json!({"spec": {"source": {"persistentVolumeClaimName": "data"}}}),
        ),
        row(
            "sync.toHost.volumeSnapshotContents",
            Kind::VolumeSnapshotContent,
            json!({"spec": {
                "driver": "d", "source": {"snapshotHandle": "h"}, "volumeSnapshotRef": {"namespace": "team", "name": "s"},
            }}),
        ),
        row(
            "sync.toHost.storageClasses",
            Kind::StorageClass,
            json!({"provisioner": "p"}),
        ),
        Row {
            beside: json!({"mappings": {"byName": {"*": "vc-*"}}}),
            ..row("sync.toHost.namespaces", Kind::Namespace, json!({}))
        },
        row("sync.toHost.serviceAccounts", Kind::ServiceAccount, json!({})),
        row(
            "sync.toHost.podDisruptionBudgets",
            Kind::PodDisruptionBudget,
            json!({"spec": {"minAvailable": 1}}),
        ),
        row("sync.toHost.priorityClasses", Kind::PriorityClass, json!({"value": 7})),
        row("sync.toHost.resourceClaims", Kind::ResourceClaim, json!({"spec": {}})),
        row(
            "sync.toHost.resourceClaimTemplates",
            Kind::ResourceClaimTemplate,
            json!({"spec": {}}),
        ),
        Row {
            beside: json!({"selector": {"all": true}}),
            ..row("sync.fromHost.nodes", Kind::Node, json!({"status": {}}))
        },
        Row {
            // Of an event nothing but what it says is shown.
            prepare: |world| synced(world, Kind::ConfigMap, "team", "c"),
            name: Some(("team", "web")),
            ..row(
                "sync.fromHost.events",
                Kind::Event,
                json!({
                    "involvedObject": {"kind": "ConfigMap", "namespace": "host", "name": "c-x-team-x-vc"}, "message": "m", "reason": "x",
                }),
            )
        },
        row(
            "sync.fromHost.ingressClasses",
            Kind::IngressClass,
            json!({"spec": {"controller": "c"}}),
        ),
        row(
            "sync.fromHost.gatewayClasses",
            Kind::GatewayClass,
            json!({"spec": {"controllerName": "c"}}),
        ),
        imported("sync.fromHost.gateways", Kind::Gateway, gateway()),
        row(
            "sync.fromHost.runtimeClasses",
            Kind::RuntimeClass,
            json!({"handler": "h"}),
        ),
        row(
            "sync.fromHost.priorityClasses",
            Kind::PriorityClass,
            json!({"value": 7}),
        ),
        row(
            "sync.fromHost.storageClasses",
            Kind::StorageClass,
            json!({"provisioner": "p"}),
        ),
        Row {
            prepare: |world| {
                drop(world.put(
                    Side::Virtual,
                    Kind::Node,
                    json!({"metadata": {"name": "web", "uid": "n"}}),
                ))
            },
            ..row(
                "sync.fromHost.csiNodes",
                Kind::CsiNode,
                json!({"spec": {"drivers": []}}),
            )
        },
        row("sync.fromHost.csiDrivers", Kind::CsiDriver, json!({"spec": {}})),
        Row {
            name: Some(("kube-system", "web-x-host")),
            ..row(
                "sync.fromHost.csiStorageCapacities",
                Kind::CsiStorageCapacity,
                json!({"storageClassName": "fast"}),
            )
        },
        row(
            "sync.fromHost.volumeSnapshotClasses",
            Kind::VolumeSnapshotClass,
            json!({"driver": "d"}),
        ),
        imported("sync.fromHost.configMaps", Kind::ConfigMap, json!({"data": {}})),
        imported(
            "sync.fromHost.secrets",
            Kind::Secret,
            json!({"type": "Opaque", "data": {}}),
        ),
        row("sync.fromHost.deviceClasses", Kind::DeviceClass, json!({"spec": {}})),
    ]
}

/// The path that is patched: a label, where labels travel.
fn path(kind: Kind) -> &'static str {
    match kind {
        Kind::Event => "reason",
        Kind::CsiStorageCapacity => "storageClassName",
        _ => "metadata.labels.patched",
    }
}

/// The world that a vcluster.yaml with this patch makes.
fn configured(row: &Row) -> World {
    let mut section = row.beside.clone();
    section["enabled"] = json!(true);
    // What an object is made from is known whichever way it travels.
    let source = match row.place {
        Place::Virtual => "virtualObject",
        _ => "hostObject",
    };
    let expression = format!("value + '-patched-' + context.{source}.metadata.name");
    section["patches"] = json!([{"path": path(row.kind), "expression": expression}]);
    let mut document = row
        .section
        .rsplit('.')
        .fold(section, |value, name| json!({name: value}));
    json::merge(&mut document, &row.more);
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("vcluster.yaml");
    std::fs::write(&file, document.to_string()).unwrap();
    let (settings, _) = Options::for_rights("vc", "host", Some(&file)).unwrap();
    world_of(settings)
}

/// What the first write to its own object sends.
fn written(world: &World, item: &Reference) -> Value {
    // Some write another object first, such as the namespace they lie in.
    let mut said = Vec::new();
    for round in 0..3 {
        let plan = resources::plan(world, item);
        assert!(plan.waits.is_empty(), "{item:?}: {:?} {:?}", plan.waits, plan.notes);
        if let Some(mapping) = &plan.mapping {
            world.mappings().record(item, mapping.clone());
        }
        let own = plan.steps.iter().find_map(|step| match step {
            Step::Create { kind, object, .. } | Step::Upsert { kind, object } if *kind == item.kind => {
                Some(object.clone())
            }
            _ => None,
        });
        world.create(&plan, &format!("made-{round}"));
        said = plan.notes;
        if let Some(own) = own {
            return own;
        }
    }
    panic!("{item:?} is not written: {said:?}");
}

#[test]
fn patches_of_every_kind_change_what_is_written_and_leave_it_alone_then() {
    let mut tried = BTreeSet::new();
    for row in rows() {
        let world = configured(&row);
        for namespace in ["team", "kube-system"] {
            let object = json!({"metadata": {"name": namespace, "uid": namespace, "resourceVersion": "1"}});
            world.put(Side::Virtual, Kind::Namespace, object);
        }
        (row.prepare)(&world);
        let (side, namespace) = match row.place {
            Place::Virtual => (Some(Side::Virtual), "team"),
            Place::Host => (Some(Side::Host), "host"),
            Place::Foreign => (None, "shop"),
        };
        let object = named(row.kind, namespace, row.object.clone());
        match side {
            Some(side) => drop(world.put(side, row.kind, object)),
            None => {
                world.foreign.caches.of(row.kind).apply(Object::new(object));
                world.foreign.complete(&Scope {
                    kind: row.kind,
                    namespace: "shop".into(),
                    name: Some("web".into()),
                });
            }
        }
        let (namespace, name) = row.name.unwrap_or(("team", "web"));
        let item = match row.kind.is_namespaced() {
            true => Reference::new(row.kind, namespace, name),
            false => Reference::new(row.kind, "", name),
        };
        let written = written(&world, &item);
        let pointer = format!("/{}", path(row.kind).replace('.', "/"));
        let value = written.pointer(&pointer).and_then(Value::as_str).unwrap_or_default();
        let before = if row.kind == Kind::CsiStorageCapacity {
            "fast"
        } else {
            "x"
        };
        assert_eq!(value, format!("{before}-patched-web"), "{}: {written}", row.section);
        if row.kind != Kind::Event {
            let again = summary(&world.plan(row.kind, &item.key.namespace, &item.key.name));
            assert!(
                again.iter().all(|step| !step.contains("patched")),
                "{} is written again: {again:?}",
                row.section
            );
        }
        tried.insert(format!("{}.patches", row.section));
    }
    let mut honoured = BTreeSet::new();
    keys::root().walk("", &mut |path, key| {
        let acted_on = matches!(
            key.content,
            Content::Leaf {
                support: Support::Honoured,
                ..
            }
        );
        if path.ends_with(".patches") && acted_on {
            honoured.insert(path.to_owned());
        }
    });
    assert_eq!(tried, honoured);
}

#[test]
fn a_patch_of_one_kind_goes_before_that_of_all_kinds_of_the_gateway_api() {
    let patch = |expression: &str| json!([{"path": "metadata.labels.patched", "expression": expression}]);
    let row = Row {
        more: json!({"sync": {"toHost": {"gatewayApi": {"gateways": {"patches": patch("'own'")}}}}}),
        prepare: with_gateway_class,
        ..row(
            "sync.toHost.gatewayApi",
            Kind::Gateway,
            json!({"spec": {"gatewayClassName": "fake", "listeners": []}}),
        )
    };
    let world = configured(&row);
    (row.prepare)(&world);
    world.put(Side::Virtual, Kind::Gateway, named(Kind::Gateway, "team", row.object));
    let gateway = written(
        &world,
        &Reference {
            kind: Kind::Gateway,
            key: ObjectKey::new("team", "web"),
        },
    );
    assert_eq!(gateway["metadata"]["labels"]["patched"], "own");
}
