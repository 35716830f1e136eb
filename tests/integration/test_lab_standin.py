"""The lab's stand-in API server, asked by a plain HTTP client."""

import contextlib
import http.client
import json
import socket
import ssl
import subprocess
import sys

import pytest

SLICES = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices"
QUIET = 0.3


class Client:
    """A small API client with a connection of its own."""

    def __init__(self, api, token=None, ca=None):
        self.headers = {"Authorization": f"Bearer {token}"} if token else {}
        if api.authority:
            context = ssl.create_default_context(cafile=ca or api.authority.ca)
            self.connection = http.client.HTTPSConnection(api.address, api.port, timeout=5, context=context)
        else:
            self.connection = http.client.HTTPConnection(api.address, api.port, timeout=5)

    def close(self):
        self.connection.close()

    def get(self, target):
        self.connection.request("GET", target, headers=self.headers)
        return self.connection.getresponse()

    def read(self, target):
        response = self.get(target)
        return response.status, json.loads(response.read())

    def post(self, target, body):
        self.connection.request("POST", target, json.dumps(body), {"Content-Type": "application/json", **self.headers})
        return json.loads(self.connection.getresponse().read())

    def watch(self, version, target=SLICES, more=""):
        separator = "&" if "?" in target else "?"
        return self.get(f"{target}{separator}watch=1&resourceVersion={version}{more}")


def next_event(stream):
    return json.loads(stream.readline())


def addresses(slices):
    return {e["addresses"][0] for item in slices for e in item["endpoints"] or []}


def version_of(listing):
    return listing["metadata"]["resourceVersion"]


@pytest.fixture
def client_of(closing):
    """Makes clients, which are closed before their server is."""
    return lambda *args, **kwargs: closing.enter_context(contextlib.closing(Client(*args, **kwargs)))


@pytest.fixture
def plain(standin):
    return standin(tls=False)


def test_standin_lists_and_watches_over_tls(standin, tmp_path, client_of):
    api = standin(tokens={"secret"})
    api.set_pods("sample", ["10.1.0.2"])
    client = client_of(api, "secret")
    code, listing = client.read(f"{SLICES}?labelSelector=app%3Dsample&resourceVersion=0")
    assert code == 200 and addresses(listing["items"]) == {"10.1.0.2"}
    stream = client.watch(version_of(listing), more="&allowWatchBookmarks=true")
    api.add_pod("sample", "10.1.0.3", ready=False)
    event = next_event(stream)
    assert event["type"] == "MODIFIED" and addresses([event["object"]]) == {"10.1.0.2", "10.1.0.3"}
    api.tell_watches("bookmark")
    assert next_event(stream)["object"]["metadata"]["resourceVersion"] == str(api.store.version)
    api.tell_watches("end")
    assert stream.read() == b""
    assert client_of(api, "wrong").read(SLICES)[0] == 401
    assert api.wait_request(lambda r: r.status == 401).headers["Authorization"] == "Bearer wrong"
    folder = api.service_account_dir(tmp_path / "sa")
    assert client_of(api, "secret", ca=f"{folder}/ca.crt").read("/version")[0] == 200
    api.rotate_ca()
    pytest.raises(ssl.SSLError, client_of(api, "secret", ca=f"{folder}/ca.crt").read, "/version")
    api.service_account_dir(folder)
    assert client_of(api, "secret", ca=f"{folder}/ca.crt").read("/version")[0] == 200
    api.new_certificate(ip_san=False)
    pytest.raises(ssl.SSLError, client_of(api, "secret").read, "/version").match("IP address mismatch")


def test_standin_in_a_namespace(network, standin):
    api = standin(network.host, tls=False)
    pod = network.pod()
    with pod.connect(api.address, api.port) as connection:
        connection.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert connection.makefile("rb").read().endswith(b"\r\n\r\nok")
    api.stop_listening()
    pytest.raises(ConnectionRefusedError, pod.connect, api.address, api.port)
    api.listen_again()
    pod.connect(api.address, api.port).close()


def test_standin_keeps_its_port_while_it_does_not_listen(plain):
    """Nobody else, nor the kernel for an outgoing connection, takes it meanwhile."""
    plain.stop_listening()
    with socket.socket() as other:
        pytest.raises(OSError, other.bind, (plain.address, plain.port)).match("Address already in use")
    plain.listen_again()


