"""The Debian package: built, judged by lintian, and installed beside erlang-base in a Debian of its own."""

import os
import pathlib
import re
import shutil
import subprocess

import pytest

from lab import debian_root
from lab.built import SCRIPTS, Unavailable
from lab.debian_root import DebianRoot, debian_root as make_root
from lab.wait import until

TOP = SCRIPTS.parent
EX_TEMPFAIL = 75
ERLANG = "erlang-base"
# What the package depends on: the root has no network to get it from.
DEPENDENCIES = ["ca-certificates", "libc-ares2", "libcurl4", "libevent-core-2.1-7", "libevent-extra-2.1-7", "libjansson4",
                "libssl3", "libyaml-0-2"]
MAN = "/usr/share/man/man1/epmd.1.gz"
LINK = "/etc/systemd/system/epmd.socket"
SLOW = 60


@pytest.fixture(scope="session")
def package(tmp_path_factory):
    """The .deb."""
    if os.environ.get("KEPMD_NO_DEB") or os.environ.get("KEPMD_CUT_SECONDS") == "0":
        pytest.skip("KEPMD_NO_DEB or KEPMD_CUT_SECONDS=0 is set: without Debian's package")
    folder = tmp_path_factory.mktemp("deb")
    # Its unit tests are those that scripts/test has run.
    done = subprocess.run([SCRIPTS / "build-deb", folder], env={**os.environ, "DEB_BUILD_OPTIONS": "nocheck"},
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=1800)
    if done.returncode == EX_TEMPFAIL:
        pytest.skip(done.stderr.splitlines()[-1])
    assert done.returncode == 0, done.stderr
    built = pathlib.Path(done.stdout.strip())
    assert built.parent == folder
    return built


@pytest.fixture(scope="session")
def made(package):
    try:
        return make_root([ERLANG, "systemd", *DEPENDENCIES])
    except Unavailable as reason:
        pytest.skip(str(reason))


@pytest.fixture
def root(made, network, tmp_path, closing):
    return closing.enter_context(DebianRoot(made, tmp_path / "root", network.pod()))


def tree(root):
    """Every file of the root but what dpkg, its logs and caches keep, and what adduser saves of /etc/passwd."""
    kept = ("/var/lib/dpkg/", "/var/log/", "/var/cache/", "/proc/", "/tmp/", "/opt/", "/run/", "/dev/", "/root/")
    held = {}
    for folder, folders, files in os.walk(root.folder):
        for name in [*folders, *files]:
            path = pathlib.Path(folder, name)
            inside = f"/{path.relative_to(root.folder)}"
            if inside.startswith(kept) or inside.startswith("/etc/") and inside.endswith("-"):
                continue
            info = path.lstat()
            content = os.readlink(path) if path.is_symlink() else path.read_bytes() if path.is_file() else None
            held[inside] = (info.st_mode, info.st_uid, info.st_gid, content)
    return held


def differing(before, after):
    return sorted(path for path in before.keys() | after.keys() if before.get(path) != after.get(path))


def erts(root):
    """The folder with the programs of the Erlang that is installed."""
    (found,) = root.path("/usr/lib/erlang").glob("erts-*/bin")
    return found


def diversions(root):
    return [line for line in root.check("dpkg-divert", "--list").splitlines() if line.endswith(" by kepmd")]


def runs_kepmd(root, path="/usr/bin/epmd"):
    return root.run(path, "-version").stdout.startswith("kepmd ")


class Node:
    """`erl -sname NAME` in the root, as anybody would start it; it lives until the root does."""

    def __init__(self, root, name):
        self.root, self.name = root, name
        self.process = root.popen("erl", "-noinput", "-sname", f"{name}@localhost", stdout=subprocess.DEVNULL,
                                  stderr=subprocess.DEVNULL)

    def wait_registered(self):
        until(lambda: f"name {self.name} at port" in self.root.run("epmd", "-names").stdout, SLOW, f"{self.name} to register")

    def end(self):
        self.process.kill()
        self.process.wait()


