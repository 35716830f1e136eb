"""`epmd -doctor`: nodes of real OTP in pods, against the stand-in API server.  Each test makes one
fault and reads what is said of it.  The faults of the API itself are in test_doctor_cluster.py."""

import json
import pathlib
import re

import pytest

from lab import diagnosis, wire
from lab.member import await_mesh
from lab.namespace import BLOCKED_TABLE, ip
from lab.sidecar import PORT, account_pod, discovering
from lab.wait import until

TOP = pathlib.Path(__file__).resolve().parents[2]


def wait_well(member, *words):
    return diagnosis.wait_well(lambda: member.epmd("-doctor"), 40, member.log_text, words)


def test_a_healthy_mesh_has_nothing_wrong(member):
    members = [member() for _ in range(3)]
    await_mesh(members)
    for one in members:
        said = wait_well(one, "all peers are joined: 2")
        assert all(line.startswith("ok: ") for line in said.splitlines())
        assert "this pod is among the endpoints" in said
        assert f"{one.name} is linked to epmd" in said


def test_a_node_alone_has_nothing_wrong(member):
    alone = member()
    alone.beam.wait_started()
    assert "no peers are there but this one" in wait_well(alone)


def test_no_fault_while_nodes_start(member):
    a, b = member(), member()
    while True:
        faults, found, status = a.doctor()
        if found[0]["check"] == "daemon" and found[0]["state"] == "ok":
            assert (faults, status) == ({}, 0)
        if a.peers().get(b.name, ("",))[0] == "joined":
            break


def test_the_json_says_what_the_text_says(member):
    one = member(cookie=None, extra_args=["-hidden"])
    one.wait_fault("hidden-node")
    _, found, status = one.doctor()
    text = one.epmd("-doctor")
    assert text.returncode == status == 1
    assert len(text.stdout.splitlines()) == len(found)
    for line, finding in zip(text.stdout.splitlines(), found):
        state, _, rest = line.partition(": ")
        assert state == finding["state"]
        if state == "wrong":
            assert rest.endswith(f"; to mend it: {finding['mend']} [{finding['fault']}]")


# --- the node -------------------------------------------------------------------------------------


def test_a_host_part_that_is_not_the_pods(member):
    one = member(name="sample@10.1.77.77")
    one.wait_fault("host-part", "sample@10.1.77.77", f"sample@{one.pod.ip}")


def test_a_host_part_on_loopback(member):
    one = member(enlist=False, name="sample@127.0.0.1")
    one.wait_fault("host-part", "sample@127.0.0.1")


def test_a_short_name(member):
    one = member(name="sample@localhost")
    one.wait_fault("short-name", "sample@localhost")


def test_no_cookie(network, sample_api, tmp_path, epmd_binary, closing, beam):
    """A sidecar does not see the node's files, and its own has none."""
    pod = account_pod(network, sample_api, str(tmp_path / "account"))
    sample_api.add_pod("sample", pod.ip)
    ours = closing.enter_context(discovering(epmd_binary, pod, sample_api, env={"HOME": "/nowhere"}))
    beam(pod, start_epmd=False, cookie=None).wait_started()
    until(lambda: "[no-cookie]" in ours.cli("-doctor").stdout, 30, "no-cookie")


def test_a_cookie_that_the_node_itself_refuses(member, tmp_path):
    wrong = tmp_path / "cookie"
    wrong.write_text("other")
    wrong.chmod(0o600)
    one = member(env={"ERL_EPMD_COOKIE_FILE": wrong})
    one.wait_fault("own-cookie", str(wrong))


def test_different_cookies(member):
    a, b = member(cookie="one"), member(cookie="two")
    a.wait_fault("cookie", b.name)
    b.wait_fault("cookie", a.name)


def test_a_hidden_node(member):
    member(extra_args=["-hidden"]).wait_fault("hidden-node", "hidden")


def test_a_hidden_node_beside_a_visible_one_is_no_fault(member, closing, beam):
    one = member()
    one.beam.wait_started()
    beam(one.pod, name=f"shell@{one.pod.ip}", extra_args=["-hidden"]).wait_started()
    wait_well(one)


def test_tls_distribution(member, tmp_path):
    from lab.authority import Authority
    certificate, key = Authority(str(tmp_path / "pki")).server(("sample",), ("127.0.0.1",))
    conf = tmp_path / "ssl.conf"
    conf.write_text(f'[{{server, [{{certfile, "{certificate}"}}, {{keyfile, "{key}"}}]}}].')
    one = member(extra_args=["-proto_dist", "inet_tls", "-ssl_dist_optfile", str(conf)])
    one.wait_fault("tls-node", "TLS")


def test_no_node_yet(network, sample_api, tmp_path, epmd_binary, closing):
    pod = account_pod(network, sample_api, str(tmp_path / "account"))
    sample_api.add_pod("sample", pod.ip)
    ours = closing.enter_context(discovering(epmd_binary, pod, sample_api))
    until(lambda: "[no-node]" in ours.cli("-doctor").stdout, 30, "no-node")
    with ours.register("other", 41000):
        until(lambda: "[other-name]" in ours.cli("-doctor").stdout, 30, "other-name")
    said = ours.cli("-doctor", env={"ERL_DIST_PORT": "9100"})
    assert "[dist-port]" in said.stdout and said.returncode == 1


