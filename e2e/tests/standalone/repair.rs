//! Somebody edits the store while the server is down. When it is back, what is reserved agrees with the Services again, and
//! events tell what was wrong.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use e2e::standalone::Store;
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::api::networking::v1::IPAddress;
use kube::api::{DeleteParams, ListParams, PostParams};
use kube::{Api, Client};
use serde_json::{Value, json};

use super::{Running, eventually, serve};

const SERVICES: &str = "/registry/services/specs/default";
const ADDRESSES: &str = "/registry/ipaddresses";
const PORTS: &str = "/registry/ranges/servicenodeports";
/// Ports that nobody has are looked at often, so that nobody waits.
const FLAGS: &[&str] = &["--service-allocation-repair-interval=100ms"];

/// Services, with the last number of their address and their node port.
const BEFORE: [(&str, u8, u16); 9] = [
    ("far", 1, 30103),
    ("holder", 2, 0),
    ("missing", 3, 0),
    ("misused", 4, 0),
    ("outside", 5, 0),
    ("ports", 6, 30100),
    ("second", 7, 0),
    ("twin", 8, 30101),
    ("unlabelled", 9, 0),
];

/// What is wrong, by whom it concerns.
const FOUND: [(&str, &str); 10] = [
    ("missing", "ClusterIPNotAllocated"),
    ("misused", "ClusterIPNotAllocated"),
    ("second", "ClusterIPAlreadyAllocated"),
    ("outside", "ClusterIPOutOfRange"),
    ("10.96.200.1", "IPAddressNotAllocated"),
    ("10.96.100.5", "IPAddressWrongReference"),
    ("10.96.100.7", "IPAddressWrongReference"),
    ("ports", "PortNotAllocated"),
    ("twin", "PortAlreadyAllocated"),
    ("far", "PortOutOfRange"),
];

#[tokio::test]
async fn reservations_follow_services_after_edits_of_the_store() -> Result<()> {
    let mut running = Running::start(FLAGS).await?;
    let client = running.server.client().await?;
    for (name, address, port) in BEFORE {
        create(&client, name, &format!("10.96.100.{address}"), port).await?;
    }
    running.server.program.stop().await?;
    damage(&running.store).await?;
    running.server = serve(&mut running.site, &running.store, FLAGS).await?;
    let client = running.server.client().await?;

    // The repair has been done once before the server is ready.
    let left: BTreeSet<(String, String)> = addresses(&client).await?;
    let expected: BTreeSet<(String, String)> = [
        ("10.96.0.1", "kubernetes"),
        ("10.96.100.1", "far"),
        ("10.96.100.2", "holder"),
        ("10.96.100.3", "missing"),
        ("10.96.100.4", "misused"),
        ("10.96.100.6", "ports"),
        ("10.96.100.8", "twin"),
        ("10.96.100.9", "unlabelled"),
        // Its Service may be about to be written.
        ("10.96.200.2", "never"),
    ]
    .map(|(address, service)| (address.to_string(), service.to_string()))
    .into();
    ensure!(left == expected, "{left:?}");
    eventually("everything that was wrong is told", async || {
        let told = reasons(&client).await?;
        let expected: BTreeSet<(String, String)> = FOUND.map(|(name, why)| (name.to_string(), why.to_string())).into();
        ensure!(told == expected, "{told:?}");
        Ok(())
    })
    .await?;

    let taken = create(&client, "late", "10.96.100.3", 0).await;
    refused(taken, "provided IP is already allocated")?;
    let taken = create(&client, "late", "10.96.200.1", 30100).await;
    refused(taken, "provided port is already allocated")?;
    create(&client, "free", "10.96.200.1", 0).await?;
    eventually("a port of nobody is given up", async || {
        create(&client, "given-up", "10.96.200.3", 30120).await
    })
    .await?;
    running.stop().await
}

#[tokio::test]
async fn a_removed_address_comes_back_and_a_freed_one_does_not() -> Result<()> {
    let running = Running::start(FLAGS).await?;
    let client = running.server.client().await?;
    let objects: Api<IPAddress> = Api::all(client.clone());
    let services: Api<Service> = Api::default_namespaced(client.clone());
    create(&client, "holder", "10.96.100.1", 0).await?;
    let before = objects.get("10.96.100.1").await?.metadata.uid;
    objects.delete("10.96.100.1", &DeleteParams::default()).await?;
    eventually("the address of a Service is reserved again", async || {
        let found = objects.get("10.96.100.1").await?;
        ensure!(found.metadata.uid != before, "it is still there");
        Ok(())
    })
    .await?;
    eventually("an event tells of it", async || {
        let told = reasons(&client).await?;
        let expected = ("holder".to_string(), "ClusterIPNotAllocated".to_string());
        ensure!(told == BTreeSet::from([expected]), "{told:?}");
        Ok(())
    })
    .await?;
    services.delete("holder", &DeleteParams::default()).await?;
    eventually("its address is free", async || {
        create(&client, "next", "10.96.100.1", 0).await
    })
    .await?;
    let told = reasons(&client).await?;
    ensure!(told.len() == 1, "a normal end is told as an error: {told:?}");
    running.stop().await
}

#[tokio::test]
async fn a_port_that_nobody_gives_back_is_given_up_while_the_server_runs() -> Result<()> {
    let running = Running::start(FLAGS).await?;
    let client = running.server.client().await?;
    create(&client, "gone", "10.96.100.1", 30100).await?;
    running.store.delete(&format!("{SERVICES}/gone")).await?;
    eventually("its port is free", async || {
        create(&client, "next", "10.96.100.2", 30100).await
    })
    .await?;
    running.stop().await
}

