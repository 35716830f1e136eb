"""Nodes that join by themselves: stock OTP in pods, whose erts-*/bin/epmd is ours, against the
stand-in API server."""

import re
import time

import pytest

from lab.beam import Beam
from lab.member import await_mesh, nodedowns
from lab.wait import until

NEVER_STARTED = ["-eval", "timer:sleep(infinity)."]


def test_two_nodes_join(member):
    a, b = member(), member()
    await_mesh([a, b])
    # Nobody sees epmd among the visible nodes; the link itself is a hidden one.
    assert a.beam.nodes("hidden") == {f"kepmd@{a.pod.ip}"}
    a.wait_peer(b, "joined")
    b.wait_peer(a, "joined")
    assert "error" not in a.beam.log_text().lower()


def test_the_cookie_is_not_to_be_had_from_epmd(member):
    a, b = member(cookie="a-secret-of-theirs"), member(cookie="a-secret-of-theirs")
    await_mesh([a, b])
    assert "a-secret-of-theirs" not in a.log_text() + a.epmd("-peers").stdout


def test_epmd_may_have_a_cookie_of_its_own(member):
    a, b = [member(extra_args=["-setcookie", f"kepmd@10.1.0.{n}", f"for-epmd-{n}"]) for n in (2, 3)]
    assert [one.pod.ip for one in (a, b)] == ["10.1.0.2", "10.1.0.3"]
    await_mesh([a, b])
    assert a.beam.eval(f"auth:get_cookie('kepmd@{a.pod.ip}').") == "'for-epmd-2'"


def test_five_nodes_join_a_newcomer_at_once(member):
    members = [member() for _ in range(4)]
    await_mesh(members)
    late = member()
    late.beam.wait_started()
    print(f"\nfull after {await_mesh([late, *members]):.3f} s (and what starting took)")


def test_the_newcomer_dials_before_the_others_do(member):
    a = member()
    a.beam.wait_started()
    b = member()
    await_mesh([a, b])
    b.wait_log(f"{b.name}: joined with {a.name}")
    assert a.beam.eval("element(1, net_kernel:node_info(list_to_atom(\"%s\")))." % b.name) == "ok"


def test_joining_can_be_switched_at_run_time(member):
    a = member(env={"ERL_EPMD_JOIN": "off"})
    b = member(env={"ERL_EPMD_JOIN": "off"})
    a.wait_peer(b, "left alone", "joining is off")
    assert a.epmd("-join", "on").stdout == "joining is on\n"
    await_mesh([a, b])
    assert a.epmd("-join", "off").stdout == "joining is off\n"
    until(lambda: a.beam.nodes("hidden") == set(), 5, "the link to be gone")
    assert a.beam.nodes() == {b.name}


def test_with_joining_off_a_port_that_changes_is_noticed_all_the_same(member):
    """While a node is connected its port is not asked for; whoever leaves it alone must ask again."""
    a, b = member(), member()
    a.wait_peer(b, "joined")
    a.epmd("-join", "off")
    b.beam.kill()
    b.beam.start()
    b.beam.wait_started()

    def ports_of_b():
        names = [member.epmd("-names").stdout for member in (a, b)]
        return (re.search(rf"name {re.escape(b.name)} at port (\d+)", names[0]),
                re.search(r"name sample at port (\d+)", names[1]))

    def agree():
        here, there = ports_of_b()
        return here and there and here[1] == there[1]

    until(agree, 40, "the new port", every=0.2)


def test_applications_come_first(member):
    a = member()
    a.beam.wait_started()
    # init waits for the evaluation, as for an application that takes long.
    b = member(last_args=NEVER_STARTED)
    b.beam.wait_connected()
    b.wait_peer(a, "not yet", "its applications are still starting")
    assert not any("joined with" in line for line in b.log_text().splitlines())


def test_registered_is_enough_if_that_is_asked_for(member):
    settings = {"ERL_EPMD_JOIN_WHEN": "registered"}
    a = member(env=settings)
    b = member(env=settings, last_args=NEVER_STARTED)
    await_mesh([a, b])


def test_a_node_that_restarts_is_joined_again(member):
    a, b = member(), member()
    await_mesh([a, b])
    b.beam.kill()
    b.beam.start()
    b.beam.wait_started()
    print(f"\nwhole again {await_mesh([a, b]):.3f} s after the node was up")


