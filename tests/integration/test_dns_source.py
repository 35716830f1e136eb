"""ERL_EPMD_DISCOVERY=dns:NAME: peers from the records of a headless Service, and what befalls a resolver."""

import subprocess

import pytest

from lab import fast_clock, probe
from lab.member import Member, await_mesh
from lab.nameserver import (A, AAAA, NO_SUCH_NAME, REFUSED, SERVER_FAILURE, SRV, NameServer, resolv_conf)
from lab.sidecar import PORT, await_discovered, count_log, discovered
from lab.wait import until

DIST = 9100
NAME = "sample.default.svc.cluster.local"
SLOW = 60  # several TTLs on a machine that is busy


@pytest.fixture
def dns(network, closing):
    return closing.enter_context(NameServer(network.host))


@pytest.fixture
def resolver(dns, network, tmp_path):
    """The resolv.conf of the pods here."""
    return resolv_conf(tmp_path, network.host.ip)


@pytest.fixture
def daemon(network, resolver, epmd_binary, epmd):
    def start(name="sample", **env):
        pod = network.pod(files={"/etc/resolv.conf": str(resolver)})
        return epmd(epmd_binary, pod=pod, port=PORT,
                    env={"ERL_EPMD_DISCOVERY": f"dns:{name}", "ERL_EPMD_BASENAME": "sample", "ERL_EPMD_DIST": str(DIST),
                         "ERL_EPMD_JOIN": "off", **env})
    return start


@pytest.fixture
def hasty(daemon, epmd_binary):
    """A daemon with a minute in three seconds."""
    linked = subprocess.run(["ldd", epmd_binary], capture_output=True, text=True).stdout
    reason = fast_clock.unavailable("libasan" in linked)
    if reason:
        pytest.skip(reason)
    return lambda name="sample", **env: daemon(name, **fast_clock.env(20), **env)


def nodes(*hosts):
    return {f"sample@{host}": DIST for host in hosts}


def trouble(daemon):
    return [line for line in daemon.log_lines() if " error: " in line]


def await_questions(dns, name, more, kind=A):
    """Whoever has asked again has taken in the answer before."""
    wanted = dns.questions(name, kind) + more
    until(lambda: dns.questions(name, kind) >= wanted, SLOW, f"{more} more questions for {name}")


# --- addresses ----------------------------------------------------------------------------------


def test_addresses_are_added_and_removed_by_ttl(daemon, dns):
    dns.addresses[NAME] = ["10.0.0.7", "10.0.0.8", "fd00::9"]
    ours = daemon()
    await_discovered(ours, nodes("10.0.0.7", "10.0.0.8", "fd00::9"))
    ours.wait_log(f"info: ERL_EPMD_DISCOVERY=dns:sample is found as {NAME}, peers: 3")
    dns.addresses[NAME] = ["10.0.0.8", "fd00::9", "10.0.0.10"]
    await_discovered(ours, nodes("10.0.0.8", "10.0.0.10", "fd00::9"), SLOW)
    assert trouble(ours) == [] and count_log(ours, "peers: ") == 1


def test_a_thousand_come_by_tcp(daemon, dns):
    many = [f"10.0.{n // 200}.{n % 200 + 1}" for n in range(1000)]
    dns.addresses[NAME] = many
    ours = daemon()
    await_discovered(ours, nodes(*many), SLOW)
    assert (NAME, A, "tcp") in dns.asked


def test_the_search_list_is_gone_through_as_in_a_pod(daemon, dns):
    dns.addresses["sample.prod.svc.cluster.local"] = ["10.0.0.7"]
    ours = daemon("sample.prod")
    await_discovered(ours, nodes("10.0.0.7"))
    assert [name for name, kind, _ in dns.asked if kind == A][:2] == [
        "sample.prod.default.svc.cluster.local", "sample.prod.svc.cluster.local"]


def test_a_name_with_a_dot_at_its_end_is_not_completed(daemon, dns):
    dns.addresses[NAME] = ["10.0.0.7"]
    ours = daemon(NAME + ".")
    await_discovered(ours, nodes("10.0.0.7"))
    assert {name for name, _, _ in dns.asked} == {NAME}


def test_several_names_are_several_lists(daemon, dns):
    dns.addresses = {NAME: ["10.0.0.7"], "other.default.svc.cluster.local": ["10.0.0.8", "10.0.0.7"]}
    ours = daemon("sample,other")
    await_discovered(ours, nodes("10.0.0.7", "10.0.0.8"))
    dns.rcodes[NAME] = SERVER_FAILURE
    dns.addresses["other.default.svc.cluster.local"] = ["10.0.0.9"]
    await_discovered(ours, nodes("10.0.0.7", "10.0.0.9"), SLOW)


