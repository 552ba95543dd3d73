//! DNS of synced pods: the virtual cluster's server and search domains instead of the host's.

use serde_json::{Value, json};

use crate::engine::plan::{Awaited, Place};
use crate::json;
use crate::kinds::Kind;
use crate::names::{DNS_NAME, DNS_NAMESPACE};
use crate::world::World;

/// Rewrites the DNS settings of a pod spec; `Err` says that the DNS server's address is not known yet.
pub(super) fn translate(world: &World, namespace: &str, spec: &mut Value) -> Result<(), Awaited> {
    let host_network = json::flag(spec, &["hostNetwork"]) == Some(true);
    let virtual_dns = match json::text(spec, &["dnsPolicy"]) {
        "ClusterFirstWithHostNet" => true,
        "ClusterFirst" | "" => !host_network,
        _ => false,
    };
    if !virtual_dns {
        return Ok(());
    }
    let domain = &world.settings.cluster_domain;
    let mut nameservers = vec![server(world)?];
    let mut searches = vec![
        format!("{namespace}.svc.{domain}"),
        format!("svc.{domain}"),
        domain.clone(),
    ];
    let own = spec.get("dnsConfig").cloned().unwrap_or_default();
    append_new(&mut nameservers, json::items(&own, &["nameservers"]));
    append_new(&mut searches, json::items(&own, &["searches"]));
    let mut options = json::items(&own, &["options"]).to_vec();
    if !options.iter().any(|option| json::text(option, &["name"]) == "ndots") {
        options.push(json!({"name": "ndots", "value": "5"}));
    }
    json::put(spec, "dnsPolicy", Some(json!("None")));
    let config = json!({"nameservers": nameservers, "searches": searches, "options": options});
    json::put(spec, "dnsConfig", Some(config));
    Ok(())
}

/// The address of the virtual cluster's DNS server: that of the host copy of its Service.
fn server(world: &World) -> Result<String, Awaited> {
    if let Some(address) = world.settings.cluster_dns {
        return Ok(address.to_string());
    }
    let key = world.host_key(Kind::Service, DNS_NAMESPACE, DNS_NAME);
    let service = world
        .host
        .get(Kind::Service, &key.namespace, &key.name)
        .map(|service| service.value());
    let address = service
        .as_ref()
        .map_or("", |service| json::text(service, &["spec", "clusterIP"]));
    if matches!(address, "" | "None") {
        return Err(Awaited {
            place: Place::Host,
            kind: Kind::Service,
            key,
        });
    }
    Ok(address.to_owned())
}

fn append_new(list: &mut Vec<String>, more: &[Value]) {
    for item in more.iter().filter_map(Value::as_str) {
        if !list.iter().any(|known| known == item) {
            list.push(item.to_owned());
        }
    }
}
