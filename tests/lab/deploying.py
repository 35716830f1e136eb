"""The manifests and the chart of deploy/ on a real control plane with a kubelet: rendered by kubectl and helm
themselves, admitted under a restricted policy, and run."""

import json
import pathlib
import subprocess

from .cluster import Cluster
from .kubelet import Image, Kubelet
from .namespace import clean_env
from .pods import Network
from .wait import until

TOP = pathlib.Path(__file__).resolve().parents[2]
DEPLOY = TOP / "deploy"
CHART = DEPLOY / "chart"
CONTROLLERS = ("deployment", "replicaset", "statefulset", "garbagecollector")
SETTLED = 90  # seconds that controllers and some VMs may take on two loaded cores

# This series has no PodSecurity admission; its predecessor can say what the "restricted" standard says. What a
# pod does not ask for itself this would fill in, so that tests compare what came in with what was admitted.
POLICY = {"apiVersion": "policy/v1beta1", "kind": "PodSecurityPolicy", "metadata": {
    "name": "restricted", "annotations": {
        "seccomp.security.alpha.kubernetes.io/allowedProfileNames": "runtime/default"}},
    "spec": {"privileged": False, "allowPrivilegeEscalation": False, "requiredDropCapabilities": ["ALL"],
             "volumes": ["configMap", "csi", "downwardAPI", "emptyDir", "projected", "secret"],
             "readOnlyRootFilesystem": True, "runAsUser": {"rule": "MustRunAsNonRoot"},
             "seLinux": {"rule": "RunAsAny"}, "supplementalGroups": {"rule": "RunAsAny"},
             "fsGroup": {"rule": "RunAsAny"}}}


class CommandError(RuntimeError):
    """kubectl or helm did not do it."""


class Deploying:
    """`clients` is the folder with kubectl and helm, `images` what pods may run."""

    def __init__(self, bin_dir, clients, images, folder):
        self.clients, self.folder = pathlib.Path(clients), pathlib.Path(folder)
        self._images, self._bin_dir = images, bin_dir
        self.network = self.cluster = self.kubelet = None

    def __enter__(self):
        self.network = Network().__enter__()
        try:
            # Of its own, so that its thread shares nothing with the tests'.
            self.cluster = Cluster(self.network.host.ip, self.network.host.netns, self._bin_dir, CONTROLLERS,
                                   ("PodSecurityPolicy",)).start()
            self.cluster.call("POST", "/apis/policy/v1beta1/podsecuritypolicies", POLICY)
            self.config = self.cluster.kubeconfig(str(self.folder / "config"))
            self.kubelet = Kubelet(self.cluster, self.network, self._images)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exception):
        for part in (self.kubelet and self.kubelet.close, self.cluster and self.cluster.stop, self.network.close):
            if part:
                part()

    def env(self):
        """For whatever is to use this cluster."""
        return clean_env({"HOME": self.folder, "KUBECONFIG": self.config, "LANG": "C.UTF-8"})

    def run(self, program, *words, text=None, check=True, timeout=SETTLED):
        """kubectl or helm, on the host that has the API server; gives what it prints."""
        done = subprocess.run([*self.network.host.enter_command(), "--", self.clients / program, *words],
                              input=text, capture_output=True, text=True, env=self.env(), timeout=timeout, check=False)
        if check and done.returncode != 0:
            raise CommandError(f"{program} {' '.join(map(str, words))}: {done.stdout}{done.stderr}")
        return done.stdout if check else done

    def kubectl(self, *words, **kwargs):
        return self.run("kubectl", *words, **kwargs)

    def kustomize(self, overlay):
        return self.kubectl("kustomize", overlay)

    def chart(self, namespace, *words):
        return self.run("helm", "template", "sample", CHART, "--namespace", namespace, "--kube-version", "1.20", *words)

    def dry_run(self, namespace, manifests):
        """The objects as the server would keep them, by kind."""
        answer = self.kubectl("apply", "--namespace", namespace, "--dry-run=server", "--validate=strict",
                              "-o", "json", "-f", "-", text=manifests)
        items = json.loads(answer)
        return {item["kind"]: item for item in items.get("items", [items])}

    def create_cookie(self, namespace):
        self.kubectl("--namespace", namespace, "create", "secret", "generic", "sample", "--from-literal=cookie=lab")

    def wait_ready(self, namespace, workload):
        try:
            self.kubectl("--namespace", namespace, "rollout", "status", workload, f"--timeout={SETTLED}s",
                         timeout=SETTLED + 30)
        except CommandError as error:
            raise CommandError(f"{error}\n{self.kubectl('--namespace', namespace, 'get', 'all', '-o', 'wide')}\n"
                               f"{self.kubelet.logs(namespace)}") from None
        return self.kubelet.runs(namespace)

    def wait_well(self, namespace, pod, container, epmd):
        """Until this pod's epmd has nothing to complain of; what it says then."""
        seen = {}

        def well():
            seen["done"] = self.kubelet.exec(namespace, pod, container, [*epmd, "-doctor"])
            return seen["done"].returncode == 0 and "wait: " not in seen["done"].stdout
        self._until(well, seen, namespace)
        return seen["done"].stdout

    def wait_said(self, namespace, pod, container, epmd, word):
        seen = {}

        def said():
            seen["done"] = self.kubelet.exec(namespace, pod, container, [*epmd, "-doctor"])
            return word in seen["done"].stdout
        self._until(said, seen, namespace)
        return seen["done"].stdout

    def _until(self, predicate, seen, namespace):
        try:
            until(predicate, SETTLED, "the doctor", every=0.5)
        except TimeoutError as error:
            done = seen["done"]
            raise TimeoutError(f"{error}: {done.stdout}{done.stderr}\n{self.kubelet.logs(namespace)}") from None

    def create_namespace(self, name):
        self.cluster.create_namespace(name)
        return name

    def delete_namespace(self, name):
        """Without waiting for the end of it: pods are what costs, and they go first."""
        self.kubectl("delete", "namespace", name, "--wait=false")
        until(lambda: not self.kubelet.runs(name), SETTLED, f"no more pods in {name}")


def images_of(release, stock_release, binary):
    """By the names that the manifests have."""
    start = ["/app/bin/sample", "start"]
    return {"sample:latest": Image({"/app": release}, start), "sample:stock": Image({"/app": stock_release}, start),
            "kepmd:latest": Image({"/epmd": binary}, ["/epmd"]), "kepmd-copy:latest": Image({"/epmd": binary}, [])}


__all__ = ["Deploying", "CommandError", "images_of", "DEPLOY", "CHART", "TOP"]