def test_both_nodes_restart(member):
    """With names that are given, what is known of a peer's port outlives the local node."""
    settings = {"ERL_EPMD_BASENAME": "sample"}
    both = [member(env=settings), member(env=settings)]
    await_mesh(both)
    for one in both:
        one.beam.kill()
    for one in both:
        one.beam.start()
    for one in both:
        one.beam.wait_started()
    await_mesh(both, 30)


def test_a_node_that_stops_and_starts_its_distribution(member, epmd_binary):
    """net_kernel:stop/0 is for nodes that began without a name."""
    a, b = member(), member(named=False)
    b.pod.run([epmd_binary, "-daemon"], env=b.beam.extra_env, check=True)
    b.beam.wait_started()
    for _ in range(2):
        b.beam.eval("{ok, _} = net_kernel:start(['%s', longnames])." % b.name)
        await_mesh([a, b], 20)
        b.beam.eval("ok = net_kernel:stop().")
        a.beam.wait_nodes(set())


def test_an_epmd_that_is_killed_and_started_again(member, epmd_binary):
    a, b, c = member(), member(), member()
    await_mesh([a, b, c])
    daemon = [int(pid) for pid in a.pod.run(["pgrep", "-x", "epmd"]).stdout.split()
              if int(pid) in a.pod.processes()]
    for pid in daemon:
        a.pod.run(["kill", "-9", str(pid)])
    a.pod.run([epmd_binary, "-daemon"], env=a.beam.extra_env)
    begun = time.monotonic()
    a.wait_peer(b, "joined", timeout=15)
    print(f"\njoining again {time.monotonic() - begun:.1f} s after a new epmd was up")
    assert nodedowns(a, begun) == []


def test_a_wrong_cookie_is_named(member):
    a, b, odd = member(), member(), member(cookie="odd")
    until(lambda: a.beam.nodes() == {b.name} and b.beam.nodes() == {a.name}, 10, "the others to join")
    odd.wait_peer(a, "cookie", "give both nodes the same")
    a.wait_peer(odd, "cookie", timeout=15)
    a.wait_peer(b, "joined")
    b.wait_peer(odd, "cookie", timeout=15)
    said = [line for line in odd.log_text().splitlines() if "cookie: the two refuse" in line]
    assert len(said) == 2
    # The accepting node logs each refusal: one dial of each of the others, and then only looks.
    refusals = [one.beam.log_text().count("Connection attempt from") for one in (odd, a, b)]
    time.sleep(20)  # in which looks go on
    assert [one.beam.log_text().count("Connection attempt from") for one in (odd, a, b)] == refusals
    assert 1 <= refusals[0] and max(refusals) <= 2


def test_no_cookie_is_said(member):
    a = member(cookie=None, env={"ERL_EPMD_COOKIE_FILE": "/nonexistent/cookie"})
    a.wait_log("/nonexistent/cookie")


def test_hidden_nodes_are_left_alone(member):
    a = member()
    hidden = member(extra_args=["-hidden"])
    a.wait_peer(hidden, "hidden")
    hidden.beam.wait_started()
    assert hidden.beam.nodes("connected") == set()


def test_a_name_that_is_not_the_pods_is_named(member, network):
    a = member()
    odd = member(name="sample@127.0.0.9")
    a.wait_peer(f"sample@{odd.pod.ip}", "name mismatch", "sample@127.0.0.9")


def test_net_kernel_allow(member):
    a = member()
    closed = member(enlist=False, env={"ERL_EPMD_JOIN": "off"})
    closed.beam.eval("net_kernel:allow(['nobody@nowhere.example']).")
    closed.enlist()
    a.wait_peer(closed, "not allowed")
    assert a.beam.nodes("connected") == {f"kepmd@{a.pod.ip}"}


@pytest.mark.parametrize("setting", [["dist_auto_connect", "never"], ["connect_all", "false"]],
                         ids=["dist_auto_connect", "connect_all"])
def test_what_the_node_itself_wishes(member, setting):
    a = member()
    odd = member(extra_args=["-kernel", *setting])
    odd.wait_log(f"-kernel {setting[0]} {setting[1]}")
    odd.wait_peer(a, "not yet", setting[0])


def test_a_demand_beats_the_nodes_wish(member):
    settings = {"ERL_EPMD_JOIN": "on"}
    a = member(env=settings)
    b = member(env=settings, extra_args=["-kernel", "dist_auto_connect", "never"])
    await_mesh([a, b])


