//! Every command of kubectl's reference that needs no pod to run, each once, as a table. What older versions of kubectl do
//! not have is named as not tried.

use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use e2e::suite::{Case, Kubectl, World, main as run};

const CASES: &[Case] = &[
    ("create", |world| steps(world, CREATE)),
    ("look", |world| steps(world, LOOK)),
    ("change", |world| steps(world, CHANGE)),
    ("apply", |world| steps(world, APPLY)),
    ("roll", |world| steps(world, ROLL)),
    ("nodes", |world| steps(world, NODES)),
    ("authorize", |world| steps(world, AUTHORIZE)),
    ("discover", |world| steps(world, DISCOVER)),
    ("delete", |world| steps(world, DELETE)),
    ("edit", edit),
    ("go_clients_speak_protobuf", protobuf),
];

fn main() -> ExitCode {
    run("commands", 1, CASES)
}

/// A command, and a part of what it must say.
struct Step {
    /// The first minor version of kubectl that has it, or does it by an API that is still served.
    since: u32,
    /// Its arguments, separated by blanks; `'` around one that has some.
    command: &'static str,
    /// Its standard input.
    input: &'static str,
    says: &'static str,
}

const fn step(command: &'static str, says: &'static str) -> Step {
    since(0, command, says)
}

const fn since(since: u32, command: &'static str, says: &'static str) -> Step {
    Step {
        since,
        command,
        input: "",
        says,
    }
}

const fn with(command: &'static str, input: &'static str, says: &'static str) -> Step {
    Step {
        since: 0,
        command,
        input,
        says,
    }
}

const CREATE: &[Step] = &[
    step("create namespace made", "created"),
    step("create -n made serviceaccount robot", "created"),
    step(
        "create -n made configmap c --from-literal=a=1 --from-literal=b=2",
        "created",
    ),
    step("create -n made secret generic s --from-literal=p=q", "created"),
    step(
        "create -n made secret docker-registry d --docker-username=u --docker-password=p",
        "created",
    ),
    step(
        "create -n made role r --verb=get,list --resource=pods,deployments.apps",
        "created",
    ),
    step(
        "create -n made rolebinding rb --role=r --serviceaccount=made:robot",
        "created",
    ),
    step("create clusterrole made-cr --verb=get --resource=nodes", "created"),
    step(
        "create clusterrole made-urls --verb=get --non-resource-url=/healthz",
        "created",
    ),
    step("create clusterrole made-sum --aggregation-rule=made=yes", "created"),
    step(
        "create clusterrolebinding made-crb --clusterrole=made-cr --user=u --group=g",
        "created",
    ),
    step("create -n made deployment d --image=nginx --replicas=0", "created"),
    step("create -n made job j --image=busybox -- echo hi", "created"),
    since(
        21,
        "create -n made cronjob cj --image=busybox --schedule=@daily",
        "created",
    ),
    since(21, "create -n made job again --from=cronjob/cj", "created"),
    since(
        21,
        "create -n made poddisruptionbudget b --selector=app=d --min-available=1",
        "created",
    ),
    step("create -n made quota q --hard=pods=100,services=50", "created"),
    step("create priorityclass made-pc --value=7 --description=seven", "created"),
    step("create -n made service clusterip ci --tcp=80:8080", "created"),
    step("create -n made service nodeport np --tcp=80", "created"),
    step("create -n made service loadbalancer lb --tcp=80", "created"),
    step(
        "create -n made service externalname en --external-name=example.com",
        "created",
    ),
    step("create -n made ingress i --rule=a.example.com/x*=ci:80", "created"),
    since(24, "create -n made token robot --duration=1h", "ey"),
    step(
        "create -n made configmap dry --from-literal=a=1 --dry-run=server -o yaml",
        "uid:",
    ),
    step(
        "create -n made configmap dry --from-literal=a=1 --dry-run=client -o json",
        "\"a\": \"1\"",
    ),
    with(
        "create -f -",
        r#"{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"generateName": "g-", "namespace": "made"}}"#,
        "configmap/g-",
    ),
    step(
        "run -n made lone --image=nginx --restart=Never --dry-run=server",
        "created (server dry run)",
    ),
    step(
        "expose -n made deployment d --port=80 --target-port=8080 --name=exposed",
        "exposed",
    ),
    step(
        "get -n made all,configmaps,secrets,ingresses,roles,rolebindings,quota,serviceaccounts",
        "service/np",
    ),
];

