"""An unmodified mix release whose erts-*/bin/epmd is ours, in pods of a real Kubernetes API server, with
two settings beside POD_IP: its nodes join by themselves."""

import datetime
import re
import statistics
import time

import pytest

from lab.release import Running
from lab.wait import until

SETTLED = 30  # seconds that controllers, and five VMs on two cores, may take
MEDIAN_WANTED = 0.5  # seconds, on a machine with nothing else to do; a loaded one is given more
MEDIAN_MAX = 5
COUNT = 5
STAMP = r"(\d\d):(\d\d):(\d\d\.\d+)"


class Fleet:
    """The pods of one world, with the release in each."""

    def __init__(self, world, release):
        self.world, self.release, self.running = world, release, {}
        world.allow()

    def start(self, name):
        pod = self.world.pod(name)
        env = {"ERL_EPMD_DISCOVERY": "kubernetes", "ERL_EPMD_SELECTOR": "app=sample", **self.world.env()}
        self.running[name] = self.world.stack.enter_context(Running(self.release, pod, env))
        return self.running[name]

    def replace(self, old, new):
        """As a Deployment does with a pod that is gone: another one, with another address."""
        gone = self.running.pop(old)
        gone.kill()
        self.world.delete(gone.pod)
        return self.start(new)

    def is_whole(self):
        names = {one.name for one in self.running.values()}
        return all(one.connected() == names - {one.name} for one in self.running.values())

    def await_whole(self, timeout=SETTLED):
        begun = time.monotonic()
        try:
            until(self.is_whole, timeout, "every node to be connected to all others", every=0.05)
        except TimeoutError as error:
            texts = [f"--- {one.name}: {one.connected()}\n{one.log_text()}" for one in self.running.values()]
            raise TimeoutError(f"{error}\n" + "\n".join(texts)) from None
        return time.monotonic() - begun


@pytest.fixture
def fleet(world, build_release):
    return Fleet(world, build_release("elixir"))


def seconds(match):
    hours, minutes, rest = match.groups()[:3]
    return datetime.timedelta(hours=int(hours), minutes=int(minutes), seconds=float(rest)).total_seconds()


def time_to_full(running, others):
    """Seconds that a node's last life took from its applications being up to all others being connected."""
    text = running.node_log()
    up = list(re.finditer(STAMP + r" .*is up", text))[-1]
    full = re.compile(STAMP + rf" .*nodeup .*, {others} connected").search(text, up.end())
    return (seconds(full) - seconds(up)) % 86400


def test_node_list_fills_itself(fleet):
    for name in ("a", "b"):
        fleet.start(name).wait_started()
    fleet.await_whole()
    for name in ("c", "d", "e"):
        fleet.start(name)
    for one in fleet.running.values():
        one.wait_started(60)
    fleet.await_whole()
    for one in fleet.running.values():
        listed = one.rpc("IO.inspect(Node.list)")
        others = {other.name for other in fleet.running.values()} - {one.name}
        assert set(re.findall(r'sample@[\d.]+', listed)) == others
        assert "epmd" not in listed

    times = []
    for one in fleet.running.values():
        one.kill()
        one.start()
        one.wait_started()
        fleet.await_whole()
        times.append(time_to_full(one, COUNT - 1))
    print(f"\n{COUNT} pods: from applications up to the full Node.list: median {statistics.median(times):.3f} s "
          f"(wanted: {MEDIAN_WANTED}) "
          f"({', '.join(f'{t:.3f}' for t in times)})")
    assert statistics.median(times) < MEDIAN_MAX


def test_the_mesh_heals(fleet):
    for name in ("a", "b", "c"):
        fleet.start(name)
    for one in fleet.running.values():
        one.wait_started(60)
    fleet.await_whole()

    def whole(what, one, timeout=SETTLED):
        one.wait_started()
        fleet.await_whole(timeout)
        print(f"\n{what}: whole {time_to_full(one, 2):.3f} s after the new node's applications were up", end="")

    whole("a pod replaced", fleet.replace("a", "a2"))

    b, c = fleet.running["b"], fleet.running["c"]
    b.kill_epmd()
    b.epmd("-daemon")
    until(lambda: "sample" in b.registered(), 10, "the node to register again")
    c.kill()
    c.start()
    whole("an epmd killed and started again, and another pod's node restarted", c)

    fleet.world.cluster.stop_apiserver()
    c.kill()
    c.start()
    whole("without the API server, a node restarted", c)
    fleet.world.cluster.start_apiserver()
    whole("with it again, a pod replaced", fleet.replace("b", "b2"), 60)
