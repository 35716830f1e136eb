"""The command line of stock epmd and of ours: the same words and variables, the same outcome."""

import contextlib
import re
import socket
import struct
import subprocess
import threading

import pytest
from lab import wire
from lab.differential import LOOPBACK, Difference, Pair, explain, one_cpu
from lab.epmd import Epmd, free_port, read_all
from lab.namespace import clean_env
from lab.wait import until

COMMANDS = [["-names"], ["-started"], ["-dump"], ["-kill"], ["-stop", "a"], ["-stop", "nobody"],
            ["-stop", ""], ["-stop", "a" * 1000], ["-names", "-names"], ["-stop"]]
FLAGS = [[], ["-d"], ["-debug", "-d"], ["-relaxed_command_check"], ["-daemon"], ["-address", "192.0.2.1"],
         ["-packet_timeout", "5"], ["-delay_accept", "1", "-delay_write", "1"]]
NODES = ["a", "bär"]
STATES = {"empty": ([], []), "nodes": ([], NODES), "relaxed": (["-relaxed_command_check"], NODES)}


def command_name(command):
    return " ".join(command)[:20]


class Served:
    """A daemon in one of the states, started again when a command has changed that."""

    def __init__(self, binary, state):
        self._binary, (self._args, self._names) = binary, STATES[state]
        self._stack = contextlib.ExitStack()
        self._start()

    def _start(self):
        self.daemon = self._stack.enter_context(Epmd(self._binary, args=self._args))
        for number, name in enumerate(self._names):
            self._stack.enter_context(self.daemon.register(name, number))
        self._begin = self.daemon.names()

    def outcome(self, client, words, env=None):
        """What the client says, and what becomes of the daemon. PORT in the words is its port."""
        port = self.daemon.port
        words = [word.replace("PORT", str(port)) for word in words]
        done = subprocess.run([client, "-port", str(port), *words], env=clean_env(env), capture_output=True,
                              timeout=10, stdin=subprocess.DEVNULL)
        left = self.daemon.wait_exit() if done.stdout == b"Killed\n" else self.daemon.names()
        if left != self._begin:
            self.close()
            self._start()
        return mask_port(done.stdout, port), is_usage(done.stderr), done.returncode, left

    def close(self):
        self._stack.close()


def mask_port(output, port):
    return re.sub(rb"fd = \d+", b"fd = N", output.replace(f"port {port} with".encode(), b"port PORT with"))


def is_usage(stderr):
    """Ours says before it what was not understood, and has more flags to tell of."""
    return b"usage" if re.search(rb"^usage: epmd", stderr, re.M) else stderr


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("command", COMMANDS, ids=command_name)
def test_either_client_with_either_daemon(stock_epmd, epmd_binary, command, state):
    binaries = stock_epmd, epmd_binary
    with contextlib.ExitStack() as stack:
        daemons = [stack.enter_context(contextlib.closing(Served(binary, state))) for binary in binaries]
        for flags in FLAGS:
            seen = [daemon.outcome(client, [*flags, *command]) for client in binaries for daemon in daemons]
            assert seen == seen[:1] * 4, flags


@pytest.mark.parametrize("command", COMMANDS, ids=command_name)
def test_either_client_without_a_daemon(stock_epmd, epmd_binary, command):
    for flags in FLAGS:
        seen = []
        for client in (stock_epmd, epmd_binary):
            done = subprocess.run([client, "-port", str(free_port()), *flags, *command], env=clean_env(),
                                  capture_output=True, timeout=10, stdin=subprocess.DEVNULL)
            seen.append((done.stdout, is_usage(done.stderr), done.returncode))
        assert seen[0] == seen[1], flags


HEAD = struct.pack(">I", 4711)
LIST = HEAD + b"name a at port 1\n"
ANSWERS = [b"", b"O", b"OK", b"OK!", b"N", b"NO", b"no", b"STOPPE", b"STOPPED", b"NOEXIST", b"NOEXISTSTOPPED",
           b"\0" * 7, *(LIST[:size] for size in (1, 2, 3, 4, 5, len(LIST) - 1, len(LIST))), b"\xff" * 4,
           HEAD + b"\0\xff\n" * 5000]


def talk(client, command, answer, reset):
    """What the client says to a server that gives this answer, and what that was asked."""
    asked = []
    with socket.create_server((LOOPBACK, 0)) as listener:
        def serve():
            connection, _ = listener.accept()
            with connection:
                asked.append(connection.recv(4096))
                connection.sendall(answer)
                if reset:
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

        thread = threading.Thread(target=serve)
        thread.start()
        done = subprocess.run([client, "-port", str(listener.getsockname()[1]), *command], env=clean_env(),
                              capture_output=True, timeout=10, stdin=subprocess.DEVNULL)
        thread.join()
    return done.stdout, done.stderr, done.returncode, asked


