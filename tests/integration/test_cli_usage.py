"""Wrong and right ways to say what is meant: flags, ports and addresses that cannot be."""

import re
import subprocess

import pytest
from both import binary, daemon  # noqa: F401 (fixtures)
from lab.epmd import free_port
from lab.namespace import clean_env

STOCK_FLAGS = ["-d", "-debug", "-port", "-address", "-daemon", "-relaxed_command_check", "-systemd",
               "-packet_timeout", "-delay_accept", "-delay_write", "-names", "-kill", "-stop"]
PORT = "<a port that is free>"
NOT_HERE = "192.0.2.200"


def run(binary, *args, env=None):
    """To its end; the port in the arguments is free, and stays so if the program does as it should."""
    args = [str(free_port()) if arg == PORT else arg for arg in args]
    return subprocess.run([binary, *args], env=clean_env(env), timeout=5, text=True,
                          capture_output=True, stdin=subprocess.DEVNULL)


def check_usage(done):
    assert (done.stdout, done.returncode) == ("", 1)
    assert re.search(r"^usage: epmd", done.stderr, re.M)
    words = set(re.findall(r"-\w+", done.stderr))
    assert set(STOCK_FLAGS) <= words


def check_one_line(done, *words):
    assert (done.stdout, done.returncode) == ("", 1)
    assert done.stderr.count("\n") == 1
    for word in words:
        assert word in done.stderr


@pytest.mark.parametrize("args", [
    ["-foo"], ["foo"], [""], ["-"], ["-daemon", "-foo"], ["-foo", "-names"], ["-d", "-d", "-foo"],
    ["-port"], ["-address"], ["-packet_timeout"], ["-delay_accept"], ["-delay_write"], ["-stop"],
    ["-port", "abc"], ["-port", ""], ["-port", "0"], ["-port", "-names"], ["-port", "abc", "-names"],
    ["-packet_timeout", "0"], ["-packet_timeout", "abc"], ["-delay_accept", "0"], ["-delay_write", "abc"],
    ["-names", "-d"], ["-names", "-port", "4369"], ["-names", "-names"], ["-names", "a"],
    ["-started", "a"], ["-dump", "a"], ["-kill", "a"], ["-stop", "a", "b"], ["-stop", "a", "-names"],
], ids=" ".join)
def test_what_is_not_understood_gets_the_usage(binary, args):
    check_usage(run(binary, *args))


# Stock reads numbers with atoi(3): -1 and 65536 become ports modulo 65536, and 4369x is 4369.
@pytest.mark.parametrize("port", ["-1", "65536", "70000", "4369x", "99999999999999999999", " 4369", "0x10"])
def test_a_port_that_cannot_be_gets_the_usage(epmd_binary, port):
    check_usage(run(epmd_binary, "-port", port))
    check_usage(run(epmd_binary, "-port", port, "-names"))


def test_what_is_not_understood_is_said_last(epmd_binary):
    """Above a text that is longer than a screen nobody sees it."""
    assert run(epmd_binary, "-foo").stderr.splitlines()[-1] == "epmd: unknown flag -foo"


# Stock's atoi(3) again: -1 is a time that is always over, and 5x is 5.
@pytest.mark.parametrize("flag", ["-packet_timeout", "-delay_accept", "-delay_write"])
@pytest.mark.parametrize("seconds", ["-1", "5x", " 5", "2147483648"])
def test_seconds_that_cannot_be_get_the_usage(epmd_binary, flag, seconds):
    check_usage(run(epmd_binary, flag, seconds))


# Stock takes all of these for port 0, listens somewhere, and says nothing.
@pytest.mark.parametrize("args", [[], ["-names"]], ids=["serve", "names"])
@pytest.mark.parametrize("port", ["abc", "0", "-1", "65536", "4369x"])
def test_a_port_variable_that_cannot_be_is_named(epmd_binary, port, args):
    check_one_line(run(epmd_binary, *args, env={"ERL_EPMD_PORT": port}), f"ERL_EPMD_PORT={port}")


@pytest.mark.parametrize("args", [[], ["-names"]], ids=["serve", "names"])
def test_a_port_variable_of_a_service_link_names_the_service_and_both_mends(epmd_binary, args):
    done = run(epmd_binary, *args, env={"ERL_EPMD_PORT": "tcp://10.0.0.1:4369"})
    check_one_line(done, "tcp://10.0.0.1:4369", "Service", "erl-epmd", "enableServiceLinks: false",
                   "ERL_EPMD_PORT=4369")


def test_a_port_flag_beats_a_port_variable_that_cannot_be(binary, daemon):
    done = daemon.cli("-names", env={"ERL_EPMD_PORT": "tcp://10.0.0.1:4369"})
    assert done.returncode == 0


@pytest.mark.parametrize("addresses, wrong", [
    ("1.2.3", "1.2.3"), ("nonsense", "nonsense"), ("localhost", "localhost"), ("10.0.0.256", "10.0.0.256"),
    ("::zz", "::zz"), ("127.0.0.1,nonsense", "nonsense"), ("nonsense 127.0.0.1", "nonsense"),
])
@pytest.mark.parametrize("by", ["flag", "variable"])
def test_an_address_that_is_none(binary, by, addresses, wrong):
    args, env = by_flag_or_variable(by, addresses)
    check_one_line(run(binary, "-port", PORT, *args, env=env), f'cannot parse IP address "{wrong}"')


def by_flag_or_variable(by, addresses):
    return ([], {"ERL_EPMD_ADDRESS": addresses}) if by == "variable" else (["-address", addresses], {})


@pytest.mark.parametrize("addresses", [NOT_HERE, f"127.0.0.1,{NOT_HERE}", f"{NOT_HERE},127.0.0.2"])
@pytest.mark.parametrize("by", ["flag", "variable"])
def test_an_address_of_another_host(binary, by, addresses):
    args, env = by_flag_or_variable(by, addresses)
    check_one_line(run(binary, "-port", PORT, *args, env=env), NOT_HERE, "Cannot assign requested address")


def test_too_many_addresses(binary):
    addresses = ",".join(f"127.0.1.{i}" for i in range(1, 200))
    check_one_line(run(binary, "-port", PORT, "-address", addresses), "more than")


# Stock has room for 16 only, and does not parse the others.
@pytest.mark.parametrize("addresses", [",".join(f"127.0.1.{i}" for i in range(1, 41)), "127.0.0.2\t127.0.0.3\n"],
                         ids=["many", "blanks"])
def test_address_lists_that_stock_does_not_take(stock_epmd, epmd, epmd_binary, addresses):
    assert run(stock_epmd, "-port", PORT, "-address", addresses).returncode == 1
    assert epmd(epmd_binary, args=["-address", addresses]).names() == []


def test_systemd_without_sockets(binary):
    check_one_line(run(binary, "-systemd", "-port", PORT), "systemd provides no sockets")
