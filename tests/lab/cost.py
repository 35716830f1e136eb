"""What a Service of N pods costs the real API server: `python3 -m lab.cost EPMD [PODS]`.

One epmd watches it through a proxy that counts bytes of TLS. Pods are objects only; Endpoints and slices
are what Kubernetes' controllers make of them, at the pace that they have. ARCHITECTURE.md has the figures.
"""

import concurrent.futures
import contextlib
import json
import sys
import tempfile
import time

from .cluster import CORE, SLICES, Cluster
from .crowd import APP, address
from .epmd import Epmd
from .measure import cpu_ns
from .proxy import Proxy
from .service_account import write_kubeconfig
from .sidecar import discovered
from .wait import until

CLIENTS = 4        # that change pods at the same time
PATIENCE = 300


def body_size(cluster, path):
    """Bytes of the answer's body, which has no white space."""
    return len(json.dumps(cluster.call("GET", path), separators=(",", ":"), ensure_ascii=False).encode())


class Cost:
    def __init__(self, binary, cluster, folder, stack):
        self.cluster = cluster
        self.proxy = stack.enter_context(Proxy((cluster.address, cluster.port)))
        self.pool = stack.enter_context(concurrent.futures.ThreadPoolExecutor(CLIENTS))
        cluster.create_service("sample", APP, labels=APP, ports=[("epmd", 4369)])
        cluster.create_service_account("sample")
        cluster.create_role("discovery")
        cluster.bind_role("discovery", "discovery", "sample")
        config = write_kubeconfig(f"{folder}/config", f"https://{self.proxy.address}:{self.proxy.port}",
                                  cluster.ca_path, {"token": cluster.token("sample")})
        env = {"ERL_EPMD_DISCOVERY": "kubernetes", "ERL_EPMD_SELECTOR": "app=sample", "ERL_EPMD_BASENAME": "sample",
               "ERL_EPMD_DIST": "9100", "ERL_EPMD_KUBECONFIG": config, "ERL_EPMD_LOG_LEVEL": "debug"}
        self.start = lambda: stack.enter_context(Epmd(binary, env=env))

    def create(self, number):
        name = f"sample-7c9f8d6b5d-{number:05x}"
        self.cluster.create_pod(name, address(number), APP, ready=False)
        self.cluster.set_ready(name, True)
        return name

    def replace(self, old, number):
        """As a rollout does: the new one comes and is ready, the old one ends, is gone."""
        self.create(number)
        self.cluster.delete_pod(old, grace=30)
        self.cluster.delete_pod(old)

    def await_known(self, epmd, numbers):
        wanted = {f"sample@{address(number)}" for number in numbers}
        until(lambda: discovered(epmd).keys() == wanted, PATIENCE, f"{len(wanted)} to be known", every=0.2)

    def run(self, pods):
        names = list(self.pool.map(self.create, range(pods)))
        epmd = self.start()
        self.await_known(epmd, range(pods))
        listed = self.proxy.received
        slices = self.cluster.list_slices("app=sample").body["items"]
        print(f"{pods} pods in {len(slices)} slices: the first LIST {listed:,} bytes with TLS; bodies: slices "
              f"{body_size(self.cluster, f'{SLICES}/namespaces/default/endpointslices?labelSelector=app%3Dsample'):,}, "
              f"Endpoints {body_size(self.cluster, f'{CORE}/namespaces/default/endpoints/sample'):,}", flush=True)
        events = [self.event_count()]
        before, cpu = self.proxy.received, cpu_ns(epmd.process.pid)
        self.replace(names[0], pods)
        self.await_known(epmd, range(1, pods + 1))
        print(f"one pod replaced: {self.proxy.received - before:,} bytes", flush=True)
        before, begun = self.proxy.received, time.monotonic()
        list(self.pool.map(self.replace, names[1:], range(pods + 1, 2 * pods)))
        self.await_known(epmd, range(pods, 2 * pods))
        events.append(self.event_count())
        print(f"the others replaced in {time.monotonic() - begun:.0f} s: {(self.proxy.received - before) / 1e6:.1f} MB, "
              f"about {events[1] - events[0]} changes of slices, CPU of epmd {(cpu_ns(epmd.process.pid) - cpu) / 1e6:.0f} ms")

    def event_count(self):
        """How often slices were written: each counts it in its generation."""
        return sum(item["metadata"].get("generation", 0)
                   for item in self.cluster.list_slices("app=sample").body["items"])


def main():
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="kepmd-cost-"))
        cluster = stack.enter_context(Cluster())
        Cost(sys.argv[1], cluster, folder, stack).run(int(sys.argv[2]) if len(sys.argv) > 2 else 1000)


if __name__ == "__main__":
    main()
