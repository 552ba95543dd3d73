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
    ("print", |world| steps(world, PRINT)),
    ("more", |world| steps(world, MORE)),
    ("differ", differ),
    ("kustomize", kustomize),
    ("watch", watch),
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

const PRINT: &[Step] = &[
    step("create namespace print", "created"),
    step("create -n print configmap a --from-literal=k=2", "created"),
    step("create -n print configmap b --from-literal=k=1", "created"),
    step("label -n print configmap a b app=x", "labeled"),
    step(
        "get -n print configmaps -l app=x --sort-by={.data.k} -o jsonpath={.items[*].metadata.name}",
        "b a",
    ),
    step("get -n print configmap a -o yaml --show-managed-fields", "f:data"),
    step(
        "get -n print configmaps -o jsonpath-as-json={.items[*].data}",
        "\"k\": \"2\"",
    ),
    step("get -n print configmaps --server-print=false", "NAME"),
    step("get -n print configmaps --show-kind", "configmap/a"),
    step(
        "get -n print configmaps -l app=x '-o=go-template={{range .items}}{{.metadata.name}},{{end}}'",
        "a,b,",
    ),
    step(
        "get -n print configmaps -l app=x -o template '--template={{len .items}}'",
        "2",
    ),
    step(
        "get -n print configmaps -o custom-columns=NAME:.metadata.name,NONE:.data.none --no-headers",
        "<none>",
    ),
    step(
        "get -n print configmaps -l 'app in (x,y),app notin (z),!none' -o name",
        "configmap/b",
    ),
    step("get -n print cm/a cm/b -o name", "configmap/b"),
    with(
        "get -o name -f -",
        r#"{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "print"}}"#,
        "configmap/a",
    ),
    with(
        "describe -f -",
        r#"{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "print"}}"#,
        "Data",
    ),
    step("describe configmaps -n print -l app=x", "Name:         b"),
    step("label -n print configmap a --list", "app=x"),
    step(
        "annotate -n print configmap a note=x --dry-run=server",
        "annotated (server dry run)",
    ),
    step("get --raw /readyz?verbose", "readyz check passed"),
    step("get --raw /livez", "ok"),
    step("get --raw /apis", "APIGroupList"),
    step("get --raw /metrics", "apiserver_request_total"),
    step("get ns print -o jsonpath={.status.phase}", "Active"),
    step("delete namespace print --timeout=60s", "deleted"),
];

