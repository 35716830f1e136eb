"""A kubelet and a scheduler for the real control plane of `lab.cluster`: what controllers make of Deployments
and StatefulSets runs, as containers of runc in the pods of `lab.pods`.

It knows what the manifests of deploy/ use: init containers, environment, volumes, the service account, security
contexts (a container gets no more than they ask for), readiness probes, restarts, node selectors, logs.
Images are folders of this machine on top of its own /usr and /etc. Its port answers `kubectl logs`, not
`kubectl exec`: see `Kubelet.exec`.
"""

import dataclasses
import json
import os
import platform
import re
import shutil
import subprocess
import tempfile
import threading
import time

from .cluster import CORE, NODE, ApiError, readiness
from .kubelet_logs import LogServer
from .kubelet_volumes import NotYet, Stored, make_volumes
from .namespace import clean_env
from .restricted import ARCHITECTURES, Container
from .sidecar import ACCOUNT

PACE = 0.2  # seconds between two looks at the API server
RESTART_DELAY = 1.0
LABELS = {"kubernetes.io/arch": ARCHITECTURES.get(platform.machine(), platform.machine())}


@dataclasses.dataclass
class Image:
    """What is in it, {path: the same here}, and what it runs."""
    files: dict
    command: list


class PodRun:
    """One pod, as far as it has got. Lives in the kubelet's thread."""

    def __init__(self, kubelet, pod):
        self.kubelet, self.name, self.namespace = kubelet, pod["metadata"]["name"], pod["metadata"]["namespace"]
        self.uid, self.spec = pod["metadata"]["uid"], pod["spec"]
        self.folder = tempfile.mkdtemp(prefix="lab-kubelet-")
        os.chmod(self.folder, 0o755)
        self.path = f"{CORE}/namespaces/{self.namespace}/pods/{self.name}"
        self.place = kubelet.network.pod(re.sub("[^a-z0-9]", "", self.name)[-12:] + self.uid[:4])
        self.to_init = list(self.spec.get("initContainers", []))
        self.running, self.waiting, self.ended, self.restart_at, self.restarts = {}, {}, {}, {}, {}
        self.shown = None
        self.volumes = None
        self.stored = Stored(kubelet.cluster, self.namespace)
        self._name_host()

    def _name_host(self):
        if self.spec.get("subdomain"):
            self.kubelet.add_host(self.place.ip, f"{self.spec['hostname']}.{self.spec['subdomain']}"
                                                 f".{self.namespace}.svc.cluster.local")

    # --- what containers get ---

    def _environment(self, container):
        fields = {"status.podIP": self.place.ip, "metadata.name": self.name, "metadata.namespace": self.namespace}
        env = {"PATH": "/usr/bin:/bin", "KUBERNETES_SERVICE_HOST": self.kubelet.cluster.address,
               "KUBERNETES_SERVICE_PORT": str(self.kubelet.cluster.port)}
        for variable in container.get("env", []):
            source = variable.get("valueFrom", {})
            if "fieldRef" in source:
                value = fields[source["fieldRef"]["fieldPath"]]
            elif "secretKeyRef" in source:
                value = self.stored.get("secret", source["secretKeyRef"]["name"])[source["secretKeyRef"]["key"]].decode()
            else:
                value = re.sub(r"\$\((\w+)\)", lambda name: env.get(name[1], name[0]), variable.get("value", ""))
            env[variable["name"]] = value
        return env

    def _build(self, container):
        image = self.kubelet.images.get(container["image"])
        if image is None:
            raise NotYet("ErrImagePull", f"no image {container['image']}")
        env = self._environment(container)
        self.volumes = self.volumes or make_volumes(self.spec, os.path.join(self.folder, "volumes"), self.stored)
        account = os.path.join(self.folder, "account")
        try:
            self.kubelet.cluster.service_account_dir(self.spec["serviceAccountName"], account, self.namespace)
        except ApiError as error:  # the account is not there yet, or not any more
            raise NotYet("ContainerCreating", str(error)) from error
        mounts = {mount["mountPath"]: mount for mount in container.get("volumeMounts", [])}
        files = {**image.files, ACCOUNT: account, "/etc/hosts": self.kubelet.hosts,
                 **{path: self.volumes[mount["name"]] for path, mount in mounts.items()}}
        command = container.get("command") or image.command
        made = self._bundle(container, [*command, *container.get("args", [])], env, files)
        self._apply(made, container, {path for path, mount in mounts.items() if not mount.get("readOnly")})
        return made

    def _bundle(self, container, args, env, files):
        folder = tempfile.mkdtemp(prefix=f"{container['name']}-", dir=self.folder)
        os.chmod(folder, 0o755)
        return Container(folder, f"kepmd-{self.uid[:8]}-{os.path.basename(folder)}", args, env, files,
                         self.place.path())

    def _apply(self, made, container, writable):
        """No more than the manifest asks for; without a word there, more than restricted."""
        path = os.path.join(made.folder, "config.json")
        with open(path, encoding="utf-8") as file:
            config = json.load(file)
        pod, own = self.spec["securityContext"], container.get("securityContext", {})
        config["process"]["user"] = {"uid": pod.get("runAsUser", 0), "gid": pod.get("runAsGroup", 0),
                                     "additionalGids": [pod["fsGroup"]] if "fsGroup" in pod else []}
        config["process"]["noNewPrivileges"] = not own.get("allowPrivilegeEscalation", True)
        config["root"]["readonly"] = own.get("readOnlyRootFilesystem", False)
        if own.get("capabilities", {}).get("drop") != ["ALL"]:
            config["process"]["capabilities"]["bounding"] = ["CAP_NET_BIND_SERVICE", "CAP_CHOWN"]
        if pod.get("seccompProfile", {}).get("type") != "RuntimeDefault":
            del config["linux"]["seccomp"]
        for mount in config["mounts"]:
            if mount["destination"] in writable:
                mount["options"] = ["rbind", "rw"]
        with open(path, "w", encoding="utf-8") as file:
            json.dump(config, file)

    # --- a step at a time ---

    def step(self):
        self.waiting = {}
        self._initialize()
        if not self.to_init:
            for container in self.spec["containers"]:
                self._keep_running(container)
        self._tell()

    def _initialize(self):
        while self.to_init:
            container = self.to_init[0]
            name = container["name"]
            if self._rests(name):
                return
            try:
                made = self._build(container)
            except NotYet as reason:
                self.waiting[name] = reason
                return
            done = made.run()
            made.close()
            self._log(name, done.stdout + done.stderr)
            self._note_end(name, done.returncode)
            if done.returncode != 0:
                self._rests(name)
                return
            self.to_init.pop(0)

    def _note_end(self, name, status):
        with open(self.log_path(name), encoding="utf-8", errors="replace") as log:
            message = "".join(log.readlines()[-5:])
        self.ended[name] = {"exitCode": status, "message": message if status else ""}
        self.restart_at[name] = time.monotonic() + RESTART_DELAY

    def _rests(self, name):
        """Whether it has just ended, and has to wait before it may run again."""
        rests = time.monotonic() < self.restart_at.get(name, 0)
        if rests:
            self.waiting[name] = NotYet("CrashLoopBackOff", "it ended")
        return rests

    def _keep_running(self, container):
        name = container["name"]
        if name in self.running:
            made, process = self.running[name]
            if process.poll() is None:
                return
            made.close()
            del self.running[name]
            self.restarts[name] = self.restarts.get(name, 0) + 1
            self._note_end(name, process.returncode)
        if self._rests(name):
            return
        try:
            made = self._build(container)
        except NotYet as reason:
            self.waiting[name] = reason
            return
        with open(self.log_path(name), "ab") as log:
            process = subprocess.Popen(made.command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                       env=clean_env(), start_new_session=True)
        self.running[name] = made, process

    def _is_ready(self, container):
        if container["name"] not in self.running:
            return False
        probe = container.get("readinessProbe", {}).get("httpGet")
        if not probe:
            return True
        port = next(p["containerPort"] for p in container["ports"] if p.get("name") == probe["port"])
        try:
            with self.place.connect(self.place.ip, port, timeout=2) as connection:
                connection.sendall(f"GET {probe['path']} HTTP/1.0\r\n\r\n".encode())
                return connection.recv(100).split()[1:2] == [b"200"]
        except OSError:
            return False

    def _tell(self):
        containers = self.spec["containers"]
        ready = {container["name"]: self._is_ready(container) for container in containers}
        started = bool(self.running)
        statuses = [self._container_status(container, ready[container["name"]]) for container in containers]
        first = [self._container_status(container, False) for container in self.spec.get("initContainers", [])]
        status = {"phase": "Running" if started else "Pending", "podIP": self.place.ip,
                  "podIPs": [{"ip": self.place.ip}], "conditions": readiness(all(ready.values())),
                  "initContainerStatuses": first, "containerStatuses": statuses}
        if status != self.shown:
            self.kubelet.cluster.request("PATCH", f"{self.path}/status", {"status": status})
            self.shown = status

    def _container_status(self, container, ready):
        name = container["name"]
        ended = {"terminated": self.ended[name]} if name in self.ended else {}
        if name in self.running:
            state = {"running": {}}
        elif name in self.waiting or not ended:
            reason, message = self.waiting[name].args if name in self.waiting else ("PodInitializing", "")
            state = {"waiting": {"reason": reason, "message": message}}
        else:
            state, ended = ended, {}
        return {"name": name, "ready": ready, "restartCount": self.restarts.get(name, 0), "image": container["image"],
                "imageID": "", "state": state, "lastState": ended}

    # --- for whoever looks at it ---

    def log_path(self, container):
        return os.path.join(self.folder, f"{container}.log")

    def _log(self, container, text):
        with open(self.log_path(container), "a", encoding="utf-8") as log:
            log.write(text)

    def logs(self):
        texts = []
        for entry in sorted(os.listdir(self.folder)):
            if entry.endswith(".log"):
                with open(os.path.join(self.folder, entry), encoding="utf-8", errors="replace") as log:
                    texts.append(f"--- {self.name} {entry}\n{log.read()}")
        return "\n".join(texts)

    def close(self):
        for made, process in self.running.values():
            made.close()
            process.wait()
        self.kubelet.network.remove(self.place)
        shutil.rmtree(self.folder, ignore_errors=True)


