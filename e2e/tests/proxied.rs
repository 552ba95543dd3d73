//! Custom resources that another virtual cluster answers for: two tenants of a third one.

use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use e2e::suite::{Case, Kubectl, World, configured, eventually};

/// For all three of them: the third one answers itself.
const VALUES: &str = "
experimental:
  proxy:
    customResources:
      widgets.example.com/v1: {enabled: true, targetVirtualCluster: {name: vc-3}}
      '*.shared.example.com/v1': {enabled: true, accessResources: all, targetVirtualCluster: {name: vc-3}}
";

const DEFINITIONS: &str = r#"{"apiVersion":"v1","kind":"List","items":[
    {"apiVersion":"apiextensions.k8s.io/v1","kind":"CustomResourceDefinition","metadata":{"name":"widgets.example.com"},
     "spec":{"group":"example.com","scope":"Namespaced",
      "names":{"plural":"widgets","singular":"widget","kind":"Widget","shortNames":["wd"]},
      "versions":[{"name":"v1","served":true,"storage":true,"subresources":{"status":{}},
       "additionalPrinterColumns":[{"name":"Size","type":"integer","jsonPath":".spec.size"}],
       "schema":{"openAPIV3Schema":{"type":"object","description":"a thing of another cluster","properties":{
        "spec":{"type":"object","properties":{"size":{"type":"integer","minimum":1}}},
        "status":{"type":"object","properties":{"phase":{"type":"string"}}}}}}}]}},
    {"apiVersion":"apiextensions.k8s.io/v1","kind":"CustomResourceDefinition","metadata":{"name":"gadgets.example.com"},
     "spec":{"group":"example.com","scope":"Namespaced","names":{"plural":"gadgets","singular":"gadget","kind":"Gadget"},
      "versions":[{"name":"v1","served":true,"storage":true,"schema":{"openAPIV3Schema":{"type":"object"}}}]}},
    {"apiVersion":"apiextensions.k8s.io/v1","kind":"CustomResourceDefinition","metadata":{"name":"notes.shared.example.com"},
     "spec":{"group":"shared.example.com","scope":"Cluster","names":{"plural":"notes","singular":"note","kind":"Note"},
      "versions":[{"name":"v1","served":true,"storage":true,
       "schema":{"openAPIV3Schema":{"type":"object","x-kubernetes-preserve-unknown-fields":true}}}]}}]}"#;

const CASES: &[Case] = &[
    ("definitions_are_those_of_the_other", definitions_are_those_of_the_other),
    ("everybody_sees_their_own", everybody_sees_their_own),
    ("all_are_shown_where_that_is_said", all_are_shown_where_that_is_said),
    (
        "rights_are_those_of_the_own_cluster",
        rights_are_those_of_the_own_cluster,
    ),
    ("a_namespace_takes_its_own_with_it", a_namespace_takes_its_own_with_it),
    ("rights_are_enough", World::rights_are_enough),
];

fn main() -> ExitCode {
    configured("proxied", 3, VALUES, CASES)
}

fn widget(name: &str, namespace: &str, size: u8) -> String {
    format!(
        r#"{{"apiVersion":"example.com/v1","kind":"Widget","metadata":{{"name":"{name}","namespace":"{namespace}"}},"spec":{{"size":{size}}}}}"#
    )
}

fn widgets(kubectl: &Kubectl, namespace: &str) -> Result<Vec<String>> {
    kubectl.names(&["-n", namespace, "get", "widgets.example.com"])
}

fn definitions_are_those_of_the_other(world: &World) -> Result<()> {
    let (one, other) = (world.kubectl("vc-1")?, world.kubectl("vc-3")?);
    other.apply(DEFINITIONS)?;
    eventually("the kinds are known", || {
        Ok(one
            .run(&["get", "wd", "-A"])
            .and_then(|_| one.run(&["get", "notes"]))
            .ok())
    })?;
    let known = one.run(&["api-resources", "--api-group=example.com", "-o", "name"])?;
    ensure!(known.trim() == "widgets.example.com", "{known:?} is known");
    let explained = eventually("the kind is explained", || Ok(one.run(&["explain", "widgets"]).ok()))?;
    ensure!(explained.contains("a thing of another cluster"), "{explained}");
    let definitions = one.names(&["get", "customresourcedefinitions"])?;
    ensure!(definitions.is_empty(), "{definitions:?} are here");
    let (_, refused) = one.fails(&["get", "--raw", "/apis/example.com/v1/gadgets"])?;
    ensure!(refused.contains("could not find"), "{refused}");
    Ok(())
}

