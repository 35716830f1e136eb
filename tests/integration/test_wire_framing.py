"""How requests arrive: lengths, pieces, surplus, half-closed and idle connections, and from where."""

import contextlib
import resource
import socket
import string
import struct
import time

import pytest
from both import CLOSED, answer_to, dial, is_ended, is_open, send_pieces, table
from both import binary, daemon  # noqa: F401 (fixtures)
from lab import pods, wire
from lab.epmd import Epmd, read_all
from lab.sidecar import count_log
from lab.wire import framed

NAMES, MISS = wire.names(), b"w\x01"
LONGEST = 3057
NOBODY = b"the reply to NAMES"


def check_answer(daemon, reply, expected):
    assert reply == (struct.pack(">I", daemon.port) if expected is NOBODY else expected)


# Codes

REPLIES = b"vwy"


@pytest.mark.parametrize("code", [*REPLIES, *(set(range(256)) - set(string.ascii_letters.encode()))])
def test_an_unknown_code_is_closed(shared_daemon, code):
    """Codes of our own are letters."""
    assert answer_to(shared_daemon, framed(bytes([code]))) == CLOSED
    assert answer_to(shared_daemon, framed(bytes([code]) + b"body")) == CLOSED


@pytest.fixture(scope="module")
def shared_daemon(binary):
    with Epmd(binary) as running:
        yield running


@pytest.mark.parametrize("code", ["x", "z", "s"])
def test_a_code_without_its_body_is_closed(daemon, code):
    assert answer_to(daemon, framed(code.encode())) == CLOSED


# Lengths


def sized(code, length):
    return struct.pack(">H", length) + code + b"q" * (length - len(code))


@table(
    ("0", b"\0\0", CLOSED),
    ("0, then a request", b"\0\0" + NAMES, CLOSED),
    ("1", framed(b"n"), NOBODY),
    ("the longest", sized(b"n", LONGEST), NOBODY),
    ("the longest PORT2", sized(b"z", LONGEST), CLOSED),
    ("over the longest", sized(b"n", LONGEST + 1), CLOSED),
    ("65535", struct.pack(">H", 65535), CLOSED),
    ("over the longest, only the length", struct.pack(">H", LONGEST + 1), CLOSED),
)
def test_length(daemon, request_bytes, expected):
    check_answer(daemon, answer_to(daemon, request_bytes), expected)


@pytest.mark.parametrize("beginning", [b"\0", b"\0\1", struct.pack(">H", LONGEST), b"\0\5n"],
                         ids=["half a length", "a length", "the longest length", "part of a body"])
def test_more_is_awaited(daemon, beginning):
    with dial(daemon) as connection:
        connection.sendall(beginning)
        assert is_open(daemon, connection)
        connection.shutdown(socket.SHUT_WR)
        assert is_ended(connection)


def test_a_zero_length_is_closed_before_more_comes(daemon):
    with dial(daemon) as connection:
        send_pieces(daemon, connection, [b"\0\0"])
        assert is_ended(connection)


# Surplus


@pytest.mark.parametrize("pieces, expected", [
    ([NAMES + b"X"], CLOSED),
    ([NAMES + NAMES], CLOSED),
    ([NAMES[:1], NAMES[1:] + b"X"], CLOSED),
    ([NAMES[:2], NAMES[2:] + b"X"], NOBODY),
    ([NAMES[:2], NAMES[2:] + NAMES], NOBODY),
    ([NAMES[:1], NAMES[1:2], NAMES[2:] + b"X"], NOBODY),
], ids=["with it all", "a second request with it all", "with the length's second byte",
        "with the body", "a second request with the body", "with the body, length in two"])
def test_surplus_voids_what_it_comes_with_unless_the_length_was_read_before(daemon, pieces, expected):
    check_answer(daemon, answer_to(daemon, *pieces), expected)


@pytest.mark.parametrize("missing, surplus, answered", [(0, 1, True), (0, 2, True), (1, 1, False), (1, 2, False)])
def test_surplus_does_not_void_the_longest_request(daemon, missing, surplus, answered):
    """More than that is not read at once."""
    request = sized(b"n", LONGEST - missing) + b"X" * surplus
    check_answer(daemon, answer_to(daemon, request), NOBODY if answered else CLOSED)


def test_a_second_request_later_is_not_answered(daemon):
    with dial(daemon) as connection:
        send_pieces(daemon, connection, [NAMES])
        with contextlib.suppress(ConnectionError):
            connection.sendall(NAMES)
        assert read_all(connection)[4:] == b""


@pytest.mark.parametrize("request_bytes, expected", [(NAMES, NOBODY), (wire.port2("nobody"), MISS)],
                         ids=["NAMES", "PORT2"])
def test_a_request_may_come_byte_by_byte(daemon, request_bytes, expected):
    pieces = [request_bytes[i:i + 1] for i in range(len(request_bytes))]
    check_answer(daemon, answer_to(daemon, *pieces), expected)


# Half-closed


