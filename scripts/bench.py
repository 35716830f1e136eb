"""What scripts/bench measures."""

import os
import resource
import statistics
import subprocess
import sys
import time

from lab import wire
from lab.beam import STOCK_ROOT, erts_folder
from lab.epmd import Epmd, free_port
from lab.namespace import clean_env

REQUESTS = 3000
STARTS = 40
MANY = 1000       # about as many as stock bears
FAR_MORE = 20000  # or as many as this machine's limit of descriptors lets be
SPARE = 500


def cpu_ns(pid):
    """CPU time of a process, in nanoseconds (the kernel's Documentation/scheduler/sched-stats.rst)."""
    with open(f"/proc/{pid}/schedstat", encoding="ascii") as stat:
        return int(stat.read().split()[0])


def private_kb(pid):
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as rollup:
        return sum(int(line.split()[1]) for line in rollup if line.startswith("Private_"))


def cpu_per_request(daemon, request, count=REQUESTS):
    """Microseconds of the server's CPU for a request on a connection of its own."""
    for _ in range(200):
        daemon.request(request)
    before = cpu_ns(daemon.process.pid)
    for _ in range(count):
        daemon.request(request)
    return (cpu_ns(daemon.process.pid) - before) / count / 1000


def register(daemon, count, held):
    for number in range(len(held), count):
        held.append(daemon.register(f"node{number}", 10000 + number % 50000))


class Bare(Epmd):
    """The bare server takes any request and answers with one byte."""

    def _answers(self):
        try:
            return bool(self.request(wire.names(), timeout=1))
        except OSError:
            return False


def start_ms(binary):
    """From `-daemon` to the first answer: the median of some starts."""
    times = []
    for _ in range(STARTS):
        port = free_port()
        env = clean_env({"ERL_EPMD_PORT": port, "ERL_EPMD_ADDRESS": "127.0.0.1",
                         "ERL_EPMD_RELAXED_COMMAND_CHECK": "1"})
        begun = time.monotonic()
        subprocess.run([binary, "-daemon"], env=env, check=True)
        while subprocess.run([binary, "-started"], env=env, check=False).returncode:
            pass
        times.append((time.monotonic() - begun) * 1000)
        subprocess.run([binary, "-kill"], env=env, check=True, stdout=subprocess.DEVNULL)
    return statistics.median(times)


def measure(binary):
    figures = {"start, -daemon to the first answer": start_ms(binary)}
    with Epmd(binary) as daemon:
        held = []
        register(daemon, 1, held)
        figures["private memory, 1 node"] = private_kb(daemon.process.pid)
        figures["CPU per PORT2, 1 node"] = cpu_per_request(daemon, wire.port2("node0"))
        register(daemon, MANY, held)
        figures["private memory, 1,000 nodes"] = private_kb(daemon.process.pid)
        figures["CPU per PORT2, 1,000 nodes"] = cpu_per_request(daemon, wire.port2("node0"))
        figures["CPU per NAMES, 1,000 nodes"] = cpu_per_request(daemon, wire.names(), 300)
        for registration in held:
            registration.close()
    figures["size of the program"] = os.path.getsize(os.path.realpath(binary)) / 1024
    return figures


UNITS = {"start": "ms", "private": "KB", "CPU": "us", "size": "KB"}


def show(ours, stock):
    print(f"{'':38} {'ours':>10} {'stock':>10}    ratio")
    for name, mine in ours.items():
        unit = UNITS[name.split(",")[0].split()[0]]
        print(f"{name:38} {mine:7.1f} {unit} {stock[name]:7.1f} {unit} {mine / stock[name]:7.2f}x")


def alone(binary, bare, far_more):
    """What stock has no figure for."""
    with Bare(bare) as server:
        floor = cpu_per_request(server, wire.port2("node0"))
    with Epmd(binary) as daemon:
        held = []
        register(daemon, 1, held)
        one = cpu_per_request(daemon, wire.port2("node0"))
        print(f"\nCPU per PORT2 against a bare accept-answer-close server on the same loop: "
              f"{one:.1f} us / {floor:.1f} us = {one / floor:.2f}x")
        before = private_kb(daemon.process.pid)
        register(daemon, far_more, held)
        per_node = (private_kb(daemon.process.pid) - before) / far_more * 1024
        far = cpu_per_request(daemon, wire.port2("node0"))
        print(f"{far_more:,} registered nodes: CPU per PORT2 {far:.1f} us = {far / one:.2f}x of that with one; "
              f"{per_node:.0f} bytes of memory each (stock answers nobody past about 1,017)")
        for registration in held:
            registration.close()


def raise_descriptor_limit():
    """As far as it goes; how many nodes can be registered then, with some to spare for all else."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    return min(FAR_MORE, most - SPARE)


def main():
    binary, bare = sys.argv[1:]
    far_more = raise_descriptor_limit()
    show(measure(binary), measure(f"{STOCK_ROOT}/{erts_folder()}/bin/epmd"))
    alone(binary, bare, far_more)


if __name__ == "__main__":
    main()
