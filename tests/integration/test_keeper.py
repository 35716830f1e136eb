"""-daemon survives itself: the keeper, and how it ends."""

import contextlib
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import time

import pytest
from lab import wire
from lab.daemonized import KEEPER, Daemonized, comm
from lab.epmd import free_port
from lab.namespace import clean_env
from lab.wait import until

SLOW = 20


@pytest.fixture
def kept(epmd_binary, tmp_path):
    """A daemon that logs to a file, and its keeper; `kept.log()` reads that."""
    log = tmp_path / "log"
    daemon = Daemonized(epmd_binary, env={"ERL_EPMD_LOG": str(log), "ERL_EPMD_LOG_LEVEL": "info"})
    daemon.log = log.read_text
    try:
        assert daemon.done.returncode == 0, daemon.done.stderr
        daemon.wait_up()
        yield daemon
    finally:
        daemon.end()


def another(daemon, before):
    """Wait for a server that is not process BEFORE."""
    return until(lambda: daemon.server() not in (None, before) and daemon.server(), SLOW, "another server")


def crash(daemon, number=signal.SIGKILL):
    before = daemon.server()
    os.kill(before, number)
    return before


def await_end(daemon):
    until(lambda: not daemon.session(), SLOW, "all to end")
    with pytest.raises(ConnectionRefusedError):
        daemon.request()


def await_log(daemon, regex):
    return until(lambda: re.search(regex, daemon.log()), SLOW, f"a line like {regex}")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGABRT])
def test_after_a_crash_another_serves_the_port_and_nobody_was_refused(kept, number):
    keeper, begun = kept.keeper(), time.monotonic()
    before = crash(kept, number)
    assert kept.answers()  # in the backlog meanwhile
    print(f"\nserving again {1000 * (time.monotonic() - begun):.1f} ms after signal {number:d}")
    assert another(kept, before)
    assert kept.keeper() == keeper
    assert len(kept.session()) == 2
    # AddressSanitizer makes a status of a SIGSEGV.
    how = rf"(was killed by signal {number:d} |ended with status 1)"
    await_log(kept, rf"epmd {how}.*: a new one takes over the port")
    await_log(kept, rf"keeper: process {keeper}, 1 restart so far: the last server {how}")


def test_what_was_said_on_the_command_line_holds_after_a_crash(epmd_binary):
    daemon = Daemonized(epmd_binary, "-relaxed_command_check")
    try:
        daemon.wait_up()
        before = daemon.server()
        words = pathlib.Path(f"/proc/{before}/cmdline").read_bytes()
        os.kill(before, signal.SIGKILL)
        after = another(daemon, before)
        assert pathlib.Path(f"/proc/{after}/cmdline").read_bytes() == words
        assert comm(after) == "epmd"
        assert daemon.request(wire.stop("nobody")) == b"NOEXISTSTOPPED"
    finally:
        daemon.end()


@pytest.mark.parametrize("begun, said", [("on", "off"), ("off", "on")])
def test_what_join_has_said_holds_after_a_crash(epmd_binary, tmp_path, begun, said):
    log, path = tmp_path / "log", tmp_path / "list"
    path.write_text("10.0.0.7\n")
    daemon = Daemonized(epmd_binary, env={"ERL_EPMD_LOG": str(log), "ERL_EPMD_DISCOVERY": f"file:{path}",
                                          "ERL_EPMD_JOIN": begun})
    daemon.log = log.read_text

    def client(*words):
        done = subprocess.run([epmd_binary, "-port", str(daemon.port), *words], env=clean_env(), text=True,
                              capture_output=True, timeout=10)
        return done.stdout

    try:
        daemon.wait_up()
        assert client("-join", said) == f"joining is {said}\n"
        for _ in range(2):  # the one after the next knows it too
            another(daemon, crash(daemon))
            assert ("joining is off" in client("-peers")) == (said == "off")
        assert daemon.log().count(f"joining stays {said}, as epmd -join has said before the crash") == 2
        client("-join", begun)
        another(daemon, crash(daemon))
        assert ("joining is off" in client("-peers")) == (begun == "off")
    finally:
        daemon.end()


def test_nodes_come_back_by_themselves(kept, beam):
    node = beam(name="a@127.0.0.1", epmd_port=kept.port)
    node.wait_started()
    names = kept.request()
    assert b"name a at port" in names
    begun = time.monotonic()
    crash(kept)
    until(lambda: kept.request() == names, SLOW, "the node to register again")
    print(f"\nregistered again {time.monotonic() - begun:.1f} s after the crash")
    assert node.eval("node().") == "'a@127.0.0.1'"


def test_who_kills_epmd_by_name_leaves_the_keeper(kept):
    keeper, server = kept.keeper(), kept.server()
    for search in (["pgrep", "-x", "epmd"], ["pgrep", "-f", "epmd"], ["pidof", "epmd"]):
        found = subprocess.run(search, capture_output=True, text=True).stdout.split()
        assert str(server) in found and str(keeper) not in found, search
    assert comm(keeper) == KEEPER
    assert pathlib.Path(f"/proc/{keeper}/cmdline").read_bytes().rstrip(b"\0") == KEEPER.encode()


