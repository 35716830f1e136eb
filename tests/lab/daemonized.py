"""What `epmd -daemon` leaves running, as erl starts it."""

import contextlib
import os
import signal
import socket
import subprocess

from . import wire
from .epmd import free_port, read_all
from .namespace import clean_env, living
from .wait import until

KEEPER = "erl-keeper"


def everybody():
    return living(map(int, filter(str.isdigit, os.listdir("/proc"))))


def session_of(pid):
    with contextlib.suppress(ProcessLookupError):
        return os.getsid(pid)


def comm(pid):
    with contextlib.suppress(OSError), open(f"/proc/{pid}/comm") as file:
        return file.read().strip()


class Daemonized:
    """`processes` are those that serve, found by the port in their command line; `session` is
    all that there is, so our keeper too."""

    def __init__(self, binary, *args, env=None, inherit=(), cwd=None, redirect=""):
        self.binary, self.port, self.sids = binary, free_port(), set()
        env = {"ERL_EPMD_ADDRESS": "127.0.0.1", **(env or {})}
        command = [binary, "-port", str(self.port), "-daemon", *args]
        if redirect:
            command = ["sh", "-c", f'exec "$@" {redirect}', "sh", *command]
        # Output is read to its end, so this returns only if nothing behind holds it open.
        self.done = subprocess.run(command, env=clean_env(env), capture_output=True, text=True,
                                   stdin=subprocess.DEVNULL, timeout=5, pass_fds=inherit, cwd=cwd)

    def processes(self):
        return [pid for pid in everybody() if self.is_ours(pid)]

    def is_ours(self, pid):
        with contextlib.suppress(OSError), open(f"/proc/{pid}/cmdline", "rb") as file:
            words = file.read().decode(errors="replace").split("\0")
            return words[0] == self.binary and str(self.port) in words
        return False

    def session(self):
        """The daemon and its keeper; once it is known, also when one of them is gone."""
        if not self.sids:
            self.sids = {session_of(pid) for pid in self.processes()} - {os.getsid(0), None}
        return [pid for pid in everybody() if session_of(pid) in self.sids]

    def server(self):
        """The one process that serves, or None between two."""
        pids = self.processes()
        return pids[0] if len(pids) == 1 else None

    def keeper(self):
        return next((pid for pid in self.session() if comm(pid) == KEEPER), None)

    def connect(self):
        return socket.create_connection(("127.0.0.1", self.port), 5)

    def request(self, data=wire.names()):
        with self.connect() as connection:
            connection.sendall(data)
            return read_all(connection)

    def answers(self):
        try:
            return self.request() == self.port.to_bytes(4, "big")
        except ConnectionRefusedError:
            return False

    def wait_up(self):
        until(self.answers, 5, f"port {self.port} to answer")
        self.session()

    def end(self):
        for number in (signal.SIGTERM, signal.SIGKILL):
            for pid in {*self.session(), *self.processes()}:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)
            with contextlib.suppress(TimeoutError):
                return until(lambda: not self.session(), 3, "the daemon to end")
