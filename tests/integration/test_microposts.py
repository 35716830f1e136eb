"""examples/microposts in a real browser: what is posted in one pod shows in the pages of the others, and
stays when pods go. Its own manifests are applied to the real API server."""

import os
import pathlib
import re
import shutil
import signal
import subprocess
import urllib.request

import pytest

from lab import microposts
from lab.browser import Browser, Unavailable
from lab.microposts import Microposts, Reader
from lab.sidecar import ACCOUNT
from lab.wait import until

CHECKOUT = pathlib.Path(__file__).resolve().parents[2]
SETTLED = 40  # seconds that controllers, three VMs and a browser may take on two cores
WITHIN = 1  # second, from a click to the other page


@pytest.fixture(scope="module")
def release(epmd_binary, tmp_path_factory):
    if os.environ.get("KEPMD_NO_MICROPOSTS"):
        pytest.skip("KEPMD_NO_MICROPOSTS is set: without the example in a browser")
    if not shutil.which("mix"):
        pytest.skip("not installed: mix")
    return microposts.build(tmp_path_factory.mktemp("microposts"), epmd_binary)


@pytest.fixture
def browser(world, closing):
    try:
        return closing.enter_context(Browser(world.network.host))
    except Unavailable as reason:
        pytest.skip(str(reason))


class Deployment:
    """The example's manifests, and the pods that its Deployment would start."""

    def __init__(self, world, bin_dir, release):
        self.world, self.release = world, release
        config = world.cluster.kubeconfig(str(world.folder / "config"), "admin", world.name)
        world.network.host.run([f"{bin_dir}/kubectl", "--kubeconfig", config, "apply", "-f",
                                microposts.EXAMPLE / "k8s.yaml"], env={"HOME": world.folder}, check=True)
        path = f"/apis/apps/v1/namespaces/{world.name}/deployments/{microposts.APP}"
        [container] = world.cluster.call("GET", path)["spec"]["template"]["spec"]["containers"]
        env = {variable["name"]: variable.get("value") for variable in container["env"]}
        assert env == {"POD_IP": None, **microposts.SETTINGS}

    def start(self, name):
        world, folder = self.world, self.world.folder / name
        world.cluster.service_account_dir(microposts.APP, str(folder), world.name)
        pod = world.network.pod(f"{microposts.APP}-{name}", files={ACCOUNT: str(folder)})
        world.stack.callback(world.network.remove, pod)
        world.cluster.create_pod(name, pod.ip, {"app": microposts.APP}, namespace=world.name)
        return world.stack.enter_context(Microposts(self.release, pod, world.env()))


@pytest.fixture
def start(world, bin_dir, release):
    """Starts pods at the same moment, and waits until they serve."""
    deployment = Deployment(world, bin_dir, release)

    def started(*names):
        pods = [deployment.start(name) for name in names]
        return [pod.wait_started(SETTLED) for pod in pods]
    return started


def soon(act, seen, what):
    """`act` gives the moment of a click, `seen` that of its effect elsewhere. One of a few tries has to be
    quick: a busy machine is no fault of what is tested."""
    times = []
    for attempt in range(5):
        clicked = act(attempt)
        times.append(until(lambda attempt=attempt: seen(attempt), SETTLED, what) - clicked)
        if times[-1] < WITHIN:
            break
    print(f"\n{what}: {times[-1]:.3f} s after the click", end="")
    assert times[-1] < WITHIN, times


