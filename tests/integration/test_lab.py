"""The lab itself: pods, Erlang nodes and epmd. If these fail, the other tests say nothing."""

import os
import socket
import subprocess

import pytest

from lab import wire
from lab.beam import BeamError, otp_with_epmd
from lab.namespace import ip
from lab.pods import Network
from lab.wait import until

QUIET = 0.3


def is_silent(connect, *address):
    try:
        connect(*address, timeout=QUIET).close()
    except TimeoutError:
        return True
    return False


# Pods


def test_pods_reach_each_other_until_they_are_cut(network):
    a, b = network.pod(), network.pod()
    for address in (b.ip, b.ip6):
        with b.listen(address) as listener:
            target = (address, listener.getsockname()[1])
            with a.connect(*target) as left:
                right, _ = listener.accept()
                with right:
                    left.sendall(b"1")
                    assert right.recv(1) == b"1"
                    network.cut(a, b)
                    right.settimeout(QUIET)
                    left.sendall(b"2")
                    pytest.raises(TimeoutError, right.recv, 1)
                    assert is_silent(a.connect, *target)
                    network.heal(a, b)
                    right.settimeout(5)
                    assert right.recv(1) == b"2"


def test_the_host_stays_who_it_is_when_pods_come(network):
    """A bridge takes the lowest address of its ports, unless it was given its own."""
    a = network.pod()
    with network.host.listen() as listener:
        target = (network.host.ip, listener.getsockname()[1])
        for n in (2, 1):
            ip("-n", network.host.netns, batch=[
                f"link add low{n} address 02:00:00:00:00:0{n} type veth peer name end{n}",
                f"link set end{n} up", f"link set low{n} master br0 up"])
            a.connect(*target, timeout=QUIET).close()


def test_a_blocked_port_is_silent_from_outside_only(network):
    a, b = network.pod(), network.pod()
    with b.listen("0.0.0.0") as blocked, b.listen() as other:
        port = blocked.getsockname()[1]
        b.block_port(port)
        assert is_silent(a.connect, b.ip, port)
        b.connect("127.0.0.1", port).close()
        a.connect(b.ip, other.getsockname()[1]).close()
        b.unblock_port(port)
        a.connect(b.ip, port).close()


def test_pod_files_and_host_name_are_the_pods_own(network, tmp_path):
    (tmp_path / "token").write_text("secret")
    (tmp_path / "resolv.conf").write_text("nameserver 10.1.0.1\n")
    mount = "/var/run/secrets/kubernetes.io/serviceaccount"
    other = f"/run/{network.id}/deep/token"
    pod = network.pod(files={mount: tmp_path, "/etc/resolv.conf": tmp_path / "resolv.conf",
                             other: tmp_path / "token"}, hostname="sample-0")
    assert pod.run(["cat", other]).stdout == "secret" and not os.path.exists(other)
    assert pod.run(["cat", f"{mount}/token", "/etc/resolv.conf"]).stdout == "secretnameserver 10.1.0.1\n"
    assert pod.run(["hostname"]).stdout == "sample-0\n"
    assert socket.gethostname() != "sample-0"
    assert pod.run(["pwd"], cwd=tmp_path).stdout.strip() == str(tmp_path)


def test_a_network_leaves_nothing_behind_after_an_exception(network):
    with pytest.raises(ZeroDivisionError), Network() as other:
        sleeper = other.pod().popen(["sleep", "1000"])
        1 / 0
    assert sleeper.wait(1) != 0
    left = subprocess.run(["ip", "netns"], capture_output=True, text=True, check=True).stdout
    assert other.id not in left and network.id in left


# Erlang nodes and epmd


def test_epmd_on_the_wire_and_as_a_client(epmd, stock_epmd):
    daemon = epmd(stock_epmd, args=["-d"])
    with daemon.register("sample", 4711, extra=b"x") as registration:
        assert not registration.refused and registration.creation
        assert daemon.names() == [("sample", 4711)]
        assert daemon.lookup("sample") == wire.Port2Reply(4711, 77, 0, 6, 5, "sample", b"x")
        assert [name for name, _, _ in wire.parse_dump(daemon.request(wire.dump())).active] == ["sample"]
        with daemon.register("sample", 1) as second:
            assert second.refused
        assert "name sample at port 4711" in daemon.cli("-names").stdout
    daemon.wait_log("unregistering 'sample")
    until(lambda: daemon.lookup("sample") is None, 2, "sample to be gone")
    assert daemon.cli("-kill").stdout == "Killed\n"
    assert daemon.wait_exit() == 0


def test_beam_on_loopback_registers_and_evaluates(epmd, beam, stock_epmd):
    daemon = epmd(stock_epmd)
    node = beam(epmd_port=daemon.port).wait_started()
    assert [name for name, _ in daemon.names()] == ["sample"]
    assert node.eval('X = 20, {X + 22, "a\nb", \'é\'}.') == '{42,"a\\nb",é}'
    pytest.raises(BeamError, node.eval, "error(oh).").match("oh")
    pytest.raises(BeamError, node.eval, "not erlang")
    assert node.stop() == 0
    until(lambda: daemon.names() == [], 2, "sample to be unregistered")


def test_two_beams_in_two_pods_ping(network, beam):
    a, b = beam(network.pod()), beam(network.pod())
    a.wait_started(), b.wait_started()
    assert a.eval(f"net_adm:ping('{b.name}').") == "pong"
    a.wait_nodes({b.name})
    b.wait_nodes({a.name})
    b.kill()
    a.wait_nodes(set())
    assert [(kind, node) for _, kind, node in a.node_events] == [("nodeup", b.name), ("nodedown", b.name)]
    b.start()
    b.wait_started()
    assert b.eval(f"net_adm:ping('{a.name}').") == "pong"


def test_erl_starts_the_epmd_it_is_given(network, beam, stock_epmd, tmp_path):
    erl = otp_with_epmd(stock_epmd, tmp_path / "otp")
    pod = network.pod()
    beam(pod, erl=erl).wait_started()
    programs = [os.readlink(f"/proc/{pid}/exe") for pid in pod.processes()]
    assert [p for p in programs if p.startswith(str(tmp_path)) and p.endswith("/bin/epmd")]
