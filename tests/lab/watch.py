"""One WATCH being served: events from the store, bookmarks, faults, and orders from outside."""

import time
from collections import deque

from . import status
from .output import encode

IDLE_CHECK = 0.5


class Finished(Exception):
    """The stream has come to a clean end."""


class Watch:
    """A stream of events to one client. `commands` come from `Standin.tell_watches`."""

    def __init__(self, store, query, output, settings):
        self.store, self.query, self.output, self.settings = store, query, output, settings
        self.fault = output.fault
        self.since = query.version
        self.commands = deque()
        self.sent = 0
        self._held = []
        self._misbehaved = False
        self._initial = []
        self._end = time.monotonic() + query.timeout / settings.speed
        self._bookmark_due = self._next_bookmark()

    def _next_bookmark(self):
        every = self.settings.bookmark_every
        return time.monotonic() + every / self.settings.speed if self.query.bookmarks and every else float("inf")

    def tell(self, command, *args):
        with self.store.changed:
            self.commands.append((self.store.version, command, args))
            self.store.changed.notify_all()

    def prepare(self):
        """Find where to start; Expired if the history does not reach back that far."""
        with self.store.changed:
            if self.query.version in (None, 0) or self.query.initial_events:
                self._initial = self.store.matching(self.query.resource, self.query.namespace, self.query.selects)
                self.since = self.store.version
            else:
                self.store.require_history(self.since)

    def serve(self):
        """Write until the end: of time, of the client, or the one that a fault brings."""
        try:
            self._misbehave()
            for thing in self._initial:
                self._event("ADDED", thing)
            if self.query.initial_events:
                self._write(self._bookmark(annotations={"k8s.io/initial-events-end": "true"}))
            while True:
                self._step()
        except Finished:
            self._flush()
            self.output.end_chunks()

    def _step(self):
        commands, events = self._wait()
        for event in events:
            while commands and commands[0][0] < event.version:
                self._obey(*commands.popleft())
            self._consider(event)
        while commands:
            self._obey(*commands.popleft())
        if time.monotonic() >= self._end:
            if self.query.bookmarks:
                self._write(self._bookmark())
            raise Finished
        if time.monotonic() >= self._bookmark_due:
            self._bookmark_due = self._next_bookmark()
            self._write(self._bookmark())

    def _obey(self, _version, command, args):
        getattr(self, f"_obey_{command}")(*args)

    def _wait(self):
        """Sleep until there is something to do; what there is."""
        with self.store.changed:
            while True:
                events = self.store.events_after(self.query.resource, self.since)
                left = min(self._end, self._bookmark_due) - time.monotonic()
                if self.commands or events or left <= 0:
                    break
                self.store.changed.wait(min(left, IDLE_CHECK))
                if self.output.peer_gone():
                    self.output.hang_up()
            commands, self.commands = self.commands, deque()
            self.since = max(self.since, self.store.version)
            return commands, events

    def _consider(self, event):
        """What a change means to this client: leaving the selection is a deletion."""
        query = self.query
        thing = event.new or event.old
        if query.namespace not in (None, thing["metadata"]["namespace"]):
            return
        before = event.old is not None and query.selects(event.old)
        after = event.new is not None and query.selects(event.new)
        if after:
            self._event("MODIFIED" if before else "ADDED", event.new)
        elif before:
            version = {"resourceVersion": str(event.version)}
            self._event("DELETED", {**event.old, "metadata": {**event.old["metadata"], **version}})

    def _event(self, type, thing):
        self._write({"type": type, "object": {**self.query.type_meta, **thing}})

    def _write(self, event):
        """Send an event, or keep it until a batch is full; then misbehave, if it is time."""
        fault = self.fault
        line = encode(fault.edit(event) if fault.edit else event)
        if fault.cut and self.sent >= fault.after:
            self._flush()
            self._cut(line)
        self.sent += 1
        self._held.append(line)
        if fault.batch is None or len(self._held) >= fault.batch:
            self._flush()
        self._misbehave()

    def _flush(self):
        if self._held:
            held, self._held = b"".join(self._held), []
            self.output.chunk(held)

    def _cut(self, line):
        self.output.chunk(line[:len(line) // 2])
        self.output.hang_up()

    def _misbehave(self):
        """Do what the fault says, once, when its events have passed."""
        fault = self.fault
        if self._misbehaved or fault.cut or self.sent < fault.after:
            return
        self._misbehaved = True
        if fault.raw is not None:
            self.output.chunk(fault.raw)
        if fault.error:
            self._obey_error(fault.error, fault.message, fault.retry_after)
        self.output.misbehave()
        if fault.close:
            raise Finished

    def _bookmark(self, annotations=None):
        metadata = {"resourceVersion": str(self.since), "creationTimestamp": None}
        if annotations:
            metadata["annotations"] = annotations
        return {"type": "BOOKMARK", "object": {**self.query.type_meta, "metadata": metadata,
                                               **self.query.empty_fields}}

    def _obey_raw(self, data):
        self.output.chunk(data)

    def _obey_event(self, type, thing):
        self._write({"type": type, "object": thing})

    def _obey_bookmark(self):
        self._write(self._bookmark())

    def _obey_error(self, code, message=None, retry_after=None):
        self._write({"type": "ERROR", "object": status.of_code(code, message, retry_after)})
        raise Finished

    def _obey_end(self):
        raise Finished

    def _obey_cut(self):
        self._cut(encode(self._bookmark()))

    def _obey_reset(self):
        self.output.reset()

    def _obey_stall(self):
        self.output.stall()
