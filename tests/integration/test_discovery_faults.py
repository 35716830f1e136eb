"""What the API server may do wrong: peers stay, one line says what it is, and it mends."""

import time

import pytest

from faulty import APP, api, daemon, nodes, pod, two  # noqa: F401 (fixtures)
from lab.sidecar import await_discovered, count_log, discovered, discovering
from lab.wait import until


def break_and_mend(daemon, api, two, regex, mend):
    """After a fault was set: the line comes, nobody leaves, and after `mend` news arrive."""
    before = len(daemon.log_lines())
    api.drop_connections()
    daemon.wait_log(regex, timeout=10, since=before)
    assert discovered(daemon) == two
    mend()
    api.add_pod("sample", "10.9.0.3")
    await_discovered(daemon, {**two, **nodes("10.9.0.3")}, timeout=40)
    daemon.wait_log("the API answers again", since=before)


def wait_old_enough(api):
    """A WATCH that ends within a second of its start is followed by a LIST."""
    until(lambda: time.monotonic() - api.requests[-1].time > 1.1, 5, "the watch to be a second old")


FAULTS = {
    "500": ({"status": 500}, r"answers 500 to"),
    "503 in HTML": ({"status": 503, "body": b"<html>busy</html>"}, r"answers 503 to"),
    "garbage": ({"raw_http": b"\x00\xff garbage\r\n\r\n"}, r"error: kubernetes: .*10\.\S+:\d+"),
    "cut": ({"cut": True, "status": 200}, r"error: kubernetes: .*10\.\S+:\d+"),
    "reset": ({"reset": True}, r"error: kubernetes: .*10\.\S+:\d+"),
}


@pytest.mark.parametrize("fault, regex", FAULTS.values(), ids=FAULTS)
def test_faults_of_list_never_shrink_the_cluster(daemon, api, two, fault, regex):
    ours = daemon()
    await_discovered(ours, two)
    api.compact()
    api.fault("list", times=None, **fault)
    api.fault("watch", times=None, status=410)
    break_and_mend(ours, api, two, regex, api.clear_faults)


def test_a_list_that_is_no_list_names_the_server(daemon, api):
    api.fault("list", times=None, status=200, body=b"hello, this is not Kubernetes")
    ours = daemon()
    ours.wait_log(r"what 10\.\S+:\d+ answers cannot be read: .*is that the Kubernetes API server\?")


def too_many_endpoints():
    endpoints = [{"addresses": [f"10.{i >> 16}.{i >> 8 & 255}.{i & 255}"]} for i in range(50001)]
    return {"kind": "EndpointSliceList", "metadata": {"resourceVersion": "5"},
            "items": [{"metadata": {"name": "a", "namespace": "default"}, "endpoints": endpoints}]}


ENDLESS = {"kind": "EndpointSliceList", "metadata": {"resourceVersion": "5", "continue": "more"}, "items": []}


@pytest.mark.parametrize("body, words", [(too_many_endpoints(), "more than 50000 endpoints"),
                                         (ENDLESS, "a list of more than 100 pages")],
                         ids=["endpoints", "pages"])
def test_a_list_without_end_is_given_up(daemon, api, two, body, words):
    ours = daemon()
    await_discovered(ours, two)
    api.compact()
    api.fault("list", times=None, status=200, body=body)
    break_and_mend(ours, api, two, f"cannot be read: {words}", api.clear_faults)
    assert count_log(ours, f"error: .*{words}") == 1


def test_an_unreachable_server_is_named_and_found_later(daemon, api, two):
    api.stop_listening()
    ours = daemon()
    ours.wait_log(rf"{api.address}:{api.port}.*refused")
    assert count_log(ours, "refused") == 1
    api.listen_again()
    await_discovered(ours, two, timeout=20)


def test_fault_12_while_the_server_is_away_nobody_leaves(daemon, api, two):
    ours = daemon()
    await_discovered(ours, two)
    api.stop_listening()
    api.drop_connections()
    ours.wait_log("refused")
    # Changes that nobody could tell of are seen afterwards.
    api.set_pods("sample", ["10.9.0.2", "10.9.0.3"], labels=APP)
    assert discovered(ours) == two
    api.listen_again()
    await_discovered(ours, nodes("10.9.0.2", "10.9.0.3"), timeout=40)


def test_that_the_server_is_back_is_said_before_anything_changes(daemon, api, two):
    ours = daemon()
    await_discovered(ours, two)
    api.wait_watches(1)
    wait_old_enough(api)
    before = len(ours.log_lines())
    api.stop_listening()
    api.drop_connections()
    ours.wait_log("error: .*refused", since=before)
    api.compact()  # so a LIST is asked for, and then a WATCH that has nothing to say
    api.listen_again()
    ours.wait_log("the API answers again", timeout=40, since=before)
    assert discovered(ours) == two


