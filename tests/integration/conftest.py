"""Fixtures: the daemons to test, a network of pods, a stand-in API server."""

import contextlib
import os
import pathlib
import re
import shutil
import signal

import pytest

from lab import pods, restricted
from lab.beam import STOCK_ROOT, Beam, erts_folder, otp_with_epmd
from lab.built import Unavailable, built
from lab.cluster import Cluster, programs
from lab.deploying import Deploying, images_of
from lab.epmd import Epmd, PortTaken, free_port
from lab.member import Member
from lab.pods import Network, unavailable
from lab.release import RELEASES
from lab.standin import Standin
from lab.world import World

# What runs in the background of a script ignores SIGINT, and so would all that it starts.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

CHECKOUT = pathlib.Path(__file__).resolve().parents[2]
BUILT = "epmd/epmd"


def built_epmd():
    """KEPMD_BINARY, or what was built in the build folder (`builddir`, as automake calls it)
    or in the checkout."""
    named = os.environ.get("KEPMD_BINARY")
    if named:
        return pathlib.Path(named).resolve()
    places = [pathlib.Path(p) for p in (os.environ.get("abs_top_builddir"), os.environ.get("builddir"))
              if p] + [CHECKOUT]
    return next((p / BUILT for p in places if (p / BUILT).exists()), CHECKOUT / BUILT)


@pytest.fixture(scope="session")
def epmd_binary():
    """Path of our epmd."""
    path = built_epmd()
    if not os.access(path, os.X_OK):
        pytest.fail(f"{path} is not there: build it first, or set KEPMD_BINARY")
    return str(path)


def find_stock_epmd():
    candidates = ["/usr/bin/epmd"]
    if os.path.isdir(STOCK_ROOT):
        candidates.append(f"{STOCK_ROOT}/{erts_folder()}/bin/epmd")
    return next((path for path in candidates if os.access(path, os.X_OK)), None)


@pytest.fixture(scope="session")
def stock_epmd():
    """Path of the distribution's own epmd, the oracle."""
    path = find_stock_epmd()
    if path is None:
        pytest.skip("no stock epmd: erlang-base is not installed")
    return path


@pytest.fixture(scope="session")
def static_epmd():
    """Path of the static epmd."""
    if os.environ.get("KEPMD_NO_STATIC"):
        pytest.skip("KEPMD_NO_STATIC is set: without the static build")
    try:
        return str(built("build-static"))
    except Unavailable as reason:
        pytest.skip(str(reason))


@pytest.fixture(scope="session")
def otp27_erl(epmd_binary, tmp_path_factory):
    """`erl` of OTP 27, two releases newer than Debian 12's, whose epmd is ours."""
    if os.environ.get("KEPMD_NO_OTP27"):
        pytest.skip("KEPMD_NO_OTP27 is set: without a newer OTP")
    try:
        root = built("otp-build")
    except Unavailable as reason:
        pytest.skip(str(reason))
    return otp_with_epmd(epmd_binary, str(tmp_path_factory.mktemp("otp27") / "otp"), str(root))


@pytest.fixture
def network():
    """A fresh network; `network.pod()` makes pods."""
    reason = pods.unavailable()
    if reason:
        pytest.skip(reason)
    with pods.Network() as fresh:
        yield fresh


@pytest.fixture
def closing(network_or_none):
    """What is entered here ends before the pods do."""
    with contextlib.ExitStack() as stack:
        yield stack


@pytest.fixture
def network_or_none(request):
    """The network, if the test has one: things in pods must end before it."""
    return request.getfixturevalue("network") if "network" in request.fixturenames else None


@pytest.fixture
def standin(closing):
    """Makes stand-in API servers: `standin(where=network.host, tokens={"t"})`."""
    return lambda *args, **kwargs: closing.enter_context(Standin(*args, **kwargs))


@pytest.fixture
def epmd(closing):
    """Makes running daemons: `epmd(epmd_binary, pod)`."""
    return lambda *args, **kwargs: closing.enter_context(Epmd(*args, **kwargs))