const MORE: &[Step] = &[
    step("create namespace more", "created"),
    with("create -n more configmap f --from-file=k=/dev/stdin", "text", "created"),
    with(
        "create -n more configmap e --from-env-file=/dev/stdin",
        "A=b\n",
        "created",
    ),
    step("get -n more configmap f -o jsonpath={.data.k}", "text"),
    step("get -n more configmap e -o jsonpath={.data.A}", "b"),
    since(
        31,
        "wait -n more --for=create configmap/e --timeout=10s",
        "condition met",
    ),
    step(
        "create -n more ingress i --class=c --default-backend=s:80 --rule=h/=s:http,tls=t --annotation=a=b",
        "created",
    ),
    step(
        "create clusterrole more --verb=get --resource=configmaps --resource-name=f",
        "created",
    ),
    step(
        "create -n more rolebinding rb --clusterrole=more --user=jane",
        "created",
    ),
    step("auth can-i get configmap/f -n more --as=jane", "yes"),
    step("auth can-i --list -n more --as=jane", "[f]"),
    since(28, "auth whoami --as=jane -o yaml", "username: jane"),
    step("get -n more configmap f --as=jane -o name", "configmap/f"),
    step("create -n more deployment d --image=nginx --replicas=0", "created"),
    since(
        24,
        "patch -n more deployment d --subresource=status --type=merge -p '{\"status\":{\"observedGeneration\":1}}'",
        "patched",
    ),
    with(
        "apply --validate=strict -f -",
        r#"{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "v", "namespace": "more"}, "data": {"a": "b"}}"#,
        "created",
    ),
    with(
        "apply --validate=ignore -f -",
        r#"{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "v", "namespace": "more"}, "unknown": 1}"#,
        "configured",
    ),
    step("get -n more configmap v -o jsonpath={.data}", ""),
    step("delete -n more deployment d --cascade=orphan", "deleted"),
    step(
        "delete -n more replicaset -l app=d --cascade=foreground --timeout=60s",
        "deleted",
    ),
    step("delete clusterrole more --cascade=background", "deleted"),
    step("events -A --types=Normal,Warning", ""),
    step("delete namespace more --timeout=60s", "deleted"),
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

/// `kubectl diff` fails with what would change.
fn differ(world: &World) -> Result<()> {
    let kubectl = world.kubectl("vc-1")?;
    kubectl.run(&["create", "configmap", "differs", "--from-literal=word=before"])?;
    let dir = tempfile::tempdir()?;
    let file = dir.path().join("map.yaml");
    let manifest = r#"{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "differs", "namespace": "default"}, "data": {"word": "after"}}"#;
    std::fs::write(&file, manifest)?;
    let file = file.display().to_string();
    for extra in [&[][..], &["--server-side", "--force-conflicts"]] {
        let (status, said) = kubectl.fails(&[&["diff", "-f", &file], extra].concat())?;
        ensure!(status == 1 && !said.contains("rror"), "{status}: {said}");
    }
    let word = kubectl.run(&["get", "configmap", "differs", "-o", "jsonpath={.data.word}"])?;
    ensure!(word == "before", "a diff has changed it to {word}");
    kubectl.run(&["delete", "-f", &file]).map(|_| ())
}

/// `kubectl kustomize` and `-k`.
fn kustomize(world: &World) -> Result<()> {
    let kubectl = world.kubectl("vc-1")?;
    let dir = tempfile::tempdir()?;
    let text = "{namePrefix: k-, namespace: default, configMapGenerator: [{name: made, literals: [a=b]}], \
        generatorOptions: {disableNameSuffixHash: true}}";
    std::fs::write(dir.path().join("kustomization.yaml"), text)?;
    let dir = dir.path().display().to_string();
    for (command, says) in [
        (&["kustomize", &dir][..], "name: k-made"),
        (&["apply", "-k", &dir], "configmap/k-made created"),
        (&["get", "-k", &dir, "-o", "name"], "configmap/k-made"),
        (&["delete", "-k", &dir], "deleted"),
    ] {
        let said = kubectl.run(command)?;
        ensure!(said.contains(says), "kubectl {}: {said}", command.join(" "));
    }
    Ok(())
}

/// `kubectl get --watch-only` tells what happens from then on, and in which way.
fn watch(world: &World) -> Result<()> {
    let kubectl = world.kubectl("vc-1")?;
    kubectl.run(&["create", "configmap", "watched"])?;
    let selected = ["--field-selector=metadata.name=watched", "--output-watch-events"];
    let all = kubectl.background(&[&["get", "configmaps", "--watch"], &selected[..]].concat())?;
    all.line("ADDED")?;
    let only = kubectl.background(&[&["get", "configmaps", "--watch-only"], &selected[..]].concat())?;
    // Whoever watches only what comes says nothing until something does: changes are made until one is seen.
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let changes = scope.spawn(|| {
            for number in 0.. {
                if stop.load(std::sync::atomic::Ordering::Relaxed) {
                    break;
                }
                kubectl.run(&[
                    "annotate",
                    "configmap",
                    "watched",
                    "--overwrite",
                    &format!("n={number}"),
                ])?;
            }
            anyhow::Ok(())
        });
        let seen = only.line("MODIFIED");
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        seen.and_then(|_| changes.join().map_err(|_| anyhow::anyhow!("the writer panicked"))?)
    })?;
    kubectl.run(&["delete", "configmap", "watched"])?;
    only.line("DELETED").and_then(|_| all.line("DELETED")).map(|_| ())
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
