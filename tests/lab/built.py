"""Programs that a script gets or builds once and then keeps in the cache."""

import pathlib
import subprocess
import tempfile

SCRIPTS = pathlib.Path(__file__).parents[2] / "scripts"
TIMEOUT = 3600
EX_TEMPFAIL = 75
LOG_TAIL_LINES = 25


class Unavailable(Exception):
    """The programs cannot be had on this machine; the text says why. Tests skip with it."""


class BuildError(Exception):
    """They should be there, but the build went wrong."""


def built(script, *words):
    """The path that scripts/SCRIPT prints, after building what is to be there if need be."""
    # In a file of its own and not through a pipe: a build says a lot.
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as progress:
        done = subprocess.run([SCRIPTS / script, *words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=progress, text=True, timeout=TIMEOUT, check=False)
        progress.seek(0)
        said = progress.read().splitlines()
    if done.returncode == EX_TEMPFAIL:
        raise Unavailable(said[-1] if said else f"scripts/{script} gave no reason")
    if done.returncode != 0:
        raise BuildError("\n".join([f"scripts/{script}: exit status {done.returncode}", *said[-LOG_TAIL_LINES:]]))
    return pathlib.Path(done.stdout.strip())
