"""What a look at a peer's node finds, and what is then said and not done: a real node with our epmd,
and peers that say what a script has them say."""

import pytest

from lab.scripted_node import OTP_25, OTP_29, PUBLISHED, TLS_ALERT, ScriptedNode, challenge, frame
from lab.sidecar import PORT, count_log
from lab.wait import until

OK = frame(b"sok")


@pytest.fixture
def scripted(network, sample_api, epmd, stock_epmd, closing):
    """Makes a peer: a pod with stock epmd, in which a scripted node is registered. The answer is made from
    the full name."""
    def make(answer, name="sample"):
        pod = network.pod()
        daemon = epmd(stock_epmd, pod=pod, port=PORT)
        pod.full_name = f"{name}@{pod.ip}"
        node = closing.enter_context(ScriptedNode(pod, answer(pod.full_name)))
        closing.enter_context(daemon.register(name, node.port))
        sample_api.add_pod("sample", pod.ip)
        node.full_name = pod.full_name
        return node

    return make


CASES = {
    "hidden": (lambda name: OK + challenge(name, OTP_25 & ~PUBLISHED), "hidden", "-hidden"),
    "another name": (lambda name: OK + challenge("sample@10.9.9.9"), "name mismatch", "calls itself sample@10.9.9.9"),
    "a release too new": (lambda name: OK + challenge(name, OTP_29), "incompatible release", "OTP 29 or later"),
    "a short name": (lambda name: OK + challenge("sample@shorty"), "name mismatch", "sample@shorty"),
    "TLS": (lambda name: TLS_ALERT, "tls", "inet_tls"),
    "not allowed": (lambda name: frame(b"snot_allowed"), "not allowed", "net_kernel:allow/1"),
    "an HTTP server": (lambda name: b"HTTP/1.1 400 Bad Request\r\n\r\n", "no node", "no Erlang node"),
    "garbage in a frame": (lambda name: frame(b"zzzz"), "no node", "no Erlang node"),
    "an old challenge": (lambda name: OK + frame(b"n\0\5" + bytes(8) + name.encode()), "no node", "OTP 23"),
    "a name that would break the line": (lambda name: OK + challenge("a\n\x1b[2J@b"), "no node", "a name that is none"),
    "a name without host": (lambda name: OK + challenge("sample"), "no node", "a name that is none"),
    "a cut challenge": (lambda name: OK + frame(b"N\0\0"), "no node", "OTP 23"),
    "hangs up": (lambda name: b"", "no node", "hangs up"),
    "silence": (lambda name: None, "unreachable", "silence"),
    "busy": (lambda name: frame(b"snok"), "not yet", "busy with an earlier look"),
}


@pytest.mark.parametrize("case", CASES)
def test_who_is_not_dialled_and_why(case, member, scripted):
    answer, state, reason = CASES[case]
    peer = scripted(answer)
    a = member()
    a.wait_peer(peer.full_name, state, reason, timeout=15)
    # Only looks came: none under the node's own name.
    assert set(peer.heard) == {f"kepmd-look@{a.pod.ip}"}
    assert peer.full_name not in a.beam.log_text()


def test_a_port_that_is_refused_is_asked_for_again(member, network, sample_api, epmd, stock_epmd):
    """The node there may have started again, at another; and a link of another node must not hide that."""
    pod = network.pod()
    daemon = epmd(stock_epmd, args=["-d"], pod=pod, port=PORT)
    with daemon.register("sample", 1):
        sample_api.add_pod("sample", pod.ip)
        member().wait_peer(f"sample@{pod.ip}", "unreachable", "refused", timeout=15)
        # Where nothing is in doubt it asks each 10 s.
        until(lambda: count_log(daemon, "PORT2_REQ") >= 4, 9, "it to ask again")


def test_one_that_believes_us_alive_is_told_otherwise(member, scripted):
    peer = scripted(lambda name: frame(b"salive") + challenge(name, OTP_25 & ~PUBLISHED))
    member().wait_peer(peer.full_name, "hidden", timeout=15)


def test_a_good_look_is_followed_by_the_nodes_own_dial(member, scripted):
    peer = scripted(lambda name: OK + challenge(name))
    a = member()
    a.wait_peer(peer.full_name, "unreachable", "ended in silence", timeout=20)
    assert a.name in peer.heard


def test_a_node_that_waits_shorter_has_met_silence_all_the_same(member, scripted):
    peer = scripted(lambda name: OK + challenge(name))
    a = member(extra_args=["-kernel", "net_setuptime", "2"])
    a.wait_peer(peer.full_name, "unreachable", "ended in silence", timeout=20)
