//! The real thing: kube-apiservers that store JSON and protobuf, beside ours on one store.

use anyhow::{Result, ensure};
use e2e::standalone::{Server, ServerKind, Site, StoreKind, kube_apiserver};
use e2e::suite::binary;
use kube::Client;
use serde_json::Value;

use super::samples::{Sample, samples};
use super::{create_all, eventually_equal, get, send};

#[tokio::test]
async fn servers_serve_what_others_wrote() -> Result<()> {
    let Some(upstream) = kube_apiserver()? else {
        println!("skipped: KUBE_APISERVER names no kube-apiserver to run beside ours");
        return Ok(());
    };
    chassis::tls::install_provider();
    let upstream = |json| ServerKind::Upstream {
        binary: upstream.clone(),
        json,
    };
    let kinds = [
        ("ours", ServerKind::Ours(binary("apiserver")?)),
        ("json", upstream(true)),
        ("protobuf", upstream(false)),
    ];
    let stores = [
        StoreKind::KineShim(binary("kine-shim")?),
        StoreKind::Etcd("etcd".into()),
    ];
    for kind in &stores {
        let mut site = Site::new()?;
        let store = site.store("store", kind).await?;
        let mut servers: Vec<(Server, Client, Vec<Sample>)> = Vec::new();
        for ((name, kind), number) in kinds.iter().zip(1..) {
            let server = site.server(name, kind, &store, &[]).await?;
            let client = server.client().await?;
            servers.push((server, client, samples(name, number)));
        }
        for (_, client, samples) in &servers {
            create_all(client, samples).await?;
        }
        let clients: Vec<&Client> = servers.iter().map(|(_, client, _)| client).collect();
        let mut wrong = Vec::new();
        for (_, _, samples) in &servers {
            for sample in samples {
                let outcome = alike(&clients, sample).await;
                wrong.extend(
                    outcome
                        .err()
                        .map(|error| format!("{kind:?} {}: {error:#}", sample.object_path())),
                );
            }
        }
        ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
        for (server, _, _) in servers {
            server.program.stop().await?;
        }
        store.program.stop().await?;
    }
    Ok(())
}

/// All servers answer alike for the object and for its list, and what one changes or deletes, the others see.
async fn alike(clients: &[&Client], sample: &Sample) -> Result<()> {
    let (ours, others) = clients.split_first().ok_or_else(|| anyhow::anyhow!("no server runs"))?;
    for path in [sample.object_path(), sample.path.clone()] {
        for other in others {
            eventually_equal(async || {
                let (mut one, mut two) = (get(ours, &path).await?, get(other, &path).await?);
                forget_times(&mut one);
                forget_times(&mut two);
                Ok((one, two))
            })
            .await?;
        }
    }
    let path = sample.object_path();
    for (changing, looking) in clients.iter().zip(clients.iter().cycle().skip(1)) {
        let patch = serde_json::json!({"metadata": {"annotations": {"seen": "yes", "by": null}}});
        send(changing, "PATCH", &path, &patch).await?;
        eventually_equal(async || Ok((get(changing, &path).await?, get(looking, &path).await?))).await?;
    }
    Ok(())
}

/// Leases that servers renew all the time differ between two looks at a list.
fn forget_times(list: &mut Value) {
    for item in list["items"].as_array_mut().into_iter().flatten() {
        let spec = &mut item["spec"];
        if !spec["renewTime"].is_null() {
            spec["renewTime"] = Value::Null;
            item["metadata"]["resourceVersion"] = Value::Null;
            item["metadata"]["managedFields"] = Value::Null;
        }
    }
}
