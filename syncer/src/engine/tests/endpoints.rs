//! Services, Endpoints and EndpointSlices in any order: what is there of the three decides, never which of them came first.

use super::*;
use crate::json::text;
use crate::testing::fake::Disorder;

const SERVICE_NAME: &str = "kubernetes.io/service-name";
const SLICE_MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";
const ENDPOINTS_MANAGED_BY: &str = "endpoints.kubernetes.io/managed-by";
const MIRRORING: &str = "endpointslicemirroring-controller.k8s.io";

/// What a Service is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    Selecting,
    ByHand,
    HeadlessSelecting,
    HeadlessByHand,
    External,
}

impl Shape {
    fn is_headless(self) -> bool {
        matches!(self, Self::HeadlessSelecting | Self::HeadlessByHand)
    }

    fn spec(self) -> Value {
        let mut spec = json!({"type": "ClusterIP", "ports": [{"port": 80}]});
        if matches!(self, Self::Selecting | Self::HeadlessSelecting) {
            spec["selector"] = json!({"app": "db"});
        }
        if self.is_headless() {
            spec["clusterIP"] = json!("None");
        }
        if self == Self::External {
            spec = json!({"type": "ExternalName", "externalName": "db.example.com"});
        }
        spec
    }
}

/// Something that an owner, a controller of one of the clusters, or the network does. Numbers are names and addresses.
#[derive(Clone, Copy, Debug)]
enum Act {
    Service(u8, Shape),
    NoService(u8),
    Endpoints(u8, u8),
    NoEndpoints(u8),
    Slice(u8, u8, bool),
    NoSlice(u8),
    HostControllers,
    Vandals(u8),
    Restart,
    Pause(u16),
    Disorder(Side, u64),
    Order,
}

fn act() -> impl Strategy<Value = Act> {
    let name = 0..2u8;
    let shape = prop_oneof![
        3 => Just(Shape::Selecting),
        3 => Just(Shape::ByHand),
        1 => Just(Shape::HeadlessSelecting),
        3 => Just(Shape::HeadlessByHand),
        1 => Just(Shape::External),
    ];
    let side = prop_oneof![Just(Side::Virtual), Just(Side::Host)];
    prop_oneof![
        5 => (name.clone(), shape).prop_map(|(name, shape)| Act::Service(name, shape)),
        2 => name.clone().prop_map(Act::NoService),
        4 => (name.clone(), 1..9u8).prop_map(|(name, address)| Act::Endpoints(name, address)),
        1 => name.clone().prop_map(Act::NoEndpoints),
        4 => (name.clone(), 1..9u8, any::<bool>()).prop_map(|(name, address, own)| Act::Slice(name, address, own)),
        1 => name.clone().prop_map(Act::NoSlice),
        4 => Just(Act::HostControllers),
        1 => name.prop_map(Act::Vandals),
        1 => Just(Act::Restart),
        4 => (0..400u16).prop_map(Act::Pause),
        1 => (side, any::<u64>()).prop_map(|(side, seed)| Act::Disorder(side, seed)),
        1 => Just(Act::Order),
    ]
}

fn name_of(number: u8) -> String {
    format!("db-{number}")
}

fn address(number: u8) -> String {
    format!("192.0.2.{number}")
}

async fn perform(bridge: Bridge, act: Act) -> Bridge {
    let virtual_ = bridge.virtual_.clone();
    match act {
        Act::Service(number, shape) => put_service(&virtual_, &name_of(number), shape),
        Act::NoService(number) => virtual_.remove(Kind::Service, "team", &name_of(number)),
        Act::Endpoints(number, ip) => {
            write(
                &virtual_,
                Kind::Endpoints,
                json!({
                    "metadata": {"namespace": "team", "name": name_of(number)},
                    "subsets": [{"addresses": [{"ip": address(ip)}], "ports": [{"port": 80}]}],
                }),
            );
        }
        Act::NoEndpoints(number) => virtual_.remove(Kind::Endpoints, "team", &name_of(number)),
        Act::Slice(number, ip, own) => {
            let manager = if own { "somebody" } else { MIRRORING };
            write(
                &virtual_,
                Kind::EndpointSlice,
                json!({
                    "metadata": {
                        "namespace": "team", "name": format!("{}-{own}", name_of(number)),
                        "labels": {SERVICE_NAME: name_of(number), SLICE_MANAGED_BY: manager},
                    },
                    "addressType": "IPv4", "endpoints": [{"addresses": [address(ip)]}], "ports": [{"port": 80}],
                }),
            );
        }
        Act::NoSlice(number) => virtual_.remove(Kind::EndpointSlice, "team", &format!("{}-true", name_of(number))),
        Act::HostControllers => run_controllers(&bridge.host),
        Act::Vandals(number) => {
            for kind in [Kind::Endpoints, Kind::EndpointSlice] {
                let copies = bridge.host.list(kind).into_iter();
                for copy in copies.filter(|copy| is_copy(copy) && copy_of(copy).starts_with(&name_of(number))) {
                    bridge.host.remove(kind, "host", text(&copy, &["metadata", "name"]));
                }
            }
        }
        Act::Restart => return bridge.restart(),
        Act::Pause(milliseconds) => tokio::time::sleep(Duration::from_millis(milliseconds.into())).await,
        Act::Disorder(side, seed) => {
            let fake = if side == Side::Virtual {
                &bridge.virtual_
            } else {
                &bridge.host
            };
            fake.set_disorder(Some(Disorder { seed, loses: true }));
        }
        Act::Order => [&bridge.virtual_, &bridge.host]
            .into_iter()
            .for_each(|fake| fake.set_disorder(None)),
    }
    bridge
}

