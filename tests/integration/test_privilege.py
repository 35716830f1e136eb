"""No more privileges than it needs: what the running daemon may do, and where it runs."""

import json
import os
import pathlib
import re
import shutil
import subprocess

import pytest
from lab import restricted
from lab.beam import Beam
from lab.daemonized import Daemonized
from lab.epmd import Epmd
from lab.restricted import USER, RestrictedPod
from lab.sidecar import ACCOUNT
from lab.wait import until

NONE = "0" * 16
DAC_READ_SEARCH = f"{1 << 2:016x}"
DAC_BOTH = f"{1 << 1 | 1 << 2:016x}"
NOBODY = ["setpriv", "--reuid", str(USER), "--regid", str(USER), "--clear-groups"]


def status(pid):
    text = pathlib.Path(f"/proc/{pid}/status").read_text()
    return dict(re.findall(r"^(\w+):\t(.*)$", text, re.MULTILINE))


def capabilities(pid):
    return {status(pid)[f"Cap{kind}"] for kind in ("Inh", "Prm", "Eff", "Bnd", "Amb")}


def needs_root():
    if os.geteuid() != 0:
        pytest.skip("needs root, which has something to give up")
    if not shutil.which("setpriv"):
        pytest.skip("no setpriv (util-linux) here")


@pytest.fixture
def nobodys(epmd_binary, tmp_path_factory):
    """Makes an epmd that runs as another user, with the words of setpriv(1) that are given."""
    needs_root()
    folder = tmp_path_factory.mktemp("nobody")
    for parent in (folder, *folder.parents[:2]):
        parent.chmod(0o755)
    shutil.copy(epmd_binary, folder / "itself")

    def make(*words):
        script = folder / "epmd"
        script.write_text(f"#!/bin/sh\nexec {' '.join([*NOBODY, *words])} {folder}/itself \"$@\"\n")
        script.chmod(0o755)
        return str(script)

    return make


def test_root_keeps_nothing(epmd, epmd_binary):
    needs_root()
    daemon = epmd(epmd_binary, args=["-d"])
    daemon.wait_log("privileges: no new privileges, no capabilities, not dumpable; keeper: none")
    assert status(daemon.process.pid)["NoNewPrivs"] == "1"
    assert capabilities(daemon.process.pid) == {NONE}


def test_the_keeper_keeps_nothing_either(epmd_binary):
    needs_root()
    daemon = Daemonized(epmd_binary)
    try:
        daemon.wait_up()
        assert len(daemon.session()) == 2
        for pid in daemon.session():
            assert status(pid)["NoNewPrivs"] == "1"
            assert capabilities(pid) == {NONE}
    finally:
        daemon.end()


@pytest.mark.parametrize("hosts_file, kept", [(False, DAC_READ_SEARCH), (True, DAC_BOTH)], ids=["reads", "writes"])
def test_root_that_discovers_keeps_what_files_of_others_need(epmd, epmd_binary, tmp_path, hosts_file, kept):
    """Cookies and tokens that are not root's; a container's root often cannot read them otherwise."""
    needs_root()
    (tmp_path / "peers").write_text("10.9.0.1\n")
    env = {"ERL_EPMD_DISCOVERY": f"file:{tmp_path}/peers", "ERL_EPMD_BASENAME": "sample",
           **({"ERL_EPMD_HOSTS_FILE": f"{tmp_path}/hosts"} if hosts_file else {})}
    daemon = epmd(epmd_binary, env=env)
    daemon.wait_log("privileges: no new privileges, .*CAP_DAC_READ_SEARCH, not dumpable")
    held = status(daemon.process.pid)
    assert {held["CapPrm"], held["CapEff"], held["CapBnd"]} == {kept}
    shown = daemon.cli("-peers").stdout
    assert re.search("^privileges: no new privileges, .*CAP_DAC_READ_SEARCH, not dumpable$", shown, re.MULTILINE)
    assert "\nkeeper: none\n" in shown
    said = json.loads(daemon.cli("-peers", "-json").stdout)["epmd"]
    assert said["privileges"] in shown and said["keeper"] == "none"
    assert {held["CapInh"], held["CapAmb"]} == {NONE}


