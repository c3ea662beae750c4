"""Tries what the sandbox asks of the kernel, in namespaces of its own, and prints what failed.

Run in a fresh interpreter as `main()`. Prints a JSON object: each step's name with the error's number and text, or
null. Steps that could not be tried, because one that they need failed, are not there.
"""

from __future__ import annotations

import json
import os
import socket
import struct
import sys
from collections.abc import Callable
from pathlib import Path

from labkit import linux
from labkit.runtimes.sandbox import launcher, netlink, rootfs

_NETLINK_NETFILTER = 12
_NFNL_SUBSYS_NFTABLES = 10
_NFT_MSG_NEWTABLE, _NFT_MSG_NEWCHAIN = 0, 3
_NFNL_BATCH_BEGIN, _NFNL_BATCH_END = 0x10, 0x11
_NFPROTO_NETDEV = 5
_RTM_NEWNEXTHOP = 104
_RTM_NEWRULE, _FR_ACT_TO_TBL = 32, 1
_CREATE = 0x400

Failure = tuple[int, str]


def main() -> None:
    """Try all steps."""
    results: dict[str, Failure | None] = {}
    if _try(results, "namespaces", launcher.make_namespaces):
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(reader)
            _inside(results)
            os.write(writer, json.dumps(results).encode())
            os._exit(0)
        os.close(writer)
        with os.fdopen(reader) as file:
            results = json.loads(file.read() or "{}")
        os.waitpid(pid, 0)
    json.dump(results, sys.stdout)


def _try(results: dict[str, Failure | None], name: str, step: Callable[[], None]) -> bool:
    try:
        step()
    except OSError as error:
        results[name] = (error.errno or 0, f"{error.filename or name}: {error.strerror}")
        return False
    results[name] = None
    return True


def _inside(results: dict[str, Failure | None]) -> None:
    if _try(results, "mount", _mount):
        _try(results, "sysfs", lambda: linux.mount("sysfs", "/tmp/sys", "sysfs", linux.MS_RDONLY))  # noqa: S108
        if _try(results, "overlay", _overlay):
            _try(results, "pivot_root", _pivot)
    _try(results, "devices", _devices)
    _try(results, "veth", lambda: _link("veth"))
    _try(results, "bridge", lambda: _link("bridge"))
    _try(results, "nexthop", _nexthop)
    _try(results, "rule", _rule)
    _try(results, "nftables", _nftables)


def _mount() -> None:
    linux.unshare(linux.CLONE_NEWNS)
    linux.mount("none", "/", flags=linux.MS_REC | linux.MS_SLAVE)
    linux.mount("proc", "/proc", "proc")
    linux.mount("labkit", "/tmp", "tmpfs")  # noqa: S108 - in a mount namespace of its own
    for name in ("sys", "lower", "upper", "work", "root"):
        Path("/tmp", name).mkdir()  # noqa: S108


def _overlay() -> None:
    options = "lowerdir=/tmp/lower,upperdir=/tmp/upper,workdir=/tmp/work,index=off"
    own = not launcher.whole_machine()
    linux.mount("overlay", "/tmp/root", "overlay", 0, options + (",userxattr" if own else ""))  # noqa: S108


def _pivot() -> None:
    pid = os.fork()
    if pid == 0:
        linux.unshare(linux.CLONE_NEWNS)
        os.chdir("/tmp/root")  # noqa: S108
        try:
            linux.pivot_root_here()
        except OSError as error:
            os._exit(error.errno or 1)
        os._exit(0)
    number = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if number:
        raise OSError(number, os.strerror(number), "pivot_root")


def _devices() -> None:
    for name in rootfs.DEVICES:
        os.close(os.open(f"/dev/{name}", os.O_PATH))


def _link(kind: str) -> None:
    with netlink.Netlink() as here:
        here.send([netlink.new_link(kind)])


def _nexthop() -> None:
    """Create nexthop object 1, a blackhole."""
    body = struct.pack("=BBBBI", socket.AF_INET, 0, 0, 0, 0)
    body += netlink.attribute(1, struct.pack("=I", 1)) + netlink.attribute(4, b"")
    netlink.loopback_up()
    with netlink.Netlink() as here:
        here.send([(_RTM_NEWNEXTHOP, _CREATE, body)])


def _rule() -> None:
    """Create a policy rule: a look into table 100 for every packet."""
    body = struct.pack("=BBBBBBBBI", socket.AF_INET, 0, 0, 0, 100, 0, 0, _FR_ACT_TO_TBL, 0)
    with netlink.Netlink() as here:
        here.send([(_RTM_NEWRULE, _CREATE, body)])


def _nftables() -> None:
    """Create a netdev table with an ingress chain on `lo`."""
    attribute = netlink.attribute
    hook = attribute(1, struct.pack(">I", 0)) + attribute(2, struct.pack(">i", 0)) + attribute(3, b"lo\0")
    table = attribute(1, b"labkit\0")
    chain = table + attribute(3, b"trial\0") + attribute(4 | 0x8000, hook) + attribute(7, b"filter\0")
    batch = struct.pack(">BBH", 0, 0, _NFNL_SUBSYS_NFTABLES)
    family = struct.pack(">BBH", _NFPROTO_NETDEV, 0, 0)
    kind = _NFNL_SUBSYS_NFTABLES << 8
    messages = [
        netlink.pack((_NFNL_BATCH_BEGIN, 0, batch), 0, 0),
        netlink.pack((kind | _NFT_MSG_NEWTABLE, _CREATE, family + table), 1, 0),
        netlink.pack((kind | _NFT_MSG_NEWCHAIN, _CREATE, family + chain), 2, 4),
        netlink.pack((_NFNL_BATCH_END, 0, batch), 3, 0),
    ]
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_NETFILTER) as here:
        here.bind((0, 0))
        here.settimeout(5)
        here.send(b"".join(messages))
        number = -struct.unpack_from("=i", here.recv(1 << 16), 16)[0]
        if number:
            raise OSError(number, os.strerror(number), "nftables")
