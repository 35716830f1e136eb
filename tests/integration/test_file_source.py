"""ERL_EPMD_DISCOVERY=file:PATH: peers from a file, however it is changed and whatever befalls it."""

import json
import os
import subprocess
import time

import pytest

from lab.epmd import free_port
from lab.member import Member, await_mesh
from lab.namespace import clean_env
from lab.sidecar import await_discovered, count_log, discovered
from lab.wait import until

DIST = 9100
SETTLE_S = 1  # discovery/peerset.h
POLL_S = 3  # discovery/file.c
YOUNG_S = 2  # discovery/file.c
DEBOUNCE_S = 0.1
NOTICED_S = 2  # well before the next poll would: by inotify


@pytest.fixture
def path(tmp_path):
    (tmp_path / "peers").mkdir()
    return tmp_path / "peers" / "list"


@pytest.fixture
def daemon(epmd_binary, epmd, path):
    def start(where=path, **env):
        return epmd(epmd_binary, env={"ERL_EPMD_DISCOVERY": f"file:{where}", "ERL_EPMD_BASENAME": "sample",
                                      "ERL_EPMD_DIST": str(DIST), **env})
    return start


def lines(*addresses):
    return "".join(f"{address}\n" for address in addresses)


def nodes(*addresses):
    return {f"sample@{address}": DIST for address in addresses}


def replace(path, text):
    """By renaming, as everyone should."""
    fresh = path.with_name(".fresh")
    fresh.write_text(text)
    fresh.rename(path)


def slice_list(*addresses):
    endpoints = [{"addresses": [address], "conditions": {"ready": True}} for address in addresses]
    return json.dumps({"apiVersion": "v1", "kind": "List", "metadata": {"resourceVersion": ""}, "items": [
        {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
         "metadata": {"name": "sample-1", "namespace": "default",
                      "labels": {"kubernetes.io/service-name": "sample"}},
         "endpoints": endpoints, "ports": None}]}, indent=4)


