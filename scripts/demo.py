"""What scripts/demo shows: three pods, a node in each, and who sees whom.

Every step waits for what it announces and fails if that does not come.
"""

import sys
import tempfile
import time
from pathlib import Path

from lab.beam import Beam, otp_with_epmd
from lab.pods import Network, unavailable
from lab.standin import Standin
from lab.wait import until

SERVICE = "sample"
STARTED = time.monotonic()


def say(text):
    print(f"[{time.monotonic() - STARTED:5.1f} s] {text}", flush=True)


def show(node, title):
    """Print what `epmd -names` says in the node's pod."""
    say(f"{title}: epmd -names in {node.pod.name} ({node.pod.ip})")
    for line in node.names_output().splitlines():
        print(f"            {line}")


class Node:
    """A pod with a stock Erlang node that has started our epmd by itself."""

    def __init__(self, network, name, binary, erl, api, folder):
        secrets = api.service_account_dir(folder / f"{name}-account")
        self.pod = network.pod(name, files={"/var/run/secrets/kubernetes.io/serviceaccount": secrets})
        self.binary = binary
        env = {"ERL_EPMD_DISCOVERY": "kubernetes", "ERL_EPMD_SELECTOR": f"app={SERVICE}",
               "ERL_EPMD_LOG": folder / f"{name}.log", **api.env()}
        self.beam = Beam(self.pod, erl=erl, env=env)
        self.beam.wait_started()

    @property
    def full_name(self):
        return f"sample@{self.pod.ip}"

    def names_output(self):
        return self.pod.run([self.binary, "-names"], check=True).stdout

    def sees(self):
        """{full name: port} of the discovered nodes that this pod's epmd lists."""
        words = [line.split() for line in self.names_output().splitlines()]
        return {w[1]: w[4] for w in words if w[0] == "name" and "@" in w[1]}

    def own_port(self):
        words = [line.split() for line in self.names_output().splitlines()]
        return next(w[4] for w in words if w[:2] == ["name", "sample"])


def await_mesh(nodes, timeout=10):
    """Wait until each node's epmd lists all the others, with the ports that they really have."""
    for node in nodes:
        wanted = {other.full_name: other.own_port() for other in nodes if other is not node}
        until(lambda node=node, wanted=wanted: node.sees() == wanted, timeout,
              f"the epmd of {node.pod.name} to list {wanted}")


def run(binary, network, folder):
    erl = otp_with_epmd(binary, folder / "otp")
    say("a stock Erlang/OTP whose erts-*/bin/epmd is ours; nothing else of it is changed")
    with Standin(where=network.host) as api:
        api.set_pods(SERVICE, [], labels={"app": SERVICE})
        say(f"a stand-in API server at {api.url}, with the Service \"{SERVICE}\" (app={SERVICE})")

        nodes = []
        for name in ("pod-a", "pod-b"):
            node = Node(network, name, binary, erl, api, folder)
            api.add_pod(SERVICE, node.pod.ip)
            nodes.append(node)
            say(f"{name}: erl -name {node.full_name} is up, and an endpoint of the Service")
        await_mesh(nodes)
        show(nodes[0], "each epmd lists the other's node, with its true port")

        third = Node(network, "pod-c", binary, erl, api, folder)
        begun = time.monotonic()
        api.add_pod(SERVICE, third.pod.ip)
        nodes.append(third)
        await_mesh(nodes)
        say(f"pod-c has joined; everybody lists it {time.monotonic() - begun:.2f} s after its endpoint came")
        show(nodes[0], "now")

        pong = nodes[0].beam.eval(f"net_adm:ping('{third.full_name}').")
        say(f"pod-a: net_adm:ping('{third.full_name}') -> {pong}")
        if pong != "pong":
            raise SystemExit("the nodes do not reach each other")

        say("the API server goes away for three seconds ...")
        api.stop_listening()
        api.drop_connections()
        time.sleep(3)
        await_mesh(nodes)
        say("... and nobody was forgotten")
        api.listen_again()

        begun = time.monotonic()
        api.remove_pod(SERVICE, third.pod.ip)
        third.beam.stop()
        nodes.remove(third)
        await_mesh(nodes, timeout=40)
        say(f"pod-c's endpoint is gone: it left the lists after {time.monotonic() - begun:.2f} s")
        show(nodes[0], "at the end")

        log = (folder / "pod-a.log").read_text().splitlines()
        say("what the epmd of pod-a logged:")
        for line in log:
            print(f"            {line}")
        for node in nodes:
            node.beam.stop()


def main():
    reason = unavailable()
    if reason:
        raise SystemExit(f"the demo cannot make its pods here: {reason}")
    with tempfile.TemporaryDirectory(prefix="kepmd-demo-") as folder, Network() as network:
        run(Path(sys.argv[1]), network, Path(folder))
    say("all of it worked")


if __name__ == "__main__":
    main()