def test_terminating_peers_are_not_dialled(member, sample_api):
    a = member()
    a.beam.wait_started()
    leaving = member(enlist=False, env={"ERL_EPMD_JOIN": "off"})
    leaving.beam.wait_started()
    leaving.enlist(terminating=True, serving=True, ready=False)
    until(lambda: leaving.name in a.peers(), 5, "the endpoint")
    a.beam.wait_started()
    time.sleep(5)  # nothing shall happen in this time
    assert a.beam.nodes() == set()


def test_initial_joins_once_and_never_heals(member):
    settings = {"ERL_EPMD_JOIN": "initial"}
    a, b = member(env=settings), member(env=settings)
    a.wait_peer(b, "joined")
    b.wait_peer(a, "joined")
    a.beam.eval(f"erlang:disconnect_node('{b.name}').")
    a.beam.wait_nodes(set())
    time.sleep(6)  # nothing shall happen in this time
    assert a.beam.nodes() == set() and b.beam.nodes() == set()
    a.wait_peer(b, "not yet", "ERL_EPMD_JOIN=initial leaves healing to the application")
    assert a.epmd("-join", "on").returncode == 0
    await_mesh([a, b])


def test_a_distribution_port_that_is_blocked(member):
    fixed = ["-kernel", "inet_dist_listen_min", "9100", "inet_dist_listen_max", "9100"]
    a, b = member(enlist=False, extra_args=fixed), member(enlist=False, extra_args=fixed)
    for one in (a, b):
        one.pod.block_port(9100)
        one.enlist()
    b.wait_peer(a, "unreachable", "port 9100: no answer (timed out)", timeout=20)
    a.wait_peer(b, "unreachable", "port 9100: no answer (timed out)", timeout=20)
    for one in (a, b):
        one.pod.unblock_port(9100)
    await_mesh([a, b], 30)


def test_one_direction_is_enough(member):
    a = member(extra_args=["-kernel", "inet_dist_listen_min", "9100", "inet_dist_listen_max", "9100"])
    a.beam.wait_started()
    a.pod.block_port(9100)
    await_mesh([a, member()], 20)


def test_a_node_that_listens_on_the_pods_address_only(member, network):
    members = [member(extra_args=["-kernel", "inet_dist_use_interface", "{10,1,0,%d}" % n])
               for n in (2, 3)]
    assert [m.pod.ip for m in members] == ["10.1.0.2", "10.1.0.3"]
    await_mesh(members)


def test_several_local_nodes(member, closing):
    settings = {"ERL_EPMD_BASENAME": "sample,worker"}
    a, b = member(env=settings), member(env=settings)
    more = [closing.enter_context(Beam(m.pod, name=f"worker@{m.pod.ip}", erl=m.beam.erl,
                                       env=m.beam.extra_env)).wait_started() for m in (a, b)]
    everyone = {m.name for m in (a, b)} | {beam.name for beam in more}
    for beam in (a.beam, b.beam, *more):
        beam.wait_nodes(everyone - {beam.name})


def test_ipv6_only_nodes(network, sample_api, member):
    args = ["-proto_dist", "inet6_tcp"]
    a = member(enlist=False, name="sample@fd00:1::2", extra_args=args)
    b = member(enlist=False, name="sample@fd00:1::3", extra_args=args)
    assert (a.pod.ip6, b.pod.ip6) == ("fd00:1::2", "fd00:1::3")
    a.enlist(a.pod.ip6)
    b.enlist(b.pod.ip6)
    await_mesh([a, b], 20)


def test_thirty_at_once(member):
    begun = time.monotonic()
    members = [member(env={"ERL_EPMD_LOG_LEVEL": "debug"}) for _ in range(30)]
    for one in members:
        one.beam.wait_started(60)
    up = time.monotonic()
    await_mesh(members, 60)
    took = time.monotonic() - up
    dials = [(one.name, to) for one in members for to in re.findall(r": dials (\S+)", one.log_text())]
    both = {frozenset(pair) for pair in dials if pair[::-1] in dials}
    print(f"\n30 nodes: all up after {up - begun:.1f} s, full mesh {took:.1f} s later; {len(dials)} dials for "
          f"435 links, {len(both)} pairs dialled from both sides")
