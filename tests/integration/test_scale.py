"""Ten thousand endpoints, and a rolling restart of a thousand pods.

How fast and how small is for scripts/bench to say. Here only what is of another order fails.
"""

import subprocess

import pytest

from lab.crowd import Crowd
from lab.measure import cpu_ns, forget_peak, peak_kb, private_kb

PRIVATE_KB = 6 * 1024     # with a thousand peers, by the design
PER_PEER_KB = 4
LIST_S, EVENT_S = 1.5, 0.02   # ten times what they may be


@pytest.fixture
def measured(epmd_binary):
    """Whether figures mean anything: not with sanitizers."""
    linked = subprocess.run(["ldd", epmd_binary], capture_output=True, text=True, check=False).stdout
    return "libasan" not in linked


def test_ten_thousand_endpoints_in_a_hundred_slices(epmd_binary, tmp_path, closing, measured):
    crowd = Crowd(epmd_binary, 10000, tmp_path, closing)
    crowd.api.stop_listening()
    daemon = crowd.start()
    daemon.wait_log("error:", timeout=20)
    size, cpu = private_kb(crowd.pid), cpu_ns(crowd.pid)
    crowd.api.listen_again()
    daemon.wait_log("10000 endpoints in 100 endpointslices", timeout=60)
    spent = (cpu_ns(crowd.pid) - cpu) / 1e9
    crowd.await_known()
    if measured:
        assert spent < LIST_S
        assert private_kb(crowd.pid) - size < 10000 * PER_PEER_KB
    crowd.await_watch()
    crowd.slices["sample-042"] = crowd.slices["sample-042"][1:]
    crowd.put("sample-042")
    crowd.await_known()


def test_a_rolling_restart_of_a_thousand_pods(epmd_binary, tmp_path, closing, measured):
    """Four thousand events of a whole slice each; memory does not grow with them."""
    crowd = Crowd(epmd_binary, 1000, tmp_path, closing)
    daemon = crowd.start()
    crowd.await_known()
    crowd.await_watch()
    requests = len(crowd.api.requests)
    forget_peak(crowd.pid)
    size, before, received = private_kb(crowd.pid), peak_kb(crowd.pid), crowd.received()
    cpu = cpu_ns(crowd.pid)
    events = crowd.rolling_restart()
    assert events == 4000
    crowd.await_known()
    assert len(crowd.api.requests) == requests
    assert 100e6 < crowd.received() - received < 160e6
    assert not [line for line in daemon.log_lines() if "error:" in line]
    if measured:
        assert (cpu_ns(crowd.pid) - cpu) / 1e9 < events * EVENT_S
        assert private_kb(crowd.pid) < max(size + 2048, PRIVATE_KB)
        assert peak_kb(crowd.pid) < before + 4096
