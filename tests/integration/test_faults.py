"""The twenty faults of a list and a watch, by number: HACKING.md has the table.

Some stand in test_discovery_faults.py, those of a broken link to the real API server in
test_faults_link.py, and what takes the reflector alone in the unit tests.
"""

import os
import subprocess
import time

import pytest

from faulty import APP, api, daemon, nodes, pod, two  # noqa: F401 (fixtures)
from lab import fast_clock
from lab.measure import rss_kb
from lab.services import new_pod, slice_endpoint
from lab.sidecar import await_discovered, count_log, discovered, discovering
from lab.status import version_too_large
from lab.wait import until

SPEED = 30      # a test of minutes
HOURS = 120     # of an hour
TIMER_S = 0.01  # timers are of milliseconds, and may be early by one
LATER = 1.1     # a watch of less than a second is a failure


@pytest.fixture
def fast(daemon, api, epmd_binary):
    """A daemon for which half a minute goes by in a second, as it does for the API server."""
    linked = subprocess.run(["ldd", epmd_binary], capture_output=True, text=True, check=False).stdout
    reason = fast_clock.unavailable("libasan" in linked)
    if reason:
        pytest.skip(reason)

    def start(speed=SPEED, **more):
        api.speed = speed
        return daemon(**fast_clock.env(speed), **more)

    return start


def await_watch(api, since=0, count=1):
    """The next watch that is served; so much older than when it began that its end is none at once."""
    api.wait_watches(count, timeout=20)
    request = next(r for r in reversed(api.requests) if r.verb == "watch")
    until(lambda: time.monotonic() - request.time > LATER, 10, "the watch to be a second old")
    return request


def requests(api, since):
    return [(r.verb, r.status) for r in api.requests[since:]]


def news(ours, api, before, address="10.9.0.3", timeout=40):
    """A pod that comes now is seen."""
    api.add_pod("sample", address)
    await_discovered(ours, {**before, **nodes(address)}, timeout)


@pytest.mark.parametrize("fault, pods", [({"split": 1}, 1), ({"split": 7, "delay": 0.001}, 1), ({"batch": 5}, 5)],
                         ids=["each byte", "sevens", "five in a chunk"])
def test_fault_01_events_in_pieces_and_many_at_once(daemon, api, two, fault, pods):
    api.fault("watch", times=None, **fault)
    ours = daemon()
    await_discovered(ours, two)
    api.wait_watches(1)
    more = [f"10.9.1.{number}" for number in range(1, pods + 1)]
    for address in more:
        api.add_pod("sample", address, node="knöten-\U0001f418", hostname="räksmörgås")
    await_discovered(ours, {**two, **nodes(*more)})


def test_fault_03_http_410_at_the_start_of_a_watch(daemon, api, two):
    api.fault("watch", status=410)
    ours = daemon()
    await_discovered(ours, two)
    await_watch(api)
    assert requests(api, 0)[:4] == [("list", 200), ("watch", 410), ("list", 200), ("watch", 200)]
    news(ours, api, two)


def test_fault_04_410_on_the_second_page_lists_whole(daemon, api):
    """501 slices are two pages; the first LIST, from any cache, is never paged."""
    many = [f"10.8.{i // 250}.{i % 250 + 1}" for i in range(501)]
    for number, address in enumerate(many):
        api.put_slice(f"s{number}", [address], labels=APP)
    api.fault("watch", status=410)
    gone = api.fault("list", path="continue=", status=410)
    ours = daemon()
    await_watch(api)
    assert gone.hits == 1
    lists = [r.query for r in api.requests if r.verb == "list"]
    assert [("limit" in q, "continue" in q) for q in lists] == [(True, False), (True, False), (True, True), (False, False)]
    assert "resourceVersion" not in lists[2]
    await_discovered(ours, nodes(*many))
    assert count_log(ours, "is gone") == 0


def test_fault_05_a_stream_that_falls_silent_after_a_bookmark(fast, api, two):
    """150 s after the bookmark, five of ours."""
    api.fault("watch", after=1, stall=True)
    ours = fast(ERL_EPMD_LOG_LEVEL="debug")
    await_discovered(ours, two)
    api.wait_watches(1)
    ours.wait_log("the watch was cut: it fell silent", timeout=30)
    news(ours, api, two)
    assert sum(r.verb == "list" for r in api.requests) == 1


def test_fault_05_a_watch_that_is_not_even_answered(fast, api, two):
    """It is said, because peers that come meanwhile are not seen; and given up after a minute."""
    api.fault("watch", times=2, stall="before")
    ours = fast()
    await_discovered(ours, two)
    ours.wait_log(rf'error: .*{api.address}:{api.port}: no answer to "watch" in 60 s', timeout=30)
    news(ours, api, two)
    assert count_log(ours, "no answer to") == 1
    ours.wait_log("the API answers again")