def test_names_by_pod_address(daemon, dns):
    dns.addresses[NAME] = ["10.0.0.7"]
    ours = daemon(ERL_EPMD_HOST_MODE="dns")
    await_discovered(ours, nodes("10-0-0-7.default.pod.cluster.local"))


# --- SRV ---------------------------------------------------------------------------------------------


def target(number):
    return f"sample-{number}.{NAME}"


@pytest.mark.parametrize("additional", (True, False))
def test_srv_targets_name_the_hosts_of_a_stateful_set(daemon, dns, additional):
    dns.additional = additional
    dns.targets[f"_dist._tcp.{NAME}"] = [(target(n), 9200 + n, [f"10.0.0.{n}", f"fd00::{n}"]) for n in (1, 2)]
    ours = daemon("_dist._tcp.sample", ERL_EPMD_HOST_MODE="hostname", ERL_EPMD_DIST="dist")
    await_discovered(ours, {f"sample@{target(n)}": 9200 + n for n in (1, 2)})
    assert "pod sample-1" in ours.cli("-peers").stdout
    assert bool(dns.questions(target(1))) is not additional


def test_hostnames_are_asked_for_by_the_services_own_name(daemon, dns):
    dns.targets[NAME] = [(target(1), 4369, ["10.0.0.1"]), (f"10-0-0-2.{NAME}", 4369, ["10.0.0.2"])]
    ours = daemon(RELEASE_NODE=f"sample@{target(1)}")
    await_discovered(ours, nodes(target(1)))
    ours.wait_log(r"peer 10.0.0.2 .*: no node name: its endpoint has no hostname")
    assert (NAME, SRV, "udp") in dns.asked


def test_a_target_that_fails_takes_nobody_away(daemon, dns):
    dns.additional = False
    dns.targets[f"_epmd._tcp.{NAME}"] = [(target(n), 4369, [f"10.0.0.{n}"]) for n in (1, 2)]
    ours = daemon("_epmd._tcp.sample")
    await_discovered(ours, nodes("10.0.0.1", "10.0.0.2"))
    dns.rcodes[target(2)] = SERVER_FAILURE
    ours.wait_log("error: .* cannot be resolved: the name servers cannot be reached, or report failures", SLOW)
    await_questions(dns, f"_epmd._tcp.{NAME}", 1, SRV)
    assert discovered(ours) == nodes("10.0.0.1", "10.0.0.2")


# --- bad minutes -----------------------------------------------------------------------------------------


def fail(dns):
    dns.rcodes[None] = SERVER_FAILURE


def refuse(dns):
    dns.rcodes[None] = REFUSED


def fall_silent(dns):
    dns.silent = {A, AAAA}


def babble(dns):
    dns.raw = b"\xc0\xff\0"


BAD = {
    "failure": (fail, "cannot be resolved: the name servers cannot be reached, or report failures: see /etc/resolv.conf"),
    "refusal": (refuse, "cannot be resolved: the name servers cannot be reached, or report failures"),
    "silence": (fall_silent, "cannot be resolved: no name server answers"),
    "nonsense": (babble, "cannot be resolved: "),
}


@pytest.mark.parametrize("spoil, says", BAD.values(), ids=BAD)
def test_a_bad_minute_takes_nobody_away(hasty, dns, spoil, says):
    dns.addresses[NAME] = ["10.0.0.7", "10.0.0.8"]
    ours = hasty()
    await_discovered(ours, nodes("10.0.0.7", "10.0.0.8"))
    spoil(dns)
    ours.wait_log(rf"error: ERL_EPMD_DISCOVERY=dns:sample {says}.*\(peers until then: the 2 that are known\)", SLOW)
    asked = len(dns.asked)
    until(lambda: len(dns.asked) >= asked + 24, SLOW, "some more tries")
    assert discovered(ours) == nodes("10.0.0.7", "10.0.0.8")
    dns.rcodes, dns.silent, dns.raw = {}, set(), None
    ours.wait_log(f"info: ERL_EPMD_DISCOVERY=dns:sample is found again as {NAME}, peers: 2", SLOW)
    assert len(trouble(ours)) == 1 and count_log(ours, "is gone") == 0


def vanish(dns):
    dns.addresses = {}


def empty(dns):
    dns.addresses[NAME] = []


GONE = {"no such name": (vanish, "is no name in DNS"), "no addresses": (empty, "has no addresses any more")}


