//! Processes that wait until they lead.

use super::*;
use crate::object::Object;

/// Puts an object on one side, as a watch does.
fn seen(engine: &Engine, side: Side, kind: Kind, object: Value) {
    if let Some(change) = engine.world().side(side).of(kind).apply(Object::new(object)) {
        engine.observe(side, kind, &change);
    }
}

fn queued(engine: &Engine) -> Vec<String> {
    let state = engine.state();
    let mut queued: Vec<String> = state.queue.queued().map(ToString::to_string).collect();
    queued.sort();
    queued
}

#[tokio::test]
async fn what_was_seen_while_standing_by_is_looked_at_when_leading() {
    let (virtual_, host) = clusters();
    let mut settings = settings();
    settings.nodes.from_host = false;
    let engine = Bridge::configured(virtual_, host, settings).engine.clone();
    let world = engine.world();
    world.stand_by();
    let before = queued(&engine);
    let heard = Arc::new(AtomicBool::new(false));
    let listener = heard.clone();
    engine.listen(move |_, _| listener.store(true, Ordering::Relaxed));
    let pod = json!({"metadata": {"namespace": "team", "name": "web", "uid": "v"}, "spec": {"nodeName": "n-1"}});
    seen(&engine, Side::Virtual, Kind::Pod, pod);
    let gone = json!({
        "metadata": {
            "namespace": "host", "name": "gone-x-team-x-vc", "uid": "h", "labels": {keys::MARKER: "vc"},
            "annotations": {keys::OBJECT_NAME: "gone", keys::OBJECT_NAMESPACE: "team", keys::OBJECT_KIND: Kind::Pod.gvk()},
        },
        "spec": {"nodeName": "n-2"},
    });
    seen(&engine, Side::Host, Kind::Pod, gone);
    assert!(heard.load(Ordering::Relaxed), "the name server is told all the same");
    assert_eq!(queued(&engine), before, "nobody would take it from the queue");
    engine.lead();
    let items = queued(&engine);
    for expected in ["Pod team/web", "Pod team/gone", "Node n-1", "Node n-2"] {
        assert!(items.iter().any(|item| item == expected), "{expected}: {items:?}");
    }
}
