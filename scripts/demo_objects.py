"""What scripts/demo --kubernetes puts into the cluster: the manifests of deploy/, with an image that has an
Erlang, and epmd brought there in ConfigMaps, which needs no registry."""

import base64
import gzip
import secrets
import struct
from pathlib import Path

from demo_kubectl import Failure, objects_in

NAME = "kepmd-demo"
RUN_LABEL = "kepmd-demo/run"
PODS = 3
MANIFESTS = ("base/service.yaml", "base/rbac.yaml", "deployment/deployment.yaml")
PART = 1000 * 1024  # a ConfigMap holds 1 MiB
MACHINES = {62: "amd64", 183: "arm64", 40: "arm", 22: "s390x", 21: "ppc64le", 243: "riscv64"}  # of ELF, as Kubernetes says

UNPACK = """cat /parts/* | gzip -dc >/kepmd/epmd && chmod 755 /kepmd/epmd && /kepmd/epmd -version"""

# As PID 1 a node; the epmd that it finds running is ours.
RUN = """/kepmd/epmd -daemon || exit
case $POD_IP in *:*) set -- -proto_dist inet6_tcp ;; esac
exec erl -noinput "$@" -name "$RELEASE_NODE" -setcookie "$RELEASE_COOKIE" -eval "$DEMO_WATCH"
"""

# Shows its list when that changes; what the doctor says when it is full, and now and then while it is not.
WATCH = """
Wanted = list_to_integer(os:getenv("DEMO_PEERS")),
Watch = fun Watch(Shown, Full, Lacking) ->
    Nodes = lists:sort(nodes()),
    Nodes =:= Shown orelse io:format("Node.list() -> ~w~n", [Nodes]),
    (Full =:= 4 orelse Lacking rem 40 =:= 39) andalso
        io:format("epmd -doctor~n~ts~n", [os:cmd("/kepmd/epmd -doctor")]),
    timer:sleep(500),
    case length(Nodes) >= Wanted of
        true -> Watch(Nodes, Full + 1, 0);
        false -> Watch(Nodes, 0, Lacking + 1)
    end
end,
spawn(fun() -> Watch(none, 0, 0) end).
"""


def machine_of(path):
    """The architecture that a program is for, as Kubernetes calls it."""
    try:
        head = Path(path).read_bytes()[:20]
    except OSError as error:
        raise Failure(f"--epmd {path}: {error.strerror}") from None
    if len(head) < 20 or head[:4] != b"\x7fELF":
        raise Failure(f"--epmd {path}: is no program for Linux")
    number, = struct.unpack(">H" if head[5] == 2 else "<H", head[18:20])
    return MACHINES.get(number, f"ELF machine {number}")


def program_parts(path):
    """ConfigMaps with the program, and the volume that puts them into one folder."""
    packed = gzip.compress(Path(path).read_bytes(), mtime=0)
    pieces = [packed[at:at + PART] for at in range(0, len(packed), PART)]
    maps = [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": f"{NAME}-epmd-{number}"},
             "binaryData": {"part": base64.b64encode(piece).decode()}} for number, piece in enumerate(pieces)]
    sources = [{"configMap": {"name": part["metadata"]["name"], "items": [{"key": "part", "path": f"{number:02}"}]}}
               for number, part in enumerate(maps)]
    return maps, {"name": "parts", "projected": {"sources": sources}}, len(packed)


def amend(deployment, image, machine, parts):
    """Of deploy/deployment, one whose image has an Erlang, and no epmd of ours."""
    spec = deployment["spec"]["template"]["spec"]
    container = spec["containers"][0]
    restricted = container["securityContext"]
    deployment["spec"]["replicas"] = PODS
    spec["nodeSelector"] = {"kubernetes.io/arch": machine}
    spec["terminationGracePeriodSeconds"] = 5
    spec["volumes"] += [parts, {"name": "kepmd", "emptyDir": {"sizeLimit": "64Mi"}}]
    spec["initContainers"] = [{
        "name": "unpack", "image": image, "imagePullPolicy": "IfNotPresent", "command": ["/bin/sh", "-c", UNPACK],
        "terminationMessagePolicy": "FallbackToLogsOnError", "securityContext": restricted,
        "resources": {"requests": {"cpu": "10m", "memory": "32Mi"}, "limits": {"memory": "128Mi"}},
        "volumeMounts": [{"name": "parts", "mountPath": "/parts", "readOnly": True},
                         {"name": "kepmd", "mountPath": "/kepmd"}]}]
    container.update(image=image, command=["/bin/sh", "-c", RUN, "sh"], terminationMessagePolicy="FallbackToLogsOnError")
    container["volumeMounts"].append({"name": "kepmd", "mountPath": "/kepmd", "readOnly": True})
    container["env"] += [{"name": "DEMO_PEERS", "value": str(PODS - 1)}, {"name": "DEMO_WATCH", "value": WATCH}]


def labelled(objects, run):
    """All of them found by one label: what is taken away is what was made."""
    for item in objects:
        item["metadata"].setdefault("labels", {})[RUN_LABEL] = run
    return objects


def objects_of(kubectl, deploy, image, machine, parts):
    """In the order in which they are to be made."""
    text = "\n---\n".join((Path(deploy) / name).read_text() for name in MANIFESTS).replace("sample", NAME)
    read = objects_in(kubectl.run("create", "--dry-run=client", "-o", "json", "-f", "-", text=text))
    amend(next(item for item in read if item["kind"] == "Deployment"), image, machine, parts)
    cookie = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": NAME},
              "stringData": {"cookie": secrets.token_hex(16)}}
    return [cookie, *read]
