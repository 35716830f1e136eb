"""A stand-in Kubernetes API server: LIST and WATCH of endpoints, TLS, RBAC, and every fault.

In a test it lives in the test's process and is changed by calling it. Alone,
`python3 -m lab.standin` reads commands from its standard input.
"""

import contextlib
import os
import pathlib
import shutil
import socket
import ssl
import tempfile
import threading

from . import service_account
from .access import Access
from .authority import Authority
from .faults import Faults
from .handler import Handler
from .namespace import open_listener, reserve_port
from .services import Services
from .store import Store

HANDSHAKE_TIMEOUT = 10
FROM_SERVICES = ("set_pods", "add_pod", "remove_pod", "set_conditions", "delete_service",
                 "put_slice", "delete_slice", "put_endpoints", "delete_endpoints")


class Standin:
    """Listens when the constructor returns, on an address of `where` (a lab.pods namespace) or
    on 127.0.0.1."""

    def __init__(self, where=None, address=None, port=0, tls=True, directory=None, tokens=None,
                 ip_san=True, versions=("v1", "v1beta1"), namespace="default"):
        self.where, self.namespace = where, namespace
        self.address = address or (where.ip if where else "127.0.0.1")
        self.versions, self.gone_as, self.items_have_kind = list(versions), "stream", False
        self.bookmark_every = 60
        self.speed = 1    # of its clock, for clients whose own goes faster (lab.fast_clock)
        self.store, self.faults = Store(), Faults()
        self.services = Services(self.store, namespace)
        self.access = Access(tokens, namespace)
        for name in FROM_SERVICES:
            setattr(self, name, getattr(self.services, name))
        self.compact, self.rewind = self.store.compact, self.store.rewind
        self.deny, self.allow = self.access.deny, self.access.allow
        self.fault, self.clear_faults = self.faults.add, self.faults.clear
        self.requests, self.watches, self.handshake_errors, self.errors = [], [], [], []
        self._changed, self._connections = threading.Condition(), set()
        self._own_directory = None if directory else tempfile.mkdtemp(prefix="lab-standin-")
        self.directory = str(directory or self._own_directory)
        self._authorities, self.authority, self._context = 0, None, None
        self._reserve, self._listener, self._acceptor, self.port = None, None, None, port
        if tls:
            self.rotate_ca(ip_san)
        self.listen_again()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()

    # Where it is, and what a client needs

    @property
    def tokens(self):
        return self.access.tokens

    @tokens.setter
    def tokens(self, tokens):
        self.access.tokens = tokens

    @property
    def url(self):
        host = f"[{self.address}]" if ":" in self.address else self.address
        return f"{'https' if self._context else 'http'}://{host}:{self.port}"

    def env(self):
        """What Kubernetes sets in every pod."""
        return {"KUBERNETES_SERVICE_HOST": self.address, "KUBERNETES_SERVICE_PORT": str(self.port)}

    def a_token(self):
        return next(iter(self.tokens)) if self.tokens else "lab-token"

    def service_account_dir(self, path, token=None, namespace=None, ca=None):
        """Write token, ca.crt and namespace there, or rotate them; ca is a file, by default
        that of the authority which signed the server's certificate."""
        ca = ca or (self.authority.ca if self.authority else None)
        text = pathlib.Path(ca).read_text(encoding="ascii") if ca else None
        return service_account.write_mount(str(path), self.a_token() if token is None else token,
                                           text, namespace or self.namespace)

    def kubeconfig(self, path, token=None, user=None):
        return service_account.write_kubeconfig(
            str(path), self.url, self.authority.ca if self.authority else None,
            user or {"token": token or self.a_token()}, self.namespace)

    # Certificates

    def rotate_ca(self, ip_san=True):
        """A new authority and a new certificate, for connections from now on."""
        self._authorities += 1
        self.authority = Authority(os.path.join(self.directory, f"ca-{self._authorities}"))
        self.new_certificate(ip_san)

    def new_certificate(self, ip_san=True, names=("kubernetes", "kubernetes.default.svc", "localhost"),
                        newest=ssl.TLSVersion.MAXIMUM_SUPPORTED):
        """Another certificate of the same authority, say one that lacks our address, for TLS up
        to a version."""
        self._context = self.authority.server_context(names, [self.address] if ip_san else [])
        self._context.maximum_version = newest

    # Listening

    def listen_again(self):
        """Listen, on the same port as before."""
        make = self.where.inside if self.where else lambda function, *args: function(*args)
        if not self._reserve:
            self._reserve = make(reserve_port, self.address, self.port)
            self.port = self._reserve.getsockname()[1]
        self._listener = make(open_listener, self.address, self.port)
        self._acceptor = threading.Thread(target=self._accept_all, args=(self._listener,), daemon=True)
        self._acceptor.start()

    def stop_listening(self):
        """Refuse new connections; those that are open stay."""
        if self._listener:
            self._listener.shutdown(socket.SHUT_RDWR)
            self._acceptor.join()
            self._listener.close()
            self._listener = None

    def drop_connections(self):
        """Close every open connection in the middle of what it does."""
        with self._changed:
            for connection in self._connections:
                with contextlib.suppress(OSError):
                    socket.socket.shutdown(connection, socket.SHUT_RDWR)  # not the TLS socket's own

    def close(self):
        self.stop_listening()
        self._reserve.close()
        self.drop_connections()
        with self.store.changed:
            self.store.changed.notify_all()
        with self._changed:
            ended = self._changed.wait_for(lambda: not self._connections, timeout=5)
        if self._own_directory:
            shutil.rmtree(self._own_directory, ignore_errors=True)
        if not ended:
            raise RuntimeError(f"stand-in: {len(self._connections)} connections did not end")
        if self.errors:
            raise self.errors[0]

    def _accept_all(self, listener):
        while True:
            try:
                connection, peer = listener.accept()
            except OSError:
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._context:
                connection = self._context.wrap_socket(connection, server_side=True,
                                                       do_handshake_on_connect=False)
            with self._changed:
                self._connections.add(connection)
            threading.Thread(target=self._serve, args=(connection, peer), daemon=True).start()

    def _serve(self, connection, peer):
        try:
            if self._shake_hands(connection, peer):
                Handler(connection, peer, self)
        except (OSError, ssl.SSLError):
            pass  # clients may leave at any time
        except Exception as error:  # kept for the test, which closes us
            self.errors.append(error)
        finally:
            with self._changed:
                connection.close()
                self._connections.discard(connection)
                self._changed.notify_all()

    def _shake_hands(self, connection, peer):
        if isinstance(connection, ssl.SSLSocket):
            connection.settimeout(HANDSHAKE_TIMEOUT)
            try:
                connection.do_handshake()
            except OSError as error:
                with self._changed:
                    self.handshake_errors.append(error)
                    self._changed.notify_all()
                return False
            connection.settimeout(None)
        return True

    # Bookkeeping

    def note_request(self, request):
        with self._changed:
            self.requests.append(request)
            self._changed.notify_all()

    def note_status(self, request, code):
        with self._changed:
            request.status = code
            self._changed.notify_all()

    @contextlib.contextmanager
    def watching(self, watch):
        with self._changed:
            self.watches.append(watch)
            self._changed.notify_all()
        try:
            yield
        finally:
            with self._changed:
                self.watches.remove(watch)
                self._changed.notify_all()

    def wait(self, predicate, timeout, what):
        """Wait for something about us: requests, watches, handshake_errors."""
        with self._changed:
            value = self._changed.wait_for(predicate, timeout)
            if not value:
                seen = "\n".join(f"{r.method} {r.path} {r.query} -> {r.status}" for r in self.requests)
                raise TimeoutError(f"waited {timeout:g} s for {what}; requests so far:\n{seen}")
            return value

    def wait_request(self, predicate, timeout=5, since=0):
        """The first request, from number `since` on, that satisfies the predicate. It is tried
        when a request arrives (status None) and when its answer starts."""
        return self.wait(lambda: next((r for r in self.requests[since:] if predicate(r)), None),
                         timeout, "a request")

    def wait_watches(self, count, timeout=5):
        """Wait until exactly that many watches are being served."""
        self.wait(lambda: len(self.watches) == count, timeout, f"{count} watches")

    def tell_watches(self, command, *args):
        """Order all open watches: "raw" bytes, "event" type object, "bookmark", "stall", "end",
        "cut", "reset", "error" code [message [retry_after]]."""
        with self._changed:
            watches = list(self.watches)
        for watch in watches:
            watch.tell(command, *args)


if __name__ == "__main__":
    from .standin_cli import main

    main()