@pytest.mark.parametrize("reset", [False, True], ids=["ended", "reset"])
@pytest.mark.parametrize("command", [*COMMANDS[:4], ["-stop", "a"]], ids=command_name)
def test_either_client_hears_the_same(stock_epmd, epmd_binary, command, reset):
    for answer in ANSWERS:
        stock, ours = (talk(client, command, answer, reset) for client in (stock_epmd, epmd_binary))
        assert stock == ours, answer[:20]


# Odd words and values

RELAXED, ADDRESS, PORT = "ERL_EPMD_RELAXED_COMMAND_CHECK", "ERL_EPMD_ADDRESS", "ERL_EPMD_PORT"
ODD_WORDS = [
    # flags that are none, and commands that are not quite
    ["-foo"], ["-foo", "-names"], ["names"], ["--names"], ["-Names"], ["-name"], ["-n"], ["-"], ["--"], [""],
    # after the command, where nothing may come
    ["-names", "-d"], ["-names", "-port", "PORT"], ["-names", "x"], ["-names", ""], ["-started", "-names"],
    ["-dump", "-d"], ["-kill", "-d"], ["-kill", "-kill"], ["-kill", "x"], ["-stop", "a", "b"], ["-stop", "a", "-d"],
    # what looks like a flag, and is a name
    ["-stop", "-names"], ["-stop", "-d"], ["-stop", "a" * 255], ["-stop", "a b"],
    # the same again
    ["-d", "-d", "-d", "-d", "-names"], ["-debug", "-debug", "-started"], ["-daemon", "-daemon", "-names"],
    ["-relaxed_command_check", "-relaxed_command_check", "-stop", "a"], ["-port", "1", "-port", "PORT", "-names"],
    ["-address", "x", "-address", "y", "-names"], ["-packet_timeout", "1", "-packet_timeout", "2", "-names"],
    # values
    ["-address", "", "-names"], ["-address", "nonsense", "-kill"], ["-address"], ["-port"], ["-port", ""],
    ["-port", "0", "-names"], ["-port", "abc", "-names"], ["-port", "0PORT", "-names"],
    ["-packet_timeout", "0", "-names"], ["-packet_timeout", "", "-names"], ["-packet_timeout", "-names"],
    ["-packet_timeout", "86401", "-names"], ["-packet_timeout", "2147483647", "-names"], ["-packet_timeout"],
    ["-delay_accept", "0", "-names"], ["-delay_accept", "abc", "-names"], ["-delay_write", "", "-names"],
    ["-delay_accept", "9999", "-delay_write", "9999", "-names"],
    # not the client's business
    ["-systemd", "-names"], ["-daemon", "-kill"], ["-relaxed_command_check", "-kill"],
]
ODD_VARIABLES = [{variable: value} for variable in (RELAXED, ADDRESS) for value in ("", "0", "no", "nonsense", " ")]
TOLD = ["-names"], ["-kill"], ["-stop", "a"], ["-foo"]


@pytest.mark.parametrize("state", STATES)
def test_odd_words_to_either_daemon(stock_epmd, epmd_binary, state):
    binaries = stock_epmd, epmd_binary
    with contextlib.ExitStack() as stack:
        daemons = [stack.enter_context(contextlib.closing(Served(binary, state))) for binary in binaries]
        for words, env in [*((words, None) for words in ODD_WORDS),
                           *((words, env) for words in TOLD for env in ODD_VARIABLES)]:
            seen = [daemon.outcome(client, words, env) for client in binaries for daemon in daemons]
            assert seen == seen[:1] * 4, (words, env)


@pytest.mark.parametrize("value", ["{}", "0{}", "00000{}"])
def test_an_odd_port_that_is_one(stock_epmd, epmd_binary, epmd, value):
    daemon = epmd(stock_epmd)
    for words in (["-names"], ["-started"], ["-kill"]):
        seen = []
        for client in (stock_epmd, epmd_binary):
            done = subprocess.run([client, *words], env=clean_env({PORT: value.format(daemon.port)}),
                                  capture_output=True, timeout=10, stdin=subprocess.DEVNULL)
            seen.append((done.stdout, done.stderr, done.returncode))
            if words == ["-kill"]:
                daemon.wait_exit()
                daemon.restart()
        assert seen[0] == seen[1], words


# Starts

TAKEN = rb"there is already an? epmd running at port "
NAMED = re.compile(rb'"[^"]*"|192\.0\.2\.\d+|provides no sockets|on more than')


def what_it_names(stderr):
    """Ours has no time before its lines, ends them otherwise, and words some of them otherwise."""
    return NAMED.findall(stderr), bool(re.search(TAKEN, stderr)), is_usage(stderr) == b"usage"


