"""ERL_EPMD_HOSTS_FILE: a .hosts.erlang that follows the endpoints, and that a node reads."""

import os

import pytest

from lab.wait import until


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "hosts"
    made.mkdir()
    return made


def wait_hosts(path, *hosts):
    text = "".join(f"'{host}'.\n" for host in hosts)
    until(lambda: path.exists() and path.read_text() == text, 10, f"{path} to list {hosts}")


def kept_in(path):
    return {"ERL_EPMD_HOSTS_FILE": str(path)}


def test_it_lists_the_peers_hosts_and_follows_them(member, sample_api, folder):
    path = folder / ".hosts.erlang"
    member(env=kept_in(path))
    b = member()
    wait_hosts(path, b.pod.ip)
    c = member()
    wait_hosts(path, *sorted((b.pod.ip, c.pod.ip)))
    sample_api.remove_pod("sample", b.pod.ip)
    b.beam.stop()
    wait_hosts(path, c.pod.ip)
    assert os.listdir(folder) == [".hosts.erlang"]


def test_a_node_reads_it_from_its_home_or_its_folder(member, folder):
    at_home = member(env={**kept_in(folder / ".hosts.erlang"), "HOME": str(folder)})
    other = member()
    wait_hosts(folder / ".hosts.erlang", other.pod.ip)
    assert at_home.beam.eval("net_adm:host_file().") == f"['{other.pod.ip}']"
    assert f"'{other.name}'" in at_home.beam.eval("net_adm:world().")

    other.beam.wait_started()
    other.beam.eval(f'ok = file:set_cwd("{folder}").')
    assert other.beam.eval("net_adm:host_file().") == f"['{other.pod.ip}']"


def test_a_file_that_cannot_be_written_is_named_with_the_mend(member, tmp_path):
    path = tmp_path / "missing" / ".hosts.erlang"
    a = member(env=kept_in(path))
    a.wait_log(f"error: ERL_EPMD_HOSTS_FILE={path} cannot be written (No such file or directory): "
               "its folder must be one that our user can make files in")
    b = member()
    # Joining does not mind.
    a.beam.wait_nodes({b.name})
    assert a.log_text().count("cannot be written") == 1


def test_one_that_can_be_written_later_is_said_to_be_well(member, tmp_path):
    """When peers change it is tried again."""
    path = tmp_path / "missing" / ".hosts.erlang"
    a = member(env=kept_in(path))
    a.wait_log("cannot be written")
    path.parent.mkdir()
    b = member()
    wait_hosts(path, b.pod.ip)
    a.wait_log(f"ERL_EPMD_HOSTS_FILE={path} is up to date again")
