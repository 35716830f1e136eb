"""A random client: what it sends epmd, and how it leaves, is all wrong now and then.  The same for the same seed,
until epmd has closed a connection a moment earlier or later.

It knows what must come of it: the names that it holds itself are registered, with their ports, and nobody else's
noise changes that.
"""

import random
import socket
import struct

from . import streams, wire
from .epmd import read_exactly
from .wait import until

CONNECTIONS = 60  # open at the same time
NODES = 20        # that it holds at the same time
CONTROLS = [b"peers", b"peers json", b"doctor", b"doctor json", b"join off", b"", b"peers\0", b"p" * 3000]
PAGES = [b"/livez", b"/readyz", b"/status", b"/metrics", b"/", b"/nothing", b"/" + b"x" * 5000]


def http(chance):
    """A request for the status page, or something like it."""
    method = chance.choice([b"GET", b"GET", b"HEAD", b"POST", b"get", b""])
    lines = [method + b" " + chance.choice(PAGES) + b" HTTP/1." + chance.choice([b"0", b"1", b"1", b"9"])]
    lines += [b"Host: epmd"] if chance.random() < 0.8 else []
    lines += [b"X: " + b"y" * chance.randint(0, 3000)] if chance.random() < 0.2 else []
    lines += [b"Content-Length: " + str(chance.choice([0, 5, 10 ** 6, -1])).encode()] if chance.random() < 0.2 else []
    return b"\r\n".join(lines) + b"\r\n\r\n" * chance.choice([1, 1, 1, 2, 0])


def words(chance):
    """What one connection to the EPMD port sends in all."""
    kind = chance.random()
    if kind < 0.1:
        return wire.framed(b"C" + chance.choice(CONTROLS))
    data = streams.stream(chance)
    while chance.random() < 0.2:
        data += streams.request(chance)
    return data


class Client:
    def __init__(self, daemon, status_port, seed):
        self.daemon, self.status_port = daemon, status_port
        self.chance = random.Random(seed)
        self.open = []   # [connection, what is still to be sent, whether it reads]
        self.held = {}   # name: (port, connection)
        self.count = 0

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        for connection, *_ in self.open:
            connection.close()
        for _, connection in self.held.values():
            connection.close()

    def step(self):
        doings = [(self.begin, 30), (self.go_on, 50), (self.leave, 12), (self.register, 4), (self.release, 3),
                  (self.look, 3)]
        self.chance.choices([doing for doing, _ in doings], [weight for _, weight in doings])[0]()

    def dial(self, port):
        connection = socket.create_connection((self.daemon.address, port), 10)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    def begin(self):
        if len(self.open) == CONNECTIONS:
            return self.leave()
        to_status = self.chance.random() < 0.15
        data = (http if to_status else words)(self.chance)
        connection = self.dial(self.status_port if to_status else self.daemon.port)
        connection.setblocking(False)
        self.open.append([connection, data, self.chance.random() < 0.8])

    def go_on(self):
        """One connection sends some more, and reads what there is, if it does."""
        if not self.open:
            return
        one = self.chance.choice(self.open)
        connection, data, reads = one
        size = self.chance.choice([1, 2, 3, 10, 100, 100000])
        try:
            one[1] = data[connection.send(data[:size]):] if data else data
            if reads:
                connection.recv(self.chance.choice([1, 65536]))
        except BlockingIOError:
            pass
        except (BrokenPipeError, ConnectionResetError):
            self.forget(one)

    def forget(self, one):
        one[0].close()
        self.open.remove(one)

    def leave(self):
        if not self.open:
            return
        one = self.chance.choice(self.open)
        connection, kind = one[0], self.chance.random()
        if kind < 0.2:
            try:
                connection.shutdown(socket.SHUT_WR)
            except OSError:
                self.forget(one)
            return
        if kind < 0.6:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.forget(one)

    def register(self):
        if len(self.held) == NODES:
            return self.release()
        self.count += 1
        name, port = f"held{self.count}", self.chance.randint(1, 65535)
        connection = self.dial(self.daemon.port)
        extra = self.chance.choice([b"", b"E", b"\0" * 200])
        connection.sendall(wire.alive2(name, port, extra=extra))
        head = read_exactly(connection, 1)
        reply = wire.parse_alive2(head + read_exactly(connection, wire.alive2_reply_size(head) - 1))
        assert reply.result == 0, f"{name} is refused"
        self.held[name] = port, connection

    def release(self):
        if not self.held:
            return
        name = self.chance.choice(sorted(self.held))
        self.held.pop(name)[1].close()
        until(lambda: self.daemon.lookup(name) is None, 10, f"{name} to be free", every=0.001)

    def look(self):
        """What is asked is true, whatever else goes on."""
        listed = dict(self.daemon.names())
        known = {name: port for name, port in listed.items() if name.startswith("held")}
        assert known == {name: port for name, (port, _) in self.held.items()}
        for name, (port, _) in self.held.items():
            assert self.daemon.lookup(name).port == port
