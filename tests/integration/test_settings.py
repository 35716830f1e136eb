"""Settings that are wrong are named with the mend; those that are absent cost nothing."""

import json
import os
import pathlib
import signal
import socket
import subprocess

import pytest

from lab import wire
from lab.epmd import free_port, read_all
from lab.namespace import clean_env
from lab.sidecar import PORT, account_pod, discovering
from lab.wait import until

KUBERNETES = {"ERL_EPMD_DISCOVERY": "kubernetes", "ERL_EPMD_SELECTOR": "app=sample"}


def run(binary, env, *args, port=None):
    """Start in the foreground what is expected to end by itself."""
    env = {"ERL_EPMD_ADDRESS": "127.0.0.1", "ERL_EPMD_PORT": str(port or free_port()), **env}
    return subprocess.run([binary, *args], env=clean_env(env), capture_output=True, text=True, timeout=10)


WRONG = {
    "an unknown source": ({"ERL_EPMD_DISCOVERY": "k8s"}, ["ERL_EPMD_DISCOVERY=k8s", "kubernetes"]),
    "a host mode": ({**KUBERNETES, "ERL_EPMD_HOST_MODE": "x"}, ["ERL_EPMD_HOST_MODE=x", "ip, dns or hostname"]),
    "a log level": ({"ERL_EPMD_LOG_LEVEL": "loud"}, ["ERL_EPMD_LOG_LEVEL=loud", "debug"]),
    "a log file": ({"ERL_EPMD_LOG": "/nonexistent/log"}, ["ERL_EPMD_LOG=/nonexistent/log", "No such file"]),
    "a port": ({"ERL_EPMD_PORT": "abc"}, ["ERL_EPMD_PORT=abc", "1 to 65535"]),
    "a service link": ({"ERL_EPMD_PORT": "tcp://10.96.0.9:4369"},
                       ['"erl-epmd"', "enableServiceLinks: false", "ERL_EPMD_PORT=4369"]),
    "no way in": (KUBERNETES, ["KUBERNETES_SERVICE_HOST", "ERL_EPMD_KUBECONFIG"]),
    "a kubeconfig that is not there": ({**KUBERNETES, "ERL_EPMD_KUBECONFIG": "/nonexistent/config"},
                                       ["/nonexistent/config", "No such file"]),
    "a kubeconfig that is none": ({**KUBERNETES, "ERL_EPMD_KUBECONFIG": "/etc/passwd"}, ["/etc/passwd"]),
}

EMPTY_LISTS = {
    "no Service": ({"ERL_EPMD_SERVICE": ", ,"}, ["ERL_EPMD_SERVICE=, ,"]),
    "no namespace": ({"ERL_EPMD_SELECTOR": "app=sample", "ERL_EPMD_NAMESPACE": ","}, ["ERL_EPMD_NAMESPACE=,"]),
    "no namespace for a Service": ({"ERL_EPMD_SERVICE": "a", "ERL_EPMD_NAMESPACE": " "}, ["ERL_EPMD_NAMESPACE= "]),
}


@pytest.mark.parametrize("env, words", EMPTY_LISTS.values(), ids=EMPTY_LISTS)
def test_a_list_with_nothing_in_it_is_named(epmd_binary, standin, tmp_path, env, words):
    kubeconfig = standin().kubeconfig(tmp_path / "config")
    ended = run(epmd_binary, {"ERL_EPMD_DISCOVERY": "kubernetes", "ERL_EPMD_KUBECONFIG": kubeconfig, **env})
    assert ended.returncode == 1 and ended.stderr.count("\n") == ended.stderr.count("epmd: ") == 1, ended.stderr
    for word in words:
        assert word in ended.stderr


@pytest.mark.parametrize("env, words", WRONG.values(), ids=WRONG)
def test_a_wrong_setting_ends_a_foreground_start_with_one_line(epmd_binary, env, words):
    ended = run(epmd_binary, env)
    assert ended.returncode == 1 and ended.stdout == ""
    assert ended.stderr.startswith("epmd: ") and len(ended.stderr.splitlines()) == 1, ended.stderr
    for word in words:
        assert word in ended.stderr