@pytest.fixture
def served(epmd, epmd_binary):
    """Makes daemons with a status listener on loopback: (daemon, port)."""
    def make(*args, env=None, **kwargs):
        for attempt in range(5):
            port = free_port()
            try:
                return epmd(epmd_binary, args=["-status_address", f"127.0.0.1:{port}", *args], env=env, **kwargs), port
            except RuntimeError as error:  # somebody else has taken it meanwhile
                if "Address already in use" not in str(error) or attempt == 4:
                    raise
        raise PortTaken
    return make


@pytest.fixture
def beam(closing):
    """Makes Erlang nodes: `beam(pod, cookie="x")`."""
    return lambda *args, **kwargs: closing.enter_context(Beam(*args, **kwargs))


@pytest.fixture(scope="session")
def erl(epmd_binary, tmp_path_factory):
    """The start script of a stock OTP whose erts-*/bin/epmd is ours."""
    return otp_with_epmd(epmd_binary, str(tmp_path_factory.mktemp("join") / "otp"))


@pytest.fixture
def sample_api(network, standin):
    """A stand-in with the Service "sample" and no pods yet."""
    server = standin(where=network.host)
    server.set_pods("sample", [], labels={"app": "sample"})
    return server


@pytest.fixture
def member(network, sample_api, tmp_path, epmd_binary, erl, closing):
    """Makes members of the Service; `enlist=False` leaves the endpoint out, and another epmd's
    `binary` takes an `erl` that starts it."""
    count = iter(range(1000))

    def make(enlist=True, binary=epmd_binary, **kwargs):
        kwargs.setdefault("erl", erl)
        made = closing.enter_context(Member(network, sample_api, str(tmp_path), binary, next(count), **kwargs))
        return made.enlist() if enlist else made

    return make


@pytest.fixture(scope="session")
def bin_dir():
    if os.environ.get("KEPMD_NO_CLUSTER"):
        pytest.skip("KEPMD_NO_CLUSTER is set: without the real API server")
    try:
        return programs()
    except Unavailable as reason:
        pytest.skip(str(reason))


@pytest.fixture(scope="session")
def shared_network():
    reason = unavailable()
    if reason:
        pytest.skip(reason)
    with Network() as network:
        yield network


@pytest.fixture(scope="session")
def cluster(bin_dir, shared_network):
    with Cluster(shared_network.host.ip, shared_network.host.netns, bin_dir) as running:
        yield running


@pytest.fixture
def world(cluster, shared_network, request, tmp_path, closing):
    name = re.sub("[^a-z0-9]+", "-", request.node.name.removeprefix("test_"))[:60].strip("-")
    return World(cluster, shared_network, name, tmp_path, closing)


@pytest.fixture(scope="session")
def deploying(epmd_binary, bin_dir, tmp_path_factory):
    """A control plane of its own with a kubelet, and kubectl and helm, for deploy/."""
    if os.environ.get("KEPMD_NO_DEPLOY"):
        pytest.skip("KEPMD_NO_DEPLOY is set: without running the manifests")
    for reason in (unavailable(), restricted.unavailable()):
        if reason:
            pytest.skip(reason)
    try:
        clients = built("helm-fetch")
    except Unavailable as reason:
        pytest.skip(str(reason))
    example, make = CHECKOUT / "examples" / "erlang", tmp_path_factory.mktemp
    ours, stock = (RELEASES["erlang"](example, str(make(name)), epmd) for name, epmd in
                   (("deploy-ours", epmd_binary), ("deploy-stock", None)))
    with Deploying(bin_dir, clients, images_of(ours.folder, stock.folder, epmd_binary), make("deploying")) as running:
        yield running


@pytest.fixture(scope="session")
def build_release(epmd_binary, tmp_path_factory):
    """Builds an example, with our epmd in it, once: `build_release("elixir")`."""
    made = {}

    def build(kind):
        missing = [tool for tool in RELEASES[kind].tools if not shutil.which(tool)]
        if missing:
            pytest.skip(f"not installed: {', '.join(missing)}")
        if kind not in made:
            made[kind] = RELEASES[kind](CHECKOUT / "examples" / kind, tmp_path_factory.mktemp(kind), epmd_binary)
        return made[kind]

    return build
