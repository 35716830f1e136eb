"""The servers that are measured, and what the kernel and the load generator say of them."""

import json
import os
import resource
import subprocess
import time

from lab import wire
from lab.epmd import Epmd, free_port
from lab.measure import cpu_ns
from lab.namespace import clean_env

SPARE_DESCRIPTORS = 1000
STARTS = 15


def raise_descriptor_limit():
    """As far as it goes; how many nodes can be registered then, with some descriptors to spare."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    return most - SPARE_DESCRIPTORS


class NotAnswered(Exception):
    """Some requests had no answer, so that what the others took is no figure."""


class Server(Epmd):
    """An epmd, with the load generator at LOAD and the nodes that it holds."""

    def __init__(self, binary, load):
        self.load, self.holders, self.nodes = load, [], 0
        super().__init__(binary)

    def cpu_us(self):
        return cpu_ns(self.process.pid) / 1000

    def memory_kb(self, kind):
        with open(f"/proc/{self.process.pid}/smaps_rollup", encoding="ascii") as rollup:
            return sum(int(line.split()[1]) for line in rollup if line.startswith(kind))

    def _load(self, *args):
        return [self.load, "-port", str(self.port), *map(str, args)]

    def ask(self, what, clients, count):
        """What the load generator reports, and `cpu`: microseconds of the server's for each request."""
        before = self.cpu_us()
        done = subprocess.run(self._load("ask", what, clients, count), capture_output=True, check=True)
        report = json.loads(done.stdout)
        if report["failed"]:
            raise NotAnswered(f"{self.binary}: {report['failed']} of {count} requests for {what} failed")
        report["cpu"] = (self.cpu_us() - before) / count
        return report

    def storm(self, clients):
        done = subprocess.run(self._load("storm", clients), capture_output=True, check=True)
        return json.loads(done.stdout)

    def hold(self, nodes):
        """Have so many nodes registered."""
        if nodes == self.nodes:
            return
        holder = subprocess.Popen(self._load("hold", self.nodes, nodes - self.nodes),
                                  stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.holders.append(holder)
        report = json.loads(holder.stdout.readline())
        if report["failed"]:
            raise RuntimeError(f"{self.binary}: no more than {self.nodes + report['answered']} nodes")
        self.nodes = nodes

    def stop(self, *args, **kwargs):
        for holder in self.holders:
            holder.stdin.close()
            holder.stdout.close()
            holder.wait()
        self.holders = []
        return super().stop(*args, **kwargs)


class Bare(Server):
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
        env = clean_env({"ERL_EPMD_PORT": free_port(), "ERL_EPMD_ADDRESS": "127.0.0.1",
                         "ERL_EPMD_RELAXED_COMMAND_CHECK": "1"})
        begun = time.monotonic()
        subprocess.run([binary, "-daemon"], env=env, check=True)
        while subprocess.run([binary, "-started"], env=env, check=False).returncode:
            pass
        times.append((time.monotonic() - begun) * 1000)
        subprocess.run([binary, "-kill"], env=env, check=True, stdout=subprocess.DEVNULL)
    return sorted(times)[STARTS // 2]


def size_kb(binary):
    return os.path.getsize(os.path.realpath(binary)) / 1024
