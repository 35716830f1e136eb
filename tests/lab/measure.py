"""What the kernel knows of a process."""

import os


def cpu_ns(pid):
    """CPU time of a process, in nanoseconds (the kernel's Documentation/scheduler/sched-stats.rst)."""
    with open(f"/proc/{pid}/schedstat", encoding="ascii") as stat:
        return int(stat.read().split()[0])


def private_kb(pid):
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as rollup:
        return sum(int(line.split()[1]) for line in rollup if line.startswith("Private_"))


def _status_kb(pid, key):
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        return next(int(line.split()[1]) for line in status if line.startswith(key + ":"))


def rss_kb(pid):
    return _status_kb(pid, "VmRSS")


def peak_kb(pid):
    return _status_kb(pid, "VmHWM")


def forget_peak(pid):
    """Count the peak anew from here (the kernel's Documentation/filesystems/proc.rst)."""
    with open(f"/proc/{pid}/clear_refs", "w", encoding="ascii") as refs:
        refs.write("5")


def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))
