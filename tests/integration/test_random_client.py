"""The server as a whole under a random client (lab/client.py): it answers the truth, and nothing of it is left behind.

`KEPMD_RANDOM_SEED=7` repeats a run as far as epmd's pace allows, `KEPMD_RANDOM_STEPS=100000` makes it longer.
With the sanitizers' build this is what fuzzes the server with its loop, its limits and its timers.
"""

import os
import random
import re

from lab.client import Client
from lab.wait import until

STEPS = int(os.environ.get("KEPMD_RANDOM_STEPS", "20000"))


def open_files(daemon):
    return len(os.listdir(f"/proc/{daemon.process.pid}/fd"))


def test_random_client(served):
    seed = os.environ.get("KEPMD_RANDOM_SEED") or str(random.randrange(10 ** 9))
    print(f"KEPMD_RANDOM_SEED={seed} KEPMD_RANDOM_STEPS={STEPS}")
    daemon, status_port = served()
    with daemon.register("witness", 4711):
        before = open_files(daemon)
        with Client(daemon, status_port, seed) as client:
            for _ in range(STEPS):
                client.step()
            client.look()
        until(lambda: daemon.names() == [("witness", 4711)], 30, "all that the client held to be free")
        until(lambda: open_files(daemon) == before, 30, f"{before} descriptors, as there were")
    until(lambda: not daemon.names(), 10, "the witness to be gone")
    assert daemon.stop() == 0
    assert not [line for line in daemon.log_lines() if re.search("Sanitizer|runtime error", line)]