@pytest.mark.parametrize("spoil, says", GONE.values(), ids=GONE)
def test_that_nobody_is_there_is_believed_after_a_minute(hasty, dns, spoil, says):
    dns.addresses[NAME] = ["10.0.0.7"]
    ours = hasty(ERL_EPMD_LOG_LEVEL="debug")
    await_discovered(ours, nodes("10.0.0.7"))
    spoil(dns)
    ours.wait_log(f"error: ERL_EPMD_DISCOVERY=dns:sample {says}", SLOW)
    assert discovered(ours) == nodes("10.0.0.7")
    await_discovered(ours, {}, SLOW)
    dns.addresses[NAME] = ["10.0.0.8"]
    await_discovered(ours, nodes("10.0.0.8"), SLOW)


def test_a_name_that_is_nowhere_for_a_moment_takes_nobody_away(daemon, dns):
    dns.addresses[NAME] = ["10.0.0.7"]
    ours = daemon()
    await_discovered(ours, nodes("10.0.0.7"))
    dns.rcodes[None] = NO_SUCH_NAME
    ours.wait_log("is no name in DNS", SLOW)
    dns.rcodes.clear()
    ours.wait_log("is found again", SLOW)
    assert count_log(ours, "is gone") == 0


def test_a_server_that_fails_for_one_family_alone(daemon, dns):
    dns.addresses[NAME] = ["10.0.0.7"]
    dns.silent = {AAAA}
    ours = daemon()
    await_discovered(ours, nodes("10.0.0.7"), SLOW)
    assert trouble(ours) == []


def test_nobody_waits_while_a_server_is_silent(daemon, dns):
    dns.silent = {A, AAAA}
    ours = daemon()
    until(lambda: dns.asked, 10, "a question")
    for _ in range(20):
        assert ours.names() == []
    ours.wait_log("no name server answers", SLOW)


# --- resolv.conf, settings, what is said -----------------------------------------------------------


def test_resolv_conf_is_read_again(daemon, dns, network, resolver):
    dns.addresses[NAME] = ["10.0.0.7"]
    good = resolver.read_text()
    resolver.write_text("nameserver 10.1.0.1\nsearch nowhere.test\n")
    ours = daemon()
    ours.wait_log(r"error: .*dns:sample is no name in DNS \(looked for as sample.nowhere.test, ..\): give")
    resolver.write_text(good)
    await_discovered(ours, nodes("10.0.0.7"), SLOW)


def test_settings_for_kubernetes_are_warned_of(daemon, dns):
    dns.addresses[NAME] = ["10.0.0.7"]
    ours = daemon(ERL_EPMD_SELECTOR="app=x")
    ours.wait_log("warning: ERL_EPMD_SELECTOR is set, but means nothing where peers are found by DNS: unset it")


def test_ready_means_that_dns_has_answered(daemon, dns):
    fail(dns)
    ours = daemon(ERL_EPMD_STATUS_ADDRESS=":9090")

    def ready():
        return probe.ask(9090, "/readyz", pod=ours.pod)

    ours.wait_log("cannot be resolved", SLOW)
    refused = ready()
    assert refused.status == 503 and "sample cannot be resolved" in refused.body
    dns.rcodes.clear()  # that nobody is there is an answer
    until(lambda: ready().status == 200, SLOW, "it to be ready")


def test_the_doctor_names_what_is_wrong(daemon, dns):
    ours = daemon()
    ours.wait_log("is no name in DNS")
    said = ours.cli("-doctor").stdout
    assert "sample is no name in DNS" in said and "headless Service (clusterIP: None)" in said
    dns.addresses[NAME] = []
    until(lambda: "sample has no addresses in DNS" in ours.cli("-doctor").stdout, SLOW, "the doctor to say so")
    dns.addresses[NAME] = ["10.0.0.7"]
    await_discovered(ours, nodes("10.0.0.7"), SLOW)
    assert "sample: 1 endpoints" in ours.cli("-doctor").stdout


# --- nodes -------------------------------------------------------------------------------------------


def test_nodes_join(network, dns, resolver, tmp_path, epmd_binary, erl, closing):
    env = {"ERL_EPMD_DISCOVERY": "dns:sample", "ERL_EPMD_JOIN": "on"}
    members = []
    for number in range(3):
        member = Member(network, None, str(tmp_path), epmd_binary, number, erl=erl, env=env,
                        files={"/etc/resolv.conf": str(resolver)})
        members.append(closing.enter_context(member))
        dns.addresses[NAME] = [each.pod.ip for each in members]
    await_mesh(members, SLOW)
    members[0].wait_peer(members[2], "joined", timeout=SLOW)
