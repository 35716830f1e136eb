"""The interactive commands: -names -started -dump -kill -stop, with stock epmd as the oracle."""

import contextlib
import re
import select
import socket
import struct
import subprocess
import threading

import pytest
from both import listed, release
from both import binary, daemon, relaxed_daemon  # noqa: F401 (fixtures)
from lab import wire
from lab.epmd import free_port
from lab.namespace import clean_env, family_of
from lab.wait import until

COMMANDS = [["-names"], ["-started"], ["-dump"], ["-kill"], ["-stop", "a"]]
NO_DAEMON = "epmd: Cannot connect to local epmd\n"
NO_RESPONSE = "epmd: no response from local epmd\n"
NO_ANSWER = "epmd: failed to read answer from local epmd\n"
EMPTY_ANSWER = "epmd: local epmd responded with <>\n"
NOT_ALLOWED = "Killing not allowed - living nodes in database.\n"


def run(binary, *args, env=None, timeout=15):
    return subprocess.run([binary, *map(str, args)], env=clean_env(env), timeout=timeout, text=True,
                          capture_output=True, stdin=subprocess.DEVNULL)


def outcome(done):
    return done.stdout, done.stderr, done.returncode


def up(port, *lines):
    return f"epmd: up and running on port {port} with data:\n" + "".join(lines)


def command_name(command):
    return command[0].lstrip("-")


# A daemon that answers


def test_names_prints_the_nodes(daemon):
    assert outcome(daemon.cli("-names")) == (up(daemon.port), "", 0)
    with daemon.register("a", 1), daemon.register("bär", 2), daemon.register("hidden", 3, type=72):
        assert outcome(daemon.cli("-names")) == (
            up(daemon.port, "name hidden at port 3\n", "name bär at port 2\n", "name a at port 1\n"), "", 0)


def test_started_is_silent(daemon):
    with daemon.register("a", 1):
        assert outcome(daemon.cli("-started")) == ("", "", 0)


def test_dump_prints_the_reply_as_it_is(daemon):
    release(daemon, daemon.register("old", 1), "old")
    with daemon.register("a", 2):
        done = daemon.cli("-dump")
    assert re.sub(r"fd = \d+", "fd = N", done.stdout) == up(
        daemon.port, "active name     <a> at port 2, fd = N\n\0",
        "old/unused name <old>, port = 1, fd = N \n\0")
    assert (done.stderr, done.returncode) == ("", 0)


def test_kill_ends_a_daemon_without_nodes(daemon):
    assert outcome(daemon.cli("-kill")) == ("Killed\n", "", 0)
    assert daemon.wait_exit() == 0


def test_kill_is_not_allowed_with_nodes(daemon):
    with daemon.register("a", 1):
        assert outcome(daemon.cli("-kill")) == (NOT_ALLOWED, "", 1)
        assert listed(daemon) == ["a"]


def test_kill_of_a_relaxed_daemon_is_allowed_with_nodes(relaxed_daemon):
    with relaxed_daemon.register("a", 1):
        assert outcome(relaxed_daemon.cli("-kill")) == ("Killed\n", "", 0)
        assert relaxed_daemon.wait_exit() == 0


@pytest.mark.parametrize("name", ["a", "nobody", ""])
def test_stop_is_not_answered_unless_the_daemon_is_relaxed(daemon, name):
    with daemon.register("a", 1):
        assert outcome(daemon.cli("-stop", name)) == (EMPTY_ANSWER, "", 1)
        assert listed(daemon) == ["a"]


def test_relaxed_is_a_matter_of_the_daemon_not_of_the_client(daemon):
    with daemon.register("a", 1):
        done = daemon.cli("-relaxed_command_check", "-stop", "a", env={"ERL_EPMD_RELAXED_COMMAND_CHECK": 1})
        assert outcome(done) == (EMPTY_ANSWER, "", 1)


