"""Real Erlang nodes under our epmd, as under the stock one."""

import contextlib
import os
import signal
import subprocess

import pytest

from lab.beam import Beam, otp_with_epmd
from lab.epmd import Epmd, free_port
from lab.namespace import clean_env
from lab.wait import until


@pytest.fixture(params=["stock", "ours"])
def daemon(request, epmd, epmd_binary, stock_epmd):
    return epmd(stock_epmd if request.param == "stock" else epmd_binary)


def node(beam, daemon, name="a", **more):
    return beam(name=f"{name}@127.0.0.1", epmd_port=daemon.port, **more).wait_started()


def port_of(text):
    """The port in {port,41463,6}."""
    return int(text.split(",")[1])


def test_a_node_registers_and_is_found(daemon, beam):
    a = node(beam, daemon)
    port = port_of(a.eval('erl_epmd:port_please("a", "127.0.0.1").'))
    assert a.eval("net_adm:names().") == f'{{ok,[{{"a",{port}}}]}}'
    assert a.eval('erl_epmd:port_please("nobody", "127.0.0.1").') == "noport"
    assert a.eval('erl_epmd:names("127.0.0.1").') == f'{{ok,[{{"a",{port}}}]}}'
    assert daemon.names() == [("a", port)]
    assert daemon.cli("-names").stdout == \
        f"epmd: up and running on port {daemon.port} with data:\nname a at port {port}\n"


def test_nodes_ping_each_other(daemon, beam):
    a, b = node(beam, daemon), node(beam, daemon, "b")
    assert a.eval("net_adm:ping('b@127.0.0.1').") == "pong"
    assert b.nodes() == {"a@127.0.0.1"}
    assert a.eval("net_adm:ping('c@127.0.0.1').") == "pang"


def test_a_second_node_of_the_name_is_refused(daemon, beam):
    a = node(beam, daemon)
    second = beam(name="a@127.0.0.1", epmd_port=daemon.port)
    second.wait_log("seems to be in use by another Erlang node")
    assert second.process.wait(20) != 0
    assert a.eval("node().") == "'a@127.0.0.1'"


def test_a_node_restarts_under_its_name(daemon, beam):
    a = node(beam, daemon)
    first = a.eval("erlang:system_info(creation).")
    a.restart()
    assert int(a.eval("erlang:system_info(creation).")) == int(first) + 1
    assert [name for name, _ in daemon.names()] == ["a"]


def test_a_node_that_is_killed_leaves(daemon, beam):
    a = node(beam, daemon)
    a.kill()
    until(lambda: daemon.names() == [], 5, "the killed node to leave")


def test_distribution_stops_and_starts_again(daemon):
    """net_kernel:stop/0 is for nodes that began without a name."""
    script = ('Start = fun(Name) -> {ok, _} = net_kernel:start([Name, longnames]) end,'
              'Start(\'x@127.0.0.1\'), {ok, [{"x", _}]} = net_adm:names(),'
              'ok = net_kernel:stop(),'
              'Wait = fun Wait() -> case erl_epmd:names("127.0.0.1") of {ok, []} -> ok;'
              ' _ -> Wait() end end, Wait(),'
              'Start(\'y@127.0.0.1\'), {ok, [{"y", _}]} = net_adm:names(),'
              'io:format("~p", [node()]), halt().')
    ended = subprocess.run(["erl", "-noshell", "-noinput", "-start_epmd", "false", "-eval", script],
                           env=clean_env({"ERL_EPMD_PORT": str(daemon.port)}),
                           capture_output=True, text=True, timeout=30)
    assert ended.stdout == "'y@127.0.0.1'", ended.stdout + ended.stderr


def test_nodes_register_again_after_epmd_restarts(daemon, beam):
    a = node(beam, daemon)
    before = daemon.names()
    daemon.restart()
    until(lambda: daemon.names() == before, 10, "the node to register again")
    assert a.eval("node().") == "'a@127.0.0.1'"


def kill_daemon(port):
    """End the epmd that erl started in the background, by its own process id."""
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        with contextlib.suppress(OSError):
            with open(f"/proc/{entry}/environ", "rb") as environ:
                ours = f"ERL_EPMD_PORT={port}".encode() in environ.read().split(b"\0")
            if ours and os.path.basename(os.readlink(f"/proc/{entry}/exe")) == "epmd":
                os.kill(int(entry), signal.SIGTERM)


def test_erl_starts_our_epmd_itself(epmd_binary, beam, tmp_path):
    """An OTP whose erts-*/bin/epmd is ours: `erl -name` needs nothing else."""
    erl = otp_with_epmd(epmd_binary, tmp_path / "otp")
    port = free_port()
    env = {"ERL_EPMD_ADDRESS": "127.0.0.1"}
    try:
        a = beam(name="a@127.0.0.1", epmd_port=port, erl=erl, start_epmd=True, env=env)
        a.wait_started()
        b = beam(name="b@127.0.0.1", epmd_port=port, erl=erl, start_epmd=True, env=env)
        b.wait_started()
        assert b.eval("net_adm:ping('a@127.0.0.1').") == "pong"
    finally:
        kill_daemon(port)


def test_nodes_in_pods_find_each_other(network, epmd_binary, epmd, beam):
    pods = [network.pod(), network.pod()]
    for pod in pods:
        epmd(epmd_binary, pod=pod, port=4369)
    a, b = (beam(pod, start_epmd=False).wait_started() for pod in pods)
    assert a.eval(f"net_adm:ping('{b.name}').") == "pong"
    assert a.eval(f'net_adm:names("{pods[1].ip}").').startswith('{ok,[{"sample",')
    b.restart()
    assert a.eval(f"net_adm:ping('{b.name}').") == "pong"


@pytest.mark.parametrize("family", ["inet_tcp", "inet6_tcp"])
def test_both_families_of_addresses(network, epmd_binary, epmd, beam, family):
    pods = [network.pod(), network.pod()]
    hosts = [pod.ip6 if family == "inet6_tcp" else pod.ip for pod in pods]
    for pod in pods:
        epmd(epmd_binary, pod=pod, port=4369)
    a, b = (beam(pod, name=f"sample@{host}", start_epmd=False,
                 extra_args=["-proto_dist", family]).wait_started()
            for pod, host in zip(pods, hosts))
    assert a.eval(f"net_adm:ping('{b.name}').") == "pong"


def test_a_node_and_discovery_together(network, epmd_binary, stock_epmd, standin, tmp_path):
    """The whole of it: a node's own epmd lists its peer, with the port that it really has."""
    from lab.sidecar import account_pod, await_discovered, discovering
    api = standin(where=network.host)
    ours, other = account_pod(network, api, tmp_path / "account"), network.pod()
    api.set_pods("sample", [ours.ip, other.ip], labels={"app": "sample"})
    with Epmd(stock_epmd, pod=other, port=4369) as far, \
            discovering(epmd_binary, ours, api) as near, \
            Beam(ours, start_epmd=False) as a, Beam(other, start_epmd=False) as b:
        a.wait_started()
        b.wait_started()
        port = dict(far.names())["sample"]
        await_discovered(near, {b.name: port})
        assert near.cli("-names").stdout.endswith(f"\nname {b.name} at port {port}\n")
        # What the node itself is told of its own host stays readable to it.
        assert a.eval("{ok, Names} = net_adm:names(), lists:sort(Names).").startswith('[{"sample",')
        b.restart()
        await_discovered(near, {b.name: dict(far.names())["sample"]}, timeout=30)
