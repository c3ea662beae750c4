"""Where an instance of a gateway forwards what it receives, other than by its daemon's routes.

All that comes by a circuit or a tunnel its kernel sends into the virtual network, where GatewaySubnet's effective
routes decide where it goes, back into a circuit or a tunnel too [gateway-forwards-by-subnet]. The daemon's routes, in
the main table, are for what comes out of the virtual network, and out of the other instance of a VPN gateway: between
the two there is a tunnel through GatewaySubnet, for what only one of them has a way to [instances-exchange].
"""

from __future__ import annotations

from ipaddress import IPv4Address

from labkit.lab.plan.common import point_to_point, tunnel
from labkit.lab.plan.nic_tables import RULE_PROTOCOL

MARK = 1
"""What nftables marks such packets with."""

TABLE = 100
"""The routing table that packets with the mark follow."""

SIBLING = "instance"
"""The interface of the tunnel to the other instance."""

_VNI = 1 << 20
"""Beyond the numbers of all other tunnels; an instance has one such."""


def inbound_commands(interface: str, subnet_gateway: IPv4Address) -> tuple[str, ...]:
    """The commands for the rule and its table; right as well when run again, once `interface` is up."""
    return (
        f"ip route replace default via {subnet_gateway} dev {interface} table {TABLE} proto static",
        f"ip rule flush protocol {RULE_PROTOCOL}",
        f"ip rule add priority {TABLE} fwmark {MARK} lookup {TABLE} protocol {RULE_PROTOCOL}",
    )


def sibling_commands(interface: str, own: IPv4Address, other: IPv4Address) -> tuple[str, ...]:
    """The commands for the tunnel to the other instance, whose address is reached by it; right when run again."""
    return (tunnel(SIBLING, _VNI, own, other, interface), *point_to_point(SIBLING, own, other))