fn everybody_sees_their_own(world: &World) -> Result<()> {
    let (one, two, other) = (world.kubectl("vc-1")?, world.kubectl("vc-2")?, world.kubectl("vc-3")?);
    eventually("the second one knows the kind, too", || {
        Ok(two.run(&["get", "widgets"]).ok())
    })?;
    one.apply(&widget("first", "default", 1))?;
    two.apply(&widget("second", "default", 2))?;
    for (kubectl, expected) in [(&one, "first"), (&two, "second")] {
        let found = widgets(kubectl, "default")?;
        ensure!(found.len() == 1 && found[0].ends_with(expected), "{found:?}");
    }
    ensure!(widgets(&other, "default")?.len() == 2, "the other one has both");
    let table = one.run(&["get", "widgets"])?;
    ensure!(table.contains("SIZE") && !table.contains("second"), "{table}");

    // What is not one's own is not there, whatever is done with it.
    for command in [
        &["get", "widget", "second"][..],
        &["delete", "widget", "second"],
        &["patch", "widget", "second", "--type=merge", "-p", "{}"],
        &["label", "widget", "second", "a=b"],
    ] {
        let (_, refused) = one.fails(command)?;
        ensure!(refused.contains("\"second\" not found"), "{command:?}: {refused}");
    }
    let (_, refused) = one.fails(&[
        "create",
        "--raw",
        "/apis/example.com/v1/namespaces/default/widgets",
        "-f",
        "/dev/null",
    ])?;
    ensure!(refused.contains("no JSON"), "{refused}");

    // What is one's own is changed in every way, and stays one's own.
    one.apply(&widget("first", "default", 3))?;
    one.run(&[
        "label",
        "widget",
        "first",
        "vcluster.loft.sh/proxy-owner=vcluster-vc-2.vc-2",
        "--overwrite",
    ])?;
    one.run(&["annotate", "widget", "first", "note=seen"])?;
    let status = r#"{"status":{"phase":"Done"}}"#;
    one.run(&[
        "patch",
        "widget",
        "first",
        "--subresource=status",
        "--type=merge",
        "-p",
        status,
    ])?;
    let found = one.json(&["get", "widget", "first", "--show-managed-fields"])?;
    ensure!(
        found["spec"]["size"] == 3 && found["status"]["phase"] == "Done",
        "{found}"
    );
    ensure!(
        found["metadata"]["labels"]["vcluster.loft.sh/proxy-owner"] == "vcluster-vc-1.vc-1",
        "{found}"
    );
    let managers = found["metadata"]["managedFields"].to_string();
    ensure!(managers.contains("kubectl-client-side-apply"), "{managers}");
    ensure!(!managers.contains("syncer"), "{managers}");
    let (_, refused) = one.fails(&[
        "patch",
        "widget",
        "first",
        "--type=merge",
        "-p",
        r#"{"spec":{"size":0}}"#,
    ])?;
    ensure!(refused.contains("spec.size"), "{refused}");
    let forget = r#"[{"op":"remove","path":"/metadata/labels"}]"#;
    one.fails(&["patch", "widget", "first", "--type=json", "-p", forget])?;

    // Watches show one's own, too: first what there is, then what changes.
    let watched = one.background(&["get", "widgets", "-w", "-o", "name"])?;
    let there = watched.line("widget")?;
    two.run(&["annotate", "widget", "second", "note=unseen"])?;
    one.run(&["annotate", "widget", "first", "note=again", "--overwrite"])?;
    let changed = watched.line("widget")?;
    drop(watched);
    ensure!(
        there.contains("first") && changed.contains("first"),
        "{there:?} and {changed:?} are shown"
    );

    one.run(&["delete", "widgets", "--all"])?;
    let left = widgets(&other, "default")?;
    ensure!(left.len() == 1 && left[0].ends_with("second"), "{left:?}");
    Ok(())
}

