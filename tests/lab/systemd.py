"""A real systemd as PID 1 of namespaces of its own, in a pod, with our units."""

import contextlib
import os
import pathlib
import shutil
import subprocess
import tempfile

from .namespace import clean_env
from .wait import until

PROGRAM = "/lib/systemd/systemd"
ISOLATE = ["unshare", "--pid", "--mount", "--uts", "--ipc", "--cgroup", "--fork", "--mount-proc", "--kill-child"]

# Nothing of the machine's own units: /run is empty, and what is booted is our socket.
BOOT = """
set -e
mount --make-rprivate /
mount -t tmpfs tmpfs /run
mkdir -p /run/systemd/system /run/lock
cp "$1"/* /run/systemd/system
exec env -i PATH=/usr/sbin:/usr/bin container=lab "$2" --system --unit=lab.target --log-target=console --show-status=no
"""

TARGET = """
[Unit]
DefaultDependencies=no
AllowIsolate=yes
"""

# There is no basic.target here to wait for, and the binary is not where it is installed.
UNIT_DROP_IN = """
[Unit]
DefaultDependencies=no
"""
SERVICE_DROP_IN = """
[Service]
ExecStart=
ExecStart={binary} -systemd -d
StandardError=append:/run/epmd.log
{more}
"""


class Systemd:
    """`units` is the folder of epmd.service and epmd.socket."""

    def __init__(self, pod, units, binary, more=""):
        self.pod, self.folder = pod, pathlib.Path(tempfile.mkdtemp(prefix="kepmd-systemd-"))
        try:
            self._write(pathlib.Path(units), binary, more)
            self._log = open(self.folder / "log", "wb")
            self.process = pod.popen([*ISOLATE, "sh", "-c", BOOT, "sh", str(self.folder / "units"), PROGRAM],
                                     stdin=subprocess.DEVNULL, stdout=self._log, stderr=subprocess.STDOUT)
            until(self.is_up, 30, "systemd to be up")
        except BaseException:
            self.close()
            raise

    def _write(self, units, binary, more):
        into = self.folder / "units"
        into.mkdir()
        (into / "lab.target").write_text(TARGET)
        for kind in ("socket", "service"):
            text = (units / f"epmd.{kind}").read_text()
            text += UNIT_DROP_IN + (SERVICE_DROP_IN.format(binary=binary, more=more) if kind == "service" else "")
            (into / f"epmd.{kind}").write_text(text)

    def init(self):
        """The pid of systemd, seen from here."""
        with contextlib.suppress(OSError, IndexError):
            return int(pathlib.Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()[0])

    def is_up(self):
        if self.process.poll() is not None:
            raise RuntimeError(f"systemd does not run here: {self.log()}")
        return self.init() and self.systemctl("is-system-running").stdout.strip() in ("running", "degraded")

    def inside(self, *command):
        return subprocess.run(["nsenter", f"--target={self.init()}", "--all", *command], env=clean_env(),
                              capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL)

    def systemctl(self, *words):
        return self.inside("systemctl", *words)

    def show(self, unit, what):
        return self.systemctl("show", "--value", "--property", what, unit).stdout.strip()

    def main_pid(self):
        """That of epmd, in systemd's namespace."""
        return int(self.show("epmd.service", "MainPID"))

    def status(self):
        """/proc/PID/status of epmd."""
        return self.inside("cat", f"/proc/{self.main_pid()}/status").stdout

    def epmd_log(self):
        return self.inside("cat", "/run/epmd.log").stdout

    def log(self):
        return (self.folder / "log").read_text(errors="replace")

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()

    def close(self):
        if hasattr(self, "process"):
            self.process.kill()
            self.process.wait()
        if hasattr(self, "_log"):
            self._log.close()
        shutil.rmtree(self.folder, ignore_errors=True)


def unavailable():
    for path in (PROGRAM, "/usr/bin/systemctl"):
        if not os.path.exists(path):
            return f"no {path} (scripts/setup test)"
    if not os.path.isdir("/sys/fs/cgroup"):
        return "no cgroups"
    return None