def started(binary, words, env=None, port=None):
    """How it ends; or what it answers, and then is ended."""
    port = port or free_port()
    with subprocess.Popen([binary, "-port", str(port), *words], env=clean_env(env), stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        try:
            until(lambda: process.poll() is not None or answers(process, port), 10, "an end or an answer")
            if process.poll() is None:
                return "serves"
            said, complained = process.communicate()
            return process.returncode, said, what_it_names(complained)
        finally:
            process.kill()


def answers(process, port):
    """Its own answer: not that of another daemon, beside which it is about to end."""
    try:
        with socket.create_connection((LOOPBACK, port), 5) as connection:
            connection.sendall(wire.names())
            return read_all(connection) and holds(process.pid, port)
    except OSError:
        return False


def holds(pid, port):
    done = subprocess.run(["ss", "-Hltnp", f"sport = :{port}"], capture_output=True, text=True, timeout=10)
    return f"pid={pid}," in done.stdout


HERE = ["-address", LOOPBACK]
ODD_STARTS = [
    [], ["-d"], ["-d", "-d"], ["-debug", "-d", "-debug"], ["-relaxed_command_check"], ["-packet_timeout", "1"],
    ["-packet_timeout", "2147483647"], ["-packet_timeout", "0"], ["-packet_timeout", "x"], ["-delay_write", "0"],
    ["-foo"], ["-d", "foo"], ["-systemd"], ["-daemon", "-foo"], ["-port"], ["-address"],
]
ODD_ADDRESSES = ["nonsense", "127.0.0.1,nonsense", "192.0.2.9", "192.0.2.9,127.0.0.2", "127.1", "127.0.0.1;::1",
                 "[::1]", "fe80::1%lo", "127.0.0.1:4369", "0", " , ", "127.0.0.1,,127.0.0.2", "localhost",
                 ",".join(f"127.0.1.{i}" for i in range(1, 100))]


@pytest.mark.parametrize("by", ["flags", "addresses by flag", "addresses by variable"])
def test_odd_starts(stock_epmd, epmd_binary, by):
    cases = {"flags": [([*HERE, *words], None) for words in ODD_STARTS],
             "addresses by flag": [(["-address", value], None) for value in ODD_ADDRESSES],
             "addresses by variable": [([], {ADDRESS: value}) for value in ODD_ADDRESSES]}[by]
    for words, env in cases:
        stock, ours = (started(binary, words, env) for binary in (stock_epmd, epmd_binary))
        assert stock == ours, (words, env)


# With -daemon stock has said 0 before it knows of the address.
@pytest.mark.parametrize("words", [
    [], ["-d"], ["-d", "-d"], ["-debug"], ["-daemon"], ["-daemon", "-d"], ["-relaxed_command_check"],
    ["-packet_timeout", "5"], ["-delay_accept", "9", "-delay_write", "9"], ["-address", "192.0.2.9"],
    ["-address", "127.0.0.2,192.0.2.9"], ["-address", "nonsense"], ["-address", ""], ["-systemd"], ["-foo"],
], ids=" ".join)
def test_an_odd_second_daemon_on_the_port(stock_epmd, epmd_binary, epmd, words):
    seen = []
    for first in (stock_epmd, epmd_binary):
        daemon = epmd(first)
        with daemon.register("a", 1):
            for second in (stock_epmd, epmd_binary):
                seen.append(started(second, words, port=daemon.port))
                assert daemon.names() == [("a", 1)]
    assert seen == seen[:1] * 4


# What -delay_accept and -delay_write do is in test_cli_start.py: here they would delay each question.
A = wire.alive2("a", 1)
OLD = [("send", 0, A), ("leave", 0), ("send", 1, wire.dump()), ("send", 2, A), ("send", 3, wire.dump())]
ALLOWED = [("send", 0, A), ("send", 1, wire.stop("a")), ("send", 2, A), ("send", 3, wire.kill())]


@pytest.mark.parametrize("args, env, sequences", [
    (["-d"], {}, [OLD, ALLOWED]), (["-d", "-debug", "-d"], {}, [OLD, ALLOWED]),
    *(([], {RELAXED: value}, [ALLOWED]) for value in ("", "0", "no")), (["-relaxed_command_check"], {}, [ALLOWED]),
], ids=["-d", "-d -debug -d", "variable empty", "variable 0", "variable no", "flag"])
def test_an_odd_daemon_answers_the_same(stock_epmd, epmd_binary, args, env, sequences):
    with one_cpu(), Pair(stock_epmd, epmd_binary, args=args, env={ADDRESS: LOOPBACK, **env}) as pair:
        try:
            for sequence in sequences:
                pair.play(sequence)
        except Difference as difference:
            pytest.fail(explain(pair, difference), pytrace=False)
