"""Against a real API server and controllers: what the README promises, in pods."""

import os
import pathlib
import time

import pytest

from lab.cluster import ENDPOINTS_RULES
from lab.epmd import Epmd
from lab.sidecar import PORT, await_discovered, discovered, discovering
from lab.world import APP

EXAMPLES = pathlib.Path(__file__).resolve().parents[2] / "examples"
SETTLED = 20  # seconds that controllers may take on a loaded machine
OUTAGE = float(os.environ.get("KEPMD_OUTAGE_SECONDS", "60"))


def true_port(daemon):
    return dict(daemon.names())["sample"]


def test_epmd_names_in_each_pod_shows_the_others(world, epmd_binary):
    world.allow()
    pods = [world.pod("a"), world.pod("b")]
    daemons = [world.epmd(epmd_binary, pod) for pod in pods]
    beams = [world.beam(pod) for pod in pods]
    for here, there in ((0, 1), (1, 0)):
        far = f"sample@{pods[there].ip}"
        await_discovered(daemons[here], {far: true_port(daemons[there])}, SETTLED)
        assert daemons[here].cli("-names").stdout == (
            f"epmd: up and running on port {PORT} with data:\n"
            f"name sample at port {true_port(daemons[here])}\n"
            f"name {far} at port {true_port(daemons[there])}\n")
        assert daemons[here].lookup(far).port == daemons[there].lookup("sample").port
    assert beams[0].eval(f"net_adm:ping('{beams[1].name}').") == "pong"


def test_a_third_pod_comes_within_a_second_of_its_endpoint_and_goes(world, epmd_binary, stock_epmd):
    world.allow()
    first, second = world.pod("a"), world.pod("b")
    ours = world.epmd(epmd_binary, first)
    with Epmd(stock_epmd, pod=second, port=PORT) as far, far.register("sample", 41001):
        await_discovered(ours, {f"sample@{second.ip}": 41001}, SETTLED)
        # Its node is up before its endpoint is there: the time measured is ours.
        third = world.network.pod(f"{world.name[-20:]}-c")
        world.stack.callback(world.network.remove, third)
        with Epmd(stock_epmd, pod=third, port=PORT) as late, late.register("sample", 41002):
            world.cluster.create_pod("c", third.ip, APP, namespace=world.name)
            while third.ip not in world.cluster.endpoint_addresses("sample", world.name):
                pass
            begun = time.monotonic()
            await_discovered(ours, {f"sample@{second.ip}": 41001, f"sample@{third.ip}": 41002}, 1)
            print(f"\na third pod is listed {time.monotonic() - begun:.3f} s after its endpoint was seen")
            world.cluster.delete_pod("c", world.name)
            await_discovered(ours, {f"sample@{second.ip}": 41001}, SETTLED)


def test_scaling_up_and_down(world, epmd_binary):
    world.allow()
    ours = world.epmd(epmd_binary, world.pod("self"), ERL_EPMD_DIST="9100")
    wanted = {}
    for number in range(1, 13):
        address = f"10.77.0.{number}"
        world.cluster.create_pod(f"p{number}", address, APP, namespace=world.name)
        wanted[f"sample@{address}"] = 9100
    await_discovered(ours, wanted, SETTLED)
    for number in range(4, 13):
        world.cluster.delete_pod(f"p{number}", world.name)
        del wanted[f"sample@10.77.0.{number}"]
    await_discovered(ours, wanted, SETTLED)


def test_a_selector_that_stops_matching(world, epmd_binary):
    world.allow()
    ours = world.epmd(epmd_binary, world.pod("self"), ERL_EPMD_DIST="9100")
    world.cluster.create_pod("p", "10.77.0.1", APP, namespace=world.name)
    await_discovered(ours, {"sample@10.77.0.1": 9100}, SETTLED)
    path = f"/api/v1/namespaces/{world.name}/services/sample"
    world.cluster.call("PATCH", path, {"metadata": {"labels": {"app": "other"}}})
    await_discovered(ours, {}, SETTLED)
    world.cluster.call("PATCH", path, {"metadata": {"labels": {"app": "sample"}}})
    await_discovered(ours, {"sample@10.77.0.1": 9100}, SETTLED)


