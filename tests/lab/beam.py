"""A real Erlang node, driven from Python.

The node connects back over a Unix socket, which works from any network namespace and leaves its
standard output to what it logs. It evaluates what it is sent, each expression in a process of
its own, and halts when the socket closes: no node outlives the lab.
"""

import itertools
import os
import queue
import re
import shutil
import socket
import struct
import subprocess
import tempfile
import threading
import time

from .namespace import clean_env
from .wait import until

STOCK_ROOT = "/usr/lib/erlang"
EVENT_ID = 0
VALUE, FAILURE = 0, 1

AGENT = """
spawn(fun() ->
  Here = self(),
  {ok, S} = gen_tcp:connect({local, os:getenv("LAB_SOCKET")}, 0,
                            [binary, {packet, 4}, {active, false}]),
  Text = fun(T) -> unicode:characters_to_binary(io_lib:format("~0tp", [T])) end,
  spawn(fun() ->
    _ = net_kernel:monitor_nodes(true, [{node_type, all}]),
    Watch = fun Watch() ->
      receive {Kind, Node, _} ->
        gen_tcp:send(S, [<<0:32>>, atom_to_binary(Kind), " ", atom_to_binary(Node)])
      end,
      Watch()
    end,
    Here ! watching,
    Watch()
  end),
  receive watching -> ok end,
  Eval = fun(Id, Source) ->
    Answer = try
      {ok, Tokens, _} = erl_scan:string(unicode:characters_to_list(Source)),
      {ok, Exprs} = erl_parse:parse_exprs(Tokens),
      {value, Value, _} = erl_eval:exprs(Exprs, []),
      [0, Text(Value)]
    catch Class:Reason:Stack -> [1, Text({Class, Reason, Stack})] end,
    gen_tcp:send(S, [<<Id:32>> | Answer])
  end,
  Serve = fun Serve() ->
    case gen_tcp:recv(S, 0) of
      {ok, <<Id:32, Source/binary>>} -> spawn(fun() -> Eval(Id, Source) end), Serve();
      {error, _} -> halt(0, [{flush, false}])
    end
  end,
  Serve()
end).
"""


class BeamError(RuntimeError):
    """An expression failed in the node, or the node is gone."""


