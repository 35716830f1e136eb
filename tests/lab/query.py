"""What a URL asks for: which resource, where, which of them, list or watch."""

import re
from dataclasses import dataclass
from typing import Callable, Optional
from urllib.parse import parse_qsl, unquote, urlsplit

from . import selector
from .store import RESOURCES, Resource

RESOURCE_PATH = re.compile(
    r"^/(?:api/(?P<core>v1)|apis/(?P<group>[\w.]+)/(?P<version>\w+))"
    r"(?:/namespaces/(?P<namespace>[^/]+))?/(?P<resource>\w+)(?:/(?P<name>[^/]+))?$")
DEFAULT_WATCH = 1800
EMPTY_FIELDS = {"endpointslices": {"endpoints": None, "ports": None, "addressType": ""}, "endpoints": {}}


class BadQuery(ValueError):
    """A parameter that an API server would refuse with 400."""


@dataclass
class Query:
    resource: Resource
    api_version: str            # of the group: v1, v1beta1
    namespace: Optional[str]    # None: all of them
    name: Optional[str]
    selects: Callable
    watch: bool
    version: Optional[int]      # None: the parameter is missing or empty
    limit: int
    token: str
    timeout: float
    bookmarks: bool
    initial_events: bool

    @property
    def verb(self):
        if self.name:
            return "get"
        return "watch" if self.watch else "list"

    @property
    def group_version(self):
        group = self.resource.group
        return f"{group}/{self.api_version}" if group else self.api_version

    @property
    def type_meta(self):
        return {"kind": self.resource.kind, "apiVersion": self.group_version}

    @property
    def empty_fields(self):
        return EMPTY_FIELDS[self.resource.name]


def split_target(target):
    """Path and parameters of a request target; of a parameter given twice the first counts."""
    parts = urlsplit(target)
    parameters = {}
    for key, value in parse_qsl(parts.query, keep_blank_values=True):
        parameters.setdefault(key, value)
    return unquote(parts.path), parameters


def number(parameters, key, default):
    text = parameters.get(key, "")
    if not text:
        return default
    if not text.isdigit():
        raise BadQuery(f'Invalid value: "{text}": {key}')
    return int(text)


def truth(parameters, key):
    return parameters.get(key, "").lower() in ("1", "true")


def parse(path, parameters):
    """The Query that a path and its parameters are, or None if no resource lives there."""
    match = RESOURCE_PATH.match(path)
    resource = RESOURCES.get(match["resource"]) if match else None
    if resource is None or resource.group != (match["group"] or ""):
        return None
    try:
        selects = selector.for_objects(parameters.get("labelSelector", ""), parameters.get("fieldSelector", ""))
    except ValueError as error:
        raise BadQuery(str(error)) from None
    return Query(resource, match["core"] or match["version"], match["namespace"], match["name"], selects,
                 truth(parameters, "watch"), number(parameters, "resourceVersion", None),
                 number(parameters, "limit", 0), parameters.get("continue", ""),
                 number(parameters, "timeoutSeconds", DEFAULT_WATCH),
                 truth(parameters, "allowWatchBookmarks"), truth(parameters, "sendInitialEvents"))
