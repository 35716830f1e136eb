"""The static epmd of scripts/build-static: one file, which needs nothing, and does all."""

import os
import ssl
import subprocess

import pytest

from lab.authority import Authority
from lab.beam import otp_with_epmd
from lab.built import SCRIPTS, Unavailable, built
from lab.epmd import Epmd, free_port
from lab.member import await_mesh
from lab.namespace import clean_env
from lab.sidecar import await_discovered, discovering

SIZE_MAX = 4_000_000


@pytest.fixture(scope="module")
def static_epmd():
    if os.environ.get("KEPMD_NO_STATIC"):
        pytest.skip("KEPMD_NO_STATIC is set: without the static build")
    try:
        return str(built("build-static"))
    except Unavailable as reason:
        pytest.skip(str(reason))


@pytest.fixture
def empty_root(static_epmd, tmp_path):
    """A root folder with nothing but epmd and /dev/null."""
    if os.geteuid() != 0:
        pytest.skip("chroot needs root")
    root = tmp_path / "root"
    (root / "dev").mkdir(parents=True)
    os.mknod(root / "dev" / "null", 0o20666, os.makedev(1, 3))
    subprocess.run(["cp", static_epmd, root / "epmd"], check=True)
    return root


def test_it_names_no_loader_and_no_library(static_epmd):
    headers = subprocess.run(["readelf", "-lW", static_epmd], capture_output=True, text=True, check=True).stdout
    assert "LOAD" in headers
    assert "INTERP" not in headers and "DYNAMIC" not in headers


def test_it_is_small(static_epmd):
    assert os.path.getsize(static_epmd) < SIZE_MAX


def test_it_tells_nothing_of_where_it_was_built(static_epmd):
    with open(static_epmd, "rb") as file:
        program = file.read()
    for folder in (SCRIPTS.parent, os.environ.get("KEPMD_CACHE", "/.cache/kepmd"), ".static-build"):
        assert os.fsencode(folder) not in program


def test_another_build_gives_the_same_bytes(static_epmd, tmp_path):
    again = tmp_path / "elsewhere" / "epmd"
    said = subprocess.run([SCRIPTS / "build-static", again], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, timeout=3600, check=True)
    assert said.stdout == f"{again}\n"
    with open(static_epmd, "rb") as one, open(again, "rb") as other:
        assert one.read() == other.read()


def test_it_runs_where_there_is_nothing_else(empty_root):
    env = clean_env({"ERL_EPMD_PORT": free_port(), "ERL_EPMD_ADDRESS": "127.0.0.1"})

    def epmd(*args):
        return subprocess.run(["chroot", empty_root, "/epmd", *args], env=env, capture_output=True, text=True,
                              timeout=10)

    assert epmd("-version").stdout.startswith("kepmd ")
    assert epmd("-names").stderr + epmd("-names").stdout == "epmd: Cannot connect to local epmd\n"
    assert epmd("-daemon").returncode == 0
    try:
        assert epmd("-names").stdout == f"epmd: up and running on port {env['ERL_EPMD_PORT']} with data:\n"
    finally:
        assert epmd("-kill").stdout == "Killed\n"


def test_it_registers_and_looks_up(static_epmd):
    with Epmd(static_epmd) as daemon, daemon.register("sample", 41001):
        assert daemon.lookup("sample").port == 41001
        assert daemon.cli("-names").stdout == (
            f"epmd: up and running on port {daemon.port} with data:\nname sample at port 41001\n")


@pytest.mark.parametrize("key, newest, traditional", [
    ("ec", ssl.TLSVersion.TLSv1_3, False), ("rsa", ssl.TLSVersion.TLSv1_3, True),
    ("ec", ssl.TLSVersion.TLSv1_2, True), ("rsa", ssl.TLSVersion.TLSv1_2, False)])
def test_keys_and_versions_of_tls(static_epmd, network, standin, tmp_path, closing, key, newest, traditional):
    api = standin(where=network.host, tokens={"a token that it does not have"})
    api.set_pods("sample", ["10.1.0.77"], labels={"app": "sample"})
    api.authority = Authority(tmp_path / "ca", key=key)
    api.new_certificate(newest=newest)
    certificate, private = api.authority.client("user", traditional)
    with open(private, encoding="ascii") as file:
        assert file.readline() == f"-----BEGIN {f'{key.upper()} ' if traditional else ''}PRIVATE KEY-----\n"
    path = api.kubeconfig(tmp_path / "config", user={"client-certificate": certificate, "client-key": private})
    ours = closing.enter_context(discovering(static_epmd, network.pod(), api, env={
        "ERL_EPMD_KUBECONFIG": path, "ERL_EPMD_DIST": "9100", "KUBERNETES_SERVICE_HOST": "192.0.2.1"}))
    await_discovered(ours, {"sample@10.1.0.77": 9100})


def test_nodes_start_it_and_join(static_epmd, member, tmp_path):
    erl = otp_with_epmd(static_epmd, str(tmp_path / "otp"))
    a, b = [member(binary=static_epmd, erl=erl) for _ in range(2)]
    await_mesh([a, b])
    a.wait_peer(b, "joined")
    b.wait_peer(a, "joined")
    installed = os.path.realpath(os.path.join(os.path.dirname(erl), "epmd"))
    for one in (a, b):
        assert installed in [os.readlink(f"/proc/{pid}/exe") for pid in one.pod.processes()]
