use machinery::selector::label::Selector;

use super::*;
use crate::clusters::Change;
use crate::engine::plan::Step;
use crate::metrics::Metrics;
use crate::names::Reference;
use crate::object::Object;
use crate::options::Options;
use crate::resources;
use crate::settings::Settings;
use crate::testing::fake::Fake;
use crate::testing::{settings, world_of};

/// A host with the control plane's StatefulSet and Service.
fn host() -> Fake {
    let host = Fake::new();
    host.put(
        Kind::StatefulSet,
        json!({"metadata": {"namespace": "host", "name": "vc", "uid": "set"}}),
    );
    let owner = json!({"apiVersion": "v1", "kind": "Pod", "name": "other", "uid": "other"});
    host.put(
        Kind::Service,
        json!({"metadata": {"namespace": "host", "name": "vc", "uid": "cp", "ownerReferences": [owner]}, "spec": {}}),
    );
    host
}

/// What runs beside that host, which copies PriorityClasses to it.
fn ending(host: &Fake) -> Ending {
    let mut settings = settings();
    settings.to_host.insert(Kind::PriorityClass);
    settings.from_host.insert(Kind::Event, Selector::default());
    ending_of(host, settings)
}

fn ending_of(host: &Fake, settings: Settings) -> Ending {
    let world = Arc::new(world_of(settings));
    let registry = chassis::Metrics::default();
    let metrics = Metrics::new(&registry);
    let virtual_ = Fake::new();
    let api = |side, fake: &Fake| Api::new(side, fake.client(), metrics.clusters.clone());
    let (recorder, _) = client::Recorder::new(virtual_.client(), "syncer");
    let (virtual_, host) = (api(Side::Virtual, &virtual_), api(Side::Host, host));
    Ending::new(Engine::new(world, virtual_, host, recorder, metrics.clone()))
}

/// Shows the world the Service as it is now.
fn seen(ending: &Ending, host: &Fake) {
    let service = host.get(Kind::Service, "host", "vc").expect("a Service");
    ending
        .engine
        .world()
        .control_plane
        .of(Kind::Service)
        .apply(Object::new(service));
}

fn owners_of(host: &Fake) -> Vec<String> {
    let service = host.get(Kind::Service, "host", "vc").expect("a Service");
    let owners = owners(&service).iter();
    owners
        .map(|owner| format!("{}/{}", json::text(owner, &["kind"]), json::text(owner, &["uid"])))
        .collect()
}

#[tokio::test]
async fn the_stateful_set_owns_the_service_beside_others() {
    let host = host();
    let mut ending = ending(&host);
    seen(&ending, &host);
    ending.own().await.expect("owned");
    let uid = host.get(Kind::StatefulSet, "host", "vc").expect("there")["metadata"]["uid"].clone();
    let owner = format!("StatefulSet/{}", uid.as_str().expect("a uid"));
    assert_eq!(owners_of(&host), ["Pod/other", owner.as_str()]);
    seen(&ending, &host);
    host.take_requests();
    ending.own().await.expect("still owned");
    assert_eq!(
        host.take_requests(),
        Vec::<String>::new(),
        "what is known is not asked for"
    );
    // Somebody puts the Service back to what the manifest says.
    host.change(Kind::Service, "host", "vc", |service| {
        service["metadata"]["ownerReferences"] = json!([{
            "apiVersion": "apps/v1", "kind": "StatefulSet", "name": "vc", "uid": "an-earlier-one",
        }]);
    });
    seen(&ending, &host);
    ending.own().await.expect("owned again");
    assert_eq!(owners_of(&host), [owner]);
}

#[tokio::test]
async fn what_runs_without_a_stateful_set_is_left_as_it_is() {
    let host = host();
    host.remove(Kind::StatefulSet, "host", "vc");
    let mut ending = ending(&host);
    seen(&ending, &host);
    ending.own().await.expect("nothing to do");
    assert_eq!(owners_of(&host), ["Pod/other"]);
    host.remove(Kind::Service, "host", "vc");
    assert!(!ending.has_come().await, "it has never been there");
}

