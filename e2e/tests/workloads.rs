//! What only containers that really run can show: probes, mounted files, tokens, sessions, volumes, and how they end. The host is
//! somebody else's cluster, see `E2E_HOST`; a pod in the virtual cluster is to be no different from one beside it.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use e2e::suite::{Case, Kubectl, World, eventually, on_real_nodes};
use serde_json::Value;

const CASES: &[Case] = &[
    ("a_pod_sees_the_virtual_cluster", a_pod_sees_the_virtual_cluster),
    ("a_token_is_there_in_time_and_good", a_token_is_there_in_time_and_good),
    (
        "sessions_are_those_of_the_container",
        sessions_are_those_of_the_container,
    ),
    ("ports_are_forwarded", ports_are_forwarded),
    ("probes_count", probes_count),
    ("refusals_speak_of_virtual_pods", refusals_speak_of_virtual_pods),
    ("a_container_is_added_for_debugging", a_container_is_added_for_debugging),
    ("a_pod_is_resized_in_place", a_pod_is_resized_in_place),
    ("a_budget_holds_evictions_back", a_budget_holds_evictions_back),
    ("a_container_has_time_to_end", a_container_has_time_to_end),
    (
        "a_restarted_syncer_leaves_containers_alone",
        a_restarted_syncer_leaves_containers_alone,
    ),
    ("volumes_keep_their_data", volumes_keep_their_data),
    ("rights_are_enough", World::rights_are_enough),
];

fn main() -> ExitCode {
    on_real_nodes("workloads", "", CASES)
}

/// The virtual cluster with a namespace of this case's.
fn shop(world: &World, namespace: &str) -> Result<Kubectl> {
    let virtual_ = world.kubectl("vc-1")?;
    virtual_.run(&["create", "namespace", namespace])?;
    Ok(virtual_.in_namespace(namespace))
}

/// A pod with one container that runs this script; `more` are further fields of the container, `spec` of the pod.
fn pod(world: &World, name: &str, script: &str, more: &str, spec: &str) -> String {
    format!(
        r#"
apiVersion: v1
kind: Pod
metadata: {{name: {name}, labels: {{app: {name}}}}}
spec:
  terminationGracePeriodSeconds: 1
  {spec}
  containers:
  - name: c
    image: {}
    command: [sh, -c, '{script}']
    {more}
"#,
        world.image()
    )
}

fn ready(virtual_: &Kubectl, name: &str) -> Result<()> {
    let pod = format!("pod/{name}");
    virtual_
        .run(&["wait", "--for=condition=Ready", &pod, "--timeout=120s"])
        .map(drop)
}

/// The pod's copy on the host.
fn copy(world: &World, namespace: &str, name: &str) -> Result<Value> {
    let copy = format!("{name}-x-{namespace}-x-vc-1");
    world
        .kubectl("host")?
        .json(&["-n", &world.host_namespace("vc-1")?, "get", "pod", &copy])
}