def test_a_flag_beats_its_variable(epmd_binary):
    ended = run(epmd_binary, {**KUBERNETES, "ERL_EPMD_HOST_MODE": "ip"}, "-host_mode", "flagged")
    assert "=flagged " in ended.stderr


def test_a_taken_port_is_an_error_for_a_sidecar(epmd_binary, epmd):
    other = epmd(epmd_binary)
    assert run(epmd_binary, {}, port=other.port).returncode == 0
    # Nothing else is looked at: not even that the settings are wrong.
    sidecar = run(epmd_binary, {"ERL_EPMD_DISCOVERY": "wrong"}, port=other.port)
    assert sidecar.returncode == 1
    assert f"port {other.port} is taken" in sidecar.stderr and "-start_epmd false" in sidecar.stderr


def daemon_pid(port):
    """The process that listens there, found by its environment."""
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                environ = (entry / "environ").read_bytes().split(b"\0")
            except OSError:
                continue
            if f"ERL_EPMD_PORT={port}".encode() in environ:
                return int(entry.name)
    return None


@pytest.fixture
def daemon_end():
    """`daemon_end(port)`: the daemon there ends with the test."""
    pids = []
    yield lambda port: pids.append(until(lambda: daemon_pid(port), 5, "the daemon"))
    for pid in pids:
        os.kill(pid, signal.SIGTERM)


@pytest.mark.parametrize("env", [{"ERL_EPMD_DISCOVERY": "k8s"}, KUBERNETES,
                                 {**KUBERNETES, "ERL_EPMD_KUBECONFIG": "/nonexistent"}],
                         ids=["unknown source", "no way in", "no kubeconfig"])
def test_under_daemon_a_wrong_setting_does_not_keep_nodes_from_booting(epmd_binary, tmp_path, daemon_end, env):
    port, log = free_port(), tmp_path / "log"
    started = run(epmd_binary, {**env, "ERL_EPMD_LOG": str(log)}, "-daemon", port=port)
    daemon_end(port)
    assert (started.returncode, started.stdout) == (0, "")
    assert started.stderr.startswith("epmd: discovery is off: ") and len(started.stderr.splitlines()) == 1
    names = run(epmd_binary, {}, "-names", port=port)
    assert names.stdout == f"epmd: up and running on port {port} with data:\n"
    until(lambda: "discovery is off: " in log.read_text(), 5, "the line that says why")


def test_a_good_log_is_used_although_the_log_level_is_wrong(epmd_binary, tmp_path, daemon_end):
    port, log = free_port(), tmp_path / "log"
    run(epmd_binary, {"ERL_EPMD_LOG": str(log), "ERL_EPMD_LOG_LEVEL": "loud"}, "-daemon", port=port)
    daemon_end(port)
    until(lambda: "ERL_EPMD_LOG_LEVEL=loud" in log.read_text(), 5, "the line that says why")


def test_a_misspelt_setting_is_warned_of(epmd_binary, epmd):
    ours = epmd(epmd_binary, env={"ERL_EPMD_SELECTR": "app=x", "ERL_EPMD_QQQQQQ": "1",
                                  "ERL_EPMD_SERVICE_HOST": "10.0.0.1", "ERL_EPMD_PORT_4369_TCP": "tcp://x"})
    ours.wait_log(r"ERL_EPMD_SELECTR is no setting that epmd knows: did you mean ERL_EPMD_SELECTOR\?")
    ours.wait_log(r"ERL_EPMD_QQQQQQ is no setting")
    assert not any("SERVICE_HOST" in line or "4369_TCP" in line for line in ours.log_lines())


