"""A pod with a service account and our epmd in it that discovers: what most discovery tests need."""

import re

from .epmd import Epmd
from .wait import until

ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
PORT = 4369  # pods have addresses of their own, so all can use the port that users use


def account_pod(network, api, folder, name=None, **account):
    """A pod with the service account of `api`, which is kept in `folder` and can be rotated
    there by api.service_account_dir."""
    api.service_account_dir(folder, **account)
    return network.pod(name, files={ACCOUNT: str(folder)})


def discovering(binary, pod, api, env=None, selector="app=sample", args=()):
    """Our epmd in `pod`, in the foreground, watching the Services with `selector`."""
    settings = {"ERL_EPMD_DISCOVERY": "kubernetes", "ERL_EPMD_BASENAME": "sample",
                **api.env(), **(env or {})}
    if selector:
        settings["ERL_EPMD_SELECTOR"] = selector
    return Epmd(binary, pod=pod, port=PORT, env=settings, args=args)


def discovered(daemon):
    """{full node name: port} of the discovered nodes in a daemon's NAMES."""
    return {name: port for name, port in daemon.names() if "@" in name}


def await_discovered(daemon, wanted, timeout=10):
    """Wait until exactly the nodes `wanted` ({full name: port}) are discovered."""
    seen = {}

    def reached():
        seen["nodes"] = discovered(daemon)
        return seen["nodes"] == wanted

    try:
        until(reached, timeout, "")
    except TimeoutError:
        log = "\n".join(daemon.log_lines())
        raise TimeoutError(f"waited {timeout:g} s for {wanted}; discovered are {seen['nodes']}; "
                           f"the log:\n{log}") from None


def count_log(daemon, regex):
    """How many lines of its log match."""
    return sum(bool(re.search(regex, line)) for line in daemon.log_lines())
