"""The real API server behind a link that breaks: whatever it does, nobody leaves who is still there."""

import pytest

from lab.proxy import Proxy
from lab.sidecar import await_discovered, discovered
from lab.wait import until
from lab.world import APP

SETTLED = 20     # seconds that controllers may take on a loaded machine
RECOVERED = 60   # backoff is half a minute at most


@pytest.fixture
def proxy(cluster, shared_network, closing):
    return closing.enter_context(Proxy((cluster.address, cluster.port), shared_network.host))


@pytest.fixture
def linked(world, proxy, epmd_binary):
    """A daemon behind the proxy that knows three pods and is watching."""
    world.allow()
    for number in (1, 2, 3):
        world.cluster.create_pod(f"p{number}", f"10.77.0.{number}", APP, namespace=world.name)
    ours = world.epmd(epmd_binary, world.pod("self"), ERL_EPMD_DIST="9100", ERL_EPMD_LOG_LEVEL="debug", **proxy.env())
    await_discovered(ours, nodes(1, 2, 3), SETTLED)
    ours.wait_log("GET .*watch=1")
    return ours


def nodes(*numbers):
    return {f"sample@10.77.0.{number}": 9100 for number in numbers}


def on_server(world, numbers):
    wanted = {f"10.77.0.{number}" for number in numbers}
    until(lambda: {a for a in world.cluster.endpoint_addresses("sample", world.name) if a.startswith("10.77.")}
          == wanted, SETTLED, f"the controllers to have {wanted}")


def change_and_heal(world, ours, heal):
    """While the link is broken one pod goes and one comes. The others never leave."""
    world.cluster.delete_pod("p1", world.name)
    world.cluster.create_pod("p4", "10.77.0.4", APP, namespace=world.name)
    on_server(world, (2, 3, 4))
    known = discovered(ours)
    assert nodes(2, 3).items() <= known.items()
    heal()

    def recovered():
        now = discovered(ours)
        assert nodes(2, 3).items() <= now.items()
        return now == nodes(2, 3, 4)
    until(recovered, RECOVERED, "what happened meanwhile to be known")


@pytest.mark.parametrize("kind", ["stall", "cut", "reset", "refuse"])
def test_fault_05_06_07_a_link_that_breaks(world, proxy, linked, kind):
    """Cut means anywhere, also within a record of TLS; what is tried again ends the same way."""
    proxy.fault(kind, most=300)
    change_and_heal(world, linked, proxy.heal)
    if kind == "stall":
        assert not any("the watch was cut" in line for line in linked.log_lines())


def test_fault_06_packets_that_get_lost(world, shared_network, linked):
    pod = linked.pod
    shared_network.cut(pod, shared_network.host)
    change_and_heal(world, linked, lambda: shared_network.heal(pod, shared_network.host))


def test_fault_01_a_link_that_trickles(world, proxy, linked):
    """News come, if slowly: three bytes at a time."""
    proxy.fault("trickle", piece=3, pause=0.002)
    change_and_heal(world, linked, lambda: None)


def test_a_proxy_carries_everything_and_nothing(cluster, proxy):
    """What the other tests rely on: it is the link that breaks, not the lab."""
    with pytest.raises(ValueError):
        proxy.fault("dance")
    before = proxy.accepted
    with proxy.where.connect(proxy.address, proxy.port) as connection:
        until(lambda: proxy.open_links() == 1, 5, "the connection to be carried")
        proxy.fault("reset")
        with pytest.raises(ConnectionResetError):
            connection.recv(1)
    proxy.fault("refuse")
    with pytest.raises(ConnectionRefusedError):
        proxy.where.connect(proxy.address, proxy.port)
    proxy.heal()
    proxy.where.connect(proxy.address, proxy.port).close()
    until(lambda: proxy.open_links() == 0 and proxy.accepted == before + 2, 5, "the links to end")
