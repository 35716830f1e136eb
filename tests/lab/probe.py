"""HTTP requests to epmd's status listener, from where it is."""

import json
import re
import socket
import typing

from .epmd import read_all


class Answer(typing.NamedTuple):
    status: int
    headers: dict
    body: str


def connect(address, port, pod=None, timeout=10):
    return pod.connect(address, port, timeout) if pod else socket.create_connection((address, port), timeout)


def exchange(connection, request):
    """Send a request and read to the end of the connection."""
    connection.sendall(request)
    return parse(read_all(connection))


def parse(received):
    head, _, body = received.partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines[1:])
    return Answer(int(lines[0].split()[1]), headers, body.decode())


def ask(port, path, method="GET", address="127.0.0.1", pod=None, more=""):
    with connect(address, port, pod) as connection:
        return exchange(connection, f"{method} {path} HTTP/1.1\r\nHost: epmd\r\n{more}\r\n".encode())


def metrics(port, pod=None):
    """{'epmd_requests_total{kind="port2"}': 1.0}"""
    answer = ask(port, "/metrics", pod=pod)
    assert answer.status == 200, answer
    rows = re.findall(r"^([a-z_]+(?:\{.*\})?) (\S+)$", answer.body, re.M)
    return {name: float(value) for name, value in rows}


def status(port, pod=None):
    return json.loads(ask(port, "/status", pod=pod).body)
