//! What happens to clusters in a random order, while both API servers fail a third of the requests.

use super::*;
use crate::names::{Claim, claim};

/// Something that happens to one of the clusters.
#[derive(Clone, Debug)]
pub(super) enum Happening {
    CreatePod(u8),
    DeletePod(u8),
    ForceDeletePod(u8),
    DeleteHostPod(u8),
    ChangeConfigMap(u8),
    CreateService(u8),
    DeleteService(u8),
    HostRuns,
    Restart,
    Pause(u16),
}

pub(super) fn happening() -> impl Strategy<Value = Happening> {
    let name = 0..4u8;
    prop_oneof![
        4 => name.clone().prop_map(Happening::CreatePod),
        2 => name.clone().prop_map(Happening::DeletePod),
        1 => name.clone().prop_map(Happening::ForceDeletePod),
        1 => name.clone().prop_map(Happening::DeleteHostPod),
        2 => any::<u8>().prop_map(Happening::ChangeConfigMap),
        1 => name.clone().prop_map(Happening::CreateService),
        1 => name.prop_map(Happening::DeleteService),
        3 => Just(Happening::HostRuns),
        1 => Just(Happening::Restart),
        3 => (0..400u16).prop_map(Happening::Pause),
    ]
}

pub(super) async fn happen(bridge: Bridge, happening: Happening) -> Bridge {
    let virtual_ = bridge.virtual_.clone();
    let name = |number: u8| format!("web-{number}");
    match happening {
        Happening::CreatePod(number) if virtual_.get(Kind::Pod, "team", &name(number)).is_none() => {
            virtual_.put(Kind::Pod, pod(&name(number)));
        }
        Happening::CreatePod(_) => {}
        Happening::DeletePod(number) => virtual_.delete(Kind::Pod, "team", &name(number), 30),
        Happening::ForceDeletePod(number) => virtual_.delete(Kind::Pod, "team", &name(number), 0),
        Happening::DeleteHostPod(number) => {
            let key = bridge.place(Kind::Pod, &name(number));
            bridge.host.delete(Kind::Pod, &key.namespace, &key.name, 30);
        }
        Happening::ChangeConfigMap(value) => {
            virtual_.change(Kind::ConfigMap, "team", "settings", |map| {
                map["data"]["a"] = json!(value.to_string())
            });
        }
        Happening::CreateService(number) if virtual_.get(Kind::Service, "team", &name(number)).is_none() => {
            virtual_.put(Kind::Service, service(&name(number)));
        }
        Happening::CreateService(_) => {}
        Happening::DeleteService(number) => virtual_.remove(Kind::Service, "team", &name(number)),
        Happening::HostRuns => bridge.run_host(),
        Happening::Restart => return bridge.restart(),
        Happening::Pause(milliseconds) => tokio::time::sleep(Duration::from_millis(milliseconds.into())).await,
    }
    bridge
}

/// Whether both sides agree; says what does not.
pub(super) fn disagreement(bridge: &Bridge) -> Option<String> {
    let names = bridge.engine.world().names.clone();
    let mut expected: Vec<(Kind, ObjectKey)> = Vec::new();
    for pod in bridge.virtual_.list(Kind::Pod) {
        let name = json_text(&pod, "name");
        let Some(host) = bridge.host_pod(&name) else {
            return Some(format!("{name} is not on the host"));
        };
        let Claim::Ours { uid, .. } = claim(&names, &Kind::Pod.gvk(), &host) else {
            return Some(format!("{name} is foreign"));
        };
        if uid != json_text(&pod, "uid") {
            return Some(format!("{name} is an earlier pod's copy"));
        }
        if pod["status"]["phase"] != "Running" || pod["spec"]["nodeName"] != "worker-1" {
            return Some(format!("{name} does not show its status"));
        }
        expected.push((Kind::Pod, bridge.place(Kind::Pod, &name)));
    }
    if !expected.is_empty() {
        expected.push((Kind::ConfigMap, bridge.place(Kind::ConfigMap, "settings")));
        let host = bridge.copy(Kind::ConfigMap, "settings");
        let virtual_ = bridge.virtual_.get(Kind::ConfigMap, "team", "settings");
        if host.map(|host| host["data"].clone()) != virtual_.map(|virtual_| virtual_["data"].clone()) {
            return Some("the ConfigMap differs".into());
        }
    }
    for service in bridge
        .virtual_
        .list(Kind::Service)
        .iter()
        .filter(|service| json_text(service, "namespace") == "team")
    {
        let name = json_text(service, "name");
        let Some(host) = bridge.copy(Kind::Service, &name) else {
            return Some(format!("{name} is missing"));
        };
        if service["spec"]["type"] != "ClusterIP" || host["spec"]["type"] != "ClusterIP" {
            return Some(format!("{name} has another type"));
        }
        if host["spec"]["clusterIP"] != service["spec"]["clusterIP"] {
            return Some(format!("{name} has another address"));
        }
        expected.push((Kind::Service, bridge.place(Kind::Service, &name)));
    }
    for kind in [Kind::Pod, Kind::ConfigMap, Kind::Service] {
        for object in bridge.host.list(kind) {
            let name = json_text(&object, "name");
            let infrastructure = name == "vc" || name.starts_with("kube-dns");
            let key = ObjectKey::new(&json_text(&object, "namespace"), &name);
            if !infrastructure && !expected.contains(&(kind, key)) {
                return Some(format!("{kind} {name} is an orphan"));
            }
        }
    }
    None
}

/// Whatever happens in whatever order, with both API servers failing a third of the requests: once they stop failing, both
/// sides agree, without duplicates and orphans.
#[test]
fn both_sides_converge_after_any_faults() {
    let strategy = (prop::collection::vec(happening(), 1..40), any::<u64>());
    let mut runner = TestRunner::new(ProptestConfig {
        cases: 64,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    let outcome = runner.run(&strategy, |(happenings, seed)| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .expect("a runtime");
        let disagreement = runtime.block_on(async {
            let mut bridge = Bridge::start();
            bridge.virtual_.put(Kind::ConfigMap, config_map());
            for fake in [&bridge.virtual_, &bridge.host] {
                fake.set_faults(Some(faults(seed)));
            }
            for what in happenings {
                bridge = happen(bridge, what).await;
            }
            for fake in [&bridge.virtual_, &bridge.host] {
                fake.set_faults(None);
            }
            let deadline = Instant::now() + PATIENCE;
            loop {
                bridge.run_host();
                tokio::time::sleep(Duration::from_millis(100)).await;
                match disagreement(&bridge) {
                    None => return None,
                    Some(what) if Instant::now() > deadline => return Some(what),
                    Some(_) => {}
                }
            }
        });
        prop_assert_eq!(disagreement, None);
        Ok(())
    });
    outcome.expect("both sides agree");
}

/// A third of all requests fails in one of the ways that servers fail in.
fn faults(seed: u64) -> crate::testing::fake::Faults {
    let mut state = seed | 1;
    Box::new(move |_, _| {
        // xorshift: enough disorder, and the same for the same seed.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let codes = [409, 429, 500, 503, 0, 0];
        state.is_multiple_of(3).then(|| codes[(state / 3 % 6) as usize])
    })
}
