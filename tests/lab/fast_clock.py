"""Programs whose clock goes faster: an hour of waiting in a minute, by Debian's libfaketime."""

import glob

LIBRARIES = "/usr/lib/*/faketime/libfaketime.so.1"


def unavailable(binary_is_sanitized=False):
    """Why clocks cannot be made to go faster, or None if they can."""
    if binary_is_sanitized:
        return "libfaketime and the sanitizers do not bear each other"
    if not glob.glob(LIBRARIES):
        return "no libfaketime: install the package of that name"
    return None


def env(speed):
    """What a program has to have in its environment: `speed` of its seconds go by in one."""
    return {"LD_PRELOAD": glob.glob(LIBRARIES)[0], "FAKETIME": f"+0 x{speed}"}
