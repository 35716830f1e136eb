"""On which addresses it listens, who may ask from where, and who counts as this host."""

import socket
import subprocess

import pytest
from both import CLOSED
from both import binary  # noqa: F401 (fixture)
from lab import wire
from lab.epmd import free_port, read_all
from lab.namespace import clean_env, send_signal
from lab.pods import ip
from lab.sidecar import count_log
from lab.wait import until

PORT = 4369
ALIVE = wire.alive2("there", 4711)


# Where it listens: hosts of all kinds, against stock


def both_families(pod):
    pass


def no_ipv6(pod):
    pod.run(["sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1"], check=True)


def no_ipv4(pod):
    for device in ("lo", "eth0"):
        ip("-n", pod.netns, "-4", "address", "flush", "dev", device)


def no_ipv6_loopback(pod):
    ip("-n", pod.netns, "address", "del", "::1/128", "dev", "lo")


def ipv6_off_on_loopback(pod):
    pod.run(["sysctl", "-qw", "net.ipv6.conf.lo.disable_ipv6=1"], check=True)


HOSTS = [both_families, no_ipv6, no_ipv4, no_ipv6_loopback, ipv6_off_on_loopback]
LISTS = ["", "127.0.0.1", "::1", "127.0.0.1,::1", "{ip}", "{ip6}", "{ip},{ip6}", "{ip6} 127.0.0.1", "192.0.2.77"]


def answers_at(pod, address):
    try:
        with pod.connect(address, PORT) as connection:
            connection.sendall(wire.names())
            return read_all(connection) == PORT.to_bytes(4, "big")
    except OSError:
        return False


