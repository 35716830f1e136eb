"""From EndpointSlices to the registry, and what clients see of it: in pods, against the
stand-in API server, with stock epmd as the peers' own."""

import pytest

from lab import wire
from lab.sidecar import account_pod, await_discovered, count_log, discovered, discovering
from lab.wait import until

APP = {"app": "sample"}


@pytest.fixture
def api(network, standin):
    """A stand-in with the Service "sample" and no pods yet."""
    server = standin(where=network.host)
    server.set_pods("sample", [], labels=APP)
    return server


@pytest.fixture
def pod(network, api, tmp_path):
    return account_pod(network, api, tmp_path / "account")


@pytest.fixture
def peer(network, api, epmd, stock_epmd, closing):
    """Makes peers: a pod with stock epmd and a registered node, and its endpoint."""

    def make(port, name="sample", endpoint=True, **known):
        other = network.pod()
        other.epmd = epmd(stock_epmd, pod=other, port=4369)
        other.node = closing.enter_context(other.epmd.register(name, port))
        if endpoint:
            api.add_pod("sample", other.ip, **known)
        return other

    return make


@pytest.fixture
def daemon(epmd_binary, pod, api, closing):
    return lambda **kwargs: closing.enter_context(discovering(epmd_binary, pod, api, **kwargs))


def full(pod, name="sample"):
    return f"{name}@{pod.ip}"


def test_peers_come_and_go_with_their_endpoints(daemon, peer, api):
    first = peer(41001)
    ours = daemon()
    await_discovered(ours, {full(first): 41001})
    second = peer(41002)
    await_discovered(ours, {full(first): 41001, full(second): 41002}, timeout=2)
    api.remove_pod("sample", first.ip)
    await_discovered(ours, {full(second): 41002}, timeout=4)


def test_port2_for_a_full_name_is_what_the_peers_epmd_says(daemon, peer):
    other = peer(41463)
    ours = daemon()
    await_discovered(ours, {full(other): 41463})
    said, truth = ours.lookup(full(other)), other.epmd.lookup("sample")
    assert (said.port, said.type, said.protocol, said.highest, said.lowest, said.extra) == \
        (truth.port, truth.type, truth.protocol, truth.highest, truth.lowest, truth.extra)
    assert ours.lookup("sample") is None


def test_our_own_address_is_no_peer(daemon, pod, peer, api):
    api.add_pod("sample", pod.ip)
    other = peer(41001)
    ours = daemon()
    with ours.register("sample", 5):
        await_discovered(ours, {full(other): 41001})


@pytest.mark.parametrize("shown, here, there", [("local", True, False), ("none", False, False),
                                                ("all", True, True)])
def test_who_sees_discovered_nodes(daemon, peer, shown, here, there):
    other = peer(41001)
    ours = daemon(env={"ERL_EPMD_NAMES": shown})
    until(lambda: ours.lookup(full(other)), 5, "the peer's port")
    local = ours.pod.connect("127.0.0.1", 4369)
    own = ours.pod.connect(ours.pod.ip, 4369)
    remote = other.connect(ours.pod.ip, 4369)
    seen = []
    for connection in (local, own, remote):
        with connection:
            connection.sendall(wire.names())
            seen.append(full(other).encode() in connection.makefile("rb").read())
    assert seen == [here, there, there]


def test_kill_counts_local_nodes_only(daemon, peer):
    other = peer(41001)
    ours = daemon()
    await_discovered(ours, {full(other): 41001})
    assert ours.cli("-kill").stdout == "Killed\n"
    assert ours.wait_exit() == 0


def test_host_mode_dns(daemon, peer):
    other = peer(41001)
    ours = daemon(env={"ERL_EPMD_HOST_MODE": "dns", "CLUSTER_DOMAIN": "example.org"})
    dashed = other.ip.replace(".", "-")
    await_discovered(ours, {f"sample@{dashed}.default.pod.example.org": 41001})