def test_a_misspelt_setting_is_named_beside_one_that_is_wrong(epmd_binary):
    ended = run(epmd_binary, {"ERL_EPMD_DISCOVERY": "kubernetes", "ERL_EPMD_SELECTR": "app=x"})
    assert ended.returncode == 1
    hint, wrong = ended.stderr.splitlines()
    assert hint == "epmd: ERL_EPMD_SELECTR is no setting that epmd knows: did you mean ERL_EPMD_SELECTOR?"
    assert wrong.startswith("epmd: ") and "ERL_EPMD_KUBECONFIG" in wrong


def test_settings_for_peers_without_discovery_are_warned_of(epmd_binary, epmd):
    ours = epmd(epmd_binary, env={"ERL_EPMD_SELECTOR": "app=sample", "ERL_EPMD_BASENAME": "sample"})
    ours.wait_log("ERL_EPMD_SELECTOR is set, but ERL_EPMD_DISCOVERY is not: nothing is discovered: "
                  "set ERL_EPMD_DISCOVERY=kubernetes")
    assert len(ours.log_lines()) == 1


def test_no_discovery_no_more_than_stock(epmd_binary, epmd):
    """One thread; the standard streams, the listeners, the event loop's own descriptors, and one that is
    spare: whoever cannot be served is accepted with it, and closed."""
    ours = epmd(epmd_binary)
    folder = pathlib.Path(f"/proc/{ours.process.pid}")
    assert len(list((folder / "task").iterdir())) == 1
    # A connection of the lab's own may just be closing.
    until(lambda: sorted(opened(folder)) == sorted([SPARE, *listeners(folder)]), 5, "the listeners and nothing else")
    assert ours.log_lines() == []


SPARE = "/dev/null"


def opened(folder):
    """What a process has open beside its standard streams and what libevent needs."""
    targets = [os.readlink(entry) for entry in (folder / "fd").iterdir() if int(entry.name) > 2]
    return [target for target in targets if not target.startswith(("anon_inode:", "pipe:"))]


def listeners(folder):
    """The listening TCP sockets of the process's network namespace, as /proc/PID/fd names them."""
    rows = [row.split() for kind in ("tcp", "tcp6") for row in (folder / "net" / kind).read_text().splitlines()[1:]]
    return {f"socket:[{row[9]}]" for row in rows if row[3] == "0A"} & set(opened(folder))


def test_discovery_needs_no_thread_either(network, epmd_binary, standin, tmp_path, closing):
    api = standin(where=network.host)
    api.set_pods("sample", ["10.9.0.1"], labels={"app": "sample"})
    ours = closing.enter_context(discovering(
        epmd_binary, account_pod(network, api, tmp_path / "account"), api, env={"ERL_EPMD_DIST": "9100"}))
    until(lambda: ours.lookup("sample@10.9.0.1"), 5, "the peer")
    assert len(os.listdir(f"/proc/{ours.process.pid}/task")) == 1


def test_a_bad_packet_is_one_line_and_nobody_else_notices(epmd_binary, epmd):
    ours = epmd(epmd_binary, env={"ERL_EPMD_LOG_LEVEL": "info"})
    with ours.register("a", 1):
        assert ours.request(b"\0\3\xff\xff\xff") == b""
        ours.wait_log(r"info: 127\.0\.0\.1:\d+: an unknown request code: closed")
        assert ours.names() == [("a", 1)]


def test_nobody_waits_while_nobody_reads_the_log(epmd_binary):
    """The log is a pipe that its reader has stopped reading, as a stuck log shipper does."""
    port, (reader, writer) = free_port(), os.pipe()
    command = [epmd_binary, "-d", "-port", str(port), "-address", "127.0.0.1"]
    with subprocess.Popen(command, env=clean_env(), stderr=writer) as ours:
        os.close(writer)
        try:
            until(lambda: names(port) is not None, 5, "an answer")
            for _ in range(1500):
                register(port)
            until(lambda: names(port) == port.to_bytes(4, "big"), 5, "those that have gone to be forgotten")
            with open(reader, "rb") as log:
                os.set_blocking(reader, False)
                kept = log.read().splitlines()
                register(port)
                until(lambda: b"lines before it are lost" in (log.read() or b""), 5, "the number of lines lost")
                assert len(kept) < 1500
        finally:
            ours.kill()


