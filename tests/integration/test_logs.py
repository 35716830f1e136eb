"""Where log lines come out, in which form, and what is never among them."""

import contextlib
import json
import os
import re
import secrets
import socket
import subprocess
import threading

import pytest
from lab import probe, wire
from lab.beam import BeamError
from lab.member import await_mesh
from lab.namespace import clean_env
from lab.wait import until

PATIENCE = 20
BURST = 50

# A mount namespace without a syslog, in a PID namespace of its own, as a container has them.
CONTAINER = """
mount -t tmpfs none /dev
mknod -m 666 /dev/null c 1 3; mknod -m 666 /dev/zero c 1 5
mknod -m 444 /dev/random c 1 8; mknod -m 444 /dev/urandom c 1 9
exec "$@"
"""


class Container:
    """PID 1 runs `command`; what it and its children say on its stderr is `lines`."""

    def __init__(self, pod, stderr, command, env):
        self.pod, self._file, self._text = pod, None, b""
        if stderr == "a file":
            self._file = os.memfd_create("stderr")
            theirs = os.dup(self._file)
        elif stderr == "a pipe":
            ours, theirs = os.pipe()
        else:
            left, right = socket.socketpair()
            ours, theirs = left.detach(), right.detach()
        self.process = pod.popen(["unshare", "--pid", "--mount", "--fork", "--kill-child", "--mount-proc", "sh", "-c",
                                  CONTAINER, "sh", *command],
                                 env=env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=theirs)
        os.close(theirs)
        if self._file is None:
            threading.Thread(target=self._read, args=(ours,), daemon=True).start()

    def _read(self, fd):
        with contextlib.suppress(OSError):
            while piece := os.read(fd, 65536):
                self._text += piece
        os.close(fd)

    def text(self):
        if self._file is not None:
            self._text = os.pread(self._file, 1 << 20, 0)
        return self._text.decode("utf-8", "replace")

    def wait_line(self, regex):
        return until(lambda: re.search(regex, self.text(), re.M), PATIENCE, f"a line like {regex}")

    def init(self):
        """The pid of its process 1, as we see it."""
        def find():
            with open(f"/proc/{self.process.pid}/task/{self.process.pid}/children", encoding="ascii") as children:
                return children.read().split()

        return int(until(find, PATIENCE, "process 1")[0])

    def wait_command(self, name):
        """Until process 1 has made its /dev and become what it runs."""
        def is_it():
            with open(f"/proc/{self.init()}/comm", encoding="ascii") as comm:
                return comm.read().strip() == name

        until(is_it, PATIENCE, f"process 1 to be {name}")

    def exec(self, *command, **kwargs):
        """As `kubectl exec` does."""
        return subprocess.run(["nsenter", "-t", str(self.init()), "-p", "-m", "-n", *command], timeout=PATIENCE,
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, **kwargs)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.process.kill()  # and with it all of the namespace
        self.process.wait()
        if self._file is not None:
            os.close(self._file)


@pytest.mark.parametrize("stderr", ["a file", "a pipe", "a socket"])
def test_what_the_daemon_of_a_node_says_is_in_the_containers_log(network, erl, stderr, tmp_path):
    pod = network.pod()
    env = {"HOME": tmp_path, "ERL_EPMD_DISCOVERY": "kubernetes", "ERL_EPMD_LOG_LEVEL": "debug"}
    command = [erl, "-noinput", "-name", f"sample@{pod.ip}", "-setcookie", "c"]
    with Container(pod, stderr, command, env) as container:
        container.wait_line(r"^\S+Z epmd error: discovery is off: .*ERL_EPMD_KUBECONFIG")
        container.wait_line(r"epmd debug: \S+: registered sample at port \d+$")


def test_whoever_starts_it_by_exec_does_not_wait_for_it(network, epmd_binary, tmp_path):
    pod = network.pod()
    with Container(pod, "a pipe", ["sleep", "1000"], {"HOME": tmp_path}) as container:
        container.wait_command("sleep")
        env = clean_env({"ERL_EPMD_LOG_LEVEL": "debug"})
        # It ends, so that nothing holds the pipes that it was given ...
        assert container.exec(epmd_binary, "-daemon", env=env).returncode == 0
        assert container.exec(epmd_binary, "-names", env=env).returncode == 0
        # ... and yet what the daemon says comes out.
        container.wait_line(r"epmd debug: serving port 4369$")


