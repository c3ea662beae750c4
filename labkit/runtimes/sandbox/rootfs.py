"""A node's own root: an overlay on its image, and the mounts that a container has.

Runs in the node's first process, a child of the sandbox's init. Every path inside the node is resolved after the node's
root has become the root, so that no symbolic link of an image can lead a mount or a file outside it.
"""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path

from labkit import linux
from labkit.runtimes.sandbox import netlink, sysctls
from labkit.runtimes.sandbox.spec import Node

_PLAIN = linux.MS_NOSUID | linux.MS_NODEV | linux.MS_NOEXEC
DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
_DEVICE_LINKS = {"ptmx": "pts/ptmx", "fd": "/proc/self/fd", "stdin": "fd/0", "stdout": "fd/1", "stderr": "fd/2"}

# What Docker hides from containers or makes read-only: parts of /proc and /sys that belong to the whole machine.
_HIDDEN = (
    "/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/sched_debug",
    "/proc/scsi", "/proc/timer_list", "/sys/firmware", "/sys/devices/virtual/powercap",
)  # fmt: skip
_READ_ONLY = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sysrq-trigger")


class BuildFailed(Exception):
    """A node could not be built; `kind` is `input` or `environment` as in `labkit.errors`."""

    def __init__(self, kind: str, message: str, remedy: str) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.remedy = remedy


def build(node: Node, scratch: str, *, own_user_namespace: bool) -> None:
    """Give the calling process the node's namespaces, root and settings. Its PID namespace it must have already.

    `scratch` is a directory on the node's own tmpfs that holds what the node writes; it outlives a power-off.
    """
    linux.unshare(linux.CLONE_NEWNS | linux.CLONE_NEWNET | linux.CLONE_NEWUTS | linux.CLONE_NEWIPC)
    socket.sethostname(node.name)
    netlink.loopback_up()
    sources = [_open_source(node, bind.source) for bind in node.binds]
    devices = {name: os.open(f"/dev/{name}", os.O_PATH | os.O_CLOEXEC) for name in DEVICES}
    _overlay(node.layers, scratch, own_user_namespace=own_user_namespace)
    os.chdir(f"{scratch}/root")
    linux.pivot_root_here()
    # From here on "/" is the node's; "." is still the old root, stacked on it, so that it can be taken away last:
    # the kernel lets a user namespace mount proc and sysfs only while it can see whole ones.
    _directory("/proc")
    linux.mount("proc", "/proc", "proc", _PLAIN)
    _directory("/sys")
    linux.mount("sysfs", "/sys", "sysfs", _PLAIN | linux.MS_RDONLY)
    _dev(devices, own_user_namespace=own_user_namespace)
    _tmpfs("/run", "mode=755,size=64m,nr_inodes=16k")
    _tmpfs("/tmp", "mode=1777,size=128m,nr_inodes=16k")  # noqa: S108 - the node's own
    _names(node.name)
    for bind, source in zip(node.binds, sources, strict=True):
        _bind(source, bind.target, read_only=bind.read_only)
    _sysctls(node)
    _protect(writable_sysctls=node.writable_sysctls)
    linux.umount(".", linux.MNT_DETACH)
    os.chdir("/")


def read_only_image(layers: tuple[str, ...]) -> None:
    """Give the calling process an image as its root, read-only, and /proc; it stays in its other namespaces."""
    linux.unshare(linux.CLONE_NEWNS)
    # Nothing is written, so the mount needs no place of its own: it may lie over one of the layers.
    linux.mount("overlay", layers[0], "overlay", linux.MS_NODEV | linux.MS_RDONLY, f"lowerdir={_opened(layers)}")
    os.chdir(layers[0])
    linux.pivot_root_here()
    linux.mount("proc", "/proc", "proc", _PLAIN)
    linux.umount(".", linux.MNT_DETACH)
    os.chdir("/")


def _open_source(node: Node, source: str) -> int:
    try:
        return os.open(source, os.O_PATH | os.O_CLOEXEC)
    except OSError as error:
        raise BuildFailed(
            "input",
            f"node {node.name}: bind source {source}: {error.strerror}.",
            "Create the file or directory, or take the bind out of the topology.",
        ) from error


def _overlay(layers: tuple[str, ...], scratch: str, *, own_user_namespace: bool) -> None:
    for name in ("upper", "work", "root"):
        Path(scratch, name).mkdir(exist_ok=True)
    base = _opened((scratch,))
    options = f"lowerdir={_opened(layers)},upperdir={base}/upper,workdir={base}/work,index=off"
    if own_user_namespace:
        options += ",userxattr"  # trusted.* attributes are for the initial user namespace alone
    linux.mount("overlay", f"{scratch}/root", "overlay", linux.MS_NODEV, options)


