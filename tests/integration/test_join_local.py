"""epmd and the node that it links to, which is a scripted one here: what it asks, what it makes of the
answers, and what a node that misbehaves does to it."""

import os
import pathlib
import re
import shutil
import struct
import subprocess
import tempfile
import time

import pytest

from lab import blind, wire
from lab.scripted_node import OTP_25, PUBLISHED, TICK, LocalNode, challenge, frame, message
from lab.sidecar import PORT, account_pod, count_log, discovering
from lab.terms import Atom, Raw
from lab.wait import until
from test_join_looks import OK, scripted  # noqa: F401 (a fixture)

UNDEFINED_FUNCTION = (Atom("badrpc"), (Atom("EXIT"), Atom("undef")))
CONNECTION = Raw(bytes([120, 119, 1, 120]) + struct.pack(">QI", 7, 1))  # a port, as dist_ctrl shows them
FRACTION = Raw(b"\x46" + struct.pack(">d", 1.5))
ANOTHER = Raw(bytes([120, 119, 1, 120]) + struct.pack(">QI", 8, 1))


class Scene:
    """A pod with our epmd in the foreground and one scripted node that is registered with it."""

    def __init__(self, pod, daemon, node, registration):
        self.pod, self.daemon, self.node, self.registration = pod, daemon, node, registration

    def wait_linked(self, times=1):
        until(lambda: self.node.links >= times, 10, f"link number {times}:\n" + "\n".join(self.daemon.log_lines()))

    def wait_called(self, function, times=1):
        until(lambda: len(self.node.called(function)) >= times, 10,
              f"{function} to be called {times} times; so far: {self.node.calls}")


@pytest.fixture
def scene(network, sample_api, epmd_binary, tmp_path, closing):
    """Makes a Scene; what is given is LocalNode's, but for `env`."""
    def make(env=None, name=None, registered="sample", **node):
        pod = account_pod(network, sample_api, tmp_path / "account")
        env = {"RELEASE_COOKIE": "lab", "ERL_EPMD_LOG_LEVEL": "debug", **(env or {})}
        daemon = closing.enter_context(discovering(epmd_binary, pod, sample_api, env=env))
        local = closing.enter_context(LocalNode(pod, name or f"sample@{pod.ip}", **node))
        registration = closing.enter_context(daemon.register(registered, local.port))
        return Scene(pod, daemon, local, registration)

    return make


@pytest.fixture
def peer(scripted):  # noqa: F811
    """A peer that may be dialled."""
    return lambda: scripted(lambda name: OK + challenge(name))


def dials(scene):
    return scene.node.called("net_kernel:connect_node")


# --- from the registration to the link -------------------------------------------------------------


def test_it_asks_what_it_must_know_and_then_whom_it_is_connected_with(scene):
    one = scene()
    one.wait_called("erlang:system_info", 2)
    assert [name for name, _ in one.node.calls[:6]] == [
        "erlang:system_info", *["application:get_env"] * 3, "init:get_status", "erlang:system_info"]
    one.daemon.wait_log(r"linked to it \(OTP 25, cookie from RELEASE_COOKIE\)")


def test_a_refused_cookie_is_said_once_and_not_tried_again_soon(scene):
    one = scene(cookie="another")
    one.daemon.wait_log("it refuses the cookie from RELEASE_COOKIE: .*ERL_EPMD_COOKIE_FILE")
    assert one.node.refused == 1
    # A new registration is another chance.
    one.registration.close()
    with one.daemon.register("sample", one.node.port):
        until(lambda: one.node.refused == 2, 5, "another attempt")


def test_a_node_that_does_not_know_the_cookie_itself_is_not_believed(scene):
    one = scene(ack=False)
    one.daemon.wait_log("it refuses the cookie")
    assert one.node.calls == []


def test_a_node_that_is_hidden_is_left_alone(scene):
    one = scene(flags=OTP_25 & ~PUBLISHED)
    one.daemon.wait_log("it is a hidden node")
    assert one.node.links == 0


