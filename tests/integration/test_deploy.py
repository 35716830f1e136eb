"""deploy/: every variant rendered by kubectl or helm, taken by a real API server, and run."""

import json
import pathlib
import re

import pytest
from lab.deploying import CHART, DEPLOY, CommandError
from lab.wait import until

CASES = pathlib.Path(__file__).resolve().parents[1] / "cases" / "chart"
VALID = sorted((CASES / "valid").glob("*.yaml"))
INVALID = sorted((CASES / "invalid").glob("*.yaml"))
OWN = ["sh", "-c", '/app/erts-*/bin/epmd "$@"', "sh"]
OVERLAYS = {
    # overlay: the container that has epmd, and how to call it there
    "deployment": ("sample", OWN),
    "statefulset": ("sample", OWN),
    "sidecar": ("epmd", ["/epmd"]),
    "init-container": ("sample", ["/kepmd/epmd"]),
}
COMPONENTS = ("endpoints", "status", "network-policy")
SAME = {  # an overlay with components, and the chart's values that say the same
    ("deployment",): (),
    ("statefulset",): ("--set", "kind=StatefulSet"),
    ("sidecar",): ("--set", "kepmd.mode=sidecar"),
    ("init-container",): ("--set", "kepmd.mode=initContainer"),
    ("deployment", *COMPONENTS): ("--set", "status.enabled=true,rbac.endpoints=true,networkPolicy.enabled=true"),
}
WRITTEN_BY_SERVER = ("uid", "creationTimestamp", "resourceVersion", "managedFields", "generation", "labels", "annotations")


@pytest.fixture
def namespace(deploying, request):
    name = re.sub("[^a-z0-9]+", "-", request.node.name.removeprefix("test_"))[:60].strip("-")
    yield deploying.create_namespace(name)
    deploying.delete_namespace(name)


def users_own(folder, overlay, components=(), tag="latest", replicas=2):
    """A kustomization as users write theirs: ours as a base, with components."""
    folder.mkdir()
    (folder / "deploy").symlink_to(DEPLOY)
    text = {"resources": [f"deploy/{overlay}"], "components": [f"deploy/components/{name}" for name in components],
            "images": [{"name": "sample", "newTag": tag}], "replicas": [{"name": "sample", "count": replicas}]}
    (folder / "kustomization.yaml").write_text(json.dumps(text))
    return folder


def plain(value):
    """Without what the server adds, and lists of named things in one order."""
    if isinstance(value, dict):
        return {key: plain(part) for key, part in value.items() if key not in WRITTEN_BY_SERVER}
    if isinstance(value, list):
        parts = [plain(part) for part in value]
        return sorted(parts, key=json.dumps) if all(isinstance(part, dict) for part in parts) else parts
    return value


def workload_of(objects):
    return next(objects[kind] for kind in ("Deployment", "StatefulSet") if kind in objects)


# --- what is rendered ---

@pytest.mark.parametrize("overlay", OVERLAYS)
def test_an_overlay_is_taken_by_the_server(deploying, overlay):
    objects = deploying.dry_run("default", deploying.kustomize(DEPLOY / overlay))
    assert {"ServiceAccount", "Role", "RoleBinding", "Service"} < set(objects)
    spec = workload_of(objects)["spec"]["template"]["spec"]
    assert spec["enableServiceLinks"] is False and spec["serviceAccountName"] == "sample"
    service = objects["Service"]["spec"]
    assert service["clusterIP"] == "None" and service["publishNotReadyAddresses"]
    [rule] = objects["Role"]["rules"]
    assert rule == {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["list", "watch"]}


@pytest.mark.parametrize("values", VALID, ids=lambda path: path.stem)
def test_values_are_taken_by_the_server(deploying, values):
    rendered = deploying.chart("default", "--values", values)
    if values.stem == "everything":
        for name in ("one", "two"):
            if deploying.kubectl("get", "namespace", name, check=False).returncode != 0:
                deploying.create_namespace(name)
        said = deploying.kubectl("apply", "--dry-run=server", "--validate=strict", "-f", "-", text=rendered)
        assert said.count("role.rbac") == said.count("rolebinding.rbac") == 2  # in the namespaces to look in
    else:
        assert deploying.dry_run("default", rendered)


@pytest.mark.parametrize("values", INVALID, ids=lambda path: path.stem)
def test_values_that_are_wrong_are_named(deploying, values):
    with pytest.raises(CommandError, match=re.escape(values.with_suffix(".error").read_text().strip())):
        deploying.chart("default", "--values", values)


