"""Root file systems as images have them, to run programs in as a container would: not root, and nothing
of the disk to write to."""

import glob
import os
import shlex
import shutil
import socket
import struct
import subprocess
import threading

from .built import Unavailable
from .debian_root import ARCHIVE, ERLANG_AND_DEPENDENCIES, debian_root

USER = 65532
SECRETS = "/var/run/secrets"

# In a mount namespace of its own; each step becomes the next, so that the pid is the program's. The
# folders that are to be seen inside keep their paths.
ENTER = """#!/bin/sh
exec unshare --mount --propagation private sh -ec '
root=$1; shift
mount --bind "$root" "$root"
for folder in {shown}; do
    [ ! -d "$folder" ] || mount --rbind "$folder" "$root$(readlink -f "$folder")"
done
[ ! -d "$root/proc" ] || mount -t proc proc "$root/proc"
mount -o remount,bind,{mode} "$root"
exec chroot --userspec=+{user}:+{user} --groups= "$root" "$@"' sh {root} {program} "$@"
"""


def debian_archive():
    """The archive of a Debian with Erlang."""
    return debian_root(ERLANG_AND_DEPENDENCIES) / ARCHIVE


def fill_debian(folder):
    subprocess.run(["tar", "-C", folder, "-xf", debian_archive()], check=True)


def fill_busybox(folder):
    """Like Alpine: musl and its loader, and busybox for everything else."""
    busybox, loaders = shutil.which("busybox"), glob.glob("/lib/ld-musl-*.so.1")
    if not busybox or not loaders:
        raise Unavailable("not installed: busybox-static, musl (scripts/setup test)")
    for path in ("bin", "lib", "proc", "tmp"):
        os.mkdir(os.path.join(folder, path))
    shutil.copy(loaders[0], folder + "/lib")
    shutil.copy(busybox, folder + "/bin/busybox")
    names = subprocess.run([busybox, "--list"], stdout=subprocess.PIPE, text=True, check=True).stdout.split()
    for name in set(names) - {"busybox"}:
        os.symlink("busybox", f"{folder}/bin/{name}")
    os.chmod(folder + "/tmp", 0o1777)


FILL = {"debian": fill_debian, "busybox": fill_busybox, "empty": lambda folder: None}


class Root:
    """A root file system in `folder`: a new one, filled as FILL says; or, with no `kind`, one that is there
    already and is kept as it is."""

    def __init__(self, folder, kind=None):
        self.folder = str(folder)
        if kind:
            os.mkdir(self.folder)
            FILL[kind](self.folder)
        for path in ("dev", "etc", "run/secrets", "var"):
            os.makedirs(os.path.join(self.folder, path), exist_ok=True)
        if not os.path.lexists(self.folder + "/var/run"):
            os.symlink("../run", self.folder + "/var/run")
        for name, minor in (("null", 3), ("urandom", 9)):
            path = os.path.join(self.folder, "dev", name)
            if not os.path.exists(path):
                os.mknod(path, 0o20666, os.makedev(1, minor))
                os.chmod(path, 0o666)

    def add(self, source, path):
        """Copy a program in."""
        shutil.copy(source, self.folder + path)
        os.chmod(self.folder + path, 0o755)

    def write(self, path, text):
        with open(self.folder + path, "w", encoding="utf-8") as file:
            file.write(text)

    def launcher(self, program, where, user=USER, read_only=True, shown=(SECRETS,)):
        """A script at `where`, outside, that runs the program inside, as another user. The folders in
        `shown` are the machine's, or the pod's."""
        with open(where, "w", encoding="utf-8") as script:
            script.write(ENTER.format(root=shlex.quote(self.folder), program=program, user=user,
                                      mode="ro" if read_only else "rw", shown=" ".join(shown)))
        os.chmod(where, 0o755)
        return str(where)


class NameServer:
    """Answers each question for the address (A) of a name in `known`, on UDP port 53 in a pod or host;
    for others it says that there is none. `asked` has the names that came."""

    def __init__(self, where, known):
        self.known, self.asked = known, []
        self._socket = where.inside(self._bind, where.ip)
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    @staticmethod
    def _bind(address):
        bound = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        bound.bind((address, 53))
        return bound

    def _serve(self):
        while True:
            question, sender = self._socket.recvfrom(512)
            if not question:
                return
            self._socket.sendto(self._answer(question), sender)

    def _answer(self, question):
        labels, at = [], 12
        while question[at]:
            labels.append(question[at + 1:at + 1 + question[at]].decode())
            at += 1 + question[at]
        end = at + 5
        name, kind = ".".join(labels), struct.unpack(">H", question[at + 1:at + 3])[0]
        self.asked.append(name)
        address = self.known.get(name) if kind == 1 else None
        flags = 0x8180 if name in self.known else 0x8183
        head = question[:2] + struct.pack(">HHHHH", flags, 1, 1 if address else 0, 0, 0)
        record = struct.pack(">HHHIH", 0xC00C, 1, 1, 5, 4) + socket.inet_aton(address) if address else b""
        return head + question[12:end] + record

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self._socket.sendto(b"", self._socket.getsockname())
        self._thread.join()
        self._socket.close()
