"""One version, configure.ac's, wherever one is named."""

import pathlib
import re
import subprocess

TOP = pathlib.Path(__file__).resolve().parents[2]
VERSION = re.search(r"^AC_INIT\(\[kepmd\], \[(.+)\]\)$", (TOP / "configure.ac").read_text(), re.M).group(1)


def test_the_program(epmd_binary):
    done = subprocess.run([epmd_binary, "-version"], capture_output=True, text=True, check=True, timeout=10)
    assert done.stdout == f"kepmd {VERSION}\n"


def test_the_debian_package():
    assert re.match(r"kepmd \((.+)\) ", (TOP / "debian/changelog").read_text()).group(1) == VERSION


def test_the_news():
    assert re.search(r"^(\d\S*)", (TOP / "NEWS").read_text(), re.M).group(1) == VERSION