def test_what_is_posted_in_one_pod_shows_in_all_and_stays(start, browser):
    a, b = start("a", "b")
    here, there = Reader(browser, a), Reader(browser, b)
    here.wait_nodes([b], SETTLED)
    there.wait_nodes([a], SETTLED)
    assert a.rpc("IO.inspect(Node.list)") == f'[:"{b.name}"]'

    soon(lambda n: here.post(f"first {n}"), lambda n: there.came(f"first {n}"), "a post in the other page")
    first = there.shown()[0]
    soon(lambda n: there.edit(first if n == 0 else f"changed {n - 1}", f"changed {n}"),
         lambda n: here.came(f"changed {n}"), "an edit in the other page")
    changed = here.shown()[0]
    there.post("stays")
    until(lambda: here.came("stays"), SETTLED, "one more post")

    def delete(attempt):
        if attempt:
            here.post(f"again {attempt}")
            until(lambda: there.came(f"again {attempt}"), SETTLED, "another post to delete")
        return there.delete(changed if attempt == 0 else f"again {attempt}")
    soon(delete, lambda n: here.went(changed if n == 0 else f"again {n}"), "a deletion in the other page")
    kept = here.shown()
    assert "stays" in kept
    there.wait_shown(kept)

    [c] = start("c")
    late = Reader(browser, c)
    late.wait_nodes([a, b], SETTLED)
    late.wait_shown(kept, SETTLED)
    here.post("just before the end of a")
    kept = ["just before the end of a", *kept]
    for page in (here, there, late):
        page.wait_shown(kept)
    a.kill()
    for page, other in ((there, c), (late, b)):
        page.wait_nodes([other], SETTLED)
        page.wait_shown(kept)
    late.post("written after it")
    there.wait_shown(["written after it", *kept])


def test_two_sides_that_could_not_see_each_other_become_one(start, browser):
    a, b = start("a", "b")
    here, there = Reader(browser, a), Reader(browser, b)
    here.wait_nodes([b], SETTLED)
    there.wait_nodes([a], SETTLED)
    here.post("to be edited on both sides")
    there.wait_shown(["to be edited on both sides"])
    here.post("to be deleted on one")
    there.wait_shown(["to be deleted on one", "to be edited on both sides"])

    for pod in (a, b):
        assert pod.epmd("-join", "off").returncode == 0
    a.rpc(f'Node.disconnect(:"{b.name}")')
    here.wait_nodes([])
    there.wait_nodes([])
    here.edit("to be edited on both sides", "edited by a")
    there.edit("to be edited on both sides", "edited by b")
    here.delete("to be deleted on one")
    here.wait_shown(["edited by a"])
    there.wait_shown(["to be deleted on one", "edited by b"])
    here.post("only a")
    here.wait_shown(["only a", "edited by a"])
    there.post("only b")

    for pod in (a, b):
        assert pod.epmd("-join", "on").returncode == 0
    here.wait_nodes([b], SETTLED)
    winner = f"edited by {'b' if b.name > a.name else 'a'}"
    for page in (here, there):
        page.wait_shown(["only b", "only a", winner], SETTLED)


def test_what_is_posted_while_pods_start_at_the_same_moment_is_kept(start):
    """Each has a table of its own at first, and four of them move to another one."""
    pods = start("a", "b", "c", "d", "e")
    texts = {f"{number} of {pod.name}" for number in range(20) for pod in pods}
    for number in range(20):
        for pod in pods:
            assert pod.request("POST", "/posts", f"{number} of {pod.name}")[0] == 201
    for pod in pods:
        until(lambda pod=pod: pod.texts() == texts, SETTLED, f"all posts in {pod}")