def test_a_misspelt_field_would_be_seen(deploying):
    rendered = deploying.kustomize(DEPLOY / "deployment").replace("enableServiceLinks", "enableServiceLink")
    with pytest.raises(CommandError, match="enableServiceLink"):
        deploying.dry_run("default", rendered)


def test_helm_finds_nothing_to_complain_of(deploying):
    assert "0 chart(s) failed" in deploying.run("helm", "lint", "--strict", CHART)


@pytest.mark.parametrize("parts", SAME, ids="+".join)
def test_chart_and_kustomize_give_the_same(deploying, parts, tmp_path):
    overlay = users_own(tmp_path / "own", parts[0], parts[1:], replicas=3)
    ours = deploying.dry_run("default", deploying.kustomize(overlay))
    charts = deploying.dry_run("default", deploying.chart("default", *SAME[parts]))
    charts["RoleBinding"]["subjects"][0].setdefault("namespace", "default")
    ours["RoleBinding"]["subjects"][0].setdefault("namespace", "default")
    assert plain(charts) == plain(ours)
    for objects in (ours, charts):  # and of labels, those that are looked for
        assert objects["Service"]["metadata"]["labels"]["app"] == "sample"
        assert workload_of(objects)["spec"]["template"]["metadata"]["labels"] == {"app": "sample"}


def test_a_sidecar_comes_first_where_the_cluster_can_do_that(deploying):
    """Kubernetes 1.29; the server here would not know the field."""
    rendered = deploying.run("helm", "template", "sample", CHART, "--set", "kepmd.mode=sidecar", "--kube-version", "1.29.0")
    first, then = re.search(r"initContainers:(.*) containers:(.*)", rendered, re.S).groups()
    assert "name: epmd" in first and "restartPolicy: Always" in first and "startupProbe" in first
    assert "name: epmd" not in then
    older = deploying.run("helm", "template", "sample", CHART, "--set", "kepmd.mode=sidecar", "--kube-version", "1.28.9")
    assert "initContainers" not in older and "restartPolicy" not in older


# --- what runs ---

def check_cluster(deploying, namespace, container, epmd, pods=2):
    runs = deploying.kubelet.runs(namespace)
    assert len(runs) == pods
    for run in runs:
        said = deploying.wait_well(namespace, run.name, container, epmd)
        assert f"all peers are joined: {pods - 1}" in said
        nodes = deploying.kubelet.exec(namespace, run.name, "sample", ["/app/bin/sample", "rpc", "nodes()"])
        assert nodes.returncode == 0, nodes.stderr
        assert nodes.stdout.count("sample@") == pods - 1
    return runs


