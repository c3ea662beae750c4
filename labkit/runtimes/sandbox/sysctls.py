"""Sysctls: their names, and which of them a node may have for itself."""

from __future__ import annotations

# Those of the network, IPC and UTS namespaces. Every other belongs to the whole machine.
_NAMESPACED = ("net/", "fs/mqueue/", "kernel/msg", "kernel/sem", "kernel/shm", "kernel/domainname")


def path_of(name: str) -> str:
    """The file below /proc/sys, as sysctl(8) reads names: the first separator decides what the other means.

    So net/ipv4/conf/eth0.100/forwarding can be named too, or net.ipv4.conf.eth0/100.forwarding.
    """
    first = next((character for character in name if character in "./"), ".")
    return name if first == "/" else name.translate(str.maketrans("./", "/."))


def namespaced(name: str) -> bool:
    """Whether a node can have its own value of a sysctl."""
    path = path_of(name)
    return path.startswith(_NAMESPACED) and ".." not in path.split("/")
