"""What the tests of faults share: a stand-in with the Service "sample", a pod, our epmd in it.

Peers have a fixed port here: it is the API that these tests are about.
"""

import pytest

from lab.sidecar import account_pod, discovering

APP = {"app": "sample"}


@pytest.fixture
def api(network, standin):
    server = standin(where=network.host, tokens={"good"})
    server.set_pods("sample", [], labels=APP)
    return server


@pytest.fixture
def pod(network, api, tmp_path):
    return account_pod(network, api, tmp_path / "account")


@pytest.fixture
def daemon(epmd_binary, pod, api, closing):
    env = {"ERL_EPMD_DIST": "9100", "ERL_EPMD_LOG_LEVEL": "info"}
    return lambda **more: closing.enter_context(
        discovering(epmd_binary, pod, api, env={**env, **more}))


def nodes(*addresses):
    return {f"sample@{address}": 9100 for address in addresses}


@pytest.fixture
def two(api):
    """Two peers that are there from the start."""
    api.set_pods("sample", ["10.9.0.1", "10.9.0.2"], labels=APP)
    return nodes("10.9.0.1", "10.9.0.2")
