"""scripts/demo --kubernetes: Erlang nodes in pods of a real cluster, which our epmd joins.

Makes a namespace of its own in the cluster of the current kubeconfig context, brings epmd there in ConfigMaps (no
registry, nothing to load into nodes), starts three pods of a stock image, waits until Node.list() is full in
each, replaces a pod and waits again. Takes away all it has made, however it ends.
Exit status: 0 it worked, 1 it did not, 2 wrong words, 128 and the signal's number when interrupted.
"""

import argparse
import re
import secrets
import subprocess
import sys
import time
from pathlib import Path

from demo_kubectl import Failure, Interrupted, Interrupts, Kubectl
from demo_objects import NAME, PODS, RUN_LABEL, labelled, machine_of, objects_of, program_parts

TOP = Path(__file__).resolve().parents[1]
IMAGE = "erlang:27-slim"
KINDS = ("deployments.apps", "services", "configmaps", "secrets", "rolebindings.rbac.authorization.k8s.io",
         "roles.rbac.authorization.k8s.io", "serviceaccounts")
LIST = re.compile(r"^Node\.list\(\) -> \[(.*)\]$", re.M)
PATIENCE = 20        # seconds for which a trouble with an image or a container must last
CLEANING = 120       # seconds for what is deleted to go
STARTED = time.monotonic()
MENDS = {
    "Image": "name another with --image (it needs erl, sh and gzip), or bring it to the nodes first: "
             "`kind load docker-image {image}`, `minikube image load {image}`",
    "InvalidImageName": "correct --image",
    "unpack": "epmd does not run there: is it static, and has the image sh and gzip? If not, give --epmd or --image",
    NAME: "what it said is above",
}


def say(text):
    show(f"[{time.monotonic() - STARTED:5.1f} s] {text}")


def show(text):
    """Nobody may be there to read it any more, which must not keep us from cleaning up."""
    try:
        print(text, flush=True)
    except OSError:
        pass


def indented(text):
    return "\n".join(f"            {line}" for line in text.splitlines())


