"""The lab's own Kubernetes: is it sound enough to judge a client by?"""

import json
import os
import signal
import subprocess
import sys

import pytest
from lab.cluster import Cluster, Unavailable, programs
from lab.wait import until

LABELS = {"app": "sample"}
SETTLED = 20  # seconds that a controller may take on a loaded machine

# Starts a cluster, tells what it consists of, and stays.
OWNER = """
import json, signal, sys
from lab.cluster import Cluster
with Cluster(bin_dir=sys.argv[1]) as cluster:
    print(json.dumps([cluster.directory, cluster.pids()]), flush=True)
    signal.pause()
"""


@pytest.fixture(scope="module")
def bin_dir():
    try:
        return programs()
    except Unavailable as reason:
        pytest.skip(str(reason))


@pytest.fixture(scope="module")
def cluster(bin_dir):
    with Cluster(bin_dir=bin_dir) as running:
        yield running


@pytest.fixture
def namespace(cluster, request):
    """A namespace for one test, so that none meets what another left."""
    name = request.node.name.replace("_", "-")
    cluster.create_namespace(name)
    return name


@pytest.fixture
def two_pods(cluster, namespace):
    """A headless Service with two pods, all of them known to the controllers."""
    cluster.create_service("sample", LABELS, labels=LABELS, ports=[("epmd", 4369)], namespace=namespace)
    cluster.create_pod("one", "10.0.0.1", LABELS, namespace=namespace)
    cluster.create_pod("two", "10.0.0.2", LABELS, ready=False, namespace=namespace)
    await_addresses(cluster, namespace, {"10.0.0.1", "10.0.0.2"})
    return namespace


def await_addresses(cluster, namespace, expected):
    until(lambda: cluster.endpoint_addresses("sample", namespace) == expected, SETTLED, f"Endpoints with {expected}")
    until(lambda: set(slice_endpoints(cluster, namespace)) == expected, SETTLED, f"slices with {expected}")


def slice_endpoints(cluster, namespace):
    """The endpoints of all slices of the Service, by address."""
    reply = cluster.list_slices("kubernetes.io/service-name=sample", namespace)
    assert reply.status == 200
    return {endpoint["addresses"][0]: endpoint for item in reply.body["items"]
            for endpoint in item["endpoints"] or []}


def test_is_a_kubernetes(cluster):
    version = cluster.call("GET", "/version")
    assert (version["major"], version["minor"]) == ("1", "20")
    assert version["gitVersion"].startswith("v1.20.")


def test_endpoints_have_both_pods(cluster, two_pods):
    # The Service publishes pods that are not ready: the Endpoints have them among the others.
    endpoints = cluster.call("GET", f"/api/v1/namespaces/{two_pods}/endpoints/sample")
    assert [len(subset["addresses"]) for subset in endpoints["subsets"]] == [2]
    assert endpoints["subsets"][0]["ports"] == [{"name": "epmd", "port": 4369, "protocol": "TCP"}]


def test_slices_are_sound_json(cluster, two_pods):
    body = cluster.list_slices("app=sample", two_pods).body
    assert body["kind"] == "EndpointSliceList" and body["apiVersion"] == "discovery.k8s.io/v1beta1"
    assert body["metadata"]["resourceVersion"].isdigit()
    # There may be placeholders of either family beside the slice that has the endpoints.
    assert [item["addressType"] for item in body["items"] if item["endpoints"]] == ["IPv4"]
    names = {address: endpoint["targetRef"]["name"]
             for address, endpoint in slice_endpoints(cluster, two_pods).items()}
    assert names == {"10.0.0.1": "one", "10.0.0.2": "two"}


def test_readiness_reaches_the_slices(cluster, two_pods):
    cluster.set_ready("two", True, two_pods)
    until(lambda: slice_endpoints(cluster, two_pods)["10.0.0.2"]["conditions"]["serving"], SETTLED, "two to serve")
    cluster.set_ready("two", False, two_pods)
    until(lambda: not slice_endpoints(cluster, two_pods)["10.0.0.2"]["conditions"]["serving"], SETTLED,
          "two to serve no more")


def test_a_pod_that_terminates_is_told_apart(cluster, two_pods):
    cluster.delete_pod("one", two_pods, grace=30)
    until(lambda: slice_endpoints(cluster, two_pods)["10.0.0.1"]["conditions"]["terminating"], SETTLED,
          "one to be terminating")
    assert not slice_endpoints(cluster, two_pods)["10.0.0.2"]["conditions"]["terminating"]


