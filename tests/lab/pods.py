"""Pods: network namespaces on a bridge of their own, cut off from the machine.

`Network` makes them and takes everything down again. The namespace that holds the bridge is
the "host": an API server can listen on its address, and every pod reaches it.
"""

import itertools
import os
import secrets
import shlex
import subprocess

from .namespace import Namespace, clean_env, ip

__all__ = ["Network", "Pod", "Namespace", "clean_env", "unavailable"]

PREFIX = "kepmd"
BRIDGE_MAC = "fe:00:00:00:00:01"
SETTLE = ["sysctl", "-qw", "net.ipv6.conf.all.accept_dad=0", "net.ipv6.conf.default.accept_dad=0"]

# A pod with files needs a mount namespace that outlives its programs, and pods have a process
# for that: it makes the mounts, says so, and waits for its standard input to end, which it does
# when the lab ends, however it ends. Missing targets are made on a tmpfs laid over the nearest
# folder that exists, so that nothing is left behind on the machine.
PAUSE = """
set -e
laid=
lay_tmpfs() {
    for folder in $laid; do
        case "$1/" in "$folder"/*) return ;; esac
    done
    [ "$1" != / ] || { echo "no folder to lay a tmpfs on" >&2; exit 1; }
    mount -t tmpfs -o mode=755 pod "$1"
    laid="$laid $1"
}
bind() {
    source=$1 target=$2
    if [ ! -e "$target" ]; then
        over=$(dirname "$target")
        while [ ! -d "$over" ]; do over=$(dirname "$over"); done
        lay_tmpfs "$(readlink -f "$over")"
        mkdir -p "$(dirname "$target")"
        if [ -d "$source" ]; then mkdir "$target"; else : >"$target"; fi
    fi
    mount --bind "$source" "$target"
}
"""


def unavailable():
    """Why pods cannot be made here, or None if they can."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    probe = f"{PREFIX}-probe-{os.getpid()}-{secrets.token_hex(3)}"
    try:
        ip("netns", "add", probe)
        try:
            ip("-n", probe, batch=["link add br0 type bridge", "link add v0 type veth peer name v1"])
        finally:
            ip("netns", "del", probe)
    except (OSError, RuntimeError) as error:
        return f"network namespaces cannot be made: {error}"
    return None


class Pod(Namespace):
    """A namespace with one interface on the network's bridge."""

    device = "eth0"

    def __init__(self, network, name, number, files=None, hostname=None):
        super().__init__(name, f"{network.id}-{name}", f"10.1.{number // 250}.{number % 250 + 1}",
                         f"fd00:1::{number + 1:x}")
        self._pause = None
        self._unplug = ["-n", network.host.netns, "link", "del", f"p{number}"]
        try:
            self._plug_in(network, number)
            if files or hostname:
                self._pause = self._start_pause(files or {}, hostname)
        except BaseException:
            self.remove()
            raise

    def _plug_in(self, network, number):
        self.run(SETTLE, check=True)
        ip("-n", network.host.netns, batch=[
            f"link add p{number} type veth peer name eth0 netns {self.netns}",
            f"link set p{number} master br0 up"])
        ip("-n", self.netns, batch=[
            "link set lo up", "link set eth0 up",
            f"address add {self.ip}/16 dev eth0",
            f"address add {self.ip6}/64 dev eth0 nodad"])

    def _start_pause(self, files, hostname):
        binds = [f"bind {shlex.quote(os.path.abspath(source))} {shlex.quote(target)}"
                 for target, source in files.items()]
        name = [f"hostname {shlex.quote(hostname)}"] if hostname else []
        script = "\n".join([PAUSE, *name, *binds, "echo ready", "read forever || exit 0"])
        pause = subprocess.Popen(
            ["unshare", "--mount", "--uts", "sh", "-c", script], text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        if pause.stdout.readline() != "ready\n":
            raise RuntimeError(f"pod {self.name}: {pause.communicate()[1].strip()}")
        return pause

    def enter_command(self, cwd=None):
        command = super().enter_command()
        if self._pause:
            command += [f"--mount=/proc/{self._pause.pid}/ns/mnt",
                        f"--uts=/proc/{self._pause.pid}/ns/uts", f"--wdns={os.path.abspath(cwd or '.')}"]
        return command

    def remove(self):
        if self._pause:
            self._pause.communicate()
            self._pause = None
        ip(*self._unplug, check=False)
        super().remove()


class Host(Namespace):
    """The namespace with the bridge, reachable from every pod."""

    device = "br0"

    def __init__(self, network):
        super().__init__("host", f"{network.id}-host", "10.1.0.1", "fd00:1::1")
        self.run(SETTLE, check=True)
        ip("-n", self.netns, batch=[
            "link set lo up",
            # An address of its own: otherwise it has the lowest of its ports', another with every pod, and who
            # knows the one before reaches nobody until the kernel has asked again, up to a minute.
            f"link add br0 address {BRIDGE_MAC} type bridge forward_delay 0 stp_state 0 mcast_snooping 0",
            "link set br0 up",
            f"address add {self.ip}/16 dev br0",
            f"address add {self.ip6}/64 dev br0 nodad"])


class Network:
    """Some pods on a bridge. Everything in it ends when the `with` block does."""

    def __init__(self):
        remove_leftovers()
        self.id = f"{PREFIX}-{os.getpid()}-{secrets.token_hex(3)}"
        self.pods = []
        self._numbers = itertools.count(1)
        self._cuts = set()
        self.host = Host(self)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()

    def pod(self, name=None, files=None, hostname=None):
        number = next(self._numbers)
        pod = Pod(self, name or f"pod{number}", number, files, hostname)
        self.pods.append(pod)
        return pod

    def remove(self, pod):
        """Take one pod away, as a deletion without grace does."""
        pod.end_processes()
        pod.remove()
        self.pods.remove(pod)

    def cut(self, a, b):
        """Lose all packets between the two, silently, also those of open connections."""
        a.lose_packets_to(b)
        b.lose_packets_to(a)

    def cut_one_way(self, a, b):
        """Lose what a sends to b; what b sends still arrives."""
        a.lose_packets_to(b)

    def heal(self, a, b):
        a.find_again(b)
        b.find_again(a)

    def close(self):
        errors = []
        for place in [*self.pods, self.host]:
            try:
                place.end_processes()
            except Exception as error:  # the others must still be taken down
                errors.append(error)
            place.remove()
        self.pods = []
        if errors:
            raise errors[0]


def remove_leftovers():
    """Take away the namespaces of labs that were killed before they could clean up."""
    for line in ip("netns", "list").splitlines():
        name = line.split()[0]
        words = name.split("-")
        if words[0] != PREFIX or len(words) < 4 or not words[1].isdigit():
            continue
        if not os.path.exists(f"/proc/{words[1]}") and not ip("netns", "pids", name, check=False).split():
            ip("netns", "del", name, check=False)