def has_one_that_runs(root):
    """Is the daemon that serves the pod ours? Stock knows no such question."""
    return "discovery is off" in root.run("/usr/bin/epmd", "-peers").stderr


# --- the package ---------------------------------------------------------------------------------


def test_lintian_has_nothing_to_say(package):
    if not shutil.which("lintian"):
        pytest.skip("not installed: lintian (scripts/setup test)")
    (changes,) = package.parent.glob("*.changes")
    done = subprocess.run(["lintian", "--allow-root", "--fail-on", "error,warning", changes], capture_output=True, text=True,
                          timeout=300)
    assert done.returncode == 0 and done.stdout == "", done.stdout + done.stderr


def test_what_is_in_it(package):
    listed = subprocess.run(["dpkg-deb", "-c", package], capture_output=True, text=True, check=True).stdout
    files = {line.split()[5].removeprefix(".") for line in listed.splitlines() if not line.startswith("d")}
    assert {"/usr/bin/epmd", MAN, "/usr/share/bash-completion/completions/epmd", "/lib/systemd/system/kepmd.service",
            "/lib/systemd/system/kepmd.socket", "/usr/share/doc/kepmd/copyright"} <= files
    assert not [file for file in files if file.startswith(("/etc", "/usr/local"))]


def test_its_program_is_hardened(package, tmp_path):
    subprocess.run(["dpkg-deb", "-x", package, tmp_path], check=True)
    read = subprocess.run(["readelf", "-hldW", tmp_path / "usr/bin/epmd"], capture_output=True, text=True, check=True).stdout
    assert "DYN (Position-Independent" in read and "GNU_RELRO" in read and "BIND_NOW" in read
    assert re.search(r"GNU_STACK.* RW +0x", read)
    symbols = subprocess.run(["readelf", "-sW", "--dyn-syms", tmp_path / "usr/bin/epmd"], capture_output=True, text=True,
                             check=True).stdout
    assert "__stack_chk_fail" in symbols and "_chk@" in symbols


@pytest.mark.parametrize("arguments, program, script, status, words", [
    (["a", "b"], None, None, 2, "usage: scripts/build-deb [FOLDER]"),
    ([], "dpkg-query", "exit 1", EX_TEMPFAIL, "needs the packages dpkg-dev debhelper fakeroot: apt-get install dpkg-dev"),
    ([], "dpkg-buildpackage", "echo oh no; exit 3", 1, "oh no\nbuild-deb: dpkg-buildpackage failed"),
])
def test_a_package_that_cannot_be_built(arguments, program, script, status, words, tmp_path):
    if not shutil.which("dpkg-query"):
        pytest.skip("no Debian")
    programs = tmp_path / "programs"
    programs.mkdir()
    if program:
        (programs / program).write_text(f"#!/bin/sh\n{script}\n")
        (programs / program).chmod(0o755)
    if program == "dpkg-buildpackage":
        (programs / "dpkg-query").write_text("#!/bin/sh\necho installed\n")
        (programs / "dpkg-query").chmod(0o755)
    done = subprocess.run([SCRIPTS / "build-deb", *(arguments or [tmp_path / "into"])], capture_output=True, text=True, timeout=60,
                          env={**os.environ, "PATH": f"{programs}:{os.environ['PATH']}"}, stdin=subprocess.DEVNULL)
    assert (done.returncode, done.stdout) == (status, "")
    assert words in done.stderr


# --- beside erlang-base ----------------------------------------------------------------------------


