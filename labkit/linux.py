"""The Linux calls for which Python 3.11 has no function. Every failure is an OSError that names what was attempted."""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import struct
from collections.abc import Sequence
from pathlib import Path

CLONE_NEWNS = 0x00020000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

MS_RDONLY = 0x1
MS_NOSUID = 0x2
MS_NODEV = 0x4
MS_NOEXEC = 0x8
MS_REMOUNT = 0x20
MS_BIND = 0x1000
MS_REC = 0x4000
MS_SLAVE = 0x80000
MNT_DETACH = 0x2

CHROOT = "chroot"
"""What the error of `must_have_whole_root` names."""

_PR_SET_PDEATHSIG = 1
_PR_CAPBSET_READ = 23
_PR_CAPBSET_DROP = 24
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_CLEAR_ALL = 4
_CAPABILITY_VERSION_3 = 0x20080522

# The mount flags that statvfs reports with the same values as mount(2), and that a remount must repeat.
_KEPT_FLAGS = MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC | 0x400 | 0x800 | 0x1000

# pivot_root has no wrapper in the C library; its number differs between architectures.
_PIVOT_ROOT = {
    "x86_64": 155,
    "aarch64": 41,
    "riscv64": 41,
    "loongarch64": 41,
    "armv7l": 218,
    "ppc64le": 203,
    "s390x": 217,
}

CAPABILITIES = (
    "CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID", "SETPCAP",
    "LINUX_IMMUTABLE", "NET_BIND_SERVICE", "NET_BROADCAST", "NET_ADMIN", "NET_RAW", "IPC_LOCK", "IPC_OWNER",
    "SYS_MODULE", "SYS_RAWIO", "SYS_CHROOT", "SYS_PTRACE", "SYS_PACCT", "SYS_ADMIN", "SYS_BOOT", "SYS_NICE",
    "SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "MKNOD", "LEASE", "AUDIT_WRITE", "AUDIT_CONTROL", "SETFCAP",
    "MAC_OVERRIDE", "MAC_ADMIN", "SYSLOG", "WAKE_ALARM", "BLOCK_SUSPEND", "AUDIT_READ", "PERFMON", "BPF",
    "CHECKPOINT_RESTORE",
)  # fmt: skip
"""Capability names in the kernel's order (include/uapi/linux/capability.h)."""

_libc = ctypes.CDLL(None, use_errno=True)


def _check(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), what)
    return result


def unshare(flags: int) -> None:
    """Move the calling process into new namespaces."""
    _check(_libc.unshare(flags), "unshare")


def setns(fd: int, flags: int) -> None:
    """Join the namespace `fd`, or of the process whose pidfd it is, those that `flags` name (Linux 5.8)."""
    _check(_libc.setns(fd, flags), "setns")


def mount(source: str, target: str, kind: str = "", flags: int = 0, data: str = "") -> None:
    """Mount a file system, or change a mount; `data` are the file system's options."""
    result = _libc.mount(
        os.fsencode(source),
        os.fsencode(target),
        kind.encode() if kind else None,
        ctypes.c_ulong(flags),
        data.encode() if data else None,
    )
    _check(result, f"mount {kind or source} on {target}")


def remount_bind(target: str, add: int = 0, remove: int = 0) -> None:
    """Change the flags of the mount at `target` alone, not of its file system, keeping the others it has."""
    flags = (os.statvfs(target).f_flag & _KEPT_FLAGS | add) & ~remove
    mount("none", target, flags=MS_REMOUNT | MS_BIND | flags)


def umount(target: str, flags: int = 0) -> None:
    """Unmount, as in umount2(2)."""
    _check(_libc.umount2(os.fsencode(target), flags), f"umount {target}")


def pivot_root_here() -> None:
    """Make the working directory (a mount point) the root; the old root stays stacked on it until `umount(".")`."""
    number = _PIVOT_ROOT.get(os.uname().machine)
    if number is None:
        raise OSError(38, f"pivot_root is not known for {os.uname().machine}", "pivot_root")
    _check(_libc.syscall(ctypes.c_long(number), b".", b"."), "pivot_root")


