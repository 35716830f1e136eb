"""The files that tell a pod where the API is and who it is."""

import json
import os
import secrets
import shutil

FILES = ("token", "ca.crt", "namespace")


def write_mount(path, token, ca, namespace):
    """Write the three files the way a kubelet does: into a fresh folder, to which the link
    `..data` is then moved in one step. Call it again to rotate."""
    os.makedirs(path, exist_ok=True)
    fresh = f"..{secrets.token_hex(6)}"
    os.mkdir(os.path.join(path, fresh))
    for name, text in zip(FILES, (token, ca, namespace)):
        if text is not None:
            with open(os.path.join(path, fresh, name), "w", encoding="utf-8") as file:
                file.write(text)
    data = os.path.join(path, "..data")
    old = os.readlink(data) if os.path.islink(data) else None
    replace_link(fresh, data)
    for name in FILES:
        replace_link(f"..data/{name}", os.path.join(path, name))
    if old:
        shutil.rmtree(os.path.join(path, old))
    return path


def replace_link(target, path):
    new = f"{path}.new"
    os.symlink(target, new)
    os.rename(new, path)


def write_kubeconfig(path, server, ca=None, user=None, namespace="default"):
    """A kubeconfig with one context; JSON is YAML as well."""
    cluster = {"server": server, **({"certificate-authority": ca} if ca else {})}
    config = {"apiVersion": "v1", "kind": "Config", "current-context": "lab",
              "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": "lab", "namespace": namespace}}],
              "clusters": [{"name": "lab", "cluster": cluster}],
              "users": [{"name": "lab", "user": user or {}}]}
    with open(path, "w", encoding="utf-8") as file:
        json.dump(config, file, indent=2)
    return path
