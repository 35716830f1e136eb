"""`scripts/demo --kubernetes` against a real API server, with the lab's kubelet: that it works, that it leaves nothing,
and that it says what is missing."""

import os
import pathlib
import re
import signal
import subprocess

import pytest
from lab.built import Unavailable, built
from lab.cluster import CORE, NODE
from lab.kubelet import LABELS
from lab.namespace import clean_env
from lab.wait import until

SCRIPTS = pathlib.Path(__file__).resolve().parents[2] / "scripts"
TIMEOUT = 240
RUN_LABEL = "kepmd-demo/run"
KINDS = "deployments,pods,services,configmaps,secrets,roles,rolebindings,serviceaccounts"
VERBS = "get,list,create,delete"
RIGHTS = (f"apps deployments {VERBS}", f" services,configmaps,secrets,serviceaccounts,pods,pods/log {VERBS}",
          f"rbac.authorization.k8s.io roles,rolebindings {VERBS}")
WORKED = "all of it worked"


class Demo:
    """The demo on the host of the cluster, with kubectl in its PATH, as a user of the kubeconfig `config`."""

    def __init__(self, deploying, epmd):
        self.deploying, self.epmd = deploying, str(epmd)

    def start(self, *words, epmd=None, config=None, path=None, cwd=None):
        path = path or f"{self.deploying.clients}:{os.environ['PATH']}"
        env = {**self.deploying.env(), "PATH": path, **({"KUBECONFIG": str(config)} if config else {})}
        _, *enter = self.deploying.network.host.enter_command()
        command = ["/bin/bash", SCRIPTS / "demo", "--kubernetes", "--epmd", epmd or self.epmd, *words]
        return subprocess.Popen(["/usr/bin/nsenter", *enter, "--", *command], text=True, cwd=cwd, env=clean_env(env),
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                start_new_session=True)

    def run(self, *words, status, **kwargs):
        """What it says, after it has ended with `status`."""
        process = self.start(*words, **kwargs)
        try:
            said, _ = process.communicate(timeout=TIMEOUT)
        except subprocess.TimeoutExpired:
            process.terminate()
            said, _ = process.communicate(timeout=TIMEOUT)
            pytest.fail(said)
        assert process.returncode == status, said
        return said

    def namespaces(self):
        return self.deploying.kubectl("get", "namespaces", "-l", RUN_LABEL, "-o", "name").split()

    def everything(self, namespace):
        """What is in it, without what every namespace has or controllers keep a little longer."""
        names = self.deploying.kubectl("get", KINDS, "--namespace", namespace, "-o", "name").split()
        kept = ("configmap/kube-root-ca", "serviceaccount/default", "pod/")
        return [name for name in names if not name.startswith(kept)]


@pytest.fixture
def demo(deploying, epmd_binary):
    made = Demo(deploying, epmd_binary)
    yield made
    assert made.namespaces() == []


@pytest.fixture
def user(deploying, request, tmp_path):
    """A namespace, and a kubeconfig of somebody who may do what a Role there says, and nothing else."""
    name = re.sub("[^a-z0-9]+", "-", request.node.name.removeprefix("test_"))[:50].strip("-")
    deploying.create_namespace(name)
    deploying.cluster.create_service_account("somebody", name)
    yield name, deploying.cluster.kubeconfig(tmp_path / "config", "somebody", name)
    deploying.delete_namespace(name)


def grant(deploying, namespace, *rules):
    """Each rule "GROUP RESOURCES VERBS", with commas."""
    keys = ("apiGroups", "resources", "verbs")
    asked = [dict(zip(keys, (words.split(",") for words in rule.split(" ")))) for rule in rules]
    deploying.cluster.create_role("demo", asked, namespace)
    deploying.cluster.bind_role("demo", "demo", "somebody", namespace)


def listed(said):
    """[{pod: its nodes}] for each time that all lists were shown."""
    pods = re.findall(r"\] (kepmd-demo-\S+): Node\.list\(\) -> \[(.*)\]$", said, re.M)
    return [{name: nodes.replace("'", "").split(", ") for name, nodes in pods[at:at + 3]} for at in range(0, len(pods), 3)]


def test_it_works_and_leaves_nothing(demo):
    try:
        epmd = None if os.environ.get("KEPMD_NO_STATIC") else str(built("build-static"))
    except Unavailable:
        epmd = None
    said = demo.run(status=0, epmd=epmd)
    assert WORKED in said.splitlines()[-1]
    before, after = listed(said)
    for lists in (before, after):
        assert len(lists) == 3
        everybody = {node for nodes in lists.values() for node in nodes}
        assert len(everybody) == 3
        assert all(len(nodes) == 2 and set(nodes) < everybody for nodes in lists.values())
    assert len(set(before) & set(after)) == 2  # one was replaced
    assert "ok: all peers are joined: 2" in said and "wrong: " not in said
    assert "nothing is left of it" in said


def test_interrupted_in_the_middle_it_cleans_up_first(demo):
    for number in (signal.SIGINT, signal.SIGTERM):
        process, seen = demo.start(), []
        for line in process.stdout:
            seen.append(line)
            if "waiting: " in line:
                break
        assert len(demo.namespaces()) == 1, seen
        os.killpg(process.pid, number)   # as a terminal does: to all of them
        rest, _ = process.communicate(timeout=TIMEOUT)
        assert process.returncode == 128 + number, rest
        assert "nothing is left of it" in rest and WORKED not in rest
        assert demo.namespaces() == []


def test_nobody_reads_what_it_says_and_it_cleans_up_all_the_same(demo):
    process = demo.start("--timeout", "5", "--image", "nowhere/none:1")
    until(demo.namespaces, 60, "its namespace")
    process.stdout.close()
    assert process.wait(TIMEOUT) == 1
    assert demo.namespaces() == []