class Demo:
    def __init__(self, options, interrupts):
        self.options, self.interrupts = options, interrupts
        self.kubectl = Kubectl(options.context, interrupts)
        self.run_id = secrets.token_hex(4)
        self.namespace = options.namespace or f"{NAME}-{self.run_id}"
        self.made = None            # "namespace" or "objects", once there may be something to take away
        self.trouble = None         # what pods lack, and since when

    # --- before anything is made ---

    def look(self):
        version, address = self.kubectl.server()
        say(f"context {self.kubectl.context}: Kubernetes {version} at {address}")
        self._say_leftovers()
        exists = self.kubectl.try_run("get", "namespace", self.namespace, "-o", "name")
        if exists.returncode != 0 and "NotFound" in exists.stderr or not self.options.namespace:
            denied = self.kubectl.denied(["create namespaces", "delete namespaces"])
            if denied:
                raise Failure(f"you may not {' nor '.join(denied)} in this cluster: name a namespace that is there and "
                              f"that you may use, with --namespace")
            return "namespace"
        return "objects"            # where one may not even look, what is to be made there will tell

    def _say_leftovers(self):
        left = self.kubectl.try_run("get", "namespaces", "-l", RUN_LABEL, "-o", "name")
        for name in left.stdout.split() if left.returncode == 0 else ():
            say(f"there is still a {name} of another demo; if that runs no more: "
                f"kubectl --context {self.kubectl.context} delete {name}")

    def find_program(self):
        path = self.options.epmd or self._build()
        machine = machine_of(path)
        nodes = self.kubectl.try_run("get", "nodes", "-o", "jsonpath={.items[*].status.nodeInfo.architecture}")
        there = sorted(set(nodes.stdout.split()))
        if nodes.returncode == 0 and there and machine not in there:
            raise Failure(f"{path} is for {machine}, and the cluster's nodes are {', '.join(there)}: give one for these "
                          f"with --epmd (scripts/build-static makes it on such a machine)")
        return path, machine

    def _build(self):
        say("building epmd as one file (scripts/build-static; minutes the first time) ...")
        with subprocess.Popen([TOP / "scripts/build-static"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as build:
            try:
                out, err = self._outcome(build)
            except Interrupted:
                build.terminate()
                raise
        if build.returncode != 0:
            reason = (err.strip().splitlines() or ["no reason given"])[-1]
            raise Failure(f"epmd cannot be built here as one file ({reason}): give one with --epmd")
        return out.strip()

    def _outcome(self, process):
        while True:
            self.interrupts.check()
            try:
                return process.communicate(timeout=0.2)
            except subprocess.TimeoutExpired:
                continue

    # --- what is made ---

    def make(self, kind, path, machine):
        if kind == "namespace":
            say(f"making the namespace {self.namespace}")
            self._make_namespace()
        self.kubectl.namespace = self.namespace
        verbs = ("create", "list", "delete")
        denied = self.kubectl.denied([f"{verb} {resource}" for resource in KINDS for verb in verbs]
                                     + ["list pods", "delete pods", "get pods/log"])
        if denied:
            raise Failure(f"in namespace {self.namespace} you may not {', '.join(denied)}: ask for these rights, or "
                          "take another --namespace or --context")
        self.made = kind
        maps, volume, size = program_parts(path)
        objects = objects_of(self.kubectl, TOP / "deploy", self.options.image, machine, volume)
        say(f"bringing {path} there: {Path(path).stat().st_size:,} bytes, packed {size:,}, in {len(maps)} ConfigMap(s)")
        for part in labelled(maps, self.run_id):
            self.kubectl.create([part])
        say("making a Secret, a Service, a ServiceAccount with its Role, and a Deployment: those of deploy/")
        self.kubectl.create(labelled(objects, self.run_id))

    def _make_namespace(self):
        wanted = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.namespace}}
        self.made = "namespace"
        try:
            self.kubectl.create(labelled([wanted], self.run_id))
        except Failure as error:
            if "AlreadyExists" in str(error):
                self.made = None    # somebody else's, since a moment ago
            raise

    # --- what is shown ---

    def pods(self):
        listed = self.kubectl.get("pods", "-l", f"app={NAME}")
        return [pod for pod in listed if not pod["metadata"].get("deletionTimestamp")]

    def log(self, pod):
        return self.kubectl.try_run("logs", pod["metadata"]["name"], "-c", NAME).stdout

    def await_full(self, without=()):
        """Until each pod's Node.list() is all others; gives {pod's name: its list} and how long that took."""
        begun, shown = time.monotonic(), None
        while True:
            pods = self.pods()
            lacking, lists = self._lacking(pods, without)
            if not lacking:
                return lists, time.monotonic() - begun
            if lacking != shown:
                say(f"waiting: {lacking}")
                shown = lacking
            late = time.monotonic() - begun > self.options.timeout
            if late or self._has_trouble(pods):
                self._show_logs(pods)
                mend = MENDS.get(self.trouble and self.trouble[0], "").format(image=self.options.image)
                raise Failure((f"not done after {self.options.timeout:g} s (--timeout): " if late else "") + lacking
                              + (f"; {mend}" if mend else ""))
            self.interrupts.sleep(0.5)

    def _lacking(self, pods, without):
        lists, gone = {}, [pod for pod in pods if pod["metadata"]["name"] in without]
        for pod in pods:
            found = trouble_of(pod)
            if found:
                return f"{pod['metadata']['name']}: {found[1]}", lists
        if gone or len(pods) != PODS:
            return self._why_no_pods() or f"{len(pods)} of {PODS} pods are there", lists
        nodes = {pod["metadata"]["name"]: f"{NAME}@{pod['status']['podIP']}" for pod in pods if pod["status"].get("podIP")}
        if len(nodes) < PODS:
            return f"{len(nodes)} of {PODS} pods have an address", lists
        for pod in pods:
            name = pod["metadata"]["name"]
            lines = LIST.findall(self.log(pod))
            seen = lines[-1].replace("'", "").split(",") if lines and lines[-1] else []
            if set(seen) != set(nodes.values()) - {nodes[name]}:
                return f"{name} sees {len(seen)} of {PODS - 1} others" if lines else f"{name} has no node yet", lists
            lists[name] = f"Node.list() -> [{lines[-1].replace(',', ', ')}]"
        return None, lists

    def _why_no_pods(self):
        """A quota or a policy that lets none in is told by what makes them."""
        for owner in self.kubectl.get("deployments", NAME):
            for condition in owner.get("status", {}).get("conditions", []):
                if condition["type"] == "ReplicaFailure" and condition["status"] == "True":
                    return f"no pod can be made: {condition['message']}"
        return None

    def _has_trouble(self, pods):
        """One that has lasted too long to go away by itself."""
        found = next(filter(None, map(trouble_of, pods)), None)
        if not found:
            self.trouble = None
        elif not self.trouble or self.trouble[0] != found[0]:
            self.trouble = found[0], time.monotonic()
        return bool(found) and found[0] in MENDS and time.monotonic() - self.trouble[1] > PATIENCE

    def _show_logs(self, pods):
        for pod in pods:
            text = self.log(pod)
            if text:
                show(f"--- {pod['metadata']['name']} logged:\n{indented(text)}")

    def show_lists(self, lists):
        for name, text in lists.items():
            say(f"{name}: {text}")

    def work(self):
        kind = self.look()
        path, machine = self.find_program()
        self.make(kind, path, machine)
        lists, _ = self.await_full()
        self.show_lists(lists)
        leaving = next(iter(lists))
        say(f"deleting {leaving}, which the Deployment replaces")
        self.kubectl.run("delete", "pod", leaving, "--wait=false")
        lists, took = self.await_full(without=(leaving,))
        say(f"{took:.1f} s later another is there, and everybody knows:")
        self.show_lists(lists)
        newest = max(self.pods(), key=lambda pod: pod["metadata"]["creationTimestamp"])
        self._show_doctor(newest)

    def _show_doctor(self, pod):
        end = time.monotonic() + 30
        while "epmd -doctor\n" not in self.log(pod) and time.monotonic() < end:
            self.interrupts.sleep(0.5)
        say(f"what {pod['metadata']['name']} logged, to `kubectl logs`:")
        show(indented(self.log(pod)))

    # --- afterwards ---

    def clean(self):
        """True when all is gone."""
        if not self.made:
            return True
        self.kubectl.namespace = None
        if self.made == "namespace":
            words, left = ["delete", "namespace", self.namespace], ["namespace", self.namespace]
        else:
            place = ["--namespace", self.namespace]
            words = ["delete", ",".join(KINDS), "-l", f"{RUN_LABEL}={self.run_id}", *place]
            left = ["pods", "-l", f"app={NAME}", *place]
        by_hand = f"kubectl --context {self.kubectl.context} {' '.join(words)}"
        if self.options.keep:
            say(f"all of it stays, as asked for, in the namespace {self.namespace}; to take it away: {by_hand}")
            return True
        say(f"cleaning up: {by_hand}")
        error = self._delete([*words, "--ignore-not-found", "--wait=false"], left)
        say(f"could not clean up ({error}); do it by hand, as above" if error else "nothing is left of it")
        return not error

    def _delete(self, words, left):
        """What kept it from going, or None. An API server that is away may come back."""
        end, error = time.monotonic() + CLEANING, None
        while time.monotonic() < end:
            try:
                self.kubectl.run(*words)
                if not self.kubectl.run("get", *left, "--ignore-not-found", "-o", "name").strip():
                    return None
                error = "it is still going"
            except Failure as failure:
                error = failure
            self.interrupts.sleep(1)
        return error


