"""PORT2, NAMES, DUMP, KILL and STOP, with stock epmd as the oracle."""

import re
import struct

import pytest
from both import CLOSED, answer_to, dial, is_ended, is_open, listed, release, send_pieces, table
from both import binary, daemon, relaxed_daemon  # noqa: F401 (fixtures)
from lab import wire
from lab.epmd import read_all
from lab.wire import framed, port2, stop

MISS = b"w\x01"


def hit(name, port=1234, type=77, protocol=0, highest=6, lowest=5, extra=b""):
    """The reply to PORT2 for a node."""
    name = wire.as_bytes(name)
    return (b"w\x00" + struct.pack(">HBBHHH", port, type, protocol, highest, lowest, len(name)) +
            name + struct.pack(">H", len(extra)) + extra)


def names_reply(daemon, *lines):
    return struct.pack(">I", daemon.port) + "".join(lines).encode()


def dump_of(daemon):
    """The reply to DUMP; numbers of descriptors differ, all else may not."""
    return re.sub(rb"fd = \d+", b"fd = N", daemon.request(wire.dump()))


def dump_reply(daemon, active=(), old=()):
    return names_reply(
        daemon,
        *(f"active name     <{name}> at port {port}, fd = N\n\0" for name, port in active),
        *(f"old/unused name <{name}>, port = {port}, fd = N \n\0" for name, port in old))


# PORT2


@pytest.mark.parametrize("fields", [
    dict(port=4369), dict(port=0), dict(port=65535),
    dict(type=72), dict(type=0), dict(type=110), dict(type=255),
    dict(protocol=255), dict(highest=5), dict(highest=0, lowest=0), dict(highest=65535, lowest=65535),
    dict(extra=b"E"), dict(extra=b"\0\xff\0"), dict(extra=b"E" * 1020),
], ids=lambda fields: " ".join(f"{k}={v if isinstance(v, int) else len(v)}" for k, v in fields.items()))
def test_port2_gives_back_what_was_registered(daemon, fields):
    given = {"port": 1234, **fields}
    with daemon.register("a", **given):
        assert answer_to(daemon, port2("a")) == hit("a", **fields)


@pytest.mark.parametrize("name", ["a", "A.b-c_d", "sample@10.0.0.7", "bär", "\U0001f600", "a b",
                                  "a" * 254, "é" * 254, "\U0001f600" * 254],
                         ids=lambda name: f"{name[:15]} {len(name)}")
def test_port2_finds_a_name(daemon, name):
    with daemon.register(name, 1234):
        assert answer_to(daemon, port2(name)) == hit(name)


@table(
    ("miss", port2("nobody"), MISS),
    ("beginning of a name", port2("nam"), MISS),
    ("longer than the name", port2("named2"), MISS),
    ("other case", port2("NAMED"), MISS),
    ("trailing NUL", port2("named\0"), hit("named")),
    ("two trailing NULs", port2("named\0\0"), CLOSED),
    ("NUL inside", port2("named\0x"), CLOSED),
    ("NUL first", port2("\0named"), CLOSED),
    ("empty", port2(""), CLOSED),
    ("only a NUL", port2("\0"), CLOSED),
    ("254 characters", port2("a" * 254), MISS),
    ("254 characters and a NUL", port2("a" * 254 + "\0"), MISS),
    ("255 characters", port2("a" * 255), CLOSED),
    ("255 characters and a NUL", port2("a" * 255 + "\0"), CLOSED),
    ("254 characters of 2 bytes", port2("é" * 254), MISS),
    ("255 characters of 2 bytes", port2("é" * 255), CLOSED),
    ("254 characters of 4 bytes", port2("\U0001f600" * 254), MISS),
    ("not UTF-8", port2(b"\xff"), CLOSED),
    ("cut character", port2(b"named\xc3"), CLOSED),
    ("cut character and a NUL", port2(b"named\xc3\0"), CLOSED),
    ("overlong", port2(b"\xc1\x81"), CLOSED),
    ("surrogate", port2(b"\xed\xa0\x80"), CLOSED),
)
def test_port2_with_any_name(daemon, request_bytes, expected):
    with daemon.register("named", 1234):
        assert answer_to(daemon, request_bytes) == expected


def test_a_name_of_255_characters_registers_but_cannot_be_looked_up(daemon):
    with daemon.register("a" * 255, 1234):
        assert listed(daemon) == ["a" * 255]
        assert answer_to(daemon, port2("a" * 255)) == CLOSED


def test_port2_misses_a_released_name(daemon):
    release(daemon, daemon.register("a", 1), "a")
    assert answer_to(daemon, port2("a")) == MISS


def test_a_look_up_may_come_byte_by_byte(daemon):
    request = port2("a")
    with daemon.register("a", 1234), dial(daemon) as connection:
        send_pieces(daemon, connection, [request[i:i + 1] for i in range(len(request) - 1)])
        connection.sendall(request[-1:])
        assert read_all(connection) == hit("a")


# NAMES


def test_names_of_nobody_is_the_port(daemon):
    assert daemon.request(wire.names()) == names_reply(daemon)


def test_names_lists_the_newest_registration_first(daemon):
    with daemon.register("a", 1), daemon.register("hidden", 65535, type=72) as hidden, \
            daemon.register("bär", 3):
        assert daemon.request(wire.names()) == names_reply(
            daemon, "name bär at port 3\n", "name hidden at port 65535\n", "name a at port 1\n")
        release(daemon, hidden, "hidden")
        with daemon.register("hidden", 4):
            assert listed(daemon) == ["hidden", "bär", "a"]


