"""A soak: a link to the real API server that breaks at random while pods come and go.

`python3 -m lab.soak EPMD MINUTES [SEED]` runs one and prints what it found; scripts/soak calls it.

What has to hold is judged by who was on the server for how long (see `Judge`), because between the
server and the registry there is always a way that takes some time.
"""

import contextlib
import pathlib
import random
import statistics
import subprocess
import sys
import tempfile
import time

from .cluster import Cluster, LabError
from .measure import descriptors, rss_kb
from .pods import Network, unavailable
from .proxy import Proxy
from .sidecar import discovered
from .world import APP, World

TICK = 0.2
GRACE = 10.0        # what a link that is whole may take from the server to the registry
SETTLED = 2.0      # losses settle for one
RECOVERY = 45.0    # from the end of a fault until all is known again: backoff is 30 s at most
PODS = (4, 40)
WARM_UP = 0.1      # of the run, at least a minute of long ones: memory grows until all has happened once
RSS_GROWTH_KB = 1024
SHORT = 180        # a run of less has shorter turns, so that it still has a number of faults
FD_GROWTH = 6      # connections that come and go: a watch, four that wait to be used again, a file
FAULTS = ("stall", "trickle", "cut", "reset", "refuse", "lose packets", "restart")
WEIGHTS = (4, 3, 4, 4, 4, 4, 1)
# Seconds: between faults, and of one
CALM, TROUBLE = (1, 4, 12, 12), (0.5, 2, 5, 10, 25)
SHORT_CALM, SHORT_TROUBLE = (0.5, 1, 6), (0.5, 1, 3)
PORT = "9100"


class Broken(AssertionError):
    """What must hold does not."""


class Judge:
    """Who is on the server and who in the registry, and since when.

    - Who stands in the registry and has been on the server without a break ever since never leaves,
      whatever the link does.
    - While the link is whole, and has been known to be for GRACE: who has been on the server that
      long is in the registry, and who has been away that long is not.
    """

    def __init__(self):
        self.server = {}      # address: (is there, since when)
        self.registry, self.seen_at = set(), 0.0

    def saw_server(self, addresses, now):
        for address in addresses | self.server.keys():
            there = address in addresses
            if self.server.get(address, (None,))[0] != there:
                self.server[address] = (there, now)

    def there_since(self, address):
        there, since = self.server.get(address, (False, 0.0))
        return since if there else None

    def away_since(self, address):
        there, since = self.server.get(address, (False, 0.0))
        return None if there else since

    def saw_registry(self, addresses, asked_at):
        """None of those that were there and still are on the server may be missing."""
        for address in self.registry - addresses:
            since = self.there_since(address)
            if since is not None and since < self.seen_at:
                raise Broken(f"{address} left the registry, and is on the server since {asked_at - since:.1f} s")
        for address in addresses:  # which was asked later: it may know somebody first
            self.server.setdefault(address, (False, asked_at))
        self.registry, self.seen_at = set(addresses), asked_at

    def differences(self, now, grace):
        """Those that have been on the server, or away, for `grace`, and are not so in the registry."""
        missing = {a for a, (there, since) in self.server.items()
                   if there and now - since > grace and a not in self.registry}
        extra = {a for a in self.registry
                 if self.away_since(a) is not None and now - self.away_since(a) > grace}
        return missing, extra

    def has_news(self, since):
        """Somebody who came to the server after `since` is in the registry."""
        return any(there and when > since and address in self.registry
                   for address, (there, when) in self.server.items())