def trouble_of(pod):
    """Why it does not run: the key of a mend, and the words; None while nothing is wrong."""
    status = pod.get("status", {})
    for condition in status.get("conditions", []):
        if condition["type"] == "PodScheduled" and condition.get("reason") == "Unschedulable":
            return "Unschedulable", condition.get("message", "no node takes it")
    for container in [*status.get("initContainerStatuses", []), *status.get("containerStatuses", [])]:
        waiting = container["state"].get("waiting", {})
        reason, message = waiting.get("reason", ""), waiting.get("message", "")
        ended = container["state"].get("terminated") or container.get("lastState", {}).get("terminated")
        if "Image" in reason:
            key = reason if reason == "InvalidImageName" else "Image"
            return key, f"image {container['image']} cannot be had ({reason}: {message.strip()})"
        if reason not in ("", "PodInitializing", "ContainerCreating") or (ended and ended.get("exitCode", 0) != 0
                                                                            and not container.get("ready")):
            said = (ended or {}).get("message") or message
            return container["name"], f"container {container['name']} does not run ({reason or 'it ended'}: {said.strip()})"
    return None


def parse():
    parser = argparse.ArgumentParser(prog="scripts/demo --kubernetes", formatter_class=argparse.RawDescriptionHelpFormatter,
                                     description=__doc__.split("\n", 2)[2])
    parser.add_argument("--context", help="of the kubeconfig (default: the current one)")
    parser.add_argument("--namespace", help="make this one; if it is there already, use it, and take away only what was "
                                            "made in it (default: a new one)")
    parser.add_argument("--image", default=IMAGE, help="what pods run: any image with erl, sh and gzip (default: %(default)s)")
    parser.add_argument("--epmd", help="a static epmd for the nodes' architecture (default: scripts/build-static makes it)")
    parser.add_argument("--keep", action="store_true", help="do not clean up")
    parser.add_argument("--timeout", type=float, default=300, metavar="SECONDS",
                        help="for all pods to be joined (default: %(default)s)")
    return parser.parse_args()


def main():
    options, interrupts, demo, worked = parse(), Interrupts(), None, False
    try:
        demo = Demo(options, interrupts)
        demo.work()
        worked = True
    except Failure as error:
        say(f"it did not work: {error}")
    except Interrupted as signal:
        say(f"interrupted (signal {signal.args[0]})")
    finally:
        interrupts.off = True       # from here on nothing is cut short
        cleaned = demo.clean() if demo else True
    if worked and cleaned:
        say("all of it worked")
    return 128 + interrupts.number if interrupts.number else 0 if worked and cleaned else 1


if __name__ == "__main__":
    sys.exit(main())
