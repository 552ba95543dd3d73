//! Two tenants in one namespace of a host, and what one of them may try to reach objects of the other or of the host. The
//! name of the second one is chosen so that their objects can have the same names on the host.

mod access;
mod marks;
mod names;

use std::process::ExitCode;

use anyhow::{Result, ensure};
use e2e::suite::{Case, Kubectl, World, eventually, with};
use serde_json::Value;

/// The namespace of both.
const SHARED: &str = "shared";
/// Who tries.
const ATTACKER: &str = "vc-1";
/// Whose objects they are.
const VICTIM: &str = "b-x-vc-1";

const VALUES: &str = "
policies: {podSecurityStandard: baseline}
sync:
  toHost:
    ingresses: {enabled: true}
    networkPolicies: {enabled: true}
    podDisruptionBudgets: {enabled: true}
    priorityClasses: {enabled: true}
    serviceAccounts: {enabled: true}
";

const CASES: &[Case] = &[
    ("two_clusters_share_a_namespace", names::two_clusters_share_a_namespace),
    (
        "a_secret_of_the_same_host_name_is_not_read",
        names::a_secret_of_the_same_host_name_is_not_read,
    ),
    (
        "a_pod_of_the_same_host_name_is_not_reached",
        names::a_pod_of_the_same_host_name_is_not_reached,
    ),
    (
        "a_service_of_the_same_host_name_gets_no_endpoints",
        names::a_service_of_the_same_host_name_gets_no_endpoints,
    ),
    (
        "an_account_of_the_same_host_name_is_not_used",
        names::an_account_of_the_same_host_name_is_not_used,
    ),
    (
        "claims_are_not_filled_by_host_names",
        names::claims_are_not_filled_by_host_names,
    ),
    (
        "a_node_port_belongs_to_who_has_it",
        names::a_node_port_belongs_to_who_has_it,
    ),
    ("marks_set_by_hand_mean_nothing", marks::marks_set_by_hand_mean_nothing),
    ("selectors_select_own_pods_only", marks::selectors_select_own_pods_only),
    (
        "secrets_do_not_become_tokens_of_the_host",
        marks::secrets_do_not_become_tokens_of_the_host,
    ),
    ("pods_comply_with_the_standard", marks::pods_comply_with_the_standard),
    (
        "tokens_are_good_for_one_cluster",
        access::tokens_are_good_for_one_cluster,
    ),
    ("kubelets_show_own_pods_only", access::kubelets_show_own_pods_only),
    (
        "the_kubelet_of_another_cluster_lets_nobody_in",
        access::the_kubelet_of_another_cluster_lets_nobody_in,
    ),
    (
        "a_node_made_by_hand_runs_nothing",
        access::a_node_made_by_hand_runs_nothing,
    ),
    ("rights_are_enough", World::rights_are_enough),
    ("one_leaves_and_the_other_stays", names::one_leaves_and_the_other_stays),
];

fn main() -> ExitCode {
    let playground = ["--name", ATTACKER, "--name", VICTIM, "--namespace", SHARED];
    with("tenants", &playground, VALUES, CASES)
}

/// The attacker's, the victim's and the host's kubectl.
fn all(world: &World) -> Result<(Kubectl, Kubectl, Kubectl)> {
    Ok((world.kubectl(ATTACKER)?, world.kubectl(VICTIM)?, world.kubectl("host")?))
}

/// A pod with more in its spec.
fn pod(namespace: &str, name: &str, more: &str) -> String {
    format!(
        r#"{{"apiVersion":"v1","kind":"Pod","metadata":{{"name":"{name}","namespace":"{namespace}"}},
            "spec":{{{more}"containers":[{{"name":"c","image":"i"}}]}}}}"#
    )
}

/// Creates a namespace, unless it is there, and waits until pods can be made in it.
fn namespace(kubectl: &Kubectl, name: &str) -> Result<()> {
    kubectl.apply(&format!(
        r#"{{"apiVersion":"v1","kind":"Namespace","metadata":{{"name":"{name}"}}}}"#
    ))?;
    eventually("the namespace has its service account", || {
        Ok(kubectl.run(&["-n", name, "get", "serviceaccount", "default"]).ok())
    })?;
    Ok(())
}

/// An object of the shared namespace of the host, as soon as it is there.
fn on_host(host: &Kubectl, kind: &str, name: &str) -> Result<Value> {
    eventually(&format!("the host has {kind} {name}"), || {
        Ok(host.json(&["-n", SHARED, "get", kind, name]).ok())
    })
}

/// Waits for an event about an object whose message contains a text.
fn told(kubectl: &Kubectl, namespace: &str, name: &str, text: &str) -> Result<()> {
    let about = format!("involvedObject.name={name}");
    eventually(&format!("an event about {name} says {text:?}"), || {
        let events = kubectl.json(&["-n", namespace, "get", "events", "--field-selector", &about])?;
        let messages: Vec<&str> = events["items"]
            .as_array()
            .map(|events| events.iter().filter_map(|event| event["message"].as_str()).collect())
            .unwrap_or_default();
        ensure!(messages.iter().any(|message| message.contains(text)), "{messages:?}");
        Ok(Some(()))
    })
}