#[tokio::test]
async fn ports_keep_their_numbers_when_the_range_changes() -> Result<()> {
    let mut running = Running::start(FLAGS).await?;
    let client = running.server.client().await?;
    create(&client, "kept", "10.96.100.1", 30200).await?;
    create(&client, "far", "10.96.100.2", 30001).await?;
    running.server.program.stop().await?;
    let flags = [FLAGS, &["--service-node-port-range=30150-30300"]].concat();
    running.server = serve(&mut running.site, &running.store, &flags).await?;
    let client = running.server.client().await?;
    refused(
        create(&client, "late", "10.96.100.3", 30200).await,
        "provided port is already allocated",
    )?;
    refused(create(&client, "late", "10.96.100.3", 30001).await, "30150-30300")?;
    create(&client, "late", "10.96.100.3", 30151).await?;
    let told = reasons(&client).await?;
    let expected = ("far".to_string(), "PortOutOfRange".to_string());
    ensure!(told == BTreeSet::from([expected]), "{told:?}");
    running.stop().await
}

/// Makes a store of `BEFORE` wrong in every way that a repair knows.
async fn damage(store: &Store) -> Result<()> {
    store.delete(&format!("{ADDRESSES}/10.96.100.3")).await?;
    edit(store, &format!("{ADDRESSES}/10.96.100.4"), |object| {
        object["spec"]["parentRef"]["name"] = "nobody".into();
    })
    .await?;
    edit(store, &format!("{ADDRESSES}/10.96.100.9"), |object| {
        object["metadata"]["labels"] = json!({});
    })
    .await?;
    let settled = object(store, &format!("{ADDRESSES}/10.96.100.2")).await?;
    for (address, young) in [("10.96.200.1", false), ("10.96.200.2", true)] {
        let mut leaked = settled.clone();
        leaked["metadata"]["name"] = address.into();
        leaked["spec"]["parentRef"]["name"] = "never".into();
        if !young {
            leaked["metadata"]["creationTimestamp"] = "2020-01-01T00:00:00Z".into();
        }
        store
            .put(&format!("{ADDRESSES}/{address}"), serde_json::to_vec(&leaked)?)
            .await?;
    }
    for (name, address) in [("second", "10.96.100.2"), ("outside", "10.99.0.1")] {
        edit(store, &format!("{SERVICES}/{name}"), |service| {
            service["spec"]["clusterIP"] = address.into();
            service["spec"]["clusterIPs"] = json!([address]);
        })
        .await?;
    }
    for (name, port) in [("twin", 30100), ("far", 25000)] {
        edit(store, &format!("{SERVICES}/{name}"), |service| {
            service["spec"]["ports"][0]["nodePort"] = port.into();
        })
        .await?;
    }
    // Only 30120 is taken: bit 120 of a number of 16 bytes.
    edit(store, PORTS, |range| range["data"] = "AQAAAAAAAAAAAAAAAAAAAA==".into()).await
}

async fn object(store: &Store, key: &str) -> Result<Value> {
    let entries = store.entries(key).await?;
    let found = entries.iter().find(|(found, _)| found == key);
    Ok(serde_json::from_slice(
        &found.with_context(|| format!("there is no {key}"))?.1,
    )?)
}

async fn edit(store: &Store, key: &str, change: impl Fn(&mut Value)) -> Result<()> {
    let mut value = object(store, key).await?;
    change(&mut value);
    store.put(key, serde_json::to_vec(&value)?).await
}

async fn create(client: &Client, name: &str, address: &str, node_port: u16) -> Result<()> {
    let mut spec = json!({"clusterIP": address, "ports": [{"port": 80}]});
    if node_port > 0 {
        spec["type"] = "NodePort".into();
        spec["ports"][0]["nodePort"] = node_port.into();
    }
    let service = serde_json::from_value(json!({"metadata": {"name": name}, "spec": spec}))?;
    let services: Api<Service> = Api::default_namespaced(client.clone());
    services.create(&PostParams::default(), &service).await?;
    Ok(())
}

fn refused(outcome: Result<()>, why: &str) -> Result<()> {
    let error = outcome.err().with_context(|| format!("it is not refused: {why}"))?;
    ensure!(format!("{error:#}").contains(why), "{error:#}");
    Ok(())
}

/// All IPAddresses with the names of their Services; those of the allocator have its labels.
async fn addresses(client: &Client) -> Result<BTreeSet<(String, String)>> {
    let listed = Api::<IPAddress>::all(client.clone())
        .list(&ListParams::default())
        .await?;
    let pairs = listed.into_iter().map(|object| {
        let labels = object.metadata.labels.unwrap_or_default();
        ensure!(
            labels
                .get("ipaddress.kubernetes.io/managed-by")
                .is_some_and(|by| by == "ipallocator.k8s.io"),
            "{:?} has {labels:?}",
            object.metadata.name
        );
        let parent = object.spec.parent_ref.name;
        Ok((object.metadata.name.unwrap_or_default(), parent))
    });
    pairs.collect()
}

/// Whom events concern, and their reasons.
async fn reasons(client: &Client) -> Result<BTreeSet<(String, String)>> {
    let listed = Api::<Event>::all(client.clone()).list(&ListParams::default()).await?;
    let pairs = listed.into_iter().map(|event| {
        let controller = event.reporting_controller.unwrap_or_default();
        ensure!(controller.ends_with("allocator-repair-controller"), "{controller}");
        let name = event.regarding.and_then(|regarding| regarding.name);
        Ok((name.unwrap_or_default(), event.reason.unwrap_or_default()))
    });
    pairs.collect()
}