def test_it_is_in_the_place_of_stock_until_it_is_removed(package, root):
    before = tree(root)
    stock = (erts(root) / "epmd").read_bytes()
    root.check("dpkg", "-i", root.take(package))
    ours = root.path("/usr/bin/epmd").read_bytes()
    assert (erts(root) / "epmd").read_bytes() == ours
    assert not (erts(root) / "epmd").is_symlink()
    assert (erts(root) / "epmd.stock").read_bytes() == stock
    assert len(diversions(root)) == 3

    # Erlang starts ours by itself.
    node = Node(root, "first")
    node.wait_registered()
    assert has_one_that_runs(root)
    node.end()

    # The same erlang-base again, then the same kepmd, change nothing.
    installed = tree(root)
    root.check("dpkg", "-i", root.package(ERLANG))
    assert differing(installed, tree(root)) == []
    root.check("dpkg", "-i", root.take(package))
    assert differing(installed, tree(root)) == []

    root.check("dpkg", "--remove", "kepmd")
    assert diversions(root) == []
    assert (erts(root) / "epmd").read_bytes() == stock
    node = Node(root, "second")
    node.wait_registered()
    assert not runs_kepmd(root)
    node.end()
    root.check("dpkg", "--purge", "kepmd")
    assert differing(before, tree(root)) == []
    assert "kepmd" not in root.run("dpkg-query", "-W").stdout
    assert list(root.path("/var/lib/dpkg/info").glob("kepmd*")) == []
    root.check("dpkg", "--audit")


def test_erlang_that_comes_later_and_goes_earlier(package, root):
    root.check("dpkg", "--purge", ERLANG)
    before = tree(root)
    root.check("dpkg", "-i", root.take(package))
    assert runs_kepmd(root) and len(diversions(root)) == 2
    root.check("dpkg", "-i", root.package(ERLANG))
    assert (erts(root) / "epmd").read_bytes() == root.path("/usr/bin/epmd").read_bytes()
    node = Node(root, "sample")
    node.wait_registered()
    assert has_one_that_runs(root)
    node.end()
    root.check("dpkg", "--purge", ERLANG)
    assert not root.path("/usr/lib/erlang").exists()
    assert runs_kepmd(root) and len(diversions(root)) == 2
    root.check("dpkg", "--purge", "kepmd")
    assert differing(before, tree(root)) == []


def other_version(package, folder, old, new):
    """erlang-base with another erts, as the next point release has it."""
    unpacked = folder / "next"
    subprocess.run(["dpkg-deb", "-R", package, unpacked], check=True)
    control = unpacked / "DEBIAN/control"
    control.write_text(re.sub(r"^(Version: .*)$", r"\1.1", control.read_text(), flags=re.M))
    (unpacked / "DEBIAN/md5sums").unlink(missing_ok=True)
    erlang = unpacked / "usr/lib/erlang"
    (erlang / old).rename(erlang / new)
    (erlang / "bin/epmd").unlink()
    (erlang / "bin/epmd").symlink_to(f"../{new}/bin/epmd")
    built = folder / "erlang-base-next.deb"
    subprocess.run(["dpkg-deb", "-b", "-Znone", unpacked, built], check=True, stdout=subprocess.DEVNULL)
    return built


def test_an_upgrade_of_erlang_to_another_erts(package, root, made, tmp_path):
    """The program that Erlang starts is then in another folder."""
    root.check("dpkg", "-i", root.take(package))
    old = erts(root).parent.name
    (deb,) = (made / debian_root.PACKAGES).glob(f"{ERLANG}_*.deb")
    root.check("dpkg", "-i", root.take(other_version(deb, tmp_path, old, "erts-99.1")))
    assert erts(root).parent.name == "erts-99.1"  # the only one: nothing of ours is left in the old
    assert (erts(root) / "epmd").read_bytes() == root.path("/usr/bin/epmd").read_bytes()
    assert len(diversions(root)) == 3
    assert runs_kepmd(root, "/usr/lib/erlang/bin/epmd")
    root.check("dpkg", "--purge", "kepmd")
    assert not runs_kepmd(root, "/usr/lib/erlang/bin/epmd") and not (erts(root) / "epmd.stock").exists()


