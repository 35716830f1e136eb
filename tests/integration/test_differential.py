"""Stock epmd and ours, told the same: what they answer must not differ by a byte.

KEPMD_DIFF_SEQUENCES says how many random sequences are played, KEPMD_DIFF_SEED which. A failure
prints a case to add to CASES.
"""

import contextlib
import os
import pathlib
import re
import secrets
import signal
import socket
import struct
import subprocess
import sys
from collections import namedtuple

import pytest
from lab import wire
from lab.differential import LOOPBACK, ONCE, Difference, Pair, explain, one_cpu
from lab.epmd import read_all, read_exactly
from lab.namespace import clean_env, process_state
from lab.streams import EDGE_EXTRAS, EDGE_NAMES
from lab.wait import until
from lab.wire import alive2, framed, port2, stop

TESTS = pathlib.Path(__file__).resolve().parents[1]
DOCUMENT = TESTS.parent / "doc" / "compatibility.md"
ATTEMPTS = 3
SEQUENCES = int(os.environ.get("KEPMD_DIFF_SEQUENCES", 12000))
SHARE_ELSEWHERE = 5  # every so many sequences one is played between pods
LONGEST = 3057


# What differs on purpose; doc/compatibility.md has the same list

Intended = namedtuple("Intended", "name reason show")


def ask_for_peers(epmd):
    return epmd.request(framed(b"Cpeers"))[:1]


def restart_fast(epmd):
    """Register while the end of the old connection has not been read yet."""
    with epmd.connect() as late:
        epmd.names()
        node = epmd.register("a", 1)
        epmd.process.send_signal(signal.SIGSTOP)
        until(lambda: process_state(epmd.process.pid) == "T", 5, "the daemon to halt")
        node.close()
        late.sendall(alive2("a", 2))
        epmd.process.send_signal(signal.SIGCONT)
        return read_exactly(late, 2)


def end_by_signal(epmd):
    return epmd.stop()


def wrong_flag(epmd):
    return epmd.cli("-foo").stderr


def ask_for_help(epmd):
    return epmd.cli("-h").returncode


def stop_an_endless_name(epmd):
    return epmd.cli("-stop", "a" * 1001).stdout


def lists_before_a_reset(epmd):
    """The answer to NAMES with surplus that is not read: how many names come."""
    names, seen = wire.names(), set()
    with contextlib.ExitStack() as stack:
        for number in range(200):
            stack.enter_context(epmd.register(f"n{number}", number))
        for _ in range(50):
            with epmd.connect() as connection:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                connection.sendall(names[:2])
                epmd.names()
                connection.sendall(names[2:] + b"X")
                seen.add(read_all(connection).count(b"\n"))
    return seen


INTENDED = [
    Intended("control", "'C' is a request code of ours, for -peers and -join; stock just closes",
             ask_for_peers),
    Intended("restart", "a name is free once its old connection has ended, read or not (erlang/otp#11083)",
             restart_fast),
    Intended("signal", "SIGTERM and SIGINT are a clean end with status 0", end_by_signal),
    Intended("usage", "the usage also tells what was not understood, and has more flags", wrong_flag),
    Intended("help", "-h, -help, --help and -version answer on stdout with status 0", ask_for_help),
    Intended("line feed", "'epmd: Name too long!' ends its line", stop_an_endless_name),
    Intended("creation", "taken from the clock of each daemon; masked if of the right range", None),
    Intended("descriptor", "DUMP tells each daemon's own; masked", None),
    Intended("cut list", "stock's NAMES or DUMP may lack its last lines for who sent surplus",
             lists_before_a_reset),
]


@pytest.mark.parametrize("intended", [row for row in INTENDED if row.show], ids=lambda row: row.name)
def test_an_intended_difference_is_one(epmd, stock_epmd, epmd_binary, intended):
    """Else it has no place in the list."""
    assert intended.show(epmd(stock_epmd)) != intended.show(epmd(epmd_binary))


def test_the_document_has_the_same_list():
    text = DOCUMENT.read_text()
    assert re.findall(r"^\| \*(.+?)\* \|", text, re.M) == [row.name for row in INTENDED]


# Picked by hand


@pytest.fixture(scope="module", params=["strict", "relaxed"])
def pair(request):
    args = ["-relaxed_command_check"] if request.param == "relaxed" else []
    binaries = request.getfixturevalue("stock_epmd"), request.getfixturevalue("epmd_binary")
    with one_cpu():
        pair = Pair(*binaries, args=args, env={"ERL_EPMD_ADDRESS": LOOPBACK})
    with pair:
        yield pair