def test_another_user_has_nothing_to_give_up(epmd, nobodys):
    daemon = epmd(nobodys(), args=["-d"])
    daemon.wait_log("privileges: no new privileges, no capabilities, not dumpable")
    held = status(daemon.process.pid)
    assert (held["NoNewPrivs"], held["CapPrm"]) == ("1", NONE)
    # A process that is not dumpable is shown as root's, whoever runs it (proc(5)).
    assert os.stat(f"/proc/{daemon.process.pid}/environ").st_uid == 0


def test_a_low_port_is_bound_before_the_capability_for_it_goes(network, nobodys, closing):
    pod = network.pod()
    binary = nobodys("--inh-caps=+net_bind_service", "--ambient-caps=+net_bind_service")
    daemon = closing.enter_context(Epmd(binary, pod=pod, port=99, args=["-d"]))
    assert daemon.names() == []
    held = status(daemon.process.pid)
    assert {held[f"Cap{kind}"] for kind in ("Prm", "Eff", "Inh", "Amb")} == {NONE}


def test_a_low_status_port_is_what_root_keeps_the_capability_for(network, epmd_binary, closing):
    needs_root()
    pod = network.pod()
    daemon = closing.enter_context(Epmd(epmd_binary, pod=pod, port=4369, env={"ERL_EPMD_STATUS_ADDRESS": ":99"}))
    pod.connect(pod.ip, 99).close()
    assert status(daemon.process.pid)["CapPrm"] == f"{1 << 10:016x}"


@pytest.fixture
def contained(network, sample_api, tmp_path, erl, closing):
    """Makes nodes of the Service, each PID 1 of a container as "restricted" wants it; it starts our epmd."""
    reason = restricted.unavailable()
    if reason:
        pytest.skip(reason)
    otp = os.path.dirname(os.path.dirname(str(erl)))
    for folder in (pathlib.Path(otp), *pathlib.Path(otp).parents[:2]):
        folder.chmod(0o755)
    account = tmp_path / "account"
    sample_api.service_account_dir(str(account))

    def make():
        pod = closing.enter_context(RestrictedPod(network.pod(), {otp: otp, ACCOUNT: str(account)}))
        sample_api.add_pod("sample", pod.ip)
        env = {"ERL_EPMD_DISCOVERY": "kubernetes", "ERL_EPMD_SELECTOR": "app=sample",
               "RELEASE_COOKIE": "lab", **sample_api.env()}
        return closing.enter_context(Beam(pod, erl=erl, env=env, start_epmd=True))

    return make


def test_under_the_restricted_profile_of_kubernetes_nodes_join(contained, epmd_binary):
    a, b = contained(), contained()
    for node, other in ((a, b), (b, a)):
        node.wait_started(60)
        node.wait_nodes({other.name}, 60)
    for node in (a, b):
        # The epmds log to the stderr of PID 1, which is the node's.
        node.wait_log("privileges: no new privileges, no capabilities, not dumpable; keeper: process", 20)
        programs = [pid for pid in node.pod.pod.processes()
                    if os.path.basename(os.readlink(f"/proc/{pid}/exe")) == "epmd"]
        assert len(programs) == 2
        for pid in programs:
            held = status(pid)
            assert held["Uid"].split() == [str(USER)] * 4
            assert (held["NoNewPrivs"], held["Seccomp"], held["CapBnd"], held["CapPrm"]) == ("1", "2", NONE, NONE)


def test_under_the_restricted_profile_the_keeper_keeps(contained):
    node = contained()
    node.wait_started(60)
    pod = node.pod.pod

    def server():
        return next((pid for pid in pod.processes()
                     if pathlib.Path(f"/proc/{pid}/comm").read_text() == "epmd\n"), None)

    before = server()
    os.kill(before, 9)
    until(lambda: server() not in (None, before), 20, "another server")
    node.wait_log("keeper: process .*, 1 restart so far", 20)
    until(lambda: "sample" in node.eval("net_adm:names()."), 20, "the node to register again")
