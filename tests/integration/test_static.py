"""The static epmd of scripts/build-static: one file, which needs nothing, and does all."""

import hashlib
import json
import os
import pathlib
import platform
import re
import shutil
import ssl
import subprocess

import pytest

from lab.authority import Authority
from lab.beam import otp_with_epmd
from lab.built import EX_TEMPFAIL, SCRIPTS, Unavailable, built
from lab.epmd import Epmd, free_port
from lab.member import await_mesh
from lab.namespace import clean_env
from lab.sidecar import await_discovered, discovering

SIZE_MAX = 4_000_000


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


def test_it_is_stripped(static_epmd):
    sections = subprocess.run(["readelf", "-SW", static_epmd], capture_output=True, text=True, check=True).stdout
    assert ".text" in sections
    for name in (".symtab", ".strtab", ".debug_info", ".comment", ".note.gnu.build-id"):
        assert name not in sections


def left_behind(folder, names):
    """What builds have left in a checkout."""
    top = pathlib.Path(folder) == SCRIPTS.parent
    return [name for name in names if name in (".git", "__pycache__")
            or top and (name.startswith("build-") and name != "build-aux" or name in ("config.status", "config.log"))]


def test_another_build_gives_the_same_bytes(static_epmd, tmp_path):
    """Of another checkout, with other settings of the caller's, and on another day."""
    checkout = tmp_path / "some-other-place"
    shutil.copytree(SCRIPTS.parent, checkout, symlinks=True, ignore=left_behind)
    for folder, _, names in os.walk(checkout):
        for name in names:
            if name.endswith((".c", ".h")):
                os.utime(os.path.join(folder, name), (1e9, 1e9))
    again = tmp_path / "elsewhere" / "epmd"
    env = {**os.environ, "LC_ALL": "C.UTF-8", "LANGUAGE": "de", "TZ": "Asia/Tokyo", "CFLAGS": "-g -O0", "CC": "false",
           "SOURCE_DATE_EPOCH": "1"}
    said = subprocess.run([checkout / "scripts" / "build-static", again], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=3600, check=True, env=env,
                          umask=0o077)
    assert said.stdout == f"{again}\n"
    for suffix in ("", ".spdx.json"):
        with open(static_epmd + suffix, "rb") as one, open(f"{again}{suffix}", "rb") as other:
            assert one.read() == other.read()