class Soak:
    def __init__(self, binary, cluster, network, folder, stack, seconds, seed, say=print):
        self.seconds, self.seed, self.say = seconds, seed, say
        self.chance = random.Random(seed)
        self.calm, self.trouble = (SHORT_CALM, SHORT_TROUBLE) if seconds < SHORT else (CALM, TROUBLE)
        self.world = World(cluster, network, f"soak-{seed % 100000}", pathlib.Path(folder), stack)
        self.world.allow()
        self.cluster, self.network = cluster, network
        self.proxy = stack.enter_context(Proxy((cluster.address, cluster.port), network.host, seed=seed))
        self.pod = self.world.pod("self")
        env = {"ERL_EPMD_DIST": PORT, "ERL_EPMD_LOG_LEVEL": "debug", **self.proxy.env()}
        self.epmd = self.world.epmd(binary, self.pod, **env)
        self.measurable = "libasan" not in subprocess.run(["ldd", binary], capture_output=True, text=True,
                                                          check=False).stdout
        self.judge = Judge()
        self.pods = {}          # name: address
        self._numbers = iter(range(1, 1 << 20))
        self.fault = self.last_fault = None
        self.healed_at = 0.0    # when the last fault ended
        self.known_since = None  # since when the registry is right after it; None: not yet
        self.recoveries, self.counts = [], dict.fromkeys(FAULTS, 0)
        self.changes = self.checks = 0
        self.sizes = []         # (rss, descriptors) whenever all is well

    # --- pods ---

    def _address(self, number):
        return f"10.77.{number // 250}.{number % 250 + 1}"

    def change_pods(self):
        """Something happens to a pod, or to a few at once as in a rollout."""
        what = self.chance.random()
        few, many = PODS
        if len(self.pods) < few or (what < 0.45 and len(self.pods) < many):
            for _ in range(self.chance.choice((1, 1, 1, 5))):
                number = next(self._numbers)
                name = f"p{number}"
                self.pods[name] = self._address(number)
                self.cluster.create_pod(name, self.pods[name], APP, ready=self.chance.random() < 0.5,
                                        namespace=self.world.name)
                self.changes += 1
        elif what < 0.85:
            for name in self.chance.sample(sorted(self.pods), min(len(self.pods) - 1, self.chance.choice((1, 1, 3)))):
                del self.pods[name]
                self.cluster.delete_pod(name, self.world.name)
                self.changes += 1
        elif what < 0.95:
            name = self.chance.choice(sorted(self.pods))
            self.cluster.set_ready(name, self.chance.random() < 0.5, self.world.name)
            self.changes += 1
        else:
            self.cluster.service_account_dir("sample", str(self.world.folder / "self"), self.world.name)

    def on_server(self):
        """Addresses of the endpoints of all slices, our own aside."""
        reply = self.cluster.list_slices("app=sample", self.world.name)
        if reply.status != 200:
            raise Broken(f"the server itself answers {reply.status}: {reply.body}")
        return {address for item in reply.body["items"] or [] for endpoint in item["endpoints"] or []
                for address in endpoint["addresses"][:1]} - {self.pod.ip}

    def in_registry(self):
        return {name.partition("@")[2] for name in discovered(self.epmd)}

    # --- faults ---

    def begin_fault(self):
        self.fault = self.chance.choices(FAULTS, WEIGHTS)[0]
        self.counts[self.fault] += 1
        self.known_since = None
        if self.fault == "lose packets":
            self.network.cut(self.pod, self.network.host)
        elif self.fault == "restart":
            self.cluster.stop_apiserver()
            self.cluster.start_apiserver()
        else:
            self.proxy.fault(self.fault, piece=self.chance.choice((1, 7, 100)), pause=0.05,
                             most=self.chance.choice((200, 3000, 20000)))

    def end_fault(self):
        if self.fault == "lose packets":
            self.network.heal(self.pod, self.network.host)
        else:
            self.proxy.heal()
        self.last_fault, self.fault = self.fault, None
        self.healed_at = time.monotonic()

    # --- judging ---

    def look(self):
        before = time.monotonic()
        self.judge.saw_server(self.on_server(), before)
        asked_at = time.monotonic()
        self.judge.saw_registry(self.in_registry(), asked_at)
        if not self.fault:
            self._judge_whole_link(asked_at)

    def _judge_whole_link(self, now):
        if self.known_since is None:
            self._judge_recovery(now)
            return
        missing, extra = self.judge.differences(now, GRACE)
        if missing or extra:
            raise Broken(f"with a whole link for {now - self.known_since:.1f} s, missing {missing}, extra {extra}")
        self.checks += 1
        self.sizes.append((now, rss_kb(self.epmd.process.pid), descriptors(self.epmd.process.pid)))

    def _judge_recovery(self, now):
        """Known again is all but what happened a moment ago, and something that happened after the
        fault's end: only that shows that news arrive."""
        missing, extra = self.judge.differences(now, SETTLED)
        if not missing and not extra and self.judge.has_news(self.healed_at):
            self.known_since = now
            if self.last_fault:
                self.recoveries.append((now - self.healed_at, self.last_fault))
        elif now - self.healed_at > RECOVERY:
            raise Broken(f"{RECOVERY:.0f} s after \"{self.last_fault}\" ended, missing {missing}, extra {extra}")

    # --- the run ---

    def run(self):
        self.say(f"soak of {self.seconds:.0f} s, seed {self.seed}")
        begun = time.monotonic()
        self.begun, self.healed_at = begun, begun
        end, next_change, next_turn = begun + self.seconds, begun, begun + 5
        next_word = begun + 60
        while (now := time.monotonic()) < end:
            if now >= next_change:
                self.change_pods()
                next_change = now + self.chance.expovariate(1.0)
            if now >= next_turn:
                next_turn = time.monotonic() + self._turn()
            self.look()
            if now >= next_word:
                next_word += 60
                self.say(f"{now - begun:5.0f} s: {self.changes} changes, {sum(self.counts.values())} faults, "
                         f"{self.checks} looks at a whole link, rss {rss_kb(self.epmd.process.pid)} KB")
            time.sleep(TICK)
        self._end()

    def _turn(self):
        """Begin a fault or end one; how long that shall last."""
        if self.fault:
            self.end_fault()
            return self.chance.choice(self.calm)
        if self.known_since is None and (not self.last_fault or self.chance.random() < 0.9):
            return 1    # mostly wait until all is known again
        self.begin_fault()
        return self.chance.choice(self.trouble) if self.fault != "restart" else 0.1

    def _end(self):
        """All at rest: exactly the same."""
        if self.fault:
            self.end_fault()
            self.known_since = None
        deadline = time.monotonic() + RECOVERY
        while True:
            self.look()
            on_server = self.on_server()
            if on_server == self.in_registry() == set(self.pods.values()):
                break
            if time.monotonic() > deadline:
                raise Broken(f"at the end on the server {sorted(on_server)}, in the registry {sorted(self.in_registry())}")
            time.sleep(TICK)
        if self.epmd.process.poll() is not None:
            raise Broken("epmd has ended")
        self._judge_sizes()

    def _judge_sizes(self):
        warm = self.begun + max(self.seconds * WARM_UP, min(60, self.seconds / 3))
        early = [size for size in self.sizes if size[0] < warm] or self.sizes[:1]
        late = self.sizes[-20:]
        if not early or not late:
            raise Broken("the link was never whole for long enough to measure anything")
        self.rss = (max(size[1] for size in early), statistics.median(size[1] for size in late))
        self.fds = (max(size[2] for size in early), max(size[2] for size in late))
        if self.measurable and self.rss[1] > self.rss[0] + RSS_GROWTH_KB:
            raise Broken(f"resident memory grew from {self.rss[0]} to {self.rss[1]} KB")
        if self.fds[1] > self.fds[0] + FD_GROWTH:
            raise Broken(f"open descriptors grew from {self.fds[0]} to {self.fds[1]}")

    def report(self):
        times = sorted(seconds for seconds, _ in self.recoveries)
        self.say(f"{self.changes} changes of pods, {self.checks} looks at a whole link, faults: "
                 + ", ".join(f"{count} {kind}" for kind, count in self.counts.items()))
        if times:
            self.say(f"all known again after a fault: median {statistics.median(times):.1f} s, "
                     f"most {times[-1]:.1f} s, {sum(t <= GRACE for t in times)} of {len(times)} within {GRACE:.0f} s")
        for kind in FAULTS:
            of_kind = [seconds for seconds, fault in self.recoveries if fault == kind]
            if of_kind:
                self.say(f"  {kind}: median {statistics.median(of_kind):.1f} s, most {max(of_kind):.1f} s")
        self.say(f"resident memory {self.rss[0]} -> {self.rss[1]:.0f} KB, descriptors {self.fds[0]} -> {self.fds[1]}")


def main():
    binary, minutes = sys.argv[1], float(sys.argv[2])
    seed = int(sys.argv[3]) if len(sys.argv) > 3 else random.randrange(1 << 31)
    reason = unavailable()
    if reason:
        raise SystemExit(f"the soak cannot make its pods here: {reason}")
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="kepmd-soak-"))
        network = stack.enter_context(Network())
        cluster = stack.enter_context(Cluster(network.host.ip, network.host.netns))
        soak = Soak(binary, cluster, network, folder, stack, minutes * 60, seed,
                    lambda text: print(text, flush=True))
        try:
            soak.run()
        except (Broken, LabError, OSError) as error:
            print("\n".join(soak.epmd.log_lines()[-60:]), flush=True)
            raise SystemExit(f"FAILED with seed {seed}: {error}") from error
        soak.report()
    print("all of it held")


if __name__ == "__main__":
    main()
