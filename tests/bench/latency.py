"""From a change at the real API server to our registry, and to somebody who only reads the same watch."""

import contextlib
import http.client
import sys
import tempfile
import threading
import time

from lab.cluster import SLICES, Cluster, Unavailable
from lab.crowd import APP, PORT, SLICE, address, endpoint
from lab.epmd import Epmd
from lab.wait import until

PEERS = 1000
CHANGES = 300
PATIENCE = 30


def row(whom, part):
    return f"from a change at the API server to {whom}, {part}, ms"


BEYOND = row("the registry, beyond a watcher", "p99")


class BareWatcher:
    """Reads a watch and nothing else; says when an address first came."""

    def __init__(self, cluster):
        self._connection = http.client.HTTPSConnection(cluster.address, cluster.port, timeout=PATIENCE,
                                                       context=cluster.admin_tls)
        self._connection.request("GET", f"{SLICES}/namespaces/default/endpointslices?watch=1&labelSelector=app%3Dsample",
                                 headers={"Accept": "application/json"})
        self._response = self._connection.getresponse()
        self._wanted, self.seen = None, threading.Event()
        self.when = 0
        threading.Thread(target=self._read, daemon=True).start()

    def want(self, where):
        self.seen.clear()
        self._wanted = f'"{where}"'.encode()

    def _read(self):
        with contextlib.suppress(OSError, ValueError, http.client.HTTPException):
            while line := self._response.readline():
                now = time.monotonic()
                if self._wanted and self._wanted in line and not self.seen.is_set():
                    self.when = now
                    self.seen.set()


class World:
    """The Service "sample" of a thousand peers, as slices that nobody but us changes."""

    def __init__(self, cluster):
        self.cluster = cluster
        self.slices = [[endpoint(number) for number in range(first, first + SLICE)] for first in range(0, PEERS, SLICE)]
        for number in range(len(self.slices)):
            self._write("POST", "", number)

    def _write(self, method, path, number):
        """Without conditions that this server does not know."""
        labels = {**APP, "kubernetes.io/service-name": "sample", "endpointslice.kubernetes.io/managed-by": "bench"}
        endpoints = [{"addresses": each["addresses"], "conditions": {"ready": True}, "targetRef": each.get("targetRef")}
                     for each in self.slices[number]]
        self.cluster.call(method, f"{SLICES}/namespaces/default/endpointslices{path}", {
            "metadata": {"name": f"sample-{number:03}", "labels": labels}, "addressType": "IPv4",
            "endpoints": endpoints, "ports": [{"name": "epmd", "port": 4369, "protocol": "TCP"}]})

    def change(self, number):
        """Another pod in the place of one; gives its address."""
        place = number % len(self.slices)
        self.slices[place][number // len(self.slices) % SLICE] = endpoint(PEERS + number)
        threading.Thread(target=self._write, args=("PUT", f"/sample-{place:03}", place)).start()

    def epmd(self, binary, folder, stack):
        env = {"ERL_EPMD_DISCOVERY": "kubernetes", "ERL_EPMD_SELECTOR": "app=sample", "ERL_EPMD_BASENAME": "sample",
               "ERL_EPMD_DIST": PORT, "ERL_EPMD_KUBECONFIG": self.cluster.kubeconfig(f"{folder}/config")}
        daemon = stack.enter_context(Epmd(binary, env=env))
        until(lambda: sum("@" in name for name, _ in daemon.names()) == PEERS, PATIENCE, f"{PEERS} peers", every=0.1)
        return daemon


def _times(world, daemon):
    """(to the watcher, to the registry) of each change, in ms."""
    watcher, times = BareWatcher(world.cluster), []
    for number in range(CHANGES):
        where = address(PEERS + number)
        watcher.want(where)
        begun = time.monotonic()
        world.change(number)
        until(lambda: daemon.lookup(f"sample@{where}"), PATIENCE, where, every=0.0005)
        known = time.monotonic()
        if not watcher.seen.wait(PATIENCE):
            raise RuntimeError(f"the bare watcher was not told of {where}")
        times.append(((watcher.when - begun) * 1000, (known - begun) * 1000))
    return times


def _quantile(values, part):
    return sorted(values)[int((len(values) - 1) * part)]


def rows(binary):
    """{row: [value]}, or none with the reason where there can be no API server."""
    try:
        with contextlib.ExitStack() as stack:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="kepmd-bench-"))
            world = World(stack.enter_context(Cluster()))
            times = _times(world, world.epmd(binary, folder, stack))
    except Unavailable as reason:
        print(f"without the real API server: {reason}", file=sys.stderr)
        return {}
    found = {}
    kinds = {"a watcher": [seen for seen, _ in times], "the registry": [known for _, known in times],
             "the registry, beyond a watcher": [known - seen for seen, known in times]}
    for kind, values in kinds.items():
        for name, part in (("median", 0.5), ("p99", 0.99)):
            found[row(kind, name)] = [_quantile(values, part)]
    return found
