"""Where NICs are in their subnets."""

from __future__ import annotations

from ipaddress import IPv4Interface, IPv4Network

from labkit.azure.model import Azure, Nic


def subnet_of(azure: Azure, nic: Nic) -> IPv4Network:
    """The range of a NIC's subnet."""
    subnets = azure.virtual_network[nic.virtual_network].subnets
    return next(s.prefix for s in subnets if s.name == nic.subnet)


def nic_interface(azure: Azure, nic: Nic) -> IPv4Interface:
    """A NIC's address with its subnet's prefix length."""
    return IPv4Interface((nic.address, subnet_of(azure, nic).prefixlen))
