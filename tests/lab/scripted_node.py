"""What listens where a peer's node should: the first half of a distribution handshake, as a script says it."""

import socket
import struct
import threading

PUBLISHED = 0x1
OTP_25 = 0xd07df7fbd  # the flags that nodes of these releases show
OTP_29 = 0x6d07df7fbd
TLS_ALERT = bytes.fromhex("1503030002022f")


def frame(body):
    return struct.pack(">H", len(body)) + body


def challenge(name, flags=OTP_25, creation=77):
    name = name.encode()
    return frame(struct.pack(">cQIIH", b"N", flags, 1234, creation, len(name)) + name)


class ScriptedNode:
    """Answers each connection's name with `answer` (bytes), then waits for its end; b"" hangs up at once,
    None says nothing. `heard` are the names that have come."""

    def __init__(self, pod, answer):
        self.answer, self.heard = answer, []
        self._listener = pod.listen(pod.ip)
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
