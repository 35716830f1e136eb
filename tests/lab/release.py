"""The releases of examples/: built as a user would build them, run in pods as containers are."""

import os
import re
import shutil
import signal
import subprocess
import tempfile

from .namespace import clean_env
from .wait import until

BUILD_TIMEOUT = 120
STARTED = "{started,started}"


def process_name(pid):
    try:
        with open(f"/proc/{pid}/comm", encoding="latin-1") as name:
            return name.read().strip()
    except (FileNotFoundError, ProcessLookupError):
        return None


class ReleaseError(RuntimeError):
    """A build or a command of the release failed."""


class Release:
    """A release that has been built in a folder of its own, with the epmd given or, without one,
    stock epmd. Several pods can run it."""

    within = ""  # the folder that is said where to put it
    start_word, rpc_word = "start", "rpc"  # what its own script calls these

    def __init__(self, example, folder, epmd=None):
        output = os.path.join(folder, "release")
        self.folder = os.path.join(output, self.within)
        source = shutil.copytree(example, os.path.join(folder, "source"))
        self.prepare(source, epmd)
        home = os.path.join(folder, "home")
        os.mkdir(home)
        # No dependencies, so nothing to download; what the tools keep at home is not the user's.
        env = {"HOME": home, "MIX_HOME": f"{home}/mix", "HEX_HOME": f"{home}/hex", "MIX_ENV": "prod",
               "LANG": "C.UTF-8", **({"KEPMD_EPMD": epmd} if epmd else {})}
        done = subprocess.run([*self.build_command, output], cwd=source, env=clean_env(env), text=True,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              timeout=BUILD_TIMEOUT)
        if done.returncode != 0:
            raise ReleaseError(f"{example} cannot be built:\n{done.stdout}")

    def prepare(self, source, epmd):
        """What has to be done in the example's folder first."""

    @property
    def bin_dir(self):
        """Where its run-time system has its programs, epmd among them."""
        erts = next(name for name in os.listdir(self.folder) if name.startswith("erts-"))
        return os.path.join(self.folder, erts, "bin")


class ElixirRelease(Release):
    tools = ("erl", "mix")
    build_command = ("mix", "release", "--path")
    status, nodes, connect = ":init.get_status()", "Node.list()", 'Node.connect(:"{}")'
    printing = ':io.format("~0tp", [{}])'


class ErlangRelease(Release):
    tools = ("erl", "erlc")
    build_command = ("./build.sh",)
    status, nodes, connect = "init:get_status()", "nodes()", "net_kernel:connect_node('{}')"
    printing = "{}"  # its rpc does so by itself


class RebarRelease(ErlangRelease):
    """The same example, by rebar3 and relx."""

    tools = ("erl", "rebar3")
    build_command = ("rebar3", "as", "prod", "release", "-o")
    within = "sample"
    start_word, rpc_word, printing = "foreground", "eval", "{}."

    def prepare(self, source, epmd):
        if epmd:
            shutil.copy(epmd, os.path.join(source, "epmd"))


RELEASES = {"elixir": ElixirRelease, "erlang": ErlangRelease}


class Running:
    """A release that has been started in a pod, in the foreground, as a container does it."""

    def __init__(self, release, pod, env=None):
        self.release, self.pod = release, pod
        self.name = f"sample@{pod.ip}"
        self.home = tempfile.mkdtemp(prefix="lab-release-")
        self.env = {"HOME": self.home, "RELEASE_TMP": self.home, "LANG": "C.UTF-8", "POD_IP": pod.ip,
                    "ERL_EPMD_LOG": self.epmd_log_path(), **(env or {})}
        self.process = None
        try:
            self.start()
        except BaseException:
            shutil.rmtree(self.home, ignore_errors=True)
            raise

    def __repr__(self):
        return f"<{type(self.release).__name__} {self.name}>"

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()

    def command(self, *words):
        return [os.path.join(self.release.folder, "bin", "sample"), *words]

    def log_path(self):
        return os.path.join(self.home, "log")

    def epmd_log_path(self):
        return os.path.join(self.home, "epmd.log")

    def start(self):
        with open(self.log_path(), "ab") as log:
            self.process = self.pod.popen(self.command(self.release.start_word), env=self.env, cwd=self.home,
                                          stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)

    def wait_started(self, timeout=30):
        """Wait until the node's applications are up."""
        try:
            until(self._is_started, timeout, f"{self} to start", every=0.1)
        except TimeoutError as error:
            raise TimeoutError(f"{error}\n{self.log_text()}") from None
        return self

    def _is_started(self):
        if self.process.poll() is not None:
            raise ReleaseError(f"{self} ended with status {self.process.returncode}:\n{self.log_text()}")
        # An rpc before the node is registered would only cost time.
        return "sample" in self.registered() and self.value(self.release.status).replace(" ", "") == STARTED

    def rpc(self, source, timeout=30):
        """What `sample rpc SOURCE` prints."""
        done = self.pod.run(self.command(self.release.rpc_word, source), env=self.env, cwd=self.home, timeout=timeout,
                            stdin=subprocess.DEVNULL)
        if done.returncode != 0:
            raise ReleaseError(f"{self}: {source}: {done.stdout}{done.stderr}\n{self.log_text()}")
        return done.stdout.strip()

    def value(self, expression):
        """The value of an expression in the release's own language, as Erlang text on one line."""
        return self.rpc(self.release.printing.format(expression))

    def nodes(self):
        """The names of the visible nodes it is connected to."""
        return set(self.value(self.release.nodes).split("'")[1::2])

    def connected(self):
        """The same, from its log, which the example's watcher keeps: this costs no VM for the question."""
        names = set()
        for kind, name in re.findall(r"(is up|nodeup|nodedown)(?: (sample@[^\s,]+))?", self.node_log()):
            names = {"nodeup": names | {name}, "nodedown": names - {name}}.get(kind, set())
        return names

    def node_log(self):
        with open(self.log_path(), encoding="utf-8", errors="replace") as log:
            return log.read()

    def kill_epmd(self):
        """SIGKILL to the daemon that the node started."""
        for pid in self.pod.processes():
            if process_name(pid) == "epmd":
                os.kill(pid, signal.SIGKILL)
                until(lambda pid=pid: process_name(pid) != "epmd", 5, "epmd to be gone")

    def connect(self, other):
        """Have it connect to another node by hand; True if it is then connected."""
        return self.value(self.release.connect.format(other.name)) == "true"

    def epmd(self, *args):
        """Run the release's own epmd as a client, as `kubectl exec` would."""
        return self.pod.run([os.path.join(self.release.bin_dir, "epmd"), *args], env=self.env)

    def listed(self):
        """{name: port} as `epmd -names` shows them in the pod."""
        lines = [line.split() for line in self.epmd("-names").stdout.splitlines()]
        return {words[1]: int(words[4]) for words in lines if words[0] == "name"}

    def registered(self):
        """Of these, the pod's own nodes."""
        return {name for name in self.listed() if "@" not in name}

    def log_text(self):
        """What the node wrote, and its epmd, for when something is wrong."""
        texts = []
        for path in (self.log_path(), self.epmd_log_path()):
            if os.path.exists(path):
                with open(path, encoding="utf-8", errors="replace") as log:
                    texts.append(log.read())
        return "\n".join(texts)

    def stop(self, timeout=20):
        """SIGTERM, as when a pod is deleted; the exit status."""
        self.process.terminate()
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            raise

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
        return self.process.wait()

    def close(self):
        """End the node; the epmd that it started ends with the pod."""
        self.kill()
        shutil.rmtree(self.home, ignore_errors=True)
