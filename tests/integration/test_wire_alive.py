"""ALIVE2, and the registration that its connection is, with stock epmd as the oracle."""

import struct
import time

import pytest
from both import (ACCEPTED, ACCEPTED_X, CLOSED, REFUSED, REFUSED_X, dial, is_ended, is_open,
                  listed, read_alive2_reply, release, send_pieces, table,
                  until_released)
from both import binary, daemon, relaxed_daemon  # noqa: F401 (fixtures)
from lab import wire
from lab.wire import alive2, framed

HEAD = b"x" + struct.pack(">HBBHH", 1234, 77, 0, 6, 5)
NAMED = HEAD + b"\x00\x01a\x00\x00"
LONGEST = 3057


def padded(size):
    """An ALIVE2 for `a`, of a given size: what follows the extra is nobody's."""
    return framed((NAMED + bytes(size))[:size])


def check_reply(reply, expected):
    """An accepted name brings a creation, which is not known beforehand."""
    if expected == ACCEPTED_X:
        assert reply[:2] == expected and len(reply) == 6
        assert int.from_bytes(reply[2:], "big") >= 4
    elif expected == ACCEPTED:
        assert reply[:2] == expected and len(reply) == 4
        assert reply[2:] in (b"\x00\x01", b"\x00\x02", b"\x00\x03")
    else:
        assert reply == expected


def check_connection(daemon, connection, expected):
    if expected == CLOSED:
        assert is_ended(connection)
    else:
        assert is_open(daemon, connection)


def check(daemon, request, expected):
    with dial(daemon) as connection:
        connection.sendall(request)
        check_reply(read_alive2_reply(connection), expected)
        check_connection(daemon, connection, expected)
        nobody_is_listed = len(daemon.request(wire.names())) == 4
        assert nobody_is_listed == (expected not in (ACCEPTED, ACCEPTED_X))


@table(
    ("highest 4", alive2("a", 1, highest=4), ACCEPTED),
    ("highest 5", alive2("a", 1, highest=5), ACCEPTED),
    ("highest 6", alive2("a", 1, highest=6), ACCEPTED_X),
    ("highest 7", alive2("a", 1, highest=7), ACCEPTED_X),
    ("highest 0", alive2("a", 1, highest=0, lowest=0), ACCEPTED),
    ("highest 65535", alive2("a", 1, highest=65535), ACCEPTED_X),
    ("highest below lowest", alive2("a", 1, highest=6, lowest=9), ACCEPTED_X),
    ("hidden", alive2("a", 1, type=72), ACCEPTED_X),
    ("type 0", alive2("a", 1, type=0), ACCEPTED_X),
    ("type 255", alive2("a", 1, type=255), ACCEPTED_X),
    ("protocol 255", alive2("a", 1, protocol=255), ACCEPTED_X),
    ("port 0", alive2("a", 0), ACCEPTED_X),
    ("port 65535", alive2("a", 65535), ACCEPTED_X),
)
def test_any_version_and_type_registers(daemon, request_bytes, expected):
    check(daemon, request_bytes, expected)


