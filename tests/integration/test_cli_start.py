"""A daemon in the foreground: its port, its addresses, its sockets from systemd, its end."""

import fcntl
import os
import re
import signal
import socket
import subprocess
import sys

import pytest
from both import binary, daemon, listed  # noqa: F401 (fixtures)
from lab import wire
from lab.epmd import free_port, read_all
from lab.namespace import clean_env
from lab.wait import until

LOOPBACK = ["127.0.0.1", "::1"]
TAKEN = r"there is already an? epmd running at port {}"


def run(binary, *args, env=None):
    return subprocess.run([binary, *map(str, args)], env=clean_env(env), timeout=5, text=True,
                          capture_output=True, stdin=subprocess.DEVNULL)


def names_from(address, port):
    """The reply to NAMES, or None if nobody listens there."""
    try:
        with socket.create_connection((address, port), 5) as connection:
            connection.sendall(wire.names())
            return read_all(connection)
    except ConnectionRefusedError:
        return None


# The port


@pytest.mark.parametrize("args", [[], ["-daemon"], ["-daemon", "-d"], ["-relaxed_command_check"],
                                  ["-address", "127.0.0.1"], ["-address", "::1"], ["-address", "127.0.0.2"]],
                         ids=" ".join)
def test_a_taken_port_is_silently_all_right(binary, daemon, args):
    """erl starts epmd each time, and the usual case is that one runs already."""
    done = run(binary, "-port", daemon.port, *args)
    assert (done.stdout, done.stderr, done.returncode) == ("", "", 0)
    assert daemon.names() == []


@pytest.mark.parametrize("address", [*LOOPBACK, "0.0.0.0", "::"])
def test_a_port_that_anybody_holds_on_one_family_is_taken(binary, address):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.create_server((address, 0), family=family) as holder:
        for args in ([], ["-address", "127.0.0.1"], ["-address", "::1"], ["-address", "127.0.0.2"]):
            done = run(binary, "-port", holder.getsockname()[1], *args)
            assert (done.stdout, done.stderr, done.returncode) == ("", "", 0)


def test_a_taken_port_is_told_when_debugging(binary, daemon):
    done = run(binary, "-port", daemon.port, "-d")
    assert (done.stdout, done.returncode) == ("", 0)
    assert re.search(TAKEN.format(daemon.port), done.stderr)


def test_the_variable_tells_the_port(epmd, binary):
    port = free_port()
    with subprocess.Popen([binary], env=clean_env({"ERL_EPMD_PORT": port, "ERL_EPMD_ADDRESS": "127.0.0.1"}),
                          stdin=subprocess.DEVNULL) as process:
        try:
            assert until(lambda: names_from("127.0.0.1", port), 5, "an answer") == port.to_bytes(4, "big")
        finally:
            process.terminate()


def test_the_flag_beats_the_variables(epmd, binary):
    port = free_port()
    running = epmd(binary, port=port, args=["-address", "127.0.0.1"],
                   env={"ERL_EPMD_PORT": free_port(), "ERL_EPMD_ADDRESS": "nonsense"})
    assert running.names() == []


# Addresses


@pytest.mark.parametrize("by", ["flag", "variable"])
@pytest.mark.parametrize("addresses, extra", [
    ("127.0.0.1", []), ("::1", []), ("127.0.0.1,::1", []), ("127.0.0.1,127.0.0.1", []),
    ("127.0.0.2", ["127.0.0.2"]), ("127.0.0.2,127.0.0.3", ["127.0.0.2", "127.0.0.3"]),
    ("127.0.0.2 127.0.0.3", ["127.0.0.2", "127.0.0.3"]), (" 127.0.0.3 , 127.0.0.1,,", ["127.0.0.3"]),
    ("", ["127.0.0.2", "127.0.0.3"]), (" ,, ", ["127.0.0.2", "127.0.0.3"]),
])
def test_it_listens_on_loopback_and_where_it_is_told(epmd, binary, by, addresses, extra):
    args, env = ([], {"ERL_EPMD_ADDRESS": addresses}) if by == "variable" else (["-address", addresses], {})
    running = epmd(binary, args=args, env=env)
    answering = [a for a in [*LOOPBACK, "127.0.0.2", "127.0.0.3"] if names_from(a, running.port)]
    assert answering == LOOPBACK + extra


# Stock clashes with itself, and ends with status 0 and without a word.
@pytest.mark.parametrize("addresses", ["0.0.0.0", "::", "0.0.0.0,::", "127.0.0.2,127.0.0.2",
                                       "127.0.0.1,0.0.0.0"])
def test_addresses_that_overlap_are_served(epmd, epmd_binary, addresses):
    running = epmd(epmd_binary, args=["-address", addresses])
    assert all(names_from(address, running.port) for address in LOOPBACK)


def only_ipv4(pod):
    pod.run(["sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1"], check=True)


def only_ipv6(pod):
    for device in ("lo", "eth0"):
        pod.run(["ip", "-4", "address", "flush", "dev", device], check=True)


def test_why_no_address_at_all_can_be_listened_on(epmd_binary, network):
    """Loopback goes with every list, and a host may lack it; but not all of it."""
    pod = network.pod()
    for device in ("lo", "eth0"):
        pod.run(["ip", "address", "flush", "dev", device], check=True)
    done = pod.run([epmd_binary, "-address", "127.0.0.1"])
    assert done.returncode == 1
    assert "cannot listen on port 4369 of any address: Cannot assign requested address" in done.stderr


@pytest.mark.parametrize("addresses", ["", "127.0.0.1", "::1", "own"])
@pytest.mark.parametrize("limit, loopback", [(only_ipv4, "127.0.0.1"), (only_ipv6, "::1")],
                         ids=["only IPv4", "only IPv6"])
