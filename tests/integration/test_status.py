"""The status listener: probes, metrics, a snapshot; and clients that mean no good."""

import contextlib
import os
import re
import socket
import subprocess
import time

import pytest
from lab import probe, wire
from lab.built import Unavailable, built
from lab.epmd import free_port
from lab.member import await_mesh
from lab.namespace import clean_env, open_listener
from lab.sidecar import account_pod, await_discovered, discovering
from lab.wait import until

VISITS_MAX = 16
VISIT_S = 5
PATIENCE = 20


@pytest.fixture(scope="session")
def promtool():
    try:
        return built("promtool-fetch") / "promtool"
    except Unavailable as reason:
        pytest.skip(str(reason))


def check_metrics(promtool, text):
    done = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


# --- what it answers -----------------------------------------------------------------------------


@pytest.mark.parametrize("path, kind", [("/livez", "text/plain"), ("/readyz", "text/plain"),
                                        ("/metrics", "text/plain; version=0.0.4"), ("/status", "application/json"),
                                        ("/livez?verbose", "text/plain")])
def test_each_page_by_get_and_head(served, path, kind):
    _, port = served()
    page, head = probe.ask(port, path), probe.ask(port, path, "HEAD")
    assert page.status == head.status == 200
    assert page.headers["Content-Type"].startswith(kind) and head.headers["Content-Type"].startswith(kind)
    assert int(page.headers["Content-Length"]) == len(page.body.encode()) > 0
    assert int(head.headers["Content-Length"]) > 0 and head.body == ""
    assert page.headers["Connection"] == "close"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE"])
def test_other_methods_are_not_allowed(served, method):
    _, port = served()
    answer = probe.ask(port, "/metrics", method, more="Content-Length: 0\r\n" if method in ("POST", "PUT") else "")
    assert answer.status == 405 and answer.headers["Allow"] == "GET, HEAD"


def test_what_is_no_page_or_no_request(served):
    daemon, port = served()
    assert probe.ask(port, "/").status == probe.ask(port, "/metrics/").status == 404
    assert "/readyz" in probe.ask(port, "/").body
    assert probe.ask(port, "/livez", "BREW").status == 501
    assert probe.ask(port, "/livez", "POST", more=f"Content-Length: {1 << 30}\r\n").status == 413
    for garbage in (b"\r\n\r\n", b"GET\r\n\r\n", b"\x00" * 300 + b"\r\n\r\n", b"GET /livez HTTP/9.9\r\n\r\n",
                    b"GET " + b"/" * 9000 + b" HTTP/1.1\r\n\r\n",
                    b"GET /livez HTTP/1.1\r\n" + b"A: b\r\n" * 4000 + b"\r\n"):
        with contextlib.suppress(OSError), probe.connect("127.0.0.1", port) as connection:
            connection.sendall(garbage)
            connection.shutdown(socket.SHUT_WR)
            received = connection.recv(65536)
            assert b" 200 " not in received.split(b"\r\n")[0], garbage[:40]
    assert probe.ask(port, "/livez").status == 200 and daemon.lookup("nobody") is None


def test_all_addresses_of_both_families(epmd, epmd_binary, network):
    pod = network.pod()
    with_all = epmd(epmd_binary, pod, args=["-status_address", ":9090"])
    for address in ("127.0.0.1", "::1", pod.ip, pod.ip6):
        assert probe.ask(9090, "/livez", address=address, pod=pod).status == 200
    with_all.stop()
    epmd(epmd_binary, pod, args=["-status_address", "[::1]:9090"])
    assert probe.ask(9090, "/livez", address="::1", pod=pod).status == 200
    for address in ("127.0.0.1", pod.ip, pod.ip6):
        with pytest.raises(ConnectionRefusedError):
            probe.connect(address, 9090, pod)


def test_without_the_setting_nothing_listens(epmd, epmd_binary, network):
    pod = network.pod()
    daemon = epmd(epmd_binary, pod)
    listening = pod.run(["ss", "-Htnl"]).stdout.splitlines()
    assert {line.split()[3].rpartition(":")[2] for line in listening} == {str(daemon.port)}


# --- addresses that cannot be -----------------------------------------------------------------------


WRONG = {"9090": "port", "127.0.0.1": "port", "127.0.0.1:0": "port", "127.0.0.1:65536": "port", "127.0.0.1:x": "port",
         "localhost:9090": "is no address", "::1:9090": "is no address", "[127.0.0.1]:9090": "is no address",
         "[::1:9090": "is no address", "10.0.0.256:9090": "is no address", "http://127.0.0.1:9090": "is no address",
         f"{'1' * 300}:9090": "is no address"}


