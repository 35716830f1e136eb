"""How long a node that starts needs until it sees all others, by our epmd alone; stock has no row here."""

import contextlib
import os
import re
import tempfile

from lab import pods
from lab.beam import otp_with_epmd
from lab.member import Member, await_mesh
from lab.standin import Standin

SIZES = (2, 5, 30)
TIMES = 5  # for each size
POLL_S = 5
STAMP = re.compile(r"full after (\d+) us")

# In the node: from the moment when its applications are up, the time until it sees so many others.
WATCH = """
spawn(fun() ->
  Up = fun Up() -> case init:get_status() of {started, started} -> ok; _ -> timer:sleep(1), Up() end end,
  Up(),
  Begun = erlang:monotonic_time(microsecond),
  ok = net_kernel:monitor_nodes(true),
  Full = fun Full() -> case length(nodes()) >= OTHERS of true -> ok; false -> receive _ -> Full() end end end,
  Full(),
  io:format("full after ~b us~n", [erlang:monotonic_time(microsecond) - Begun])
end).
"""


def row(size):
    return f"applications up to full Node.list, {size} pods, ms"


def unavailable():
    """Why there can be no pods here, or None."""
    return pods.unavailable()


def rows(binary):
    """{row: [milliseconds, one for each start]}"""
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        erl = otp_with_epmd(binary, os.path.join(folder, "otp"))
        network = stack.enter_context(pods.Network())
        api = stack.enter_context(Standin(where=network.host))
        api.set_pods("sample", [], labels={"app": "sample"})
        members, found = [], {}
        for size in SIZES:
            while len(members) < size - 1:
                members.append(_member(stack, network, api, folder, binary, len(members), erl))
                members[-1].beam.wait_started(60)
            await_mesh(members, 60)
            found[row(size)] = _starts(network, api, folder, binary, erl, members)
        # Computed: who polls is told half a period late on average, and a whole one at most.
        found[f"waiting for a poll every {POLL_S} s, computed, ms"] = [0, 500 * POLL_S, 1000 * POLL_S]
        return found


def _member(stack, network, api, folder, binary, number, erl, **beam):
    return stack.enter_context(Member(network, api, folder, binary, number, erl=erl, **beam)).enlist()


def _starts(network, api, folder, binary, erl, members):
    """One node more, started again and again."""
    watch = WATCH.replace("OTHERS", str(len(members)))
    with contextlib.ExitStack() as stack:
        newcomer = _member(stack, network, api, folder, binary, f"new-{len(members)}", erl,
                           extra_args=["-eval", watch])
        times = []
        for number in range(1, TIMES + 1):
            newcomer.beam.wait_started(60)
            newcomer.beam.wait_log(rf"(?s)(full after .*?){{{number}}}", 60)
            if number < TIMES:
                newcomer.beam.kill()
                await_mesh(members, 60)
                newcomer.beam.start()
        times = [int(us) / 1000 for us in STAMP.findall(newcomer.beam.log_text())]
        api.remove_pod("sample", newcomer.pod.ip)
    await_mesh(members, 60)
    return times
