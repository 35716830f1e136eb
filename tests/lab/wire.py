"""The EPMD wire protocol: builders of requests, parsers of replies.

Builders take odd values as they come, because tests of a server need wrong requests too.
"""

import re
import struct
from collections import namedtuple

ALIVE2_REQ, PORT2_REQ, NAMES_REQ, DUMP_REQ, KILL_REQ, STOP_REQ = b"x", b"z", b"n", b"d", b"k", b"s"
ALIVE2_RESP, ALIVE2_X_RESP, PORT2_RESP = b"y", b"v", b"w"
VISIBLE, HIDDEN = 77, 72

Alive2Reply = namedtuple("Alive2Reply", "result creation")
Port2Reply = namedtuple("Port2Reply", "port type protocol highest lowest name extra")
NamesReply = namedtuple("NamesReply", "port nodes text")
DumpReply = namedtuple("DumpReply", "port active old text")


def as_bytes(text):
    return text if isinstance(text, bytes) else text.encode()


def framed(body):
    """A request as it goes over the wire: two bytes of length, then the body."""
    return struct.pack(">H", len(body)) + body


def alive2(name, port, type=VISIBLE, protocol=0, highest=6, lowest=5, extra=b""):
    name, extra = as_bytes(name), as_bytes(extra)
    head = struct.pack(">HBBHHH", port, type, protocol, highest, lowest, len(name))
    return framed(ALIVE2_REQ + head + name + struct.pack(">H", len(extra)) + extra)


def port2(name):
    return framed(PORT2_REQ + as_bytes(name))


def names():
    return framed(NAMES_REQ)


def dump():
    return framed(DUMP_REQ)


def kill():
    return framed(KILL_REQ)


def stop(name):
    return framed(STOP_REQ + as_bytes(name))


def alive2_reply_size(first_byte):
    """Replies to ALIVE2 carry no length: the code tells it, 32 or 16 bits of creation."""
    return 6 if first_byte == ALIVE2_X_RESP else 4


def parse_alive2(reply):
    code, result = reply[:1], reply[1]
    if code not in (ALIVE2_RESP, ALIVE2_X_RESP) or len(reply) != alive2_reply_size(code):
        raise ValueError(f"not an ALIVE2 reply: {reply!r}")
    return Alive2Reply(result, int.from_bytes(reply[2:], "big"))


def parse_port2(reply):
    """The node that PORT2 tells of, or None when there is none of that name."""
    if reply[:1] != PORT2_RESP or len(reply) < 2:
        raise ValueError(f"not a PORT2 reply: {reply!r}")
    if reply[1] != 0:
        return None
    port, type, protocol, highest, lowest, size = struct.unpack(">HBBHHH", reply[2:12])
    name, rest = reply[12:12 + size], reply[12 + size:]
    extra = rest[2:]
    if len(name) != size or len(extra) != int.from_bytes(rest[:2], "big"):
        raise ValueError(f"PORT2 reply of a wrong length: {reply!r}")
    return Port2Reply(port, type, protocol, highest, lowest, name.decode(), extra)


def parse_names(reply):
    if len(reply) < 4:
        raise ValueError(f"not a NAMES reply: {reply!r}")
    text = reply[4:].decode()
    nodes = re.findall(r"^name (.*) at port (\d+)$", text, re.M)
    return NamesReply(int.from_bytes(reply[:4], "big"), [(n, int(p)) for n, p in nodes], text)


def parse_dump(reply):
    if len(reply) < 4:
        raise ValueError(f"not a DUMP reply: {reply!r}")
    text = reply[4:].decode()
    active = re.findall(r"active name\s+<(.*)> at port (\d+), fd = (-?\d+)", text)
    old = re.findall(r"old/unused name <(.*)>, port = (\d+), fd = (-?\d+)", text)
    numbers = lambda rows: [(name, int(port), int(fd)) for name, port, fd in rows]
    return DumpReply(int.from_bytes(reply[:4], "big"), numbers(active), numbers(old), text)
