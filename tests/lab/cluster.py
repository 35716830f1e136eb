"""A real Kubernetes control plane without nodes: etcd, kube-apiserver, kube-controller-manager.

Pods are objects only. They are bound to a Node object and their status is written by the test, as
a kubelet would; the controllers make Endpoints and EndpointSlices of them. The programs come from
`scripts/kube-build`, which says why when they cannot be had: see `Unavailable`.
"""

import collections
import concurrent.futures
import http.client
import json
import os
import pathlib
import random
import signal
import socket
import ssl
import subprocess
import tempfile
import urllib.parse

from .authority import Authority
from .built import Unavailable, built
from .namespace import clean_env, enter_and_call, family_of
from .service_account import write_kubeconfig, write_mount
from .wait import until

__all__ = ["Cluster", "Unavailable", "LabError", "ApiError", "programs", "SLICE_RULES", "ENDPOINTS_RULES"]

START_TIMEOUT = 90
REQUEST_TIMEOUT = 15
LOG_TAIL_LINES = 25

# Below the range that the kernel gives to outgoing connections, so that nothing takes the API
# server's port while it is stopped.
PORTS = range(20000, 32768)

NODE = "lab-node"
ISSUER = "https://kubernetes.default.svc.cluster.local"
DNS_NAMES = ("localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc")
CONTROLLERS = ("endpoint", "endpointslice", "endpointslicemirroring", "serviceaccount", "namespace",
               "root-ca-cert-publisher")
# Current servers always tell serving and terminating apart; in this series it has to be asked for.
FEATURES = "EndpointSliceTerminatingCondition=true"

CORE = "/api/v1"
RBAC = "/apis/rbac.authorization.k8s.io/v1"
RBAC_GROUP = "rbac.authorization.k8s.io"
SLICES = "/apis/discovery.k8s.io/v1beta1"