@table(
    ("empty, without more", alive2("", 1), CLOSED),
    ("empty, with extra", alive2("", 1, extra=b"E"), ACCEPTED_X),
    ("255 characters", alive2("a" * 255, 1), ACCEPTED_X),
    ("256 characters", alive2("a" * 256, 1), REFUSED_X),
    ("255 characters of 2 bytes", alive2("é" * 255, 1), ACCEPTED_X),
    ("256 characters of 2 bytes", alive2("é" * 256, 1), REFUSED_X),
    ("255 characters in 1020 bytes", alive2("\U0001f600" * 255, 1), ACCEPTED_X),
    ("1020 characters", alive2("a" * 1020, 1), REFUSED_X),
    ("1021 bytes", alive2("a" * 1021, 1), REFUSED_X),
    ("1021 bytes, old reply", alive2("a" * 1021, 1, highest=5), REFUSED),
    ("NUL inside", alive2("a\0b", 1), CLOSED),
    ("NUL at the end", alive2("ab\0", 1), CLOSED),
    ("NUL and not UTF-8", alive2(b"\xff\0", 1), CLOSED),
    ("spaces", alive2("a b", 1), ACCEPTED_X),
    ("line feed", alive2("a\nb", 1), ACCEPTED_X),
    ("control character", alive2("\x01", 1), ACCEPTED_X),
    ("with a host part", alive2("a@b", 1), ACCEPTED_X),
    ("last code point", alive2("\U0010ffff", 1), ACCEPTED_X),
    ("not a character", alive2("\uffff", 1), ACCEPTED_X),
    ("not UTF-8", alive2(b"\xff", 1), REFUSED_X),
    ("not UTF-8, old reply", alive2(b"\xff", 1, highest=5), REFUSED),
    ("Latin-1", alive2(b"b\xe4r", 1), REFUSED_X),
    ("cut character", alive2(b"a\xc3", 1), REFUSED_X),
    ("lone continuation", alive2(b"\x80", 1), REFUSED_X),
    ("overlong in 2 bytes", alive2(b"\xc1\x81", 1), REFUSED_X),
    ("overlong in 3 bytes", alive2(b"\xe0\x9f\xbf", 1), REFUSED_X),
    ("overlong in 4 bytes", alive2(b"\xf0\x8f\xbf\xbf", 1), REFUSED_X),
    ("surrogate", alive2(b"\xed\xa0\x80", 1), REFUSED_X),
    ("past the last code point", alive2(b"\xf4\x90\x80\x80", 1), REFUSED_X),
    ("5 bytes", alive2(b"\xf8\x88\x80\x80\x80", 1), REFUSED_X),
    ("extra of 1020", alive2("a", 1, extra=b"E" * 1020), ACCEPTED_X),
    ("extra of 1021", alive2("a", 1, extra=b"E" * 1021), REFUSED_X),
    ("extra of any bytes", alive2("a", 1, extra=b"\0\xff\0"), ACCEPTED_X),
)
def test_name_and_extra(daemon, request_bytes, expected):
    check(daemon, request_bytes, expected)


@pytest.mark.parametrize("size", range(1, 21))
def test_a_short_alive2_is_closed(daemon, size):
    check(daemon, padded(size), ACCEPTED_X if size >= len(NAMED) else CLOSED)


@table(
    ("name past the end", framed(HEAD + b"\x00\x05abcd"), CLOSED),
    ("name up to the end", framed(HEAD + b"\x00\x04abcd"), CLOSED),
    ("name up to the last byte", framed(HEAD + b"\x00\x04abcd\x00"), CLOSED),
    ("name of 65535", framed(HEAD + b"\xff\xffabcd\x00\x00"), CLOSED),
    ("extra past the end", framed(HEAD + b"\x00\x01a\x00\x01"), CLOSED),
    ("extra of 65535", framed(HEAD + b"\x00\x01a\xff\xff"), CLOSED),
    ("extra up to the end", framed(HEAD + b"\x00\x01a\x00\x01E"), ACCEPTED_X),
    ("bytes after the extra", framed(NAMED + b"more"), ACCEPTED_X),
    ("the longest request", padded(LONGEST), ACCEPTED_X),
    ("longer than the longest", padded(LONGEST + 1), CLOSED),
)
def test_lengths_inside(daemon, request_bytes, expected):
    check(daemon, request_bytes, expected)


# The registration


@pytest.mark.parametrize("highest, refused", [(6, REFUSED_X), (5, REFUSED)])
def test_a_name_that_is_taken_is_refused_and_the_connection_stays(daemon, highest, refused):
    with daemon.register("a", 1), dial(daemon) as second:
        second.sendall(alive2("a", 2, highest=highest))
        assert read_alive2_reply(second) == refused
        assert is_open(daemon, second)
        assert daemon.names() == [("a", 1)]


def test_the_end_of_a_refused_connection_leaves_the_name_alone(daemon):
    with daemon.register("a", 1):
        with daemon.register("a", 2) as refused:
            refused.connection.shutdown(1)
            assert is_ended(refused.connection)
        assert daemon.names() == [("a", 1)]


def test_a_refused_connection_cannot_try_again(daemon):
    with daemon.register("a", 1), daemon.register("a", 2) as refused:
        refused.connection.sendall(alive2("b", 3))
        assert is_ended(refused.connection)
        assert listed(daemon) == ["a"]