def test_fault_06_a_black_hole(network, daemon, api, pod, two):
    """No packet comes through: TCP itself finds out, after half a minute without an answer."""
    if os.environ.get("KEPMD_CUT_SECONDS") == "0":
        pytest.skip("KEPMD_CUT_SECONDS is 0: nothing that lasts")
    ours = daemon(ERL_EPMD_LOG_LEVEL="debug")
    await_discovered(ours, two)
    await_watch(api)
    network.cut(pod, network.host)
    api.add_pod("sample", "10.9.0.3")
    ours.wait_log("the watch was cut", timeout=100)
    assert discovered(ours) == two
    network.heal(pod, network.host)
    await_discovered(ours, {**two, **nodes("10.9.0.3")}, 60)


def test_fault_07_a_stream_that_ends_in_mid_line(daemon, api, two):
    api.fault("watch", cut=True)
    ours = daemon()
    await_discovered(ours, two)
    before = await_watch(api)
    seen = len(api.requests)
    news(ours, api, two)
    assert [r.verb for r in api.requests[seen:]] == ["watch"]
    assert api.requests[seen].query["resourceVersion"] == before.query["resourceVersion"]


def test_fault_09_watches_that_end_at_once_back_off(daemon, api, two):
    """At least 0.8, 1.6 and 3.2 s, each with a LIST behind it."""
    api.fault("watch", times=3, close=True)
    ours = daemon()
    await_discovered(ours, two)
    until(lambda: sum(r.verb == "watch" for r in api.requests) == 4, 40, "the fourth watch")
    watches = [r.time for r in api.requests if r.verb == "watch"]
    gaps = [later - sooner for sooner, later in zip(watches, watches[1:])]
    assert all(gap >= least - TIMER_S for gap, least in zip(gaps, (0.8, 1.6, 3.2))), gaps
    assert [r.verb for r in api.requests] == ["list", "watch"] * 4
    api.wait_watches(1)
    news(ours, api, two)


OVERLOADED = {
    "list": ("list", {"status": 429, "retry_after": 3}, "list"),
    "watch": ("watch", {"status": 429, "retry_after": 3}, "watch"),
    "in the stream": ("watch", {"error": 429, "retry_after": 3}, "watch"),
}


@pytest.mark.parametrize("verb, fault, again", OVERLOADED.values(), ids=OVERLOADED)
def test_fault_10_429_with_retry_after(daemon, api, two, verb, fault, again):
    api.fault(verb, **fault)
    ours = daemon()
    await_discovered(ours, two, 20)
    api.wait_watches(1, timeout=20)
    number = next(i for i, r in enumerate(api.requests) if r.verb == verb)
    first, second = until(lambda: len(pair := api.requests[number:number + 2]) == 2 and pair, 20, "another request")
    # Both moments are the server's, which notes a request and its answer a little apart.
    assert second.verb == again and second.time - first.time >= 2.9
    assert second.query["resourceVersion"] == first.query["resourceVersion"]
    news(ours, api, two)


@pytest.mark.parametrize("code", [500, 504])
def test_fault_11_an_error_of_the_server_in_the_stream(daemon, api, two, code):
    """Backs off, and goes on from the same version."""
    api.fault("watch", error=code)
    ours = daemon()
    await_discovered(ours, two)
    until(lambda: sum(r.verb == "watch" for r in api.requests) == 2, 20, "the second watch")
    first, second = [r for r in api.requests if r.verb == "watch"]
    assert second.time - first.time >= 0.8 - TIMER_S
    assert second.query["resourceVersion"] == first.query["resourceVersion"]
    api.wait_watches(1)
    news(ours, api, two)
    assert sum(r.verb == "list" for r in api.requests) == 1


@pytest.mark.parametrize("verb", ["list", "watch"])
def test_fault_11_a_version_that_is_too_large(daemon, api, two, verb):
    """As a server says that lags behind the one that was asked before: then the latest is good."""
    api.fault(verb, times=2, status=504, body=version_too_large(5000, 4000))
    ours = daemon()
    await_discovered(ours, two, 20)
    await_watch(api)
    lists = [r for r in api.requests if r.verb == "list"]
    assert "resourceVersion" not in lists[-1].query
    assert count_log(ours, "error:") == 0
    news(ours, api, two)


