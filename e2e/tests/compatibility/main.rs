//! One store, several kinds of API server: what ours writes lies under upstream's keys in upstream's form, and what others
//! have written, as JSON or protobuf, it serves as its own.
//!
//! With the environment variable KUBE_APISERVER naming a kube-apiserver, the real thing runs beside ours on kine-shim and on
//! etcd, and each has to find and serve what the others wrote.
#![allow(clippy::unwrap_used)]

mod beside;
mod samples;

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use e2e::standalone::{ServerKind, Site, Store, StoreKind};
use e2e::suite::binary;
use kube::Client;
use machinery::wire;
use serde_json::Value;

use samples::{Sample, samples};

/// The namespace that the samples are in, and the account that every pod needs.
const BEFORE_ALL: [(&str, &str); 2] = [
    ("/api/v1/namespaces", "samples"),
    ("/api/v1/namespaces/samples/serviceaccounts", "default"),
];

/// How often two answers are compared before they count as different: controllers inside the servers write statuses.
const LOOKS: usize = 100;

#[tokio::test]
async fn keys_and_values_are_upstreams() -> Result<()> {
    chassis::tls::install_provider();
    let mut site = Site::new()?;
    let store = site.store("store", &StoreKind::KineShim(binary("kine-shim")?)).await?;
    let ours = ServerKind::Ours(binary("apiserver")?);
    let server = site.server("apiserver", &ours, &store, &[]).await?;
    let client = server.client().await?;
    let samples = samples("ours", 1);
    create_all(&client, &samples).await?;
    let mut wrong = Vec::new();
    for sample in &samples {
        let outcome = match own_value(&store, sample).await {
            Ok(()) => served_in_every_form(&client, &store, sample).await,
            Err(error) => Err(error),
        };
        wrong.extend(outcome.err().map(|error| format!("{}: {error:#}", sample.key)));
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    server.program.stop().await?;
    store.program.stop().await
}

/// Creates what all need, then the samples.
async fn create_all(client: &Client, samples: &[Sample]) -> Result<()> {
    for (path, name) in BEFORE_ALL {
        let object = serde_json::json!({"metadata": {"name": name}});
        // Another server may have been first.
        if get(client, &format!("{path}/{name}")).await.is_err() {
            send(client, "POST", path, &object).await?;
        }
    }
    let mut wrong = Vec::new();
    for sample in samples {
        let created = send(client, "POST", &sample.path, &sample.object).await;
        wrong.extend(created.err().map(|error| format!("{}: {error:#}", sample.path)));
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

/// The value lies where upstream would look for it, and is what upstream would write: type first, no resourceVersion.
async fn own_value(store: &Store, sample: &Sample) -> Result<()> {
    let value = stored(store, sample).await?;
    let text = String::from_utf8(value).context("no text is stored")?;
    ensure!(text.starts_with("{\"kind\":\""), "the type is not first: {text}");
    let object: Value = serde_json::from_str(&text)?;
    let metadata = &object["metadata"];
    ensure!(metadata["resourceVersion"].is_null(), "a resourceVersion is stored");
    ensure!(
        !metadata["uid"].is_null() && !metadata["creationTimestamp"].is_null(),
        "no uid or time is stored"
    );
    Ok(())
}

/// The same object is served whether it is stored as protobuf or as JSON of another order, alone and in a list; and it can
/// be changed.
async fn served_in_every_form(client: &Client, store: &Store, sample: &Sample) -> Result<()> {
    for (seen, form) in [
        ("protobuf", protobuf as fn(&Value) -> Result<Vec<u8>>),
        ("other order", reordered),
    ] {
        let before = get(client, &sample.object_path()).await?;
        let object: Value = serde_json::from_slice(&stored(store, sample).await?)?;
        store.put(&sample.storage_key(), form(&object)?).await?;
        let served = eventually_equal(async || Ok((before.clone(), get(client, &sample.object_path()).await?)));
        let object = served.await.context(seen)?;
        let listed = eventually_equal(async || {
            let mut object = object.clone();
            let list = get(client, &sample.path).await?;
            let item = list["items"].as_array().into_iter().flatten();
            let item = item
                .clone()
                .find(|item| item["metadata"]["uid"] == object["metadata"]["uid"]);
            // Items carry no type, and conditions may have been written since.
            let fields = object.as_object_mut().context("no object is stored")?;
            fields.retain(|name, _| !matches!(name.as_str(), "kind" | "apiVersion" | "status"));
            let mut item = item.context("the list lacks the object")?.clone();
            item.as_object_mut().context("no object is listed")?.remove("status");
            Ok((object, item))
        });
        listed.await.context("in a list")?;
        let patch = serde_json::json!({"metadata": {"annotations": {"seen": seen}}});
        let patched = send(client, "PATCH", &sample.object_path(), &patch).await?;
        ensure!(patched["metadata"]["annotations"]["seen"] == seen, "{patched}");
        own_value(store, sample).await.context("after a change")?;
    }
    Ok(())
}

/// As a server that stores protobuf writes it; kinds that have no such form stay JSON.
fn protobuf(object: &Value) -> Result<Vec<u8>> {
    let text = |field: &str| object[field].as_str().unwrap_or_default();
    let (group, version) = text("apiVersion").split_once('/').unwrap_or(("", text("apiVersion")));
    let ty = machinery::schema::by_gvk(group, version, text("kind")).context("an unknown kind is stored")?;
    match wire::encode(object, ty) {
        Err(wire::Error::Unsupported(_)) => reordered(object),
        encoded => Ok(encoded?),
    }
}

/// Fields in another order, and the line feed that upstream ends its values with.
fn reordered(object: &Value) -> Result<Vec<u8>> {
    let mut text = serde_json::to_vec_pretty(object)?;
    text.push(b'\n');
    Ok(text)
}

async fn stored(store: &Store, sample: &Sample) -> Result<Vec<u8>> {
    let key = sample.storage_key();
    let entries = store.entries(&key).await?;
    let found = entries.into_iter().find(|(found, _)| *found == key);
    Ok(found.with_context(|| format!("there is no {key}"))?.1)
}

/// Looks until both values are the same but for their resourceVersions.
async fn eventually_equal(mut look: impl AsyncFnMut() -> Result<(Value, Value)>) -> Result<Value> {
    let mut last = String::new();
    for _ in 0..LOOKS {
        let (mut one, mut other) = look().await?;
        forget_version(&mut one);
        forget_version(&mut other);
        let differences = differences(&one, &other);
        if differences.is_empty() {
            return Ok(one);
        }
        last = differences.join("\n    ");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    anyhow::bail!("differs:\n    {last}")
}

fn forget_version(object: &mut Value) {
    if let Some(metadata) = object["metadata"].as_object_mut() {
        metadata.remove("resourceVersion");
    }
}

/// Where two values differ, one line per place.
fn differences(one: &Value, other: &Value) -> Vec<String> {
    fn walk(path: &str, one: &Value, other: &Value, found: &mut Vec<String>) {
        match (one, other) {
            (Value::Object(a), Value::Object(b)) => {
                let names: std::collections::BTreeSet<&String> = a.keys().chain(b.keys()).collect();
                for name in names {
                    let absent = Value::from("(absent)");
                    let side = |map: &serde_json::Map<String, Value>| map.get(name).cloned().unwrap_or(absent.clone());
                    walk(&format!("{path}.{name}"), &side(a), &side(b), found);
                }
            }
            (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
                for (at, (one, other)) in a.iter().zip(b).enumerate() {
                    walk(&format!("{path}[{at}]"), one, other, found);
                }
            }
            _ if one == other => {}
            _ => found.push(format!("{path}: {one} and {other}")),
        }
    }
    let mut found = Vec::new();
    walk("", one, other, &mut found);
    found
}

async fn get(client: &Client, path: &str) -> Result<Value> {
    let request = http::Request::get(path).body(Vec::new())?;
    Ok(client.request(request).await?)
}

async fn send(client: &Client, method: &str, path: &str, body: &Value) -> Result<Value> {
    let media_type = match method {
        "PATCH" => "application/merge-patch+json",
        _ => "application/json",
    };
    let request = http::Request::builder().method(method).uri(path);
    let request = request.header(http::header::CONTENT_TYPE, media_type);
    let body = if body.is_null() {
        Vec::new()
    } else {
        serde_json::to_vec(body)?
    };
    Ok(client.request(request.body(body)?).await?)
}
