"""Where an instance of a gateway sends packets, other than by its daemon's routes.

All that comes by a circuit or a tunnel its kernel sends into the virtual network, where GatewaySubnet's effective
routes decide where it goes, back into a circuit or a tunnel too [gateway-forwards-by-subnet]. The daemon's routes, in
the main table, are for what comes out of the virtual network, and out of the other instance of a VPN gateway: between
the two there is a tunnel through GatewaySubnet, for what only one of them has a way to [instances-exchange].

Its link to the Internet is for its tunnels' packets alone: they follow a table of their own, by their source, its
public address. What it forwards to the Internet goes where BGP or a static prefix leads it.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Interface, IPv4Network

from labkit.lab.plan.common import interface_up, point_to_point, tunnel
from labkit.lab.plan.nic_tables import RULE_PROTOCOL

MARK = 1
"""What nftables marks such packets with."""

TABLE = 100
"""The routing table that packets with the mark follow."""

_UNDERLAY = 101
"""The routing table of what has an instance's public address as its source."""

SIBLING = "instance"
"""The interface of the tunnel to the other instance."""

_VNI = 1 << 20
"""Beyond the numbers of all other tunnels; an instance has one such."""


def rule_commands(interface: str, subnet_gateway: IPv4Address, public: IPv4Address | None) -> tuple[str, ...]:
    """The commands for the rules and the first table; right as well when run again, once `interface` is up.

    `public` is the address with which the instance is in the Internet, if it is.
    """
    return (
        f"ip route replace default via {subnet_gateway} dev {interface} table {TABLE} proto static",
        f"ip rule flush protocol {RULE_PROTOCOL}",
        f"ip rule add priority {TABLE} fwmark {MARK} lookup {TABLE} protocol {RULE_PROTOCOL}",
        *(
            (f"ip rule add priority {_UNDERLAY} from {public} lookup {_UNDERLAY} protocol {RULE_PROTOCOL}",)
            if public is not None
            else ()
        ),
    )


def underlay_commands(
    interface: str, public: IPv4Address, provider: IPv4Address, internet: IPv4Network
) -> tuple[str, ...]:
    """The commands for the end of the link to the Internet, where `provider` is next; right as well when run again."""
    return (
        *interface_up(interface, IPv4Interface((public, 32))),
        f"ip route replace {provider} dev {interface} table {_UNDERLAY}",
        f"ip route replace {internet} via {provider} dev {interface} onlink table {_UNDERLAY}",
    )


def sibling_commands(interface: str, own: IPv4Address, other: IPv4Address) -> tuple[str, ...]:
    """The commands for the tunnel to the other instance, whose address is reached by it; right when run again."""
    return (tunnel(SIBLING, _VNI, own, other, interface), *point_to_point(SIBLING, own, other))
