"""Play random sequences on pairs of daemons: one worker of several, on a CPU of its own.

    PYTHONPATH=tests python3 -m lab.differential_cli --stock /usr/bin/epmd --ours build-test/epmd/epmd
"""

import argparse
import contextlib
import sys

from .differential import LOOPBACK, Pair, Places, one_cpu, play_all
from .streams import sequence

LANES = 4


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("--stock", required=True)
    parser.add_argument("--ours", required=True)
    parser.add_argument("--seed", default="1")
    parser.add_argument("--count", type=int, default=10000)
    parser.add_argument("--worker", type=int, default=0)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--here", action="append")
    parser.add_argument("--elsewhere", action="append", default=[])
    parser.add_argument("--netns")
    return parser.parse_args()


def main():
    given = arguments()
    places = Places(given.here or [LOOPBACK], given.elsewhere, given.netns)
    env = {"ERL_EPMD_ADDRESS": "" if given.here else LOOPBACK}
    numbers = range(given.worker, given.count, given.workers)
    with one_cpu(given.worker), contextlib.ExitStack() as stack:
        pairs = [stack.enter_context(Pair(given.stock, given.ours, places, env=env,
                                          args=["-relaxed_command_check"] * (lane % 2)))
                 for lane in range(LANES)]
        found = play_all(pairs, (sequence(given.seed, number, places.names()) for number in numbers))
    if found:
        print(found)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