def test_the_keeper_holds_the_listening_sockets_and_little_else(kept):
    with kept.connect(), kept.connect():
        kept.answers()
        fds = [os.readlink(f"/proc/{kept.keeper()}/fd/{fd}") for fd in os.listdir(f"/proc/{kept.keeper()}/fd")]
    # 127.0.0.1 and ::1, and the socket to the server
    assert sum(fd.startswith("socket:") for fd in fds) <= 3
    assert [fd for fd in fds if not fd.startswith("socket:") and fd != "/dev/null"
            and not fd.endswith("/log")] == ["anon_inode:[signalfd]"]
    assert os.listdir(f"/proc/{kept.keeper()}/task") == [str(kept.keeper())]


def test_the_new_server_has_nothing_of_the_old_ones_clients(kept):
    with contextlib.ExitStack() as stack:
        for _ in range(8):
            stack.enter_context(kept.connect())
        kept.answers()
        before = crash(kept)
        after = another(kept, before)
        assert kept.answers()
        sockets = [fd for fd in os.listdir(f"/proc/{after}/fd")
                   if os.readlink(f"/proc/{after}/fd/{fd}").startswith("socket:")]
        assert len(sockets) <= 4


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("whom", ["server", "keeper"])
def test_a_signal_to_either_ends_both(kept, whom, number):
    os.kill(getattr(kept, whom)(), number)
    await_end(kept)


def test_a_keeper_that_is_killed_leaves_a_server_that_goes_on(kept):
    os.kill(kept.keeper(), signal.SIGKILL)
    await_log(kept, r"the keeper \(process \d+\) is gone: this epmd goes on without")
    assert kept.answers()
    assert kept.session() == [kept.server()]


def test_without_its_keeper_a_crash_leaves_no_socket_open(kept):
    os.kill(kept.keeper(), signal.SIGKILL)
    await_log(kept, "is gone")
    crash(kept)
    await_end(kept)


def test_both_killed_at_once_leave_no_socket_open(kept):
    for pid in kept.session():
        os.kill(pid, signal.SIGKILL)
    await_end(kept)


def test_a_crash_loop_is_given_up_in_the_open(kept):
    deadline = time.monotonic() + 60
    while kept.session() and time.monotonic() < deadline:
        server = kept.server()
        if server:
            with contextlib.suppress(ProcessLookupError):
                os.kill(server, signal.SIGKILL)
    await_end(kept)
    await_log(kept, r"epmd was killed by signal 9 .*, for the 10th time in a row: the port is closed")
    assert kept.log().count("a new one takes over") == 9


def test_kill_frees_the_port_before_it_answers(kept):
    """Who asks for the end starts another at once."""
    assert kept.request(wire.kill()) == b"OK"
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", kept.port))
        other.listen()


# PID 1 that reaps none but its own children, as a BEAM or a shell script does.
PID_1 = """
import contextlib, os, signal, socket, subprocess, sys, time

def states():
    found = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            head, _, rest = open(f"/proc/{pid}/stat").read().rpartition(")")
            found[int(pid)] = head.partition("(")[2], rest.split()[0]
    return found

def named(name):
    return next((pid for pid, (comm, state) in states().items() if comm == name and state != "Z"), None)

def until(what):
    end = time.monotonic() + 20
    while not what():
        assert time.monotonic() < end
        time.sleep(0.01)

def answers():
    try:
        with socket.create_connection(("127.0.0.1", int(sys.argv[3])), 5) as connection:
            connection.sendall(b"\\0\\1n")
            return len(connection.recv(4)) == 4
    except ConnectionError:
        return False

subprocess.run(sys.argv[1:], check=True)
until(answers)
for turn in range(3):
    before = named("epmd")
    os.kill(before, signal.SIGKILL)
    until(lambda: named("epmd") not in (None, before) and answers())
print("zombies:", [comm for comm, state in states().values() if state == "Z"])
os.kill(named("erl-keeper"), signal.SIGKILL)
until(lambda: named("erl-keeper") is None and answers())
os.kill(named("epmd"), signal.SIGTERM)
until(lambda: not named("epmd"))
assert not answers()
print("ended:", named("epmd"), named("erl-keeper"))
"""


def test_under_a_pid_1_that_does_not_reap(epmd_binary):
    isolate = ["unshare", "--pid", "--fork", "--mount-proc"]
    if subprocess.run([*isolate, "true"], capture_output=True).returncode != 0:
        pytest.skip("process namespaces cannot be made")
    command = [epmd_binary, "-port", str(free_port()), "-address", "127.0.0.1", "-daemon"]
    done = subprocess.run([*isolate, sys.executable, "-c", PID_1, *command], env=clean_env(),
                          capture_output=True, text=True, timeout=120)
    assert done.stdout == "zombies: []\nended: None None\n", done.stderr


def test_in_the_foreground_there_is_none(epmd, epmd_binary):
    daemon = epmd(epmd_binary, args=["-d"])
    daemon.wait_log("keeper: none")