def test_standin_pages_and_says_410(plain, client_of):
    plain.set_pods("sample", [f"10.2.{n // 250}.{n % 250 + 1}" for n in range(250)])
    client = client_of(plain)
    code, page = client.read(f"{SLICES}?limit=2")
    assert code == 200 and len(page["items"]) == 2 and page["metadata"]["remainingItemCount"] == 1
    code, rest = client.read(f"{SLICES}?limit=2&continue={page['metadata']['continue']}")
    assert len(addresses(page["items"] + rest["items"])) == 250
    plain.compact()
    assert client.read(f"{SLICES}?limit=2&continue={page['metadata']['continue']}")[0] == 410
    stream = client.watch(version_of(page))
    assert next_event(stream)["object"]["code"] == 410 and stream.read() == b""
    plain.gone_as = "http"
    response = client.watch(version_of(page))
    assert response.status == 410 and json.loads(response.read())["reason"] == "Expired"
    code, body = client.read(f"{SLICES}?resourceVersion=999999")
    assert code == 504 and body["details"]["causes"][0]["reason"] == "ResourceVersionTooLarge"


def test_standin_selects(plain, client_of):
    plain.put_slice("s1", ["10.2.0.1"], {"app": "a", "tier": "x"})
    plain.put_slice("s2", ["10.2.0.2"], {"app": "b"})
    plain.put_slice("s3", None, {"app": "a"}, namespace="other")
    client = client_of(plain)
    names = lambda target: [i["metadata"]["name"] for i in client.read(target)[1]["items"]]
    everywhere = "/apis/discovery.k8s.io/v1beta1/endpointslices"
    assert names(f"{everywhere}?labelSelector=app%20in%20(a,c),tier!=y") == ["s1", "s3"]
    assert names(f"{SLICES}?labelSelector=app") == ["s1", "s2"]
    assert names(f"{SLICES}?fieldSelector=metadata.name%3Ds2") == ["s2"]
    version = version_of(client.read(SLICES)[1])
    stream = client.watch(version, f"{SLICES}?labelSelector=app%3Da")
    plain.put_slice("s1", ["10.2.0.1"], {"app": "gone"})
    plain.put_slice("s2", ["10.2.0.2"], {"app": "a"})
    assert [(e["type"], e["object"]["metadata"]["name"]) for e in (next_event(stream), next_event(stream))] \
        == [("DELETED", "s1"), ("ADDED", "s2")]


def test_standin_rights(plain, client_of):
    client = client_of(plain)
    plain.deny("endpointslices", "watch")
    version = version_of(client.read(SLICES)[1])
    refusal = client.watch(version)
    assert refusal.status == 403
    assert json.loads(refusal.read())["message"] == (
        'endpointslices.discovery.k8s.io is forbidden: User "system:serviceaccount:default:default" cannot watch '
        'resource "endpointslices" in API group "discovery.k8s.io" in the namespace "default"')
    attributes = {"namespace": "default", "verb": "watch", "group": "discovery.k8s.io", "resource": "endpointslices"}
    review = lambda: client.post("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
                                 {"spec": {"resourceAttributes": attributes}})["status"]["allowed"]
    assert review() is False
    plain.allow("endpointslices", "watch")
    assert review() is True


def test_standin_mirrors_endpoints(plain, client_of):
    plain.set_pods("sample", ["10.2.0.1", "10.2.0.2", "10.2.0.3"])
    plain.set_conditions("sample", "10.2.0.2", ready=False)
    plain.set_conditions("sample", "10.2.0.3", ready=False, terminating=True)
    code, listing = client_of(plain).read("/api/v1/namespaces/default/endpoints?labelSelector=app=sample")
    subset = listing["items"][0]["subsets"][0]
    assert [a["ip"] for a in subset["addresses"]] == ["10.2.0.1"]
    assert [a["ip"] for a in subset["notReadyAddresses"]] == ["10.2.0.2"]


def test_standin_list_faults(plain, client_of):
    client = client_of(plain)
    plain.fault("list", status=429, retry_after=3)
    response = client.get(SLICES)
    assert response.status == 429 and response.headers["Retry-After"] == "3" and response.read()
    plain.fault("list", status=404, body="<html>no</html>", path="endpointslices")
    response = client.get(SLICES)
    assert response.status == 404 and response.read() == b"<html>no</html>"
    plain.fault("list", edit=lambda body: {**body, "items": None}, warning="old", split=1)
    response = client.get(SLICES)
    assert response.headers["Warning"] == '299 - "old"' and json.loads(response.read())["items"] is None
    for fault, error in ((dict(cut=True), http.client.IncompleteRead), (dict(reset=True), ConnectionResetError),
                         (dict(raw_http=b"garbage\r\n"), http.client.BadStatusLine)):
        plain.fault("list", **fault)
        with pytest.raises(error):
            client_of(plain).get(SLICES).read()
    stalled = plain.fault("list", stall="before", times=None)
    slow = client_of(plain)
    slow.connection.timeout = QUIET
    pytest.raises(TimeoutError, slow.get, SLICES)
    stalled.clear()
    assert stalled.hits == 1 and client.read(SLICES)[0] == 200


