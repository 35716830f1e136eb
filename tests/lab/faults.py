"""Faults on demand: what a stand-in does wrong, for how many requests."""

import re
import threading
from dataclasses import dataclass, field
from typing import Any, Callable, Optional


@dataclass
class Fault:
    """One way to misbehave. `times` requests get it, or all until `clear` when it is None."""

    verb: str                              # list, watch, get, create, any
    times: Optional[int] = 1
    path: Optional[str] = None             # a regex to find in the path with its query
    # instead of the answer
    status: Optional[int] = None
    body: Any = None                       # dict: JSON; str, bytes: as they are; None: a Status
    headers: dict = field(default_factory=dict)
    retry_after: Optional[int] = None      # header, and retryAfterSeconds in a Status
    message: Optional[str] = None
    raw_http: Optional[bytes] = None       # these bytes, then the end
    # how the answer comes
    warning: Optional[str] = None          # Warning: 299
    edit: Optional[Callable] = None        # object -> object, for each LIST body and event
    split: Optional[int] = None            # pieces of that many bytes, each a chunk and a write
    delay: float = 0                       # between two pieces
    # what happens to a watch after so many events, to a list after half of its body
    after: int = 0
    stall: Any = False                     # nothing more comes; "before": not even headers
    close: bool = False                    # a clean end
    reset: bool = False                    # RST
    cut: bool = False                      # half a line, then FIN
    error: Optional[int] = None            # an ERROR event with that code
    raw: Optional[bytes] = None            # these bytes in the stream
    batch: Optional[int] = None            # that many events in one chunk
    hits: int = 0

    def matches(self, verb, path):
        return (self.verb in ("any", verb) and self.times != 0
                and (self.path is None or re.search(self.path, path) is not None))

    def clear(self):
        self.times = 0


NO_FAULT = Fault("any", times=None)


class Faults:
    """The faults that are set; the earliest that matches a request is the one it gets."""

    def __init__(self):
        self._lock = threading.Lock()
        self._faults = []

    def add(self, verb, times=1, path=None, **how):
        fault = Fault(verb, times, path, **how)
        with self._lock:
            self._faults.append(fault)
        return fault

    def take(self, verb, path):
        with self._lock:
            for fault in self._faults:
                if fault.matches(verb, path):
                    fault.hits += 1
                    fault.times = None if fault.times is None else fault.times - 1
                    return fault
        return NO_FAULT

    def clear(self):
        with self._lock:
            for fault in self._faults:
                fault.clear()
            self._faults = []
