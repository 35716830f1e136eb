"""What scripts/demo shows: pods with an Erlang node in each, which join by themselves.

Every step waits for what it announces and fails if that does not come.
"""

import json
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


def show(text):
    for line in text.splitlines():
        print(f"            {line}", flush=True)


class Node:
    """A pod with a stock Erlang node that has started our epmd by itself."""

    def __init__(self, network, name, binary, erl, api, folder):
        self.api, self.binary = api, binary
        secrets = api.service_account_dir(folder / f"{name}-account")
        self.pod = network.pod(name, files={"/var/run/secrets/kubernetes.io/serviceaccount": secrets})
        env = {"ERL_EPMD_DISCOVERY": "kubernetes", "ERL_EPMD_SELECTOR": f"app={SERVICE}",
               "ERL_EPMD_LOG": folder / f"{name}.log", **api.env()}
        self.beam = Beam(self.pod, erl=erl, env=env)
        self.beam.wait_started()
        api.add_pod(SERVICE, self.pod.ip)
        say(f"{name}: erl -name {self.beam.name} is up, and an endpoint of the Service")

    def leave(self):
        self.api.remove_pod(SERVICE, self.pod.ip)
        self.beam.stop()

    def epmd(self, *args):
        return self.pod.run([self.binary, *args], check=True).stdout

    def peers(self):
        """{full name: state} of what `epmd -peers` lists."""
        return {peer["node"]: peer["joined"] for peer in json.loads(self.epmd("-peers", "-json"))["peers"]}

    def show_epmd(self, flag):
        say(f"{self.pod.name}: epmd {flag}")
        show(self.epmd(flag))


def await_joined(nodes, timeout=10):
    """Wait until the nodes() of each are all the others, and its epmd knows it."""
    begun = time.monotonic()
    for node in nodes:
        others = {other.beam.name for other in nodes} - {node.beam.name}
        node.beam.wait_nodes(others, timeout)
        until(lambda node=node, others=others: node.peers() == dict.fromkeys(others, "joined"), timeout,
              f"epmd -peers in {node.pod.name} to list {others} as joined")
    return time.monotonic() - begun


def show_nodes(nodes):
    for node in nodes:
        say(f"{node.pod.name}: nodes() -> {node.beam.eval('lists:sort(nodes()).')}")


def outage(api, nodes):
    restarted = nodes[-1]
    say(f"the API server goes away for three seconds; {restarted.pod.name}'s node is killed and starts again ...")
    api.stop_listening()
    api.drop_connections()
    restarted.beam.kill()
    restarted.beam.start()
    restarted.beam.wait_started()
    say(f"... it is joined again {await_joined(nodes):.2f} s after it was up ...")
    time.sleep(3)
    await_joined(nodes)
    say("... and nobody was forgotten")
    api.listen_again()


def run(binary, network, folder):
    erl = otp_with_epmd(binary, folder / "otp")
    say("a stock Erlang/OTP whose erts-*/bin/epmd is ours; no library, no line of application code")
    with Standin(where=network.host) as api:
        api.set_pods(SERVICE, [], labels={"app": SERVICE})
        say(f"a stand-in API server at {api.url}, with the Service \"{SERVICE}\" (app={SERVICE})")

        nodes = [Node(network, name, binary, erl, api, folder) for name in ("pod-a", "pod-b")]
        say(f"they are joined {await_joined(nodes):.2f} s later")
        show_nodes(nodes)

        nodes.append(Node(network, "pod-c", binary, erl, api, folder))
        say(f"everybody is joined with it {await_joined(nodes):.2f} s later")
        show_nodes(nodes)
        nodes[0].show_epmd("-peers")
        nodes[0].show_epmd("-names")
        nodes[0].show_epmd("-doctor")

        outage(api, nodes)
        show_nodes(nodes)

        begun = time.monotonic()
        nodes.pop().leave()
        await_joined(nodes, timeout=40)
        say(f"pod-c is gone, and from the lists {time.monotonic() - begun:.2f} s later")
        show_nodes(nodes)
        nodes[0].show_epmd("-peers")

        say("pod-a: what epmd logged")
        show((folder / "pod-a.log").read_text())
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
