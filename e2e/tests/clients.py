"""What programs with the Python client do: typed and dynamic objects, patches, watches, pages, tables, logs and commands."""

import time

from kubernetes import client, config, dynamic, utils, watch
from kubernetes.client.rest import ApiException
from kubernetes.stream import stream

NAMESPACE = "python"


def eventually(what, look):
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        found = look()
        if found:
            return found
        time.sleep(0.1)
    raise AssertionError(f"not true after a minute: {what}")


def refused(status, call):
    try:
        call()
    except ApiException as error:
        assert error.status == status, error
        return error
    raise AssertionError(f"was not refused with {status}")


def objects(core):
    made = core.create_namespaced_config_map(
        NAMESPACE, client.V1ConfigMap(metadata=client.V1ObjectMeta(name="a", labels={"x": "y"}), data={"k": "1"})
    )
    assert made.metadata.uid and made.data == {"k": "1"}
    refused(409, lambda: core.create_namespaced_config_map(NAMESPACE, made_anew("a")))
    read = core.read_namespaced_config_map("a", NAMESPACE)
    assert read.metadata.resource_version == made.metadata.resource_version
    read.data["k"] = "2"
    replaced = core.replace_namespaced_config_map("a", NAMESPACE, read)
    assert replaced.data["k"] == "2"
    read.data["k"] = "3"
    refused(409, lambda: core.replace_namespaced_config_map("a", NAMESPACE, read))
    patched = core.patch_namespaced_config_map("a", NAMESPACE, {"data": {"l": "4"}})
    assert patched.data == {"k": "2", "l": "4"}
    patched = core.patch_namespaced_config_map("a", NAMESPACE, [{"op": "remove", "path": "/data/l"}])
    assert patched.data == {"k": "2"}
    listed = core.list_namespaced_config_map(NAMESPACE, label_selector="x=y")
    assert [item.metadata.name for item in listed.items] == ["a"]
    error = refused(404, lambda: core.read_namespaced_config_map("nobody", NAMESPACE))
    assert 'configmaps \\"nobody\\" not found' in error.body
    refused(422, lambda: core.create_namespaced_config_map(NAMESPACE, made_anew("No_Name")))


def made_anew(name):
    return client.V1ConfigMap(metadata=client.V1ObjectMeta(name=name))


def pages(core):
    for number in range(7):
        core.create_namespaced_config_map(NAMESPACE, made_anew(f"page-{number}"))
    names, token = [], None
    while True:
        page = core.list_namespaced_config_map(NAMESPACE, limit=3, _continue=token)
        names += [item.metadata.name for item in page.items]
        token = page.metadata._continue
        if not token:
            break
    assert len(names) == len(set(names)) and {f"page-{n}" for n in range(7)} <= set(names), names


def watches(core):
    version = core.list_namespaced_config_map(NAMESPACE).metadata.resource_version
    core.create_namespaced_config_map(NAMESPACE, made_anew("seen"))
    core.patch_namespaced_config_map("seen", NAMESPACE, {"data": {"k": "1"}})
    core.delete_namespaced_config_map("seen", NAMESPACE)
    kinds, follower = [], watch.Watch()
    for event in follower.stream(
        core.list_namespaced_config_map, NAMESPACE, resource_version=version, timeout_seconds=30
    ):
        assert event["object"].metadata.name == "seen"
        kinds.append(event["type"])
        if event["type"] == "DELETED":
            follower.stop()
    assert kinds == ["ADDED", "MODIFIED", "DELETED"], kinds
    gone = follower.stream(core.list_namespaced_config_map, NAMESPACE, resource_version=version, timeout_seconds=1)
    assert len(list(gone)) == 3


def from_yaml(api, core, apps):
    utils.create_from_dict(api, DEPLOYMENT, namespace=NAMESPACE)
    eventually("the Deployment is ready", lambda: apps.read_namespaced_deployment("web", NAMESPACE).status.ready_replicas == 2)
    scale = apps.read_namespaced_deployment_scale("web", NAMESPACE)
    assert scale.spec.replicas == 2
    apps.patch_namespaced_deployment_scale("web", NAMESPACE, {"spec": {"replicas": 1}})
    eventually("one is left", lambda: apps.read_namespaced_deployment("web", NAMESPACE).status.replicas == 1)
    pods = core.list_namespaced_pod(NAMESPACE, label_selector="app=web").items
    pod = next(pod for pod in pods if pod.metadata.deletion_timestamp is None)
    assert "container web" in core.read_namespaced_pod_log(pod.metadata.name, NAMESPACE)
    said = stream(
        core.connect_get_namespaced_pod_exec,
        pod.metadata.name,
        NAMESPACE,
        command=["printenv", "COLOR"],
        stderr=True,
        stdin=False,
        stdout=True,
        tty=False,
    )
    assert said.strip() == "blue", said
    core.create_namespaced_pod_eviction(
        pod.metadata.name, NAMESPACE, client.V1Eviction(metadata=client.V1ObjectMeta(name=pod.metadata.name))
    )
    apps.delete_namespaced_deployment("web", NAMESPACE, propagation_policy="Foreground")

    def deployment_is_gone():
        return not apps.list_namespaced_deployment(NAMESPACE).items

    eventually("the Deployment is gone", deployment_is_gone)


DEPLOYMENT = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "web"},
    "spec": {
        "replicas": 2,
        "selector": {"matchLabels": {"app": "web"}},
        "template": {
            "metadata": {"labels": {"app": "web"}},
            "spec": {"containers": [{"name": "web", "image": "nginx:1", "env": [{"name": "COLOR", "value": "blue"}]}]},
        },
    },
}


def anything(api):
    anyone = dynamic.DynamicClient(api)
    kinds = anyone.resources.get(api_version="v1", kind="ConfigMap")
    applied = kinds.server_side_apply(
        namespace=NAMESPACE,
        name="applied",
        body={"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "applied"}, "data": {"k": "1"}},
        field_manager="python",
    )
    assert applied.data.k == "1" and applied.metadata.managedFields[0].manager == "python"
    assert kinds.get(namespace=NAMESPACE, name="applied").metadata.uid == applied.metadata.uid
    kinds.delete(namespace=NAMESPACE, name="applied")
    leases = anyone.resources.get(api_version="coordination.k8s.io/v1", kind="Lease")
    assert leases.namespaced and "patch" in leases.verbs


def main():
    config.load_kube_config()
    api = client.ApiClient()
    core, apps = client.CoreV1Api(api), client.AppsV1Api(api)
    assert client.VersionApi(api).get_code().minor.startswith("36")
    core.create_namespace(client.V1Namespace(metadata=client.V1ObjectMeta(name=NAMESPACE)))
    for part in [objects, pages, watches]:
        part(core)
    from_yaml(api, core, apps)
    anything(api)
    groups = {group.name for group in client.ApisApi(api).get_api_versions().groups}
    assert {"apps", "batch", "resource.k8s.io"} <= groups
    core.delete_namespace(NAMESPACE)
    eventually("the namespace is gone", lambda: all(n.metadata.name != NAMESPACE for n in core.list_namespace().items))


main()