@pytest.mark.parametrize("address", WRONG, ids=lambda text: text[:20])
def test_a_wrong_address_is_named_with_the_mend(epmd_binary, address):
    done = subprocess.run([epmd_binary], capture_output=True, text=True, timeout=10, env=clean_env({
        "ERL_EPMD_PORT": free_port(), "ERL_EPMD_ADDRESS": "127.0.0.1", "ERL_EPMD_STATUS_ADDRESS": address}))
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert done.stderr.startswith(f"epmd: ERL_EPMD_STATUS_ADDRESS={address[:200]}")
    assert WRONG[address] in done.stderr and "[::1]:9090" in done.stderr


def test_a_taken_port_ends_a_foreground_start(epmd_binary):
    with open_listener("127.0.0.1", 0) as other:
        address = f"127.0.0.1:{other.getsockname()[1]}"
        done = subprocess.run([epmd_binary, "-status_address", address], capture_output=True, text=True, timeout=10,
                              env=clean_env({"ERL_EPMD_PORT": free_port(), "ERL_EPMD_ADDRESS": "127.0.0.1"}))
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert address in done.stderr and "already in use" in done.stderr


@pytest.mark.parametrize("address, said", [("127.0.0.1", "has no port"), ("0.0.0.0:9090", "already in use"),
                                           ("192.0.2.7:9090", "address of this host")])
def test_under_daemon_it_keeps_no_node_from_booting(network, tmp_path, erl, beam, address, said):
    pod, log = network.pod(), tmp_path / "log"
    with pod.listen("0.0.0.0", 9090):
        node = beam(pod, erl=erl, env={"ERL_EPMD_LOG": log, "ERL_EPMD_STATUS_ADDRESS": address})
        node.wait_started()
        until(lambda: log.exists() and said in log.read_text(), PATIENCE, "the daemon to say so")
    assert f"ERL_EPMD_STATUS_ADDRESS={address}" in log.read_text()
    assert "sample" in node.eval("net_adm:names().")


# --- ready, or not ------------------------------------------------------------------------------------


def test_ready_once_all_peers_were_told_and_then_whatever_the_api_does(network, standin, served, tmp_path, epmd_binary, closing):
    server = standin(where=network.host, tokens={"other"})
    server.set_pods("sample", ["10.77.0.1"], labels={"app": "sample"})
    pod = account_pod(network, server, tmp_path / "account", token="refused")
    daemon = closing.enter_context(discovering(epmd_binary, pod, server, env={"ERL_EPMD_DIST": "9100"},
                                               args=["-status_address", ":9090"]))
    daemon.wait_log("401")
    refused = probe.ask(9090, "/readyz", pod=pod)
    assert refused.status == 503 and "app=sample" in refused.body and "401" in refused.body
    assert probe.ask(9090, "/livez", pod=pod).status == 200
    seen = probe.metrics(9090, pod)
    assert seen["epmd_discovery_complete"] == 0 and seen["epmd_discovery_last_event_timestamp_seconds"] == 0
    assert seen['epmd_discovery_requests_total{request="list",outcome="denied"}'] > 0
    server.service_account_dir(tmp_path / "account", token="other")
    until(lambda: probe.ask(9090, "/readyz", pod=pod).status == 200, 60, "it to be ready")
    await_discovered(daemon, {"sample@10.77.0.1": 9100})
    server.__exit__(None, None, None)
    daemon.wait_log("trying again|no connection|refused", timeout=PATIENCE)
    assert probe.ask(9090, "/readyz", pod=pod).status == 200
    until(lambda: probe.metrics(9090, pod)['epmd_discovery_requests_total{request="watch",outcome="cut"}'] or
          probe.metrics(9090, pod)['epmd_discovery_requests_total{request="watch",outcome="unreachable"}'],
          PATIENCE, "the outage to be counted", every=0.5)
    assert probe.ask(9090, "/readyz", pod=pod).status == 200


def test_settings_that_are_wrong_are_not_ready(network, tmp_path, erl, beam):
    pod = network.pod()
    beam(pod, erl=erl, env={"ERL_EPMD_LOG": tmp_path / "log", "ERL_EPMD_STATUS_ADDRESS": ":9090",
                            "ERL_EPMD_DISCOVERY": "k8s"}).wait_started()
    answer = probe.ask(9090, "/readyz", pod=pod)
    assert answer.status == 503 and "ERL_EPMD_DISCOVERY=k8s" in answer.body


