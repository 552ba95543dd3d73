//! A store that was changed behind the server's back, such as by somebody with a database client while it was stopped: no
//! event tells of it, and no revision. The digest does.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use futures::TryStreamExt;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{ListParams, PostParams, WatchEvent, WatchParams};
use kube::{Api, Client};
use serde_json::json;

use super::{Running, eventually, kine_shim};

const METRIC: &str = "apiserver_storage_consistency_checks_total";

#[tokio::test]
async fn a_wrong_cache_is_healed_and_its_watchers_list_again() -> Result<()> {
    let mut running = Running::start(&["--watch-cache-check-interval=100ms"]).await?;
    let client = running.server.client().await?;
    let maps: Api<ConfigMap> = Api::default_namespaced(client.clone());
    for name in ["lost", "kept"] {
        create(&maps, name).await?;
    }
    eventually("the cache is checked and right", async || {
        ensure!(checks(&client, "success").await? > 0, "no check has succeeded");
        Ok(())
    })
    .await?;
    ensure!(checks(&client, "failure").await? == 0, "a right cache was found wrong");
    let now = maps.list(&ListParams::default()).await?.metadata.resource_version;
    let now = now.context("a list without a version")?;
    let watch = maps.watch(&WatchParams::default(), &now).await?;
    let mut watch = std::pin::pin!(watch);

    running.store.program.stop().await?;
    remove_row(&running.site.path("store.db"), "/registry/configmaps/default/lost")?;
    running.store = running.site.store("store", &kine_shim()?).await?;

    eventually("the cache has what the store has", async || {
        let names = cached(&maps).await?;
        ensure!(names == ["kept"], "{names:?}");
        Ok(())
    })
    .await?;
    ensure!(checks(&client, "failure").await? == 1, "one failed check is counted");
    let told = loop {
        match watch.try_next().await?.context("the watch ends without a word")? {
            WatchEvent::Bookmark(_) => {}
            other => break other,
        }
    };
    ensure!(
        matches!(&told, WatchEvent::Error(status) if status.code == 410 && status.reason == "Expired"),
        "{told:?}"
    );
    ensure!(watch.try_next().await?.is_none(), "the watch goes on");

    create(&maps, "new").await?;
    eventually("the cache goes on", async || {
        let names = cached(&maps).await?;
        ensure!(names == ["kept", "new"], "{names:?}");
        Ok(())
    })
    .await?;
    ensure!(
        checks(&client, "failure").await? == 1,
        "the healed cache is found wrong again"
    );
    running.stop().await
}

async fn create(maps: &Api<ConfigMap>, name: &str) -> Result<()> {
    let map = serde_json::from_value(json!({"metadata": {"name": name}}))?;
    maps.create(&PostParams::default(), &map).await?;
    Ok(())
}

/// What the cache answers without asking the store.
async fn cached(maps: &Api<ConfigMap>) -> Result<Vec<String>> {
    let listed = maps.list(&ListParams::default().match_any()).await?;
    Ok(listed.into_iter().filter_map(|map| map.metadata.name).collect())
}

/// How many checks of ConfigMaps have ended in this way.
async fn checks(client: &Client, status: &str) -> Result<u64> {
    let request = http::Request::get("/metrics").body(Vec::new())?;
    let metrics = client.request_text(request).await?;
    let line = format!("{METRIC}{{resource=\"configmaps\",status=\"{status}\"}} ");
    let count = metrics.lines().find_map(|text| text.strip_prefix(&line));
    Ok(count.map_or(Ok(0), str::parse)?)
}

fn remove_row(database: &Path, key: &str) -> Result<()> {
    let connection = rusqlite::Connection::open(database)?;
    let removed = connection.execute("DELETE FROM kine WHERE name = ?1", [key])?;
    ensure!(removed == 1, "{removed} rows of {key}");
    Ok(())
}
