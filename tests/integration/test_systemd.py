"""Our units, under a real systemd."""

import pathlib
import re
import shutil
import signal
import subprocess
import threading

import pytest
from lab import systemd, wire
from lab.epmd import read_all
from lab.sidecar import ACCOUNT
from lab.wait import until

UNITS = pathlib.Path(__file__).resolve().parents[2] / "epmd/systemd"
PORT = 4369
SLOW = 30


@pytest.fixture
def units(tmp_path):
    folder = tmp_path / "units"
    folder.mkdir()
    shutil.copy(UNITS / "epmd.socket", folder)
    (folder / "epmd.service").write_text((UNITS / "epmd.service.in").read_text().replace("@bindir@", "/usr/bin"))
    return folder


@pytest.fixture
def boot(network, units, epmd_binary, tmp_path, closing):
    reason = systemd.unavailable()
    if reason:
        pytest.skip(reason)

    def make(more=""):
        # Its folder is root's alone; the sandbox is shown the file where anybody may run it.
        binds = f"BindReadOnlyPaths={epmd_binary}:/opt/epmd\n"
        booted = closing.enter_context(systemd.Systemd(network.pod(), units, "/opt/epmd", binds + more))
        done = booted.systemctl("start", "epmd.socket")
        assert done.returncode == 0, done.stderr + booted.log()
        return booted

    return make


def names(booted):
    with booted.pod.connect("127.0.0.1", PORT) as connection:
        connection.sendall(wire.names())
        return read_all(connection)


def test_the_units_are_what_systemd_understands(units):
    if not shutil.which("systemd-analyze"):
        pytest.skip("no systemd-analyze")
    text = (units / "epmd.service").read_text()
    (units / "epmd.service").write_text(text.replace("/usr/bin/epmd", "/usr/bin/true"))
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", str(units / "epmd.service"),
                           str(units / "epmd.socket")], capture_output=True, text=True, timeout=60)
    assert [line for line in done.stderr.splitlines() if "epmd." in line] == []


def test_every_line_of_the_sandbox_stands_below_its_reason(units):
    sandbox = (units / "epmd.service").read_text().partition("# --- the sandbox")[2].partition("[Install]")[0]
    lines = [line for line in sandbox.splitlines()[1:] if line]
    kinds = "".join("#" if line.startswith("#") else "=" for line in lines)
    assert kinds.startswith("#") and max(map(len, kinds.split("#"))) <= 6


def test_it_is_started_by_the_first_question_and_sandboxed(boot):
    booted = boot()
    assert booted.show("epmd.service", "ActiveState") == "inactive"
    assert names(booted) == PORT.to_bytes(4, "big")
    until(lambda: booted.show("epmd.service", "ActiveState") == "active", SLOW, "it to say that it serves")
    status = dict(re.findall(r"^(\w+):\t(.*)$", booted.status(), re.MULTILINE))
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
    assert {status[f"Cap{kind}"] for kind in ("Inh", "Prm", "Eff", "Bnd", "Amb")} == {"0" * 16}
    assert status["Uid"].split()[0] != "0"
    assert "privileges: no new privileges, no capabilities, not dumpable; keeper: none" in booted.epmd_log()
    assert "cannot be given up" not in booted.epmd_log()


class Client(threading.Thread):
    """Asks on and on, from a connection of its own each time."""

    def __init__(self, booted):
        super().__init__(daemon=True)
        self.booted, self.ended, self.asked, self.refused = booted, threading.Event(), 0, []
        self.start()

    def run(self):
        while not self.ended.is_set():
            try:
                names(self.booted)
                self.asked += 1
            except OSError as error:
                self.refused.append(error)

    def end(self):
        self.ended.set()
        self.join(SLOW)
        return self.refused


def test_a_restart_refuses_no_connection(boot):
    booted = boot()
    names(booted)
    client = Client(booted)
    for _ in range(4):
        asked = client.asked
        before = booted.main_pid()
        done = booted.systemctl("restart", "epmd.service")
        assert done.returncode == 0, done.stderr + booted.log()
        assert booted.main_pid() not in (0, before)
        until(lambda: client.asked > asked + 10, SLOW, "clients to go on")
    assert client.end() == []


def test_after_a_crash_it_is_there_again_and_nobody_was_refused(boot):
    booted = boot()
    names(booted)
    client = Client(booted)
    before = booted.main_pid()
    booted.systemctl("kill", "--signal=KILL", "epmd.service")
    until(lambda: booted.main_pid() not in (0, before), SLOW, "another")
    assert names(booted) == PORT.to_bytes(4, "big")
    assert [error for error in client.end() if isinstance(error, ConnectionRefusedError)] == []


def test_nodes_come_back_after_a_restart(boot, beam):
    booted = boot()
    node = beam(booted.pod, name="a@127.0.0.1", start_epmd=False)
    node.wait_started()
    before = names(booted)
    assert b"name a at port" in before
    booted.systemctl("restart", "epmd.service")
    until(lambda: names(booted) == before, SLOW, "the node to register again")


def test_a_crash_loop_closes_the_port(boot):
    """Rather than to let clients wait in front of it for ever."""
    booted = boot("ExecStart=\nExecStart=/usr/bin/false\n")
    with booted.pod.connect("127.0.0.1", PORT):
        until(lambda: booted.show("epmd.socket", "ActiveState") == "failed", SLOW, "the socket to be given up")
    with pytest.raises(ConnectionRefusedError):
        names(booted)


def test_one_that_hangs_is_replaced(boot):
    booted = boot("WatchdogSec=1\n")
    names(booted)
    until(lambda: booted.show("epmd.service", "ActiveState") == "active", SLOW, "it to say that it serves")
    before = booted.main_pid()
    booted.systemctl("kill", f"--signal={signal.SIGSTOP:d}", "epmd.service")
    until(lambda: booted.main_pid() not in (0, before), SLOW, "another")
    assert names(booted) == PORT.to_bytes(4, "big")


def test_it_discovers_inside_the_sandbox(boot, sample_api, tmp_path):
    account = tmp_path / "account"
    sample_api.service_account_dir(str(account))
    sample_api.add_pod("sample", "10.9.0.1")
    settings = {"ERL_EPMD_DISCOVERY": "kubernetes", "ERL_EPMD_SELECTOR": "app=sample", "ERL_EPMD_DIST": 9100,
                "ERL_EPMD_BASENAME": "sample", **sample_api.env()}
    booted = boot(f"BindReadOnlyPaths={account}:{ACCOUNT}\n"
                  + "".join(f"Environment={name}={value}\n" for name, value in settings.items()))
    until(lambda: b"name sample@10.9.0.1 at port 9100" in names(booted), SLOW, "the peer")
