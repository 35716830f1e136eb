"""Services: the slices and Endpoints that controllers would write for a set of pods."""

import itertools
import uuid

from .store import ENDPOINTS, ENDPOINTSLICES

SLICE_LIMIT, ENDPOINTS_LIMIT = 100, 1000
OVER_CAPACITY = {"endpoints.kubernetes.io/over-capacity": "truncated"}
EPMD_PORTS = ({"name": "epmd", "port": 4369, "protocol": "TCP"},)


def address_type(address):
    return "IPv6" if ":" in address else "IPv4"


def as_endpoint(endpoint):
    """API form of an endpoint; a bare address stands for a ready one."""
    if not isinstance(endpoint, str):
        return endpoint
    return {"addresses": [endpoint], "conditions": {"ready": True, "serving": True, "terminating": False}}


def new_pod(address, service, namespace, **known):
    """What is known of one pod; the keywords override (name, uid, hostname, ready, ...)."""
    name = f"{service}-{address.replace('.', '-').replace(':', '-')}"
    return {"ip": address, "name": name, "uid": str(uuid.uuid4()), "namespace": namespace,
            "hostname": None, "node": "node-1", "ready": True, "serving": True, "terminating": False, **known}


def pod_reference(pod):
    return {"kind": "Pod", "namespace": pod["namespace"], "name": pod["name"], "uid": pod["uid"]}


def slice_endpoint(pod):
    endpoint = {"addresses": [pod["ip"]],
                "conditions": {key: pod[key] for key in ("ready", "serving", "terminating")},
                "targetRef": pod_reference(pod), "nodeName": pod["node"]}
    if pod["hostname"]:
        endpoint["hostname"] = pod["hostname"]
    return endpoint


def endpoints_address(pod):
    address = {"ip": pod["ip"], "nodeName": pod["node"], "targetRef": pod_reference(pod)}
    if pod["hostname"]:
        address["hostname"] = pod["hostname"]
    return address


class Service:
    """One Service: its pods, in slices that keep their names while pods come and go."""

    def __init__(self, store, name, namespace, labels, ports):
        self.store, self.name, self.namespace = store, name, namespace
        self.labels, self.ports = dict(labels), list(ports)
        self.slices = {}
        self._numbers = itertools.count(1)

    def pods(self):
        return [pod for pods in self.slices.values() for pod in pods]

    def find(self, address):
        for name, pods in self.slices.items():
            for pod in pods:
                if pod["ip"] == address:
                    return name, pod
        raise KeyError(f"{self.name} has no pod {address}")

    def add(self, pod):
        """Put a pod in the first slice of its family that has room; the slice's name."""
        kind = address_type(pod["ip"])
        for name, pods in self.slices.items():
            if len(pods) < SLICE_LIMIT and (not pods or address_type(pods[0]["ip"]) == kind):
                pods.append(pod)
                return name
        name = f"{self.name}-{uuid.uuid5(uuid.NAMESPACE_DNS, self.name).hex[:4]}{next(self._numbers)}"
        self.slices[name] = [pod]
        return name

    def remove(self, address):
        name, pod = self.find(address)
        self.slices[name].remove(pod)
        return name

    def publish(self, names):
        """Write the slices named, and the Endpoints."""
        for name in names:
            self._publish_slice(name)
        self._publish_endpoints()

    def _publish_slice(self, name):
        """The last slice stays when it is empty: controllers keep a placeholder."""
        pods = self.slices[name]
        if not pods and len(self.slices) > 1:
            del self.slices[name]
            self.store.delete(ENDPOINTSLICES, self.namespace, name)
            return
        body = {"addressType": address_type(pods[0]["ip"]) if pods else "IPv4",
                "endpoints": [slice_endpoint(pod) for pod in pods] or None,
                "ports": self.ports if pods else None}
        managed = {"kubernetes.io/service-name": self.name,
                   "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io"}
        self.store.put(ENDPOINTSLICES, self.namespace, name, body, {**self.labels, **managed})

    def _publish_endpoints(self):
        """Endpoints know no terminating pods, one family, and a thousand addresses at most."""
        pods = [pod for pod in self.pods() if not pod["terminating"]]
        if pods:
            kind = address_type(pods[0]["ip"])
            pods = [pod for pod in pods if address_type(pod["ip"]) == kind]
        shown = pods[:ENDPOINTS_LIMIT]
        subset = {"ports": self.ports}
        for key, ready in (("addresses", True), ("notReadyAddresses", False)):
            addresses = [endpoints_address(pod) for pod in shown if pod["ready"] == ready]
            if addresses:
                subset[key] = addresses
        self.store.put(ENDPOINTS, self.namespace, self.name, {"subsets": [subset] if shown else None},
                       self.labels, OVER_CAPACITY if len(pods) > len(shown) else None)

    def withdraw(self):
        for name in self.slices:
            self.store.delete(ENDPOINTSLICES, self.namespace, name)
        self.store.delete(ENDPOINTS, self.namespace, self.name)