def test_an_image_that_cannot_be_had_and_an_epmd_that_does_not_run(demo):
    """Both at once: each gives up only after some 20 s, for pulls that fail are tried again."""
    first, second = demo.start("--image", "nowhere/none:1"), demo.start("--epmd", "/usr/bin/false")
    said, _ = first.communicate(timeout=TIMEOUT)
    assert first.returncode == 1, said
    assert "it did not work: " in said and "image nowhere/none:1 cannot be had (ErrImagePull" in said
    assert "kind load docker-image nowhere/none:1" in said and "nothing is left of it" in said
    said, _ = second.communicate(timeout=TIMEOUT)
    assert second.returncode == 1, said
    assert "container unpack does not run" in said and "give --epmd or --image" in said
    assert "nothing is left of it" in said
    assert "no program for Linux" in demo.run("--epmd", __file__, status=1)
    assert "No such file" in demo.run("--epmd", "/nowhere", status=1)


def test_nodes_of_another_architecture(demo, deploying):
    status = f"{CORE}/nodes/{NODE}/status"
    deploying.cluster.call("PATCH", status, {"status": {"nodeInfo": {"architecture": "s390x"}}})
    try:
        said = demo.run(status=1)
    finally:
        deploying.cluster.call("PATCH", status, {"status": {"nodeInfo": {"architecture": LABELS["kubernetes.io/arch"]}}})
    assert "the cluster's nodes are s390x: give one for these with --epmd" in said
    assert "making" not in said


def test_somebody_elses_namespace_stays_with_what_is_in_it(demo, deploying, user, tmp_path):
    """Where nobody may make namespaces or look at nodes; what the demo gives, its user must have."""
    namespace, config = user
    said = demo.run(status=1, config=config)
    assert "you may not create namespaces nor delete namespaces in this cluster: name a namespace" in said

    said = demo.run("--namespace", namespace, status=1, config=config)
    assert f"in namespace {namespace} you may not create deployments.apps, " in said and "get pods/log" in said
    assert "making" not in said

    grant(deploying, namespace, *RIGHTS)
    deploying.kubectl("create", "configmap", "mine", "--namespace", namespace, "--from-literal=a=b")
    before = demo.everything(namespace)
    said = demo.run("--namespace", namespace, status=1, config=config)
    assert "it did not work: kubectl create: " in said and "is attempting to grant RBAC permissions not currently held" in said
    until(lambda: demo.everything(namespace) == before, 60, "what was made to go")

    deploying.cluster.delete_role("demo", namespace)
    deploying.cluster.delete_role_binding("demo", namespace)
    grant(deploying, namespace, *RIGHTS, "discovery.k8s.io endpointslices list,watch")
    assert WORKED in demo.run("--namespace", namespace, status=0, config=config)
    foreign = tmp_path / "epmd"     # named from where it is
    foreign.write_bytes(b"\x7fELF\x02\x02\x01" + bytes(11) + b"\x00\x16")
    said = demo.run("--namespace", namespace, "--epmd", "epmd", "--timeout", "5", status=1, config=config,
                    cwd=tmp_path)
    assert "not done after 5 s (--timeout): " in said and "didn't match node selector" in said
    until(lambda: [name for name in demo.everything(namespace) if not name.startswith("role")]
          == [name for name in before if not name.startswith("role")], 60, "what was made to go")


def test_a_namespace_by_name_and_keep(demo, deploying):
    said = demo.run("--namespace", "demo-kept", "--keep", "--context", "lab", status=0)
    assert WORKED in said and "as asked for, in the namespace demo-kept" in said
    assert demo.namespaces() == ["namespace/demo-kept"]
    assert "-l kepmd-demo/run=" not in said
    words = re.search(r"to take it away: kubectl --context lab (.*)$", said, re.M)[1].split()
    said = demo.run("--context", "nope", status=1)
    assert 'kubectl has no context "nope"; choose one with --context: lab' in said
    again = demo.run("--image", "nowhere/none:1", "--timeout", "1", status=1)
    assert "there is still a namespace/demo-kept of another demo" in again
    deploying.kubectl(*words)
    until(lambda: not demo.namespaces(), 60, "the namespace to go")


def test_where_no_cluster_is(demo, tmp_path):
    empty = tmp_path / "empty"
    empty.write_text("")
    assert "kubectl has no current context; make a cluster first" in demo.run(status=1, config=empty)
    gone = tmp_path / "gone"
    gone.write_text(pathlib.Path(demo.deploying.config).read_text().replace(f":{demo.deploying.cluster.port}", ":9"))
    assert "it did not work: kubectl version: " in demo.run(status=1, config=gone)
    (tmp_path / "bin").mkdir()
    for program in ("bash", "python3", "dirname"):
        (tmp_path / "bin" / program).symlink_to(f"/usr/bin/{program}")
    assert "there is no kubectl: install it" in demo.run(status=1, path=str(tmp_path / "bin"))
    assert "usage: scripts/demo --kubernetes" in demo.run("--nonsense", status=2)


def test_a_policy_that_lets_no_pod_in(demo, deploying, user):
    namespace, _ = user
    deploying.cluster.call("POST", f"{CORE}/namespaces/{namespace}/limitranges", {
        "metadata": {"name": "small"}, "spec": {"limits": [{"type": "Container", "max": {"memory": "1Mi"}}]}})
    said = demo.run("--namespace", namespace, "--timeout", "5", status=1)
    assert "no pod can be made: " in said and "maximum memory usage per Container is 1Mi" in said