/// Creates an object, or gives the one that is there this content.
fn write(fake: &Fake, kind: Kind, mut object: Value) {
    let name = text(&object, &["metadata", "name"]).to_owned();
    if let Some(known) = fake.get(kind, text(&object, &["metadata", "namespace"]), &name) {
        object["metadata"]["uid"] = known["metadata"]["uid"].clone();
    }
    fake.put(kind, object);
}

/// As an API server lets it be done: what never changes makes another Service.
fn put_service(virtual_: &Fake, name: &str, shape: Shape) {
    let known = virtual_.get(Kind::Service, "team", name);
    let keeps_address = |known: &Value| {
        let was_headless = text(known, &["spec", "clusterIP"]) == "None";
        let is_plain = text(known, &["spec", "type"]) == "ClusterIP" && shape != Shape::External;
        is_plain && was_headless == shape.is_headless()
    };
    let mut service = json!({"metadata": {"namespace": "team", "name": name}, "spec": shape.spec()});
    match known.filter(keeps_address) {
        Some(known) => {
            service["metadata"]["uid"] = known["metadata"]["uid"].clone();
            service["metadata"]["annotations"] = known["metadata"]["annotations"].clone();
            service["spec"]["clusterIP"] = known["spec"]["clusterIP"].clone();
        }
        None => virtual_.remove(Kind::Service, "team", name),
    }
    virtual_.put(Kind::Service, service);
}

/// What the host's controllers would have done by now: they fill the Endpoints and slices of Services that select, make slices
/// of other Endpoints, and remove what is left of a Service. What a Service has that no longer selects, they leave as it is.
fn run_controllers(host: &Fake) {
    let services = host.list(Kind::Service);
    for service in &services {
        let name = text(service, &["metadata", "name"]);
        if name == "vc" || crate::json::at(service, &["spec", "selector"]).is_none() {
            continue;
        }
        let known = host.get(Kind::Endpoints, "host", name).unwrap_or_default();
        let mut labels = service["metadata"]["labels"].clone();
        labels[ENDPOINTS_MANAGED_BY] = json!("endpoint-controller");
        let mut metadata = json!({"namespace": "host", "name": name, "labels": labels});
        for kept in ["annotations", "uid"] {
            crate::json::put(&mut metadata, kept, known["metadata"].get(kept).cloned());
        }
        host.put(
            Kind::Endpoints,
            json!({
                "metadata": metadata, "subsets": [{"addresses": [{"ip": "10.1.0.1"}], "ports": [{"port": 80}]}],
            }),
        );
        let mut labels = service["metadata"]["labels"].clone();
        labels[SERVICE_NAME] = json!(name);
        labels[SLICE_MANAGED_BY] = json!("endpointslice-controller.k8s.io");
        write(
            host,
            Kind::EndpointSlice,
            json!({
                "metadata": {"namespace": "host", "name": format!("{name}-abcde"), "labels": labels},
                "addressType": "IPv4", "endpoints": [{"addresses": ["10.1.0.1"]}],
            }),
        );
    }
    let is_gone = |name: &str| !services.iter().any(|service| service["metadata"]["name"] == name);
    for endpoints in host.list(Kind::Endpoints) {
        let name = text(&endpoints, &["metadata", "name"]);
        let made = !text(&endpoints, &["metadata", "labels", ENDPOINTS_MANAGED_BY]).is_empty();
        if made && is_gone(name) {
            host.remove(Kind::Endpoints, "host", name);
        } else if !made {
            let mut labels = endpoints["metadata"]["labels"].clone();
            labels[SERVICE_NAME] = json!(name);
            labels[SLICE_MANAGED_BY] = json!(MIRRORING);
            write(
                host,
                Kind::EndpointSlice,
                json!({
                    "metadata": {"namespace": "host", "name": format!("{name}-mirror"), "labels": labels},
                    "addressType": "IPv4", "endpoints": [{"addresses": ["192.0.2.99"]}],
                }),
            );
        }
    }
    for slice in host.list(Kind::EndpointSlice) {
        let service = text(&slice, &["metadata", "labels", SERVICE_NAME]);
        if !is_copy(&slice) && is_gone(service) {
            host.remove(Kind::EndpointSlice, "host", text(&slice, &["metadata", "name"]));
        }
    }
}

