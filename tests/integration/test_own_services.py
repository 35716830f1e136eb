"""With neither selector nor Service: the peers are those of the Services that have this pod."""

import pytest

from lab.sidecar import account_pod, await_discovered, count_log, discovered, discovering

BY_NAME = "kubernetes.io/service-name in "


@pytest.fixture
def api(network, standin):
    return standin(where=network.host)


@pytest.fixture
def pod(network, api, tmp_path):
    return account_pod(network, api, tmp_path / "account")


@pytest.fixture
def daemon(epmd_binary, pod, api, closing):
    def start(**env):
        return closing.enter_context(discovering(epmd_binary, pod, api, selector=None,
                                                 env={"ERL_EPMD_DIST": "9100", **env}))
    return start


def nodes(*addresses):
    return {f"sample@{address}": 9100 for address in addresses}


def parameter(request, name):
    value = request.query.get(name, "")
    return value[0] if isinstance(value, list) else value


def namespace_wide(api, verb):
    return [request for request in api.requests if request.verb == verb
            and not parameter(request, "labelSelector") and not parameter(request, "fieldSelector")]


def test_they_are_found_by_one_list_and_watched_by_name(api, pod, daemon):
    api.set_pods("a", [pod.ip, "10.77.0.1"])
    api.set_pods("b", ["10.77.0.2", pod.ip])
    api.set_pods("other", ["10.77.0.3"])
    ours = daemon()
    ours.wait_log("namespace default, the Services of this host: found by this host's address: a,b$")
    await_discovered(ours, nodes("10.77.0.1", "10.77.0.2"))
    api.wait_watches(1)
    api.add_pod("b", "10.77.0.4")
    api.add_pod("other", "10.77.0.5")
    api.remove_pod("a", "10.77.0.1")
    await_discovered(ours, nodes("10.77.0.2", "10.77.0.4"))
    assert len(namespace_wide(api, "list")) == 1 and not namespace_wide(api, "watch")
    watches = [parameter(request, "labelSelector") for request in api.requests if request.verb == "watch"]
    assert watches == [BY_NAME + "(a,b)"]


def test_without_any_it_says_so_once_and_looks_again(api, pod, daemon):
    api.set_pods("a", ["10.77.0.1"])
    ours = daemon()
    ours.wait_log(r"warning: .*the Services of this host: none yet: .*\(1 in all\).*ERL_EPMD_SELECTOR")
    api.wait(lambda: len(namespace_wide(api, "list")) >= 3, 30, "a third look")
    assert discovered(ours) == {} and not namespace_wide(api, "watch")
    assert count_log(ours, "none yet") == 1
    api.add_pod("a", pod.ip, ready=False)
    ours.wait_log("found by this host's address: a$", timeout=60)
    await_discovered(ours, nodes("10.77.0.1"))


def test_a_search_that_is_forbidden_goes_on_when_it_is_allowed(api, pod, daemon):
    api.set_pods("a", [pod.ip, "10.77.0.1"])
    for resource in ("endpointslices", "endpoints"):
        api.deny(resource)
    ours = daemon()
    ours.wait_log("the Services of this host: 403 .*RoleBinding")
    api.allow("endpointslices")
    ours.wait_log("found by this host's address: a$", timeout=60)
    await_discovered(ours, nodes("10.77.0.1"))


def test_where_only_endpoints_may_be_read_each_has_a_watch(api, pod, daemon):
    for name in ("a", "b"):
        api.set_pods(name, [pod.ip, "10.77.0.1" if name == "a" else "10.77.0.2"])
    api.set_pods("other", ["10.77.0.3"])
    api.deny("endpointslices")
    ours = daemon()
    await_discovered(ours, nodes("10.77.0.1", "10.77.0.2"))
    api.wait_watches(2)
    fields = sorted(parameter(request, "fieldSelector") for request in api.requests if request.verb == "watch")
    assert fields == ["metadata.name=a", "metadata.name=b"]


def test_all_pages_are_looked_at(api, pod, daemon):
    for number in range(520):
        name = f"s{number:03}"
        api.put_slice(name, [f"10.80.{number // 250}.{number % 250 + 1}"], {"kubernetes.io/service-name": name})
    api.set_pods("zz", [pod.ip, "10.77.0.1"])
    ours = daemon()
    ours.wait_log("found by this host's address: zz$")
    await_discovered(ours, nodes("10.77.0.1"))


def test_what_is_missing_is_shown_by_doctor(api, pod, daemon):
    api.set_pods("a", ["10.77.0.1"])
    ours = daemon()
    ours.wait_log("none yet")
    assert "no Service in namespace default has this host yet" in ours.cli("-doctor").stdout


def test_of_very_many_some_are_watched_and_the_rest_is_said(api, pod, daemon):
    for number in range(65):
        api.set_pods(f"s{number:02}", [pod.ip])
    ours = daemon()
    ours.wait_log("warning: .*there are more than 64 of them: name those that count in ERL_EPMD_SERVICE")
    api.wait_watches(1)
