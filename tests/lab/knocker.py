"""Asks a daemon one thing after another, from a process of its own, which nothing else holds up.

`python3 -m lab.knocker PORT` does so until its standard input ends, and prints how many answers
came, and how many milliseconds one took at most.
"""

import contextlib
import pathlib
import select
import socket
import subprocess
import sys
import time

from . import wire
from .namespace import clean_env

PATIENCE = 60


class Knocker(contextlib.AbstractContextManager):
    """After the block `answers` and `longest` (ms) are known."""

    def __init__(self, port):
        here = pathlib.Path(__file__).resolve().parents[1]
        self._process = subprocess.Popen([sys.executable, "-m", "lab.knocker", str(port)], stdin=subprocess.PIPE,
                                         stdout=subprocess.PIPE, text=True, cwd=here,
                                         env=clean_env({"PYTHONDONTWRITEBYTECODE": "1"}))
        self._process.stdout.readline()
        self.answers, self.longest = 0, 0.0

    def __exit__(self, *exception):
        said, _ = self._process.communicate(timeout=PATIENCE)
        if not any(exception):
            answers, longest = said.split()
            self.answers, self.longest = int(answers), float(longest)


def main():
    port = int(sys.argv[1])
    answers, longest = 0, 0.0
    print("knocking", flush=True)
    while not select.select([sys.stdin], [], [], 0.0005)[0]:
        begun = time.monotonic()
        with socket.create_connection(("127.0.0.1", port), PATIENCE) as connection:
            connection.sendall(wire.port2("nobody"))
            while connection.recv(512):
                pass
        longest = max(longest, time.monotonic() - begun)
        answers += 1
    print(answers, longest * 1000)


if __name__ == "__main__":
    main()