def must_have_whole_root() -> None:
    """Check that the root directory is that of the mount namespace, which is what whoever joins a node gets as its own.

    In a chroot it is not: commands in nodes would see the machine's files. To a user namespace the kernel refuses it.

    Raises:
        OSError: this is a chroot.
    """
    pid = os.fork()  # who joins its own mount namespace has its root directory from then on
    if pid == 0:
        status = 1
        try:
            proc = os.open("/proc", os.O_PATH | os.O_DIRECTORY)
            mine = _mount_of_root(proc)
            setns(os.open("/proc/self/ns/mnt", os.O_RDONLY), CLONE_NEWNS)
            status = 0 if _mount_of_root(proc) == mine else 1
        finally:
            os._exit(status)
    if os.waitpid(pid, 0)[1]:
        raise OSError(errno.EPERM, "the root directory is not that of the mount namespace", CHROOT)


def _mount_of_root(proc: int) -> str:
    """The number of the mount that the root directory is in; `proc` is a descriptor of /proc."""
    root = os.open("/", os.O_PATH | os.O_DIRECTORY)
    with open(f"self/fdinfo/{root}", opener=lambda path, flags: os.open(path, flags, dir_fd=proc)) as lines:
        return next(line for line in lines if line.startswith("mnt_id:"))


def limit_capabilities(keep: frozenset[int]) -> None:
    """Reduce what the next `execve` as root may get to `keep`: bounding set; nothing inheritable or ambient."""
    for number in range(64):
        if number in keep:
            continue
        if int(_libc.prctl(_PR_CAPBSET_READ, number, 0, 0, 0)) < 0:
            break  # beyond the kernel's last capability
        _check(_libc.prctl(_PR_CAPBSET_DROP, number, 0, 0, 0), f"drop capability {number}")
    _check(_libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0), "clear ambient capabilities")
    effective, permitted = _capabilities(0)
    _set_capabilities(effective, permitted)


def drop_capabilities(keep: frozenset[int]) -> None:
    """Reduce what the calling process has, and may get by any `execve`, to `keep`."""
    limit_capabilities(keep)
    mask = sum(1 << number for number in keep)
    effective, permitted = _capabilities(0)
    _set_capabilities(effective & mask, permitted & mask)


def permitted_capabilities(pid: int) -> frozenset[int]:
    """What a process may have. Raises ProcessLookupError if it has ended."""
    _, permitted = _capabilities(pid)
    return frozenset(number for number in range(64) if permitted >> number & 1)


def _capabilities(pid: int) -> tuple[int, int]:
    """A process's effective and permitted capabilities; 0 for the calling one."""
    header = ctypes.create_string_buffer(struct.pack("=Ii", _CAPABILITY_VERSION_3, pid), 8)
    data = ctypes.create_string_buffer(24)
    _check(_libc.capget(header, data), "capget")
    effective0, permitted0, _, effective1, permitted1, _ = struct.unpack("=6I", data.raw)
    return effective1 << 32 | effective0, permitted1 << 32 | permitted0


def _set_capabilities(effective: int, permitted: int) -> None:
    header = ctypes.create_string_buffer(struct.pack("=Ii", _CAPABILITY_VERSION_3, 0), 8)
    low = 0xFFFFFFFF
    words = (effective & low, permitted & low, 0, effective >> 32, permitted >> 32, 0)
    data = ctypes.create_string_buffer(struct.pack("=6I", *words), 24)
    _check(_libc.capset(header, data), "capset")


def die_with_parent() -> None:
    """Have the calling process killed when the one that forked it ends."""
    _check(_libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0), "set the parent's death signal")


def set_command_line(words: Sequence[str]) -> None:
    """Show `words` as the calling process's command line, as far as there is room: as long as the former one was."""
    fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    begin, end = int(fields[45]), int(fields[46])
    text = b"".join(word.encode() + b"\0" for word in words)[: end - begin - 1]
    ctypes.memmove(begin, text.ljust(end - begin, b"\0"), end - begin)