def test_endpoints_without_a_name_to_look_for(epmd, epmd_binary, tmp_path):
    """That nobody is there must not be said of whom nobody has looked for."""
    path = tmp_path / "list"
    path.write_text("10.0.0.7\n10.0.0.8\n")
    ours = epmd(epmd_binary, env={"ERL_EPMD_DISCOVERY": f"file:{path}"})
    until(lambda: "wait: no name is known to look for at the endpoints" in ours.cli("-doctor").stdout, 10,
          "that it waits for a name")
    path.unlink()
    until(lambda: "[peers-file]" in ours.cli("-doctor").stdout, 10, "the file to be missed")
    with ours.register("sample", 41000):
        until(lambda: "wait: 0 of 2 peers have a port" in ours.cli("-doctor").stdout, 10, "the peers of that name")


def test_endpoints_that_are_asked_for_their_names(epmd, epmd_binary, tmp_path):
    path = tmp_path / "list"
    path.write_text("192.0.2.7\n")
    ours = epmd(epmd_binary, env={"ERL_EPMD_DISCOVERY": f"file:{path}", "ERL_EPMD_BASENAME": "*"})
    until(lambda: "wait: 1 endpoints are asked for the names of their nodes" in ours.cli("-doctor").stdout, 10,
          "that it waits for names")
    with ours.register("sample", 41000):
        assert "no peers are there" not in ours.cli("-doctor").stdout


def test_a_hidden_node_gives_no_name_to_look_for(epmd, epmd_binary, tmp_path):
    path = tmp_path / "list"
    path.write_text("192.0.2.7\n")
    ours = epmd(epmd_binary, env={"ERL_EPMD_DISCOVERY": f"file:{path}"})
    with ours.register("sample", 41000, type=wire.HIDDEN):
        until(lambda: "[hidden-node]" in ours.cli("-doctor").stdout, 10, "the node to be seen")
        until(lambda: "wait: no name is known to look for" in ours.cli("-doctor").stdout, 10, "the file to be read")


def test_no_peers_are_known_where_the_source_is_wrong(epmd, epmd_binary, tmp_path):
    ours = epmd(epmd_binary, env={"ERL_EPMD_DISCOVERY": f"file:{tmp_path}/none", "ERL_EPMD_BASENAME": "sample"})
    until(lambda: "[peers-file]" in ours.cli("-doctor").stdout, 10, "the file to be missed")
    said = ours.cli("-doctor").stdout
    assert "wait: no peers are known" in said and "no peers are there" not in said
    (tmp_path / "none").write_text("")
    until(lambda: "ok: no peers are there but this one" in ours.cli("-doctor").stdout, 10, "the file to be read")


def test_relx_starts_nodes_without_epmd(network, beam, epmd_binary):
    pod = network.pod()
    beam(pod, start_epmd=False, extra_args=["-erl_epmd_port", "9100"]).wait_started()
    said = pod.run([epmd_binary, "-doctor"], env={"ERL_DIST_PORT": "9100"})
    assert said.returncode == 1
    assert "[no-daemon]" in said.stdout and "ERL_DIST_PORT=9100" in said.stdout and "[dist-port]" in said.stdout


# --- the way to peers -------------------------------------------------------------------------------


def test_a_peers_epmd_port_is_blocked(member):
    a, b = member(), member(enlist=False)
    b.beam.wait_started()
    b.pod.block_port(PORT)
    b.enlist()
    a.wait_fault("peer-epmd", b.name, str(PORT))


def test_a_peers_distribution_port_is_blocked(member):
    args = ["-kernel", "inet_dist_listen_min", "9100", "inet_dist_listen_max", "9100"]
    a, b = member(), member(enlist=False, extra_args=args, env={"ERL_EPMD_JOIN": "off"})
    b.beam.wait_started()
    b.pod.block_port(9100)
    b.enlist()
    a.wait_fault("peer-port", b.name, "9100")


def test_one_pair_is_blocked(member):
    # Else global would break links, and there would be more to say.
    alone = ["-kernel", "prevent_overlapping_partitions", "false"]
    a, b, c = (member(enlist=False, extra_args=alone) for _ in range(3))
    ports = [one.beam.eval('element(2, erl_epmd:port_please("sample", {127, 0, 0, 1})).') for one in (a, b)]
    for here, there, port in ((a, b, ports[1]), (b, a, ports[0])):
        here.pod.block_port(1)  # for its table
        ip("-n", here.pod.netns, "rule", "add", "pref", "50", "ipproto", "tcp", "to", there.pod.ip,
           "dport", port, "table", BLOCKED_TABLE)
    for one in (a, b, c):
        one.enlist()
    a.wait_fault("pair", b.name, ports[1])