def test_standin_watch_faults(plain, client_of):
    plain.put_slice("s", [])
    version = plain.store.version
    watch = lambda: client_of(plain).watch(version)
    change = lambda times=1: [plain.put_slice("s", ["10.2.0.1"]) for _ in range(times)]
    plain.fault("watch", split=1)
    stream = watch()
    change(3)
    assert [next_event(stream)["type"] for _ in range(3)] == ["MODIFIED"] * 3
    plain.fault("watch", batch=2)
    assert next_event(watch())["type"] == "MODIFIED"
    plain.fault("watch", after=1, error=429, retry_after=7)
    stream = watch()
    assert next_event(stream)["type"] == "MODIFIED"
    assert next_event(stream)["object"]["details"]["retryAfterSeconds"] == 7 and stream.read() == b""
    plain.fault("watch", close=True)
    assert watch().read() == b""
    plain.fault("watch", after=1, cut=True)
    stream = watch()
    assert next_event(stream)
    with pytest.raises(http.client.IncompleteRead):
        stream.read()
    plain.fault("watch", reset=True)
    with pytest.raises(ConnectionResetError):
        watch().read()
    plain.fault("watch", raw=b"\xff\n")
    assert watch().readline() == b"\xff\n"
    stream = client_of(plain).watch(plain.store.version)
    plain.wait(lambda: any(w.since == plain.store.version for w in plain.watches), 2, "the watch")
    plain.drop_connections()
    assert stream.readline() == b""
    plain.wait_watches(0)


def test_standin_orders_to_open_watches(plain, client_of):
    def watch():
        stream = client_of(plain).watch(plain.store.version)
        plain.wait_watches(1)
        return stream

    stream = watch()
    plain.put_slice("s", None)
    plain.tell_watches("event", "NOVELTY", {"a": 1})
    plain.tell_watches("error", 410)
    assert [next_event(stream)["type"] for _ in range(3)] == ["ADDED", "NOVELTY", "ERROR"]
    assert stream.read() == b""
    plain.wait_watches(0)
    for order, error in (("cut", http.client.IncompleteRead), ("reset", ConnectionResetError)):
        stream = watch()
        plain.tell_watches(order)
        with pytest.raises(error):
            stream.read()
        plain.wait_watches(0)
    silent = client_of(plain)
    silent.connection.timeout = QUIET
    stream = silent.watch(plain.store.version)
    plain.tell_watches("stall")
    plain.put_slice("s", ["10.2.0.1"])
    pytest.raises(TimeoutError, stream.readline)


def test_standin_versions_go_backwards_in_silence(plain, client_of):
    plain.put_slice("s", None)
    known = plain.store.version
    plain.rewind(100)
    client = client_of(plain)
    client.connection.timeout = QUIET
    stream = client.watch(known)
    plain.put_slice("s", ["10.2.0.1"])
    pytest.raises(TimeoutError, stream.readline)
    assert client_of(plain).read(f"{SLICES}?resourceVersion={known}")[0] == 504
    assert addresses(client_of(plain).read(SLICES)[1]["items"]) == {"10.2.0.1"}


def test_standin_runs_alone(tmp_path):
    command = [sys.executable, "-m", "lab.standin", "--plain", "--pods", "sample=10.2.0.1"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as program:
        where = json.loads(program.stdout.readline())
        connection = http.client.HTTPConnection(where["KUBERNETES_SERVICE_HOST"], int(where["KUBERNETES_SERVICE_PORT"]))
        program.stdin.write("add sample 10.2.0.2\n")
        program.stdin.flush()
        assert program.stdout.readline() == "ok\n"
        connection.request("GET", SLICES)
        assert addresses(json.loads(connection.getresponse().read())["items"]) == {"10.2.0.1", "10.2.0.2"}
        connection.close()
        program.stdin.close()
        assert program.wait(5) == 0
