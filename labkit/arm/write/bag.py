"""All resources of a lab."""

from __future__ import annotations

from labkit.arm.resource import Bag
from labkit.arm.write.firewall import firewalls
from labkit.arm.write.gateway import gateways
from labkit.arm.write.load_balancer import load_balancers
from labkit.arm.write.machine import machines
from labkit.arm.write.route_table import route_tables
from labkit.arm.write.scope import SUBSCRIPTION, Scope
from labkit.arm.write.virtual_hub import virtual_hubs
from labkit.arm.write.virtual_network import virtual_networks
from labkit.azure.model import Azure

_SORTS = (virtual_networks, route_tables, virtual_hubs, machines, gateways, load_balancers, firewalls)


def bag_of(azure: Azure, group: str, subscription: str = SUBSCRIPTION) -> Bag:
    """Azure's objects as the resources of a resource group, those of each sort in their order in the lab file."""
    scope = Scope(subscription, group)
    return Bag(resource for sort in _SORTS for resource in sort(azure, scope))