fn copy_of(object: &Value) -> String {
    text(object, &["metadata", "annotations", "vcluster.loft.sh/object-name"]).to_owned()
}

fn is_copy(object: &Value) -> bool {
    !copy_of(object).is_empty()
}

/// Says what is not as it should be: the copies of Services have their shapes, and those without a selector have the addresses
/// that their owners gave them, in Endpoints and slices of the host's names. Nothing else claims to be a copy.
fn disagreement(bridge: &Bridge) -> Option<String> {
    let (virtual_, host) = (&bridge.virtual_, &bridge.host);
    let own = |kind: Kind| {
        let mut all = virtual_.list(kind);
        all.retain(|object| object["metadata"]["namespace"] == "team");
        all
    };
    let services = own(Kind::Service);
    for service in &services {
        let name = text(service, &["metadata", "name"]);
        let Some(copy) = host.get(Kind::Service, "host", &format!("{name}-x-team-x-vc")) else {
            return Some(format!("Service {name} has no copy"));
        };
        for field in ["type", "clusterIP", "externalName"] {
            if service["spec"].get(field) != copy["spec"].get(field) {
                return Some(format!("{field} of {name} differs"));
            }
        }
        if service["spec"].get("selector").is_some() != copy["spec"].get("selector").is_some() {
            return Some(format!("only one of {name} and its copy selects"));
        }
    }
    let is_by_hand = |name: &str| {
        let of_name = services.iter().find(|service| service["metadata"]["name"] == name);
        of_name.is_some_and(|service| service["spec"].get("selector").is_none())
    };
    let mut copies: Vec<(Kind, Value)> = Vec::new();
    for kind in [Kind::Endpoints, Kind::EndpointSlice] {
        copies.extend(host.list(kind).into_iter().filter(is_copy).map(|copy| (kind, copy)));
    }
    for (kind, content) in [(Kind::Endpoints, "subsets"), (Kind::EndpointSlice, "endpoints")] {
        for object in own(kind) {
            let name = text(&object, &["metadata", "name"]);
            let service = match kind {
                Kind::Endpoints => name,
                _ => text(&object, &["metadata", "labels", SERVICE_NAME]),
            };
            let mirrored = text(&object, &["metadata", "labels", SLICE_MANAGED_BY]) == MIRRORING;
            let found = copies
                .iter()
                .position(|(of, copy)| *of == kind && copy_of(copy) == name);
            let copy = found.map(|found| copies.swap_remove(found).1);
            match copy {
                None if is_by_hand(service) && !mirrored => return Some(format!("{kind} {name} has no copy")),
                Some(_) if !is_by_hand(service) || mirrored => return Some(format!("{kind} {name} has a copy")),
                Some(copy) if copy[content] != object[content] => return Some(format!("{kind} {name} differs")),
                Some(copy) if kind == Kind::EndpointSlice => {
                    let named = text(&copy, &["metadata", "labels", SERVICE_NAME]);
                    if named != format!("{service}-x-team-x-vc") {
                        return Some(format!("the copy of slice {name} is of {named}"));
                    }
                }
                _ => {}
            }
        }
    }
    copies
        .pop()
        .map(|(kind, copy)| format!("{kind} {} is the copy of nothing", copy["metadata"]["name"]))
}

async fn scenario(acts: Vec<Act>) -> Option<String> {
    let (virtual_, host) = clusters();
    let settings = Settings {
        compare_every: Duration::from_secs(30),
        ..settings()
    };
    let mut bridge = Bridge::configured(virtual_, host, settings);
    for act in acts {
        bridge = perform(bridge, act).await;
    }
    for fake in [&bridge.virtual_, &bridge.host] {
        fake.set_disorder(None);
    }
    let deadline = Instant::now() + Duration::from_secs(300);
    loop {
        run_controllers(&bridge.host);
        tokio::time::sleep(Duration::from_secs(1)).await;
        match disagreement(&bridge) {
            None => break,
            Some(what) if Instant::now() > deadline => return Some(what),
            Some(_) => {}
        }
    }
    // The host's controllers and we do not fight over anything.
    bridge.host.take_writes();
    for _ in 0..10 {
        run_controllers(&bridge.host);
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let writes = bridge.host.take_writes();
    if !writes.is_empty() {
        return Some(format!("{writes:?} all the time"));
    }
    // Whatever came woke what it concerns: it was not found by looking at everything again.
    let divergences = bridge.counted("syncer_divergences_total");
    (divergences > 0).then(|| format!("{divergences} were not woken"))
}

#[test]
fn services_and_their_endpoints_agree_in_whatever_order_they_come() {
    let config = ProptestConfig {
        cases: 96,
        max_shrink_iters: 300,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let outcome = TestRunner::new(config).run(&prop::collection::vec(act(), 1..30), |acts| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .expect("a runtime");
        prop_assert_eq!(runtime.block_on(scenario(acts)), None);
        Ok(())
    });
    if let Err(error) = outcome {
        panic!("{error}");
    }
}
