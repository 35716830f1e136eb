"""What scripts/demo --microposts shows: one page served by two pods, to be opened in a browser."""

import contextlib
import signal
import sys
import tempfile
from pathlib import Path

from lab import microposts
from lab.forward import Forward
from lab.microposts import APP, PORT, Microposts
from lab.pods import Network, unavailable
from lab.sidecar import account_pod
from lab.standin import Standin
from lab.wait import until

NAMES = ("pod-a", "pod-b")
JOINED_TIMEOUT = 30


def say(text):
    print(text, flush=True)


def run(binary, network, folder, stack):
    say("building the release, with our epmd in it ...")
    release = microposts.build(folder, binary)
    api = stack.enter_context(Standin(where=network.host))
    pods = [account_pod(network, api, folder / name, name) for name in NAMES]
    api.set_pods(APP, [pod.ip for pod in pods], labels={"app": APP})
    running = [stack.enter_context(Microposts(release, pod, api.env())) for pod in pods]
    for one in running:
        one.wait_started()
    for one, other in (running, running[::-1]):
        until(lambda one=one, other=other: other.name in one.epmd("-peers").stdout and
              "1 joined" in one.epmd("-peers").stdout, JOINED_TIMEOUT, f"{one.name} to be joined with {other.name}")
    say("two pods, joined. Open both addresses, side by side, and post something:\n")
    for one in running:
        say(f"    {stack.enter_context(Forward(one.pod, PORT)).url}    {one.name}")
    say("\nCtrl-C ends it.")
    signal.pause()


def stop(_number, _frame):
    raise KeyboardInterrupt


def main():
    reason = unavailable()
    if reason:
        raise SystemExit(f"the demo cannot make its pods here: {reason}")
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    try:
        with (tempfile.TemporaryDirectory(prefix="kepmd-demo-") as folder, Network() as network,
              contextlib.ExitStack() as stack):
            run(Path(sys.argv[1]), network, Path(folder), stack)
    except KeyboardInterrupt:
        say("ended")


if __name__ == "__main__":
    main()
