"""Answers of the stand-in API server to one connection's requests."""

import gzip
import json
import time
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from typing import Any, Optional

from . import query as queries
from . import status
from .output import Gone, Output, encode
from .store import ENDPOINTSLICES, Expired
from .watch import Watch

GROUP = ENDPOINTSLICES.group
REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
PUBLIC = ("/version", "/livez", "/readyz", "/healthz")
GZIP_ABOVE = 128 * 1024


@dataclass
class Request:
    """A request as it came, for tests to look at; `status` is set when it is answered."""

    time: float
    method: str
    path: str
    query: dict
    headers: dict
    verb: str                   # list, watch, get, create
    resource: Optional[str] = None
    namespace: Optional[str] = None
    body: Any = None
    status: Optional[int] = None


class Handler(BaseHTTPRequestHandler):
    """`server` is the Standin; the base class parses requests and keeps connections alive."""

    protocol_version = "HTTP/1.1"
    server_version, sys_version = "lab", ""

    def log_message(self, format, *args):
        """Nothing: the Standin keeps the requests."""

    def do_GET(self):
        self._answer("get")

    def do_POST(self):
        self._answer("create")

    def note_status(self, code):
        self.server.note_status(self.request_record, code)

    def _answer(self, verb):
        path, parameters = queries.split_target(self.path)
        try:
            query, refusal = queries.parse(path, parameters), None
        except queries.BadQuery as error:
            query, refusal = None, status.bad_request(str(error))
        self.request_record = self._record(query.verb if query and verb == "get" else verb, path, parameters, query)
        fault = self.server.faults.take(self.request_record.verb, self.path)
        self.output = Output(self, fault)
        try:
            if not self._refuse_by_fault(fault) and not self._refuse_stranger():
                if refusal:
                    self._say_no(refusal)
                else:
                    self._dispatch(path, query)
        except Gone:
            pass

    def _record(self, verb, path, parameters, query):
        size = int(self.headers.get("Content-Length") or 0)
        text = self.rfile.read(size)
        record = Request(time.monotonic(), self.command, path, parameters, dict(self.headers), verb,
                         query.resource.name if query else None, query.namespace if query else None,
                         json.loads(text) if text else None)
        self.server.note_request(record)
        return record

    def _refuse_by_fault(self, fault):
        """Give the answer that a fault has instead of ours."""
        if fault.raw_http is not None:
            self.note_status(0)
            self.output.raw(fault.raw_http)
        if fault.status is None:
            return False
        headers = {} if fault.retry_after is None else {"Retry-After": str(fault.retry_after)}
        body = fault.body
        if body is None:
            body = status.of_code(fault.status, fault.message, fault.retry_after)
        if isinstance(body, (dict, list)):
            self.output.json(fault.status, body, headers)
        else:
            data = body if isinstance(body, bytes) else body.encode()
            html = data.lstrip().startswith(b"<")
            self.output.body(fault.status, data, "text/html" if html else "text/plain; charset=utf-8", headers)
        return True

    def _refuse_stranger(self):
        if self.request_record.path in PUBLIC:
            return False
        certificate = getattr(self.connection, "getpeercert", lambda: None)()
        if self.server.access.knows(self.headers.get("Authorization"), bool(certificate)):
            return False
        self._say_no(status.unauthorized())
        return True

    def _say_no(self, body):
        self.output.json(body["code"], body)

    def _page_not_found(self):
        """What an API server says of a path that nothing serves: not JSON."""
        self.output.body(404, b"404 page not found\n", "text/plain; charset=utf-8")

    def _dispatch(self, path, query):
        if query:
            self._serve_resource(query)
        elif path == f"/apis/{GROUP}" and self.server.versions:
            self.output.json(200, self._group())
        elif path == REVIEWS and self.command == "POST":
            self.output.json(201, self._review(self.request_record.body))
        elif path == "/version":
            self.output.json(200, {"major": "1", "minor": "31", "gitVersion": "v1.31.0-lab"})
        elif path in PUBLIC:
            self.output.body(200, b"ok", "text/plain; charset=utf-8")
        else:
            self._page_not_found()

    def _group(self):
        versions = [{"groupVersion": f"{GROUP}/{v}", "version": v} for v in self.server.versions]
        return {"kind": "APIGroup", "apiVersion": "v1", "name": GROUP, "versions": versions,
                "preferredVersion": versions[0]}

    def _review(self, review):
        """A SelfSubjectAccessReview, with the answer filled in."""
        wanted = review["spec"]["resourceAttributes"]
        allowed = self.server.access.may(wanted.get("verb"), wanted.get("resource"), wanted.get("namespace"))
        reason = {"reason": 'RBAC: allowed by RoleBinding "lab"'} if allowed else {}
        return {**review, "metadata": {"creationTimestamp": None}, "status": {"allowed": allowed, **reason}}

    def _serve_resource(self, query):
        resource, access = query.resource, self.server.access
        if resource is ENDPOINTSLICES and query.api_version not in self.server.versions:
            self._page_not_found()
        elif not access.may(query.verb, resource.name, query.namespace):
            self._say_no(access.refusal(query.verb, resource.name, resource.group, query.namespace))
        elif query.name:
            self._get(query)
        elif query.watch:
            self._watch(query)
        else:
            self._list(query)

    def _get(self, query):
        thing = self.server.store.get(query.resource, query.namespace, query.name)
        if thing is None:
            self._say_no(status.status(404, "NotFound", f'{query.resource.name} "{query.name}" not found'))
        else:
            self.output.json(200, {**query.type_meta, **thing})

    def _list(self, query):
        store = self.server.store
        try:
            with store.changed:
                if (query.version or 0) > store.version:
                    return self._say_no(status.version_too_large(query.version, store.version))
                body = self._list_body(query)
        except Expired:
            return self._say_no(status.continue_expired())
        fault = self.output.fault
        data, headers = encode(fault.edit(body) if fault.edit else body), {}
        if len(data) > GZIP_ABOVE and "gzip" in self.headers.get("Accept-Encoding", ""):
            data, headers = gzip.compress(data, 1), {"Content-Encoding": "gzip"}
        self.output.body(200, data, headers=headers)

    def _list_body(self, query):
        """A page. A LIST at version 0 comes from the cache and is never paged."""
        store = self.server.store
        if query.token:
            items, version = store.take_rest(query.token)
        else:
            items, version = store.matching(query.resource, query.namespace, query.selects), store.version
        metadata = {"resourceVersion": str(version)}
        limit = query.limit if query.version != 0 else 0
        if limit and len(items) > limit:
            metadata["continue"] = store.keep_rest(items[limit:], version)
            metadata["remainingItemCount"] = len(items) - limit
            items = items[:limit]
        if self.server.items_have_kind:
            items = [{**query.type_meta, **thing} for thing in items]
        return {"kind": f"{query.resource.kind}List", "apiVersion": query.group_version,
                "metadata": metadata, "items": items}

    def _watch(self, query):
        watch = Watch(self.server.store, query, self.output, self.server)
        try:
            watch.prepare()
        except Expired:
            self._too_old(query)
            return
        with self.server.watching(watch):  # before the client knows that it watches
            self._start_stream()
            watch.serve()

    def _start_stream(self):
        self.output.head(200, {"Content-Type": "application/json", "Cache-Control": "no-cache, private",
                               "Transfer-Encoding": "chunked"})

    def _too_old(self, query):
        body = status.expired(query.version, self.server.store.oldest)
        if self.server.gone_as == "http":
            self._say_no(body)
            return
        self._start_stream()
        self.output.chunk(encode({"type": "ERROR", "object": body}))
        self.output.end_chunks()
