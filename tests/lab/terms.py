"""The external terms that the tests' own nodes read and write."""

import struct


class Atom(str):
    """An atom; a plain str is a list of characters."""


class Raw(bytes):
    """A term as it came, or as it is to go."""


def encode(term):
    if isinstance(term, Raw):
        return bytes(term)
    if isinstance(term, Atom):
        text = term.encode()
        return struct.pack(">BB", 119, len(text)) + text
    if isinstance(term, str):
        return struct.pack(">BH", 107, len(term)) + term.encode("latin-1")
    if isinstance(term, int):
        return struct.pack(">Bi", 98, term)
    if isinstance(term, tuple):
        return struct.pack(">BB", 104, len(term)) + b"".join(map(encode, term))
    if not term:
        return b"\x6a"
    return struct.pack(">BI", 108, len(term)) + b"".join(map(encode, term)) + b"\x6a"


def decode(data, at=0):
    """(term, where the next one begins); pids stay raw."""
    tag = data[at]
    if tag == 97:
        return data[at + 1], at + 2
    if tag == 98:
        return struct.unpack_from(">i", data, at + 1)[0], at + 5
    if tag == 106:
        return [], at + 1
    if tag == 119:
        end = at + 2 + data[at + 1]
        return Atom(data[at + 2:end].decode()), end
    if tag == 88:
        _, end = decode(data, at + 1)
        return Raw(data[at:end + 12]), end + 12
    if tag in (104, 108):
        size, at = (data[at + 1], at + 2) if tag == 104 else (struct.unpack_from(">I", data, at + 1)[0], at + 5)
        items = []
        for _ in range(size):
            item, at = decode(data, at)
            items.append(item)
        if tag == 104:
            return tuple(items), at
        _, at = decode(data, at)
        return items, at
    raise ValueError(f"no term is expected with tag {tag} at {at}")