def test_a_file_that_is_not_there_yet(served, tmp_path):
    peers = tmp_path / "peers"
    _, port = served(env={"ERL_EPMD_DISCOVERY": f"file:{peers}", "ERL_EPMD_BASENAME": "sample"})
    until(lambda: "is not there" in probe.ask(port, "/readyz").body, PATIENCE, "the reason")
    peers.write_text("10.77.0.1\n")
    until(lambda: probe.ask(port, "/readyz").status == 200, PATIENCE, "it to be ready")
    peers.unlink()
    until(lambda: probe.metrics(port)['epmd_discovery_requests_total{request="list",outcome="unreachable"}'] > 1,
          PATIENCE, "the file to be missed", every=0.6)
    assert probe.ask(port, "/readyz").status == 200


# --- what is counted --------------------------------------------------------------------------------------


def test_metrics_without_discovery(served, promtool):
    daemon, port = served("-packet_timeout", "1")
    with daemon.register("sample", 41001), daemon.connect() as idle:
        assert daemon.register("sample", 41002).refused
        daemon.lookup("sample")
        assert daemon.request(wire.port2("x" * 300)) == b""
        daemon.request(b"\x00\x01Q")
        daemon.request(wire.kill())
        daemon.cli("-peers")
        assert idle.recv(1) == b""
        until(lambda: probe.metrics(port)['epmd_connections_closed_total{reason="idle"}'] == 1, PATIENCE, "an idle one",
              every=0.6)
        check_metrics(promtool, probe.ask(port, "/metrics").body)
        seen = probe.metrics(port)
    wanted = {"epmd_registrations_total": 1, "epmd_registered_nodes": 1,
              'epmd_requests_total{kind="alive2"}': 2, 'epmd_requests_total{kind="port2"}': 2,
              'epmd_requests_total{kind="kill"}': 1, 'epmd_requests_total{kind="control"}': 1,
              'epmd_refusals_total{reason="name_taken"}': 1, 'epmd_refusals_total{reason="bad_name"}': 1,
              'epmd_refusals_total{reason="malformed"}': 1, 'epmd_refusals_total{reason="not_allowed"}': 1,
              'epmd_refusals_total{reason="not_local"}': 0}
    assert {name: seen[name] for name in wanted} == wanted
    assert seen["epmd_connections_total"] >= 8
    assert not any(name.startswith(("epmd_discovery", "epmd_join", "epmd_peers")) for name in seen)
    assert abs(seen["process_start_time_seconds"] - time.time()) < 120


def test_metrics_and_snapshot_of_nodes_that_join(member, promtool):
    members = [member(env={"ERL_EPMD_STATUS_ADDRESS": ":9090"}) for _ in range(2)]
    await_mesh(members, 30)
    here, there = members
    joined = 'epmd_join_nodes{state="joined"}'
    seen = until(lambda: (rows := probe.metrics(9090, here.pod))[joined] == 1 and rows, PATIENCE, "joined", every=0.6)
    check_metrics(promtool, probe.ask(9090, "/metrics", pod=here.pod).body)
    assert seen["epmd_join_links_up_total"] == seen["epmd_join_duration_seconds_count"] == 1
    assert seen['epmd_join_duration_seconds_bucket{le="+Inf"}'] == 1
    assert seen['epmd_peers{state="ready"}'] == seen['epmd_discovered_nodes{port="known"}'] == 1
    assert seen['epmd_port_questions_total{outcome="port"}'] >= 1
    assert seen['epmd_discovery_requests_total{request="list",outcome="ok"}'] >= 1
    assert 0 <= time.time() - seen["epmd_discovery_last_event_timestamp_seconds"] < 300
    dials = 'epmd_join_dials_total{outcome="joined"}'
    assert seen[dials] + probe.metrics(9090, there.pod)[dials] >= 1
    page = probe.status(9090, here.pod)
    assert page["discovery"] == "kubernetes"
    assert [node["name"] for node in page["local_nodes"]] == ["sample"]
    row, = page["peers"]
    assert (row["node"], row["address"], row["joined"]) == (there.name, there.pod.ip, "joined")
    assert here.beam.cookie not in str(page)
    there.beam.close()
    until(lambda: probe.metrics(9090, here.pod)["epmd_join_links_down_total"] == 1, PATIENCE, "the link to fall", every=0.6)


# --- clients that mean no good ------------------------------------------------------------------------------


def descriptors(daemon):
    return len(os.listdir(f"/proc/{daemon.process.pid}/fd"))