@table(
    ("NAMES", NAMES, NOBODY),
    ("DUMP", wire.dump(), NOBODY),
    ("PORT2", wire.port2("nobody"), MISS),
    ("KILL", wire.kill(), b"OK"),
    ("nothing", b"", CLOSED),
    ("half a request", NAMES[:2], CLOSED),
)
def test_who_says_no_more_still_gets_a_reply(daemon, request_bytes, expected):
    with dial(daemon) as connection:
        connection.sendall(request_bytes)
        connection.shutdown(socket.SHUT_WR)
        check_answer(daemon, read_all(connection), expected)


def test_a_client_that_is_gone_harms_nobody(daemon):
    for _ in range(20):
        with dial(daemon) as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.sendall(NAMES)
    assert daemon.names() == []


# Idle


def test_an_idle_connection_is_closed_but_a_registered_one_is_not(epmd, binary):
    daemon = epmd(binary, args=["-packet_timeout", "1"])
    with daemon.register("a", 1) as node, dial(daemon) as silent, dial(daemon) as halting:
        halting.sendall(b"\0")
        begin = time.monotonic()
        assert is_ended(silent) and is_ended(halting)
        assert 0.8 < time.monotonic() - begin < 4
        assert is_open(daemon, node.connection)
        assert daemon.names() == [("a", 1)]


# From where


class Neighbours:
    """Two daemons in a pod, one of them relaxed, and ways to dial them from in and out."""

    def __init__(self, binary, network):
        self.home, self.away = network.pod(), network.pod()
        self.strict = Epmd(binary, pod=self.home)
        self.relaxed = Epmd(binary, pod=self.home, args=["-relaxed_command_check"])
        self.node = self.strict.register("a", 1)

    def answer(self, daemon, place, request):
        source, address = {
            "127.0.0.1": (self.home, "127.0.0.1"), "127.3.2.1": (self.home, "127.3.2.1"),
            "::1": (self.home, "::1"), "own IPv4": (self.home, self.home.ip),
            "own IPv6": (self.home, self.home.ip6), "other IPv4": (self.away, self.home.ip),
            "other IPv6": (self.away, self.home.ip6)}[place]
        with source.connect(address, daemon.port) as connection:
            connection.sendall(request)
            connection.shutdown(socket.SHUT_WR)
            return read_all(connection)

    def close(self):
        self.node.close()
        self.strict.stop()
        self.relaxed.stop()


@pytest.fixture(scope="module")
def neighbours(binary):
    reason = pods.unavailable()
    if reason:
        pytest.skip(reason)
    with pods.Network() as network, contextlib.closing(Neighbours(binary, network)) as both:
        yield both


HERE = ["127.0.0.1", "127.3.2.1", "::1", "own IPv4", "own IPv6"]
ELSEWHERE = ["other IPv4", "other IPv6"]


@pytest.mark.parametrize("place", HERE)
def test_a_local_client_may_do_all(neighbours, place):
    strict, relaxed = neighbours.strict, neighbours.relaxed
    assert neighbours.answer(strict, place, wire.alive2("here", 2))[:2] == b"v\0"
    assert neighbours.answer(strict, place, wire.dump())[4:].startswith(b"active name     <a> at")
    assert neighbours.answer(strict, place, wire.kill()) == b"NO"
    assert neighbours.answer(relaxed, place, wire.stop("nobody")) == b"NOEXISTSTOPPED"


@pytest.mark.parametrize("place", ELSEWHERE)
def test_a_client_from_elsewhere_may_only_look(neighbours, place):
    strict, relaxed = neighbours.strict, neighbours.relaxed
    for request in (wire.alive2("there", 2), wire.dump(), wire.kill()):
        assert neighbours.answer(strict, place, request) == CLOSED
    for request in (wire.stop("nobody"), wire.kill()):
        assert neighbours.answer(relaxed, place, request) == CLOSED
    assert "there" not in [name for name, _ in strict.names()]


@pytest.mark.parametrize("place", HERE + ELSEWHERE)
def test_anybody_may_ask_for_names_and_ports(neighbours, place):
    daemon = neighbours.strict
    assert neighbours.answer(daemon, place, NAMES) == struct.pack(">I", daemon.port) + b"name a at port 1\n"
    assert neighbours.answer(daemon, place, wire.port2("a"))[:4] == b"w\0\0\x01"


# More connections than descriptors


def test_connections_that_are_closed_for_others_are_counted_not_listed(epmd, epmd_binary):
    ours = epmd(epmd_binary)
    resource.prlimit(ours.process.pid, resource.RLIMIT_NOFILE, (40, 40))
    with contextlib.ExitStack() as stack:
        crowd = [stack.enter_context(ours.connect()) for _ in range(100)]
        ours.wait_log("out of descriptors: the oldest idle connections are closed")
        assert is_ended(crowd[50])
        assert is_open(ours, crowd[-1])
    closed = ours.wait_log(r"descriptors suffice again: (\d+) idle connections were closed", timeout=10)
    assert 60 <= int(closed[1]) <= 100
    assert count_log(ours, "out of descriptors") == 1