def answer(port, request):
    with socket.create_connection(("127.0.0.1", port), timeout=2) as connection:
        connection.sendall(request)
        return read_all(connection)


def register(port):
    """Which under -d is a line."""
    with socket.create_connection(("127.0.0.1", port), timeout=2) as connection:
        connection.sendall(wire.alive2("sample", 41001))
        assert connection.recv(1)


def names(port):
    try:
        return answer(port, wire.names())
    except ConnectionRefusedError:
        return None


def test_clients_that_are_not_local_may_only_ask(network, epmd_binary, epmd):
    here, there = network.pod(), network.pod()
    ours = epmd(epmd_binary, pod=here, port=PORT)
    for request, code in ((wire.alive2("x", 1), "x"), (wire.kill(), "k"), (wire.dump(), "d")):
        with there.connect(here.ip, PORT) as connection:
            connection.sendall(request)
            assert connection.recv(100) == b""
        ours.wait_log(f"request '{code}' is for this host only")
    with there.connect(here.ip, PORT) as connection:
        connection.sendall(wire.names())
        assert connection.recv(100) == PORT.to_bytes(4, "big")


# -peers


@pytest.mark.parametrize("args, env, port, origin", [
    ([], {}, 4369, "default"),
    ([], {"ERL_EPMD_PORT": ""}, 4369, "default"),
    ([], {"ERL_EPMD_PORT": "4369"}, 4369, "ERL_EPMD_PORT"),
    ([], {"ERL_EPMD_PORT": "4370"}, 4370, "ERL_EPMD_PORT"),
    (["-port", "4369"], {"ERL_EPMD_PORT": "4370"}, 4369, "-port"),
    (["-port", "4371"], {"ERL_EPMD_PORT": "tcp://10.0.0.1:4369"}, 4371, "-port"),
], ids=["none", "empty", "variable", "another", "both", "link"])
def test_peers_tells_where_the_port_comes_from(network, epmd_binary, tmp_path, args, env, port, origin):
    pod, peers = network.pod(), tmp_path / "peers"
    peers.write_text("")
    with pod.popen([epmd_binary, *args], env={"ERL_EPMD_DISCOVERY": f"file:{peers}", **env}) as ours:
        try:
            until(lambda: pod.run([epmd_binary, "-port", port, "-started"]).returncode == 0, 10, "the daemon")
            shown = pod.run([epmd_binary, "-port", port, "-peers"]).stdout.splitlines()
            report = json.loads(pod.run([epmd_binary, "-port", port, "-peers", "-json"]).stdout)
        finally:
            ours.kill()
    assert f"{'port':14} {port} ({origin})" in shown
    assert {"name": "port", "value": str(port), "origin": origin} in report["settings"]


@pytest.mark.parametrize("args, env, loopback", [
    (["-address", "127.0.0.1"], {"ERL_EPMD_ADDRESS": "10.0.0.1"}, "-address 127.0.0.1"),
    ([], {"ERL_EPMD_ADDRESS": "127.0.0.1\t::1"}, "ERL_EPMD_ADDRESS=127.0.0.1"),
    ([], {"ERL_EPMD_ADDRESS": ""}, None),
], ids=["flag", "variable", "empty"])
def test_the_doctor_tells_who_keeps_epmd_on_loopback(network, epmd_binary, tmp_path, args, env, loopback):
    pod, peers = network.pod(), tmp_path / "peers"
    peers.write_text("")
    with pod.popen([epmd_binary, *args], env={"ERL_EPMD_DISCOVERY": f"file:{peers}", **env}) as ours:
        try:
            until(lambda: pod.run([epmd_binary, "-started"]).returncode == 0, 10, "the daemon")
            said = pod.run([epmd_binary, "-doctor"]).stdout
        finally:
            ours.kill()
    assert ("[loopback-only]" in said) == (loopback is not None)
    if loopback:
        assert f"wrong: {loopback}" in said