#[tokio::test]
async fn the_end_has_come_when_the_stateful_set_goes_and_takes_the_service_along() {
    type Change = fn(&Fake);
    let table: [(&str, Change, bool); 6] = [
        ("a restart", |_| (), false),
        ("gone", |host| host.remove(Kind::StatefulSet, "host", "vc"), true),
        (
            "gone with its Service",
            |host| {
                host.remove(Kind::StatefulSet, "host", "vc");
                host.remove(Kind::Service, "host", "vc");
            },
            true,
        ),
        (
            "being deleted in the foreground",
            |host| {
                host.change(Kind::StatefulSet, "host", "vc", |set| {
                    set["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
                    set["metadata"]["finalizers"] = json!(["foregroundDeletion"]);
                });
            },
            true,
        ),
        (
            "its dependents are to stay",
            |host| {
                host.change(Kind::StatefulSet, "host", "vc", |set| {
                    set["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
                    set["metadata"]["finalizers"] = json!(["orphan"]);
                });
            },
            false,
        ),
        (
            "its dependents stay",
            |host| {
                host.remove(Kind::StatefulSet, "host", "vc");
                host.change(Kind::Service, "host", "vc", |service| {
                    service["metadata"]["ownerReferences"] = json!([])
                });
            },
            false,
        ),
    ];
    for (what, change, expected) in table {
        let host = host();
        let mut ending = ending(&host);
        seen(&ending, &host);
        ending.own().await.expect("owned");
        change(&host);
        assert_eq!(ending.has_come().await, expected, "{what}");
    }
}

/// The owners that a copy in no namespace gets.
fn owner_outside(ending: &Ending) -> String {
    let reference = ending.engine.world().reference_outside().unwrap_or_default();
    format!(
        "{}/{}",
        json::text(&reference[0], &["kind"]),
        json::text(&reference[0], &["uid"])
    )
}

#[tokio::test]
async fn the_cluster_role_owns_what_lies_in_no_namespace_and_belongs_to_the_namespace() {
    const NAME: &str = "vc-vc-v-host";
    let host = host();
    let ending = ending(&host);
    let look = async || find_cluster_role(&ending.engine).await.expect("looked");
    let made = || {
        let role = json!({"metadata": {"name": NAME, "ownerReferences": [{"kind": "Node", "name": "n", "uid": "n"}]}});
        host.put(Kind::ClusterRole, role);
        let role = host.get(Kind::ClusterRole, "", NAME).expect("there");
        format!("ClusterRole/{}", json::text(&role, &["metadata", "uid"]))
    };
    made();
    look().await;
    assert_eq!(owner_outside(&ending), "/", "whose it is is not known yet");
    let namespace = json!({"metadata": {"name": "host", "uid": "ns", "resourceVersion": "1"}});
    ending
        .engine
        .world()
        .control_plane
        .of(Kind::Namespace)
        .apply(Object::new(namespace));
    host.remove(Kind::ClusterRole, "", NAME);
    look().await;
    assert_eq!(owner_outside(&ending), "Namespace/ns");
    let first = made();
    look().await;
    assert_eq!(owner_outside(&ending), first);
    let role = host.get(Kind::ClusterRole, "", NAME).expect("there");
    let kinds: Vec<&str> = owners(&role).iter().map(|owner| json::text(owner, &["kind"])).collect();
    assert_eq!(kinds, ["Node", "Namespace"], "others stay");
    host.take_requests();
    look().await;
    assert_eq!(host.take_requests().len(), 1, "it is not written again");
    host.remove(Kind::ClusterRole, "", NAME);
    let second = made();
    assert_ne!(first, second);
    // The host deletes what the first one owned.
    let gone = Object::new(json!({"metadata": {"name": "gold", "uid": "h", "resourceVersion": "1"}}));
    let change = Change::new(Some(Arc::new(gone)), None);
    ending.engine.observe(Side::Host, Kind::PriorityClass, &change);
    let found = async {
        while owner_outside(&ending) != second {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        () = ending.changed() => unreachable!("the control plane's own objects stay as they are"),
        found = tokio::time::timeout(Duration::from_secs(10), found) => found.expect("the other one is found"),
    }
    assert_eq!(
        owner_outside(&ending),
        second,
        "an earlier one of that name would have the host delete the copies"
    );
    host.remove(Kind::ClusterRole, "", NAME);
    look().await;
    assert_eq!(owner_outside(&ending), "Namespace/ns");
}

#[tokio::test]
async fn the_cluster_role_is_nobodys_business_where_every_copy_lies_in_the_namespace() {
    let host = host();
    let ending = ending_of(&host, settings());
    let namespace = json!({"metadata": {"name": "host", "uid": "ns", "resourceVersion": "1"}});
    ending
        .engine
        .world()
        .control_plane
        .of(Kind::Namespace)
        .apply(Object::new(namespace));
    find_cluster_role(&ending.engine).await.expect("nothing to look for");
    assert_eq!(host.take_requests(), Vec::<String>::new());
}

#[tokio::test]
async fn copies_in_no_namespace_are_deleted_and_those_of_others_stay() {
    let host = host();
    let ending = ending(&host);
    let class = json!({"metadata": {"name": "gold", "uid": "v", "resourceVersion": "1"}, "value": 7});
    synced(&ending, &host, Kind::PriorityClass, class);
    host.put(
        Kind::PriorityClass,
        json!({"metadata": {"name": "of-the-host"}, "value": 1}),
    );
    assert_eq!(host.list(Kind::PriorityClass).len(), 2);
    ending.engine.delete_outside().await;
    let left: Vec<String> = host
        .list(Kind::PriorityClass)
        .iter()
        .map(|class| json::text(class, &["metadata", "name"]).to_owned())
        .collect();
    assert_eq!(left, ["of-the-host"]);
}

/// A virtual object, and its copy on the host.
fn synced(ending: &Ending, host: &Fake, kind: Kind, object: Value) {
    let world = ending.engine.world();
    let of = |field| json::text(&object, &["metadata", field]).to_owned();
    let item = Reference::new(kind, &of("namespace"), &of("name"));
    world.put(Side::Virtual, kind, object);
    for step in resources::plan(world, &item).steps {
        if let Step::Create { kind, object, .. } = step {
            let created = host.put(kind, object);
            world.put(Side::Host, kind, created);
        }
    }
}

#[tokio::test]
async fn namespaces_of_the_host_that_were_made_for_it_go_and_others_are_left_empty() {
    let host = host();
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("vcluster.yaml");
    let text =
        "sync: {toHost: {configMaps: {all: true}, namespaces: {enabled: true, mappings: {byName: {'*': 'vc-*'}}}}}";
    std::fs::write(&file, text).expect("written");
    let (settings, _) = Options::for_rights("vc", "host", Some(&file)).expect("valid");
    let ending = ending_of(&host, settings);
    seen(&ending, &host);
    for name in ["made", "there"] {
        let namespace = json!({"metadata": {"name": name, "uid": name, "resourceVersion": "1"}});
        synced(&ending, &host, Kind::Namespace, namespace);
        let map = json!({"metadata": {"namespace": name, "name": "m", "uid": format!("m-{name}"), "resourceVersion": "1"}, "data": {}});
        synced(&ending, &host, Kind::ConfigMap, map);
    }
    host.change(Kind::Namespace, "", "vc-there", |namespace| {
        namespace["metadata"]["annotations"]["vcluster.loft.sh/object-imported"] = json!("true");
    });
    let imported = host.get(Kind::Namespace, "", "vc-there").expect("a namespace");
    ending.engine.world().put(Side::Host, Kind::Namespace, imported);
    assert_eq!(host.list(Kind::ConfigMap).len(), 2);
    ending.engine.delete_outside().await;
    assert_eq!(host.list(Kind::ConfigMap), Vec::<Value>::new());
    let left: Vec<String> = host
        .list(Kind::Namespace)
        .iter()
        .map(|namespace| format!("{} {}", namespace["metadata"]["name"], namespace["metadata"]["labels"]))
        .collect();
    assert_eq!(left, [r#""vc-there" {}"#]);
}

#[tokio::test]
async fn kubeconfigs_in_other_namespaces_are_withdrawn_and_those_of_others_stay() {
    let host = host();
    let mut settings = settings();
    let published = |namespace: &str, name: &str| config::KubeConfigSecret {
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        ..Default::default()
    };
    settings.exports = vec![
        published("host", "own"),
        published("tools", "ours"),
        published("tools", "theirs"),
        published("tools", "gone"),
    ];
    for (namespace, name, vcluster) in [
        ("host", "own", "vc"),
        ("tools", "ours", "vc"),
        ("tools", "theirs", "other"),
    ] {
        let labels = json!({"app": "vcluster", "vcluster-name": vcluster});
        host.put(
            Kind::Secret,
            json!({"metadata": {"namespace": namespace, "name": name, "labels": labels}}),
        );
    }
    let mut ending = ending_of(&host, settings);
    seen(&ending, &host);
    ending.own().await.expect("owned");
    host.remove(Kind::StatefulSet, "host", "vc");
    assert!(ending.has_come().await, "there is something to do");
    ending.withdraw().await;
    let left = |namespace, name| host.get(Kind::Secret, namespace, name).is_some();
    assert!(!left("tools", "ours"));
    assert!(
        left("tools", "theirs") && left("host", "own"),
        "its owner takes that one along"
    );
}