def test_the_end_of_the_connection_releases_the_name(daemon):
    release(daemon, daemon.register("a", 1), "a")
    with daemon.register("a", 2) as again:
        assert not again.refused
        assert daemon.names() == [("a", 2)]


def test_a_half_closed_connection_releases_the_name(daemon):
    with daemon.register("a", 1) as node:
        node.connection.shutdown(1)
        assert is_ended(node.connection)
        assert listed(daemon) == []


@pytest.mark.parametrize("surplus", [b"X", b"\0", wire.names(), alive2("b", 2), wire.stop("a")],
                         ids=["byte", "zero", "NAMES", "second ALIVE2", "STOP"])
def test_any_byte_on_a_registration_releases_the_name(relaxed_daemon, surplus):
    with relaxed_daemon.register("a", 1) as node:
        node.connection.sendall(surplus)
        assert is_ended(node.connection)
        assert listed(relaxed_daemon) == []


@pytest.mark.parametrize("size, ends", [(1, True), (3059, True), (3060, True), (3061, False)])
def test_what_is_sent_on_a_registration_is_read_before_it_ends(daemon, size, ends):
    """Who closes on unread bytes sends a reset."""
    with daemon.register("a", 1) as node:
        node.connection.sendall(bytes(size))
        if ends:
            assert node.connection.recv(1) == b""
        else:
            pytest.raises(ConnectionResetError, node.connection.recv, 1)


def test_a_request_right_behind_an_alive2_voids_it(daemon):
    check(daemon, alive2("a", 1) + wire.names(), CLOSED)


def test_an_alive2_that_is_half_closed_is_answered_and_released(daemon):
    with dial(daemon) as connection:
        connection.sendall(alive2("a", 1))
        connection.shutdown(1)
        check_reply(read_alive2_reply(connection), ACCEPTED_X)
        assert is_ended(connection)
    assert listed(daemon) == []


def test_an_alive2_may_come_byte_by_byte(daemon):
    request = alive2("slow", 1)
    with dial(daemon) as connection:
        send_pieces(daemon, connection, [request[i:i + 1] for i in range(len(request))])
        check_reply(read_alive2_reply(connection), ACCEPTED_X)
        assert listed(daemon) == ["slow"]


# The creation


def test_the_creation_of_a_new_name_is_about_the_time(daemon):
    with daemon.register("a", 1) as node:
        assert abs(node.creation - time.time()) <= 3


def test_the_creation_grows_by_one_with_each_registration(daemon):
    creations = []
    for _ in range(4):
        node = daemon.register("a", 1)
        creations.append(node.creation - (creations[0] if creations else 0))
        release(daemon, node, "a")
    assert creations[1:] == [1, 2, 3]


def test_old_nodes_get_the_creation_in_the_range_1_to_3(daemon):
    old = []
    for _ in range(5):
        node = daemon.register("a", 1, highest=5)
        old.append(node.creation)
        release(daemon, node, "a")
    with daemon.register("a", 1, highest=6) as node:
        assert old == [(node.creation - back) % 3 + 1 for back in range(5, 0, -1)]


def test_a_refused_name_does_not_advance_the_creation(daemon):
    node = daemon.register("a", 1)
    with daemon.register("a", 2) as refused:
        assert refused.creation == 99
    release(daemon, node, "a")
    with daemon.register("a", 1) as again:
        assert again.creation == node.creation + 1


@pytest.mark.parametrize("args, remembered", [([], 1001), (["-d"], 6)], ids=["usual", "debug"])
def test_so_many_released_names_are_remembered(epmd, binary, args, remembered):
    daemon = epmd(binary, args=args)
    names = [f"n{i}" for i in range(remembered + 3)]
    for name in names:
        release(daemon, daemon.register(name, 1), name)
    old = [name for name, _, _ in wire.parse_dump(daemon.request(wire.dump())).old]
    assert old == names[3:]


def test_hundreds_of_registrations_live_side_by_side(daemon):
    """Not more, because stock stops near 1,017."""
    names = [f"n{i}" for i in range(900)]
    nodes = [daemon.register(name, 1) for name in names]
    assert listed(daemon) == names[::-1]
    for node in nodes:
        node.close()
    until_released(daemon, *names)