@pytest.mark.parametrize("name, printed", [("bär", "STOPPED\n"), ("nobody", "NOEXIST\n")])
def test_stop_prints_the_answer_of_a_relaxed_daemon(relaxed_daemon, name, printed):
    with relaxed_daemon.register("bär", 1), relaxed_daemon.register("b", 2):
        assert outcome(relaxed_daemon.cli("-stop", name)) == (printed, "", 0)
        assert listed(relaxed_daemon) == (["b"] if name == "bär" else ["b", "bär"])


def test_stop_of_an_endless_name_fails(relaxed_daemon):
    done = relaxed_daemon.cli("-stop", "a" * 5000)
    assert done.returncode == 1
    assert "too long" in done.stdout + done.stderr


# Which daemon


def test_the_flag_beats_the_variable(daemon):
    assert outcome(daemon.cli("-names", env={"ERL_EPMD_PORT": free_port()})) == (up(daemon.port), "", 0)


def test_the_variable_tells_the_port(binary, daemon):
    done = run(binary, "-names", env={"ERL_EPMD_PORT": daemon.port})
    assert outcome(done) == (up(daemon.port), "", 0)


@pytest.mark.parametrize("address", ["192.0.2.1", "nonsense"])
def test_addresses_are_none_of_the_clients_business(daemon, address):
    assert outcome(daemon.cli("-names", env={"ERL_EPMD_ADDRESS": address})) == (up(daemon.port), "", 0)
    assert outcome(daemon.cli("-address", address, "-names")) == (up(daemon.port), "", 0)


@pytest.mark.parametrize("flags", [["-d"], ["-debug", "-d", "-d"], ["-daemon"], ["-relaxed_command_check"],
                                   ["-packet_timeout", 5], ["-delay_accept", 1], ["-delay_write", 1]],
                         ids=lambda flags: " ".join(map(str, flags)))
def test_flags_of_the_daemon_before_a_command_change_nothing(daemon, flags):
    assert outcome(daemon.cli(*flags, "-names")) == (up(daemon.port), "", 0)


@pytest.mark.parametrize("command", COMMANDS, ids=command_name)
def test_without_a_daemon(binary, command):
    silent = command == ["-started"]
    assert outcome(run(binary, "-port", free_port(), *command)) == ("", "" if silent else NO_DAEMON, 1)


# Servers that are not epmd, or not well


def answer(reply=b""):
    def converse(connection):
        connection.recv(1024)
        connection.sendall(reply)
    return converse


def reset(connection):
    reset_after(b"")(connection)


def reset_after(reply):
    def converse(connection):
        answer(reply)(connection)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    return converse


@contextlib.contextmanager
def server(converse, address="127.0.0.1"):
    """Talks with one client, then closes."""
    with socket.create_server((address, 0), family=family_of(address)) as listener:
        listener.settimeout(20)

        def serve():
            connection, _ = listener.accept()
            with connection:
                connection.settimeout(20)
                converse(connection)

        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname()[1]
        thread.join()


HEAD = struct.pack(">I", 4711)


@pytest.mark.parametrize("converse, command, printed, status", [
    (answer(), "-names", NO_RESPONSE, 1),
    (answer(), "-started", "", 1),
    (answer(), "-dump", NO_RESPONSE, 1),
    (answer(), "-kill", EMPTY_ANSWER, 1),
    (answer(), "-stop a", EMPTY_ANSWER, 1),
    (reset, "-names", NO_RESPONSE, 1),
    (reset, "-started", "", 1),
    (reset, "-dump", NO_RESPONSE, 1),
    (reset, "-kill", NO_ANSWER, 1),
    (reset, "-stop a", NO_ANSWER, 1),
    (reset_after(b"O"), "-kill", NO_ANSWER, 1),
    (reset_after(b"STOPPE"), "-stop a", NO_ANSWER, 1),
    (reset_after(b"OK"), "-kill", "Killed\n", 0),
    (reset_after(HEAD + b"name"), "-names", up(4711, "name"), 0),
    (answer(b"\xff\xff\xff\xfe"), "-names", up(-2), 0),
    (answer(HEAD[:2]), "-names", NO_RESPONSE, 1),
    (answer(HEAD[:3]), "-started", "", 1),
    (answer(HEAD), "-names", up(4711), 0),
    (answer(HEAD), "-started", "", 0),
    (answer(HEAD + b"name a at port 1\n"), "-names", up(4711, "name a at port 1\n"), 0),
    (answer(HEAD + b"name a at port 1\n"), "-started", "", 0),
    (answer(HEAD + b"x" * 100000), "-names", up(4711, "x" * 100000), 0),
    (answer(b"OK"), "-kill", "Killed\n", 0),
    (answer(b"NO"), "-kill", NOT_ALLOWED, 1),
    (answer(b"STOPPED"), "-stop a", "STOPPED\n", 0),
    (answer(b"NOEXISTSTOPPED"), "-stop a", "NOEXIST\n", 0),
], ids=lambda value: value if isinstance(value, (str, int)) else "")
def test_answer(binary, converse, command, printed, status):
    with server(converse) as port:
        assert outcome(run(binary, "-port", port, *command.split())) == (printed, "", status)


