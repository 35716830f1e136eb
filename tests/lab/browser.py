"""A headless Chromium in a network namespace, driven by the WebDriver protocol."""

import base64
import http.client
import json
import re
import shutil
import subprocess
import tempfile

from .wait import until

PROGRAMS = ("chromium", "chromedriver")
START_TIMEOUT = 60
REQUEST_TIMEOUT = 60
ELEMENT = "element-6066-11e4-a52e-4f735466cecf"  # https://www.w3.org/TR/webdriver2/#elements
OPTIONS = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
           "--hide-scrollbars", "--disable-background-networking", "--disable-component-update"]


class Unavailable(Exception):
    """No browser can run here; the text says why. Tests skip with it."""


class BrowserError(Exception):
    """A command that the browser did not carry out."""


class Browser:
    """One browser; each page is a window of its own, so that none is in the background."""

    def __init__(self, place):
        missing = [name for name in PROGRAMS if not shutil.which(name)]
        if missing:
            raise Unavailable(f"not installed: {', '.join(missing)}")
        self.place, self.process, self._session = place, None, None
        self.home = tempfile.mkdtemp(prefix="lab-browser-")
        try:
            self._start()
        except BaseException:
            self.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()

    def _start(self):
        with open(f"{self.home}/log", "wb") as log:
            self.process = self.place.popen(["chromedriver", "--port=0"], env={"HOME": self.home, "TMPDIR": self.home},
                                            cwd=self.home, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            self._port = int(until(self._said_port, START_TIMEOUT, "chromedriver to listen", every=0.05)[1])
            options = {"args": [*OPTIONS, f"--user-data-dir={self.home}/profile"]}
            self._session = self._request("POST", "/session", {"capabilities": {"alwaysMatch": {
                "browserName": "chrome", "goog:chromeOptions": options}}})["sessionId"]
        except (TimeoutError, BrowserError) as error:
            raise Unavailable(f"chromium does not run here: {error}") from error
        self._windows = self.command("GET", "/window/handles")

    def _said_port(self):
        if self.process.poll() is not None:
            raise BrowserError(f"chromedriver ended with {self.process.returncode}: {self._log()}")
        return re.search(r"started successfully on port (\d+)", self._log())

    def _log(self):
        with open(f"{self.home}/log", encoding="utf-8", errors="replace") as log:
            return log.read()

    def _request(self, method, path, body=None):
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=REQUEST_TIMEOUT)
        connection.sock = self.place.connect("127.0.0.1", self._port, REQUEST_TIMEOUT)
        try:
            connection.request(method, path, None if body is None else json.dumps(body),
                               {"Content-Type": "application/json"})
            response = connection.getresponse()
            value = json.loads(response.read())["value"]
        finally:
            connection.close()
        if response.status != 200:
            raise BrowserError(f"{method} {path}: {value['error']}: {value['message'].splitlines()[0]}")
        return value

    def command(self, method, path, body=None):
        if method == "POST" and body is None:
            body = {}
        return self._request(method, f"/session/{self._session}{path}", body)

    def page(self, url, width, height):
        """Opens url in a window that shows so many pixels."""
        handle = self._windows.pop() if self._windows else self.command("POST", "/window/new",
                                                                        {"type": "window"})["handle"]
        page = Page(self, handle)
        # A window cannot be as narrow as a phone, but what it shows can be told to.
        page.command("POST", "/goog/cdp/execute", {
            "cmd": "Emulation.setDeviceMetricsOverride",
            "params": {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}})
        page.open(url)
        return page

    def close(self):
        try:
            if self._session:
                self.command("DELETE", "")
        except (OSError, http.client.HTTPException, BrowserError):
            pass  # it is killed below
        finally:
            if self.process:
                self.process.kill()
                self.process.wait()
            shutil.rmtree(self.home, ignore_errors=True)


class Page:
    """A window. Elements are named by CSS selectors and looked for anew each time."""

    def __init__(self, browser, handle):
        self.browser, self.handle = browser, handle

    def command(self, method, path, body=None):
        self.browser.command("POST", "/window", {"handle": self.handle})
        return self.browser.command(method, path, body)

    def open(self, url):
        self.command("POST", "/url", {"url": url})

    def run(self, script, *args):
        """The value that a piece of JavaScript returns."""
        return self.command("POST", "/execute/sync", {"script": script, "args": list(args)})

    def _element(self, selector):
        found = self.command("POST", "/element", {"using": "css selector", "value": selector})
        return f"/element/{found[ELEMENT]}"

    def click(self, selector):
        """As a finger would: it fails where something else lies over the element."""
        self.command("POST", f"{self._element(selector)}/click")

    def type(self, selector, text):
        """Types text in place of what is there."""
        element = self._element(selector)
        self.command("POST", f"{element}/clear")
        self.command("POST", f"{element}/value", {"text": text})

    def text(self, selector):
        return self.run("return document.querySelector(arguments[0])?.textContent", selector)

    def screenshot(self, path):
        with open(path, "wb") as file:
            file.write(base64.b64decode(self.command("GET", "/screenshot")))