def served_on(pod, program, addresses):
    """The addresses of the pod that answer; or the status with which the program ended."""
    process = pod.popen([program], env={"ERL_EPMD_ADDRESS": addresses}, stdin=subprocess.DEVNULL,
                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    every = ["127.0.0.1", "::1", pod.ip, pod.ip6]
    try:
        until(lambda: process.poll() is not None or any(answers_at(pod, a) for a in every), 10, "an end or an answer")
        if process.poll() is not None:
            return process.returncode
        return [address for address in every if answers_at(pod, address)]
    finally:
        process.kill()
        process.wait(5)


# Without IPv6 on the device itself, who dials ::1 hears nothing at all, and waits.
@pytest.mark.parametrize("host", HOSTS[:-1], ids=lambda host: host.__name__)
def test_listens_where_stock_does(network, stock_epmd, epmd_binary, host):
    pod = network.pod()
    host(pod)
    for addresses in LISTS:
        addresses = addresses.format(ip=pod.ip, ip6=pod.ip6)
        stock, ours = (served_on(pod, program, addresses) for program in (stock_epmd, epmd_binary))
        assert ours == stock, (addresses, "stock", stock, "ours", ours)
    assert served_on(pod, epmd_binary, "127.0.0.1")  # erlang/otp#11402: it must not take ::1 to start


@pytest.mark.parametrize("host", HOSTS, ids=lambda host: host.__name__)
def test_the_client_finds_the_daemon(network, epmd_binary, host):
    pod = network.pod()
    host(pod)
    with pod.popen([epmd_binary], stdin=subprocess.DEVNULL) as process:
        try:
            until(lambda: pod.run([epmd_binary, "-names"]).returncode == 0, 10, "the daemon to be found")
        finally:
            send_signal(process.pid, 15)


# ERL_EPMD_ALLOW


class Town:
    """A daemon in a pod, a neighbour and a stranger."""

    def __init__(self, network, epmd, binary, **kwargs):
        self.home, self.neighbour, self.stranger = network.pod(), network.pod(), network.pod()
        env = {key: value.format(neighbour=self.neighbour.ip, neighbour6=self.neighbour.ip6, home=self.home.ip)
               for key, value in kwargs.pop("env", {}).items()}
        self.daemon = epmd(binary, self.home, port=PORT, env=env, **kwargs)

    def ask(self, pod, request=wire.port2("nobody"), address=None, source=None):
        def dial():
            return socket.create_connection((address or self.home.ip, PORT), 5, source and (source, 0))

        with pod.inside(dial) as connection:
            try:
                connection.sendall(request)
                connection.shutdown(socket.SHUT_WR)
            except OSError:
                return CLOSED
            return read_all(connection)


MISS = b"w\x01"


@pytest.mark.parametrize("allowed", ["{neighbour} {neighbour6}", "{neighbour}/32,{neighbour6}/128"])
def test_who_is_not_named_is_closed(network, epmd, epmd_binary, allowed):
    town = Town(network, epmd, epmd_binary, env={"ERL_EPMD_ALLOW": allowed})
    for address in (town.home.ip, town.home.ip6):
        assert town.ask(town.neighbour, address=address) == MISS
        assert town.ask(town.stranger, address=address) == CLOSED
        assert town.ask(town.home, address=address) == MISS
    assert town.ask(town.home, address="127.0.0.1") == MISS
    assert town.ask(town.home, address="::1") == MISS
    assert town.ask(town.home, ALIVE, address="127.0.0.1")[:2] == b"v\0"
    # Who may ask may not register.
    assert town.ask(town.neighbour, ALIVE) == CLOSED


def test_an_empty_variable_is_not_set(network, epmd, epmd_binary):
    """As with stock's, but it is said: who wrote it may have meant nobody."""
    town = Town(network, epmd, epmd_binary, env={"ERL_EPMD_ALLOW": ""})
    assert town.ask(town.stranger) == MISS
    town.daemon.wait_log("warning: ERL_EPMD_ALLOW is set, but empty: everybody may ask: name addresses")


def test_those_who_are_closed_do_not_fill_the_log(network, epmd, epmd_binary):
    town = Town(network, epmd, epmd_binary, env={"ERL_EPMD_ALLOW": "{home}"})
    for _ in range(50):
        assert town.ask(town.stranger) == CLOSED
    town.daemon.wait_log(r"nobody asks any more who may not: 50 connections were closed", timeout=20)
    assert count_log(town.daemon, f"{town.stranger.ip}:") == 1


def test_peers_may_ask(network, epmd, epmd_binary, tmp_path):
    peers = tmp_path / "peers"
    peers.write_text("")
    town = Town(network, epmd, epmd_binary, env={"ERL_EPMD_ALLOW": "peers", "ERL_EPMD_BASENAME": "a",
                                                 "ERL_EPMD_DISCOVERY": f"file:{peers}"})
    assert town.ask(town.neighbour) == CLOSED
    peers.write_text(f"{town.neighbour.ip}\n")
    until(lambda: town.ask(town.neighbour) == MISS, 20, "the peer to be let in")
    assert town.ask(town.stranger) == CLOSED
    peers.write_text("")
    until(lambda: town.ask(town.neighbour) == CLOSED, 20, "the peer to be forgotten")


def run(binary, *args, port=None):
    return subprocess.run([binary, "-port", str(port or free_port()), "-address", "127.0.0.1", *args],
                          env=clean_env(), capture_output=True, text=True, timeout=10, stdin=subprocess.DEVNULL)


@pytest.mark.parametrize("flag, value, words", [
    ("-allow", "10.0.0.0/33", 'ERL_EPMD_ALLOW: "10.0.0.0/33" is wrong: give addresses like 10.0.0.0/8 or fd00::/8'),
    ("-allow", "friends", 'ERL_EPMD_ALLOW: "friends" is wrong'),
    ("-allow", "", "ERL_EPMD_ALLOW names nobody: give addresses like 10.0.0.0/8 or fd00::/8"),
    ("-allow", " ,", "ERL_EPMD_ALLOW names nobody"),
    ("-allow", "peers", "and it is off: set ERL_EPMD_DISCOVERY"),
    ("-remote_loopback", "10.0.0.1", "ERL_EPMD_REMOTE_LOOPBACK=10.0.0.1 is wrong: give addresses within 127.0.0.0/8"),
    ("-remote_loopback", "x", 'ERL_EPMD_REMOTE_LOOPBACK: "x" is wrong: give addresses like 127.0.0.6, or the word none'),
])
def test_a_wrong_list_ends_a_start(epmd_binary, flag, value, words):
    done = run(epmd_binary, flag, value)
    assert (done.returncode, done.stdout) == (1, "")
    assert words in done.stderr and done.stderr.count("\n") == 1


def test_under_daemon_a_wrong_list_lets_nobody_in_from_elsewhere(network, epmd_binary, tmp_path):
    """erl must boot; but what was meant to be closed is not open."""
    home, stranger = network.pod(), network.pod()
    log = tmp_path / "log"
    done = home.run([epmd_binary, "-daemon"], env={"ERL_EPMD_ALLOW": "friends", "ERL_EPMD_LOG": str(log),
                                                   "ERL_EPMD_MAX_UNSENT": "x"})
    assert done.returncode == 0
    assert "nobody from elsewhere is served" in done.stderr
    assert until(lambda: answers_at(home, "127.0.0.1"), 5, "the daemon")
    assert not answers_at(stranger, home.ip)
    until(lambda: "until then nobody from elsewhere is served" in log.read_text(), 5, "the log")


# A service mesh


def test_what_a_mesh_delivers_is_remote(network, epmd, epmd_binary):
    """Istio's proxy dials the daemon from 127.0.0.6, whoever is behind it."""
    town = Town(network, epmd, epmd_binary, args=["-relaxed_command_check"])
    home = town.home
    for address in ("127.0.0.1", home.ip):
        for request in (ALIVE, wire.dump(), wire.kill(), wire.stop("a"), wire.framed(b"Cpeers")):
            assert town.ask(home, request, address=address, source="127.0.0.6") == CLOSED
        assert town.ask(home, address=address, source="127.0.0.6") == MISS
    # Sent to itself it is no less remote.
    assert town.ask(home, ALIVE, address="127.0.0.6", source="127.0.0.6") == CLOSED
    assert town.ask(home, ALIVE, address="127.0.0.1", source="127.0.0.7")[:2] == b"v\0"
    assert town.ask(home, wire.framed(b"Cpeers"), address="127.0.0.1") != CLOSED


@pytest.mark.parametrize("value, source, registers", [
    ("none", "127.0.0.6", True), ("127.0.0.9", "127.0.0.6", True), ("127.0.0.9", "127.0.0.9", False),
    ("127.0.0.6 127.1.0.0/16", "127.1.2.3", False),
])
def test_the_addresses_of_a_mesh_can_be_set(network, epmd, epmd_binary, value, source, registers):
    town = Town(network, epmd, epmd_binary, env={"ERL_EPMD_REMOTE_LOOPBACK": value})
    answer = town.ask(town.home, ALIVE, address="127.0.0.1", source=source)
    assert (answer[:2] == b"v\0") == registers


@pytest.mark.parametrize("allowed, answer", [("10.0.0.0/8", CLOSED), ("127.0.0.6", MISS)])
def test_behind_a_mesh_everybody_is_the_mesh(network, epmd, epmd_binary, allowed, answer):
    town = Town(network, epmd, epmd_binary, env={"ERL_EPMD_ALLOW": allowed})
    assert town.ask(town.home, address="127.0.0.1", source="127.0.0.6") == answer


def test_a_mesh_sees_no_discovered_names(network, epmd, epmd_binary, tmp_path):
    """They are for local clients, and what comes by the mesh is none."""
    peers = tmp_path / "peers"
    town_peer = network.pod()
    with epmd(epmd_binary, town_peer, port=PORT).register("a", 4711):
        peers.write_text(f"{town_peer.ip}\n")
        town = Town(network, epmd, epmd_binary, env={"ERL_EPMD_BASENAME": "a",
                                                     "ERL_EPMD_DISCOVERY": f"file:{peers}"})
        shown = f"name a@{town_peer.ip} at port 4711\n".encode()
        until(lambda: shown in town.ask(town.home, wire.names(), address="127.0.0.1"), 20, "the peer's node")
        assert shown not in town.ask(town.home, wire.names(), address="127.0.0.1", source="127.0.0.6")
