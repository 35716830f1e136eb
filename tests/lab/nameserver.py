"""A name server that says what a test wants: records with TTLs, failures, silence; by UDP and TCP."""

import ipaddress
import socket
import struct
import threading

A, CNAME, SOA, AAAA, SRV = 1, 5, 6, 28, 33
NO_ERROR, FORMAT_ERROR, SERVER_FAILURE, NO_SUCH_NAME, REFUSED = 0, 1, 2, 3, 5
TRUNCATED = 0x0200
UDP_SIZE = 1232


def wire_name(name):
    return b"".join(bytes([len(label)]) + label.encode() for label in name.rstrip(".").split(".") if label) + b"\0"


def read_question(message):
    """Name and type of the question, and where it ends."""
    labels, at = [], 12
    while message[at]:
        labels.append(message[at + 1:at + 1 + message[at]].decode())
        at += message[at] + 1
    return ".".join(labels).lower(), struct.unpack_from("!H", message, at + 1)[0], at + 5


def record(name, kind, ttl, data):
    return wire_name(name) + struct.pack("!HHIH", kind, 1, ttl, len(data)) + data


def address_record(name, address, ttl):
    address = ipaddress.ip_address(address)
    return record(name, A if address.version == 4 else AAAA, ttl, address.packed)


def resolv_conf(folder, server, search="default.svc.cluster.local svc.cluster.local cluster.local", ndots=5):
    """What the kubelet writes; its path."""
    path = folder / "resolv.conf"
    path.write_text(f"nameserver {server}\n" + (f"search {search}\n" if search else "") + f"options ndots:{ndots}\n")
    return path


class NameServer:
    """Listens on port 53 of the namespace `where`. All may be changed while it runs."""

    def __init__(self, where, address=None):
        self.ttl = 5
        self.addresses = {}  # name: [address]; an empty list is a name without any
        self.targets = {}  # name of SRV: [(target, port, [address])]
        self.additional = True  # whether the addresses of targets come along
        self.rcodes = {}  # name: another outcome; None: of all names
        self.silent = set()  # types that are not answered
        self.raw = None  # what is answered behind the header and question, whatever was asked
        self.asked = []  # (name, type, "udp" or "tcp")
        self._sockets = where.inside(self._open, address or where.ip)

    @staticmethod
    def _open(address):
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        tcp = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        for one in (udp, tcp):
            one.bind((address, 53))
        tcp.listen()
        return udp, tcp

    def __enter__(self):
        self._threads = [threading.Thread(target=serve) for serve in (self._serve_udp, self._serve_tcp)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exception):
        self.close()

    def close(self):
        udp, tcp = self._sockets
        for one in (udp, tcp):
            try:
                one.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass  # a socket of UDP is not connected, but wakes up
        for thread in self._threads:
            thread.join()
        for one in (udp, tcp):
            one.close()

    def _serve_udp(self):
        udp = self._sockets[0]
        while True:
            message, peer = udp.recvfrom(4096)
            if not message:
                return
            reply = self._answer(message, "udp")
            if reply and len(reply) > UDP_SIZE:
                _, _, end = read_question(message)
                reply = message[:2] + struct.pack("!HHHHH", 0x8400 | TRUNCATED, 1, 0, 0, 0) + message[12:end]
            if reply:
                udp.sendto(reply, peer)

    def _serve_tcp(self):
        while True:
            try:
                connection, _ = self._sockets[1].accept()
            except OSError:
                return
            with connection, connection.makefile("rb") as stream:
                while head := stream.read(2):
                    reply = self._answer(stream.read(struct.unpack("!H", head)[0]), "tcp")
                    if reply:
                        connection.sendall(struct.pack("!H", len(reply)) + reply)

    def _answer(self, message, way):
        name, kind, end = read_question(message)
        self.asked.append((name, kind, way))
        if kind in self.silent:
            return None
        rcode, answers, more = self._find(name, kind)
        body = b"".join(answers + more) if self.raw is None else self.raw
        counts = (1, len(answers) or (self.raw is not None), 0, len(more))
        return message[:2] + struct.pack("!HHHHH", 0x8400 | rcode, *counts) + message[12:end] + body

    def _find(self, name, kind):
        rcode = self.rcodes.get(name, self.rcodes.get(None))
        if rcode:
            return rcode, [], []
        if kind == SRV and name in self.targets:
            answers, more = [], []
            for target, port, addresses in self.targets[name]:
                answers.append(record(name, SRV, self.ttl, struct.pack("!HHH", 0, 50, port) + wire_name(target)))
                if self.additional:
                    more += [address_record(target, address, self.ttl) for address in addresses]
            return NO_ERROR, answers, more
        known = {**self.addresses, **{target: addresses for rows in self.targets.values()
                                      for target, _, addresses in rows}}
        if name not in known:
            return (NO_ERROR if name in self.targets else NO_SUCH_NAME), [], []
        fit = [a for a in known[name] if (A if ipaddress.ip_address(a).version == 4 else AAAA) == kind]
        return NO_ERROR, [address_record(name, address, self.ttl) for address in fit], []

    def questions(self, name, kind=A):
        return sum(asked[:2] == (name, kind) for asked in self.asked)
