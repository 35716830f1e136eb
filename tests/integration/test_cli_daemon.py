"""-daemon, as erl starts it: back soon, detached, nothing left behind."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys

import pytest
from both import binary  # noqa: F401 (fixture)
from lab import service_account, wire
from lab.daemonized import Daemonized
from lab.epmd import free_port
from lab.namespace import clean_env
from lab.wait import until


@pytest.fixture
def daemonize(binary):
    with contextlib.ExitStack() as stack:
        def start(*args, **kwargs):
            started = Daemonized(binary, *args, **kwargs)
            stack.callback(started.end)
            return started
        yield start


def outcome(done):
    return done.stdout, done.stderr, done.returncode


@pytest.mark.parametrize("args", [[], ["-d"], ["-d", "-d"], ["-relaxed_command_check"]], ids=" ".join)
def test_it_returns_and_serves(daemonize, binary, args):
    daemon = daemonize(*args)
    assert outcome(daemon.done) == ("", "", 0)
    if binary.is_stock:  # which returns before it has bound the port
        daemon.wait_up()
    assert daemon.answers()


def test_it_is_detached(daemonize):
    daemon = daemonize()
    daemon.wait_up()
    pids = daemon.processes()
    assert pids
    for pid in pids:
        assert os.getsid(pid) not in (os.getsid(0), pid)
        assert os.readlink(f"/proc/{pid}/cwd") == "/"
        assert [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in range(3)] == ["/dev/null"] * 3


@pytest.mark.parametrize("closed", ["<&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_its_starter_may_have_closed_its_streams(daemonize, closed):
    daemon = daemonize(redirect=closed)
    assert daemon.done.returncode == 0
    daemon.wait_up()
    for pid in daemon.processes():
        assert [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in range(3)] == ["/dev/null"] * 3


def test_it_survives_a_hangup(daemonize):
    daemon = daemonize()
    daemon.wait_up()
    for pid in daemon.processes():
        os.kill(pid, signal.SIGHUP)
    assert daemon.answers()


def test_it_keeps_no_descriptor_of_its_starter(daemonize):
    reader, writer = os.pipe()
    try:
        daemon = daemonize(inherit=[writer])
        daemon.wait_up()
        pipe = os.readlink(f"/proc/self/fd/{writer}")
        for pid in daemon.processes():
            assert pipe not in [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")]
    finally:
        os.close(reader)
        os.close(writer)


def test_kill_ends_it_for_good(daemonize):
    daemon = daemonize()
    daemon.wait_up()
    assert daemon.request(wire.kill()) == b"OK"
    until(lambda: not daemon.session(), 10, "all its processes to end")
    assert not daemon.answers()


def test_a_second_one_leaves_the_first_alone(daemonize, binary):
    first = daemonize()
    first.wait_up()
    done = subprocess.run([binary, "-port", str(first.port), "-daemon"], env=clean_env(), capture_output=True,
                          text=True, timeout=5)
    assert outcome(done) == ("", "", 0)
    assert first.answers()


@pytest.mark.parametrize("address", ["192.0.2.200", "nonsense"])
def test_an_address_that_cannot_be_bound(daemonize, binary, address):
    daemon = daemonize(env={"ERL_EPMD_ADDRESS": address})
    if binary.is_stock:  # which has said 0 before it tried
        assert outcome(daemon.done) == ("", "", 0)
    else:
        assert (daemon.done.stdout, daemon.done.returncode) == ("", 1)
        assert daemon.done.stderr.count("\n") == 1 and address in daemon.done.stderr
    until(lambda: not daemon.processes(), 3, "nothing to be left")


@pytest.mark.parametrize("variable, value", [("ERL_EPMD_KUBECONFIG", "config"),
                                             ("KUBECONFIG", "absent::folder/config:config")])
def test_paths_are_those_of_the_folder_it_was_started_in(epmd_binary, standin, tmp_path, variable, value):
    api = standin(tokens={"good"})
    api.set_pods("sample", ["10.9.0.1"], labels={"app": "sample"})
    (tmp_path / "folder").mkdir()
    shutil.copy(api.authority.ca, tmp_path / "ca.crt")
    (tmp_path / "token").write_text("good")
    service_account.write_kubeconfig(tmp_path / "config", api.url, "ca.crt", {"tokenFile": "./token"})
    daemon = Daemonized(epmd_binary, cwd=tmp_path, env={
        variable: value, "ERL_EPMD_LOG": "log", "ERL_EPMD_DISCOVERY": "kubernetes", "ERL_EPMD_DIST": "9100",
        "ERL_EPMD_SELECTOR": "app=sample", "ERL_EPMD_BASENAME": "sample"})
    try:
        until(lambda: b"sample@10.9.0.1" in daemon.request(), 5, "the peer")
    finally:
        daemon.end()


# PID 1 of a container is often a program that reaps none but its own children.
INIT = """
import os, subprocess, sys
done = subprocess.run(sys.argv[1:])
states = {}
for pid in filter(str.isdigit, os.listdir("/proc")):
    name, _, rest = open(f"/proc/{pid}/stat").read().rpartition(")")
    states[int(pid)] = rest.split()[0]
print(done.returncode, len(states) > 1, "Z" in states.values())
"""


def run_as_pid_1(program, binary, env=None):
    """Run the Python program, which starts the daemon, as PID 1. When it ends, the kernel ends
    what was started."""
    isolate = ["unshare", "--pid", "--fork", "--mount-proc"]
    if subprocess.run([*isolate, "true"], capture_output=True).returncode != 0:
        pytest.skip("process namespaces cannot be made")
    command = [binary, "-port", str(free_port()), "-address", "127.0.0.1", "-daemon"]
    return subprocess.run([*isolate, sys.executable, "-c", program, *command], env=clean_env(env),
                          capture_output=True, text=True, timeout=10)


def test_no_zombie_is_left_to_a_pid_1_that_does_not_reap(epmd_binary):
    """Stock leaves one."""
    done = run_as_pid_1(INIT, epmd_binary)
    assert (done.stdout, done.stderr) == ("0 True False\n", "")


SERVED = """
import socket, subprocess, sys
subprocess.run(sys.argv[1:], check=True, stderr=subprocess.DEVNULL)
with socket.create_connection(("127.0.0.1", int(sys.argv[3]))) as connection:
    connection.sendall(b"\\0\\1n")
    connection.recv(4)
"""


@pytest.mark.parametrize("log", [{}, {"ERL_EPMD_LOG": "stderr"}], ids=["by default", "stderr"])
def test_in_a_container_it_logs_to_the_stderr_of_pid_1(epmd_binary, log):
    """Its own is closed: whoever waits for its end must not wait for the daemon's."""
    if os.path.exists("/dev/log"):
        pytest.skip("there is a syslog here")
    done = run_as_pid_1(SERVED, epmd_binary, {"ERL_EPMD_DISCOVERY": "k8s", **log})
    assert "discovery is off: ERL_EPMD_DISCOVERY=k8s" in done.stderr
    assert "no new privileges" in done.stderr and done.stderr.count("\n") == 2
