"""kubectl for scripts/demo --kubernetes: short calls that an interrupt neither tears apart nor loses."""

import json
import shutil
import signal
import subprocess
import time

INSTALL = "https://kubernetes.io/docs/tasks/tools"
PATIENCE = "--request-timeout=30s"


class Failure(Exception):
    """The demo did not work: one line, with the mend."""


class Interrupted(Exception):
    """Somebody wants it to end; the argument is the signal's number."""


class Interrupts:
    """Notes SIGINT, SIGTERM and SIGHUP; `check` raises where it does no harm."""

    def __init__(self):
        self.number, self.off = None, False
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, self._note)

    def _note(self, number, _frame):
        self.number = self.number or number

    def check(self):
        if self.number and not self.off:
            raise Interrupted(self.number)

    def sleep(self, seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.check()
            time.sleep(0.1)


def objects_in(text):
    """The objects that kubectl prints as JSON, one after another or as a List."""
    decoder, found, text = json.JSONDecoder(), [], text.strip()
    while text:
        value, end = decoder.raw_decode(text)
        found += value["items"] if value["kind"].endswith("List") else [value]
        text = text[end:].lstrip()
    return found


class Kubectl:
    """In one context and, once `namespace` is set, in one namespace."""

    def __init__(self, context, interrupts):
        if not shutil.which("kubectl"):
            raise Failure(f"there is no kubectl: install it ({INSTALL}) and come again")
        self.interrupts, self.namespace = interrupts, None
        self.context = context or self._current()
        if self.context not in self._config("get-contexts", "-o", "name").stdout.split("\n"):
            raise Failure(f'kubectl has no context "{self.context}"; {self._others()}')

    def _config(self, *words):
        return self._start(["kubectl", "config", *words])

    def _current(self):
        current = self._config("current-context").stdout.strip()
        if not current:
            raise Failure(f"kubectl has no current context; {self._others()}")
        return current

    def _others(self):
        names = self._config("get-contexts", "-o", "name").stdout.split()
        if names:
            return f"choose one with --context: {', '.join(names)}"
        return "make a cluster first, as `kind create cluster` or `minikube start` do, or set KUBECONFIG"

    def _start(self, words, text=None):
        # In a session of its own, so that Ctrl-C does not end it halfway through what it does.
        process = subprocess.Popen(words, stdin=subprocess.PIPE if text else subprocess.DEVNULL, text=True,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True)
        out, err = process.communicate(text)
        return subprocess.CompletedProcess(words, process.returncode, out, err)

    def try_run(self, *words, text=None):
        self.interrupts.check()
        place = ["--namespace", self.namespace] if self.namespace else []
        return self._start(["kubectl", "--context", self.context, PATIENCE, *place, *words], text)

    def run(self, *words, text=None):
        done = self.try_run(*words, text=text)
        if done.returncode != 0:
            lines = [line for line in done.stderr.splitlines() if not line.startswith("Warning")]
            raise Failure(f"kubectl {words[0]}: {'; '.join(lines) or 'it failed'}")
        return done.stdout

    def create(self, objects):
        self.run("create", "-f", "-", text=json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}))

    def get(self, *words):
        return objects_in(self.run("get", *words, "-o", "json"))

    def server(self):
        """Its version and its address."""
        version = json.loads(self.run("version", "-o", "json"))["serverVersion"]["gitVersion"]
        config = json.loads(self.run("config", "view", "--minify", "-o", "json"))
        return version, config["clusters"][0]["cluster"]["server"]

    def denied(self, rights):
        """Which of these ("VERB RESOURCE.GROUP/SUBRESOURCE") this user does not have."""
        reviews = []
        for right in rights:
            verb, resource = right.split()
            resource, _, subresource = resource.partition("/")
            resource, _, group = resource.partition(".")
            asked = {"verb": verb, "group": group, "resource": resource, "subresource": subresource,
                     "namespace": self.namespace or ""}
            reviews.append({"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview",
                            "spec": {"resourceAttributes": asked}})
        text = json.dumps({"apiVersion": "v1", "kind": "List", "items": reviews})
        answers = self.run("create", "-f", "-", "-o", 'jsonpath={.status.allowed}{"\\n"}', text=text).split()
        return [right for right, allowed in zip(rights, answers) if allowed != "true"]
