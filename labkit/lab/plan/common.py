"""What nodes of every role have in common: paths, sysctls, commands, healthchecks."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv4Interface

from labkit.lab.plan.model import Bind, File, Healthcheck, Node
from labkit.names import handle

NFTABLES = "/etc/labkit/nftables.conf"
READY = "/run/labkit-ready"
NET_ADMIN = ("NET_ADMIN",)
VXLAN_PORT = 4789
TUNNEL_MTU = 1450
"""What is left of 1500 bytes, Azure's own MTU, after the headers of VXLAN."""


@dataclass(frozen=True, slots=True)
class Planned:
    """A node and the files that it alone needs."""

    node: Node
    files: tuple[File, ...] = ()


def node_file(node: str, name: str, target: str, template: str, /, **context: object) -> tuple[File, Bind]:
    """A rendered file of a node, and its bind at `target`."""
    path = f"nodes/{handle(node)}/{name}"
    return File(path, template, context), Bind(path, target)


def nftables(node: str, template: str, /, **context: object) -> tuple[File, Bind, str]:
    """A node's nftables file, its bind and the command that loads it."""
    file, bind = node_file(node, "nftables.conf", NFTABLES, template, **context)
    return replace(file, loader=("nft", "-f", "-")), bind, f"nft -f {NFTABLES}"


def platform_channel(node: str) -> tuple[File, Bind]:
    """The folder in which the controller and a node meet: out of band, so that no link of the lab carries it.

    The node finds the controller's socket and files there, and locks a file for as long as it lives; it writes none,
    or it could fill the disk that they are on.
    """
    folder = f"run/{handle(node)}"
    return File(f"{folder}/alive", ""), Bind(folder, "/run/labkit")


def environment(lab: str, node: str, **more: str) -> dict[str, str]:
    """The environment that every node has, and more."""
    return {"LABKIT_LAB": lab, "LABKIT_NODE": node, **more}


def sysctls(*, forward: bool) -> dict[str, str]:
    """The kernel's settings for a node, all of them set: a new network namespace inherits the host's values.

    - No redirects and no reverse-path filter: the fabric decides on the way, not the subnets.
    - No limit on ICMP errors, or a traceroute has holes.
    - No IPv6 addresses: a route server has none, and neighbour discovery would only be dropped by the fabric.
      `disable_ipv6` would do the same, but containerlab sets it to 0 as well, and which of them wins is chance.
    """
    return {
        "net.ipv4.ip_forward": "1" if forward else "0",
        "net.ipv4.conf.all.rp_filter": "0",
        "net.ipv4.conf.default.rp_filter": "0",
        "net.ipv4.conf.all.send_redirects": "0",
        "net.ipv4.conf.default.send_redirects": "0",
        "net.ipv4.conf.all.accept_redirects": "0",
        "net.ipv4.conf.default.accept_redirects": "0",
        "net.ipv4.icmp_ratelimit": "0",
        "net.ipv6.conf.default.addr_gen_mode": "1",
    }


def interface_up(interface: str, *addresses: IPv4Interface) -> tuple[str, ...]:
    """Commands that give an interface its addresses and bring it up; right as well when run again."""
    return (
        *(f"ip address replace {address} dev {interface}" for address in addresses),
        f"ip link set dev {interface} up",
    )


def tunnel(interface: str, vni: int, local: IPv4Address, remote: IPv4Address, device: str = "") -> str:
    """The command that makes a VXLAN tunnel (RFC 7348) between two addresses; right as well when run again.

    Its packets leave by the interface `device`, whatever the way to `remote`, if one is given.
    """
    ends = f"local {local} remote {remote} dstport {VXLAN_PORT} nolearning"
    ends += f" dev {device}" if device else ""
    add = f"ip link add {interface} mtu {TUNNEL_MTU} type vxlan id {vni} {ends}"
    return f"sh -c 'ip link show dev {interface} >/dev/null 2>&1 || {add}'"


def point_to_point(interface: str, own: IPv4Address, far: IPv4Address) -> tuple[str, ...]:
    """Commands for an end of a line that has no range: behind the interface is nothing but the far end's address."""
    return (f"ip address replace {own} peer {far} dev {interface}", f"ip link set dev {interface} up")


def ready(services: Iterable[str]) -> Healthcheck:
    """Healthy as soon as every service has marked itself ready."""
    marks = [("-e", f"{READY}/{service}") for service in services]
    words = [word for i, mark in enumerate(marks) for word in (("-a", *mark) if i else mark)]
    return Healthcheck(("CMD", "test", *words))
