"""Waiting for something to become true, bounded, with an error that says what was awaited."""

import os
import time

# How much longer than usual things may take: KEPMD_PATIENCE is set where epmd runs in something that slows it.
PATIENCE = float(os.environ.get("KEPMD_PATIENCE", "1"))


def patient(seconds):
    """The bound to give to something that usually takes less than `seconds`."""
    return seconds * PATIENCE


def until(predicate, timeout, what, every=0.01):
    """Call predicate until it gives a truthy value, and return that value.

    The last call happens after the deadline, so that a loaded machine does not
    fail a condition that has come true in the meantime.
    """
    timeout = patient(timeout)
    deadline = time.monotonic() + timeout
    while True:
        last_chance = time.monotonic() >= deadline
        value = predicate()
        if value:
            return value
        if last_chance:
            raise TimeoutError(f"waited {timeout:g} s for {what}; last value: {value!r}")
        time.sleep(every)