def test_another_name_is_not_the_node(scene):
    one = scene(name="other@10.1.0.2")
    one.daemon.wait_log("no such node listens at port")
    assert one.node.links == 0


def test_names_that_are_no_basenames_are_left_alone(scene):
    one = scene(name="worker@10.1.0.2", registered="worker")
    with one.daemon.register("sample", 1):
        one.daemon.wait_log("no such node listens at port 1 ")
    assert one.node.links == 0


def test_no_cookie_names_the_places(scene):
    one = scene(env={"RELEASE_COOKIE": "", "HOME": "/nonexistent"})
    one.daemon.wait_log("not joining its peers: .*cookie.*ERL_EPMD_COOKIE_FILE")


# --- the link -----------------------------------------------------------------------------------------


def test_ticks_are_answered(scene):
    one = scene(sends=[TICK, TICK])
    until(lambda: one.node.ticks >= 1, 5, "a tick back")


def test_messages_for_others_are_passed_over(scene):
    stray = [message((1, Atom("link")), Atom("x")), message((2, Atom(""), Atom("nobody")), (Atom("rex"), Atom("x")))]
    one = scene(sends=stray[:1])
    one.wait_called("init:get_status")
    assert count_log(one.daemon, "closed the connection|no message") == 0


@pytest.mark.parametrize("sent, said", [
    (struct.pack(">I", 5) + b"zzzzz", "no message of the protocol"),
    (struct.pack(">I", 0x7fffffff), "too long")], ids=["garbage", "a length without end"])
def test_what_breaks_the_protocol_ends_the_link_and_a_new_one_is_made(scene, sent, said):
    one = scene(sends=[sent])
    one.daemon.wait_log(said)
    one.node.sends = []
    one.wait_linked(2)
    one.wait_called("init:get_status")


def test_a_link_that_ends_is_made_again(scene):
    one = scene()
    one.wait_called("erlang:system_info", 2)
    one.node.hang_up()
    one.daemon.wait_log("it closed the connection")
    one.wait_linked(2)


def test_with_the_registration_the_link_ends(scene):
    one = scene()
    one.wait_called("erlang:system_info", 2)
    one.registration.close()
    until(lambda: one.daemon.names() == [], 5, "the node to leave")
    calls = len(one.node.calls)
    one.node.hang_up()
    assert one.node.links == 1 and len(one.node.calls) <= calls + 1


@pytest.mark.parametrize("answer", [Atom("surprise"), UNDEFINED_FUNCTION, [Atom("x")], [(Atom("x"),)]],
                         ids=["atom", "badrpc", "atoms", "short tuples"])
def test_an_answer_of_another_form_begins_again(scene, answer):
    one = scene(answers={"erlang:system_info": lambda what: "25" if what == "otp_release" else answer})
    one.daemon.wait_log("does not say whom it is connected with")
    one.wait_linked(2)


def test_applications_are_awaited(scene, peer):
    status = {"now": Atom("starting")}
    one = scene(answers={"init:get_status": lambda: (status["now"], Atom("started"))})
    far = peer()
    one.wait_called("init:get_status", 5)
    assert dials(one) == []
    status["now"] = Atom("started")
    one.wait_called("net_kernel:connect_node")
    assert dials(one) == [[Atom(far.full_name)]]


# --- dialling -----------------------------------------------------------------------------------------


def test_who_is_connected_is_not_dialled(scene, peer):
    far = peer()
    one = scene(answers={"net_kernel:connect_node": Atom("true")})
    one.node.connections[far.full_name] = CONNECTION
    one.daemon.wait_log(f"joined with {far.full_name}")
    assert dials(one) in ([], [[Atom(far.full_name)]])


def test_a_refused_dial_is_the_cookie_if_the_node_finds_the_way(scene, peer):
    far = peer()
    one = scene(answers={"net_kernel:connect_node": Atom("false"),
                         "erl_epmd:port_please": (Atom("port"), 1, 6)})
    one.daemon.wait_log(f"not joined with {far.full_name} .*cookie: the two refuse each other's")
    assert one.node.called("erl_epmd:port_please") == [[Atom("sample"), Atom(far.full_name.split("@")[1])]]
    assert len(dials(one)) == 1


