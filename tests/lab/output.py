"""Bytes to a client: in one go, in pieces, cut off or held back, as a fault says."""

import json
import select
import socket
import struct
import time

CHUNK_END = b"0\r\n\r\n"
STALL_CHECK = 0.2


def encode(thing):
    """JSON as an API server sends it: compact, UTF-8 as it is, a newline at the end."""
    return json.dumps(thing, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"


def as_chunk(data):
    return b"%x\r\n%s\r\n" % (len(data), data)


class Gone(Exception):
    """The connection is over, by the client's will or by ours."""


class Output:
    """What one response is written with."""

    def __init__(self, handler, fault):
        self._handler, self.fault = handler, fault
        self.connection = handler.connection

    def head(self, code, headers):
        fault = self.fault
        if fault.stall == "before":
            self.stall()
        self._handler.note_status(code)
        self._handler.send_response(code)
        if fault.warning:
            headers = {**headers, "Warning": f'299 - "{fault.warning}"'}
        for name, value in {**headers, **fault.headers}.items():
            self._handler.send_header(name, value)
        self._handler.end_headers()

    def body(self, code, data, content_type="application/json", headers=None):
        """A whole answer. One in pieces is chunked, so that the pieces can be seen."""
        fault = self.fault
        length = {"Transfer-Encoding": "chunked"} if fault.split else {"Content-Length": str(len(data))}
        self.head(code, {"Content-Type": content_type, "Cache-Control": "no-cache, private",
                         **length, **(headers or {})})
        if fault.stall or fault.reset or fault.cut:
            half = data[:len(data) // 2]
            self._send(as_chunk(half) if fault.split else half)
            self.misbehave()
        if fault.split:
            self.chunk(data)
            self._send(CHUNK_END)
        else:
            self._send(data)
        if fault.close:
            self._handler.close_connection = True

    def json(self, code, thing, headers=None):
        self.body(code, encode(thing), headers=headers)

    def chunk(self, data):
        """Data of a chunked answer, as one chunk, or as a chunk for each piece."""
        size = self.fault.split or len(data)
        for start in range(0, len(data), size):
            if start and self.fault.delay:
                time.sleep(self.fault.delay)
            self._send(as_chunk(data[start:start + size]))

    def end_chunks(self):
        self._send(CHUNK_END)

    def raw(self, data):
        self._send(data)
        self.hang_up()

    def misbehave(self):
        """The end that the fault asks for."""
        if self.fault.stall:
            self.stall()
        if self.fault.reset:
            self.reset()
        if self.fault.cut:
            self.hang_up()

    def _send(self, data):
        self.connection.sendall(data)

    def hang_up(self):
        """FIN, in the middle of whatever was being said."""
        self._handler.close_connection = True
        raise Gone

    def reset(self):
        """RST: closing without lingering, once the thread that serves is through."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.hang_up()

    def stall(self):
        """Say nothing, keep the connection, until the client or the whole server is gone."""
        while not self.peer_gone(STALL_CHECK):
            pass
        self.hang_up()

    def peer_gone(self, timeout=0):
        """Clients say nothing while they are being answered, so readable means closed."""
        return bool(select.select([self.connection], [], [], timeout)[0])