class Services:
    """All Services of a store, by (namespace, name)."""

    def __init__(self, store, namespace):
        self.store, self.namespace = store, namespace
        self._services = {}

    def service(self, name, namespace=None, labels=None, ports=EPMD_PORTS):
        """The Service of that name, made when it is new; its labels default to app=NAME."""
        key = (namespace or self.namespace, name)
        if key not in self._services:
            labels = {"app": name} if labels is None else labels
            self._services[key] = Service(self.store, name, key[0], labels, ports)
        return self._services[key]

    def set_pods(self, service, pods, namespace=None, labels=None, ports=EPMD_PORTS):
        """Make these pods the Service's; each is an address, or a dict with `ip` and more."""
        target = self.service(service, namespace, labels, ports)
        wanted = {pod if isinstance(pod, str) else pod["ip"]: pod for pod in pods}
        present = {pod["ip"] for pod in target.pods()}
        with self.store.changed:
            touched = {target.remove(address) for address in present - wanted.keys()}
            for address, pod in wanted.items():
                if address not in present:
                    known = {} if isinstance(pod, str) else {k: v for k, v in pod.items() if k != "ip"}
                    touched.add(target.add(new_pod(address, service, target.namespace, **known)))
            if not target.slices:
                target.slices[f"{service}-0"] = []
                touched.add(f"{service}-0")
            target.publish(sorted(touched))

    def add_pod(self, service, address, namespace=None, **known):
        target = self.service(service, namespace)
        with self.store.changed:
            target.publish([target.add(new_pod(address, service, target.namespace, **known))])

    def remove_pod(self, service, address, namespace=None):
        target = self.service(service, namespace)
        with self.store.changed:
            target.publish([target.remove(address)])

    def set_conditions(self, service, address, namespace=None, **conditions):
        """Set ready, serving, terminating (those given and not None) of one pod."""
        target = self.service(service, namespace)
        with self.store.changed:
            name, pod = target.find(address)
            pod.update({key: value for key, value in conditions.items() if value is not None})
            target.publish([name])

    def delete_service(self, service, namespace=None):
        with self.store.changed:
            self._services.pop((namespace or self.namespace, service)).withdraw()

    def put_slice(self, name, endpoints, labels=None, ports=EPMD_PORTS, namespace=None, address_type="IPv4"):
        """One slice exactly as given; endpoints are addresses or in API form, or None."""
        body = {"addressType": address_type, "ports": None if ports is None else list(ports),
                "endpoints": None if endpoints is None else [as_endpoint(e) for e in endpoints]}
        return self.store.put(ENDPOINTSLICES, namespace or self.namespace, name, body, labels)

    def delete_slice(self, name, namespace=None):
        self.store.delete(ENDPOINTSLICES, namespace or self.namespace, name)

    def put_endpoints(self, name, subsets, labels=None, namespace=None, annotations=None):
        return self.store.put(ENDPOINTS, namespace or self.namespace, name, {"subsets": subsets},
                              labels, annotations)

    def delete_endpoints(self, name, namespace=None):
        self.store.delete(ENDPOINTS, namespace or self.namespace, name)