def test_an_upgrade_of_ours(package, root, tmp_path):
    root.check("dpkg", "-i", root.take(package))
    stock = (erts(root) / "epmd.stock").read_bytes()
    unpacked = tmp_path / "newer"
    subprocess.run(["dpkg-deb", "-R", package, unpacked], check=True)
    control = unpacked / "DEBIAN/control"
    control.write_text(re.sub(r"^(Version: .*)$", r"\1.1", control.read_text(), flags=re.M))
    (unpacked / "DEBIAN/md5sums").unlink()
    with open(unpacked / "usr/bin/epmd", "ab") as program:
        program.write(b"newer")
    newer = tmp_path / "newer.deb"
    subprocess.run(["dpkg-deb", "-b", "-Znone", unpacked, newer], check=True, stdout=subprocess.DEVNULL)
    root.check("dpkg", "-i", root.take(newer))
    assert (erts(root) / "epmd").read_bytes().endswith(b"newer")
    assert (erts(root) / "epmd.stock").read_bytes() == stock
    root.check("dpkg", "--purge", "kepmd")
    assert (erts(root) / "epmd").read_bytes() == stock


def test_what_an_interrupted_script_left_is_finished(package, root):
    root.check("dpkg", "-i", root.take(package))
    program, stock = erts(root) / "epmd", erts(root) / "epmd.stock"
    bytes_of_stock = stock.read_bytes()

    def only_diverted():
        stock.rename(program)

    def stock_under_two_names():
        program.unlink()
        os.link(stock, program)

    def both_are_stock():
        program.write_bytes(bytes_of_stock)

    def ours_is_half_there():
        program.with_name("epmd.kepmd-new").write_bytes(b"half")
        both_are_stock()

    for leave in (only_diverted, stock_under_two_names, both_are_stock, ours_is_half_there):
        leave()
        root.check("/usr/libexec/kepmd/erts-divert", "install")
        assert stock.read_bytes() == bytes_of_stock, leave
        assert program.read_bytes() == root.path("/usr/bin/epmd").read_bytes(), leave
        assert not program.with_name("epmd.kepmd-new").exists(), leave
        assert len(diversions(root)) == 3
    only_diverted()  # as an interrupted removal leaves it, too
    root.check("dpkg", "--purge", "kepmd")
    assert program.read_bytes() == bytes_of_stock and not stock.exists()
    assert diversions(root) == []


def test_an_installation_that_fails_leaves_nothing(package, root, tmp_path):
    other = tmp_path / "other"
    (other / "DEBIAN").mkdir(parents=True)
    (other / "DEBIAN/control").write_text("Package: other\nVersion: 1\nArchitecture: all\nMaintainer: other <other@other.invalid>\n"
                                          "Description: has a file of ours\n")
    (other / "usr/libexec/kepmd").mkdir(parents=True)
    (other / "usr/libexec/kepmd/erts-divert").write_text("")
    subprocess.run(["dpkg-deb", "-b", other, tmp_path / "other.deb"], check=True, stdout=subprocess.DEVNULL)
    root.check("dpkg", "-i", root.take(tmp_path / "other.deb"))
    before = tree(root)
    failed = root.run("dpkg", "-i", root.take(package))
    assert failed.returncode != 0 and "which is also in package other" in failed.stderr
    assert differing(before, tree(root)) == [] and diversions(root) == []
    root.check("dpkg", "--audit")


def test_both_are_removed_at_once(package, root):
    root.check("dpkg", "-i", root.take(package))
    root.check("dpkg", "--purge", "kepmd", ERLANG)
    assert diversions(root) == [] and not root.path("/usr/lib/erlang").exists()
    assert not os.path.lexists(root.path("/usr/bin/epmd")) and not os.path.lexists(root.path(MAN))


