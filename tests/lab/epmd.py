"""An epmd in the foreground, ours or the stock one, on a port of its own."""

import contextlib
import re
import signal
import socket
import subprocess
import threading
import time

from . import wire
from .namespace import clean_env
from .wait import patient, until

START_TIMEOUT = 10
PORT_ATTEMPTS = 5


def free_port():
    """A TCP port that nobody listens on, at this moment, on either loopback address."""
    while True:
        with socket.socket() as four:
            four.bind(("127.0.0.1", 0))
            port = four.getsockname()[1]
            if not socket.has_ipv6 or port_is_free_on_ipv6(port):
                return port


def port_is_free_on_ipv6(port):
    with socket.socket(socket.AF_INET6) as six:
        try:
            six.bind(("::1", port))
        except OSError as error:
            return "Cannot assign" in str(error)  # a machine without ::1
        return True


class Epmd:
    """A running daemon; it answers when the constructor returns.

    On the machine itself it listens on loopback only; in a pod, as it likes.
    """

    def __init__(self, binary, pod=None, port=None, env=None, args=()):
        self.binary, self.pod, self.args = str(binary), pod, list(args)
        self.address = "127.0.0.1"
        self.extra_env = dict(env or {})
        if pod is None:
            self.extra_env.setdefault("ERL_EPMD_ADDRESS", "127.0.0.1")
        self._start_on(port)

    def _start_on(self, port):
        if port is not None:
            return self._start(port)
        for attempt in range(PORT_ATTEMPTS):
            try:
                return self._start(self._free_port())
            except PortTaken:
                if attempt == PORT_ATTEMPTS - 1:
                    raise

    def _free_port(self):
        return self.pod.inside(free_port) if self.pod else free_port()

    def _start(self, port):
        self.port = port
        self._lines, self._changed = [], threading.Condition()
        self._log_ended = False
        self.process = self._popen([self.binary, "-port", str(port), *self.args],
                                   self.extra_env, stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self._reader = threading.Thread(target=self._read_log, args=(self.process.stdout,), daemon=True)
        self._reader.start()
        try:
            self._wait_ready()
        except BaseException:
            self.kill()
            raise

    def _popen(self, command, env, **kwargs):
        if self.pod:
            return self.pod.popen(command, env=env, **kwargs)
        return subprocess.Popen(command, env=clean_env(env), **kwargs)

    def _wait_ready(self):
        until(self._answers, START_TIMEOUT, f"{self.binary} to answer on port {self.port}", every=0.002)

    def _answers(self):
        if self.process.poll() is not None:
            kind = PortTaken if self.process.returncode == 0 else RuntimeError
            raise kind(f"{self.binary} ended with status {self.process.returncode}: {self.log_lines()}")
        try:
            return bool(self.request(wire.names(), timeout=1))
        except OSError:
            return False

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.stop()

    def connect(self, timeout=5):
        if self.pod:
            return self.pod.connect(self.address, self.port, patient(timeout))
        return socket.create_connection((self.address, self.port), patient(timeout))

    def request(self, data, timeout=5):
        """Send bytes and read until the daemon closes; a reset counts as a close."""
        with self.connect(timeout) as connection:
            connection.sendall(data)
            return read_all(connection)

    def names(self):
        """The (name, port) pairs that NAMES gives."""
        return wire.parse_names(self.request(wire.names())).nodes

    def lookup(self, name):
        """What PORT2 says of a name, or None."""
        return wire.parse_port2(self.request(wire.port2(name)))

    def register(self, name, port, timeout=5, **fields):
        """Register a node; the socket returned is the registration, its `alive2` the reply."""
        connection = self.connect(timeout)
        connection.sendall(wire.alive2(name, port, **fields))
        head = connection.recv(1)
        reply = head + read_exactly(connection, wire.alive2_reply_size(head) - 1)
        return Registration(connection, wire.parse_alive2(reply))

    def cli(self, *args, env=None, timeout=10):
        """Run the same binary as a client of this daemon (`cli("-names")`)."""
        command = [self.binary, "-port", str(self.port), *map(str, args)]
        env = {"ERL_EPMD_PORT": self.port, **(env or {})}
        if self.pod:
            return self.pod.run(command, env=env, timeout=patient(timeout))
        try:
            return subprocess.run(command, env=clean_env(env), timeout=patient(timeout),
                                  capture_output=True, text=True, stdin=subprocess.DEVNULL)
        except subprocess.TimeoutExpired as error:
            error.add_note("what the daemon has said:\n" + "\n".join(self.log_lines()))
            raise

    def _read_log(self, pipe):
        for line in pipe:
            with self._changed:
                self._lines.append(line.decode("utf-8", "replace").rstrip("\n"))
                self._changed.notify_all()
        with self._changed:
            self._log_ended = True
            self._changed.notify_all()
        pipe.close()

    def log_lines(self):
        with self._changed:
            return list(self._lines)

    def wait_log(self, regex, timeout=5, since=0):
        """The match of the first line, from number `since` on, that regex is found in."""
        pattern, looked_at, timeout = re.compile(regex), since, patient(timeout)
        deadline = time.monotonic() + timeout
        with self._changed:
            while True:
                for line in self._lines[looked_at:]:
                    match = pattern.search(line)
                    if match:
                        return match
                looked_at = max(looked_at, len(self._lines))
                left = deadline - time.monotonic()
                if self._log_ended or left <= 0:
                    why = "the log ended" if self._log_ended else f"waited {timeout:g} s"
                    raise TimeoutError(f"{why}: no line like {regex!r} in\n" + "\n".join(self._lines[since:]))
                self._changed.wait(left)

    def wait_exit(self, timeout=5):
        """The exit status, once the process is gone and its log read."""
        status = self.process.wait(patient(timeout))
        self._reader.join(patient(timeout))
        return status

    def stop(self, number=signal.SIGTERM, timeout=5):
        """End the daemon and return its exit status (negative: the signal it died of)."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            return self.wait_exit(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            raise

    def kill(self):
        self.process.kill()
        return self.wait_exit()

    def restart(self):
        """Start again on the same port, with the same settings and an empty log."""
        self.stop()
        self._start(self.port)


class PortTaken(RuntimeError):
    """epmd ends with status 0 and without a word when its port is in use."""


class Registration(contextlib.AbstractContextManager):
    """A registered name: it lasts as long as its connection."""

    def __init__(self, connection, alive2):
        self.connection, self.alive2 = connection, alive2

    @property
    def creation(self):
        return self.alive2.creation

    @property
    def refused(self):
        return self.alive2.result != 0

    def close(self):
        self.connection.close()

    def __exit__(self, *exception):
        self.close()


def read_all(connection):
    received = b""
    while True:
        try:
            piece = connection.recv(65536)
        except ConnectionResetError:
            return received
        if not piece:
            return received
        received += piece


def read_exactly(connection, size):
    received = b""
    while len(received) < size:
        piece = connection.recv(size - len(received))
        if not piece:
            raise ConnectionError(f"closed after {received!r}")
        received += piece
    return received
