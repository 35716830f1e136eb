"""What a single client can take: nobody starves, registered nodes least of all."""

import contextlib
import os
import re
import resource
import socket
import subprocess
import time

import pytest
from both import dial, is_ended, is_open
from lab import wire
from lab.throng import Throng, node_name
from lab.epmd import Epmd, free_port, read_all
from lab.namespace import clean_env
from lab.sidecar import count_log
from lab.wait import until

MANY = 20000
ROOM = 300  # descriptors that nodes do not get, and some
ASKED = 200


@pytest.fixture
def limited(tmp_path, epmd, epmd_binary):
    """Makes daemons under limits of the shell: `limited("-n 64")`."""
    return lambda limit, binary=epmd_binary, **kwargs: epmd(under(tmp_path, limit, binary), **kwargs)


def under(folder, limit, binary):
    script = folder / f"epmd{limit.replace(' ', '')}"
    script.write_text(f'#!/bin/sh\nulimit {limit}\nexec {binary} "$@"\n')
    script.chmod(0o755)
    return script


def check_answers(daemon, what, known="known"):
    """Others are served; how fast is said, and not asked for: that is the machine's."""
    took = []
    for number in range(ASKED):
        begin = time.monotonic()
        if number % 2:
            assert daemon.lookup(known).port == 4711
        else:
            assert daemon.lookup("nobody") is None
        took.append(1000 * (time.monotonic() - begin))
    with daemon.register("newcomer", 1) as newcomer:
        assert not newcomer.refused
    until(lambda: daemon.lookup("newcomer") is None, 5, "the newcomer's end")
    took.sort()
    print(f"{what}: {ASKED} answers, median {took[ASKED // 2]:.2f} ms, the slowest {took[-1]:.1f} ms")


def status_of(daemon, key):
    with open(f"/proc/{daemon.process.pid}/status") as status:
        return int(re.search(rf"^{key}:\s+(\d+)", status.read(), re.M)[1])


def is_sanitized(daemon):
    """Its memory then is another: shadows take terabytes of addresses."""
    return status_of(daemon, "VmSize") > 1 << 30


def open_files(daemon):
    return len(os.listdir(f"/proc/{daemon.process.pid}/fd"))


# Descriptors


def test_with_few_descriptors_idle_strangers_make_way(limited):
    daemon = limited("-n 64")
    assert "only 64 descriptors may be open, so that no more than 36 nodes" in daemon.log_lines()[0]
    with daemon.register("known", 4711) as node, Throng(daemon, 200, "idle") as throng:
        check_answers(daemon, "ulimit -n 64, 200 idle")
        assert 0 < throng.still_open() < 64
        assert is_open(daemon, node.connection)
    assert count_log(daemon, "ERL_EPMD_MAX_") + count_log(daemon, "out of descriptors") <= 2


def test_files_are_still_read_when_strangers_hold_descriptors(limited, tmp_path):
    """What discovery opens is not what clients leave."""
    peers = tmp_path / "peers"
    peers.write_text("")
    daemon = limited("-n 64", args=["-max_connections", "1000", "-max_per_address", "1000"],
                     env={"ERL_EPMD_DISCOVERY": f"file:{peers}", "ERL_EPMD_BASENAME": "a"})
    with Throng(daemon, 200, "idle"):
        peers.write_text("10.255.0.1\n")
        daemon.wait_log("peer 10.255.0.1", timeout=20)
        assert not count_log(daemon, "Too many open files")


def test_all_descriptors_registered(limited):
    """The next node is told so at once, and questions are answered."""
    daemon = limited("-n 64")
    with contextlib.ExitStack() as stack:
        nodes = [stack.enter_context(daemon.register("known" if number == 0 else f"n{number}", 4711))
                 for number in range(36)]
        with dial(daemon) as one_more:
            one_more.sendall(wire.alive2("more", 1))
            assert is_ended(one_more)
        daemon.wait_log(r"more cannot register: 36 nodes are, .* \(raise the limit, see ulimit -n\)")
        for _ in range(100):
            assert daemon.lookup("known").port == 4711
        stack.enter_context(Throng(daemon, 100, "idle"))
        assert daemon.lookup("known").port == 4711
        nodes[1].close()
        until(lambda: daemon.lookup("n1") is None, 5, "a node's end")
        stack.enter_context(daemon.register("more", 1))
        assert len(daemon.names()) == 36


def test_the_soft_limit_is_raised(limited):
    daemon = limited("-Sn 256")
    assert resource.prlimit(daemon.process.pid, resource.RLIMIT_NOFILE)[0] > 256