def test_a_host_with_one_family_is_served(binary, network, limit, loopback, addresses):
    pod, port = network.pod(), 4369
    limit(pod)
    own = pod.ip if limit is only_ipv4 else pod.ip6
    value = addresses.replace("own", own)
    with pod.popen([binary], env={"ERL_EPMD_ADDRESS": value}, stderr=subprocess.DEVNULL) as process:
        try:
            until(lambda: pod.inside(names_from, loopback, port), 5, f"an answer from {loopback}")
            assert bool(pod.inside(names_from, own, port)) == (addresses in ("", "own"))
            done = pod.run([binary, "-names"])
            assert done.stdout == "epmd: up and running on port 4369 with data:\n"
        finally:
            process.terminate()


# systemd

PASS_SOCKETS = """
import os, sys
pid, sockets, command = sys.argv[1], sys.argv[2].split(), sys.argv[3:]
for number, fd in enumerate(map(int, sockets)):
    os.dup2(fd, 3 + number)
os.environ["LISTEN_PID"] = pid or str(os.getpid())
os.environ["LISTEN_FDS"] = str(len(sockets))
os.execv(command[0], command)
"""


def activate(binary, listeners, args=(), env=None, pid=""):
    """Start the program as systemd would, with sockets from descriptor 3 on."""
    high = [fcntl.fcntl(listener.fileno(), fcntl.F_DUPFD, 50) for listener in listeners]
    try:
        return subprocess.Popen(
            [sys.executable, "-c", PASS_SOCKETS, pid, " ".join(map(str, high)), binary, "-systemd", *args],
            env=clean_env(env), pass_fds=high, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    finally:
        for fd in high:
            os.close(fd)


def listeners_on(*addresses):
    return [socket.create_server((address, 0)) for address in addresses]


@pytest.fixture
def has_systemd(binary):
    if "-systemd" not in run(binary, "-foo").stderr:
        pytest.skip("built without systemd")


@pytest.mark.parametrize("addresses", [["127.0.0.1"], ["127.0.0.1", "127.0.0.2"]], ids=" ".join)
def test_passed_sockets_are_served_and_systemd_is_told(binary, has_systemd, tmp_path, addresses):
    listeners = listeners_on(*addresses)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notified:
        notified.bind(str(tmp_path / "notify"))
        notified.settimeout(5)
        process = activate(binary, listeners, ["-address", "192.0.2.200"],
                           {"NOTIFY_SOCKET": tmp_path / "notify", "ERL_EPMD_PORT": 4711})
        with process:
            try:
                assert "READY=1" in notified.recv(1024).decode().splitlines()
                for listener in listeners:
                    assert names_from(*listener.getsockname()) == (4711).to_bytes(4, "big")
            finally:
                process.terminate()
                for listener in listeners:
                    listener.close()


def test_sockets_for_another_process_are_not_ours(binary, has_systemd):
    listeners = listeners_on("127.0.0.1")
    with activate(binary, listeners, ["-port", str(free_port())], pid="1") as process:
        try:
            assert process.wait(5) == 1
            assert "systemd provides no sockets" in process.stderr.read()
        finally:
            process.kill()
            listeners[0].close()


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM], ids=["stream", "datagram"])
def test_passed_sockets_that_do_not_listen_are_refused(epmd_binary, kind):
    """It would be ready, and nobody would ever be served."""
    with socket.socket(socket.AF_INET, kind) as deaf:
        deaf.bind(("127.0.0.1", 0))
        with activate(epmd_binary, [deaf], ["-port", str(free_port())]) as process:
            try:
                assert process.wait(5) == 1
                assert "the sockets passed cannot be used" in process.stderr.read()
            finally:
                process.kill()


# What is said, and the end


@pytest.mark.parametrize("times", [1, 2, 3])
def test_debugging_talks_on_stderr(epmd, binary, times):
    running = epmd(binary, args=["-d"] * times)
    with running.register("talkative", 1):
        assert listed(running) == ["talkative"]
        running.wait_log("talkative")


def test_nothing_is_said_of_usual_business(epmd, daemon):
    with daemon.register("a", 1):
        daemon.request(wire.port2("a"))
        daemon.request(wire.dump())
    daemon.stop()
    assert daemon.log_lines() == []


# Stock has no handlers: it dies of the signal.
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_is_a_clean_end(epmd, binary, number):
    running = epmd(binary)
    with running.register("a", 1) as node:
        assert running.stop(number) == (-number if binary.is_stock else 0)
        assert read_all(node.connection) == b""


def test_the_port_is_free_again_at_once(epmd, binary):
    """Connections that were open linger in the kernel, and must not keep the port."""
    running = epmd(binary)
    with running.register("a", 1):
        running.restart()
        assert running.names() == []


@pytest.mark.parametrize("flag", ["-delay_accept", "-delay_write"])
def test_a_simulated_delay_delays(binary, flag):
    port = free_port()
    command = [binary, "-port", str(port), "-address", "127.0.0.1", flag, "1"]
    with subprocess.Popen(command, env=clean_env(), stdin=subprocess.DEVNULL) as process:
        try:
            with until(lambda: dial_or_none(port), 5, "the port") as connection:
                connection.settimeout(0.5)
                connection.sendall(wire.names())
                pytest.raises(TimeoutError, connection.recv, 4)
                connection.settimeout(5)
                assert read_all(connection) == port.to_bytes(4, "big")
        finally:
            process.kill()


def dial_or_none(port):
    try:
        return socket.create_connection(("127.0.0.1", port))
    except ConnectionRefusedError:
        return None