class Kubelet:
    """Runs every pod of the cluster, from `start` to `close`."""

    def __init__(self, cluster, network, images):
        self.cluster, self.network, self.images = cluster, network, dict(images)
        self._folder = tempfile.mkdtemp(prefix="lab-kubelet-")
        self.hosts = os.path.join(self._folder, "hosts")
        with open(self.hosts, "w", encoding="ascii") as hosts:
            hosts.write("127.0.0.1 localhost\n")
        os.chmod(self.hosts, 0o644)
        self.pods = {}
        self.error = None
        self.logs_port = LogServer(network.host, self._folder, self._find_log)
        self._tell_node()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work)
        self._thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()

    def _tell_node(self):
        self.cluster.call("PATCH", f"{CORE}/nodes/{NODE}", {"metadata": {"labels": LABELS}})
        self.cluster.call("PATCH", f"{CORE}/nodes/{NODE}/status", {"status": {
            "addresses": [{"type": "InternalIP", "address": self.network.host.ip}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": self.logs_port.port}},
            "nodeInfo": {"architecture": LABELS["kubernetes.io/arch"]}}})

    def _find_log(self, namespace, pod, container):
        return next((run.log_path(container) for run in self.runs(namespace) if run.name == pod), None)

    def add_host(self, ip, name):
        with open(self.hosts, "a", encoding="ascii") as hosts:
            hosts.write(f"{ip} {name}\n")

    def _work(self):
        try:
            while not self._stop.wait(PACE):
                self._look()
        except Exception as error:  # shown to whoever waits for a pod
            self.error = error
            raise
        finally:
            for run in self.pods.values():
                run.close()
            self.pods = {}

    def _look(self):
        listed = {pod["metadata"]["uid"]: pod for pod in self.cluster.call("GET", f"{CORE}/pods")["items"]}
        for uid in set(self.pods) - set(listed):
            self.pods.pop(uid).close()
        for uid, pod in listed.items():
            if pod["metadata"].get("deletionTimestamp"):
                if uid in self.pods:
                    self.pods.pop(uid).close()
                self._forget(pod)
            elif uid not in self.pods and self._bind(pod):
                self.pods[uid] = PodRun(self, pod)
        for run in list(self.pods.values()):
            run.step()

    def _bind(self, pod):
        name, namespace = pod["metadata"]["name"], pod["metadata"]["namespace"]
        if not pod["spec"].get("nodeSelector", {}).items() <= LABELS.items():
            self.cluster.request("PATCH", f"{CORE}/namespaces/{namespace}/pods/{name}/status", {"status": {"conditions": [
                {"type": "PodScheduled", "status": "False", "reason": "Unschedulable",
                 "message": "0/1 nodes are available: 1 node(s) didn't match node selector."}]}})
            return False
        if not pod["spec"].get("nodeName"):
            self.cluster.request("POST", f"{CORE}/namespaces/{namespace}/pods/{name}/binding",
                                 {"metadata": {"name": name}, "target": {"kind": "Node", "name": NODE}})
        return True

    def _forget(self, pod):
        path = f"{CORE}/namespaces/{pod['metadata']['namespace']}/pods/{pod['metadata']['name']}"
        self.cluster.request("DELETE", path, {"gracePeriodSeconds": 0, "preconditions": {"uid": pod["metadata"]["uid"]}})

    def runs(self, namespace):
        """Its pods, by name."""
        return sorted((run for run in list(self.pods.values()) if run.namespace == namespace), key=lambda run: run.name)

    def exec(self, namespace, pod, container, words):
        """What `kubectl exec` would do: a process in the container, with its environment and user."""
        run = next(run for run in self.runs(namespace) if run.name == pod)
        made, _ = run.running[container or run.spec["containers"][0]["name"]]
        return subprocess.run(["runc", "--root", made.state, "exec", made.name, *map(str, words)], text=True,
                              capture_output=True, stdin=subprocess.DEVNULL, env=clean_env(), timeout=60)

    def logs(self, namespace):
        error = [f"the kubelet: {self.error!r}"] if self.error else []
        return "\n".join(error + [run.logs() for run in self.runs(namespace)])

    def close(self):
        self._stop.set()
        self._thread.join()
        self.logs_port.close()
        shutil.rmtree(self._folder, ignore_errors=True)