def stays(daemon, wanted, seconds=SETTLE_S + 0.5):
    """That nothing happens has no event to wait for."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        assert discovered(daemon) == wanted
        time.sleep(0.05)


def trouble(daemon):
    return [line for line in daemon.log_lines() if " error: " in line]


def readings(daemon):
    return count_log(daemon, "debug: .* is being read")


def wait_readings(daemon, n):
    """A file that was just changed when it was read is read once more, by the next poll; whether it
    was depends on how fast epmd started."""
    until(lambda: readings(daemon) >= n, 10, f"{n} readings")


# --- changes ------------------------------------------------------------------------------------


def test_lines_are_added_and_removed(daemon, path):
    path.write_text(lines("10.0.0.7", "fd00::8"))
    ours = daemon()
    await_discovered(ours, nodes("10.0.0.7", "fd00::8"))
    with open(path, "a", encoding="ascii") as file:
        file.write("10.0.0.9 # a third\n")
    await_discovered(ours, nodes("10.0.0.7", "fd00::8", "10.0.0.9"), NOTICED_S)
    path.write_text(lines("10.0.0.9"))
    await_discovered(ours, nodes("10.0.0.9"), SETTLE_S + NOTICED_S)
    assert trouble(ours) == []
    assert count_log(ours, "is read, peers: 2") == count_log(ours, "peers: ") == 1


def test_a_long_list_moves_up_without_a_flap(daemon, path):
    many = [f"10.0.{n // 200}.{n % 200 + 1}" for n in range(1000)]
    path.write_text(lines(*many))
    ours = daemon()
    await_discovered(ours, nodes(*many))
    replace(path, lines(*many[1:]))
    await_discovered(ours, nodes(*many[1:]), SETTLE_S + NOTICED_S)
    ours.wait_log(f"peer {many[0]} .* is gone")
    assert count_log(ours, "is gone") == 1
    assert count_log(ours, r"info: peer .* \(pod \?\)$") == len(many)


def test_a_list_that_changes_while_it_is_taken_in(daemon, path):
    """It is put bit by bit, which takes longer than noticing the next."""
    path.write_text(lines(*(f"10.{n // 200}.{n % 200}.1" for n in range(5000))))
    ours = daemon()
    ours.wait_log("peers: 5000")
    replace(path, lines("10.0.0.1", "10.0.0.2"))
    await_discovered(ours, nodes("10.0.0.1", "10.0.0.2"), 60)


def test_a_burst_of_changes_is_read_as_one(daemon, path):
    path.write_text(lines("10.0.0.7"))
    ours = daemon(ERL_EPMD_LOG_LEVEL="debug")
    await_discovered(ours, nodes("10.0.0.7"))
    before, begun = readings(ours), time.monotonic()
    for n in range(40):
        replace(path, lines("10.0.0.7", f"10.0.1.{n}"))
    took = time.monotonic() - begun
    ours.wait_log(r"peer 10\.0\.1\.39 ")
    assert readings(ours) <= before + took / DEBOUNCE_S + 3  # of which one may be the first list's, still young


def test_a_rename_over_it_is_seen(daemon, path):
    path.write_text(lines("10.0.0.7"))
    ours = daemon()
    await_discovered(ours, nodes("10.0.0.7"))
    replace(path, lines("10.0.0.7", "10.0.0.8"))
    await_discovered(ours, nodes("10.0.0.7", "10.0.0.8"), NOTICED_S)
    replace(path, lines("10.0.0.8"))
    await_discovered(ours, nodes("10.0.0.8"), SETTLE_S + NOTICED_S)


def mount(folder, version, text):
    """What the kubelet does with a ConfigMap (its AtomicWriter)."""
    (folder / version).mkdir()
    (folder / version / "list").write_text(text)
    (folder / "..data_tmp").symlink_to(version)
    (folder / "..data_tmp").rename(folder / "..data")


def test_the_swap_of_a_mounted_config_map_is_seen(daemon, path):
    mount(path.parent, "..1", lines("10.0.0.7"))
    path.symlink_to("..data/list")
    ours = daemon()
    await_discovered(ours, nodes("10.0.0.7"))
    mount(path.parent, "..2", lines("10.0.0.8", "10.0.0.7"))
    await_discovered(ours, nodes("10.0.0.7", "10.0.0.8"), NOTICED_S)


def test_what_a_link_leads_to_elsewhere_is_looked_at_now_and_then(daemon, path, tmp_path):
    (tmp_path / "elsewhere").write_text(lines("10.0.0.7"))
    path.symlink_to("../elsewhere")
    ours = daemon()
    await_discovered(ours, nodes("10.0.0.7"))
    (tmp_path / "elsewhere").write_text(lines("10.0.0.7", "10.0.0.8"))
    await_discovered(ours, nodes("10.0.0.7", "10.0.0.8"))


def test_a_folder_that_is_replaced_is_watched_again(daemon, path):
    path.write_text(lines("10.0.0.7"))
    ours = daemon()
    await_discovered(ours, nodes("10.0.0.7"))
    path.parent.rename(path.parent.with_name("old"))
    path.parent.mkdir()
    path.write_text(lines("10.0.0.8", "10.0.0.7"))
    await_discovered(ours, nodes("10.0.0.7", "10.0.0.8"))
    replace(path, lines("10.0.0.7", "10.0.0.8", "10.0.0.9"))
    await_discovered(ours, nodes("10.0.0.7", "10.0.0.8", "10.0.0.9"), NOTICED_S)


def test_a_relative_path_is_one_from_the_folder_of_the_start(epmd_binary, path):
    path.write_text(lines("10.0.0.7"))
    port = free_port()
    env = {"ERL_EPMD_ADDRESS": "127.0.0.1", "ERL_EPMD_PORT": str(port), "ERL_EPMD_DISCOVERY": "file:list",
           "ERL_EPMD_BASENAME": "sample", "ERL_EPMD_DIST": str(DIST), "ERL_EPMD_LOG": str(path.parent / "log")}

    def run(*args):
        return subprocess.run([epmd_binary, *args], env=clean_env(env), cwd=path.parent, timeout=10,
                              capture_output=True, text=True, check=True).stdout

    run("-daemon")
    try:
        until(lambda: "sample@10.0.0.7" in run("-names"), 5, "the peer")
        replace(path, lines("10.0.0.7", "10.0.0.8"))
        until(lambda: "sample@10.0.0.8" in run("-names"), NOTICED_S, "the second peer")
    finally:
        run("-kill")


# --- what is in it --------------------------------------------------------------------------------


def test_what_kubectl_prints_is_read(daemon, path):
    path.write_text(slice_list("10.0.0.7", "10.0.0.8"))
    ours = daemon(ERL_EPMD_HOST_MODE="dns")
    wanted = {f"sample@10-0-0-{n}.default.pod.cluster.local": DIST for n in (7, 8)}
    await_discovered(ours, wanted)
    replace(path, slice_list("10.0.0.8"))
    wanted.pop("sample@10-0-0-7.default.pod.cluster.local")
    await_discovered(ours, wanted, SETTLE_S + NOTICED_S)


def test_an_empty_file_means_no_peers(daemon, path):
    path.write_text(lines("10.0.0.7"))
    ours = daemon()
    await_discovered(ours, nodes("10.0.0.7"))
    replace(path, "# nobody\n")
    await_discovered(ours, {}, SETTLE_S + NOTICED_S)
    ours.wait_log(f"info: ERL_EPMD_DISCOVERY=file:{path} is read, peers: none")
    assert trouble(ours) == []


@pytest.mark.parametrize("mode, reason", [("dns", "no node name: its endpoint names no namespace"),
                                          ("hostname", "no node name: its endpoint has no hostname")])
def test_lines_have_no_other_names_than_addresses(daemon, path, mode, reason):
    path.write_text("10.0.0.7 sample-0\n")
    ours = daemon(ERL_EPMD_HOST_MODE=mode)
    ours.wait_log(rf"peer 10.0.0.7 \(pod sample-0\): {reason}")


def test_the_pods_name_is_shown(daemon, path):
    path.write_text("10.0.0.7 sample-0\n")
    ours = daemon()
    await_discovered(ours, nodes("10.0.0.7"))
    shown = ours.cli("-peers").stdout
    assert "sample@10.0.0.7" in shown and "pod sample-0" in shown and "joining is off" in shown


# --- trouble ----------------------------------------------------------------------------------------


def test_a_file_that_comes_later_is_read_then(daemon, path):
    ours = daemon()
    ours.wait_log(rf"error: ERL_EPMD_DISCOVERY=file:{path} is not there \(No such file or directory\): make it, .*"
                  r"\(peers until then: none\)")
    path.write_text(lines("10.0.0.7"))
    await_discovered(ours, nodes("10.0.0.7"), NOTICED_S)
    ours.wait_log(f"info: ERL_EPMD_DISCOVERY=file:{path} is good again, peers: 1")


def test_so_is_one_whose_folder_comes_later(daemon, path):
    path.parent.rmdir()
    ours = daemon()
    ours.wait_log("is not there")
    path.parent.mkdir()
    path.write_text(lines("10.0.0.7"))
    await_discovered(ours, nodes("10.0.0.7"))
    replace(path, lines("10.0.0.7", "10.0.0.8"))
    await_discovered(ours, nodes("10.0.0.7", "10.0.0.8"), NOTICED_S)


SPOILED = {
    "a word": (lines("10.0.0.7", "nobody", "10.0.0.8"), 'cannot be used: line 2: "nobody" is no address: give'),
    "JSON": (slice_list("10.0.0.7")[:-40], r"cannot be used: line \d+: no JSON: .*: give what \"kubectl"),
    "another kind": ('{"kind":"PodList","items":[]}', 'cannot be used: its "kind" is PodList, not a List: give'),
    "too much": ("#" * (16 << 20) + "\n", "has more than 16 MiB: give the addresses alone"),
}


@pytest.mark.parametrize("text, says", SPOILED.values(), ids=SPOILED)
def test_a_file_that_is_wrong_takes_nobody_away(daemon, path, text, says):
    path.write_text(lines("10.0.0.7", "10.0.0.9"))
    ours = daemon()
    await_discovered(ours, nodes("10.0.0.7", "10.0.0.9"))
    replace(path, text)
    ours.wait_log(rf"error: ERL_EPMD_DISCOVERY=file:{path} {says}.*\(peers until then: the 2 that are known\)")
    stays(ours, nodes("10.0.0.7", "10.0.0.9"))
    said = ours.cli("-doctor").stdout.splitlines()
    at = next(number for number, line in enumerate(said) if line.endswith("[peers-file]"))
    assert said[at + 1] == f"wait: {path}: 2 endpoints, as they were known before that"
    replace(path, lines("10.0.0.9"))
    ours.wait_log(f"info: ERL_EPMD_DISCOVERY=file:{path} is good again, peers: 1", NOTICED_S)
    await_discovered(ours, nodes("10.0.0.9"), SETTLE_S + NOTICED_S)
    assert len(trouble(ours)) == 1


def put_folder(path):
    path.mkdir()


def put_fifo(path):
    os.mkfifo(path)


def put_nothing(path):
    assert not path.exists()


def put_link_to_itself(path):
    path.symlink_to(path)


def put_endless(path):
    path.symlink_to("/dev/zero")


NO_FILE = {
    "missing": (put_nothing, "is not there"),
    "a folder": (put_folder, "is no regular file: give the path of one"),
    "a FIFO": (put_fifo, "is no regular file"),
    "a device": (put_endless, "is no regular file"),
    "a loop": (put_link_to_itself, r"cannot be opened \(Too many levels of symbolic links\): mend that, or"),
}


@pytest.mark.parametrize("put, says", NO_FILE.values(), ids=NO_FILE)
def test_what_is_no_file_takes_nobody_away_and_holds_nobody_up(daemon, path, put, says):
    path.write_text(lines("10.0.0.7"))
    ours = daemon()
    await_discovered(ours, nodes("10.0.0.7"))
    path.unlink()
    put(path)
    ours.wait_log(f"error: ERL_EPMD_DISCOVERY=file:{path} {says}")
    stays(ours, nodes("10.0.0.7"))
    path.rmdir() if path.is_dir() else path.unlink(missing_ok=True)
    path.write_text(lines("10.0.0.7"))
    ours.wait_log("is good again, peers: 1", NOTICED_S)
    assert count_log(ours, "is gone") == 0


def test_each_trouble_is_said_once(daemon, path):
    path.write_text("nobody\n")
    ours = daemon(ERL_EPMD_LOG_LEVEL="debug")
    wait_readings(ours, 1)
    replace(path, "nobody\n# still nobody\n")
    wait_readings(ours, readings(ours) + 1)
    assert len(trouble(ours)) == 1
    replace(path, "# a line before\nnobody\n")
    ours.wait_log('line 2: "nobody" is no address')
    path.unlink()
    ours.wait_log("is not there")
    wait_readings(ours, readings(ours) + 1)
    assert len(trouble(ours)) == 3


def test_a_file_that_stays_is_not_read_again_and_again(daemon, path):
    path.write_text(lines("10.0.0.7"))
    ours = daemon(ERL_EPMD_LOG_LEVEL="debug")
    await_discovered(ours, nodes("10.0.0.7"))
    # While it is young it is read again; where epmd is slow to start, it never sees it young.
    until(lambda: time.time() - path.stat().st_ctime > YOUNG_S + 0.5, 10, "the file to be old")
    stays(ours, nodes("10.0.0.7"), POLL_S + 0.5)
    before = readings(ours)
    (path.parent / "another").touch()
    stays(ours, nodes("10.0.0.7"), POLL_S + 0.5)
    assert readings(ours) == before


# --- settings ----------------------------------------------------------------------------------------


def test_settings_for_kubernetes_are_warned_of(daemon, path):
    path.write_text(lines("10.0.0.7"))
    ours = daemon(ERL_EPMD_SELECTOR="app: none", ERL_EPMD_NAMESPACE="prod")
    for variable in ("ERL_EPMD_SELECTOR", "ERL_EPMD_NAMESPACE"):
        ours.wait_log(f"warning: {variable} is set, but means nothing where peers are read from a file: unset it")
    await_discovered(ours, nodes("10.0.0.7"))


# --- nodes -------------------------------------------------------------------------------------------


@pytest.fixture
def listed(network, tmp_path, epmd_binary, erl, path, closing):
    """Makes pods with nodes whose epmd reads the list."""
    def make(number, **env):
        return closing.enter_context(Member(network, None, str(tmp_path), epmd_binary, number, erl=erl,
                                            env={"ERL_EPMD_DISCOVERY": f"file:{path}", **env}))
    return make


def test_nodes_join_if_that_is_asked_for(listed, path):
    a, b = [listed(number, ERL_EPMD_JOIN="on") for number in range(2)]
    replace(path, lines(a.pod.ip, b.pod.ip))
    await_mesh([a, b])
    a.wait_peer(b, "joined")


def test_nodes_are_left_alone_if_not(listed, path):
    a, b = listed(0), listed(1)
    replace(path, lines(a.pod.ip, b.pod.ip))
    a.wait_peer(b, "left alone", "joining is off")