@pytest.mark.parametrize("command, request_bytes", [
    ("-names", wire.names()), ("-started", wire.names()), ("-dump", wire.dump()), ("-kill", wire.kill()),
    ("-stop bär", wire.stop("bär")),
])
def test_request(binary, command, request_bytes):
    """What goes out, so that an old epmd understands us."""
    received = []
    with server(lambda connection: received.append(connection.recv(1024))) as port:
        run(binary, "-port", port, *command.split())
    assert received == [request_bytes]


def test_the_port_may_come_in_pieces(epmd_binary):
    """Stock takes that for no response."""
    def converse(connection):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.recv(1024)
        for byte in HEAD + b"name":
            connection.sendall(bytes([byte]))

    with server(converse) as port:
        assert outcome(run(epmd_binary, "-port", port, "-names")) == (up(4711, "name"), "", 0)


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_the_client_finds_a_daemon_on_either_loopback(binary, address):
    with server(answer(HEAD), address) as port:
        assert outcome(run(binary, "-port", port, "-names")) == (up(4711), "", 0)


OF_OURS = [["-peers"], ["-peers", "-json"], ["-join", "on"], ["-doctor"], ["-doctor", "-json"]]


def fill_queue(stack, listener):
    """Until a connection that is begun does not come to be: so it is with a daemon that has stopped long ago."""
    def is_refused():
        dialler = stack.enter_context(socket.socket())
        dialler.setblocking(False)
        dialler.connect_ex(listener.getsockname())
        return not select.select([], [dialler], [], 0.2)[1]

    until(is_refused, 10, "a full queue")


def ask(stack, binary, listener, command):
    """Starts the client; it is not waited for."""
    port = str(listener.getsockname()[1])
    client = stack.enter_context(subprocess.Popen([binary, "-port", port, *command], env=clean_env(),
                                                  stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                                  stderr=subprocess.PIPE, text=True))
    stack.callback(client.kill)
    return client


def test_a_server_that_never_answers_is_given_up(epmd_binary):
    """Stock waits for ever, and so do the scripts that asked. All of them wait at once."""
    with contextlib.ExitStack() as stack:
        silent, halting, full = (stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=backlog))
                                 for backlog in (100, 100, 0))
        fill_queue(stack, full)
        clients = [(command, ask(stack, epmd_binary, silent, command)) for command in [*COMMANDS, *OF_OURS]]
        crowded = [(command, ask(stack, epmd_binary, full, command)) for command in OF_OURS]
        begun = ask(stack, epmd_binary, halting, ["-peers"])
        connection = stack.enter_context(halting.accept()[0])
        connection.sendall(b"0some")
        for listener, (command, client) in [*((silent, one) for one in clients), *((full, one) for one in crowded)]:
            printed = "".join(client.communicate(timeout=15))
            assert client.returncode == 1
            if command in OF_OURS:
                assert f"the epmd at port {listener.getsockname()[1]} has not answered within 10 s" in printed, command
            assert ("silent-daemon" in printed) == ("-doctor" in command)
            if "-json" not in command:
                assert printed.count("\n") == (command != ["-started"]), command
        assert begun.communicate(timeout=15) == ("some", "epmd: the answer was cut off: no more came for 10 s\n")
        assert begun.returncode == 1
