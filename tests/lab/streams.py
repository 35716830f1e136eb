"""Random requests and sequences of steps for epmd, the same for the same seed."""

import random
import struct

from . import wire

FEW_NAMES = [b"a", b"b", b"ab", "bär".encode(), b"a@10.0.0.7"]
EDGE_NAMES = [
    b"", b"x", b"x" * 254, b"x" * 255, b"x" * 256, b"x" * 1020, b"x" * 1021,
    "é".encode() * 254, "é".encode() * 255, "é".encode() * 256, "\U0001f600".encode() * 255,
    b"\xff", b"a\xc3", b"\x80", b"\xc1\x81", b"\xe0\x9f\xbf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80",
    b"\0", b"a\0b", b"a\0", b"a\0\0", b"\0a", b"a b", b"a\nb", b" at port 1", b"%s%n", b"fd = 7",
]
EDGE_EXTRAS = [b"E", b"\0", b"\0\xff\0", b"E" * 1020, b"E" * 1021, b"E" * 1400]
PORTS = [0, 1, 80, 4369, 32768, 65535]
TYPES = [77, 77, 72, 0, 110, 255]
VERSIONS = [5, 6, 6, 0, 4, 7, 255, 256, 65535]
LENGTHS = [0, 1, 2, 13, 255, 256, 3055, 3056, 3057, 3058, 3059, 3060, 32768, 65535]
LONGEST = 3057


def without_control(data):
    """The request code 'C' is ours alone."""
    return data.replace(b"C", b"D")


def some_bytes(chance, most):
    return chance.randbytes(chance.randint(0, most))


def name(chance):
    kind = chance.random()
    if kind < 0.7:
        return chance.choice(FEW_NAMES)
    if kind < 0.95:
        return chance.choice(EDGE_NAMES)
    return some_bytes(chance, 6)


def size_of(chance, data):
    """The length of data, or a lie."""
    if chance.random() < 0.95:
        return len(data)
    return chance.choice([0, 1, max(len(data) - 1, 0), len(data) + 1, len(data) + 2, 1020, 65535])


def alive2(chance):
    label = name(chance)
    extra = b"" if chance.random() < 0.9 else chance.choice(EDGE_EXTRAS)
    body = b"x" + struct.pack(">HBBHHH", chance.choice(PORTS), chance.choice(TYPES),
                              chance.choice([0, 0, 1, 255]), chance.choice(VERSIONS), chance.choice(VERSIONS),
                              size_of(chance, label)) + label
    body += struct.pack(">H", size_of(chance, extra)) + extra
    kind = chance.random()
    if kind < 0.03:
        body += some_bytes(chance, 4)
    elif kind < 0.06:
        body = body[:chance.randint(0, len(body))]
    return wire.framed(body)


def named(code):
    def request(chance):
        label = name(chance)
        if chance.random() < 0.1:
            label += chance.choice([b"\0", b"\0\0", b"\0more", b"\xc3"])
        return wire.framed(code + label)
    return request


def bare(code):
    def request(chance):
        return wire.framed(code + (b"" if chance.random() < 0.8 else some_bytes(chance, 20)))
    return request


def unknown(chance):
    return wire.framed(bytes([chance.randrange(256)]) + some_bytes(chance, 3))


def odd_length(chance):
    """A length that is at an edge, and about as many bytes."""
    length = chance.choice(LENGTHS)
    body = chance.choice([b"n", b"z", b"d", b"x", b"s"]) + b"q" * min(length, 5000)
    if chance.random() < 0.5:
        good = alive2(chance)[2:]
        body = (good + bytes(max(length - len(good), 0)))
    have = max(length + chance.choice([0, 0, 0, 1, 2, -1, -2, 100, -100]), 0)
    return struct.pack(">H", length) + body[:have]


def noise(chance):
    return some_bytes(chance, 40)


KINDS = [(alive2, 34), (named(wire.PORT2_REQ), 20), (bare(wire.NAMES_REQ), 8), (bare(wire.DUMP_REQ), 8),
         (named(wire.STOP_REQ), 8), (unknown, 4), (odd_length, 12), (noise, 4)]
BUILDERS, WEIGHTS = zip(*KINDS)
KILL = bare(wire.KILL_REQ)
KILLS = 0.002  # of all requests: whoever obeys must be started again


def request(chance):
    build = KILL if chance.random() < KILLS else chance.choices(BUILDERS, WEIGHTS)[0]
    return without_control(build(chance))


def stream(chance):
    """What one connection is sent: mostly one request, perhaps with something wrong about its end."""
    data, kind = request(chance), chance.random()
    if kind < 0.08:
        data += request(chance)
    elif kind < 0.14:
        data += without_control(some_bytes(chance, 3))
    elif kind < 0.24:
        data = data[:chance.randint(0, len(data))]
    return data


def pieces(chance, data):
    """The same in one to three parts."""
    places = sorted(chance.randint(0, len(data)) for _ in range(chance.choice([0, 0, 0, 1, 1, 2])))
    return [data[start:end] for start, end in zip([0, *places], [*places, len(data)]) if end > start]


def places_of(chance, places, numbers):
    """The connections that are not dialled from where all others are."""
    return [("open", number, chance.choice(places)) for number in range(numbers)] if len(places) > 1 else []


def one_connection(chance, places):
    """Perhaps a node; then a stream, in parts."""
    steps = places_of(chance, places, 1)
    if chance.random() < 0.5:
        steps.append(("send", 1, wire.alive2(chance.choice(FEW_NAMES), chance.choice(PORTS))))
    parts = pieces(chance, stream(chance)) or [b"\0"]
    steps += [("send", 0, part) for part in parts[:-1]]
    steps.append((chance.choice(["send", "send", "send", "end", "leave"]), 0, parts[-1]))
    if chance.random() < 0.1:
        steps.append(chance.choice([("end", 0), ("reset", 0), ("send", 0, b"X")]))
    return steps


def interleaved(chance, places):
    """Many steps on few connections, in any order."""
    steps, waiting = places_of(chance, places, 2), {}
    for _ in range(chance.randint(3, 8)):
        number, kind = chance.randrange(4), chance.random()
        if kind < 0.12:
            steps.append(chance.choice([("end", number), ("leave", number), ("reset", number)]))
            waiting.pop(number, None)
            continue
        parts = waiting.pop(number, None) or pieces(chance, stream(chance)) or [b"\0"]
        steps.append(("send", number, parts[0]))
        if parts[1:]:
            waiting[number] = parts[1:]
    return steps


def sequence(seed, number, places):
    chance = random.Random(f"{seed}/{number}")
    return (one_connection if chance.random() < 0.6 else interleaved)(chance, places)