@pytest.mark.parametrize("answer, said", [
    (Atom("noport"), "knows no such node"),
    ((Atom("error"), Atom("nxdomain")), r"\(nxdomain\): can its host name be resolved"),
    (UNDEFINED_FUNCTION, r"\(\?\)")], ids=["noport", "nxdomain", "badrpc"])
def test_a_refused_dial_is_the_name_if_the_node_does_not(scene, peer, answer, said):
    peer()
    one = scene(answers={"net_kernel:connect_node": Atom("false"), "erl_epmd:port_please": answer})
    one.daemon.wait_log("unresolved: .*" + said)


def test_a_link_that_falls_is_not_made_again_at_once(scene, peer):
    far = peer()
    one = scene(answers={"net_kernel:connect_node": Atom("true")})
    one.node.connections[far.full_name] = CONNECTION
    one.daemon.wait_log(f"joined with {far.full_name}")
    before = len(dials(one))
    one.wait_called("erlang:system_info", 3)
    one.node.connections.clear()
    one.daemon.wait_log(f"the link with {far.full_name} .*fell")
    heard = len(far.heard)
    until(lambda: len(far.heard) > heard, 10, "a look at the peer")
    one.wait_called("erlang:system_info", len(one.node.called("erlang:system_info")) + 3)
    assert len(dials(one)) == before


def test_a_link_that_was_made_again_between_two_questions_fell(scene, peer):
    """Or its flapping would go unseen, and the breaker with it."""
    far = peer()
    one = scene(answers={"net_kernel:connect_node": Atom("true")})
    name = far.full_name
    one.node.connections[name] = CONNECTION
    one.daemon.wait_log(f"joined with {name}")
    one.wait_called("erlang:system_info", len(one.node.called("erlang:system_info")) + 2)
    for number, connection in enumerate([ANOTHER, CONNECTION, ANOTHER], 1):
        one.node.connections[name] = connection
        until(lambda number=number: count_log(one.daemon, f"the link with {name} .*fell") == number, 10,
              f"fall {number}")
        one.wait_called("erlang:system_info", len(one.node.called("erlang:system_info")) + 2)
    one.daemon.wait_log(f"not joined with {name} .*unstable: the link fell 3 times in a row")


def test_a_dial_that_is_cut_short_with_the_link_is_begun_again(scene, peer):
    peer()
    one = scene(answers={"net_kernel:connect_node": None})
    one.wait_called("net_kernel:connect_node")
    one.node.hang_up()
    one.wait_linked(2)
    one.wait_called("net_kernel:connect_node", 2)


# --- whose nodes and whose eyes ------------------------------------------------------------------------

NOBODY = 65534


@pytest.fixture
def nobodys_epmd(epmd_binary):
    """Our epmd as a program that another user runs."""
    if not shutil.which("setpriv"):
        pytest.skip("no setpriv (util-linux) here")
    with tempfile.TemporaryDirectory(prefix="kepmd-nobody-") as folder:
        os.chmod(folder, 0o755)
        shutil.copy(epmd_binary, f"{folder}/epmd-itself")
        script = pathlib.Path(folder, "epmd")
        script.write_text("#!/bin/sh\n"
                          f"exec setpriv --reuid {NOBODY} --regid {NOBODY} --clear-groups {folder}/epmd-itself \"$@\"\n")
        script.chmod(0o755)
        yield str(script)


def test_a_node_of_another_user_is_left_alone_and_nobody_looks_into_us(
        network, sample_api, nobodys_epmd, tmp_path, closing):
    pod = account_pod(network, sample_api, tmp_path / "account")
    daemon = closing.enter_context(discovering(nobodys_epmd, pod, sample_api, env={"RELEASE_COOKIE": "lab"}))
    node = closing.enter_context(LocalNode(pod, f"sample@{pod.ip}"))
    closing.enter_context(daemon.register("sample", node.port))
    daemon.wait_log("it is run by another user than epmd")
    assert node.links == 0
    # A process that is not dumpable is shown as root's, whoever runs it (proc(5)).
    assert os.stat(f"/proc/{daemon.process.pid}/environ").st_uid == 0
    assert f"Uid:\t{NOBODY}" in pathlib.Path(f"/proc/{daemon.process.pid}/status").read_text()


