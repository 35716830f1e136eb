"""What a request costs in instructions, which no machine's pace changes: against the numbers in tests/cases/cost.json."""

import contextlib
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess

import pytest

from lab import wire
from lab.epmd import Epmd
from lab.namespace import clean_env
from lab.wait import until

CASES = pathlib.Path(__file__).parents[1] / "cases" / "cost.json"
FEW, MANY = 1, 11  # batches
BATCH = 40
NODES = 100
TOLERANCE = 0.15  # the C library picks its string functions by the machine it runs on
REGISTER = object()
REQUESTS = {"PORT2": wire.port2("node7"), "PORT2 for an unknown name": wire.port2("nobody"), "NAMES": wire.names(),
            "ALIVE2 and its end": REGISTER}


class Counted(Epmd):
    """An epmd that runs in callgrind, which counts its instructions."""

    def _popen(self, command, env, **kwargs):
        return subprocess.Popen(["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", *command],
                                env=clean_env(env), **kwargs)

    def open_files(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def ended(self):
        """How many instructions it took, all in all."""
        self.stop(timeout=30)
        collected = [re.search(r"Collected : (\d+)", line) for line in self.log_lines()]
        return next(int(match[1]) for match in collected if match)


def ask_at_once(epmd, request):
    """BATCH clients, whose requests have all come when the server looks: how it meets them is then always the same."""
    before = epmd.open_files()
    epmd.process.send_signal(signal.SIGSTOP)
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(epmd.connect(30)) for _ in range(BATCH)]
        for number, client in enumerate(clients):
            client.sendall(wire.alive2(f"guest{number}", 50000 + number) if request is REGISTER else request)
        epmd.process.send_signal(signal.SIGCONT)
        for client in clients:
            while client.recv(65536) and request is not REGISTER:
                pass
    # Not by asking: how often would go into the number.
    until(lambda: epmd.open_files() == before, 30, "the guests to be gone")


def instructions(binary, request, batches):
    epmd = Counted(binary)
    held = [epmd.register(f"node{number}", 40000 + number) for number in range(NODES)]
    for _ in range(batches):
        ask_at_once(epmd, request)
    cost = epmd.ended()
    for registration in held:
        registration.close()
    return cost


def built_by(binary):
    """The compiler, as it left its name in the program."""
    comment = subprocess.run(["readelf", "-p", ".comment", binary], capture_output=True, text=True, check=False).stdout
    match = re.search(r"(GCC: .*|clang version [\d.]+)", comment)
    return match[1] if match else None


@pytest.fixture(scope="module")
def expected(epmd_binary):
    if not os.environ.get("KEPMD_COST") and not os.environ.get("KEPMD_COST_PRINT"):
        pytest.skip("KEPMD_COST is not set: the numbers are those of configure's own CFLAGS")
    if not shutil.which("valgrind"):
        pytest.skip("valgrind is not installed")
    with open(epmd_binary, "rb") as program:
        if b"__asan_init" in program.read():
            pytest.skip("a build with sanitizers: they do not run in valgrind, and cost")
    with open(CASES, encoding="ascii") as cases:
        known = json.load(cases)
    compiler = built_by(epmd_binary)
    if compiler not in known and not os.environ.get("KEPMD_COST_PRINT"):
        pytest.skip(f"tests/cases/cost.json has no numbers for {compiler}")
    return known.get(compiler, {})


@pytest.mark.parametrize("name", REQUESTS)
def test_instructions_of_a_request(epmd_binary, expected, name):
    request = REQUESTS[name]
    few, many = (instructions(epmd_binary, request, batches) for batches in (FEW, MANY))
    cost = (many - few) / (MANY - FEW) / BATCH
    print(f"\n{name}, {NODES} nodes: {cost:,.0f} instructions ({built_by(epmd_binary)})")
    if not os.environ.get("KEPMD_COST_PRINT"):
        assert cost <= expected[name] * (1 + TOLERANCE), \
            "dearer than it was: mend it, or, if it is worth it, write the new number into tests/cases/cost.json"
        assert cost >= expected[name] * (1 - 2 * TOLERANCE), "cheaper: write the new number into tests/cases/cost.json"