@pytest.mark.parametrize("compacted", [False, True], ids=["resumed", "listed"])
def test_fault_12_an_object_deleted_while_away(daemon, api, two, compacted):
    api.put_slice("other", ["10.9.7.7"], labels=APP)
    ours = daemon()
    await_discovered(ours, {**two, **nodes("10.9.7.7")})
    await_watch(api)
    seen = len(api.requests)
    api.stop_listening()
    api.drop_connections()
    api.delete_slice("other")
    if compacted:
        api.compact()
    assert discovered(ours) == {**two, **nodes("10.9.7.7")}
    api.listen_again()
    await_discovered(ours, two, 40)
    assert any(r.verb == "list" for r in api.requests[seen:]) == compacted


def test_fault_13_bookmarks_alone_move_the_version_on(daemon, api, two):
    ours = daemon()
    await_discovered(ours, two)
    first = await_watch(api)
    api.put_slice("of-somebody-else", ["10.9.8.8"], labels={"app": "other"})
    api.tell_watches("bookmark")
    seen = len(api.requests)
    api.tell_watches("end")
    again = api.wait_request(lambda r: r.verb == "watch", timeout=20, since=seen)
    assert int(again.query["resourceVersion"]) == api.store.version > int(first.query["resourceVersion"])
    assert [r.verb for r in api.requests[seen:]] == ["watch"]
    api.wait_watches(1)
    news(ours, api, two)


@pytest.mark.parametrize("left", ["empty", "missing"])
def test_fault_14_a_token_file_that_is_of_no_use_keeps_the_old(daemon, api, two, tmp_path, left):
    ours = daemon()
    await_discovered(ours, two)
    token = tmp_path / "account" / "token"
    if left == "empty":
        api.service_account_dir(tmp_path / "account", token="")
    else:
        token.unlink()
    api.drop_connections()
    news(ours, api, two)
    assert api.requests[-1].headers["Authorization"] == "Bearer good"


def test_fault_14_401_once_asks_again_at_once(daemon, api, two):
    api.fault("list", status=401)
    ours = daemon()
    await_discovered(ours, two)
    assert requests(api, 0)[:2] == [("list", 401), ("list", 200)]
    assert api.requests[1].time - api.requests[0].time < 5
    assert count_log(ours, "401: ") == 0


def test_fault_15_a_ca_that_is_rotated(daemon, api, two, tmp_path):
    ours = daemon()
    await_discovered(ours, two)
    await_watch(api)
    api.rotate_ca()
    api.drop_connections()
    ours.wait_log("certificate")
    assert discovered(ours) == two
    api.service_account_dir(tmp_path / "account")
    news(ours, api, two)
    ours.wait_log("the API answers again")


def test_fault_15_an_api_server_on_ipv6(network, standin, epmd_binary, closing, tmp_path):
    server = standin(where=network.host, address=network.host.ip6)
    server.set_pods("sample", ["10.9.0.1"], labels=APP)
    server.service_account_dir(tmp_path / "account")
    pod = network.pod(files={"/var/run/secrets/kubernetes.io/serviceaccount": str(tmp_path / "account")})
    ours = closing.enter_context(discovering(epmd_binary, pod, server, env={"ERL_EPMD_DIST": "9100"}))
    await_discovered(ours, nodes("10.9.0.1"))


UNSERVED = {
    "404 page not found": {"status": 404, "body": b"404 page not found\n"},
    "a Status": {"status": 404},
    "403": {"status": 403},
}


@pytest.mark.parametrize("fault", UNSERVED.values(), ids=UNSERVED)
def test_fault_17_v1_is_not_served(daemon, api, two, fault):
    api.fault("list", times=None, path="/apis/discovery.k8s.io/", **fault)
    ours = daemon()
    await_discovered(ours, two)
    ours.wait_log("2 endpoints in 1 endpoints$")
    assert count_log(ours, "error:") == 0


def test_fault_17_a_server_that_goes_back_to_v1beta1(daemon, api, two):
    """An upgrade that is taken back: the same slices, by their older name."""
    ours = daemon()
    await_discovered(ours, two)
    await_watch(api)
    api.versions = ["v1beta1"]
    api.compact()
    api.drop_connections()
    api.wait_request(lambda r: r.verb == "watch" and "v1beta1" in r.path and r.status == 200, timeout=40)
    assert discovered(ours) == two and count_log(ours, "is gone") == 0
    news(ours, api, two)


def endpoint(address, uid, **conditions):
    return slice_endpoint(new_pod(address, "sample", "default", uid=uid, **conditions))