const LOOK: &[Step] = &[
    step("create namespace look", "created"),
    step("create -n look configmap a --from-literal=k=1", "created"),
    step("create -n look configmap b --from-literal=k=2", "created"),
    step("create -n look deployment d --image=nginx --replicas=0", "created"),
    step("label -n look configmap a color=red size=l", "labeled"),
    step("get -n look configmaps -o wide", "NAME"),
    step("get -n look configmaps -o yaml", "kind: List"),
    step("get -n look configmap a -o yaml", "kind: ConfigMap"),
    step("get -n look configmap a -o name", "configmap/a"),
    step("get -n look configmaps -o jsonpath={.items[*].data.k}", "1 2"),
    step("get -n look configmap a -o go-template={{.data.k}}", "1"),
    step(
        "get -n look configmaps -o custom-columns=N:.metadata.name,K:.data.k",
        "a                  1",
    ),
    step(
        "get -n look configmaps --sort-by=.metadata.name --no-headers",
        "kube-root-ca.crt",
    ),
    step("get -n look configmaps --show-labels -l color=red", "color=red,size=l"),
    step("get -n look configmaps -L color", "COLOR"),
    step("get -n look configmaps --chunk-size=1", "kube-root-ca.crt"),
    step(
        "get -n look configmaps --field-selector=metadata.name=b -o name",
        "configmap/b",
    ),
    step("get -n look configmap nobody --ignore-not-found", ""),
    step("get -n look deployment/d configmap/a -o name", "deployment.apps/d"),
    step("get -A pods,services", "kubernetes"),
    step("get -n look --raw /api/v1/namespaces/look/configmaps/a", "\"k\":\"1\""),
    since(24, "get -n look deployment d --subresource=status", "0/0"),
    since(
        27,
        "get -n look deployment d --subresource=scale -o yaml",
        "kind: Scale",
    ),
    step("describe -n look configmap a", "color=red"),
    step("describe -n look deployment d", "Replicas:"),
    step("describe namespace look", "Status:       Active"),
    step("explain pods.spec.containers.resources", "limits"),
    step("explain --recursive deployments", "maxSurge"),
    step("explain ingress --api-version=networking.k8s.io/v1", "VERSION:"),
    since(26, "explain cronjobs.spec --output=plaintext-openapiv2", "schedule"),
    since(23, "events -n look", ""),
    step("get events -A", ""),
    step(
        "wait -n look --for=condition=Available deployment/d --timeout=30s",
        "condition met",
    ),
    since(
        23,
        "wait -n look --for=jsonpath={.data.k}=1 configmap/a --timeout=30s",
        "condition met",
    ),
    step("wait -n look --for=delete configmap/nobody --timeout=5s", ""),
    with(
        "diff -f -",
        r#"{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "look"}, "data": {"k": "1"}}"#,
        "",
    ),
];

const CHANGE: &[Step] = &[
    step("create namespace change", "created"),
    step("create -n change deployment d --image=nginx --replicas=0", "created"),
    step("create -n change configmap c --from-literal=k=1", "created"),
    step("create -n change serviceaccount robot", "created"),
    step("create -n change service clusterip s --tcp=80", "created"),
    step("set -n change env deployment/d A=b", "env updated"),
    step("set -n change env deployment/d --list", "A=b"),
    step(
        "set -n change env deployment/d --from=configmap/c --prefix=C_",
        "env updated",
    ),
    step("set -n change image deployment/d nginx=nginx:2", "image updated"),
    step(
        "set -n change resources deployment/d --requests=cpu=10m --limits=memory=1Gi",
        "resource requirements updated",
    ),
    step(
        "set -n change serviceaccount deployment/d robot",
        "serviceaccount updated",
    ),
    step("set -n change selector service/s app=d", "selector updated"),
    step("create -n change rolebinding rb --clusterrole=view --user=a", "created"),
    step("set -n change subject rolebinding/rb --user=b", "subjects updated"),
    step(
        "scale -n change deployment/d --current-replicas=0 --replicas=1",
        "scaled",
    ),
    step("scale -n change deployment/d --replicas=0", "scaled"),
    step(
        "autoscale -n change deployment/d --min=1 --max=3 --name=h",
        "autoscaled",
    ),
    step("label -n change deployment/d tier=front", "labeled"),
    step("label -n change deployment/d tier=back --overwrite", "labeled"),
    step("label -n change deployment/d tier-", ""),
    step("annotate -n change configmap c note=x", "annotated"),
    step("annotate -n change configmap c note-", "annotated"),
    step("patch -n change configmap c -p '{\"data\":{\"l\":\"2\"}}'", "patched"),
    step(
        "patch -n change configmap c --type=merge -p '{\"data\":{\"k\":null}}'",
        "patched",
    ),
    step(
        "patch -n change configmap c --type=json -p '[{\"op\":\"test\",\"path\":\"/data/l\",\"value\":\"2\"}]'",
        "patched (no change)",
    ),
    since(
        24,
        "patch -n change deployment d --subresource=scale --type=merge -p '{\"spec\":{\"replicas\":0}}'",
        "patched",
    ),
    with(
        "replace -f -",
        r#"{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c", "namespace": "change"}, "data": {"z": "9"}}"#,
        "replaced",
    ),
    step("get -n change configmap c -o jsonpath={.data}", "{\"z\":\"9\"}"),
    with(
        "replace --force -f -",
        r#"{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c", "namespace": "change"}}"#,
        "replaced",
    ),
];