def check(pair, *sequences):
    explanation = None
    with one_cpu():
        pair.forget_if_long()
        try:
            for sequence in sequences:
                pair.play(sequence)
        except Difference as difference:
            explanation = explain(pair, difference)
            pair.restart()
    if explanation:
        pytest.fail(explanation, pytrace=False)


def case(name, *steps):
    return pytest.param(steps, id=name)


A, B = alive2("a", 1), alive2("b", 2)
CASES = [
    case("nothing", ("open", 0), ("end", 0)),
    case("over IPv6", ("open", 0, "::1"), ("send", 0, A), ("send", 1, wire.dump()), ("send", 0, b"X")),
    case("taken", ("send", 0, A), ("send", 1, A), ("leave", 0), ("send", 2, A), ("send", 1, b"X")),
    case("taken by itself", ("send", 0, A), ("send", 0, A), ("send", 1, A)),
    case("refused, then half-closed", ("send", 0, A), ("send", 1, A), ("end", 1)),
    case("order of names", ("send", 0, A), ("send", 1, B), ("leave", 0), ("send", 2, A),
         ("send", 3, wire.names())),
    case("order of old names", ("send", 0, A), ("send", 1, B), ("leave", 0), ("leave", 1),
         ("send", 2, wire.dump()), ("send", 0, A), ("leave", 0), ("send", 2, wire.dump())),
    case("reset", ("send", 0, A), ("reset", 0), ("send", 1, wire.dump())),
    case("gone at once", ("leave", 0, A), ("send", 1, wire.dump())),
    case("half-closed at once", ("end", 0, A), ("send", 1, wire.dump())),
    case("stopped", ("send", 0, A), ("send", 1, stop("a")), ("send", 2, stop("a")), ("send", 0, A)),
    case("stop of one that was refused", ("send", 0, A), ("send", 1, A), ("send", 2, stop("a")),
         ("send", 1, b"X")),
    case("stop by the node itself", ("send", 0, A), ("send", 0, stop("a"))),
    case("kill", ("send", 0, b"\0"), ("send", 1, wire.kill())),
    case("kill with nodes", ("send", 0, A), ("send", 1, wire.kill()), ("send", 2, wire.names())),
    case("kill with surplus", ("send", 0, wire.kill() + b"X"), ("send", 0, wire.kill()[:2]),
         ("send", 0, wire.kill()[2:] + b"X")),
    case("kill half-closed", ("end", 0, wire.kill())),
    case("pieces of two at once", ("send", 0, A[:3]), ("send", 1, A[:9]), ("send", 0, A[3:]),
         ("send", 1, A[9:])),
    *(case(f"{size} bytes on a registration", ("send", 0, A), ("send", 0, b"q" * size))
      for size in (1, 3059, 3060, 3061, 65535)),
]


@pytest.mark.parametrize("steps", CASES)
def test_case(pair, steps):
    check(pair, steps)


# Every place of every request

REQUESTS = {
    "ALIVE2": alive2("bär", 4711, extra=b"E"),
    "ALIVE2 of before": alive2("a", 1, highest=5),
    "ALIVE2 that is taken": alive2("a", 2),
    "PORT2": port2("a"),
    "PORT2 of nobody": port2("nobody"),
    "PORT2 with NUL": port2("a\0"),
    "NAMES": wire.names(),
    "NAMES with a body": framed(b"nmore"),
    "DUMP": wire.dump(),
    "KILL": wire.kill(),
    "STOP": stop("a"),
    "STOP of nobody": stop("nobody"),
    "unknown": framed(b"?abc"),
    "the longest": framed(A[2:] + bytes(LONGEST - len(A) + 2)),
    "too long": framed(A[2:] + bytes(LONGEST - len(A) + 3)),
    "no length": b"\0\0" + A,
}


def places(data):
    """All, or those near the ends."""
    return [place for place in range(1, len(data)) if place < 30 or place > len(data) - 4]


@pytest.fixture(params=REQUESTS)
def request_bytes(request):
    return REQUESTS[request.param]


def test_cut_at_every_place(pair, request_bytes):
    for place in [0, *places(request_bytes)]:
        part = request_bytes[:place]
        check(pair, [("send", 1, A), ("send", 0, part), ("end", 0)],
              [("send", 1, A), ("end", 0, part), ("send", 2, wire.names())],
              [("leave", 0, part)],
              [("send", 0, part), ("reset", 0)])


def test_split_at_every_place(pair, request_bytes):
    for place in places(request_bytes):
        parts = request_bytes[:place], request_bytes[place:]
        check(pair, [("send", 1, A), *(("send", 0, part) for part in parts)])
        check(pair, [("send", 0, parts[0]), ("end", 0, parts[1] + b"X")])


