"""A pod whose stock Erlang node starts our epmd, which discovers and joins: what most join tests need."""

import json
import os
import time

from .beam import Beam
from .sidecar import account_pod
from .wait import until


class Member:
    """The pod, its node (`beam`) and what its epmd logs. The endpoint is not there until `enlist`.
    Without an `api` the settings say where peers are found."""

    def __init__(self, network, api, folder, binary, number, env=None, files=None, **beam):
        self.api, self.binary = api, binary
        self.log = os.path.join(folder, f"epmd-{number}.log")
        settings = {}
        if api:
            self.pod = account_pod(network, api, os.path.join(folder, f"account-{number}"))
            settings = {"ERL_EPMD_DISCOVERY": "kubernetes", "ERL_EPMD_SELECTOR": "app=sample", **api.env()}
        else:
            self.pod = network.pod(files=files)
        self.beam = Beam(self.pod, env={"ERL_EPMD_LOG": self.log, **settings, **(env or {})}, **beam)

    def __repr__(self):
        return f"<Member {self.name}>"

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.beam.close()

    @property
    def name(self):
        return self.beam.name

    def enlist(self, address=None, **known):
        self.api.add_pod("sample", address or self.pod.ip, **known)
        return self

    def epmd(self, *args):
        """Run epmd as a client, as `kubectl exec` would."""
        return self.pod.run([self.binary, *args])

    def log_text(self):
        if not os.path.exists(self.log):
            return ""
        with open(self.log, encoding="utf-8", errors="replace") as log:
            return log.read()

    def wait_log(self, text, timeout=10):
        until(lambda: text in self.log_text(), timeout, f"{self}'s epmd to log {text!r}:\n{self.log_text()}")

    def peers(self):
        """{full name: (state, what -peers says below it)}"""
        rows, name = {}, None
        lines = self.epmd("-peers").stdout.splitlines()
        head = next((i for i, line in enumerate(lines) if line.startswith("NODE ")), len(lines))
        for line in lines[head + 1:-1]:
            if line.startswith("    "):
                rows[name] = (rows[name][0], f"{rows[name][1]} {line.strip()}".strip())
            else:
                name = line.split()[0]
                rows[name] = (line[55:].strip(), "")
        return rows

    def doctor(self, **env):
        """What `epmd -doctor -json` finds: {fault: its text}, all its findings, and the exit status."""
        done = self.pod.run([self.binary, "-doctor", "-json"], env=env)
        found = json.loads(done.stdout)["findings"]
        return {f["fault"]: f["text"] for f in found if f["state"] == "wrong"}, found, done.returncode

    def wait_fault(self, fault, *words, timeout=40, **env):
        """Wait until -doctor names `fault`, with `words` in its text."""
        seen = {}

        def named():
            faults, seen["all"], status = self.doctor(**env)
            return fault in faults and status == 1 and all(word in faults[fault] for word in words)

        try:
            until(named, timeout, "", every=0.2)
        except TimeoutError:
            raise TimeoutError(f"{self}: waited {timeout:g} s for {fault} {words}; -doctor says {seen['all']}:\n"
                               f"{self.log_text()}") from None

    def wait_peer(self, other, state, reason="", timeout=10):
        """Wait until `epmd -peers` shows `other` (a Member or a name) so."""
        name = getattr(other, "name", other)
        seen = {}

        def reached():
            seen["row"] = self.peers().get(name)
            return seen["row"] and seen["row"][0] == state and reason in seen["row"][1]

        try:
            until(reached, timeout, "", every=0.05)
        except TimeoutError:
            raise TimeoutError(f"{self}: waited {timeout:g} s for {name} to be {state!r} ({reason!r}); it is "
                               f"{seen['row']}:\n{self.log_text()}") from None


def await_mesh(members, timeout=10):
    """Wait until each node's nodes() are exactly the others."""
    begun = time.monotonic()
    for member in members:
        try:
            member.beam.wait_nodes({other.name for other in members} - {member.name}, timeout)
        except TimeoutError as error:
            raise TimeoutError(f"{error}\n{member.log_text()}\n{member.beam.log_text()}") from None
    return time.monotonic() - begun


def nodedowns(member, since):
    """How many visible nodes it has lost since a moment of time.monotonic()."""
    return [node for moment, kind, node in member.beam.node_events
            if kind == "nodedown" and moment >= since and not node.startswith("kepmd")]