const APPLIED: &str = r#"{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "applied", "labels": {"set": "x"}}, "data": {"k": "1"}}"#;

const APPLY: &[Step] = &[
    step("create namespace applied", "created"),
    with("apply -f -", APPLIED, "created"),
    with("apply -f -", APPLIED, "unchanged"),
    step("apply view-last-applied -n applied configmap/a", "set: x"),
    with("apply set-last-applied -f -", APPLIED, ""),
    with(
        "apply --server-side --force-conflicts -f -",
        APPLIED,
        "serverside-applied",
    ),
    with("apply --dry-run=server -f -", APPLIED, "(server dry run)"),
    with(
        "apply -n applied --prune -l set=x -f -",
        r#"{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "b", "namespace": "applied", "labels": {"set": "x"}}}"#,
        "configmap/a pruned",
    ),
    with(
        "delete -f -",
        r#"{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "b", "namespace": "applied"}}"#,
        "deleted",
    ),
];

const ROLL: &[Step] = &[
    step("create namespace roll", "created"),
    step("create -n roll deployment d --image=nginx:1", "created"),
    step(
        "rollout -n roll status deployment/d --timeout=60s",
        "successfully rolled out",
    ),
    step("rollout -n roll pause deployment/d", "paused"),
    step("set -n roll image deployment/d nginx=nginx:2", "updated"),
    step("rollout -n roll resume deployment/d", "resumed"),
    step(
        "rollout -n roll status deployment/d --timeout=60s",
        "successfully rolled out",
    ),
    step("rollout -n roll history deployment/d --revision=2", "nginx:2"),
    step("rollout -n roll undo deployment/d --to-revision=1", "rolled back"),
    step("rollout -n roll restart deployment/d", "restarted"),
    step(
        "rollout -n roll status deployment/d --timeout=60s",
        "successfully rolled out",
    ),
    step("delete -n roll deployment d --timeout=60s", "deleted"),
];

const NODES: &[Step] = &[
    with(
        "create -f -",
        r#"{"apiVersion": "v1", "kind": "Node", "metadata": {"name": "unreal"}}"#,
        "created",
    ),
    step("cordon unreal", "cordoned"),
    step("uncordon unreal", "uncordoned"),
    step("taint node unreal a=b:NoSchedule", "tainted"),
    step("taint node unreal a:NoSchedule-", "untainted"),
    step("drain unreal --ignore-daemonsets --timeout=30s", "drained"),
    step("describe node unreal", "Unschedulable:      true"),
    step("delete node unreal --wait=false", "deleted"),
];

const AUTHORIZE: &[Step] = &[
    step("create namespace authorize", "created"),
    step("auth can-i create pods -n authorize", "yes"),
    step("auth can-i --list -n authorize", "Resources"),
    since(28, "auth whoami", "system:masters"),
    with(
        "auth reconcile -f -",
        r#"{"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "r", "namespace": "authorize"}, "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]}"#,
        "reconciled",
    ),
    with("create -f -", SIGNING_REQUEST, "created"),
    step("certificate approve authorize", "approved"),
    step("get csr authorize", "Approved"),
    step("delete csr authorize", "deleted"),
    with("create -f -", SIGNING_REQUEST, "created"),
    step("certificate deny authorize", "denied"),
];

/// A request for a certificate of example.com's, with a key that nobody has.
const SIGNING_REQUEST: &str = r#"{"apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest", "metadata": {"name": "authorize"}, "spec": {"signerName": "example.com/signer", "usages": ["client auth"], "request": "REQUEST"}}"#;

/// Its PKCS#10 form.
const REQUEST: &str = "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURSBSRVFVRVNULS0tLS0KTUlIV01INENBUUF3SERFTk1Bc0dBMVVFQ2d3RWRHVmhiVEVMTUFrR0ExVUVBd3dDYldVd1dUQVRCZ2NxaGtqTwpQUUlCQmdncWhrak9QUU1CQndOQ0FBVGxRMXZWVENmR1o5VUxPdWJHcGZ5R2J0Vnp0aENPbnhvdkhiQTBVek9OCnlaeVBWdkVYR2txNmlWU1piZ0pWaUQvVHdQeTBVOVJHb3o1TERlWGZHVFdIb0FBd0NnWUlLb1pJemowRUF3SUQKU0FBd1JRSWhBSnVnREdnbUtBU1lYb0hldTNXRzJOL3cvVVlvMWVLaHpmOGFXVmcyekdtNkFpQkJNNWpkVVcrYgpFL2RoUVovYTZkVFRqMk1Da0hCeWwwc0tMRzdsYWlDK1NBPT0KLS0tLS1FTkQgQ0VSVElGSUNBVEUgUkVRVUVTVC0tLS0tCg==";