def test_a_peer_without_the_node(member, network, sample_api, epmd, stock_epmd):
    a = member()
    pod = network.pod()
    epmd(stock_epmd, pod=pod, port=PORT)
    sample_api.add_pod("sample", pod.ip)
    a.wait_fault("peer-no-node", f"sample@{pod.ip}")


def test_stock_epmd_on_a_peer_is_no_fault(member, network, sample_api, epmd, stock_epmd, beam):
    a = member()
    pod = network.pod()
    epmd(stock_epmd, pod=pod, port=PORT)
    beam(pod, start_epmd=False).wait_started()
    sample_api.add_pod("sample", pod.ip)
    a.wait_peer(f"sample@{pod.ip}", "joined")
    wait_well(a)


# --- the daemon and its settings ----------------------------------------------------------------------


def test_an_address_on_loopback_alone(member):
    member(env={"ERL_EPMD_ADDRESS": "127.0.0.1"}).wait_fault("loopback-only", "ERL_EPMD_ADDRESS=127.0.0.1")


def test_a_misspelt_setting(member):
    one = member(env={"ERL_EPMD_BASENAMES": "sample"})
    one.wait_fault("unknown-setting", "ERL_EPMD_BASENAMES", "ERL_EPMD_BASENAME may be meant")


def test_a_wrong_setting(member):
    member(env={"ERL_EPMD_JOIN": "maybe"}).wait_fault("wrong-setting", "ERL_EPMD_JOIN=maybe")


def test_settings_that_do_nothing(network, beam, erl, epmd_binary):
    pod = network.pod()
    beam(pod, erl=erl, env={"ERL_EPMD_SELECTOR": "app=sample"}).wait_started()
    said = pod.run([epmd_binary, "-doctor"])
    assert said.returncode == 1 and "[idle-setting]" in said.stdout


def test_discovery_that_only_the_asker_knows_of(network, beam, erl, epmd_binary):
    pod = network.pod()
    beam(pod, erl=erl).wait_started()
    plain = pod.run([epmd_binary, "-doctor"])
    assert (plain.returncode, "discovery is off" in plain.stdout) == (0, True)
    said = pod.run([epmd_binary, "-doctor"], env={"ERL_EPMD_DISCOVERY": "kubernetes"})
    assert said.returncode == 1 and "[other-environment]" in said.stdout


@pytest.mark.parametrize("address", ["tcp://10.0.0.1:4369", "0"])
def test_a_port_variable_that_is_none(network, epmd_binary, address):
    said = network.pod().run([epmd_binary, "-doctor"], env={"ERL_EPMD_PORT": address})
    assert said.returncode == 1 and "[port-variable]" in said.stdout
    assert "enableServiceLinks: false" in said.stdout and address in said.stdout


def test_nobody_answers(network, epmd_binary):
    done = network.pod().run([epmd_binary, "-doctor", "-json"])
    report = json.loads(done.stdout)
    assert done.returncode == 1 and report["version"] == 1 and not report["ok"]
    assert [f["fault"] for f in report["findings"]] == ["no-daemon"]


def test_a_sidecar_that_comes_second(network, sample_api, tmp_path, epmd_binary, stock_epmd, epmd):
    """The node of the other container has started Erlang's own epmd: ours ends, and says why; so
    does -doctor."""
    pod = account_pod(network, sample_api, str(tmp_path / "account"))
    epmd(stock_epmd, pod=pod, port=PORT)
    env = {"ERL_EPMD_DISCOVERY": "kubernetes", "ERL_EPMD_SELECTOR": "app=sample", **sample_api.env()}
    sidecar = pod.run([epmd_binary], env=env)
    assert sidecar.returncode == 1 and "-start_epmd false" in sidecar.stderr
    said = pod.run([epmd_binary, "-doctor"], env=env)
    assert said.returncode == 1 and "[stock-epmd]" in said.stdout and "-start_epmd false" in said.stdout


# --- the page ---------------------------------------------------------------------------------------------


def test_the_page_has_each_fault_and_its_mend():
    source = (TOP / "epmd" / "doctor_fault.c").read_text()
    defines = dict(re.findall(r"^#define (\w+)((?:[ \t]+\\\n|[ \t]*\".*\"[ \t]*\\?\n)+)", source, re.M))
    table = {}
    for row in re.finditer(r'\[FAULT_\w+\]\s*=\s*\{(.*?)\},\n', source, re.S):
        name, _, rest = [part.strip() for part in row.group(1).split(",", 2)]
        rest = re.sub(r"\b[A-Z_]{5,}\b(?=\s*$)", lambda m: defines[m.group()], rest)
        table[name.strip('"')] = "".join(re.findall(r'"((?:\\.|[^"\\])*)"', rest)).replace('\\"', '"')
    assert len(table) > 40 and all(len(mend) > 10 for mend in table.values())
    page = (TOP / "doc" / "troubleshooting.md").read_text()
    sections = dict(re.findall(r"^### `([\w-]+)`\n(.*?)(?=^##|\Z)", page, re.M | re.S))
    assert set(sections) == set(table)
    for name, mend in table.items():
        assert f"*Mend:* {mend}." in " ".join(sections[name].split()), name
