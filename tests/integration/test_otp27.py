"""Nodes of OTP 27 under our epmd, beside those of this machine's OTP."""

import os

import pytest

from lab import wire
from lab.epmd import read_all
from lab.member import await_mesh
from lab.sidecar import PORT, account_pod, await_discovered, discovering


@pytest.fixture
def newer(network, beam, otp27_erl):
    """A node of OTP 27 in a pod of its own, whose epmd, ours, it has started itself."""
    node = beam(network.pod(), erl=otp27_erl).wait_started()
    assert node.eval("erlang:system_info(otp_release).") == '"27"'
    return node


def registered(node, pod):
    """What the epmd in the node's pod says of it to another pod."""
    with pod.connect(node.pod.ip, PORT) as connection:
        connection.sendall(wire.port2("sample"))
        return wire.parse_port2(read_all(connection))


def test_it_registers_with_our_epmd(newer, network, otp27_erl):
    ours = os.path.realpath(os.path.join(os.path.dirname(otp27_erl), "epmd"))
    assert ours in [os.readlink(f"/proc/{pid}/exe") for pid in newer.pod.processes()]
    found = registered(newer, network.pod())
    assert newer.eval("net_adm:names().") == f'{{ok,[{{"sample",{found.port}}}]}}'
    # The versions are those that older releases register: they do not tell a release.
    assert found == wire.Port2Reply(found.port, wire.VISIBLE, 0, 6, 5, "sample", b"")


def test_an_older_node_pings_it_and_it_the_older_one(newer, network, beam, epmd, epmd_binary):
    pod = network.pod()
    epmd(epmd_binary, pod=pod, port=PORT)
    older = beam(pod, start_epmd=False).wait_started()
    assert older.eval(f"net_adm:ping('{newer.name}').") == "pong"
    newer.wait_nodes({older.name})
    newer.restart()
    assert newer.eval(f"net_adm:ping('{older.name}').") == "pong"
    older.wait_nodes({newer.name})


def test_it_is_discovered(newer, network, epmd_binary, standin, tmp_path, closing):
    api = standin(where=network.host)
    pod = account_pod(network, api, tmp_path / "account")
    api.set_pods("sample", [pod.ip, newer.pod.ip], labels={"app": "sample"})
    daemon = closing.enter_context(discovering(epmd_binary, pod, api))
    await_discovered(daemon, {newer.name: registered(newer, pod).port})


def test_both_releases_join_in_one_cluster(member, otp27_erl):
    members = [member(), member(erl=otp27_erl), member(erl=otp27_erl), member()]
    print(f"\nOTP 25 and 27 mixed: full after {await_mesh(members, 20):.2f} s")
    releases = sorted(one.beam.eval("erlang:system_info(otp_release).") for one in members)
    assert releases == ['"25"', '"25"', '"27"', '"27"']
    assert not any("rror" in one.beam.log_text() for one in members)


def test_they_join_among_themselves(member, otp27_erl):
    await_mesh([member(erl=otp27_erl) for _ in range(3)], 20)