const DISCOVER: &[Step] = &[
    step("version", "Server Version"),
    step("cluster-info", "is running at"),
    step("cluster-info dump --namespaces=default", "\"kind\": \"EventList\""),
    step("api-versions", "rbac.authorization.k8s.io/v1"),
    step("api-resources --namespaced=false --verbs=list -o name", "nodes"),
    step("api-resources --api-group=apps -o wide", "controllerrevisions"),
    step("api-resources --sort-by=kind --no-headers", "Deployment"),
    step("get --raw /openapi/v3", "apis/apps/v1"),
    step("get --raw /version", "gitVersion"),
    step("config view --minify", "current-context"),
    step("config current-context", ""),
    step("options", "--kubeconfig"),
    step("completion bash", "kubectl"),
];

const DELETE: &[Step] = &[
    step("create namespace delete", "created"),
    step("create -n delete configmap a", "created"),
    step("create -n delete configmap b", "created"),
    step("label -n delete configmap b x=y", "labeled"),
    step("delete -n delete configmap -l x=y", "\"b\" deleted"),
    step(
        "delete -n delete configmap a --dry-run=server",
        "deleted (server dry run)",
    ),
    step("delete -n delete configmap a --now", "\"a\""),
    step("delete -n delete configmap nobody --ignore-not-found", ""),
    step("delete -n delete configmap --all", "deleted"),
    step("delete --raw /api/v1/namespaces/delete/serviceaccounts/default", ""),
    step("delete namespace delete --timeout=60s", "deleted"),
];

fn steps(world: &World, steps: &[Step]) -> Result<()> {
    let kubectl = world.kubectl("vc-1")?;
    let minor = client_minor(&kubectl)?;
    let mut wrong = Vec::new();
    for step in steps {
        if minor < step.since {
            println!(
                "    not tried, as kubectl 1.{minor} has it not: kubectl {}",
                step.command
            );
            continue;
        }
        let said = kubectl.with_input(&words(step.command), &step.input.replace("REQUEST", REQUEST));
        match said {
            Ok(said) if said.contains(step.says) => {}
            Ok(said) => wrong.push(format!("kubectl {}: no {:?} in {said:?}", step.command, step.says)),
            Err(error) => wrong.push(format!("{error:#}")),
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

fn client_minor(kubectl: &Kubectl) -> Result<u32> {
    let version = kubectl.json(&["version", "--client"])?;
    let minor = version["clientVersion"]["minor"].as_str().unwrap_or_default();
    let digits: String = minor.chars().take_while(char::is_ascii_digit).collect();
    digits
        .parse()
        .with_context(|| format!("kubectl's version is {minor:?}"))
}

/// The words of a command, with `'` around those that have blanks.
fn words(command: &str) -> Vec<&str> {
    let pieces = command.split('\'').enumerate();
    pieces
        .flat_map(|(at, piece)| match at % 2 {
            0 => piece.split_whitespace().collect::<Vec<_>>(),
            _ => vec![piece],
        })
        .collect()
}

/// `kubectl edit` with an editor that changes one word.
fn edit(world: &World) -> Result<()> {
    let kubectl = world.kubectl("vc-1")?;
    kubectl.run(&["create", "configmap", "edited", "--from-literal=word=before"])?;
    let said = kubectl.edit("sed -i s/before/after/", &["edit", "configmap", "edited"])?;
    ensure!(said.contains("edited"), "{said}");
    let word = kubectl.run(&["get", "configmap", "edited", "-o", "jsonpath={.data.word}"])?;
    ensure!(word == "after", "{word}");
    kubectl.run(&["delete", "configmap", "edited"]).map(|_| ())
}

/// kubectl's typed clients are client-go's, which speak protobuf where a kind has it.
fn protobuf(world: &World) -> Result<()> {
    let kubectl = world.kubectl("vc-1")?;
    let minor = client_minor(&kubectl)?;
    if minor < 32 {
        println!("    not tried: kubectl 1.{minor} speaks JSON only");
        return Ok(());
    }
    let trace = kubectl.traced(&["create", "namespace", "protobuf", "-v=8"])?;
    ensure!(
        trace.contains("Content-Type: application/vnd.kubernetes.protobuf") && trace.contains("201 Created"),
        "{trace}"
    );
    kubectl
        .run(&["delete", "namespace", "protobuf", "--wait=false"])
        .map(|_| ())
}
