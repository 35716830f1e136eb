"""The volumes of a pod, for the lab's kubelet: emptyDir, Secret, ConfigMap, and ConfigMaps projected into one."""

import base64
import os

from .cluster import CORE


class NotYet(Exception):
    """A container cannot start so far: the reason, as kubectl shows it, and the message."""


class Stored:
    """What Secrets and ConfigMaps of a namespace hold, as bytes."""

    def __init__(self, cluster, namespace):
        self._cluster, self._namespace = cluster, namespace

    def get(self, kind, name):
        reply = self._cluster.request("GET", f"{CORE}/namespaces/{self._namespace}/{kind}s/{name}")
        if reply.status != 200:
            raise NotYet("CreateContainerConfigError", f'{kind} "{name}" not found')
        if kind == "secret":
            return decoded(reply.body["data"])
        return {**decoded(reply.body.get("binaryData", {})),
                **{key: text.encode() for key, text in reply.body.get("data", {}).items()}}


def decoded(data):
    return {key: base64.b64decode(value) for key, value in data.items()}


def sources_of(volume):
    """(kind, name of the object, items, mode of the files) of each object that is in it."""
    mode = (volume.get("secret") or volume.get("configMap") or volume.get("projected") or {}).get("defaultMode")
    for part in volume.get("projected", {}).get("sources", [volume]):
        if "secret" in part:
            named = part["secret"]
            yield "secret", named.get("secretName") or named["name"], named.get("items"), mode
        elif "configMap" in part:
            yield "configmap", part["configMap"]["name"], part["configMap"].get("items"), mode
        else:
            assert "emptyDir" in part, volume


def make_volumes(spec, folder, stored):
    """{name: folder}, as the pod's fsGroup may use them."""
    group, made = spec["securityContext"].get("fsGroup", 0), {}
    for volume in spec.get("volumes", []):
        made[volume["name"]] = place = os.path.join(folder, volume["name"])
        os.makedirs(place, exist_ok=True)
        if "emptyDir" in volume:
            os.chown(place, 0, group)
            os.chmod(place, 0o2777)
        for kind, name, items, mode in sources_of(volume):
            held = stored.get(kind, name)
            for item in items or [{"key": key, "path": key} for key in held]:
                path = os.path.join(place, item["path"])
                with open(path, "wb") as file:
                    file.write(held[item["key"]])
                os.chown(path, 0, group)
                os.chmod(path, mode)
    return made
