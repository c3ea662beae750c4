"""Where NICs are in their subnets."""

from __future__ import annotations

from ipaddress import IPv4Interface, IPv4Network

from labkit.azure.model import Azure, Nic


def subnet_of(azure: Azure, nic: Nic) -> IPv4Network:
    """The range of a NIC's subnet."""
    subnets = azure.virtual_network[nic.virtual_network].subnets
    return next(s.prefix for s in subnets if s.name == nic.subnet)


def nic_interfaces(azure: Azure, nic: Nic) -> tuple[IPv4Interface, ...]:
    """A NIC's addresses with its subnet's prefix length, the primary one first."""
    return tuple(IPv4Interface((address, subnet_of(azure, nic).prefixlen)) for address in nic.addresses)
