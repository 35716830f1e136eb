"""The manual page, the usage text and the README know the same settings."""

import pathlib
import re
import subprocess

import pytest

TOP = pathlib.Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def settings(epmd_binary):
    """{variable: flag} as `epmd -h` lists them."""
    usage = subprocess.run([epmd_binary, "-h"], capture_output=True, text=True, check=True, timeout=10).stdout
    found = dict(re.findall(r"^  (-\w+) \S+ +\$(ERL_EPMD_\w+)$", usage, re.M))
    assert len(found) > 10
    return {variable: flag for flag, variable in found.items()}


def test_the_readme_lists_every_setting(settings):
    table = dict(re.findall(r"^\| `(ERL_EPMD_\w+)` \| `(-\w+)` \|", (TOP / "README.md").read_text(), re.M))
    assert table == settings


def test_the_manual_lists_every_setting(settings):
    manual = (TOP / "epmd" / "epmd.1").read_text()
    listed = dict(re.findall(r"^\.It Ev (ERL_EPMD_\w+) , Fl (\w+)$", manual, re.M))
    assert {variable: f"-{flag}" for variable, flag in listed.items()} == settings


def test_the_manual_is_well_formed():
    lint = subprocess.run(["mandoc", "-Tlint", "-Wwarning", TOP / "epmd" / "epmd.1"],
                          capture_output=True, text=True, timeout=10)
    assert lint.stdout == "" and lint.returncode == 0