def test_wrong_usage_of_the_script(tmp_path):
    done = subprocess.run([TOP / "debian/erts-divert", "wrong"], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (2, "usage: erts-divert install|remove\n")


# --- systemd -------------------------------------------------------------------------------------


def enabled(root, unit):
    return subprocess.run(["systemctl", f"--root={root.folder}", "is-enabled", unit], capture_output=True, text=True,
                          timeout=60).stdout.strip()


def test_its_units_take_the_names_of_those_of_erlang(package, root):
    if not shutil.which("systemctl"):
        pytest.skip("no systemctl (scripts/setup test)")
    assert (enabled(root, "epmd.socket"), enabled(root, "kepmd.socket")) == ("enabled", "")
    root.check("dpkg", "-i", root.take(package))
    assert (enabled(root, "epmd.socket"), enabled(root, "epmd.service")) == ("alias", "alias")
    assert (enabled(root, "kepmd.socket"), enabled(root, "kepmd.service")) == ("enabled", "enabled")
    assert os.readlink(root.path(LINK)) == "/lib/systemd/system/kepmd.socket"
    root.check("dpkg", "--remove", "kepmd")
    assert (enabled(root, "epmd.socket"), enabled(root, "epmd.service")) == ("enabled", "enabled")
    assert not os.path.lexists(root.path(LINK))
    root.check("dpkg", "-i", root.take(package))
    assert enabled(root, "epmd.socket") == "alias"


def test_its_units_are_what_systemd_understands(package, tmp_path):
    if not shutil.which("systemd-analyze"):
        pytest.skip("no systemd-analyze")
    subprocess.run(["dpkg-deb", "-x", package, tmp_path], check=True)
    units = tmp_path / "lib/systemd/system"
    service = units / "kepmd.service"
    assert "Requires=kepmd.socket\n" in service.read_text()
    assert re.findall(r"^Alias=(.*)", service.read_text() + (units / "kepmd.socket").read_text(), re.M) == ["epmd.service",
                                                                                                            "epmd.socket"]
    service.write_text(service.read_text().replace("/usr/bin/epmd", "/usr/bin/true"))
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", service, units / "kepmd.socket"], capture_output=True,
                          text=True, timeout=60)
    assert [line for line in done.stderr.splitlines() if "kepmd." in line] == []


def test_on_a_running_system_it_takes_the_port_and_gives_it_back(package, root):
    deb = root.take(package)
    try:
        host = root.boot()
    except Unavailable as reason:
        pytest.skip(str(reason))
    assert host.show("epmd.socket", "ActiveState") == "active"
    host.popen("erl", "-noinput", "-sname", "sample@localhost")

    def registered():
        return "name sample at port" in host.run("epmd", "-names").stdout

    until(registered, SLOW, "the node to register with stock")
    assert host.show("epmd.service", "ActiveState") == "active"

    # The node finds its way by itself, each time.
    host.check("dpkg", "-i", deb)
    until(registered, SLOW, "the node to register with ours")
    assert host.show("kepmd.service", "ActiveState") == "active"
    assert "discovery is off" in host.run("epmd", "-peers").stderr
    assert host.show("epmd.socket", "Id") == "kepmd.socket"

    # An upgrade starts the service anew; the socket stays open.
    socket, service = (host.show(f"kepmd.{kind}", "InvocationID") for kind in ("socket", "service"))
    host.check("dpkg", "-i", deb)
    until(lambda: host.show("kepmd.service", "InvocationID") not in ("", service), SLOW, "the service to start anew")
    assert host.show("kepmd.socket", "InvocationID") == socket
    until(registered, SLOW, "the node to register again")

    host.check("dpkg", "--purge", "kepmd")
    until(registered, SLOW, "the node to register with stock again")
    assert host.show("epmd.service", "ActiveState") == "active"
    assert host.show("epmd.socket", "Id") == "epmd.socket"
    assert host.show("kepmd.service", "LoadState") == host.show("kepmd.socket", "LoadState") == "not-found"
    assert not runs_kepmd(host)