def test_a_deleted_pod_goes(cluster, two_pods):
    cluster.delete_pod("one", two_pods)
    await_addresses(cluster, two_pods, {"10.0.0.2"})


def test_a_role_opens_the_slices(cluster, namespace):
    def status():
        return cluster.list_slices(namespace=namespace, token=token).status

    cluster.create_service_account("reader", namespace)
    token = cluster.token("reader", namespace)
    refused = cluster.list_slices(namespace=namespace, token=token)
    assert refused.status == 403 and f"system:serviceaccount:{namespace}:reader" in refused.body["message"]
    cluster.create_role("slices", namespace=namespace)
    cluster.bind_role("reader-slices", "slices", "reader", namespace)
    until(lambda: status() == 200, SETTLED, "the binding to count")
    cluster.delete_role_binding("reader-slices", namespace)
    until(lambda: status() == 403, SETTLED, "the binding to be gone")


def test_a_wrong_token_is_refused(cluster):
    assert cluster.list_slices(token="nonsense").status == 401


def test_a_pod_finds_its_account(cluster, namespace, tmp_path):
    cluster.create_service_account("reader", namespace)
    mount = tmp_path / "serviceaccount"
    cluster.service_account_dir("reader", str(mount), namespace)
    assert sorted(entry.name for entry in mount.iterdir() if not entry.name.startswith("..")) == [
        "ca.crt", "namespace", "token"]
    assert (mount / "namespace").read_text() == namespace
    assert (mount / "ca.crt").read_text() == cluster.ca_pem
    review = {"spec": {"resourceAttributes": {"namespace": namespace, "verb": "list", "resource": "endpoints"}}}
    reply = cluster.request("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", review,
                            token=(mount / "token").read_text())
    assert reply.status == 201 and reply.body["status"]["allowed"] is False


@pytest.mark.parametrize("user", ["admin", "reader"])
def test_kubeconfig_is_one_that_kubectl_takes(cluster, bin_dir, tmp_path, user):
    if user != "admin":
        cluster.create_service_account(user)
    config = cluster.kubeconfig(str(tmp_path / "config"), user)
    done = subprocess.run([bin_dir / "kubectl", "--kubeconfig", config, "--cache-dir", tmp_path / "cache",
                           "auth", "can-i", "list", "endpoints"], capture_output=True, text=True, timeout=30,
                          check=False)
    assert done.stdout.strip() == ("yes" if user == "admin" else "no"), done.stderr


def test_a_frozen_server_is_silent_and_comes_back(cluster):
    cluster.freeze()
    try:
        with pytest.raises(TimeoutError):
            cluster.request("GET", "/version", timeout=1)
    finally:
        cluster.thaw()
    assert cluster.request("GET", "/version").status == 200


def test_data_survives_the_server(cluster, two_pods):
    port = cluster.port
    cluster.stop_apiserver()
    with pytest.raises(ConnectionRefusedError):
        cluster.request("GET", "/readyz")
    cluster.start_apiserver()
    assert cluster.port == port
    assert cluster.endpoint_addresses("sample", two_pods) == {"10.0.0.1", "10.0.0.2"}
    # And the controllers have found it again.
    cluster.create_pod("three", "10.0.0.3", LABELS, namespace=two_pods)
    until(lambda: "10.0.0.3" in cluster.endpoint_addresses("sample", two_pods), 60, "the third address")


def test_lives_in_a_network_namespace_and_speaks_ipv6(network, bin_dir):
    with Cluster(network.host.ip6, network.host.netns, bin_dir) as cluster:
        assert cluster.server_url == f"https://[{network.host.ip6}]:{cluster.port}"
        assert set(cluster.pids()) <= set(network.host.processes())
        pod = network.pod("one")
        cluster.create_service("sample", LABELS)
        cluster.create_pod("one", pod.ip6, LABELS)
        until(lambda: cluster.endpoint_addresses("sample") == {pod.ip6}, SETTLED, "the pod's address")
        pod.connect(cluster.address, cluster.port).close()


def is_running(pid):
    """False for a zombie too, which waits for init and has no program any more."""
    return os.path.exists(f"/proc/{pid}/exe")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_nothing_outlives_its_owner(bin_dir, number):
    with subprocess.Popen([sys.executable, "-c", OWNER, bin_dir], stdout=subprocess.PIPE, text=True) as owner:
        directory, pids = json.loads(owner.stdout.readline())
        assert len(pids) == 3 and os.path.isdir(directory)
        owner.send_signal(number)
    until(lambda: not any(is_running(pid) for pid in pids), SETTLED, "the servers to be gone")
    until(lambda: not os.path.exists(directory), SETTLED, "the folder to be gone")
