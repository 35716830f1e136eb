"""A Service of thousands of endpoints on a stand-in, and an epmd on this machine that watches it."""

import os

from . import service_account
from .epmd import Epmd
from .proxy import Proxy
from .services import new_pod, slice_endpoint
from .standin import Standin
from .wait import until

APP = {"app": "sample"}
SLICE = 100
PORT = 9100
LONG = 120


def address(number):
    """Of pod `number`, from 0 to a million."""
    return f"10.{64 + number // 62500}.{number // 250 % 250}.{number % 250 + 1}"


def endpoint(number, **conditions):
    """As real ones are: a Deployment's pod, some 310 bytes."""
    return slice_endpoint(new_pod(address(number), "sample", "default", name=f"sample-7c9f8d6b5d-{number:05x}",
                                  node=f"node-{number % 100}.compute.example", **conditions))


class Crowd:
    """`count` endpoints in slices of a hundred, and our epmd, which is told of them when it is started.

    With `counted` all that it receives goes through a proxy, which counts it as bytes of TLS:
    `received()`.
    """

    def __init__(self, binary, count, directory, stack, env=None, counted=True):
        self.binary, self.directory, self.stack, self.env = binary, str(directory), stack, dict(env or {})
        self.api = stack.enter_context(Standin(tokens={"good"}))
        self.proxy = stack.enter_context(Proxy((self.api.address, self.api.port))) if counted else None
        self.slices = {}
        for first in range(0, count, SLICE):
            self.slices[f"sample-{first // SLICE:03}"] = [endpoint(n) for n in range(first, min(first + SLICE, count))]
        for name in self.slices:
            self.put(name)
        self.daemon = None

    def put(self, name):
        self.api.put_slice(name, self.slices[name], labels=APP)

    def start(self):
        """Start epmd; discovery begins when it can."""
        config = os.path.join(self.directory, "kubeconfig")
        server = self.proxy or self.api
        service_account.write_kubeconfig(config, f"https://{server.address}:{server.port}", self.api.authority.ca,
                                         {"token": self.api.a_token()}, "default")
        settings = {"ERL_EPMD_DISCOVERY": "kubernetes", "ERL_EPMD_SELECTOR": "app=sample",
                    "ERL_EPMD_BASENAME": "sample", "ERL_EPMD_DIST": PORT, "ERL_EPMD_KUBECONFIG": config}
        self.daemon = self.stack.enter_context(Epmd(self.binary, env={**settings, **self.env}))
        return self.daemon

    @property
    def pid(self):
        return self.daemon.process.pid

    def known(self):
        return {name.partition("@")[2] for name, _ in self.daemon.names() if "@" in name}

    def addresses(self):
        return {e["addresses"][0] for endpoints in self.slices.values() for e in endpoints}

    def await_known(self, timeout=LONG):
        wanted = self.addresses()
        until(lambda: self.known() == wanted, timeout, f"{len(wanted)} endpoints to be known", every=0.1)

    def await_watch(self, timeout=LONG):
        self.api.wait_watches(1, timeout)

    def await_node(self, where, timeout=LONG):
        """Wait until the node at that address is to be had; as soon as that."""
        name = f"sample@{where}"
        until(lambda: self.daemon.lookup(name), timeout, name, every=0.001)

    def received(self):
        return self.proxy.received

    # --- a rolling restart ---

    def rolling_restart(self):
        """What a watch is told when all pods are replaced one by one: of each four changes of its slice,
        the most that can be. Returns how many events that was. The slices then hold the new pods."""
        events = 0
        count = sum(len(endpoints) for endpoints in self.slices.values())
        version = self.api.store.version
        for name, endpoints in self.slices.items():
            for place in range(len(endpoints)):
                number = count + events // 4
                for change in self._replace(endpoints, place, number):
                    version += 1
                    events += 1
                    self.api.tell_watches("event", "MODIFIED", slice_object(name, change, version))
                endpoints[place] = endpoint(number)
        self._put_new_state(version)
        return events

    @staticmethod
    def _replace(endpoints, place, number):
        """The new one comes, is ready, the old one ends, is gone."""
        old, new = endpoints[place], endpoint(number)
        ending = {**old, "conditions": {"ready": False, "serving": True, "terminating": True}}
        rest = endpoints[:place] + endpoints[place + 1:]
        yield rest + [old, {**new, "conditions": {"ready": False, "serving": False, "terminating": False}}]
        yield rest + [old, new]
        yield rest + [ending, new]
        yield rest + [new]

    def _put_new_state(self, version):
        """The store holds what the events said, by one event more for each slice."""
        with self.api.store.changed:
            self.api.store.version = version
        for name in self.slices:
            self.put(name)


def slice_object(name, endpoints, version):
    metadata = {"name": name, "namespace": "default", "uid": f"uid-of-{name}", "resourceVersion": str(version),
                "labels": {**APP, "kubernetes.io/service-name": "sample"}}
    return {"metadata": metadata, "addressType": "IPv4", "endpoints": list(endpoints),
            "ports": [{"name": "epmd", "port": 4369, "protocol": "TCP"}]}