def test_fault_18_an_endpoint_in_two_slices(daemon, api):
    """It moves, and its copies disagree for a while: it stays, until the last of them is gone."""
    api.put_slice("a", [endpoint("10.9.0.1", "u1")], labels=APP)
    ours = daemon()
    await_discovered(ours, nodes("10.9.0.1"))
    api.wait_watches(1)
    api.put_slice("b", [endpoint("10.9.0.1", "u1", ready=False, terminating=True)], labels=APP)
    api.put_slice("c", [endpoint("10.9.0.2", "u2")], labels=APP)
    await_discovered(ours, nodes("10.9.0.1", "10.9.0.2"))
    row = next(line for line in ours.cli("-peers").stdout.splitlines() if "10.9.0.1" in line)
    assert "terminating" not in row
    api.delete_slice("a")
    until(lambda: "terminating" in ours.cli("-peers").stdout, 10, "the terminating copy to be shown")
    assert discovered(ours) == nodes("10.9.0.1", "10.9.0.2")
    api.delete_slice("b")
    await_discovered(ours, nodes("10.9.0.2"))


def test_fault_18_an_address_that_another_pod_takes_over(daemon, api):
    api.put_slice("a", [endpoint("10.9.0.1", "u1")], labels=APP)
    ours = daemon()
    await_discovered(ours, nodes("10.9.0.1"))
    api.wait_watches(1)
    api.put_slice("a", [endpoint("10.9.0.1", "u2")], labels=APP)
    api.put_slice("b", [endpoint("10.9.0.2", "u3")], labels=APP)
    await_discovered(ours, nodes("10.9.0.1", "10.9.0.2"))
    time.sleep(1.5)  # more than the old one's loss takes to settle
    assert discovered(ours) == nodes("10.9.0.1", "10.9.0.2")


def test_fault_18_a_pod_of_two_families_is_one_peer(daemon, api):
    api.put_slice("four", [endpoint("10.9.0.1", "u1")], labels=APP)
    api.put_slice("six", [endpoint("fd00:9::1", "u1")], labels=APP, address_type="IPv6")
    api.put_slice("six-alone", [endpoint("fd00:9::2", "u2")], labels=APP, address_type="IPv6")
    ours = daemon()
    await_discovered(ours, {**nodes("10.9.0.1"), "sample@fd00:9::2": 9100})


def test_fault_19_what_objects_may_lack(daemon, api):
    api.put_slice("null", None, labels=APP, ports=None)
    api.put_slice("names", [{"addresses": ["node.example"]}], labels=APP, address_type="FQDN")
    api.put_slice("bare", [{"addresses": ["10.9.0.1"]}, {"addresses": ["10.9.0.2"], "conditions": {}},
                           {"addresses": ["10.9.0.3"], "conditions": {"ready": None, "serving": None}}],
                  labels=APP, ports=None)
    ours = daemon()
    await_discovered(ours, nodes("10.9.0.1", "10.9.0.2", "10.9.0.3"))
    assert "terminating" not in ours.cli("-peers").stdout


def test_fault_19_truncated_endpoints_and_a_deprecation(daemon, api):
    """A peer is missing, so that is a warning; that Endpoints are deprecated is said once."""
    api.deny("endpointslices")
    api.fault("list", times=None, path="/endpoints[?]", warning="v1 Endpoints is deprecated in v1.33+")
    api.fault("watch", times=None, path="/endpoints[?]", warning="v1 Endpoints is deprecated in v1.33+")
    api.set_pods("sample", [f"10.{8 + i // 250}.9.{i % 250 + 1}" for i in range(1001)], labels=APP)
    ours = daemon()
    ours.wait_log("warning: .*Endpoints default/sample is cut off at 1,000 addresses", timeout=20)
    await_watch(api)
    until(lambda: len(discovered(ours)) == 1000, 20, "a thousand peers")
    assert count_log(ours, "the API server warns: v1 Endpoints is deprecated") == 1


def test_fault_20_away_for_minutes_then_versions_have_gone_backwards(fast, api, two):
    """As after etcd was restored from a backup. Nobody leaves, and memory does not grow."""
    ours = fast(HOURS)
    await_discovered(ours, two)
    await_watch(api)
    size = rss_kb(ours.process.pid)
    api.stop_listening()
    api.drop_connections()
    ours.wait_log("refused", timeout=20)
    begun = time.monotonic()
    while time.monotonic() - begun < 300 / HOURS:
        assert discovered(ours) == two
        time.sleep(0.1)
    assert rss_kb(ours.process.pid) < size + 1024
    api.rewind(900)
    api.set_pods("sample", ["10.9.0.2", "10.9.0.3"], labels=APP)
    api.listen_again()
    # The watch from a version that is still to come says nothing; the LIST that is due after half an
    # hour to an hour does.
    await_discovered(ours, nodes("10.9.0.2", "10.9.0.3"), 3700 / HOURS + 60)