fn a_pod_sees_the_virtual_cluster(world: &World) -> Result<()> {
    let virtual_ = shop(world, "seen")?;
    virtual_.apply("---\n{apiVersion: v1, kind: Secret, metadata: {name: keys}, stringData: {key: hidden}}")?;
    virtual_.apply("---\n{apiVersion: v1, kind: ConfigMap, metadata: {name: words}, data: {word: one}}")?;
    virtual_.apply(&pod(
        world,
        "web",
        "sleep 3600",
        "resources: {limits: {memory: 64Mi, cpu: 500m}}
    env:
    - {name: WHERE, valueFrom: {fieldRef: {fieldPath: metadata.namespace}}}
    - {name: WHO, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
    - {name: LABEL, valueFrom: {fieldRef: {fieldPath: \"metadata.labels['app']\"}}}
    - {name: MEMORY, valueFrom: {resourceFieldRef: {resource: limits.memory}}}
    - {name: KEY, valueFrom: {secretKeyRef: {name: keys, key: key}}}
    volumeMounts: [{name: all, mountPath: /all}, {name: words, mountPath: /words}]",
        "volumes:
  - {name: words, configMap: {name: words}}
  - name: all
    projected:
      sources:
      - {secret: {name: keys}}
      - downwardAPI:
          items:
          - {path: labels, fieldRef: {fieldPath: metadata.labels}}
          - {path: where, fieldRef: {fieldPath: metadata.namespace}}
          - {path: who, fieldRef: {fieldPath: metadata.name}}",
    ))?;
    ready(&virtual_, "web")?;
    let said = virtual_.run(&[
        "exec",
        "web",
        "--",
        "sh",
        "-c",
        "echo $WHERE $WHO $LABEL $MEMORY $KEY; hostname",
    ])?;
    ensure!(said == "seen web web 67108864 hidden\nweb\n", "{said:?}");
    for (file, content) in [
        ("/all/key", "hidden"),
        ("/all/labels", "app=\"web\""),
        ("/all/where", "seen"),
        ("/all/who", "web"),
        ("/words/word", "one"),
        ("/var/run/secrets/kubernetes.io/serviceaccount/namespace", "seen"),
    ] {
        let said = virtual_.run(&["exec", "web", "--", "cat", file])?;
        ensure!(said.trim_end() == content, "{file} says {said:?}");
    }
    let resolver = virtual_.run(&["exec", "web", "--", "cat", "/etc/resolv.conf"])?;
    ensure!(
        resolver.contains("search seen.svc.cluster.local svc.cluster.local"),
        "{resolver}"
    );
    let (shown, there) = (virtual_.json(&["get", "pod", "web"])?, copy(world, "seen", "web")?);
    for field in ["phase", "podIP", "hostIP", "startTime", "containerStatuses"] {
        let (shown, there) = (&shown["status"][field], &there["status"][field]);
        ensure!(shown == there, "status.{field} is {shown}, on the host {there}");
    }
    Ok(())
}

/// A kubelet that does not find the Secret with the token at once tells so, and waits.
fn a_token_is_there_in_time_and_good(world: &World) -> Result<()> {
    let virtual_ = shop(world, "tokens")?;
    virtual_.run(&["create", "serviceaccount", "robot"])?;
    let names: Vec<String> = (1..=5).map(|number| format!("robot-{number}")).collect();
    for name in &names {
        virtual_.apply(&pod(world, name, "sleep 3600", "", "serviceAccountName: robot"))?;
    }
    for name in &names {
        ready(&virtual_, name)?;
    }
    let host = world.kubectl("host")?;
    let missed = ["get", "events", "--field-selector", "reason=FailedMount"];
    let missed = host.json(&[&["-n", &world.host_namespace("vc-1")?], &missed[..]].concat())?;
    let items = missed["items"].as_array().context("no list of events")?;
    let about_token = |event: &Value| event["message"].as_str().is_some_and(|said| said.contains("-sa-token"));
    ensure!(!items.iter().any(about_token), "{items:?}");
    let token = "/var/run/secrets/kubernetes.io/serviceaccount/token";
    let token = virtual_.run(&["exec", "robot-1", "--", "cat", token])?;
    let token = format!("--token={}", token.trim());
    let server = world.access("vc-1")?.server;
    let bare = world.kubectl_with(std::path::Path::new("/dev/null"));
    let asked = [
        "auth",
        "whoami",
        "-o",
        "json",
        "--server",
        &server,
        "--insecure-skip-tls-verify=true",
    ];
    let who = bare.run(&[&asked[..], &[&token]].concat())?;
    let who: Value = serde_json::from_str(&who)?;
    let user = &who["status"]["userInfo"];
    ensure!(user["username"] == "system:serviceaccount:tokens:robot", "{who}");
    ensure!(
        user["extra"]["authentication.kubernetes.io/pod-name"][0] == "robot-1",
        "{who}"
    );
    Ok(())
}

fn sessions_are_those_of_the_container(world: &World) -> Result<()> {
    let virtual_ = shop(world, "sessions")?;
    virtual_.apply(&pod(world, "web", "echo begun; sleep 3600", "", ""))?;
    ready(&virtual_, "web")?;
    let (code, _) = virtual_.fails(&["exec", "web", "--", "sh", "-c", "exit 7"])?;
    ensure!(code == 7, "exit status {code} instead of 7");
    let long = "0123456789abcdef".repeat(20_000);
    let echoed = virtual_.with_input(&["exec", "-i", "web", "--", "cat"], &long)?;
    ensure!(echoed == long, "{} bytes of {} came back", echoed.len(), long.len());
    let (_, said) = virtual_.fails(&["exec", "web", "--", "no-such-program"])?;
    ensure!(said.contains("executable file not found"), "{said}");
    eventually("the log says what was said", || {
        Ok((virtual_.run(&["logs", "web"])? == "begun\n").then_some(()))
    })?;
    let image = format!("--image={}", world.image());
    let run = [
        "run",
        "asks",
        &image,
        "--restart=Never",
        "-i",
        "--rm",
        "-q",
        "--command",
        "--",
    ];
    let said = virtual_.with_input(&[&run[..], &["sh", "-c", "read x; echo got $x"]].concat(), "word\n")?;
    ensure!(said.contains("got word"), "{said:?}");
    Ok(())
}

fn ports_are_forwarded(world: &World) -> Result<()> {
    let virtual_ = shop(world, "ports")?;
    let script = "mkdir /tmp/w; echo found > /tmp/w/it; exec httpd -f -p 8080 -h /tmp/w";
    virtual_.apply(&pod(
        world,
        "web",
        script,
        "readinessProbe: {tcpSocket: {port: 8080}, periodSeconds: 1}",
        "",
    ))?;
    ready(&virtual_, "web")?;
    let forward = virtual_.background(&["port-forward", "pod/web", ":8080"])?;
    let line = forward.line("Forwarding from 127.0.0.1:")?;
    let port = line.split("127.0.0.1:").nth(1).and_then(|rest| rest.split(' ').next());
    let port = port.context("no port")?;
    for round in 0..3 {
        let mut stream = TcpStream::connect(format!("127.0.0.1:{port}"))?;
        stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        write!(stream, "GET /it HTTP/1.0\r\nHost: web\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        ensure!(answer.ends_with("found\n"), "round {round}: {answer:?}");
    }
    Ok(())
}

fn probes_count(world: &World) -> Result<()> {
    let virtual_ = shop(world, "probes")?;
    virtual_.apply(&pod(
        world,
        "web",
        "touch /tmp/alive /tmp/willing; sleep 3600",
        "livenessProbe: {exec: {command: [test, -f, /tmp/alive]}, periodSeconds: 1, failureThreshold: 1, initialDelaySeconds: 2}
    readinessProbe: {exec: {command: [test, -f, /tmp/willing]}, periodSeconds: 1, failureThreshold: 1}",
        "",
    ))?;
    ready(&virtual_, "web")?;
    virtual_.run(&["exec", "web", "--", "rm", "/tmp/willing"])?;
    virtual_.run(&["wait", "--for=condition=Ready=false", "pod/web", "--timeout=60s"])?;
    virtual_.run(&["exec", "web", "--", "rm", "/tmp/alive"])?;
    eventually("the container was started again", || {
        let pod = virtual_.json(&["get", "pod", "web"])?;
        Ok((pod["status"]["containerStatuses"][0]["restartCount"] == 1).then_some(()))
    })?;
    ready(&virtual_, "web")?;
    eventually("the kubelet's reason is shown", || {
        let events = virtual_.run(&["get", "events", "--field-selector", "involvedObject.name=web"])?;
        Ok(events.contains("failed liveness probe").then_some(()))
    })
}

fn refusals_speak_of_virtual_pods(world: &World) -> Result<()> {
    let virtual_ = shop(world, "refusals")?;
    virtual_.apply(
        "---\n{apiVersion: v1, kind: Pod, metadata: {name: none}, spec: {containers: [
            {name: c, image: 'registry.invalid/none:1', imagePullPolicy: Never}]}}",
    )?;
    virtual_.apply(&pod(world, "ends", "exit 3", "", ""))?;
    eventually("the kubelet does not find the image", || {
        let state = virtual_.json(&["get", "pod", "none"])?["status"]["containerStatuses"][0]["state"].clone();
        Ok((state["waiting"]["reason"] == "ErrImageNeverPull").then_some(()))
    })?;
    let (_, said) = virtual_.fails(&["logs", "none"])?;
    let expected = "container \"c\" in pod \"none\" is waiting to start";
    ensure!(
        said.starts_with(&format!("Error from server (BadRequest): {expected}")),
        "{said}"
    );
    // Kubelets say that they wait only for a moment, when they have waited.
    let waits = "jsonpath={.status.containerStatuses[0].state.waiting.message}{\"\\n\"}";
    let watched = virtual_.background(&["get", "pod", "ends", "-w", "-o", waits])?;
    let said = watched.line("back-off")?;
    drop(watched);
    ensure!(said.contains("pod=ends_refusals("), "{said}");
    eventually("its event says so, too", || {
        let events = virtual_.run(&["get", "events", "--field-selector", "involvedObject.name=ends"])?;
        ensure!(events.contains("in pod ends_refusals("), "{events}");
        ensure!(!events.contains("-x-vc-1"), "{events}");
        Ok(Some(()))
    })
}

fn a_container_is_added_for_debugging(world: &World) -> Result<()> {
    let virtual_ = shop(world, "debugging")?;
    virtual_.apply(&pod(world, "web", "sleep 3600", "", ""))?;
    ready(&virtual_, "web")?;
    let image = format!("--image={}", world.image());
    let debug = [
        "debug",
        "web",
        &image,
        "-c",
        "look",
        "--target=c",
        "--profile=general",
        "--",
    ];
    virtual_.run(&[&debug[..], &["sh", "-c", "echo looking; sleep 3600"]].concat())?;
    eventually("the container runs and says something", || {
        let pod = virtual_.json(&["get", "pod", "web"])?;
        let state = &pod["status"]["ephemeralContainerStatuses"][0]["state"];
        ensure!(!state["running"].is_null(), "{state}");
        Ok((virtual_.run(&["logs", "web", "-c", "look"])? == "looking\n").then_some(()))
    })
}

fn a_pod_is_resized_in_place(world: &World) -> Result<()> {
    let virtual_ = shop(world, "resizing")?;
    let more = "resources: {requests: {cpu: 10m}, limits: {cpu: 500m}}";
    virtual_.apply(&pod(world, "web", "sleep 3600", more, ""))?;
    ready(&virtual_, "web")?;
    let patch = r#"{"spec":{"containers":[{"name":"c","resources":{"limits":{"cpu":"300m"}}}]}}"#;
    virtual_.run(&["patch", "pod", "web", "--subresource=resize", "-p", patch])?;
    eventually("the container has the new limit, and was not started again", || {
        let status = virtual_.json(&["get", "pod", "web"])?["status"]["containerStatuses"][0].clone();
        ensure!(status["resources"]["limits"]["cpu"] == "300m", "{status}");
        ensure!(status["restartCount"] == 0, "{status}");
        Ok(Some(()))
    })
}

fn a_budget_holds_evictions_back(world: &World) -> Result<()> {
    let virtual_ = shop(world, "evictions")?;
    virtual_.apply(&pod(world, "web", "sleep 3600", "", ""))?;
    virtual_.run(&[
        "create",
        "poddisruptionbudget",
        "web",
        "--selector=app=web",
        "--min-available=1",
    ])?;
    ready(&virtual_, "web")?;
    let evict = || {
        virtual_.with_input(
            &[
                "create",
                "--raw",
                "/api/v1/namespaces/evictions/pods/web/eviction",
                "-f",
                "-",
            ],
            r#"{"apiVersion":"policy/v1","kind":"Eviction","metadata":{"name":"web","namespace":"evictions"}}"#,
        )
    };
    eventually("the budget is counted", || {
        let budget = virtual_.json(&["get", "poddisruptionbudget", "web"])?;
        Ok((budget["status"]["currentHealthy"] == 1).then_some(()))
    })?;
    let refused = format!("{:#}", evict().err().context("evicted in spite of the budget")?);
    ensure!(refused.contains("violate the pod's disruption budget"), "{refused}");
    virtual_.run(&["delete", "poddisruptionbudget", "web"])?;
    evict()?;
    virtual_
        .run(&["wait", "--for=delete", "pod/web", "--timeout=60s"])
        .map(drop)
}

fn a_container_has_time_to_end(world: &World) -> Result<()> {
    let virtual_ = shop(world, "ends")?;
    let script = r#"trap "echo asked; sleep 2; echo done; exit 0" TERM; echo begun; while :; do sleep 0.1; done"#;
    let manifest = pod(world, "web", script, "", "");
    virtual_.apply(&manifest.replace("terminationGracePeriodSeconds: 1", "terminationGracePeriodSeconds: 30"))?;
    ready(&virtual_, "web")?;
    let log = virtual_.background(&["logs", "-f", "web"])?;
    log.line("begun")?;
    virtual_.run(&["delete", "pod", "web", "--wait=false"])?;
    log.line("asked")?;
    let ending = virtual_.json(&["get", "pod", "web"])?;
    ensure!(
        ending["metadata"]["deletionGracePeriodSeconds"] == 30,
        "{}",
        ending["metadata"]
    );
    log.line("done")?;
    virtual_.run(&["wait", "--for=delete", "pod/web", "--timeout=20s"])?;
    ensure!(copy(world, "ends", "web").is_err(), "the copy is still there");
    Ok(())
}

fn a_restarted_syncer_leaves_containers_alone(world: &World) -> Result<()> {
    let virtual_ = shop(world, "restarts")?;
    virtual_.apply(&pod(world, "web", "sleep 3600", "", ""))?;
    ready(&virtual_, "web")?;
    let before = copy(world, "restarts", "web")?;
    world.crash("vc-1/syncer")?;
    virtual_.apply(&pod(world, "next", "sleep 3600", "", ""))?;
    ready(&virtual_, "next")?;
    let said = virtual_.run(&["exec", "web", "--", "echo", "here"])?;
    ensure!(said == "here\n", "{said:?}");
    let after = copy(world, "restarts", "web")?;
    for field in [
        "/metadata/uid",
        "/metadata/resourceVersion",
        "/status/containerStatuses",
    ] {
        let (before, after) = (before.pointer(field), after.pointer(field));
        ensure!(before == after, "{field} was {before:?} and is {after:?}");
    }
    Ok(())
}

/// Where the host has a class of storage that is used when none is named.
fn volumes_keep_their_data(world: &World) -> Result<()> {
    let classes = world.kubectl("host")?.json(&["get", "storageclasses"])?;
    let default = "storageclass.kubernetes.io/is-default-class";
    let items = classes["items"].as_array().context("no list of classes")?;
    if !items
        .iter()
        .any(|class| class["metadata"]["annotations"][default] == "true")
    {
        println!("    skipped: the host has no default StorageClass");
        return Ok(());
    }
    let virtual_ = shop(world, "data")?;
    virtual_.apply(
        "---\n{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: data}, spec: {accessModes: [ReadWriteOnce],
            resources: {requests: {storage: 10Mi}}}}",
    )?;
    for (name, script) in [
        ("writes", "echo kept > /data/it; sleep 3600"),
        ("reads", "cat /data/it; sleep 3600"),
    ] {
        let mounts = "volumeMounts: [{name: data, mountPath: /data}]";
        let volumes = "volumes: [{name: data, persistentVolumeClaim: {claimName: data}}]";
        virtual_.apply(&pod(world, name, script, mounts, volumes))?;
        ready(&virtual_, name)?;
        if name == "reads" {
            eventually("what was written is read", || {
                Ok((virtual_.run(&["logs", name])? == "kept\n").then_some(()))
            })?;
        }
        virtual_.run(&["delete", "pod", name, "--timeout=60s"])?;
    }
    let claim = virtual_.json(&["get", "persistentvolumeclaim", "data"])?;
    ensure!(claim["status"]["phase"] == "Bound", "{}", claim["status"]);
    virtual_
        .run(&["delete", "persistentvolumeclaim", "data", "--timeout=60s"])
        .map(drop)
}
