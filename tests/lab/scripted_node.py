"""Nodes that are none: what a script has them say, in a distribution handshake and after it."""

import hashlib
import socket
import struct
import threading
import time

from .terms import Atom, decode, encode

PUBLISHED = 0x1
OTP_25 = 0xd07df7fbd  # the flags that nodes of these releases show
OTP_29 = 0x6d07df7fbd
TLS_ALERT = bytes.fromhex("1503030002022f")


def frame(body):
    return struct.pack(">H", len(body)) + body


def challenge(name, flags=OTP_25, creation=77):
    name = name.encode()
    return frame(struct.pack(">cQIIH", b"N", flags, 1234, creation, len(name)) + name)


class Listening:
    """Listens on an address of a pod and talks with each connection in a thread of its own."""

    def __init__(self, pod, address):
        self._listener = pod.listen(address)
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(5)

    def _serve(self):
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._talk, args=(connection,), daemon=True).start()


class ScriptedNode(Listening):
    """Answers each connection's name with `answer` (bytes), then waits for its end; b"" hangs up at once,
    None says nothing. `heard` are the names that have come."""

    def __init__(self, pod, answer):
        self.answer, self.heard = answer, []
        super().__init__(pod, pod.ip)

    def _talk(self, connection):
        with connection:
            connection.settimeout(20)
            try:
                head = connection.recv(2, socket.MSG_WAITALL)
                body = connection.recv(struct.unpack(">H", head)[0], socket.MSG_WAITALL)
                self.heard.append(body[15:].decode())
                if self.answer == b"":
                    return
                if self.answer:
                    connection.sendall(self.answer)
                while connection.recv(100):
                    pass
            except (OSError, struct.error):
                return


class LocalNode(Listening):
    """A node that lets itself be linked to: the whole handshake, and calls answered by a script.

    `answers` maps "module:function" to a term, a function of the arguments, or None for silence; `sends` is
    what it says by itself once linked; one that is `deaf` then sends ticks for ever and reads nothing; one may
    hang up once, so many seconds after our digest, or before it has read it. `calls` are all that came, `ticks` the empty messages."""

    def __init__(self, pod, name, cookie="lab", answers=None, flags=OTP_25, sends=(), ack=True,
                 deaf=False, hang_up_after=None, hang_up_unread=False):
        self.pod, self.name, self.cookie, self.flags = pod, name, cookie, flags
        self.sends, self.ack, self.deaf, self.hang_up_after = list(sends), ack, deaf, hang_up_after
        self.hang_up_unread = hang_up_unread
        self.flooded = 0
        self.answers = {"erlang:system_info": self._system_info, "application:get_env": Atom("undefined"),
                        "init:get_status": (Atom("started"), Atom("started")), **(answers or {})}
        self.connections = {}  # what dist_ctrl shows: {full name: anything}
        self.calls, self.ticks, self.links, self.refused = [], 0, 0, 0
        self._open = []
        super().__init__(pod, "127.0.0.1")

    def __exit__(self, *exception):
        super().__exit__(*exception)
        self.hang_up()

    def hang_up(self):
        """Close every link."""
        for connection in self._open:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        self._open = []

    def called(self, function):
        return [arguments for name, arguments in self.calls if name == function]

    def _system_info(self, what):
        if what == "otp_release":
            return "25"
        return [(Atom(name), connection) for name, connection in self.connections.items()]

    def _talk(self, connection):
        with connection:
            try:
                if self._shake_hands(connection):
                    self._answer(connection)
            except (OSError, struct.error, EOFError):
                return

    def _digest(self, number):
        return hashlib.md5(self.cookie.encode() + str(number).encode()).digest()

    def _shake_hands(self, connection):
        read_exactly(connection, struct.unpack(">H", read_exactly(connection, 2))[0])
        connection.sendall(frame(b"sok") + challenge(self.name, self.flags))
        if self.hang_up_unread and connection.recv(1, socket.MSG_PEEK):
            self.hang_up_unread = False
            return False
        reply = read_exactly(connection, struct.unpack(">H", read_exactly(connection, 2))[0])
        if reply[5:] != self._digest(1234):
            self.refused += 1
            return False
        if self.hang_up_after:
            time.sleep(self.hang_up_after)
            self.hang_up_after = None
            return False
        number = struct.unpack(">I", reply[1:5])[0]
        connection.sendall(frame(b"a" + self._digest(number if self.ack else number + 1)))
        self.links += 1
        self._open.append(connection)
        for message in self.sends:
            connection.sendall(message)
        return True

    def _answer(self, connection):
        while self.deaf:
            connection.sendall(TICK * 4096)
            self.flooded += 4 * 4096
        while True:
            size = struct.unpack(">I", read_exactly(connection, 4))[0]
            if size == 0:
                self.ticks += 1
                continue
            body = read_exactly(connection, size)
            control, at = decode(body, 2)
            pid, (_, module, function, arguments, _) = decode(body, at + 1)[0]
            name = f"{module}:{function}"
            self.calls.append((name, arguments))
            answer = self.answers.get(name)
            if callable(answer):
                answer = answer(*arguments)
            if answer is not None:
                connection.sendall(message((2, Atom(""), pid), (Atom("rex"), answer)))


TICK = bytes(4)


def message(control, content):
    body = b"\x70\x83" + encode(control) + b"\x83" + encode(content)
    return struct.pack(">I", len(body)) + body


def read_exactly(connection, size):
    data = connection.recv(size, socket.MSG_WAITALL)
    if len(data) != size:
        raise EOFError
    return data
