"""examples/microposts in pods, and its page as a reader sees it."""

import http.client
import json
import os
import pathlib
import time

from .release import ElixirRelease, ReleaseError, Running
from .wait import until

EXAMPLE = pathlib.Path(__file__).resolve().parents[2] / "examples" / "microposts"
APP = "microposts"
PORT = 4000  # pods have addresses of their own
SETTINGS = {"ERL_EPMD_DISCOVERY": "kubernetes", "ERL_EPMD_SELECTOR": f"app={APP}"}

# Notes when a page shows a text for the first time, or has lost it, by the clock that all pages share.
NOTE_TIMES = """
window.came = {}; window.went = {};
const note = () => {
  const shown = new Set([...document.querySelectorAll(".post .text")].map(text => text.textContent));
  for (const text of shown) { window.came[text] ??= Date.now(); delete window.went[text]; }
  for (const text in window.came) if (!shown.has(text)) window.went[text] ??= Date.now();
};
new MutationObserver(note).observe(document, {subtree: true, childList: true, characterData: true});
note();
"""


def build(folder, epmd):
    return ElixirRelease(EXAMPLE, str(folder), str(epmd))


class Microposts(Running):
    """The release in a pod, as its container runs it."""

    def __init__(self, release, pod, env=None):
        super().__init__(release, pod, {"PORT": PORT, **SETTINGS, **(env or {})})
        self.name = f"{APP}@{pod.ip}"

    def command(self, *words):
        return [os.path.join(self.release.folder, "bin", APP), *words]

    @property
    def url(self):
        return f"http://{self.pod.ip}:{PORT}/"

    def _is_started(self):
        """By the answer to its readiness probe, which costs no VM for the question."""
        if self.process.poll() is not None:
            raise ReleaseError(f"{self} ended with status {self.process.returncode}:\n{self.log_text()}")
        try:
            return self.request("GET", "/healthz")[0] == 200
        except (OSError, http.client.HTTPException):
            return False

    def request(self, method, path, body=None):
        """The status and the text of an answer."""
        connection = http.client.HTTPConnection(self.pod.ip, PORT, timeout=30)
        connection.sock = self.pod.connect(self.pod.ip, PORT)
        try:
            connection.request(method, path, body)
            response = connection.getresponse()
            return response.status, response.read().decode()
        finally:
            connection.close()

    def raw(self, data):
        """The answer to these very bytes."""
        with self.pod.connect(self.pod.ip, PORT, timeout=30) as connection:
            connection.sendall(data)
            return b"".join(iter(lambda: connection.recv(65536), b"")).decode()


    def texts(self):
        """The texts of all posts, as a page would get them."""
        with self.pod.connect(self.pod.ip, PORT, timeout=30) as connection:
            connection.sendall(b"GET /events HTTP/1.1\r\n\r\n")
            with connection.makefile("rb") as lines:
                next(line for line in lines if line == b"event: posts\n")
                posts = json.loads(lines.readline().removeprefix(b"data: "))
        return {post["text"] for post in posts if not post["deleted"]}


class Reader:
    """An open page of one pod, and what one does there."""

    def __init__(self, browser, pod, width=412, height=720):
        self.pod = pod
        self.page = browser.page(pod.url, width, height)
        self.page.run(NOTE_TIMES)

    def shown(self):
        """The texts, newest first."""
        return self.page.run('return [...document.querySelectorAll(".post .text")].map(text => text.textContent)')

    def nodes(self):
        """The node that serves the page, and the set of those that it sees."""
        return self.page.text("#serving"), set(self.page.text("#seen").split(", "))

    def wait_nodes(self, others, timeout=30):
        wanted = self.pod.name, {other.name for other in others} or {"no other node"}
        until(lambda: self.nodes() == wanted, timeout, f"the page of {self.pod} to show {wanted}")

    def wait_shown(self, texts, timeout=30):
        seen = {}

        def reached():
            seen["texts"] = self.shown()
            return seen["texts"] == list(texts)
        try:
            until(reached, timeout, "")
        except TimeoutError:
            raise TimeoutError(f"waited {timeout:g} s for the page of {self.pod} to show {texts}; it shows "
                               f"{seen['texts']}:\n{self.pod.log_text()}") from None

    def post(self, text):
        self.page.type("#text", text)
        return self._click("#write button")

    def edit(self, text, new):
        item = self._item(text)
        self.page.click(f"{item} .change")
        self.page.type(f"{item} textarea", new)
        return self._click(f"{item} .edit button:not(.cancel)")

    def delete(self, text):
        return self._click(f"{self._item(text)} .delete")

    def _click(self, selector):
        """The moment of the click, by the clock of `came`."""
        moment = time.time()
        self.page.click(selector)
        return moment

    def _item(self, text):
        place = self.shown().index(text) + 1
        return f".post:nth-child({place})"

    def came(self, text):
        """When the page first showed it; None if it has not."""
        return milliseconds(self.page.run("return window.came[arguments[0]]", text))

    def went(self, text):
        return milliseconds(self.page.run("return window.went[arguments[0]]", text))


def milliseconds(moment):
    return moment and moment / 1000