def test_idle_clients_are_few_and_yield(served):
    daemon, port = served()
    before = descriptors(daemon)
    with contextlib.ExitStack() as stack:
        idle = [stack.enter_context(probe.connect("127.0.0.1", port)) for _ in range(200)]
        assert probe.ask(port, "/livez").status == 200
        assert daemon.lookup("nobody") is None
        until(lambda: descriptors(daemon) <= before + VISITS_MAX, PATIENCE, "no more descriptors than are allowed")
        begun = time.monotonic()
        assert all(connection.recv(1) == b"" for connection in idle)
        assert time.monotonic() - begun < 2 * PATIENCE
    until(lambda: descriptors(daemon) <= before, PATIENCE, "all descriptors back")


def test_one_that_trickles_has_so_much_time(served):
    daemon, port = served()
    before = descriptors(daemon)
    with probe.connect("127.0.0.1", port) as slow:
        slow.settimeout(0.1)
        begun, ended = time.monotonic(), False
        while not ended and time.monotonic() - begun < VISIT_S + PATIENCE:
            try:
                slow.sendall(b"G")
                ended = slow.recv(1) == b""
            except TimeoutError:
                pass
            except OSError:
                ended = True
        assert ended and time.monotonic() - begun > VISIT_S / 2
    until(lambda: descriptors(daemon) <= before, PATIENCE, "its descriptor back")


def test_ones_that_never_read_share_one_page(served, tmp_path):
    peers = tmp_path / "peers"
    peers.write_text("".join(f"10.77.{i // 250}.{i % 250 + 1} pod-{i}\n" for i in range(5000)))
    daemon, port = served(env={"ERL_EPMD_DISCOVERY": f"file:{peers}", "ERL_EPMD_BASENAME": "sample",
                               "ERL_EPMD_DIST": "9100", "ERL_EPMD_LOG_LEVEL": "error"})
    until(lambda: probe.ask(port, "/status").body.count('"node"') == 5000, PATIENCE, "all peers", every=0.6)
    quiet = probe.metrics(port)["process_resident_memory_bytes"]
    page = len(probe.ask(port, "/status").body)
    with contextlib.ExitStack() as stack:
        for _ in range(VISITS_MAX - 2):
            lazy = socket.socket()
            lazy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            lazy.connect(("127.0.0.1", port))
            stack.enter_context(lazy).sendall(b"GET /status HTTP/1.1\r\nHost: epmd\r\n\r\n")
        assert probe.ask(port, "/livez").status == 200 and daemon.lookup("nobody") is None
        assert probe.metrics(port)["process_resident_memory_bytes"] < quiet + 6 * page
    assert probe.ask(port, "/livez").status == 200


def test_a_node_registers_while_they_try(served):
    """Many short requests and resets at once; nothing is lost and nothing leaks."""
    daemon, port = served()
    before = descriptors(daemon)
    for number in range(300):
        with probe.connect("127.0.0.1", port) as connection:
            connection.sendall(b"GET /metrics HTTP/1.1\r\n" + (b"Host: epmd\r\n\r\n" if number % 2 else b""))
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
    with daemon.register("sample", 41001):
        node, = probe.status(port)["local_nodes"]
        assert (node["name"], node["port"]) == ("sample", 41001)
    until(lambda: descriptors(daemon) <= before, PATIENCE, "all descriptors back")


def test_without_descriptors_nodes_come_first(epmd, epmd_binary, network, tmp_path):
    """The status listener then waits, and takes no time while it does."""
    pod = network.pod()
    few = tmp_path / "few"
    few.write_text(f'#!/bin/sh\nulimit -n 64\nexec {epmd_binary} "$@"\n')
    few.chmod(0o755)
    daemon = epmd(few, pod, args=["-status_address", ":9090"])
    with contextlib.ExitStack() as stack:
        for _ in range(100):
            stack.enter_context(probe.connect("127.0.0.1", 9090, pod))
        nodes = [stack.enter_context(daemon.register(f"n{number}", 41000 + number)) for number in range(20)]
        assert not any(node.refused for node in nodes)
        with contextlib.ExitStack() as idle:
            for _ in range(100):
                idle.enter_context(daemon.connect())
            assert daemon.lookup("n0").port == 41000
            daemon.wait_log("out of descriptors|too many connections", PATIENCE)
            for _ in range(4):
                stack.enter_context(probe.connect("127.0.0.1", 9090, pod))
            before = cpu_seconds(daemon.process.pid)
            time.sleep(1)  # over which it is measured
            assert cpu_seconds(daemon.process.pid) - before < 0.5
        until(lambda: probe.ask(9090, "/livez", pod=pod).status == 200, PATIENCE, "it to answer again")


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat", encoding="latin-1") as stat:
        fields = re.sub(r"^.*\) ", "", stat.read()).split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
