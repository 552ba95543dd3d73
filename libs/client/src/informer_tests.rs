use std::sync::Mutex;

use k8s_openapi::api::core::v1::{Pod, PodSpec};
use proptest::prelude::*;

use super::*;

fn pod(namespace: &str, name: &str, node: &str) -> Pod {
    let mut pod = Pod::default();
    pod.metadata.namespace = Some(namespace.to_owned());
    pod.metadata.name = Some(name.to_owned());
    pod.spec = Some(PodSpec {
        node_name: Some(node.to_owned()),
        ..PodSpec::default()
    });
    pod
}

fn node_of(pod: &Pod) -> Vec<String> {
    pod.spec.iter().filter_map(|spec| spec.node_name.clone()).collect()
}

fn names(pods: &[Arc<Pod>]) -> Vec<String> {
    pods.iter()
        .map(|pod| ObjectKey::of(&pod.metadata).to_string())
        .collect()
}

async fn feed(informer: &Informer<Pod>, events: Vec<Event<Pod>>) {
    let stream = futures::stream::iter(events.into_iter().map(Ok));
    informer.run("Pod", stream, |_| {}).await;
}

#[tokio::test]
async fn a_new_list_reports_what_vanished_and_what_is_new() {
    let informer = Informer::<Pod>::new();
    let log = Arc::new(Mutex::new(Vec::new()));
    let sink = log.clone();
    informer.on_change(move |change| {
        let word = match change {
            Change::Added(_) => "added",
            Change::Updated { .. } => "updated",
            Change::Deleted(_) => "deleted",
        };
        let name = change.object().metadata.name.clone().unwrap();
        sink.lock().unwrap().push(format!("{word} {name}"));
    });
    let first = vec![
        Event::Init,
        Event::InitApply(pod("a", "one", "n1")),
        Event::InitApply(pod("a", "two", "n1")),
        Event::InitDone,
    ];
    feed(&informer, first).await;
    informer.synced().await;
    feed(
        &informer,
        vec![
            Event::Init,
            Event::InitApply(pod("a", "two", "n2")),
            Event::InitApply(pod("b", "x", "n1")),
            Event::InitDone,
        ],
    )
    .await;
    let expected = ["added one", "added two", "deleted one", "updated two", "added x"];
    assert_eq!(*log.lock().unwrap(), expected);
}

#[tokio::test]
async fn managed_fields_are_not_kept() {
    let informer = Informer::<Pod>::new();
    let mut with_fields = pod("a", "one", "n");
    with_fields.metadata.managed_fields = Some(Vec::new());
    feed(&informer, vec![Event::Apply(with_fields)]).await;
    assert_eq!(informer.list()[0].metadata.managed_fields, None);
}

#[tokio::test]
async fn namespaces_do_not_mix() {
    let informer = Informer::<Pod>::new();
    let events = ["a", "ab", "b"].map(|namespace| Event::Apply(pod(namespace, "p", "n")));
    feed(&informer, events.into()).await;
    assert_eq!(names(&informer.list_in("a")), ["a/p"]);
    assert_eq!(names(&informer.list_in("ab")), ["ab/p"]);
    assert!(informer.list_in("c").is_empty());
}

proptest! {
    /// Whatever happened, an index answers exactly what a scan of the objects answers.
    #[test]
    fn an_index_agrees_with_a_scan(steps in prop::collection::vec((0..4u8, 0..3u8, any::<bool>()), 0..60)) {
        let informer = Informer::<Pod>::new();
        let index = informer.add_index(node_of);
        for (name, node, delete) in steps {
            let object = pod("ns", &format!("p{name}"), &format!("n{node}"));
            let event = if delete { Event::Delete(object) } else { Event::Apply(object) };
            informer.apply(event, &mut BTreeMap::new(), &|_: &mut Pod| {});
        }
        for node in 0..3u8 {
            let node = format!("n{node}");
            let scanned: Vec<_> = informer.list().into_iter().filter(|pod| node_of(pod) == [node.clone()]).collect();
            prop_assert_eq!(names(&informer.by_index(index, &node)), names(&scanned));
        }
    }
}