@pytest.mark.parametrize("kind", ["idle", "half"])
def test_20000_connections(epmd, epmd_binary, kind):
    daemon = epmd(epmd_binary)
    before = open_files(daemon)
    with daemon.register("known", 4711) as node:
        with Throng(daemon, MANY // 2, kind) as first, Throng(daemon, MANY // 2, kind) as second:
            check_answers(daemon, f"{MANY} {kind} connections")
            until(lambda: daemon.lookup("known") and first.still_open() + second.still_open() <= MANY // 2, 60,
                  "the oldest to make way", every=0.1)
            print(f"{status_of(daemon, 'VmRSS')} kB resident")
            assert status_of(daemon, "VmRSS") < 64 * 1024 or is_sanitized(daemon)
        assert is_open(daemon, node.connection)
        # One that the lab asked by may not have ended when it was counted.
        until(lambda: open_files(daemon) <= before + 1, 60, "descriptors to be free", every=0.1)
    assert count_log(daemon, "too many connections that register nobody") == 1


def test_a_storm_from_this_host_is_answered(epmd, epmd_binary):
    """There is room for all of them, and each may take its time to ask."""
    daemon = epmd(epmd_binary, args=["-max_connections", "1000"])
    with Throng(daemon, 900, "late") as throng:
        assert throng.answered() == 900
    assert not count_log(daemon, "too many")


def test_slow_loris(epmd, epmd_binary):
    daemon = epmd(epmd_binary)
    with daemon.register("known", 4711), Throng(daemon, 2000, "loris"):
        check_answers(daemon, "2000 connections that send a byte a second")


def test_an_address_elsewhere_harms_only_itself(epmd, epmd_binary, network):
    home, attacker, visitor = network.pod(), network.pod(), network.pod()
    daemon = epmd(epmd_binary, home, args=["-max_per_address", "50"])
    with daemon.register("known", 4711), visitor.connect(home.ip, daemon.port) as patient:
        with Throng(daemon, 1000, "idle", pod=attacker, address=home.ip) as throng, \
                Throng(daemon, 100, "idle", pod=attacker, address=home.ip6) as other:
            until(lambda: throng.still_open() == 50, 10, "all but 50 of the throng to be closed")
            until(lambda: other.still_open() == 50, 10, "all but 50 of the other to be closed")
            check_answers(daemon, "1100 idle connections from another pod")
            assert is_open(daemon, patient)
            patient.sendall(wire.port2("known"))
            assert wire.parse_port2(read_all(patient)).port == 4711
        daemon.wait_log(r"no longer too many connections from one address: 1000 were closed", timeout=15)
    assert count_log(daemon, "too many connections from one address") == 2


def test_a_refused_node_stays_until_it_has_to_make_way(epmd, epmd_binary):
    daemon = epmd(epmd_binary, env={"ERL_EPMD_MAX_CONNECTIONS": 20})
    with daemon.register("known", 4711) as node, daemon.register("known", 1) as refused:
        assert refused.refused and is_open(daemon, refused.connection)
        with Throng(daemon, 20, "idle"):
            assert is_ended(refused.connection)
            assert is_open(daemon, node.connection)


# Memory


@pytest.mark.parametrize("kind", ["idle", "half"])
def test_memory_that_is_out(epmd, epmd_binary, kind):
    """Those who hold it make way for whoever comes now."""
    daemon = epmd(epmd_binary)
    if is_sanitized(daemon):
        pytest.skip("sanitizers need all of the address space")
    with daemon.register("known", 4711) as node:
        more = (status_of(daemon, "VmSize") + 1024) * 1024
        resource.prlimit(daemon.process.pid, resource.RLIMIT_AS, (more, more))
        with Throng(daemon, 9000, kind) as throng:
            check_answers(daemon, f"out of memory by 9000 {kind} connections")
            print(f"{throng.still_open()} of them left open")
        check_answers(daemon, "after that")
        assert is_open(daemon, node.connection)


@pytest.fixture(scope="module")
def crowded(epmd_binary):
    """A daemon with 20,000 nodes, or as many as the machine's limit lets it have."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    half = min(MANY, hard - ROOM) // 2
    with Epmd(epmd_binary, args=["-packet_timeout", "5"]) as daemon, daemon.register("known", 4711), \
            Throng(daemon, half, "register"), Throng(daemon, half, "register", first=half):
        daemon.count = 2 * half + 1
        yield daemon


def test_20000_registrations(crowded):
    check_answers(crowded, f"{crowded.count - 1} registered nodes")
    names = crowded.names()
    assert len(names) == crowded.count and names[-1] == ("known", 4711)
    assert crowded.lookup(node_name(77)).port == 77


def test_those_who_wait_for_names_share_them(crowded):
    """An answer of megabytes is there once, and nobody has to make way for it."""
    memory = status_of(crowded, "VmRSS")
    with Throng(crowded, 200, "names") as throng:
        assert throng.still_open() == 200
        grown = status_of(crowded, "VmRSS") - memory
        print(f"{grown / 1024:.1f} MiB more resident with 200 who wait")
        assert grown < 16 * 1024 or is_sanitized(crowded)


def test_an_answer_that_waits_stays_what_was_asked_for(crowded):
    """Although nodes come and go before it is read."""
    before = crowded.request(wire.names(), timeout=30)
    with crowded.connect(30) as slow:
        slow.sendall(wire.names())
        slow.recv(1, socket.MSG_PEEK)
        with crowded.register("later", 7):
            assert crowded.names()[0] == ("later", 7)
            assert read_all(slow) == before
    until(lambda: crowded.request(wire.names(), timeout=30) == before, 30, "the node's end", every=0.1)


def test_who_never_reads_megabytes_of_names(crowded):
    """What waits for them is bounded, and so is how long."""
    size = len(crowded.request(wire.names(), timeout=30))
    memory, files = status_of(crowded, "VmRSS"), open_files(crowded)
    with Throng(crowded, 300, "names"):
        check_answers(crowded, f"300 clients that do not read {size / 1e6:.1f} MB of names each")
        grown = status_of(crowded, "VmRSS") - memory
        print(f"{grown / 1024:.0f} MiB more resident")
        assert grown < (64 + 32) * 1024 or is_sanitized(crowded)
        crowded.wait_log("too much waits for clients that do not read their answers", timeout=30)
        until(lambda: open_files(crowded) <= files, 60, "all of them to be closed", every=0.1)
    assert len(crowded.names()) == crowded.count


# Stock epmd under the same


def test_stock_ends_where_ours_serves_on(limited, stock_epmd):
    stock = limited("-n 1024", stock_epmd)
    with Throng(stock, 1030, "idle"):
        assert stock.wait_exit(10) != 0

    ours = limited("-n 1024")
    with ours.register("known", 4711), Throng(ours, 1030, "idle"):
        check_answers(ours, "ulimit -n 1024, 1,030 idle")


def test_stock_answers_nobody_past_1017_nodes(epmd, stock_epmd):
    stock = epmd(stock_epmd)
    with contextlib.ExitStack() as stack:
        nodes = [stack.enter_context(stock.register(f"n{number}", number)) for number in range(1000)]
        assert len(nodes) == len(stock.names())
        with pytest.raises(OSError):
            for number in range(1000, 1100):
                stack.enter_context(stock.register(f"n{number}", number, timeout=2))
        with pytest.raises(OSError):
            if stock.request(wire.names(), timeout=2) == b"":
                raise ConnectionResetError


# Settings


@pytest.mark.parametrize("flag, variable", [("-max_connections", "ERL_EPMD_MAX_CONNECTIONS"),
                                            ("-max_per_address", "ERL_EPMD_MAX_PER_ADDRESS"),
                                            ("-max_unsent", "ERL_EPMD_MAX_UNSENT")])
def test_a_wrong_limit_ends_a_start(epmd_binary, flag, variable):
    done = subprocess.run([epmd_binary, "-port", str(free_port()), "-address", "127.0.0.1", flag, "many"],
                          env=clean_env(), capture_output=True, text=True, timeout=10)
    assert (done.returncode, done.stdout) == (1, "")
    assert re.fullmatch(rf"epmd: {variable}=many is wrong: give a number from 1 to \d+\n", done.stderr)


def test_more_connections_than_descriptors_is_warned_of(limited):
    daemon = limited("-n 1024", args=["-max_connections", "2000"])
    daemon.wait_log("ERL_EPMD_MAX_CONNECTIONS=2000 is more than 1024 descriptors allow")


def test_a_limit_holds_for_loopback_too(epmd, epmd_binary):
    """The last ones have a moment to ask."""
    daemon = epmd(epmd_binary, env={"ERL_EPMD_MAX_CONNECTIONS": 20})
    with daemon.register("known", 4711), Throng(daemon, 100, "idle") as throng:
        assert throng.still_open() <= 40
        until(lambda: Throng(daemon, 1, "idle").close() or throng.still_open() <= 20, 30, "all but 20 to be closed",
              every=0.1)
        check_answers(daemon, "100 idle where 10 are allowed")