def test_with_another_behind(pair, request_bytes):
    for other in [b"\0", b"X", *REQUESTS.values()]:
        check(pair, [("send", 1, A), ("send", 0, request_bytes + other)])
        check(pair, [("send", 1, A), ("send", 0, request_bytes[:2]), ("send", 0, request_bytes[2:] + other)])


# Every edge of every field


@pytest.mark.parametrize("length", [*range(1, 20), *range(3050, 3064), 65535])
def test_length(pair, length):
    for body in (b"n", b"d", b"z", b"s", A[2:], b"?"):
        whole = (body + b"q" * length)[:length]
        for sent in (whole, whole[:-1], whole + b"X", whole + b"XX", b""):
            check(pair, [("send", 0, struct.pack(">H", length) + sent)])


@pytest.mark.parametrize("name", [*EDGE_NAMES, b"a"], ids=lambda name: f"{name[:6]!r} {len(name)}")
def test_name(pair, name):
    for extra in [b"", *EDGE_EXTRAS]:
        asked = port2(name), wire.dump(), port2(name + b"\0"), stop(name), stop(name + b"\0more")
        check(pair, [("send", 0, alive2(name, 1, extra=extra)), *(("send", 1, request) for request in asked)])
    for size in {0, 1, len(name) - 1, len(name) + 1, len(name) + 2, 65535} - {-1}:
        body = A[2:11] + struct.pack(">H", size) + name + b"\0\0"
        check(pair, [("send", 0, framed(body))], [("send", 0, framed(body + b"more"))])


@pytest.mark.parametrize("field", ["port", "type", "protocol", "highest", "lowest"])
def test_field(pair, field):
    wide = [] if field in ("type", "protocol") else [256, 32768, 65535]
    for value in [0, 1, 4, 5, 6, 7, 72, 77, 127, 128, 255, *wide]:
        check(pair, [("send", 0, alive2("a", **{"port": 1, field: value})), ("send", 1, port2("a")),
                     ("send", 2, alive2("a", **{"port": 2, field: value}))])


def test_code(pair):
    for code in set(range(256)) - {ord("C")}:
        check(pair, [("send", 1, A), ("send", 0, framed(bytes([code])))],
              [("send", 0, framed(bytes([code]) + b"a"))])


# At random


@pytest.fixture(scope="module")
def seed():
    return os.environ.get("KEPMD_DIFF_SEED") or str(secrets.randbelow(10**9))


def play(start, command):
    """What the workers that found something say, each on a CPU of its own."""
    workers = len(os.sched_getaffinity(0))
    with contextlib.ExitStack() as stack:
        running = [stack.enter_context(start([*command, "--workers", str(workers), "--worker", str(worker)], text=True,
                                             env=clean_env({"PYTHONPATH": TESTS}), stdout=subprocess.PIPE,
                                             stderr=subprocess.STDOUT)) for worker in range(workers)]
        outputs = [process.communicate()[0] for process in running]
    return [output for process, output in zip(running, outputs) if process.returncode != 0]


def play_at_random(start, stock, ours, count, seed, *args):
    """A difference counts if it comes again on the same bytes. One that does not was of time: two pieces
    that reached one of the two in one read, on a machine that was busy. Then another seed is played."""
    for attempt in range(ATTEMPTS):
        seed = str(int(seed) + attempt)
        print(f"KEPMD_DIFF_SEED={seed} KEPMD_DIFF_SEQUENCES={SEQUENCES}")
        found = play(start, [sys.executable, "-m", "lab.differential_cli", "--stock", stock, "--ours", ours,
                             "--seed", seed, "--count", str(count), *args])
        print("\n".join(found))
        if not all(ONCE in output for output in found):
            break
        if not found:
            return
    pytest.fail(f"KEPMD_DIFF_SEED={seed}: {found[0]}", pytrace=False)


def test_random_sequences(stock_epmd, epmd_binary, seed):
    play_at_random(subprocess.Popen, stock_epmd, epmd_binary, SEQUENCES - SEQUENCES // SHARE_ELSEWHERE, seed)


def test_random_sequences_from_everywhere(stock_epmd, epmd_binary, seed, network):
    """From loopback, from the host's own addresses, and from another pod."""
    home, away = network.pod(), network.pod()
    here = [f"--here={address}" for address in (LOOPBACK, "127.3.2.1", "::1", home.ip, home.ip6)]
    elsewhere = [f"--elsewhere={address}" for address in (home.ip, home.ip6)]
    play_at_random(home.popen, stock_epmd, epmd_binary, SEQUENCES // SHARE_ELSEWHERE, seed, *here, *elsewhere,
                   f"--netns={away.path()}")