def test_host_mode_hostname_needs_a_hostname(daemon, peer, api):
    named = peer(41001, hostname="sample-0")
    peer(41002)
    ours = daemon(env={"ERL_EPMD_HOST_MODE": "hostname"})
    await_discovered(ours, {"sample@sample-0.sample.default.svc.cluster.local": 41001})
    ours.wait_log("no node name: its endpoint has no hostname: .*StatefulSet")
    assert named


def test_a_fixed_port_asks_nobody(daemon, network, api):
    silent = network.pod()
    api.add_pod("sample", silent.ip)
    ours = daemon(env={"ERL_EPMD_DIST": "9100"})
    await_discovered(ours, {full(silent): 9100})


def test_a_named_port_is_the_endpoints(daemon, network, api):
    other = network.pod()
    api.set_pods("named", [other.ip], labels=APP, ports=[{"name": "dist", "port": 9200}])
    ours = daemon(env={"ERL_EPMD_DIST": "dist"})
    await_discovered(ours, {full(other): 9200})


def test_a_named_port_that_is_not_there_is_said(daemon, network, api):
    api.add_pod("sample", network.pod().ip)
    ours = daemon(env={"ERL_EPMD_DIST": "dist"})
    ours.wait_log('no port: its endpoint has no port named "dist"')


def test_several_basenames(daemon, peer, closing):
    other = peer(41001, name="web")
    closing.enter_context(other.epmd.register("worker", 41002))
    closing.enter_context(other.epmd.register("unasked", 41003))
    ours = daemon(env={"ERL_EPMD_BASENAME": "web,worker"})
    await_discovered(ours, {full(other, "web"): 41001, full(other, "worker"): 41002})


def test_every_visible_basename(daemon, peer, closing):
    other = peer(41001, name="web")
    closing.enter_context(other.epmd.register("worker", 41002))
    closing.enter_context(other.epmd.register("ghost", 41003, type=72))
    ours = daemon(env={"ERL_EPMD_BASENAME": "*"})
    await_discovered(ours, {full(other, "web"): 41001, full(other, "worker"): 41002})


def test_the_basename_is_that_of_local_nodes_by_default(daemon, peer):
    other = peer(41001, name="mine")
    ours = daemon(env={"ERL_EPMD_BASENAME": ""})
    with ours.register("mine", 5):
        await_discovered(ours, {full(other, "mine"): 41001})
    await_discovered(ours, {})


def test_a_release_says_the_basename(daemon, pod, peer):
    other = peer(41001, name="rel")
    ours = daemon(env={"ERL_EPMD_BASENAME": "", "RELEASE_NODE": f"rel@{pod.ip}"})
    await_discovered(ours, {full(other, "rel"): 41001})


def test_a_node_that_registers_later_is_found(daemon, network, api, epmd, stock_epmd):
    other = network.pod()
    api.add_pod("sample", other.ip, ready=False)
    ours = daemon()
    ours.wait_log(r"no port: epmd at .* Connection refused")
    with epmd(stock_epmd, pod=other, port=4369).register("sample", 41001):
        await_discovered(ours, {full(other): 41001}, timeout=5)


def test_a_restarted_container_changes_its_port(daemon, peer, api):
    other = peer(41001)
    ours = daemon()
    await_discovered(ours, {full(other): 41001})
    other.node.close()
    api.set_conditions("sample", other.ip, ready=False, serving=False)
    until(lambda: other.epmd.names() == [], 5, "the old node to be gone")
    with other.epmd.register("sample", 41002):
        api.set_conditions("sample", other.ip, ready=True, serving=True)
        await_discovered(ours, {full(other): 41002}, timeout=5)


def test_not_ready_and_terminating_peers_are_kept(daemon, peer):
    starting = peer(41001, ready=False, serving=False)
    ending = peer(41002, ready=False, terminating=True)
    await_discovered(daemon(), {full(starting): 41001, full(ending): 41002})