def test_names_prints_odd_names_as_they_are(daemon):
    with daemon.register("", 1, extra=b"E"), daemon.register("a b", 2), daemon.register("c\nd", 3):
        assert daemon.request(wire.names()) == names_reply(
            daemon, "name c\nd at port 3\n", "name a b at port 2\n", "name  at port 1\n")


def test_names_of_many_nodes_is_complete(daemon):
    """Longer than any buffer on the way."""
    nodes = [daemon.register(f"{i:03}" + "n" * 250, i) for i in range(500)]
    expected = [f"name {i:03}{'n' * 250} at port {i}\n" for i in reversed(range(500))]
    assert daemon.request(wire.names()) == names_reply(daemon, *expected)
    for node in nodes:
        node.close()


# DUMP


def test_dump_shows_active_names_then_released_ones(daemon):
    assert dump_of(daemon) == dump_reply(daemon)
    a, b, c = (daemon.register(name, port) for name, port in (("a", 1), ("b", 2), ("ä", 3)))
    assert dump_of(daemon) == dump_reply(daemon, [("ä", 3), ("b", 2), ("a", 1)])
    release(daemon, b, "b")
    release(daemon, a, "a")
    assert dump_of(daemon) == dump_reply(daemon, [("ä", 3)], [("b", 2), ("a", 1)])
    with c, daemon.register("b", 9):
        assert dump_of(daemon) == dump_reply(daemon, [("b", 9), ("ä", 3)], [("a", 1)])


# KILL


def test_kill_without_nodes_ends_the_daemon(daemon):
    assert answer_to(daemon, wire.kill()) == b"OK"
    assert daemon.wait_exit() == 0


def test_kill_is_refused_while_a_node_lives(daemon):
    node = daemon.register("a", 1)
    assert answer_to(daemon, wire.kill()) == b"NO"
    assert listed(daemon) == ["a"]
    release(daemon, node, "a")
    assert answer_to(daemon, wire.kill()) == b"OK"
    assert daemon.wait_exit() == 0


@pytest.mark.parametrize("value", ["", "0", "1"])
def test_the_variable_allows_kill_whatever_its_value(epmd, binary, value):
    daemon = epmd(binary, env={"ERL_EPMD_RELAXED_COMMAND_CHECK": value})
    with daemon.register("a", 1) as node:
        assert answer_to(daemon, wire.kill()) == b"OK"
        assert is_ended(node.connection)
        assert daemon.wait_exit() == 0


def test_the_flag_allows_kill(relaxed_daemon):
    with relaxed_daemon.register("a", 1) as node:
        assert answer_to(relaxed_daemon, wire.kill()) == b"OK"
        assert is_ended(node.connection)
        assert relaxed_daemon.wait_exit() == 0


# STOP


@table(
    ("known", stop("a"), CLOSED),
    ("unknown", stop("nobody"), CLOSED),
    ("empty", stop(""), CLOSED),
)
def test_stop_is_not_answered_unless_relaxed(daemon, request_bytes, expected):
    with daemon.register("a", 1) as node:
        assert answer_to(daemon, request_bytes) == expected
        assert listed(daemon) == ["a"]
        assert is_open(daemon, node.connection)


@table(
    ("unknown", stop("nobody"), b"NOEXISTSTOPPED"),
    ("not UTF-8", stop(b"\xff"), b"NOEXISTSTOPPED"),
    ("over 255 characters", stop("a" * 1000), b"NOEXISTSTOPPED"),
    ("empty", stop(""), CLOSED),
)
def test_stop_of_nobody(relaxed_daemon, request_bytes, expected):
    with relaxed_daemon.register("a", 1) as node:
        assert answer_to(relaxed_daemon, request_bytes) == expected
        assert is_open(relaxed_daemon, node.connection)


@pytest.mark.parametrize("request_bytes", [stop("bär"), stop("bär\0"), stop("bär\0more")],
                         ids=["plain", "trailing NUL", "cut at a NUL"])
def test_stop_releases_the_name_and_ends_its_connection(relaxed_daemon, request_bytes):
    with relaxed_daemon.register("bär", 1) as node, relaxed_daemon.register("b", 2):
        assert answer_to(relaxed_daemon, request_bytes) == b"STOPPED"
        assert is_ended(node.connection)
        assert listed(relaxed_daemon) == ["b"]
        assert wire.parse_dump(relaxed_daemon.request(wire.dump())).old[0][0] == "bär"
        with relaxed_daemon.register("bär", 3) as again:
            assert again.creation == node.creation + 1


def test_a_stopped_name_is_unknown_next_time(relaxed_daemon):
    with relaxed_daemon.register("a", 1):
        assert answer_to(relaxed_daemon, stop("a")) == b"STOPPED"
        assert answer_to(relaxed_daemon, stop("a")) == b"NOEXISTSTOPPED"


# Bytes after the code of a request that has no body


@pytest.mark.parametrize("code", ["n", "d"])
def test_a_body_that_is_not_asked_for_is_ignored(daemon, code):
    with daemon.register("a", 1):
        plain = answer_to(daemon, framed(code.encode()))
        assert len(plain) > 4
        assert answer_to(daemon, framed(code.encode() + b"more\0")) == plain


def test_kill_ignores_a_body_too(daemon):
    assert answer_to(daemon, framed(b"kmore")) == b"OK"
    assert daemon.wait_exit() == 0