def check_restricted(deploying, namespace, runs):
    """The policy filled nothing in: each container asked for all of it."""
    for run in runs:
        admitted = deploying.cluster.call("GET", run.path)
        assert admitted["metadata"]["annotations"]["kubernetes.io/psp"] == "restricted"
        spec = admitted["spec"]
        assert spec["securityContext"]["runAsNonRoot"] and spec["securityContext"]["seccompProfile"]
        [owner] = admitted["metadata"]["ownerReferences"]
        kind = {"ReplicaSet": "replicasets", "StatefulSet": "statefulsets"}[owner["kind"]]
        template = deploying.cluster.call("GET", f"/apis/apps/v1/namespaces/{namespace}/{kind}/{owner['name']}")
        asked = template["spec"]["template"]["spec"]
        for key in ("containers", "initContainers"):
            for got, wanted in zip(spec.get(key, []), asked.get(key, [])):
                assert got["securityContext"] == wanted["securityContext"] == {
                    "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_an_overlay_makes_a_cluster(deploying, namespace, overlay, tmp_path):
    container, epmd = OVERLAYS[overlay]
    tag = "stock" if overlay in ("sidecar", "init-container") else "latest"
    rendered = deploying.kustomize(users_own(tmp_path / "own", overlay, tag=tag))
    deploying.create_cookie(namespace)
    deploying.kubectl("apply", "--namespace", namespace, "--validate=strict", "-f", "-", text=rendered)
    deploying.wait_ready(namespace, "statefulset/sample" if overlay == "statefulset" else "deployment/sample")
    runs = check_cluster(deploying, namespace, container, epmd)
    check_restricted(deploying, namespace, runs)
    if overlay == "statefulset":
        names = deploying.kubelet.exec(namespace, "sample-0", "sample", ["/app/bin/sample", "rpc", "nodes()"])
        assert names.stdout.strip() == f"['sample@sample-1.sample.{namespace}.svc.cluster.local']"


@pytest.mark.parametrize("values", ["statefulset-sidecar", "init-container-status"])
def test_the_chart_makes_a_cluster(deploying, namespace, values):
    deploying.create_cookie(namespace)
    said = deploying.run("helm", "install", "sample", CHART, "--namespace", namespace, "--values",
                         CASES / "valid" / f"{values}.yaml", "--set", "replicas=2")
    kind = "statefulset" if "statefulset" in values else "deployment"
    deploying.wait_ready(namespace, f"{kind}/sample")
    container, epmd = ("epmd", ["/epmd"]) if "sidecar" in values else ("sample", ["/kepmd/epmd"])
    runs = check_cluster(deploying, namespace, container, epmd)
    check_restricted(deploying, namespace, runs)
    assert f"kubectl -n {namespace} exec {kind}/sample" in said and f"-- {epmd[0]} -doctor" in said
    deploying.run("helm", "uninstall", "sample", "--namespace", namespace)
    until(lambda: not deploying.kubelet.runs(namespace), 60, "its pods to end")


def test_the_account_may_do_no_more_and_with_less_the_doctor_says_so(deploying, namespace, tmp_path):
    account = f"system:serviceaccount:{namespace}:sample"

    def may(*words):
        return deploying.kubectl("auth", "can-i", *words, "--namespace", namespace, "--as", account, check=False).returncode == 0
    deploying.create_cookie(namespace)
    rendered = deploying.kustomize(users_own(tmp_path / "own", "deployment", replicas=1))
    deploying.kubectl("apply", "--namespace", namespace, "-f", "-", text=rendered)
    [run] = deploying.wait_ready(namespace, "deployment/sample")
    deploying.wait_said(namespace, run.name, None, OWN, "ok: ")
    assert may("list", "endpointslices.discovery.k8s.io") and may("watch", "endpointslices.discovery.k8s.io")
    for verb, resource in (("get", "endpointslices.discovery.k8s.io"), ("list", "endpoints"), ("get", "pods"),
                           ("get", "secrets"), ("list", "services")):
        assert not may(verb, resource), (verb, resource)

    role = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/roles/sample-epmd-discovery"
    rule = {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"]}
    deploying.cluster.call("PATCH", role, {"rules": [{**rule, "verbs": ["list"]}]})
    deploying.kubectl("--namespace", namespace, "delete", "pod", run.name, "--wait=false")
    until(lambda: run.name not in {other.name for other in deploying.kubelet.runs(namespace)}, 60, "the pod to end")
    [run] = deploying.wait_ready(namespace, "deployment/sample")
    said = deploying.wait_said(namespace, run.name, None, OWN, "[rbac-watch]")
    assert '"watch" on endpointslices.discovery.k8s.io' in said and "[rbac-list]" not in said
    deploying.cluster.call("PATCH", role, {"rules": []})
    deploying.kubectl("--namespace", namespace, "delete", "pod", run.name, "--wait=false")
    until(lambda: run.name not in {other.name for other in deploying.kubelet.runs(namespace)}, 60, "the pod to end")
    [run] = deploying.wait_ready(namespace, "deployment/sample")
    assert account in deploying.wait_said(namespace, run.name, None, OWN, "[rbac-list]")


def test_pods_wait_for_the_cookie_and_what_is_not_restricted_is_refused(deploying, namespace, tmp_path):
    rendered = deploying.kustomize(users_own(tmp_path / "own", "deployment", replicas=1))
    deploying.kubectl("apply", "--namespace", namespace, "-f", "-", text=rendered)

    def reason():
        pods = json.loads(deploying.kubectl("--namespace", namespace, "get", "pods", "-o", "json"))["items"]
        return [status["state"].get("waiting", {}).get("reason") for pod in pods
                for status in pod["status"].get("containerStatuses", [])]
    until(lambda: reason() == ["CreateContainerConfigError"], 60, "the pod to miss its Secret")
    deploying.create_cookie(namespace)
    deploying.wait_ready(namespace, "deployment/sample")

    weaker = rendered.replace("name: sample\n", "name: weaker\n").replace("runAsUser: 65532", "runAsUser: 0")
    weaker = "\n".join(line for line in weaker.splitlines() if "runAsNonRoot" not in line)
    deploying.kubectl("apply", "--namespace", namespace, "-f", "-", text=weaker)

    def refused():
        sets = json.loads(deploying.kubectl("--namespace", namespace, "get", "replicasets", "-o", "json"))["items"]
        return any("running with the root UID is forbidden" in condition.get("message", "")
                   for item in sets for condition in item["status"].get("conditions", []))
    until(refused, 60, "the pod to be refused")
