"""Root folders with a small Debian in them: debootstrap makes one, once, and each test gets a copy."""

import contextlib
import fcntl
import hashlib
import os
import pathlib
import shutil
import subprocess

from .built import BuildError, Unavailable
from .namespace import clean_env
from .wait import until

RECIPE = 1  # raise it when a change here makes existing caches worthless
TIMEOUT = 900
ARCHIVE = "root.tar"
# What is beside the root: the packages that it was made of, to install some of them anew.
PACKAGES = "packages"

# In a process namespace of its own, since packages' scripts look for processes by name and kill them.
ISOLATE = ["unshare", "--mount", "--pid", "--fork", "--kill-child"]
ENTER = """
set -e
mount -t proc proc "$1/proc"
exec chroot "$@"
"""


# And one with its own systemd as PID 1.
BOOT_ISOLATE = ["unshare", "--pid", "--mount", "--uts", "--ipc", "--cgroup", "--fork", "--kill-child"]
BOOT = """
set -e
mount --make-rprivate /
mount --bind "$1" "$1"
mount -t proc proc "$1/proc"
mount -t sysfs sysfs "$1/sys"
mount -t tmpfs tmpfs "$1/run"
mount --rbind /dev "$1/dev"
mount -t cgroup2 cgroup "$1/sys/fs/cgroup" || mount --rbind /sys/fs/cgroup "$1/sys/fs/cgroup"
cd "$1"
mkdir -p run/systemd/system
cp "$2" run/systemd/system/lab.target
pivot_root . .
umount -l .
exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin container=lab \\
    /lib/systemd/systemd --system --unit=lab.target --log-target=console --show-status=no
"""
TARGET = """
[Unit]
DefaultDependencies=no
AllowIsolate=yes
Wants=sockets.target
"""


def _cache():
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return pathlib.Path(os.environ.get("KEPMD_CACHE") or f"{base}/kepmd")


def _text(*command):
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return done.stdout if done.returncode == 0 else ""


def _archive():
    """(mirror, code name) of the Debian that this machine is configured for."""
    release = dict(line.partition("=")[::2] for line in pathlib.Path("/etc/os-release").read_text().splitlines())
    name = release.get("VERSION_CODENAME", "").strip('"')
    for line in _text("apt-get", "indextargets", "--format", "$(CODENAME) $(COMPONENT) $(SITE)",
                      "Created-By: Packages").splitlines():
        code_name, component, site = line.split()
        if (code_name, component) == (name, "main"):
            return site, name
    raise Unavailable(f"apt is configured for no archive of {name or 'any Debian'}")


def _key(site, name, include):
    """The same packages in the same versions, as far as apt knows."""
    versions = _text("apt-cache", "show", "--no-all-versions", *include)
    known = sorted(line for line in versions.splitlines() if line.startswith(("Package:", "Version:")))
    return hashlib.sha256("\n".join([str(RECIPE), site, name, *include, *known]).encode()).hexdigest()[:16]


