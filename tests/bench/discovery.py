"""What discovery costs, against a stand-in for the API server on this machine; stock has no row here."""

import contextlib
import statistics
import tempfile
import time

from lab import fast_clock
from lab.crowd import Crowd, endpoint
from lab.knocker import Knocker
from lab.measure import cpu_ns, forget_peak, peak_kb, private_kb

FEW, MANY = 1000, 10000
CHANGES = 300
SPEED = 120               # of the clock of those that rest
RESTING, REST_S = 4, 60   # so many daemons, for so long: 8 hours of theirs


@contextlib.contextmanager
def a_crowd(binary, count, **more):
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="kepmd-bench-"))
        yield Crowd(binary, count, folder, stack, **more)


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


def measure_list(binary):
    with a_crowd(binary, MANY) as crowd:
        start_alone(crowd)
        empty, cpu = private_kb(crowd.pid), cpu_ns(crowd.pid)
        list_now(crowd)
        spent = (cpu_ns(crowd.pid) - cpu) / 1e6
        print(f"LIST of {MANY:,} endpoints in {len(crowd.slices)} slices: {crowd.received() / 1e6:.2f} MB, CPU "
              f"{spent:.0f} ms; private memory {empty / 1024:.1f} MB before, {private_kb(crowd.pid) / 1024:.1f} MB "
              f"after, resident {peak_kb(crowd.pid) / 1024:.1f} MB at most")
    with a_crowd(binary, MANY) as crowd:
        start_alone(crowd)
        rest = knocked(crowd, lambda: time.sleep(1))
        print(f"  the longest that others waited for an answer meanwhile: "
              f"{knocked(crowd, lambda: list_now(crowd)):.1f} ms ({rest:.1f} ms at rest)")


def measure_restart(binary):
    with a_crowd(binary, FEW) as crowd:
        crowd.start()
        crowd.await_known()
        crowd.await_watch()
        size, received = private_kb(crowd.pid), crowd.received()
        forget_peak(crowd.pid)
        cpu = cpu_ns(crowd.pid)
        events = crowd.rolling_restart()
        last = next(reversed(crowd.slices.values()))[-1]["addresses"][0]
        crowd.await_node(last)
        spent, got = cpu_ns(crowd.pid) - cpu, crowd.received() - received
        print(f"rolling restart of {FEW:,} pods, {events:,} events of a slice with 100 endpoints: {got / 1e6:.0f} MB; "
              f"an event: {got / events:,.0f} bytes, CPU {spent / events / 1e6:.2f} ms")
        crowd.await_known()
        print(f"  private memory with {FEW:,} peers {size / 1024:.1f} MB, {private_kb(crowd.pid) / 1024:.1f} MB after "
              f"it, resident {peak_kb(crowd.pid) / 1024:.1f} MB at most")


def measure_latency(binary):
    """From the moment before the server writes an event to the first answer that knows of it."""
    with a_crowd(binary, FEW, counted=False) as crowd:
        written = []

        def stamp(event):
            written.append(time.monotonic())
            return event

        crowd.api.fault("watch", times=None, edit=stamp)
        crowd.start()
        crowd.await_known()
        crowd.await_watch()
        times = []
        for number in range(CHANGES):
            name = list(crowd.slices)[number % len(crowd.slices)]
            new = endpoint(FEW + number)
            crowd.slices[name][number % 100] = new
            crowd.put(name)
            crowd.await_node(new["addresses"][0])
            times.append((time.monotonic() - written[-1]) * 1000)
        times.sort()
        print(f"from the server's event to the registry, {CHANGES} changes among {FEW:,} peers: median "
              f"{statistics.median(times):.1f} ms, p99 {times[len(times) * 99 // 100]:.1f} ms, most {times[-1]:.1f} ms")


def measure_rest(binary):
    """With a clock that goes faster, for us and for the server."""
    reason = fast_clock.unavailable()
    if reason:
        print(f"API requests at rest: not measured: {reason}")
        return
    with contextlib.ExitStack() as stack:
        crowds = [stack.enter_context(a_crowd(binary, 100, env=fast_clock.env(SPEED))) for _ in range(RESTING)]
        for crowd in crowds:
            crowd.api.speed = SPEED
            crowd.start()
            crowd.await_watch()
        before = [(len(crowd.api.requests), crowd.received()) for crowd in crowds]
        time.sleep(REST_S)
        hours = RESTING * REST_S * SPEED / 3600
        seen = [request.verb for crowd, (known, _) in zip(crowds, before) for request in crowd.api.requests[known:]]
        received = sum(crowd.received() - known for crowd, (_, known) in zip(crowds, before))
        print(f"API requests at rest, {hours:.0f} hours of a clock that goes {SPEED} times faster: "
              f"{len(seen) / hours:.1f} an hour ({seen.count('list') / hours:.1f} LIST, {seen.count('watch') / hours:.1f} "
              f"WATCH; polling every 5 s: 720), {received / hours / 1000:.0f} KB an hour with 100 endpoints")


def show(binary):
    """Measure and print, a line each."""
    measure_list(binary)
    measure_restart(binary)
    measure_latency(binary)
    measure_rest(binary)