def test_that_a_watch_is_answered_again_is_said_before_anything_changes(daemon, api, two):
    ours = daemon()
    await_discovered(ours, two)
    api.wait_watches(1)
    wait_old_enough(api)
    before = len(ours.log_lines())
    api.fault("watch", times=None, status=503)
    api.drop_connections()
    ours.wait_log('error: .*answers 503 to "watch"', timeout=10, since=before)
    api.clear_faults()
    ours.wait_log("the API answers again", timeout=40, since=before)
    assert discovered(ours) == two


def test_fault_08_a_clean_end_resumes_without_a_list(daemon, api, two):
    ours = daemon()
    await_discovered(ours, two)
    api.wait_watches(1)
    wait_old_enough(api)
    seen = len(api.requests)
    api.tell_watches("end")
    again = api.wait_request(lambda r: r.verb == "watch", since=seen)
    assert not any(r.verb == "list" for r in api.requests[seen:])
    assert again.query["resourceVersion"] not in ("", "0", [""], ["0"])
    api.add_pod("sample", "10.9.0.3")
    await_discovered(ours, {**two, **nodes("10.9.0.3")})


@pytest.mark.parametrize("gone_as", ["stream", "http"])
def test_fault_02_and_03_gone_leads_to_a_list(daemon, api, two, gone_as):
    ours = daemon()
    await_discovered(ours, two)
    api.wait_watches(1)
    api.gone_as = gone_as
    api.stop_listening()
    api.drop_connections()
    api.set_pods("sample", ["10.9.0.2", "10.9.0.3"], labels=APP)
    api.compact()
    seen = len(api.requests)
    api.listen_again()
    await_discovered(ours, nodes("10.9.0.2", "10.9.0.3"), timeout=20)
    assert any(r.verb == "list" for r in api.requests[seen:])


def test_a_list_that_stalls_after_an_object_that_shrank(daemon, api):
    """The endpoint that it lost stands in an object that never comes."""
    others = [f"10.8.0.{i}" for i in range(1, 100)]
    api.put_slice("a", ["10.9.0.1", "10.9.0.2"], labels=APP)
    api.put_slice("z", others, labels=APP)
    ours = daemon()
    all_there = nodes("10.9.0.1", "10.9.0.2", *others)
    await_discovered(ours, all_there)
    api.wait_watches(1)
    api.stop_listening()
    api.drop_connections()
    api.put_slice("a", ["10.9.0.1"], labels=APP)
    api.put_slice("z", [*others, "10.9.0.2"], labels=APP)
    api.compact()
    api.fault("list", stall=True)
    seen = len(api.requests)
    api.listen_again()
    api.wait_request(lambda r: r.verb == "list" and r.status == 200, timeout=10, since=seen)
    time.sleep(2)  # more than losses take to settle
    assert discovered(ours) == all_there
    api.drop_connections()
    api.wait_watches(1, timeout=20)
    assert discovered(ours) == all_there
    assert count_log(ours, "is gone") == 0


def await_watch(api, number):
    until(lambda: sum(r.verb == "watch" for r in api.requests) == number, 20, f"watch {number}")
    api.wait_watches(1)


WATCH_FAULTS = {
    "an error": ({"error": 500, "message": "etcdserver: leader changed"}, "with 500: etcdserver: leader changed"),
    "garbage": ({"raw": b"garbage\n"}, "cannot be read"),
}


@pytest.mark.parametrize("fault, words", WATCH_FAULTS.values(), ids=WATCH_FAULTS)
def test_a_watch_that_fails_again_and_again_is_said_once(daemon, api, two, fault, words):
    api.fault("watch", times=3, **fault)
    ours = daemon()
    await_discovered(ours, two)
    await_watch(api, 4)
    assert count_log(ours, f"error: .*{words}") == 1
    assert count_log(ours, "answers again") == 0
    api.add_pod("sample", "10.9.0.3")
    ours.wait_log("the API answers again")


def test_one_error_in_a_watch_is_nothing_to_say(daemon, api, two):
    api.fault("watch", error=500)
    ours = daemon()
    await_discovered(ours, two)
    await_watch(api, 2)
    api.add_pod("sample", "10.9.0.3")
    await_discovered(ours, {**two, **nodes("10.9.0.3")})
    assert count_log(ours, "error: ") == 0


def test_fault_16_rights_missing_then_granted(daemon, api, two):
    api.deny("endpointslices")
    api.deny("endpoints")
    ours = daemon()
    line = ours.wait_log(r"403 .*").group()
    for word in ("endpoints", "Role", "RoleBinding", "list and watch", "service account"):
        assert word in line
    assert discovered(ours) == {}
    api.allow("endpointslices")
    await_discovered(ours, two, timeout=40)
    ours.wait_log("the API answers again")


