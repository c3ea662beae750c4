"""Internal load balancers."""

from __future__ import annotations

from collections.abc import Iterator

from labkit.arm.resource import Json, Resource
from labkit.arm.write.scope import Scope, region_of
from labkit.azure.model import Azure, LoadBalancer

_FRONTEND, _POOL, _PROBE = "frontend", "backends", "probe"


def load_balancers(azure: Azure, scope: Scope) -> Iterator[Resource]:
    """Each of the lab's own; that of a firewall is the firewall's business."""
    for balancer in azure.load_balancers:
        if balancer.name not in azure.firewall:
            location = region_of(azure, balancer.virtual_network)
            yield Resource(
                scope.id("loadBalancers", balancer.name),
                location,
                properties=_properties(balancer, scope),
                extra={"sku": {"name": "Standard", "tier": "Regional"}},
            )


def _properties(balancer: LoadBalancer, scope: Scope) -> dict[str, Json]:
    def part(kind: str, name: str) -> dict[str, Json]:
        return {"id": scope.part("loadBalancers", balancer.name, kind, name)}

    subnet = scope.reference("virtualNetworks/subnets", balancer.virtual_network, balancer.subnet)
    frontend: dict[str, Json] = {
        "privateIPAddress": str(balancer.address),
        "privateIPAllocationMethod": "Static",
        "subnet": subnet,
    }
    probe: dict[str, Json] = {
        "protocol": "Tcp",
        "port": balancer.probe.port,
        "intervalInSeconds": balancer.probe.interval,
        "numberOfProbes": balancer.probe.count,
    }
    rule: dict[str, Json] = {
        "protocol": "All",
        "frontendPort": 0,
        "backendPort": 0,
        "frontendIPConfiguration": part("frontendIPConfigurations", _FRONTEND),
        "backendAddressPool": part("backendAddressPools", _POOL),
        "probe": part("probes", _PROBE),
    }
    return {
        "frontendIPConfigurations": [
            {**part("frontendIPConfigurations", _FRONTEND), "name": _FRONTEND, "properties": frontend}
        ],
        "backendAddressPools": [{**part("backendAddressPools", _POOL), "name": _POOL, "properties": {}}],
        "probes": [{**part("probes", _PROBE), "name": _PROBE, "properties": probe}],
        "loadBalancingRules": [
            {**part("loadBalancingRules", "all-ports"), "name": "all-ports", "properties": rule},
        ],
    }