def test_a_peer_that_has_changed_still_leaves(daemon, peer, api):
    other = peer(41001, ready=False)
    ours = daemon()
    await_discovered(ours, {full(other): 41001})
    api.set_conditions("sample", other.ip, ready=True)
    late = peer(41002)
    await_discovered(ours, {full(other): 41001, full(late): 41002})
    api.remove_pod("sample", other.ip)
    await_discovered(ours, {full(late): 41002}, timeout=4)


def test_a_peer_that_moves_between_slices_never_leaves(daemon, peer, api):
    other = peer(41001, endpoint=False)
    api.put_slice("one", [other.ip], labels=APP)
    ours = daemon()
    await_discovered(ours, {full(other): 41001})
    api.delete_slice("one")
    api.put_slice("two", [other.ip], labels=APP)
    late = peer(41002)
    await_discovered(ours, {full(other): 41001, full(late): 41002})
    assert not any("is gone" in line for line in ours.log_lines())


def test_an_address_that_two_slices_give_stays_until_the_last_of_them_goes(daemon, peer, api):
    other = peer(41001, endpoint=False)
    with_pod = {"addresses": [other.ip], "targetRef": {"kind": "Pod", "name": "p", "uid": "u1"}}
    api.put_slice("one", [with_pod], labels=APP)
    ours = daemon()
    await_discovered(ours, {full(other): 41001})
    api.put_slice("two", [other.ip], labels=APP)
    until(lambda: count_log(ours, f"{full(other)}.*: port 41001") == 2, 5, "both to have a port")
    api.delete_slice("two")
    ours.wait_log(r"peer \S+ \(pod \?\) is gone")
    assert discovered(ours) == {full(other): 41001}
    api.delete_slice("one")
    await_discovered(ours, {}, timeout=4)


def test_labels_that_stop_matching_take_the_peers_away(daemon, peer, api):
    other = peer(41001, endpoint=False)
    api.put_slice("one", [other.ip], labels=APP)
    ours = daemon()
    await_discovered(ours, {full(other): 41001})
    api.put_slice("one", [other.ip], labels={"app": "other"})
    await_discovered(ours, {}, timeout=4)


def test_services_by_name_in_several_namespaces(daemon, network, epmd, stock_epmd, api, closing):
    pods = {}
    for service, namespace in (("a", "east"), ("b", "west"), ("c", "west")):
        other = network.pod()
        closing.enter_context(epmd(stock_epmd, pod=other, port=4369).register("sample", 41001))
        api.set_pods(service, [other.ip], namespace=namespace)
        pods[service] = other
    ours = daemon(selector=None, env={"ERL_EPMD_SERVICE": "a,b", "ERL_EPMD_NAMESPACE": "east, west"})
    await_discovered(ours, {full(pods["a"]): 41001, full(pods["b"]): 41001})


@pytest.mark.parametrize("versions", [["v1beta1"], []], ids=["v1beta1", "endpoints"])
def test_older_api_servers(daemon, peer, api, versions):
    api.versions = versions
    other = peer(41001)
    ours = daemon()
    await_discovered(ours, {full(other): 41001})
    late = peer(41002)
    await_discovered(ours, {full(other): 41001, full(late): 41002})


def test_a_kubeconfig(epmd_binary, network, api, peer, tmp_path, closing):
    other = peer(41001)
    path = api.kubeconfig(tmp_path / "config")
    ours = closing.enter_context(discovering(
        epmd_binary, network.pod(), api,
        env={"ERL_EPMD_KUBECONFIG": path, "KUBERNETES_SERVICE_HOST": "192.0.2.1"}))
    await_discovered(ours, {full(other): 41001})


def test_a_name_that_a_local_node_has_is_the_local_nodes(daemon, peer):
    other = peer(41001)
    ours = daemon()
    await_discovered(ours, {full(other): 41001})
    with ours.register(full(other), 5):
        assert ours.lookup(full(other)).port == 5
    assert discovered(ours) == {full(other): 41001}
