"""Addresses, ranges and subnet names that Azure reserves."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network

ROUTE_SERVER_SUBNET = "RouteServerSubnet"
"""The exact name of a route server's dedicated subnet [route-server-subnet-name]."""

ROUTE_SERVER_SUBNET_ADVISED = 26
"""Today's documentation asks for a /26; what is smaller and not refused deserves a warning
[route-server-subnet-size].
"""

GATEWAY_SUBNET = "GatewaySubnet"
"""The exact name of the subnet of a virtual network's gateways [gateway-subnet]."""

FIREWALL_SUBNET = "AzureFirewallSubnet"
"""The exact name of an Azure Firewall's subnet [firewall-subnet]."""

FIREWALL_SUBNET_LONGEST = 26
"""The smallest subnet that Azure takes for a firewall."""

PLATFORM_ADDRESS = IPv4Address("168.63.129.16")
"""Where health probes of load balancers come from, in every virtual network [probe-address]."""

SUBNET_LONGEST = 29
"""The smallest subnet of a virtual network: five of its eight addresses are reserved."""

LARGEST_SPACE = 2
"""The length of the largest range of a virtual network."""

DEDICATED_SUBNETS = (
    ROUTE_SERVER_SUBNET,
    GATEWAY_SUBNET,
    FIREWALL_SUBNET,
    "AzureFirewallManagementSubnet",
    "AzureBastionSubnet",
)
"""Subnet names that Azure keeps for its own services: no machine of a user may live there."""

FORBIDDEN_ADDRESS_SPACE = tuple(
    IPv4Network(n) for n in ("224.0.0.0/4", "255.255.255.255/32", "127.0.0.0/8", "169.254.0.0/16", PLATFORM_ADDRESS)
)
"""Ranges that no virtual network may contain or lie in: multicast, broadcast, loopback, link-local, Azure's DNS."""


def reserved_addresses(prefix: IPv4Network) -> tuple[IPv4Address, ...]:
    """The five addresses of a subnet that nobody may use: .0 to .3 and the last [reserved-addresses].

    Raises:
        ValueError: the subnet is smaller than a /29.
    """
    _check_size(prefix)
    return (*(prefix.network_address + i for i in range(4)), prefix.broadcast_address)


def usable_addresses(prefix: IPv4Network) -> Iterator[IPv4Address]:
    """A subnet's other addresses in ascending order: .4 to the last but one [reserved-addresses].

    Raises:
        ValueError: the subnet is smaller than a /29.
    """
    _check_size(prefix)
    return (prefix.network_address + i for i in range(4, prefix.num_addresses - 1))


def is_usable(prefix: IPv4Network, address: IPv4Address) -> bool:
    """Whether a NIC in the subnet may have this address; False as well for an address outside [reserved-addresses]."""
    return address in prefix and 4 <= int(address) - int(prefix.network_address) < prefix.num_addresses - 1


def gateway_address(prefix: IPv4Network) -> IPv4Address:
    """The address of a subnet's own gateway, .1; the fabric answers for it [dot-one, static-routes-to-instances]."""
    return prefix.network_address + 1


def instance_addresses(prefix: IPv4Network) -> tuple[IPv4Address, IPv4Address]:
    """The addresses of the two instances in a RouteServerSubnet: .4 and .5 [two-instances, instance-order]."""
    return prefix.network_address + 4, prefix.network_address + 5


def forbidden_address_space(prefix: IPv4Network) -> IPv4Network | None:
    """The forbidden range that an address range overlaps; None if a virtual network may have it."""
    return next((f for f in FORBIDDEN_ADDRESS_SPACE if f.overlaps(prefix)), None)


def wrong_size(prefix: IPv4Network) -> str | None:
    """Whether an address range is too `small` or too `large` for a virtual network; None if it is neither."""
    if LARGEST_SPACE <= prefix.prefixlen <= SUBNET_LONGEST:
        return None
    return "small" if prefix.prefixlen > SUBNET_LONGEST else "large"


def _check_size(prefix: IPv4Network) -> None:
    if prefix.prefixlen > SUBNET_LONGEST:
        raise ValueError(f"{prefix} is smaller than a /{SUBNET_LONGEST}")
