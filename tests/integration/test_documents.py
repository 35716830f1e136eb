"""The manual page, the usage text and the README know the same settings."""

import pathlib
import re
import subprocess
import sys

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


# doc/compatibility.md

COMMAND = re.compile(r'`(test_\w+\.py)(?: -k (?:"([^"]+)"|([\w-]+)))?`')
TESTS = TOP / "tests" / "integration"


def rows_of(page):
    """What stands below the heads of the page's tables."""
    lines = page.read_text().splitlines()
    tables = [line for line in lines if line.startswith("|")]
    heads = [number for number, line in enumerate(tables) if re.fullmatch(r"[|-]+", line)]
    return [line for number, line in enumerate(tables) if number not in heads and number + 1 not in heads]


def chooses(expression, test):
    """As `-k` does, of which the page needs `and` and `or` alone."""
    return any(all(word in test for word in words.split(" and ")) for words in expression.split(" or "))


@pytest.fixture(scope="module")
def collected():
    """{file: its tests} of the files that the page names."""
    files = sorted({match[1] for match in COMMAND.finditer((TOP / "doc" / "compatibility.md").read_text())})
    done = subprocess.run([sys.executable, "-m", "pytest", "-q", "--collect-only", "-p", "no:cacheprovider",
                           *(TESTS / file for file in files)], capture_output=True, text=True, timeout=120)
    tests = re.findall(r"(test_\w+\.py)::(.+)", done.stdout)
    return {file: [name.lower() for its, name in tests if its == file] for file in files}


def test_each_row_of_the_compatibility_page_names_tests_that_exist(collected):
    rows = rows_of(TOP / "doc" / "compatibility.md")
    assert len(rows) > 50
    for row in rows:
        commands = list(COMMAND.finditer(row.split(" | ")[-1]))
        assert commands, row
        for command in commands:
            expression = command[2] or command[3] or ""
            assert any(chooses(expression, test) for test in collected[command[1]]), command[0]
            assert all(any(word in test for test in collected[command[1]])
                       for word in re.split(" and | or ", expression)), command[0]
