"""What an instance of a gateway receives by a circuit or a tunnel: its kernel sends all of it into the virtual network.

There GatewaySubnet's effective routes decide where it goes, back into a circuit or a tunnel too
[gateway-forwards-by-subnet]. The daemon's routes, in the main table, are for what comes out of the virtual network.
"""

from __future__ import annotations

from ipaddress import IPv4Address

from labkit.lab.plan.nic_tables import RULE_PROTOCOL

MARK = 1
"""What nftables marks such packets with."""

TABLE = 100
"""The routing table that packets with the mark follow."""


def inbound_commands(interface: str, subnet_gateway: IPv4Address) -> tuple[str, ...]:
    """The commands for the rule and its table; right as well when run again, once `interface` is up."""
    return (
        f"ip route replace default via {subnet_gateway} dev {interface} table {TABLE} proto static",
        f"ip rule flush protocol {RULE_PROTOCOL}",
        f"ip rule add priority {TABLE} fwmark {MARK} lookup {TABLE} protocol {RULE_PROTOCOL}",
    )
