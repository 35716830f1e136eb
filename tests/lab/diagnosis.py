"""What `epmd -doctor` says."""

from .wait import until


def wait_well(ask, timeout, log, words=()):
    """Until the diagnosis that `ask` runs has nothing but good to say, the `words` among it; its text."""
    seen = {}

    def well():
        seen["done"] = ask()
        said = seen["done"].stdout
        return seen["done"].returncode == 0 and "wait: " not in said and all(word in said for word in words)

    try:
        until(well, timeout, "", every=0.2)
    except TimeoutError:
        raise TimeoutError(f"not well in {timeout:g} s:\n{seen['done'].stdout}\n{log()}") from None
    return seen["done"].stdout
