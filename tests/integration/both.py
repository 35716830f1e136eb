"""What the comparisons with stock epmd share: the two programs, and sending bytes with care."""

import select
import socket

import pytest

from lab import wire
from lab.epmd import read_all, read_exactly
from lab.wait import until

ACCEPTED_X, ACCEPTED = b"v\x00", b"y\x00"
REFUSED_X, REFUSED = b"v\x01\x00\x00\x00\x63", b"y\x01\x00\x63"
CLOSED = b""


class Binary(str):
    """Path of an epmd; tests of what we do differently on purpose look at `is_stock`."""

    is_stock = False


@pytest.fixture(scope="session", params=["stock", "ours"])
def binary(request):
    """Each of the two programs in turn: what stock epmd answers is what ours must answer."""
    path = Binary(request.getfixturevalue("stock_epmd" if request.param == "stock" else "epmd_binary"))
    path.is_stock = request.param == "stock"
    return path


@pytest.fixture
def daemon(binary, epmd):
    return epmd(binary)


@pytest.fixture
def relaxed_daemon(binary, epmd):
    return epmd(binary, args=["-relaxed_command_check"])


def table(*rows):
    """Parametrisation of (case, request, expected) from rows that begin with their name."""
    return pytest.mark.parametrize("request_bytes, expected", [row[1:] for row in rows],
                                   ids=[row[0] for row in rows])


def dial(daemon):
    """A connection that sends each piece as a segment of its own."""
    connection = daemon.connect()
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def unread(daemon, connection):
    """How many bytes the kernel still holds for the daemon's end of this connection."""
    ends = f":{daemon.port:04X}", f":{connection.getsockname()[1]:04X}"
    with open("/proc/net/tcp") as table:
        for line in table:
            words = line.split()
            if words[1].endswith(ends[0]) and words[2].endswith(ends[1]):
                return int(words[4].split(":")[1], 16)
    return 0


def let_it_read(daemon, connection):
    """Return when the daemon has read all that was sent, and has acted on it."""
    until(lambda: not unread(daemon, connection), 5, "the daemon to read", every=0.0001)
    daemon.names()  # it does one thing after the other


def send_pieces(daemon, connection, pieces):
    for piece in pieces:
        connection.sendall(piece)
        let_it_read(daemon, connection)


def answer_to(daemon, *pieces):
    """What comes back for the pieces, each in a segment of its own, until the daemon closes."""
    with dial(daemon) as connection:
        send_pieces(daemon, connection, pieces[:-1])
        connection.sendall(pieces[-1])
        return read_all(connection)


def read_alive2_reply(connection):
    """The reply to ALIVE2, or nothing if the daemon closes instead."""
    try:
        head = connection.recv(1)
    except ConnectionResetError:
        return b""
    if not head:
        return b""
    return head + read_exactly(connection, wire.alive2_reply_size(head) - 1)


def is_open(daemon, connection):
    """Whether the daemon keeps the connection after all that was sent on it, and says no more."""
    let_it_read(daemon, connection)
    return not select.select([connection], [], [], 0)[0]


def is_ended(connection):
    """Wait for the end of the connection; a reset counts."""
    return read_all(connection) == b""


def listed(daemon):
    return [name for name, _ in daemon.names()]


def until_released(daemon, *names):
    """A connection's end is read when its turn comes."""
    until(lambda: not set(names) & set(listed(daemon)), 5, f"{names} to be released", every=0.0005)


def release(daemon, registration, name):
    registration.close()
    until_released(daemon, name)
