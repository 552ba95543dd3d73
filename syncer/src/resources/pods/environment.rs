//! Service environment variables, as a kubelet would set them from the virtual cluster's Services.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::json;
use crate::kinds::Kind;
use crate::resources::address;
use crate::world::World;

/// The port of the API server's Service.
const API_PORT: u16 = 443;

/// The variables for a pod, sorted by name.
pub(super) fn variables(
    world: &World,
    namespace: &str,
    api_address: Option<&str>,
    service_links: bool,
) -> BTreeMap<String, String> {
    let mut variables = BTreeMap::new();
    if service_links {
        for service in world.virtual_side.of(Kind::Service).list_in(namespace) {
            let host = world.host_key(Kind::Service, namespace, &service.key().name);
            let host = world.host.get(Kind::Service, &host.namespace, &host.name);
            let service_value = address::meant(service.value());
            let address = host.map(|host| host.value()).as_ref().unwrap_or(&service_value)["spec"]["clusterIP"].clone();
            if let Some(address) = address.as_str().filter(|address| !matches!(*address, "" | "None")) {
                let ports = json::items(&service_value, &["spec", "ports"]);
                of_service(&mut variables, &service.key().name, address, ports);
            }
        }
    }
    if let Some(address) = api_address {
        let port = json!({"name": "https", "port": API_PORT, "protocol": "TCP"});
        of_service(&mut variables, "kubernetes", address, &[port]);
    }
    variables
}

/// The variables of one Service (`pkg/kubelet/envvars` of Kubernetes).
fn of_service(variables: &mut BTreeMap<String, String>, name: &str, address: &str, ports: &[Value]) {
    let prefix = variable_name(name);
    let number = |port: &Value| json::integer(port, &["port"]).unwrap_or_default();
    let Some(first) = ports.first() else { return };
    variables.insert(format!("{prefix}_SERVICE_HOST"), address.to_owned());
    variables.insert(format!("{prefix}_SERVICE_PORT"), number(first).to_string());
    for port in ports {
        let name = json::text(port, &["name"]);
        if !name.is_empty() {
            variables.insert(
                format!("{prefix}_SERVICE_PORT_{}", variable_name(name)),
                number(port).to_string(),
            );
        }
    }
    for (index, port) in ports.iter().enumerate() {
        let protocol = match json::text(port, &["protocol"]) {
            "" => "TCP",
            protocol => protocol,
        };
        let url = format!("{}://{}", protocol.to_lowercase(), join(address, number(port)));
        if index == 0 {
            variables.insert(format!("{prefix}_PORT"), url.clone());
        }
        let port_prefix = format!("{prefix}_PORT_{}_{protocol}", number(port));
        variables.insert(format!("{port_prefix}_PROTO"), protocol.to_lowercase());
        variables.insert(format!("{port_prefix}_PORT"), number(port).to_string());
        variables.insert(format!("{port_prefix}_ADDR"), address.to_owned());
        variables.insert(port_prefix, url);
    }
}

fn variable_name(name: &str) -> String {
    name.to_uppercase().replace('-', "_")
}

fn join(address: &str, port: i64) -> String {
    if address.contains(':') {
        format!("[{address}]:{port}")
    } else {
        format!("{address}:{port}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_of_a_service() {
        let mut variables = BTreeMap::new();
        let ports = [
            json!({"name": "http-web", "port": 80}),
            json!({"port": 53, "protocol": "UDP"}),
        ];
        of_service(&mut variables, "my-app", "10.0.0.7", &ports);
        let lines: Vec<String> = variables
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let expected = [
            "MY_APP_PORT=tcp://10.0.0.7:80",
            "MY_APP_PORT_53_UDP=udp://10.0.0.7:53",
            "MY_APP_PORT_53_UDP_ADDR=10.0.0.7",
            "MY_APP_PORT_53_UDP_PORT=53",
            "MY_APP_PORT_53_UDP_PROTO=udp",
            "MY_APP_PORT_80_TCP=tcp://10.0.0.7:80",
            "MY_APP_PORT_80_TCP_ADDR=10.0.0.7",
            "MY_APP_PORT_80_TCP_PORT=80",
            "MY_APP_PORT_80_TCP_PROTO=tcp",
            "MY_APP_SERVICE_HOST=10.0.0.7",
            "MY_APP_SERVICE_PORT=80",
            "MY_APP_SERVICE_PORT_HTTP_WEB=80",
        ];
        assert_eq!(lines, expected);
    }
}
