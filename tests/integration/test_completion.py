"""Completion for bash knows what `epmd -h` lists, and bash takes it."""

import os
import pathlib
import re
import subprocess

import pytest

from lab.namespace import clean_env

FILE = pathlib.Path(__file__).resolve().parents[2] / "epmd" / "completion" / "epmd"

SCRIPT = """
source "$1"; shift
COMP_WORDS=("$@"); COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
_epmd
printf '%s\\n' "${COMPREPLY[@]}"
"""


def complete(*words, env=None):
    done = subprocess.run(["bash", "-uc", SCRIPT, "bash", FILE, *words], env=clean_env(env), capture_output=True,
                          text=True, timeout=10, check=True)
    assert done.stderr == ""
    return set(done.stdout.split())


@pytest.fixture(scope="module")
def usage(epmd_binary):
    return subprocess.run([epmd_binary, "-h"], capture_output=True, text=True, check=True, timeout=10).stdout


def test_it_knows_every_flag(usage):
    listed = set(re.findall(r"^  (-\w+)", usage, re.M)) | set(re.findall(r"^  -\w+, (-\w+)", usage, re.M))
    assert len(listed) > 30
    assert complete("epmd", "-") == listed | {"-version", "-h"}


def test_the_words_of_a_setting_are_those_that_it_takes(epmd_binary):
    for flag in ("-discovery", "-host_mode", "-join_mode", "-join_when", "-show_names", "-log_level", "-log_format"):
        words = complete("epmd", flag, "") - {"file:"}
        assert len(words) >= 2
        said = subprocess.run([epmd_binary, "-discovery", "kubernetes", "-selector", "app=sample", "-port", "1", flag, "no-such-word"], env=clean_env(),
                              capture_output=True, text=True, timeout=10, check=False)
        assert said.returncode == 1
        for word in words:
            assert word in said.stdout + said.stderr, (flag, word)


def test_values_files_and_names(epmd_binary, epmd, tmp_path):
    (tmp_path / "the.cookie").touch()
    assert complete("epmd", "-join_mode", "i") == {"initial"}
    assert complete("epmd", "-peers", "") == complete("epmd", "-doctor", "-") == {"-json"}
    assert complete("epmd", "-cookie_file", f"{tmp_path}/the") == {f"{tmp_path}/the.cookie"}
    assert "syslog" in complete("epmd", "-log", "sys")
    assert complete("epmd", "-port", "43") == set()
    daemon = epmd(epmd_binary)
    with daemon.register("sample", 41001):
        assert complete(epmd_binary, "-stop", "", env={"ERL_EPMD_PORT": str(daemon.port), "PATH": os.environ["PATH"]}) \
            == {"sample"}
