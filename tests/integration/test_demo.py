"""`scripts/demo`, which the README names first, with the epmd under test."""

import os
import pathlib
import subprocess

SCRIPTS = pathlib.Path(__file__).resolve().parents[2] / "scripts"
TIMEOUT = 180  # it takes some 12 s


def test_the_demo_works(epmd_binary, network):  # noqa: ARG001 (skips where there can be no pods)
    env = {**os.environ, "PYTHONPATH": str(SCRIPTS.parent / "tests"), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(["/usr/bin/python3", SCRIPTS / "demo.py", epmd_binary], env=env, capture_output=True, text=True,
                          timeout=TIMEOUT, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "all of it worked" in done.stdout
    assert "3 discovered" not in done.stdout and "2 discovered, 2 joined" in done.stdout
