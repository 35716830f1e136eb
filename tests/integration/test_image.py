"""The image of scripts/build-image: what is in it, and its one file in images of other kinds."""

import contextlib
import hashlib
import json
import os
import pathlib
import platform
import re
import shutil
import subprocess
import tarfile

import pytest

from lab import pods
from lab.built import EX_TEMPFAIL, SCRIPTS, Unavailable, built
from lab.member import await_mesh
from lab.roots import SECRETS, USER, NameServer, Root, debian_archive
from lab.sidecar import await_discovered

ROOTS = ("debian", "busybox", "empty")
PORT = 4369
DIST = 9100
API_NAME = "kubernetes.default.svc"
BUILD_S = 1800
HERE, OTHER = ("arm64", "amd64") if platform.machine() == "aarch64" else ("amd64", "arm64")


@contextlib.contextmanager
def skipping():
    try:
        yield
    except Unavailable as reason:
        pytest.skip(str(reason))


@pytest.fixture(scope="module")
def image(static_epmd, tmp_path_factory):
    with skipping():
        return built("build-image", "--epmd", static_epmd, tmp_path_factory.mktemp("image") / "kepmd.tar")


@pytest.fixture(scope="module")
def foreign_image(static_epmd, tmp_path_factory):
    """For the other kind of machine."""
    if os.environ.get("KEPMD_NO_CROSS"):
        pytest.skip("KEPMD_NO_CROSS is set: without the cross build")
    with skipping():
        return built("build-image", "--arch", OTHER, tmp_path_factory.mktemp("foreign") / "kepmd.tar")


def opened(image):
    """(configuration, {path: TarInfo}, {path: bytes}) of an image."""
    with tarfile.open(image) as archive:
        manifest, = json.load(archive.extractfile("manifest.json"))
        config = json.load(archive.extractfile(manifest["Config"]))
        files, data = {}, {}
        for layer in manifest["Layers"]:
            with tarfile.open(fileobj=archive.extractfile(layer)) as tree:
                for entry in tree:
                    files[entry.name] = entry
                    data[entry.name] = tree.extractfile(entry).read() if entry.isfile() else None
    return config, files, data


@pytest.fixture(scope="module")
def contents(image):
    return opened(image)


@pytest.fixture(scope="module", params=ROOTS)
def root(request, static_epmd, tmp_path_factory):
    """A root file system with epmd at /epmd."""
    reason = pods.unavailable()
    if reason:
        pytest.skip(reason)
    with skipping():
        made = Root(tmp_path_factory.mktemp(request.param) / "root", request.param)
    made.kind = request.param
    made.add(static_epmd, "/epmd")
    return made


@pytest.fixture
def launcher(root, tmp_path):
    return root.launcher("/epmd", tmp_path / "epmd")


# --- the image itself ----------------------------------------------------------------------------

def test_one_file_is_in_it(contents):
    _, files, _ = contents
    assert list(files) == ["epmd"]
    assert (files["epmd"].mode & 0o7777, files["epmd"].uid, files["epmd"].gid) == (0o755, 0, 0)


def sum_in_bill(image):
    bill = json.loads(image.with_name("kepmd.tar.spdx.json").read_text())
    assert bill["files"][0]["fileName"] == "./epmd"
    return next(c["checksumValue"] for c in bill["files"][0]["checksums"] if c["algorithm"] == "SHA256")


def test_it_is_the_static_epmd_with_its_bill_of_materials(image, contents, static_epmd):
    config, _, data = contents
    assert (config["os"], config["architecture"]) == ("linux", HERE)
    assert data["epmd"] == pathlib.Path(static_epmd).read_bytes()
    assert sum_in_bill(image) == hashlib.sha256(data["epmd"]).hexdigest()


def test_an_image_for_the_other_machine(foreign_image):
    config, files, data = opened(foreign_image)
    assert (config["os"], config["architecture"], list(files)) == ("linux", OTHER, ["epmd"])
    assert data["epmd"].startswith(b"\x7fELF") and data["epmd"][18] == {"amd64": 62, "arm64": 183}[OTHER]  # ELF's e_machine
    assert sum_in_bill(foreign_image) == hashlib.sha256(data["epmd"]).hexdigest()


