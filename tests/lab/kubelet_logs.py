"""A kubelet's own port, as far as `kubectl logs` needs it: the API server asks here."""

import http.server
import os
import threading

from .authority import Authority


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        """/containerLogs/NAMESPACE/POD/CONTAINER, whatever the options."""
        words = self.path.partition("?")[0].split("/")[1:]
        path = self.server.find_log(*words[1:]) if words[0] == "containerLogs" and len(words) == 4 else None
        if not path or not os.path.exists(path):
            self.send_error(404)
            return
        with open(path, "rb") as log:
            text = log.read()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_):
        pass


class LogServer(http.server.ThreadingHTTPServer):
    """Listens in `place`; `find_log(namespace, pod, container)` gives a path or None."""

    daemon_threads = True

    def __init__(self, place, folder, find_log):
        super().__init__((place.ip, 0), Handler, bind_and_activate=False)
        self.find_log = find_log
        self.socket.close()
        context = Authority(os.path.join(folder, "pki")).server_context([], [place.ip])
        self.socket = context.wrap_socket(place.listen(), server_side=True, do_handshake_on_connect=False)
        self.port = self.socket.getsockname()[1]
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.1})
        self._thread.start()

    def close(self):
        self.shutdown()
        self._thread.join()
        self.server_close()