def parsed(lines):
    return [json.loads(line) for line in lines]


def test_json_is_an_object_a_line_whatever_bytes_come(epmd, epmd_binary, tmp_path):
    peers = tmp_path / "peers"
    peers.write_bytes(b"10.77.0.1 \xff\xfe\"pod\\\n")
    env = {"ERL_EPMD_LOG_FORMAT": "json", "ERL_EPMD_LOG_LEVEL": "debug", "ERL_EPMD_BASENAME": "s\xe4mple",
           "ERL_EPMD_DISCOVERY": f"file:{peers}"}
    daemon = epmd(epmd_binary, env={**env, "ERL_EPMD_\udcff\udc80": "x"})
    with daemon.register("sample", 41001):
        daemon.register("sample", 41002)
        daemon.request(wire.port2("x" * 300))
        daemon.wait_log("too long")
    daemon.wait_log("is taken")
    rows = parsed(daemon.log_lines())
    assert all({"time", "level", "message"} <= set(row) for row in rows)
    taken = next(row for row in rows if "is taken" in row["message"])
    assert re.fullmatch(r"127\.0\.0\.1:\d+", taken["about"]) and taken["message"].startswith(taken["about"] + ": ")
    assert taken["level"] == "info" and re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", taken["time"])
    assert any("\N{REPLACEMENT CHARACTER}" in row["message"] for row in rows), rows


def test_a_form_that_is_none(epmd_binary):
    done = subprocess.run([epmd_binary, "-port", "1"], env=clean_env({"ERL_EPMD_LOG_FORMAT": "xml"}),
                          capture_output=True, text=True, timeout=10, check=False)
    assert done.returncode == 1
    assert done.stderr == "epmd: ERL_EPMD_LOG_FORMAT=xml is wrong: give text or json\n"


def test_a_client_cannot_flood_the_log(epmd, epmd_binary):
    daemon = epmd(epmd_binary, args=["-log_level", "info"])
    for _ in range(20 * BURST):
        assert daemon.request(b"\0\1Q") == b""
    with daemon.register("sample", 41001):
        daemon.register("sample", 41002)
    daemon.wait_log("is taken")
    lines = [line for line in daemon.log_lines() if "closed" in line]
    assert BURST <= len(lines) < 10 * BURST
    assert "more like it are counted, not logged" in lines[BURST - 1]
    # Sooner or later one passes again, and says how many did not.
    until(lambda: daemon.request(b"\0\1Q") == b"" and re.search(r"\d+ like it were not logged", daemon.log_lines()[-1]),
          PATIENCE, "a line that passes", every=0.2)


def test_no_secret_is_ever_said(member, sample_api, tmp_path):
    cookie, other = f"cookie{secrets.token_hex(12)}", f"other{secrets.token_hex(12)}"
    token = sample_api.a_token()
    env = {"ERL_EPMD_LOG_LEVEL": "debug", "ERL_EPMD_STATUS_ADDRESS": ":9090"}
    members = [member(cookie=cookie, env=env), member(cookie=cookie, env={**env, "ERL_EPMD_LOG_FORMAT": "json"})]
    await_mesh(members, 30)
    stranger = member(cookie=other, env={**env, "RELEASE_COOKIE": other})
    members[0].wait_peer(stranger, "cookie", timeout=60)
    members[0].beam.close()
    members[1].wait_log("fell", timeout=PATIENCE)
    said = ""
    for one in [*members, stranger]:
        said += one.log_text()
        with contextlib.suppress(OSError, BeamError):
            said += one.epmd("-peers").stdout
            said += probe.ask(9090, "/status", pod=one.pod).body + probe.ask(9090, "/metrics", pod=one.pod).body
    assert "dials" in said and "joined with" in said and "GET /apis" in said and "epmd_build_info" in said
    for secret in (cookie, other, token):
        assert secret and secret not in said
