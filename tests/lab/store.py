"""Versioned objects and their history: what etcd and the watch cache are to an API server."""

import bisect
import copy
import datetime
import threading
import uuid
from collections import namedtuple

Resource = namedtuple("Resource", "name group kind")
Event = namedtuple("Event", "version type resource old new")

ENDPOINTSLICES = Resource("endpointslices", "discovery.k8s.io", "EndpointSlice")
ENDPOINTS = Resource("endpoints", "", "Endpoints")
RESOURCES = {r.name: r for r in (ENDPOINTSLICES, ENDPOINTS)}
FIRST_VERSION = 1000


def now():
    return datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


class Expired(Exception):
    """The history no longer reaches back that far."""


class Store:
    """Objects by resource, namespace and name. `changed` is notified of every change; objects
    handed out are never modified in place."""

    def __init__(self):
        self.changed = threading.Condition(threading.RLock())
        self.version = self.oldest = FIRST_VERSION
        self._objects = {name: {} for name in RESOURCES}
        self._history = []
        self._pages = {}

    def put(self, resource, namespace, name, body, labels=None, annotations=None):
        """Create or replace an object; body is everything but its metadata."""
        with self.changed:
            old = self._objects[resource.name].get((namespace, name))
            metadata = {"name": name, "namespace": namespace,
                        "uid": old["metadata"]["uid"] if old else str(uuid.uuid4()),
                        "resourceVersion": str(self.version + 1),
                        "creationTimestamp": old["metadata"]["creationTimestamp"] if old else now()}
            if labels:
                metadata["labels"] = dict(labels)
            if annotations:
                metadata["annotations"] = dict(annotations)
            new = {"metadata": metadata, **copy.deepcopy(body)}
            self._objects[resource.name][namespace, name] = new
            self._record("MODIFIED" if old else "ADDED", resource, old, new)
            return new

    def delete(self, resource, namespace, name):
        with self.changed:
            old = self._objects[resource.name].pop((namespace, name))
            last = {**old, "metadata": {**old["metadata"], "resourceVersion": str(self.version + 1)}}
            self._record("DELETED", resource, last, None)

    def _record(self, type, resource, old, new):
        self.version += 1
        self._history.append(Event(self.version, type, resource.name, old, new))
        self.changed.notify_all()

    def get(self, resource, namespace, name):
        with self.changed:
            return self._objects[resource.name].get((namespace, name))

    def matching(self, resource, namespace, selects):
        """Objects in the order of their keys; no namespace means all of them."""
        with self.changed:
            return [thing for (where, _), thing in sorted(self._objects[resource.name].items())
                    if namespace in (None, where) and selects(thing)]

    def require_history(self, version):
        """Expired if a client that knows this version cannot be brought up to date by events."""
        with self.changed:
            if version < self.oldest:
                raise Expired

    def events_after(self, resource, version):
        with self.changed:
            first = bisect.bisect_right(self._history, version, key=lambda event: event.version)
            return [event for event in self._history[first:] if event.resource == resource.name]

    def keep_rest(self, items, version):
        """Store what is left of a paged LIST; the token names it."""
        with self.changed:
            token = f"{version}.{uuid.uuid4().hex}"
            self._pages[token] = (items, version)
            return token

    def take_rest(self, token):
        with self.changed:
            if token not in self._pages:
                raise Expired
            return self._pages[token]

    def compact(self):
        """Refuse to resume from before now, and to page on. Open watches go on."""
        with self.changed:
            self.version += 1
            self.oldest = self.version
            self._pages = {}

    def rewind(self, by):
        """Set the version back, as restoring etcd from a backup does. Objects stay."""
        with self.changed:
            self.version = self.oldest = max(1, self.version - by)
            self._history, self._pages = [], {}
