"""A kubelet and a scheduler for the real control plane of `lab.cluster`: what controllers make of Deployments
and StatefulSets runs, as containers of runc in the pods of `lab.pods`.

It knows what the manifests of deploy/ use: init containers, environment, emptyDir and Secret volumes, the
service account, security contexts (a container gets no more than they ask for), readiness probes, restarts.
Images are folders of this machine on top of its own /usr and /etc. `kubectl exec` goes through a kubelet's
own port, which this one does not have: see `Kubelet.exec`.
"""

import base64
import dataclasses
import json
import os
import re
import shutil
import subprocess
import tempfile
import threading
import time

from .cluster import CORE, NODE, ApiError, readiness
from .namespace import clean_env
from .restricted import Container
from .sidecar import ACCOUNT

PACE = 0.2  # seconds between two looks at the API server
RESTART_DELAY = 1.0


@dataclasses.dataclass
class Image:
    """What is in it, {path: the same here}, and what it runs."""
    files: dict
    command: list


class NotYet(Exception):
    """A container cannot start so far: the reason, as kubectl shows it, and the message."""


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
        self.running, self.waiting, self.restart_at, self.restarts = {}, {}, {}, {}
        self.shown = None
        self.volumes = None
        self._name_host()

    def _name_host(self):
        if self.spec.get("subdomain"):
            self.kubelet.add_host(self.place.ip, f"{self.spec['hostname']}.{self.spec['subdomain']}"
                                                 f".{self.namespace}.svc.cluster.local")

    # --- what containers get ---

    def _secret(self, name):
        reply = self.kubelet.cluster.request("GET", f"{CORE}/namespaces/{self.namespace}/secrets/{name}")
        if reply.status != 200:
            raise NotYet("CreateContainerConfigError", f'secret "{name}" not found')
        return {key: base64.b64decode(value) for key, value in reply.body["data"].items()}

    def _make_volumes(self):
        group = self.spec["securityContext"].get("fsGroup", 0)
        made = {}
        for volume in self.spec.get("volumes", []):
            folder = os.path.join(self.folder, "volumes", volume["name"])
            os.makedirs(folder, exist_ok=True)
            if "secret" in volume:
                wanted = volume["secret"]
                for item in wanted["items"]:
                    path = os.path.join(folder, item["path"])
                    with open(path, "wb") as file:
                        file.write(self._secret(wanted["secretName"])[item["key"]])
                    os.chown(path, 0, group)
                    os.chmod(path, wanted["defaultMode"])
            else:
                assert "emptyDir" in volume, volume
                os.chown(folder, 0, group)
                os.chmod(folder, 0o2777)
            made[volume["name"]] = folder
        return made

    def _environment(self, container):
        fields = {"status.podIP": self.place.ip, "metadata.name": self.name, "metadata.namespace": self.namespace}
        env = {"PATH": "/usr/bin:/bin", "KUBERNETES_SERVICE_HOST": self.kubelet.cluster.address,
               "KUBERNETES_SERVICE_PORT": str(self.kubelet.cluster.port)}
        for variable in container.get("env", []):
            source = variable.get("valueFrom", {})
            if "fieldRef" in source:
                value = fields[source["fieldRef"]["fieldPath"]]
            elif "secretKeyRef" in source:
                value = self._secret(source["secretKeyRef"]["name"])[source["secretKeyRef"]["key"]].decode()
            else:
                value = re.sub(r"\$\((\w+)\)", lambda name: env.get(name[1], name[0]), variable.get("value", ""))
            env[variable["name"]] = value
        return env

    def _build(self, container):
        image = self.kubelet.images.get(container["image"])
        if image is None:
            raise NotYet("ErrImagePull", f"no image {container['image']}")
        env = self._environment(container)
        self.volumes = self.volumes or self._make_volumes()
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
            try:
                made = self._build(container)
            except NotYet as reason:
                self.waiting[container["name"]] = reason
                return
            done = made.run()
            made.close()
            self._log(container["name"], done.stdout + done.stderr)
            if done.returncode != 0:
                self.waiting[container["name"]] = NotYet("CrashLoopBackOff", done.stderr)
                return
            self.to_init.pop(0)

    def _keep_running(self, container):
        name = container["name"]
        if name in self.running:
            made, process = self.running[name]
            if process.poll() is None:
                return
            made.close()
            del self.running[name]
            self.restarts[name] = self.restarts.get(name, 0) + 1
            self.restart_at[name] = time.monotonic() + RESTART_DELAY
        if time.monotonic() < self.restart_at.get(name, 0):
            self.waiting[name] = NotYet("CrashLoopBackOff", "it ended")
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
        status = {"phase": "Running" if started else "Pending", "podIP": self.place.ip,
                  "podIPs": [{"ip": self.place.ip}], "conditions": readiness(all(ready.values())),
                  "containerStatuses": statuses}
        if status != self.shown:
            self.kubelet.cluster.request("PATCH", f"{self.path}/status", {"status": status})
            self.shown = status

    def _container_status(self, container, ready):
        name = container["name"]
        blocked = self.waiting.get(name) or next(iter(self.waiting.values()), None)
        state = {"running": {}}
        if name not in self.running:
            reason, message = blocked.args if blocked else ("PodInitializing", "")
            state = {"waiting": {"reason": reason, "message": message}}
        return {"name": name, "ready": ready, "restartCount": self.restarts.get(name, 0), "image": container["image"],
                "imageID": "", "state": state}

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
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work)
        self._thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()

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
            elif uid not in self.pods:
                self._bind(pod)
                self.pods[uid] = PodRun(self, pod)
        for run in list(self.pods.values()):
            run.step()

    def _bind(self, pod):
        name, namespace = pod["metadata"]["name"], pod["metadata"]["namespace"]
        if not pod["spec"].get("nodeName"):
            self.cluster.request("POST", f"{CORE}/namespaces/{namespace}/pods/{name}/binding",
                                 {"metadata": {"name": name}, "target": {"kind": "Node", "name": NODE}})

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
        shutil.rmtree(self._folder, ignore_errors=True)