def test_the_other_machine_s_file_is_refused(static_epmd, tmp_path):
    done = subprocess.run([SCRIPTS / "build-image", "--arch", OTHER, "--epmd", static_epmd, tmp_path / "image"],
                          capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (f"build-image: {static_epmd} is not for {OTHER}, says the .spdx.json beside it; make one by "
                           f"scripts/build-static --arch {OTHER}\n")
    assert not list(tmp_path.iterdir())


def test_how_it_runs_and_what_it_says_of_itself(contents, static_epmd):
    config = contents[0]["config"]
    assert config["Entrypoint"] == ["/epmd"] and not config.get("Cmd")
    assert config["User"] == f"{USER}:{USER}"
    assert list(config["ExposedPorts"]) == [f"{PORT}/tcp"]
    labels = {key.removeprefix("org.opencontainers.image."): value for key, value in config["Labels"].items()}
    said = subprocess.run([static_epmd, "-version"], capture_output=True, text=True, check=True).stdout
    assert labels.pop("version") == said.split()[1]
    assert labels.pop("description")
    assert labels == {"title": "kepmd",
                      "licenses": "Apache-2.0 AND BSD-1-Clause AND BSD-3-Clause AND MIT AND curl"}


def test_the_same_file_gives_the_same_image(image, static_epmd, tmp_path):
    again = tmp_path / "elsewhere" / "again.tar"
    done = subprocess.run([SCRIPTS / "build-image", "--epmd", static_epmd, again], capture_output=True, text=True,
                          check=True, umask=0o077)
    assert done.stdout == f"{again}\n"
    assert again.read_bytes() == image.read_bytes()


def test_wrong_words_are_refused(tmp_path):
    for words in (["--arch"], ["--epmd"], ["-x"], ["a", "b"]):
        done = subprocess.run([SCRIPTS / "build-image", *words], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr == "usage: scripts/build-image [--arch amd64|arm64] [--epmd FILE] [OUTFILE]\n"
    done = subprocess.run([SCRIPTS / "build-image", "--epmd", tmp_path / "none"], capture_output=True, text=True,
                          check=False)
    assert (done.returncode, done.stderr) == (1, f"build-image: there is no {tmp_path}/none.spdx.json beside it, "
                                                 "as scripts/build-static leaves it\n")


# --- its file, in images of each kind ------------------------------------------------------------

def test_a_root_is_what_it_claims(root, tmp_path):
    """So that the tests below mean something."""
    present = {kind for kind, path in (("debian", "/etc/debian_version"), ("busybox", "/bin/busybox"))
               if os.path.exists(root.folder + path)}
    assert present == {root.kind} - {"empty"}
    if root.kind != "empty":
        shell = root.launcher("/bin/sh", tmp_path / "sh")
        said = subprocess.run([shell, "-c", "id -u; : >/tmp/file"], capture_output=True, text=True, check=False)
        assert said.stdout == f"{USER}\n"
        assert "Read-only file system" in said.stderr


def test_it_serves_there(root, launcher, network):
    """The daemon as erl starts it, by a user who may write nowhere."""
    pod = network.pod()
    assert pod.run([launcher, "-version"]).stdout.startswith("kepmd ")
    nobody = pod.run([launcher, "-names"])
    assert nobody.stdout + nobody.stderr == "epmd: Cannot connect to local epmd\n"
    started = pod.run([launcher, "-daemon"])
    assert (started.returncode, started.stdout, started.stderr) == (0, "", "")
    assert {os.stat(f"/proc/{pid}").st_uid for pid in pod.processes()} == {USER}
    assert pod.run([launcher, "-names"]).stdout == f"epmd: up and running on port {PORT} with data:\n"
    assert pod.run([launcher, "-kill"]).stdout == "Killed\n"


def test_it_registers_looks_up_and_reads_a_file(root, launcher, network, epmd):
    pod = network.pod()
    root.write("/etc/peers", "10.1.0.77\n")
    daemon = epmd(launcher, pod, port=PORT, env={
        "ERL_EPMD_DISCOVERY": "file:/etc/peers", "ERL_EPMD_BASENAME": "sample", "ERL_EPMD_DIST": str(DIST)})
    with daemon.register("sample", 41001):
        assert daemon.lookup("sample").port == 41001
        await_discovered(daemon, {"sample@10.1.0.77": DIST})
        root.write("/etc/peers", "10.1.0.78\n")
        await_discovered(daemon, {"sample@10.1.0.78": DIST})
        assert daemon.cli("-names").stdout == (
            f"epmd: up and running on port {PORT} with data:\nname sample at port 41001\n"
            f"name sample@10.1.0.78 at port {DIST}\n")
    assert re.search(r"^sample@10\.1\.0\.78 ", daemon.cli("-peers").stdout, re.MULTILINE)


def test_it_finds_the_api_server_by_name_and_talks_tls(root, launcher, world):
    """The name of every cluster's API server, asked of a name server; the real one's certificate."""
    world.allow()
    here, there = world.pod("here"), world.pod("there")
    root.write("/etc/resolv.conf", f"nameserver {here.ip}\n")
    with NameServer(here, {API_NAME: world.cluster.address}) as names:
        daemon = world.epmd(launcher, here, KUBERNETES_SERVICE_HOST=API_NAME, ERL_EPMD_DIST=str(DIST))
        await_discovered(daemon, {f"sample@{there.ip}": DIST}, 30)
        assert API_NAME in names.asked


# --- in Dockerfiles ---------------------------------------------------------------------------------

# What stands for the registry's, from the archives that this machine is configured for.
BASE = "docker.io/library/debian:12-slim"
BASE_FILE = """
FROM scratch
ADD root.tar /
COPY sources.list proxy.conf /etc/apt/
RUN mv /etc/apt/proxy.conf /etc/apt/apt.conf.d/99proxy
"""
COPIED = """
FROM debian:12-slim
COPY --from=localhost/kepmd:{version} /epmd {erts}/bin/epmd
"""
INSTALLED = """
FROM scratch AS kepmd
COPY --from=localhost/kepmd:{version} /epmd /kepmd/epmd/epmd
COPY --from=kepmd-source . /src

FROM debian:12-slim
RUN cp -a /usr/lib/erlang /app && rm /app/erts-*/bin/epmd && cp /usr/bin/epmd /app/erts-*/bin/
{line}
"""


class Buildah:
    """With a storage of its own in `folder`, which is the context too unless another is named."""

    def __init__(self, folder):
        self.folder = folder

    def __call__(self, *words):
        done = subprocess.run(["buildah", "--root", self.folder / "storage", "--runroot", self.folder / "run",
                               "--storage-driver", "vfs", *words], capture_output=True, text=True, check=False,
                              timeout=BUILD_S, cwd=self.folder)
        if "\nbuild-static: " in done.stdout and f"exit status {EX_TEMPFAIL}" in done.stderr:
            pytest.skip(done.stdout.splitlines()[-1])
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout.strip()

    def build(self, tag, *words, dockerfile=None):
        if dockerfile:
            (self.folder / tag).write_text(dockerfile)
            words = (*words, "-f", self.folder / tag, self.folder)
        return self("build", "--isolation", "chroot", "--pull-never", "-t", tag, *words)

    @contextlib.contextmanager
    def mounted(self, tag):
        container = self("from", "--pull-never", f"localhost/{tag}")
        try:
            yield self("mount", container)
        finally:
            self("rm", container)


def apt_sources():
    """Debian's archives, as the machine is configured for them."""
    said = subprocess.run(["apt-get", "indextargets", "--format", "deb $(REPO_URI) $(RELEASE) $(COMPONENT)",
                           "Created-By: Packages", "Origin: Debian"], capture_output=True, text=True, check=True).stdout
    return "".join(sorted({line + "\n" for line in said.splitlines()}))


def apt_proxy():
    said = subprocess.run(["apt-config", "dump"], capture_output=True, text=True, check=True).stdout
    return "".join(line + "\n" for line in said.splitlines() if re.match("Acquire::https?::Proxy", line))


@pytest.fixture(scope="module")
def buildah(image, tmp_path_factory):
    """With our image and a Debian with Erlang in its storage."""
    with skipping():
        root = debian_archive()
    folder = tmp_path_factory.mktemp("buildah")
    subprocess.run(["cp", root, folder / "root.tar"], check=True)
    (folder / "sources.list").write_text(apt_sources())
    (folder / "proxy.conf").write_text(apt_proxy())
    made = Buildah(folder)
    made("pull", "-q", f"docker-archive:{image}")
    (folder / "base").write_text(BASE_FILE)
    made("build", "--isolation", "chroot", "--pull-never", "-q", "-t", BASE, "-f", folder / "base", folder)
    (folder / "root.tar").unlink()
    yield made
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def version(contents):
    return contents[0]["config"]["Labels"]["org.opencontainers.image.version"]


@pytest.fixture(scope="module")
def debian_image(buildah, version):
    """The root file system of a Debian image with Erlang, into which one line has put our epmd."""
    with skipping(), tarfile.open(debian_archive()) as archive:
        erts = next(entry.name for entry in archive if re.search("/erts-[^/]*$", entry.name)).removeprefix(".")
    buildah.build("copied", dockerfile=COPIED.format(version=version, erts=erts))
    with buildah.mounted("copied") as folder:
        made = Root(folder)
        made.erts = erts
        yield made


@pytest.mark.parametrize("arch", [HERE, OTHER])
def test_the_dockerfile_as_it_stands_gives_the_same_file(buildah, arch, request):
    """Its first stage too: what it needs is installed there, and the libraries come from the cache."""
    _, _, data = opened(request.getfixturevalue("image" if arch == HERE else "foreign_image"))
    cache = pathlib.Path(os.environ.get("KEPMD_CACHE") or os.environ.get("XDG_CACHE_HOME", "~/.cache") + "/kepmd").expanduser()
    # As BuildKit sets it by itself.
    said = buildah.build(f"whole-{arch}", "--platform", f"linux/{arch}", "--build-arg", f"BUILDPLATFORM=linux/{HERE}",
                         "--volume", f"{cache}:/root/.cache/kepmd", SCRIPTS.parent)
    with buildah.mounted(f"whole-{arch}") as folder:
        epmd, = [path for path in pathlib.Path(folder).rglob("*") if path.is_file()]
        assert epmd == pathlib.Path(folder, "epmd")
        # Where Debian has newer sources than this machine knows of, they were built there.
        if "building the libraries" not in said:
            assert epmd.read_bytes() == data["epmd"]


def test_the_readme_s_line_installs_it(buildah, version, static_epmd):
    line, = re.findall(r"^RUN --mount=.*/install-release .*$", (SCRIPTS.parent / "README.md").read_text(), re.MULTILINE)
    said = buildah.build("installed", "--build-context", f"kepmd-source={SCRIPTS.parent}",
                         dockerfile=INSTALLED.format(version=version, line=line))
    assert f"/bin/epmd: kepmd {version} put in place, what was there is kept as epmd.stock" in said
    with buildah.mounted("installed") as folder:
        epmd, = pathlib.Path(folder, "app").glob("erts-*/bin/epmd")
        assert epmd.read_bytes() == pathlib.Path(static_epmd).read_bytes()
        assert epmd.with_name("epmd.stock").read_bytes() == pathlib.Path(folder, "usr/bin/epmd").read_bytes()


def test_one_line_puts_it_into_a_release_image(debian_image, static_epmd):
    assert pathlib.Path(debian_image.folder + debian_image.erts + "/bin/epmd").read_bytes() == \
        pathlib.Path(static_epmd).read_bytes()


def test_nodes_of_that_image_start_it_and_join(debian_image, member, tmp_path):
    where = dict(user=0, read_only=False, shown=("/tmp", SECRETS))
    erl = debian_image.launcher("/usr/bin/erl", tmp_path / "erl", **where)
    epmd = debian_image.launcher(f"{debian_image.erts}/bin/epmd", tmp_path / "epmd", **where)
    a, b = [member(binary=epmd, erl=erl) for _ in range(2)]
    await_mesh([a, b], 30)
    a.wait_peer(b, "joined")
    b.wait_peer(a, "joined")
    assert a.epmd("-version").stdout.startswith("kepmd ")
    assert re.search(r"^name sample at port \d+$", a.epmd("-names").stdout, re.MULTILINE)