def test_the_services_of_this_pod_are_found_and_watched(world, epmd_binary):
    world.allow()
    own = world.pod("self")
    world.cluster.create_pod("p", "10.77.0.1", APP, namespace=world.name)
    world.cluster.create_service("other", {"app": "other"}, ports=[("epmd", PORT)], namespace=world.name)
    world.cluster.create_pod("o", "10.77.0.9", {"app": "other"}, namespace=world.name)
    ours = world.stack.enter_context(discovering(epmd_binary, own, world, selector=None,
                                                 env={"ERL_EPMD_DIST": "9100"}))
    ours.wait_log("found by this host's address: sample$", timeout=60)
    await_discovered(ours, {"sample@10.77.0.1": 9100}, SETTLED)
    world.cluster.create_pod("q", "10.77.0.2", APP, namespace=world.name)
    await_discovered(ours, {"sample@10.77.0.1": 9100, "sample@10.77.0.2": 9100}, SETTLED)
    world.cluster.delete_pod("p", world.name)
    await_discovered(ours, {"sample@10.77.0.2": 9100}, SETTLED)


def test_rights_missing_then_granted(world, epmd_binary):
    ours = world.epmd(epmd_binary, world.pod("self"), ERL_EPMD_DIST="9100")
    world.cluster.create_pod("p", "10.77.0.1", APP, namespace=world.name)
    line = ours.wait_log(r"403 .*").group()
    assert f"system:serviceaccount:{world.name}:sample" in line and "RoleBinding" in line
    assert discovered(ours) == {}
    world.allow()
    await_discovered(ours, {"sample@10.77.0.1": 9100}, 45)


def test_rights_on_endpoints_alone_will_do(world, epmd_binary):
    world.allow(ENDPOINTS_RULES)
    world.cluster.create_pod("p", "10.77.0.1", APP, ready=False, namespace=world.name)
    ours = world.epmd(epmd_binary, world.pod("self"), ERL_EPMD_DIST="9100")
    await_discovered(ours, {"sample@10.77.0.1": 9100}, SETTLED)
    world.cluster.delete_pod("p", world.name)
    await_discovered(ours, {}, SETTLED)


def test_hostnames_of_a_stateful_set(world, epmd_binary):
    world.allow()
    world.cluster.create_pod("sample-0", "10.77.0.1", APP, hostname="sample-0", subdomain="sample",
                             namespace=world.name)
    ours = world.epmd(epmd_binary, world.pod("self"), ERL_EPMD_DIST="9100", ERL_EPMD_HOST_MODE="hostname")
    await_discovered(ours, {f"sample@sample-0.sample.{world.name}.svc.cluster.local": 9100}, SETTLED)


@pytest.mark.parametrize("user", ["admin", "sample"], ids=["client certificate", "token"])
def test_a_kubeconfig(world, epmd_binary, user):
    world.allow()
    world.cluster.create_pod("p", "10.77.0.1", APP, namespace=world.name)
    path = world.cluster.kubeconfig(str(world.folder / "config"), user, world.name)
    pod = world.network.pod(f"kubeconfig-{user}")
    world.stack.callback(world.network.remove, pod)
    ours = world.epmd(epmd_binary, pod, ERL_EPMD_KUBECONFIG=path, ERL_EPMD_DIST="9100")
    await_discovered(ours, {"sample@10.77.0.1": 9100}, SETTLED)


def test_the_examples_manifests_give_all_that_is_needed(world, bin_dir, epmd_binary):
    config = world.cluster.kubeconfig(str(world.folder / "config"), "admin", world.name)
    world.network.host.run([f"{bin_dir}/kubectl", "--kubeconfig", config, "apply", "-f",
                            EXAMPLES / "elixir" / "k8s.yaml"], env={"HOME": world.folder}, check=True)
    world.cluster.create_pod("p", "10.77.0.1", APP, ready=False, namespace=world.name)
    ours = world.epmd(epmd_binary, world.pod("self"), ERL_EPMD_DIST="9100")
    await_discovered(ours, {"sample@10.77.0.1": 9100}, SETTLED)


def test_with_the_api_server_stopped_nothing_leaves(world, epmd_binary):
    """Last in the file: it takes the API server away from everybody."""
    world.allow()
    for number in (1, 2):
        world.cluster.create_pod(f"p{number}", f"10.77.0.{number}", APP, namespace=world.name)
    two = {f"sample@10.77.0.{number}": 9100 for number in (1, 2)}
    ours = world.epmd(epmd_binary, world.pod("self"), ERL_EPMD_DIST="9100")
    await_discovered(ours, two, SETTLED)
    world.cluster.stop_apiserver()
    ours.wait_log("refused|reset|closed", timeout=20)
    ends = time.monotonic() + OUTAGE
    while time.monotonic() < ends:
        assert discovered(ours) == two
        time.sleep(1)
    world.cluster.start_apiserver()
    world.cluster.create_pod("p3", "10.77.0.3", APP, namespace=world.name)
    begun = time.monotonic()
    await_discovered(ours, {**two, "sample@10.77.0.3": 9100}, 60)
    print(f"\nafter {OUTAGE:.0f} s without API server a new pod is listed {time.monotonic() - begun:.1f} s "
          "after its creation")