def debian_root(include):
    """The folder of the cache that has the archive of a root with these packages, and their files."""
    if os.geteuid() != 0:
        raise Unavailable("a root folder needs root, for debootstrap and chroot")
    if not shutil.which("debootstrap"):
        raise Unavailable("not installed: debootstrap (scripts/setup test)")
    site, name = _archive()
    cache = _cache()
    cache.mkdir(parents=True, exist_ok=True)
    folder = cache / f"debian-{_key(site, name, include)}"
    with open(cache / ".debian-lock", "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            _make(folder, site, name, include)
    return folder


def _make(folder, site, name, include):
    """Renamed to its place as a whole: what is there is complete."""
    new = folder.with_name(f".{folder.name}.new")
    shutil.rmtree(new, ignore_errors=True)
    try:
        (new / "root").mkdir(parents=True)
        done = subprocess.run(["debootstrap", "--variant=minbase", f"--include={','.join(include)}", name, new / "root", site],
                              env=clean_env({"PATH": os.environ["PATH"], "DEBIAN_FRONTEND": "noninteractive"}),
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              timeout=TIMEOUT, check=False)
        if done.returncode != 0:
            tail = done.stdout.splitlines()[-25:]
            if any("ailed getting" in line or "ailed to connect" in line for line in tail):
                raise Unavailable(f"{site} cannot be had: {tail[-1]}")
            raise BuildError("\n".join(["debootstrap failed", *tail]))
        (new / PACKAGES).mkdir()
        for package in include:
            for file in (new / "root/var/cache/apt/archives").glob(f"{package}_*.deb"):
                shutil.move(file, new / PACKAGES)
        # Half of it, and of no use to programs.
        for bulk in ("var/cache/apt", "var/lib/apt/lists", "usr/share/locale"):
            shutil.rmtree(new / "root" / bulk)
            (new / "root" / bulk).mkdir()
        subprocess.run(["tar", "-C", new / "root", "-cf", new / ARCHIVE, "."], check=True, timeout=TIMEOUT)
        shutil.rmtree(new / "root")
        new.rename(folder)
    except BaseException:
        shutil.rmtree(new, ignore_errors=True)
        raise


class DebianRoot:
    """A copy to install into, whose programs run in a pod."""

    def __init__(self, made, folder, pod):
        self.made, self.folder, self.pod = made, pathlib.Path(folder), pod
        self.folder.mkdir()
        self._running = []
        subprocess.run(["tar", "-C", self.folder, "-xf", made / ARCHIVE], check=True, timeout=TIMEOUT)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()

    def path(self, path):
        return self.folder / str(path).lstrip("/")

    def package(self, name):
        """The file, inside, of one of the packages that it was made of."""
        (found,) = (self.made / PACKAGES).glob(f"{name}_*.deb")
        return self.take(found)

    def take(self, file):
        """Copies a file in, and says where it is inside."""
        shutil.copy(file, self.path("/opt"))
        return f"/opt/{pathlib.Path(file).name}"

    def _command(self, words):
        return [*ISOLATE, "sh", "-c", ENTER, "sh", str(self.folder), *map(str, words)]

    def run(self, *words, env=None, timeout=120):
        """Runs a program inside; all that it started ends with it."""
        return self.pod.run(self._command(words), env=self._env(env), stdin=subprocess.DEVNULL, timeout=timeout)

    def check(self, *words, **kwargs):
        done = self.run(*words, **kwargs)
        assert done.returncode == 0, f"{words}:\n{done.stdout}{done.stderr}"
        return done.stdout

    def popen(self, *words, env=None, **kwargs):
        kwargs.setdefault("stdin", subprocess.DEVNULL)
        process = self.pod.popen(self._command(words), env=self._env(env), **kwargs)
        self._running.append(process)
        return process

    def boot(self):
        return Booted(self)

    @staticmethod
    def _env(env):
        return {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "DEBIAN_FRONTEND": "noninteractive", "LANG": "C.UTF-8",
                **(env or {})}

    def close(self):
        for process in self._running:
            with contextlib.suppress(OSError):
                process.kill()
            process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


class Booted:
    """The root, running: with its sockets, and no other services than they start."""

    def __init__(self, root):
        self.root = root
        target = root.path("/opt/lab.target")
        target.write_text(TARGET)
        self._log = root.folder.with_name("boot.log")
        with open(self._log, "wb") as log:
            self.process = root.pod.popen([*BOOT_ISOLATE, "sh", "-c", BOOT, "sh", str(root.folder), str(target)],
                                          env=root._env(None), stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)
        root._running.append(self.process)
        until(self.is_up, 60, "systemd to be up", every=0.1)

    def log(self):
        return self._log.read_text(errors="replace")

    def command(self, *words):
        (init,) = pathlib.Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return ["nsenter", f"--target={init}", "--all", "--root", "--wdns=/", *map(str, words)]

    def run(self, *words, timeout=120):
        return subprocess.run(self.command(*words), env=clean_env(self.root._env(None)), capture_output=True, text=True,
                              timeout=timeout, stdin=subprocess.DEVNULL, check=False)

    def check(self, *words):
        done = self.run(*words)
        assert done.returncode == 0, f"{words}:\n{done.stdout}{done.stderr}{self.log()}"
        return done.stdout

    def popen(self, *words):
        process = subprocess.Popen(self.command(*words), env=clean_env(self.root._env(None)), stdin=subprocess.DEVNULL,
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.root._running.append(process)
        return process

    def is_up(self):
        if self.process.poll() is not None:
            raise Unavailable(f"systemd does not run here: {self.log().splitlines()[-1:]}")
        try:
            return self.run("systemctl", "is-system-running").stdout.strip() in ("running", "degraded")
        except ValueError:
            return False  # it is not even forked

    def show(self, unit, what):
        return self.run("systemctl", "show", "--value", "--property", what, unit).stdout.strip()