SLICE_RULES = ({"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["list", "watch"]},)
ENDPOINTS_RULES = ({"apiGroups": [""], "resources": ["endpoints"], "verbs": ["list", "watch"]},)

# Removes the lab's folder when its standard input ends, which it does when the lab is stopped and
# also when the process that runs it is killed. Servers that die at that moment may still be writing.
SWEEPER = """
trap '' INT TERM HUP
read forever
for attempt in 1 2 3 4 5 6 7 8 9 10; do
    rm -rf "$1" && exit 0
    sleep 0.2
done
exit 1
"""

Reply = collections.namedtuple("Reply", "status body")


class LabError(Exception):
    """A server of the lab does not do its part."""


class ApiError(Exception):
    """The API server answered a request with an error."""

    def __init__(self, method, path, reply):
        message = reply.body.get("message") if isinstance(reply.body, dict) else reply.body
        super().__init__(f"{method} {path}: {reply.status} {message}")
        self.status, self.body = reply.status, reply.body


def programs():
    """The folder with etcd and the Kubernetes programs, built first if need be."""
    return built("kube-build")


def pick_port(address):
    """A port that nothing uses on this address in the calling thread's network namespace."""
    for port in random.sample(PORTS, 100):
        with socket.socket(family_of(address), socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((address, port))
            except OSError:
                continue
            return port
    raise LabError(f"no free port on {address}")


def bracketed(address):
    return f"[{address}]" if ":" in address else address


def parsed(response):
    text = response.read()
    if "json" in response.headers.get("Content-Type", ""):
        return json.loads(text)
    return text.decode(errors="replace")


class Server:
    """A program of the control plane and its log."""

    def __init__(self, name, command, directory):
        self.name = name
        self._log = os.path.join(directory, f"{name}.log")
        # Killed when the thread that started it ends, hence also when the whole process is killed.
        words = ["setpriv", "--pdeathsig", "KILL", "--", *map(str, command)]
        with open(self._log, "ab") as log:
            self.process = subprocess.Popen(words, cwd=directory, env=clean_env(), stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=log, start_new_session=True)

    def running(self):
        return self.process.poll() is None

    def signal(self, number):
        self.process.send_signal(number)

    def kill(self):
        """Without grace: a server that is asked politely first waits for its watches to end."""
        self.process.kill()
        self.process.wait()

    def tail(self):
        with open(self._log, encoding="utf-8", errors="replace") as log:
            lines = collections.deque(log, LOG_TAIL_LINES)
        return f"--- {self.name}, last lines:\n{''.join(lines)}"


class Cluster:
    """An API server with its store and controllers, on ports and in a folder of its own.

    `address` is where the API server listens, `netns` the name of the network namespace that all
    of it lives in (its loopback must be up). Names are looked for in the namespace `default`
    unless a method is told another one.
    """

    def __init__(self, address="127.0.0.1", netns=None, bin_dir=None, controllers=(), admission=()):
        """`controllers` and `admission` plugins come on top of those that every lab has."""
        self.address, self.netns = address, netns
        self._controllers, self._admission = (*CONTROLLERS, *controllers), admission
        self.port = None
        self._bin = pathlib.Path(bin_dir) if bin_dir else None
        self._servers = {}
        self._sweeper = self._inside = self.directory = None

    # --- life ---

    def start(self):
        self._bin = self._bin or programs()
        try:
            self._prepare()
            self._start_etcd()
            self.start_apiserver()
            self._start_controllers()
            self._create_node()
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self):
        """End every server and remove what they left. Harmless when nothing was started."""
        for server in self._servers.values():
            server.kill()
        self._servers = {}
        if self._inside:
            self._inside.shutdown()
            self._inside = None
        if self._sweeper:
            self._sweeper.communicate()
            swept, self._sweeper = self._sweeper.returncode == 0, None
            if not swept:
                raise LabError(f"could not remove {self.directory}")

    def __enter__(self):
        return self.start()

    def __exit__(self, *exception):
        self.stop()

    def stop_apiserver(self):
        """As a crash: connections are reset, the store and the controllers go on."""
        self._servers.pop("kube-apiserver").kill()

    def start_apiserver(self):
        """Start the API server, again on the same port, and wait until it is ready."""
        self._run("kube-apiserver", *self._apiserver_flags())
        self._await("kube-apiserver", self._is_ready, "/readyz to say ok")
        self._await("kube-apiserver", lambda: self._exists(f"{CORE}/namespaces/default"), "the namespace default")

    def freeze(self, name="kube-apiserver"):
        """Stop a server without ending it: its connections stay open and silent."""
        self._servers[name].signal(signal.SIGSTOP)

    def thaw(self, name="kube-apiserver"):
        self._servers[name].signal(signal.SIGCONT)

    def pids(self):
        return [server.process.pid for server in self._servers.values()]

    def _prepare(self):
        self.directory = tempfile.mkdtemp(prefix="kepmd-cluster-")
        self._sweeper = subprocess.Popen(["sh", "-c", SWEEPER, "sh", self.directory], stdin=subprocess.PIPE, cwd="/",
                                         stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                         start_new_session=True)
        # One thread that lives as long as the cluster does: it is in the network namespace, and
        # so is what it starts and opens.
        self._inside = concurrent.futures.ThreadPoolExecutor(max_workers=1)
        if self.netns:
            self._call(enter_and_call, f"/run/netns/{self.netns}", os.getpid, ())
        self.port = self._call(pick_port, self.address)
        self._make_certificates()

    def _make_certificates(self):
        authority = Authority(os.path.join(self.directory, "pki"))
        self.ca_path = authority.ca
        self.ca_pem = pathlib.Path(authority.ca).read_text(encoding="ascii")
        addresses = sorted({"127.0.0.1", "::1", self.address})
        self._server_certificate = authority.server(DNS_NAMES, addresses)
        self._admin_certificate = authority.client("admin/O=system:masters")
        self._token_key = os.path.join(self.directory, "pki", "service-account.key")
        subprocess.run(["openssl", "genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048",
                        "-out", self._token_key], check=True, capture_output=True, timeout=30)
        self._tls = ssl.create_default_context(cafile=authority.ca)
        self.admin_tls = ssl.create_default_context(cafile=authority.ca)
        self.admin_tls.load_cert_chain(*self._admin_certificate)

    def _start_etcd(self):
        self._etcd_port, peer_port = self._call(pick_port, "127.0.0.1"), self._call(pick_port, "127.0.0.1")
        client, peer = f"http://127.0.0.1:{self._etcd_port}", f"http://127.0.0.1:{peer_port}"
        self._run("etcd", "--name=lab", f"--data-dir={self.directory}/etcd",
                  f"--listen-client-urls={client}", f"--advertise-client-urls={client}",
                  f"--listen-peer-urls={peer}", f"--initial-advertise-peer-urls={peer}",
                  f"--initial-cluster=lab={peer}")
        self._await("etcd", self._etcd_is_healthy, "etcd to be healthy")

    def _apiserver_flags(self):
        loopback = self.address in ("127.0.0.1", "::1")
        six = ":" in self.address
        # Nobody dials the advertised address here, but it must not be a loopback one.
        advertised = ("2001:db8::1" if six else "192.0.2.1") if loopback else self.address
        certificate, key = self._server_certificate
        return [f"--etcd-servers=http://127.0.0.1:{self._etcd_port}",
                f"--bind-address={self.address}", f"--secure-port={self.port}",
                f"--advertise-address={advertised}", "--endpoint-reconciler-type=none",
                f"--service-cluster-ip-range={'fd00:ffff::/112' if six else '10.96.0.0/16'}",
                f"--tls-cert-file={certificate}", f"--tls-private-key-file={key}",
                f"--client-ca-file={self.ca_path}", f"--cert-dir={self.directory}/apiserver",
                "--authorization-mode=RBAC",
                f"--service-account-issuer={ISSUER}", f"--api-audiences={ISSUER}",
                f"--service-account-key-file={self._token_key}",
                f"--service-account-signing-key-file={self._token_key}",
                # It would hold pods back until their account has a token Secret, which none needs.
                "--disable-admission-plugins=ServiceAccount",
                *([f"--enable-admission-plugins={','.join(self._admission)}"] if self._admission else []),
                f"--feature-gates={FEATURES}", "--profiling=false"]

    def _start_controllers(self):
        kubeconfig = self.kubeconfig(os.path.join(self.directory, "controllers.kubeconfig"))
        self._run("kube-controller-manager", f"--kubeconfig={kubeconfig}", f"--controllers={','.join(self._controllers)}",
                  "--leader-elect=false", "--port=0", "--secure-port=0", f"--root-ca-file={self.ca_path}",
                  f"--cert-dir={self.directory}/controllers", "--kube-api-qps=1000", "--kube-api-burst=2000",
                  f"--feature-gates={FEATURES}")
        self._await("kube-controller-manager",
                    lambda: self._exists(f"{CORE}/namespaces/default/configmaps/kube-root-ca.crt"),
                    "the controllers to work")

    def _create_node(self):
        self.call("POST", f"{CORE}/nodes", {"metadata": {"name": NODE}})

    def _run(self, name, *flags):
        self._servers[name] = self._call(Server, name, [self._bin / name, *flags], self.directory)

    def _await(self, name, predicate, what):
        server = self._servers[name]

        def ready():
            if not server.running():
                raise LabError(f"{name} ended with {server.process.returncode}\n{server.tail()}")
            return predicate()
        try:
            until(ready, START_TIMEOUT, what, every=0.05)
        except TimeoutError as error:
            raise LabError("\n".join([str(error), *(s.tail() for s in self._servers.values())])) from error

    def _call(self, function, *args):
        """Call function in the thread that is in the cluster's network namespace."""
        return self._inside.submit(function, *args).result()

    # --- requests ---

    @property
    def server_url(self):
        return f"https://{bracketed(self.address)}:{self.port}"

    def request(self, method, path, body=None, token=None, content_type=None, timeout=REQUEST_TIMEOUT):
        """One request, as the administrator or with a token; the Reply has the status and the
        body, parsed where it is JSON. Error statuses are for the caller to judge."""
        tls = self._tls if token else self.admin_tls
        connection = http.client.HTTPSConnection(self.address, self.port, timeout=timeout, context=tls)
        headers = {"Accept": "application/json", "User-Agent": "kepmd-lab"}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        if body is not None:
            patch = "application/merge-patch+json" if method == "PATCH" else "application/json"
            headers["Content-Type"] = content_type or patch
        raw = self._call(socket.create_connection, (self.address, self.port), timeout)
        try:
            connection.sock = tls.wrap_socket(raw, server_hostname=self.address)
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            response = connection.getresponse()
            return Reply(response.status, parsed(response))
        finally:
            connection.close()
            raw.close()

    def call(self, method, path, body=None):
        """A request of the administrator that must succeed; gives the body of the answer."""
        reply = self.request(method, path, body)
        if reply.status >= 400:
            raise ApiError(method, path, reply)
        return reply.body

    def _exists(self, path):
        return self.request("GET", path).status == 200

    def _is_ready(self):
        try:
            return self.request("GET", "/readyz", timeout=2).status == 200
        except (OSError, http.client.HTTPException):
            return False

    def _etcd_is_healthy(self):
        connection = http.client.HTTPConnection("127.0.0.1", self._etcd_port, timeout=2)
        try:
            connection.sock = self._call(socket.create_connection, ("127.0.0.1", self._etcd_port), 2)
            connection.request("GET", "/health")
            return json.loads(connection.getresponse().read()).get("health") == "true"
        except (OSError, ValueError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    # --- objects ---

    def create_namespace(self, name):
        return self.call("POST", f"{CORE}/namespaces", {"metadata": {"name": name}})

    def create_service(self, name, selector, labels=None, ports=(), headless=True, publish_not_ready=True,
                       namespace="default"):
        """`ports` are pairs of a name and a number."""
        spec = {"selector": selector, "publishNotReadyAddresses": publish_not_ready,
                "ports": [{"name": port, "port": number} for port, number in ports]}
        if headless:
            spec["clusterIP"] = "None"
        return self.call("POST", f"{CORE}/namespaces/{namespace}/services",
                         {"metadata": {"name": name, "labels": labels or {}}, "spec": spec})

    def delete_service(self, name, namespace="default"):
        return self.call("DELETE", f"{CORE}/namespaces/{namespace}/services/{name}")

    def create_pod(self, name, ip, labels, ready=True, hostname=None, subdomain=None, namespace="default"):
        """A pod that runs as far as the API can tell."""
        spec = {"nodeName": NODE, "containers": [{"name": "main", "image": "none"}], "hostname": hostname,
                "subdomain": subdomain}
        self.call("POST", f"{CORE}/namespaces/{namespace}/pods",
                  {"metadata": {"name": name, "labels": labels}, "spec": spec})
        return self._set_status(name, namespace, {"phase": "Running", "podIP": ip, "podIPs": [{"ip": ip}],
                                                  "conditions": readiness(ready)})

    def set_ready(self, name, ready, namespace="default"):
        return self._set_status(name, namespace, {"conditions": readiness(ready)})

    def _set_status(self, name, namespace, status):
        return self.call("PATCH", f"{CORE}/namespaces/{namespace}/pods/{name}/status", {"status": status})

    def delete_pod(self, name, namespace="default", grace=0):
        """With grace the pod stays, terminating: there is no kubelet that would finish it. Call
        it again without to let it go."""
        return self.call("DELETE", f"{CORE}/namespaces/{namespace}/pods/{name}", {"gracePeriodSeconds": grace})

    def endpoint_addresses(self, service, namespace="default"):
        """All addresses in the Service's Endpoints, ready or not; none if there is no such object."""
        reply = self.request("GET", f"{CORE}/namespaces/{namespace}/endpoints/{service}")
        if reply.status == 404:
            return set()
        subsets = reply.body.get("subsets") or []
        return {address["ip"] for subset in subsets for kind in ("addresses", "notReadyAddresses")
                for address in subset.get(kind) or []}

    def list_slices(self, label_selector="", namespace="default", token=None):
        """The Reply to a LIST of EndpointSlices."""
        query = f"?labelSelector={urllib.parse.quote(label_selector)}" if label_selector else ""
        return self.request("GET", f"{SLICES}/namespaces/{namespace}/endpointslices{query}", token=token)

    # --- identities ---

    def create_service_account(self, name, namespace="default"):
        return self.call("POST", f"{CORE}/namespaces/{namespace}/serviceaccounts", {"metadata": {"name": name}})

    def token(self, service_account, namespace="default", seconds=3600):
        path = f"{CORE}/namespaces/{namespace}/serviceaccounts/{service_account}/token"
        return self.call("POST", path, {"spec": {"expirationSeconds": seconds}})["status"]["token"]

    def create_role(self, name, rules=SLICE_RULES, namespace="default"):
        return self.call("POST", f"{RBAC}/namespaces/{namespace}/roles",
                         {"metadata": {"name": name}, "rules": list(rules)})

    def delete_role(self, name, namespace="default"):
        return self.call("DELETE", f"{RBAC}/namespaces/{namespace}/roles/{name}")

    def bind_role(self, name, role, service_account, namespace="default", account_namespace=None):
        """Make the RoleBinding `name`. The server takes it into account a moment later."""
        subject = {"kind": "ServiceAccount", "name": service_account, "namespace": account_namespace or namespace}
        return self.call("POST", f"{RBAC}/namespaces/{namespace}/rolebindings",
                         {"metadata": {"name": name}, "subjects": [subject],
                          "roleRef": {"apiGroup": RBAC_GROUP, "kind": "Role", "name": role}})

    def delete_role_binding(self, name, namespace="default"):
        return self.call("DELETE", f"{RBAC}/namespaces/{namespace}/rolebindings/{name}")

    def service_account_dir(self, service_account, path, namespace="default"):
        """Write what a pod of this account finds mounted; call it again to rotate the token."""
        return write_mount(path, self.token(service_account, namespace), self.ca_pem, namespace)

    def kubeconfig(self, path, user="admin", namespace="default"):
        """A kubeconfig of the administrator (client certificate) or of a service account (token).
        It points at files of the lab and is good while the cluster runs."""
        if user == "admin":
            certificate, key = self._admin_certificate
            credentials = {"client-certificate": certificate, "client-key": key}
        else:
            credentials = {"token": self.token(user, namespace)}
        return write_kubeconfig(path, self.server_url, self.ca_path, credentials, namespace)


def readiness(ready):
    status = "True" if ready else "False"
    return [{"type": kind, "status": status} for kind in ("Ready", "ContainersReady")]
