"""A pod whose programs run as Kubernetes' "restricted" Pod Security profile wants it: containers of
runc, not root, without any capability, on a read-only root, no new privileges, behind the seccomp
filter that container engines call their default (RuntimeDefault)."""

import json
import os
import platform
import shutil
import subprocess
import tempfile

from .namespace import clean_env

PROFILE = "/usr/share/containers/seccomp.json"  # Debian: golang-github-containers-common
USER = 65532
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def unavailable():
    """Why there can be no such containers here, or None."""
    for path in ("/usr/sbin/runc", PROFILE):
        if not os.path.exists(path):
            return f"no {path} (scripts/setup test)"
    with tempfile.TemporaryDirectory(prefix="kepmd-runc-") as folder:
        done = Container(folder, "kepmd-probe-" + os.path.basename(folder), ["/usr/bin/true"], {}, {}).run()
    return None if done.returncode == 0 else f"runc does not run here: {done.stderr.strip()}"


def engine_filter():
    """The engines' default, in the form that the runtime takes, for a process without capabilities."""
    with open(PROFILE) as file:
        profile = json.load(file)
    here = ARCHITECTURES[platform.machine()]

    def applies(rule):
        includes = rule.get("includes") or {}
        return not includes.get("caps") and here in includes.get("arches", [here])

    def plain(arg):
        return {key: arg[key] for key in ("index", "value", "valueTwo", "op") if key in arg}

    return {"defaultAction": profile["defaultAction"], "defaultErrnoRet": profile["defaultErrnoRet"],
            "architectures": [f"SCMP_ARCH_{platform.machine().upper()}"],
            "syscalls": [{"names": rule["names"], "action": rule["action"],
                          **({"args": [plain(arg) for arg in rule["args"]]} if rule.get("args") else {}),
                          **({"errnoRet": rule["errnoRet"]} if rule.get("errnoRet") else {})}
                         for rule in profile["syscalls"] if applies(rule)]}


class Container:
    """A bundle in `folder`: `files` ({target: source}) and the machine's programs, all read-only."""

    def __init__(self, folder, name, args, env, files, netns=None):
        self.folder, self.name, self.state = str(folder), name, os.path.join(folder, "state")
        root = os.path.join(folder, "rootfs")
        os.makedirs(root)
        for link in ("bin", "lib", "lib64", "sbin"):
            os.symlink(f"usr/{link}", os.path.join(root, link))
        for target in {**files, "/usr": "", "/etc": "", "/proc": "", "/dev": ""}:
            path = root + target
            if os.path.isfile(files.get(target, "")):
                os.makedirs(os.path.dirname(path), exist_ok=True)
                open(path, "w").close()
            else:
                os.makedirs(path, exist_ok=True)
        with open(os.path.join(folder, "config.json"), "w") as file:
            json.dump(self._config(args, env, {"/usr": "/usr", "/etc": "/etc", **files}, netns), file)

    @staticmethod
    def _config(args, env, files, netns):
        network = {"type": "network", **({"path": netns} if netns else {})}
        return {
            "ociVersion": "1.0.2",
            "process": {
                "user": {"uid": USER, "gid": USER}, "args": [str(word) for word in args], "cwd": "/",
                "env": [f"{key}={value}" for key, value in env.items()], "noNewPrivileges": True,
                "capabilities": {kind: [] for kind in ("bounding", "effective", "permitted", "inheritable", "ambient")}},
            "root": {"path": "rootfs", "readonly": True},
            "mounts": [{"destination": "/proc", "type": "proc", "source": "proc"},
                       {"destination": "/dev", "type": "tmpfs", "source": "tmpfs",
                        "options": ["nosuid", "strictatime", "mode=755"]},
                       *({"destination": target, "type": "bind", "source": str(source), "options": ["rbind", "ro"]}
                         for target, source in files.items())],
            "linux": {"namespaces": [network, *({"type": kind} for kind in ("pid", "ipc", "uts", "mount"))],
                      "seccomp": engine_filter()}}

    def command(self):
        return ["runc", "--root", self.state, "run", "--bundle", self.folder, self.name]

    def run(self):
        return subprocess.run(self.command(), capture_output=True, text=True, timeout=30,
                              stdin=subprocess.DEVNULL, env=clean_env())

    def close(self):
        subprocess.run(["runc", "--root", self.state, "delete", "--force", self.name],
                       capture_output=True, timeout=30)


class Running(subprocess.Popen):
    """runc in the foreground; what is killed is the container, and runc ends with it."""

    def __init__(self, container, **kwargs):
        super().__init__(container.command(), **kwargs)
        self.container = container

    def kill(self):
        self.container.close()
        super().kill()


class RestrictedPod:
    """A pod of `lab.pods` for lab.beam.Beam: what it starts is PID 1 of a container."""

    def __init__(self, pod, files):
        self.pod, self.files, self.containers = pod, dict(files), []

    @property
    def ip(self):
        return self.pod.ip

    def popen(self, args, env=None, **kwargs):
        folder = tempfile.mkdtemp(prefix="kepmd-runc-")
        home = env["HOME"]
        os.chmod(home, 0o755)
        os.chmod(env["LAB_SOCKET"], 0o777)
        env = {"PATH": "/usr/bin:/bin", **env}
        container = Container(folder, os.path.basename(folder), args, env, {**self.files, home: home},
                              self.pod.path())
        self.containers.append(container)
        return Running(container, env=clean_env(), **kwargs)

    def close(self):
        for container in self.containers:
            container.close()
            shutil.rmtree(container.folder, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()