@pytest.fixture
def blinded(tmp_path):
    """Makes a program of one that shall not see so much: what, says lab/blind.py."""
    def make(program, *how):
        script = tmp_path / "blinded"
        script.write_text(f"#!/bin/sh\nexec /usr/bin/python3 {blind.__file__} {' '.join(how)} {program} \"$@\"\n")
        script.chmod(0o755)
        return script
    return make


NO_PROC = {"ASAN_OPTIONS": "detect_leaks=0"}  # that wants /proc
UNKNOWN = r"not to be found out: the kernel does not say \(sock_diag\), nor does /proc/net/tcp"


@pytest.mark.parametrize("how, said", [
    (["--no-proc"], "it is run by another user than epmd"),
    (["--mute"], "it is run by another user than epmd"),
    (["--no-proc", "--mute"], f"who runs it is {UNKNOWN}")], ids=["no proc", "mute", "both"])
def test_who_runs_a_node_is_asked_of_the_kernel_and_read_in_proc(
        network, sample_api, nobodys_epmd, blinded, tmp_path, closing, how, said):
    pod = account_pod(network, sample_api, tmp_path / "account")
    daemon = closing.enter_context(discovering(blinded(nobodys_epmd, *how), pod, sample_api,
                                               env={"RELEASE_COOKIE": "lab", **NO_PROC}))
    node = closing.enter_context(LocalNode(pod, f"sample@{pod.ip}"))
    closing.enter_context(daemon.register("sample", node.port))
    daemon.wait_log(said)
    assert node.links == 0


def test_root_joins_a_node_that_nobody_knows_the_user_of(
        network, sample_api, epmd_binary, blinded, tmp_path, closing):
    pod = account_pod(network, sample_api, tmp_path / "account")
    daemon = closing.enter_context(discovering(blinded(epmd_binary, "--no-proc", "--mute"), pod, sample_api,
                                               env={"RELEASE_COOKIE": "lab", **NO_PROC}))
    node = closing.enter_context(LocalNode(pod, f"sample@{pod.ip}"))
    closing.enter_context(daemon.register("sample", node.port))
    until(lambda: node.links, 10, "the link")
    # But nobody else switches joining: it may be anybody.
    refused = pod.run([epmd_binary, "-join", "off"])
    assert refused.returncode == 1 and re.search(UNKNOWN + ": start epmd with ERL_EPMD_JOIN", refused.stderr)


