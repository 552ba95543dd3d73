//! Clients that others have written, against a virtual cluster: the Python client, and kube-rs watchers whose server dies
//! under them.

use std::collections::BTreeMap;
use std::process::{Command, ExitCode};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use e2e::suite::{Case, World, main as run, tool};
use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::runtime::watcher::{self, InitialListStrategy};
use kube::runtime::{WatchStreamExt, reflector};
use kube::{Api, Client};
use serde_json::json;

const CASES: &[Case] = &[
    ("python", python),
    ("watchers_survive_their_server", watchers_survive_their_server),
];

fn main() -> ExitCode {
    run("clients", 1, CASES)
}

fn python(world: &World) -> Result<()> {
    let Some(python) = tool("python-client/bin/python", "hack/python-client.sh", "python3")? else {
        return Ok(());
    };
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients.py");
    let output = Command::new(python)
        .arg(script)
        .env("KUBECONFIG", world.access("vc-1")?.kubeconfig)
        .output()
        .context("Python cannot be started")?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    ensure!(
        output.status.success(),
        "{}{}",
        text(&output.stdout),
        text(&output.stderr)
    );
    Ok(())
}

/// How often the server is killed, and how many objects are written each time.
const CRASHES: usize = 3;
const WRITES: usize = 20;
/// The label of everything that is watched here.
const OURS: &str = "watched=yes";

/// Watchers of both kinds, one of them with small pages, see in the end what a list sees, whatever they missed.
fn watchers_survive_their_server(world: &World) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let kubeconfig = world.access("vc-1")?.kubeconfig;
    runtime.block_on(async {
        let client = client::connect(&kubeconfig, "e2e").await?;
        let maps: Api<ConfigMap> = Api::default_namespaced(client.clone());
        let listing = watcher::Config::default().labels(OURS).page_size(7);
        let streaming = watcher::Config {
            initial_list_strategy: InitialListStrategy::StreamingList,
            ..watcher::Config::default().labels(OURS)
        };
        let stores = [follow(&client, listing), follow(&client, streaming)];
        for round in 0..CRASHES {
            write(&maps, round).await?;
            let crash = || world.crash("vc-1/apiserver");
            // Half of the writes meet a server that is just dying, and are repeated.
            let (crashed, written) = tokio::join!(
                async { tokio::task::block_in_place(crash) },
                tokio::time::timeout(Duration::from_secs(60), persist(&maps, round)),
            );
            crashed?;
            written.context("writes do not get through")??;
        }
        let truth: BTreeMap<String, String> = maps
            .list(&ListParams::default().labels(OURS))
            .await?
            .into_iter()
            .map(|map| identity(&map))
            .collect();
        ensure!(truth.len() > WRITES, "only {} objects are left", truth.len());
        for (name, store) in ["listing", "streaming"].iter().zip(&stores) {
            let mut seen = BTreeMap::new();
            for _ in 0..600 {
                seen = store.state().iter().map(|map| identity(map)).collect();
                if seen == truth {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            ensure!(seen == truth, "the {name} watcher has {seen:?} and not {truth:?}");
        }
        let all = ListParams::default().labels(OURS);
        maps.delete_collection(&DeleteParams::default(), &all).await?;
        Ok(())
    })
}

fn identity(map: &ConfigMap) -> (String, String) {
    let name = map.metadata.name.clone().unwrap_or_default();
    (name, map.metadata.resource_version.clone().unwrap_or_default())
}

/// A store that follows the labelled ConfigMaps until the test ends.
fn follow(client: &Client, config: watcher::Config) -> reflector::Store<ConfigMap> {
    let (store, writer) = reflector::store();
    let maps = Api::default_namespaced(client.clone());
    let stream = reflector::reflector(writer, watcher::watcher(maps, config)).default_backoff();
    tokio::spawn(async move {
        // Errors are what this is about: the watcher begins again by itself.
        stream.for_each(|_| std::future::ready(())).await;
    });
    store
}

/// Creates some objects, changes some and deletes some.
async fn write(maps: &Api<ConfigMap>, round: usize) -> Result<()> {
    for number in 0..WRITES {
        let map = json!({"metadata": {"name": format!("w-{round}-{number}"), "labels": {"watched": "yes"}}});
        maps.create(&PostParams::default(), &serde_json::from_value(map)?)
            .await?;
    }
    for number in (0..WRITES).step_by(3) {
        maps.delete(&format!("w-{round}-{number}"), &DeleteParams::default())
            .await?;
    }
    Ok(())
}

/// Changes the objects of a round, each as often as it takes.
async fn persist(maps: &Api<ConfigMap>, round: usize) -> Result<()> {
    let numbers = (0..WRITES).filter(|number| number % 3 != 0);
    futures::stream::iter(numbers.map(Ok))
        .try_for_each(|number| async move {
            let patch = Patch::Merge(json!({"data": {"round": round.to_string()}}));
            let name = format!("w-{round}-{number}");
            loop {
                match maps.patch(&name, &PatchParams::default(), &patch).await {
                    Ok(_) => return anyhow::Ok(()),
                    Err(kube::Error::Api(status)) if status.code < 500 && status.code != 429 => bail!("{status:?}"),
                    Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
                }
            }
        })
        .await
}