fn all_are_shown_where_that_is_said(world: &World) -> Result<()> {
    let (one, two, other) = (world.kubectl("vc-1")?, world.kubectl("vc-2")?, world.kubectl("vc-3")?);
    let note = |name: &str| {
        format!(r#"{{"apiVersion":"shared.example.com/v1","kind":"Note","metadata":{{"name":"{name}"}}}}"#)
    };
    eventually("the second one knows the kind, too", || {
        Ok(two.run(&["get", "notes"]).ok())
    })?;
    other.apply(&note("theirs"))?;
    one.apply(&note("mine"))?;
    for kubectl in [&one, &two, &other] {
        let found = kubectl.names(&["get", "notes"])?;
        ensure!(found.len() == 2, "{found:?}");
    }
    two.run(&["patch", "note", "theirs", "--type=merge", "-p", r#"{"text":"changed"}"#])?;
    let found = other.json(&["get", "note", "theirs"])?;
    ensure!(
        found["text"] == "changed" && found["metadata"]["labels"].is_null(),
        "{found}"
    );
    two.run(&["delete", "note", "mine"])?;
    let found = other.names(&["get", "notes"])?;
    ensure!(found.len() == 1, "{found:?}");
    Ok(())
}

fn rights_are_those_of_the_own_cluster(world: &World) -> Result<()> {
    let one = world.kubectl("vc-1")?;
    one.apply(&widget("kept", "default", 1))?;
    let (_, refused) = one.fails(&["get", "widgets", "--as=jane"])?;
    ensure!(
        refused.contains("Forbidden") || refused.contains("forbidden"),
        "{refused}"
    );
    one.run(&[
        "create",
        "role",
        "reader",
        "--verb=get,list",
        "--resource=widgets.example.com",
    ])?;
    one.run(&["create", "rolebinding", "jane", "--role=reader", "--user=jane"])?;
    eventually("the role counts", || Ok(one.run(&["get", "widgets", "--as=jane"]).ok()))?;
    let (_, refused) = one.fails(&["delete", "widgets", "--all", "--as=jane"])?;
    ensure!(refused.contains("orbidden"), "{refused}");
    ensure!(widgets(&one, "default")?.len() == 1, "it is gone all the same");
    Ok(())
}

fn a_namespace_takes_its_own_with_it(world: &World) -> Result<()> {
    let (one, two, other) = (world.kubectl("vc-1")?, world.kubectl("vc-2")?, world.kubectl("vc-3")?);
    let nowhere = "/apis/example.com/v1/namespaces/team/widgets";
    let file = tempfile::NamedTempFile::new().context("no file")?;
    std::fs::write(file.path(), widget("a", "team", 1))?;
    let (_, refused) = one.fails(&["create", "--raw", nowhere, "-f", &file.path().to_string_lossy()])?;
    ensure!(refused.contains("namespaces \"team\" not found"), "{refused}");
    for kubectl in [&one, &two] {
        kubectl.run(&["create", "namespace", "team"])?;
    }
    one.apply(&widget("a", "team", 1))?;
    two.apply(&widget("b", "team", 1))?;
    let namespace = other.json(&["get", "namespace", "team"])?;
    let label = &namespace["metadata"]["labels"]["vcluster.loft.sh/proxy-owner"];
    ensure!(label == "vcluster-vc-1.vc-1", "the namespace has the label {label}");
    one.run(&["delete", "namespace", "team", "--timeout=60s"])?;
    let left = widgets(&other, "team")?;
    ensure!(left.len() == 1 && left[0].ends_with('b'), "{left:?}");
    widgets(&two, "team")?
        .first()
        .context("the second one's widget is gone")?;
    Ok(())
}
