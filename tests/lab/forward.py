"""A way from this machine into a pod, as `kubectl port-forward` makes one."""

import socket
import threading

BUFFER = 65536


class Forward:
    """A port of this machine's loopback whose connections lead to a port of the pod."""

    def __init__(self, pod, port):
        self.pod, self.port = pod, port
        self._lock, self._open, self._closed = threading.Lock(), set(), False
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}/"
        self._start(self._accept)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()

    def _start(self, function, *args):
        threading.Thread(target=function, args=args, daemon=True).start()

    def _accept(self):
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return  # closed
            self._start(self._serve, near)

    def _serve(self, near):
        with near:
            try:
                far = self.pod.connect(self.pod.ip, self.port)
            except OSError:
                return  # nothing listens there, or the pod is gone; the caller sees its end
            with far:
                far.settimeout(None)
                if self._note(near, far):
                    self._relay(near, far)

    def _note(self, *ends):
        with self._lock:
            if not self._closed:
                self._open.update(ends)
            return not self._closed

    def _relay(self, near, far):
        back = threading.Thread(target=copy, args=(far, near), daemon=True)
        back.start()
        copy(near, far)
        back.join()
        with self._lock:
            self._open -= {near, far}

    def close(self):
        # Closing alone would leave a thread in accept().
        shut(self._listener, socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            self._closed = True
            for end in self._open:
                shut(end, socket.SHUT_RDWR)


def shut(end, how):
    try:
        end.shutdown(how)
    except OSError:
        pass  # the other side was first


def copy(source, target):
    """Until source ends; target is then told so."""
    try:
        while data := source.recv(BUFFER):
            target.sendall(data)
    except OSError:
        shut(source, socket.SHUT_RDWR)
    shut(target, socket.SHUT_WR)
