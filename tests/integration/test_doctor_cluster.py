"""`epmd -doctor` and the faults of the API: against a real API server, with its own RBAC."""

import os
import pathlib

import pytest

from lab.authority import Authority
from lab.service_account import write_mount
from lab.wait import until
from lab.world import APP

LIST_ONLY = [{"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["list"]}]
SETTLED = 60  # seconds that controllers, and retries, may take on a loaded machine


def wait_said(ours, *words, timeout=SETTLED):
    seen = {}

    def said():
        seen["done"] = ours.cli("-doctor")
        return seen["done"].returncode == 1 and all(word in seen["done"].stdout for word in words)

    try:
        until(said, timeout, "", every=0.2)
    except TimeoutError:
        log = "\n".join(ours.log_lines())
        raise TimeoutError(f"waited {timeout:g} s for {words}:\n{seen['done'].stdout}\n{log}") from None
    return seen["done"].stdout


def wait_well(ours, timeout=SETTLED):
    seen = {}

    def well():
        seen["done"] = ours.cli("-doctor")
        return seen["done"].returncode == 0 and "wait: " not in seen["done"].stdout

    try:
        until(well, timeout, "", every=0.2)
    except TimeoutError:
        raise TimeoutError(f"not well:\n{seen['done'].stdout}") from None
    return seen["done"].stdout


def test_two_pods_of_a_real_cluster_have_nothing_wrong(world, epmd_binary):
    world.allow()
    pods = [world.pod("a"), world.pod("b")]
    daemons = [world.epmd(epmd_binary, pod, RELEASE_COOKIE="lab") for pod in pods]
    for pod in pods:
        world.beam(pod)
    for ours in daemons:
        said = wait_well(ours)
        assert all(line.startswith("ok: ") for line in said.splitlines())
        assert "all peers are joined: 1" in said


def test_rbac_without_list_then_with_it(world, epmd_binary):
    ours = world.epmd(epmd_binary, world.pod("self"), RELEASE_COOKIE="lab")
    world.beam(world.network.pods[-1])
    said = wait_said(ours, "[rbac-list]")
    assert f'"list" on endpointslices.discovery.k8s.io in namespace {world.name}' in said
    assert f"system:serviceaccount:{world.name}:sample" in said
    world.allow()
    wait_well(ours, 90)


def test_rbac_without_watch(world, epmd_binary):
    world.allow(LIST_ONLY)
    ours = world.epmd(epmd_binary, world.pod("self"))
    said = wait_said(ours, "[rbac-watch]")
    assert '"watch" on endpointslices.discovery.k8s.io' in said and "[rbac-list]" not in said


def test_a_token_that_is_absent(world, epmd_binary):
    world.allow()
    pod = world.pod("self")
    write_mount(str(world.folder / "self"), None, world.cluster.ca_pem, world.name)
    os.unlink(world.folder / "self" / "token")
    ours = world.epmd(epmd_binary, pod)
    assert "token" in wait_said(ours, "[no-credentials]", "automountServiceAccountToken")


def test_a_token_of_another_cluster(world, epmd_binary):
    world.allow()
    pod = world.pod("self")
    write_mount(str(world.folder / "self"), "not-a-token", world.cluster.ca_pem, world.name)
    wait_said(world.epmd(epmd_binary, pod), "[unauthorized]", "401")


def test_a_wrong_ca(world, epmd_binary):
    world.allow()
    pod = world.pod("self")
    ca = pathlib.Path(Authority(str(world.folder / "other")).ca).read_text(encoding="ascii")
    write_mount(str(world.folder / "self"), world.cluster.token("sample", world.name), ca, world.name)
    wait_said(world.epmd(epmd_binary, pod), "[wrong-ca]")


@pytest.mark.parametrize("address", ["refused", "silent"])
def test_an_api_that_is_unreachable(world, epmd_binary, address):
    world.allow()
    env = {"KUBERNETES_SERVICE_PORT": "1"} if address == "refused" else {"KUBERNETES_SERVICE_HOST": "10.1.254.254"}
    ours = world.epmd(epmd_binary, world.pod("self"), **env)
    wait_said(ours, "[no-api]", *env.values())


def patch_service(world, change):
    world.cluster.call("PATCH", f"/api/v1/namespaces/{world.name}/services/sample", change)


def test_a_selector_that_matches_nothing(world, epmd_binary):
    world.allow()
    patch_service(world, {"metadata": {"labels": {"app": "other"}}})
    pod = world.pod("self")
    until(lambda: world.cluster.list_slices("app=sample", world.name).body["items"] == [], SETTLED, "no such slices")
    said = wait_said(world.epmd(epmd_binary, pod), "[no-service]")
    assert f"nothing in namespace {world.name} matches selector app=sample" in said


def test_a_service_that_selects_no_pods(world, epmd_binary):
    world.allow()
    patch_service(world, {"spec": {"selector": {"app": "nobody"}}})
    pod = world.pod("self")
    until(lambda: not world.cluster.endpoint_addresses("sample", world.name), SETTLED, "no endpoints")
    # The controller's empty slice comes in a moment; until then there is none.
    wait_said(world.epmd(epmd_binary, pod), "[no-endpoints]")


def test_the_own_pod_is_not_among_the_endpoints(world, epmd_binary):
    world.allow()
    world.cluster.create_pod("other", "10.77.0.1", APP, namespace=world.name)
    pod = world.pod("self")
    world.cluster.delete_pod("self", world.name)
    ours = world.epmd(epmd_binary, pod, ERL_EPMD_DIST="9100")
    wait_said(ours, "[own-pod]")


def test_an_api_server_that_stops_is_named_and_nothing_else(world, epmd_binary):
    """Last in the file: it takes the API server away from everybody."""
    world.allow()
    pod = world.pod("self")
    ours = world.epmd(epmd_binary, pod, RELEASE_COOKIE="lab")
    world.beam(pod)
    wait_well(ours)
    world.cluster.stop_apiserver()
    try:
        said = wait_said(ours, "[no-api]")
        assert said.count("wrong: ") == 1
    finally:
        world.cluster.start_apiserver()
    wait_well(ours, 90)
