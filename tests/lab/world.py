"""A namespace of a real cluster with the Service "sample", and the pods of one test."""

from .beam import Beam
from .sidecar import ACCOUNT, PORT, discovering

APP = {"app": "sample"}


class World:
    def __init__(self, cluster, network, name, folder, stack):
        self.cluster, self.network, self.name = cluster, network, name
        self.folder, self.stack = folder, stack
        cluster.create_namespace(name)
        cluster.create_service_account("sample", name)
        cluster.create_service("sample", APP, labels=APP, ports=[("epmd", PORT)], namespace=name)

    def allow(self, rules=None):
        rules = {"rules": rules} if rules else {}
        self.cluster.create_role("discovery", namespace=self.name, **rules)
        self.cluster.bind_role("discovery", "discovery", "sample", self.name)

    def pod(self, name, **known):
        """A network namespace with a service account, and the Pod object for it."""
        folder = self.folder / name
        self.cluster.service_account_dir("sample", str(folder), self.name)
        pod = self.network.pod(f"{self.name[-20:]}-{name}", files={ACCOUNT: str(folder)})
        pod.object = name
        self.stack.callback(self.network.remove, pod)
        self.cluster.create_pod(name, pod.ip, APP, namespace=self.name, **known)
        return pod

    def env(self):
        return {"KUBERNETES_SERVICE_HOST": self.cluster.address,
                "KUBERNETES_SERVICE_PORT": str(self.cluster.port)}

    def epmd(self, binary, pod, **env):
        return self.stack.enter_context(discovering(binary, pod, self, env=env))

    def beam(self, pod, **more):
        return self.stack.enter_context(Beam(pod, start_epmd=False, **more)).wait_started()

    def delete(self, pod):
        self.cluster.delete_pod(pod.object, self.name)
