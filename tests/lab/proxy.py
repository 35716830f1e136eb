"""A TCP proxy that breaks on demand: what a network between a client and its server may do.

It carries bytes and knows nothing of what they mean, so it can stand before the real API server,
on the same address, which the certificate is for, and another port. Packets that get lost are
not its trade: `lab.pods.Network.cut` loses those.
"""

import asyncio
import contextlib
import random
import socket
import struct
import threading

from .namespace import enter_and_call, open_listener

PIECE = 16384
KINDS = ("stall", "trickle", "cut", "reset", "refuse")


class Link:
    """One client's connection and ours to the server."""

    def __init__(self, proxy, client):
        self.proxy, self.client, self.server = proxy, client, None
        self.room = None    # bytes that may still come from the server before it is cut

    def _ends(self):
        return [end for end in (self.client, self.server) if end]

    def close(self):
        """FIN both ways, once what was written has been sent."""
        for _, writer in self._ends():
            with contextlib.suppress(OSError, RuntimeError):
                writer.close()

    def reset(self):
        """RST both ways."""
        for _, writer in self._ends():
            with contextlib.suppress(OSError, RuntimeError):
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                                                           struct.pack("ii", 1, 0))
                writer.transport.abort()

    async def serve(self):
        self.server = await asyncio.open_connection(*self.proxy.target)
        if self.proxy.kind == "cut":
            self.room = self.proxy.chance.randrange(self.proxy.most)
        (client_reader, client_writer), (server_reader, server_writer) = self.client, self.server
        ways = [asyncio.ensure_future(self._carry(client_reader, server_writer, False)),
                asyncio.ensure_future(self._carry(server_reader, client_writer, True))]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            self.close()

    async def _carry(self, reader, writer, back):
        with contextlib.suppress(OSError):
            while True:
                await self.proxy.flowing.wait()
                data = await reader.read(self.proxy.piece)
                if not data:
                    return
                await self.proxy.flowing.wait()
                if back and self.room is not None and len(data) >= self.room:
                    writer.write(data[:self.room])
                    return
                writer.write(data)
                await writer.drain()
                if back:
                    self.proxy.received += len(data)
                    self.room = None if self.room is None else self.room - len(data)
                if self.proxy.pause:
                    await asyncio.sleep(self.proxy.pause)


class Proxy:
    """Carries all that comes to `address` and a port of its own to `target`, an address and port.

    `where` is the network namespace to live in. Faults hold until `heal`:
    stall    nothing is carried any more, connections stay open, also new ones
    trickle  a few bytes at a time
    cut      the answer ends, anywhere, also within a record of TLS; so do those of new connections
    reset    RST for all connections and for new ones
    refuse   nobody listens, and all connections are closed
    """

    def __init__(self, target, where=None, address=None, seed=None):
        self.target, self.where = target, where
        self.address = address or target[0]
        self.chance = random.Random(seed)
        self.kind, self.piece, self.pause, self.most = None, PIECE, 0, PIECE
        self.links = []
        self.accepted = self.received = 0   # connections; bytes from the server
        self._loop = self._server = self.port = self.flowing = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._ready, self._error = threading.Event(), None
        self._thread.start()
        self._ready.wait()
        if self._error:
            raise self._error

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()

    def close(self):
        if self._loop and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stopped.set)
        self._thread.join(10)

    def env(self):
        """What Kubernetes sets in every pod, for those who are to come through here."""
        return {"KUBERNETES_SERVICE_HOST": self.address, "KUBERNETES_SERVICE_PORT": str(self.port)}

    # --- faults, from any thread ---

    def fault(self, kind, piece=7, pause=0.1, most=6000):
        """`piece` bytes every `pause` seconds for a trickle; `most` bytes before a cut."""
        self._do(self._begin, kind, piece, pause, most)

    def heal(self):
        self._do(self._heal)

    def open_links(self):
        return self._do(lambda: len(self.links))

    def _do(self, function, *args):
        async def call():
            result = function(*args)
            return await result if asyncio.iscoroutine(result) else result
        return asyncio.run_coroutine_threadsafe(call(), self._loop).result(30)

    async def _begin(self, kind, piece, pause, most):
        if kind not in KINDS:
            raise ValueError(f"a proxy cannot {kind}")
        await self._heal()
        self.kind, self.most = kind, most
        if kind == "stall":
            self.flowing.clear()
        elif kind == "trickle":
            self.piece, self.pause = piece, pause
        elif kind == "cut":
            for link in self.links:
                link.room = self.chance.randrange(1, most)
        elif kind == "reset":
            self._end_all(Link.reset)
        else:
            await self._stop_listening()
            self._end_all(Link.close)

    async def _heal(self):
        self.kind, self.piece, self.pause = None, PIECE, 0
        for link in self.links:
            link.room = None
        self.flowing.set()
        if not self._server:
            await self._listen()

    def _end_all(self, how):
        for link in list(self.links):
            how(link)

    # --- life ---

    def _run(self):
        try:
            if self.where:
                enter_and_call(self.where.path(), asyncio.run, (self._live(),))
            else:
                asyncio.run(self._live())
        except BaseException as error:  # handed on to who waits for us
            self._error = error
            self._ready.set()

    async def _live(self):
        self._loop = asyncio.get_running_loop()
        self._stopped, self.flowing = asyncio.Event(), asyncio.Event()
        self.flowing.set()
        await self._listen()
        self._ready.set()
        await self._stopped.wait()
        await self._stop_listening()
        self._end_all(Link.reset)

    async def _listen(self):
        listener = open_listener(self.address, self.port or 0)
        self.port = listener.getsockname()[1]
        self._server = await asyncio.start_server(self._serve, sock=listener)

    async def _stop_listening(self):
        if self._server:
            self._server.close()
            self._server = None

    async def _serve(self, reader, writer):
        link = Link(self, (reader, writer))
        self.accepted += 1
        self.links.append(link)
        try:
            if self.kind == "reset":
                link.reset()
            else:
                await link.serve()
        except OSError:
            link.reset()
        finally:
            self.links.remove(link)