def _opened(folders: tuple[str, ...]) -> str:
    """Folders for overlayfs's options: as descriptors no character needs escaping, and no path is too long."""
    where = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
    return ":".join(f"/proc/self/fd/{os.open(folder, where)}" for folder in folders)


def _dev(devices: dict[str, int], *, own_user_namespace: bool) -> None:
    _directory("/dev")
    # The devices are mounts of their own: one that the node makes itself, such as a disk of the machine, does not open.
    linux.mount("tmpfs", "/dev", "tmpfs", linux.MS_NOSUID | linux.MS_NODEV, "mode=755,size=64k,nr_inodes=1k")
    for name, descriptor in devices.items():
        _bind(descriptor, f"/dev/{name}", read_only=False)
    Path("/dev/pts").mkdir()
    # A user namespace with one ID has no group tty; without the option slaves get their opener's group.
    group = "" if own_user_namespace else ",gid=5"
    linux.mount(
        "devpts", "/dev/pts", "devpts", linux.MS_NOSUID | linux.MS_NOEXEC, f"newinstance,ptmxmode=0666,mode=0620{group}"
    )
    Path("/dev/shm").mkdir()  # noqa: S108
    linux.mount("shm", "/dev/shm", "tmpfs", _PLAIN, "mode=1777,size=64m,nr_inodes=16k")  # noqa: S108
    for name, target in _DEVICE_LINKS.items():
        Path("/dev", name).symlink_to(target)


def _tmpfs(target: str, options: str) -> None:
    _directory(target)
    linux.mount("tmpfs", target, "tmpfs", linux.MS_NOSUID | linux.MS_NODEV, options)


def _names(name: str) -> None:
    """Write /etc/hostname, /etc/hosts and an empty /etc/resolv.conf, whatever the image had there."""
    contents = {
        "hostname": f"{name}\n",
        "hosts": f"127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n127.0.1.1\t{name}\n",
        "resolv.conf": "",
    }
    _directory("/etc")
    for file, content in contents.items():
        path = Path("/etc", file)
        # A node that was on before has them already, and perhaps no room for them again.
        if not _holds(path, content.encode()):
            path.unlink(missing_ok=True)  # an image may have a link there, and who was in the node anything at all
            path.write_text(content)


def _holds(path: Path, content: bytes) -> bool:
    """Whether a path is a file with this content. What is no file, or far longer, is not opened."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return False
    return stat.S_ISREG(found.st_mode) and found.st_size == len(content) and path.read_bytes() == content


def _directory(path: str) -> None:
    Path(path).mkdir(parents=True, exist_ok=True)


def _bind(source: int, target: str, *, read_only: bool) -> None:
    path = Path(target).resolve()  # an image may have a link there that leads to nothing yet
    if stat.S_ISDIR(os.fstat(source).st_mode):
        path.mkdir(parents=True, exist_ok=True)
    elif not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    linux.mount(f"/proc/self/fd/{source}", str(path), flags=linux.MS_BIND | linux.MS_REC)
    if read_only:
        linux.remount_bind(str(path), add=linux.MS_RDONLY)


def _sysctls(node: Node) -> None:
    for name, value in node.sysctls.items():
        try:
            Path("/proc/sys", sysctls.path_of(name)).write_text(value)
        except OSError as error:
            raise BuildFailed(
                "environment",
                f"node {node.name}: sysctl {name}={value}: {error.strerror}.",
                "Check its name and value; if they are right, this kernel lacks it or does not let a network "
                "namespace set it. Take it out of the topology.",
            ) from error


def _protect(*, writable_sysctls: bool) -> None:
    for path in (*_READ_ONLY, "/proc/sys"):
        if Path(path).exists():
            linux.mount(path, path, flags=linux.MS_BIND | linux.MS_REC)
            linux.remount_bind(path, add=linux.MS_RDONLY)
    if writable_sysctls:
        # net alone: those are the node's own, while others belong to the whole machine.
        linux.mount("/proc/sys/net", "/proc/sys/net", flags=linux.MS_BIND | linux.MS_REC)
        linux.remount_bind("/proc/sys/net", remove=linux.MS_RDONLY)
    for path in _HIDDEN:
        hidden = Path(path)
        if hidden.is_dir():
            linux.mount("tmpfs", path, "tmpfs", _PLAIN | linux.MS_RDONLY, "size=0,mode=000")
        elif hidden.exists():
            linux.mount("/dev/null", path, flags=linux.MS_BIND)
