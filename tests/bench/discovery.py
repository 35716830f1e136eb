"""What discovery costs, as rows {name: [values]}. The API server is a stand-in on this machine, but for how long
news take: that is the real one's (latency). Stock has no row here."""

import contextlib
import sys
import tempfile
import time

from lab import fast_clock
from lab.crowd import Crowd, endpoint
from lab.knocker import Knocker
from lab.measure import cpu_ns, memory_kb, peak_kb

from . import latency

FEW, MANY = 1000, 10000
LISTS = 3                 # each by a daemon of its own
SPEED = 120               # of the clock of those that rest
RESTING, REST_S = 4, 60   # so many daemons, for so long: 8 hours of theirs


@contextlib.contextmanager
def a_crowd(binary, count, **more):
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="kepmd-bench-"))
        yield Crowd(binary, count, folder, stack, **more)


def own_mb(pid):
    """As servers' memory: what it has written to, not the pages of its file that it has read."""
    return memory_kb(pid, "Private_Dirty:") / 1024


def start_alone(crowd):
    """A daemon that waits for an API server that is not there yet."""
    crowd.api.stop_listening()
    crowd.start().wait_log("error:", timeout=20)


def list_now(crowd):
    crowd.api.listen_again()
    crowd.daemon.wait_log(f"{MANY} endpoints in ", timeout=60)
    crowd.await_watch()


def knocked(crowd, do):
    with Knocker(crowd.daemon.port) as knocker:
        do()
    return knocker.longest


LIST = f"a LIST of {MANY:,} endpoints"
EVENT = "a slice event of 100 endpoints"
LIST_CPU, EVENT_CPU = f"{LIST}, CPU, ms", f"{EVENT}, CPU, ms"
LIST_WAIT = f"{LIST}, the longest that others waited for an answer meanwhile, ms"
MEMORY = f"memory of its own with {FEW:,} peers, MB"
MEMORY_LATER = f"memory of its own with {FEW:,} peers after a rolling restart, MB"
REQUESTS = "API requests at rest, an hour and watch"


def list_rows(binary):
    found = {}
    for _ in range(LISTS):
        with a_crowd(binary, MANY) as crowd:
            start_alone(crowd)
            empty, cpu = own_mb(crowd.pid), cpu_ns(crowd.pid)
            list_now(crowd)
            add(found, {LIST_CPU: (cpu_ns(crowd.pid) - cpu) / 1e6,
                        f"{LIST}, bytes of TLS, MB": crowd.received() / 1e6,
                        "memory of its own before the first LIST, MB": empty,
                        f"memory of its own with {MANY:,} peers, MB": own_mb(crowd.pid),
                        f"resident with {MANY:,} peers at most, MB": peak_kb(crowd.pid) / 1024})
        with a_crowd(binary, MANY) as crowd:
            start_alone(crowd)
            add(found, {LIST_WAIT: knocked(crowd, lambda: list_now(crowd)),
                        "the same for a second without it, ms": knocked(crowd, lambda: time.sleep(1))})
    return found


def restart_rows(binary):
    """A rolling restart of a thousand pods, event by event."""
    with a_crowd(binary, FEW) as crowd:
        crowd.start()
        crowd.await_known()
        crowd.await_watch()
        size, received, cpu = own_mb(crowd.pid), crowd.received(), cpu_ns(crowd.pid)
        events = crowd.rolling_restart()
        last = next(reversed(crowd.slices.values()))[-1]["addresses"][0]
        crowd.await_node(last)
        spent, got = cpu_ns(crowd.pid) - cpu, crowd.received() - received
        crowd.await_known()
        return {EVENT_CPU: [spent / events / 1e6],
                f"{EVENT}, bytes of TLS, KB": [got / events / 1e3],
                f"a rolling restart of {FEW:,} pods, {events:,} events, bytes of TLS, MB": [got / 1e6],
                MEMORY: [size], MEMORY_LATER: [own_mb(crowd.pid)],
                f"resident with {FEW:,} peers at most, the program's own pages too, MB": [peak_kb(crowd.pid) / 1024]}


def rest_rows(binary):
    """With a clock that goes faster, for us and for the server: hours of each of some daemons."""
    reason = fast_clock.unavailable()
    if reason:
        print(f"without API requests at rest: {reason}", file=sys.stderr)
        return {}
    found = {}
    with contextlib.ExitStack() as stack:
        crowds = [stack.enter_context(a_crowd(binary, 100, env=fast_clock.env(SPEED))) for _ in range(RESTING)]
        for crowd in crowds:
            crowd.api.speed = SPEED
            crowd.start()
            crowd.await_watch()
        before = [(len(crowd.api.requests), crowd.received()) for crowd in crowds]
        time.sleep(REST_S)
        hours = REST_S * SPEED / 3600
        for crowd, (known, received) in zip(crowds, before):
            verbs = [request.verb for request in crowd.api.requests[known:]]
            add(found, {REQUESTS: len(verbs) / hours,
                        "LISTs of them": verbs.count("list") / hours,
                        "bytes of TLS at rest with 100 endpoints, an hour, KB": (crowd.received() - received) / hours / 1e3})
    return found


def add(found, rows):
    for row, value in rows.items():
        found.setdefault(row, []).append(value)


def rows(binary, shared):
    """`shared` is the build whose clock can be made to go faster: the static one calls no library for it."""
    found = {}
    for what, measure, epmd in (("LIST", list_rows, binary), ("a rolling restart", restart_rows, binary),
                                ("latency", latency.rows, binary), ("at rest", rest_rows, shared)):
        print(f"  {what}", file=sys.stderr)
        found.update(measure(epmd))
    return found
