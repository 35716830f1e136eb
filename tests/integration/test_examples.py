"""The examples, built and run in pods as their Dockerfiles and manifests say."""

import pathlib

import pytest

from lab.release import RELEASES, ReleaseError, Running
from lab.sidecar import account_pod
from lab.wait import until

EXAMPLES = pathlib.Path(__file__).resolve().parents[2] / "examples"
LISTED = 20  # seconds, on a loaded machine, until a peer that has just started is listed


@pytest.fixture(params=RELEASES)
def release(request, build_release):
    return build_release(request.param)


@pytest.fixture
def start(release, network, standin, closing, tmp_path):
    """Starts the release in `count` pods of the Service "sample", as its Deployment would."""
    def started(count, **settings):
        api = standin(where=network.host)
        pods = [account_pod(network, api, tmp_path / "account") for _ in range(count)]
        api.set_pods("sample", [pod.ip for pod in pods], labels={"app": "sample"})
        env = {"ERL_EPMD_DISCOVERY": "kubernetes", "ERL_EPMD_SELECTOR": "app=sample", **api.env(), **settings}
        running = [closing.enter_context(Running(release, pod, env)) for pod in pods]
        return [one.wait_started() for one in running]
    return started


def test_two_pods_list_each_other_and_are_joined(start):
    a, b = start(2)
    for here, there in ((a, b), (b, a)):
        def lists_both():
            own, far = here.listed(), there.listed()
            return own == {"sample": own.get("sample"), there.name: far.get("sample")}
        until(lists_both, LISTED, f"epmd -names to be right in the pod of {here}")
        assert here.epmd("-names").stdout.startswith("epmd: up and running on port 4369 with data:\nname sample at ")
    until(lambda: a.nodes() == {b.name} and b.nodes() == {a.name}, LISTED, "the two to be joined")
    assert f"nodeup {b.name}, 1 connected" in a.log_text()
    assert b.stop() == 0
    until(lambda: a.nodes() == set(), 10, f"{b} to leave")


def test_an_rpc_says_what_went_wrong(release, network, closing):
    running = closing.enter_context(Running(release, network.pod())).wait_started()
    for wrong in ("1 +", "exit(oh)"):
        with pytest.raises(ReleaseError):
            running.rpc(wrong)


def test_its_epmd_is_ours_and_alone_it_is_stock(release, network, epmd_binary, closing):
    """Without discovery's settings nothing but the program differs."""
    assert pathlib.Path(release.bin_dir, "epmd").read_bytes() == pathlib.Path(epmd_binary).read_bytes()
    alone = closing.enter_context(Running(release, network.pod())).wait_started()
    assert set(alone.listed()) == {"sample"}


def test_the_examples_share_their_manifests():
    """One is not changed without the other. The API server sees one of them in test_kubernetes."""
    elixir, erlang = ((EXAMPLES / kind / "k8s.yaml").read_text() for kind in RELEASES)
    assert elixir == erlang
