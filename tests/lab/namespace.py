"""One network namespace: programs and sockets inside it."""

import ctypes
import itertools
import os
import signal
import socket
import subprocess
import threading

from .wait import until

CLONE_NEWNET = 0x40000000
BLOCKED_TABLE = "100"
NOWHERE_MAC = "02:00:00:00:00:01"
NOWHERE_IP, NOWHERE_IP6 = "10.1.255.254", "fd00:1::fffe"
FOREIGN_SETTINGS = ("ERL_", "RELEASE_", "RELX_", "KUBE", "SSLKEYLOGFILE", "HTTPS_PROXY", "https_proxy")

_libc = ctypes.CDLL(None, use_errno=True)


def clean_env(extra=None):
    """Our environment without anything that an Erlang node or epmd would take as a setting."""
    env = {k: v for k, v in os.environ.items() if not k.startswith(FOREIGN_SETTINGS)}
    env.update({k: str(v) for k, v in (extra or {}).items()})
    return env


def family_of(address):
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def ip(*args, batch=None, check=True):
    """Run iproute2; batch is a list of commands for one process, which is much faster."""
    command = ["ip", *args] + (["-batch", "-"] if batch else [])
    text = "\n".join(batch) + "\n" if batch else None
    done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=30)
    if check and done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()} {text or ''}")
    return done.stdout


def in_thread(function, *args):
    """Run function in a thread of its own, which may then change its namespace, and hand on
    its result or its exception."""
    outcome = {}

    def target():
        try:
            outcome["value"] = function(*args)
        except BaseException as error:  # handed on to the caller below
            outcome["error"] = error

    thread = threading.Thread(target=target)
    thread.start()
    thread.join()
    if "error" in outcome:
        raise outcome["error"]
    return outcome["value"]


def enter_and_call(path, function, args):
    """Move this thread into a network namespace, then call function. For `in_thread`."""
    fd = os.open(path, os.O_RDONLY)
    try:
        if _libc.setns(fd, CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), f"setns {path}")
    finally:
        os.close(fd)
    return function(*args)


class Namespace:
    """A network namespace with an address of each family; programs and sockets can be put in it."""

    def __init__(self, name, netns, ip4, ip6):
        self.name, self.netns, self.ip, self.ip6 = name, netns, ip4, ip6
        self._ports = itertools.count(100)
        self._blocked = {}
        self._started = []
        ip("netns", "add", netns)

    def __repr__(self):
        return f"<{type(self).__name__} {self.name} {self.ip}>"

    def path(self):
        return f"/run/netns/{self.netns}"

    def enter_command(self, cwd=None):
        """The words before a command that put it into the namespace; nsenter then becomes the
        command, so that the pid of the Popen is the program's own."""
        return ["nsenter", f"--net={self.path()}"]

    def popen(self, args, env=None, **kwargs):
        words = [str(word) for word in args]
        process = subprocess.Popen(self.enter_command(kwargs.get("cwd")) + ["--"] + words,
                                   env=clean_env(env), **kwargs)
        self._started.append(process)
        return process

    def run(self, args, env=None, timeout=30, check=False, **kwargs):
        words = [str(word) for word in args]
        kwargs.setdefault("capture_output", True)
        kwargs.setdefault("text", True)
        return subprocess.run(self.enter_command(kwargs.get("cwd")) + ["--"] + words, env=clean_env(env),
                              timeout=timeout, check=check, **kwargs)

    def inside(self, function, *args):
        """Call function in a thread that lives in the namespace."""
        return in_thread(enter_and_call, self.path(), function, args)

    def connect(self, address, port, timeout=5):
        return self.inside(socket.create_connection, (address, port), timeout)

    def listen(self, address=None, port=0):
        return self.inside(open_listener, address or self.ip, port)

    def lose_packets_to(self, other):
        """Neighbour entries that nobody has swallow packets without telling their sender."""
        ip("-n", self.netns, batch=[f"neigh replace {a} lladdr {NOWHERE_MAC} dev {self.device} nud permanent"
                                    for a in (other.ip, other.ip6)])

    def find_again(self, other):
        for address in (other.ip, other.ip6):
            ip("-n", self.netns, "neigh", "del", address, "dev", self.device, check=False)

    def block_port(self, port):
        """Make our answers from this TCP port vanish: whoever dials it from elsewhere hears
        nothing, as with a firewall that drops. Loopback is not touched."""
        if port in self._blocked:
            return
        preference = self._blocked[port] = next(self._ports)
        commands = []
        for family, gateway in (("-4", NOWHERE_IP), ("-6", NOWHERE_IP6)):
            ip("-n", self.netns, family, "route", "replace", "default", "via", gateway,
               "dev", self.device, "onlink", "table", BLOCKED_TABLE)
            ip("-n", self.netns, family, "rule", "add", "pref", str(preference), "ipproto", "tcp",
               "sport", str(port), "table", BLOCKED_TABLE)
            commands.append(f"neigh replace {gateway} lladdr {NOWHERE_MAC} dev {self.device} nud permanent")
        ip("-n", self.netns, batch=commands)

    def unblock_port(self, port):
        preference = self._blocked.pop(port)
        for family in ("-4", "-6"):
            ip("-n", self.netns, family, "rule", "del", "pref", str(preference))

    def processes(self):
        """Pids of everything that lives here: daemons that their starter left behind, and
        programs that we started and that may still be on their way in."""
        inside = {int(pid) for pid in ip("netns", "pids", self.netns).split()}
        return inside | {process.pid for process in self._started if process.poll() is None}

    def end_processes(self, timeout=2):
        """End what still runs in the pod: politely first, then not."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            told = set()
            try:
                until(lambda: not self._signal_all(number, told), timeout, f"{self} to be empty")
                return
            except TimeoutError:
                if number == signal.SIGKILL:
                    raise

    def _signal_all(self, number, told):
        """Signal everything that has not been told yet; what is still there."""
        left = living(self.processes())
        for pid in left:
            if pid not in told:
                send_signal(pid, number)
                told.add(pid)
        return left

    def remove(self):
        ip("netns", "del", self.netns, check=False)


def send_signal(pid, number):
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass


def living(pids):
    """Those of pids that are not zombies: a dead child waits for whoever started it."""
    return [pid for pid in pids if process_state(pid) not in (None, "Z")]


def process_state(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="latin-1") as stat:
            return stat.read().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return None


def reserve_port(address, port):
    """Keeps it from becoming the port of an outgoing connection while nobody listens: then nobody could."""
    reserve = socket.socket(family_of(address), socket.SOCK_STREAM)
    reserve.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    reserve.bind((address, port))
    return reserve


def open_listener(address, port):
    listener = socket.socket(family_of(address), socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((address, port))
    listener.listen(1024)
    return listener