def as_nobody(pod, script, *words):
    return pod.popen(["setpriv", "--reuid", NOBODY, "--regid", NOBODY, "--clear-groups", "/usr/bin/python3", "-c",
                      script, *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE)


REGISTER = """
import socket, sys
epmd = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
epmd.sendall(bytes.fromhex(sys.argv[2]))
print(epmd.recv(6).hex(), flush=True)
sys.stdin.read()
"""


def test_a_digest_is_for_nobody_but_who_registered(network, sample_api, nobodys_epmd, tmp_path, closing):
    """Another user's process that listens where the node is looked for could hand our digest on as its own."""
    pod = account_pod(network, sample_api, tmp_path / "account")
    daemon = closing.enter_context(discovering(nobodys_epmd, pod, sample_api, env={"RELEASE_COOKIE": "lab"}))
    impostor = closing.enter_context(LocalNode(pod, f"sample@{pod.ip}"))
    node = as_nobody(pod, REGISTER, str(PORT), wire.alive2("sample", impostor.port).hex())
    try:
        assert node.stdout.readline()
        daemon.wait_log("what listens there is not run by who registered")
        assert (impostor.links, impostor.refused) == (0, 0)
    finally:
        node.communicate()


def test_only_its_own_user_and_root_switch_joining(network, sample_api, epmd_binary, nobodys_epmd, tmp_path, closing):
    pod = account_pod(network, sample_api, tmp_path / "account")
    closing.enter_context(discovering(epmd_binary, pod, sample_api))
    refused = pod.run([nobodys_epmd, "-join", "off"])
    assert refused.returncode == 1 and "for root and for the user who runs this epmd" in refused.stderr
    assert pod.run([nobodys_epmd, "-peers"]).returncode == 0
    assert pod.run([epmd_binary, "-join", "off"]).stdout == "joining is off\n"


def test_a_node_that_sends_ticks_and_does_not_read_costs_no_memory(scene):
    one = scene(deaf=True)
    until(lambda: one.node.flooded > 8 << 20, 20, "8 MB of ticks to be taken")
    with open(f"/proc/{one.daemon.process.pid}/smaps_rollup", encoding="ascii") as rollup:
        private = sum(int(line.split()[1]) for line in rollup if line.startswith("Private_Dirty"))
    assert private < 60 << 10  # KB; under a sanitizer too


def test_one_that_hangs_up_late_has_not_refused_the_cookie(scene):
    one = scene(hang_up_after=2.5)
    one.daemon.wait_log(r"it gave the handshake up after \d+ ms: .*net_setuptime", timeout=10)
    one.wait_linked(1)


def test_one_that_hangs_up_before_it_reads_has_not_refused_the_cookie(scene):
    one = scene(hang_up_unread=True)
    one.daemon.wait_log("it hung up before it had read our digest")
    one.wait_linked(1)


@pytest.mark.parametrize("setup_time, silence", [
    (2, True), (FRACTION, True), (30, False), (0, False), (Atom("infinity"), False)],
    ids=["2", "a fraction", "30", "0", "infinity"])
def test_a_dial_that_took_as_long_as_the_node_waits_met_silence(scene, peer, setup_time, silence):
    """-kernel net_setuptime"""
    def slow_refusal(_):
        time.sleep(2)
        return Atom("false")

    def setting(_, key):
        return (Atom("ok"), setup_time) if key == "net_setuptime" else Atom("undefined")

    far = peer()
    one = scene(answers={"application:get_env": setting, "net_kernel:connect_node": slow_refusal,
                         "erl_epmd:port_please": (Atom("port"), 1, 6)})
    one.daemon.wait_log(f"not joined with {far.full_name} .*" + ("ended in silence" if silence else "cookie"))


def test_dist_auto_connect_once_is_heeded(scene, peer):
    peer()
    one = scene(answers={"application:get_env": (Atom("ok"), Atom("once"))})
    one.daemon.wait_log("-kernel dist_auto_connect once")
    assert dials(one) == []


def test_one_that_does_not_answer_is_given_up_and_begun_with_again(scene):
    one = scene(answers={"erlang:system_info": None})
    one.daemon.wait_log("it does not answer what it is asked", timeout=60)
    one.wait_linked(2)


def test_the_cookie_file_may_be_given_from_the_starting_folder(network, sample_api, epmd_binary, tmp_path, closing):
    pod = account_pod(network, sample_api, tmp_path / "account")
    (tmp_path / "cookie").write_text("lab\n")
    log = tmp_path / "log"
    env = {"ERL_EPMD_DISCOVERY": "kubernetes", "ERL_EPMD_SELECTOR": "app=sample", "ERL_EPMD_BASENAME": "sample",
           "ERL_EPMD_COOKIE_FILE": "cookie", "ERL_EPMD_LOG": str(log), **sample_api.env()}
    pod.run([epmd_binary, "-daemon"], env=env, check=True, cwd=str(tmp_path))
    node = closing.enter_context(LocalNode(pod, f"sample@{pod.ip}"))
    with pod.connect("127.0.0.1", PORT) as connection:
        connection.sendall(wire.alive2("sample", node.port))
        until(lambda: node.links, 10, "the link")
        until(lambda: f"{tmp_path}/cookie): joining" in log.read_text(), 10, "the cookie's place to be logged")