def test_wrong_words_are_refused():
    for words in (["--arch"], ["-x"], ["a", "b"]):
        done = subprocess.run([SCRIPTS / "build-static", *words], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr == "usage: scripts/build-static [--arch amd64|arm64] [OUTFILE]\n"
    done = subprocess.run([SCRIPTS / "build-static", "--arch", "vax"], capture_output=True, text=True, check=False)
    assert done.returncode == EX_TEMPFAIL
    assert done.stderr == "build-static: builds for amd64 and arm64 only, and not for vax\n"


def with_programs(folder, **scripts):
    """An environment where these programs come first."""
    folder.mkdir(exist_ok=True)
    for name, text in scripts.items():
        path = folder / name.replace("_", "-")
        path.write_text(f"#!/bin/sh\n{text}")
        path.chmod(0o755)
    return {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}", "KEPMD_CACHE": str(folder / "cache")}


def test_a_dynamic_file_is_refused(static_epmd, tmp_path):
    """What musl-gcc -static-pie would make."""
    env = with_programs(tmp_path / "bin", readelf="echo '  INTERP 0x0002a8'\n")
    done = subprocess.run([SCRIPTS / "build-static", tmp_path / "epmd"], stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, timeout=3600, check=False, env={**env, "KEPMD_CACHE": os.environ.get("KEPMD_CACHE", "")})
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.endswith("  INTERP 0x0002a8\nbuild-static: the linker has made a dynamic file\n")
    assert not (tmp_path / "epmd").exists()


# Stands in for Debian's archives, of which it has a musl of the older of two versions.
APT_CACHE = """case "$*" in
*showsrc*) printf 'Version: 1.2.2-9\\n\\nVersion: 1.2.3-1\\n\\nVersion: 9.9-9\\n' ;;
*) printf 'Package: musl-dev\\nSource: musl\\nVersion: 1.2.3-1\\n' ;;
esac
"""
APT_GET = """case "$*" in
*update) ;;
*"source --download-only musl={have}") printf '{files}' >{dsc}; echo archive >musl.tar ;;
*) echo "E: Failed to fetch $(echo "$*" | sed 's/.* //')  404  Not Found" >&2; exit 100 ;;
esac
"""


@pytest.mark.parametrize("have, dsc, files, status, last", [
    ("none", "none", "", EX_TEMPFAIL, "the source of musl cannot be had from the configured Debian archives"),
    ("1.2.2-9", "musl_1.2.3-1.dsc", "Format: 1.0", 1,
     "musl_1.2.3-1.dsc is not the one known here by its checksum, "
     "243a7462e9c751da662c4c61d4c96b6318c796ba302b72f6cdf74ea5427a9b4f"),
    ("1.2.2-9", "musl_1.2.2-9.dsc", f"Checksums-Sha256:\\n {'0' * 64} 8 musl.tar\\n", 1,
     "checking the files of musl 1.2.2-9 failed"),
    ("1.2.2-9", "musl_1.2.2-9.dsc", f"Checksums-Sha256:\\n {hashlib.sha256(b'archive' + chr(10).encode()).hexdigest()} 8 "
     "musl.tar\\n", 1, "unpacking musl failed")], ids=["none", "known-but-others", "damaged", "unknown"])
def test_sources_are_older_ones_or_none_but_never_others(static_epmd, tmp_path, have, dsc, files, status, last):
    env = with_programs(tmp_path / "bin", apt_cache=APT_CACHE, apt_get=APT_GET.format(have=have, dsc=dsc, files=files))
    done = subprocess.run([SCRIPTS / "build-static", tmp_path / "epmd"], stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, timeout=60, check=False, env=env)
    said = done.stderr.splitlines()
    assert (done.returncode, done.stdout, said[-1]) == (status, "", f"build-static: {last}")
    assert "E: Failed to fetch musl=1.2.3-1  404  Not Found" in said
    assert "build-static: musl 1.2.3-1 is listed but cannot be had; trying an older one" in said
    assert "9.9-9" not in done.stderr  # newer than what the machine's packages are made from
    assert ("build-static: musl 1.2.2-9 is not one of the versions whose checksums are known here; Debian's signature "
            "vouches for it" in said) == (dsc == "musl_1.2.2-9.dsc")
    assert not (tmp_path / "epmd").exists() and not list((tmp_path / "bin" / "cache").glob("static-*"))


# --- the bill of materials ---------------------------------------------------------------------------

# What SPDX 2.3 requires of each (ISO/IEC 5962, clauses 6 to 11), and of what form.
NAME_OF_ONE = r"SPDXRef-[A-Za-z0-9.-]+"
TEXT = r"(?s).+"
LICENCE = r"NOASSERTION|NONE|[\w.+-]+( (AND|OR|WITH) [\w.+-]+)*"
DOCUMENT = {"spdxVersion": "SPDX-2\\.3", "dataLicense": "CC0-1\\.0", "SPDXID": "SPDXRef-DOCUMENT", "name": TEXT,
            "documentNamespace": r"[a-z][a-z0-9+.-]*:[^#\s]+"}
PACKAGE = {"SPDXID": NAME_OF_ONE, "name": TEXT, "versionInfo": TEXT, "downloadLocation": TEXT,
           "licenseConcluded": LICENCE, "licenseDeclared": LICENCE, "copyrightText": TEXT,
           "primaryPackagePurpose": "APPLICATION|LIBRARY"}
FILE = {"SPDXID": NAME_OF_ONE, "fileName": r"\./.+", "licenseConcluded": LICENCE, "copyrightText": TEXT}
RELATION = {"spdxElementId": NAME_OF_ONE, "relatedSpdxElement": NAME_OF_ONE,
            "relationshipType": "DESCRIBES|CONTAINS|STATIC_LINK"}
REFERENCE = {"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl",
             "referenceLocator": r"pkg:deb/debian/[a-z0-9.+-]+@[A-Za-z0-9.~%-]+\?arch=source"}
HEX_DIGITS = {"SHA1": 40, "SHA256": 64}


def require_form(thing, fields):
    for field, form in fields.items():
        assert re.fullmatch(form, thing[field]), f"{field} of {thing}"


def checksums(thing):
    found = {one["algorithm"]: one["checksumValue"] for one in thing["checksums"]}
    for algorithm, value in found.items():
        assert re.fullmatch("[0-9a-f]+", value) and len(value) == HEX_DIGITS[algorithm]
    return found


@pytest.fixture(scope="module")
def bill(static_epmd):
    with open(static_epmd + ".spdx.json", encoding="utf-8") as file:
        return json.load(file)


def test_the_bill_of_materials_is_in_order(bill):
    require_form(bill, DOCUMENT)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", bill["creationInfo"]["created"])
    assert all(re.match("(Tool|Person|Organization): ?.", creator) for creator in bill["creationInfo"]["creators"])
    for package in bill["packages"]:
        require_form(package, PACKAGE)
        assert package["filesAnalyzed"] is False and "packageVerificationCode" not in package
        for reference in package.get("externalRefs", []):
            require_form(reference, REFERENCE)
    for file in bill["files"]:
        require_form(file, FILE)
        assert "SHA1" in checksums(file)
    things = [bill["SPDXID"], *(one["SPDXID"] for one in bill["packages"] + bill["files"])]
    assert len(set(things)) == len(things)
    for relation in bill["relationships"]:
        require_form(relation, RELATION)
        assert {relation["spdxElementId"], relation["relatedSpdxElement"]} <= set(things)


def test_the_bill_of_materials_names_all_that_is_in_it(bill, static_epmd):
    packages = {package["name"]: package for package in bill["packages"]}
    linked = {relation["relatedSpdxElement"].removeprefix("SPDXRef-Package-") for relation in bill["relationships"]
              if relation["relationshipType"] == "STATIC_LINK"}
    assert linked == {"musl", "openssl", "curl", "libevent", "c-ares", "jansson", "libyaml", "uthash", "libgcc"}
    assert set(packages) == linked | {"kepmd"}
    for name in linked - {"libgcc", "uthash"}:  # of these the source is not what was taken
        package = packages[name]
        assert package["packageFileName"].startswith(f"{name}_")
        assert f"{checksums(package)['SHA256']}" in package["sourceInfo"]
        assert re.search(rf"{re.escape(name)}_\S+\.dsc [0-9a-f]{{64}}", package["sourceInfo"])
    said = subprocess.run([static_epmd, "-version"], capture_output=True, text=True, check=True).stdout
    assert packages["kepmd"]["versionInfo"] == said.split()[1]
    with open(static_epmd, "rb") as program:
        assert checksums(bill["files"][0])["SHA256"] == hashlib.sha256(program.read()).hexdigest()


# --- where there is nothing else ------------------------------------------------------------------------

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


# --- for the other machine --------------------------------------------------------------------------------

# The machine here: the architecture of the other, how qemu calls it, and how readelf does.
OTHER = {"x86_64": ("arm64", "aarch64", "AArch64"), "aarch64": ("amd64", "x86_64", "Advanced Micro Devices X86-64")}


@pytest.fixture(scope="module")
def foreign_epmd(static_epmd, tmp_path_factory):
    """(the file of the cross build, a script that runs it under qemu)"""
    if os.environ.get("KEPMD_NO_CROSS"):
        pytest.skip("KEPMD_NO_CROSS is set: without the cross build")
    arch, machine, _ = OTHER[platform.machine()]
    emulator = shutil.which(f"qemu-{machine}")
    if not emulator:
        pytest.skip(f"no qemu-{machine} (scripts/setup test)")
    folder = tmp_path_factory.mktemp("foreign")
    try:
        path = built("build-static", "--arch", arch, folder / "epmd")
    except Unavailable as reason:
        pytest.skip(str(reason))
    script = folder / "emulated"
    script.write_text(f'#!/bin/sh\nexec {emulator} {path} "$@"\n')
    script.chmod(0o755)
    return path, script


def test_a_cross_build_is_what_it_should_be(foreign_epmd):
    arch, _, machine = OTHER[platform.machine()]
    path, _ = foreign_epmd
    headers = subprocess.run(["readelf", "-hlW", path], capture_output=True, text=True, check=True).stdout
    assert re.search(rf"^  Machine: +{machine}$", headers, re.MULTILINE)
    assert "LOAD" in headers and "INTERP" not in headers and "DYNAMIC" not in headers
    assert path.stat().st_size < SIZE_MAX
    assert json.loads(path.with_name("epmd.spdx.json").read_text())["name"].endswith(f"-linux-{arch}")


def test_a_cross_build_serves(foreign_epmd):
    _, emulated = foreign_epmd
    with Epmd(emulated) as daemon:
        assert daemon.cli("-version").stdout.startswith("kepmd ")
        with daemon.register("sample", 41001):
            assert daemon.lookup("sample").port == 41001
            assert daemon.cli("-names").stdout == (
                f"epmd: up and running on port {daemon.port} with data:\nname sample at port 41001\n")


def test_a_cross_build_talks_tls(foreign_epmd, network, standin, tmp_path, closing):
    _, emulated = foreign_epmd
    api = standin(where=network.host, tokens={"a token that it does not have"})
    api.set_pods("sample", ["10.1.0.77"], labels={"app": "sample"})
    api.authority = Authority(tmp_path / "ca")
    api.new_certificate()
    certificate, private = api.authority.client("user")
    path = api.kubeconfig(tmp_path / "config", user={"client-certificate": certificate, "client-key": private})
    ours = closing.enter_context(discovering(emulated, network.pod(), api, env={
        "ERL_EPMD_KUBECONFIG": path, "ERL_EPMD_DIST": "9100", "KUBERNETES_SERVICE_HOST": "192.0.2.1"}))
    await_discovered(ours, {"sample@10.1.0.77": 9100}, 30)