def test_the_page_fits_a_phone_and_a_desktop(start, browser, tmp_path):
    """KEPMD_SCREENSHOTS=FOLDER keeps the two pictures of the example's README there."""
    a, b = start("a", "b")
    sizes = ((412, 640), (412, 640)) if "KEPMD_SCREENSHOTS" in os.environ else ((360, 640), (1280, 800))
    here, there = (Reader(browser, pod, *size) for pod, size in zip((a, b), sizes))
    here.wait_nodes([b], SETTLED)
    there.wait_nodes([a], SETTLED)
    texts = [f"A word that is too long for any line: {'A' * 100}"] if "KEPMD_SCREENSHOTS" not in os.environ else []
    texts += ["Hello from the first pod.", "And hello from the second: it was here before you could look.",
              "No library, no line of code: the two epmds did it."]
    for number, text in enumerate(texts):
        (here, there)[number % 2].post(text)
        for page in (here, there):
            page.wait_shown(texts[number::-1])
    there.edit(texts[-1], f"{texts[-1]} Edited in the other one.")
    until(lambda: "Edited" in here.shown()[0], SETTLED, "the edit")
    folder = pathlib.Path(os.environ.get("KEPMD_SCREENSHOTS", tmp_path))
    for page, (width, _), name in zip((here, there), sizes, ("first-pod.png", "second-pod.png")):
        assert page.page.run("return [innerWidth, document.documentElement.scrollWidth <= innerWidth]") == [width, True]
        page.page.screenshot(folder / name)


def test_what_is_no_post_is_refused(start):
    [a] = start("a")
    for text, wrong in ((b"", "must not be empty"), (b" \n", "must not be empty"), (b"\xff", "UTF-8"),
                        (b"x" * 281, "at most 280")):
        status, answer = a.request("POST", "/posts", text)
        assert status == 422 and wrong in answer
    assert a.request("PUT", "/posts/none", b"text")[0] == 404
    assert a.request("DELETE", "/posts/none")[0] == 404
    assert a.request("GET", "/../mix.exs")[0] == 404
    assert a.request("DELETE", "/")[0] == 405
    assert a.raw(b"GARBAGE\r\n\r\n").startswith("HTTP/1.1 400 ")
    assert a.raw(b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 101).startswith("HTTP/1.1 431 ")
    with pytest.raises((ConnectionResetError, IndexError)):
        a.raw(b"GET /" + b"x" * 9000).splitlines()[0]
    post = b"POST /posts HTTP/1.1\r\n"
    assert a.raw(post + b"Content-Length: 8193\r\n\r\n" + b"x" * 8193).startswith("HTTP/1.1 413 ")
    assert a.raw(post + b"Content-Length: -1\r\n\r\n").startswith("HTTP/1.1 400 ")
    assert a.raw(post + b"Transfer-Encoding: chunked\r\n\r\n").startswith("HTTP/1.1 411 ")
    assert a.request("POST", "/posts", "<script>\"ü\\</script>".encode())[0] == 201


def test_the_demo_prints_two_addresses_that_show_the_same(release, epmd_binary, network, tmp_path):
    """Here with the epmd under test instead of a build of its own."""
    env = {**os.environ, "PYTHONPATH": str(CHECKOUT / "tests"), "PYTHONUNBUFFERED": "1"}
    with open(tmp_path / "said", "w+") as said:
        demo = subprocess.Popen(["/usr/bin/python3", CHECKOUT / "scripts" / "demo_microposts.py", epmd_binary],
                                stdin=subprocess.DEVNULL, stdout=said, stderr=said, env=env)
    try:
        def ready():
            text = (tmp_path / "said").read_text()
            assert demo.poll() is None, text
            return "Ctrl-C" in text and text
        urls = re.findall(r"http://\S+", until(ready, 120, "the demo to be up", every=0.1))
        assert len(urls) == 2
        for url in urls:
            assert b"<title>microposts</title>" in urllib.request.urlopen(url, timeout=30).read()
        with urllib.request.urlopen(f"{urls[1]}events", timeout=30) as events:
            urllib.request.urlopen(f"{urls[0]}posts", b"hello", timeout=30).close()
            until(lambda: b'"text":"hello"' in events.readline(), 30, "the post in the other pod")
        demo.send_signal(signal.SIGINT)
        assert demo.wait(60) == 0, (tmp_path / "said").read_text()
    finally:
        demo.kill()
        demo.wait()
    assert f"-{demo.pid}-" not in subprocess.run(["ip", "netns", "list"], capture_output=True, text=True).stdout