def test_fault_17_slices_denied_means_endpoints(daemon, api, two):
    api.deny("endpointslices")
    ours = daemon()
    await_discovered(ours, two)
    assert ours.wait_log("endpoints in 1 endpoints")


def test_slices_denied_later_is_trouble_not_fallback(daemon, api, two):
    ours = daemon()
    await_discovered(ours, two)
    api.wait_watches(1)
    api.deny("endpointslices")
    seen = len(api.requests)
    api.compact()
    break_and_mend(ours, api, two, r"403 .*endpointslices", lambda: api.allow("endpointslices"))
    assert not any(r.resource == "endpoints" for r in api.requests[seen:])


def test_unserved_for_a_moment_is_trouble_not_fallback(daemon, api, two):
    """A server that starts answers 404; so does a load balancer that has none behind it."""
    ours = daemon()
    await_discovered(ours, two)
    api.wait_watches(1)
    seen = len(api.requests)
    api.compact()
    api.fault("list", times=2, path="endpointslices", status=404, body=b"404 page not found\n")
    break_and_mend(ours, api, two, r'answers 404 to "list" on endpointslices', api.compact)
    assert not any(r.resource == "endpoints" for r in api.requests[seen:])


def test_slices_that_come_later_are_read(daemon, api, two):
    """Each whole LIST asks for them first."""
    api.versions = []
    ours = daemon()
    await_discovered(ours, two)
    api.wait_watches(1)
    api.versions = ["v1"]
    api.compact()
    api.drop_connections()
    api.wait_request(lambda r: r.verb == "watch" and r.resource == "endpointslices", timeout=20)
    assert discovered(ours) == two


def test_fault_16_watch_denied_but_list_allowed_is_said_once(daemon, api, two):
    api.deny("endpointslices", "watch")
    ours = daemon()
    await_discovered(ours, two)
    ours.wait_log(r'403 for "watch"')
    api.wait_request(lambda r: r.verb == "list" and r is not api.requests[0], timeout=10)
    api.wait_request(lambda r: r.verb == "watch", timeout=10, since=len(api.requests))
    assert count_log(ours, r'error: .*403 for "watch"') == 1


def test_fault_14_a_refused_token_then_a_good_one(daemon, api, pod, two, tmp_path):
    api.service_account_dir(tmp_path / "account", token="bad")
    ours = daemon()
    ours.wait_log(r"401: .*token of the service account")
    api.service_account_dir(tmp_path / "account", token="good")
    await_discovered(ours, two, timeout=40)


def test_fault_14_a_rotated_token_is_read_again(daemon, api, two, tmp_path):
    ours = daemon()
    await_discovered(ours, two)
    api.tokens = {"good", "newer"}
    api.service_account_dir(tmp_path / "account", token="newer")
    api.tokens = {"newer"}
    api.drop_connections()
    api.add_pod("sample", "10.9.0.3")
    await_discovered(ours, {**two, **nodes("10.9.0.3")})
    assert count_log(ours, "401: ") == 0


def test_fault_15_a_certificate_of_another_authority_is_refused(daemon, api, two):
    api.rotate_ca()
    ours = daemon()
    ours.wait_log(r"certificate")
    assert discovered(ours) == {}


def test_fault_15_a_certificate_for_another_address_is_refused(daemon, api, two):
    api.new_certificate(ip_san=False)
    ours = daemon()
    ours.wait_log(rf"certificate is not for {api.address}")
    assert discovered(ours) == {}


def test_an_account_that_is_not_mounted_yet(epmd_binary, network, api, two, tmp_path, closing):
    folder = tmp_path / "account"
    folder.mkdir()
    pod = network.pod(files={"/var/run/secrets/kubernetes.io/serviceaccount": str(folder)})
    ours = closing.enter_context(discovering(epmd_binary, pod, api, env={"ERL_EPMD_DIST": "9100"}))
    ours.wait_log(r"serviceaccount/(token|ca\.crt)")
    api.service_account_dir(folder)
    await_discovered(ours, two, timeout=20)


def test_a_service_without_the_label_is_explained(daemon, api):
    api.delete_service("sample")
    ours = daemon()
    ours.wait_log(r"no endpointslices.* there: it is the Service, not the pods, that must have that label")


def test_a_service_without_pods_is_explained(daemon, api):
    ours = daemon()
    ours.wait_log(r"no endpoints \(yet\): does the Service select this application's pods\?")


def test_other_clients_are_served_while_the_api_is_silent(daemon, api):
    api.fault("any", times=None, stall="before")
    ours = daemon()
    with ours.register("local", 41001) as node:
        assert not node.refused
        assert ours.lookup("local").port == 41001
    api.clear_faults()
