"""Many connections to an epmd at once, from a process of its own with descriptors of its own.

    python3 -m lab.throng ADDRESS PORT COUNT KIND [FIRST]

`idle` says nothing, `half` sends the beginning of the longest request, `loris` sends a request a byte a
second, `names` asks for all names and never reads, `register` registers nodes of long names, by number from
FIRST on. It says
"ready" when all are connected (and registered), and waits for a line; then it says how many
of the connections are still open, and waits for the next. `late` says nothing until that line comes: then all
ask, and it says how many were answered. It ends with its input.
"""

import contextlib
import os
import resource
import select
import socket
import struct
import subprocess
import sys

from . import wire
from .epmd import read_exactly
from .namespace import clean_env

TESTS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
LONGEST = 3057
START_TIMEOUT = 120


def node_name(number):
    return f"node{number:05}" + "x" * 120


def begin(connection, kind, number):
    if kind == "half":
        connection.sendall(struct.pack(">H", LONGEST) + b"z" * 100)
    elif kind == "names":
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.sendall(wire.names())
    elif kind == "register":
        connection.sendall(wire.alive2(node_name(number), number))
        if read_exactly(connection, 6)[1]:
            raise RuntimeError(f"{number} is refused")


def dial(address, port, kind, number):
    connection = socket.create_connection((address, port), 30)
    try:
        begin(connection, kind, number)
    except ConnectionError:
        pass  # made way already
    return connection


def is_open(connection):
    """Nothing that was sent is taken away, or the end could not be seen."""
    poller = select.poll()
    poller.register(connection, select.POLLRDHUP)
    return not poller.poll(0)


def send_slowly(throng):
    request = struct.pack(">H", LONGEST) + b"z"
    sent = 0
    while not select.select([sys.stdin], [], [], 1)[0]:
        for connection in throng:
            with contextlib.suppress(OSError):
                connection.send(request[sent:sent + 1] or b"a")
        sent += 1


def answered(throng):
    """Ask by all of them, and only then read."""
    for connection in throng:
        with contextlib.suppress(ConnectionError):
            connection.sendall(wire.port2("nobody"))
    return sum(map(has_answer, throng))


def has_answer(connection):
    with contextlib.suppress(ConnectionError):
        return bool(connection.recv(64))
    return False


def main(address, port, count, kind, first=0):
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    throng = [dial(address, int(port), kind, number) for number in range(int(first), int(first) + int(count))]
    print("ready", flush=True)
    if kind == "loris":
        send_slowly(throng)
    for _ in sys.stdin:
        print(answered(throng) if kind == "late" else sum(map(is_open, throng)), flush=True)


class Throng:
    """Such a process; it is there when the constructor returns."""

    def __init__(self, daemon, count, kind, pod=None, address=None, first=0):
        command = [sys.executable, "-m", "lab.throng", address or daemon.address, daemon.port, count, kind, first]
        start = pod.popen if pod else subprocess.Popen
        env = {"PYTHONPATH": TESTS}
        self.process = start(list(map(str, command)), env=env if pod else clean_env(env), text=True,
                             stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        if self.process.stdout.readline() != "ready\n":
            self.close()
            raise RuntimeError(f"the throng could not come: {command}")

    def answered(self):
        """Of those who are `late`."""
        return self.still_open()

    def still_open(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())

    def close(self):
        self.process.kill()
        self.process.communicate()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
