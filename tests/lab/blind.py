"""Becomes a program that may not see what others do:

    python3 blind.py [--no-proc] [--mute] PROGRAM ARGUMENT...

--no-proc: /proc is empty. --mute: the kernel answers no question about sockets (sock_diag), as where a seccomp
profile forbids it. Needs root."""

import ctypes
import os
import platform
import struct
import sys

CLONE_NEWNS = 0x20000
MS_REC, MS_PRIVATE = 1 << 14, 1 << 18
PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 38, 22, 2
SOCKET = {"x86_64": 41, "aarch64": 198}  # system calls
AF_NETLINK, NETLINK_SOCK_DIAG = 16, 4
EPERM = 1

libc = ctypes.CDLL(None, use_errno=True)


def check(result):
    if result != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def hide_proc():
    check(libc.unshare(CLONE_NEWNS))
    check(libc.mount(b"none", b"/", None, ctypes.c_ulong(MS_REC | MS_PRIVATE), None))
    check(libc.mount(b"none", b"/proc", b"tmpfs", ctypes.c_ulong(0), None))


class Program(ctypes.Structure):
    """struct sock_fprog"""
    _fields_ = [("len", ctypes.c_ushort), ("filter", ctypes.c_char_p)]


def mute_kernel():
    """By a program of seccomp(2): socket(AF_NETLINK, ..., NETLINK_SOCK_DIAG) is EPERM."""
    load, jump_if_equal, answer = 0x20, 0x15, 0x06
    number, first, third = 0, 16, 32  # in struct seccomp_data
    allow, refuse = 0x7fff0000, 0x00050000 | EPERM
    words = [(load, 0, 0, number), (jump_if_equal, 0, 5, SOCKET[platform.machine()]),
             (load, 0, 0, first), (jump_if_equal, 0, 3, AF_NETLINK),
             (load, 0, 0, third), (jump_if_equal, 0, 1, NETLINK_SOCK_DIAG),
             (answer, 0, 0, refuse), (answer, 0, 0, allow)]
    code = b"".join(struct.pack("=HBBI", *word) for word in words)
    check(libc.prctl(PR_SET_NO_NEW_PRIVS, ctypes.c_ulong(1), 0, 0, 0))
    check(libc.prctl(PR_SET_SECCOMP, ctypes.c_ulong(SECCOMP_MODE_FILTER),
                     ctypes.byref(Program(len(words), code)), 0, 0))


def main(words):
    steps = {"--no-proc": hide_proc, "--mute": mute_kernel}
    while words[0] in steps:
        steps[words.pop(0)]()
    os.execvp(words[0], words)


if __name__ == "__main__":
    main(sys.argv[1:])
