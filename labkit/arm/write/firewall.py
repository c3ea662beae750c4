"""Azure Firewalls."""

from __future__ import annotations

from collections.abc import Iterator

from labkit.arm.resource import Json, Resource
from labkit.arm.write.scope import Scope, region_of
from labkit.azure.model import Azure, FirewallRule
from labkit.azure.rules.addressing import FIREWALL_SUBNET

_FIRST_PRIORITY = 100


def firewalls(azure: Azure, scope: Scope) -> Iterator[Resource]:
    """Each firewall; a rule is a collection of its own, so that their order is that of priorities."""
    for firewall in azure.firewalls:
        subnet = scope.reference("virtualNetworks/subnets", firewall.virtual_network, FIREWALL_SUBNET)
        address = str(azure.load_balancer[firewall.name].address)
        place: dict[str, Json] = {"subnet": subnet, "privateIPAddress": address}
        collections: list[Json] = [_collection(number, rule) for number, rule in enumerate(firewall.rules)]
        yield Resource(
            scope.id("azureFirewalls", firewall.name),
            region_of(azure, firewall.virtual_network),
            properties={
                "sku": {"name": "AZFW_VNet", "tier": "Standard"},
                "ipConfigurations": [{"name": "Default", "properties": place}],
                "networkRuleCollections": collections,
            },
        )


def _collection(number: int, rule: FirewallRule) -> Json:
    name = f"rule{number + 1}"
    return {
        "name": name,
        "properties": {
            "priority": _FIRST_PRIORITY + number,
            "action": {"type": str(rule.action)},
            "rules": [
                {
                    "name": name,
                    "protocols": [*map(str, rule.protocols)] or ["Any"],
                    "sourceAddresses": [*map(str, rule.source_addresses)] or ["*"],
                    "destinationAddresses": [*map(str, rule.destination_addresses)] or ["*"],
                    "destinationPorts": [*rule.destination_ports] or ["*"],
                }
            ],
        },
    }