class Beam:
    """A node that has been started; `wait_started` says when its applications are up."""

    def __init__(self, pod=None, name=None, cookie="lab", epmd_port=None, extra_args=(),
                 env=None, erl="erl", start_epmd=None, last_args=(),
                 named=True):
        self.pod, self.cookie, self.epmd_port = pod, cookie, epmd_port
        self.name = name or f"sample@{pod.ip if pod else '127.0.0.1'}"
        self.erl, self.extra_args, self.extra_env = str(erl), list(extra_args), dict(env or {})
        self.start_epmd = bool(pod) if start_epmd is None else start_epmd
        self.named = named  # else its distribution is not started
        self.last_args = list(last_args)  # behind the agent, which these cannot keep from starting
        self.home = tempfile.mkdtemp(prefix="lab-beam-")
        self.process = None
        try:
            self.start()
        except BaseException:
            shutil.rmtree(self.home, ignore_errors=True)
            raise

    def __repr__(self):
        return f"<Beam {self.name}>"

    def start(self):
        self.node_events = []
        self._answers, self._ids = {}, itertools.count(EVENT_ID + 1)
        self._lock, self._link, self._link_ended = threading.Lock(), None, threading.Event()
        path = os.path.join(self.home, "agent")
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(path)
        self._listener.listen(1)
        env = {"HOME": self.home, "LAB_SOCKET": path, **self.extra_env}
        if self.epmd_port:
            env["ERL_EPMD_PORT"] = self.epmd_port
        with open(self._log_path(), "ab") as log:
            self.process = self._popen(self.command(), env, stdin=subprocess.DEVNULL,
                                       stdout=log, stderr=subprocess.STDOUT)

    def command(self):
        words = [self.erl, "-noshell", "-noinput"]
        if self.named:
            words += [self._name_flag(), self.name]
        if self.cookie is not None:
            words += ["-setcookie", self.cookie]
        if not self.start_epmd:
            words += ["-start_epmd", "false"]
        if self.pod is None:
            words += ["-kernel", "inet_dist_use_interface", "{127,0,0,1}"]
        return words + self.extra_args + ["-eval", AGENT] + self.last_args

    def _name_flag(self):
        host = self.name.partition("@")[2]
        return "-name" if "." in host or ":" in host else "-sname"

    def _popen(self, command, env, **kwargs):
        if self.pod:
            return self.pod.popen(command, env=env, **kwargs)
        return subprocess.Popen(command, env=clean_env(env), **kwargs)

    def _log_path(self):
        return os.path.join(self.home, "log")

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()

    def wait_connected(self, timeout=20):
        """Wait until the node takes expressions; its applications may still be starting."""
        if self._link is None:
            self._listener.settimeout(0.02)
            self._link = until(self._accept, timeout, f"{self} to call back")
            threading.Thread(target=self._read_answers, args=(self._link,), daemon=True).start()
        return self

    def wait_started(self, timeout=20):
        self.wait_connected(timeout)
        until(lambda: self.eval("init:get_status().") == "{started,started}", timeout, f"{self} to start")
        return self

    def _accept(self):
        if self.process.poll() is not None:
            raise BeamError(f"{self} ended with status {self.process.returncode}:\n{self.log_text()}")
        try:
            link, _ = self._listener.accept()
        except TimeoutError:
            return None
        link.settimeout(None)
        return link

    def _read_answers(self, link):
        stream = link.makefile("rb")
        while len(head := stream.read(4)) == 4:
            frame = stream.read(struct.unpack(">I", head)[0])
            self._take(int.from_bytes(frame[:4], "big"), frame[4:])
        self._link_ended.set()
        with self._lock:
            waiting, self._answers = self._answers, {}
        for box in waiting.values():
            box.put(bytes([FAILURE]) + b"the node is gone")

    def _take(self, id, body):
        if id == EVENT_ID:
            kind, _, node = body.decode().partition(" ")
            self.node_events.append((time.monotonic(), kind, node))
            return
        with self._lock:
            box = self._answers.pop(id, None)
        if box:
            box.put(body)

    def eval(self, source, timeout=30):
        """Evaluate Erlang expressions in the node; the value comes back as its text on one line."""
        self.wait_connected()
        source = source.strip()
        box, id = queue.Queue(), next(self._ids)
        with self._lock:
            if self._link_ended.is_set():
                raise BeamError(f"{self} is gone:\n{self.log_text()}")
            self._answers[id] = box
            body = struct.pack(">I", id) + (source if source.endswith(".") else source + ".").encode()
            self._link.sendall(struct.pack(">I", len(body)) + body)
        try:
            answer = box.get(timeout=timeout)
        except queue.Empty:
            raise TimeoutError(f"{self}: no answer to {source} in {timeout:g} s") from None
        text = answer[1:].decode()
        if answer[0] == FAILURE:
            raise BeamError(f"{self}: {source}: {text}")
        return text

    def nodes(self, kind="visible"):
        """The names in nodes(kind): visible, hidden, connected, known or this."""
        text = self.eval(f"[atom_to_binary(N) || N <- nodes({kind})].")
        return set(text.split('"')[1::2])

    def wait_nodes(self, names, timeout=10, kind="visible"):
        """Wait until nodes(kind) is exactly the set of names."""
        wanted, seen = set(names), {}

        def reached():
            seen["nodes"] = self.nodes(kind)
            return seen["nodes"] == wanted

        try:
            until(reached, timeout, "", every=0.02)
        except TimeoutError:
            raise TimeoutError(f"{self}: waited {timeout:g} s for nodes({kind}) to be {sorted(wanted)}; "
                               f"they are {sorted(seen['nodes'])}") from None

    def log_text(self):
        """What the node wrote, all its lives together."""
        with open(self._log_path(), encoding="utf-8", errors="replace") as log:
            return log.read()

    def wait_log(self, regex, timeout=5):
        """The match of regex in what the node wrote."""
        return until(lambda: re.search(regex, self.log_text()), timeout, f"{self} to log {regex!r}")

    def stop(self, timeout=15):
        """Shut the node down in order (init:stop) and return its exit status."""
        if self.process.poll() is None:
            self.eval("init:stop().")
            try:
                self.process.wait(timeout)
            except subprocess.TimeoutExpired:
                self.kill()
                raise
        self._end_link()
        return self.process.returncode

    def kill(self):
        """SIGKILL, as when a container runs out of memory."""
        if self.process.poll() is None:
            self.process.kill()
        status = self.process.wait()
        self._end_link()
        return status

    def restart(self, timeout=20):
        """Stop in order, start again under the same name."""
        self.stop()
        self.start()
        return self.wait_started(timeout)

    def _end_link(self):
        if self._listener.fileno() < 0:
            return
        self._listener.close()
        os.unlink(os.path.join(self.home, "agent"))
        if self._link:
            self._link_ended.wait(5)
            self._link.close()

    def close(self):
        """End the node, if it still runs, and remove its files."""
        self.kill()
        shutil.rmtree(self.home, ignore_errors=True)


def erts_folder(root=STOCK_ROOT):
    folders = sorted(f for f in os.listdir(root) if f.startswith("erts-"))
    if not folders:
        raise FileNotFoundError(f"no erts-* under {root}")
    return folders[-1]


def otp_with_epmd(binary, into_dir, root=STOCK_ROOT):
    """A copy of OTP, mostly links, whose epmd is `binary`; returns the path of its `erl`.

    A node of it starts that epmd by itself, as a release does whose epmd was replaced.
    """
    erts = erts_folder(root)
    bin_dir = os.path.join(into_dir, erts, "bin")
    os.makedirs(bin_dir)
    os.makedirs(os.path.join(into_dir, "bin"))
    for entry in set(os.listdir(root)) - {erts, "bin"}:
        os.symlink(os.path.join(root, entry), os.path.join(into_dir, entry))
    for entry in os.listdir(os.path.join(root, erts, "bin")):
        if entry not in ("epmd", "erl"):
            os.symlink(os.path.join(root, erts, "bin", entry), os.path.join(bin_dir, entry))
    for entry in os.listdir(os.path.join(root, "bin")):
        if entry not in ("epmd", "erl"):
            os.symlink(os.path.join(root, "bin", entry), os.path.join(into_dir, "bin", entry))
    shutil.copy2(binary, os.path.join(bin_dir, "epmd"))
    os.symlink(f"../{erts}/bin/epmd", os.path.join(into_dir, "bin", "epmd"))
    return write_erl(into_dir, bin_dir)


def write_erl(root, bin_dir):
    """The start script sets four variables; erlexec does the rest."""
    path = os.path.join(root, "bin", "erl")
    with open(path, "w", encoding="utf-8") as script:
        script.write("#!/bin/sh\n"
                     f"export ROOTDIR='{root}' BINDIR='{bin_dir}' EMU=beam PROGNAME=erl\n"
                     f"exec '{bin_dir}/erlexec' \"$@\"\n")
    os.chmod(path, 0o755)
    return path
