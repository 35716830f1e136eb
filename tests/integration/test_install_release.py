"""scripts/install-release, on real releases, on the roots of images, and on what is neither."""

import os
import pathlib
import shutil
import subprocess
import tempfile

import pytest

from lab.beam import STOCK_ROOT, erts_folder
from lab.release import RELEASES, ElixirRelease, RebarRelease, ReleaseError, Running
from lab.wait import until

TOP = pathlib.Path(__file__).resolve().parents[2]
SCRIPT = TOP / "scripts/install-release"
NOBODY = 65534
ERTS = "erts-13.1.5"
X86_64, ARM64 = b"\x3e", b"\xb7"
LISTED = 20


@pytest.fixture(scope="session")
def busybox():
    """A folder with busybox' programs and no others, as in Alpine, for anybody."""
    found = shutil.which("busybox")
    if not found:
        pytest.skip("no busybox (scripts/setup test)")
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        subprocess.run([found, "--install", "-s", folder], check=True, timeout=30)
        yield pathlib.Path(folder)


@pytest.fixture(params=["debian", "busybox"])
def run(request, epmd_binary):
    """Runs the script: `run("--undo", FOLDER)`; our epmd is the binary unless another is named."""
    shell, env = ["/bin/sh"], {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
    if request.param == "busybox":
        programs = request.getfixturevalue("busybox")
        shell, env = [programs / "sh"], {"PATH": str(programs)}

    def running(*arguments, binary=epmd_binary, **kwargs):
        if binary and not {"--undo", "--help"} & set(arguments):
            arguments = ("--binary", binary, *arguments)
        return subprocess.run([*shell, kwargs.pop("script", SCRIPT), *arguments], env=env, capture_output=True, text=True,
                              timeout=60, stdin=subprocess.DEVNULL, **kwargs)

    return running


def done(process):
    assert process.returncode == 0, process.stdout + process.stderr
    return process.stdout


def refused(process, *words):
    """It ended with one line, which has these words."""
    assert process.returncode == 1, process.stdout + process.stderr
    assert len(process.stderr.splitlines()) == 1, process.stderr
    for word in words:
        assert str(word) in process.stderr
    return process.stderr


@pytest.fixture(scope="session")
def stock_bin(stock_epmd):
    return pathlib.Path(STOCK_ROOT, erts_folder(), "bin")


@pytest.fixture
def make_release(stock_bin):
    """Makes what has of a release all that matters here: its programs."""
    def make(root, erts=ERTS):
        folder = pathlib.Path(root, erts, "bin")
        folder.mkdir(parents=True)
        for program in ("epmd", "erlexec"):
            shutil.copy2(stock_bin / program, folder)
        return folder

    return make


@pytest.fixture
def bin_folder(make_release, tmp_path):
    return make_release(tmp_path / "release")


@pytest.fixture
def root(bin_folder):
    return bin_folder.parents[1]


def tree(folder):
    """Everything in it: {path: (mode, owner, what it holds)}."""
    held = {}
    for path in sorted(pathlib.Path(folder).rglob("*")):
        info = path.lstat()
        content = path.readlink() if path.is_symlink() else path.read_bytes() if path.is_file() else None
        held[str(path)] = (info.st_mode, info.st_uid, info.st_gid, content)
    return held


# --- real releases -----------------------------------------------------------------------------


@pytest.fixture(scope="session")
def stock_release(tmp_path_factory):
    """A release as its tools make it, with stock epmd."""
    made = {}

    def build(kind):
        missing = [tool for tool in RELEASES[kind].tools if not shutil.which(tool)]
        if missing:
            pytest.skip(f"not installed: {', '.join(missing)}")
        if kind not in made:
            made[kind] = RELEASES[kind](TOP / "examples" / kind, tmp_path_factory.mktemp(kind))
        return made[kind]

    return build


@pytest.mark.parametrize("kind", ["elixir", "erlang"])
def test_a_release_runs_with_it_and_is_itself_again_after_undo(kind, stock_release, epmd_binary, network, tmp_path, closing):
    release = stock_release(kind)
    before = tree(release.folder)
    for _ in range(2):
        subprocess.run([SCRIPT, "--binary", epmd_binary, release.folder], check=True, timeout=60)
    ours = subprocess.run([epmd_binary, "-version"], capture_output=True, text=True, check=True).stdout
    (tmp_path / "peers").write_text("")
    env = {"ERL_EPMD_DISCOVERY": f"file:{tmp_path}/peers"}
    pod = network.pod()
    node = closing.enter_context(Running(release, pod, env)).wait_started()
    assert node.registered() == {"sample"}
    assert node.epmd("-version").stdout == ours
    peers = node.epmd("-peers")
    assert peers.returncode == 0 and f"file:{tmp_path}/peers" in peers.stdout

    # What runs goes on running, although its file is replaced.
    subprocess.run([SCRIPT, "--undo", release.folder], check=True, timeout=60)
    assert tree(release.folder) == before
    assert node.registered() == {"sample"}
    assert node.stop() == 0
    node.kill_epmd()
    again = closing.enter_context(Running(release, pod)).wait_started()
    until(lambda: again.registered() == {"sample"}, LISTED, "stock to serve it")
    assert "kepmd" not in again.epmd("-version").stdout


def test_the_tools_that_make_releases_keep_stock_too(build_release, stock_epmd):
    """The mix step, and the last lines of build.sh."""
    for kind in RELEASES:
        kept = pathlib.Path(build_release(kind).bin_dir, "epmd.stock")
        assert kept.read_bytes() == pathlib.Path(stock_epmd).read_bytes()


def test_the_mix_step_says_what_is_missing(tmp_path):
    if not shutil.which("mix"):
        pytest.skip("not installed: mix")
    with pytest.raises(ReleaseError, match=f"KEPMD_EPMD: there is no file {tmp_path}/none"):
        ElixirRelease(TOP / "examples/elixir", tmp_path, f"{tmp_path}/none")


def test_the_mix_step_needs_a_run_time_system(tmp_path, epmd_binary):
    if not shutil.which("mix"):
        pytest.skip("not installed: mix")
    example = shutil.copytree(TOP / "examples/elixir", tmp_path / "example")
    text = (example / "mix.exs").read_text()
    (example / "mix.exs").write_text(text.replace("sample: [", "sample: [include_erts: false, ", 1))
    with pytest.raises(ReleaseError, match="KEPMD_EPMD: no place for it in a release without ERTS"):
        ElixirRelease(example, tmp_path, epmd_binary)


def test_the_overlay_of_relx(epmd_binary, stock_epmd, network, tmp_path, closing):
    missing = [tool for tool in RebarRelease.tools if not shutil.which(tool)]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")
    release = RebarRelease(TOP / "examples/erlang", tmp_path, epmd_binary)
    folder = pathlib.Path(release.bin_dir)
    assert (folder / "epmd").read_bytes() == pathlib.Path(epmd_binary).read_bytes()
    assert (folder / "epmd.stock").read_bytes() == pathlib.Path(stock_epmd).read_bytes()
    node = closing.enter_context(Running(release, network.pod(), {"RELEASE_COOKIE": "lab"})).wait_started()
    assert node.registered() == {"sample"}
    assert node.epmd("-version").stdout.startswith("kepmd ")
    # It is what install-release takes for a release, and undoes.
    subprocess.run([SCRIPT, "--undo", release.folder], check=True, timeout=60)
    assert (folder / "epmd").read_bytes() == pathlib.Path(stock_epmd).read_bytes()


# --- what it does ------------------------------------------------------------------------------


def test_it_is_put_in_place_once_and_undone(run, root, bin_folder, epmd_binary):
    os.chmod(bin_folder / "epmd", 0o751)
    before = tree(root)
    said = done(run(root))
    assert said == (f"{bin_folder}/epmd: {version(epmd_binary)} put in place, what was there is kept as epmd.stock\n")
    after = tree(root)
    assert after[f"{bin_folder}/epmd.stock"] == before[f"{bin_folder}/epmd"]
    assert after[f"{bin_folder}/epmd"][3] == pathlib.Path(epmd_binary).read_bytes()
    assert after[f"{bin_folder}/epmd"][:3] == before[f"{bin_folder}/epmd"][:3]
    assert set(after) - set(before) == {f"{bin_folder}/epmd.stock"}

    assert done(run(root)) == f"{bin_folder}/epmd: is {version(epmd_binary)} already\n"
    assert tree(root) == after
    assert done(run("--undo", root)) == f"{bin_folder}/epmd: stock is back\n"
    assert tree(root) == before
    assert done(run("--undo", root)) == f"{bin_folder}/epmd: is stock already\n"
    assert tree(root) == before


def version(binary):
    return subprocess.run([binary, "-version"], capture_output=True, text=True, check=True).stdout.strip()


def test_a_dry_run_changes_nothing(run, root, bin_folder, epmd_binary):
    before = tree(root)
    assert done(run("--dry-run", root)) == (f"{bin_folder}/epmd: {version(epmd_binary)} would be put in place, "
                                            "what was there is kept as epmd.stock\n")
    assert tree(root) == before
    done(run(root))
    before = tree(root)
    assert done(run("--dry-run", "--undo", root)) == f"{bin_folder}/epmd: stock would be back\n"
    assert tree(root) == before


def test_another_build_of_ours_replaces_ours_and_keeps_stock(run, root, bin_folder, epmd_binary, tmp_path):
    stock = (bin_folder / "epmd").read_bytes()
    done(run(root))
    other = altered(epmd_binary, tmp_path / "other", append=b"other")
    assert "put in place\n" in done(run(root, binary=other))
    assert (bin_folder / "epmd").read_bytes() == other.read_bytes()
    assert (bin_folder / "epmd.stock").read_bytes() == stock


def test_a_new_stock_over_ours_is_what_is_kept(run, root, bin_folder):
    """As when OTP is upgraded in place."""
    done(run(root))
    (bin_folder / "epmd").unlink()
    shutil.copy2(bin_folder / "erlexec", bin_folder / "epmd")
    assert "left alone" in refused(run("--undo", root), f"{bin_folder}/epmd is not kepmd's any more")
    done(run(root))
    assert (bin_folder / "epmd.stock").read_bytes() == (bin_folder / "erlexec").read_bytes()


def test_what_an_interrupted_run_left_is_finished(run, root, bin_folder):
    before = tree(root)
    os.link(bin_folder / "epmd", bin_folder / "epmd.stock")
    done(run(root))
    done(run("--undo", root))
    assert tree(root) == before


def test_ours_without_a_stock_beside_it_cannot_be_undone(run, root, bin_folder, epmd_binary, tmp_path):
    shutil.copy2(altered(epmd_binary, tmp_path / "other", append=b"other"), bin_folder / "epmd")
    assert "there is no stock epmd to keep" in done(run(root))
    refused(run("--undo", root), bin_folder, "epmd.stock", "install the release anew")


def test_every_release_of_an_image_is_found(run, make_release, tmp_path, epmd_binary):
    """Debian's Erlang, with its links, and two applications; nothing is called a release that is none."""
    root = image(tmp_path / "image with a space", epmd_binary)
    erlang = make_release(root / "usr/lib/erlang")
    (root / "usr/lib/erlang/bin").mkdir()
    (root / "usr/lib/erlang/bin/epmd").symlink_to(f"../{ERTS}/bin/epmd")
    (root / "usr/bin").mkdir()
    (root / "usr/bin/epmd").symlink_to("../lib/erlang/bin/epmd")
    (root / "usr/lib/erlang/lib" / ERTS / "ebin").mkdir(parents=True)
    apps = [make_release(root / "opt/one"), make_release(root / "srv/deep/er/two", "erts-14.2")]
    (root / "srv/erts-source/bin").mkdir(parents=True)
    (root / "srv/erts-source/bin/epmd").write_text("not ours to touch")
    before = tree(root)
    said = done(run(root))
    assert sorted(line.partition(": ")[0] for line in said.splitlines()) == sorted(f"{f}/epmd" for f in [erlang, *apps])
    changed = {path for path, was in before.items() if tree(root)[path] != was}
    assert changed == {f"{folder}/epmd" for folder in [erlang, *apps]}
    assert (root / "usr/bin/epmd").read_bytes() == pathlib.Path(epmd_binary).read_bytes()
    done(run("--undo", root))
    assert tree(root) == before


def image(root, binary):
    """A root in which the binary finds its libraries."""
    if b"__asan_init" in pathlib.Path(binary).read_bytes():
        pytest.skip("with sanitizers nothing runs without /proc")
    (root / "etc").mkdir(parents=True)
    linked = subprocess.run(["ldd", binary], capture_output=True, text=True).stdout
    for word in linked.split():
        if word.startswith("/") and not (root / word[1:]).exists():
            (root / word[1:]).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(word, root / word[1:])
    return root


@pytest.mark.parametrize("target", ["../../outside", "/outside", "gone", "../../bin/epmd"])
def test_a_link_is_replaced_and_never_written_through(target, run, root, bin_folder, tmp_path, stock_bin, epmd_binary):
    outside = tmp_path / "outside"
    shutil.copy2(stock_bin / "epmd", outside)
    (root / "bin").mkdir()
    shutil.copy2(stock_bin / "epmd", root / "bin/epmd")
    (bin_folder / "epmd").unlink()
    (bin_folder / "epmd").symlink_to(str(outside) if target == "/outside" else target)
    before = tree(tmp_path)
    done(run(root))
    assert (bin_folder / "epmd").read_bytes() == pathlib.Path(epmd_binary).read_bytes()
    assert (bin_folder / "epmd").stat().st_mode & 0o777 == 0o755
    after = tree(tmp_path)
    assert {path for path in before if before[path] != after[path]} == {f"{bin_folder}/epmd"}
    done(run("--undo", root))
    assert tree(tmp_path) == before


def test_the_owner_needs_no_root(run, make_release, epmd_binary):
    if os.geteuid() != 0:
        pytest.skip("needs root, to be somebody else")
    with tempfile.TemporaryDirectory() as name:
        top = pathlib.Path(name)
        top.chmod(0o755)
        script, binary = (shutil.copy(file, top) for file in (SCRIPT, epmd_binary))
        folder = make_release(top / "release")
        (folder / "epmd").chmod(0o555)
        somebody = {"user": NOBODY, "group": NOBODY, "extra_groups": [], "script": script, "binary": binary}
        refused(run(folder.parents[1], **somebody), folder, "cannot be written to", "run this as the owner")
        for path in [top / "release", *(top / "release").rglob("*")]:
            os.chown(path, NOBODY, NOBODY)
        before = tree(top / "release")
        done(run(folder.parents[1], **somebody))
        assert tree(folder)[f"{folder}/epmd"][:3] == before[f"{folder}/epmd"][:3]
        done(run("--undo", folder.parents[1], **somebody))
        assert tree(top / "release") == before

        # Somebody else's file in a folder of one's own.
        os.chown(folder / "epmd", 1, 1)
        before = tree(top / "release")
        refused(run(folder.parents[1], **somebody), f"{folder}/epmd belongs to 1:1", "run this as root")
        assert tree(top / "release") == before

        # And root leaves everybody what is theirs.
        done(run(folder.parents[1]))
        assert (folder / "epmd").stat().st_uid == 1
        folder.chmod(0o555)
        refused(run("--undo", folder.parents[1], **somebody), folder, "cannot be written to")


def test_the_default_is_the_static_build_of_the_checkout(run, root, bin_folder, tmp_path, epmd_binary):
    checkout = tmp_path / "checkout"
    (checkout / "scripts").mkdir(parents=True)
    script = shutil.copy(SCRIPT, checkout / "scripts")
    (checkout / "build-static").mkdir()
    static = altered(epmd_binary, checkout / "build-static/epmd", append=b"static")
    done(run(root, binary=None, script=script))
    assert (bin_folder / "epmd").read_bytes() == static.read_bytes()


# --- what it refuses ---------------------------------------------------------------------------


def altered(binary, path, append=b"", machine=None, replace=None):
    """A copy of a program with some bytes changed."""
    content = pathlib.Path(binary).read_bytes() + append
    if machine:
        content = content[:18] + machine + content[19:]
    if replace:
        assert replace[0] in content and len(replace[0]) == len(replace[1])
        content = content.replace(*replace)
    path.write_bytes(content)
    path.chmod(0o755)
    return path


@pytest.mark.parametrize("arguments, words", [
    ((), ["which FOLDER?"]),
    (("",), ["FOLDER is empty"]),
    (("--wrong", "."), ["unknown option --wrong"]),
    ((".", "other"), ["one FOLDER only, not also other"]),
    (("--binary",), ["--binary needs a file"]),
    (("--undo", "--binary=x", "."), ["--undo takes no --binary"]),
])
def test_wrong_usage(run, arguments, words):
    process = run(*arguments, binary=None)
    assert process.returncode == 2 and "usage: install-release " in process.stderr
    for word in words:
        assert word in process.stderr


def test_help(run):
    said = done(run("--help"))
    assert "--undo" in said and "#" not in said and "set -eu" not in said


def test_what_is_no_release(run, tmp_path, root, bin_folder):
    refused(run(tmp_path / "none"), f"{tmp_path}/none: no such folder")
    (tmp_path / "empty").mkdir()
    refused(run(tmp_path / "empty"), f"{tmp_path}/empty is neither a release nor an image with one")
    refused(run(bin_folder), bin_folder, "neither a release")
    (tmp_path / "lean/releases").mkdir(parents=True)
    refused(run(tmp_path / "lean"), f"{tmp_path}/lean is a release without a run-time system", "/usr/lib/erlang")
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked" / ERTS).symlink_to(root / ERTS)
    refused(run(tmp_path / "linked"), f"{tmp_path}/linked/{ERTS} is a link", root / ERTS)


def test_an_epmd_alone_is_no_release(run, tmp_path, stock_epmd):
    """As `COPY epmd /app/erts-X/bin/` makes it, with the wrong X."""
    stray = tmp_path / "app" / "erts-1" / "bin" / "epmd"
    stray.parent.mkdir(parents=True)
    shutil.copy(stock_epmd, stray)
    (tmp_path / "app" / "releases").mkdir()
    refused(run(tmp_path), f"{stray} has neither erlexec nor beam.smp beside it")
    refused(run(tmp_path / "app"), f"{stray} has neither erlexec nor beam.smp beside it")


def test_a_binary_that_is_none_of_ours(run, root, tmp_path, stock_epmd, epmd_binary):
    before = tree(root)
    refused(run(root, binary=tmp_path / "none"), f"{tmp_path}/none: no such file")
    refused(run(root, binary=tmp_path), f"{tmp_path}: no such file")
    refused(run(root, binary=stock_epmd), f"{stock_epmd} is not kepmd's epmd")
    text = tmp_path / "text"
    text.write_text("#!/bin/sh\n# ERL_EPMD_DISCOVERY\n")
    text.chmod(0o755)
    refused(run(root, binary=text), f"{text} is no program")
    mode = shutil.copy(epmd_binary, tmp_path / "mode")
    os.chmod(mode, 0o644)
    refused(run(root, binary=mode), f"{mode} is not executable: chmod +x {mode}")
    assert tree(root) == before


def test_no_binary_anywhere(run, root, tmp_path):
    alone = shutil.copy(SCRIPT, tmp_path)
    if os.path.exists("/usr/local/bin/epmd"):
        pytest.skip("this machine has an epmd of its own")
    refused(run(root, binary=None, script=alone), "no epmd of kepmd's on this machine", "--binary FILE")


def test_a_binary_that_cannot_start(run, root, tmp_path, epmd_binary):
    loader = b"/lib64/ld-linux-x86-64.so.2"
    if loader not in pathlib.Path(epmd_binary).read_bytes():
        pytest.skip("not linked as on amd64")
    broken = altered(epmd_binary, tmp_path / "broken", replace=(loader, loader.replace(b"2", b"3")))
    before = tree(root)
    refused(run(root, binary=broken), f"{broken} does not run here: ", "scripts/build-static")
    assert tree(root) == before


def test_a_binary_for_another_machine(run, root, bin_folder, tmp_path, epmd_binary):
    if pathlib.Path(epmd_binary).read_bytes()[18:19] != X86_64:
        pytest.skip("written for amd64")
    foreign = altered(epmd_binary, tmp_path / "foreign", machine=ARM64)
    before = tree(root)
    refused(run(root, binary=foreign), f"{foreign} is for arm64, and {bin_folder} for x86-64")
    assert tree(root) == before
    # But it is right for an image of that machine, where ours would be wrong.
    altered(bin_folder / "erlexec", bin_folder / "erlexec", machine=ARM64)
    refused(run(root), f"{epmd_binary} is for x86-64, and {bin_folder} for arm64")
    assert "kepmd for arm64, not tried put in place" in done(run(root, binary=foreign))


def test_of_several_releases_all_or_none(run, root, make_release, tmp_path, epmd_binary):
    if pathlib.Path(epmd_binary).read_bytes()[18:19] != X86_64:
        pytest.skip("written for amd64")
    other = make_release(root / "other")
    altered(other / "erlexec", other / "erlexec", machine=ARM64)
    before = tree(root)
    refused(run(root), other)
    assert tree(root) == before


def test_an_image_without_its_libraries(run, make_release, tmp_path, epmd_binary):
    if os.geteuid() != 0:
        pytest.skip("chroot needs root")
    if "not a dynamic" in subprocess.run(["ldd", epmd_binary], capture_output=True, text=True).stderr:
        pytest.skip("this epmd needs no library")
    root = tmp_path / "image"
    make_release(root / "app")
    (root / "etc").mkdir()
    before = tree(root)
    refused(run(root), f"{epmd_binary} does not run in {root}", "scripts/build-static")
    assert tree(root) == before
    image(tmp_path / "whole", epmd_binary)
    make_release(tmp_path / "whole/app")
    done(run(tmp_path / "whole"))


def test_a_full_file_system_leaves_what_was_there(run, make_release, tmp_path):
    if os.geteuid() != 0:
        pytest.skip("mounting needs root")
    small = tmp_path / "small"
    small.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", small], check=False).returncode != 0:
        pytest.skip("nothing can be mounted here")
    try:
        make_release(small)
        before = tree(small)
        process = run(small)
        assert process.returncode == 1 and "cannot be copied there" in process.stderr
        assert tree(small) == before
    finally:
        subprocess.run(["umount", small], check=True)
